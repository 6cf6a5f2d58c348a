package gateway_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
	"github.com/outcrop/outcrop/internal/outbound"
)

func (k *kit) update(gateway, id string, config *agentcorecontrol.TargetConfiguration, name ...string) error {
	in := &agentcorecontrol.UpdateGatewayTargetRequest{GatewayIdentifier: &gateway, TargetId: &id, TargetConfiguration: config}
	if len(name) > 0 {
		in.Name = &name[0]
	}
	_, err := k.UpdateGatewayTarget(k.ctx(), in)
	k.wait()
	return err
}

func (k *kit) synchronize(gateway, id string) error {
	_, err := k.SynchronizeGatewayTargets(k.ctx(), &agentcorecontrol.SynchronizeGatewayTargetsRequest{GatewayIdentifier: &gateway, TargetIdList: []string{id}})
	return err
}

func (k *kit) status(gateway, id string) string {
	k.Helper()
	s := k.state(gateway, id)
	return strings.TrimSpace(*s.Status + " " + strings.Join(s.StatusReasons, "; "))
}

func (d *driver) answers(f func(target.Source) (target.Catalogue, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = f
}

// TestTarget follows a target; what it offered goes on being served while another
// configuration of it fails.
func TestTarget(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		out, err := k.CreateGatewayTarget(k.ctx(), &agentcorecontrol.CreateGatewayTargetRequest{
			GatewayIdentifier: &id, Name: new("T"), Description: new("what for"), TargetConfiguration: lambda("b", "a"),
		})
		k.must(err)
		tid := *out.TargetId
		if *out.Status != "CREATING" || *out.ProtocolType != "MCP" || out.CredentialProviderConfigurations == nil || *out.GatewayArn != gateway.ARN(scope, id) || *out.Description != "what for" {
			k.Errorf("%+v", out)
		}
		k.wait()
		if got := k.status(id, tid); got != "READY" || k.state(id, tid).LastSynchronizedAt != nil {
			k.Error(got)
		}
		if src := k.driver.last(); *src.Credential.CredentialProviderType != "GATEWAY_IAM_ROLE" || src.Gateway != id || src.Role != roleARN || src.ID != tid || src.Kind != "LAMBDA" {
			k.Errorf("%+v", src)
		}
		if got := k.tools(id); got != "T___a T___b" {
			k.Error(got)
		}
		_, err = k.CreateGatewayTarget(k.ctx(), &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: &id, Name: new("T"), TargetConfiguration: lambda("a")})
		k.refused(err, "ConflictException", "A target with the name 'T' already exists in gateway '"+id+"'")
		k.must(k.update(id, tid, openAPI(agentcorecontrol.ApiSchemaConfiguration{InlinePayload: new("{")}), "U"))
		if got := k.status(id, tid); got != "UPDATE_UNSUCCESSFUL the schema is no JSON: unexpected end of JSON input" || *k.state(id, tid).Name != "U" {
			k.Error(got)
		}
		if got := k.tools(id); got != "T___a T___b" {
			k.Errorf("what serves is %s", got)
		}
		k.must(k.update(id, tid, lambda("c")))
		if got := k.tools(id); got != "U___c" {
			k.Error(got)
		}
		if s := k.state(id, tid); *s.Status != "READY" || s.Description != nil {
			k.Errorf("%+v", s)
		}
		second := k.target(id, "A", lambda("z"))
		if got := k.tools(id); got != "U___c A___z" { // in the order of their creation
			k.Error(got)
		}
		list, err := k.ListGatewayTargets(k.ctx(), &agentcorecontrol.ListGatewayTargetsRequest{GatewayIdentifier: &id})
		if err != nil || len(list.Items) != 2 || *list.Items[1].TargetId != second || *list.Items[0].TargetType != "LAMBDA" || list.Items[0].ListingMode != nil {
			k.Errorf("%+v, %v", list, err)
		}
		deleted, err := k.DeleteGatewayTarget(k.ctx(), &agentcorecontrol.DeleteGatewayTargetRequest{GatewayIdentifier: &id, TargetId: &tid})
		if err != nil || *deleted.Status != "DELETING" || *deleted.TargetId != tid {
			k.Errorf("%+v, %v", deleted, err)
		}
		if got := k.tools(id); got != "A___z" {
			k.Error(got)
		}
		_, err = k.GetGatewayTarget(k.ctx(), &agentcorecontrol.GetGatewayTargetRequest{GatewayIdentifier: &id, TargetId: &tid})
		k.refused(err, "ResourceNotFoundException", "No target found with id '"+tid+"' in gateway '"+id+"'")
		none := "none-0123456789"
		_, err = k.GetGatewayTarget(k.ctx(), &agentcorecontrol.GetGatewayTargetRequest{GatewayIdentifier: &none, TargetId: &tid})
		k.refused(err, "ResourceNotFoundException", "No gateway found with id 'none-0123456789'")
	})
}

