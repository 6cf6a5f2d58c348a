package upstream

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// TestMoreInput is a server of 2026-07-28 that wants to know more before it answers.
func TestMoreInput(t *testing.T) {
	url, posts := sdkServer(t, nil, mcp.StreamableHTTPOptions{Stateless: true})
	s, _ := open(t, Config{}, source(url))
	if _, err := s.Call(t.Context(), target.Call{Tool: "echo1", Session: "s", Arguments: json.RawMessage(`{"text":""}`)}); err != nil {
		t.Fatal(err)
	}
	s.loose.Wait()
	before := posts.Load()
	capable := json.RawMessage(`{"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}`)
	got, err := s.Call(t.Context(), target.Call{Tool: "ask", Arguments: json.RawMessage(`{"text":""}`), Version: modern, Meta: capable})
	if err != nil || resultType(got.Body) != "input_required" || !strings.Contains(string(got.Body), `"requestState":"state-1"`) {
		t.Fatalf("first round: %s, %v", got.Body, err)
	}
	got, err = s.Call(t.Context(), target.Call{Tool: "ask", Arguments: json.RawMessage(`{"text":""}`), Version: modern, Meta: capable, Params: map[string]json.RawMessage{
		"requestState":   json.RawMessage(`"state-1"`),
		"inputResponses": json.RawMessage(`{"who":{"action":"accept","content":{"name":"Ann"}}}`),
	}})
	if err != nil || text(t, got.Body) != "hello Ann state-1" {
		t.Errorf("second round: %s, %v", got.Body, err)
	}

	c := &client{reply: func(string, json.RawMessage) (json.RawMessage, error) {
		return json.RawMessage(`{"action":"accept","content":{"name":"Bob"}}`), nil
	}}
	got, err = s.Call(t.Context(), target.Call{Tool: "ask", Arguments: json.RawMessage(`{"text":""}`), Version: legacy, Session: "s", Capabilities: json.RawMessage(`{"elicitation":{}}`), Client: c})
	if err != nil || text(t, got.Body) != "hello Bob state-1" || len(c.asked) != 1 || c.asked[0] != "elicitation/create" {
		t.Errorf("older caller: %s, %v; asked %q", got.Body, err, c.asked)
	}
	if n := posts.Load() - before; n != 4 {
		t.Errorf("%d requests for 2 calls in 2 rounds each", n)
	}
	if _, err := s.Call(t.Context(), target.Call{Tool: "ask", Arguments: json.RawMessage(`{"text":""}`), Version: legacy}); kindOf(err) != typeInput && kindOf(err) != "*target.Error" {
		t.Errorf("who cannot be asked: %v", err)
	}
	c.reply = func(string, json.RawMessage) (json.RawMessage, error) {
		return nil, &target.Error{Code: -1, Message: "no"}
	}
	var rpc *target.Error
	if _, err := s.Call(t.Context(), target.Call{Tool: "ask", Arguments: json.RawMessage(`{"text":""}`), Version: legacy, Session: "s", Capabilities: json.RawMessage(`{"elicitation":{}}`), Client: c}); !errors.As(err, &rpc) || rpc.Code != -1 {
		t.Errorf("who refuses: %v", err)
	}
}

func TestEndlessQuestions(t *testing.T) {
	s := modernServer(t, answers{"tools/call": func(w http.ResponseWriter, _ *http.Request, m envelope) {
		reply(w, m, `{"resultType":"input_required","inputRequests":{},"requestState":"x"}`)
	}})
	_, err := s.Call(t.Context(), target.Call{Tool: "t", Client: &client{}, Session: "s"})
	if kindOf(err) != typeInput || !strings.Contains(err.Error(), "10 times") {
		t.Errorf("%v", err)
	}
}

// TestOddQuestions are results that ask for what nobody can be asked for.
func TestOddQuestions(t *testing.T) {
	for result, want := range map[string]string{
		`{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"},"b":7}}`: typeMalformed,
		`{"resultType":"input_required","inputRequests":[]}`:                                  typeMalformed,
		`{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"}}}`:       typeInput,
	} {
		s := modernServer(t, answers{"tools/call": func(w http.ResponseWriter, _ *http.Request, m envelope) { reply(w, m, result) }})
		c := &client{reply: func(string, json.RawMessage) (json.RawMessage, error) { return nil, errors.New("no session") }}
		if _, err := s.Call(t.Context(), target.Call{Tool: "t", Client: c, Session: "s"}); kindOf(err) != want {
			t.Errorf("%s: %v, want %s", result, err, want)
		}
		if got, err := s.Call(t.Context(), target.Call{Tool: "t", Version: modern}); err != nil || string(got.Body) != result {
			t.Errorf("a caller who knows: %s, %v", got.Body, err)
		}
	}
}

