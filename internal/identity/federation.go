package identity

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity/consent"
	"github.com/outcrop/outcrop/internal/identity/oauth"
	"github.com/outcrop/outcrop/internal/identity/vault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

const authorizePath = "/identities/oauth2/authorize"

// forUser gets a token by which the agent acts for its user, or tells where that one
// has to consent (spec/identity.md 5.3).
func (s *Service) forUser(ctx context.Context, w *wanted) (*agentcore.GetResourceOauth2TokenResponse, error) {
	if w.User.Kind == workload.Nobody {
		return nil, fault.Validation("USER_FEDERATION needs a workload access token that was made for a user")
	}
	if err := s.allowedReturn(ctx, w.identity, w.in.ResourceOauth2ReturnUrl); err != nil {
		return nil, err
	}
	if w.in.SessionUri != nil {
		if waits, err := s.poll(ctx, w); waits != nil || err != nil {
			return waits, err
		}
	} else if w.forced() {
		if err := s.cfg.Store.Update(ctx, func(tx store.Tx) error { return vault.Delete(tx, w.owner) }); err != nil {
			return nil, err
		}
	}
	t, ok, err := s.vault.Get(ctx, w.owner)
	if err != nil {
		return nil, stored(err)
	}
	if ok && !t.Good(s.cfg.Now()) {
		t, ok, err = s.refresh(ctx, w)
	}
	if err != nil || ok {
		return s.lasting(ctx)(t, err)
	}
	return s.startConsent(ctx, w)
}

// poll tells how far a session is that the agent waits for; nothing where it is done.
func (s *Service) poll(ctx context.Context, w *wanted) (*agentcore.GetResourceOauth2TokenResponse, error) {
	session, err := s.sessions.Find(ctx, *w.in.SessionUri)
	if errors.Is(err, consent.ErrNone) || err == nil && !w.has(&session) {
		return nil, fault.Invalid("sessionUri", "Invalid or expired session")
	}
	if err != nil {
		return nil, err
	}
	switch session.State {
	case consent.Done:
		return nil, nil
	case consent.Failed:
		return &agentcore.GetResourceOauth2TokenResponse{SessionStatus: new(agentcore.SessionStatusFAILED)}, nil
	}
	return s.waits(&session), nil
}

// has tells whether a session is for what is wanted.
func (w *wanted) has(c *consent.Session) bool {
	return c.Scope == w.Scope && c.Workload == w.Workload && c.WorkloadMade.Equal(w.identity.Created) && c.User == w.User && c.Provider == w.provider.ID &&
		c.ProviderID == w.provider.State.key() && slices.Equal(c.Scopes, w.in.Scopes) && slices.Equal(c.Audiences, w.in.Audiences) &&
		slices.Equal(c.Resources, w.in.Resources) && maps.Equal(c.Parameters, w.in.CustomParameters)
}

func (s *Service) waits(c *consent.Session) *agentcore.GetResourceOauth2TokenResponse {
	return &agentcore.GetResourceOauth2TokenResponse{
		AuthorizationUrl: new(s.cfg.Public() + authorizePath + "?request_uri=" + url.QueryEscape(c.URI())),
		SessionUri:       new(c.URI()), SessionStatus: new(agentcore.SessionStatusIN_PROGRESS),
	}
}

func (s *Service) startConsent(ctx context.Context, w *wanted) (*agentcore.GetResourceOauth2TokenResponse, error) {
	at, err := s.server(ctx, &w.provider)
	if err != nil {
		return nil, err
	}
	if at.AuthorizationEndpoint == "" || w.provider.Spec.ClientID == "" {
		return nil, fault.Validation("Credential provider '%s' has no authorization endpoint or no clientId: no user can consent there", w.provider.ID)
	}
	c, err := s.sessions.Start(ctx, consent.Session{
		Scope: w.Scope, Workload: w.Workload, WorkloadMade: w.identity.Created, Provider: w.provider.ID, ProviderID: w.provider.State.key(), User: w.User,
		Scopes: w.in.Scopes, Audiences: w.in.Audiences, Resources: w.in.Resources, Parameters: w.in.CustomParameters,
		ReturnURL: *w.in.ResourceOauth2ReturnUrl, CustomState: wire.Text(w.in.CustomState),
	})
	if err != nil {
		return nil, err
	}
	return s.waits(&c), nil
}

// TextSession is how a consent is refused that cannot be completed.
const TextSession = "Invalid or expired session"

// errSession is what an application reads whose session or user is not right; it does
// not tell which (spec/identity.md 10.4).
func errSession(cause error) error {
	return fault.Denied(TextSession).Because(cause)
}

