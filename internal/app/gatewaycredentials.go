package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/credential"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/secret"
)

// gatewayIdentity asks the Identity service for gateways, as their roles: by the way of
// all calls, so that policies decide and the audit tells.
type gatewayIdentity struct {
	roles *gatewayRoles
	// pipeline is there before the first gateway serves.
	pipeline atomic.Pointer[pipeline.Pipeline]
}

// act makes a call of this server's own, as a resource's role. It is the answer, and how
// long that may be used again.
func act[Out any](ctx context.Context, p *pipeline.Pipeline, a pipeline.Actor, svc *schema.Service, operation string, in any) (out Out, until time.Time, err error) {
	answer, until, err := p.Act(ctx, a, svc, svc.Operation(operation), in)
	if err != nil {
		return out, until, err
	}
	return answer.(Out), until, nil
}

// ask makes a call of Identity as a gateway's role.
func ask[Out any](ctx context.Context, i *gatewayIdentity, g credential.Gateway, who auth.Principal, operation string, in any) (Out, time.Time, error) {
	return act[Out](ctx, i.pipeline.Load(), pipeline.Actor{Principal: who, Scope: g.Scope, For: g.ARN, Requires: gatewayRequires}, &agentcore.Service, operation, in)
}

// gatewayRequires is what a gateway's role needs for what agents need the other two
// actions for: GetWorkloadAccessToken is the one that the guide lists, whoever the gateway
// works for (spec/gateway.md 4.3). A Deny of theirs holds.
func gatewayRequires(needed []auth.Requirement) []auth.Requirement {
	const action = "bedrock-agentcore:GetWorkloadAccessToken"
	var out []auth.Requirement
	for _, r := range needed {
		if strings.HasPrefix(r.Action, action+"For") {
			out = append(out, auth.Requirement{Action: action, Resource: r.Resource})
			r.Alias = true
		}
		out = append(out, r)
	}
	return out
}

// workloadToken makes the token that stands for the gateway, and for the user it works
// for.
func (i *gatewayIdentity) workloadToken(ctx context.Context, g credential.Gateway, who auth.Principal, u credential.User) (*string, error) {
	switch {
	case u.ID != "":
		out, _, err := ask[*agentcore.GetWorkloadAccessTokenForUserIdResponse](ctx, i, g, who, "GetWorkloadAccessTokenForUserId",
			&agentcore.GetWorkloadAccessTokenForUserIdRequest{WorkloadName: &g.ID, UserId: &u.ID})
		if err != nil {
			return nil, err
		}
		return out.WorkloadAccessToken, nil
	case !u.Token.Empty():
		// The token alone says who is served: it has to be the user that was verified.
		if t, err := jwt.Claimed(u.Token.Reveal()); err != nil || t.Subject != u.Subject {
			return nil, fault.Internal(errors.Join(err, fmt.Errorf("the token of a caller of gateway %s names another user than was verified", g.ID)))
		}
		out, _, err := ask[*agentcore.GetWorkloadAccessTokenForJWTResponse](ctx, i, g, who, "GetWorkloadAccessTokenForJWT",
			&agentcore.GetWorkloadAccessTokenForJWTRequest{WorkloadName: &g.ID, UserToken: new(u.Token.Reveal())})
		if err != nil {
			return nil, err
		}
		return out.WorkloadAccessToken, nil
	}
	out, _, err := ask[*agentcore.GetWorkloadAccessTokenResponse](ctx, i, g, who, "GetWorkloadAccessToken",
		&agentcore.GetWorkloadAccessTokenRequest{WorkloadName: &g.ID})
	if err != nil {
		return nil, err
	}
	return out.WorkloadAccessToken, nil
}

// APIKey implements credential.Identity.
func (i *gatewayIdentity) APIKey(ctx context.Context, g credential.Gateway, provider string) (credential.Answer, error) {
	who, err := i.roles.principal(ctx, g)
	if err != nil {
		return credential.Answer{}, err
	}
	token, err := i.workloadToken(ctx, g, who, credential.User{})
	if err != nil {
		return credential.Answer{}, err
	}
	out, until, err := ask[*agentcore.GetResourceApiKeyResponse](ctx, i, g, who, "GetResourceApiKey",
		&agentcore.GetResourceApiKeyRequest{WorkloadIdentityToken: token, ResourceCredentialProviderName: &provider})
	if err != nil {
		return credential.Answer{}, err
	}
	return credential.Answer{Value: secret.NewString(*out.ApiKey), Until: until}, nil
}