// modernServer is a target of 2026-07-28.
func modernServer(t *testing.T, a answers) *server {
	t.Helper()
	a["server/discover"] = func(w http.ResponseWriter, _ *http.Request, m envelope) {
		reply(w, m, `{"resultType":"complete","supportedVersions":["2027-01-01","2026-07-28"],"capabilities":{"tools":{}}}`)
	}
	s, _ := open(t, Config{Version: "9"}, source(serve(t, &script{t: t, answers: a}).URL))
	return s
}

// TestOutdated: callers of older revisions are not told what is the newest's alone, and
// those of the newest get what the server says.
func TestOutdated(t *testing.T) {
	for result, want := range map[string]string{
		`{"resultType":"complete","content":[],"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}}}`:                           `{"content":[]}`,
		`{ "content": [{"text":"\"resultType\""}], "resultType":"complete" , "_meta":{"a":1,"io.modelcontextprotocol/serverInfo":{}}}`: `{"content":[{"text":"\"resultType\""}],"_meta":{"a":1}}`,
		`{"content": [], "_meta":{}}`:                   `{"content": [], "_meta":{}}`,
		`{"resultType":"complete","_meta":{},"x":"ü<"}`: `{"_meta":{},"x":"ü<"}`,
		`{"resultType":"complete","_meta":7}`:           `{"_meta":7}`,
		`{"resultType":"complete"}`:                     `{}`,
	} {
		s := modernServer(t, answers{"tools/call": func(w http.ResponseWriter, _ *http.Request, m envelope) { reply(w, m, result) }})
		for version, want := range map[string]string{legacy: want, modern: result} {
			if got, err := s.Call(t.Context(), target.Call{Tool: "x", Version: version}); err != nil || string(got.Body) != want {
				t.Errorf("%s: %s, %v; want %s", version, got.Body, err, want)
			}
		}
	}
}

const marking = `{"type":"object","properties":{
	"region":{"type":"string","x-mcp-header":"Region"},
	"at":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"},"b":{"type":"boolean","x-mcp-header":"B"}}}}}`

