package app

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/credential"
	"github.com/outcrop/outcrop/internal/gateway/function"
	"github.com/outcrop/outcrop/internal/gateway/search"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/upstream"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/secretstore"
	"github.com/outcrop/outcrop/internal/store"
)

// newGateways makes the service that keeps gateways.
func (s *Server) newGateways(p *parts, vectors *search.Vectors) (*gateway.Service, error) {
	drivers, err := s.gatewayDrivers(p)
	if err != nil {
		return nil, err
	}
	judge, err := s.gatewayJudge(p)
	if err != nil {
		return nil, err
	}
	return gateway.New(gateway.Config{
		Store: p.store, Box: p.box, Keys: gatewayKeys{identityKeys{p.keys}}, Roles: roleTrust{p.directory, "roleArn", "gateway", "docs/gateway.md"}, Issuers: p.door.Verifier,
		Providers: gatewayProviders{p.store, p.identities}, Objects: newGatewayObjects(p, s.account), Drivers: drivers, Vectors: vectors, Resources: s.hasResource,
		Base: s.publicURL, Reserved: s.reserved, Domain: s.cfg.GatewayDomain, Log: s.cfg.Log, Now: time.Now,
		Problem: func(ctx context.Context, of target.Source, arn string) string {
			return function.Problem(ctx, gatewayFunctions{p.identity}, of, arn)
		},
		HasRuntime: func(ctx context.Context, arn string) (bool, error) {
			scope, path := scopeOf(arn)
			return has(ctx, p.store, p.runtimes.Tags, scope, path)
		},
		MayInvoke: mayInvoke(p, s.account), Judge: judge, Leads: s.gatewayAt(p),
	}), nil
}

// gatewayJudge tells what keeps calls of a target from a URL. This server's own are never
// kept.
func (s *Server) gatewayJudge(p *parts) (func(context.Context, target.Source, *url.URL) error, error) {
	out, err := s.cfg.outbound()
	if err != nil {
		return nil, err
	}
	judge, home := upstream.Judge(out, s.cfg.GatewayEndpoints.Resources), s.leadsHome(p)
	return func(ctx context.Context, of target.Source, at *url.URL) error {
		if home(ctx, at) {
			return nil
		}
		return judge(ctx, of, at)
	}, nil
}

// mayInvoke asks whether gateways' roles may invoke agent runtimes, as InvokeAgentRuntime
// would.
func mayInvoke(p *parts, account string) func(context.Context, target.Source, string, string) (bool, error) {
	authorizer := &auth.Authorizer{Identities: p.directory, Resources: &attached{account, map[string]auth.Resources{
		"bedrock-agentcore": newAgentCore(p.store, map[string]resource.Owner{"runtime": p.runtimes}),
	}}}
	return func(ctx context.Context, of target.Source, arn, qualifier string) (bool, error) {
		who, err := p.identity.roles.principal(ctx, credential.Gateway{Scope: of.Scope, ID: of.Gateway, ARN: of.GatewayARN, Role: of.Role})
		if err != nil {
			return false, err
		}
		const action = "bedrock-agentcore:InvokeAgentRuntime"
		ctx = auth.WithRequest(ctx, auth.Request{Time: time.Now(), Secure: true, Region: of.Scope.Region})
		for _, resource := range []string{arn, arn + "/runtime-endpoint/" + qualifier} {
			if d := authorizer.Decide(ctx, who, auth.Requirement{Action: action, Resource: resource}); d.Err != nil || !d.Allowed() {
				return false, d.Err
			}
		}
		return true, nil
	}
}

// gatewayKeys shows the keys of accounts to the gateways that they encrypt.
type gatewayKeys struct{ identityKeys }

// Topic implements gateway.Keys.
func (gatewayKeys) Topic() store.Topic { return key.Topic() }

// roleTrust knows which roles resources of a kind may act as: the member that names a
// role, the kind in words, and the page that shows a trust policy for it.
type roleTrust struct {
	directory         *principal.Directory
	field, kind, page string
}

// CheckRole implements gateway.Roles and portal.Roles. A gateway and its portal are nothing
// without their roles, so that those have to be there, other than that of an agent.
func (t roleTrust) CheckRole(ctx context.Context, role, source string) error {
	exists, err := t.directory.CheckRole(ctx, principal.RoleUse{Role: role, Source: source})
	switch {
	case errors.Is(err, principal.ErrTrust):
		return fault.Invalid(t.field, "The role %s cannot be assumed by the %s: its trust policy does not allow sts:AssumeRole to the service %s for %s. See %s for one that does", role, t.kind, principal.AgentService, source, t.page).Because(err)
	case err != nil && !errors.Is(err, principal.ErrRole):
		return err
	case !exists:
		account := t.directory.Account().ID
		return fault.Invalid(t.field, "The role %s cannot be assumed by the %s: there is no such role in account %s; %s", role, t.kind, account, howToMake(role, account))
	}
	return nil
}

