package gateway_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/resourcepolicy"
	"github.com/outcrop/outcrop/internal/store"
)

// TestTargetRefusals holds the rules of targets that hang on several members: testdata
// has the words of each refusal.
func TestTargetRefusals(t *testing.T) {
	type in = agentcorecontrol.CreateGatewayTargetRequest
	type cfg = agentcorecontrol.TargetConfiguration
	with := func(c *cfg, change ...func(*in)) *in {
		r := &in{Name: new("T"), TargetConfiguration: c}
		for _, f := range change {
			f(r)
		}
		return r
	}
	allow := func(list ...string) func(*in) {
		return func(r *in) {
			r.MetadataConfiguration = &agentcorecontrol.MetadataConfiguration{AllowedRequestHeaders: list}
		}
	}
	returned := func(list ...string) func(*in) {
		return func(r *in) {
			r.MetadataConfiguration = &agentcorecontrol.MetadataConfiguration{AllowedResponseHeaders: list}
		}
	}
	s3 := func(uri, owner string) *cfg {
		return openAPI(agentcorecontrol.ApiSchemaConfiguration{S3: &agentcorecontrol.S3Configuration{Uri: &uri, BucketOwnerAccountId: &owner}})
	}
	endpoint := func(url string) *cfg {
		return server(func(c *agentcorecontrol.McpServerTargetConfiguration) { c.Endpoint = &url })
	}
	dynamic := func(c *agentcorecontrol.McpServerTargetConfiguration) { c.ListingMode = new("DYNAMIC") }
	static := func(c *agentcorecontrol.McpServerTargetConfiguration) {
		c.McpToolSchema = &agentcorecontrol.McpToolSchemaConfiguration{InlinePayload: new("{}x")}
	}
	login := func(r *in) {
		r.CredentialProviderConfigurations = []agentcorecontrol.CredentialProviderConfiguration{{CredentialProviderType: new("OAUTH"), CredentialProvider: &agentcorecontrol.CredentialProvider{
			OauthCredentialProvider: &agentcorecontrol.OAuthCredentialProvider{GrantType: new("AUTHORIZATION_CODE"), ProviderArn: new("arn:aws:bedrock-agentcore:" + region + ":" + account + ":token-vault/default/oauth2credentialprovider/there")},
		}}}
	}
	key := func(change func(*agentcorecontrol.ApiKeyCredentialProvider)) func(*in) {
		p := &agentcorecontrol.ApiKeyCredentialProvider{ProviderArn: new("arn:aws:bedrock-agentcore:" + region + ":" + account + ":token-vault/default/apikeycredentialprovider/there")}
		change(p)
		return func(r *in) {
			r.CredentialProviderConfigurations = []agentcorecontrol.CredentialProviderConfiguration{{CredentialProviderType: new("API_KEY"), CredentialProvider: &agentcorecontrol.CredentialProvider{ApiKeyCredentialProvider: p}}}
		}
	}
	private := func(p *agentcorecontrol.PrivateEndpoint) func(*in) {
		return func(r *in) { r.PrivateEndpoint = p }
	}
	managed := func(change func(*agentcorecontrol.ManagedVpcResource)) *agentcorecontrol.PrivateEndpoint {
		m := &agentcorecontrol.ManagedVpcResource{VpcIdentifier: new("vpc-01234567"), SubnetIds: []string{"subnet-01234567"}, EndpointIpAddressType: new("IPV4")}
		if change != nil {
			change(m)
		}
		return &agentcorecontrol.PrivateEndpoint{ManagedVpcResource: m}
	}
	lattice := func(id string) *agentcorecontrol.PrivateEndpoint {
		return &agentcorecontrol.PrivateEndpoint{SelfManagedLatticeResource: &agentcorecontrol.SelfManagedLatticeResource{ResourceConfigurationIdentifier: &id}}
	}
	rest := func(overrides []agentcorecontrol.ApiGatewayToolOverride, filters ...string) *cfg {
		c := &agentcorecontrol.ApiGatewayToolConfiguration{ToolOverrides: overrides}
		for _, f := range filters {
			c.ToolFilters = append(c.ToolFilters, agentcorecontrol.ApiGatewayToolFilter{FilterPath: &f, Methods: []string{"GET"}})
		}
		return &cfg{Mcp: &agentcorecontrol.McpTargetConfiguration{ApiGateway: &agentcorecontrol.ApiGatewayTargetConfiguration{RestApiId: new("a"), Stage: new("s"), ApiGatewayToolConfiguration: c}}}
	}
	override := func(name, path string) agentcorecontrol.ApiGatewayToolOverride {
		return agentcorecontrol.ApiGatewayToolOverride{Name: &name, Path: &path, Method: new("GET")}
	}
	cases := []struct {
		name, gateway string
		in            *in
	}{
		{"http on MCP", "mcp", with(passthrough())},
		{"dynamic and search", "search", with(server(dynamic))},
		{"login and search", "search", with(server(), login)},
		{"login and search, static", "search", with(server(static), login)},
		{"dynamic and static", "mcp", with(server(dynamic, static))},
		{"no URL", "mcp", with(endpoint("tools.example.com"))},
		{"user in URL", "mcp", with(endpoint("https://me:secret@tools.example.com/"))},
		{"fragment", "mcp", with(endpoint("https://tools.example.com/#x"))},
		{"plain http", "mcp", with(endpoint("http://10.0.0.1:8000/mcp"))},
		{"no schema", "mcp", with(openAPI(agentcorecontrol.ApiSchemaConfiguration{}))},
		{"empty schema", "mcp", with(openAPI(agentcorecontrol.ApiSchemaConfiguration{InlinePayload: new("")}))},
		{"list for a schema", "mcp", with(openAPI(agentcorecontrol.ApiSchemaConfiguration{InlinePayload: new("[]")}))},
		{"no tools", "mcp", with(lambda())},
		{"large schema", "mcp", with(openAPI(agentcorecontrol.ApiSchemaConfiguration{InlinePayload: new(strings.Repeat("x", gateway.MaxInline+1))}))},
		{"bucket alone", "mcp", with(s3("s3://bucket", account))},
		{"bucket of another", "mcp", with(s3("s3://bucket/key", "999999999999"))},
		{"two names for a header", "mcp", with(lambda("a"), allow("X-A", "x-a"))},
		{"header with a space", "mcp", with(lambda("a"), allow("X A"))},
		{"Authorization", "mcp", with(lambda("a"), allow("Authorization"))},
		{"Amazon's", "mcp", with(lambda("a"), allow("X-Amzn-RequestId"))},
		{"Amazon's, for agents", "mcp", with(lambda("a"), allow("X-Amzn-Bedrock-AgentCore-Runtime-Custom-A", "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"))},
		{"X-Amz", "mcp", with(lambda("a"), allow("X-Amz-Date"))},
		{"Forwarded", "mcp", with(lambda("a"), allow("X-Forwarded-For"))},
		{"content type to MCP", "mcp", with(lambda("a"), allow("Content-Type"))},
		{"content type to HTTP", "general", with(passthrough(), allow("Content-Type", "Accept", "Mcp-Session-Id"))},
		{"session id where sessions are kept", "search", with(server(), allow("Mcp-Session-Id"))},
		{"session id where none are", "mcp", with(server(), allow("Mcp-Session-Id"))},
		{"sessions of agents", "general", with(passthrough(), allow("WorkloadAccessToken"))},
		{"answer for all of the host", "mcp", with(lambda("a"), returned("Clear-Site-Data"))},
		{"answer for other protocols", "general", with(passthrough(), returned("X-Total", "Alt-Svc"))},
		{"answer that asks who it is", "mcp", with(server(), returned("WWW-Authenticate"))},
		{"answers", "mcp", with(server(), returned("X-Total", "Location"))},
		{"parameters", "mcp", with(lambda("a"), func(r *in) {
			r.MetadataConfiguration = &agentcorecontrol.MetadataConfiguration{AllowedQueryParameters: []string{"a", "a&b"}}
		})},
		{"certificates for a function", "mcp", with(lambda("a"), func(r *in) { r.CertificateConfigurations = []agentcorecontrol.CertificateConfiguration{{}} })},
		{"certificates of nothing", "mcp", with(server(), func(r *in) { r.CertificateConfigurations = []agentcorecontrol.CertificateConfiguration{{}} })},
		{"private function", "mcp", with(lambda("a"), private(managed(nil)))},
		{"private server", "mcp", with(server(), private(managed(nil)))},
		{"private without authorizer", "open", with(server(), private(managed(nil)))},
		{"private without subnets", "mcp", with(server(), private(managed(func(m *agentcorecontrol.ManagedVpcResource) { m.SubnetIds = []string{} })))},
		{"routed", "mcp", with(server(), private(managed(func(m *agentcorecontrol.ManagedVpcResource) { m.RoutingDomain = new("lb.office.example") })))},
		{"routed to a URL", "mcp", with(server(), private(managed(func(m *agentcorecontrol.ManagedVpcResource) { m.RoutingDomain = new("https://lb.office.example") })))},
		{"routed to a port", "mcp", with(server(), private(managed(func(m *agentcorecontrol.ManagedVpcResource) { m.RoutingDomain = new("lb.office.example:80") })))},
		{"private to nothing", "mcp", with(server(), private(&agentcorecontrol.PrivateEndpoint{}))},
		{"resource configuration", "mcp", with(server(), private(lattice("arn:aws:vpc-lattice:us-west-2:111122223333:resourceconfiguration/rcfg-0123456789abcdef0")))},
		{"resource configuration unknown", "mcp", with(server(), private(lattice("rcfg-0123456789abcdef1")))},
		{"key in no parameter", "mcp", with(server(), key(func(p *agentcorecontrol.ApiKeyCredentialProvider) { p.CredentialLocation = new("QUERY_PARAMETER") }))},
		{"key in no header", "mcp", with(server(), key(func(p *agentcorecontrol.ApiKeyCredentialProvider) { p.CredentialParameterName = new("a:b") }))},
		{"key behind a line", "mcp", with(server(), key(func(p *agentcorecontrol.ApiKeyCredentialProvider) { p.CredentialPrefix = new("a\r\nb") }))},
		{"override of all", "mcp", with(rest([]agentcorecontrol.ApiGatewayToolOverride{override("a", "/x/*")}))},
		{"overrides of one", "mcp", with(rest([]agentcorecontrol.ApiGatewayToolOverride{override("a", "/x"), override("b", "/x")}))},
		{"filter", "mcp", with(rest(nil, "/pets/*", "/*/pets"))},
	}
	var b strings.Builder
	within(t, func(k *kit) {
		ids := map[string]string{
			"mcp": k.gateway("M"), "general": k.gateway("G", func(r *agentcorecontrol.CreateGatewayRequest) { r.ProtocolType = nil }),
			"open": k.gateway("O", func(r *agentcorecontrol.CreateGatewayRequest) { r.AuthorizerType = new("NONE") }),
			"search": k.gateway("S", func(r *agentcorecontrol.CreateGatewayRequest) {
				r.ProtocolConfiguration = &agentcorecontrol.GatewayProtocolConfiguration{Mcp: &agentcorecontrol.MCPGatewayConfiguration{SearchType: new("SEMANTIC"), SessionConfiguration: &agentcorecontrol.SessionConfiguration{}}}
			}),
		}
		for _, c := range cases {
			c.in.GatewayIdentifier = new(ids[c.gateway])
			out, err := k.CreateGatewayTarget(k.ctx(), c.in)
			text := "is taken"
			if err == nil {
				if _, err := k.DeleteGatewayTarget(k.ctx(), &agentcorecontrol.DeleteGatewayTargetRequest{GatewayIdentifier: c.in.GatewayIdentifier, TargetId: out.TargetId}); err != nil {
					k.Fatal(err)
				}
			} else {
				f := fault.From(err)
				text = f.Code + ": " + f.Message
				if len(f.Fields) == 0 {
					k.Errorf("%s names no field", c.name)
				}
			}
			fmt.Fprintf(&b, "%s: %s\n", c.name, text)
		}
		// A gateway cannot become what its targets do not fit.
		k.target(ids["mcp"], "D", server(dynamic))
		_, err := k.UpdateGateway(k.ctx(), &agentcorecontrol.UpdateGatewayRequest{GatewayIdentifier: new(ids["mcp"]), Name: new("M"), RoleArn: new(roleARN), AuthorizerType: new("NONE"),
			ProtocolConfiguration: &agentcorecontrol.GatewayProtocolConfiguration{Mcp: &agentcorecontrol.MCPGatewayConfiguration{SearchType: new("SEMANTIC")}}})
		k.refused(err, "ValidationException", "Target 'D': listingMode DYNAMIC cannot be combined with searchType SEMANTIC")
		k.target(ids["general"], "H", passthrough())
		_, err = k.UpdateGateway(k.ctx(), &agentcorecontrol.UpdateGatewayRequest{GatewayIdentifier: new(ids["general"]), Name: new("G"), RoleArn: new(roleARN), AuthorizerType: new("NONE"), ProtocolType: new("MCP")})
		k.refused(err, "ValidationException", "Target 'H': a gateway with protocolType MCP takes no target of kind http.passthrough")
		id := k.target(ids["general"], "P", server())
		_, err = k.UpdateGatewayTarget(k.ctx(), &agentcorecontrol.UpdateGatewayTargetRequest{GatewayIdentifier: new(ids["general"]), TargetId: &id, TargetConfiguration: server(),
			PrivateEndpoint: managed(func(m *agentcorecontrol.ManagedVpcResource) {
				m.RoutingDomain, m.EndpointIpAddressType = new("lb.office.example."), new("IPV6")
			})})
		k.must(err)
		k.wait()
		if got := k.driver.last().Private; got == nil || *got != (target.Private{Host: "lb.office.example", Network: "tcp6"}) {
			k.Errorf("%+v", got)
		}
		if got := k.state(ids["general"], id); got.PrivateEndpoint == nil || *got.PrivateEndpoint.ManagedVpcResource.VpcIdentifier != "vpc-01234567" {
			k.Errorf("%+v", got.PrivateEndpoint)
		}
		// An interceptor of requests stands in for an authorizer; one of answers sees them too late.
		open := &agentcorecontrol.UpdateGatewayRequest{GatewayIdentifier: new(ids["general"]), Name: new("G"), RoleArn: new(roleARN), AuthorizerType: new("NONE"), InterceptorConfigurations: interceptors("REQUEST")}
		_, err = k.UpdateGateway(k.ctx(), open)
		k.must(err)
		k.wait()
		open.InterceptorConfigurations = interceptors("RESPONSE")
		_, err = k.UpdateGateway(k.ctx(), open)
		k.refused(err, "ValidationException", "Target 'P': a gateway that asks nobody who they are (authorizerType NONE) leads to no private endpoint")
	})
	golden(t, "targets.golden", b.String())
}

