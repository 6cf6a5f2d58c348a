// Package oidc is the authorization server of the user pools (package issuer):
// OpenID Connect and OAuth 2.1, with a plain page to sign in at. Requests to the
// token, user info, revocation and key endpoints are read and answered by
// zitadel/oidc; what they mean is decided here, and every token is the pool's own.
//
// A pool is reached at AWS's names, https://cognito-idp.REGION.amazonaws.com/POOL for
// its documents and https://PREFIX.auth.REGION.amazoncognito.com for the rest, and
// below /POOL at any other address of this server. Which of them a client speaks to
// says which name its tokens bear as their issuer.
package oidc

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/outcrop/outcrop/internal/api/throttle"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// Config is what a Handler needs; all are required.
type Config struct {
	Pools *issuer.Pools
	// Serves reports whether a URL is one at which this server serves a resource that
	// takes tokens, for a browser that reached it at a host, with its port if any.
	Serves func(ctx context.Context, host, resource string) (bool, error)
	// Base tells by which address a request has come, scheme and host.
	Base func(r *http.Request) string
	// HTTP fetches what clients publish about themselves, from where callers may have this
	// server call (package outbound).
	HTTP *http.Client
	// Box seals what a page's form carries.
	Box   *secret.Box
	Audit Auditor
	Now   func() time.Time
	Log   *slog.Logger
}

// Auditor keeps the record of each request that signs somebody in or out.
type Auditor interface {
	// Audit takes the record without waiting for the disk.
	Audit(ctx context.Context, r telemetry.Record) error
	// AuditDurable returns when the record is on the disk.
	AuditDurable(ctx context.Context, r telemetry.Record) error
}

// Handler is the http.Handler of all pools.
type Handler struct {
	cfg       Config
	protocol  http.Handler // of the library
	registers *throttle.Sources
	documents *documents
}

// New returns the Handler.
func New(cfg Config) *Handler {
	h := &Handler{cfg: cfg, documents: newDocuments(cfg), registers: throttle.NewSources(throttle.Rate{Second: 0.2, Burst: 10}, throttle.Rate{Second: 1, Burst: 20}, cfg.Now)}
	endpoints := op.Endpoints{
		Token: op.NewEndpoint("oauth2/token"), Userinfo: op.NewEndpoint("oauth2/userInfo"),
		Revocation: op.NewEndpoint("oauth2/revoke"), JwksURI: op.NewEndpoint(".well-known/jwks.json"),
	}
	h.protocol = op.RegisterServer(&server{h: h}, endpoints,
		op.WithServerCORSOptions(nil), op.WithFallbackLogger(slog.New(slog.DiscardHandler)))
	return h
}

// route is one path of a pool.
type route struct {
	methods string
	// cross: pages of other origins may read the answer; no cookie counts there.
	cross bool
	// event is what the audit calls it; what changes and shows nothing has none. secret:
	// a good answer hands one out.
	event  string
	secret bool
	serve  func(h *Handler, w http.ResponseWriter, r *http.Request, f face)
}

// routes are all that is served, by the path below the pool.
func routes() map[string]route {
	library := (*Handler).library
	return map[string]route{
		"/.well-known/openid-configuration":       {methods: "GET HEAD", cross: true, serve: library},
		"/.well-known/oauth-authorization-server": {methods: "GET HEAD", cross: true, serve: library},
		"/.well-known/jwks.json":                  {methods: "GET HEAD", cross: true, serve: library},
		"/oauth2/token":                           {methods: "POST", event: "Token_POST", secret: true, cross: true, serve: library},
		"/oauth2/userInfo":                        {methods: "GET POST", event: "UserInfo_GET", cross: true, serve: library},
		"/oauth2/revoke":                          {methods: "POST", event: "Revoke_POST", cross: true, serve: library},
		"/oauth2/register":                        {methods: "POST", event: "Register_POST", secret: true, cross: true, serve: (*Handler).register},
		"/oauth2/authorize":                       {methods: "GET POST", event: "Authorize_GET", serve: (*Handler).authorize},
		"/login":                                  {methods: "GET POST", event: "Login_POST", serve: (*Handler).login},
		"/logout":                                 {methods: "GET POST", event: "Logout_GET", serve: (*Handler).logout},
	}
}

