// Package invoke is the data plane of the Runtime service: it hands a request
// to the session it belongs to and streams the answer back.
package invoke

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

// The longest an agent may take (spec/runtime.md 14): to begin its answer, and
// to stream it.
const (
	answerLimit = 15 * time.Minute
	streamLimit = 60 * time.Minute
)

// maxErrorBody is how much of an agent's error is kept for the log, in bytes,
// and errorBodyLimit how long that may take to arrive.
const (
	maxErrorBody   = 8 << 10
	errorBodyLimit = 5 * time.Second
)

// Planner says what a session runs.
type Planner interface {
	Plan(ctx context.Context, key session.Key, version string) (session.Plan, error)
	// Server is how the agents of an endpoint serve; the session of the key does
	// not matter.
	Server(ctx context.Context, key session.Key) (runtime.Server, error)
	// Authorizer says who may call an endpoint with a token, and is nil where
	// signatures are wanted.
	Authorizer(ctx context.Context, key session.Key) (*inbound.Authorizer, error)
}

// Config is what the service is built from.
type Config struct {
	Plans    Planner
	Sessions *session.Manager
	Store    store.Store
	// Door verifies the tokens of callers.
	Door *inbound.Door
	// Region is where runtimes are that a caller without a signature names by their
	// bare ids.
	Region string
}

// Service implements agentcore.Runtime.
type Service struct {
	plans    Planner
	sessions *session.Manager
	store    store.Store
	door     *inbound.Door
	region   string
	shells   shells
	labels   labels
	// hushed is closed when nobody is listened to any more.
	hushed chan struct{}
	hush   sync.Once
}

var _ agentcore.Runtime = (*Service)(nil)

// New returns the service.
func New(cfg Config) *Service {
	return &Service{plans: cfg.Plans, sessions: cfg.Sessions, store: cfg.Store, door: cfg.Door, region: cfg.Region, shells: shells{all: map[shellKey]*shell{}}, labels: labels{all: map[string]session.Key{}}, hushed: make(chan struct{})}
}

// InvokeAgentRuntime passes the request to the agent of the session, which is
// started if need be, and streams the agent's answer.
func (s *Service) InvokeAgentRuntime(ctx context.Context, in *agentcore.InvokeAgentRuntimeRequest) (*agentcore.InvokeAgentRuntimeResponse, error) {
	call := pipeline.From(ctx)
	key, err := sessionKey(call, *in.AgentRuntimeArn, wire.Text(in.AccountId), wire.Text(in.Qualifier), wire.Text(in.RuntimeSessionId))
	if err != nil {
		return nil, err
	}
	m := message{method: http.MethodPost, body: &in.Payload, length: call.ContentLength, header: http.Header{}}
	for name, value := range map[string]*string{
		"Content-Type": in.ContentType, "Accept": in.Accept,
		mcpSessionHeader: in.McpSessionId, "Mcp-Protocol-Version": in.McpProtocolVersion, "Mcp-Method": in.McpMethod, "Mcp-Name": in.McpName,
	} {
		m.setIf(name, value)
	}
	if in.McpSessionId != nil {
		if out, err := s.sendMCP(ctx, key, m, *in.McpSessionId, in.RuntimeSessionId != nil); !errors.Is(err, errOtherProtocol) {
			return out, err
		}
	}
	out, err := s.send(ctx, key, &m, s.start(key))
	if errors.Is(err, errOtherProtocol) { // somebody else's mistake, who asked for the same session
		out, err = s.send(ctx, key, &m, s.start(key))
	}
	return out, err
}

// send hands a message to the agent of a session and streams the answer.
func (s *Service) send(ctx context.Context, key session.Key, m *message, plan session.Planner) (*agentcore.InvokeAgentRuntimeResponse, error) {
	call := pipeline.From(ctx)
	if m.header == nil {
		m.header = http.Header{}
	}
	if err := s.vouch(ctx, m.header, call, key); err != nil {
		return nil, err
	}
	var out *agentcore.InvokeAgentRuntimeResponse
	err := s.reach(ctx, key, plan, func(use *session.Use) (err error) {
		if out, err = ask(ctx, use, call, m, key.ID); err == nil {
			out.SessionEndpointUrl = endpointURL(call, key, use.Detail().(runtime.Detail).Ports)
		}
		return err
	})
	return out, err
}

