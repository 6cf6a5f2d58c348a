package identity

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity/consent"
	"github.com/outcrop/outcrop/internal/identity/oauth"
	"github.com/outcrop/outcrop/internal/identity/vault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

// Portal is a gateway's consent portal, by two of its URLs: where users begin who come with
// a request_uri, and where they come back to. Both are empty for a gateway without one.
type Portal struct{ Begin, Return string }

func (s *Service) portal(ctx context.Context, i workload.Identity) (Portal, error) {
	if s.cfg.Portal == nil || i.Host == "" {
		return Portal{}, nil
	}
	return s.cfg.Portal(ctx, i.Host)
}

// mayReturn tells whether users of an agent may be sent back to a URL: to one that its
// owner allows, or to the consent portal of the gateway that it is.
func (s *Service) mayReturn(ctx context.Context, i workload.Identity, at string) (bool, error) {
	if slices.Contains(i.ReturnURLs, at) {
		return true, nil
	}
	p, err := s.portal(ctx, i)
	return err == nil && p.Return != "" && p.Return == at, err
}

// throughPortal leads a browser to the consent portal that it will come back to, unless it
// has that one's pass: there it is found out who the user is, before they agree to anything.
// Whoever knows the link alone goes that way.
func (s *Service) throughPortal(ctx context.Context, c *consent.Session, pass string) (*agentcore.BrowserRedirect, error) {
	if c.Passes(pass) {
		return nil, nil
	}
	i, err := s.workload(ctx, c.Scope, c.Workload)
	if err != nil {
		return nil, errorPage(err, textLost)
	}
	p, err := s.portal(ctx, i)
	if err != nil || p.Return == "" || p.Return != c.ReturnURL {
		return nil, err
	}
	return &agentcore.BrowserRedirect{
		Location: new(p.Begin + "?request_uri=" + url.QueryEscape(c.URI())), CacheControl: new("no-store"), ReferrerPolicy: new("no-referrer"),
	}, nil
}

// Pending is a consent that somebody was asked for and has not given yet.
type Pending struct {
	Scope              store.Scope
	Workload, Provider string
	// User is whom the agent asked for.
	User      workload.User
	ReturnURL string
}

// Pending returns the consent with a request_uri, or is consent.ErrNone: also for one that
// was begun.
func (s *Service) Pending(ctx context.Context, uri string) (Pending, error) {
	c, err := s.sessions.Find(ctx, uri)
	if err == nil && c.State != consent.Asked {
		err = consent.ErrNone
	}
	return Pending{c.Scope, c.Workload, c.Provider, c.User, c.ReturnURL}, err
}

// Vouch says that the page which a consent's user comes back to has seen that user, in a
// browser which the state belongs to that is given back there. It returns where the browser
// goes on. Errors: consent.ErrNone where the consent is not the one that Pending told of, or
// was begun.
func (s *Service) Vouch(ctx context.Context, uri, state string, p Pending) (string, error) {
	c, err := s.sessions.Vouch(ctx, uri, state, func(c *consent.Session) error {
		if (Pending{c.Scope, c.Workload, c.Provider, c.User, c.ReturnURL}) != p {
			return consent.ErrNone
		}
		return nil
	})
	if errors.Is(err, consent.ErrState) {
		err = consent.ErrNone
	}
	if err != nil {
		return "", err
	}
	return s.cfg.Public() + authorizePath + "?request_uri=" + url.QueryEscape(c.PassURI()), nil
}

// Connection is what a user lets an agent do at a service.
type Connection struct {
	Scope              store.Scope
	Workload, Provider string
	User               workload.User
	Scopes             []string
	Parameters         map[string]string
}

func (s *Service) connection(ctx context.Context, c Connection) (vault.Owner, oauthProvider, error) {
	p, err := s.oauthProvider(ctx, c.Scope, c.Provider)
	return vault.Owner{
		Scope: c.Scope, Workload: c.Workload, Provider: c.Provider, ProviderID: p.State.key(), User: c.User, Flow: agentcore.Oauth2FlowTypeUSER_FEDERATION,
		Scopes: c.Scopes, Parameters: c.Parameters,
	}, p, err
}

// Connected tells whether there is a token for a connection that is good, or that another
// can be had with.
func (s *Service) Connected(ctx context.Context, c Connection) (bool, error) {
	o, _, err := s.connection(ctx, c)
	if err != nil {
		return false, err
	}
	t, ok, err := s.vault.Get(ctx, o)
	if err != nil || !ok {
		return false, stored(err)
	}
	return t.Good(s.cfg.Now()) || !t.Refresh.Empty(), nil
}

// revoking bounds how long a service may take to forget a token.
const revoking = 5 * time.Second

