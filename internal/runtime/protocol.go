package runtime

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/session"
)

// Server is how an agent serves inside its sandbox (spec/runtime.md 2.7, 10).
type Server struct {
	// Protocol is one of agentcorecontrol's ServerProtocol.
	Protocol string
	// Port is on the guest's loopback.
	Port uint16
	// Path is where work is POSTed to.
	Path string
}

// URL is a path of the agent's server, as its client writes it.
func (s Server) URL(path string) string {
	return "http://localhost:" + strconv.Itoa(int(s.Port)) + path
}

// HTTPServer is that of a runtime that configures nothing.
func HTTPServer() Server {
	return Server{Protocol: agentcorecontrol.ServerProtocolHTTP, Port: 8080, Path: "/invocations"}
}

// a2aPort is where an agent that speaks A2A listens unless it is told.
const a2aPort = 9000

// env tells the SDK of A2A where the agent is reached, on the guest's own wire, and
// where it listens if that is not where it always does (spec/runtime.md 9.5). Callers
// from elsewhere are told their own URL in the agent's card.
func (s Server) env(api, arn string) []string {
	if s.Protocol != agentcorecontrol.ServerProtocolA2A {
		return nil
	}
	var env []string
	if s.Port != a2aPort {
		env = append(env, "A2A_PORT="+strconv.Itoa(int(s.Port)))
	}
	if api != "" {
		env = append(env, "AGENTCORE_RUNTIME_URL="+api+"/runtimes/"+url.QueryEscape(arn)+"/invocations/")
	}
	return env
}

// serverOf fills in what is not given.
func serverOf(c *agentcorecontrol.ProtocolConfiguration) Server {
	s := HTTPServer()
	if c == nil {
		return s
	}
	switch s.Protocol = *c.ServerProtocol; s.Protocol {
	case agentcorecontrol.ServerProtocolMCP:
		s.Port, s.Path = 8000, "/mcp"
	case agentcorecontrol.ServerProtocolA2A:
		s.Port, s.Path = a2aPort, "/"
	}
	if c.Port != nil {
		s.Port = uint16(*c.Port) // 8000 to 12000, by the model
	}
	if c.Path != nil {
		s.Path = *c.Path
	}
	return s
}

// SocketPath is where an agent serves WebSockets, beside its protocol.
const SocketPath = "/ws"

// pingPath is the health check of all protocols, on the protocol's own port.
const pingPath = "/ping"

// probe finds out whether the agent is ready. An MCP server need not have
// /ping: whatever it answers there, it is up (spec/runtime.md 8.6, 12).
func (s Server) probe() func(context.Context, http.RoundTripper) error {
	if s.Protocol != agentcorecontrol.ServerProtocolMCP {
		return session.HTTPProbe(s.Port, pingPath)
	}
	return func(ctx context.Context, guest http.RoundTripper) error { return s.Answers(ctx, guest) }
}

// health asks the agent how it is.
func (s Server) health() func(context.Context, http.RoundTripper) (session.Health, error) {
	status := session.HTTPHealth(s.Port, pingPath)
	if s.Protocol != agentcorecontrol.ServerProtocolMCP {
		return status
	}
	return func(ctx context.Context, guest http.RoundTripper) (session.Health, error) {
		if h, err := status(ctx, guest); err == nil {
			return h, nil // one that has it may say that it is busy
		}
		return session.Health{}, s.Answers(ctx, guest)
	}
}

// maxPing bounds what is read of an answer so that its connection can be kept, in
// bytes.
const maxPing = 4 << 10

// Answers asks the agent for anything: whatever it says on its protocol's port is an
// answer. The error is the transport's.
func (s Server) Answers(ctx context.Context, guest http.RoundTripper) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL(pingPath), nil)
	if err != nil {
		return err
	}
	resp, err := guest.RoundTrip(req)
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, resp.Body, maxPing)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, resp.Body.Close())
}
