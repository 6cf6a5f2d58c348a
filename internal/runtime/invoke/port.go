package invoke

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/sessionurl"
)

// InvokeAgentRuntimeSessionEndpoint passes a request on to a port of a session that
// its runtime has opened, and the answer back, whatever they are; WebSockets as those
// of the agent. It begins no session: who invokes the agent is told the URL.
func (s *Service) InvokeAgentRuntimeSessionEndpoint(ctx context.Context, in *agentcore.InvokeAgentRuntimeSessionEndpointRequest) (http.Handler, error) {
	call := pipeline.From(ctx)
	key, ok := s.labels.find(s.sessions, *in.SessionLabel)
	if !ok || key.Scope != call.Scope {
		return nil, errNoSession()
	}
	if err := call.Authorize(ctx, portRequirements(call, key)...); err != nil {
		return nil, err
	}
	var out http.Handler
	err := s.reach(ctx, key, func(ctx context.Context, version string) (session.Plan, error) {
		if version == "" { // it neither runs nor hibernates
			return session.Plan{}, errNoSession()
		}
		return s.plans.Plan(ctx, key, version)
	}, func(use *session.Use) (err error) {
		out, err = askPort(ctx, use, call, in, key)
		return err
	})
	return out, err
}

func errNoSession() error {
	return fault.NotFound("No session found at this URL; it ended, or is another account's or region's. InvokeAgentRuntime begins one and tells its URL")
}

// portRequirements are those of an invocation, or of a WebSocket.
func portRequirements(call *pipeline.Call, key session.Key) []auth.Requirement {
	action := "bedrock-agentcore:InvokeAgentRuntime"
	if asksForWebSocket(call.Header) {
		action += "WithWebSocketStream"
	}
	arn := runtime.ARN(key.Scope, key.Owner)
	return []auth.Requirement{{Action: action, Resource: arn}, {Action: action, Resource: arn + "/runtime-endpoint/" + key.Endpoint}}
}

// askPort sends one request. On success the session is released when the answer has
// been passed on.
func askPort(ctx context.Context, use *session.Use, call *pipeline.Call, in *agentcore.InvokeAgentRuntimeSessionEndpointRequest, key session.Key) (http.Handler, error) {
	detail, port := use.Detail().(runtime.Detail), *in.Port
	switch {
	case len(detail.Ports) == 0:
		return nil, fault.Denied("No port of this session can be reached: its runtime has no allowedPorts. Update the runtime with those that it serves")
	case !detail.Ports.Allow(port):
		return nil, fault.Denied("Port %d of this session cannot be reached: the allowedPorts of its runtime are %s", port, detail.Ports)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := portRequest(ctx, call, in, key, detail)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	deadline := time.AfterFunc(answerLimit, func() { cancel(errTimeout) })
	unwatch := context.AfterFunc(use.Context(), func() { cancel(context.Cause(use.Context())) })
	done := func() {
		deadline.Stop()
		unwatch()
		cancel(nil)
	}
	resp, err := use.Port(uint16(port)).RoundTrip(req)
	if err != nil {
		defer done()
		return nil, portFault(ctx, use, port, err)
	}
	guest, ok := resp.Body.(io.ReadWriteCloser)
	switch switches := resp.StatusCode == http.StatusSwitchingProtocols; {
	case switches && ok && asksForWebSocket(call.Header):
		deadline.Stop()
		unwatch() // the relay looks after the session's end
		return &socket{id: key.ID, use: use, agent: guest, shake: resp, over: func() { cancel(nil) }}, nil
	case resp.StatusCode < http.StatusOK, resp.StatusCode > 999:
		defer done()
		defer resp.Body.Close()
		return nil, fault.RuntimeClient("Port %d of the session gave an answer that is none: status %d", port, resp.StatusCode)
	}
	deadline.Reset(streamLimit)
	resp.Body = &body{ReadCloser: resp.Body, ctx: ctx, use: use, done: func() {
		done()
		use.Release()
	}}
	return &portAnswer{resp: resp, id: key.ID}, nil
}

// portFault words a port that did not answer. Nothing that listens on it is the
// caller's to know, and no reason to wait for the guest's end.
func portFault(ctx context.Context, use *session.Use, port int32, err error) error {
	var f *fault.Error
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTimeout):
		return fault.New("RuntimeClientError", http.StatusGatewayTimeout, "Port %d of the session did not answer within %s", port, answerLimit).Because(err)
	case errors.Is(cause, session.ErrStopping):
		return stopped(cause, fmt.Sprintf("before port %d answered", port)).Because(err)
	case cause != nil: // the caller has left
		return err
	case errors.As(err, &f): // the caller's own body was refused while it was read
		return f
	case errors.Is(err, sandbox.ErrRefused) && use.Exit() == (sandbox.Status{}):
		return fault.RuntimeClient("Nothing listens on port %d of the session", port)
	case unreached(err):
		return err
	}
	return fault.RuntimeClient("Port %d of the session closed the connection before it answered", port).Because(err)
}

