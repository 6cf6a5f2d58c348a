package invoke_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
)

const (
	mcpHeader  = "Mcp-Session-Id"
	initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`
	listTools  = `{"jsonrpc":"2.0","method":"tools/list","id":1}`
)

// message is a POST of MCP's, in the session that a client knows.
func message(body, session string) call {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	if session != "" {
		h.Set(mcpHeader, session)
	}
	return call{body: strings.NewReader(body), header: h, plain: true}
}

// stateful serves MCP as a server does that keeps its sessions in memory.
func (k *kit) stateful() {
	var minted int
	known := map[string]bool{}
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(mcpHeader)
		var m struct{ Method string }
		if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&m) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		switch {
		case m.Method == "initialize" && id == "":
			minted++
			id = "server-" + string(rune('0'+minted))
			known[id] = true
		case !known[id]:
			w.WriteHeader(http.StatusNotFound)
			return
		case r.Method == http.MethodDelete:
			delete(known, id)
		}
		w.Header().Set(mcpHeader, id)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+id+" "+r.Header.Get("Last-Event-Id"))
	})
}

// TestStatefulMCP: a server that names its sessions is found by their names, which
// say where it is.
func TestStatefulMCP(t *testing.T) {
	k := newKitOf(t, types.ServerProtocolMcp)
	k.stateful()
	begin := func() (name, platform string) {
		resp := k.send(message(initialize, ""))
		if text := k.text(resp); resp.StatusCode != 200 || !strings.HasPrefix(text, "POST /mcp server-") {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
		return resp.Header.Get(mcpHeader), resp.Header.Get(sessionHeader)
	}
	first, platform := begin()
	if first != platform+":mcp:server-1" {
		t.Errorf("session %q on %q", first, platform)
	}
	second, elsewhere := begin()
	if elsewhere == platform || k.Engine.Starts() != 2 {
		t.Errorf("two sessions on %q and %q, %d sandboxes", platform, elsewhere, k.Engine.Starts())
	}
	for _, tt := range []struct {
		call
		method, session, text string
	}{
		{message(listTools, first), http.MethodPost, first, "POST /mcp server-1 "},
		{message(listTools, second), http.MethodPost, second, "POST /mcp server-2 "},
		{call{header: http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {"7"}}}, http.MethodGet, first, "GET /mcp server-1 7"},
		{call{header: http.Header{}}, http.MethodDelete, first, "DELETE /mcp server-1 "},
	} {
		tt.call.method, tt.call.plain = tt.method, true
		tt.call.header.Set(mcpHeader, tt.session)
		resp := k.send(tt.call)
		if text := k.text(resp); resp.StatusCode != 200 || text != tt.text || resp.Header.Get(mcpHeader) != tt.session {
			t.Errorf("%s of %s: %d %s, session %s", tt.method, tt.session, resp.StatusCode, text, resp.Header.Get(mcpHeader))
		}
	}
	// What the server has forgotten is told in MCP's way: by the status.
	k.refused(k.send(call{method: http.MethodGet, plain: true, header: http.Header{mcpHeader: {first}}}), 404, "McpSessionNotFoundException")
	if resp := k.send(message(listTools, first)); resp.StatusCode != 404 {
		t.Errorf("a message of a session that was ended: %d %s", resp.StatusCode, k.text(resp))
	}
	if n := k.Engine.Starts(); n != 2 {
		t.Errorf("%d sandboxes, want those of two sessions", n)
	}
}

// TestStatelessMCP: a server that keeps no sessions is handed the platform's.
func TestStatelessMCP(t *testing.T) {
	k := newKitOf(t, types.ServerProtocolMcp)
	var seen []string
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		seen = append(seen, r.Header.Get(mcpHeader))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.Copy(w, r.Body)
	})
	resp := k.send(message(initialize, ""))
	if got := k.text(resp); got != initialize {
		t.Errorf("the body arrived as %s", got)
	}
	id := resp.Header.Get(mcpHeader)
	if len(id) != 36 || id != resp.Header.Get(sessionHeader) {
		t.Errorf("session %q", id)
	}
	own := strings.Repeat("my-own-", 6)
	for _, session := range []string{id, own, ""} {
		resp := k.send(message(listTools, session))
		if got := resp.Header.Get(mcpHeader); resp.StatusCode != 200 || k.text(resp) != listTools || session != "" && got != session || got != seen[len(seen)-1] {
			t.Errorf("%q: %d, session %q, the server saw %q", session, resp.StatusCode, got, seen)
		}
	}
	if n := k.Engine.Starts(); seen[0] != "" || n != 3 {
		t.Errorf("the server saw %q, %d sandboxes", seen, n)
	}
	// SDKs make up a session of their own for each call; the one that MCP names counts.
	c := message(listTools, id)
	c.header.Set(sessionHeader, runtimetest.SessionID("made up"))
	if got := k.send(c).Header.Get(sessionHeader); got != id {
		t.Errorf("session %q, want %q", got, id)
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		resp := k.send(call{method: method, plain: true, header: http.Header{mcpHeader: {id}}})
		if text := k.refused(resp, 405, "MethodNotAllowedException"); text != "Method Not Allowed. Use POST." || resp.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %s, Allow %q", method, text, resp.Header.Get("Allow"))
		}
	}
	if logs := k.logs(); strings.Contains(logs, "405") {
		t.Errorf("what every client asks is in the log:\n%s", logs)
	}
}

// TestLargeInitialize: where the method is far behind, the message arrives whole all
// the same.
func TestLargeInitialize(t *testing.T) {
	k := newKitOf(t, types.ServerProtocolMcp)
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	for _, n := range []int{0, 2 << 10, 16 << 10, 1 << 20} {
		body := `{"jsonrpc":"2.0","id":1,"params":"` + strings.Repeat("x", n) + `","method":"ping"}`
		if got := k.text(k.send(message(body, ""))); got != body {
			t.Errorf("of %d bytes %d arrived", len(body), len(got))
		}
	}
}

// TestMCPRefusesBeforeItStarts what makes no sense to a server.
func TestMCPRefusesBeforeItStarts(t *testing.T) {
	k := newKitOf(t, types.ServerProtocolMcp)
	gone := runtimetest.SessionID("gone") + ":mcp:x"
	for _, tt := range []struct {
		method, session string
		status          int
		code            string
	}{
		{http.MethodGet, "", 405, "MethodNotAllowedException"},
		{http.MethodGet, gone, 404, "McpSessionNotFoundException"},
		{http.MethodDelete, "", 400, "ValidationException"},
		{http.MethodDelete, gone, 404, "McpSessionNotFoundException"},
		{http.MethodDelete, "short", 400, "ValidationException"},
	} {
		h := http.Header{}
		if tt.session != "" {
			h.Set(mcpHeader, tt.session)
		}
		k.refused(k.send(call{method: tt.method, plain: true, header: h}), tt.status, tt.code)
	}
	if n := k.Engine.Starts(); n != 0 {
		t.Errorf("%d sandboxes were started", n)
	}
	h := newKit(t)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		resp := h.send(call{method: method, header: http.Header{mcpHeader: {gone}}})
		if text := h.refused(resp, 405, "MethodNotAllowedException"); text != "Method Not Allowed. Use POST." {
			t.Errorf("%s: %s", method, text)
		}
	}
}

// TestMCPErrors: what MCP says with a status reaches the client, and nothing else that
// is said with one.
func TestMCPErrors(t *testing.T) {
	const said = `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2026-07-28"]}}}`
	for _, tt := range []struct {
		protocol   types.ServerProtocol
		status     int
		kind, body string
		passes     bool
	}{
		{types.ServerProtocolMcp, 400, "application/json", said, true},
		{types.ServerProtocolMcp, 404, "application/json; charset=utf-8", said, true},
		{types.ServerProtocolMcp, 500, "application/json", said, false},
		{types.ServerProtocolMcp, 400, "text/plain", said, false},
		{types.ServerProtocolMcp, 400, "application/json", `{"jsonrpc":"2.0","id":1,"result":{}}`, false},
		{types.ServerProtocolMcp, 400, "application/json", `{"detail":"Traceback"}`, false},
		{types.ServerProtocolMcp, 400, "application/json", said + strings.Repeat(" ", 64<<10), false},
		{types.ServerProtocolA2a, 400, "application/json", said, false},
		{types.ServerProtocolHttp, 400, "application/json", said, false},
	} {
		t.Run(fmt.Sprint(tt.protocol, tt.status, tt.kind, len(tt.body)), func(t *testing.T) {
			k := newKitOf(t, tt.protocol)
			k.agent(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tt.kind)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			resp := k.send(message(listTools, ""))
			text := k.text(resp)
			if passed := resp.StatusCode == tt.status && text == tt.body; passed != tt.passes {
				t.Errorf("%d %s", resp.StatusCode, text)
			}
		})
	}
}