// TestCertificates are an authority's, valid, and nothing but certificates.
func TestCertificates(t *testing.T) {
	cert := func(c x509.Certificate) string {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c.SerialNumber, c.Subject, c.BasicConstraintsValid = big.NewInt(1), pkix.Name{CommonName: "house"}, true
		der, err := x509.CreateCertificate(rand.Reader, &c, &c, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	made := func(ca bool, until time.Time) string { return cert(x509.Certificate{NotAfter: until, IsCA: ca}) }
	later := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	within(t, func(k *kit) {
		id := k.gateway("G")
		for want, text := range map[string]string{
			"READY": made(true, later) + "the second\n" + made(true, later),
			"FAILED certificateConfigurations: the bundle has no PEM block of type CERTIFICATE":                                                                                                                 "nothing",
			"FAILED certificateConfigurations: certificate 2, of 'CN=house', is not an authority's: CA:TRUE is not among its basic constraints. Give the certificate of the authority that signed the server's": made(true, later) + made(false, later),
			"FAILED certificateConfigurations: certificate 1, of 'CN=house', may sign no certificates: keyCertSign is not among its key usages":                                                                 cert(x509.Certificate{IsCA: true, NotAfter: later, KeyUsage: x509.KeyUsageDigitalSignature}),
			"FAILED certificateConfigurations: certificate 1, of 'CN=house', expired on 1999-01-01":                                                                                                             made(true, time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)),
			"FAILED certificateConfigurations: certificate 1, of 'CN=house', is not valid before 2099-01-01":                                                                                                    cert(x509.Certificate{IsCA: true, NotAfter: later, NotBefore: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}),
			"FAILED certificateConfigurations: the bundle has a PEM block of type 'PRIVATE KEY'; it may have CERTIFICATE alone, and never a private key":                                                        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
			"FAILED certificateConfigurations: 1 of 2 PEM blocks of the bundle cannot be read. Check for lines that are missing, or joined":                                                                     made(true, later) + "-----BEGIN CERTIFICATE-----\nAAAA\n",
			"FAILED certificateConfigurations: the bundle has 16385 bytes; it may have at most 16384":                                                                                                           strings.Repeat(" ", 16385),
		} {
			k.files["secret"] = text
			out, err := k.CreateGatewayTarget(k.ctx(), &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: &id, TargetConfiguration: server(),
				CertificateConfigurations: []agentcorecontrol.CertificateConfiguration{{SecretsManager: &agentcorecontrol.SecretsManagerCertificateConfiguration{SecretArn: new("secret")}}}})
			k.must(err)
			k.wait()
			if got := k.status(id, *out.TargetId); got != want {
				k.Errorf("%s\nwant %s", got, want)
			}
			if want == "READY" && string(k.driver.last().Certificates) != strings.ReplaceAll(text, "the second\n", "") {
				k.Errorf("%q", k.driver.last().Certificates)
			}
			_, err = k.DeleteGatewayTarget(k.ctx(), &agentcorecontrol.DeleteGatewayTargetRequest{GatewayIdentifier: &id, TargetId: out.TargetId})
			k.must(err)
		}
	})
}