// TestSynchronize asks an MCP server again, and no other target.
func TestSynchronize(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		tid := k.target(id, "S", server())
		before := *k.state(id, tid).LastSynchronizedAt
		k.driver.answers(func(target.Source) (target.Catalogue, error) {
			return target.Catalogue{}, target.Unfitf("Failed to connect and fetch tools from the provided MCP target server. Error - no")
		})
		k.must(k.synchronize(id, tid))
		k.wait()
		if got := k.status(id, tid); got != "SYNCHRONIZE_UNSUCCESSFUL Failed to connect and fetch tools from the provided MCP target server. Error - no" || *k.state(id, tid).LastSynchronizedAt != before {
			k.Error(got)
		}
		if got := k.tools(id); got != "S___listed" {
			k.Error(got)
		}
		k.driver.answers(func(target.Source) (target.Catalogue, error) {
			return target.Catalogue{Tools: []tool.Tool{{Name: "new"}}, Warnings: []string{"a warning"}}, nil
		})
		k.must(k.synchronize(id, tid))
		k.wait()
		if got := k.status(id, tid); got != "READY a warning" || !k.state(id, tid).LastSynchronizedAt.After(before) {
			k.Error(got)
		}
		if got := k.tools(id); got != "S___new" {
			k.Error(got)
		}
		static := k.target(id, "Static", server(func(c *agentcorecontrol.McpServerTargetConfiguration) {
			c.McpToolSchema = &agentcorecontrol.McpToolSchemaConfiguration{InlinePayload: new(`[]x`)}
		}))
		dynamic := k.target(id, "Dynamic", server(func(c *agentcorecontrol.McpServerTargetConfiguration) { c.ListingMode = new("DYNAMIC") }))
		for of, text := range map[string]string{
			k.target(id, "L", lambda("a")): "only targets of the kinds mcp.mcpServer and mcp.connector are synchronized", static: "has an mcpToolSchema", dynamic: "has the listingMode DYNAMIC",
		} {
			k.refused(k.synchronize(id, of), "ValidationException", text)
		}
		k.driver.answers(func(target.Source) (target.Catalogue, error) { return target.Catalogue{}, target.Unfitf("no") })
		k.refused(k.synchronize(id, k.target(id, "F", server())), "ConflictException", "is FAILED; update it to try again.")
		k.refused(k.synchronize(id, "AAAAAAAAAA"), "ResourceNotFoundException", "No target found")
	})
}

// TestAskRefused asks those targets again whose address was not open, as their status says,
// and leaves what failed for another reason.
func TestAskRefused(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		private := func(target.Source) (target.Catalogue, error) {
			_, err := outbound.New(outbound.Config{}).Get("http://127.0.0.1:1/mcp")
			refused, _ := errors.AsType[*outbound.Refused](err)
			return target.Catalogue{}, target.Unfitf("Error - %s.", refused)
		}
		const reason = "Error - 127.0.0.1:1 is not called: the address is a loopback address; have the operator open it: outcrop serve --allow-private 127.0.0.1."
		synchronized, updated := k.target(id, "S", server()), k.target(id, "U", server())
		k.driver.answers(func(target.Source) (target.Catalogue, error) { return target.Catalogue{}, target.Unfitf("no") })
		other := k.target(id, "O", server())
		k.driver.answers(private)
		created := k.target(id, "C", server())
		k.must(k.synchronize(id, synchronized))
		k.must(k.update(id, updated, server()))
		for _, open := range []bool{false, true} {
			for tid, status := range map[string]string{created: "FAILED", synchronized: "SYNCHRONIZE_UNSUCCESSFUL", updated: "UPDATE_UNSUCCESSFUL"} {
				if got := k.status(id, tid); got != status+" "+reason {
					k.Error(got)
				}
			}
			if open {
				k.driver.answers(nil)
			}
			k.must(k.AskRefused(k.Context()))
			k.wait()
		}
		for _, tid := range []string{created, synchronized, updated} {
			if got := k.status(id, tid); got != "READY" {
				k.Error(got)
			}
		}
		if got := k.tools(id); got != "S___listed U___listed C___listed" {
			k.Error(got)
		}
		if got := k.status(id, other); got != "FAILED no" {
			k.Errorf("what failed for another reason: %s", got)
		}
	})
}