// Token implements credential.Identity.
func (i *gatewayIdentity) Token(ctx context.Context, r credential.Request) (credential.Answer, error) {
	who, err := i.roles.principal(ctx, r.Gateway)
	if err != nil {
		return credential.Answer{}, err
	}
	token, err := i.workloadToken(ctx, r.Gateway, who, r.User)
	if err != nil {
		return credential.Answer{}, err
	}
	in := &agentcore.GetResourceOauth2TokenRequest{
		WorkloadIdentityToken: token, ResourceCredentialProviderName: &r.Provider, Scopes: r.Scopes, Oauth2Flow: new(string(r.Flow)), CustomParameters: r.Parameters,
	}
	if in.Scopes == nil {
		in.Scopes = []string{} // there must be a list
	}
	if r.Flow == credential.Federation {
		in.ResourceOauth2ReturnUrl, in.ForceAuthentication = &r.ReturnURL, &r.Force
	}
	out, until, err := ask[*agentcore.GetResourceOauth2TokenResponse](ctx, i, r.Gateway, who, "GetResourceOauth2Token", in)
	switch {
	case err != nil:
		return credential.Answer{}, err
	case out.AccessToken != nil:
		return credential.Answer{Value: secret.NewString(*out.AccessToken), Until: until}, nil
	case out.AuthorizationUrl != nil:
		return credential.Answer{LoginURL: *out.AuthorizationUrl}, nil
	}
	return credential.Answer{}, fault.Internal(errors.New("an answer has neither a token nor a URL"))
}

// gatewayRoles keeps sessions of the roles of gateways, or of consent portals, which are
// told apart by their ARNs alone. Each is begun when it is first wanted, and left when it
// has not been for as long as credentials live. It ends when the gateway does not act as the
// role any more, with the credentials that it gave.
type gatewayRoles struct {
	directory *principal.Directory
	// ours reports whether a URL is this server's.
	ours func(context.Context, *url.URL) bool
	now  func() time.Time
	// acts reports whether a gateway acts as its role.
	acts func(context.Context, credential.Gateway) (bool, error)
	// begun holds one while a session was begun that nobody has looked at.
	begun chan struct{}

	mu       sync.Mutex
	sessions map[roleOf]*gatewaySession
}

// roleOf is a role of a gateway's; a gateway may be given another.
type roleOf struct{ gateway, role string }

type gatewaySession struct {
	*principal.RoleSession
	gateway credential.Gateway
	used    time.Time
}

// watch ends the sessions of gateways that are gone, or act as another role. changed
// returns a channel that is closed when a gateway changes.
func (r *gatewayRoles) watch(ctx context.Context, changed func() <-chan struct{}) error {
	for {
		next := changed()
		r.end(ctx)
		select {
		case <-next:
		case <-r.begun: // of a call that was on its way when the gateway went, perhaps
		case <-ctx.Done():
			return nil
		}
	}
}

// end ends what there is no gateway for. What is not known stays.
func (r *gatewayRoles) end(ctx context.Context) {
	r.mu.Lock()
	held := maps.Clone(r.sessions)
	r.mu.Unlock()
	for key, s := range held {
		if acts, err := r.acts(ctx, s.gateway); acts || err != nil {
			continue
		}
		s.End()
		r.mu.Lock()
		if r.sessions[key] == s {
			delete(r.sessions, key)
		}
		r.mu.Unlock()
	}
}

func newGatewayRoles(d *principal.Directory, ours func(context.Context, *url.URL) bool) *gatewayRoles {
	return &gatewayRoles{directory: d, ours: ours, now: time.Now, begun: make(chan struct{}, 1), sessions: map[roleOf]*gatewaySession{}}
}

// maxSessionName bounds the name of a role session, in characters.
const maxSessionName = 64

