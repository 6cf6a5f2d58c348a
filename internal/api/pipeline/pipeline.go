// Package pipeline is the way of every API call: route, authenticate, decode,
// authorise, throttle, validate, replay, handle, encode, audit. There is no other
// way to a handler.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/api/validation"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv2"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gate"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// Auditor keeps the record of each call.
type Auditor interface {
	// Audit takes the record without waiting for the disk.
	Audit(ctx context.Context, r telemetry.Record) error
	// AuditDurable returns when the record is on the disk.
	AuditDurable(ctx context.Context, r telemetry.Record) error
}

// Config is what a Pipeline is built from. All members are required but Throttle,
// Used, Resource, Inbound and Open.
type Config struct {
	// Version is named in refusals.
	Version string
	// Services are all that are routed; Handlers serve their operations.
	Services   []*schema.Service
	Handlers   []schema.Handler
	Verifier   *sigv4.Verifier
	Authorizer *auth.Authorizer
	Store      store.Store
	Audit      Auditor
	Log        *slog.Logger
	Now        func() time.Time
	// Throttle refuses a call that comes too soon after others; nil refuses none.
	Throttle func(store.Scope, *schema.Service, *schema.Operation) error
	// Used is told who was authenticated for a call of a service; nil is nobody.
	Used func(ctx context.Context, p auth.Principal, service, region string)
	// Resource completes a requirement's resource where a request does not say all of
	// its ARN, by the signing name of the service whose operation it is; nil leaves it.
	Resource func(ctx context.Context, service string, p auth.Principal, arn string) (string, error)
	// Inbound lets those in who come with a token; nil is nobody.
	Inbound Inbound
	// Open are the paths that are served without credentials. The list is
	// short, and a test holds it.
	Open map[string]http.Handler
	// Hosted returns what stands before the path of a request to a host name, in AgentCore's
	// routes: a gateway has a name of its own. It is empty for all other names; nil is none.
	Hosted func(host string) string
	// Named is Hosted for names that users of the account have chosen. They lead there
	// with what is no path of the API alone: nobody takes calls of others for himself by
	// choosing the name that they are sent to.
	Named func(host string) string
	// Hint returns what is said of a path that none of AgentCore's operations is at, where
	// more can be said than that; nil says no more.
	Hint func(path string) string
	// Base tells by which address a request has come, scheme and host; nil goes by whether
	// it came over TLS.
	Base func(r *http.Request) string
	// Tree are the hosts and paths whose handler asks for what it needs itself: those
	// of user pools. Nil is none. Tests hold that list too.
	Tree Tree
}

// Tree is a handler of requests that it tells by host and path.
type Tree interface {
	http.Handler
	// Serves reports whether a request without a signature is the tree's.
	Serves(r *http.Request) bool
}

// Pipeline is the http.Handler of the API.
type Pipeline struct {
	cfg      Config
	routers  map[string]*router          // by signing name
	named    map[string]map[string]match // by signing name, and Action or X-Amz-Target
	byName   map[string][]*schema.Service
	targets  map[string]string // signing names, by what begins X-Amz-Target
	handlers map[*schema.Operation]schema.Handler
	buffers  sync.Pool    // of *[protocol.CopyBuffer]byte
	lost     atomic.Int64 // audit records
}

// New checks that handlers and tables agree: every operation is either served
// or refused with a reason, and each has its requirements.
func New(cfg Config) (*Pipeline, error) {
	p := &Pipeline{
		cfg: cfg, routers: map[string]*router{}, named: map[string]map[string]match{},
		byName: map[string][]*schema.Service{}, targets: map[string]string{}, handlers: map[*schema.Operation]schema.Handler{},
	}
	if p.cfg.Base == nil {
		p.cfg.Base = baseURL
	}
	for _, h := range cfg.Handlers {
		if _, twice := p.handlers[h.Operation]; twice {
			return nil, fmt.Errorf("register %s %s: it has two handlers", h.Service.Name, h.Operation.Name)
		}
		p.handlers[h.Operation] = h
	}
	for _, svc := range cfg.Services {
		p.byName[svc.SigningName] = append(p.byName[svc.SigningName], svc)
		if svc.Target != "" {
			p.targets[svc.Target] = svc.SigningName
		}
		if err := p.register(svc); err != nil {
			return nil, err
		}
	}
	if rt := p.routers[defaultSigning]; rt != nil {
		rt.prefix, rt.named, rt.hint = cfg.Hosted, cfg.Named, cfg.Hint
	}
	return p, nil
}