func route(name string) *agentcorecontrol.RouteToTargetAction {
	return &agentcorecontrol.RouteToTargetAction{StaticRoute: &agentcorecontrol.StaticRoute{TargetName: &name}}
}

func split(weights ...int32) *agentcorecontrol.RouteToTargetAction {
	r := &agentcorecontrol.WeightedRoute{}
	for i, w := range weights {
		r.TrafficSplit = append(r.TrafficSplit, agentcorecontrol.TargetTrafficSplitEntry{Name: new(fmt.Sprint("v", i)), TargetName: new("H"), Weight: &w})
	}
	return &agentcorecontrol.RouteToTargetAction{WeightedRoute: r}
}

// TestRules follows a rule, and holds what one may say.
func TestRules(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G", func(r *agentcorecontrol.CreateGatewayRequest) { r.ProtocolType = nil })
		k.target(id, "H", passthrough())
		k.target(id, "L", lambda("a"))
		create := func(priority int32, conditions []agentcorecontrol.Condition, actions ...agentcorecontrol.Action) (*agentcorecontrol.CreateGatewayRuleResponse, error) {
			return k.CreateGatewayRule(k.ctx(), &agentcorecontrol.CreateGatewayRuleRequest{GatewayIdentifier: &id, Priority: &priority, Conditions: conditions, Actions: actions})
		}
		to := func(r *agentcorecontrol.RouteToTargetAction) agentcorecontrol.Action {
			return agentcorecontrol.Action{RouteToTarget: r}
		}
		paths := func(list ...string) []agentcorecontrol.Condition {
			return []agentcorecontrol.Condition{{MatchPaths: &agentcorecontrol.MatchPaths{AnyOf: list}}}
		}
		back := to(route("H"))
		back.RouteToTarget.StaticRoute.Fallback = &agentcorecontrol.Fallback{TargetFallback: []agentcorecontrol.FallbackTarget{{TargetName: new("H")}}}
		twins := to(split(50, 50))
		twins.RouteToTarget.WeightedRoute.TrafficSplit[1].Name = new("v0")
		for _, c := range []struct {
			conditions []agentcorecontrol.Condition
			action     agentcorecontrol.Action
			text       string
		}{
			{nil, agentcorecontrol.Action{}, "actions.1.member must have routeToTarget"},
			{nil, to(&agentcorecontrol.RouteToTargetAction{}), "must have staticRoute or weightedRoute"},
			{nil, to(route("none")), "actions: there is no target named 'none'"},
			{nil, to(route("L")), "actions: target 'L' is of the kind mcp.lambda; rules lead to targets of the kinds http and inference"},
			{nil, to(split(50, 49)), "the weights sum to 99; they must sum to 100"},
			{nil, twins, "'v0' is the name of the entry before it"},
			{nil, back, "actions.1.member.routeToTarget.staticRoute.fallback.targetFallback.1.member: target 'H' with the same model is in the chain before it"},
			{paths("/mcp/*"), to(route("H")), "'/mcp/*' is a path of the gateway's own"},
			{paths("/none/*"), to(route("H")), "conditions: there is no target named 'none'"},
			{append(paths("/H/*"), paths("/H/*")...), to(route("H")), "matchPaths is there already"},
			{[]agentcorecontrol.Condition{{}}, to(route("H")), "conditions.1.member must have one of"},
		} {
			_, err := create(1, c.conditions, c.action)
			k.refused(err, "ValidationException", c.text)
		}
		_, err := create(1, nil, to(route("H")), to(route("H")))
		k.refused(err, "ValidationException", "a rule may have one routeToTarget")
		second, err := create(20, paths("/H/*"), to(route("H")))
		k.must(err)
		if *second.Status != "ACTIVE" || *second.Priority != 20 || len(*second.RuleId) != 36 || *second.GatewayArn != gateway.ARN(scope, id) || second.System != nil {
			k.Errorf("%+v", second)
		}
		_, err = create(20, nil, to(route("H")))
		k.refused(err, "ConflictException", "another rule of the gateway has the priority 20")
		first, err := create(3, nil, to(split(1, 99)))
		k.must(err)
		_, err = create(4, nil, to(route("H")))
		k.refused(err, "ServiceQuotaExceededException", "may have at most 2 rules, and would have 3")
		if v, err := k.View(k.Context(), id); err != nil || len(v.Rules) != 2 || *v.Rules[0].Priority != 3 || *v.Rules[1].Priority != 20 {
			k.Errorf("%+v, %v", v, err)
		}
		_, err = k.UpdateGatewayRule(k.ctx(), &agentcorecontrol.UpdateGatewayRuleRequest{GatewayIdentifier: &id, RuleId: first.RuleId, Priority: new(int32(20))})
		k.refused(err, "ConflictException", "has the priority 20")
		changed, err := k.UpdateGatewayRule(k.ctx(), &agentcorecontrol.UpdateGatewayRuleRequest{GatewayIdentifier: &id, RuleId: second.RuleId, Description: new("what for"), Conditions: []agentcorecontrol.Condition{}})
		if err != nil || *changed.Description != "what for" || *changed.Priority != 20 || len(changed.Conditions) != 0 || *changed.Actions[0].RouteToTarget.StaticRoute.TargetName != "H" {
			k.Errorf("%+v, %v", changed, err)
		}
		list, err := k.ListGatewayRules(k.ctx(), &agentcorecontrol.ListGatewayRulesRequest{GatewayIdentifier: &id})
		if err != nil || len(list.GatewayRules) != 2 {
			k.Errorf("%+v, %v", list, err)
		}
		deleted, err := k.DeleteGatewayRule(k.ctx(), &agentcorecontrol.DeleteGatewayRuleRequest{GatewayIdentifier: &id, RuleId: first.RuleId})
		if err != nil || *deleted.Status != "DELETING" {
			k.Errorf("%+v, %v", deleted, err)
		}
		_, err = k.GetGatewayRule(k.ctx(), &agentcorecontrol.GetGatewayRuleRequest{GatewayIdentifier: &id, RuleId: first.RuleId})
		k.refused(err, "ResourceNotFoundException", "No rule found with id")
		got, err := k.GetGatewayRule(k.ctx(), &agentcorecontrol.GetGatewayRuleRequest{GatewayIdentifier: &id, RuleId: second.RuleId})
		if err != nil || *got.Description != "what for" {
			k.Errorf("%+v, %v", got, err)
		}
	})
}