// TestConsent waits for somebody to agree, as long as it is worth the wait.
func TestConsent(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		k.driver.answers(func(s target.Source) (target.Catalogue, error) {
			if s.Consenter == "" {
				return target.Catalogue{}, &target.Consent{URL: "https://login.example.com", UserID: s.Gateway + s.ID + "01234567-0123-0123-0123-012345678901"}
			}
			return target.Catalogue{Tools: []tool.Tool{{Name: "x"}}}, nil
		})
		tid := k.target(id, "S", server())
		user := id + tid + "01234567-0123-0123-0123-012345678901"
		s := k.state(id, tid)
		if *s.Status != "CREATE_PENDING_AUTH" || *s.AuthorizationData.Oauth2.AuthorizationUrl != "https://login.example.com" || *s.AuthorizationData.Oauth2.UserId != user {
			k.Errorf("%+v", s)
		}
		list, err := k.ListGatewayTargets(k.ctx(), &agentcorecontrol.ListGatewayTargetsRequest{GatewayIdentifier: &id})
		if err != nil || *list.Items[0].AuthorizationData.Oauth2.UserId != user || *list.Items[0].ListingMode != "DEFAULT" {
			k.Errorf("%+v, %v", list, err)
		}
		k.refused(k.update(id, tid, server()), "ConflictException", "is CREATE_PENDING_AUTH; it can be changed when it has settled, or deleted now")
		k.refused(k.synchronize(id, tid), "ConflictException", "is CREATE_PENDING_AUTH")
		for _, other := range []string{"", "x", strings.Replace(user, "01234567", "11234567", 1), "g" + user} {
			k.must(k.Authorized(k.Context(), scope, other))
		}
		k.wait()
		if got := k.status(id, tid); got != "CREATE_PENDING_AUTH" {
			k.Error(got)
		}
		k.must(k.Authorized(k.Context(), scope, user))
		k.wait()
		if s := k.state(id, tid); *s.Status != "READY" || s.AuthorizationData != nil || k.tools(id) != "S___x" || k.driver.last().Consenter != user {
			k.Errorf("%+v", s)
		}
		time.Sleep(time.Hour) // the wait that it is no more
		synctest.Wait()
		if got := k.status(id, tid); got != "READY" {
			k.Error(got)
		}
		late := k.target(id, "Late", server())
		time.Sleep(9 * time.Minute)
		if got := k.status(id, late); got != "CREATE_PENDING_AUTH" {
			k.Error(got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := k.status(id, late); got != "FAILED Nobody authorized the gateway within 10m0s. Update the target to get another authorizationUrl." || k.state(id, late).AuthorizationData != nil {
			k.Error(got)
		}
		waits := k.target(id, "Deleted", server())
		_, err = k.DeleteGatewayTarget(k.ctx(), &agentcorecontrol.DeleteGatewayTargetRequest{GatewayIdentifier: &id, TargetId: &waits})
		k.must(err)
		k.wait()
	})
}

