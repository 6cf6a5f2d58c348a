package protocol

import (
	"bytes"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// FuzzJSON decodes any body as a few inputs. What is refused is refused as the
// caller's mistake, and what is read is written and read again the same.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"agentRuntimeName":"a","tags":{"k":"v"},"lifecycleConfiguration":{"maxLifetime":1e2}}`,
		`{"eventTimestamp":1.5,"payload":[{"conversational":{"content":{"text":"x"},"role":"USER"}},{"blob":{"a":[null]}}]}`,
		`{"eventTimestamp":"2026-01-01T00:00:00Z","metadata":{"k":{"stringValue":"\ud83d\ude00"}}}`,
		`{"targetConfiguration":{"mcp":{"lambda":{"toolSchema":{"inlinePayload":[{"inputSchema":{"type":"object","properties":{"a":{"type":"string"}}}}]}}}}}`,
		`[`, `{"a":`, `{"name":"x","name":null}`, "{\"name\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	ops := map[*schema.Service][]string{
		&agentcorecontrol.Service: {"CreateAgentRuntime", "CreateGatewayTarget", "CreateHarness"},
		&agentcore.Service:        {"CreateEvent", "Evaluate", "InvokeHarness"},
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for svc, names := range ops {
			for _, name := range names {
				op := svc.Operation(name)
				in := op.NewInput()
				if err := UnmarshalJSON(svc, op.Input, body, in); err != nil {
					mustRefuse(t, err)
					continue
				}
				written, err := MarshalJSON(svc, op.Input, in, false)
				if err != nil {
					t.Fatalf("%s: read, but not written: %v", name, err)
				}
				again := op.NewInput()
				if err := UnmarshalJSON(svc, op.Input, written, again); err != nil {
					t.Fatalf("%s: wrote what it does not read: %v\n%s", name, err, written)
				}
				twice, err := MarshalJSON(svc, op.Input, again, false)
				if err != nil || !bytes.Equal(written, twice) {
					t.Fatalf("%s: %v\n%s\n%s", name, err, written, twice)
				}
			}
		}
	})
}

// mustRefuse wants an error that is the caller's.
func mustRefuse(t *testing.T, err error) {
	t.Helper()
	if f := fault.From(err); f.Status >= 500 || f.Message == "" {
		t.Fatalf("refused as %d: %v", f.Status, err)
	}
}

// FuzzXML decodes any body as the documents that S3 takes.
func FuzzXML(f *testing.F) {
	for _, seed := range []string{
		`<Delete><Object><Key>a</Key><VersionId>v</VersionId></Object><Quiet>true</Quiet></Delete>`,
		`<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><PartNumber>1</PartNumber><ETag>"e"</ETag></Part></CompleteMultipartUpload>`,
		`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, `<a`, `<a><b></a>`, `<?xml version="1.0" encoding="latin1"?><a/>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, name := range []string{"DeleteObjects", "CompleteMultipartUpload", "PutBucketVersioning", "CreateBucket"} {
			op := s3.Service.Operation(name)
			r := httptest.NewRequest(op.Method, "/", bytes.NewReader(body))
			if err := (restXML{}).Decode(Call{Service: &s3.Service, Operation: op}, r, nil, op.NewInput()); err != nil {
				mustRefuse(t, err)
			}
		}
	})
}

// FuzzForm decodes any form as an input of lists and structures.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{"Tags.member.1.Key=k&Tags.member.1.Value=v&Name=n", "Names.1=a&Names.2=b", "a=%zz", "Tags.member.=1", "Tags.member.01.Key=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		var in formInput
		if err := (query{}).Decode(Call{Service: formService, Operation: &formService.Operations[0]}, r, nil, &in); err != nil {
			mustRefuse(t, err)
		}
		op := sts.Service.Operation("GetCallerIdentity")
		r = httptest.NewRequest("POST", "/", strings.NewReader(body))
		if err := (query{}).Decode(Call{Service: &sts.Service, Operation: op}, r, nil, op.NewInput()); err != nil {
			mustRefuse(t, err)
		}
	})
}

// formInput is an input with all that the query protocol can carry.
type formInput struct {
	Name  *string
	Size  *int32
	At    *time.Time
	Names []string
	Tags  []formTag
	Inner *formTag
}

type formTag struct{ Key, Value *string }

var formService = &schema.Service{
	Name: "form", Protocol: schema.Query,
	Operations: []schema.Operation{{Name: "Do", Input: 0, Output: -1}},
	Shapes: []schema.Shape{
		{Name: "Input", Kind: schema.Structure, Members: []schema.Member{
			{Name: "Name", Wire: "Name", Shape: 1}, {Name: "Size", Wire: "Size", Shape: 2}, {Name: "At", Wire: "At", Shape: 3},
			{Name: "Names", Wire: "Names", Shape: 4}, {Name: "Tags", Wire: "Tags", Shape: 5}, {Name: "Inner", Wire: "Inner", Shape: 6}}},
		{Name: "String", Kind: schema.String}, {Name: "Integer", Kind: schema.Integer}, {Name: "Time", Kind: schema.Timestamp},
		{Name: "Names", Kind: schema.List, Elem: 1, Flattened: true}, {Name: "Tags", Kind: schema.List, Elem: 6},
		{Name: "Tag", Kind: schema.Structure, Members: []schema.Member{{Name: "Key", Wire: "Key", Shape: 1}, {Name: "Value", Wire: "Value", Shape: 1}}},
	},
}