// start plans a session that may have to be started.
func (s *Service) start(key session.Key) session.Planner {
	return func(ctx context.Context, version string) (session.Plan, error) {
		return s.plans.Plan(ctx, key, version)
	}
}

// reach lets do use a session, which is started if need be. If do succeeds it
// releases the session. A guest that has just died is found out by the first who
// turns to it. That one gets a fresh session: nothing was sent yet.
func (s *Service) reach(ctx context.Context, key session.Key, plan session.Planner, do func(*session.Use) error) error {
	for again := true; ; again = false {
		use, err := s.sessions.Acquire(ctx, key, plan)
		if err != nil {
			return acquireFault(err)
		}
		if use.Context().Err() != nil {
			err = acquireFault(session.ErrStopping)
		} else if err = do(use); err == nil {
			return nil
		}
		lost := again && unreached(err) && gone(ctx, use)
		if !lost && unreached(err) && ctx.Err() == nil {
			noteUnreached(use, err)
		}
		use.Release()
		if !lost {
			return err
		}
	}
}

// unreached reports that a request never reached the guest. What a guest that is
// being taken down answers to a dial depends on the moment.
func unreached(err error) bool {
	_, ok := errors.AsType[*session.DialError](err)
	return ok || errors.Is(err, sandbox.ErrStopped)
}

// farewell is how long a guest that refuses connections is given to turn out
// dead rather than deaf. Taking a sandbox down takes up to a second on a busy
// machine, and longer on one that is busier.
const farewell = 5 * time.Second

// gone reports whether the guest has died by itself.
func gone(ctx context.Context, use *session.Use) bool {
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-use.Done():
		return use.Context().Err() == nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// noteUnreached says in the session's log why nobody answers.
func noteUnreached(use *session.Use, err error) {
	detail := use.Detail().(runtime.Detail)
	text := "the agent cannot be reached: " + err.Error()
	if errors.Is(err, sandbox.ErrRefused) {
		text = fmt.Sprintf("nothing listens on port %d any more", detail.Server.Port)
	}
	detail.Note(text)
}

// ask sends one request. On success the session is released when the answer's
// body is closed.
func ask(ctx context.Context, use *session.Use, call *pipeline.Call, m *message, id string) (*agentcore.InvokeAgentRuntimeResponse, error) {
	detail := use.Detail().(runtime.Detail)
	if m.mcp.given != "" && detail.Server.Protocol != agentcorecontrol.ServerProtocolMCP {
		return nil, errOtherProtocol
	}
	if err := m.fit(detail.Server, id); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	req, trace, err := agentRequest(ctx, call, m, id, detail)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	deadline := time.AfterFunc(answerLimit, func() { cancel(errTimeout) })
	unwatch := context.AfterFunc(use.Context(), func() { cancel(context.Cause(use.Context())) })
	if m.until != nil {
		go func() {
			select {
			case <-m.until:
				cancel(session.ErrClosed)
			case <-ctx.Done():
			}
		}()
	}
	done := func() {
		deadline.Stop()
		unwatch()
		cancel(nil)
	}
	resp, err := use.Transport().RoundTrip(req)
	if err != nil {
		defer done()
		return nil, agentFault(ctx, use, detail, err)
	}
	err = unpack(resp)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		deadline.Reset(errorBodyLimit)
		if !m.mcp.is || !isMCPError(resp) {
			defer done()
			defer resp.Body.Close()
			return nil, m.refused(resp, detail)
		}
	}
	if err != nil {
		defer done()
		defer resp.Body.Close()
		detail.Note(fault.From(err).Message)
		return nil, err
	}
	deadline.Reset(streamLimit)
	m.mcp.rename(resp.Header)
	text := &body{ReadCloser: resp.Body, ctx: ctx, use: use, note: detail.Note, done: func() {
		done()
		use.Release()
	}}
	return answer(resp, id, trace, aguiEvents(detail.Server.Protocol, resp.Header, text)), nil
}