func entry(value string, change ...func(*agentcorecontrol.LimitEntry)) agentcorecontrol.LimitEntry {
	e := agentcorecontrol.LimitEntry{Dimensions: map[string]string{"toolName": value}, Requests: rate(5, "second")}
	for _, c := range change {
		c(&e)
	}
	return e
}

func rate(n float64, period string) []agentcorecontrol.RateConfig {
	return []agentcorecontrol.RateConfig{{Rate: &n, Period: &period}}
}

// TestRateLimits follows a rate limit, and holds what one may say.
func TestRateLimits(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G")
		create := func(limit string, keys []string, entries ...agentcorecontrol.LimitEntry) (*agentcorecontrol.CreateGatewayRateLimitResponse, error) {
			in := &agentcorecontrol.CreateGatewayRateLimitRequest{GatewayIdentifier: new(gateway.ARN(scope, id)), DimensionKeys: keys, Entries: entries}
			if limit != "" {
				in.RateLimitId = &limit
			}
			return k.CreateGatewayRateLimit(k.ctx(), in)
		}
		tools := []string{"toolName"}
		for text, entries := range map[string][]agentcorecontrol.LimitEntry{
			"entries.1.member.dimensions: 'targetName' is not among the dimensionKeys (toolName)": {entry("x", func(e *agentcorecontrol.LimitEntry) { e.Dimensions = map[string]string{"targetName": "x"} })},
			"entries.1.member.dimensions: in 'x*y' a * may stand at the end alone":                {entry("x*y")},
			"entries.2.member.dimensions: an entry before it has the same":                        {entry("x"), entry("x")},
			"entries.1.member limits nothing: it must have requests, tokens or connections":       {entry("x", func(e *agentcorecontrol.LimitEntry) { e.Requests = nil })},
			"entries.1.member.tokens: the period must be minute":                                  {entry("x", func(e *agentcorecontrol.LimitEntry) { e.Tokens = rate(1, "second") })},
			"entries.1.member.connections: the period must be second":                             {entry("x", func(e *agentcorecontrol.LimitEntry) { e.Connections = rate(1, "minute") })},
		} {
			_, err := create("", tools, entries...)
			k.refused(err, "ValidationException", text)
		}
		_, err := create("", []string{"toolName", "toolName"}, entry("x"))
		k.refused(err, "ValidationException", "dimensionKeys: 'toolName' is given twice")
		for key, text := range map[string]string{
			"$.context.request.header.X-Tier":        "is what callers say of themselves",
			"$.context.request.body.metadata.tier":   "is what callers say of themselves",
			"$.context.request.header.authorization": "would show credentials",
			"tool":                                   "is none of targetName, toolName, qualifiedModelId, $.context.iam.principal, ",
			"$.context.jwt.":                         "is none of ",
			"toolNames":                              "is none of ",
		} {
			_, err := create("", []string{"toolName", key}, entry("x"))
			k.refused(err, "ValidationException", "dimensionKeys: '"+key+"' "+text)
		}
		if _, err := k.CreateGatewayRateLimit(k.ctx(), &agentcorecontrol.CreateGatewayRateLimitRequest{
			GatewayIdentifier: new(k.gateway("Said")), DimensionKeys: []string{"$.context.jwt.sub", "$.context.request.header.X-Tier"},
			Entries: []agentcorecontrol.LimitEntry{{Dimensions: map[string]string{"$.context.request.header.X-Tier": "batch"}, Requests: rate(1, "minute")}},
		}); err != nil {
			k.Error(err)
		}
		one, err := create("one", tools, entry("x*"))
		if err != nil || *one.Status != "ACTIVE" || *one.GatewayIdentifier != id || *one.RateLimitId != "one" {
			k.Errorf("%+v, %v", one, err)
		}
		_, err = create("one", []string{"targetName"}, entry("x", func(e *agentcorecontrol.LimitEntry) { e.Dimensions = map[string]string{"targetName": "x"} }))
		k.refused(err, "ConflictException", "A rate limit with the id 'one' already exists")
		_, err = create("two", tools, entry("x"))
		k.refused(err, "ConflictException", "another rate limit of the gateway has the same dimensions (toolName)")
		both := func(keys ...string) []agentcorecontrol.BatchPutLimitEntry {
			return []agentcorecontrol.BatchPutLimitEntry{
				{RateLimitId: new("one"), DimensionKeys: tools, Entries: []agentcorecontrol.LimitEntry{entry("changed")}},
				{DimensionKeys: keys, Entries: []agentcorecontrol.LimitEntry{{Dimensions: map[string]string{keys[0]: "x"}, Requests: rate(1, "minute")}}},
			}
		}
		put := func(list []agentcorecontrol.BatchPutLimitEntry) (*agentcorecontrol.BatchPutGatewayRateLimitsResponse, error) {
			return k.BatchPutGatewayRateLimits(k.ctx(), &agentcorecontrol.BatchPutGatewayRateLimitsRequest{GatewayIdentifier: &id, RateLimits: list})
		}
		_, err = put(both("toolName")) // of which the second cannot be
		k.refused(err, "ConflictException", "the same dimensions")
		first := func() string {
			got, err := k.GetGatewayRateLimit(k.ctx(), &agentcorecontrol.GetGatewayRateLimitRequest{GatewayIdentifier: &id, RateLimitId: new("one")})
			k.must(err)
			return got.Entries[0].Dimensions["toolName"]
		}
		if first() != "x*" {
			k.Error("half of a batch was written")
		}
		made, err := put(both("toolName", "targetName"))
		if err != nil || len(made.RateLimits) != 2 || first() != "changed" {
			k.Errorf("%+v, %v", made, err)
		}
		_, err = put([]agentcorecontrol.BatchPutLimitEntry{{RateLimitId: new("one"), DimensionKeys: []string{"targetName"}, Entries: []agentcorecontrol.LimitEntry{{Dimensions: map[string]string{"targetName": "x"}, Requests: rate(1, "minute")}}}})
		k.refused(err, "ValidationException", "those of rate limit 'one' are toolName and cannot be changed")
		_, err = put(append(both("targetName"), both("qualifiedModelId")[1]))
		k.refused(err, "ServiceQuotaExceededException", "may have at most 3 rate limits, and would have 4")
		changed, err := k.UpdateGatewayRateLimit(k.ctx(), &agentcorecontrol.UpdateGatewayRateLimitRequest{GatewayIdentifier: &id, RateLimitId: new("one"), Description: new(""), Entries: []agentcorecontrol.LimitEntry{entry("y")}})
		if err != nil || first() != "y" || changed.DimensionKeys[0] != "toolName" {
			k.Errorf("%+v, %v", changed, err)
		}
		if v, err := k.View(k.Context(), id); err != nil || len(v.Limits) != 2 || *v.Limits[0].RateLimitId != "one" || v.Limits[0].Entries[0].Dimensions["toolName"] != "y" {
			k.Errorf("%+v, %v", v, err)
		}
		list, err := k.ListGatewayRateLimits(k.ctx(), &agentcorecontrol.ListGatewayRateLimitsRequest{GatewayIdentifier: &id})
		if err != nil || len(list.RateLimits) != 2 {
			k.Errorf("%+v, %v", list, err)
		}
		deleted, err := k.DeleteGatewayRateLimit(k.ctx(), &agentcorecontrol.DeleteGatewayRateLimitRequest{GatewayIdentifier: &id, RateLimitId: new("one")})
		if err != nil || *deleted.Status != "DELETING" {
			k.Errorf("%+v, %v", deleted, err)
		}
		_, err = k.GetGatewayRateLimit(k.ctx(), &agentcorecontrol.GetGatewayRateLimitRequest{GatewayIdentifier: &id, RateLimitId: new("one")})
		k.refused(err, "ResourceNotFoundException", "No rate limit found with id 'one'")
		_, err = k.DeleteGateway(k.ctx(), &agentcorecontrol.DeleteGatewayRequest{GatewayIdentifier: &id})
		k.must(err)
	})
}