// Serves reports whether a service is routed, by its signing name.
func (p *Pipeline) Serves(signingName string) bool { return len(p.byName[signingName]) > 0 }

func (p *Pipeline) register(svc *schema.Service) error {
	for i := range svc.Operations {
		op := &svc.Operations[i]
		_, served := p.handlers[op]
		switch {
		case served && op.Refused != "":
			return fmt.Errorf("register %s %s: it has a handler, but the ledger refuses it", svc.Name, op.Name)
		case !served && op.Refused == "":
			return fmt.Errorf("register %s %s: the ledger says it is served, but it has no handler", svc.Name, op.Name)
		case len(op.Requires) == 0 && !op.Free:
			return fmt.Errorf("register %s %s: it has no requirements", svc.Name, op.Name)
		}
		if isNamed(svc) {
			if p.named[svc.SigningName] == nil {
				p.named[svc.SigningName] = map[string]match{}
			}
			name := op.Name
			if svc.Protocol == schema.JSON11 {
				name = protocol.Target(svc, op)
				// Newer SDKs leave out what stands before the service's own name.
				short := name[strings.LastIndexByte(svc.Target, '.')+1:]
				p.named[svc.SigningName][short] = match{svc: svc, op: op}
			}
			p.named[svc.SigningName][name] = match{svc: svc, op: op}
		}
	}
	if !isNamed(svc) {
		if p.routers[svc.SigningName] == nil {
			p.routers[svc.SigningName] = &router{}
		}
		p.routers[svc.SigningName].add(svc)
	}
	return nil
}

// isNamed reports whether the calls of a service name their operation, other than
// by a path.
func isNamed(svc *schema.Service) bool {
	return svc.Protocol == schema.Query || svc.Protocol == schema.JSON11
}

// exchange is one request on its way.
type exchange struct {
	p       *Pipeline
	w       *response
	r       *http.Request
	started time.Time
	from    netip.Addr // not valid of requests that this server makes
	claim   sigv4.Claim
	match   match
	call    *Call
	in      any // the operation's input, as far as it was read
	codec   protocol.Codec
	hosted  bool // the host name is a gateway's by itself
	wire    protocol.Call
	id      *sigv4.Identity
	v2      *sigv2.Claim        // set for URLs presigned in S3's older version
	taken   bool                // the body has been taken from id
	keys    map[string][]string // what conditions can ask about a token
	form    io.Closer           // the counted body of a call without a signature
	// stranger is Admission.Stranger
	stranger bool
	// requires is Actor.Requires
	requires func([]auth.Requirement) []auth.Requirement
	audited  bool
}

// ServeHTTP answers one request.
func (p *Pipeline) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from := sourceIP(r)
	e := &exchange{p: p, w: &response{ResponseWriter: w, lingers: r.ProtoMajor == 1}, r: r, started: p.cfg.Now(), from: from, call: &Call{
		RequestID: newID(), Source: from.String(), Header: r.Header, ContentLength: r.ContentLength,
		authorizer: p.cfg.Authorizer, BaseURL: p.cfg.Base(r), Method: r.Method, Path: sigv4.Path(r), Query: r.URL.RawQuery,
	}}
	e.call.exchange = e
	defer e.close()
	defer e.linger(r.Body) // as it came
	defer e.recover()
	if len(r.TransferEncoding) > 0 {
		// What stands before us may have gone by a Content-Length beside it, which
		// net/http drops: what it took for the body's end is no request of anybody's.
		w.Header().Set("Connection", "close")
	}
	if e.preflight() {
		return
	}
	e.hosted = p.cfg.Hosted != nil && p.cfg.Hosted(withoutPort(r.Host)) != ""
	if open := e.openRoute(); open != nil {
		e.hurry()
		open.ServeHTTP(e.w, r)
		return
	}
	out, err := e.serve()
	if err != nil {
		e.refuse(err)
		return
	}
	e.answer(out)
}

