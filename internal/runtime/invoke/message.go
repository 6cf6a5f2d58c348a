package invoke

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/jsonrpc"
	"github.com/outcrop/outcrop/internal/runtime"
)

// A message is what is asked of an agent, whatever its protocol.
type message struct {
	method string
	// path is the agent's, with what follows it; empty is that of its protocol.
	path string
	// body is where the operation's input has the caller's; length is that of
	// http.Request, and 0 is none.
	body   *io.ReadCloser
	length int64
	// header is what the message has beyond what every request to an agent has.
	header http.Header
	mcp    mcpSession
	// until ends the answer when it is closed; nil lets it take its time.
	until <-chan struct{}
}

// setIf sets a header that the caller sent.
func (m *message) setIf(name string, value *string) {
	if value != nil {
		m.header.Set(name, *value)
	}
}

// target is the URL of the agent that a message goes to.
func (m *message) target(s runtime.Server) string {
	if m.path == "" {
		return s.URL(s.Path)
	}
	return s.URL(m.path)
}

// fit makes the message one of the agent's protocol: in a session of the server,
// started or found by its id.
func (m *message) fit(s runtime.Server, id string) error {
	switch s.Protocol {
	case agentcorecontrol.ServerProtocolMCP:
		return m.fitMCP(id)
	case agentcorecontrol.ServerProtocolA2A:
		m.readAlong()
	}
	return nil
}

// readAlong has the body read along, and returns it, or nil when there is none.
func (m *message) readAlong() *readAlong {
	if m.length == 0 {
		return nil
	}
	b := along(*m.body)
	*m.body = b
	return b
}

// The most of a JSON-RPC message that is read ahead of its agent: to find out its
// method, which is near the beginning of those that matter, and for its id, when no
// agent gets it. In bytes.
const (
	methodWithin = 16 << 10
	idWithin     = 1 << 20
)

// readAlong is the body of a JSON-RPC message, of which method and id are read while
// it is sent on.
type readAlong struct {
	io.ReadCloser
	mu    sync.Mutex
	head  jsonrpc.Head
	ahead []byte // was read, and not handed on yet
	err   error  // ended what was read ahead
	// looked is set once the method was looked for.
	looked bool
}

// along reads a body along, unless that is done already.
func along(body io.ReadCloser) *readAlong {
	if b, ok := body.(*readAlong); ok {
		return b
	}
	return &readAlong{ReadCloser: body}
}

// Read implements io.Reader. A transport may still read when its answer is there, so
// that this goes on beside id.
func (b *readAlong) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ahead) > 0 {
		n := copy(p, b.ahead)
		b.ahead = b.ahead[n:]
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.more(p)
}

// more reads what nobody has read; the caller holds the mutex.
func (b *readAlong) more(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	_, _ = b.head.Write(p[:n]) // never fails
	return n, err
}

// method is the message's, or empty when it is not near its beginning.
func (b *readAlong) method() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.looked {
		return b.head.Method()
	}
	b.looked = true
	for part := make([]byte, 2<<10); len(b.ahead) < methodWithin && b.err == nil && b.head.Method() == "" && !b.head.Ended(); {
		var n int
		n, b.err = b.more(part)
		b.ahead = append(b.ahead, part[:n]...)
	}
	return b.head.Method()
}

// id is the message's, for an answer that no agent gives. What was not sent to an
// agent is read for it, and lost.
func (b *readAlong) id() json.RawMessage {
	if !b.mu.TryLock() { // it is being read, slowly: nobody waits for more of it
		return json.RawMessage(jsonrpc.Null)
	}
	defer b.mu.Unlock()
	buf := make([]byte, 8<<10)
	for n := 0; n < idWithin && b.err == nil && !b.head.Ended(); {
		var got int
		got, b.err = b.more(buf)
		n += got
	}
	return json.RawMessage(b.head.ID())
}
