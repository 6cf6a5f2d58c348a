package oidc

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/secret"
)

// server is what the library asks. The pool that a request is for is in its context.
type server struct {
	op.UnimplementedServer
	h *Handler
}

func faceOf(ctx context.Context) face {
	f, _ := ctx.Value(faceKey{}).(face)
	return f
}

// refusal words an error for the protocol (RFC 6749 5.2).
func (s *server) refusal(ctx context.Context, err error) error {
	f := fault.From(err)
	switch f.Code {
	case issuer.CodeNotAuthorized, issuer.CodeRefreshTokenReuse, issuer.CodeUserNotFound:
		return oidc.ErrInvalidGrant().WithDescription("%s", f.Message)
	case issuer.CodeScopeUnknown:
		return oidc.ErrInvalidScope().WithDescription("%s", f.Message)
	case issuer.CodeTarget:
		return oidc.ErrInvalidTarget().WithDescription("%s", f.Message)
	case issuer.CodeNotFound:
		return op.NewStatusError(oidc.ErrInvalidClient().WithDescription("%s", "The client is not known, or its secret is another"), http.StatusUnauthorized)
	}
	if f.Status < http.StatusInternalServerError {
		return oidc.ErrInvalidRequest().WithDescription("%s", f.Message)
	}
	if ctx.Err() == nil {
		s.h.cfg.Log.ErrorContext(ctx, "token not made", "error", err)
	}
	return oidc.ErrServerError().WithDescription("Something went wrong here. Try again later.")
}

// document is the discovery document, with what the library's type lacks.
type document struct {
	oidc.DiscoveryConfiguration
	// IssInResponse is RFC 9207's.
	IssInResponse bool `json:"authorization_response_iss_parameter_supported"`
	// Documents: a client's id may be the URL of a document about it.
	Documents bool `json:"client_id_metadata_document_supported,omitempty"`
}

// Discovery describes the pool.
func (s *server) Discovery(ctx context.Context, _ *op.Request[struct{}]) (*op.Response, error) {
	f := faceOf(ctx)
	d := document{IssInResponse: true, DiscoveryConfiguration: oidc.DiscoveryConfiguration{
		Issuer: f.issuer, JwksURI: f.issuer + "/.well-known/jwks.json",
		ScopesSupported: []string{"openid", "email", "phone", "profile"}, ResponseTypesSupported: []string{"code"}, ResponseModesSupported: []string{"query"},
		GrantTypesSupported:                    []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeClientCredentials},
		SubjectTypesSupported:                  []string{"public"},
		IDTokenSigningAlgValuesSupported:       []string{"RS256"},
		TokenEndpointAuthMethodsSupported:      []oidc.AuthMethod{oidc.AuthMethodBasic, oidc.AuthMethodPost, oidc.AuthMethodNone},
		CodeChallengeMethodsSupported:          []oidc.CodeChallengeMethod{oidc.CodeChallengeMethodS256},
		ClaimsSupported:                        []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "cognito:username", "email", "email_verified", "phone_number", "phone_number_verified", "name"},
		RevocationEndpointAuthMethodsSupported: []oidc.AuthMethod{oidc.AuthMethodBasic, oidc.AuthMethodPost, oidc.AuthMethodNone},
	}}
	if f.base != "" {
		d.AuthorizationEndpoint, d.TokenEndpoint = f.base+"/oauth2/authorize", f.base+"/oauth2/token"
		d.UserinfoEndpoint, d.RevocationEndpoint = f.base+"/oauth2/userInfo", f.base+"/oauth2/revoke"
		d.EndSessionEndpoint = f.base + "/logout"
		if f.pool.Registration.Open {
			d.RegistrationEndpoint, d.Documents = f.base+"/oauth2/register", true
		}
	}
	return op.NewResponse(d), nil
}

// Keys are the pool's.
func (s *server) Keys(ctx context.Context, _ *op.Request[struct{}]) (*op.Response, error) {
	keys, err := s.h.cfg.Pools.Keys(ctx, faceOf(ctx).pool.ID)
	if err != nil {
		return nil, s.refusal(ctx, err)
	}
	return op.NewResponse(keys), nil
}

