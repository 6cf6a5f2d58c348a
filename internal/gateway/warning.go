package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// Warnings about what a READY gateway or target needs and does not have itself (a role, a
// function, an agent runtime, an open address, a credential provider, an issuer, targets of
// rules) are not kept: such things come and go without it, so that each reading looks for
// them.

// gatewayWarnings are those of a gateway, which out describes.
func (s *Service) gatewayWarnings(ctx context.Context, doc gatewayDoc, out *agentcorecontrol.GetGatewayResponse) (warnings []string) {
	if len(doc.State.Notes) > 0 { // its issuer was not there
		notes, err := s.findIssuer(ctx, out.AuthorizerConfiguration)
		warnings = append(notes, refusal(err)...)
	}
	warnings = append(warnings, s.ruleWarnings(ctx, doc.Scope, doc.ID)...)
	of := target.Source{Scope: doc.Scope, Gateway: doc.ID, GatewayARN: ARN(doc.Scope, doc.ID), Role: *out.RoleArn}
	if role := s.roleWarning(ctx, of); len(role) > 0 {
		return append(warnings, role...) // such a role invokes nothing
	}
	for _, c := range out.InterceptorConfigurations {
		if c.Interceptor != nil && c.Interceptor.Lambda != nil && c.Interceptor.Lambda.Arn != nil {
			warnings = append(warnings, s.functionWarning(ctx, of, *c.Interceptor.Lambda.Arn, " of an interceptor ")...)
		}
	}
	return warnings
}

// targetWarnings are those of a target.
func (s *Service) targetWarnings(ctx context.Context, of target.Source) []string {
	warnings := s.credentialWarnings(ctx, of)
	if h := of.Config.Http; h != nil && h.AgentcoreRuntime != nil && h.AgentcoreRuntime.Arn != nil {
		warnings = append(warnings, s.runtimeWarning(ctx, of, *h.AgentcoreRuntime.Arn, wire.Text(h.AgentcoreRuntime.Qualifier), len(warnings) > 0)...)
	}
	return append(warnings, s.addressWarnings(ctx, of)...)
}

// addressWarnings are those about addresses that are not called.
func (s *Service) addressWarnings(ctx context.Context, of target.Source) (warnings []string) {
	if s.cfg.Judge == nil {
		return nil
	}
	for _, at := range s.addresses(ctx, of) {
		err := s.cfg.Judge(ctx, of, at)
		if err == nil {
			continue
		}
		text := target.Unreached(err)
		if text == "" {
			text = err.Error()
		}
		if text = "Calls fail: " + text + "."; !slices.Contains(warnings, text) {
			warnings = append(warnings, text)
		}
	}
	return warnings
}

// addresses are what a target's configuration or schema says is called.
func (s *Service) addresses(ctx context.Context, of target.Source) []*url.URL {
	var text *string
	switch c := of.Config; {
	case c.Mcp != nil && c.Mcp.McpServer != nil:
		text = c.Mcp.McpServer.Endpoint
	case c.Http != nil && c.Http.Passthrough != nil:
		text = c.Http.Passthrough.Endpoint
	case c.Inference != nil && c.Inference.Provider != nil:
		text = c.Inference.Provider.Endpoint
	case c.Mcp != nil && c.Mcp.OpenApiSchema != nil:
		v, err := s.View(ctx, of.Gateway)
		if err != nil {
			return nil
		}
		for _, t := range v.Targets {
			if at, ok := t.Server.(target.Addressed); ok && t.ID == of.ID {
				return at.Addresses()
			}
		}
	}
	if at, err := url.Parse(wire.Text(text)); err == nil && at.Host != "" {
		return []*url.URL{at}
	}
	return nil
}

