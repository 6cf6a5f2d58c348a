package gateway_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

func (k *kit) get(id string) *agentcorecontrol.GetGatewayResponse {
	k.Helper()
	out, err := k.GetGateway(k.ctx(), &agentcorecontrol.GetGatewayRequest{GatewayIdentifier: &id})
	k.must(err)
	return out
}

// TestGateway follows one from its making to its end.
func TestGateway(t *testing.T) {
	within(t, func(k *kit) {
		in := gatewayRequest("TestGateway")
		in.Description, in.ProtocolConfiguration = new("what for"), &agentcorecontrol.GatewayProtocolConfiguration{Mcp: &agentcorecontrol.MCPGatewayConfiguration{
			SearchType: new("SEMANTIC"), Instructions: new("ask"), SessionConfiguration: &agentcorecontrol.SessionConfiguration{},
		}}
		k.held = make(chan struct{})
		out, err := k.CreateGateway(k.ctx(), in)
		k.must(err)
		id := *out.GatewayId
		if !regexp.MustCompile(`^testgateway-[a-z0-9]{10}$`).MatchString(id) || *out.GatewayArn != "arn:aws:bedrock-agentcore:us-west-2:111122223333:gateway/"+id ||
			*out.GatewayUrl != "http://127.0.0.1:8642/gw/"+id+"/mcp" || *out.Status != "CREATING" || out.WebAclArn != nil || out.KmsKeyArn != nil {
			k.Errorf("%+v", out)
		}
		if _, err := k.View(k.Context(), id); !fault.Is(err, "ResourceNotFoundException") {
			k.Errorf("it serves before it is READY: %v", err)
		}
		close(k.held)
		k.wait()
		got := k.get(*out.GatewayArn) // which is as good as its id
		if *got.Status != "READY" || got.StatusReasons != nil || *got.Description != "what for" || *got.ProtocolConfiguration.Mcp.Instructions != "ask" {
			k.Errorf("%+v", got)
		}
		v, err := k.View(k.Context(), id)
		k.must(err)
		if v.Finder == nil || v.Instructions != "ask" || v.SessionLife.Hours() != 1 || !v.MCP || v.Role != roleARN || v.URL != *got.GatewayUrl {
			k.Errorf("%+v", v)
		}
		k.must(k.store.View(k.Context(), func(r store.Reader) error {
			i, err := workload.Get(r, scope, id)
			if i.Host != *out.GatewayArn {
				k.Errorf("its identity is %+v", i)
			}
			return err
		}))
		update := &agentcorecontrol.UpdateGatewayRequest{GatewayIdentifier: &id, Name: in.Name, RoleArn: in.RoleArn, AuthorizerType: new("NONE"), WafConfiguration: &agentcorecontrol.WafConfiguration{FailureMode: new("FAIL_OPEN")}}
		changed, err := k.UpdateGateway(k.ctx(), update)
		k.must(err)
		if *changed.Status != "UPDATING" || changed.Description != nil || changed.ProtocolConfiguration != nil || changed.ProtocolType != nil ||
			*changed.WafConfiguration.FailureMode != "FAIL_OPEN" || *changed.GatewayUrl != "http://127.0.0.1:8642/gw/"+id {
			k.Errorf("%+v", changed)
		}
		k.wait()
		if v, err := k.View(k.Context(), id); err != nil || v.AuthorizerType != "NONE" || v.Finder != nil || v.MCP || v.SessionLife != 0 {
			k.Errorf("%+v, %v", v, err)
		}
		acts := func(role string, want bool) {
			k.Helper()
			if got, err := k.ActsAs(k.Context(), scope, id, role); err != nil || got != want {
				k.Errorf("acts as %s: %v, %v", role, got, err)
			}
		}
		const next = roleARN + "-next"
		acts(roleARN, true)
		acts(next, false)
		other := *update
		other.RoleArn = new(next)
		told := k.Changed()
		_, err = k.UpdateGateway(k.ctx(), &other)
		k.must(err)
		if got, err := k.ActsAs(k.Context(), scope, id, roleARN); err != nil || !got { // until the other serves
			if now, err := k.GetGateway(k.ctx(), &agentcorecontrol.GetGatewayRequest{GatewayIdentifier: &id}); err != nil || *now.Status != "READY" {
				k.Errorf("it is %v (%v), and does not act as its role", now, err)
			}
		}
		acts(next, true)
		k.wait()
		acts(roleARN, false)
		acts(next, true)
		select {
		case <-told:
		default:
			k.Error("nobody is told that it acts as another role")
		}
		update.Name = new("Another")
		_, err = k.UpdateGateway(k.ctx(), update)
		k.refused(err, "ValidationException", "a gateway keeps its name, which is 'TestGateway'")
		tid := k.target(id, "T", lambda("a"))
		_, err = k.DeleteGateway(k.ctx(), &agentcorecontrol.DeleteGatewayRequest{GatewayIdentifier: &id})
		k.refused(err, "ConflictException", "Gateway has targets associated with it. Delete all targets before deleting the gateway.")
		_, err = k.DeleteGatewayTarget(k.ctx(), &agentcorecontrol.DeleteGatewayTargetRequest{GatewayIdentifier: &id, TargetId: &tid})
		k.must(err)
		told = k.Changed()
		deleted, err := k.DeleteGateway(k.ctx(), &agentcorecontrol.DeleteGatewayRequest{GatewayIdentifier: out.GatewayArn})
		k.must(err)
		acts(next, false)
		select {
		case <-told:
		default:
			k.Error("nobody is told that it is gone")
		}
		if *deleted.GatewayId != id || *deleted.Status != "DELETING" {
			k.Errorf("%+v", deleted)
		}
		_, err = k.GetGateway(k.ctx(), &agentcorecontrol.GetGatewayRequest{GatewayIdentifier: &id})
		k.refused(err, "ResourceNotFoundException", "No gateway found with id '"+id+"'")
		_, err = k.View(k.Context(), id)
		k.refused(err, "ResourceNotFoundException", "No gateway found")
		k.must(k.store.View(k.Context(), func(r store.Reader) error {
			if _, err := workload.Get(r, scope, id); !errors.Is(err, store.ErrNotFound) {
				k.Errorf("its identity is left: %v", err)
			}
			return nil
		}))
	})
}