// openRoute returns the handler of a path that needs no credentials. A signed
// request is an API call whatever its path (S3 lists buckets at "/"), and so is
// any to the host of a bucket or another of AWS's, but for those of the tree. A gateway's
// own host has nothing else.
func (e *exchange) openRoute() http.Handler {
	p, r := e.p, e.r
	if e.hosted || bucketOfHost(r.Host) != "" || signed(r) {
		return nil
	}
	if p.cfg.Tree != nil && r.Header.Get(protocol.TargetHeader) == "" && p.cfg.Tree.Serves(r) {
		return p.cfg.Tree
	}
	h := p.cfg.Open[r.URL.Path]
	if h == nil || r.Header.Get("Authorization") != "" || r.URL.Query().Has("Action") { // of the query protocol, by GET
		return nil
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead || awshost.Is(withoutPort(r.Host)) {
		return nil
	}
	return h
}

// signed reports whether a request carries a signature, good or bad.
func signed(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Authorization"), "AWS") ||
		strings.Contains(r.URL.RawQuery, "X-Amz-") || strings.Contains(r.URL.RawQuery, "AWSAccessKeyId=")
}

// serve takes the request up to its handler's answer.
func (e *exchange) serve() (any, error) {
	claim, claimErr := sigv4.Parse(e.r)
	e.claim = claim
	if claimErr != nil && e.claimV2() {
		claimErr = nil
	}
	if err := e.route(claimErr); err != nil {
		return nil, err
	}
	if err := e.authenticate(claimErr); err != nil {
		return nil, err
	}
	if e.call.Principal.Kind != auth.Nobody && !e.stranger {
		gate.Known(e.r.Context())
		if e.p.cfg.Used != nil {
			e.p.cfg.Used(e.r.Context(), e.call.Principal, e.match.svc.SigningName, e.call.Scope.Region)
		}
	}
	in, err := e.decode()
	if err != nil {
		return nil, err
	}
	return e.perform(in)
}

// perform has an operation done that is known, with its caller and its input.
func (e *exchange) perform(in any) (any, error) {
	if err := e.authorize(in); err != nil {
		return nil, err
	}
	op := e.match.op
	if op.Bearer && e.id != nil && e.p.cfg.Inbound != nil {
		if err := e.p.cfg.Inbound.Signed(e.r.Context(), e.knock(), e.call.Scope); err != nil {
			return nil, err
		}
	}
	if e.p.cfg.Throttle != nil {
		if err := e.p.cfg.Throttle(e.call.Scope, e.match.svc, op); err != nil {
			return nil, err
		}
	}
	if err := validation.Check(e.match.svc, op, in, e.p.cfg.Version); err != nil {
		return nil, err
	}
	if op.Refused != "" {
		return nil, refused(op, e.p.cfg.Version)
	}
	ctx := WithCall(e.r.Context(), e.call)
	if op.Method == http.MethodDelete || strings.Contains(op.Name, "Delete") {
		ctx = store.Freeing(ctx) // on a full disk these are what helps
	}
	ctx, err := withToken(ctx, e.match.svc, op, in, e.call.Scope)
	if err != nil {
		return nil, err
	}
	if out, replayed, err := e.replay(ctx); replayed || err != nil {
		return out, err
	}
	out, err := e.p.handlers[op].Serve(ctx, in)
	if err != nil {
		return nil, storeFault(err)
	}
	return out, nil
}

// refused is the answer of an operation that is not built yet.
func refused(op *schema.Operation, version string) error {
	e := fault.Validation("%s is not available in Outcrop %s: %s", op.Name, version, op.Refused)
	e.Header = http.Header{"X-Outcrop-Refused": {op.Name}}
	return e
}

// takeBody puts the body in the form the signature allows in the place of the
// request's own, once.
func (e *exchange) takeBody() error {
	if e.id == nil || e.taken {
		return nil
	}
	e.taken = true
	body, err := e.id.Body()
	if err != nil {
		return err
	}
	e.r.Body = body
	e.call.Trailer = body.Trailer
	e.call.ContentLength = body.Length
	return nil
}

// decode reads the input. An operation whose types are not generated (it is
// refused, and stands in the table alone) has none.
func (e *exchange) decode() (any, error) {
	if err := e.takeBody(); err != nil {
		return nil, err
	}
	op := e.match.op
	if op.NewInput == nil {
		return nil, nil
	}
	e.in = op.NewInput()
	return e.in, e.codec.Decode(e.wire, e.r, e.match.labels, e.in)
}

func (e *exchange) authorize(in any) error {
	op, svc := e.match.op, e.match.svc
	ctx := auth.WithRequest(e.r.Context(), auth.Request{
		SourceIP: e.from, Time: e.started, Secure: e.r.TLS != nil, Region: e.call.Scope.Region, UserAgent: e.r.UserAgent(),
		Referer: e.r.Referer(), Keys: conditionKeys(svc, op, in, e.keys),
	})
	e.r = e.r.WithContext(ctx)
	if op.Unsigned || op.Free {
		return nil // its handler may still ask
	}
	if in == nil { // a refused operation whose input is not described
		return e.call.Authorize(ctx, auth.Requirement{Action: op.Requires[0].Action, Resource: "*"})
	}
	if op.Input >= 0 {
		if err := e.headersSigned(svc, op); err != nil {
			return err
		}
	}
	needed := requirements(svc, op, in, e.call.Scope)
	if e.requires != nil {
		needed = e.requires(needed)
	}
	if complete := e.p.cfg.Resource; complete != nil {
		for i := range needed {
			var err error
			if needed[i].Resource, err = complete(ctx, svc.SigningName, e.call.Principal, needed[i].Resource); err != nil {
				return fault.Internal(fmt.Errorf("complete the resource of %s: %w", needed[i].Action, err))
			}
		}
	}
	// What a service does for its caller elsewhere comes after what it is asked for itself.
	own := slices.IndexFunc(needed, func(r auth.Requirement) bool { return onBehalf(svc, r.Action) })
	if own < 0 {
		return e.call.Authorize(ctx, needed...)
	}
	if err := e.call.Authorize(ctx, needed[:own]...); err != nil {
		return err
	}
	return e.call.Authorize(calledVia(ctx, svc), needed[own:]...)
}

// answer writes the result. The audit of a call that hands out a secret is on
// the disk before the first byte of the answer is out.
func (e *exchange) answer(out any) {
	if err := e.audit(nil, e.match.op.Status); err != nil {
		e.refuse(fault.Internal(err))
		return
	}
	e.setHeaders()
	if e.match.op.Upgrade {
		out.(http.Handler).ServeHTTP(e.w, e.r) // as generated handlers return it
		return
	}
	if e.bothStream() {
		// An agent may answer while the client still sends. A writer that
		// cannot do it (HTTP/2 always does) says so, and nothing is lost.
		_ = http.NewResponseController(e.w).EnableFullDuplex()
	}
	err := e.codec.Encode(e.wire, e.w, out)
	told, ended := errors.AsType[*protocol.ToldError](err)
	switch {
	case err == nil:
	case ended:
		e.logRefusal(fault.From(told.Unwrap()))
	case !e.w.begun:
		e.refuse(fault.Internal(fmt.Errorf("encode answer of %s: %w", e.match.op.Name, err)))
	default:
		e.p.cfg.Log.DebugContext(e.r.Context(), "answer broke off", "request", e.call.RequestID, "operation", e.match.op.Name, "error", err)
		e.abort()
	}
}

// bothStream reports whether both bodies of the operation are streamed.
func (e *exchange) bothStream() bool {
	op, svc := e.match.op, e.match.svc
	if op.Input < 0 || op.Output < 0 {
		return false
	}
	in, out := svc.Shape(op.Input).PayloadMember(), svc.Shape(op.Output).PayloadMember()
	return in != nil && in.Streaming && out != nil && out.Streaming
}

// abort breaks the connection: once the head is out there is no other way to
// tell the client that this is not the end.
func (e *exchange) abort() { panic(http.ErrAbortHandler) }

// refuse writes an error in the words of the service.
func (e *exchange) refuse(err error) {
	f := e.family().Fault(e.fullDisk(err))
	switch e.family() {
	case sigv4.S3:
		f = s3Words(f)
	case sigv4.Query:
		f = queryWords(f)
	}
	if f.Status >= http.StatusInternalServerError {
		f = e.internal(f)
	}
	e.logRefusal(f)
	f = e.reworded(f)
	_ = e.audit(f, f.Status) // of a refusal none fails
	if e.call.Principal.Kind == auth.Nobody {
		e.hurry()
	}
	e.setHeaders()
	if e.codec == nil {
		e.codec = protocol.For(schema.RestJSON)
	}
	if err := e.codec.EncodeError(e.wire, e.w, f); err != nil {
		e.p.cfg.Log.DebugContext(e.r.Context(), "refusal not written", "request", e.call.RequestID, "error", err)
	}
}

// reworded is a refusal as the operation's own handler words it.
func (e *exchange) reworded(f *fault.Error) *fault.Error {
	h := e.p.handlers[e.match.op]
	unread := e.in == nil || e.call.Principal.Kind == auth.Nobody
	if h.Refuse == nil || unread && f.Status != http.StatusRequestEntityTooLarge {
		return f
	}
	return h.Refuse(WithCall(e.r.Context(), e.call), e.in, f)
}

// logRefusal keeps what the caller is not told.
func (e *exchange) logRefusal(f *fault.Error) {
	cause := errors.Unwrap(f)
	if cause == nil {
		return
	}
	name := "unknown"
	if e.match.op != nil {
		name = e.match.op.Name
	}
	level := slog.LevelDebug
	if f.Status >= http.StatusInternalServerError && e.r.Context().Err() == nil {
		level = slog.LevelError // unless it failed because the client has gone
	}
	e.p.cfg.Log.Log(e.r.Context(), level, "call refused", "request", e.call.RequestID, "operation", name, "code", f.Code, "cause", cause)
}

// internal renames the opaque error to what each family of SDKs retries.
func (e *exchange) internal(f *fault.Error) *fault.Error {
	c := *f
	if f.Code != "InternalServerException" {
		return &c
	}
	switch e.family() {
	case sigv4.S3:
		c.Code, c.Message = "InternalError", "We encountered an internal error. Please try again."
	case sigv4.Query:
		c.Code = "InternalFailure"
	}
	return &c
}

// setHeaders names the request, and tells browsers that no answer is a page of
// this origin: an object or an agent's answer that says it is text/html runs no
// script beside the console, and what says it is something else is not guessed at.
func (e *exchange) setHeaders() {
	h := e.w.Header()
	e.shareAnswer(h)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox")
	if e.family() == sigv4.S3 {
		h.Set("X-Amz-Request-Id", e.call.RequestID)
		h.Set("X-Amz-Id-2", e.call.RequestID)
		return
	}
	h.Set("X-Amzn-Requestid", e.call.RequestID)
}

// family is the family of the service, as far as it is known yet.
func (e *exchange) family() sigv4.Family {
	if e.match.svc != nil {
		return sigv4.FamilyOf(e.match.svc.SigningName)
	}
	return sigv4.FamilyOf(e.claim.Service)
}

func (e *exchange) close() {
	e.answered()
	if e.form != nil {
		_ = e.form.Close() // net/http closes it again, and reports
	}
	if e.id == nil {
		return
	}
	if err := e.id.Close(); err != nil {
		e.p.cfg.Log.Warn("close body", "request", e.call.RequestID, "error", err)
	}
}

// recover turns a panic into a 500 for the caller and a stack for the log.
func (e *exchange) recover() {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	e.p.cfg.Log.Error("handler panicked", "request", e.call.RequestID, "panic", v, "stack", string(debug.Stack()))
	if e.w.begun {
		e.abort()
	}
	e.refuse(fault.Internal(fmt.Errorf("panic: %v", v)))
}
