package protocol

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// wideInput has what inputs of IAM and STS have not: the protocol carries it all the
// same.
type wideInput struct {
	Map    map[string]string
	Flat   map[string]formTag
	Named  []string
	Blob   []byte
	Flag   *bool
	Self   *wideInput
	Nested []formTags
}

type formTags struct{ Tags []formTag }

var wideService = &schema.Service{
	Name: "wide", Protocol: schema.Query, Namespace: "https://wide.example/",
	Operations: []schema.Operation{{Name: "Do", Input: 0, Output: 0, Status: 200}},
	Shapes: []schema.Shape{
		{Name: "Input", Kind: schema.Structure, Members: []schema.Member{
			{Name: "Map", Wire: "Map", Shape: 2}, {Name: "Flat", Wire: "Flat", Shape: 3}, {Name: "Named", Wire: "Named", Shape: 4},
			{Name: "Blob", Wire: "Blob", Shape: 5}, {Name: "Flag", Wire: "Flag", Shape: 6}, {Name: "Self", Wire: "Self", Shape: 0},
			{Name: "Nested", Wire: "Nested", Shape: 8}}},
		{Name: "String", Kind: schema.String},
		{Name: "Map", Kind: schema.Map, Key: 1, Elem: 1},
		{Name: "Flat", Kind: schema.Map, Key: 1, Elem: 7, Flattened: true, KeyName: "K", ValueName: "V"},
		{Name: "Named", Kind: schema.List, Elem: 1, ElemName: "item"},
		{Name: "Blob", Kind: schema.Blob}, {Name: "Flag", Kind: schema.Boolean},
		{Name: "Tag", Kind: schema.Structure, Members: []schema.Member{{Name: "Key", Wire: "Key", Shape: 1}, {Name: "Value", Wire: "Value", Shape: 1}}},
		{Name: "Nested", Kind: schema.List, Elem: 9},
		{Name: "Tags", Kind: schema.Structure, Members: []schema.Member{{Name: "Tags", Wire: "Tags", Shape: 10}}},
		{Name: "TagList", Kind: schema.List, Elem: 7, Flattened: true},
	},
}

func wide(t *testing.T, form string) (in wideInput, err error) {
	t.Helper()
	r := httptest.NewRequest("POST", "/", strings.NewReader(form))
	return in, (query{}).Decode(Call{Service: wideService, Operation: &wideService.Operations[0]}, r, nil, &in)
}

