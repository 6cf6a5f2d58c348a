package oidc

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/secret"
)

// request is what a client asks for, as its parameters say. It travels sealed in the
// form of the page, so that nobody alters it between the steps.
type request struct {
	Client    string   `json:"client"`
	Redirect  string   `json:"redirect"`
	State     string   `json:"state,omitempty"`
	Nonce     string   `json:"nonce,omitempty"`
	Challenge string   `json:"challenge,omitempty"`
	Scopes    []string `json:"scopes,omitempty"`
	Audience  []string `json:"aud,omitempty"`
	// Prompt is none, login or empty.
	Prompt string `json:"prompt,omitempty"`
	// Hint is the name that stands in the form.
	Hint string `json:"hint,omitempty"`
	// since is when a browser's session must not have begun before; zero is any time.
	since time.Time
}

// deviation is an error that the client hears of at its redirect URI.
type deviation struct{ code, description string }

// challenge is what S256 yields: 32 bytes in base 64 (RFC 7636 4.2).
var challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// maxParameter bounds state and nonce, which are given back.
const maxParameter = 4096

// read reads the parameters of a request. An error is for the user alone: the client
// or its redirect URI is not known, and nothing is sent anywhere. A deviation is sent
// to the client.
func (h *Handler) read(r *http.Request, f face, q url.Values) (request, issuer.Client, *deviation, error) {
	var out request
	for name, values := range q {
		if len(values) > 1 && name != "resource" {
			return out, issuer.Client{}, nil, issuer.Invalid("The parameter %q is there more than once", clip(name))
		}
	}
	c, err := h.client(r, f, q.Get("client_id"))
	if err == nil && (!c.OAuth || !slices.Contains(c.Grants, "code")) || fault.Is(err, issuer.CodeNotFound) {
		err = issuer.Invalid("The application is not known here, or does not let users sign in this way")
	}
	if err != nil {
		return out, c, nil, err
	}
	out.Client, out.Redirect, out.State = c.ID, q.Get("redirect_uri"), q.Get("state")
	if out.Redirect == "" && len(c.Callbacks) == 1 {
		out.Redirect = c.Callbacks[0]
	}
	if !c.TakesRedirect(out.Redirect) || issuer.CheckRedirect(out.Redirect) != nil {
		return out, c, nil, issuer.Invalid("The redirect URI is not one that the application was registered with")
	}
	if len(out.State) > maxParameter {
		return out, c, nil, issuer.Invalid("The parameter state is too long")
	}
	d := h.detail(r, c, q, &out)
	return out, c, d, nil
}

// detail reads what a client can be told to be wrong.
func (h *Handler) detail(r *http.Request, c issuer.Client, q url.Values, out *request) *deviation {
	out.Nonce, out.Challenge, out.Hint = q.Get("nonce"), q.Get("code_challenge"), q.Get("login_hint")
	method := q.Get("code_challenge_method")
	switch {
	case q.Has("request"):
		return &deviation{"request_not_supported", "Send the parameters as such"}
	case q.Has("request_uri"):
		return &deviation{"request_uri_not_supported", "Send the parameters as such"}
	case q.Get("response_type") != "code":
		return &deviation{"unsupported_response_type", "The response type is code"}
	case q.Get("response_mode") != "" && q.Get("response_mode") != "query":
		return &deviation{"invalid_request", "The response mode is query"}
	case len(out.Nonce) > maxParameter || len(out.Hint) > 256:
		return &deviation{"invalid_request", "A parameter is too long"}
	case out.Challenge == "" && (c.Public() || method != ""):
		return &deviation{"invalid_request", "An application without a secret sends a code_challenge (RFC 7636)"}
	case out.Challenge != "" && method != "S256":
		return &deviation{"invalid_request", "The code_challenge_method is S256"}
	case out.Challenge != "" && !challenge.MatchString(out.Challenge):
		return &deviation{"invalid_request", "The code_challenge is the SHA-256 of the code_verifier in base64url without padding: 43 of the characters A-Z, a-z, 0-9, - and _ (RFC 7636 4.2)"}
	}
	for _, p := range strings.Fields(q.Get("prompt")) {
		switch p {
		case "none", "login":
			if out.Prompt != "" {
				return &deviation{"invalid_request", "The prompt contradicts itself"}
			}
			out.Prompt = p
		case "consent", "select_account":
		default:
			return &deviation{"invalid_request", "The prompt is not known"}
		}
	}
	if age := q.Get("max_age"); age != "" {
		seconds, err := strconv.ParseUint(age, 10, 32)
		if err != nil {
			return &deviation{"invalid_request", "The max_age is a whole number of seconds, not less than 0"}
		}
		out.since = h.cfg.Now().Add(-time.Duration(seconds) * time.Second)
	}
	asked, err := h.named(r, q)
	if err != nil {
		h.cfg.Log.ErrorContext(r.Context(), "sign-in failed here", "error", err)
		return &deviation{"server_error", ""}
	}
	if out.Audience, err = resources(asked); err != nil {
		return &deviation{"invalid_target", "A resource is an absolute URI without a fragment"}
	}
	if err = h.checkResources(r, c, out.Audience); err == nil {
		out.Scopes, err = h.cfg.Pools.Granted(r.Context(), c, strings.Fields(q.Get("scope")))
	}
	if fault.Is(err, issuer.CodeTarget) {
		return &deviation{"invalid_target", fault.From(err).Message}
	}
	if fault.Is(err, issuer.CodeScopeUnknown) {
		return &deviation{"invalid_scope", fault.From(err).Message}
	}
	if err != nil {
		h.cfg.Log.ErrorContext(r.Context(), "sign-in failed here", "error", err)
		return &deviation{"server_error", ""}
	}
	return nil
}