// gatewayProviders knows the credential providers of accounts.
type gatewayProviders struct {
	store      store.Store
	identities *identity.Service
}

// HasProvider implements gateway.Providers.
func (g gatewayProviders) HasProvider(ctx context.Context, scope store.Scope, arn string) (bool, error) {
	_, path := scopeOf(arn)
	return has(ctx, g.store, g.identities.Tags, scope, path)
}

// has reports whether there is a resource, of which tags are read.
func has(ctx context.Context, from store.Store, tags func(store.Reader, store.Scope, string) (map[string]string, error), scope store.Scope, path string) (bool, error) {
	err := from.View(ctx, func(r store.Reader) error {
		_, err := tags(r, scope, path)
		return err
	})
	return err == nil, absent(err)
}

// gatewayObjects reads for gateways what their role may read.
type gatewayObjects struct {
	account    string
	objects    *object.Storage
	secrets    *secretstore.Secrets
	directory  *principal.Directory
	authorizer *auth.Authorizer
	now        func() time.Time
}

func newGatewayObjects(p *parts, account string) *gatewayObjects {
	return &gatewayObjects{
		account: account, objects: p.objects, secrets: p.secrets, directory: p.directory, now: time.Now,
		authorizer: &auth.Authorizer{Identities: p.directory, Resources: &attached{account, map[string]auth.Resources{
			"s3": newBuckets(p.store, account, p.objects), "secretsmanager": secretPolicies(p.store, p.secrets), "kms": keyPolicies(p.store, p.keys),
		}}},
	}
}

// Read implements gateway.Objects.
func (g *gatewayObjects) Read(ctx context.Context, scope store.Scope, role, uri, owner string, most int64) ([]byte, error) {
	bucket, name := object.SplitURI(uri)
	if err := g.may(ctx, scope, role, "s3:GetObject", "arn:aws:s3:::"+bucket+"/"+name); err != nil {
		return nil, err
	}
	text, err := readObject(ctx, g.objects, owner, uri, most)
	return text, unfit(err)
}

// Secret implements gateway.Objects.
func (g *gatewayObjects) Secret(ctx context.Context, scope store.Scope, role, arn string) ([]byte, error) {
	found, err := g.secrets.Find(ctx, scope, arn)
	whole := arn
	if err == nil {
		whole = found.ARN() // policies name it so, whatever was left out here
	}
	if err := g.may(ctx, scope, role, "secretsmanager:GetSecretValue", whole); err != nil {
		return nil, err
	}
	var value secretstore.Content
	if err == nil {
		value, _, _, err = g.secrets.Value(ctx, found.Ref, "", "")
	}
	return value.Value.Reveal(), unfit(unread("The secret "+arn, err))
}

// unfit is what is wrong with a target where its owner can mend it.
func unfit(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Status < http.StatusInternalServerError {
		return target.Unfitf("%s", f.Message)
	}
	return err
}

// may asks whether a gateway's role may do something.
func (g *gatewayObjects) may(ctx context.Context, scope store.Scope, role, action, resource string) error {
	who, err := g.directory.Named(ctx, role)
	if err != nil && fault.From(err).Status >= http.StatusInternalServerError {
		return err
	}
	if err != nil || who.Session == nil || who.Session.Source != role {
		return target.Unfitf("The gateway's role %s does not exist any more, and %s of %s is asked of it", role, action, resource)
	}
	d := g.decide(ctx, scope, who, auth.Requirement{Action: action, Resource: resource})
	if d.Err != nil {
		return d.Refusal(who)
	}
	if d.Allowed() {
		return nil
	}
	way := "none of its policies allows it (aws iam put-role-policy)"
	if d.Effect == auth.ExplicitDeny {
		way = "a policy denies it (outcrop policy simulate tells which)"
	}
	return target.Unfitf("The gateway's role %s may not %s on %s: %s", role, action, resource, way)
}

// decide asks what policies say of a gateway's role. Nothing of anybody's request counts
// for it.
func (g *gatewayObjects) decide(ctx context.Context, scope store.Scope, who auth.Principal, r auth.Requirement) auth.Decision {
	ctx = auth.WithRequest(ctx, auth.Request{Time: g.now(), Secure: true, Region: scope.Region})
	return g.authorizer.Decide(ctx, who, r)
}

var (
	_ gateway.Keys      = gatewayKeys{}
	_ gateway.Roles     = roleTrust{}
	_ gateway.Providers = gatewayProviders{}
	_ gateway.Objects   = (*gatewayObjects)(nil)
)
