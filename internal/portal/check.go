package portal

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// openID is the scope without which nobody signs in (OpenID Connect Core 3.1.2.1).
const openID = "openid"

const (
	providerField = "idpConfig.credentialProviderArn"
	sourceField   = "sources[0].identifier"
)

// noIdentity are the vendors that issue no JWT and have no discovery document: nobody can
// be signed in by them (AgentCore guide, "Consent portal prerequisites").
var noIdentity = []string{
	agentcorecontrol.CredentialProviderVendorTypeGithubOauth2, agentcorecontrol.CredentialProviderVendorTypeSlackOauth2,
	agentcorecontrol.CredentialProviderVendorTypeSalesforceOauth2, agentcorecontrol.CredentialProviderVendorTypeAtlassianOauth2,
	agentcorecontrol.CredentialProviderVendorTypeLinkedinOauth2,
}

// ProviderARN is the ARN of an OAuth2 credential provider.
func ProviderARN(scope store.Scope, name string) string {
	return "arn:aws:bedrock-agentcore:" + scope.Region + ":" + scope.Account + ":token-vault/default/oauth2credentialprovider/" + name
}

// providerName reads the name in the ARN of an OAuth2 credential provider of a scope;
// it is empty for any other.
func providerName(scope store.Scope, arn string) string {
	name, ok := strings.CutPrefix(arn, ProviderARN(scope, ""))
	if !ok {
		return ""
	}
	return name
}

// gatewayID reads the id of the gateway that a source names.
func gatewayID(scope store.Scope, identifier string) (string, error) {
	if !strings.HasPrefix(identifier, "arn:") {
		return identifier, nil
	}
	id, ok := strings.CutPrefix(identifier, gatewayARN(scope, ""))
	if !ok {
		return "", fault.Invalid(sourceField, "%s: %s is of another account or region; a consent portal serves a gateway of its own, in %s of account %s", sourceField, identifier, scope.Region, scope.Account)
	}
	return id, nil
}

func gatewayARN(scope store.Scope, id string) string {
	return "arn:aws:bedrock-agentcore:" + scope.Region + ":" + scope.Account + ":gateway/" + id
}

// idpOf takes what a request says of the identity provider.
func idpOf(in *agentcorecontrol.ConsentPortalIdpConfig) idp {
	out := idp{ProviderARN: *in.CredentialProviderArn, Scopes: in.Scopes}
	if in.Audience != nil {
		out.Audience = *in.Audience
	}
	return out
}

// maxAudience bounds an audience, in bytes: it stands in a URL. The model has no bound.
const maxAudience = 2048

// check holds a portal against the rules, as far as others allow it: a role that it may act
// as, a gateway and an identity provider whose tokens that gateway takes. The advice, if any,
// is what is likely to keep users out.
func (s *Service) check(ctx context.Context, scope store.Scope, id, gateway string, sp *spec) (advice string, err error) {
	switch {
	case !slices.Contains(sp.IDP.Scopes, openID):
		return "", fault.Invalid("idpConfig.scopes", "idpConfig.scopes must include '%s': users sign in with OpenID Connect", openID)
	case len(sp.IDP.Audience) > maxAudience:
		return "", fault.Invalid("idpConfig.audience", "idpConfig.audience has %d bytes; it may have at most %d", len(sp.IDP.Audience), maxAudience)
	}
	if err := s.cfg.Roles.CheckRole(ctx, sp.Role, ARN(scope, id)); err != nil {
		return "", err
	}
	g, err := s.cfg.Gateways.Gateway(ctx, scope, gateway)
	if err != nil {
		return "", err
	}
	if g.DiscoveryURL == "" {
		return "", fault.Invalid(sourceField, "%s: gateway '%s' has no customJWTAuthorizer. A consent portal knows users by the tokens with which they call its gateway: give that the authorizerType CUSTOM_JWT", sourceField, gateway)
	}
	switch a := sp.IDP.Audience; {
	case len(g.Audiences) == 0:
	case a == "":
		// Some issuers put one into every token, so that this is no refusal.
		advice = "Gateway '" + gateway + "' takes tokens for its allowedAudience alone, and most issuers make none unless they are asked to: set idpConfig.audience to one of " + strings.Join(g.Audiences, ", ")
	case !slices.Contains(g.Audiences, a):
		return "", fault.Invalid("idpConfig.audience", "idpConfig.audience '%s' is none of the allowedAudience of gateway '%s': %s", a, gateway, strings.Join(g.Audiences, ", "))
	}
	return advice, s.checkProvider(ctx, scope, gateway, g, sp)
}

func (s *Service) checkProvider(ctx context.Context, scope store.Scope, gateway string, g Gateway, sp *spec) error {
	name := providerName(scope, sp.IDP.ProviderARN)
	if name == "" {
		return fault.Invalid(providerField, "%s: %s is of another account or region; make the credential provider in %s of account %s", providerField, sp.IDP.ProviderARN, scope.Region, scope.Account)
	}
	p, err := s.cfg.Providers.Provider(ctx, scope, name)
	switch {
	case err != nil:
		return err
	case slices.Contains(noIdentity, p.Vendor):
		return fault.Invalid(providerField, "%s: credential provider '%s' is of %s, which issues no identity token: users sign in with one of OpenID Connect", providerField, name, p.Vendor)
	case p.ClientID == "":
		return fault.Invalid(providerField, "%s: credential provider '%s' has no clientId, and nobody signs in without one", providerField, name)
	case p.DiscoveryURL == "" && p.Issuer == "":
		return fault.Invalid(providerField, "%s: credential provider '%s' has no discovery document: give it a discoveryUrl", providerField, name)
	case p.DiscoveryURL == g.DiscoveryURL:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, findLimit)
	defer cancel()
	theirs, err := s.issuer(ctx, "the gateway", g.DiscoveryURL)
	if err != nil {
		return err
	}
	own := p.Issuer
	if p.DiscoveryURL != "" {
		if own, err = s.issuer(ctx, "credential provider '"+name+"'", p.DiscoveryURL); err != nil {
			return err
		}
	}
	if strings.TrimSuffix(own, "/") != strings.TrimSuffix(theirs, "/") {
		return fault.Invalid(providerField, "%s: credential provider '%s' is of the issuer %s, and gateway '%s' takes tokens of %s: both must be the same", providerField, name, own, gateway, theirs)
	}
	return nil
}

// issuer asks for the name in a discovery document.
func (s *Service) issuer(ctx context.Context, whose, discoveryURL string) (string, error) {
	issuer, err := s.cfg.Issuers.Issuer(ctx, discoveryURL)
	if err == nil {
		return issuer, nil
	}
	cause := err
	if inner := errors.Unwrap(err); inner != nil {
		cause = inner // without the URL, which is said once
	}
	return "", fault.Invalid(providerField, "The issuer of %s, %s, cannot be asked for its name: %s", whose, discoveryURL, fault.Clip(cause.Error(), 300)).Because(err)
}