// TestBusyTargets bounds how many targets of a gateway are in the making.
func TestBusyTargets(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		first := k.target(id, "T0", lambda("a"))
		k.driver.mu.Lock()
		k.driver.blocked = make(chan struct{})
		k.driver.mu.Unlock()
		for i := range 5 {
			k.target(id, fmt.Sprintf("T%d", i+1), lambda("a"))
		}
		_, err := k.CreateGatewayTarget(k.ctx(), &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: &id, Name: new("T6"), TargetConfiguration: lambda("a")})
		k.refused(err, "ThrottlingException", "5 targets of gateway '"+id+"' are being made, changed or synchronized; at most 5 may be at once")
		k.refused(k.update(id, first, lambda("a")), "ThrottlingException", "")
		if got := k.tools(id); got != "T0___a" {
			k.Error(got)
		}
		close(k.driver.blocked)
		k.wait()
		if got := k.tools(id); got != "T0___a T1___a T2___a T3___a T4___a T5___a" {
			k.Error(got)
		}
		k.driver.mu.Lock()
		k.driver.blocked = nil
		k.driver.mu.Unlock()
		k.target(id, "T6", lambda("a"))
		k.target(id, "T7", lambda("a"))
		_, err = k.CreateGatewayTarget(k.ctx(), &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: &id, Name: new("T8"), TargetConfiguration: lambda("a")})
		k.refused(err, "ServiceQuotaExceededException", "may have at most 8 targets, and would have 9. Delete some first; the limit cannot be raised")
	})
}

// TestSlowTarget ends the wait for one that never answers, and tries one again that
// cannot be reached.
func TestSlowTarget(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		k.driver.mu.Lock()
		k.driver.blocked = make(chan struct{})
		k.driver.mu.Unlock()
		tid := k.target(id, "T", server())
		if got := k.status(id, tid); got != "CREATING" {
			k.Error(got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := k.status(id, tid); got != "FAILED The target did not say within 2m0s what it offers" {
			k.Error(got)
		}
		k.driver.mu.Lock()
		k.driver.blocked = nil
		k.driver.mu.Unlock()
		asked := 0
		k.driver.answers(func(target.Source) (target.Catalogue, error) {
			if asked++; asked < 3 {
				return target.Catalogue{}, errors.New("connection reset")
			}
			return target.Catalogue{Tools: []tool.Tool{{Name: "x"}}}, nil
		})
		k.must(k.update(id, tid, server()))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := k.status(id, tid); got != "READY" || asked != 3 {
			k.Errorf("%s after %d", got, asked)
		}
	})
}

// TestSchemas are read from S3 by the right of the gateway's role.
func TestSchemas(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		at := func(uri string) *agentcorecontrol.TargetConfiguration {
			return openAPI(agentcorecontrol.ApiSchemaConfiguration{S3: &agentcorecontrol.S3Configuration{Uri: &uri, BucketOwnerAccountId: new(account)}})
		}
		k.files["s3://schemas/tools.json"] = `[{"name":"x","inputSchema":{}}]`
		tid := k.target(id, "T", at("s3://schemas/tools.json"))
		if got := k.tools(id); got != "T___x" || k.status(id, tid) != "READY" {
			k.Error(got, k.status(id, tid))
		}
		none := k.target(id, "None", at("s3://schemas/none.json"))
		if got := k.status(id, none); got != "FAILED The gateway's role may not read s3://schemas/none.json of "+account {
			k.Error(got)
		}
		k.files["s3://schemas/tools.json"] = strings.Repeat(" ", gateway.MaxSchema+1)
		k.must(k.update(id, tid, at("s3://schemas/tools.json")))
		if got := k.status(id, tid); !strings.HasPrefix(got, "UPDATE_UNSUCCESSFUL") || k.tools(id) != "T___x" {
			k.Error(got)
		}
	})
}

