package gateway_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

const (
	functionARN = "arn:aws:lambda:" + region + ":" + account + ":function:"
	vaultARN    = "arn:aws:bedrock-agentcore:" + region + ":" + account + ":token-vault/default/"
	agentARN    = "arn:aws:bedrock-agentcore:" + region + ":" + account + ":runtime/hello-0123456789"
	noRole      = "The role " + roleARN + " cannot be assumed by the gateway"
)

// TestGatewayWarnings: what a READY gateway needs and is not there is told for as long as it
// is not, without a change of the gateway.
func TestGatewayWarnings(t *testing.T) {
	within(t, func(k *kit) {
		issuer := "https://issuer.example.com/.well-known/openid-configuration"
		k.gone = fmt.Errorf("fetch: %w", errors.New("connection refused"))
		id := k.gateway("G", func(in *agentcorecontrol.CreateGatewayRequest) {
			in.AuthorizerType, in.AuthorizerConfiguration = new("CUSTOM_JWT"), &agentcorecontrol.AuthorizerConfiguration{
				CustomJWTAuthorizer: &agentcorecontrol.CustomJWTAuthorizerConfiguration{DiscoveryUrl: &issuer, AllowedAudience: []string{"a"}},
			}
			in.InterceptorConfigurations = interceptors("REQUEST")
		})
		noIssuer := "The issuer of callers' tokens, " + issuer + ", is not there yet: connection refused. Until it is, all callers are refused (401)."
		for _, c := range []struct {
			absent string
			gone   error
			want   []string
		}{
			{"", k.gone, []string{noIssuer}},
			{functionARN + "i", k.gone, []string{noIssuer, "The function " + functionARN + "i of an interceptor is gone."}},
			{functionARN + "i", nil, []string{"The function " + functionARN + "i of an interceptor is gone."}},
			{roleARN, nil, []string{noRole}},
			{"", nil, nil},
		} {
			k.absent, k.gone = map[string]bool{c.absent: true}, c.gone
			if got := k.get(id); *got.Status != "READY" || !slices.Equal(got.StatusReasons, c.want) {
				k.Errorf("%q: %s %q", c.absent, *got.Status, got.StatusReasons)
			}
		}
	})
}

// agent is a target that is an agent of this server, at an endpoint.
func agent(qualifier string) *agentcorecontrol.TargetConfiguration {
	return &agentcorecontrol.TargetConfiguration{Http: &agentcorecontrol.HttpTargetConfiguration{AgentcoreRuntime: &agentcorecontrol.RuntimeTargetConfiguration{
		Arn: new(agentARN), Qualifier: wire.Optional(qualifier),
	}}}
}

// provider is a target that answers for models.
func provider() *agentcorecontrol.TargetConfiguration {
	return &agentcorecontrol.TargetConfiguration{Inference: &agentcorecontrol.InferenceTargetConfiguration{Provider: &agentcorecontrol.InferenceProviderTargetConfiguration{
		Endpoint: new("https://models.example.com/v1"),
	}}}
}

// TestTargetWarnings: likewise of targets. What the target itself gives rise to stays.
func TestTargetWarnings(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G", func(in *agentcorecontrol.CreateGatewayRequest) { in.ProtocolType, in.AuthorizerType = nil, new("NONE") })
		k.driver.answers(func(s target.Source) (target.Catalogue, error) {
			return target.Catalogue{Tools: []tool.Tool{{Name: "a"}}, Warnings: []string{"of " + s.Name}}, nil
		})
		noProvider := func(kind, command string) string {
			return "There is no credential provider " + vaultARN + kind + "/there. Calls fail until it is made (aws bedrock-agentcore-control " + command +
				" --name there ..., docs/identity.md) or the target is updated with another one."
		}
		key := &agentcorecontrol.CredentialProvider{ApiKeyCredentialProvider: &agentcorecontrol.ApiKeyCredentialProvider{ProviderArn: new(vaultARN + "apikeycredentialprovider/there")}}
		token := &agentcorecontrol.CredentialProvider{OauthCredentialProvider: &agentcorecontrol.OAuthCredentialProvider{ProviderArn: new(vaultARN + "oauth2credentialprovider/there"), Scopes: []string{}}}
		signs := &agentcorecontrol.CredentialProvider{IamCredentialProvider: &agentcorecontrol.IamCredentialProvider{Service: new("execute-api")}}
		for name, c := range map[string]struct {
			config     *agentcorecontrol.TargetConfiguration
			credential string
			provider   *agentcorecontrol.CredentialProvider
			absent     string
			want       string
		}{
			"function": {lambda("a"), "", nil, functionARN + "f", "The function " + functionARN + "f is gone."},
			"lambda":   {lambda("a"), "GATEWAY_IAM_ROLE", nil, roleARN, noRole},
			"key":      {passthrough(), "API_KEY", key, vaultARN + "apikeycredentialprovider/there", noProvider("apikeycredentialprovider", "create-api-key-credential-provider")},
			"key-role": {passthrough(), "API_KEY", key, roleARN, noRole},
			"token":    {server(), "OAUTH", token, vaultARN + "oauth2credentialprovider/there", noProvider("oauth2credentialprovider", "create-oauth2-credential-provider")},
			"signs":    {passthrough(), "GATEWAY_IAM_ROLE", signs, roleARN, noRole},
			"runtime":  {agent(""), "JWT_PASSTHROUGH", nil, agentARN, "There is no agent runtime " + agentARN + ". Calls fail until the target is updated with another arn (aws bedrock-agentcore-control list-agent-runtimes)."},
			"endpoint": {agent("PROD"), "JWT_PASSTHROUGH", nil, agentARN + "/runtime-endpoint/PROD", "The agent runtime " + agentARN + " has no endpoint 'PROD'. Calls fail until it is made " +
				"(aws bedrock-agentcore-control create-agent-runtime-endpoint --agent-runtime-id hello-0123456789 --name PROD) or the target is updated with another qualifier."},
			"invoke": {agent(""), "GATEWAY_IAM_ROLE", nil, "invoke " + agentARN + " DEFAULT", "The agent runtime " + agentARN + " cannot be invoked by the role " + roleARN +
				". Calls fail until a policy, the role's or the runtime's, allows bedrock-agentcore:InvokeAgentRuntime."},
			"by-token": {agent(""), "JWT_PASSTHROUGH", nil, "invoke " + agentARN + " DEFAULT", ""},
			"mcp-at":   {server(), "", nil, "https://tools.example.com/mcp", "Calls fail: tools.example.com is not called: the address is private; open it."},
			"http-at":  {passthrough(), "JWT_PASSTHROUGH", nil, "https://api.example.com", "Calls fail: api.example.com is not called: the address is private; open it."},
			"model-at": {provider(), "API_KEY", key, "https://models.example.com/v1", "Calls fail: models.example.com is not called: the address is private; open it."},
			"api-at":   {openAPI(agentcorecontrol.ApiSchemaConfiguration{InlinePayload: new("[{}]")}), "", nil, "https://two.example", "Calls fail: two.example is not called: the address is private; open it."},
			"default":  {agent(""), "JWT_PASSTHROUGH", nil, agentARN + "/runtime-endpoint/", ""},
			"passed":   {passthrough(), "JWT_PASSTHROUGH", nil, roleARN, ""},
			"none":     {server(), "", nil, roleARN, ""},
		} {
			in := &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: &id, Name: &name, TargetConfiguration: c.config}
			if c.credential != "" {
				in.CredentialProviderConfigurations = []agentcorecontrol.CredentialProviderConfiguration{{CredentialProviderType: &c.credential, CredentialProvider: c.provider}}
			}
			made, err := k.CreateGatewayTarget(k.ctx(), in)
			k.must(err)
			k.wait()
			for _, absent := range []string{"", c.absent, ""} {
				want := []string{"of " + name}
				if absent != "" && c.want != "" {
					want = []string{c.want, "of " + name}
				}
				k.absent = map[string]bool{absent: true}
				if got := k.state(id, *made.TargetId); *got.Status != "READY" || !slices.Equal(got.StatusReasons, want) {
					k.Errorf("%s without %q: %s %q", name, absent, *got.Status, got.StatusReasons)
				}
			}
			_, err = k.DeleteGatewayTarget(k.ctx(), &agentcorecontrol.DeleteGatewayTargetRequest{GatewayIdentifier: &id, TargetId: made.TargetId})
			k.must(err)
		}
	})
}

