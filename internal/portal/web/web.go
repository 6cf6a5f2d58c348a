// Package web serves the pages of consent portals: users sign in at their identity
// provider, see what their gateway reaches for them at other services, agree there, and
// take it back.
//
// The browser never holds a token. It has the name of a session, whose tokens are sealed in
// the store, and nothing else counts: a form carries the session's own token against
// requests of other sites, and a user who comes back from somewhere carries a state that was
// sealed for the session, or the cookie, with which they left. No page runs a script or
// loads anything.
package web

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/api/throttle"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/portal"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// Config is what a Handler needs; all are required.
type Config struct {
	Portals  Portals
	SignIns  SignIns
	Gateways Gateways
	Consents Consents
	// Hosted returns the id of the portal whose own name a host name, without a port, is;
	// empty for any other.
	Hosted func(host string) string
	Store  store.Store
	// Box seals sessions, and what browsers keep while they are elsewhere.
	Box   *secret.Box
	Audit Auditor
	Now   func() time.Time
	Log   *slog.Logger
}

// Portals finds portals.
type Portals interface {
	// Find returns the one with an id, or a ResourceNotFoundException.
	Find(ctx context.Context, id string) (portal.Portal, error)
}

// Auditor keeps the record of each request that signs somebody in or out, or changes what
// they have agreed to.
type Auditor interface {
	// Audit takes the record without waiting for the disk.
	Audit(ctx context.Context, r telemetry.Record) error
}

// Handler is the http.Handler of all portals.
type Handler struct {
	cfg      Config
	routes   map[string]route
	sessions sessions
	listings listings
	visits   *throttle.Sources
	pages    *template.Template
}

// How often one address, and all together, may do what others are asked for: a browser
// signs in with two requests.
const (
	eachSecond, eachBurst = 5, 60
	allSecond, allBurst   = 100, 500
)

// New returns the Handler.
func New(cfg Config) *Handler {
	return &Handler{
		cfg: cfg, routes: routes(), pages: template.Must(template.New("page").Parse(pageText)), sessions: sessions{cfg.Store, cfg.Box, cfg.Now}, listings: listings{now: cfg.Now},
		visits: throttle.NewSources(throttle.Rate{Second: eachSecond, Burst: eachBurst}, throttle.Rate{Second: allSecond, Burst: allBurst}, cfg.Now),
	}
}

// route is one path of a portal, with a method.
type route struct {
	// event is what the audit calls it; what changes nothing has none.
	event string
	// busy asks others, and is bounded.
	busy  bool
	serve func(h *Handler, v *visit)
}

// routes are all that is served, by method and path below the portal.
func routes() map[string]route {
	return map[string]route{
		"GET ":                  {serve: (*Handler).home},
		"GET /login":            {busy: true, serve: (*Handler).signIn},
		"GET /callback":         {event: "SignInToConsentPortal", busy: true, serve: (*Handler).signedIn},
		"POST /logout":          {event: "SignOutOfConsentPortal", serve: (*Handler).signOut},
		"GET /connect":          {busy: true, serve: (*Handler).begin},
		"POST /connect":         {event: "ConnectOnConsentPortal", busy: true, serve: (*Handler).connect},
		"POST /agree":           {event: "ConnectOnConsentPortal", busy: true, serve: (*Handler).agree},
		"GET /connect/callback": {event: "CompleteOnConsentPortal", busy: true, serve: (*Handler).complete},
		"POST /disconnect":      {event: "DisconnectOnConsentPortal", busy: true, serve: (*Handler).disconnect},
	}
}

// Routes lists the methods and paths that a portal has, below its own.
func Routes() []string {
	var out []string
	for r := range routes() {
		out = append(out, r)
	}
	return out
}

// locate reads which portal a request is for, by host and path alone, and the path below
// that.
func (h *Handler) locate(r *http.Request) (id, path string, ok bool) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if id := h.cfg.Hosted(host); id != "" {
		return id, strings.TrimSuffix(r.URL.Path, "/"), true
	}
	rest, ok := strings.CutPrefix(r.URL.Path, portal.PathPrefix)
	if !ok {
		return "", "", false
	}
	id, path, _ = strings.Cut(rest, "/")
	if path != "" {
		path = "/" + path
	}
	return id, path, isID(id)
}

// maxID is the longest id (spec/identity.md 3), in bytes, and idTail what ends all of them.
const (
	maxID  = 61
	idTail = 10
)

