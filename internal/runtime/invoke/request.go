package invoke

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/runtime"
)

// maxHeader bounds one header that is passed on, in bytes (spec/runtime.md 2.6).
const maxHeader = 4 << 10

// agentRequest is the request as the agent's container contract has it
// (spec/runtime.md 10), and the trace that was begun for it, if one was.
func agentRequest(ctx context.Context, call *pipeline.Call, m *message, id string, detail runtime.Detail) (*http.Request, traceContext, error) {
	req, err := http.NewRequestWithContext(ctx, m.method, m.target(detail.Server), nil)
	if err != nil {
		return nil, traceContext{}, err
	}
	if m.length != 0 {
		// The body belongs to the pipeline, which closes it.
		req.Body, req.ContentLength = unclosed{*m.body}, m.length
	}
	trace, err := setHeader(req.Header, call, id, detail)
	if err != nil {
		return nil, trace, err
	}
	maps.Copy(req.Header, m.header)
	return req, trace, nil
}

// sessionHeader names the session, to agents and to callers.
const sessionHeader = "X-Amzn-Bedrock-Agentcore-Runtime-Session-Id"

// setHeader sets what every request to an agent has: what the runtime's owner has
// listed, the trace that it belongs to or begins, which it returns, and the session.
func setHeader(to http.Header, call *pipeline.Call, id string, detail runtime.Detail) (begun traceContext, err error) {
	if err := passOn(to, call.Header, detail.Headers); err != nil {
		return begun, err
	}
	if token := call.User.Token; !token.Empty() && detail.Headers["authorization"] {
		to.Set("Authorization", "Bearer "+token.Reveal()) // wherever it came in
	}
	for _, name := range []string{"X-Amzn-Trace-Id", "Traceparent", "Tracestate", "Baggage"} {
		if v := call.Header.Get(name); v != "" {
			to.Set(name, v)
		}
	}
	if to.Get("X-Amzn-Trace-Id") == "" && to.Get("Traceparent") == "" {
		begun = newTrace(time.Now())
		to.Set("X-Amzn-Trace-Id", begun.id)
		to.Set("Traceparent", begun.parent)
	}
	if prefix := protocolHeaders(detail.Server.Protocol); prefix != "" {
		for name, values := range call.Header {
			if strings.HasPrefix(name, prefix) {
				to[name] = values
			}
		}
	}
	to.Set(sessionHeader, id)
	to.Set("X-Amzn-Bedrock-AgentCore-Runtime-Request-Id", call.RequestID)
	to["User-Agent"] = nil // not Go's; a caller's cannot be passed on
	return begun, nil
}

// protocolHeaders is how the headers begin that belong to a protocol and that the model
// does not name: the parameters of MCP's tools (SEP-2243), and A2A's version and
// extensions, without which a server of A2A takes a client to speak 0.3.
func protocolHeaders(protocol string) string {
	switch protocol {
	case agentcorecontrol.ServerProtocolMCP:
		return "Mcp-Param-"
	case agentcorecontrol.ServerProtocolA2A:
		return "A2a-"
	}
	return ""
}

// unclosed is a body that a failed dial does not use up.
type unclosed struct{ io.Reader }

func (unclosed) Close() error { return nil }

// passOn copies the headers that the runtime's owner has listed.
func passOn(to, from http.Header, listed map[string]bool) error {
	if len(listed) == 0 {
		return nil
	}
	for name, values := range from {
		if !listed[strings.ToLower(name)] {
			continue
		}
		for _, v := range values {
			if len(v) > maxHeader {
				return fault.Validation("Header '%s' has %d bytes; one that is passed on to an agent may have at most %d", name, len(v), maxHeader)
			}
		}
		to[name] = values
	}
	return nil
}

// traceContext names a trace in X-Ray's form and in W3C's.
type traceContext struct{ id, parent string }

// newTrace begins a trace for a request that came without one. It is sampled:
// whoever instruments an agent wants to see it.
func newTrace(at time.Time) traceContext {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	begun, root, span := fmt.Sprintf("%08x", uint32(at.Unix())), hex.EncodeToString(b[:12]), hex.EncodeToString(b[12:])
	return traceContext{
		id:     "Root=1-" + begun + "-" + root + ";Parent=" + span + ";Sampled=1",
		parent: "00-" + begun + root + "-" + span + "-01",
	}
}