// Disconnect forgets the token of a connection, and asks the service to forget it, too,
// where it can be asked: what that says changes nothing here.
func (s *Service) Disconnect(ctx context.Context, c Connection) error {
	o, p, err := s.connection(ctx, c)
	if err != nil {
		return err
	}
	t, ok, err := s.vault.Get(ctx, o)
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "token cannot be read, and is forgotten", "provider", oauthKind().arn(p.Scope, p.ID), "error", err)
	}
	if err := s.cfg.Store.Update(ctx, func(tx store.Tx) error { return vault.Delete(tx, o) }); err != nil || !ok {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revoking)
	defer cancel()
	if err := s.revoke(ctx, &p, t); err != nil {
		s.cfg.Log.WarnContext(ctx, "service did not revoke a token that is forgotten here", "provider", oauthKind().arn(p.Scope, p.ID), "error", err)
	}
	return nil
}

// revoke takes back a refresh token, with which a service takes back what came of it, or
// the access token where there is no other (RFC 7009 2.1).
func (s *Service) revoke(ctx context.Context, p *oauthProvider, t vault.Token) error {
	at, err := s.server(ctx, p)
	if err != nil || at.RevocationEndpoint == "" || p.Spec.byCaller() {
		return err
	}
	client, err := s.client(ctx, p, at)
	if err != nil {
		return err
	}
	a, err := s.asker(p)
	if err != nil {
		return err
	}
	if !t.Refresh.Empty() {
		return a.oauth.Revoke(ctx, at.RevocationEndpoint, client, t.Refresh, "refresh_token")
	}
	return a.oauth.Revoke(ctx, at.RevocationEndpoint, client, t.Access, "access_token")
}

// SignIn is how users sign in by a credential provider, as clients of OpenID Connect do.
type SignIn struct {
	Vendor, ClientID string
	// DiscoveryURL is of its issuer; Issuer is set instead where the provider says so.
	DiscoveryURL, Issuer string
}

// SignIn tells how users sign in by the provider with a name; nothing is asked of its
// server.
func (s *Service) SignIn(ctx context.Context, scope store.Scope, name string) (SignIn, error) {
	p, err := s.oauthProvider(ctx, scope, name)
	if err != nil {
		return SignIn{}, err
	}
	at, _ := s.known(&p.Spec)
	return SignIn{Vendor: p.Spec.Vendor, ClientID: p.Spec.ClientID, DiscoveryURL: at.DiscoveryURL, Issuer: at.Issuer}, nil
}

// Sent is where a browser is sent to sign in.
type Sent struct {
	URL string
	// Issuer is who it is sent to, empty where that is not known; NamesItself that it always
	// says in its answers who it is (RFC 9207).
	Issuer      string
	NamesItself bool
	ClientID    string
}

// SendToSignIn says where a browser goes that signs in by the provider with a name.
func (s *Service) SendToSignIn(ctx context.Context, scope store.Scope, name string, a oauth.Authorization) (Sent, error) {
	p, err := s.oauthProvider(ctx, scope, name)
	if err != nil {
		return Sent{}, err
	}
	at, err := s.server(ctx, &p)
	if err != nil {
		return Sent{}, err
	}
	if at.AuthorizationEndpoint == "" || p.Spec.ClientID == "" {
		return Sent{}, fault.Validation("Credential provider '%s' has no authorization endpoint or no clientId: nobody can sign in there", name)
	}
	a.Endpoint, a.ClientID = at.AuthorizationEndpoint, p.Spec.ClientID
	out := Sent{ClientID: a.ClientID, Issuer: at.Issuer, NamesItself: at.NamesItself}
	out.URL, err = a.URL()
	return out, err
}

// RedeemSignIn exchanges the code that a browser came back with for the tokens of its user.
func (s *Service) RedeemSignIn(ctx context.Context, scope store.Scope, name string, code secret.String, redirect string, verifier secret.String) (oauth.Token, error) {
	p, err := s.oauthProvider(ctx, scope, name)
	if err != nil {
		return oauth.Token{}, err
	}
	if p.Spec.byCaller() {
		return oauth.Token{}, fault.Validation("Credential provider '%s' proves itself by whoever calls (AWS_IAM_ID_TOKEN_JWT), and nobody calls when a user signs in: give it a secret or a key", name)
	}
	at, err := s.server(ctx, &p)
	if err != nil {
		return oauth.Token{}, err
	}
	client, err := s.client(ctx, &p, at)
	if err != nil {
		return oauth.Token{}, err
	}
	return s.send(ctx, &p, at, client, oauth.Code(code, redirect, verifier, oauth.Wish{}))
}