// TestCatalogues bounds what targets offer.
func TestCatalogues(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		offer := func(names ...string) func(target.Source) (target.Catalogue, error) {
			var c target.Catalogue
			for _, name := range names {
				c.Tools = append(c.Tools, tool.Tool{Name: name})
			}
			return func(target.Source) (target.Catalogue, error) { return c, nil }
		}
		tid := k.target(id, "Some", server())
		for want, names := range map[string][]string{
			"UPDATE_UNSUCCESSFUL The target offers two tools named 'a'":                                                           {"a", "b", "a"},
			"UPDATE_UNSUCCESSFUL The target offers a tool without a name":                                                         {""},
			"UPDATE_UNSUCCESSFUL The target offers 1001 tools; it may have at most 1000. Leave some out, or make several targets": many(1001),
			"UPDATE_UNSUCCESSFUL The tool 'Some___" + strings.Repeat("x", 93) + "...' has 257 characters with the target's name before it; it may have at most 256. Give the target or the tool a shorter name":        {strings.Repeat("x", 250)},
			"READY 1 of 2 tools have names of more than 64 characters with the target's name before them, such as 'Some___" + strings.Repeat("x", 60) + "'. Some models refuse those: give the target a shorter name.": {"a", strings.Repeat("x", 60)},
			"READY 2 of 3 tools have names with other characters than a-z, A-Z, 0-9, _ and -, such as 'Some___files.read'. Many models refuse those: rename the tools.":                                                {"a-B_9", "files.read", "一覧"},
		} {
			k.driver.answers(offer(names...))
			k.must(k.update(id, tid, server()))
			if got := k.status(id, tid); got != want {
				k.Errorf("%s\nwant %s", got, want)
			}
		}
	})
}

func many(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("t", i)
	}
	return out
}

// TestServers opens a target's server once, and closes it when nobody can call it.
func TestServers(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		k.target(id, "A", lambda("a"))
		other := k.target(id, "B", lambda("b"))
		for range 3 {
			k.tools(id)
		}
		if opened, _ := k.driver.counts(); opened != 2 {
			k.Errorf("%d servers were opened", opened)
		}
		k.must(k.update(id, other, lambda("c")))
		if got := k.tools(id); got != "A___a B___c" {
			k.Error(got)
		}
		if opened, _ := k.driver.counts(); opened != 3 {
			k.Errorf("%d servers were opened", opened)
		}
		for range 50 { // the collector says when
			runtime.GC()
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if _, closed := k.driver.counts(); closed == 1 {
				break
			}
		}
		if _, closed := k.driver.counts(); closed > 1 {
			k.Errorf("%d servers were closed that serve", closed)
		}
		changed := k.Changed()
		k.must(k.update(id, other, lambda("d")))
		select {
		case <-changed:
		default:
			k.Error("nobody is told of a change")
		}
	})
}

