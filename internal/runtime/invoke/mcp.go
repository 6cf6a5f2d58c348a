package invoke

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/session"
)

// mcpSessionHeader names the session to clients and servers that speak MCP, instead of
// sessionHeader (spec/runtime.md 8.5).
const mcpSessionHeader = "Mcp-Session-Id"

// The methods of JSON-RPC that begin a session of MCP, and what a session id of ours
// may measure in characters.
const (
	mcpInitialize           = "initialize"
	minSession, maxSession  = 33, 256
	mcpAccept               = "application/json, text/event-stream"
	mcpSessionSeparator     = ":mcp:"
	codeMCPUnacceptable     = "McpRequestUnacceptableException"
	codeMCPSessionNotFound  = "McpSessionNotFoundException"
	mcpSessionNotFoundWords = "Session not found - Its server does not know this Mcp-Session-Id any more; initialize a new session"
)

// An mcpSession is a session as MCP names it. A server that keeps sessions names them
// itself, and its clients must find their way to the sandbox that it runs in: what they
// are told is the platform's id with the server's behind it. So nothing has to be
// remembered of it, and it outlives restarts as a session that hibernates does. Where
// the server names none, or accepts the one that it is given, it is the platform's.
type mcpSession struct {
	is bool // of MCP
	// platform is the session's id as others know it, server what its server calls
	// it, and given the header of the client.
	platform, server, given string
}

// mcpRoute finds the session of a client's header, which counts more than the session
// that key names: SDKs make one up for each call. named is set where key's was sent.
func mcpRoute(key *session.Key, header string, named bool) (mcpSession, error) {
	m := mcpSession{given: header, server: header}
	if platform, server, ok := splitMCP(header); ok {
		key.ID, m.server = platform, server
		return m, nil
	}
	if n := len(header); n >= minSession && n <= maxSession {
		key.ID = header
	} else if !named {
		return m, fault.Validation("%s '%s' names no session: send one that an answer named, one of %d to %d characters, or none to begin a session",
			mcpSessionHeader, header, minSession, maxSession)
	}
	return m, nil
}

// errOtherProtocol says that a session runs an agent that does not speak MCP.
var errOtherProtocol = errors.New("the agent speaks another protocol than MCP")

// sendMCP sends a message in the session that MCP names. Whether the agent speaks MCP
// is known to a session that runs, so that only one that is to be started looks it up.
func (s *Service) sendMCP(ctx context.Context, key session.Key, m message, header string, named bool) (*agentcore.InvokeAgentRuntimeResponse, error) {
	var invalid error
	if m.mcp, invalid = mcpRoute(&key, header, named); invalid != nil {
		if err := s.speaksMCP(ctx, key); err != nil {
			return nil, err
		}
		return nil, invalid
	}
	return s.send(ctx, key, &m, func(ctx context.Context, version string) (session.Plan, error) {
		if err := s.speaksMCP(ctx, key); err != nil {
			return session.Plan{}, err
		}
		return s.plans.Plan(ctx, key, version)
	})
}

// speaksMCP is errOtherProtocol for an endpoint whose agents do not.
func (s *Service) speaksMCP(ctx context.Context, key session.Key) error {
	server, err := s.plans.Server(ctx, key)
	if err == nil && server.Protocol != agentcorecontrol.ServerProtocolMCP {
		err = errOtherProtocol
	}
	return err
}

// joinMCP is what a client is told of a session that its server has named.
func joinMCP(platform, server string) string {
	return url.QueryEscape(platform) + mcpSessionSeparator + server
}

// splitMCP takes apart what joinMCP made.
func splitMCP(header string) (platform, server string, ok bool) {
	escaped, server, ok := strings.Cut(header, mcpSessionSeparator)
	if !ok || server == "" {
		return "", "", false
	}
	platform, err := url.QueryUnescape(escaped)
	if err != nil || len(platform) < minSession || len(platform) > maxSession || url.QueryEscape(platform) != escaped {
		return "", "", false
	}
	return platform, server, true
}

// rename gives the session in an agent's answer the name that clients come back with.
func (s *mcpSession) rename(h http.Header) {
	if !s.is {
		return
	}
	name := s.platform
	switch server := h.Get(mcpSessionHeader); {
	case server != "" && server != s.platform:
		name = joinMCP(s.platform, server)
	case server == "" && s.given != "":
		name = s.given
	}
	h.Set(mcpSessionHeader, name)
}

// fitMCP names the session to the server. One that begins is left to the server to
// name; a client that names none and does not initialize is one of a server that keeps
// no sessions, which takes the platform's (spec/runtime.md 8.5).
func (m *message) fitMCP(id string) error {
	m.mcp.is, m.mcp.platform = true, id
	if m.method == http.MethodPost && !acceptsMCP(m.header.Values("Accept")) {
		return fault.New(codeMCPUnacceptable, http.StatusNotAcceptable, "MCP protocol requires Accept header: %s", mcpAccept)
	}
	body := m.readAlong()
	switch {
	case m.mcp.given != "":
		m.header.Set(mcpSessionHeader, m.mcp.server)
	case body == nil || body.method() != mcpInitialize:
		m.header.Set(mcpSessionHeader, id)
	}
	return nil
}

