package smithy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/internal/gateway/smithy"
)

// callCase is a service of botocore's whose operations are called with arguments made up.
type callCase struct {
	Service    string         `json:"service"`
	Region     string         `json:"region"`
	FIPS       bool           `json:"fips,omitempty"`
	DualStack  bool           `json:"dualstack,omitempty"`
	Style      string         `json:"style,omitempty"`
	Operations []string       `json:"operations,omitempty"`
	Arguments  map[string]any `json:"arguments,omitempty"`
	// Hosts are members whose values are put in a host, Skipped those left out.
	Hosts   []string `json:"hosts,omitempty"`
	Skipped []string `json:"skipped,omitempty"`
}

// call is one as botocore would send it.
type call struct {
	Case      callCase
	Model     string
	Operation string
	Arguments json.RawMessage
	Error     string

	Method, URL string
	Headers     map[string]string
	Body        []byte
	Signing     []string
}

// cases are services of restJson1, and two that are not, which only their bodies tell from
// it: DynamoDB, whose calls have one path, and operations of S3 that send no body.
func cases() []callCase {
	var out []callCase
	for _, name := range []string{
		"lambda", "bedrock-agentcore-control", "bedrock-agentcore", "bedrock-runtime", "bedrock-agent", "apigateway", "apigatewayv2", "eks", "batch", "polly", "sesv2",
		"appconfig", "scheduler", "xray", "kafka", "mq", "pinpoint", "securityhub", "connect", "iot", "efs", "guardduty", "s3tables", "sso", "codeartifact", "workmailmessageflow",
	} {
		c := callCase{Service: name, Region: "eu-west-1"}
		if name == "sesv2" { // its endpoints of several regions want signatures of version 4A
			c.Skipped = []string{"EndpointId"}
		}
		out = append(out, c)
	}
	objects := []string{"HeadObject", "HeadBucket", "ListObjectsV2", "DeleteObject", "GetObjectTagging", "ListParts", "ListBuckets"}
	bucket := []string{"Bucket"}
	return append(out,
		callCase{Service: "lambda", Region: "cn-north-1", Operations: []string{"ListFunctions"}},
		callCase{Service: "lambda", Region: "us-gov-west-1", FIPS: true, Operations: []string{"ListFunctions", "Invoke"}},
		callCase{Service: "lambda", Region: "us-east-1", DualStack: true, Operations: []string{"GetFunction"}},
		callCase{Service: "dynamodb", Region: "eu-west-1", Operations: []string{"GetItem", "PutItem", "Query", "UpdateItem", "BatchWriteItem", "ListTables"}},
		callCase{Service: "s3", Region: "eu-west-1", Operations: objects, Hosts: bucket},
		callCase{Service: "s3", Region: "us-west-2", Style: "path", Operations: objects, Hosts: bucket},
		callCase{Service: "s3", Region: "us-west-2", DualStack: true, Operations: []string{"ListObjectsV2"}, Arguments: map[string]any{"Bucket": "With.Dots", "Prefix": "a b/"}},
		callCase{Service: "s3", Region: "us-west-2", Operations: []string{"HeadObject"}, Arguments: map[string]any{"Bucket": "with.dots", "Key": "a/b c/+ü"}},
		callCase{Service: "apigateway", Region: "eu-west-1", Operations: []string{"GetExport"}, Arguments: map[string]any{"restApiId": "abc", "stageName": "prod", "exportType": "oas30", "parameters": map[string]any{"extensions": "authorizers"}, "accepts": "application/json"}},
	)
}

// TestRequests holds that calls become the requests that botocore makes of them.
func TestRequests(t *testing.T) {
	arguments, err := json.Marshal(cases())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), pinned.Program(t, "python"), "testdata/requests.py", string(arguments))
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	models := map[string]*smithy.Model{}
	compared := 0
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var c call
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		if c.Error != "" {
			t.Errorf("%s %s: botocore refuses: %s", c.Case.Service, c.Operation, c.Error)
			continue
		}
		key, err := json.Marshal(c.Case)
		if err != nil {
			t.Fatal(err)
		}
		if models[string(key)] == nil {
			models[string(key)] = converted(t, c)
		}
		t.Run(c.Case.Service+"/"+c.Operation, func(t *testing.T) { c.compare(t, models[string(key)]) })
		compared++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d calls of %d services", compared, len(models))
	if compared < 1000 {
		t.Error("too few were compared")
	}
}