// TestFormShapes reads every kind of member.
func TestFormShapes(t *testing.T) {
	got, err := wide(t, url.Values{
		"Map.entry.2.key": {"b"}, "Map.entry.2.value": {"2"}, "Map.entry.1.key": {"a"}, "Map.entry.1.value": {"1"},
		"Flat.1.K": {"x"}, "Flat.1.V.Key": {"y"}, "Named.item.10": {"j"}, "Named.item.9": {"i"}, "Blob": {"AAE="}, "Flag": {"true"},
		"Self.Self.Named": {""}, "Nested.member.1.Tags.3.Key": {"k"}, "Nested.member.1.Tags.1.Value": {"v"},
	}.Encode())
	s, yes := func(s string) *string { return &s }, true
	want := wideInput{
		Map: map[string]string{"a": "1", "b": "2"}, Flat: map[string]formTag{"x": {Key: s("y")}}, Named: []string{"i", "j"}, Blob: []byte{0, 1}, Flag: &yes,
		Self: &wideInput{Self: &wideInput{Named: []string{}}}, Nested: []formTags{{Tags: []formTag{{Value: s("v")}, {Key: s("k")}}}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	w := httptest.NewRecorder()
	if err := (query{}).Encode(Call{Service: wideService, Operation: &wideService.Operations[0], RequestID: "r"}, w, &want); err != nil {
		t.Fatal(err)
	}
	const answer = `<DoResponse xmlns="https://wide.example/"><DoResult><Map><entry><key>a</key><value>1</value></entry><entry><key>b</key><value>2</value></entry></Map>` +
		`<Flat><K>x</K><V><Key>y</Key></V></Flat><Named><item>i</item><item>j</item></Named><Blob>AAE=</Blob><Flag>true</Flag>` +
		`<Self><Self><Named></Named></Self></Self><Nested><member><Tags><Value>v</Value></Tags><Tags><Key>k</Key></Tags></member></Nested></DoResult>` +
		`<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DoResponse>`
	if w.Body.String() != answer {
		t.Errorf("wrote\n%s, want\n%s", w.Body, answer)
	}
}

// TestFormBounds refuses forms that would become deep or large, before they do.
func TestFormBounds(t *testing.T) {
	for name, c := range map[string]struct{ form, code string }{
		"depth":        {strings.Repeat("Self.", maxDepth+1) + "Flag=true", "ValidationException"},
		"far too deep": {strings.Repeat("Self.", 200000) + "Flag=true", "ValidationException"},
		"no number":    {"Named.item.x=1", "MalformedInput"},
		"leading zero": {"Named.item.01=1", "MalformedInput"},
		"negative":     {"Named.item.-1=1", "MalformedInput"},
		"beyond int":   {"Named.item.99999999999999999999=1", "MalformedInput"},
		"too large":    {strings.Repeat("a", MaxForm+1), "RequestEntityTooLarge"},
	} {
		if _, err := wide(t, c.form); err == nil || fault.From(err).Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	got, err := wide(t, "Named.item.2147483647=z&Named.item.1=a")
	if err != nil || strings.Join(got.Named, "") != "az" {
		t.Errorf("large numbers take no room: %v, %v", got, err)
	}
}

// TestSTSClient has the Go SDK's own client write requests that we read, and read
// answers and refusals that we write.
func TestSTSClient(t *testing.T) {
	policies := []types.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")}}
	expires := time.Date(2026, 11, 2, 13, 0, 0, 0, time.UTC)
	asked := map[string]any{}
	server := roundTrip(func(r *http.Request) (*http.Response, error) {
		form, err := FormValues(r)
		if err != nil {
			return nil, err
		}
		op := sts.Service.Operation(form.Get("Action"))
		call := Call{Service: &sts.Service, Operation: op, RequestID: "request-1"}
		in := op.NewInput()
		if err := (query{}).Decode(call, r, nil, in); err != nil {
			return nil, err
		}
		asked[op.Name] = in
		w := httptest.NewRecorder()
		switch op.Name {
		case "AssumeRole":
			err = (query{}).Encode(call, w, &sts.AssumeRoleResponse{
				Credentials: &sts.Credentials{AccessKeyId: aws.String("ASIA"), SecretAccessKey: aws.String("a/b+c"), SessionToken: aws.String("t<&>"), Expiration: &expires},
			})
		default:
			err = (query{}).EncodeError(call, w, fault.New("AccessDenied", http.StatusForbidden, "Not <you>"))
		}
		res := w.Result()
		res.Request = r
		return res, err
	})
	c := sdk.New(sdk.Options{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIA", "s", ""), HTTPClient: server, Retryer: aws.NopRetryer{},
	})
	out, err := c.AssumeRole(t.Context(), &sdk.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::111122223333:role/r"), RoleSessionName: aws.String("s"), DurationSeconds: aws.Int32(900), PolicyArns: policies,
		Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("ü &=")}, {Key: aws.String("l"), Value: aws.String("")}}, TransitiveTagKeys: []string{"k"},
	})
	if err != nil || *out.Credentials.SecretAccessKey != "a/b+c" || *out.Credentials.SessionToken != "t<&>" || !out.Credentials.Expiration.Equal(expires) {
		t.Fatalf("the client reads %+v, %v", out, err)
	}
	in := asked["AssumeRole"].(*sts.AssumeRoleRequest)
	if *in.DurationSeconds != 900 || *in.PolicyArns[0].Arn != *policies[0].Arn || len(in.Tags) != 2 || *in.Tags[0].Value != "ü &=" || *in.Tags[1].Value != "" || in.TransitiveTagKeys[0] != "k" {
		t.Errorf("we read %+v", in)
	}
	_, err = c.GetSessionToken(context.Background(), &sdk.GetSessionTokenInput{})
	if err == nil || !strings.Contains(err.Error(), "StatusCode: 403, RequestID: request-1, api error AccessDenied: Not <you>") {
		t.Errorf("the client fails with %v", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzFormShapes decodes any form as an input of every kind of member.
func FuzzFormShapes(f *testing.F) {
	for _, seed := range []string{
		"Map.entry.1.key=a&Map.entry.1.value=b", "Flat.1.K=x&Flat.1.V.Key=y", "Self.Self.Self.Flag=true", "Nested.member.1.Tags.1.Key=k", "Named=", "Named.item.1.1=x",
		"Map.entry.1=x", "Self=1&Self.=2", "Named.item.4294967296=a", "Blob=%%%",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, form string) {
		in, err := wide(t, form)
		if err != nil {
			mustRefuse(t, err)
			return
		}
		w := httptest.NewRecorder()
		if err := (query{}).Encode(Call{Service: wideService, Operation: &wideService.Operations[0]}, w, &in); err != nil {
			t.Fatal(err)
		}
		if _, err := parseXML(w.Body.Bytes()); err != nil {
			t.Fatalf("wrote what is no XML: %v\n%s", err, w.Body)
		}
	})
}

// BenchmarkForm decodes what CreateRole sends.
func BenchmarkForm(b *testing.B) {
	form := url.Values{"Action": {"CreateRole"}, "Version": {"2010-05-08"}, "RoleName": {"agent"}, "AssumeRolePolicyDocument": {strings.Repeat(`{"a":"b"}`, 100)}}
	for i := range 50 {
		key := "Tags.member." + strconv.Itoa(i+1)
		form.Set(key+".Key", "k"+strconv.Itoa(i))
		form.Set(key+".Value", "v")
	}
	body, op := form.Encode(), iam.Service.Operation("CreateRole")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/"}, Body: io.NopCloser(strings.NewReader(body))}
		in := op.NewInput().(*iam.CreateRoleRequest)
		if err := (query{}).Decode(Call{Service: &iam.Service, Operation: op}, r, nil, in); err != nil || len(in.Tags) != 50 {
			b.Fatal(err, len(in.Tags))
		}
	}
}
