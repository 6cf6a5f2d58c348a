// Package mcp is the MCP endpoint of gateways: one server to its callers, with the tools,
// prompts and resources of all targets behind it (spec/gateway.md 8).
//
// What callers and targets say to each other passes as it is. The protocol's own Go SDK
// serves where messages are made (package upstream); here, on the way of every call, it
// would decode and write again what nobody has to know, at twenty times the cost.
package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/function"
	"github.com/outcrop/outcrop/internal/gateway/interceptor"
	"github.com/outcrop/outcrop/internal/gateway/jsonraw"
	"github.com/outcrop/outcrop/internal/gateway/ratelimit"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret"
)

// Config is what an Endpoint is made of. All members are required but Functions, Limiter,
// Decider and Pages.
type Config struct {
	Box *secret.Box
	Now func() time.Time
	Log *slog.Logger
	// Limiter says who may call how much; nil lets everybody call as much as they want.
	Limiter Limiter
	// Functions are those that intercept what passes.
	Functions function.Functions
	// Decider says who may call what; nil lets everybody call everything.
	Decider Decider
	// Changed returns a channel that is closed when a gateway changes, whichever.
	Changed func() <-chan struct{}
	// Latest returns the view of a gateway.
	Latest func(ctx context.Context, id string) (*gateway.View, error)
	// Pages lists tools a target at a time, as AWS does; otherwise all at once.
	Pages bool
}

// Limiter is who holds callers to a gateway's rate limits.
type Limiter interface {
	// Take counts a request, and release, if any, is called when it has ended. One that is
	// too many gets refused for an answer, with header; there is no release then.
	Take(v *gateway.View, c target.Caller, called ratelimit.Called) (refused *target.Error, header http.Header, release func())
}

// Decider is who decides on calls of tools.
type Decider interface {
	// Call reports whether a caller may call a tool, and where not, what to tell.
	Call(ctx context.Context, v *gateway.View, c target.Caller, t *gateway.Tool, arguments json.RawMessage) (reason string, allowed bool, err error)
	// Listed reports whether a caller might call a tool at all.
	Listed(ctx context.Context, v *gateway.View, c target.Caller, t *gateway.Tool) (bool, error)
}

// Endpoint serves the callers of all gateways. It is safe for concurrent use.
type Endpoint struct {
	cfg       Config
	sessions  *sessions
	listeners listeners
	hush      chan struct{}
}

// New returns an Endpoint.
func New(cfg Config) *Endpoint {
	return &Endpoint{cfg: cfg, sessions: newSessions(cfg.Box, cfg.Now), listeners: newListeners(), hush: make(chan struct{})}
}

// Hush ends the streams that only listen. It is called once, before the listener waits
// for those that answer.
func (e *Endpoint) Hush() { close(e.hush) }

// Request is one HTTP request of a caller who was let in.
type Request struct {
	View   *gateway.View
	Caller target.Caller
	ID     string
	Method string
	Header http.Header
	Query  string
	Body   io.Reader
	Length int64 // of the body, or -1
	// Call is the caller's, and Needs what they must be allowed, for requests with several
	// messages.
	Call  Call
	Needs auth.Requirement
}

// Call is a call that was let in.
type Call interface {
	// Again lets one more in that came with it, and returns its id. The error holds a
	// *fault.Error where it is refused; any other is a fault of ours.
	Again(ctx context.Context, requirements ...auth.Requirement) (id string, err error)
}

const (
	// maxBody bounds a request, in bytes (spec/gateway.md 6).
	maxBody = 6 << 20
	// callLimit bounds a call.
	callLimit = 15 * time.Minute
)

