package mcp_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/mcp"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
)

// TestBatch: several messages at once are answered at once, to who speaks the revision that
// has them.
func TestBatch(t *testing.T) {
	const (
		ping  = `{"jsonrpc":"2.0","id":%,"method":"ping"}`
		call  = `{"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": {"name": "T2___get_time", "arguments": {}}}`
		told  = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
		said  = `{"jsonrpc":"2.0","id":"gateway-1","result":{}}`
		pong1 = `{"jsonrpc":"2.0","id":1,"result":{}}`
		ok    = `{"jsonrpc":"2.0","id":"c","result":{"content":[{"type":"text","text":"ok"}],"isError":false}}`
	)
	one := strings.Replace(ping, "%", "1", 1)
	refusal := func(code, message string) string {
		return `{"jsonrpc":"2.0","id":null,"error":{"code":` + code + `,"message":"` + message + `"}}`
	}
	full := "[" + strings.Repeat(one+",", 49) + one
	for name, tt := range map[string]struct {
		body, version string
		status        int
		want          string
	}{
		"of requests":              {" [\n" + one + ",\n" + call + "\n]\n", "", 200, "[" + pong1 + "," + ok + "]"},
		"whose revision is said":   {"[" + one + "]", "2025-03-26", 200, "[" + pong1 + "]"},
		"of all kinds":             {"[" + told + "," + one + "," + said + "]", "", 200, "[" + pong1 + "]"},
		"of notifications":         {"[" + told + "," + told + "]", "", 202, ""},
		"of answers":               {"[" + said + "]", "", 202, ""},
		"with what is none":        {"[1,[" + one + "],{\"jsonrpc\":\"2.0\",\"id\":2},{\"a\":1,\"a\":2}," + one + "]", "", 200, "[" + refusal("-32600", "The request is no JSON-RPC message: it is not well formed") + "," + refusal("-32600", "A message is an object, and no list") + `,{"jsonrpc":"2.0","id":2,"error":{"code":-32600,"message":"The message has no method"}},` + refusal("-32600", "The request is no JSON-RPC message: duplicate object member name") + "," + pong1 + "]"},
		"with an unknown tool":     {"[" + strings.Replace(call, "get_time", "nothing", 1) + "," + one + "]", "", 200, `[{"jsonrpc":"2.0","id":"c","error":{"code":-32602,"message":"Unknown tool: T2___nothing"}},` + pong1 + "]"},
		"with initialize":          {`[{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26"}}]`, "", 200, `[{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"initialize is sent by itself, not in a batch"}}]`},
		"with a later revision":    {`[{"jsonrpc":"2.0","id":1,"method":"server/discover"}]`, "", 200, `[{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found: server/discover came with revision 2026-07-28"}}]`},
		"of none":                  {"[ ]", "", 400, refusal("-32600", "The batch is empty. Send one message at least")},
		"as full as may be":        {full + "]", "", 200, "[" + strings.Repeat(pong1+",", 49) + pong1 + "]"},
		"too full":                 {full + "," + one + "]", "", 400, refusal("-32600", "The batch has more than 50 messages. Send the others in another request")},
		"that does not end":        {"[" + one, "", 400, refusal("-32700", "The request is not JSON: unexpected EOF")},
		"with more behind it":      {"[" + one + "]]", "", 400, refusal("-32700", "The request is not JSON: it is not well formed")},
		"of the revision after":    {"[" + one + "]", "2025-06-18", 400, refusal("-32600", "Batches are of revision 2025-03-26 alone, and this is 2025-06-18. Send one message in a request")},
		"of the last revision":     {"[" + one + "]", "2026-07-28", 400, refusal("-32600", "Batches are of revision 2025-03-26 alone, and this is 2026-07-28. Send one message in a request")},
		"of notifications, later":  {"[" + told + "]", "2025-11-25", 400, refusal("-32600", "Batches are of revision 2025-03-26 alone, and this is 2025-11-25. Send one message in a request")},
		"of revisions that differ": {`[{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}]`, "", 200, `[{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":"The request is of revision 2026-07-28, and has no header MCP-Protocol-Version that says so"}}]`},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			if tt.version != "" {
				headers = []string{"Mcp-Protocol-Version: " + tt.version}
			}
			w := newKit(t).send("POST", tt.body, headers...)
			if w.Code != tt.status || w.Body.String() != tt.want {
				t.Errorf("%d %s\nwant %d %s", w.Code, w.Body, tt.status, tt.want)
			}
			if got := w.Header().Get("Content-Type"); tt.want != "" && got != "application/json" {
				t.Errorf("it is %q", got)
			}
		})
	}
	k := newKit(t)
	k.v.Versions = []string{"2025-06-18"}
	if w := k.send("POST", "["+one+"]"); w.Code != 400 || !strings.Contains(w.Body.String(), "this is 2025-06-18") {
		t.Errorf("of a gateway that does not speak the revision: %d %s", w.Code, w.Body)
	}
}

