package invoke

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/websocket"
)

// socketLimits are those of spec/runtime.md 9.1.
var socketLimits = websocket.Limits{FrameBytes: 64 << 10, FramesPerSecond: 250, Life: 60 * time.Minute}

// socketPath is where an agent of any protocol serves WebSockets.
const socketPath = runtime.SocketPath

// InvokeAgentRuntimeWithWebSocketStream connects the caller to the WebSocket of the
// session's agent.
func (s *Service) InvokeAgentRuntimeWithWebSocketStream(ctx context.Context, in *agentcore.InvokeAgentRuntimeWithWebSocketStreamRequest) (http.Handler, error) {
	call := pipeline.From(ctx)
	if !asksForWebSocket(call.Header) {
		return nil, errNoWebSocket()
	}
	key, err := sessionKey(call, *in.AgentRuntimeArn, wire.Text(in.AccountId), wire.Text(in.Qualifier), wire.Text(in.RuntimeSessionId))
	if err != nil {
		return nil, err
	}
	c := &socket{id: key.ID, header: http.Header{}}
	if err := s.vouch(ctx, c.header, call, key); err != nil {
		return nil, err
	}
	if err := s.reach(ctx, key, s.start(key), func(use *session.Use) error { return c.connect(ctx, use, call) }); err != nil {
		return nil, err
	}
	return c, nil
}

func errNoWebSocket() error {
	return fault.Validation("This URL is a WebSocket's: connect to it with a WebSocket client, whose request upgrades the connection (RFC 6455)")
}

// asksForWebSocket tells whether a request upgrades its connection.
func asksForWebSocket(h http.Header) bool {
	return strings.EqualFold(h.Get("Upgrade"), "websocket") && h.Get("Sec-Websocket-Key") != ""
}

// A socket is a connection to an agent's WebSocket that is to be joined to the
// caller's.
type socket struct {
	id    string
	use   *session.Use
	agent io.ReadWriteCloser
	shake *http.Response // the agent's side of the handshake
	// header is what the agent is told of the caller.
	header http.Header
	// bearer is set for a client that sent its token among the protocols.
	bearer bool
	over   func() // is called at the end, if there is something to call
}

// connect shakes hands with the agent in the words of the caller, so that both
// agree with each other on protocols and extensions.
func (c *socket) connect(ctx context.Context, use *session.Use, call *pipeline.Call) error {
	detail := use.Detail().(runtime.Detail)
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil) // the connection outlives it
	unwatch := context.AfterFunc(use.Context(), func() { end(context.Cause(use.Context())) })
	defer unwatch()
	ctx, cancel := context.WithTimeoutCause(ctx, answerLimit, errTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, detail.Server.URL(socketPath), nil)
	if err != nil {
		return err
	}
	if _, err := setHeader(req.Header, call, c.id, detail); err != nil {
		return err
	}
	maps.Copy(req.Header, c.header)
	c.bearer = passHandshake(req.Header, call.Header)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	resp, err := use.Transport().RoundTrip(req)
	if err != nil {
		return agentFault(ctx, use, detail, err)
	}
	agent, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		defer resp.Body.Close()
		return refusedByAgent(resp, detail)
	}
	c.use, c.agent, c.shake = use, agent, resp
	return nil
}

// passHandshake copies what the two ends agree on. The key and the version are said
// once: the bedrock-agentcore SDK writes both, and hands them to a WebSocket library
// that has written its own before and wants its own key answered. A token among the
// protocols is the platform's business; whether there was one is reported.
func passHandshake(to, from http.Header) (bearer bool) {
	for name, values := range from {
		if !strings.HasPrefix(name, "Sec-Websocket-") {
			continue
		}
		if name == "Sec-Websocket-Key" || name == "Sec-Websocket-Version" {
			values = values[:1]
		}
		to[name] = values
	}
	offered := pipeline.SocketProtocols(from)
	agents := slices.DeleteFunc(slices.Clone(offered), isBearerProtocol)
	if bearer = len(agents) < len(offered); bearer {
		to.Del("Sec-Websocket-Protocol")
		if len(agents) > 0 {
			to.Set("Sec-Websocket-Protocol", strings.Join(agents, ", "))
		}
	}
	return bearer
}

func isBearerProtocol(name string) bool {
	return name == pipeline.BearerProtocol || strings.HasPrefix(name, pipeline.BearerProtocol+".")
}

// ServeHTTP joins the caller's connection to the agent's until one of them ends it.
func (c *socket) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	defer c.use.Release()
	if c.over != nil {
		defer c.over()
	}
	defer c.agent.Close()
	detail := c.use.Detail().(runtime.Detail)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2, which has no upgrades, does not come here
		http.Error(w, "this connection cannot be upgraded", http.StatusNotImplemented)
		return
	}
	client := struct {
		io.Reader
		io.WriteCloser
	}{buffered.Reader, conn}
	if err := c.greet(conn, w.Header()); err != nil {
		conn.Close()
		return
	}
	err = websocket.Relay(c.use.Context(), client, c.agent, socketLimits)
	var v *websocket.Violation
	switch {
	case errors.As(err, &v) && !v.ByClient:
		detail.Note("the agent's WebSocket was closed: " + v.Reason)
	case errors.Is(err, websocket.ErrServerGone):
		why := demise(context.Background(), c.use)
		if why == "" {
			why = err.Error()
		}
		detail.Note("the agent's WebSocket broke off: " + why)
	case errors.Is(err, websocket.ErrLife):
		detail.Note(fmt.Sprintf("the agent's WebSocket was closed after %s", socketLimits.Life))
	}
}

// greet ends the handshake with the caller.
func (c *socket) greet(conn net.Conn, header http.Header) error {
	if err := conn.SetDeadline(time.Time{}); err != nil { // those of the server's requests
		return err
	}
	for name, values := range c.shake.Header {
		if name == "Upgrade" || name == "Connection" || strings.HasPrefix(name, "Sec-Websocket-") {
			header[name] = values
		}
	}
	if c.bearer && header.Get("Sec-Websocket-Protocol") == "" { // browsers want one of theirs
		header.Set("Sec-Websocket-Protocol", pipeline.BearerProtocol)
	}
	header.Set(sessionHeader, c.id)
	w := bufio.NewWriter(conn)
	fmt.Fprintf(w, "HTTP/1.1 %s\r\n", "101 Switching Protocols")
	if err := header.Write(w); err != nil {
		return err
	}
	if _, err := w.WriteString("\r\n"); err != nil {
		return err
	}
	return w.Flush()
}