// Handler answers a request.
func (e *Endpoint) Handler(r Request) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		ctx, cancel := context.WithTimeout(hr.Context(), callLimit)
		defer cancel()
		x := &exchange{e: e, ctx: ctx, client: hr.Context(), view: r.View, caller: r.Caller, header: r.Header, query: r.Query, request: r.ID, came: r.Call, needs: r.Needs}
		x.seen = interceptor.Request{ID: r.ID, Source: source(hr), Method: r.Method, Path: "/mcp", Header: r.Header}
		x.out = &stream{x: x, w: w, control: http.NewResponseController(w)}
		defer x.ended()
		switch r.Method {
		case http.MethodPost:
			x.post(r.Body, r.Length)
		case http.MethodGet:
			x.listen()
		case http.MethodDelete:
			x.leave()
		default:
			w.Header().Set("Allow", "DELETE, GET, POST")
			x.refuse(&failure{Error: target.Error{Code: codeInvalidRequest, Message: "Method not allowed. POST a message"}, status: http.StatusMethodNotAllowed})
		}
	})
}

// exchange is one request on its way.
type exchange struct {
	e       *Endpoint
	ctx     context.Context
	client  context.Context // as long as the caller is there
	view    *gateway.View
	caller  target.Caller
	header  http.Header
	query   string
	request string
	out     *stream
	msg     *message
	params  params
	version string
	session session
	// batched is how many calls were let in of messages that came at once; nil is of one that
	// came by itself.
	batched *int
	came    Call
	needs   auth.Requirement
	// cancelled is set where the caller said that no answer is wanted any more.
	cancelled atomic.Bool

	// tool is the one that was looked up last, and holder the target of a resource.
	tool   *gateway.Tool
	holder struct {
		uri    string
		target *gateway.Target
	}
	// held are what rate limits want to be told when the request has ended.
	held []func()

	// hooks are the gateway's interceptors, from the moment that they are asked on, and
	// seen what they are shown of the request; authorization is one that they have set.
	hooks         *interceptor.Chain
	seen          interceptor.Request
	authorization []string
}

// post takes what was sent: one message, or several.
func (x *exchange) post(body io.Reader, length int64) {
	text, f := x.receive(body, length)
	switch {
	case f != nil:
		x.refuse(f)
	case firstToken(text) == '[':
		x.batch(text)
	default:
		x.one(text)
	}
}

// one takes one message.
func (x *exchange) one(text []byte) {
	if f := x.read(text); f != nil {
		x.refuse(f)
		return
	}
	switch {
	case x.msg.answers():
		if !x.e.sessions.answered(x.session, x.msg) {
			x.refuse(refused(codeInvalidRequest, "Nothing was asked of you under this id, or somebody has answered"))
			return
		}
		x.out.finish(http.StatusAccepted, nil)
	case !x.msg.call():
		if x.msg.Method == "notifications/cancelled" {
			x.e.sessions.cancel(x.session, x.msg)
		}
		x.out.finish(http.StatusAccepted, nil) // what else callers only tell changes nothing here
	default:
		if x.session.Nonce != "" {
			defer x.cancellable()()
		}
		if f := x.another(); f != nil {
			x.refuse(f)
			return
		}
		if f := x.take(x.called()); f != nil {
			x.refuse(f)
			return
		}
		if x.intercepted() {
			return
		}
		result, f := x.serve()
		switch {
		case x.cancelled.Load():
			x.out.finish(http.StatusAccepted, nil) // as MCP says: no answer
		case f != nil:
			x.refuse(f)
		default:
			x.answer(result)
		}
	}
}

// cancellable lets the caller end what runs.
func (x *exchange) cancellable() (done func()) {
	var leave, stop context.CancelFunc
	x.client, leave = context.WithCancel(x.client)
	x.ctx, stop = context.WithCancel(x.ctx)
	forget := x.e.sessions.runs(x.session, x.msg.ID, func() { x.cancelled.Store(true); leave(); stop() })
	return func() { forget(); leave(); stop() }
}