// TestCredentials holds which credentials each kind of target takes: testdata has the
// whole matrix, with the words of each refusal.
func TestCredentials(t *testing.T) {
	const vault = "arn:aws:bedrock-agentcore:" + region + ":" + account + ":token-vault/default/"
	oauth := func(grant string) *agentcorecontrol.CredentialProvider {
		p := &agentcorecontrol.OAuthCredentialProvider{ProviderArn: new(vault + "oauth2credentialprovider/there"), Scopes: []string{}}
		if grant != "" {
			p.GrantType = &grant
		}
		return &agentcorecontrol.CredentialProvider{OauthCredentialProvider: p}
	}
	iam := &agentcorecontrol.CredentialProvider{IamCredentialProvider: &agentcorecontrol.IamCredentialProvider{Service: new("execute-api")}}
	key := func(arn string) *agentcorecontrol.CredentialProvider {
		return &agentcorecontrol.CredentialProvider{ApiKeyCredentialProvider: &agentcorecontrol.ApiKeyCredentialProvider{ProviderArn: &arn}}
	}
	good := key(vault + "apikeycredentialprovider/there")
	credentials := []struct {
		name, kind string
		provider   *agentcorecontrol.CredentialProvider
	}{
		{"none", "", nil}, {"role", "GATEWAY_IAM_ROLE", nil}, {"role signing", "GATEWAY_IAM_ROLE", iam}, {"key", "API_KEY", good},
		{"client", "OAUTH", oauth("")}, {"code", "OAUTH", oauth("AUTHORIZATION_CODE")}, {"exchange", "OAUTH", oauth("TOKEN_EXCHANGE")},
		{"caller", "CALLER_IAM_CREDENTIALS", iam}, {"caller without", "CALLER_IAM_CREDENTIALS", nil}, {"token", "JWT_PASSTHROUGH", nil},
		{"key without", "API_KEY", nil}, {"key of OAuth", "API_KEY", oauth("")}, {"role with key", "GATEWAY_IAM_ROLE", good}, {"token with key", "JWT_PASSTHROUGH", good},
		{"missing", "API_KEY", key(vault + "apikeycredentialprovider/none")}, {"of OAuth's", "API_KEY", key(vault + "oauth2credentialprovider/there")},
		{"of another region", "API_KEY", key(strings.Replace(vault, region, "us-east-1", 1) + "apikeycredentialprovider/there")},
	}
	inline := agentcorecontrol.ApiSchemaConfiguration{InlinePayload: new("[]x")}
	kinds := []struct {
		name   string
		config *agentcorecontrol.TargetConfiguration
	}{
		{"lambda", lambda("a")}, {"openApiSchema", openAPI(inline)}, {"mcpServer", server()}, {"passthrough", passthrough()},
		{"smithyModel", &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{SmithyModel: &inline}}},
		{"apiGateway", &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{ApiGateway: &agentcorecontrol.ApiGatewayTargetConfiguration{
			RestApiId: new("a"), Stage: new("s"), ApiGatewayToolConfiguration: &agentcorecontrol.ApiGatewayToolConfiguration{}}}}},
		{"agentcoreRuntime", &agentcorecontrol.TargetConfiguration{Http: &agentcorecontrol.HttpTargetConfiguration{AgentcoreRuntime: &agentcorecontrol.RuntimeTargetConfiguration{Arn: new("a")}}}},
		{"provider", &agentcorecontrol.TargetConfiguration{Inference: &agentcorecontrol.InferenceTargetConfiguration{Provider: &agentcorecontrol.InferenceProviderTargetConfiguration{Endpoint: new("https://x.example.com")}}}},
		{"connector", &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{Connector: &agentcorecontrol.ConnectorTargetConfiguration{}}}},
		{"nothing", &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{}}},
	}
	var b strings.Builder
	within(t, func(k *kit) {
		id := k.gateway("G", func(r *agentcorecontrol.CreateGatewayRequest) { r.ProtocolType = nil })
		for _, kind := range kinds {
			fmt.Fprintln(&b, kind.name)
			for _, c := range credentials {
				in := &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: &id, Name: new("T"), TargetConfiguration: kind.config}
				if c.kind != "" {
					in.CredentialProviderConfigurations = []agentcorecontrol.CredentialProviderConfiguration{{CredentialProviderType: &c.kind, CredentialProvider: c.provider}}
				}
				out, err := k.CreateGatewayTarget(k.ctx(), in)
				text := "is taken"
				if err != nil {
					text = fault.From(err).Message
				} else if _, err := k.DeleteGatewayTarget(k.ctx(), &agentcorecontrol.DeleteGatewayTargetRequest{GatewayIdentifier: &id, TargetId: out.TargetId}); err != nil {
					k.Fatal(err)
				}
				fmt.Fprintf(&b, "  %s: %s\n", c.name, text)
			}
		}
	})
	golden(t, "credentials.golden", b.String())
}

// TestKeyHeaders: a key is put into no header that is not sent as it is set.
func TestKeyHeaders(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		for name, good := range map[string]bool{"X-Api-Key": true, "authorization": true, "Cookie": true,
			"Host": false, "content-length": false, "Transfer-Encoding": false, "Connection": false, "Upgrade": false, "Content-Type": false, "Proxy-Authorization": false} {
			_, err := k.CreateGatewayTarget(k.ctx(), &agentcorecontrol.CreateGatewayTargetRequest{
				GatewayIdentifier: &id, Name: new("T-" + name), TargetConfiguration: openAPI(agentcorecontrol.ApiSchemaConfiguration{InlinePayload: new("[]x")}),
				CredentialProviderConfigurations: []agentcorecontrol.CredentialProviderConfiguration{{CredentialProviderType: new(agentcorecontrol.CredentialProviderTypeAPI_KEY),
					CredentialProvider: &agentcorecontrol.CredentialProvider{ApiKeyCredentialProvider: &agentcorecontrol.ApiKeyCredentialProvider{
						ProviderArn:             new("arn:aws:bedrock-agentcore:" + region + ":" + account + ":token-vault/default/apikeycredentialprovider/there"),
						CredentialParameterName: &name}}}},
			})
			if good {
				k.must(err)
				k.wait()
				continue
			}
			k.refused(err, "ValidationException", "credentialProviderConfigurations.1.member.credentialProvider.apiKeyCredentialProvider.credentialParameterName: no key can be sent in '"+
				name+"', which is about the connection or the body; name another header")
		}
	})
}

