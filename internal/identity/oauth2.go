package identity

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity/vault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

// listedOAuth is the largest page of ListOauth2CredentialProviders, and the default.
const listedOAuth = 20

type oauthProvider = store.Resource[oauthSpec, providerState]

var oauths = store.Collection[oauthSpec, providerState]{Kind: "oauth2-provider"}

// callbackPath is where services send browsers back to; a provider's id follows.
const callbackPath = "/identities/oauth2/callback/"

func (s *Service) callbackURL(id string) string { return s.cfg.Public() + callbackPath + id }

// ready is the status of all: nothing here is slow.
func ready() *string { return new(agentcorecontrol.StatusREADY) }

// CreateOauth2CredentialProvider adds a client of an OAuth server.
func (s *Service) CreateOauth2CredentialProvider(ctx context.Context, in *agentcorecontrol.CreateOauth2CredentialProviderRequest) (*agentcorecontrol.CreateOauth2CredentialProviderResponse, error) {
	scope, name := pipeline.From(ctx).Scope, *in.Name
	spec, given, err := s.plan(*in.CredentialProviderVendor, in.Oauth2ProviderConfigInput)
	if err != nil {
		return nil, err
	}
	if err := tag.Check(in.Tags); err != nil {
		return nil, err
	}
	if err := s.mayUse(ctx, name, &spec, given); err != nil {
		return nil, err
	}
	settle, err := s.settle(ctx, oauthKind(), name, secretRef{}, given)
	if err != nil {
		return nil, err
	}
	spec.Tags = in.Tags
	state := providerState{ID: uuid.NewString()}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
		if err := roomFor(tx, oauths, scope, name, "OAuth2 credential providers"); err != nil {
			return err
		}
		if spec.Secret, err = settle(tx); err != nil {
			return err
		}
		state.Updated = tx.Now()
		_, err = oauths.Create(tx, oauthProvider{Scope: scope, ID: name, Spec: spec, State: state})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.CreateOauth2CredentialProviderResponse{
		ClientSecretArn: spec.Secret.arnOut(), ClientSecretJsonKey: spec.Secret.keyOut(), ClientSecretSource: spec.Secret.sourceOut(),
		Name: in.Name, CredentialProviderArn: new(oauthKind().arn(scope, name)), CallbackUrl: new(s.callbackURL(state.ID)),
		Oauth2ProviderConfigOutput: s.describe(&spec), Status: ready(),
	}, nil
}

// mayUse asks whether the caller may have the service do what the provider says: make
// a secret, read the authorities of its server, and sign with a key of the account.
func (s *Service) mayUse(ctx context.Context, name string, spec *oauthSpec, g givenSecret) error {
	if err := mayMake(ctx, oauthKind(), name, g); err != nil {
		return err
	}
	if err := s.fetch(ctx, spec.Authorities); err != nil || spec.Key == nil {
		return err
	}
	call := pipeline.From(ctx)
	if err := call.Authorize(ctx, auth.Requirement{Action: "kms:Sign", Resource: spec.Key.ARN}); err != nil {
		return err
	}
	if !strings.HasPrefix(spec.Key.ARN, keyPrefix(call.Scope)) {
		return fault.Invalid("kmsKeyArn", "%s is of another account or region", spec.Key.ARN)
	}
	return refusedKey("kmsKeyArn", s.cfg.Keys.CheckSigner(ctx, call.Scope, spec.Key.ARN, spec.Key.Algorithm))
}

// GetOauth2CredentialProvider describes a provider, without its secret.
func (s *Service) GetOauth2CredentialProvider(ctx context.Context, in *agentcorecontrol.GetOauth2CredentialProviderRequest) (*agentcorecontrol.GetOauth2CredentialProviderResponse, error) {
	p, err := s.oauthProvider(ctx, pipeline.From(ctx).Scope, *in.Name)
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.GetOauth2CredentialProviderResponse{
		ClientSecretArn: p.Spec.Secret.arnOut(), ClientSecretJsonKey: p.Spec.Secret.keyOut(), ClientSecretSource: p.Spec.Secret.sourceOut(),
		Name: &p.ID, CredentialProviderArn: new(oauthKind().arn(p.Scope, p.ID)), CredentialProviderVendor: &p.Spec.Vendor,
		CallbackUrl: new(s.callbackURL(p.State.ID)), Oauth2ProviderConfigOutput: s.describe(&p.Spec),
		CreatedTime: &p.Created, LastUpdatedTime: &p.State.Updated, Status: ready(),
	}, nil
}

