package function_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/gateway/function"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

const schema = `[
 {"name":"get_weather","description":"Get weather","inputSchema":{"type":"object","properties":{"location":{"type":"string","enum":["Kobe"]}},"required":["location"]}},
 {"name":"get_time","description":"Get time","inputSchema":{"type":"object"},"outputSchema":{"type":"object"}}
]`

type functions struct {
	got    function.Invocation
	answer function.Answer
	err    error
}

func (f *functions) Invoke(_ context.Context, in function.Invocation) (function.Answer, error) {
	f.got = in
	return f.answer, f.err
}

func open(t *testing.T, f *functions, change func(*target.Source)) target.Server {
	t.Helper()
	s := target.Source{
		Gateway: "g-0123456789", GatewayARN: "arn:g", Role: "arn:role", ID: "TARGET0001", Name: "T1", Schema: []byte(schema),
		Config: &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{Lambda: &agentcorecontrol.McpLambdaTargetConfiguration{LambdaArn: wire.Optional("arn:f")}}},
	}
	if change != nil {
		change(&s)
	}
	d := &function.Driver{Functions: f}
	c, err := d.Catalogue(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if string(s.Schema) == schema && (len(c.Tools) != 2 || string(c.Tools[0].InputSchema) != `{"type":"object","properties":{"location":{"type":"string","enum":["Kobe"]}},"required":["location"]}`) {
		t.Errorf("%+v", c.Tools)
	}
	server, err := d.Open(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// TestOtherOutput: a tool that says that it returns no object is taken, as at AWS, and shown
// without that.
func TestOtherOutput(t *testing.T) {
	tools := []byte(`[{"name":"list","description":"d","inputSchema":{"type":"object"},"outputSchema":{"type":"array","items":{"type":"string"}}},
		{"name":"get","description":"d","inputSchema":{"type":"object"},"outputSchema":{"type":"object"}}]`)
	c, err := (&function.Driver{}).Catalogue(t.Context(), target.Source{Schema: tools})
	if err != nil || len(c.Tools) != 2 || c.Tools[0].OutputSchema != nil || string(c.Tools[1].OutputSchema) != `{"type":"object"}` {
		t.Errorf("%+v, %v", c.Tools, err)
	}
	bad := []byte(`[{"name":"list","description":"d","inputSchema":{"type":"array"},"outputSchema":"text"}]`)
	_, err = (&function.Driver{}).Catalogue(t.Context(), target.Source{Schema: bad})
	unfit, ok := errors.AsType[*target.Unfit](err)
	if want := []string{`toolSchema/0/inputSchema: the schema's type is "array"; what a tool takes is an "object"`, "toolSchema/0/outputSchema: the schema is no object"}; !ok || !slices.Equal(unfit.Reasons, want) {
		t.Error(err)
	}
}

func TestCall(t *testing.T) {
	f := &functions{answer: function.Answer{Payload: []byte(`{"statusCode":200,"body":"{\"time\":\"2:30 PM\"}"}`)}}
	s := open(t, f, nil)
	got, err := s.Call(t.Context(), target.Call{RequestID: "r-1", MessageID: "2", Tool: "get_weather", Arguments: json.RawMessage(`{"location":"Kobe"}`), Header: http.Header{"X-Secret": {"no"}}})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"isError":false,"content":[{"type":"text","text":"{\"statusCode\":200,\"body\":\"{\\\"time\\\":\\\"2:30 PM\\\"}\"}"}]}`; string(got.Body) != want {
		t.Errorf("%s\nwant %s", got.Body, want)
	}
	if f.got.Function != "arn:f" || f.got.Role != "arn:role" || string(f.got.Payload) != `{"location":"Kobe"}` {
		t.Errorf("%+v", f.got)
	}
	plain, err := base64.StdEncoding.DecodeString(f.got.Context)
	want := `{"custom":{"bedrockAgentCoreMessageVersion":"1.0","bedrockAgentCoreAwsRequestId":"r-1","bedrockAgentCoreMcpMessageId":"2","bedrockAgentCoreGatewayId":"g-0123456789","bedrockAgentCoreTargetId":"TARGET0001","bedrockAgentCoreToolName":"T1___get_weather"}}`
	if err != nil || string(plain) != want {
		t.Errorf("%s, %v", plain, err)
	}
	f.answer.Payload = []byte(`{"time":1}`)
	if got, err = s.Call(t.Context(), target.Call{Tool: "get_time"}); err != nil || string(got.Body) != `{"isError":false,"content":[{"type":"text","text":"{\"time\":1}"}],"structuredContent":{"time":1}}` || string(f.got.Payload) != "{}" {
		t.Errorf("%s, %v", got.Body, err)
	}
}

// TestOutput: an answer that is not what the tool says is an error with the answer in it.
func TestOutput(t *testing.T) {
	f := &functions{}
	s := open(t, f, func(s *target.Source) {
		s.Schema = []byte(`[{"name":"odd","description":"d","inputSchema":{"type":"object"},"outputSchema":{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}},
			{"name":"vague","description":"d","inputSchema":{"type":"object"},"outputSchema":{"type":"object","properties":7}}]`)
	})
	for _, tt := range []struct{ tool, payload, want string }{
		{"odd", `{"a":"x"}`, `{"isError":false,"content":[{"type":"text","text":"{\"a\":\"x\"}"}],"structuredContent":{"a":"x"}}`},
		{"odd", `{"b":1}`, `{"isError":true,"content":[{"type":"text","text":"The answer of tool odd does not fit its outputSchema: required: missing properties: [\"a\"]. The answer is: {\"b\":1}"}]}`},
		{"odd", `"x"`, `{"isError":true,"content":[{"type":"text","text":"The answer of tool odd does not fit its outputSchema: it is a string, and no object. The answer is: \"x\""}]}`},
		{"odd", ``, `{"isError":true,"content":[{"type":"text","text":"The answer of tool odd does not fit its outputSchema: it is null, and no object. The answer is: null"}]}`},
		{"vague", `{"b":1}`, `{"isError":false,"content":[{"type":"text","text":"{\"b\":1}"}],"structuredContent":{"b":1}}`},
	} {
		f.answer.Payload = []byte(tt.payload)
		if got, err := s.Call(t.Context(), target.Call{Tool: tt.tool}); err != nil || string(got.Body) != tt.want {
			t.Errorf("%s %s: %s %v\nwant %s", tt.tool, tt.payload, got.Body, err, tt.want)
		}
	}
}

// TestHeaders: what a target lets through reaches the function, and comes back.
func TestHeaders(t *testing.T) {
	f := &functions{answer: function.Answer{Payload: []byte(`{"statusCode":200,"headers":{"x-total":"7","set-cookie":"no"},"body":"done"}`)}}
	s := open(t, f, func(s *target.Source) {
		s.Metadata = &agentcorecontrol.MetadataConfiguration{AllowedRequestHeaders: []string{"X-Tenant"}, AllowedQueryParameters: []string{"v"}, AllowedResponseHeaders: []string{"X-Total"}}
	})
	got, err := s.Call(t.Context(), target.Call{Tool: "get_weather", Header: http.Header{"X-Tenant": {"a"}}, Query: map[string][]string{"v": {"1"}}})
	if err != nil || len(got.Header) != 1 || got.Header.Get("X-Total") != "7" || !strings.Contains(string(got.Body), `"text":"done"`) {
		t.Errorf("%s %v %v", got.Body, got.Header, err)
	}
	plain, err := base64.StdEncoding.DecodeString(f.got.Context)
	if err != nil || !strings.Contains(string(plain), `"bedrockAgentCorePropagatedHeaders":{"X-Tenant":"a"},"bedrockAgentCorePropagatedQueryParameters":{"v":"1"}`) {
		t.Errorf("%s, %v", plain, err)
	}
	for payload, want := range map[string]string{
		`{"statusCode":500,"headers":{"x-total":"0"},"body":"no room"}`: `{"isError":true,"content":[{"type":"text","text":"no room"}]}`,
		`{"statusCode":404,"body":{"error":"none"}}`:                    `{"isError":true,"content":[{"type":"text","text":"{\"error\":\"none\"}"}]}`,
		`{"statusCode":399,"body":{"a":1}}`:                             `{"isError":false,"content":[{"type":"text","text":"{\"a\":1}"}],"structuredContent":{"a":1}}`,
	} {
		f.answer.Payload = []byte(payload)
		if got, err := s.Call(t.Context(), target.Call{Tool: "get_time"}); err != nil || string(got.Body) != want {
			t.Errorf("%s: %s %v\nwant %s", payload, got.Body, err, want)
		}
	}
}

func TestFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		f    functions
		want string
	}{
		"denied":  {functions{err: function.ErrDenied}, "Access denied while invoking Lambda function arn:f. Check the permissions on the Lambda function and Gateway execution role, and retry the request."},
		"gone":    {functions{err: function.ErrNone}, "Lambda function arn:f not found"},
		"failed":  {functions{answer: function.Answer{Failed: true, Payload: []byte(`{"errorType":"KeyError","errorMessage":"'x'","stackTrace":["secret"]}`)}}, "Lambda function arn:f failed: KeyError: 'x'"},
		"no JSON": {functions{answer: function.Answer{Failed: true, Payload: []byte(`oops`)}}, "Lambda function arn:f failed: it gave no reason"},
		"broken":  {functions{err: errors.New("disk")}, "Lambda function arn:f could not be invoked"},
	} {
		_, err := open(t, &tt.f, nil).Call(t.Context(), target.Call{Tool: "get_time"})
		if f, ok := errors.AsType[*target.Failure](err); !ok || f.Text != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestProblem: a function that is not there, or not for the role, is one.
func TestProblem(t *testing.T) {
	s := target.Source{Gateway: "g-0123456789", GatewayARN: "arn:g", Role: "arn:role"}
	for err, want := range map[error]string{
		nil: "", errors.New("not yet active"): "",
		fmt.Errorf("%w: no", function.ErrNone): "is not there. Calls fail until it is.",
		function.ErrDenied:                     "cannot be invoked by the role arn:role. Calls fail until a policy, the role's or the function's, allows lambda:InvokeFunction.",
	} {
		f := &functions{err: err}
		if got := function.Problem(t.Context(), f, s, "arn:f"); got != want || !f.got.DryRun || f.got.Role != "arn:role" || f.got.Gateway != "arn:g" || f.got.Function != "arn:f" {
			t.Errorf("%v: %q %+v", err, got, f.got)
		}
	}
}

func TestUnfit(t *testing.T) {
	for text, want := range map[string]string{
		`[]`: "toolSchema has no tools",
		`{}`: `toolSchema is no JSON list of tool definitions: it is of another type. Write [{"name", "description", "inputSchema"}, ...]`,
		`[{"description":"x","inputSchema":{"type":"object"}}]`:            "toolSchema/0: the tool has no name",
		`[{"name":"a","inputSchema":{"type":"object"}}]`:                   "toolSchema/0: the tool 'a' has no description, by which models choose",
		`[{"name":"a","description":"x"}]`:                                 `toolSchema/0/inputSchema: there is no schema. Write {"type": "object", "properties": {...}}`,
		`[{"name":"a","description":"x","inputSchema":{"type":"string"}}]`: `toolSchema/0/inputSchema: the schema's type is "string"; what a tool takes is an "object"`,
		`[{"name":"a","description":"x","inputSchema":{"type":"object"}},{"name":"a","description":"y","inputSchema":{"type":"object"}}]`: "toolSchema/1: the name 'a' is that of toolSchema/0 too",
		`[{"name":"a","description":"x","inputSchema":{"type":"object","x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}}]`:  "toolSchema/0/inputSchema: the schema is nested deeper than 64",
	} {
		_, err := (&function.Driver{}).Catalogue(t.Context(), target.Source{Schema: []byte(text)})
		if u, ok := errors.AsType[*target.Unfit](err); !ok || u.Reasons[0] != want {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}

func FuzzCatalogue(f *testing.F) {
	f.Add([]byte(schema))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := (&function.Driver{}).Catalogue(t.Context(), target.Source{Schema: text})
		for _, tl := range c.Tools {
			if err != nil || !json.Valid(tl.InputSchema) {
				t.Errorf("%+v %v", tl, err)
			}
		}
	})
}
