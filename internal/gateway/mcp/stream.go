package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// stream is the answer to a request while it is made: one JSON document, or events from
// the first message on that comes before the result.
type stream struct {
	x       *exchange
	w       http.ResponseWriter
	control *http.ResponseController
	// events is set where the caller takes events, and the gateway sends them.
	events bool

	mu    sync.Mutex
	begun bool // events are being sent
	done  bool
}

var _ target.Client = (*stream)(nil)

// Notify implements target.Client.
func (s *stream) Notify(method string, params json.RawMessage) {
	b, err := json.Marshal(struct {
		Version string          `json:"jsonrpc"`
		Method  string          `json:"method"`
		Params  json.RawMessage `json:"params,omitempty"`
	}{"2.0", method, params})
	if err == nil {
		s.event(b)
	}
}

var errSilent = errors.New("the caller cannot be asked: it takes no events, or has no session")

// Ask implements target.Client.
func (s *stream) Ask(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	of := s.x.session
	able := map[string]bool{"elicitation/create": of.Elicits, "sampling/createMessage": of.Samples, "roots/list": of.Roots}
	if of.Nonce == "" || !s.asks() || !able[method] {
		return nil, errSilent
	}
	id, answer, forget := s.x.e.sessions.ask(of)
	defer forget()
	b, err := json.Marshal(struct {
		Version string          `json:"jsonrpc"`
		ID      string          `json:"id"`
		Method  string          `json:"method"`
		Params  json.RawMessage `json:"params,omitempty"`
	}{"2.0", id, method, params})
	if err != nil {
		return nil, err
	}
	if !s.event(b) {
		return nil, errSilent
	}
	select {
	case m, ok := <-answer:
		switch {
		case !ok:
			return nil, errNoSession
		case m.Error != nil:
			e := &target.Error{Code: codeInternal, Message: "the caller's answer is an error that is none"}
			if err := json.Unmarshal(m.Error, e); err != nil {
				e.Data = nil
			}
			return nil, e
		}
		return m.Result, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// asks tells whether a question can be sent. Interceptors would see neither it nor its answer.
func (s *stream) asks() bool { return s.events && s.x.hooks == nil }

// event sends one, and reports whether it could.
func (s *stream) event(body []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.send(body)
}

func (s *stream) send(body []byte) bool {
	if !s.events || s.done {
		return false
	}
	if !s.begun {
		s.begun = true
		h := s.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache, no-transform")
		h.Set("X-Accel-Buffering", "no")
		s.w.WriteHeader(http.StatusOK)
	}
	for _, part := range [...][]byte{[]byte("event: message\ndata: "), oneLine(body), []byte("\n\n")} {
		if _, err := s.w.Write(part); err != nil {
			return false // the caller has left
		}
	}
	return s.control.Flush() == nil
}

// oneLine is a JSON text without line ends, which are between its tokens alone.
func oneLine(b []byte) []byte {
	for i, c := range b {
		if c == '\n' || c == '\r' {
			out := append([]byte(nil), b...)
			for j := i; j < len(out); j++ {
				if out[j] == '\n' || out[j] == '\r' {
					out[j] = ' '
				}
			}
			return out
		}
	}
	return b
}

// finish sends the answer itself. Nothing follows it.
func (s *stream) finish(status int, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		if body != nil {
			s.send(body)
		}
		s.done = true
		return
	}
	s.done = true
	if body == nil {
		s.w.WriteHeader(status)
		return
	}
	s.w.Header().Set("Content-Type", "application/json")
	s.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	s.w.WriteHeader(status)
	if _, err := s.w.Write(body); err == nil { // the caller may have left
		_ = s.control.Flush() // what is left to do here keeps nobody waiting
	}
}
