// Package distribution serves the registry at /v2/ by the protocol of the OCI
// distribution specification 1.1: what docker, podman, buildah, skopeo and crane
// push to and pull from. Callers log in with a password of GetAuthorizationToken,
// which says who they are and in which region; each request then needs the
// permissions that ECR asks for it, and leaves an audit record.
package distribution

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gate"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// Prefix begins all paths of the protocol. No bucket of S3 has that name.
const Prefix = "/v2/"

// Config is what a Registry is made of. All members are required.
type Config struct {
	Images *registry.Storage
	Logins interface {
		// Login tells who has a password. The error is principal.ErrLogin.
		Login(ctx context.Context, password string) (principal.Login, error)
	}
	Authorizer *auth.Authorizer
	Audit      interface {
		Audit(ctx context.Context, r telemetry.Record) error
	}
	Log *slog.Logger
	Now func() time.Time
}

// Registry is the http.Handler of the protocol.
type Registry struct{ cfg Config }

// New returns the protocol's handler.
func New(cfg Config) *Registry { return &Registry{cfg} }

// exchange is one request on its way.
type exchange struct {
	*Registry
	w       *answer
	r       *http.Request
	id      string
	started time.Time
	route   route
	login   principal.Login
	// name is the repository, base what addresses of it begin with.
	name registry.Name
	base string
	// resources are what the caller had to be allowed something on.
	resources []string
}

// answer knows its status.
type answer struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets an http.ResponseController set deadlines.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// ServeHTTP answers one request.
func (g *Registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &exchange{Registry: g, w: &answer{w, http.StatusOK}, r: r, id: uuid.NewString(), started: g.cfg.Now()}
	defer e.recover()
	h := w.Header()
	h.Set("Docker-Distribution-Api-Version", "registry/2.0")
	h.Set("X-Amzn-Requestid", e.id)
	// A layer that says it is a page runs no script beside the console.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox")
	err := e.serve()
	if err != nil {
		e.refuse(err)
	}
	e.audit(err)
}

func (e *exchange) serve() error {
	var ok bool
	if e.route, ok = parseRoute(e.r.Method, e.r.URL.Path); !ok {
		return unknownPath()
	}
	if err := e.authenticate(); err != nil {
		return err
	}
	gate.Known(e.r.Context())
	e.r = e.r.WithContext(auth.WithRequest(e.r.Context(), auth.Request{
		SourceIP: sourceIP(e.r), Time: e.started, Secure: e.r.TLS != nil, Region: e.name.Region, UserAgent: e.r.UserAgent(),
	}))
	if err := e.address(); err != nil {
		return err
	}
	if e.route.action != "" {
		if err := e.authorize(e.route.action, e.name.ARN()); err != nil {
			return err
		}
	}
	return e.route.serve(e)
}

// address finds the repository, and checks that the login is good for it: the
// name of a registry of ECR, as the host or before the repository's name, says
// which account and region; otherwise they are the login's own.
func (e *exchange) address() error {
	e.name = registry.Name{Scope: e.scope(), Repository: e.route.name}
	e.base = Prefix + e.route.name
	hosts := []string{hostname(e.r.Host)}
	if first, rest, ok := strings.Cut(e.route.name, "/"); ok {
		if _, named := registry.ParseHost(first); named {
			hosts = append(hosts, first)
			e.name.Repository = rest
		}
	}
	for _, h := range hosts {
		said, named := registry.ParseHost(h)
		switch {
		case named && said.Account != e.name.Account:
			return fault.Denied("The login is for %s and not for %s, which is not on this server", registry.Host(e.name.Scope), h)
		case named && said != e.name.Scope:
			return fault.Denied("The login is for %s and not for %s. Log in there: aws ecr get-login-password --region %s", registry.Host(e.name.Scope), h, said.Region)
		}
	}
	if e.route.name != "" && !registry.ValidRepository(e.name.Repository) {
		return fault.BadRequest(codeNameInvalid, "'%s' is no name of a repository: 2 to 256 lower-case letters, digits, dots, hyphens, underscores and slashes", clip(e.name.Repository))
	}
	return nil
}

func (e *exchange) scope() store.Scope {
	return store.Scope{Account: e.login.Principal.Account, Region: e.login.Region}
}

// authorize asks for a permission.
func (e *exchange) authorize(action, resource string) error {
	e.resources = append(e.resources, resource)
	return e.cfg.Authorizer.Authorize(e.r.Context(), e.login.Principal, []auth.Requirement{{Action: action, Resource: resource}})
}

