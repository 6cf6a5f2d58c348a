package gateway

import (
	"slices"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
)

// policyOfTargets is what a gateway's own configuration says of the targets that it may
// have (spec/gateway.md 2.1, 3.4, 4.1).
type policyOfTargets struct {
	mcp        bool
	search     bool
	authorizer string
	// guarded is set where somebody looks at requests before they pass: an authorizer, or
	// an interceptor.
	guarded bool
}

func policyOf(in *agentcorecontrol.UpdateGatewayRequest) policyOfTargets {
	p := policyOfTargets{mcp: wire.Text(in.ProtocolType) == agentcorecontrol.GatewayProtocolTypeMCP, authorizer: *in.AuthorizerType}
	if c := in.ProtocolConfiguration; c != nil && c.Mcp != nil {
		p.search = wire.Text(c.Mcp.SearchType) == agentcorecontrol.SearchTypeSEMANTIC
	}
	p.guarded = p.authorizer != agentcorecontrol.AuthorizerTypeNONE || slices.ContainsFunc(in.InterceptorConfigurations, func(c agentcorecontrol.GatewayInterceptorConfiguration) bool {
		return slices.Contains(c.InterceptionPoints, agentcorecontrol.GatewayInterceptionPointREQUEST)
	})
	return p
}

// summary is what the rules between a gateway and its targets hang on.
type summary struct {
	name, kind, listing, credential, grant string
	static, private                        bool
}

func summaryOf(t targetDoc) summary {
	return summary{t.Name, t.State.Kind, t.State.Listing, t.State.Credential, t.State.Grant, t.State.Static, t.State.Private}
}

// allows refuses a target that a gateway of this configuration cannot have.
func (p policyOfTargets) allows(t summary) error {
	k := kindNamed(t.kind)
	const field = "targetConfiguration"
	switch {
	case p.mcp && k.protocol != protocolMCP:
		return fault.Invalid(field, "Target '%s': a gateway with protocolType MCP takes no target of kind %s; make a gateway without a protocolType for it", t.name, k.member)
	case p.search && t.listing == agentcorecontrol.ListingModeDYNAMIC:
		return fault.Invalid(field+".mcp.mcpServer.listingMode", "Target '%s': listingMode DYNAMIC cannot be combined with searchType SEMANTIC, which searches what is listed beforehand", t.name)
	case p.search && t.grant == agentcorecontrol.OAuthGrantTypeAUTHORIZATION_CODE && k.member == memberServer && !t.static:
		return fault.Invalid(field+".mcp.mcpServer.mcpToolSchema", "Target '%s': with searchType SEMANTIC an MCP server that users sign in to (AUTHORIZATION_CODE) needs an mcpToolSchema", t.name)
	}
	if t.private && !p.guarded {
		return fault.Invalid(privateField, "Target '%s': a gateway that asks nobody who they are (authorizerType NONE) leads to no private endpoint; give it an authorizer, or an interceptor of requests", t.name)
	}
	return p.allowsCredential(t)
}

const credentialField = "credentialProviderConfigurations"

func (p policyOfTargets) allowsCredential(t summary) error {
	signed := p.authorizer == agentcorecontrol.AuthorizerTypeAWS_IAM || p.authorizer == agentcorecontrol.AuthorizerTypeAUTHENTICATE_ONLY
	switch t.credential {
	case agentcorecontrol.CredentialProviderTypeCALLER_IAM_CREDENTIALS:
		if !signed {
			return fault.Invalid(credentialField, "Target '%s': CALLER_IAM_CREDENTIALS is for gateways whose authorizerType is AWS_IAM or AUTHENTICATE_ONLY, not %s", t.name, p.authorizer)
		}
	case agentcorecontrol.CredentialProviderTypeJWT_PASSTHROUGH:
		if signed {
			return fault.Invalid(credentialField, "Target '%s': JWT_PASSTHROUGH is for gateways whose authorizerType is CUSTOM_JWT or NONE, not %s", t.name, p.authorizer)
		}
	}
	return nil
}
