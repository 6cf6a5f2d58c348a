package identity

import (
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity/oauth"
)

// oauthSpec is an OAuth2 provider as it was asked for, without its secret. What the
// vendor's table says of it is looked up when it is wanted.
type oauthSpec struct {
	Vendor   string    `json:"vendor"`
	ClientID string    `json:"clientId,omitempty"`
	Secret   secretRef `json:"secret"`
	// Tenant is Microsoft's; Server what the provider itself says of where to go.
	Tenant string      `json:"tenant,omitempty"`
	Server givenServer `json:"server"`
	// Method, Key and Exchange are those of a custom provider.
	Method   string      `json:"method,omitempty"`
	Key      *privateKey `json:"key,omitempty"`
	Exchange *exchange   `json:"exchange,omitempty"`
	// Authorities are the server's, nil for none but those that everybody trusts.
	Authorities *authorities      `json:"authorities,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// givenServer is where an authorization server is.
type givenServer struct {
	DiscoveryURL          string   `json:"discoveryUrl,omitempty"`
	Issuer                string   `json:"issuer,omitempty"`
	AuthorizationEndpoint string   `json:"authorizationEndpoint,omitempty"`
	TokenEndpoint         string   `json:"tokenEndpoint,omitempty"`
	ResponseTypes         []string `json:"responseTypes,omitempty"`
	Methods               []string `json:"methods,omitempty"`
}

// privateKey is what a client proves itself with.
type privateKey struct {
	ARN       string            `json:"arn"`
	Algorithm string            `json:"algorithm"`
	Header    map[string]string `json:"header,omitempty"`
	Payload   map[string]string `json:"payload,omitempty"`
}

// exchange is how a user's token is exchanged.
type exchange struct {
	Grant    string   `json:"grant"`
	Actor    string   `json:"actor,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	NoClient bool     `json:"noClient,omitempty"`
}

// byCaller tells whether the client is proven by a token of whoever calls.
func (o *oauthSpec) byCaller() bool { return oauth.Method(o.Method) == oauth.ByCaller }

const custom = agentcorecontrol.CredentialProviderVendorTypeCustomOauth2

// given is what a member of the union says, whichever it is.
type given struct {
	member   string
	clientID *string
	secret   givenSecret
	tenant   *string
	server   givenServer
	custom   *agentcorecontrol.CustomOauth2ProviderConfigInput
}

const configField = "oauth2ProviderConfigInput"

// read returns the one member that is set.
func read(in *agentcorecontrol.Oauth2ProviderConfigInput) (given, error) {
	var all []given
	add := func(member string, id, value *string, ref *agentcorecontrol.SecretReference, source *string) *given {
		all = append(all, given{member: member, clientID: id, secret: givenSecret{"clientSecret", "clientSecretConfig", value, ref, source}})
		return &all[len(all)-1]
	}
	if c := in.GoogleOauth2ProviderConfig; c != nil {
		add("googleOauth2ProviderConfig", c.ClientId, c.ClientSecret, c.ClientSecretConfig, c.ClientSecretSource)
	}
	if c := in.GithubOauth2ProviderConfig; c != nil {
		add("githubOauth2ProviderConfig", c.ClientId, c.ClientSecret, c.ClientSecretConfig, c.ClientSecretSource)
	}
	if c := in.SlackOauth2ProviderConfig; c != nil {
		add("slackOauth2ProviderConfig", c.ClientId, c.ClientSecret, c.ClientSecretConfig, c.ClientSecretSource)
	}
	if c := in.SalesforceOauth2ProviderConfig; c != nil {
		add("salesforceOauth2ProviderConfig", c.ClientId, c.ClientSecret, c.ClientSecretConfig, c.ClientSecretSource)
	}
	if c := in.AtlassianOauth2ProviderConfig; c != nil {
		add("atlassianOauth2ProviderConfig", c.ClientId, c.ClientSecret, c.ClientSecretConfig, c.ClientSecretSource)
	}
	if c := in.LinkedinOauth2ProviderConfig; c != nil {
		add("linkedinOauth2ProviderConfig", c.ClientId, c.ClientSecret, c.ClientSecretConfig, c.ClientSecretSource)
	}
	if c := in.MicrosoftOauth2ProviderConfig; c != nil {
		add("microsoftOauth2ProviderConfig", c.ClientId, c.ClientSecret, c.ClientSecretConfig, c.ClientSecretSource).tenant = c.TenantId
	}
	if c := in.IncludedOauth2ProviderConfig; c != nil {
		add("includedOauth2ProviderConfig", c.ClientId, c.ClientSecret, c.ClientSecretConfig, c.ClientSecretSource).server = givenServer{
			Issuer: wire.Text(c.Issuer), AuthorizationEndpoint: wire.Text(c.AuthorizationEndpoint), TokenEndpoint: wire.Text(c.TokenEndpoint),
		}
	}
	if c := in.CustomOauth2ProviderConfig; c != nil {
		add("customOauth2ProviderConfig", c.ClientId, c.ClientSecret, c.ClientSecretConfig, c.ClientSecretSource).custom = c
	}
	if len(all) != 1 {
		return given{}, fault.Invalid(configField, "%s must have exactly one member", configField)
	}
	return all[0], nil
}