// TestHeadersOfProtocols: a protocol's own headers reach its agents, and no others'.
func TestHeadersOfProtocols(t *testing.T) {
	for protocol, want := range map[types.ServerProtocol]string{
		types.ServerProtocolMcp: "Mcp-Param-Region", types.ServerProtocolA2a: "A2a-Version A2a-Extensions", types.ServerProtocolHttp: "",
	} {
		k := newKitOf(t, protocol)
		k.agent(func(w http.ResponseWriter, r *http.Request) {
			for _, name := range []string{"Mcp-Param-Region", "A2a-Version", "A2a-Extensions"} {
				if r.Header.Get(name) != "" {
					_, _ = io.WriteString(w, name+" ")
				}
			}
		})
		c := message(listTools, "")
		c.header.Set("Mcp-Param-Region", "somewhere")
		c.header.Set("A2A-Version", "1.0")
		c.header.Set("A2A-Extensions", "none")
		if got := strings.TrimSpace(k.text(k.send(c))); got != want {
			t.Errorf("%s: %q", protocol, got)
		}
	}
}

// TestHush: who only listens to a server is not waited for at the end.
func TestHush(t *testing.T) {
	k := newKitOf(t, types.ServerProtocolMcp)
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, "data: one\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	})
	id := k.send(message(initialize, "")).Header.Get(mcpHeader)
	stream := k.send(call{method: http.MethodGet, plain: true, header: http.Header{mcpHeader: {id}}})
	begun := make([]byte, 11)
	if _, err := io.ReadFull(stream.Body, begun); err != nil || string(begun) != "data: one\n\n" {
		t.Fatalf("%q, %v", begun, err)
	}
	k.Invoke.Hush()
	k.Invoke.Hush()
	if rest, err := io.ReadAll(stream.Body); err == nil || len(rest) != 0 {
		t.Errorf("%q, %v; want the stream to break off", rest, err)
	}
	if resp := k.send(message(listTools, id)); resp.StatusCode != 200 {
		t.Errorf("a message at the end: %d", resp.StatusCode)
	}
	if logs := k.logs(); strings.Contains(logs, "broke off") {
		t.Errorf("the agent's log blames it:\n%s", logs)
	}
}

// TestMCPHeaderOfOthers: to an agent of another protocol the header is one like any
// other, whatever it holds.
func TestMCPHeaderOfOthers(t *testing.T) {
	k := newKit(t)
	for _, name := range []string{"short", runtimetest.SessionID("long"), runtimetest.SessionID("ours") + ":mcp:x"} {
		for range 2 { // it starts, and it runs
			resp := k.send(call{header: http.Header{mcpHeader: {name}}})
			if resp.StatusCode != 200 || resp.Header.Get(sessionHeader) != runtimetest.SessionID("one") || resp.Header.Get(mcpHeader) != "" {
				t.Errorf("%s: %d %v %s", name, resp.StatusCode, resp.Header, k.text(resp))
			}
		}
	}
	if n := k.Engine.Starts(); n != 1 {
		t.Errorf("%d sandboxes, want one", n)
	}
}