// TestModernRequest holds what a server of 2026-07-28 is sent.
func TestModernRequest(t *testing.T) {
	var got seen
	a := answers{
		"tools/list": func(w http.ResponseWriter, _ *http.Request, m envelope) {
			reply(w, m, `{"tools":[{"name":"größe","inputSchema":`+marking+`},{"name":"bad","inputSchema":{"properties":{"x":{"type":"number","x-mcp-header":"X"}}}}]}`)
		},
		"tools/call": func(w http.ResponseWriter, r *http.Request, m envelope) {
			got = seen{header: r.Header.Clone(), envelope: m}
			reply(w, m, `{"resultType":"complete","content":[]}`)
		},
	}
	s := modernServer(t, a)
	_, err := s.Call(t.Context(), target.Call{Tool: "größe", Version: modern,
		Arguments: json.RawMessage(`{"region":" eu ","at":{"n":42.0,"b":true}}`),
		Meta:      json.RawMessage(`{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"me","version":"1"},"io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"io.modelcontextprotocol/logLevel":"info"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"name":"größe","arguments":{"region":" eu ","at":{"n":42.0,"b":true}},"_meta":{"io.modelcontextprotocol/logLevel":"info","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"me","version":"1"},"io.modelcontextprotocol/clientCapabilities":{"sampling":{}}}}`; string(got.Params) != want {
		t.Errorf("params\n%s, want\n%s", got.Params, want)
	}
	for name, want := range map[string]string{
		"Mcp-Protocol-Version": modern, "Mcp-Method": "tools/call", "Mcp-Name": "=?base64?Z3LDtsOfZQ==?=", "Mcp-Session-Id": "",
		"Mcp-Param-Region": "=?base64?IGV1IA==?=", "Mcp-Param-N": "42", "Mcp-Param-B": "true",
	} {
		if v := got.header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if _, err := s.Call(t.Context(), target.Call{Tool: "größe", Version: legacy, Arguments: json.RawMessage(`{"region":null}`)}); err != nil {
		t.Fatal(err)
	}
	if v, ok := got.header["Mcp-Param-Region"]; ok {
		t.Errorf("a header for null: %q", v)
	}
	if want := `"io.modelcontextprotocol/clientInfo":{"name":"outcrop","title":"Outcrop","version":"9"},"io.modelcontextprotocol/clientCapabilities":{}}`; !strings.Contains(string(got.Params), want) {
		t.Errorf("of an older caller: %s", got.Params)
	}
	c, err := New(Config{Client: local()}).Catalogue(t.Context(), source(s.endpoint.String()))
	if err != nil || len(c.Tools) != 1 || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "tool bad is left out: x-mcp-header of x") {
		t.Errorf("%d tools, %q, %v", len(c.Tools), c.Warnings, err)
	}
}

func TestMarks(t *testing.T) {
	for in, want := range map[string]string{
		`{"properties":{"a":{"type":"string","x-mcp-header":""}}}`:                                                    "is not the end of a header's name",
		`{"properties":{"a":{"type":"string","x-mcp-header":"A B"}}}`:                                                 "is not the end of a header's name",
		`{"properties":{"a":{"type":"string","x-mcp-header":7}}}`:                                                     "is not the end of a header's name",
		`{"properties":{"a":{"type":["string"],"x-mcp-header":"A"}}}`:                                                 "is not at a string",
		`{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}`:          "is given twice",
		strings.Repeat(`{"properties":{"a":`, 40) + `{"x-mcp-header":"A","type":"string"}` + strings.Repeat("}}", 40): "more than 16 deep",
		`{"type":"string","x-mcp-header":"A"}`:                                                                        "is not at a string",
		`{"properties":{"a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}}`:                          "",
		`{"properties":true,"x-mcp-header":"A"}`:                                                                      "",
		`{"properties":{"x-mcp-header":{"type":"string"}}}`:                                                           "",
	} {
		_, err := tool.Mirrors(json.RawMessage(in))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.80s: %v, want %s", in, err, want)
		}
	}
}

// TestRequests holds what other requests become.
func TestRequests(t *testing.T) {
	var got seen
	note := func(w http.ResponseWriter, r *http.Request, m envelope) {
		got = seen{header: r.Header.Clone(), envelope: m}
		reply(w, m, `{"resultType":"complete"}`)
	}
	s := modernServer(t, answers{"prompts/get": note, "resources/read": note, "completion/complete": note})
	for _, c := range []struct{ method, params, name, want string }{
		{"prompts/get", `{"name":"p\u0041","arguments":{"a":1},"_meta":{"x":1}}`, "pA", `{"name":"p\u0041","arguments":{"a":1},"_meta":{"x":1,`},
		{"prompts/get", `{"name":"p","Name":"q","arguments":{"a":1},"argumentſ":{"a":2},"_META":{}}`, "p", `{"name":"p","arguments":{"a":1},"_meta":{"io.`},
		{"resources/read", ` {"uri":"file:///a","requestState":"s"}`, "file:///a", `{"uri":"file:///a","requestState":"s","_meta":{"io.`},
		{"completion/complete", `{"name":"no"}`, "", `{"name":"no","_meta":{`},
		{"completion/complete", ``, "", `{"_meta":{`},
		{"completion/complete", `null`, "", `{"_meta":{`},
		{"completion/complete", `{"_meta":null}`, "", `{"_meta":{`},
	} {
		if _, err := s.Request(t.Context(), c.method, json.RawMessage(c.params), target.Call{Version: modern}); err != nil {
			t.Errorf("%s: %v", c.params, err)
			continue
		}
		if !strings.HasPrefix(string(got.Params), c.want) || got.header.Get("Mcp-Name") != c.name || got.header.Get("Mcp-Method") != c.method {
			t.Errorf("%s %s becomes %s, named %q", c.method, c.params, got.Params, got.header.Get("Mcp-Name"))
		}
	}
	var rpc *target.Error
	if _, err := s.Request(t.Context(), "prompts/get", json.RawMessage(`[1]`), target.Call{}); !errors.As(err, &rpc) || rpc.Code != -32602 {
		t.Errorf("%v", err)
	}
}