// TestHosts leads further host names to their gateway.
func TestHosts(t *testing.T) {
	within(t, func(k *kit) {
		id := k.gateway("G", func(r *agentcorecontrol.CreateGatewayRequest) {
			r.DomainOverride = &agentcorecontrol.DomainOverride{DefaultDomain: new("Tools.example.com"), AlternateDomains: []string{"t.example.com"}}
		})
		led := func(host string) string {
			got, err := k.Host(context.Background(), host)
			k.must(err)
			return got
		}
		if led("tools.example.COM") != id || led("t.example.com") != id || led("example.com") != "" || led("") != "" {
			k.Error("names lead elsewhere")
		}
		_, err := k.UpdateGateway(k.ctx(), &agentcorecontrol.UpdateGatewayRequest{GatewayIdentifier: &id, Name: new("G"), RoleArn: new(roleARN), AuthorizerType: new("NONE"),
			DomainOverride: &agentcorecontrol.DomainOverride{DefaultDomain: new("t.example.com")}})
		k.must(err)
		k.wait()
		if led("tools.example.com") != "" || led("t.example.com") != id {
			k.Error("names lead elsewhere after a change")
		}
		_, err = k.DeleteGateway(k.ctx(), &agentcorecontrol.DeleteGatewayRequest{GatewayIdentifier: &id})
		k.must(err)
		if led("t.example.com") != "" {
			k.Error("a name leads to a gateway that is gone")
		}
	})
}

