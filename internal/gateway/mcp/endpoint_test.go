package mcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/mcp"
	"github.com/outcrop/outcrop/internal/gateway/search"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
)

// echo is a target whose tools say what they were called with.
type echo struct {
	calls []target.Call
	fail  error
	body  string
	while func(context.Context, target.Call)
}

func (e *echo) Call(ctx context.Context, c target.Call) (target.Result, error) {
	e.calls = append(e.calls, c)
	if e.while != nil {
		e.while(ctx, c)
	}
	if e.fail != nil {
		return target.Result{}, e.fail
	}
	body := e.body
	if body == "" {
		body = `{"content":[{"type":"text","text":"ok"}],"isError":false}`
	}
	return target.Result{Body: json.RawMessage(body)}, nil
}

func (*echo) Close() error { return nil }

// kit is an endpoint with one gateway of two targets.
type kit struct {
	testing.TB
	e    *mcp.Endpoint
	v    *gateway.View
	one  *echo
	two  *echo
	now  time.Time
	call target.Caller
	log  bytes.Buffer
	// leave has the caller of the request that runs hang up.
	leave context.CancelFunc
	// again are the calls that came with another, and denied what becomes of the next one.
	again  int
	denied error
}

// Again implements mcp.Call.
func (k *kit) Again(_ context.Context, needs ...auth.Requirement) (string, error) {
	k.again++
	if len(needs) != 1 || needs[0] != need {
		k.Errorf("asked for %+v", needs)
	}
	return fmt.Sprint("req-1-", k.again), k.denied
}

var need = auth.Requirement{Action: "bedrock-agentcore:InvokeGateway", Resource: "arn:g"}

func newKit(t testing.TB) *kit {
	k := &kit{TB: t, one: &echo{}, two: &echo{}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), call: target.Caller{Issuer: "https://i.example", Subject: "alice"}}
	k.v = &gateway.View{Scope: store.Scope{Account: "123456789012", Region: "us-east-1"}, ID: "g-0123456789", Instructions: "Ask me."}
	k.add("T2", k.one, "get_time", "get_weather")
	k.add("T1", k.two, "send")
	var entries []search.Entry
	for _, t := range k.v.Tools {
		entries = append(entries, search.Entry{ID: t.Name, Tool: *t.Tool})
	}
	k.v.Finder = search.NewVectors(search.Config{Log: slog.New(slog.DiscardHandler), Now: time.Now}).Finder(k.v.ID, entries)
	k.e = mcp.New(mcp.Config{
		Box: secrettest.Box(t), Now: func() time.Time { return k.now }, Log: slog.New(slog.NewTextHandler(&k.log, nil)),
		Changed: func() <-chan struct{} { return make(chan struct{}) },
		Latest:  func(context.Context, string) (*gateway.View, error) { return k.v, nil },
	})
	return k
}

func (k *kit) add(name string, s target.Server, tools ...string) {
	t := &gateway.Target{Source: target.Source{ID: strings.ToUpper(name) + "ABCDEFGH", Name: name}, Server: s}
	for _, own := range tools {
		t.Catalogue.Tools = append(t.Catalogue.Tools, tool.Tool{Name: own, Description: "does " + own, InputSchema: json.RawMessage(`{"type":"object"}`)})
	}
	k.v.Targets = append(k.v.Targets, t)
	for i := range t.Catalogue.Tools {
		own := &t.Catalogue.Tools[i]
		shown := *own
		shown.Name = tool.Prefixed(name, own.Name)
		b, err := json.Marshal(shown)
		if err != nil {
			k.Fatal(err)
		}
		k.v.Tools = append(k.v.Tools, gateway.Tool{Name: shown.Name, Target: t, Tool: own, JSON: b})
	}
}