func converted(t *testing.T, c call) *smithy.Model {
	t.Helper()
	client := map[string]any{}
	if c.Case.Style == "path" {
		client["ForcePathStyle"] = true
	}
	m, err := smithy.Parse(model(t, c.Model, c.Case.Operations), smithy.Options{Region: c.Case.Region, FIPS: c.Case.FIPS, DualStack: c.Case.DualStack, Client: client})
	if err != nil {
		t.Fatalf("%s: %v", c.Case.Service, err)
	}
	return m
}

func (c call) compare(t *testing.T, m *smithy.Model) {
	r, err := m.Request(t.Context(), "_"+c.Operation, c.Arguments)
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Arguments)
	}
	want, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	u, body := r.HTTP.URL, []byte{}
	if r.HTTP.Body != nil {
		if body, err = io.ReadAll(r.HTTP.Body); err != nil {
			t.Fatal(err)
		}
	}
	path := want.EscapedPath()
	if c.Case.Service == "dynamodb" {
		path = "/" + c.Operation
	}
	if r.HTTP.Method != c.Method && c.Case.Service != "dynamodb" || u.Scheme != want.Scheme || u.Host != want.Host || slash(u.EscapedPath()) != slash(path) {
		t.Errorf("%s %s, want %s %s", r.HTTP.Method, u, c.Method, want)
	}
	if have, want := pairs(u.RawQuery), pairs(want.RawQuery); !slices.Equal(have, want) {
		t.Errorf("query\n%v, want\n%v", have, want)
	}
	if len(c.Signing) == 2 && (r.Signing.Service != c.Signing[0] || r.Signing.Region != c.Signing[1]) {
		t.Errorf("signed for %+v, want %v", r.Signing, c.Signing)
	}
	if len(c.Signing) == 0 && r.Signing.Service != "" {
		t.Errorf("signed for %+v, want no signature", r.Signing)
	}
	if !sameBody(body, c.Body) {
		t.Errorf("body\n%s, want\n%s", body, c.Body)
	}
	c.compareHeaders(t, r.HTTP.Header)
}

func slash(path string) string { return "/" + strings.TrimPrefix(path, "/") }

func pairs(query string) []string {
	var out []string
	for p := range strings.SplitSeq(query, "&") {
		if p = strings.TrimSuffix(p, "="); p != "" {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// sameBody compares as JSON where both are. No body and an empty object are the same to a
// service.
func sameBody(have, want []byte) bool {
	var x, y any
	if json.Unmarshal(have, &x) == nil && json.Unmarshal(want, &y) == nil {
		return reflect.DeepEqual(x, y)
	}
	none := func(b []byte) bool { return len(b) == 0 || string(b) == "{}" }
	return bytes.Equal(have, want) || none(have) && none(want)
}

// compareHeaders leaves out what every client sets as it likes.
func (c call) compareHeaders(t *testing.T, have map[string][]string) {
	own := func(name string) bool {
		switch name {
		case "accept", "accept-encoding", "authorization", "content-length", "content-md5", "content-type", "expect", "host", "user-agent", "x-amz-content-sha256", "x-amz-date", "x-amz-sdk-checksum-algorithm", "x-amz-target":
			return true
		}
		return strings.HasPrefix(name, "amz-sdk-") || strings.HasPrefix(name, "x-amz-checksum-")
	}
	names := map[string]bool{}
	for name := range have {
		names[strings.ToLower(name)] = true
	}
	for name := range c.Headers {
		names[name] = true
	}
	for name := range names {
		if have := strings.Join(have[canonical(name)], " | "); !own(name) && strings.ReplaceAll(have, ", ", ",") != strings.ReplaceAll(c.Headers[name], ", ", ",") {
			t.Errorf("header %s: %q, want %q", name, have, c.Headers[name])
		}
	}
}