// named are the resources that a request names. Some clients, consent portals among them,
// say audience, as others than OAuth have it: what it says is a resource where this server
// serves it, and nothing otherwise.
func (h *Handler) named(r *http.Request, q url.Values) ([]string, error) {
	list := q["resource"]
	if a := q["audience"]; len(list) == 0 && len(a) == 1 {
		switch served, err := h.cfg.Serves(r.Context(), r.Host, a[0]); {
		case err != nil:
			return nil, err
		case served:
			return a, nil
		}
	}
	return list, nil
}

// checkResources refuses resources that a client gets no token of a user for. Anybody may
// register a client, and a user who agrees to one cannot tell whose an address is: such a
// client gets what the pool or this server serves, and nothing else that may trust the
// pool's tokens by their audience (RFC 8707 2 and 3; MCP, "Resource Parameter
// Implementation").
func (h *Handler) checkResources(r *http.Request, c issuer.Client, list []string) error {
	others, err := h.cfg.Pools.CheckResources(r.Context(), c, list)
	if err != nil || !c.Dynamic {
		return err
	}
	for _, name := range others {
		served, err := h.cfg.Serves(r.Context(), r.Host, name)
		if err != nil {
			return err
		}
		if !served {
			return fault.BadRequest(issuer.CodeTarget, "A client that has registered itself gets tokens for this server's runtimes and gateways with an authorizer, by their URLs, and for resource servers of the user pool; %s is neither", name)
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 40 {
		s = s[:40]
	}
	return strings.ToValidUTF8(s, "")
}

// back leads the browser to the client. It names the issuer, so that a client of
// several mixes none up (RFC 9207).
func back(w http.ResponseWriter, r *http.Request, f face, to request, add url.Values) {
	u, err := url.Parse(to.Redirect)
	if err != nil {
		showProblem(w, http.StatusBadRequest, "The redirect URI cannot be read.")
		return
	}
	q := u.Query()
	for name, values := range add {
		q[name] = values
	}
	if to.State != "" {
		q.Set("state", to.State)
	}
	q.Set("iss", f.issuer)
	u.RawQuery = q.Encode()
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusSeeOther) // a form's body goes no further
}

func refuseBack(w http.ResponseWriter, r *http.Request, f face, to request, d *deviation) {
	add := url.Values{"error": {d.code}}
	if d.description != "" {
		add.Set("error_description", d.description)
	}
	back(w, r, f, to, add)
}

// visit is a browser that was sent here, and whose it is.
type visit struct {
	query  url.Values
	to     request
	client issuer.Client
	// user and session are there if somebody is signed in.
	signedIn bool
	user     issuer.User
	session  issuer.Session
}

// visit reads a request. Where it cannot go on it has answered.
func (h *Handler) visit(w http.ResponseWriter, r *http.Request, f face) (v visit, ok bool) {
	var err error
	if v.query, err = parameters(r); err != nil {
		h.problem(w, r, err)
		return v, false
	}
	var wrong *deviation
	v.to, v.client, wrong, err = h.read(r, f, v.query)
	switch {
	case err != nil:
		h.problem(w, r, err)
		return v, false
	case wrong != nil:
		refuseBack(w, r, f, v.to, wrong)
		return v, false
	}
	about(r.Context(), v.client.ID, "")
	v.user, v.session, v.signedIn, err = h.cfg.Pools.Session(r.Context(), f.pool, cookie(r, sessionCookie))
	v.signedIn = v.signedIn && !v.session.At.Before(v.to.since)
	if err != nil {
		h.problem(w, r, err)
	}
	return v, err == nil
}

// authorize begins a sign-in (RFC 6749 4.1.1). A user who is signed in goes straight
// on, unless they have to be asked about the client.
func (h *Handler) authorize(w http.ResponseWriter, r *http.Request, f face) {
	v, ok := h.visit(w, r, f)
	switch {
	case !ok:
	case v.signedIn && v.to.Prompt != "login" && !v.client.Dynamic:
		h.grant(w, r, f, v.to, v.user, v.session)
	case v.to.Prompt == "none" && v.signedIn:
		refuseBack(w, r, f, v.to, &deviation{"interaction_required", ""})
	case v.to.Prompt == "none":
		refuseBack(w, r, f, v.to, &deviation{"login_required", ""})
	default:
		w.Header().Set("Location", f.base+"/login?"+v.query.Encode())
		w.WriteHeader(http.StatusSeeOther)
	}
}

// parameters are those of the query, or of a form; never of both.
func parameters(r *http.Request) (url.Values, error) {
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			return nil, issuer.Invalid("The form cannot be read")
		}
		return r.PostForm, nil
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, issuer.Invalid("The address cannot be read")
	}
	return q, nil
}