// CompleteResourceTokenAuth ends a session for an application that has seen who came
// back from the service: it must be the user for whom the agent asked, or whoever was
// sent a link would consent for somebody else. The session goes by the name that this
// user's browser brought, and is over once it was another user.
func (s *Service) CompleteResourceTokenAuth(ctx context.Context, in *agentcore.CompleteResourceTokenAuthRequest) (*agentcore.CompleteResourceTokenAuthResponse, error) {
	call := pipeline.From(ctx)
	user, err := s.identified(ctx, in.UserIdentifier)
	if err != nil {
		return nil, err
	}
	c, err := s.sessions.FindHandle(ctx, *in.SessionUri)
	if errors.Is(err, consent.ErrNone) || err == nil && c.Scope != call.Scope {
		return nil, errSession(err)
	}
	if err != nil {
		return nil, err
	}
	if err := call.Authorize(ctx, completing(&c)...); err != nil {
		return nil, err
	}
	c, err = s.sessions.Claim(ctx, call.Scope, *in.SessionUri, user)
	if errors.Is(err, consent.ErrNone) || errors.Is(err, consent.ErrState) {
		return nil, errSession(err)
	}
	if err != nil {
		return nil, err
	}
	// The code is good once: who asked may leave, and it is exchanged all the same.
	if err := s.redeem(context.WithoutCancel(ctx), c); err != nil {
		return nil, err
	}
	if s.cfg.Authorized != nil && c.User.Kind == workload.ByID {
		if err := s.cfg.Authorized(context.WithoutCancel(ctx), c.Scope, c.Workload, c.User.Name); err != nil {
			s.cfg.Log.ErrorContext(ctx, "who waits for an agreement is not told", "workload", workload.ARN(c.Scope, c.Workload), "error", err)
		}
	}
	return &agentcore.CompleteResourceTokenAuthResponse{}, nil
}

// completing is what ending a session requires besides what the call does: on the
// provider and the workload identity, which the session knows (spec/identity.md 10.2).
func completing(c *consent.Session) (out []auth.Requirement) {
	for _, arn := range []string{oauthKind().arn(c.Scope, c.Provider), workload.ARN(c.Scope, c.Workload)} {
		out = append(out, auth.Requirement{Action: "bedrock-agentcore:CompleteResourceTokenAuth", Resource: arn})
	}
	return out
}

// identified is the user whom an application names, or whose token it shows.
func (s *Service) identified(ctx context.Context, u *agentcore.UserIdentifier) (workload.User, error) {
	switch {
	case (u.UserId == nil) == (u.UserToken == nil):
		return workload.User{}, fault.Invalid("userIdentifier", "userIdentifier must have exactly one member")
	case u.UserId != nil:
		return workload.User{Kind: workload.ByID, Name: *u.UserId}, nil
	}
	t, err := s.verify(ctx, *u.UserToken)
	if err != nil {
		return workload.User{}, err
	}
	return s.SameUser(ctx, workload.User{Kind: workload.ByJWT, Issuer: t.Issuer, Name: t.Subject})
}

// redeem exchanges the code of a claimed session, and stores what comes of it together
// with the session's end.
func (s *Service) redeem(ctx context.Context, c consent.Session) error {
	err := s.exchangeCode(ctx, c)
	if err == nil {
		return nil
	}
	return errors.Join(err, s.cfg.Store.Update(ctx, func(tx store.Tx) error { return s.sessions.Finish(ctx, tx, c.ID, consent.Failed) }))
}

func (s *Service) exchangeCode(ctx context.Context, c consent.Session) error {
	p, err := s.providerOf(ctx, c)
	if err != nil {
		return err
	}
	t, err := s.ask(ctx, &p, oauth.Code(c.Code, c.Redirect, c.Verifier, oauth.Wish{Resources: c.Resources, Parameters: c.Parameters}))
	if err != nil {
		return err
	}
	o := vault.Owner{
		Scope: c.Scope, Workload: c.Workload, Provider: c.Provider, ProviderID: c.ProviderID, User: c.User, Flow: agentcore.Oauth2FlowTypeUSER_FEDERATION,
		Scopes: c.Scopes, Audiences: c.Audiences, Resources: c.Resources, Parameters: c.Parameters,
	}
	return s.keep(ctx, o, workload.Identity{Created: c.WorkloadMade}, t, nil, func(tx store.Tx) error { return s.sessions.Finish(ctx, tx, c.ID, consent.Done) })
}

// providerOf is a session's provider, if it is still the one that it was.
func (s *Service) providerOf(ctx context.Context, c consent.Session) (oauthProvider, error) {
	p, err := s.oauthProvider(ctx, c.Scope, c.Provider)
	if err == nil && p.State.key() != c.ProviderID {
		err = noProvider(store.ErrNotFound, c.Provider)
	}
	return p, err
}