// TestSessionHeader: a gateway that gets sessions hands their ids to no target of tools, which
// may have been allowed the header before.
func TestSessionHeader(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		in := &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: &id, Name: new("T"), TargetConfiguration: server(), MetadataConfiguration: &agentcorecontrol.MetadataConfiguration{
			AllowedRequestHeaders: []string{"mcp-session-id", "X-A"}, AllowedResponseHeaders: []string{"Mcp-Session-Id", "X-B"}}}
		_, err := k.CreateGatewayTarget(k.ctx(), in)
		k.must(err)
		k.wait()
		allowed := func() string {
			v, err := k.View(k.ctx(), id)
			k.must(err)
			return fmt.Sprint(v.Targets[0].Metadata.AllowedRequestHeaders, v.Targets[0].Metadata.AllowedResponseHeaders)
		}
		if got := allowed(); got != "[mcp-session-id X-A] [Mcp-Session-Id X-B]" {
			t.Errorf("without sessions %s pass", got)
		}
		_, err = k.UpdateGateway(k.ctx(), &agentcorecontrol.UpdateGatewayRequest{GatewayIdentifier: &id, Name: new("G"), RoleArn: new(roleARN), AuthorizerType: new("AWS_IAM"), ProtocolType: new("MCP"),
			ProtocolConfiguration: &agentcorecontrol.GatewayProtocolConfiguration{Mcp: &agentcorecontrol.MCPGatewayConfiguration{SessionConfiguration: &agentcorecontrol.SessionConfiguration{}}}})
		k.must(err)
		k.wait()
		if got := allowed(); got != "[X-A] [X-B]" {
			t.Errorf("with sessions %s pass", got)
		}
	})
}

// TestStickiness: what calls stick to is a header.
func TestStickiness(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G", func(in *agentcorecontrol.CreateGatewayRequest) { in.ProtocolType = nil })
		of := func(identifier string, others ...string) error {
			c := passthrough()
			c.Http.Passthrough.StickinessConfiguration = &agentcorecontrol.StickinessConfiguration{Identifier: &identifier, CompositeIdentifier: others}
			_, err := k.CreateGatewayTarget(k.ctx(), &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: &id, TargetConfiguration: c})
			return err
		}
		k.must(of("$context.header.x-user", "x-device", "$.AMZN_AC_GW_CONTEXT.headers.x-app"))
		const words = "targetConfiguration.http.passthrough.stickinessConfiguration: '%s' names no header of the request; write $context.header.NAME"
		k.refused(of("$context.jwt.sub"), "ValidationException", fmt.Sprintf(words, "$context.jwt.sub"))
		k.refused(of("$context.header.x-user", "two words"), "ValidationException", fmt.Sprintf(words, "two words"))
	})
}

var rewrite = flag.Bool("update", false, "write the golden files")

// golden holds text against a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		have, wanted := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		i := slices.IndexFunc(have, func(line string) bool { return !slices.Contains(wanted, line) })
		t.Errorf("%s differs (-update writes it), such as in %q", path, have[max(i, 0)])
	}
}

// TestReadyIsSeen: who knows that a target is READY sees its tools, also where another has
// been looking at the gateway since before it was.
func TestReadyIsSeen(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("g")
		k.target(id, "one", lambda("a"))
		hold, before, after := make(chan struct{}), make(chan string, 1), make(chan string, 1)
		k.driver.mu.Lock()
		k.driver.opening = hold
		k.driver.mu.Unlock()
		go func() { before <- k.tools(id) }()
		synctest.Wait() // it has read the store, and opens the first target
		k.target(id, "two", lambda("b"))
		go func() { after <- k.tools(id) }()
		synctest.Wait()
		close(hold)
		if got := <-before; !strings.Contains(got, "one___a") {
			t.Errorf("the first sees %q", got)
		}
		if got := <-after; !strings.Contains(got, "two___b") {
			t.Errorf("the second sees %q", got)
		}
	})
}

