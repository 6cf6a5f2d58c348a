package iam

import (
	"context"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/principal"
)

// CreateOpenIDConnectProvider makes the account know an issuer of tokens.
func (s *Service) CreateOpenIDConnectProvider(ctx context.Context, in *model.CreateOpenIDConnectProviderRequest) (*model.CreateOpenIDConnectProviderResponse, error) {
	p, err := s.d.CreateOIDCProvider(ctx, principal.NewOIDCProvider{
		URL: wire.Text(in.Url), ClientIDs: in.ClientIDList, Thumbprints: in.ThumbprintList, Tags: fromTags(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &model.CreateOpenIDConnectProviderResponse{OpenIDConnectProviderArn: &p.ARN, Tags: toTags(p.Tags)}, nil
}

// GetOpenIDConnectProvider returns a provider. Its URL comes without the scheme, as at
// AWS, where that can be no other than https.
func (s *Service) GetOpenIDConnectProvider(ctx context.Context, in *model.GetOpenIDConnectProviderRequest) (*model.GetOpenIDConnectProviderResponse, error) {
	p, err := s.d.OIDCProvider(ctx, wire.Text(in.OpenIDConnectProviderArn))
	if err != nil {
		return nil, err
	}
	url := strings.TrimPrefix(p.Issuer, "https://")
	return &model.GetOpenIDConnectProviderResponse{
		Url: &url, ClientIDList: each(p.ClientIDs, itself), ThumbprintList: each(p.Thumbprints, itself), CreateDate: stamp(p.Created), Tags: toTags(p.Tags),
	}, nil
}

// ListOpenIDConnectProviders returns the ARNs of all.
func (s *Service) ListOpenIDConnectProviders(ctx context.Context, _ *model.ListOpenIDConnectProvidersRequest) (*model.ListOpenIDConnectProvidersResponse, error) {
	all, err := s.d.OIDCProviders(ctx)
	if err != nil {
		return nil, err
	}
	return &model.ListOpenIDConnectProvidersResponse{OpenIDConnectProviderList: each(all, func(p principal.OIDCProvider) model.OpenIDConnectProviderListEntry {
		return model.OpenIDConnectProviderListEntry{Arn: &p.ARN}
	})}, nil
}

// DeleteOpenIDConnectProvider deletes a provider.
func (s *Service) DeleteOpenIDConnectProvider(ctx context.Context, in *model.DeleteOpenIDConnectProviderRequest) (*model.Nothing, error) {
	return done(s.d.DeleteOIDCProvider(ctx, wire.Text(in.OpenIDConnectProviderArn)))
}

// AddClientIDToOpenIDConnectProvider adds an audience.
func (s *Service) AddClientIDToOpenIDConnectProvider(ctx context.Context, in *model.AddClientIDToOpenIDConnectProviderRequest) (*model.Nothing, error) {
	return done(s.d.AddClientID(ctx, wire.Text(in.OpenIDConnectProviderArn), wire.Text(in.ClientID)))
}

// RemoveClientIDFromOpenIDConnectProvider takes an audience away.
func (s *Service) RemoveClientIDFromOpenIDConnectProvider(ctx context.Context, in *model.RemoveClientIDFromOpenIDConnectProviderRequest) (*model.Nothing, error) {
	return done(s.d.RemoveClientID(ctx, wire.Text(in.OpenIDConnectProviderArn), wire.Text(in.ClientID)))
}

// UpdateOpenIDConnectProviderThumbprint replaces the thumbprints.
func (s *Service) UpdateOpenIDConnectProviderThumbprint(ctx context.Context, in *model.UpdateOpenIDConnectProviderThumbprintRequest) (*model.Nothing, error) {
	return done(s.d.SetThumbprints(ctx, wire.Text(in.OpenIDConnectProviderArn), in.ThumbprintList))
}

// TagOpenIDConnectProvider adds tags to a provider.
func (s *Service) TagOpenIDConnectProvider(ctx context.Context, in *model.TagOpenIDConnectProviderRequest) (*model.Nothing, error) {
	return done(s.d.TagOIDCProvider(ctx, wire.Text(in.OpenIDConnectProviderArn), fromTags(in.Tags)))
}

// UntagOpenIDConnectProvider removes tags from a provider.
func (s *Service) UntagOpenIDConnectProvider(ctx context.Context, in *model.UntagOpenIDConnectProviderRequest) (*model.Nothing, error) {
	return done(s.d.UntagOIDCProvider(ctx, wire.Text(in.OpenIDConnectProviderArn), in.TagKeys))
}

// ListOpenIDConnectProviderTags returns the tags of a provider.
func (s *Service) ListOpenIDConnectProviderTags(ctx context.Context, in *model.ListOpenIDConnectProviderTagsRequest) (*model.ListOpenIDConnectProviderTagsResponse, error) {
	provider, err := s.d.OIDCProvider(ctx, wire.Text(in.OpenIDConnectProviderArn))
	if err != nil {
		return nil, err
	}
	tags, p, err := tagPage(provider.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListOpenIDConnectProviderTagsResponse{Tags: tags, IsTruncated: p.truncated, Marker: p.marker}, nil
}

// EnableOutboundWebIdentityFederation lets principals get tokens for services elsewhere.
func (s *Service) EnableOutboundWebIdentityFederation(ctx context.Context, _ *model.Nothing) (*model.EnableOutboundWebIdentityFederationResponse, error) {
	issuer, err := s.outbound.Enable(ctx)
	if err != nil {
		return nil, err
	}
	return &model.EnableOutboundWebIdentityFederationResponse{IssuerIdentifier: &issuer}, nil
}

// DisableOutboundWebIdentityFederation ends that. Tokens that are out stay good.
func (s *Service) DisableOutboundWebIdentityFederation(ctx context.Context, _ *model.Nothing) (*model.Nothing, error) {
	return done(s.outbound.Disable(ctx))
}

// GetOutboundWebIdentityFederationInfo returns the account's name as an issuer.
func (s *Service) GetOutboundWebIdentityFederationInfo(ctx context.Context, _ *model.Nothing) (*model.GetOutboundWebIdentityFederationInfoResponse, error) {
	issuer, err := s.outbound.URL(ctx)
	if err != nil {
		return nil, err
	}
	return &model.GetOutboundWebIdentityFederationInfoResponse{IssuerIdentifier: &issuer, JwtVendingEnabled: new(true)}, nil
}