// TestGatewayRefusals are those of the rules that the model cannot express.
func TestGatewayRefusals(t *testing.T) {
	type in = agentcorecontrol.CreateGatewayRequest
	jwtOf := func(url string) *agentcorecontrol.AuthorizerConfiguration {
		return &agentcorecontrol.AuthorizerConfiguration{CustomJWTAuthorizer: &agentcorecontrol.CustomJWTAuthorizerConfiguration{DiscoveryUrl: &url, AllowedClients: []string{"c"}}}
	}
	const good = "https://issuer.example.com/.well-known/openid-configuration"
	within(t, func(k *kit) {
		k.gateway("Taken", func(r *in) {
			r.DomainOverride = &agentcorecontrol.DomainOverride{DefaultDomain: new("tools.example.com")}
		})
		for name, c := range map[string]struct {
			change     func(*in)
			gone       error
			code, text string
		}{
			"role":               {change: func(r *in) { r.RoleArn = new(roleARN + "x") }, text: "cannot be assumed by the gateway"},
			"jwt without":        {change: func(r *in) { r.AuthorizerType = new("CUSTOM_JWT") }, text: "authorizerConfiguration is required when authorizerType is CUSTOM_JWT"},
			"jwt without need":   {change: func(r *in) { r.AuthorizerConfiguration = jwtOf(good) }, text: "authorizerConfiguration is for authorizerType CUSTOM_JWT"},
			"discovery URL":      {change: func(r *in) { r.AuthorizerType, r.AuthorizerConfiguration = new("CUSTOM_JWT"), jwtOf("ftp://x") }, text: "Invalid Discovery URL: check discovery URL: it is not an https URL"},
			"discovery document": {change: func(r *in) { r.AuthorizerType, r.AuthorizerConfiguration = new("CUSTOM_JWT"), jwtOf(good) }, gone: fmt.Errorf("x: %w", &jwt.DocumentError{Err: errors.New("it is not JSON")}), text: "Invalid Discovery URL: " + good + " has no discovery document"},
			"jwt of all": {change: func(r *in) {
				r.AuthorizerType, r.AuthorizerConfiguration = new("CUSTOM_JWT"), jwtOf(good)
				r.AuthorizerConfiguration.CustomJWTAuthorizer.AllowedClients = nil
			}, text: "at least one of allowedAudience"},
			"version":             {change: func(r *in) { r.ProtocolConfiguration = versions("2025-03-26", "2024-11-05") }, text: "'2024-11-05' is no version that gateways speak: 2025-03-26, 2025-06-18, 2025-11-25, 2026-07-28"},
			"version twice":       {change: func(r *in) { r.ProtocolConfiguration = versions("2025-03-26", "2025-03-26") }, text: "is listed twice"},
			"protocol of nothing": {change: func(r *in) { r.ProtocolConfiguration = &agentcorecontrol.GatewayProtocolConfiguration{} }, text: "protocolConfiguration has no mcp"},
			"interceptors":        {change: func(r *in) { r.InterceptorConfigurations = interceptors("REQUEST", "REQUEST") }, text: "interceptorConfigurations.2.member.interceptionPoints: REQUEST has the interceptor number 1 already"},
			"domain twice": {change: func(r *in) {
				r.DomainOverride = &agentcorecontrol.DomainOverride{DefaultDomain: new("a.example"), AlternateDomains: []string{"A.example"}}
			}, text: "'a.example' is listed twice"},
			"domain of another": {change: func(r *in) {
				r.DomainOverride = &agentcorecontrol.DomainOverride{DefaultDomain: new("Tools.Example.com")}
			}, code: "ConflictException", text: "'tools.example.com' is a name of another gateway"},
			"long name":              {change: func(r *in) { r.Name = new(strings.Repeat("a-", 25)) }, text: "name: it has 50 characters, and may have at most 48"},
			"name of another":        {change: func(r *in) { r.Name = new("Taken") }, code: "ConflictException", text: "A gateway with the name 'Taken' already exists"},
			"key of another account": {change: func(r *in) { r.KmsKeyArn = new(strings.Replace(keyARN, account, "999999999999", 1)) }, text: ""},
			"key that is not there":  {change: func(r *in) { r.KmsKeyArn = new(strings.Replace(keyARN, "1111111", "2222222", 1)) }, text: "The key that encrypts the gateway cannot be used: Key '"},
			"tag of AWS's":           {change: func(r *in) { r.Tags = map[string]string{"aws:x": "y"} }, text: "The tag key 'aws:x' is reserved"},
		} {
			in := gatewayRequest("New")
			c.change(in)
			k.gone = c.gone
			_, err := k.CreateGateway(k.ctx(), in)
			if c.code == "" {
				c.code = "ValidationException"
			}
			if name == "key of another account" {
				if err == nil {
					k.Errorf("%s: it is taken", name)
				}
				continue
			}
			if !fault.Is(err, c.code) || !strings.Contains(fault.From(err).Message, c.text) {
				k.Errorf("%s: %v", name, err)
			}
			if f := fault.From(err); c.code == "ValidationException" && len(f.Fields) == 0 {
				k.Errorf("%s: the refusal names no field", name)
			}
		}
		list, err := k.ListGateways(k.ctx(), &agentcorecontrol.ListGatewaysRequest{})
		if err != nil || len(list.Items) != 1 {
			k.Errorf("%d are left, %v", len(list.Items), err)
		}
		// An issuer that cannot be had may come later: it is told, and no reason to refuse.
		k.gone = fmt.Errorf("fetch: %w", errors.New("connection refused"))
		id := k.gateway("Later", func(r *in) { r.AuthorizerType, r.AuthorizerConfiguration = new("CUSTOM_JWT"), jwtOf(good) })
		if got := k.get(id); *got.Status != "READY" || len(got.StatusReasons) != 1 || got.StatusReasons[0] !=
			"The issuer of callers' tokens, "+good+", is not there yet: connection refused. Until it is, all callers are refused (401)." {
			k.Errorf("%s %q", *got.Status, got.StatusReasons)
		}
		if v, err := k.View(k.Context(), id); err != nil || v.Authorizer == nil || v.Authorizer.DiscoveryURL != good {
			k.Errorf("%+v, %v", v, err)
		}
		k.gateway("Third")
		k.gateway("Fourth")
		_, err = k.CreateGateway(k.ctx(), gatewayRequest("Fifth"))
		k.refused(err, "ServiceQuotaExceededException", "may have at most 4 gateways, and would have 5. Delete some first; the limit cannot be raised")
	})
}