// errClient is the one refusal of a client, whatever is wrong.
func errClient() error {
	return op.NewStatusError(oidc.ErrInvalidClient().WithDescription("The client is not known, or its secret is another"), http.StatusUnauthorized)
}

// VerifyClient proves who asks for tokens.
func (s *server) VerifyClient(ctx context.Context, r *op.Request[op.ClientCredentials]) (op.Client, error) {
	if r.Data.ClientAssertion != "" || r.Data.ClientID == "" {
		return nil, errClient()
	}
	if _, _, basic := (&http.Request{Header: r.Header}).BasicAuth(); basic {
		// One way to prove oneself at a time (RFC 6749 2.3).
		if id := r.Form.Get("client_id"); r.Form.Has("client_secret") || id != "" && id != r.Data.ClientID {
			return nil, oidc.ErrInvalidRequest().WithDescription("The client proves itself in two ways")
		}
	}
	// The document of one that publishes one is not asked for: what its users agreed to is in
	// the code or the refresh token, and strangers have nothing fetched here.
	in := faceOf(ctx).pool
	c, err := s.h.cfg.Pools.ClientOf(ctx, in.Scope, in.ID, r.Data.ClientID)
	if fault.Is(err, issuer.CodeNotFound) || err == nil && !c.OAuth {
		return nil, errClient()
	}
	if err != nil {
		return nil, s.refusal(ctx, err)
	}
	about(ctx, c.ID, "")
	ok, err := s.h.cfg.Pools.CheckSecret(ctx, c, secret.NewString(r.Data.ClientSecret))
	if err != nil {
		return nil, s.refusal(ctx, err)
	}
	if !ok {
		return nil, errClient()
	}
	return client{c}, nil
}

// client is a pool's client as the library sees it.
type client struct{ issuer.Client }

func (c client) GetID() string                       { return c.ID }
func (c client) RedirectURIs() []string              { return c.Callbacks }
func (c client) PostLogoutRedirectURIs() []string    { return c.Logouts }
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) LoginURL(string) string               { return "" }
func (c client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeJWT }
func (c client) IDTokenLifetime() time.Duration       { return c.IDLife() }
func (c client) DevMode() bool                        { return false }
func (c client) IsScopeAllowed(scope string) bool     { return slices.Contains(c.Scopes, scope) }
func (c client) IDTokenUserinfoClaimsAssertion() bool { return false }
func (c client) ClockSkew() time.Duration             { return 0 }

func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}

func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}

// AuthMethod is none for a public client.
func (c client) AuthMethod() oidc.AuthMethod {
	if c.Public() {
		return oidc.AuthMethodNone
	}
	return oidc.AuthMethodBasic
}

// GrantTypes are what the client may ask tokens by.
func (c client) GrantTypes() []oidc.GrantType {
	var out []oidc.GrantType
	if slices.Contains(c.Grants, "code") {
		out = append(out, oidc.GrantTypeCode, oidc.GrantTypeRefreshToken)
	}
	if slices.Contains(c.Grants, "client_credentials") {
		out = append(out, oidc.GrantTypeClientCredentials)
	}
	return out
}

// tokens is the answer of the token endpoint (RFC 6749 5.1).
type tokens struct {
	Access  string `json:"access_token"`
	ID      string `json:"id_token,omitempty"`
	Refresh string `json:"refresh_token,omitempty"`
	Type    string `json:"token_type"`
	Expires int64  `json:"expires_in"`
	Scope   string `json:"scope,omitempty"`
}

func answer(t issuer.Tokens) *op.Response {
	return op.NewResponse(tokens{
		Access: t.Access.Reveal(), ID: t.ID.Reveal(), Refresh: t.Refresh.Reveal(), Type: "Bearer",
		Expires: int64(t.Life.Seconds()), Scope: strings.Join(t.Scopes, " "),
	})
}

// CodeExchange turns a code into tokens.
func (s *server) CodeExchange(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) (*op.Response, error) {
	t, u, err := s.h.cfg.Pools.Redeem(ctx, faceOf(ctx).pool, r.Client.(client).Client, secret.NewString(r.Data.Code), r.Data.RedirectURI, r.Data.CodeVerifier)
	if err != nil {
		return nil, s.refusal(ctx, err)
	}
	about(ctx, "", u.Sub)
	return answer(t), nil
}