// TestPolicies says who may invoke a gateway, and nothing else.
func TestPolicies(t *testing.T) {
	within(t, func(k *kit) {
		const path = "gateway/"
		signed := k.gateway("Signed")
		tokens := k.gateway("Tokens", func(r *agentcorecontrol.CreateGatewayRequest) {
			r.AuthorizerType, r.AuthorizerConfiguration = new("CUSTOM_JWT"), &agentcorecontrol.AuthorizerConfiguration{CustomJWTAuthorizer: &agentcorecontrol.CustomJWTAuthorizerConfiguration{
				DiscoveryUrl: new("https://issuer.example.com/.well-known/openid-configuration"), AllowedClients: []string{"c"}}}
		})
		check := func(id, principal, action string) error {
			text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,` + action + `,"Resource":"` + gateway.ARN(scope, id) + `"}]}`
			doc, err := resourcepolicy.Parse(text, k.PolicyNames(scope, path+id)...)
			k.must(err)
			return k.store.View(k.Context(), func(r store.Reader) error { return k.CheckPolicy(r, scope, path+id, doc) })
		}
		const invoke, user = `"Action":"bedrock-agentcore:InvokeGateway"`, `{"AWS":"arn:aws:iam::111122223333:user/ann"}`
		k.must(check(signed, user, invoke))
		k.must(check(tokens, `"*"`, invoke))
		k.must(check(tokens, `{"AWS":["*"]}`, invoke))
		k.refused(check(tokens, user, invoke), "ValidationException", `the Principal of a statement must be "*"`)
		k.refused(check(signed, user, `"Action":"bedrock-agentcore:GetGateway"`), "ValidationException", "'bedrock-agentcore:GetGateway' is no action on gateways")
		k.refused(check(signed, user, `"Action":"bedrock-agentcore:*"`), "ValidationException", "the only one is bedrock-agentcore:InvokeGateway")
		k.refused(check(signed, user, `"NotAction":"bedrock-agentcore:GetGateway"`), "ValidationException", "cannot have NotAction")
		k.must(k.store.Update(k.Context(), func(tx store.Tx) error { return k.SetTags(tx, scope, path+signed, map[string]string{"a": "b"}) }))
		k.must(k.store.View(k.Context(), func(r store.Reader) error {
			tags, err := k.Tags(r, scope, path+signed)
			if tags["a"] != "b" {
				k.Error(tags)
			}
			_, missing := k.Tags(r, scope, path+"none-0123456789")
			k.refused(missing, "ResourceNotFoundException", "No gateway found with id 'none-0123456789'")
			return err
		}))
	})
}

var _ target.Driver = (*driver)(nil)
