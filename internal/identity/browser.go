package identity

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity/consent"
	"github.com/outcrop/outcrop/internal/identity/oauth"
	"github.com/outcrop/outcrop/internal/secret"
)

// errorPage answers a browser whose user can do nothing but begin again.
func errorPage(cause error, text string) error {
	e := fault.Validation("%s", text).Because(cause)
	e.Header = http.Header{
		"Content-Type": {"text/html; charset=utf-8"}, "Cache-Control": {"no-store"}, "Referrer-Policy": {"no-referrer"},
		"Content-Security-Policy": {"default-src 'none'"}, "X-Content-Type-Options": {"nosniff"},
	}
	e.Body = []byte("<!doctype html>\n<title>Not signed in</title>\n<h1>Not signed in</h1>\n<p>" + text + "</p>\n")
	return e
}

const (
	textOver  = "This link was used before, or is too old. Ask the agent for another one."
	textWrong = "This answer does not belong to anything that was begun in this browser. Ask the agent for another link."
	textLost  = "The service cannot be reached now, or is not known any more. Ask the agent for another link."
)

// AuthorizeResourceOauth2 sends the browser of a user to the service, once.
func (s *Service) AuthorizeResourceOauth2(ctx context.Context, in *agentcore.AuthorizeResourceOauth2Request) (*agentcore.BrowserRedirect, error) {
	name, pass := consent.CutPass(wire.Text(in.RequestUri))
	c, err := s.sessions.Find(ctx, name)
	if errors.Is(err, consent.ErrNone) || err == nil && c.State != consent.Asked {
		return nil, errorPage(err, textOver)
	}
	if err != nil {
		return nil, err
	}
	p, err := s.providerOf(ctx, c)
	if err != nil {
		return nil, errorPage(err, textLost)
	}
	if lead, err := s.throughPortal(ctx, &c, pass); err != nil || lead != nil {
		return lead, err
	}
	at, err := s.server(ctx, &p)
	if err != nil {
		return nil, errorPage(err, textLost)
	}
	c, err = s.sessions.Begin(ctx, c.URI(), s.callbackURL(p.State.ID), consent.Service{Issuer: at.Issuer, NamesItself: at.NamesItself})
	if errors.Is(err, consent.ErrNone) || errors.Is(err, consent.ErrState) {
		return nil, errorPage(err, textOver)
	}
	if err != nil {
		return nil, err
	}
	location, err := oauth.Authorization{
		Endpoint: at.AuthorizationEndpoint, ClientID: p.Spec.ClientID, Redirect: c.Redirect, State: c.StateText(), Verifier: c.Verifier,
		Wish: oauth.Wish{Scopes: c.Scopes, Audiences: c.Audiences, Resources: c.Resources, Parameters: c.Parameters},
	}.URL()
	if err != nil {
		return nil, errorPage(err, textLost)
	}
	cookie := http.Cookie{
		Name: cookieName(c.ID), Value: c.Browser.Reveal(), Path: callbackPath + p.State.ID, MaxAge: int(consent.Life.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(c.Redirect, "https:"),
	}
	return &agentcore.BrowserRedirect{
		Location: &location, SetCookie: new(cookie.String()), CacheControl: new("no-store"), ReferrerPolicy: new("no-referrer"),
	}, nil
}

// cookieName is of one session: a browser may be in several.
func cookieName(session string) string { return "outcrop-consent-" + session[:min(len(session), 16)] }

// ReceiveResourceOauth2Callback takes the service's code from the user's browser, and
// sends that one back to the application. Nobody is let in here: the application says
// who the user is.
func (s *Service) ReceiveResourceOauth2Callback(ctx context.Context, in *agentcore.ReceiveResourceOauth2CallbackRequest) (*agentcore.BrowserRedirect, error) {
	failed := wire.Text(in.Error) != ""
	id, _, _ := strings.Cut(wire.Text(in.State), ".")
	if !failed && wire.Text(in.Code) == "" {
		return nil, errorPage(nil, textWrong)
	}
	c, err := s.sessions.Return(ctx, consent.Arrival{
		State: wire.Text(in.State), Browser: cookie(wire.Text(in.Cookie), cookieName(id)), Code: secret.NewString(wire.Text(in.Code)),
		Callback: s.callbackURL(*in.CallbackId), Issuer: wire.Text(in.Iss), Failed: failed,
	})
	if errors.Is(err, consent.ErrNone) || errors.Is(err, consent.ErrState) || errors.Is(err, consent.ErrMixUp) {
		return nil, errorPage(err, textWrong)
	}
	if err != nil {
		return nil, err
	}
	i, err := s.workload(ctx, c.Scope, c.Workload)
	if err != nil || !i.Created.Equal(c.WorkloadMade) {
		return nil, errorPage(err, textLost)
	}
	if ok, err := s.mayReturn(ctx, i, c.ReturnURL); err != nil || !ok {
		return nil, errorPage(err, textLost)
	}
	more := url.Values{"session_id": {c.HandleURI()}}
	if c.CustomState != "" {
		more.Set("state", c.CustomState)
	}
	if failed {
		more.Set("error", plain(wire.Text(in.Error)))
		if wire.Text(in.ErrorDescription) != "" {
			more.Set("error_description", plain(wire.Text(in.ErrorDescription)))
		}
	}
	location, err := withQuery(c.ReturnURL, more)
	if err != nil {
		return nil, errorPage(err, textLost)
	}
	gone := http.Cookie{Name: cookieName(c.ID), Path: callbackPath + *in.CallbackId, MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	return &agentcore.BrowserRedirect{
		Location: &location, SetCookie: new(gone.String()), CacheControl: new("no-store"), ReferrerPolicy: new("no-referrer"),
	}, nil
}

// cookie reads one of a request's.
func cookie(header, name string) string {
	r := http.Request{Header: http.Header{"Cookie": {header}}}
	if c, err := r.Cookie(name); err == nil {
		return c.Value
	}
	return ""
}

// withQuery adds to the query that a URL has already.
func withQuery(at string, more url.Values) (string, error) {
	u, err := url.Parse(at)
	if err != nil {
		return "", err
	}
	query := u.Query()
	for name, values := range more {
		query[name] = values
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// plain cuts what a service says of a failure to a line.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return s[:min(len(s), 512)]
}
