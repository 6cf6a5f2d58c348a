package pipeline

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/schema"
)

// goodRuntime is a body of CreateAgentRuntime with %s for further members.
const goodRuntime = `{"agentRuntimeName":"hello","roleArn":"arn:aws:iam::111122223333:role/outcrop-default",` +
	`"networkConfiguration":{"networkMode":"PUBLIC"},"agentRuntimeArtifact":{"codeConfiguration":{"runtime":"PYTHON_3_12",` +
	`"entryPoint":["main.py"],"code":{"s3":{"bucket":"code","prefix":"hello.zip"}}}}%s}`

// TestBadBodies is what CreateAgentRuntime says to bodies it cannot read.
func TestBadBodies(t *testing.T) {
	with := func(members string) string { return fmt.Sprintf(goodRuntime, members) }
	cases := []struct {
		name, body, contentType string
		status                  int
		want                    string
	}{
		{"good", with(""), "", 202, ""},
		{"good, with a charset", with(""), "application/json; charset=utf-8", 202, ""},
		{"good, no content type", with(""), "-", 202, ""},
		{"unknown members", with(`,"newMember":{"deep":[1,{"x":null}]},"agentruntimename":5`), "", 202, ""},
		{"null is absent", with(`,"description":null,"tags":null,"lifecycleConfiguration":{"maxLifetime":null}`), "", 202, ""},
		{"spaces", " \n\t" + with("") + "\r\n ", "", 202, ""},
		{"escaped names", strings.Replace(with(""), `"roleArn"`, `"role\u0041rn"`, 1), "", 202, ""},
		{"wrong content type", with(""), "text/xml", 415, "Content-Type 'text/xml' is not supported here; send application/json"},
		{"form", with(""), "application/x-www-form-urlencoded", 415, "UnsupportedMediaTypeException"},
		{"empty", "", "", 400, "Value null at 'agentRuntimeName'"},
		{"not JSON", "agentRuntimeName=x", "", 400, "The request body is not valid JSON at byte 0"},
		{"cut short", with("")[:60], "", 400, "The request body is not valid JSON at byte"},
		{"a comma too many", with(`,`), "", 400, "The request body is not valid JSON at byte"},
		{"two values", with("") + "{}", "", 400, "The request body has data after its JSON value"},
		{"a list", "[]", "", 400, "Value at the request body cannot be parsed: expected an object, found a list"},
		{"null", "null", "", 400, "expected an object, found null"},
		{"a number for text", with(`,"description":7`), "", 400, "Value at 'description' cannot be parsed: expected a string, found a number"},
		{"text for an object", with(`,"lifecycleConfiguration":"x"`), "", 400, "Value at 'lifecycleConfiguration' cannot be parsed: expected an object, found a string"},
		{"text for a number", with(`,"lifecycleConfiguration":{"maxLifetime":"60"}`), "", 400, "Value at 'lifecycleConfiguration.maxLifetime' cannot be parsed: expected a number, found a string"},
		{"a fraction", with(`,"lifecycleConfiguration":{"maxLifetime":60.5}`), "", 400, "expected a whole number"},
		{"a whole fraction", with(`,"lifecycleConfiguration":{"maxLifetime":6.0e2}`), "", 202, ""},
		{"beyond 32 bits", with(`,"lifecycleConfiguration":{"maxLifetime":99999999999}`), "", 400, "expected a whole number from -2147483648 to 2147483647"},
		{"beyond any", with(`,"lifecycleConfiguration":{"maxLifetime":1e400}`), "", 400, "expected a whole number"},
		{"null in a list", with(`,"requestHeaderConfiguration":{"requestHeaderAllowlist":["A",null]}`), "", 400, "Value at 'requestHeaderConfiguration.requestHeaderAllowlist.2.member' cannot be parsed: expected a value, found null"},
		{"null in a map", with(`,"environmentVariables":{"A":null}`), "", 400, "Value at 'environmentVariables.A' cannot be parsed: expected a value, found null"},
		{"invalid UTF-8", with(`,"description":"` + "\xff" + `"`), "", 400, "The request body is not valid JSON at byte"},
		{"lone surrogate", with(`,"description":"\ud800"`), "", 400, "The request body is not valid JSON at byte"},
		{"deep in an unknown member", with(`,"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000)), "", 400, "The request body is not valid JSON at byte"},
		{"a repeated member, the last counts", with(`,"agentRuntimeName":"7"`), "", 400, "Value '7' at 'agentRuntimeName'"},
		{"a repeated member, not merged", with(`,"lifecycleConfiguration":{"maxLifetime":1},"lifecycleConfiguration":{}`), "", 202, ""},
		{"a repeated member, null", with(`,"agentRuntimeName":null`), "", 400, "Value null at 'agentRuntimeName'"},
		{"many values", with(`,"environmentVariables":{` + strings.Repeat(`"a":"",`, 140_000) + `"a":""}`), "", 400, "more than 131072 list members and map entries"},
		{"refused member", with(`,"networkConfiguration":{"networkMode":"VPC","networkModeConfig":{"securityGroups":["sg-01234567"],"subnets":["subnet-01234567"],"requireServiceS3Endpoint":true}}`), "", 400, "requireServiceS3Endpoint is not available in Outcrop 0.0.0-test: S3 is this server"},
		{"refused member, empty", with(`,"filesystemConfigurations":[]`), "", 202, ""},
		{"invalid before refused", with(`,"networkConfiguration":{"networkMode":"VPC","networkModeConfig":{"securityGroups":["sg-01234567"],"subnets":["subnet-01234567"],"requireServiceS3Endpoint":true}},"description":""`), "", 400, "1 validation error detected: Value at 'description'"},
	}
	k := newKit(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRequest("PUT", "/runtimes/", c.body)
			if c.contentType == "" {
				c.contentType = "application/json"
			}
			if c.contentType != "-" {
				r.Header.Set("Content-Type", c.contentType)
			}
			w := k.do(sign(t, r, "bedrock-agentcore", c.body))
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d %s\nwant %d %s", w.Code, w.Body, c.status, c.want)
			}
			if refused := strings.HasPrefix(c.name, "refused") && c.status == 400; (w.Header().Get("X-Outcrop-Refused") != "") != refused {
				t.Errorf("x-outcrop-refused is %q", w.Header().Get("X-Outcrop-Refused"))
			}
		})
	}
}

// TestDeepStructures stops where structures hold themselves.
func TestDeepStructures(t *testing.T) {
	k := newKit(t)
	const open, end = `{"type":"object","properties":{"a":`, `}}`
	deep := func(n int) string {
		return `{"name":"x","targetConfiguration":{"mcp":{"lambda":{"lambdaArn":"arn:aws:lambda:us-west-2:111122223333:function:f","toolSchema":` +
			`{"inlinePayload":[{"name":"t","description":"d","inputSchema":` + strings.Repeat(open, n) + `{"type":"string"}` + strings.Repeat(end, n) + `}]}}}}}`
	}
	for n, want := range map[int]string{30: "", 5000: "is nested more than 128 deep"} {
		w := k.call(t, "bedrock-agentcore", "POST", "/gateways/gw-1234567890/targets/", deep(n))
		if refused := w.Code == 400; refused != (want != "") || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d deep: %d %s", n, w.Code, w.Body)
		}
	}
}

// TestLargeBodies are refused by what they announce, and by what they are.
func TestLargeBodies(t *testing.T) {
	k := newKit(t)
	body := strings.Repeat(" ", protocol.MaxBody+1)
	if w := k.call(t, "bedrock-agentcore", "PUT", "/runtimes/", body); w.Code != 413 || !strings.Contains(w.Body.String(), "RequestEntityTooLargeException") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// A streamed payload is held to the model's 100,000,000 bytes.
	r := sign(t, newRequest("POST", "/runtimes/hello/invocations", "x"), "bedrock-agentcore", "x")
	r.ContentLength = 100_000_001
	r.Header.Del("Content-Length")
	if w := k.do(resign(t, r)); w.Code != 413 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := k.do(sign(t, form(strings.Repeat("a=b&", 300_000)), "sts", strings.Repeat("a=b&", 300_000))); w.Code != 413 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestTimes reads the forms in which clients write timestamps.
func TestTimes(t *testing.T) {
	svc := served(&agentcore.Service)
	k := newKit(t, &agentcorecontrol.Service, svc)
	var got *time.Time
	k.serve["CreateEvent"] = func(_ context.Context, in any) (any, error) {
		got = in.(*agentcore.CreateEventInput).EventTimestamp
		return &agentcore.CreateEventOutput{}, nil
	}
	want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, offset := range map[string]time.Duration{
		`1767323045`: 0, `1767323045.25`: 250 * time.Millisecond, `1.767323045e9`: 0, `"2026-01-02T03:04:05Z"`: 0,
		`"2026-01-02T03:04:05.250Z"`: 250 * time.Millisecond, `"2026-01-02T05:04:05+02:00"`: 0, `"Fri, 02 Jan 2026 03:04:05 GMT"`: 0, `"1767323045"`: 0,
	} {
		got = nil
		w := k.call(t, "bedrock-agentcore", "POST", "/memories/mem-1234567890/events", `{"actorId":"a","payload":[],"eventTimestamp":`+text+`}`)
		if w.Code != svc.Operation("CreateEvent").Status || got == nil || !got.Equal(want.Add(offset)) {
			t.Errorf("%s: %d %s, read as %v", text, w.Code, w.Body, got)
		}
	}
	for _, text := range []string{`"yesterday"`, `1e300`, `true`, `"NaN"`, `"0x10"`, `-1e13`, `""`} {
		w := k.call(t, "bedrock-agentcore", "POST", "/memories/mem-1234567890/events", `{"actorId":"a","payload":[],"eventTimestamp":`+text+`}`)
		if w.Code != 400 || !strings.Contains(w.Body.String(), "Value at 'eventTimestamp' cannot be parsed") {
			t.Errorf("%s: %d %s", text, w.Code, w.Body)
		}
	}
}

// TestNumbers reads floating-point numbers and their names.
func TestNumbers(t *testing.T) {
	type input struct{ X *float64 }
	for text, want := range map[string]float64{`1`: 1, `1.5e3`: 1500, `"NaN"`: math.NaN(), `"Infinity"`: math.Inf(1), `"-Infinity"`: math.Inf(-1)} {
		var in input
		err := protocol.UnmarshalJSON(numbers, 0, []byte(`{"X":`+text+`}`), &in)
		if err != nil || in.X == nil || *in.X != want && !math.IsNaN(want) || math.IsNaN(want) != math.IsNaN(*in.X) {
			t.Errorf("%s: %v %v", text, in.X, err)
			continue
		}
		b, err := protocol.MarshalJSON(numbers, 0, &in, false)
		if text == `1.5e3` {
			text = "1500"
		}
		if string(b) != `{"X":`+text+`}` {
			t.Errorf("%s is written %s, %v", text, b, err)
		}
	}
	for _, text := range []string{`"inf"`, `"0x1p-2"`, `1e400`, `"1_0"`, `{}`} {
		if err := protocol.UnmarshalJSON(numbers, 0, []byte(`{"X":`+text+`}`), &input{}); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

// TestHeaderBinding takes what stands in headers and the query as text.
func TestHeaderBinding(t *testing.T) {
	k := newKit(t)
	var got *agentcore.InvokeAgentRuntimeRequest
	k.serve["InvokeAgentRuntime"] = func(_ context.Context, in any) (any, error) {
		got = in.(*agentcore.InvokeAgentRuntimeRequest)
		return &agentcore.InvokeAgentRuntimeResponse{}, nil
	}
	session := strings.Repeat("s", 33)
	r := newRequest("POST", "/runtimes/"+escapeLabel(testARN)+"/invocations?qualifier=a%20b%2Bc&qualifier=second", "any \xff bytes")
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
	r.Header.Set("Content-Type", "text/plain")
	w := k.do(sign(t, r, "bedrock-agentcore", "any \xff bytes"))
	if w.Code != 200 || *got.Qualifier != "a b+c" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	r = newRequest("POST", "/runtimes/"+escapeLabel(testARN)+"/invocations", "any \xff bytes")
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
	r.Header.Set("Content-Type", "text/plain")
	if w = k.do(sign(t, r, "bedrock-agentcore", "any \xff bytes")); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if *got.AgentRuntimeArn != testARN || *got.RuntimeSessionId != session || *got.ContentType != "text/plain" || got.Qualifier != nil || readAll(t, got.Payload) != "any \xff bytes" {
		t.Errorf("%+v", got)
	}
}

// TestBadQuery refuses query strings and their numbers.
func TestBadQuery(t *testing.T) {
	k := newKit(t)
	for target, want := range map[string]string{
		"/runtimes/?maxResults=ten": "Value at 'maxResults' cannot be parsed: expected a whole number, found \\\"ten\\\"",
		"/runtimes/?maxResults=0":   "Value '0' at 'maxResults' failed to satisfy constraint",
		"/runtimes/?maxResults=":    "Value at 'maxResults' cannot be parsed",
		"/runtimes/?maxResults=1":   "",
		"/runtimes/?other=1&x":      "",
	} {
		w := k.call(t, "bedrock-agentcore", "POST", target, "")
		if (w.Code == 200) != (want == "") || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %s", target, w.Code, w.Body, want)
		}
	}
}

// TestInputsAreFresh makes sure that a handler owns its input.
func TestInputsAreFresh(t *testing.T) {
	op := agentcorecontrol.Service.Operation("CreateAgentRuntime")
	if a, b := op.NewInput(), op.NewInput(); reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() {
		t.Error("two calls share an input")
	}
}

// numbers is a service with one structure of one number.
var numbers = &schema.Service{Shapes: []schema.Shape{
	{Name: "Input", Kind: schema.Structure, Members: []schema.Member{{Name: "X", Wire: "X", Shape: 1}}},
	{Name: "Double", Kind: schema.Double},
}}