// session is that of a gateway's role.
func (r *gatewayRoles) session(ctx context.Context, g credential.Gateway) (*principal.RoleSession, error) {
	key, now := roleOf{g.ARN, g.Role}, r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sessions[key]; s != nil {
		s.used = now
		return s.RoleSession, nil
	}
	for k, s := range r.sessions {
		if now.Sub(s.used) > principal.Lifetime {
			s.Retire()
			delete(r.sessions, k)
		}
	}
	if !strings.HasPrefix(g.Role, "arn:aws:iam::"+g.Scope.Account+":role/") {
		return nil, fault.Denied("The %s's role %s is no role of this account, %s", kindOf(g.ARN), g.Role, g.Scope.Account)
	}
	s, err := r.directory.BeginRoleSession(ctx, principal.RoleUse{Role: g.Role, Name: g.ID[:min(len(g.ID), maxSessionName)], Source: g.ARN})
	if err != nil {
		return nil, roleFault(g, err)
	}
	r.sessions[key] = &gatewaySession{s, g, now}
	select {
	case r.begun <- struct{}{}:
	default:
	}
	return s, nil
}

// principal is a gateway's role as who calls.
func (r *gatewayRoles) principal(ctx context.Context, g credential.Gateway) (auth.Principal, error) {
	s, err := r.session(ctx, g)
	if err != nil {
		return auth.Principal{}, err
	}
	p, err := s.Principal(ctx)
	if err == nil && p.Entity == "" {
		return p, fault.Denied("The %s's role %s does not exist; %s", kindOf(g.ARN), g.Role, howToMake(g.Role, g.Scope.Account))
	}
	return p, roleFault(g, err)
}

// Role implements credential.Roles.
func (r *gatewayRoles) Role(ctx context.Context, g credential.Gateway) (credential.Keys, error) {
	if _, err := r.principal(ctx, g); err != nil {
		return credential.Keys{}, err
	}
	s, err := r.session(ctx, g)
	if err != nil {
		return credential.Keys{}, err
	}
	c, err := s.Credentials(ctx, principal.Lifetime)
	if err != nil {
		return credential.Keys{}, roleFault(g, err)
	}
	return credential.Keys{ID: c.AccessKeyID, Secret: c.Secret, Token: c.SessionToken, Expires: c.Expires}, nil
}

// Caller implements credential.Roles.
func (r *gatewayRoles) Caller(ctx context.Context, who auth.Principal, at *url.URL) (credential.Keys, error) {
	if !r.ours(ctx, at) {
		return credential.Keys{}, fault.Denied("%s is not this server, and the secret keys of callers are known to nobody else. Use GATEWAY_IAM_ROLE, OAuth or an API key there", at.Host)
	}
	if at.RawQuery != "" && at.Query().Has("Action") || !strings.HasPrefix(at.Path, "/runtimes/") && !strings.HasPrefix(at.Path, "/gw/") {
		return credential.Keys{}, fault.Denied("%s is no agent and no gateway of this server: callers' signatures are made for calls of those alone", at.Path)
	}
	c, err := r.directory.Forward(ctx, who)
	if errors.Is(err, principal.ErrEnded) {
		err = fault.Denied("The session of %s is over", who.ARN)
	}
	if err != nil {
		return credential.Keys{}, err
	}
	return credential.Keys{ID: c.AccessKeyID, Secret: c.Secret, Token: c.SessionToken, Expires: c.Expires}, nil
}

// kindOf is what texts call the resource with an ARN that acts as its role.
func kindOf(arn string) string {
	_, path := scopeOf(arn)
	kind, _, _ := strings.Cut(path, "/")
	return strings.ReplaceAll(kind, "-", " ")
}

// roleFault words why a gateway, or a consent portal, cannot have its role.
func roleFault(g credential.Gateway, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, principal.ErrTrust):
		return fault.Denied("The %s's role %s cannot be assumed: its trust policy does not let %s assume it for %s", kindOf(g.ARN), g.Role, principal.AgentService, g.ARN).Because(err)
	case fault.Is(err, "InternalServerException"), !errors.As(err, new(*fault.Error)):
		return fmt.Errorf("assume role of %s %s: %w", kindOf(g.ARN), g.ID, err)
	}
	return err
}

var (
	_ credential.Identity = (*gatewayIdentity)(nil)
	_ credential.Roles    = (*gatewayRoles)(nil)
)
