package mcp_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/mcp"
	"github.com/outcrop/outcrop/internal/gateway/ratelimit"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
)

// few lets one call through at a time.
type few struct {
	running, ended int
	called         []ratelimit.Called
	header         http.Header // of the last, as body
	body           string
	part           *target.Error
}

func (f *few) Take(_ *gateway.View, _ target.Caller, called ratelimit.Called) (*target.Error, http.Header, func()) {
	f.header, f.body = called.Header, string(called.Body)
	called.Header, called.Body = nil, nil
	f.called = append(f.called, called)
	if called.Part {
		return f.part, nil, nil
	}
	if f.running > 0 {
		return &target.Error{Code: -32003, Message: "Rate limit exceeded", Data: json.RawMessage(`{"retryAfter":7}`)}, http.Header{"Retry-After": {"7"}}, nil
	}
	f.running++
	return nil, nil, func() { f.running--; f.ended++ }
}

// TestLimiter asks it before a tool is called, and tells it when the call has ended.
func TestLimiter(t *testing.T) {
	k, f := newKit(t), &few{}
	k.e = mcp.New(mcp.Config{Box: secrettest.Box(t), Now: time.Now, Log: slog.New(slog.DiscardHandler), Limiter: f, Changed: func() <-chan struct{} { return nil }})
	call := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"T2___get_time"}}`
	if w := k.send("POST", call); w.Code != http.StatusOK || f.ended != 1 || !reflect.DeepEqual(f.called, []ratelimit.Called{{Target: "T2", Tool: "T2___get_time"}}) || f.header.Get("Accept") == "" || f.body != call {
		t.Fatalf("%d %s, %+v", w.Code, w.Body, f)
	}
	f.running = 1
	w := k.send("POST", call)
	if want := `{"jsonrpc":"2.0","id":1,"error":{"code":-32003,"message":"Rate limit exceeded","data":{"retryAfter":7}}}`; w.Code != http.StatusTooManyRequests || w.Body.String() != want || w.Header().Get("Retry-After") != "7" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if len(k.one.calls) != 1 {
		t.Errorf("the target was called %d times", len(k.one.calls))
	}
}

// peer is a target that answers whatever it is asked.
type peer struct {
	echo
	asked []string
}

func (p *peer) Request(_ context.Context, method string, _ json.RawMessage, _ target.Call) (json.RawMessage, error) {
	p.asked = append(p.asked, method)
	return json.RawMessage(`{"tools":[{"name":"own","inputSchema":{"type":"object"}}]}`), nil
}

func (*peer) End(context.Context, string) {}

// TestWhatCounts tells the limiter of every request what it is about, and of nothing that
// nobody has.
func TestWhatCounts(t *testing.T) {
	k, f, live := newKit(t), &few{}, &peer{}
	k.add("P", live)
	k.v.Targets[2].Catalogue.Live = true
	k.add("R", &peer{})
	k.v.Targets[3].Catalogue.Prompts = []json.RawMessage{json.RawMessage(`{"name":"p"}`)}
	k.v.Targets[3].Catalogue.Resources = []json.RawMessage{json.RawMessage(`{"name":"r","uri":"file:///r"}`)}
	k.v.SessionLife, k.v.Streaming = 0, true
	k.e = mcp.New(mcp.Config{Box: secrettest.Box(t), Now: time.Now, Log: slog.New(slog.DiscardHandler), Limiter: f, Changed: func() <-chan struct{} { return nil }})
	for _, tt := range []struct {
		request string
		want    []ratelimit.Called
	}{
		{`"method":"ping"`, []ratelimit.Called{{}}},
		{`"method":"tools/list"`, []ratelimit.Called{{}, {Target: "P", Part: true}}},
		{`"method":"tools/call","params":{"name":"x_amz_bedrock_agentcore_search","arguments":{"query":"q"}}`, []ratelimit.Called{{Tool: "x_amz_bedrock_agentcore_search"}}},
		{`"method":"tools/call","params":{"name":"P___made-up"}`, []ratelimit.Called{{Target: "P", Tool: "P___made-up", Unlisted: true}}},
		{`"method":"tools/call","params":{"name":"T2___made-up"}`, []ratelimit.Called{{}}},
		{`"method":"prompts/list"`, []ratelimit.Called{{}}},
		{`"method":"prompts/get","params":{"name":"R___p"}`, []ratelimit.Called{{Target: "R"}}},
		{`"method":"resources/list"`, []ratelimit.Called{{}}},
		{`"method":"resources/read","params":{"uri":"file:///r"}`, []ratelimit.Called{{Target: "R"}}},
		{`"method":"resources/read","params":{"uri":"file:///made-up"}`, []ratelimit.Called{{}}},
		{`"method":"made/up"`, []ratelimit.Called{{}}},
	} {
		f.called = nil
		w := k.send("POST", `{"jsonrpc":"2.0","id":1,`+tt.request+`}`)
		if !reflect.DeepEqual(f.called, tt.want) || w.Code != http.StatusOK || f.running != 0 {
			t.Errorf("%s: %d %s counted as %+v, want %+v; %d run", tt.request, w.Code, w.Body, f.called, tt.want, f.running)
		}
	}
	asked := len(live.asked)
	f.part = &target.Error{Code: -32003, Message: "Rate limit exceeded"}
	if w := k.send("POST", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); w.Code != http.StatusTooManyRequests || len(live.asked) != asked {
		t.Errorf("%d %s, and the target was asked %d times more", w.Code, w.Body, len(live.asked)-asked)
	}
}

// TestLimitsBeforeInterceptors runs no function for who is limited.
func TestLimitsBeforeInterceptors(t *testing.T) {
	same := `{"interceptorOutputVersion":"1.0","mcp":{}}`
	k, functions := intercepting(t, same, same)
	k.e = mcp.New(mcp.Config{Box: secrettest.Box(t), Now: time.Now, Log: slog.New(slog.DiscardHandler), Limiter: &few{running: 1}, Functions: functions, Changed: func() <-chan struct{} { return nil }})
	if w := k.send("POST", aCall); w.Code != http.StatusTooManyRequests || len(functions.got) > 0 {
		t.Errorf("%d %s, and %d functions ran", w.Code, w.Body, len(functions.got))
	}
}
