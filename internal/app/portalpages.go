package app

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/model/secretsmanager"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/credential"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/identity/consent"
	"github.com/outcrop/outcrop/internal/identity/oauth"
	consentportal "github.com/outcrop/outcrop/internal/portal"
	"github.com/outcrop/outcrop/internal/portal/web"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/workload"
)

// portalActor does what consent portals do, as their execution roles: by the way of all
// calls, so that policies decide and the audit tells.
type portalActor struct {
	roles      *gatewayRoles
	pipeline   *atomic.Pointer[pipeline.Pipeline]
	identities *identity.Service
	gateways   *gateway.Service
	verifier   *jwt.Verifier
}

// role is a portal's, as who calls.
func (a *portalActor) role(ctx context.Context, p consentportal.Portal) (auth.Principal, error) {
	return a.roles.principal(ctx, credential.Gateway{Scope: p.Scope, ID: p.ID, ARN: p.ARN, Role: p.Role})
}

// portalAct makes a call as a portal's role. It is for the portal's gateway, whose workload
// identity serves nobody else.
func portalAct[Out any](ctx context.Context, a *portalActor, p consentportal.Portal, svc *schema.Service, operation string, in any) (out Out, err error) {
	who, err := a.role(ctx, p)
	if err != nil {
		return out, err
	}
	out, _, err = act[Out](ctx, a.pipeline.Load(), pipeline.Actor{Principal: who, Scope: p.Scope, For: gateway.ARN(p.Scope, p.Gateway)}, svc, operation, in)
	return out, err
}

// provider describes the provider by which a portal's users sign in, if its role may read it.
func (a *portalActor) provider(ctx context.Context, p consentportal.Portal, name string) (*agentcorecontrol.GetOauth2CredentialProviderResponse, error) {
	return portalAct[*agentcorecontrol.GetOauth2CredentialProviderResponse](ctx, a, p, &agentcorecontrol.Service, "GetOauth2CredentialProvider",
		&agentcorecontrol.GetOauth2CredentialProviderRequest{Name: &name})
}

// portalSignIns are portals as clients of their identity providers.
type portalSignIns struct{ *portalActor }

// Send implements web.SignIns.
func (s portalSignIns) Send(ctx context.Context, p consentportal.Portal, a web.Ask) (web.Sent, error) {
	if _, err := s.provider(ctx, p, p.Provider); err != nil {
		return web.Sent{}, err
	}
	ask := oauth.Authorization{Redirect: p.URL + consentportal.SignInPath, State: a.State, Nonce: a.Nonce, Verifier: a.Verifier, Wish: oauth.Wish{Scopes: p.Scopes}}
	if p.Audience != "" {
		ask.Wish.Audiences = []string{p.Audience}
	}
	if a.Again {
		ask.Prompt = "login"
	}
	to, err := s.identities.SendToSignIn(ctx, p.Scope, p.Provider, ask)
	return web.Sent{URL: to.URL, ClientID: to.ClientID, Issuer: to.Issuer, NamesItself: to.NamesItself}, err
}

// Redeem implements web.SignIns. The role must be allowed to read the client's secret, as
// AWS's must; it is read for the portal and goes nowhere else.
func (s portalSignIns) Redeem(ctx context.Context, p consentportal.Portal, code, verifier secret.String) (web.Tokens, error) {
	made, err := s.provider(ctx, p, p.Provider)
	if err != nil {
		return web.Tokens{}, err
	}
	if made.ClientSecretArn != nil {
		if _, err := portalAct[*secretsmanager.GetSecretValueResponse](ctx, s.portalActor, p, &secretsmanager.Service, "GetSecretValue",
			&secretsmanager.GetSecretValueRequest{SecretId: made.ClientSecretArn.SecretArn}); err != nil {
			return web.Tokens{}, err
		}
	}
	t, err := s.identities.RedeemSignIn(ctx, p.Scope, p.Provider, code, p.URL+consentportal.SignInPath, verifier)
	return web.Tokens{Access: t.Access, ID: t.ID}, err
}