// TestRuleWarnings: a rule that leads to what is gone, or to a model that is not there, is told
// by its gateway until that is mended, and by what deletes the target.
func TestRuleWarnings(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G", func(in *agentcorecontrol.CreateGatewayRequest) { in.ProtocolType = nil })
		h := k.target(id, "H", passthrough())
		k.target(id, "other", passthrough())
		action := route("H")
		action.StaticRoute.Model = new("known")
		rule, err := k.CreateGatewayRule(k.ctx(), &agentcorecontrol.CreateGatewayRuleRequest{GatewayIdentifier: &id, Priority: new(int32(7)), Actions: []agentcorecontrol.Action{{RouteToTarget: action}}})
		k.must(err)
		reasons := func(when string, want ...string) {
			k.Helper()
			if got := k.get(id); *got.Status != "READY" || !slices.Equal(got.StatusReasons, want) {
				k.Errorf("%s: %s %q, want %q", when, *got.Status, got.StatusReasons, want)
			}
		}
		lost := func(why, until string) string {
			return "Rule " + *rule.RuleId + ", of priority 7, leads to target 'H', " + why + ". What it leads there fails, or goes on to its fallback, until " + until +
				" or the rule is changed (aws bedrock-agentcore-control update-gateway-rule) or deleted."
		}
		reasons("at first")
		action.StaticRoute.Model = new("unknown")
		update := &agentcorecontrol.UpdateGatewayRuleRequest{GatewayIdentifier: &id, RuleId: rule.RuleId, Actions: []agentcorecontrol.Action{{RouteToTarget: action}}}
		_, err = k.UpdateGatewayRule(k.ctx(), update)
		k.must(err)
		reasons("model", lost("which does not list the model 'unknown' that the rule asks there", "it does"))
		gone, err := k.DeleteGatewayTarget(k.ctx(), &agentcorecontrol.DeleteGatewayTargetRequest{GatewayIdentifier: &id, TargetId: &h})
		k.must(err)
		if want := []string{lost("which is deleted", "there is such a target")}; !slices.Equal(gone.StatusReasons, want) {
			k.Errorf("%q, want %q", gone.StatusReasons, want)
		}
		reasons("gone", lost("which is not there or does not serve", "there is such a target"))
		h = k.target(id, "H", passthrough())
		action.StaticRoute.Model = nil
		_, err = k.UpdateGatewayRule(k.ctx(), update)
		k.must(err)
		reasons("there again")
		_, err = k.UpdateGatewayTarget(k.ctx(), &agentcorecontrol.UpdateGatewayTargetRequest{GatewayIdentifier: &id, TargetId: &h, Name: new("renamed"), TargetConfiguration: passthrough()})
		k.must(err)
		k.wait()
		reasons("renamed", lost("which is not there or does not serve", "there is such a target"))
		_, err = k.DeleteGatewayRule(k.ctx(), &agentcorecontrol.DeleteGatewayRuleRequest{GatewayIdentifier: &id, RuleId: rule.RuleId})
		k.must(err)
		reasons("without the rule")
	})
}
