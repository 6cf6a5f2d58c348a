package identity

import (
	"cmp"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/identity/vendor"
)

// commonTenant is Microsoft's for whoever has any.
const commonTenant = "common"

// known is where a provider's server is, as far as it and its vendor's table say; a
// discovery document says the rest.
func (s *Service) known(p *oauthSpec) (at givenServer, v vendor.Vendor) {
	v = s.cfg.Vendors[p.Vendor].For(cmp.Or(p.Tenant, commonTenant))
	at = p.Server
	if at.DiscoveryURL != "" || at.TokenEndpoint != "" {
		return at, v
	}
	if at.Issuer != "" {
		return givenServer{DiscoveryURL: strings.TrimSuffix(at.Issuer, "/") + "/.well-known/openid-configuration"}, v
	}
	return givenServer{Issuer: v.Issuer, AuthorizationEndpoint: v.AuthorizationEndpoint, TokenEndpoint: v.TokenEndpoint, ResponseTypes: []string{"code"}}, v
}

// describe is the oauth2ProviderConfigOutput of a provider.
func (s *Service) describe(p *oauthSpec) *agentcorecontrol.Oauth2ProviderConfigOutput {
	at, _ := s.known(p)
	d, id := at.out(), wire.Optional(p.ClientID)
	out := &agentcorecontrol.Oauth2ProviderConfigOutput{}
	switch p.Vendor {
	case custom:
		out.CustomOauth2ProviderConfig = p.describeCustom(d)
	case agentcorecontrol.CredentialProviderVendorTypeGoogleOauth2:
		out.GoogleOauth2ProviderConfig = &agentcorecontrol.GoogleOauth2ProviderConfigOutput{OauthDiscovery: d, ClientId: id}
	case agentcorecontrol.CredentialProviderVendorTypeGithubOauth2:
		out.GithubOauth2ProviderConfig = &agentcorecontrol.GithubOauth2ProviderConfigOutput{OauthDiscovery: d, ClientId: id}
	case agentcorecontrol.CredentialProviderVendorTypeSlackOauth2:
		out.SlackOauth2ProviderConfig = &agentcorecontrol.SlackOauth2ProviderConfigOutput{OauthDiscovery: d, ClientId: id}
	case agentcorecontrol.CredentialProviderVendorTypeSalesforceOauth2:
		out.SalesforceOauth2ProviderConfig = &agentcorecontrol.SalesforceOauth2ProviderConfigOutput{OauthDiscovery: d, ClientId: id}
	case agentcorecontrol.CredentialProviderVendorTypeMicrosoftOauth2:
		out.MicrosoftOauth2ProviderConfig = &agentcorecontrol.MicrosoftOauth2ProviderConfigOutput{OauthDiscovery: d, ClientId: id}
	case agentcorecontrol.CredentialProviderVendorTypeAtlassianOauth2:
		out.AtlassianOauth2ProviderConfig = &agentcorecontrol.AtlassianOauth2ProviderConfigOutput{OauthDiscovery: d, ClientId: id}
	case agentcorecontrol.CredentialProviderVendorTypeLinkedinOauth2:
		out.LinkedinOauth2ProviderConfig = &agentcorecontrol.LinkedinOauth2ProviderConfigOutput{OauthDiscovery: d, ClientId: id}
	default:
		out.IncludedOauth2ProviderConfig = &agentcorecontrol.IncludedOauth2ProviderConfigOutput{OauthDiscovery: d, ClientId: id}
	}
	return out
}

func (g givenServer) out() *agentcorecontrol.Oauth2Discovery {
	if g.DiscoveryURL != "" {
		return &agentcorecontrol.Oauth2Discovery{DiscoveryUrl: &g.DiscoveryURL}
	}
	return &agentcorecontrol.Oauth2Discovery{AuthorizationServerMetadata: &agentcorecontrol.Oauth2AuthorizationServerMetadata{
		Issuer: &g.Issuer, AuthorizationEndpoint: &g.AuthorizationEndpoint, TokenEndpoint: &g.TokenEndpoint, ResponseTypes: g.ResponseTypes, TokenEndpointAuthMethods: g.Methods,
	}}
}

func (p *oauthSpec) describeCustom(d *agentcorecontrol.Oauth2Discovery) *agentcorecontrol.CustomOauth2ProviderConfigOutput {
	out := &agentcorecontrol.CustomOauth2ProviderConfigOutput{OauthDiscovery: d, ClientId: wire.Optional(p.ClientID), ClientAuthenticationMethod: wire.Optional(p.Method), CertificateConfigurations: p.Authorities.out()}
	if k := p.Key; k != nil {
		out.PrivateKeyJwtConfig = &agentcorecontrol.PrivateKeyJwtConfig{
			PrivateKeySource: &agentcorecontrol.PrivateKeySource{KmsKeySource: &agentcorecontrol.KmsKeySourceType{KmsKeyArn: &k.ARN}},
			SigningAlgorithm: &k.Algorithm, AdditionalHeaderClaims: k.Header, AdditionalPayloadClaims: k.Payload,
		}
	}
	if x := p.Exchange; x != nil {
		out.OnBehalfOfTokenExchangeConfig = &agentcorecontrol.OnBehalfOfTokenExchangeConfigType{GrantType: &x.Grant}
		if x.Actor != "" {
			out.OnBehalfOfTokenExchangeConfig.TokenExchangeGrantTypeConfig = &agentcorecontrol.TokenExchangeGrantTypeConfigType{ActorTokenContent: &x.Actor, ActorTokenScopes: x.Scopes}
		}
		if x.NoClient {
			out.OnBehalfOfTokenExchangeConfig.OnBehalfOfAuthenticationConfig = &agentcorecontrol.OnBehalfOfAuthenticationConfig{
				ClientAuthenticationMethod: new(agentcorecontrol.OnBehalfOfClientAuthenticationMethodNO_CLIENT),
			}
		}
	}
	return out
}