// Identify implements web.SignIns.
func (s portalSignIns) Identify(ctx context.Context, p consentportal.Portal, token secret.String, clientID string) (web.Claims, error) {
	v, err := s.authorizer(ctx, p)
	if err != nil {
		return web.Claims{}, err
	}
	if token.Empty() {
		return web.Claims{}, fault.Denied("The identity provider gave no identity token")
	}
	t, err := s.verifier.Verify(ctx, v.Authorizer.DiscoveryURL, token.Reveal(), jwt.Rules{AllowedAudience: []string{clientID}})
	if err != nil {
		return web.Claims{}, tokenFault(err)
	}
	text := func(claim string) string { s, _ := t.Claims[claim].(string); return s }
	if azp := text("azp"); len(t.Audience) > 1 && azp != clientID { // OpenID Connect Core 3.1.3.7
		return web.Claims{}, fault.Denied("The identity token is for another client")
	}
	name := cmp.Or(text("email"), text("preferred_username"), text("cognito:username"), text("name"), t.Subject)
	u, err := s.identities.SameUser(ctx, workload.User{Kind: workload.ByJWT, Issuer: t.Issuer, Name: t.Subject})
	return web.Claims{Issuer: u.Issuer, Subject: u.Name, Nonce: text("nonce"), Name: fault.Clip(name, 120)}, err
}

// Verify implements web.SignIns: the token has to be one that says to the gateway who its
// user is. Which clients and scopes the gateway takes is about those who call it.
func (s portalSignIns) Verify(ctx context.Context, p consentportal.Portal, token secret.String) (web.User, error) {
	v, err := s.authorizer(ctx, p)
	if err != nil {
		return web.User{}, err
	}
	rules := v.Authorizer.Rules
	rules.AllowedClients, rules.AllowedScopes = nil, nil
	t, err := s.verifier.Verify(ctx, v.Authorizer.DiscoveryURL, token.Reveal(), rules)
	if err != nil {
		return web.User{}, tokenFault(err)
	}
	u, err := s.identities.SameUser(ctx, workload.User{Kind: workload.ByJWT, Issuer: t.Issuer, Name: t.Subject})
	return web.User{Issuer: u.Issuer, Subject: u.Name, Expires: t.Expires}, err
}

// authorizer is the gateway of a portal, which must take tokens still.
func (a *portalActor) authorizer(ctx context.Context, p consentportal.Portal) (*gateway.View, error) {
	v, err := portalGateways{a.gateways}.view(ctx, p.Scope, p.Gateway)
	if err == nil && v.Authorizer == nil {
		err = fault.Denied("Gateway '%s' has no customJWTAuthorizer any more", p.Gateway)
	}
	return v, err
}

// tokenFault words why a token is not taken.
func tokenFault(err error) error {
	if invalid, ok := errors.AsType[*jwt.Invalid](err); ok {
		return invalid.Fault().Because(err)
	}
	if forbidden, ok := errors.AsType[*jwt.Forbidden](err); ok {
		return forbidden.Fault().Because(err)
	}
	return err
}

// portalTargets tells what the gateways of portals reach for their users.
type portalTargets struct{ *portalActor }