// isID reports whether a text has the form of a portal's id.
func isID(s string) bool {
	if len(s) > maxID || len(s) < idTail+2 || s[len(s)-idTail-1] != '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

// Serves reports whether a request is for a portal.
func (h *Handler) Serves(r *http.Request) bool {
	_, _, ok := h.locate(r)
	return ok
}

// The bounds of what browsers send, in bytes.
const (
	maxQuery = 16 << 10
	maxBody  = 16 << 10
)

// visit is one request to a portal.
type visit struct {
	portal.Portal
	w http.ResponseWriter
	r *http.Request
	// base is the path of the portal's URL, which is secure by HTTPS.
	base   string
	secure bool
	query  url.Values

	event   string
	id      string // in the audit
	started time.Time
	status  int
	problem string
	user    User     // who is signed in
	about   []string // what else it is about, by ARN
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", "no-store")
	head.Set("Referrer-Policy", "same-origin")
	head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
	v := &visit{w: w, r: r, id: uuid.NewString(), started: h.cfg.Now()}
	id, path, _ := h.locate(r)
	var err error
	if v.Portal, err = h.cfg.Portals.Find(r.Context(), id); err != nil {
		h.noPortal(v, err)
		return
	}
	at, err := url.Parse(v.URL)
	if err != nil {
		h.noPortal(v, err)
		return
	}
	v.base, v.secure = at.Path, at.Scheme == "https"
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	to, ok := h.routes[method+" "+path]
	switch {
	case !ok:
		h.noRoute(v, path)
	case !strings.EqualFold(r.Host, at.Host):
		h.elsewhere(v, method, path)
	case to.busy && !h.visits.Allow(address(r)):
		v.status = http.StatusTooManyRequests
		head.Set("Retry-After", "5")
		h.show(v, page{Kind: kindProblem, Problem: "Too many requests came from your network. Wait a little, and try again."})
	default:
		h.serve(v, to)
	}
}

// serve answers a request whose form is right, and keeps its record.
func (h *Handler) serve(v *visit, to route) {
	v.event = to.event
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxBody)
	var err error
	if v.query, err = parameters(v.r.URL.RawQuery); err != nil {
		h.wrong(v, textQuery)
	} else {
		to.serve(h, v)
	}
	h.record(v)
}

// elsewhere leads a browser that came by another name to the portal's own, where its
// cookies are. What it came to do is not done.
func (h *Handler) elsewhere(v *visit, method, path string) {
	if method != http.MethodGet || len(v.r.URL.RawQuery) > maxQuery {
		v.status = http.StatusMisdirectedRequest
		h.show(v, page{Kind: kindProblem, Problem: "This page has another address: " + v.URL})
		return
	}
	to := v.URL + path
	if v.r.URL.RawQuery != "" {
		to += "?" + v.r.URL.RawQuery
	}
	h.redirect(v, to)
}

func (h *Handler) noRoute(v *visit, path string) {
	v.status = http.StatusNotFound
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if _, ok := h.routes[method+" "+path]; ok {
			v.status = http.StatusMethodNotAllowed
			v.w.Header().Add("Allow", method)
		}
	}
	h.show(v, page{Kind: kindProblem, Problem: "There is nothing at this address."})
}

// noPortal answers a browser that came to a portal which is not there.
func (h *Handler) noPortal(v *visit, err error) {
	if f := fault.From(err); f.Status < http.StatusInternalServerError {
		v.status = http.StatusNotFound
		h.show(v, page{Kind: kindProblem, Problem: "There is no consent portal at this address."})
		return
	}
	h.broken(v, err)
}

// parameters reads a query: each parameter once, of a length that somebody may mean. What
// is in it is judged by those who asked for it.
func parameters(query string) (url.Values, error) {
	if len(query) > maxQuery {
		return nil, errors.New("the query is too long")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		if len(v) > 1 {
			return nil, errors.New("a parameter is there more than once")
		}
	}
	return values, nil
}

// ownPage refuses a form that another origin's page has sent, as browsers say it.
func ownPage(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true // of a client that is no browser; the form's token counts
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// form reads the form of a session's own page, or reports false when it has answered. A
// browser that is not signed in any more is shown that.
func (h *Handler) form(v *visit) (session, bool) {
	if !ownPage(v.r) || v.r.ParseForm() != nil || len(v.r.PostForm["csrf"]) != 1 {
		h.wrong(v, textForm)
		return session{}, false
	}
	s, ok := h.signed(v)
	if !ok {
		return s, false
	}
	if !s.CSRF.Equal(secret.NewString(v.r.PostForm.Get("csrf"))) {
		h.wrong(v, textForm)
		return s, false
	}
	return s, true
}

// The texts of what users can do nothing about but begin again.
const (
	textQuery = "The address cannot be read. Go back to the portal, and begin again."
	textForm  = "This page is too old, or was opened by another site. Go back to the portal, and try again."
	textAgain = "This answer does not belong to anything that was begun in this browser, or comes too late. Go back to the portal, and begin again."
)

func address(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, _ := netip.ParseAddr(host) // of no address: all of these are one
	return addr
}
