package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"html/template"
	"net/http"

	"github.com/outcrop/outcrop/internal/fault"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// The kinds of pages.
const (
	kindSignIn      = "signin"
	kindSignedOut   = "signedout"
	kindConnections = "connections"
	kindAgree       = "agree" // to a gateway's use of one's account for itself
	kindOther       = "other" // somebody else was asked
	kindProblem     = "problem"
)

// page is what a page shows.
type page struct {
	Kind          string
	Problem, Note string
	// User and Gateway are what they are called.
	User, Gateway string
	Rows          []row
	Provider      string
	RequestURI    string
	CSRF          string

	Portal string
	Base   string // of links, without a slash at its end
	Style  template.CSS
}

// row is one connection.
type row struct {
	Key, Provider, Vendor string
	Scopes                []string
	Targets               []rowTarget
	Connected             bool
	// Elsewhere: a target leads users back to another page, when they are asked at a call.
	Elsewhere bool
}

type rowTarget struct{ Name, Description string }

// styleHash lets the page's own style through and no other.
func styleHash() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// show sends a page under a policy that runs no script and loads nothing. It says nothing
// of form-action: browsers hold to it all redirects that a form leads to, and where a
// service leads on to is not known here.
func (h *Handler) show(v *visit, p page) {
	if v.status == 0 {
		v.status = http.StatusOK
	}
	if v.problem == "" {
		v.problem = p.Problem
	}
	p.Portal, p.Base, p.Style = v.Name, v.base, template.CSS(pageStyle)
	var b bytes.Buffer
	if err := h.pages.Execute(&b, p); err != nil {
		h.cfg.Log.ErrorContext(v.r.Context(), "page cannot be shown", "portal", v.ARN, "error", err)
		http.Error(v.w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	head := v.w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("Content-Security-Policy", "default-src 'none'; style-src "+styleHash()+"; frame-ancestors 'none'; base-uri 'none'")
	head.Set("X-Frame-Options", "DENY")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	v.w.WriteHeader(v.status)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(b.Bytes()) // a browser that has left
	}
}

// wrong tells a user that a request is not as it must be.
func (h *Handler) wrong(v *visit, text string) {
	v.status = http.StatusBadRequest
	h.show(v, page{Kind: kindProblem, Problem: text})
}

// unavailable tells a user that somebody whom the portal asked has refused. Why is for the
// portal's owner: it names roles and providers.
func (h *Handler) unavailable(v *visit, who string, err error) {
	if !isRefusal(err) {
		h.broken(v, err)
		return
	}
	v.status, v.problem = http.StatusBadGateway, fault.From(err).Message
	h.cfg.Log.WarnContext(v.r.Context(), "consent portal is refused", "portal", v.ARN, "by", who, "reason", v.problem, "request", v.id)
	h.show(v, page{Kind: kindProblem, Problem: "The " + who + " cannot be used now. Try again later, or ask whoever gave you this portal and tell them this number: " + v.id})
}

// broken tells a user that something went wrong here.
func (h *Handler) broken(v *visit, err error) {
	v.status = http.StatusInternalServerError
	if v.r.Context().Err() == nil {
		h.cfg.Log.ErrorContext(v.r.Context(), "consent portal failed here", "portal", v.ARN, "error", err, "request", v.id)
	}
	h.show(v, page{Kind: kindProblem, Problem: "Something went wrong here. Try again later."})
}

// redirect sends a browser on.
func (h *Handler) redirect(v *visit, to string) {
	v.status = http.StatusFound
	v.w.Header().Set("Location", to)
	v.w.WriteHeader(v.status)
}