// send sends a request with headers, "name: value" each.
func (k *kit) send(method, body string, headers ...string) *httptest.ResponseRecorder {
	k.Helper()
	w := httptest.NewRecorder()
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	for i, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if slices.ContainsFunc(headers[:i], func(before string) bool { return strings.HasPrefix(before, name+": ") }) {
			h.Add(name, value)
		} else {
			h.Set(name, value)
		}
	}
	ctx, leave := context.WithCancel(k.Context())
	defer leave()
	k.leave = leave
	r := httptest.NewRequestWithContext(ctx, method, "/mcp", nil)
	k.e.Handler(mcp.Request{View: k.v, Caller: k.call, ID: "req-1", Method: method, Header: h, Body: strings.NewReader(body), Call: k, Needs: need}).ServeHTTP(w, r)
	return w
}

func TestMessages(t *testing.T) {
	const modern = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	tests := map[string]struct {
		body    string
		headers []string
		status  int
		want    string
	}{
		"initialize": {
			`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`, nil, 200,
			`{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"agentcore-gateway","version":"1.0.0"},"instructions":"Ask me."}}`,
		},
		"initialize of another revision": {
			`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"1999-01-01"}}`, nil, 200,
			`{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"agentcore-gateway","version":"1.0.0"},"instructions":"Ask me."}}`,
		},
		"notification": {`{"jsonrpc":"2.0","method":"notifications/initialized"}`, nil, 202, ``},
		"null params":  {`{"jsonrpc":"2.0","id":"a","method":"ping","params":null}`, nil, 200, `{"jsonrpc":"2.0","id":"a","result":{}}`},
		"ping":         {`{"jsonrpc":"2.0","id":"a","method":"ping"}`, nil, 200, `{"jsonrpc":"2.0","id":"a","result":{}}`},
		"list": {
			`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`, nil, 200,
			`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"x_amz_bedrock_agentcore_search","description":"A special tool that returns a trimmed down list of tools given a context. Use this tool only when there are many tools available and you want to get a subset that matches the provided context.","inputSchema":{"type":"object","properties":{"query":{"type":"string","description":"search query"}},"required":["query"]}},` +
				`{"name":"T2___get_time","description":"does get_time","inputSchema":{"type":"object"}},{"name":"T2___get_weather","description":"does get_weather","inputSchema":{"type":"object"}},{"name":"T1___send","description":"does send","inputSchema":{"type":"object"}}]}}`,
		},
		"call": {
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"T2___get_time","arguments":{"timezone":"UTC"}}}`, nil, 200,
			`{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"ok"}],"isError":false}}`,
		},
		"call of nothing": {
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"T2___nothing"}}`, nil, 200,
			`{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"Unknown tool: T2___nothing"}}`,
		},
		"search": {
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x_amz_bedrock_agentcore_search","arguments":{"query":"weather"}}}`, nil, 200,
			`{"jsonrpc":"2.0","id":2,"result":{"isError":false,"content":[{"type":"text","text":"{\"tools\":[{\"name\":\"T2___get_weather\",\"description\":\"does get_weather\",\"inputSchema\":{\"type\":\"object\"}},{\"name\":\"T2___get_time\",\"description\":\"does get_time\",\"inputSchema\":{\"type\":\"object\"}},{\"name\":\"T1___send\",\"description\":\"does send\",\"inputSchema\":{\"type\":\"object\"}}]}"}],"structuredContent":{"tools":[{"name":"T2___get_weather","description":"does get_weather","inputSchema":{"type":"object"}},{"name":"T2___get_time","description":"does get_time","inputSchema":{"type":"object"}},{"name":"T1___send","description":"does send","inputSchema":{"type":"object"}}]}}}`,
		},
		"search by words of no tool": {
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x_amz_bedrock_agentcore_search","arguments":{"query":"is it going to happen"}}}`, nil, 200,
			`{"jsonrpc":"2.0","id":2,"result":{"isError":false,"content":[{"type":"text","text":"{\"tools\":[{\"name\":\"T2___get_time\",\"description\":\"does get_time\",\"inputSchema\":{\"type\":\"object\"}},{\"name\":\"T2___get_weather\",\"description\":\"does get_weather\",\"inputSchema\":{\"type\":\"object\"}},{\"name\":\"T1___send\",\"description\":\"does send\",\"inputSchema\":{\"type\":\"object\"}}]}"}],"structuredContent":{"tools":[{"name":"T2___get_time","description":"does get_time","inputSchema":{"type":"object"}},{"name":"T2___get_weather","description":"does get_weather","inputSchema":{"type":"object"}},{"name":"T1___send","description":"does send","inputSchema":{"type":"object"}}]}}}`,
		},
		"unknown method":       {`{"jsonrpc":"2.0","id":2,"method":"logging/setLevel"}`, nil, 200, `{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found: logging/setLevel"}}`},
		"unknown revision":     {`{"jsonrpc":"2.0","id":2,"method":"ping"}`, []string{"Mcp-Protocol-Version: 2030-01-01"}, 400, `{"jsonrpc":"2.0","id":2,"error":{"code":-32022,"message":"Revision '2030-01-01' of MCP is not spoken here. This gateway speaks 2025-03-26, 2025-06-18, 2025-11-25, 2026-07-28","data":{"requested":"2030-01-01","supported":["2025-03-26","2025-06-18","2025-11-25","2026-07-28"]}}}`},
		"not JSON":             {`{"jsonrpc":`, nil, 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"The request is not JSON: unexpected EOF"}}`},
		"nobody asked":         {`{"jsonrpc":"2.0","id":2,"result":{}}`, nil, 200, `{"jsonrpc":"2.0","id":2,"error":{"code":-32600,"message":"Nothing was asked of you under this id, or somebody has answered"}}`},
		"stateless, a call":    {`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"T1___send",` + modern + `}}`, []string{"Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: T1___send"}, 200, `{"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","content":[{"type":"text","text":"ok"}],"isError":false}}`},
		"stateless, two names": {`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"T1___send",` + modern + `}}`, []string{"Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: T1___send", "Mcp-Name: T1___other"}, 400, `{"jsonrpc":"2.0","id":2,"error":{"code":-32020,"message":"The header Mcp-Name says 'T1___send, T1___other', and the request 'T1___send'"}}`},
		"stateless, a name":    {`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"T1___send",` + modern + `}}`, []string{"Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: T1___other"}, 400, `{"jsonrpc":"2.0","id":2,"error":{"code":-32020,"message":"The header Mcp-Name says 'T1___other', and the request 'T1___send'"}}`},
		"stateless, unknown":   {`{"jsonrpc":"2.0","id":2,"method":"what",  "params":{` + modern + `}}`, []string{"Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: what"}, 404, `{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found: what"}}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newKit(t).send("POST", tt.body, tt.headers...)
			if w.Code != tt.status || w.Body.String() != tt.want {
				t.Errorf("%d %s\nwant %d %s", w.Code, w.Body, tt.status, tt.want)
			}
		})
	}
}

