package app

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/credential"
	"github.com/outcrop/outcrop/internal/identity"
	consentportal "github.com/outcrop/outcrop/internal/portal"
	"github.com/outcrop/outcrop/internal/portal/web"
	"github.com/outcrop/outcrop/internal/store"
)

// newPortals makes the service that keeps consent portals.
func (s *Server) newPortals(p *parts) *consentportal.Service {
	return consentportal.New(consentportal.Config{
		Store: p.store, Roles: roleTrust{p.directory, "executionRoleArn", "consent portal", "docs/portal.md"}, Gateways: portalGateways{p.gateways}, Providers: portalProviders{p.identities},
		Issuers: p.door.Verifier, Base: s.publicURL, Domain: strings.ToLower(s.cfg.GatewayDomain), Log: s.cfg.Log,
	})
}

// portalPages are the pages of all consent portals.
func (s *Server) portalPages(p *parts) pipeline.Tree {
	roles := newGatewayRoles(p.directory, func(context.Context, *url.URL) bool { return false }) // nobody signs for them
	roles.acts = func(ctx context.Context, g credential.Gateway) (bool, error) {
		return p.portals.ActsAs(ctx, g.ID, g.Role)
	}
	s.background = append(s.background, func(ctx context.Context) error { return roles.watch(ctx, p.portals.Changed) })
	acts := &portalActor{roles: roles, pipeline: &p.identity.pipeline, identities: p.identities, gateways: p.gateways, verifier: p.door.Verifier}
	return web.New(web.Config{
		Portals: p.portals, SignIns: portalSignIns{acts}, Gateways: portalTargets{acts}, Consents: portalConsents{acts},
		Hosted: portalHosts("localhost", strings.ToLower(s.cfg.GatewayDomain)), Store: p.store, Box: p.box, Audit: p.telemetry, Now: time.Now, Log: s.cfg.Log,
	})
}

// portalHosts tells which host names are a consent portal's: those that AWS would give
// them, and those below names of this server's.
func portalHosts(domains ...string) func(host string) string {
	return func(host string) string {
		host = strings.ToLower(strings.TrimSuffix(host, "."))
		id := ""
		if n, _ := awshost.Parse(host); n.Service == "bedrock-agentcore" {
			id, _ = strings.CutSuffix(n.Prefix, strings.TrimSuffix(consentportal.HostInfix, "."))
			if id == n.Prefix {
				id = ""
			}
		}
		for _, domain := range domains {
			if below, is := strings.CutSuffix(host, consentportal.HostInfix+domain); is && domain != "" {
				id = below
			}
		}
		if strings.ContainsAny(id, "./") {
			return ""
		}
		return id
	}
}

// portalGateways knows the gateways of accounts.
type portalGateways struct{ gateways *gateway.Service }

// view is a gateway of a scope.
func (g portalGateways) view(ctx context.Context, scope store.Scope, id string) (*gateway.View, error) {
	v, err := g.gateways.View(ctx, id)
	if err == nil && v.Scope != scope {
		err = fault.NotFound("No gateway found with id '%s'", id)
	}
	return v, err
}

// Gateway implements consentportal.Gateways.
func (g portalGateways) Gateway(ctx context.Context, scope store.Scope, id string) (consentportal.Gateway, error) {
	v, err := g.view(ctx, scope, id)
	if err != nil || v.Authorizer == nil {
		return consentportal.Gateway{}, err
	}
	return consentportal.Gateway{DiscoveryURL: v.Authorizer.DiscoveryURL, Audiences: v.Authorizer.Rules.AllowedAudience}, nil
}

// portalProviders knows the credential providers of accounts.
type portalProviders struct{ identities *identity.Service }

// Provider implements consentportal.Providers.
func (p portalProviders) Provider(ctx context.Context, scope store.Scope, name string) (consentportal.Provider, error) {
	found, err := p.identities.SignIn(ctx, scope, name)
	return consentportal.Provider{Vendor: found.Vendor, DiscoveryURL: found.DiscoveryURL, Issuer: found.Issuer, ClientID: found.ClientID}, err
}

var (
	_ consentportal.Roles     = roleTrust{}
	_ consentportal.Gateways  = portalGateways{}
	_ consentportal.Providers = portalProviders{}
)
