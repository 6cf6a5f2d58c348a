package invoke_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
)

// TestRefusalsOfProtocols: whoever refuses, and whenever, the agent's protocol is
// spoken, with the id of the message that failed; testdata/ has the table of words.
func TestRefusalsOfProtocols(t *testing.T) {
	big := `{"jsonrpc":"2.0","params":"` + strings.Repeat("x", 300<<10) + `","id":"far","method":"m"}`
	short := func() http.Header { return http.Header{sessionHeader: {"short"}} }
	for _, tt := range []struct {
		name     string
		protocol types.ServerProtocol
		call     call
		status   int
		code     string // of the error, in the header
		body     string // JSON-RPC's code and id, or the event's
	}{
		{"no endpoint", types.ServerProtocolMcp, call{query: "?qualifier=none", body: strings.NewReader(listTools)}, 200, "ResourceNotFoundException", `-32004 1`},
		{"no endpoint", types.ServerProtocolA2a, call{query: "?qualifier=none", body: strings.NewReader(listTools)}, 404, "ResourceNotFoundException", `-32051 1`},
		{"before the handler", types.ServerProtocolMcp, call{header: short(), body: strings.NewReader(big)}, 200, "ValidationException", `-32006 "far"`},
		{"before the handler", types.ServerProtocolA2a, call{header: short(), body: strings.NewReader(big)}, 400, "ValidationException", `-32052 "far"`},
		{"before the handler", types.ServerProtocolAgui, call{header: short()}, 400, "ValidationException", `VALIDATION_ERROR`},
		{"no body", types.ServerProtocolA2a, call{query: "?qualifier=none"}, 404, "ResourceNotFoundException", `-32051 null`},
		{"no JSON", types.ServerProtocolA2a, call{query: "?qualifier=none", body: strings.NewReader("hello")}, 404, "ResourceNotFoundException", `-32051 null`},
		{"accept", types.ServerProtocolMcp, call{body: strings.NewReader(listTools), header: http.Header{"Accept": {"application/json"}}}, 406, "McpRequestUnacceptableException", `-32011 1`},
		{"agent", types.ServerProtocolMcp, call{body: strings.NewReader(big), header: http.Header{"Accept": {"*/*"}}}, 200, "RuntimeClientError", `-32010 "far"`},
		{"agent", types.ServerProtocolA2a, call{body: strings.NewReader(big)}, 424, "RuntimeClientError", `-32055 "far"`},
		{"agent", types.ServerProtocolAgui, call{}, 200, "RuntimeClientError", `AGENT_ERROR`},
	} {
		t.Run(string(tt.protocol)+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			k := newKitOf(t, tt.protocol)
			k.agent(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				http.Error(w, "the agent's own words", 500)
			})
			resp := k.send(tt.call)
			body := k.text(resp)
			var said struct {
				ID    json.RawMessage
				Error struct{ Code json.RawMessage }
				Code  string
			}
			if err := json.Unmarshal([]byte(strings.TrimPrefix(body, "data: ")), &said); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			got := strings.TrimSpace(said.Code + string(said.Error.Code) + " " + string(said.ID))
			if resp.StatusCode != tt.status || resp.Header.Get("X-Amzn-Errortype") != tt.code || got != tt.body || resp.Header.Get("X-Amzn-Requestid") == "" {
				t.Errorf("%d %v %s, want %d %s with %s", resp.StatusCode, resp.Header, body, tt.status, tt.code, tt.body)
			}
			if strings.Contains(body, "own words") {
				t.Error("the caller reads what the agent said")
			}
		})
	}
	// What is nobody's agent has no protocol, and who is nobody learns none.
	k := newKitOf(t, types.ServerProtocolMcp)
	k.refused(k.send(call{agent: strings.Replace(k.arn(), "agent-", "other-", 1)}), 404, "ResourceNotFoundException")
	resp, err := http.Post(k.URL+"/runtimes/"+k.id+"/invocations?accountId="+runtimetest.Account, "application/json", strings.NewReader(listTools))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text := k.text(resp); resp.StatusCode != 403 || strings.Contains(text, "jsonrpc") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

// TestBrokenEvents: a stream of AG-UI's events that breaks off ends with one that says
// so; nobody else's stream ends.
func TestBrokenEvents(t *testing.T) {
	const begun = "data: {\"type\":\"RUN_STARTED\"}\n\ndata: {\"ty"
	for _, tt := range []struct {
		protocol types.ServerProtocol
		kind     string
		ends     bool
	}{
		{types.ServerProtocolAgui, "text/event-stream; charset=utf-8", true},
		{types.ServerProtocolAgui, "application/json", false},
		{types.ServerProtocolHttp, "text/event-stream", false},
	} {
		k := newKitOf(t, tt.protocol)
		k.Engine.Conn = speak("HTTP/1.1 200 OK\r\nContent-Type: " + tt.kind + "\r\nContent-Length: 100\r\n\r\n" + begun)
		k.restart()
		resp := k.send(call{})
		b, err := io.ReadAll(resp.Body)
		want := begun
		if tt.ends {
			want += "\n\ndata: {\"type\":\"RUN_ERROR\",\"code\":\"AGENT_ERROR\",\"message\":\"Agent code failed during execution – check your CloudWatch logs\"}\n\n"
		}
		if string(b) != want || (err == nil) != tt.ends {
			t.Errorf("%s of %s: %q, %v", tt.kind, tt.protocol, b, err)
		}
		k.logged("the agent's answer broke off: unexpected EOF")
	}
}