// TestInitializeNowhere: a client that begins with initialize, at a gateway whose revisions
// have none, reads which those are.
func TestInitializeNowhere(t *testing.T) {
	k := newKit(t)
	k.v.Versions = []string{"2026-07-28"}
	w := k.send("POST", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`)
	const want = `{"jsonrpc":"2.0","id":0,"error":{"code":-32022,"message":"This gateway speaks 2026-07-28 alone, which has no initialization","data":{"requested":"2025-11-25","supported":["2026-07-28"]}}}`
	if w.Code != http.StatusBadRequest || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestCall: what a target is told.
func TestCall(t *testing.T) {
	k := newKit(t)
	k.send("POST", `{"jsonrpc":"2.0","id":"m-1","method":"tools/call","params":{"name":"T2___get_time","arguments":{"a": 1},"_meta":{"progressToken":7},"requestState":"s"}}`)
	if len(k.one.calls) != 1 {
		t.Fatal(k.one.calls)
	}
	c := k.one.calls[0]
	if c.Tool != "get_time" || string(c.Arguments) != `{"a": 1}` || c.MessageID != "m-1" || c.RequestID != "req-1" || string(c.Meta) != `{"progressToken":7}` ||
		string(c.Params["requestState"]) != `"s"` || len(c.Params) != 1 || c.Caller.Subject != "alice" {
		t.Errorf("%+v", c)
	}
}

// TestNulls: members that a client writes as null are left out, as servers want it.
func TestNulls(t *testing.T) {
	k := newKit(t)
	k.send("POST", `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"T1___send","arguments":null,"_meta":null}}`)
	if len(k.two.calls) != 1 || k.two.calls[0].Arguments != nil || k.two.calls[0].Meta != nil {
		t.Errorf("%+v", k.two.calls)
	}
	p := &prompts{echo: k.one}
	k.v.Targets[0].Server, k.v.Targets[0].Catalogue.Prompts = p, []json.RawMessage{json.RawMessage(`{"name":"hello"}`)}
	if k.send("POST", `{"jsonrpc":"2.0","id":2,"method":"prompts/get","params":{"name":"T2___hello","arguments":null}}`); p.params != `{"name":"hello"}` {
		t.Error(p.params)
	}
}

// prompts is a server with prompts.
type prompts struct {
	*echo
	params string // of the last request
}

func (p *prompts) Request(_ context.Context, _ string, params json.RawMessage, _ target.Call) (json.RawMessage, error) {
	p.params = string(params)
	return json.RawMessage(`{}`), nil
}

func (*prompts) End(context.Context, string) {}

// TestFailures: who debugs reads why, others do not.
func TestFailures(t *testing.T) {
	const call = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"T2___get_time"}}`
	k := newKit(t)
	k.one.fail = target.Fail("LambdaException", nil, "it broke")
	if w := k.send("POST", call); !strings.Contains(w.Body.String(), "An internal error occurred. Please retry later.") || strings.Contains(w.Body.String(), "it broke") || !strings.Contains(w.Body.String(), `"isError":true`) {
		t.Error(w.Body)
	}
	k.v.Debug = true
	if w := k.send("POST", call); !strings.Contains(w.Body.String(), `"text":"it broke"}],"isError":true,"_meta":{"aws.bedrock-agentcore.gateway/requestId":"req-1","debug":{"type":"text","text":"it broke"}}`) {
		t.Error(w.Body)
	}
	k.one.fail = &target.Error{Code: -32042, Message: "This request requires more information.", Data: json.RawMessage(`{"elicitations":[]}`)}
	if w := k.send("POST", call); w.Body.String() != `{"jsonrpc":"2.0","id":2,"error":{"code":-32042,"message":"This request requires more information.","data":{"elicitations":[]}}}` {
		t.Error(w.Body)
	}
	k.one.fail = context.DeadlineExceeded
	if w := k.send("POST", call); w.Code != 500 || strings.Contains(w.Body.String(), "deadline") {
		t.Error(w.Code, w.Body)
	}
}

