package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/inbound"
)

// Versions are the revisions of MCP that gateways speak, oldest first
// (spec/gateway.md 2.2).
func Versions() []string { return []string{"2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"} }

// checkGateway holds the rules of a configuration that the model cannot express; the
// model's own hold when it gets here.
func checkGateway(in *agentcorecontrol.UpdateGatewayRequest, reserved func(host string) bool) error {
	if err := checkAuthorizer(*in.AuthorizerType, in.AuthorizerConfiguration); err != nil {
		return err
	}
	if err := checkProtocol(in.ProtocolConfiguration); err != nil {
		return err
	}
	if err := checkDomains(in.DomainOverride, reserved); err != nil {
		return err
	}
	return checkInterceptors(in.InterceptorConfigurations)
}

const (
	authorizerField = "authorizerConfiguration"
	discoveryField  = authorizerField + ".customJWTAuthorizer.discoveryUrl"
)

func checkAuthorizer(kind string, c *agentcorecontrol.AuthorizerConfiguration) error {
	jwts := kind == agentcorecontrol.AuthorizerTypeCUSTOM_JWT
	switch {
	case jwts && (c == nil || c.CustomJWTAuthorizer == nil):
		return fault.Invalid(authorizerField, "authorizerConfiguration is required when authorizerType is CUSTOM_JWT")
	case !jwts && c != nil:
		return fault.Invalid(authorizerField, "authorizerConfiguration is for authorizerType CUSTOM_JWT; leave it out when authorizerType is %s", kind)
	case !jwts:
		return nil
	}
	if err := jwt.CheckDiscoveryURL(wire.Text(c.CustomJWTAuthorizer.DiscoveryUrl)); err != nil {
		return fault.Invalid(discoveryField, "Invalid Discovery URL: %s", err)
	}
	return inbound.Check(c)
}

// findLimit bounds how long the making of a gateway waits for an issuer.
const findLimit = 5 * time.Second

// findIssuer asks for the issuer of an authorizer's tokens. What is there and is no
// discovery document is refused; what cannot be had is a note, for it may come later
// (spec/identity.md 7.2).
func (s *Service) findIssuer(ctx context.Context, c *agentcorecontrol.AuthorizerConfiguration) (notes []string, err error) {
	a := inbound.New(c)
	if a == nil || s.cfg.Issuers == nil {
		return nil, nil
	}
	short, cancel := context.WithTimeout(ctx, findLimit)
	defer cancel()
	_, err = s.cfg.Issuers.Issuer(short, a.DiscoveryURL)
	if err == nil || ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if wrong, ok := errors.AsType[*jwt.DocumentError](err); ok {
		return nil, fault.Invalid(discoveryField, "Invalid Discovery URL: %s has no discovery document: %s", a.DiscoveryURL, wrong.Error()).Because(err)
	}
	cause := err
	if inner := errors.Unwrap(err); inner != nil {
		cause = inner // without the URL, which is said once
	}
	return []string{"The issuer of callers' tokens, " + a.DiscoveryURL + ", is not there yet: " + fault.Clip(cause.Error(), 500) + ". Until it is, all callers are refused (401)."}, nil
}

func checkProtocol(c *agentcorecontrol.GatewayProtocolConfiguration) error {
	if c == nil {
		return nil
	}
	if c.Mcp == nil {
		return fault.Invalid("protocolConfiguration", "protocolConfiguration has no mcp; leave it out for what is usual")
	}
	const field = "protocolConfiguration.mcp.supportedVersions"
	known := Versions()
	for i, v := range c.Mcp.SupportedVersions {
		switch {
		case !slices.Contains(known, v):
			return fault.Invalid(field, "%s: '%s' is no version that gateways speak: %s", field, v, strings.Join(known, ", "))
		case slices.Contains(c.Mcp.SupportedVersions[:i], v):
			return fault.Invalid(field, "%s: '%s' is listed twice", field, v)
		}
	}
	return nil
}

// checkInterceptors wants at most one interceptor at each point (spec/gateway.md 10).
func checkInterceptors(list []agentcorecontrol.GatewayInterceptorConfiguration) error {
	taken := map[string]int{}
	for i, c := range list {
		at := fmt.Sprintf("interceptorConfigurations.%d.member", i+1)
		if c.Interceptor == nil || c.Interceptor.Lambda == nil {
			return fault.Invalid(at+".interceptor", "%s.interceptor has no lambda", at)
		}
		for _, point := range c.InterceptionPoints {
			if n, is := taken[point]; is {
				return fault.Invalid(at+".interceptionPoints", "%s.interceptionPoints: %s has the interceptor number %d already; at most one interceptor is called at a point", at, point, n)
			}
			taken[point] = i + 1
		}
	}
	return nil
}

const domainField = "domainOverride"

// checkDomains refuses names that callers of the server itself may use.
func checkDomains(d *agentcorecontrol.DomainOverride, reserved func(string) bool) error {
	names := domainsOf(d)
	for i, name := range names {
		if reserved != nil && reserved(name) {
			return fault.Invalid(domainField, "%s: '%s' is a name or an address of the server itself, or AWS's; choose another", domainField, name)
		}
		if slices.Contains(names[:i], name) {
			return fault.Invalid(domainField, "%s: '%s' is listed twice; names are compared without regard to case", domainField, name)
		}
	}
	return nil
}

// domainsOf are the further host names of a gateway, the default one first.
func domainsOf(d *agentcorecontrol.DomainOverride) []string {
	if d == nil {
		return nil
	}
	out := []string{strings.ToLower(wire.Text(d.DefaultDomain))}
	for _, name := range d.AlternateDomains {
		out = append(out, strings.ToLower(name))
	}
	return out
}
