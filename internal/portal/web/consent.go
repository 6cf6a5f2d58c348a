package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/portal"
	"github.com/outcrop/outcrop/internal/secret"
)

// Consents is the Identity service, as portals ask it for their gateways' users. Errors are
// those of SignIns, and ErrNone.
type Consents interface {
	// Connected tells whether a user has agreed to a connection.
	Connected(ctx context.Context, p portal.Portal, u User, c Connection) (bool, error)
	// Disconnect forgets what a user agreed to.
	Disconnect(ctx context.Context, p portal.Portal, u User, c Connection) error
	// Ask begins a consent of the user with a token, and returns its request_uri; it is empty
	// for a user who has agreed before, unless they are asked again.
	Ask(ctx context.Context, p portal.Portal, token secret.String, c Connection, again bool) (requestURI string, err error)
	// Pending returns the consent with a request_uri that leads back to the portal, or is
	// ErrNone.
	Pending(ctx context.Context, p portal.Portal, requestURI string) (Pending, error)
	// Vouch says that the portal has seen the user of a consent, who comes back with a state,
	// and returns where the browser goes on.
	Vouch(ctx context.Context, p portal.Portal, requestURI, state string, c Pending) (string, error)
	// Complete ends the consent with which a browser came back, for the user with a token or,
	// where it is not empty, for whom the gateway itself asked.
	Complete(ctx context.Context, p portal.Portal, sessionURI string, token secret.String, gatewayUser string) error
}

// ErrNone says that there is no such consent, or that it is over.
var ErrNone = errors.New("there is no such consent, or it is over")

// Pending is a consent that a user was asked for.
type Pending struct {
	Provider string
	// Issuer and Subject are of the user who is asked. Where the gateway asks for itself, so
	// as to learn what a target offers, GatewayUser is who was made up for that.
	Issuer, Subject string
	GatewayUser     string
}

// agreed is what a browser carries, sealed, while its user agrees at a service: it counts in
// the session in which it was sent alone.
type agreed struct {
	Session []byte `json:"session"`
	// URI is the request_uri of the consent, and GatewayUser as in Pending.
	URI         string `json:"uri"`
	GatewayUser string `json:"gatewayUser,omitempty"`
	Provider    string `json:"provider"`
	Expires     int64  `json:"expires"`
}

// connect begins a consent that a user chose.
func (h *Handler) connect(v *visit) {
	s, ok := h.form(v)
	if !ok {
		return
	}
	c, ok := h.chosen(v)
	if !ok {
		return
	}
	uri, err := h.cfg.Consents.Ask(v.r.Context(), v.Portal, s.Access, c, v.r.PostForm.Get("again") == "true")
	switch {
	case err != nil:
		h.unavailable(v, "service", err)
	case uri == "":
		h.back(v, "already")
	default:
		h.lead(v, s, uri, false)
	}
}

// begin takes a user who comes with a request_uri, which a gateway gave them when they
// called it: they have to be the one for whom it asked.
func (h *Handler) begin(v *visit) {
	uri := v.query.Get("request_uri")
	if uri == "" {
		h.see(v, v.URL)
		return
	}
	s, ok, err := h.current(v)
	switch {
	case err != nil:
		h.broken(v, err)
	case !ok:
		if _, err := h.cfg.Consents.Pending(v.r.Context(), v.Portal, uri); err != nil {
			h.pendingFault(v, err) // before anybody signs in for nothing
			return
		}
		h.send(v, uri, false)
	default:
		h.lead(v, s, uri, false)
	}
}

// agree takes the word of a user who was asked whether a gateway may use their account for
// itself.
func (h *Handler) agree(v *visit) {
	if s, ok := h.form(v); ok {
		h.lead(v, s, v.r.PostForm.Get("request_uri"), true)
	}
}

// lead sends the user of a session to the service whose consent is wanted. sure is set
// where they were asked before whether the gateway may use their account for itself.
func (h *Handler) lead(v *visit, s session, uri string, sure bool) {
	ctx := v.r.Context()
	c, err := h.cfg.Consents.Pending(ctx, v.Portal, uri)
	if err != nil {
		h.pendingFault(v, err)
		return
	}
	v.about = append(v.about, portal.ProviderARN(v.Scope, c.Provider))
	if c.GatewayUser == "" && (c.Issuer != s.Issuer || c.Subject != s.Subject) {
		v.status = http.StatusForbidden
		h.show(v, page{Kind: kindOther, User: s.Name, CSRF: s.CSRF.Reveal()})
		return
	}
	if c.GatewayUser != "" && !sure {
		h.show(v, page{Kind: kindAgree, User: s.Name, CSRF: s.CSRF.Reveal(), Provider: c.Provider, RequestURI: uri})
		return
	}
	state, err := h.seal(ctx, v.Portal, "consent", agreed{
		Session: s.digest, URI: uri, GatewayUser: c.GatewayUser, Provider: c.Provider, Expires: h.cfg.Now().Add(agreeLife).Unix(),
	})
	if err != nil {
		h.broken(v, err)
		return
	}
	to, err := h.cfg.Consents.Vouch(ctx, v.Portal, uri, state, c)
	if err != nil {
		h.pendingFault(v, err)
		return
	}
	h.see(v, to)
}

// pendingFault words why there is no consent to give.
func (h *Handler) pendingFault(v *visit, err error) {
	if errors.Is(err, ErrNone) {
		h.wrong(v, "This link was used before, or is too old. Call the tool again for another one, or choose Connect on the portal.")
		return
	}
	h.broken(v, err)
}

// complete takes a user who comes back from a service: in the session in which they were
// sent there, and for the consent for which they were. What another browser brings, or a
// link that somebody sent, changes nothing.
func (h *Handler) complete(v *visit) {
	s, ok, err := h.current(v)
	if err != nil {
		h.broken(v, err)
		return
	}
	var a agreed
	sessionURI := v.query.Get("session_id")
	if !ok || h.open(v.r.Context(), v.Portal, "consent", v.query.Get("state"), &a) != nil ||
		!secret.NewBytes(a.Session).Equal(secret.NewBytes(s.digest)) || h.cfg.Now().Unix() >= a.Expires || !strings.HasPrefix(sessionURI, a.URI+".") {
		h.wrong(v, textAgain)
		return
	}
	v.about = append(v.about, portal.ProviderARN(v.Scope, a.Provider))
	if v.query.Get("error") != "" {
		h.back(v, "refused")
		return
	}
	switch err := h.cfg.Consents.Complete(v.r.Context(), v.Portal, sessionURI, s.Access, a.GatewayUser); {
	case errors.Is(err, ErrNone):
		h.wrong(v, textAgain)
	case err != nil:
		h.unavailable(v, "service", err)
	default:
		h.back(v, "connected")
	}
}

// query writes one parameter.
func query(name, value string) string { return url.Values{name: {value}}.Encode() }