func versions(list ...string) *agentcorecontrol.GatewayProtocolConfiguration {
	return &agentcorecontrol.GatewayProtocolConfiguration{Mcp: &agentcorecontrol.MCPGatewayConfiguration{SupportedVersions: list}}
}

func interceptors(points ...string) []agentcorecontrol.GatewayInterceptorConfiguration {
	var out []agentcorecontrol.GatewayInterceptorConfiguration
	for _, p := range points {
		out = append(out, agentcorecontrol.GatewayInterceptorConfiguration{InterceptionPoints: []string{p}, Interceptor: &agentcorecontrol.InterceptorConfiguration{
			Lambda: &agentcorecontrol.LambdaInterceptorConfiguration{Arn: new("arn:aws:lambda:us-west-2:111122223333:function:i")},
		}})
	}
	return out
}

// TestRepeatedCreate answers the same request again with what it made, and remembers no
// more of it than the id.
func TestRepeatedCreate(t *testing.T) {
	within(t, func(k *kit) {
		ctx := k.token("token", "hash")
		in := gatewayRequest("Once")
		in.Description = new("a secret of sorts")
		first, err := k.CreateGateway(ctx, in)
		k.must(err)
		k.wait()
		again, err := k.CreateGateway(ctx, in)
		k.must(err)
		if *again.GatewayId != *first.GatewayId || *again.Status != "READY" {
			k.Errorf("%+v", again)
		}
		_, err = k.CreateGateway(k.token("token", "another"), in)
		if !errors.Is(err, store.ErrTokenMismatch) {
			k.Error(err)
		}
		k.must(k.store.View(k.Context(), func(r store.Reader) error {
			saved, err := r.Reply(store.Token{Scope: scope, Operation: "op id", Key: "token"})
			if string(saved.Body) != `"`+*first.GatewayId+`"` {
				k.Errorf("%s is remembered", saved.Body)
			}
			return err
		}))
		target := &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: first.GatewayArn, TargetConfiguration: lambda("a")}
		ctx = k.token("token of a target", "hash")
		one, err := k.CreateGatewayTarget(ctx, target)
		k.must(err)
		two, err := k.CreateGatewayTarget(ctx, target)
		k.must(err)
		if *one.TargetId != *two.TargetId || !regexp.MustCompile(`^[A-Z0-9]{10}$`).MatchString(*one.TargetId) || !regexp.MustCompile(`^target-[a-z0-9]{10}$`).MatchString(*one.Name) {
			k.Errorf("%s %s, %s", *one.TargetId, *two.TargetId, *one.Name)
		}
		_, err = k.DeleteGatewayTarget(k.ctx(), &agentcorecontrol.DeleteGatewayTargetRequest{GatewayIdentifier: first.GatewayId, TargetId: one.TargetId})
		k.must(err)
		_, err = k.CreateGatewayTarget(ctx, target)
		k.refused(err, "ConflictException", "The target that was made with this clientToken has been deleted")
	})
}