// TestOwnPaths: no HTTP target has a name whose path is the gateway's own.
func TestOwnPaths(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G", func(in *agentcorecontrol.CreateGatewayRequest) { in.ProtocolType = nil })
		agent := &agentcorecontrol.TargetConfiguration{Http: &agentcorecontrol.HttpTargetConfiguration{AgentcoreRuntime: &agentcorecontrol.RuntimeTargetConfiguration{
			Arn: new("arn:aws:bedrock-agentcore:" + region + ":" + account + ":runtime/a-0123456789"),
		}}}
		other := k.target(id, "Inference", passthrough())
		for _, name := range []string{"mcp", "inference"} {
			words := "name: '" + name + "' cannot be an HTTP target's, which is called at /NAME/...: a gateway has /" + name + " itself. Choose another name"
			for _, c := range []*agentcorecontrol.TargetConfiguration{passthrough(), agent} {
				_, err := k.CreateGatewayTarget(k.ctx(), &agentcorecontrol.CreateGatewayTargetRequest{
					GatewayIdentifier: &id, Name: &name, TargetConfiguration: c,
					CredentialProviderConfigurations: []agentcorecontrol.CredentialProviderConfiguration{{CredentialProviderType: new(agentcorecontrol.CredentialProviderTypeJWT_PASSTHROUGH)}},
				})
				k.refused(err, "ValidationException", words)
			}
			k.refused(k.update(id, other, passthrough(), name), "ValidationException", words)
			if got := k.status(id, k.target(id, name, lambda("a"))); got != "READY" {
				k.Errorf("%s, whose tools have its name before theirs: %s", name, got)
			}
		}
	})
}

// TestTargetOfNewGateway: who makes a gateway and its target one after the other need not
// wait in between, unless the gateway takes long.
func TestTargetOfNewGateway(t *testing.T) {
	within(t, func(k *kit) {
		k.held = make(chan struct{})
		made, err := k.CreateGateway(k.ctx(), gatewayRequest("G"))
		k.must(err)
		create := func(ctx context.Context) error {
			_, err := k.CreateGatewayTarget(ctx, &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: made.GatewayId, Name: new("T"), TargetConfiguration: lambda("a")})
			return err
		}
		began := time.Now()
		k.refused(create(k.ctx()), "ConflictException", "is CREATING")
		if waited := time.Since(began); waited != 3*time.Second {
			k.Errorf("waited for %s", waited)
		}
		waiting := func(ctx context.Context) chan error {
			done := make(chan error, 1)
			go func() { done <- create(ctx) }()
			synctest.Wait()
			if len(done) > 0 {
				k.Error("the call did not wait")
			}
			return done
		}
		left, leave := context.WithCancel(k.ctx())
		done := waiting(left)
		leave()
		if err := <-done; !errors.Is(err, context.Canceled) {
			k.Errorf("a caller who has left: %v", err)
		}
		done = waiting(k.ctx())
		began = time.Now()
		close(k.held)
		if err := <-done; err != nil || time.Since(began) > 0 {
			k.Errorf("after %s: %v", time.Since(began), err)
		}
		k.wait()
	})
}

// TestOwnGateway: a gateway that has come to be its own target is not asked what it offers, and
// goes on with what it had.
func TestOwnGateway(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		at := k.target(id, "T", server())
		k.leads = map[string]string{"https://tools.example.com/mcp": id}
		_, err := k.SynchronizeGatewayTargets(k.ctx(), &agentcorecontrol.SynchronizeGatewayTargetsRequest{GatewayIdentifier: &id, TargetIdList: []string{at}})
		k.must(err)
		k.wait()
		const why = "targetConfiguration.mcp.mcpServer.endpoint: 'https://tools.example.com/mcp' is the gateway '"
		if got := k.state(id, at); *got.Status != "SYNCHRONIZE_UNSUCCESSFUL" || len(got.StatusReasons) != 1 || !strings.HasPrefix(got.StatusReasons[0], why+id+"' itself") {
			k.Errorf("%s %q", *got.Status, got.StatusReasons)
		}
		if got := k.tools(id); got != "T___listed" {
			k.Error(got)
		}
		_, err = k.CreateGatewayTarget(k.ctx(), &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: &id, Name: new("self"), TargetConfiguration: server()})
		k.refused(err, "ValidationException", why)
		k.target(k.gateway("H"), "T", server())
	})
}
