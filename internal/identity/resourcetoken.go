package identity

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity/oauth"
	"github.com/outcrop/outcrop/internal/identity/vault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

// wanted is a call for a token.
type wanted struct {
	caller
	provider oauthProvider
	owner    vault.Owner
	in       *agentcore.GetResourceOauth2TokenRequest
}

func (w *wanted) wish() oauth.Wish {
	return oauth.Wish{Scopes: w.in.Scopes, Audiences: w.in.Audiences, Resources: w.in.Resources, Parameters: w.in.CustomParameters}
}

func (w *wanted) forced() bool { return wire.True(w.in.ForceAuthentication) }

// GetResourceOauth2Token hands an agent a token of a service: its own, or one that
// lets it act for its user.
func (s *Service) GetResourceOauth2Token(ctx context.Context, in *agentcore.GetResourceOauth2TokenRequest) (*agentcore.GetResourceOauth2TokenResponse, error) {
	c, err := s.open(ctx, "GetResourceOauth2Token", *in.WorkloadIdentityToken)
	if err != nil {
		return nil, err
	}
	p, err := s.oauthProvider(ctx, c.Scope, *in.ResourceCredentialProviderName)
	if err != nil {
		return nil, err
	}
	if err := s.mayRead(ctx, p.Spec.Secret); err != nil {
		return nil, err
	}
	w := &wanted{caller: c, provider: p, in: in, owner: vault.Owner{
		Scope: c.Scope, Workload: c.Workload, Provider: p.ID, ProviderID: p.State.key(), User: c.User, Flow: *in.Oauth2Flow,
		Scopes: in.Scopes, Audiences: in.Audiences, Resources: in.Resources, Parameters: in.CustomParameters,
	}}
	switch *in.Oauth2Flow {
	case agentcore.Oauth2FlowTypeM2M:
		w.owner.User = workload.User{} // whoever it works for (spec/identity.md 5.2)
		if w.owner.Prover, err = s.prover(ctx, &p); err != nil {
			return nil, err
		}
		return s.lasting(ctx)(s.forAgent(ctx, w))
	case agentcore.Oauth2FlowTypeON_BEHALF_OF_TOKEN_EXCHANGE:
		return handed(s.onBehalf(ctx, w))
	}
	return s.forUser(ctx, w)
}

// handed is an answer with a token in it.
func handed(t vault.Token, err error) (*agentcore.GetResourceOauth2TokenResponse, error) {
	if err != nil {
		return nil, err
	}
	return &agentcore.GetResourceOauth2TokenResponse{AccessToken: new(t.Access.Reveal())}, nil
}

// lasting hands out a token that the server's own callers may use again.
func (s *Service) lasting(ctx context.Context) func(vault.Token, error) (*agentcore.GetResourceOauth2TokenResponse, error) {
	return func(t vault.Token, err error) (*agentcore.GetResourceOauth2TokenResponse, error) {
		if err == nil {
			pipeline.From(ctx).Until = s.cfg.Now().Add(reuse)
			if end := t.End(); !end.IsZero() && end.Before(pipeline.From(ctx).Until) {
				pipeline.From(ctx).Until = end
			}
		}
		return handed(t, err)
	}
}

// flight does for an owner what many may want at once, once. Who goes away early does
// not take it from the others.
func (s *Service) flight(ctx context.Context, o vault.Owner, what string, do func(context.Context) (vault.Token, error)) (vault.Token, error) {
	t, err, _ := s.flights.Do(what+o.Flight(), func() (any, error) { return do(context.WithoutCancel(ctx)) })
	if err != nil {
		return vault.Token{}, err
	}
	return t.(vault.Token), nil
}

// forAgent gets a token of the agent's own by client credentials, and keeps it until
// shortly before its end. One whose end is not told is not kept.
func (s *Service) forAgent(ctx context.Context, w *wanted) (vault.Token, error) {
	what := "agent"
	if w.forced() {
		what = "agent anew"
	}
	return s.flight(ctx, w.owner, what, func(ctx context.Context) (vault.Token, error) {
		if !w.forced() {
			t, ok, err := s.vault.Get(ctx, w.owner)
			if err != nil || ok && t.Good(s.cfg.Now()) {
				return t, stored(err)
			}
		}
		t, err := s.ask(ctx, &w.provider, oauth.ClientCredentials(w.wish()))
		if err != nil || t.Expires.IsZero() {
			return t, err
		}
		t.Refresh = secret.String{} // RFC 6749 4.4.3: there should be none
		return t, s.keep(ctx, w.owner, w.identity, t, nil, nil)
	})
}