// portRequest is the caller's request as the port is to see it: everything that is
// not between the caller and us.
func portRequest(ctx context.Context, call *pipeline.Call, in *agentcore.InvokeAgentRuntimeSessionEndpointRequest, key session.Key, detail runtime.Detail) (*http.Request, error) {
	prefix := sessionurl.Path + *in.SessionLabel + "/" + strconv.Itoa(int(*in.Port))
	path, ok := strings.CutPrefix(call.Path, prefix)
	if !ok || !strings.HasPrefix(path, "/") { // a label or a port in other words, %38080
		return nil, fault.Validation("The path of this URL is not written as the session's URL and a port, %s/", prefix)
	}
	if strings.Contains(path, "//") { // a signature for one slash is good for two
		return nil, fault.Validation("The path behind the port has an empty segment; write it with single slashes")
	}
	at, err := url.Parse("http://localhost:" + strconv.Itoa(int(*in.Port)) + path)
	if err != nil {
		return nil, fault.Validation("The path behind the port is not well formed")
	}
	at.RawQuery = unsigned(call.Query)
	req, err := http.NewRequestWithContext(ctx, call.Method, at.String(), nil)
	if err != nil {
		return nil, fault.Validation("The request cannot be passed on: its method is not well formed")
	}
	if call.ContentLength != 0 {
		req.Body, req.ContentLength = unclosed{in.Payload}, call.ContentLength
	}
	for name, values := range call.Header {
		if passes(name) {
			req.Header[name] = values
		}
	}
	dropConnection(req.Header, call.Header)
	if _, err := setHeader(req.Header, call, key.ID, detail); err != nil {
		return nil, err
	}
	if agent, sent := call.Header["User-Agent"]; sent {
		req.Header["User-Agent"] = agent
	}
	req.Header.Set("X-Forwarded-Prefix", prefix)
	if asksForWebSocket(call.Header) {
		passHandshake(req.Header, call.Header)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
	}
	return req, nil
}

// passes reports whether a caller's header may reach a port: not what belongs to
// the connection or to the proof of who calls, and nothing that the platform says
// itself. Cookies are those of this server's other pages.
func passes(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Content-Length",
		"Authorization", "Cookie", "Workloadaccesstoken", "Oauth2callbackurl", "Forwarded", "X-Real-Ip":
		return false
	}
	for _, prefix := range []string{"X-Amz-", "X-Amzn-", "X-Forwarded-", "Sec-Websocket-"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return true
}

// dropConnection drops what a Connection header says is of the connection alone
// (RFC 9110 7.6.1).
func dropConnection(to, from http.Header) {
	for _, list := range from["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			to.Del(strings.TrimSpace(name))
		}
	}
}

// unsigned is a query without what a presigned URL has in it.
func unsigned(query string) string {
	if query == "" {
		return ""
	}
	parts := slices.DeleteFunc(strings.Split(query, "&"), func(part string) bool {
		name, _, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		return err == nil && (strings.HasPrefix(strings.ToLower(name), "x-amz-") || strings.HasPrefix(strings.ToLower(name), "x-amzn-"))
	})
	return strings.Join(parts, "&")
}

// A portAnswer is to be passed on to the caller.
type portAnswer struct {
	resp *http.Response
	id   string
}

// ServeHTTP passes it on, piece by piece.
func (a *portAnswer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	defer a.resp.Body.Close()
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // HTTP/2 always does
	header := w.Header()
	for name, values := range a.resp.Header {
		if returns(name) {
			header[name] = append(header[name], values...) // beside our own policies
		}
	}
	dropConnection(header, a.resp.Header)
	header.Set(sessionHeader, a.id)
	w.WriteHeader(a.resp.StatusCode)
	buf := make([]byte, 32<<10)
	for {
		n, err := a.resp.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return // the caller has left
			}
			if control.Flush() != nil {
				return
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // what broke off must not look complete
		}
	}
}

// returns reports whether a header of a port's answer may reach the caller: not
// what belongs to the connection, and nothing that would hold for the other pages
// of this server.
func returns(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Set-Cookie", "Clear-Site-Data", "Strict-Transport-Security", "Alt-Svc", "Service-Worker-Allowed", "X-Content-Type-Options", "X-Amzn-Requestid", "X-Outcrop-Refused":
		return false
	}
	return true
}
