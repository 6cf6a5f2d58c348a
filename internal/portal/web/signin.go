package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/portal"
	"github.com/outcrop/outcrop/internal/secret"
)

// SignIns is a portal as a client of its identity provider, and the rules by which its
// gateway knows users. What is refused is a *fault.Error, whose words are for the portal's
// owner: they are logged, and kept in the audit.
type SignIns interface {
	// Send says where a browser goes that signs in.
	Send(ctx context.Context, p portal.Portal, a Ask) (Sent, error)
	// Redeem exchanges the code that it came back with.
	Redeem(ctx context.Context, p portal.Portal, code, verifier secret.String) (Tokens, error)
	// Identify verifies an identity token for a client.
	Identify(ctx context.Context, p portal.Portal, token secret.String, clientID string) (Claims, error)
	// Verify verifies the token of a user as the gateway does who is called with it.
	Verify(ctx context.Context, p portal.Portal, token secret.String) (User, error)
}

// Ask is what an identity provider is asked with.
type Ask struct {
	State, Nonce, Verifier secret.String
	// Again asks users who they are even if they are signed in there.
	Again bool
}

// Sent is where a browser is sent to sign in.
type Sent struct {
	URL, ClientID string
	// Issuer is who it is sent to, empty where that is not known; NamesItself that it always
	// says in its answers who it is (RFC 9207).
	Issuer      string
	NamesItself bool
}

// Tokens are those of a user who has signed in.
type Tokens struct{ Access, ID secret.String }

// Claims are those of an identity token.
type Claims struct{ Issuer, Subject, Nonce, Name string }

// signInLife is how long a user may take to sign in, and agreeLife to agree elsewhere.
const (
	signInLife = 15 * time.Minute
	agreeLife  = 30 * time.Minute
)

// away is what a browser keeps, sealed, while it is at the identity provider.
type away struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Client   string `json:"client"`
	Issuer   string `json:"issuer,omitempty"`
	Names    bool   `json:"names,omitempty"`
	// Next is the request_uri that the user came with, if any.
	Next    string `json:"next,omitempty"`
	Expires int64  `json:"expires"`
}

// awayCookie is of one sign-in: a browser may have several under way.
func awayCookie(state string) string { return "outcrop-portal-signin-" + state[:min(len(state), 16)] }

func (h *Handler) seal(ctx context.Context, p portal.Portal, kind string, what any) (string, error) {
	plain, err := json.Marshal(what)
	if err != nil {
		return "", err
	}
	sealed, err := h.cfg.Box.Seal(ctx, sealOwner(p, kind), secret.NewBytes(plain))
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

// errSealed is what was not sealed here, or not for this.
var errSealed = errors.New("it was not sealed here")

func (h *Handler) open(ctx context.Context, p portal.Portal, kind, text string, into any) error {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return errSealed
	}
	plain, err := h.cfg.Box.Open(ctx, sealOwner(p, kind), sealed)
	if err != nil {
		return errSealed
	}
	return json.Unmarshal(plain.Reveal(), into)
}

func sealOwner(p portal.Portal, kind string) secret.Owner {
	return secret.Owner{Scope: p.Scope.String(), Kind: "consent-portal-" + kind, ID: p.ID}
}

// signIn sends the browser to the identity provider.
func (h *Handler) signIn(v *visit) { h.send(v, "", v.query.Get("prompt") == "login") }

// send sends the browser to the identity provider, and on to a request_uri from there.
func (h *Handler) send(v *visit, next string, again bool) {
	ctx := v.r.Context()
	a := away{State: random(), Nonce: random(), Verifier: random(), Next: next, Expires: h.cfg.Now().Add(signInLife).Unix()}
	to, err := h.cfg.SignIns.Send(ctx, v.Portal, Ask{
		State: secret.NewString(a.State), Nonce: secret.NewString(a.Nonce), Verifier: secret.NewString(a.Verifier), Again: again,
	})
	if err != nil {
		h.unavailable(v, "identity provider", err)
		return
	}
	a.Client, a.Issuer, a.Names = to.ClientID, to.Issuer, to.NamesItself
	sealed, err := h.seal(ctx, v.Portal, "sign-in", a)
	if err != nil {
		h.broken(v, err)
		return
	}
	v.setCookie(awayCookie(a.State), sealed, portal.SignInPath, int(signInLife.Seconds()))
	h.redirect(v, to.URL)
}

