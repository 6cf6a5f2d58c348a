package identity

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity/oauth"
	"github.com/outcrop/outcrop/internal/identity/vault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

// server finds a provider's authorization server.
func (s *Service) server(ctx context.Context, p *oauthProvider) (oauth.Server, error) {
	at, _ := s.known(&p.Spec)
	if at.DiscoveryURL == "" {
		return oauth.Server{AuthorizationEndpoint: at.AuthorizationEndpoint, TokenEndpoint: at.TokenEndpoint, Methods: at.Methods}, nil
	}
	a, err := s.asker(p)
	if err != nil {
		return oauth.Server{}, err
	}
	found, err := a.servers.Find(ctx, at.DiscoveryURL)
	if err == nil && found.TokenEndpoint == "" {
		err = fault.Validation("The discovery document of credential provider '%s' (%s) names no token_endpoint. Have its authorization server name one; a user pool has one when it has a domain (CreateUserPoolDomain)", p.ID, at.DiscoveryURL)
	}
	return found, s.notAsked(p, err)
}

// notAsked words why an authorization server gave nothing. What the network says of
// addresses is for the log: a caller must not find out by it what is where.
func (s *Service) notAsked(p *oauthProvider, err error) error {
	var refused *oauth.Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.Code != "":
		return fault.Validation("The authorization server of credential provider '%s' refused: %s", p.ID, strings.TrimPrefix(refused.Error(), "the token endpoint answered: ")).Because(err)
	case errors.Is(err, oauth.ErrToken):
		return fault.Validation("The authorization server of credential provider '%s' answered with no token: %s", p.ID, oauth.ErrToken.Error()).Because(err)
	case errors.As(err, new(*fault.Error)):
		return err
	}
	s.cfg.Log.Warn("authorization server gave no token", "provider", oauthKind().arn(p.Scope, p.ID), "error", err)
	return fault.Validation("The authorization server of credential provider '%s' could not be asked, or did not answer as one; the server's log says why", p.ID).Because(err)
}

// client is who a provider is to its server.
func (s *Service) client(ctx context.Context, p *oauthProvider, at oauth.Server) (oauth.Client, error) {
	c := oauth.Client{ID: p.Spec.ClientID}
	if k := p.Spec.Key; k != nil {
		c.Method = oauth.Private
		c.Assert = oauth.Assertion{
			ClientID: p.Spec.ClientID, Algorithm: k.Algorithm, Header: k.Header, Payload: k.Payload, ID: uuid.NewString(), Now: s.cfg.Now(),
			Sign: func(ctx context.Context, input []byte) ([]byte, error) {
				signed, err := s.cfg.Keys.Sign(ctx, p.Scope, k.ARN, k.Algorithm, input)
				return signed, refusedKey("kmsKeyArn", err)
			},
		}.Make
		return c, nil
	}
	if p.Spec.byCaller() {
		c.Method = oauth.ByCaller
		c.Assert = func(ctx context.Context, endpoint string) (secret.String, error) { return s.proof(ctx, p, endpoint) }
		return c, nil
	}
	var err error
	if c.Secret, err = s.reveal(ctx, p.Scope, p.ID, p.Spec.Secret); err != nil || c.Secret.Empty() {
		return c, err
	}
	_, v := s.known(&p.Spec)
	// spec/identity.md 5.4: what the provider says, then its vendor, then the server.
	switch {
	case p.Spec.Method != "":
		c.Method = oauth.Method(p.Spec.Method)
	case v.Method != "":
		c.Method = v.Method
	case len(at.Methods) > 0 && !slices.Contains(at.Methods, "client_secret_basic") && slices.Contains(at.Methods, "client_secret_post"):
		c.Method = oauth.Post
	default:
		c.Method = oauth.Basic
	}
	return c, nil
}

// ask gets by a grant what the vault keeps.
func (s *Service) ask(ctx context.Context, p *oauthProvider, form url.Values) (vault.Token, error) {
	at, err := s.server(ctx, p)
	if err != nil {
		return vault.Token{}, err
	}
	c, err := s.client(ctx, p, at)
	if err != nil {
		return vault.Token{}, err
	}
	return s.askAs(ctx, p, at, c, form)
}

func (s *Service) askAs(ctx context.Context, p *oauthProvider, at oauth.Server, c oauth.Client, form url.Values) (vault.Token, error) {
	obtained := s.cfg.Now()
	t, err := s.send(ctx, p, at, c, form)
	if err != nil {
		return vault.Token{}, err
	}
	return vault.Token{Access: t.Access, Refresh: t.Refresh, Obtained: obtained, Expires: t.Expires}, nil
}

// send sends a grant to a provider's server, and is good for the log and the caller where
// it fails.
func (s *Service) send(ctx context.Context, p *oauthProvider, at oauth.Server, c oauth.Client, form url.Values) (oauth.Token, error) {
	a, err := s.asker(p)
	if err != nil {
		return oauth.Token{}, err
	}
	t, err := a.oauth.Ask(ctx, at.TokenEndpoint, c, form)
	return t, s.notAsked(p, err)
}

// stored words why the vault has no answer.
func stored(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Code != "InternalServerException" {
		return fault.Validation("The key of the token vault cannot be used: %s", f.Message).Because(err)
	}
	return err
}

// keep stores a token, if agent and provider are still those that it was wanted for.
// was is the token that it takes the place of, if there must be one.
func (s *Service) keep(ctx context.Context, o vault.Owner, made workload.Identity, t vault.Token, was *vault.Token, also func(store.Tx) error) error {
	sealed, err := s.vault.Seal(ctx, o, t)
	if err != nil {
		return stored(err)
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		i, err := workload.Get(tx, o.Scope, o.Workload)
		if err == nil && !i.Created.Equal(made.Created) {
			err = store.ErrNotFound
		}
		if err != nil {
			return missing(err, o.Workload)
		}
		p, err := oauths.Get(tx, o.Scope, o.Provider)
		if err == nil && p.State.key() != o.ProviderID {
			err = store.ErrNotFound
		}
		if err != nil {
			return noProvider(err, o.Provider)
		}
		if was != nil {
			_, err = vault.Replace(tx, sealed, *was)
		} else {
			err = vault.Put(tx, sealed)
		}
		if err == nil && also != nil {
			err = also(tx)
		}
		return err
	})
}