// TestForm reads lists of structures, flattened lists and structures.
func TestForm(t *testing.T) {
	form := url.Values{"Name": {"n"}, "Size": {"7"}, "At": {"2026-01-02T03:04:05Z"}, "Names.1": {"a"}, "Names.2": {"b"}, "Names.4": {"d"},
		"Tags.member.1.Key": {"k"}, "Tags.member.1.Value": {"v"}, "Tags.member.2.Key": {"k2"}, "Inner.Value": {""}, "Other": {"x"}}
	r := httptest.NewRequest("POST", "/", strings.NewReader(form.Encode()))
	var got formInput
	if err := (query{}).Decode(Call{Service: formService, Operation: &formService.Operations[0]}, r, nil, &got); err != nil {
		t.Fatal(err)
	}
	s, size, at := func(s string) *string { return &s }, int32(7), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := formInput{Name: s("n"), Size: &size, At: &at, Names: []string{"a", "b", "d"}, // in the order of the numbers, whichever
		Tags: []formTag{{s("k"), s("v")}, {Key: s("k2")}}, Inner: &formTag{Value: s("")}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r = httptest.NewRequest("POST", "/", strings.NewReader("Tags.member.1.Key=k&Size=many"))
	err := (query{}).Decode(Call{Service: formService, Operation: &formService.Operations[0]}, r, nil, &got)
	if err == nil || !strings.Contains(err.Error(), "Value at 'Size' cannot be parsed: expected a whole number") {
		t.Errorf("got %v", err)
	}
}

// TestGrowth decodes bodies that grow and wants the time to grow no faster
// than they do, give or take: eight times the body in less than forty times
// the time, where the square would be sixty-four.
func TestGrowth(t *testing.T) {
	long := func(unit string) func(n int) string { return func(n int) string { return strings.Repeat(unit, n) } }
	cases := map[string]struct {
		body   func(n int) string
		decode func(body string) error
	}{
		"form with gaps": {func(n int) string {
			var b strings.Builder
			for i := range n {
				b.WriteString("Tags.member." + strconv.Itoa(2*i) + ".Key=&")
			}
			return b.String()
		}, decodeForm},
		"form of lists": {func(n int) string {
			var b strings.Builder
			for i := range min(n, 9000) {
				b.WriteString("Tags.member." + strconv.Itoa(i+1) + ".Key=k&")
			}
			return b.String()
		}, decodeForm},
		"unknown members": {func(n int) string { return `{` + long(`"unknown":1,`)(n) + `"x":1}` }, decodeInput("CreateHarness")},
		"known member":    {func(n int) string { return `{` + long(`"tags":{"a":"b"},`)(n/4) + `"x":1}` }, decodeInput("CreateHarness")},
		"list":            {func(n int) string { return `{"allowedTools":[` + long(`"a",`)(n) + `"b"]}` }, decodeInput("CreateHarness")},
		"elements": {func(n int) string { return `<Delete>` + long(`<Object><Key>k</Key></Object>`)(n/2) + `</Delete>` }, func(body string) error {
			op := s3.Service.Operation("DeleteObjects")
			r := httptest.NewRequest("POST", "/", strings.NewReader(body))
			return (restXML{}).Decode(Call{Service: &s3.Service, Operation: op}, r, nil, op.NewInput())
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			least := func(n int) time.Duration {
				body, best := c.body(n), time.Hour
				for range 5 {
					start := time.Now()
					if err := c.decode(body); err != nil {
						mustRefuse(t, err)
					}
					best = min(best, time.Since(start))
				}
				return best
			}
			// A busy machine may spoil one measurement, not every one.
			var small, large time.Duration
			for range 4 {
				if small, large = least(1000), least(8000); large <= 40*small {
					return
				}
			}
			t.Errorf("8 times the body takes %v instead of %v", large, small)
		})
	}
}

func decodeForm(body string) error {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	return (query{}).Decode(Call{Service: formService, Operation: &formService.Operations[0]}, r, nil, &formInput{})
}

func decodeInput(name string) func(string) error {
	return func(body string) error {
		op := agentcorecontrol.Service.Operation(name)
		return UnmarshalJSON(&agentcorecontrol.Service, op.Input, []byte(body), op.NewInput())
	}
}

// TestXMLBounds refuses documents that would become large structures.
func TestXMLBounds(t *testing.T) {
	for name, body := range map[string]string{
		"elements": "<Delete>" + strings.Repeat("<a/>", maxValues) + "</Delete>",
		"depth":    strings.Repeat("<a>", maxDepth+1) + strings.Repeat("</a>", maxDepth+1),
		"roots":    "<a/><b/>", "none": "<!-- -->", "entity": `<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`,
	} {
		if _, err := parseXML([]byte(body)); fault.From(err).Code != "MalformedXML" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