// onBehalf exchanges the user's token that the agent was called with. What comes of it
// is not kept: the service decides each time, by a token that may be over.
func (s *Service) onBehalf(ctx context.Context, w *wanted) (vault.Token, error) {
	if w.JWT.Empty() {
		return vault.Token{}, fault.Validation("ON_BEHALF_OF_TOKEN_EXCHANGE needs a workload access token that was made for a user's JWT (GetWorkloadAccessTokenForJWT)")
	}
	p := &w.provider
	x := p.Spec.Exchange
	microsoft := p.Spec.Vendor == agentcorecontrol.CredentialProviderVendorTypeMicrosoftOauth2
	if x == nil && !microsoft {
		return vault.Token{}, fault.Validation("Credential provider '%s' has no onBehalfOfTokenExchangeConfig", p.ID)
	}
	if microsoft || x.Grant == agentcorecontrol.OnBehalfOfTokenExchangeGrantTypeTypeJWT_AUTHORIZATION_GRANT {
		if x != nil && x.NoClient {
			return s.askNobody(ctx, p, w, oauth.Actor{})
		}
		return s.ask(ctx, p, oauth.Bearer(w.JWT, microsoft, w.wish()))
	}
	var actor oauth.Actor
	switch x.Actor {
	case agentcorecontrol.ActorTokenContentTypeAWS_IAM_ID_TOKEN_JWT:
		at, err := s.server(ctx, p)
		if err != nil {
			return vault.Token{}, err
		}
		actor.JWT = true
		if actor.Token, err = s.proof(ctx, p, at.TokenEndpoint); err != nil {
			return vault.Token{}, err
		}
	case agentcorecontrol.ActorTokenContentTypeM2M:
		own := *w
		own.in = &agentcore.GetResourceOauth2TokenRequest{Scopes: x.Scopes}
		own.owner.User, own.owner.Flow = workload.User{}, agentcore.Oauth2FlowTypeM2M
		var err error
		if own.owner.Prover, err = s.prover(ctx, p); err != nil {
			return vault.Token{}, err
		}
		own.owner.Scopes, own.owner.Audiences, own.owner.Resources, own.owner.Parameters = x.Scopes, nil, nil, nil
		t, err := s.forAgent(ctx, &own)
		if err != nil {
			return vault.Token{}, err
		}
		actor.Token = t.Access
	}
	if x.NoClient {
		return s.askNobody(ctx, p, w, actor)
	}
	return s.ask(ctx, p, oauth.Exchange(w.JWT, actor, w.wish()))
}

// askNobody exchanges without saying who asks (onBehalfOfAuthenticationConfig).
func (s *Service) askNobody(ctx context.Context, p *oauthProvider, w *wanted, actor oauth.Actor) (vault.Token, error) {
	at, err := s.server(ctx, p)
	if err != nil {
		return vault.Token{}, err
	}
	form := oauth.Exchange(w.JWT, actor, w.wish())
	if p.Spec.Exchange.Grant == agentcorecontrol.OnBehalfOfTokenExchangeGrantTypeTypeJWT_AUTHORIZATION_GRANT {
		form = oauth.Bearer(w.JWT, false, w.wish())
	}
	return s.askAs(ctx, p, at, oauth.Client{}, form)
}

// refresh gets another token with the one for that. ok is false where a user has to
// consent again.
func (s *Service) refresh(ctx context.Context, w *wanted) (t vault.Token, ok bool, err error) {
	t, err = s.flight(ctx, w.owner, "refresh", func(ctx context.Context) (vault.Token, error) {
		was, found, err := s.vault.Get(ctx, w.owner)
		if err != nil || !found || was.Good(s.cfg.Now()) {
			return was, stored(err) // another flight has done it
		}
		if was.Refresh.Empty() {
			return vault.Token{}, nil
		}
		t, err := s.ask(ctx, &w.provider, oauth.Refresh(was.Refresh, w.wish()))
		if err != nil {
			return vault.Token{}, s.forgetRefused(ctx, w, err)
		}
		if t.Refresh.Empty() {
			t.Refresh = was.Refresh // RFC 6749 6: it stays
		}
		return t, s.keep(ctx, w.owner, w.identity, t, &was, nil)
	})
	return t, err == nil && !t.Access.Empty(), err
}

// forgetRefused drops what a service does not take any more; whatever went wrong, the
// user is asked again (spec/identity.md 5.3).
func (s *Service) forgetRefused(ctx context.Context, w *wanted, err error) error {
	if !fault.Is(err, "ValidationException") || errors.Is(err, errNoProof) {
		return err
	}
	if refused := (*oauth.Failure)(nil); errors.As(err, &refused) && refused.Refused() {
		return s.cfg.Store.Update(ctx, func(tx store.Tx) error { return vault.Delete(tx, w.owner) })
	}
	return nil
}

// allowedReturn refuses a URL that users may not be sent back to.
func (s *Service) allowedReturn(ctx context.Context, i workload.Identity, at *string) error {
	if at == nil || *at == "" {
		return fault.Invalid("resourceOauth2ReturnUrl", "resourceOauth2ReturnUrl is required with oauth2Flow USER_FEDERATION")
	}
	ok, err := s.mayReturn(ctx, i, *at)
	switch {
	case err != nil:
		return err
	case !ok:
		return fault.Invalid("resourceOauth2ReturnUrl", "resourceOauth2ReturnUrl '%s' is not one of the allowedResourceOauth2ReturnUrls of workload identity '%s'", *at, i.Name)
	}
	return nil
}