// TestTooLarge: who bounds the body first may be the endpoint, or whoever hands it over.
func TestTooLarge(t *testing.T) {
	k := newKit(t)
	bounded := io.MultiReader(strings.NewReader("{"), iotest.ErrReader(fault.New("TooLarge", http.StatusRequestEntityTooLarge, "too large")))
	for what, body := range map[string]io.Reader{"by itself": strings.NewReader(strings.Repeat(" ", 6<<20+1)), "before": bounded, "by its length": nil} {
		length := int64(-1)
		if body == nil {
			length = 6<<20 + 1
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(k.Context(), "POST", "/mcp", nil)
		k.e.Handler(mcp.Request{View: k.v, Caller: k.call, ID: "req-1", Method: "POST", Header: http.Header{"Accept": {"application/json, text/event-stream"}}, Body: body, Length: length}).ServeHTTP(w, r)
		if w.Code != 413 || !strings.Contains(w.Body.String(), `"message":"The request has more than 6291456 bytes. Send less, or a link to what is large"`) {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
}

// TestSessions: a session is its owner's, for its time.
func TestSessions(t *testing.T) {
	k := newKit(t)
	k.v.SessionLife, k.v.Streaming = time.Hour, true
	begun := k.send("POST", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
	id := begun.Header().Get("Mcp-Session-Id")
	if begun.Code != 200 || id == "" {
		t.Fatal(begun.Code, begun.Body)
	}
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	with := "Mcp-Session-Id: " + id
	expect := func(what string, want int, w *httptest.ResponseRecorder) {
		t.Helper()
		if w.Code != want {
			t.Errorf("%s: %d %s, want %d", what, w.Code, w.Body, want)
		}
	}
	expect("with the session", 200, k.send("POST", ping, with))
	expect("without", 400, k.send("POST", ping))
	expect("with another", 404, k.send("POST", ping, "Mcp-Session-Id: AAAA"))
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, last := range digits {
		if other := id[:len(id)-1] + string(last); other != id {
			expect("with the id in another way", 404, k.send("POST", ping, "Mcp-Session-Id: "+other))
		}
	}
	k.call.Subject = "bob"
	expect("of somebody else", 404, k.send("POST", ping, with))
	k.call.Subject = "alice"
	k.now = k.now.Add(59 * time.Minute)
	expect("near its end", 200, k.send("POST", ping, with))
	k.now = k.now.Add(2 * time.Minute)
	expect("after its end", 404, k.send("POST", ping, with))
	k.now = k.now.Add(-30 * time.Minute)
	expect("ending it", 200, k.send("DELETE", "", with))
	expect("ended", 404, k.send("POST", ping, with))
	k.v.SessionLife = 0
	expect("GET without sessions", 405, k.send("GET", ""))
	expect("DELETE without sessions", 405, k.send("DELETE", ""))
}

// TestStreaming: what a target says while it works comes before its result, and what it
// asks is answered.
func TestStreaming(t *testing.T) {
	k := newKit(t)
	k.v.SessionLife, k.v.Streaming = time.Hour, true
	begun := k.send("POST", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{},"roots":{"listChanged":true}}}}`)
	with := "Mcp-Session-Id: " + begun.Header().Get("Mcp-Session-Id")
	k.one.while = func(ctx context.Context, c target.Call) {
		c.Client.Notify("notifications/progress", json.RawMessage(`{"progress":1}`))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for { // until the question is out
				w := k.send("POST", `{"jsonrpc":"2.0","id":"gateway-1","result":{"action":"accept"}}`, with)
				if w.Code == 202 {
					return
				}
			}
		}()
		got, err := c.Client.Ask(ctx, "elicitation/create", json.RawMessage(`{"message":"?"}`))
		if err != nil || string(got) != `{"action":"accept"}` {
			t.Errorf("%s, %v", got, err)
		}
		<-done
		if got := string(c.Capabilities); got != `{"elicitation":{"form":{}},"roots":{}}` {
			t.Errorf("the target is told %s", got)
		}
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			for k.send("POST", `{"jsonrpc":"2.0","id":"gateway-2","result":{"roots":[]}}`, with).Code != 202 {
			}
		}()
		if got, err := c.Client.Ask(ctx, "roots/list", nil); err != nil || string(got) != `{"roots":[]}` {
			t.Errorf("%s, %v", got, err)
		}
		<-asked
		if _, err := c.Client.Ask(ctx, "sampling/createMessage", nil); err == nil {
			t.Error("a caller was asked for what it cannot do")
		}
	}
	w := k.send("POST", `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"T2___get_time"}}`, with)
	want := "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":1}}\n\n" +
		"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"gateway-1\",\"method\":\"elicitation/create\",\"params\":{\"message\":\"?\"}}\n\n" +
		"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"gateway-2\",\"method\":\"roots/list\"}\n\n" +
		"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"ok\"}],\"isError\":false}}\n\n"
	if w.Header().Get("Content-Type") != "text/event-stream" || w.Body.String() != want {
		t.Errorf("%s %s", w.Header(), w.Body)
	}
	k.v.Streaming = false
	k.one.while = func(_ context.Context, c target.Call) {
		if c.Capabilities != nil {
			t.Errorf("of a caller who cannot be asked, the target is told %s", c.Capabilities)
		}
	}
	if w := k.send("POST", `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"T2___get_time"}}`, with); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func FuzzPost(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"T2___get_time","arguments":{}}}`), "2025-06-18")
	f.Add([]byte(`{"jsonrpc":"2.0","id":2,"method":"resources/read","params":{"uri":"a"}}`), "2026-07-28")
	f.Add([]byte(`[]`), "")
	f.Fuzz(func(t *testing.T, body []byte, version string) {
		k := newKit(t)
		k.v.Streaming = true
		w := k.send("POST", string(body), "Mcp-Protocol-Version: "+version)
		if w.Code == 500 {
			t.Errorf("%s", w.Body)
		}
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s", w.Body)
		}
	})
}

