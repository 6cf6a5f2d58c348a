package oidc

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// page is what a page shows. Kind is login, password, consent, problem or done.
type page struct {
	Kind    string
	Name    string
	Problem string
	// Client and Where are the client that users are asked about, and where it gets
	// their answer.
	Client, Where string
	// Publisher is the host of the client's document, if it has one, and Local says that
	// its users' own machine is where their answer goes.
	Publisher         string
	Local             bool
	Scopes, Resources []string

	Pool    string
	Action  string
	Request string
	Style   template.CSS
}

func templates() *template.Template { return template.Must(template.New("page").Parse(pageText)) }

// styleHash lets the page's own style through and no other.
func styleHash() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// write sends a page under a policy that runs no script and loads nothing. It says
// nothing of form-action: browsers hold to it all redirects that a form leads to, and
// where the client's page leads on to is not known here.
func write(w http.ResponseWriter, status int, p page) {
	p.Style = template.CSS(pageStyle)
	var b bytes.Buffer
	if err := templates().Execute(&b, p); err != nil {
		http.Error(w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+styleHash()+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a browser that has left
}

// show shows a page with a form.
func (h *Handler) show(w http.ResponseWriter, r *http.Request, f face, status int, held form, p page) {
	told(r.Context(), p.Problem)
	var err error
	if p.Request, err = h.seal(w, r, f, held); err != nil {
		h.problem(w, r, err)
		return
	}
	p.Pool, p.Action = f.pool.Name, f.cookies+"login"
	p.Scopes, p.Resources = held.Request.Scopes, held.Request.Audience
	p.Where = origin(held.Request.Redirect)
	write(w, status, p)
}

// origin is what of a redirect URI tells a user where their answer goes.
func origin(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil {
		return ""
	}
	if u.Host == "" {
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

func showProblem(w http.ResponseWriter, status int, text string) {
	write(w, status, page{Kind: "problem", Problem: text})
}

func showDone(w http.ResponseWriter) { write(w, http.StatusOK, page{Kind: "done"}) }