// Targets implements web.Gateways.
func (t portalTargets) Targets(ctx context.Context, p consentportal.Portal) (web.Listing, error) {
	made, err := portalAct[*agentcorecontrol.GetGatewayResponse](ctx, t.portalActor, p, &agentcorecontrol.Service, "GetGateway",
		&agentcorecontrol.GetGatewayRequest{GatewayIdentifier: &p.Gateway})
	if err != nil {
		return web.Listing{}, err
	}
	out, vendors := web.Listing{Gateway: *made.Name}, map[string]string{}
	for next := (*string)(nil); ; {
		list, err := portalAct[*agentcorecontrol.ListGatewayTargetsResponse](ctx, t.portalActor, p, &agentcorecontrol.Service, "ListGatewayTargets",
			&agentcorecontrol.ListGatewayTargetsRequest{GatewayIdentifier: &p.Gateway, NextToken: next})
		if err != nil {
			return web.Listing{}, err
		}
		for _, item := range list.Items {
			one, ok, err := t.target(ctx, p, *item.TargetId, vendors)
			if err != nil {
				return web.Listing{}, err
			}
			if ok {
				out.Targets = append(out.Targets, one)
			}
		}
		if next = list.NextToken; next == nil {
			return out, nil
		}
	}
}

// target reads one, and reports whether users agree to it one by one. One that is gone
// meanwhile, or whose provider is, is none.
func (t portalTargets) target(ctx context.Context, p consentportal.Portal, id string, vendors map[string]string) (web.Target, bool, error) {
	made, err := portalAct[*agentcorecontrol.GetGatewayTargetResponse](ctx, t.portalActor, p, &agentcorecontrol.Service, "GetGatewayTarget",
		&agentcorecontrol.GetGatewayTargetRequest{GatewayIdentifier: &p.Gateway, TargetId: &id})
	if fault.Is(err, "ResourceNotFoundException") {
		return web.Target{}, false, nil
	}
	if err != nil || len(made.CredentialProviderConfigurations) == 0 {
		return web.Target{}, false, err
	}
	c := made.CredentialProviderConfigurations[0].CredentialProvider
	if c == nil || c.OauthCredentialProvider == nil || wire.Text(c.OauthCredentialProvider.GrantType) != agentcorecontrol.OAuthGrantTypeAUTHORIZATION_CODE {
		return web.Target{}, false, nil
	}
	o := c.OauthCredentialProvider
	_, name, ok := strings.Cut(wire.Text(o.ProviderArn), "/oauth2credentialprovider/")
	if scope, _ := scopeOf(wire.Text(o.ProviderArn)); !ok || scope != p.Scope {
		return web.Target{}, false, nil
	}
	vendor, known := vendors[name]
	if !known {
		provider, err := t.provider(ctx, p, name)
		if fault.Is(err, "ResourceNotFoundException") {
			return web.Target{}, false, nil
		}
		if err != nil {
			return web.Target{}, false, err
		}
		vendor = wire.Text(provider.CredentialProviderVendor)
		vendors[name] = vendor
	}
	return web.Target{
		Name: *made.Name, Description: wire.Text(made.Description), Provider: name, Vendor: vendor, Scopes: o.Scopes, Parameters: o.CustomParameters,
		ReturnURL: wire.Text(o.DefaultReturnUrl),
	}, true, nil
}

// portalConsents is the Identity service, as portals ask it for their gateways' users.
type portalConsents struct{ *portalActor }

func connectionOf(p consentportal.Portal, u web.User, c web.Connection) identity.Connection {
	return identity.Connection{
		Scope: p.Scope, Workload: p.Gateway, Provider: c.Provider, User: workload.User{Kind: workload.ByJWT, Issuer: u.Issuer, Name: u.Subject},
		Scopes: c.Scopes, Parameters: c.Parameters,
	}
}

// Connected implements web.Consents.
func (s portalConsents) Connected(ctx context.Context, p consentportal.Portal, u web.User, c web.Connection) (bool, error) {
	return s.identities.Connected(ctx, connectionOf(p, u, c))
}

// Disconnect implements web.Consents.
func (s portalConsents) Disconnect(ctx context.Context, p consentportal.Portal, u web.User, c web.Connection) error {
	return s.identities.Disconnect(ctx, connectionOf(p, u, c))
}

