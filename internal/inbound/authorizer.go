// Package inbound is the door of resources that say themselves who calls them: the
// customJWTAuthorizer of runtimes and gateways (spec/identity.md 7.2, 8;
// spec/runtime.md 2.5).
package inbound

import (
	"fmt"
	"slices"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
)

// Authorizer is who may call a resource.
type Authorizer struct {
	DiscoveryURL string
	Rules        jwt.Rules
	// Scopes are those that clients are told to ask for.
	Scopes []string
	// Workloads, if any, are who alone may call on the user's behalf.
	Workloads *Workloads
}

// Workloads are agents, each by its workload identity or by the ARN of the runtime or
// gateway that it runs in. One of both lists is enough.
type Workloads struct{ Names, Hosts []string }

// New returns the authorizer that a configuration describes, or nil for one that is
// absent: then signatures are wanted. Check has accepted it.
func New(c *agentcorecontrol.AuthorizerConfiguration) *Authorizer {
	if c == nil || c.CustomJWTAuthorizer == nil {
		return nil
	}
	j := c.CustomJWTAuthorizer
	a := &Authorizer{DiscoveryURL: wire.Text(j.DiscoveryUrl), Rules: jwt.Rules{
		AllowedAudience: j.AllowedAudience, AllowedClients: j.AllowedClients, AllowedScopes: j.AllowedScopes,
	}}
	for i := range j.CustomClaims {
		a.Rules.CustomClaims = append(a.Rules.CustomClaims, claimRule(&j.CustomClaims[i]))
	}
	for _, scope := range j.AllowedScopes {
		if shown, ok := j.AdvertisedScopeMapping[scope]; ok {
			scope = shown
		}
		a.Scopes = append(a.Scopes, scope)
	}
	if w := j.AllowedWorkloadConfiguration; w != nil {
		a.Workloads = &Workloads{Names: w.WorkloadIdentities}
		for _, h := range w.HostingEnvironments {
			a.Workloads.Hosts = append(a.Workloads.Hosts, wire.Text(h.Arn))
		}
	}
	return a
}

func claimRule(c *agentcorecontrol.CustomClaimValidationType) jwt.ClaimRule {
	r := jwt.ClaimRule{Name: wire.Text(c.InboundTokenClaimName), Type: wire.Text(c.InboundTokenClaimValueType)}
	if m := c.AuthorizingClaimMatchValue; m != nil {
		r.Operator = wire.Text(m.ClaimMatchOperator)
		if m.ClaimMatchValue != nil {
			r.Value, r.Values = wire.Text(m.ClaimMatchValue.MatchValueString), m.ClaimMatchValue.MatchValueStringList
		}
	}
	return r
}

// Check holds the rules of a configuration that the model cannot express.
func Check(c *agentcorecontrol.AuthorizerConfiguration) error {
	if c == nil {
		return nil
	}
	const field = "authorizerConfiguration.customJWTAuthorizer"
	j := c.CustomJWTAuthorizer
	if j == nil {
		return fault.Invalid("authorizerConfiguration", "authorizerConfiguration has no customJWTAuthorizer; leave it out for a resource that is called with signatures")
	}
	if err := jwt.CheckDiscoveryURL(wire.Text(j.DiscoveryUrl)); err != nil {
		return fault.Invalid(field+".discoveryUrl", "%s.discoveryUrl: %s", field, err)
	}
	if len(j.AllowedAudience)+len(j.AllowedClients)+len(j.AllowedScopes)+len(j.CustomClaims) == 0 {
		return fault.Invalid(field, "%s must have at least one of allowedAudience, allowedClients, allowedScopes and customClaims: else every token of the issuer would do", field)
	}
	for scope := range j.AdvertisedScopeMapping {
		if !slices.Contains(j.AllowedScopes, scope) {
			return fault.Invalid(field+".advertisedScopeMapping", "%s.advertisedScopeMapping: '%s' is not among the allowedScopes", field, scope)
		}
	}
	for i := range j.CustomClaims {
		if err := claimRule(&j.CustomClaims[i]).Validate(); err != nil {
			at := fmt.Sprintf("%s.customClaims.%d.member", field, i+1)
			return fault.Invalid(at, "%s: %s", at, err)
		}
	}
	if w := j.AllowedWorkloadConfiguration; w != nil && len(w.HostingEnvironments)+len(w.WorkloadIdentities) == 0 {
		return fault.Invalid(field+".allowedWorkloadConfiguration", "%s.allowedWorkloadConfiguration names neither hostingEnvironments nor workloadIdentities, so that nobody could call; leave it out to let any caller in who has a token", field)
	}
	return nil
}