// answer is what the caller sees of the agent's response.
func answer(resp *http.Response, id string, trace traceContext, body io.ReadCloser) *agentcore.InvokeAgentRuntimeResponse {
	status := int32(resp.StatusCode)
	out := &agentcore.InvokeAgentRuntimeResponse{RuntimeSessionId: &id, StatusCode: &status, Response: body}
	for name, member := range map[string]**string{
		"Content-Type": &out.ContentType, "Mcp-Session-Id": &out.McpSessionId, "Mcp-Protocol-Version": &out.McpProtocolVersion,
		"X-Amzn-Trace-Id": &out.TraceId, "Traceparent": &out.TraceParent, "Tracestate": &out.TraceState, "Baggage": &out.Baggage,
	} {
		if v := resp.Header.Get(name); v != "" {
			*member = &v
		}
	}
	if out.TraceId == nil && trace.id != "" {
		out.TraceId = &trace.id
	}
	if out.ContentType == nil {
		out.ContentType = new("application/octet-stream")
	}
	return out
}

// body releases the session when the answer has been read or given up, and
// tells the session's log of an answer that broke off.
type body struct {
	io.ReadCloser
	ctx  context.Context // of the request
	use  *session.Use
	note func(string)
	done func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil || err == io.EOF || b.note == nil {
		return n, err
	}
	switch {
	case errors.Is(context.Cause(b.ctx), errTimeout):
		b.note("the agent's answer was cut off after " + streamLimit.String())
	case b.ctx.Err() == nil: // neither the caller has left nor the session was stopped
		why := demise(b.ctx, b.use)
		if why == "" {
			why = err.Error()
		}
		b.note("the agent's answer broke off: " + why)
	}
	b.note = nil // once
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	if b.done != nil {
		b.done()
		b.done = nil
	}
	return err
}

// StopRuntimeSession ends a session's sandbox and streams.
func (s *Service) StopRuntimeSession(ctx context.Context, in *agentcore.StopRuntimeSessionRequest) (*agentcore.StopRuntimeSessionResponse, error) {
	call := pipeline.From(ctx)
	// The operation has no accountId: a bare id is the caller's own.
	key, err := sessionKey(call, *in.AgentRuntimeArn, call.Scope.Account, wire.Text(in.Qualifier), *in.RuntimeSessionId)
	if err != nil {
		return nil, err
	}
	switch err := s.sessions.Stop(ctx, key); {
	case errors.Is(err, session.ErrNotFound):
		return nil, fault.NotFound("No session found with id '%s' for agent '%s'", key.ID, runtime.ARN(key.Scope, key.Owner))
	case err != nil:
		return nil, acquireFault(err)
	}
	done := &agentcore.StopRuntimeSessionResponse{RuntimeSessionId: in.RuntimeSessionId, StatusCode: new(int32(http.StatusOK))}
	out, err := store.Reply(ctx, s.store, func(store.Tx) (*agentcore.StopRuntimeSessionResponse, error) { return done, nil })
	if errors.Is(err, store.ErrFull) {
		return done, nil // it is stopped, although a repetition will not know
	}
	return out, err
}

// sessionKey reads the runtime out of the path: a whole ARN, or an id with the
// account beside it. Without a session's id it is a new one, as SDKs make one when
// the caller names none.
func sessionKey(call *pipeline.Call, arn, account, qualifier, id string) (session.Key, error) {
	if qualifier == "" {
		qualifier = runtime.DefaultEndpoint
	}
	if id == "" {
		id = uuid.NewString()
	}
	key := session.Key{Scope: call.Scope, Owner: arn, Endpoint: qualifier, ID: id}
	if !strings.HasPrefix(arn, "arn:") {
		switch account {
		case "":
			return key, fault.Validation("accountID is required when the agent is named by its id; send the query parameter accountId, or the agent's whole ARN")
		case call.Scope.Account:
			return key, nil
		}
		return key, notFound(qualifier, arn)
	}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[1] == "" || parts[2] != "bedrock-agentcore" || !strings.HasPrefix(parts[5], "runtime/") || parts[5] == "runtime/" {
		return key, fault.Validation("'%s' is not the ARN of an agent runtime: write %s", arn, runtime.ARN(call.Scope, "ID"))
	}
	key.Owner = strings.TrimPrefix(parts[5], "runtime/")
	if parts[3] != call.Scope.Region || parts[4] != call.Scope.Account {
		return key, notFound(qualifier, arn)
	}
	return key, nil
}