// Routes lists the methods and paths that a pool has, below its own.
func Routes() []string {
	var out []string
	for path, r := range routes() {
		for _, m := range strings.Fields(r.methods) {
			out = append(out, m+" "+path)
		}
	}
	return out
}

// Serves reports whether a request is for a pool, by its host and path alone.
func (h *Handler) Serves(r *http.Request) bool {
	_, ok := locate(r)
	return ok
}

// maxBody bounds forms and documents, in bytes.
const maxBody = 64 << 10

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", "no-store")
	head.Set("Referrer-Policy", "same-origin")
	head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
	f, err := h.face(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	to, ok := routes()[f.path]
	if !ok {
		writeError(w, http.StatusNotFound, "invalid_request", "There is nothing at this path")
		return
	}
	if to.cross {
		head.Set("Access-Control-Allow-Origin", "*")
		if r.Method == http.MethodOptions {
			head.Set("Access-Control-Allow-Methods", strings.ReplaceAll(to.methods, " ", ", "))
			head.Set("Access-Control-Allow-Headers", "authorization, content-type, mcp-protocol-version")
			head.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	if !contains(strings.Fields(to.methods), r.Method) {
		head.Set("Allow", strings.ReplaceAll(to.methods, " ", ", "))
		writeError(w, http.StatusMethodNotAllowed, "invalid_request", "Use "+strings.ReplaceAll(to.methods, " ", " or "))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if to.event == "" || r.Method == http.MethodGet && f.path == "/login" {
		to.serve(h, w, r, f)
		return
	}
	rec := &recorded{ResponseWriter: w, h: h, r: r, event: to.event, f: f, started: h.cfg.Now(), secret: to.secret}
	to.serve(h, rec, r.WithContext(context.WithValue(r.Context(), recordKey{}, rec)), f)
	rec.end()
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

type faceKey struct{}

// library hands a request on, as if the pool were the whole server.
func (h *Handler) library(w http.ResponseWriter, r *http.Request, f face) {
	r = r.Clone(context.WithValue(r.Context(), faceKey{}, f))
	if f.path == "/.well-known/oauth-authorization-server" { // the same document (RFC 8414)
		f.path = "/.well-known/openid-configuration"
	}
	r.URL.Path, r.URL.RawPath = f.path, ""
	switch f.path {
	case "/.well-known/openid-configuration", "/.well-known/jwks.json":
		w.Header().Set("Cache-Control", "public, max-age=300")
		r.URL.RawQuery = ""
	case "/oauth2/token", "/oauth2/revoke":
		// Secrets in addresses end up in logs (RFC 6749 2.3.1).
		if r.URL.RawQuery != "" {
			writeError(w, http.StatusBadRequest, "invalid_request", "Parameters belong in the body")
			return
		}
		if repeated(r) {
			writeError(w, http.StatusBadRequest, "invalid_request", "A parameter is there more than once")
			return
		}
		w = &challenger{ResponseWriter: w, basic: r.Header.Get("Authorization") != ""}
	case "/oauth2/userInfo":
		r.URL.RawQuery = ""
		w = &challenger{ResponseWriter: w}
	}
	h.protocol.ServeHTTP(w, r)
}

// repeated reports whether the body has a parameter twice, other than resource
// (RFC 6749 3.2, RFC 8707 2). A body that is no form is the library's to refuse.
func repeated(r *http.Request) bool {
	if r.ParseForm() != nil {
		return false
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "resource" {
			return true
		}
	}
	return false
}

// challenger says with a 401 how to do better (RFC 6749 5.2, RFC 6750 3).
type challenger struct {
	http.ResponseWriter
	basic bool
}

// WriteHeader adds the challenge.
func (c *challenger) WriteHeader(status int) {
	if status == http.StatusUnauthorized {
		scheme := `Bearer error="invalid_token"`
		if c.basic {
			scheme = "Basic"
		}
		c.Header().Set("WWW-Authenticate", scheme)
	}
	c.ResponseWriter.WriteHeader(status)
}

// fail answers a request that is for no pool, or that went wrong here.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	if f.Status < http.StatusInternalServerError {
		writeError(w, http.StatusNotFound, "invalid_request", f.Message)
		return
	}
	if !errors.Is(err, context.Canceled) {
		h.cfg.Log.ErrorContext(r.Context(), "sign-in failed here", "path", r.URL.Path, "error", err)
	}
	writeError(w, http.StatusInternalServerError, "server_error", "Something went wrong here. Try again later.")
}