// UpdateOauth2CredentialProvider replaces all of a provider but its tags and its
// callback URL. Where it is another server's client then, the tokens of the one before
// go.
func (s *Service) UpdateOauth2CredentialProvider(ctx context.Context, in *agentcorecontrol.UpdateOauth2CredentialProviderRequest) (*agentcorecontrol.UpdateOauth2CredentialProviderResponse, error) {
	scope, name := pipeline.From(ctx).Scope, *in.Name
	spec, given, err := s.plan(*in.CredentialProviderVendor, in.Oauth2ProviderConfigInput)
	if err != nil {
		return nil, err
	}
	was, err := s.oauthProvider(ctx, scope, name)
	if err != nil {
		return nil, err
	}
	if err := s.mayUse(ctx, name, &spec, given); err != nil {
		return nil, err
	}
	settle, err := s.settle(ctx, oauthKind(), name, was.Spec.Secret, given)
	if err != nil {
		return nil, err
	}
	spec.Tags = was.Spec.Tags
	var now oauthProvider
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
		next := was // as it was read: a change meanwhile is a conflict
		if spec.Secret, err = settle(tx); err != nil {
			return err
		}
		if !spec.sameServer(&was.Spec) {
			if err := vault.Forget(tx, scope, name); err != nil {
				return err
			}
			next.State.Servers++
		}
		next.Spec, next.State.Updated = spec, tx.Now()
		now, err = oauths.Replace(tx, next)
		return replaced(err, name)
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.UpdateOauth2CredentialProviderResponse{
		ClientSecretArn: spec.Secret.arnOut(), ClientSecretJsonKey: spec.Secret.keyOut(), ClientSecretSource: spec.Secret.sourceOut(),
		Name: in.Name, CredentialProviderVendor: &spec.Vendor, CredentialProviderArn: new(oauthKind().arn(scope, name)),
		CallbackUrl: new(s.callbackURL(now.State.ID)), Oauth2ProviderConfigOutput: s.describe(&spec),
		CreatedTime: &now.Created, LastUpdatedTime: &now.State.Updated, Status: ready(),
	}, nil
}

// DeleteOauth2CredentialProvider takes a provider away with its tokens, and the
// secret that the service keeps for it.
func (s *Service) DeleteOauth2CredentialProvider(ctx context.Context, in *agentcorecontrol.DeleteOauth2CredentialProviderRequest) (*agentcorecontrol.DeleteOauth2CredentialProviderResponse, error) {
	scope, name := pipeline.From(ctx).Scope, *in.Name
	err := s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		p, err := oauths.Get(tx, scope, name)
		if err != nil {
			return noProvider(err, name)
		}
		if err := errors.Join(s.drop(tx, scope, p.Spec.Secret), vault.Forget(tx, scope, name)); err != nil {
			return err
		}
		return oauths.Delete(tx, scope, name)
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.DeleteOauth2CredentialProviderResponse{}, nil
}

// ListOauth2CredentialProviders pages through the clients of OAuth servers.
func (s *Service) ListOauth2CredentialProviders(ctx context.Context, in *agentcorecontrol.ListOauth2CredentialProvidersRequest) (*agentcorecontrol.ListOauth2CredentialProvidersResponse, error) {
	scope := pipeline.From(ctx).Scope
	out := &agentcorecontrol.ListOauth2CredentialProvidersResponse{CredentialProviders: []agentcorecontrol.Oauth2CredentialProviderItem{}}
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		list, err := oauths.List(r, scope, "", wire.Page(in.MaxResults, in.NextToken, listedOAuth))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, p := range list.Items {
			out.CredentialProviders = append(out.CredentialProviders, agentcorecontrol.Oauth2CredentialProviderItem{
				Name: new(p.ID), CredentialProviderVendor: new(p.Spec.Vendor), CredentialProviderArn: new(oauthKind().arn(scope, p.ID)),
				CreatedTime: new(p.Created), LastUpdatedTime: new(p.State.Updated),
			})
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

func (s *Service) oauthProvider(ctx context.Context, scope store.Scope, name string) (p oauthProvider, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		p, err = oauths.Get(r, scope, name)
		return noProvider(err, name)
	})
	return p, err
}