// BenchmarkPost is what a call of a tool costs here.
func BenchmarkPost(b *testing.B) {
	k := newKit(b)
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {"2025-06-18"}}
	const body = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"T2___get_time","arguments":{"timezone":"UTC"}}}`
	r := httptest.NewRequestWithContext(b.Context(), "POST", "/mcp", nil)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		k.e.Handler(mcp.Request{View: k.v, Caller: k.call, ID: "req-1", Method: "POST", Header: h, Body: strings.NewReader(body)}).ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Code, w.Body)
		}
		k.one.calls = k.one.calls[:0]
	}
}

// TestCancelled: a caller who says so ends a call of the session, which has no answer then,
// and no other call.
func TestCancelled(t *testing.T) {
	k := newKit(t)
	k.v.SessionLife = time.Hour
	with := "Mcp-Session-Id: " + k.send("POST", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`).Header().Get("Mcp-Session-Id")
	for id, status := range map[string]int{`7`: http.StatusAccepted, `"7"`: http.StatusOK, `8`: http.StatusOK} {
		k.one.while = func(ctx context.Context, _ target.Call) {
			k.send("POST", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+id+`}}`, with)
			if (ctx.Err() != nil) != (status == http.StatusAccepted) {
				t.Errorf("%s cancelled: the call's context: %v", id, ctx.Err())
			}
		}
		if w := k.send("POST", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"T2___get_time"}}`, with); w.Code != status || (w.Body.Len() == 0) != (status == http.StatusAccepted) {
			t.Errorf("%s cancelled: %d %s", id, w.Code, w.Body)
		}
	}
}

// TestCallersWhoLeave: what fails because its caller has gone is no line in the log.
func TestCallersWhoLeave(t *testing.T) {
	k := newKit(t)
	k.one.fail = context.Canceled
	for _, leaves := range []bool{false, true} {
		k.log.Reset()
		k.one.while = func(context.Context, target.Call) {
			if leaves {
				k.leave()
			}
		}
		k.send("POST", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"T2___get_time"}}`)
		if lines := strings.Count(k.log.String(), "\n"); (lines == 0) != leaves {
			t.Errorf("the caller leaves: %v; the log has %d lines: %s", leaves, lines, k.log.String())
		}
	}
}