// signedIn takes the browser that comes back from the identity provider: to the cookie that
// it left with, once, from the provider that it was sent to.
func (h *Handler) signedIn(v *visit) {
	ctx, state := v.r.Context(), v.query.Get("state")
	name := awayCookie(state)
	sealed := cookie(v.r, name)
	if sealed == "" {
		h.wrong(v, textAgain)
		return
	}
	v.setCookie(name, "", portal.SignInPath, -1)
	var a away
	err := h.open(ctx, v.Portal, "sign-in", sealed, &a)
	iss := v.query.Get("iss")
	switch {
	case err != nil, !secret.NewString(a.State).Equal(secret.NewString(state)), h.cfg.Now().Unix() >= a.Expires,
		a.Issuer != "" && iss != a.Issuer && (iss != "" || a.Names):
		h.wrong(v, textAgain)
		return
	case v.query.Get("error") != "":
		h.notSignedIn(v, v.query.Get("error"))
		return
	case v.query.Get("code") == "":
		h.wrong(v, textAgain)
		return
	}
	tokens, err := h.cfg.SignIns.Redeem(ctx, v.Portal, secret.NewString(v.query.Get("code")), secret.NewString(a.Verifier))
	if err != nil {
		h.unavailable(v, "identity provider", err)
		return
	}
	h.enter(v, a, tokens)
}

// notSignedIn tells what the identity provider said, by its code alone: its words are
// anybody's.
func (h *Handler) notSignedIn(v *visit, code string) {
	v.status = http.StatusForbidden
	text := "You have not been signed in."
	if code != "access_denied" && code != "login_required" {
		text = "The identity provider did not sign you in. Ask whoever gave you this portal."
		h.cfg.Log.WarnContext(v.r.Context(), "identity provider of consent portal refused", "portal", v.ARN, "code", fault.Clip(code, 64))
	}
	v.problem = "identity provider: " + fault.Clip(code, 64)
	h.show(v, page{Kind: kindSignIn, Problem: text})
}

// enter begins the session of a user whose two tokens are good and of one person, under a
// name that nobody knew before.
func (h *Handler) enter(v *visit, a away, t Tokens) {
	ctx := v.r.Context()
	claims, err := h.cfg.SignIns.Identify(ctx, v.Portal, t.ID, a.Client)
	if err == nil && (claims.Nonce == "" || !secret.NewString(claims.Nonce).Equal(secret.NewString(a.Nonce))) {
		err = fault.Denied("The identity token has another nonce than the sign-in")
	}
	var u User
	if err == nil {
		u, err = h.cfg.SignIns.Verify(ctx, v.Portal, t.Access)
	}
	if err == nil && (u.Subject == "" || u.Subject != claims.Subject || u.Issuer != claims.Issuer) {
		err = fault.Denied("The access token and the identity token are of different users")
	}
	if err != nil {
		h.turnedAway(v, err)
		return
	}
	v.user = u
	if old, ok, err := h.sessions.find(ctx, v.ID, cookie(v.r, v.sessionCookie())); err == nil && ok {
		if err := h.sessions.end(ctx, old); err != nil {
			h.broken(v, err)
			return
		}
	}
	name, err := h.sessions.start(ctx, session{Portal: v.ID, Expires: u.Expires, Issuer: u.Issuer, Subject: u.Subject, Name: claims.Name, Access: t.Access})
	if err != nil {
		h.broken(v, err)
		return
	}
	v.setCookie(v.sessionCookie(), name, "", int(sessionLife.Seconds()))
	to := v.URL
	if a.Next != "" {
		to += portal.BeginPath + "?" + query("request_uri", a.Next)
	}
	h.redirect(v, to)
}

// turnedAway tells a user whom the gateway does not know by the token that they came with.
func (h *Handler) turnedAway(v *visit, err error) {
	if !isRefusal(err) {
		h.broken(v, err)
		return
	}
	v.status, v.problem = http.StatusForbidden, fault.From(err).Message
	h.cfg.Log.WarnContext(v.r.Context(), "user is not let in to consent portal", "portal", v.ARN, "reason", v.problem, "request", v.id)
	h.show(v, page{Kind: kindSignIn, Problem: "You signed in, but are not let in here. Ask whoever gave you this portal, and tell them this number: " + v.id})
}

// signOut ends the browser's session.
func (h *Handler) signOut(v *visit) {
	s, ok := h.form(v)
	if !ok {
		return
	}
	if err := h.sessions.end(v.r.Context(), s); err != nil {
		h.broken(v, err)
		return
	}
	v.setCookie(v.sessionCookie(), "", "", -1)
	h.show(v, page{Kind: kindSignedOut})
}

// isRefusal reports whether an error is somebody's answer, and no failure of this server.
func isRefusal(err error) bool {
	return err != nil && fault.From(err).Status < http.StatusInternalServerError
}