// memberFor is the union's member that a vendor has.
func memberFor(vendor string) string {
	switch name := strings.TrimSuffix(vendor, "Oauth2"); name {
	case "Google", "Github", "Slack", "Salesforce", "Microsoft", "Custom", "Atlassian", "Linkedin":
		return strings.ToLower(name) + "Oauth2ProviderConfig"
	}
	return "includedOauth2ProviderConfig"
}

// plan makes a provider of a request, but for its secret.
func (s *Service) plan(vendor string, in *agentcorecontrol.Oauth2ProviderConfigInput) (oauthSpec, givenSecret, error) {
	g, err := read(in)
	if err != nil {
		return oauthSpec{}, g.secret, err
	}
	if want := memberFor(vendor); g.member != want {
		return oauthSpec{}, g.secret, fault.Invalid(configField, "credentialProviderVendor %s needs %s, not %s", vendor, want, g.member)
	}
	out := oauthSpec{Vendor: vendor, ClientID: wire.Text(g.clientID), Tenant: wire.Text(g.tenant), Server: g.server}
	if g.custom != nil {
		return out, g.secret, planCustom(&out, g)
	}
	if strings.ContainsAny(out.Tenant, "/?#\\") || out.Tenant == "." || out.Tenant == ".." {
		return out, g.secret, fault.Invalid("tenantId", "tenantId '%s' is no tenant", out.Tenant)
	}
	for field, value := range map[string]string{"issuer": out.Server.Issuer, "authorizationEndpoint": out.Server.AuthorizationEndpoint, "tokenEndpoint": out.Server.TokenEndpoint} {
		if value == "" {
			continue
		}
		if err := oauth.CheckEndpoint(value); err != nil {
			return out, g.secret, fault.Invalid(field, "%s '%s': %s", field, value, err)
		}
	}
	known := s.cfg.Vendors[vendor]
	if (out.Server.AuthorizationEndpoint == "") != (out.Server.TokenEndpoint == "") {
		return out, g.secret, fault.Invalid(configField, "authorizationEndpoint and tokenEndpoint come together")
	}
	if known.TokenEndpoint == "" && out.Server.TokenEndpoint == "" && out.Server.Issuer == "" {
		return out, g.secret, fault.Invalid(configField, "%s has a server for each tenant: name its issuer, or its authorizationEndpoint and tokenEndpoint", vendor)
	}
	if outside, err := g.secret.isExternal(); err != nil {
		return out, g.secret, err
	} else if !outside && g.secret.empty() {
		return out, g.secret, fault.Invalid("clientSecret", "clientSecret is required with the secret source MANAGED")
	}
	return out, g.secret, nil
}

// planCustom reads what a custom provider says, and its rules (spec/identity.md 2.5).
func planCustom(out *oauthSpec, g given) error {
	c := g.custom
	if err := planDiscovery(out, c.OauthDiscovery); err != nil {
		return err
	}
	var err error
	if out.Authorities, err = planAuthorities(c.CertificateConfigurations); err != nil {
		return err
	}
	out.Method = wire.Text(c.ClientAuthenticationMethod)
	outside, err := g.secret.isExternal()
	if err != nil {
		return err
	}
	hasSecret := outside || !g.secret.empty()
	switch oauth.Method(out.Method) {
	case oauth.Basic, oauth.Post:
		if out.ClientID == "" || !hasSecret {
			return fault.Invalid("clientAuthenticationMethod", "%s needs clientId and clientSecret", out.Method)
		}
	case oauth.ByCaller:
		if hasSecret {
			return fault.Invalid("clientSecret", "clientSecret is given with clientAuthenticationMethod %s, by which no secret is used: leave it out", out.Method)
		}
	case oauth.Private:
		if c.PrivateKeyJwtConfig == nil || out.ClientID == "" {
			return fault.Invalid("clientAuthenticationMethod", "%s needs clientId and privateKeyJwtConfig", out.Method)
		}
	}
	if hasSecret && out.ClientID == "" {
		return fault.Invalid("clientId", "clientSecret is given without clientId")
	}
	if c.PrivateKeyJwtConfig != nil {
		if oauth.Method(out.Method) != oauth.Private {
			return fault.Invalid("privateKeyJwtConfig", "privateKeyJwtConfig is given without clientAuthenticationMethod PRIVATE_KEY_JWT")
		}
		if err := planKey(out, c.PrivateKeyJwtConfig); err != nil {
			return err
		}
	}
	return planExchange(out, c.OnBehalfOfTokenExchangeConfig, hasSecret)
}