// grant sends a code.
func (h *Handler) grant(w http.ResponseWriter, r *http.Request, f face, to request, u issuer.User, s issuer.Session) {
	about(r.Context(), to.Client, u.Sub)
	code, err := h.cfg.Pools.NewCode(r.Context(), f.pool, issuer.Code{
		Client: to.Client, Redirect: to.Redirect, Sub: u.Sub, Issuer: f.issuer, Scopes: to.Scopes, Audience: to.Audience,
		Nonce: to.Nonce, At: s.At, Challenge: to.Challenge,
	})
	if err != nil {
		h.problem(w, r, err)
		return
	}
	back(w, r, f, to, url.Values{"code": {code.Reveal()}})
}

// The cookies of a pool.
const (
	sessionCookie = "outcrop-session"
	formCookie    = "outcrop-form"
)

func cookie(r *http.Request, name string) secret.String {
	c, err := r.Cookie(name)
	if err != nil {
		return secret.String{}
	}
	return secret.NewString(c.Value)
}

// setCookie sets a cookie that no script reads and that no other site's form sends.
func setCookie(w http.ResponseWriter, f face, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: f.cookies, MaxAge: seconds, HttpOnly: true, Secure: f.secure, SameSite: http.SameSiteLaxMode,
	})
}

// logout ends the browser's session and leads to an address that the client is
// registered with, or says that it is done (OpenID Connect RP-Initiated Logout;
// Cognito's logout_uri).
func (h *Handler) logout(w http.ResponseWriter, r *http.Request, f face) {
	q, err := parameters(r)
	if err != nil {
		showProblem(w, http.StatusBadRequest, "The address cannot be read.")
		return
	}
	if err := h.cfg.Pools.EndSession(r.Context(), f.pool, cookie(r, sessionCookie)); err != nil {
		h.problem(w, r, err)
		return
	}
	setCookie(w, f, sessionCookie, "", -1)
	to := q.Get("logout_uri")
	if to == "" {
		to = q.Get("post_logout_redirect_uri")
	}
	if to == "" {
		showDone(w)
		return
	}
	c, err := h.cfg.Pools.ClientOf(r.Context(), f.pool.Scope, f.pool.ID, q.Get("client_id"))
	u, bad := url.Parse(to)
	if err != nil || bad != nil || !slices.Contains(c.Logouts, to) {
		showProblem(w, http.StatusBadRequest, "You are signed out. The application asked to go on to an address that it was not registered with.")
		return
	}
	if state := q.Get("state"); state != "" && len(state) <= maxParameter {
		add := u.Query()
		add.Set("state", state)
		u.RawQuery = add.Encode()
	}
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusSeeOther)
}