// authenticate reads the password. Docker's clients send it as that of the user
// AWS, others as a bearer token.
func (e *exchange) authenticate() error {
	user, password, ok := e.r.BasicAuth()
	if scheme, token, _ := strings.Cut(e.r.Header.Get("Authorization"), " "); !ok && strings.EqualFold(scheme, "Bearer") {
		user, password, ok = userName, strings.TrimSpace(token), true
	}
	if !ok {
		return e.challenge("no basic auth credentials: log in first, aws ecr get-login-password | docker login --username AWS --password-stdin %s", e.r.Host)
	}
	if user != userName {
		return e.challenge("the user name of this registry is AWS, and its password that of aws ecr get-login-password")
	}
	login, err := e.cfg.Logins.Login(e.r.Context(), password)
	if errors.Is(err, principal.ErrLogin) {
		return e.challenge("your authorization token has expired or is not valid: log in again, aws ecr get-login-password | docker login --username AWS --password-stdin %s", e.r.Host).Because(err)
	}
	if err != nil {
		return err
	}
	e.login = login
	e.name.Scope = e.scope()
	return nil
}

// userName is the only user of ECR.
const userName = "AWS"

// strangerPatience is how long the body of somebody who has not proven who they
// are may take: net/http reads some of it before it answers.
const strangerPatience = 10 * time.Second

func (e *exchange) challenge(format string, args ...any) *fault.Error {
	_ = http.NewResponseController(e.w).SetReadDeadline(time.Now().Add(strangerPatience)) // a writer without a connection has none
	f := fault.New(codeUnauthorized, http.StatusUnauthorized, format, args...)
	scheme := "http"
	if e.r.TLS != nil {
		scheme = "https"
	}
	f.Header = http.Header{"Www-Authenticate": {`Basic realm="` + scheme + "://" + quoteless(e.r.Host) + `/",service="ecr.amazonaws.com"`}}
	return f
}

// quoteless keeps a Host header from ending the quotation it is put in.
func quoteless(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r < ' ' {
			return -1
		}
		return r
	}, s)
}

// refuse writes an error in the words of the protocol. The head may be out
// already: then only a broken connection tells.
func (e *exchange) refuse(err error) {
	f := e.words(err)
	if cause := errors.Unwrap(f); cause != nil && e.r.Context().Err() == nil {
		level := slog.LevelDebug
		if f.Status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
		e.cfg.Log.Log(e.r.Context(), level, "registry refused", "request", e.id, "method", e.r.Method, "code", f.Code, "cause", cause)
	}
	h := e.w.Header()
	for name, values := range f.Header {
		h[name] = values
	}
	for _, name := range []string{"Content-Length", "Content-Range", "Docker-Content-Digest", "Etag", "Location"} {
		h.Del(name)
	}
	e.writeJSON(f.Status, "application/json", map[string]any{"errors": []map[string]any{{"code": f.Code, "message": f.Message}}})
}

func (e *exchange) writeJSON(status int, mediaType string, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		e.cfg.Log.Error("encode answer of the registry", "request", e.id, "error", err)
		return
	}
	e.w.Header().Set("Content-Type", mediaType)
	e.w.WriteHeader(status)
	if e.r.Method != http.MethodHead {
		_, _ = e.w.Write(raw) // a client that has left
	}
}

// audit leaves the record of the request; what has no repository asks nothing.
func (e *exchange) audit(err error) {
	if e.route.action == "" {
		return
	}
	rec := telemetry.Record{
		Time: e.started, RequestID: e.id, Scope: e.name.Scope, Principal: e.login.Principal.ARN, AccessKeyID: e.login.Principal.ID,
		Event: strings.TrimPrefix(e.route.action, "ecr:"), Source: "ecr", SourceIP: sourceIP(e.r).String(), UserAgent: e.r.UserAgent(),
		Resources: e.resources, Status: e.w.status, ReadOnly: e.r.Method == http.MethodGet || e.r.Method == http.MethodHead,
	}
	if err != nil {
		rec.ErrorCode = e.words(err).Code
	}
	if err := e.cfg.Audit.Audit(context.WithoutCancel(e.r.Context()), rec); err != nil {
		e.cfg.Log.Error("audit of the registry was lost", "request", e.id, "error", err)
	}
}

func (e *exchange) recover() {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	e.cfg.Log.Error("registry panicked", "request", e.id, "panic", v, "stack", string(debug.Stack()))
	panic(http.ErrAbortHandler) // whatever is out, the client learns that it is not all
}

func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return host
}

func sourceIP(r *http.Request) netip.Addr {
	addr, _ := netip.ParseAddr(hostname(r.RemoteAddr))
	return addr.Unmap()
}