func planDiscovery(out *oauthSpec, d *agentcorecontrol.Oauth2Discovery) error {
	m := d.AuthorizationServerMetadata
	switch {
	case (d.DiscoveryUrl == nil) == (m == nil):
		return fault.Invalid("oauthDiscovery", "oauthDiscovery must have exactly one member")
	case m == nil:
		if err := jwt.CheckDiscoveryURL(*d.DiscoveryUrl); err != nil {
			return fault.Invalid("discoveryUrl", "discoveryUrl '%s': %s", *d.DiscoveryUrl, err)
		}
		out.Server.DiscoveryURL = *d.DiscoveryUrl
		return nil
	}
	out.Server = givenServer{Issuer: *m.Issuer, AuthorizationEndpoint: *m.AuthorizationEndpoint, TokenEndpoint: *m.TokenEndpoint, ResponseTypes: m.ResponseTypes, Methods: m.TokenEndpointAuthMethods}
	for field, value := range map[string]string{"issuer": *m.Issuer, "authorizationEndpoint": *m.AuthorizationEndpoint, "tokenEndpoint": *m.TokenEndpoint} {
		if err := oauth.CheckEndpoint(value); err != nil {
			return fault.Invalid(field, "%s '%s': %s", field, value, err)
		}
	}
	return nil
}

func planKey(out *oauthSpec, c *agentcorecontrol.PrivateKeyJwtConfig) error {
	if c.PrivateKeySource == nil || c.PrivateKeySource.KmsKeySource == nil || c.SigningAlgorithm == nil {
		return fault.Invalid("privateKeyJwtConfig", "privateKeyJwtConfig needs privateKeySource.kmsKeySource and signingAlgorithm")
	}
	for name := range c.AdditionalHeaderClaims {
		if oauth.ReservedHeader(name) {
			return fault.Invalid("additionalHeaderClaims", "additionalHeaderClaims: '%s' is reserved", name)
		}
	}
	for name := range c.AdditionalPayloadClaims {
		if oauth.ReservedPayload(name) {
			return fault.Invalid("additionalPayloadClaims", "additionalPayloadClaims: '%s' is reserved", name)
		}
	}
	out.Key = &privateKey{ARN: *c.PrivateKeySource.KmsKeySource.KmsKeyArn, Algorithm: *c.SigningAlgorithm, Header: c.AdditionalHeaderClaims, Payload: c.AdditionalPayloadClaims}
	return nil
}

func planExchange(out *oauthSpec, c *agentcorecontrol.OnBehalfOfTokenExchangeConfigType, hasSecret bool) error {
	if c == nil {
		return nil
	}
	const field = "onBehalfOfTokenExchangeConfig"
	x := &exchange{Grant: *c.GrantType, NoClient: c.OnBehalfOfAuthenticationConfig != nil}
	t := c.TokenExchangeGrantTypeConfig
	isExchange := x.Grant == agentcorecontrol.OnBehalfOfTokenExchangeGrantTypeTypeTOKEN_EXCHANGE
	switch {
	case isExchange && t == nil:
		return fault.Invalid(field, "grantType TOKEN_EXCHANGE needs tokenExchangeGrantTypeConfig")
	case !isExchange && t != nil:
		return fault.Invalid(field, "tokenExchangeGrantTypeConfig is given with grantType %s", x.Grant)
	}
	if t != nil {
		x.Actor, x.Scopes = *t.ActorTokenContent, t.ActorTokenScopes
		byClient := x.Actor == agentcorecontrol.ActorTokenContentTypeM2M
		if len(x.Scopes) > 0 && !byClient {
			return fault.Invalid(field, "actorTokenScopes are given with actorTokenContent %s; they are for M2M alone", x.Actor)
		}
		if byClient && !hasSecret && out.Key == nil && !out.byCaller() {
			return fault.Invalid(field, "actorTokenContent M2M needs a client that proves itself: clientSecret, privateKeyJwtConfig or clientAuthenticationMethod %s", oauth.ByCaller)
		}
	}
	out.Exchange = x
	return nil
}

// sameServer tells whether tokens of one are the other's: a refresh token goes back
// to nobody but who gave it.
func (a *oauthSpec) sameServer(b *oauthSpec) bool {
	return a.Vendor == b.Vendor && a.ClientID == b.ClientID && a.Tenant == b.Tenant && a.Server.DiscoveryURL == b.Server.DiscoveryURL && a.Server.Issuer == b.Server.Issuer &&
		a.Server.AuthorizationEndpoint == b.Server.AuthorizationEndpoint && a.Server.TokenEndpoint == b.Server.TokenEndpoint && slices.Equal(a.Server.ResponseTypes, b.Server.ResponseTypes)
}