// TestBatchOfSession: what counts is the revision that was agreed on. Nobody is told or
// asked anything while a batch runs.
func TestBatchOfSession(t *testing.T) {
	k := newKit(t)
	k.v.SessionLife, k.v.Streaming = time.Hour, true
	begin := func(version string) string {
		w := k.send("POST", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+version+`","capabilities":{"elicitation":{},"roots":{}}}}`)
		return "Mcp-Session-Id: " + w.Header().Get("Mcp-Session-Id")
	}
	called := 0
	k.one.while = func(ctx context.Context, c target.Call) {
		called++
		if c.Capabilities != nil || c.Session == "" {
			t.Errorf("the target is told %+v", c)
		}
		c.Client.Notify("notifications/progress", json.RawMessage(`{"progress":1}`))
		if got, err := c.Client.Ask(ctx, "roots/list", nil); err == nil {
			t.Errorf("somebody answered %s", got)
		}
		if c.MessageID == "2" { // and nobody wants it any more
			k.send("POST", `[{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}]`, begin("2025-03-26"))
			if ctx.Err() != nil {
				t.Error("another session cancelled the call")
			}
		}
	}
	const calls = `[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"T2___get_time"}},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"T2___get_weather"}}]`
	const result = `"result":{"content":[{"type":"text","text":"ok"}],"isError":false}}`
	w := k.send("POST", calls, begin("2025-03-26"))
	if want := `[{"jsonrpc":"2.0","id":1,` + result + `,{"jsonrpc":"2.0","id":2,` + result + `]`; w.Code != 200 || w.Body.String() != want || called != 2 {
		t.Errorf("%d calls, %d %s", called, w.Code, w.Body)
	}
	for _, header := range []string{begin("2025-06-18"), "Mcp-Session-Id: AAAA", "Accept: */*"} {
		if w := k.send("POST", calls, header); w.Code/100 != 4 || called != 2 {
			t.Errorf("%s: %d calls, %d %s", header, called, w.Code, w.Body)
		}
	}
	session := begin("2025-03-26")
	k.one.while = func(ctx context.Context, c target.Call) {
		k.send("POST", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, session)
		if (ctx.Err() != nil) != (c.MessageID == "1") {
			t.Errorf("call %s: %v", c.MessageID, ctx.Err())
		}
	}
	if w := k.send("POST", calls, session); w.Body.String() != `[{"jsonrpc":"2.0","id":2,`+result+`]` {
		t.Errorf("after a call was cancelled: %s", w.Body)
	}
}

// TestBatchIsManyCalls: each is let in by itself, under an id of its own.
func TestBatchIsManyCalls(t *testing.T) {
	k := newKit(t)
	var ids []string
	k.one.while = func(_ context.Context, c target.Call) { ids = append(ids, c.RequestID) }
	const calls = `[{"jsonrpc":"2.0","method":"notifications/initialized"},` + aCall + `,1,` + aCall + `,` + aCall + `]`
	if w := k.send("POST", calls); w.Code != 200 || !slices.Equal(ids, []string{"req-1", "req-1-1", "req-1-2"}) || k.again != 2 {
		t.Errorf("%d %s: %q, %d more", w.Code, w.Body, ids, k.again)
	}
	ids, k.denied = nil, fault.Denied("not any more")
	const no = `{"jsonrpc":"2.0","id":7,"error":{"code":-32002,"message":"not any more"}}`
	if w := k.send("POST", calls); w.Code != 200 || !strings.HasSuffix(w.Body.String(), no+","+no+"]") || len(ids) != 1 {
		t.Errorf("%d %s: %q", w.Code, w.Body, ids)
	}
}