// Ask implements web.Consents.
func (s portalConsents) Ask(ctx context.Context, p consentportal.Portal, token secret.String, c web.Connection, again bool) (string, error) {
	agent, err := portalAct[*agentcore.GetWorkloadAccessTokenForJWTResponse](ctx, s.portalActor, p, &agentcore.Service, "GetWorkloadAccessTokenForJWT",
		&agentcore.GetWorkloadAccessTokenForJWTRequest{WorkloadName: &p.Gateway, UserToken: new(token.Reveal())})
	if err != nil {
		return "", err
	}
	in := &agentcore.GetResourceOauth2TokenRequest{
		WorkloadIdentityToken: agent.WorkloadAccessToken, ResourceCredentialProviderName: &c.Provider, Scopes: c.Scopes, CustomParameters: c.Parameters,
		Oauth2Flow: new(agentcore.Oauth2FlowTypeUSER_FEDERATION), ResourceOauth2ReturnUrl: new(p.URL + consentportal.ReturnPath), ForceAuthentication: &again,
	}
	if in.Scopes == nil {
		in.Scopes = []string{} // there must be a list
	}
	out, err := portalAct[*agentcore.GetResourceOauth2TokenResponse](ctx, s.portalActor, p, &agentcore.Service, "GetResourceOauth2Token", in)
	if err != nil {
		return "", err
	}
	return wire.Text(out.SessionUri), nil
}

// pending is the consent with a request_uri, if it leads back to a portal and is of its
// gateway.
func (s portalConsents) pending(ctx context.Context, p consentportal.Portal, requestURI string) (identity.Pending, web.Pending, error) {
	is, err := s.identities.Pending(ctx, requestURI)
	if errors.Is(err, consent.ErrNone) || err == nil && (is.Scope != p.Scope || is.Workload != p.Gateway || is.ReturnURL != p.URL+consentportal.ReturnPath) {
		return is, web.Pending{}, web.ErrNone
	}
	out := web.Pending{Provider: is.Provider}
	switch {
	case err != nil:
		return is, out, err
	case is.User.Kind == workload.ByJWT:
		out.Issuer, out.Subject = is.User.Issuer, is.User.Name
	case is.User.Kind == workload.ByID && strings.HasPrefix(is.User.Name, p.Gateway):
		out.GatewayUser = is.User.Name
	default:
		return is, out, web.ErrNone
	}
	return is, out, nil
}

// Pending implements web.Consents.
func (s portalConsents) Pending(ctx context.Context, p consentportal.Portal, requestURI string) (web.Pending, error) {
	_, out, err := s.pending(ctx, p, requestURI)
	return out, err
}

// Vouch implements web.Consents.
func (s portalConsents) Vouch(ctx context.Context, p consentportal.Portal, requestURI, state string, c web.Pending) (string, error) {
	is, now, err := s.pending(ctx, p, requestURI)
	if err == nil && now != c {
		err = web.ErrNone
	}
	if err != nil {
		return "", err
	}
	to, err := s.identities.Vouch(ctx, requestURI, state, is)
	if errors.Is(err, consent.ErrNone) {
		err = web.ErrNone
	}
	return to, err
}

// Complete implements web.Consents.
func (s portalConsents) Complete(ctx context.Context, p consentportal.Portal, sessionURI string, token secret.String, gatewayUser string) error {
	who := &agentcore.UserIdentifier{UserToken: new(token.Reveal())}
	if gatewayUser != "" {
		who = &agentcore.UserIdentifier{UserId: &gatewayUser}
	}
	_, err := portalAct[*agentcore.CompleteResourceTokenAuthResponse](ctx, s.portalActor, p, &agentcore.Service, "CompleteResourceTokenAuth",
		&agentcore.CompleteResourceTokenAuthRequest{SessionUri: &sessionURI, UserIdentifier: who})
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Message == identity.TextSession {
		return web.ErrNone
	}
	return err
}

var (
	_ web.SignIns  = portalSignIns{}
	_ web.Gateways = portalTargets{}
	_ web.Consents = portalConsents{}
)
