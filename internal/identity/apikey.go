package identity

import (
	"context"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

// listedAPIKeys is the largest page of ListApiKeyCredentialProviders, and the default.
const listedAPIKeys = 100

type apiKeySpec struct {
	Secret secretRef         `json:"secret"`
	Tags   map[string]string `json:"tags,omitempty"`
}

type apiKeyProvider = store.Resource[apiKeySpec, providerState]

var apiKeys = store.Collection[apiKeySpec, providerState]{Kind: "api-key-provider"}

// CreateApiKeyCredentialProvider adds a provider of an API key.
func (s *Service) CreateApiKeyCredentialProvider(ctx context.Context, in *agentcorecontrol.CreateApiKeyCredentialProviderRequest) (*agentcorecontrol.CreateApiKeyCredentialProviderResponse, error) {
	scope, name := pipeline.From(ctx).Scope, *in.Name
	given := givenSecret{"apiKey", "apiKeySecretConfig", in.ApiKey, in.ApiKeySecretConfig, in.ApiKeySecretSource}
	if err := checkAPIKey(given); err != nil {
		return nil, err
	}
	if err := tag.Check(in.Tags); err != nil {
		return nil, err
	}
	if err := mayMake(ctx, apiKeyKind(), name, given); err != nil {
		return nil, err
	}
	settle, err := s.settle(ctx, apiKeyKind(), name, secretRef{}, given)
	if err != nil {
		return nil, err
	}
	var ref secretRef
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
		if err := roomFor(tx, apiKeys, scope, name, "API key credential providers"); err != nil {
			return err
		}
		if ref, err = settle(tx); err != nil {
			return err
		}
		_, err = apiKeys.Create(tx, apiKeyProvider{Scope: scope, ID: name, Spec: apiKeySpec{ref, in.Tags}, State: providerState{ID: uuid.NewString(), Updated: tx.Now()}})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.CreateApiKeyCredentialProviderResponse{
		ApiKeySecretArn: ref.arnOut(), ApiKeySecretJsonKey: ref.keyOut(), ApiKeySecretSource: ref.sourceOut(),
		Name: in.Name, CredentialProviderArn: new(apiKeyKind().arn(scope, name)),
	}, nil
}

// checkAPIKey refuses a provider without a key.
func checkAPIKey(g givenSecret) error {
	out, err := g.isExternal()
	if err == nil && !out && g.empty() {
		err = fault.Invalid("apiKey", "apiKey is required with the secret source MANAGED")
	}
	return err
}

// GetApiKeyCredentialProvider describes a provider, without its key.
func (s *Service) GetApiKeyCredentialProvider(ctx context.Context, in *agentcorecontrol.GetApiKeyCredentialProviderRequest) (*agentcorecontrol.GetApiKeyCredentialProviderResponse, error) {
	p, err := s.apiKeyProvider(ctx, pipeline.From(ctx).Scope, *in.Name)
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.GetApiKeyCredentialProviderResponse{
		ApiKeySecretArn: p.Spec.Secret.arnOut(), ApiKeySecretJsonKey: p.Spec.Secret.keyOut(), ApiKeySecretSource: p.Spec.Secret.sourceOut(),
		Name: &p.ID, CredentialProviderArn: new(apiKeyKind().arn(p.Scope, p.ID)), CreatedTime: &p.Created, LastUpdatedTime: &p.State.Updated,
	}, nil
}

// UpdateApiKeyCredentialProvider replaces a provider's key.
func (s *Service) UpdateApiKeyCredentialProvider(ctx context.Context, in *agentcorecontrol.UpdateApiKeyCredentialProviderRequest) (*agentcorecontrol.UpdateApiKeyCredentialProviderResponse, error) {
	scope, name := pipeline.From(ctx).Scope, *in.Name
	given := givenSecret{"apiKey", "apiKeySecretConfig", in.ApiKey, in.ApiKeySecretConfig, in.ApiKeySecretSource}
	if err := checkAPIKey(given); err != nil {
		return nil, err
	}
	was, err := s.apiKeyProvider(ctx, scope, name)
	if err != nil {
		return nil, err
	}
	if err := mayMake(ctx, apiKeyKind(), name, given); err != nil {
		return nil, err
	}
	settle, err := s.settle(ctx, apiKeyKind(), name, was.Spec.Secret, given)
	if err != nil {
		return nil, err
	}
	var ref secretRef
	var now apiKeyProvider
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
		next := was // as it was read: a change meanwhile is a conflict
		if next.Spec.Secret, err = settle(tx); err != nil {
			return err
		}
		ref, next.State.Updated = next.Spec.Secret, tx.Now()
		now, err = apiKeys.Replace(tx, next)
		return replaced(err, name)
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.UpdateApiKeyCredentialProviderResponse{
		ApiKeySecretArn: ref.arnOut(), ApiKeySecretJsonKey: ref.keyOut(), ApiKeySecretSource: ref.sourceOut(),
		Name: in.Name, CredentialProviderArn: new(apiKeyKind().arn(scope, name)), CreatedTime: &now.Created, LastUpdatedTime: &now.State.Updated,
	}, nil
}

// DeleteApiKeyCredentialProvider takes a provider away, with the secret that the
// service keeps for it.
func (s *Service) DeleteApiKeyCredentialProvider(ctx context.Context, in *agentcorecontrol.DeleteApiKeyCredentialProviderRequest) (*agentcorecontrol.DeleteApiKeyCredentialProviderResponse, error) {
	scope, name := pipeline.From(ctx).Scope, *in.Name
	err := s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		p, err := apiKeys.Get(tx, scope, name)
		if err == nil {
			err = s.drop(tx, scope, p.Spec.Secret)
		}
		if err == nil {
			err = apiKeys.Delete(tx, scope, name)
		}
		return noProvider(err, name)
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.DeleteApiKeyCredentialProviderResponse{}, nil
}

// ListApiKeyCredentialProviders pages through the providers of API keys.
func (s *Service) ListApiKeyCredentialProviders(ctx context.Context, in *agentcorecontrol.ListApiKeyCredentialProvidersRequest) (*agentcorecontrol.ListApiKeyCredentialProvidersResponse, error) {
	scope := pipeline.From(ctx).Scope
	out := &agentcorecontrol.ListApiKeyCredentialProvidersResponse{CredentialProviders: []agentcorecontrol.ApiKeyCredentialProviderItem{}}
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		list, err := apiKeys.List(r, scope, "", wire.Page(in.MaxResults, in.NextToken, listedAPIKeys))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, p := range list.Items {
			out.CredentialProviders = append(out.CredentialProviders, agentcorecontrol.ApiKeyCredentialProviderItem{
				Name: new(p.ID), CredentialProviderArn: new(apiKeyKind().arn(scope, p.ID)), CreatedTime: new(p.Created), LastUpdatedTime: new(p.State.Updated),
			})
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

func (s *Service) apiKeyProvider(ctx context.Context, scope store.Scope, name string) (p apiKeyProvider, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		p, err = apiKeys.Get(r, scope, name)
		return noProvider(err, name)
	})
	return p, err
}