// receive reads the body of a request, and how it is to be answered.
func (x *exchange) receive(body io.Reader, length int64) ([]byte, *failure) {
	if kind := x.header.Get("Content-Type"); kind != "application/json" && !isJSON(kind) {
		f := invalid(codeInvalidRequest, "The Content-Type of a message is application/json")
		f.status = http.StatusUnsupportedMediaType
		return nil, f
	}
	events := accepts(x.header, "text/event-stream")
	if !events && !accepts(x.header, "application/json") {
		f := invalid(codeInvalidRequest, "The answer is application/json or text/event-stream. Accept both")
		f.status = http.StatusNotAcceptable
		return nil, f
	}
	x.out.events = events && len(x.header.Values("Accept")) > 0 && x.view.Streaming
	if length > maxBody {
		return nil, tooLarge() // before who waits for that is told to send it
	}
	text, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if len(text) > maxBody || err != nil && fault.From(err).Status == http.StatusRequestEntityTooLarge {
		return nil, tooLarge()
	}
	if err != nil {
		f := invalid(codeParse, "The request broke off")
		f.err = err
		return nil, f
	}
	return text, nil
}

// isJSON reports whether a Content-Type is JSON's, or nothing that is known.
func isJSON(kind string) bool {
	kind, _, _ = mime.ParseMediaType(kind)
	return kind == "" || kind == "application/json"
}

// TooLarge says that a request is, for who finds it out before an Endpoint does.
var TooLarge = fmt.Sprintf("The request has more than %d bytes. Send less, or a link to what is large", maxBody)

// CodeTooLarge is the code of an error that says so.
const CodeTooLarge = codeInvalidRequest

func tooLarge() *failure {
	f := invalid(CodeTooLarge, "%s", TooLarge)
	f.status = http.StatusRequestEntityTooLarge
	return f
}

// read reads a message, and what it is: of which revision, and of which session.
func (x *exchange) read(text []byte) *failure {
	x.seen.Body = text
	var f *failure
	if x.msg, f = parse(text); f != nil {
		return f
	}
	var about meta
	if x.params, about, f = x.msg.read(); f != nil {
		return f
	}
	if x.version, f = x.revision(about); f != nil {
		return f
	}
	if x.view.SessionLife == 0 || x.version >= stateless || x.msg.Method == "initialize" || x.msg.Method == "server/discover" {
		return nil
	}
	x.session, f = x.belongs()
	return f
}

// serve answers a request.
func (x *exchange) serve() (json.RawMessage, *failure) {
	switch {
	case x.version >= stateless && (x.msg.Method == "initialize" && x.header.Get(versionHeader) != "" || x.msg.Method == "ping"):
		return nil, refused(codeUnknownMethod, "Method not found: %s went with revision %s", x.msg.Method, stateless)
	case x.version < stateless && (x.msg.Method == "server/discover" || x.msg.Method == "subscriptions/listen"):
		return nil, refused(codeUnknownMethod, "Method not found: %s came with revision %s", x.msg.Method, stateless)
	}
	switch x.msg.Method {
	case "initialize":
		return x.initialize()
	case "server/discover":
		return x.discover()
	case "ping":
		return json.RawMessage("{}"), nil
	case "subscriptions/listen":
		return x.subscribe()
	case "tools/list":
		return x.listTools()
	case "tools/call":
		return x.callTool()
	case "prompts/list":
		return x.listPrompts()
	case "prompts/get":
		return x.getPrompt()
	case "resources/list":
		return x.listResources()
	case "resources/templates/list":
		return x.listTemplates()
	case "resources/read":
		return x.readResource()
	}
	return nil, refused(codeUnknownMethod, "Method not found: %s", clip(x.msg.Method))
}

// answer sends a result.
func (x *exchange) answer(result json.RawMessage) {
	if x.version >= stateless {
		result = typed(result)
	}
	b := make([]byte, 0, len(result)+len(x.msg.ID)+40)
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, x.msg.ID...)
	b = append(b, `,"result":`...)
	b = append(b, result...)
	x.reply(http.StatusOK, append(b, '}'))
}

