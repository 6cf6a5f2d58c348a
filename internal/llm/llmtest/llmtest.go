// Package llmtest is a provider of models that says what a test's script says: it
// stands where Ollama or Anthropic would, at the HTTP boundary and nowhere deeper.
package llmtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Ask is what the provider was asked.
type Ask struct {
	Path   string
	Header http.Header
	// Body is the JSON as it came, Members the same read.
	Body    string
	Members map[string]any
}

// Reply is what it says.
type Reply struct {
	// Status is 200 where it is 0.
	Status int
	Header http.Header
	// Body is the whole answer; with Events it streams instead.
	Body string
	// Events are server-sent, each as its lines or, if it is one JSON, its data.
	Events []string
	// Hold, if set, is waited for after the first of Events, and before Body.
	Hold <-chan struct{}
	// Break cuts the connection where the answer would end.
	Break bool
	// Raw is written as it is, in place of Events, as its content type says.
	Raw, ContentType string
}

// Server is a scripted provider.
type Server struct {
	URL string
	// Gone receives when a client has gone while its answer was held.
	Gone chan struct{}

	mu    sync.Mutex
	asked []Ask
}

// Start runs a provider until the test ends. script may be called by several
// requests at once.
func Start(t testing.TB, script func(Ask) Reply) *Server {
	t.Helper()
	s := &Server{Gone: make(chan struct{}, 16)}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, script) }))
	t.Cleanup(web.Close)
	s.URL = web.URL
	return s
}

// Asked are the requests so far.
func (s *Server) Asked() []Ask {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Ask(nil), s.asked...)
}

// Last is the newest request.
func (s *Server) Last(t testing.TB) Ask {
	t.Helper()
	all := s.Asked()
	if len(all) == 0 {
		t.Fatal("the provider was not asked")
	}
	return all[len(all)-1]
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, script func(Ask) Reply) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	a := Ask{Path: r.URL.EscapedPath(), Header: r.Header.Clone(), Body: string(b)}
	_ = json.Unmarshal(b, &a.Members) // what is no object has none
	s.mu.Lock()
	s.asked = append(s.asked, a)
	s.mu.Unlock()
	reply := script(a)
	for name, values := range reply.Header {
		w.Header()[name] = values
	}
	out := &writer{s: s, w: w, r: r, flush: http.NewResponseController(w)}
	out.reply(reply)
}

type writer struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	flush *http.ResponseController
}

func (o *writer) reply(reply Reply) {
	kind := "application/json"
	switch {
	case reply.Raw != "":
		kind = reply.ContentType
	case reply.Events != nil:
		kind = "text/event-stream"
	}
	o.w.Header().Set("Content-Type", kind)
	if reply.Status != 0 {
		o.w.WriteHeader(reply.Status)
	}
	if reply.Events == nil && !o.held(reply.Hold) {
		return
	}
	fmt.Fprint(o.w, reply.Body, reply.Raw)
	for i, e := range reply.Events {
		fmt.Fprint(o.w, framed(e))
		_ = o.flush.Flush() // a client that has gone is seen below
		if i == 0 && !o.held(reply.Hold) {
			return
		}
	}
	if reply.Break {
		_ = o.flush.Flush()
		panic(http.ErrAbortHandler)
	}
}

// held waits; it is false when the client has gone.
func (o *writer) held(hold <-chan struct{}) bool {
	if hold == nil {
		return true
	}
	_ = o.flush.Flush()
	select {
	case <-hold:
		return true
	case <-o.r.Context().Done():
		o.s.Gone <- struct{}{}
		return false
	}
}

// framed is an event as it stands in a stream.
func framed(e string) string {
	if strings.HasPrefix(e, "{") || e == "[DONE]" {
		var told struct {
			Type string `json:"type"`
		}
		if json.Unmarshal([]byte(e), &told) == nil && told.Type != "" {
			return "event: " + told.Type + "\ndata: " + e + "\n\n"
		}
		return "data: " + e + "\n\n"
	}
	return e
}

// OpenAIText is a streamed answer of chat completions, a word a chunk.
func OpenAIText(words ...string) Reply {
	var events []string
	for _, w := range words {
		events = append(events, openaiChunk(map[string]any{"content": w}, nil))
	}
	return Reply{Events: append(events, openaiEnd("stop", 11, len(words))...)}
}

// OpenAITool is a streamed call of a tool, its arguments in two pieces.
func OpenAITool(id, name, arguments string) Reply {
	half := len(arguments) / 2
	call := func(m map[string]any) string {
		m["index"] = 0
		return openaiChunk(map[string]any{"tool_calls": []any{m}}, nil)
	}
	events := []string{
		call(map[string]any{"id": id, "type": "function", "function": map[string]any{"name": name, "arguments": ""}}),
		call(map[string]any{"function": map[string]any{"arguments": arguments[:half]}}),
		call(map[string]any{"function": map[string]any{"arguments": arguments[half:]}}),
	}
	return Reply{Events: append(events, openaiEnd("tool_calls", 21, 7)...)}
}

func openaiEnd(reason string, in, out int) []string {
	usage := map[string]any{"prompt_tokens": in, "completion_tokens": out, "total_tokens": in + out}
	return []string{openaiChunk(map[string]any{}, reason), jsonOf(map[string]any{"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": []any{}, "usage": usage}), "[DONE]"}
}

func openaiChunk(delta map[string]any, reason any) string {
	return jsonOf(map[string]any{"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "scripted",
		"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": reason}}})
}

// AnthropicText is a streamed answer of Messages, a word an event.
func AnthropicText(words ...string) Reply {
	events := []string{anthropicStart(), jsonOf(map[string]any{"type": "content_block_start", "index": 0, "content_block": map[string]any{"type": "text", "text": ""}}), `{"type":"ping"}`}
	for _, w := range words {
		events = append(events, jsonOf(map[string]any{"type": "content_block_delta", "index": 0, "delta": map[string]any{"type": "text_delta", "text": w}}))
	}
	return Reply{Events: append(append(events, `{"type":"content_block_stop","index":0}`), anthropicEnd("end_turn", len(words))...)}
}

// AnthropicTool is a streamed thought and a call of a tool, its input in two pieces.
func AnthropicTool(id, name, input string) Reply {
	half := len(input) / 2
	piece := func(s string) string {
		return jsonOf(map[string]any{"type": "content_block_delta", "index": 1, "delta": map[string]any{"type": "input_json_delta", "partial_json": s}})
	}
	events := []string{
		anthropicStart(),
		`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"A tool knows."}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2lnbmVk"}}`,
		`{"type":"content_block_stop","index":0}`,
		jsonOf(map[string]any{"type": "content_block_start", "index": 1, "content_block": map[string]any{"type": "tool_use", "id": id, "name": name, "input": map[string]any{}}}),
		piece(input[:half]), piece(input[half:]),
		`{"type":"content_block_stop","index":1}`,
	}
	return Reply{Events: append(events, anthropicEnd("tool_use", 7)...)}
}

func anthropicStart() string {
	return `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"scripted","content":[],"stop_reason":null,` +
		`"usage":{"input_tokens":11,"output_tokens":1,"cache_read_input_tokens":3}}}`
}

func anthropicEnd(reason string, out int) []string {
	return []string{jsonOf(map[string]any{"type": "message_delta", "delta": map[string]any{"stop_reason": reason, "stop_sequence": nil}, "usage": map[string]any{"output_tokens": out}}), `{"type":"message_stop"}`}
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of plain values
	}
	return string(b)
}
