package gateway

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

const privateField = "privateEndpoint"

// checkPrivate holds the rules of private endpoints (spec/gateway.md 3.1). There are no
// VPCs here: of a managed one, what connections go to has an effect, and its VPC, subnets,
// security groups and tags are kept and shown.
func (s *Service) checkPrivate(p *agentcorecontrol.PrivateEndpoint, k kind) error {
	if p == nil {
		return nil
	}
	const field = privateField
	if !slices.Contains([]string{memberServer, "mcp.openApiSchema", "http.passthrough", "inference.provider"}, k.member) {
		return fault.Invalid(field, "%s is for targets of the kinds mcp.mcpServer, mcp.openApiSchema, http.passthrough and inference.provider; leave it out for %s", field, k.member)
	}
	switch {
	case p.ManagedVpcResource != nil:
		return checkManaged(p.ManagedVpcResource)
	case p.SelfManagedLatticeResource != nil && p.SelfManagedLatticeResource.ResourceConfigurationIdentifier != nil:
		const at = field + ".selfManagedLatticeResource.resourceConfigurationIdentifier"
		id := resourceID(*p.SelfManagedLatticeResource.ResourceConfigurationIdentifier)
		if s.cfg.Resources == nil || !s.cfg.Resources(id) {
			return fault.Invalid(at, "%s: this server does not know where the resource configuration %s leads. Have the operator say it: outcrop serve --private-endpoint %s=HOST:PORT", at, id, id)
		}
		return nil
	}
	return fault.Invalid(field, "%s must have managedVpcResource, or selfManagedLatticeResource with a resourceConfigurationIdentifier", field)
}

func checkManaged(m *agentcorecontrol.ManagedVpcResource) error {
	const at = privateField + ".managedVpcResource"
	if len(m.SubnetIds) == 0 {
		return fault.Invalid(at+".subnetIds", "%s.subnetIds is empty; name a subnet", at)
	}
	if m.RoutingDomain != nil && !isHost(*m.RoutingDomain) {
		return fault.Invalid(at+".routingDomain", "%s.routingDomain: '%s' is no host name, such as lb.internal.example; give it without scheme, port and path", at, fault.Clip(*m.RoutingDomain, 100))
	}
	return nil
}

// isHost reports whether a text is a host name, or an address.
func isHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	for _, label := range strings.Split(strings.TrimSuffix(text, "."), ".") {
		if !plainName(label) || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

// resourceID is the id of a resource configuration, which its ARN ends in.
func resourceID(identifier string) string {
	return identifier[strings.LastIndexByte(identifier, '/')+1:]
}

// privateOf is a private endpoint as drivers' clients know it, or nil.
func privateOf(p *agentcorecontrol.PrivateEndpoint) *target.Private {
	switch {
	case p == nil:
		return nil
	case p.ManagedVpcResource != nil:
		out := &target.Private{Host: strings.TrimSuffix(wire.Text(p.ManagedVpcResource.RoutingDomain), "."), Network: "tcp4"}
		if wire.Text(p.ManagedVpcResource.EndpointIpAddressType) == agentcorecontrol.EndpointIpAddressTypeIPV6 {
			out.Network = "tcp6"
		}
		return out
	case p.SelfManagedLatticeResource != nil:
		return &target.Private{Resource: resourceID(wire.Text(p.SelfManagedLatticeResource.ResourceConfigurationIdentifier))}
	}
	return nil
}