// refuse sends an error.
func (x *exchange) refuse(f *failure) {
	if x.version >= stateless {
		f = f.modern()
	}
	if f.err != nil {
		level := slog.LevelDebug
		if f.status >= http.StatusInternalServerError {
			level = x.unless(slog.LevelError)
		}
		x.e.cfg.Log.Log(x.ctx, level, "gateway call failed", "gateway", x.view.ID, "request", x.request, "error", f.err)
	}
	if _, theirs := errors.AsType[*target.Error](f.err); f.Code == codeInternal && !theirs { // the log has the cause under this id
		f.Data, _ = json.Marshal(about{Request: x.request}) // strings only
	}
	b, err := json.Marshal(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   target.Error    `json:"error"`
	}{"2.0", x.msg.id(), f.Error})
	if err != nil { // the data of an upstream's error
		b = []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":` + strconv.Itoa(codeInternal) + `,"message":"` + generic + `"}}`)
	}
	x.reply(f.status, b)
}

// unless is the level of what went wrong, unless the caller has left: that fails every call
// which runs then, and is nobody's fault here.
func (x *exchange) unless(level slog.Level) slog.Level {
	if x.client.Err() != nil {
		return slog.LevelDebug
	}
	return level
}

// typed says of a result of revision 2026-07-28 that it is one, where its target is older
// and does not.
func typed(result json.RawMessage) json.RawMessage {
	if len(result) < 2 || result[0] != '{' {
		return result
	}
	if bytes.Contains(result, []byte(`"resultType"`)) { // its own, or that of something in it
		for key := range jsonraw.Members(result) {
			if string(key) == "resultType" {
				return result
			}
		}
	}
	head := `{"resultType":"complete"`
	if first := firstToken(result[1:]); first != '}' {
		head += ","
	}
	return append([]byte(head), result[1:]...)
}

func firstToken(b []byte) byte {
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}

// listen keeps a stream open for what the gateway says by itself: that its tools changed.
func (x *exchange) listen() {
	if x.view.SessionLife == 0 || !x.view.Streaming {
		x.out.w.Header().Set("Allow", "POST")
		x.refuse(&failure{Error: target.Error{Code: codeInvalidRequest, Message: "This gateway sends nothing by itself: it has no sessions, or no response streaming"}, status: http.StatusMethodNotAllowed})
		return
	}
	var f *failure
	if x.session, f = x.belongs(); f != nil {
		x.refuse(f)
		return
	}
	if !accepts(x.header, "text/event-stream") {
		f := invalid(codeInvalidRequest, "What comes is text/event-stream. Accept it")
		f.status = http.StatusNotAcceptable
		x.refuse(f)
		return
	}
	if f := x.take(ratelimit.Called{}); f != nil {
		x.refuse(f)
		return
	}
	leave, f := x.stay()
	if f != nil {
		x.refuse(f)
		return
	}
	defer leave()
	x.out.events = true
	x.out.opened()
	ends := time.NewTimer(x.session.Ends.Sub(x.e.cfg.Now()))
	defer ends.Stop()
	ctx, stop := context.WithCancel(x.client)
	defer stop()
	defer x.e.sessions.listens(x.session, x, stop)()
	x.watch(ctx, ends.C, nil)
}

// leave ends a session.
func (x *exchange) leave() {
	if x.view.SessionLife == 0 {
		x.out.w.Header().Set("Allow", "POST")
		x.refuse(&failure{Error: target.Error{Code: codeInvalidRequest, Message: "This gateway keeps no sessions"}, status: http.StatusMethodNotAllowed})
		return
	}
	found, f := x.belongs()
	if f != nil {
		x.refuse(f)
		return
	}
	x.e.sessions.end(found)
	for _, t := range x.view.Targets {
		if p, ok := t.Server.(target.Peer); ok {
			p.End(x.ctx, found.ID)
		}
	}
	x.out.finish(http.StatusOK, nil)
}