// TestIdentifiers takes an id or an ARN of the scope.
func TestIdentifiers(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		for _, arn := range []string{
			"arn:aws:bedrock-agentcore:us-east-1:" + account + ":gateway/" + id, "arn:aws:bedrock-agentcore:us-west-2:" + account + ":runtime/" + id,
			"arn:aws:bedrock-agentcore:us-west-2:" + account + ":gateway/" + id + "/x", "arn:aws:bedrock-agentcore:us-west-2:" + account + ":gateway/",
		} {
			_, err := k.GetGateway(k.ctx(), &agentcorecontrol.GetGatewayRequest{GatewayIdentifier: &arn})
			k.refused(err, "ResourceNotFoundException", "No gateway found with the ARN '"+arn+"'")
		}
	})
}

// TestKey seals what is configured under a key of KMS, moves it to another, and goes on
// serving what a gateway had where that fails.
func TestKey(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("Sealed", func(r *agentcorecontrol.CreateGatewayRequest) { r.KmsKeyArn = new(keyARN) })
		tid := k.target(id, "T", lambda("a"))
		if got := k.tools(id); got != "T___a" {
			k.Error(got)
		}
		k.disable(keyARN)
		if _, err := k.View(k.Context(), id); err == nil {
			k.Error("it serves although its key is disabled")
		}
		_, err := k.GetGateway(k.ctx(), &agentcorecontrol.GetGatewayRequest{GatewayIdentifier: &id})
		k.refused(err, "ValidationException", "The key that encrypts the gateway cannot be used: "+keyARN+" is disabled.")
		update := &agentcorecontrol.UpdateGatewayRequest{GatewayIdentifier: &id, Name: new("Sealed"), RoleArn: new(roleARN), AuthorizerType: new("NONE"), KmsKeyArn: new(otherARN)}
		_, err = k.UpdateGateway(k.ctx(), update)
		k.must(err)
		k.wait()
		if got := k.get(id); *got.Status != "UPDATE_UNSUCCESSFUL" || !strings.Contains(strings.Join(got.StatusReasons, ""), "is disabled.") {
			k.Errorf("%s %q", *got.Status, got.StatusReasons)
		}
		k.disable()
		if v, err := k.View(k.Context(), id); err != nil || v.AuthorizerType != "AWS_IAM" || len(v.Tools) != 1 {
			k.Errorf("%+v, %v", v, err)
		}
		_, err = k.UpdateGateway(k.ctx(), update)
		k.must(err)
		k.wait()
		k.disable(keyARN)
		if got := k.get(id); *got.Status != "READY" || *got.KmsKeyArn != otherARN || *k.state(id, tid).Name != "T" {
			k.Errorf("%+v", got)
		}
		if got := k.tools(id); got != "T___a" {
			k.Error(got)
		}
	})
}

// TestListGateways pages.
func TestListGateways(t *testing.T) {
	within(t, func(k *kit) {
		for _, name := range []string{"A", "B", "C"} {
			k.gateway(name)
		}
		var names []string
		in := &agentcorecontrol.ListGatewaysRequest{MaxResults: new(int32(2))}
		for {
			out, err := k.ListGateways(k.ctx(), in)
			k.must(err)
			for _, g := range out.Items {
				names = append(names, *g.Name+" "+*g.Status+" "+*g.AuthorizerType)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		if !slices.Equal(names, []string{"A READY AWS_IAM", "B READY AWS_IAM", "C READY AWS_IAM"}) {
			k.Error(names)
		}
		_, err := k.ListGateways(k.ctx(), &agentcorecontrol.ListGatewaysRequest{NextToken: new("x")})
		k.refused(err, "ValidationException", "nextToken is not one that this operation returned")
	})
}