// TestBatchIsManyMessages: each has limits and interceptors of its own.
func TestBatchIsManyMessages(t *testing.T) {
	k, f := newKit(t), &few{}
	k.e = mcp.New(mcp.Config{Box: secrettest.Box(t), Now: time.Now, Log: slog.New(slog.DiscardHandler), Limiter: f, Changed: func() <-chan struct{} { return nil }})
	k.one.while = func(_ context.Context, c target.Call) {
		if f.running != 1 || f.ended+1 != len(f.called) {
			t.Errorf("call %s: %+v", c.MessageID, f)
		}
	}
	const calls = `[` + aCall + `,{"jsonrpc":"2.0","method":"notifications/initialized"},` + aCall + `]`
	if w := k.send("POST", calls); w.Code != 200 || len(f.called) != 2 || f.ended != 2 {
		t.Errorf("%d %s, %+v", w.Code, w.Body, f)
	}
	f.running = 1
	const limited = `{"jsonrpc":"2.0","id":7,"error":{"code":-32003,"message":"Rate limit exceeded","data":{"retryAfter":7}}}`
	if w := k.send("POST", calls); w.Code != 200 || w.Body.String() != "["+limited+","+limited+"]" || w.Header().Get("Retry-After") != "" {
		t.Errorf("%d %s %s", w.Code, w.Header(), w.Body)
	}

	for name, tt := range map[string]struct{ request, response, want string }{
		"an answer":               {`{"transformedGatewayResponse":{"statusCode":403,"headers":{"X-A":"b"},"body":{"no":1}}}`, "", `[{"no":1},{"no":1}]`},
		"an answer of no body":    {`{"transformedGatewayResponse":{"statusCode":403}}`, "", `[` + broken + `,` + broken2 + `]`},
		"another request":         {`{"transformedGatewayRequest":{"body":{"jsonrpc":"2.0","id":1,"method":"ping"}}}`, "", `[{"jsonrpc":"2.0","id":7,"result":{}},{"jsonrpc":"2.0","id":7,"result":{}}]`},
		"initialize":              {`{"transformedGatewayRequest":{"body":{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26"}}}}`, "", `[` + alone + `,` + alone + `]`},
		"a batch of its own":      {`{"transformedGatewayRequest":{"body":[]}}`, "", `[` + broken + `,` + broken2 + `]`},
		"what is made of answers": {"", `{"transformedGatewayResponse":{"statusCode":500,"body":"x"}}`, `["x","x"]`},
	} {
		envelope := func(s string) string {
			if s == "" {
				return s
			}
			return `{"interceptorOutputVersion":"1.0","mcp":` + s + `}`
		}
		k, f := intercepting(t, envelope(tt.request), envelope(tt.response))
		w := k.send("POST", calls)
		if w.Code != http.StatusOK || w.Body.String() != tt.want || w.Header().Get("X-A") != "" {
			t.Errorf("%s: %d %s %s\nwant %s", name, w.Code, w.Header(), w.Body, tt.want)
		}
		if tt.request != "" && !strings.Contains(f.got["req"], `"body":`+aCall) {
			t.Errorf("%s: the function was shown %s", name, f.got["req"])
		}
	}
}

const (
	broken  = `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"An internal error occurred. Please retry later.","data":{"aws.bedrock-agentcore.gateway/requestId":"req-1"}}}`
	broken2 = `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"An internal error occurred. Please retry later.","data":{"aws.bedrock-agentcore.gateway/requestId":"req-1-1"}}}`
	alone   = `{"jsonrpc":"2.0","id":7,"error":{"code":-32600,"message":"initialize is sent by itself, not in a batch"}}`
)