func notFound(qualifier, arn string) error {
	return fault.NotFound("No endpoint or agent found with qualifier '%s' for agent '%s'", qualifier, arn)
}

// errTimeout is the cause of a request that took too long.
var errTimeout = errors.New("the agent did not answer in time")

// acquireFault words what can go wrong before the agent is reached.
func acquireFault(err error) error {
	var start *session.StartError
	var unavailable *sandbox.UnavailableError
	var command *sandbox.CommandError
	var disk *session.DiskError
	switch {
	case errors.As(err, &start):
		return runtime.StartFault(start)
	case errors.Is(err, session.ErrStopping), errors.Is(err, session.ErrElsewhere):
		return fault.Retryable("Session operation in progress, please retry")
	case errors.As(err, &disk):
		return fault.Quota("%s. Stop sessions that are not needed, or make room on the disk of the data directory (`outcrop prune`)", err).Because(err)
	case errors.Is(err, session.ErrLimit):
		return fault.Quota("%s. Stop sessions that are not needed, or raise the limit (outcrop serve --max-sessions, --max-memory)", err).Because(err)
	case errors.As(err, &unavailable):
		return fault.RuntimeClient("This host cannot run sandboxes: %s. %s. `outcrop doctor` checks it", unavailable.Reason, unavailable.Fix).Because(err)
	case errors.Is(err, session.ErrClosed):
		return fault.New("ServiceUnavailableException", http.StatusServiceUnavailable, "The server is shutting down").Because(err)
	case errors.As(err, &command):
		return fault.RuntimeClient("The agent cannot be started: %s", command.Reason).Because(err)
	}
	return err
}

// stopped words the end of a session under what it was asked; before what says the
// rest of the sentence.
func stopped(cause error, before string) *fault.Error {
	if over, ok := errors.AsType[*session.LifetimeError](cause); ok {
		return fault.RuntimeClient("The session reached its maxLifetime of %.0f seconds %s. The next request starts a new session; to let sessions live longer, raise lifecycleConfiguration.maxLifetime with UpdateAgentRuntime (outcrop deploy --max-lifetime).", over.MaxLife.Seconds(), before)
	}
	return fault.RuntimeClient("The session was stopped %s", before)
}

// agentFault words an agent that broke off before it answered.
func agentFault(ctx context.Context, use *session.Use, detail runtime.Detail, err error) error {
	var f *fault.Error
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTimeout):
		detail.Note("the agent did not begin its answer within " + answerLimit.String())
		return fault.New("RuntimeClientError", http.StatusGatewayTimeout, "The agent did not answer within %s", answerLimit).Because(err)
	case errors.Is(cause, session.ErrStopping):
		return stopped(cause, "before the agent answered").Because(err)
	case errors.Is(cause, session.ErrClosed):
		return acquireFault(cause)
	case cause != nil: // the caller has left
		return err
	case errors.As(err, &f): // the caller's own body was refused while it was read
		return f
	case !unreached(err):
		if why := demise(ctx, use); why != "" {
			detail.Note("the agent broke off before it answered: " + why)
			return fault.RuntimeClient("The agent closed the connection before it answered: %s. Please check your CloudWatch logs for more information.", why).Because(err)
		}
		detail.Note("the agent broke off before it answered: " + err.Error())
	}
	return fault.RuntimeClient("The agent closed the connection before it answered. Please check your CloudWatch logs for more information.").Because(err)
}

// refusedByAgent writes an agent's error into its log; neither its status nor
// its body reaches the caller (spec/runtime.md 8.4).
func refusedByAgent(resp *http.Response, detail runtime.Detail) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what there is
	detail.Note(strings.TrimSuffix(fmt.Sprintf("the agent answered %s: %s", resp.Status, text), ": "))
	return fault.RuntimeClient("Received error (%d) from runtime. Please check your CloudWatch logs for more information.", resp.StatusCode)
}