// TestEvents: targets are told whether the caller hears what comes before the answer.
func TestEvents(t *testing.T) {
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"T2___get_time"}}`
	for name, tt := range map[string]struct {
		streaming bool
		body      string
		response  string // of the interceptor of answers
		headers   []string
		want      bool
	}{
		"streams":        {true, call, "", nil, true},
		"takes none":     {true, call, "", []string{"Accept: application/json"}, false},
		"does not":       {false, call, "", nil, false},
		"of a batch":     {true, "[" + call + "]", "", nil, false},
		"takes anything": {true, call, "", []string{"Accept: */*"}, true},
		"is intercepted": {true, call, `{"interceptorOutputVersion":"1.0","mcp":{}}`, nil, false},
	} {
		k, _ := intercepting(t, "", tt.response)
		k.v.Streaming = tt.streaming
		called := false
		k.one.while = func(_ context.Context, c target.Call) {
			if called = true; c.Events != tt.want {
				t.Errorf("%s: %v", name, c.Events)
			}
		}
		if w := k.send("POST", tt.body, tt.headers...); !called {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// TestAsking: tools that ask while they work are listed, and found, to those who can be asked.
func TestAsking(t *testing.T) {
	k := newKit(t)
	k.v.SessionLife, k.v.Streaming = time.Hour, true
	k.v.Targets[0].Catalogue.Asking = map[string][]string{"get_time": {target.Elicits, target.Samples}, "get_weather": {target.ElicitsURL}}
	const modern = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{},"url":{}},"sampling":{}}}`
	tools := func(method, params string, headers ...string) string {
		w := k.send("POST", `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{`+params+`}}`, headers...)
		found := ""
		for _, name := range []string{"get_time", "get_weather", "send"} {
			if strings.Contains(w.Body.String(), "___"+name) {
				found += name + " "
			}
		}
		return strings.TrimSpace(found)
	}
	begin := func(capabilities string) string {
		w := k.send("POST", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":`+capabilities+`}}`)
		return "Mcp-Session-Id: " + w.Header().Get("Mcp-Session-Id")
	}
	for capabilities, want := range map[string]string{
		`{}`: "send", `{"roots":{}}`: "send", `{"sampling":{}}`: "get_time send", `{"elicitation":{"url":{}}}`: "get_time get_weather send",
	} {
		session := begin(capabilities)
		if got := tools("tools/list", "", session); got != want {
			t.Errorf("%s: %s, want %s", capabilities, got, want)
		}
		for _, query := range []string{"does get_time get_weather send", "words of no tool"} {
			if got := tools("tools/call", `"name":"x_amz_bedrock_agentcore_search","arguments":{"query":"`+query+`"}`, session); got != want {
				t.Errorf("%s found with %s: %s, want %s", query, capabilities, got, want)
			}
		}
		if got := tools("tools/list", "", session, "Accept: application/json"); got != "send" {
			t.Errorf("%s, who hears nothing: %s", capabilities, got)
		}
	}
	if got := tools("tools/list", modern, "Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: tools/list"); got != "send" {
		t.Errorf("a caller of 2026-07-28: %s", got)
	}
}

// TestLongHeader: a header of the allow-list passes, unless its value is too long.
func TestLongHeader(t *testing.T) {
	k := newKit(t)
	k.v.Targets[0].Metadata = &agentcorecontrol.MetadataConfiguration{AllowedRequestHeaders: []string{"X-Tenant", "X-Notes"}}
	k.send(http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"T2___get_time","arguments":{}}}`, "X-Tenant: "+strings.Repeat("t", 4<<10), "X-Notes: "+strings.Repeat("n", 4<<10+1))
	if len(k.one.calls) != 1 {
		t.Fatalf("%d calls", len(k.one.calls))
	}
	if h := k.one.calls[0].Header; len(h.Get("X-Tenant")) != 4<<10 || h["X-Notes"] != nil {
		t.Errorf("%d bytes of X-Tenant, %d of X-Notes", len(h.Get("X-Tenant")), len(h.Get("X-Notes")))
	}
}