// acceptsMCP reports whether an answer of either type is welcome, as MCP wants it.
func acceptsMCP(accept []string) bool {
	var object, stream bool
	for _, list := range accept {
		for one := range strings.SplitSeq(list, ",") {
			kind, _, _ := strings.Cut(one, ";")
			switch strings.ToLower(strings.TrimSpace(kind)) {
			case "*/*":
				object, stream = true, true
			case "application/json", "application/*":
				object = true
			case "text/event-stream", "text/*":
				stream = true
			}
		}
	}
	return object && stream
}

// maxMCPError bounds an error of JSON-RPC that a server answers with, in bytes.
const maxMCPError = 64 << 10

// isMCPError reports whether an answer that is no 2xx is what MCP itself says: an error
// of JSON-RPC, to which its transport gives a status (2026-07-28: 400 for a version or
// a header that does not fit, 404 for a method that there is not). Clients find out by
// it which version to speak, so that it reaches them as it is. What was read of the
// body is read again by others.
func isMCPError(resp *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode < 400 || resp.StatusCode > 499 || kind != "application/json" {
		return false
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxMCPError+1))
	resp.Body = rest{Reader: io.MultiReader(bytes.NewReader(text), resp.Body), Closer: resp.Body}
	var message struct {
		Version string `json:"jsonrpc"`
		Error   *struct {
			Code    *int    `json:"code"`
			Message *string `json:"message"`
		} `json:"error"`
	}
	return err == nil && len(text) <= maxMCPError && json.Unmarshal(text, &message) == nil &&
		message.Version == "2.0" && message.Error != nil && message.Error.Code != nil && message.Error.Message != nil
}

// rest is a body of which something was read.
type rest struct {
	io.Reader
	io.Closer
}

// refused words an agent's refusal. What a status of MCP's transport tells a client
// about its session reaches it; nothing else does.
func (m *message) refused(resp *http.Response, detail runtime.Detail) error {
	if !m.mcp.is || m.mcp.given == "" {
		return refusedByAgent(resp, detail)
	}
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return errMCPSession()
	case m.method == http.MethodPost:
	case resp.StatusCode == http.StatusMethodNotAllowed:
		return errUsePost()
	case resp.StatusCode == http.StatusConflict:
		return fault.Conflict("The server has a stream of this session already")
	}
	return refusedByAgent(resp, detail)
}

func errMCPSession() error {
	return fault.New(codeMCPSessionNotFound, http.StatusNotFound, "%s", mcpSessionNotFoundWords)
}

// errUsePost says what AWS says of every method but POST.
func errUsePost() error {
	f := fault.New("MethodNotAllowedException", http.StatusMethodNotAllowed, "Method Not Allowed. Use POST.")
	f.Header = http.Header{"Allow": {http.MethodPost}}
	return f
}

// InvokeAgentRuntimeMcpStream is the stream on which a server of MCP sends what nobody
// asked for: GET of the URL that its messages are POSTed to.
func (s *Service) InvokeAgentRuntimeMcpStream(ctx context.Context, in *agentcore.AgentRuntimeMcpSessionRequest) (*agentcore.InvokeAgentRuntimeResponse, error) {
	if in.McpSessionId == nil {
		return nil, errUsePost() // there is nothing to listen to yet: a session begins with a POST
	}
	return s.mcpSession(ctx, http.MethodGet, in)
}

// Hush ends the streams on which nothing is asked, and keeps new ones from lasting: at
// the end of the server nobody waits for what they might bring.
func (s *Service) Hush() { s.hush.Do(func() { close(s.hushed) }) }

// EndAgentRuntimeMcpSession ends a session that the server keeps. The sandbox may have
// others, and goes when it has been idle.
func (s *Service) EndAgentRuntimeMcpSession(ctx context.Context, in *agentcore.AgentRuntimeMcpSessionRequest) (*agentcore.InvokeAgentRuntimeResponse, error) {
	return s.mcpSession(ctx, http.MethodDelete, in)
}

// mcpSession asks something about a session that there is; none is started for it.
func (s *Service) mcpSession(ctx context.Context, method string, in *agentcore.AgentRuntimeMcpSessionRequest) (*agentcore.InvokeAgentRuntimeResponse, error) {
	key, err := sessionKey(pipeline.From(ctx), *in.AgentRuntimeArn, wire.Text(in.AccountId), wire.Text(in.Qualifier), wire.Text(in.RuntimeSessionId))
	if err != nil {
		return nil, err
	}
	if err := s.speaksMCP(ctx, key); errors.Is(err, errOtherProtocol) {
		return nil, errUsePost()
	} else if err != nil {
		return nil, err
	}
	if in.McpSessionId == nil {
		return nil, fault.Validation("%s is missing: it names the session that is to end", mcpSessionHeader)
	}
	m := message{method: method, header: http.Header{}}
	if method == http.MethodGet {
		m.until = s.hushed
	}
	if m.mcp, err = mcpRoute(&key, *in.McpSessionId, in.RuntimeSessionId != nil); err != nil {
		return nil, err
	}
	m.setIf("Accept", in.Accept)
	m.setIf("Mcp-Protocol-Version", in.McpProtocolVersion)
	m.setIf("Last-Event-Id", in.LastEventId)
	return s.send(ctx, key, &m, func(ctx context.Context, version string) (session.Plan, error) {
		if version == "" { // it neither runs nor hibernates
			return session.Plan{}, errMCPSession()
		}
		return s.plans.Plan(ctx, key, version)
	})
}
