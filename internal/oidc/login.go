package oidc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/secret"
)

// form is what a page's form carries, sealed: the client's request, and how far the
// user has come. It is bound to a cookie of the browser that it was made for, so that
// no other site can have it sent (cross-site request forgery).
type form struct {
	Request request `json:"request"`
	Cookie  []byte  `json:"cookie"` // the digest of the cookie's value
	Expires int64   `json:"expires"`
	// Name and Challenge are those of a user who needs a password of their own.
	Name      string `json:"name,omitempty"`
	Challenge string `json:"challenge,omitempty"`
	// Sub is the user who is asked about the client.
	Sub string `json:"sub,omitempty"`
}

// formLife is how long a page may stand before it is sent.
const formLife = 15 * time.Minute

func formOwner(f face) secret.Owner {
	return secret.Owner{Scope: f.pool.Scope.String(), Kind: "user-pool-form", ID: f.pool.ID}
}

// seal writes a form for this browser, which gets its cookie with the first.
func (h *Handler) seal(w http.ResponseWriter, r *http.Request, f face, held form) (string, error) {
	value := cookie(r, formCookie).Reveal()
	if raw, err := base64.RawURLEncoding.DecodeString(value); err != nil || len(raw) != sha256.Size {
		value = base64.RawURLEncoding.EncodeToString(random())
	}
	setCookie(w, f, formCookie, value, int(formLife.Seconds()))
	sum := sha256.Sum256([]byte(value))
	held.Cookie, held.Expires = sum[:], h.cfg.Now().Add(formLife).Unix()
	plain, err := json.Marshal(held)
	if err != nil {
		return "", err
	}
	sealed, err := h.cfg.Box.Seal(r.Context(), formOwner(f), secret.NewBytes(plain))
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

func random() []byte {
	b := make([]byte, sha256.Size)
	_, _ = rand.Read(b) // it never fails (crypto/rand)
	return b
}

// errForm is the one refusal of a form, whatever is wrong with it.
func errForm() error {
	return issuer.Invalid("This page is too old, or was opened by another site. Go back to the application and sign in again.")
}

// open reads what seal wrote for the same browser.
func (h *Handler) open(r *http.Request, f face, text string) (form, error) {
	var held form
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return held, errForm()
	}
	plain, err := h.cfg.Box.Open(r.Context(), formOwner(f), sealed)
	if err != nil {
		return held, errForm()
	}
	if err := json.Unmarshal(plain.Reveal(), &held); err != nil {
		return held, err
	}
	sum := sha256.Sum256(cookie(r, formCookie).Bytes().Reveal())
	if !secret.NewBytes(sum[:]).Equal(secret.NewBytes(held.Cookie)) || h.cfg.Now().Unix() >= held.Expires {
		return held, errForm()
	}
	return held, nil
}

// login shows the page and takes its form.
func (h *Handler) login(w http.ResponseWriter, r *http.Request, f face) {
	if r.Method == http.MethodPost {
		h.submit(w, r, f)
		return
	}
	v, ok := h.visit(w, r, f)
	switch {
	case !ok:
	case v.signedIn && v.to.Prompt != "login":
		h.proceed(w, r, f, v.to, v.client, v.user, v.session)
	default:
		h.show(w, r, f, http.StatusOK, form{Request: v.to}, page{Kind: "login", Name: v.to.Hint})
	}
}