// RefreshToken turns a refresh token into others.
func (s *server) RefreshToken(ctx context.Context, r *op.ClientRequest[oidc.RefreshTokenRequest]) (*op.Response, error) {
	t, u, err := s.h.cfg.Pools.Refresh(ctx, faceOf(ctx).pool, r.Client.(client).Client, secret.NewString(r.Data.RefreshToken), strings.Fields(r.Form.Get("scope")), nil)
	if err != nil {
		return nil, s.refusal(ctx, err)
	}
	about(ctx, "", u.Sub)
	return answer(t), nil
}

// ClientCredentialsExchange makes the token of a client that signs in by itself.
func (s *server) ClientCredentialsExchange(ctx context.Context, r *op.ClientRequest[oidc.ClientCredentialsRequest]) (*op.Response, error) {
	f, c := faceOf(ctx), r.Client.(client).Client
	audience, err := resources(r.Form["resource"])
	if err != nil {
		return nil, err
	}
	if _, err := s.h.cfg.Pools.CheckResources(ctx, c, audience); err != nil {
		return nil, s.refusal(ctx, err)
	}
	scopes, err := s.h.cfg.Pools.Granted(ctx, c, strings.Fields(r.Form.Get("scope")))
	if err != nil {
		return nil, s.refusal(ctx, err)
	}
	t, err := s.h.cfg.Pools.MintMachine(ctx, f.pool, c, issuer.SignIn{Issuer: f.issuer, Scopes: scopes, Audience: audience})
	if err != nil {
		return nil, s.refusal(ctx, err)
	}
	return answer(t), nil
}

// maxResources bounds the audience of a token.
const maxResources = 8

// resources reads the parameter of RFC 8707: absolute URIs without a fragment.
func resources(list []string) ([]string, error) {
	if len(list) > maxResources {
		return nil, oidc.ErrInvalidTarget().WithDescription("At most %d resources", maxResources)
	}
	for _, text := range list {
		u, err := url.Parse(text)
		if err != nil || !u.IsAbs() || u.Host == "" || strings.Contains(text, "#") || len(text) > 2048 {
			return nil, oidc.ErrInvalidTarget().WithDescription("A resource is an absolute URI without a fragment")
		}
	}
	return slices.Compact(slices.Clone(list)), nil
}

// UserInfo returns what an access token with the scope openid opens of its user.
func (s *server) UserInfo(ctx context.Context, r *op.Request[oidc.UserInfoRequest]) (*op.Response, error) {
	b, err := s.h.cfg.Pools.Verify(ctx, secret.NewString(r.Data.AccessToken), "openid")
	if err == nil && b.Pool.ID != faceOf(ctx).pool.ID {
		err = issuer.NotAuthorized("Invalid Access Token")
	}
	if f := fault.From(err); err != nil && f.Status < http.StatusInternalServerError {
		return nil, op.NewStatusError(&oidc.Error{ErrorType: "invalid_token", Description: f.Message}, http.StatusUnauthorized)
	}
	if err != nil {
		return nil, s.refusal(ctx, err)
	}
	about(ctx, b.Client.ID, b.User.Sub)
	out := issuer.Claims(b.Pool, b.Client, b.User, b.Scopes)
	out["sub"], out["username"] = b.User.Sub, b.User.Username
	return op.NewResponse(out), nil
}

// Revocation ends the sign-in of a refresh token (RFC 7009).
func (s *server) Revocation(ctx context.Context, r *op.ClientRequest[oidc.RevocationRequest]) (*op.Response, error) {
	if strings.Count(r.Data.Token, ".") == 2 {
		return nil, &oidc.Error{ErrorType: "unsupported_token_type", Description: "Revoke the refresh token; its access tokens end with it"}
	}
	if err := s.h.cfg.Pools.Revoke(ctx, faceOf(ctx).pool, r.Client.(client).Client, secret.NewString(r.Data.Token)); err != nil {
		return nil, s.refusal(ctx, err)
	}
	return op.NewResponse(nil), nil
}

// writeError answers in the protocol's own form.
func writeError(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body, err := json.Marshal(map[string]string{"error": code, "error_description": description})
	if err == nil {
		_, _ = w.Write(body) // a client that has left
	}
}

var _ op.Server = (*server)(nil)