// credentialWarnings are those about what the target's calls come with, and whether the
// gateway's role may make them.
func (s *Service) credentialWarnings(ctx context.Context, of target.Source) []string {
	c := of.Credential
	if c == nil {
		return nil
	}
	switch *c.CredentialProviderType {
	case agentcorecontrol.CredentialProviderTypeCALLER_IAM_CREDENTIALS, agentcorecontrol.CredentialProviderTypeJWT_PASSTHROUGH:
		return nil // the role has nothing to do with these
	}
	warnings := s.roleWarning(ctx, of)
	if m := of.Config.Mcp; len(warnings) == 0 && m != nil && m.Lambda != nil && m.Lambda.LambdaArn != nil {
		warnings = s.functionWarning(ctx, of, *m.Lambda.LambdaArn, " ")
	}
	switch p := c.CredentialProvider; {
	case p != nil && p.ApiKeyCredentialProvider != nil:
		warnings = append(warnings, s.providerWarning(ctx, of, *p.ApiKeyCredentialProvider.ProviderArn, "create-api-key-credential-provider")...)
	case p != nil && p.OauthCredentialProvider != nil:
		warnings = append(warnings, s.providerWarning(ctx, of, *p.OauthCredentialProvider.ProviderArn, "create-oauth2-credential-provider")...)
	}
	return warnings
}

func (s *Service) roleWarning(ctx context.Context, of target.Source) []string {
	return refusal(s.cfg.Roles.CheckRole(ctx, of.Role, of.GatewayARN))
}

func (s *Service) functionWarning(ctx context.Context, of target.Source, arn, use string) []string {
	if s.cfg.Problem == nil {
		return nil
	}
	if problem := s.cfg.Problem(ctx, of, arn); problem != "" {
		return []string{"The function " + arn + use + problem}
	}
	return nil
}

// runtimeWarning is about an agent runtime and, unless it is told of already, the role.
func (s *Service) runtimeWarning(ctx context.Context, of target.Source, arn, qualifier string, told bool) []string {
	if s.cfg.HasRuntime == nil {
		return nil
	}
	if there, err := s.cfg.HasRuntime(ctx, arn); err != nil {
		return nil
	} else if !there {
		return []string{"There is no agent runtime " + arn + ". Calls fail until the target is updated with another arn (aws bedrock-agentcore-control list-agent-runtimes)."}
	}
	if qualifier != "" {
		if there, err := s.cfg.HasRuntime(ctx, arn+"/runtime-endpoint/"+qualifier); err != nil {
			return nil
		} else if !there {
			id := arn[strings.LastIndexByte(arn, '/')+1:]
			return []string{"The agent runtime " + arn + " has no endpoint '" + qualifier + "'. Calls fail until it is made (aws bedrock-agentcore-control create-agent-runtime-endpoint --agent-runtime-id " + id +
				" --name " + qualifier + ") or the target is updated with another qualifier."}
		}
	}
	if told || s.cfg.MayInvoke == nil || !target.PlainRole(of.Credential) {
		return nil
	}
	if may, err := s.cfg.MayInvoke(ctx, of, arn, cmp.Or(qualifier, "DEFAULT")); may || err != nil {
		return nil
	}
	return []string{"The agent runtime " + arn + " cannot be invoked by the role " + of.Role + ". Calls fail until a policy, the role's or the runtime's, allows bedrock-agentcore:InvokeAgentRuntime."}
}

func (s *Service) providerWarning(ctx context.Context, of target.Source, arn, command string) []string {
	if there, err := s.cfg.Providers.HasProvider(ctx, of.Scope, arn); there || err != nil {
		return nil
	}
	name := arn[strings.LastIndexByte(arn, '/')+1:]
	return []string{"There is no credential provider " + arn + ". Calls fail until it is made (aws bedrock-agentcore-control " + command + " --name " + name +
		" ..., docs/identity.md) or the target is updated with another one."}
}

// refusal is what an error says that the owner can mend.
func refusal(err error) []string {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Status < http.StatusInternalServerError {
		return []string{fault.Clip(f.Message, maxReason)}
	}
	return nil
}