// ownPage refuses a form that another origin's page has sent, as browsers say it.
func ownPage(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true // of a client that is no browser; the cookie counts
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// submit takes a form.
func (h *Handler) submit(w http.ResponseWriter, r *http.Request, f face) {
	if !ownPage(r) {
		h.problem(w, r, errForm())
		return
	}
	if err := r.ParseForm(); err != nil {
		h.problem(w, r, issuer.Invalid("The form cannot be read."))
		return
	}
	held, err := h.open(r, f, r.PostForm.Get("request"))
	if err != nil {
		h.problem(w, r, err)
		return
	}
	// The client may have been changed or deleted while the page stood.
	c, err := h.client(r, f, held.Request.Client)
	if err == nil && !c.TakesRedirect(held.Request.Redirect) {
		err = errForm()
	}
	about(r.Context(), c.ID, "")
	switch {
	case err != nil:
		h.problem(w, r, err)
	case r.PostForm.Get("action") == "cancel":
		refuseBack(w, r, f, held.Request, &deviation{"access_denied", "The user did not agree"})
	case held.Sub != "":
		h.consent(w, r, f, held, c)
	case held.Challenge != "":
		h.ownPassword(w, r, f, held, c)
	default:
		h.password(w, r, f, held, c)
	}
}

// password takes the first form.
func (h *Handler) password(w http.ResponseWriter, r *http.Request, f face, held form, c issuer.Client) {
	name, password := r.PostForm.Get("username"), secret.NewString(r.PostForm.Get("password"))
	u, err := h.cfg.Pools.Authenticate(r.Context(), f.pool, name, password)
	if asked, lost := h.cfg.Pools.User(r.Context(), f.pool, name); lost == nil {
		about(r.Context(), "", asked.Sub)
	}
	if refused := fault.From(err); err != nil && refused.Status < http.StatusInternalServerError {
		h.show(w, r, f, http.StatusUnauthorized, form{Request: held.Request}, page{Kind: "login", Name: name, Problem: refused.Message})
		return
	}
	if err != nil {
		h.problem(w, r, err)
		return
	}
	if u.Status == issuer.MustChange {
		session, err := h.cfg.Pools.Challenge(r.Context(), f.pool, c, u)
		if err != nil {
			h.problem(w, r, err)
			return
		}
		h.show(w, r, f, http.StatusOK, form{Request: held.Request, Name: u.Username, Challenge: session.Reveal()}, page{Kind: "password", Name: name})
		return
	}
	h.signedIn(w, r, f, held, c, u)
}

// ownPassword takes the form of a user whose password was temporary.
func (h *Handler) ownPassword(w http.ResponseWriter, r *http.Request, f face, held form, c issuer.Client) {
	next := secret.NewString(r.PostForm.Get("password"))
	if !next.Equal(secret.NewString(r.PostForm.Get("again"))) {
		h.show(w, r, f, http.StatusBadRequest, held, page{Kind: "password", Name: held.Name, Problem: "The two passwords are not the same."})
		return
	}
	u, err := h.cfg.Pools.AnswerNewPassword(r.Context(), f.pool, c, secret.NewString(held.Challenge), held.Name, next, nil)
	switch {
	case fault.Is(err, issuer.CodeInvalidPassword):
		h.show(w, r, f, http.StatusBadRequest, held, page{Kind: "password", Name: held.Name, Problem: fault.From(err).Message})
	case err != nil:
		h.problem(w, r, err)
	default:
		h.signedIn(w, r, f, held, c, u)
	}
}

// signedIn starts the browser's session, under a name that nobody knew before, and
// goes on.
func (h *Handler) signedIn(w http.ResponseWriter, r *http.Request, f face, held form, c issuer.Client, u issuer.User) {
	if err := h.cfg.Pools.EndSession(r.Context(), f.pool, cookie(r, sessionCookie)); err != nil {
		h.problem(w, r, err)
		return
	}
	token, s, err := h.cfg.Pools.NewSession(r.Context(), f.pool, u)
	if err != nil {
		h.problem(w, r, err)
		return
	}
	setCookie(w, f, sessionCookie, token.Reveal(), int(issuer.SessionLife.Seconds()))
	h.proceed(w, r, f, held.Request, c, u, s)
}

// proceed asks about a client that has registered itself, and sends a code to others.
func (h *Handler) proceed(w http.ResponseWriter, r *http.Request, f face, to request, c issuer.Client, u issuer.User, s issuer.Session) {
	if !c.Dynamic {
		h.grant(w, r, f, to, u, s)
		return
	}
	h.show(w, r, f, http.StatusOK, form{Request: to, Sub: u.Sub}, page{
		Kind: "consent", Name: u.Username, Client: c.Name, Publisher: publisher(c), Local: strings.HasPrefix(to.Redirect, "http:"),
	})
}

// consent takes the answer about a client, of the user who was asked.
func (h *Handler) consent(w http.ResponseWriter, r *http.Request, f face, held form, c issuer.Client) {
	u, s, found, err := h.cfg.Pools.Session(r.Context(), f.pool, cookie(r, sessionCookie))
	switch {
	case err != nil:
		h.problem(w, r, err)
	case !found || u.Sub != held.Sub || r.PostForm.Get("action") != "allow":
		h.problem(w, r, errForm())
	default:
		h.grant(w, r, f, held.Request, u, s)
	}
}

// problem shows what went wrong, to the user alone.
func (h *Handler) problem(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	if f.Status < http.StatusInternalServerError {
		told(r.Context(), f.Message)
		showProblem(w, http.StatusBadRequest, f.Message)
		return
	}
	if r.Context().Err() == nil {
		h.cfg.Log.ErrorContext(r.Context(), "sign-in failed here", "path", r.URL.Path, "error", err)
	}
	showProblem(w, http.StatusInternalServerError, "Something went wrong here. Try again later.")
}
