package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	datatypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/principal"
)

// teller is a server of another company's that wants to know who calls, and tells them: of
// MCP at /mcp, and of HTTP else.
func teller(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		who := r.Header.Get("Authorization")
		if r.URL.Path != "/mcp" {
			_ = json.NewEncoder(w).Encode(map[string]string{"caller": who}) // the client reads it or fails
			return
		}
		var m struct {
			ID     json.RawMessage
			Method string
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || who == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		result, known := map[string]string{
			"initialize": `{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"teller","version":"1"}}`,
			"tools/list": `{"tools":[{"name":"whoami","inputSchema":{"type":"object"}}]}`,
			"tools/call": fmt.Sprintf(`{"content":[{"type":"text","text":%q}]}`, who),
		}[m.Method]
		switch {
		case len(m.ID) == 0:
			w.WriteHeader(http.StatusAccepted)
		case known:
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
		default:
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}`, m.ID)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// gateway makes a gateway for the callers of one's pool.
func (g *portal) gateway(ann target.Caller) (id string) {
	g.t.Helper()
	made, err := g.control.CreateGateway(g.t.Context(), &control.CreateGatewayInput{
		Name: aws.String("shop"), RoleArn: &g.source.Role, ProtocolType: types.GatewayProtocolTypeMcp, AuthorizerType: types.AuthorizerTypeCustomJwt, ExceptionLevel: types.ExceptionLevelDebug,
		AuthorizerConfiguration: &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
			DiscoveryUrl: aws.String(ann.Issuer + "/.well-known/openid-configuration"), AllowedClients: []string{claimsOf(g.t, ann.Token.Reveal())["client_id"].(string)},
		}},
	})
	g.must(err)
	_, err = g.control.UpdateWorkloadIdentity(g.t.Context(), &control.UpdateWorkloadIdentityInput{Name: made.GatewayId, AllowedResourceOauth2ReturnUrls: []string{appReturn}})
	g.must(err)
	return g.ready(*made.GatewayId)
}

// ready waits until a gateway takes targets.
func (g *portal) ready(gateway string) string {
	g.t.Helper()
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		got, err := g.control.GetGateway(g.t.Context(), &control.GetGatewayInput{GatewayIdentifier: &gateway})
		g.must(err)
		switch got.Status {
		case types.GatewayStatusReady:
			return gateway
		case types.GatewayStatusCreating:
		default:
			g.t.Fatalf("%s: %v", got.Status, got.StatusReasons)
		}
	}
}

// becomes waits for a target's status.
func (g *portal) becomes(gateway, id string, want types.TargetStatus) *control.GetGatewayTargetOutput {
	g.t.Helper()
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		got, err := g.control.GetGatewayTarget(g.t.Context(), &control.GetGatewayTargetInput{GatewayIdentifier: &gateway, TargetId: &id})
		g.must(err)
		switch got.Status {
		case want:
			return got
		case types.TargetStatusCreating, types.TargetStatusCreatePendingAuth:
		default:
			g.t.Fatalf("%s: %v", got.Status, got.StatusReasons)
		}
	}
}

// ask sends a message to a gateway as one's, and returns the answer's members.
func (g *portal) ask(gateway string, ann target.Caller, version, message string) (answer struct {
	Result struct {
		Content []struct{ Text string }
		IsError bool
	}
	Error struct {
		Code int
		Data struct{ Elicitations []struct{ URL string } }
	}
}) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.url+"/gw/"+gateway+"/mcp", strings.NewReader(message))
	g.must(err)
	for name, value := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": version} {
		r.Header.Set(name, value)
	}
	if !ann.Token.Empty() {
		r.Header.Set("Authorization", "Bearer "+ann.Token.Reveal())
	}
	a, err := http.DefaultClient.Do(r)
	g.must(err)
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	g.must(err)
	if err := json.Unmarshal(body, &answer); err != nil {
		g.t.Fatalf("%d %s: %v", a.StatusCode, body, err)
	}
	return answer
}

const calls = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s","arguments":{}}}`

// TestTargetsThatUsersLogInTo: somebody agrees to what the gateway lists, and each user to
// calls of theirs, which reach the server with that user's token.
func TestTargetsThatUsersLogInTo(t *testing.T) {
	g, v, s := newPortal(t), newElsewhere(t), teller(t)
	g.role(grant("*", "*", ""))
	provider, ann := g.client(v), g.ann()
	id := g.gateway(ann)
	made, err := g.control.CreateGatewayTarget(t.Context(), &control.CreateGatewayTargetInput{
		GatewayIdentifier: &id, Name: aws.String("crm"),
		TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberMcpServer{Value: types.McpServerTargetConfiguration{Endpoint: aws.String(s.URL + "/mcp")}}},
		CredentialProviderConfigurations: []types.CredentialProviderConfiguration{{
			CredentialProviderType: types.CredentialProviderTypeOauth,
			CredentialProvider: &types.CredentialProviderMemberOauthCredentialProvider{Value: types.OAuthCredentialProvider{
				ProviderArn: &provider, Scopes: []string{"read"}, GrantType: types.OAuthGrantTypeAuthorizationCode, DefaultReturnUrl: aws.String(appReturn),
			}},
		}},
	})
	g.must(err)
	pending := g.becomes(id, *made.TargetId, types.TargetStatusCreatePendingAuth)
	asked := pending.AuthorizationData.(*types.AuthorizationDataMemberOauth2).Value
	g.complete(g.agrees(*asked.AuthorizationUrl), &datatypes.UserIdentifierMemberUserId{Value: *asked.UserId})
	g.becomes(id, *made.TargetId, types.TargetStatusReady)

	message := fmt.Sprintf(calls, "crm___whoami")
	first := g.ask(id, ann, "2025-11-25", message)
	if first.Error.Code != -32042 || len(first.Error.Data.Elicitations) != 1 {
		t.Fatalf("%+v", first)
	}
	if old := g.ask(id, ann, "2025-06-18", message); !old.Result.IsError || !strings.Contains(old.Result.Content[0].Text, "/identities/oauth2/authorize?") {
		t.Errorf("%+v", old)
	}
	g.complete(g.agrees(first.Error.Data.Elicitations[0].URL), &datatypes.UserIdentifierMemberUserToken{Value: ann.Token.Reveal()})
	if got := g.ask(id, ann, "2025-11-25", message); got.Result.IsError || len(got.Result.Content) != 1 || got.Result.Content[0].Text != "Bearer pl4nted-2" {
		t.Errorf("%+v", got)
	}
	g.clean(ann.Token.Reveal(), "pl4nted")
}

// TestTargetsWithKeys: a call of an OpenAPI target carries the provider's key; when the role
// may not have it any more, the caller of a gateway that is debugged is told what is missing.
func TestTargetsWithKeys(t *testing.T) {
	g, s := newPortal(t), teller(t)
	g.role(grant("*", "*", ""))
	ann := g.ann()
	id := g.gateway(ann)
	key, err := g.control.CreateApiKeyCredentialProvider(t.Context(), &control.CreateApiKeyCredentialProviderInput{Name: aws.String("search"), ApiKey: aws.String(plantedKey)})
	g.must(err)
	schema := fmt.Sprintf(`{"openapi":"3.0.3","info":{"title":"t","version":"1"},"servers":[{"url":%q}],"paths":{"/who":{"get":{"operationId":"who","responses":{"200":{"description":"ok"}}}}}}`, s.URL)
	made, err := g.control.CreateGatewayTarget(t.Context(), &control.CreateGatewayTargetInput{
		GatewayIdentifier: &id, Name: aws.String("web"),
		TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberOpenApiSchema{Value: &types.ApiSchemaConfigurationMemberInlinePayload{Value: schema}}},
		CredentialProviderConfigurations: []types.CredentialProviderConfiguration{{
			CredentialProviderType: types.CredentialProviderTypeApiKey,
			CredentialProvider:     &types.CredentialProviderMemberApiKeyCredentialProvider{Value: types.GatewayApiKeyCredentialProvider{ProviderArn: key.CredentialProviderArn}},
		}},
	})
	g.must(err)
	g.becomes(id, *made.TargetId, types.TargetStatusReady)
	message := fmt.Sprintf(calls, "web___who")
	if got := g.ask(id, ann, "2025-11-25", message); got.Result.IsError || len(got.Result.Content) != 1 || !strings.Contains(got.Result.Content[0].Text, "Bearer "+plantedKey) {
		t.Errorf("%+v", got)
	}
	g.clean(ann.Token.Reveal())
}

// TestKeysInQueriesStaySecret: what a dead server, or one that is not let near, is asked
// with is in no error and no log, although it is in the URL.
func TestKeysInQueriesStaySecret(t *testing.T) {
	g, s := newPortal(t), teller(t)
	g.role(grant("*", "*", ""))
	ann := g.ann()
	id := g.gateway(ann)
	key, err := g.control.CreateApiKeyCredentialProvider(t.Context(), &control.CreateApiKeyCredentialProviderInput{Name: aws.String("search"), ApiKey: aws.String(plantedKey)})
	g.must(err)
	for name, base := range map[string]string{"dead": s.URL, "private": "https://10.1.2.3"} {
		schema := fmt.Sprintf(`{"openapi":"3.0.3","info":{"title":"t","version":"1"},"servers":[{"url":%q}],"paths":{"/who":{"get":{"operationId":"who","responses":{"200":{"description":"ok"}}}}}}`, base)
		made, err := g.control.CreateGatewayTarget(t.Context(), &control.CreateGatewayTargetInput{
			GatewayIdentifier: &id, Name: &name,
			TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberOpenApiSchema{Value: &types.ApiSchemaConfigurationMemberInlinePayload{Value: schema}}},
			CredentialProviderConfigurations: []types.CredentialProviderConfiguration{{
				CredentialProviderType: types.CredentialProviderTypeApiKey,
				CredentialProvider: &types.CredentialProviderMemberApiKeyCredentialProvider{Value: types.GatewayApiKeyCredentialProvider{
					ProviderArn: key.CredentialProviderArn, CredentialLocation: types.ApiKeyCredentialLocationQueryParameter, CredentialParameterName: aws.String("key"),
				}},
			}},
		})
		g.must(err)
		g.becomes(id, *made.TargetId, types.TargetStatusReady)
	}
	s.Close()
	for _, name := range []string{"dead", "private"} {
		got := g.ask(id, ann, "2025-11-25", fmt.Sprintf(calls, name+"___who"))
		if !got.Result.IsError || len(got.Result.Content) != 1 || strings.Contains(got.Result.Content[0].Text, plantedKey) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	g.clean(ann.Token.Reveal())
}

// open makes a gateway that asks nobody who they are, and returns its id.
func (g *portal) open(name string) string {
	g.t.Helper()
	made, err := g.control.CreateGateway(g.t.Context(), &control.CreateGatewayInput{
		Name: &name, RoleArn: &g.source.Role, ProtocolType: types.GatewayProtocolTypeMcp, AuthorizerType: types.AuthorizerTypeNone, ExceptionLevel: types.ExceptionLevelDebug,
	})
	g.must(err)
	return g.ready(*made.GatewayId)
}

// TestTargetsThatLeadToTheirOwnGateway: a gateway is no target of its own, and two that ask
// each other for what there is to list end that, and are there for others.
func TestTargetsThatLeadToTheirOwnGateway(t *testing.T) {
	g := newPortal(t)
	g.role(grant("*", "*", ""))
	id, other := g.open("loop"), g.open("other")
	leads := func(from, at string) (*control.CreateGatewayTargetOutput, error) {
		return g.control.CreateGatewayTarget(t.Context(), &control.CreateGatewayTargetInput{
			GatewayIdentifier: &from, Name: aws.String("next"),
			TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberMcpServer{Value: types.McpServerTargetConfiguration{
				Endpoint: &at, ListingMode: types.ListingModeDynamic,
			}}},
		})
	}
	named := func(id string) string {
		return "https://" + id + ".gateway.bedrock-agentcore.us-west-2.amazonaws.com/mcp"
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(g.url, "http://"), ":")
	for _, self := range []string{g.url + "/gw/" + id + "/mcp", g.url + "/gw/" + id + "/", named(id), "http://localhost:" + port + "/gw/" + id + "/mcp", "http://" + id + ".gateway.localhost:" + port + "/mcp"} {
		if _, err := leads(id, self); err == nil || !strings.Contains(err.Error(), "ValidationException") || !strings.Contains(err.Error(), "'"+self+"' is the gateway '"+id+"' itself") {
			t.Errorf("%s: %v", self, err)
		}
	}
	for from, to := range map[string]string{id: other, other: id} {
		made, err := leads(from, named(to))
		g.must(err)
		g.becomes(from, *made.TargetId, types.TargetStatusReady)
	}
	for range 2 {
		g.ask(id, target.Caller{}, "2025-11-25", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	}
	if !strings.Contains(g.log.String(), "come back to this server") {
		t.Error("it is not told why that ended")
	}
}

// TestWarnings: what a target needs is told while it is not there, each time anew, and looking
// for it is in no record.
func TestWarnings(t *testing.T) {
	g := newPortal(t)
	g.role()
	id := g.open("shop")
	function, err := g.control.CreateGatewayTarget(t.Context(), &control.CreateGatewayTargetInput{
		GatewayIdentifier: &id, Name: aws.String("f"),
		TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberLambda{Value: types.McpLambdaTargetConfiguration{
			LambdaArn: aws.String("arn:aws:lambda:us-west-2:" + g.source.Scope.Account + ":function:f"),
			ToolSchema: &types.ToolSchemaMemberInlinePayload{Value: []types.ToolDefinition{{
				Name: aws.String("a"), Description: aws.String("d"), InputSchema: &types.SchemaDefinition{Type: types.SchemaTypeObject},
			}}},
		}}},
		CredentialProviderConfigurations: []types.CredentialProviderConfiguration{{CredentialProviderType: types.CredentialProviderTypeGatewayIamRole}},
	})
	g.must(err)
	g.keyProvider("search")
	key, err := g.control.CreateGatewayTarget(t.Context(), &control.CreateGatewayTargetInput{
		GatewayIdentifier: &id, Name: aws.String("k"),
		TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberOpenApiSchema{Value: &types.ApiSchemaConfigurationMemberInlinePayload{
			Value: `{"openapi":"3.0.3","info":{"title":"t","version":"1"},"servers":[{"url":"https://93.184.215.14"}],"paths":{"/who":{"get":{"operationId":"who","responses":{"200":{"description":"ok"}}}}}}`,
		}}},
		CredentialProviderConfigurations: []types.CredentialProviderConfiguration{{
			CredentialProviderType: types.CredentialProviderTypeApiKey,
			CredentialProvider: &types.CredentialProviderMemberApiKeyCredentialProvider{Value: types.GatewayApiKeyCredentialProvider{
				ProviderArn: aws.String("arn:aws:bedrock-agentcore:us-west-2:" + g.source.Scope.Account + ":token-vault/default/apikeycredentialprovider/search"),
			}},
		}},
	})
	g.must(err)
	warned := func(of *control.CreateGatewayTargetOutput, words ...string) {
		t.Helper()
		got := g.becomes(id, *of.TargetId, types.TargetStatusReady).StatusReasons
		if len(got) != min(len(words), 1) || len(got) > 0 && !contains(got[0], words) {
			t.Errorf("%q, want %q", got, words)
		}
	}
	warned(function, "cannot be invoked by the role "+g.source.Role+".")
	g.allow(grant("*", "*", ""))
	warned(function, "function:f is not there.")
	warned(key)
	_, err = g.control.DeleteApiKeyCredentialProvider(t.Context(), &control.DeleteApiKeyCredentialProviderInput{Name: aws.String("search")})
	g.must(err)
	warned(key, "apikeycredentialprovider/search", "create-api-key-credential-provider --name search")
	g.keyProvider("search")
	warned(key)
	g.must(g.directory.DeleteInline(t.Context(), principal.Holder{Kind: principal.RoleHolder, Name: "gw"}, "own"))
	g.must(g.directory.DeleteRole(t.Context(), "gw"))
	warned(function, "there is no such role", "aws iam create-role --role-name gw")
	warned(key, "there is no such role", "aws iam create-role --role-name gw")
	got, err := g.control.GetGateway(t.Context(), &control.GetGatewayInput{GatewayIdentifier: &id})
	g.must(err)
	if len(got.StatusReasons) != 1 || !strings.Contains(got.StatusReasons[0], "there is no such role") {
		t.Errorf("%q", got.StatusReasons)
	}
	g.role(grant("*", "*", ""))
	warned(key)
	if records := g.audited("Invoke"); len(records) > 0 {
		t.Errorf("%+v", records)
	}
}

func contains(text string, words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// TestOpenedLater starts the server again with the address open for which a target failed: it
// is asked then, without anybody calling.
func TestOpenedLater(t *testing.T) {
	behind := teller(t).Config.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "anybody")
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	dir := filepath.Join(t.TempDir(), "data")
	g := startPortal(t, dir)
	g.role()
	id := g.open("late")
	shut, err := g.control.CreateGatewayTarget(t.Context(), &control.CreateGatewayTargetInput{
		GatewayIdentifier: &id, Name: aws.String("t"),
		TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberMcpServer{Value: types.McpServerTargetConfiguration{Endpoint: aws.String(server.URL + "/mcp")}}},
	})
	g.must(err)
	if got := g.becomes(id, *shut.TargetId, types.TargetStatusFailed); len(got.StatusReasons) != 1 || !strings.Contains(got.StatusReasons[0], "outcrop serve --allow-private 127.0.0.1") {
		t.Fatal(got.StatusReasons)
	}
	g.stop()
	g = startPortal(t, dir, "127.0.0.1")
	for begun := time.Now(); ; {
		got, err := g.control.GetGatewayTarget(t.Context(), &control.GetGatewayTargetInput{GatewayIdentifier: &id, TargetId: shut.TargetId})
		g.must(err)
		if got.Status == types.TargetStatusReady {
			break
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("%s: %v", got.Status, got.StatusReasons)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestClosedAddresses: of an address that is not called it is warned at each reading, and
// calls fail with how it is opened, also where it was open before the server started anew.
func TestClosedAddresses(t *testing.T) {
	s, dir := teller(t), filepath.Join(t.TempDir(), "data")
	g := startPortal(t, dir, "127.0.0.1")
	g.role()
	id := g.open("closed")
	targets := map[string]string{}
	make := func(name, server string) {
		t.Helper()
		schema := fmt.Sprintf(`{"openapi":"3.0.3","info":{"title":"t","version":"1"},"servers":[{"url":%q}],"paths":{"/who":{"get":{"operationId":"who","responses":{"200":{"description":"ok"}}}}}}`, server)
		made, err := g.control.CreateGatewayTarget(t.Context(), &control.CreateGatewayTargetInput{
			GatewayIdentifier: &id, Name: &name,
			TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberOpenApiSchema{Value: &types.ApiSchemaConfigurationMemberInlinePayload{Value: schema}}},
		})
		g.must(err)
		targets[name] = *made.TargetId
		g.becomes(id, *made.TargetId, types.TargetStatusReady)
	}
	make("private", "http://10.0.0.1/x")
	make("metadata", "http://169.254.169.254/x")
	make("opened", s.URL)
	make("ours", "https://"+id+".gateway.bedrock-agentcore.us-west-2.amazonaws.com")
	warned := func(name, want string) {
		t.Helper()
		got := g.becomes(id, targets[name], types.TargetStatusReady).StatusReasons
		if len(got) > 1 || strings.Join(got, "") != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if name == "ours" || want == "" {
			return
		}
		told := strings.TrimSuffix(strings.TrimPrefix(want, "Calls fail: "), ".")
		if got := g.ask(id, target.Caller{}, "2025-11-25", fmt.Sprintf(calls, name+"___who")); !got.Result.IsError || !strings.Contains(got.Result.Content[0].Text, told) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	private, at := "Calls fail: 10.0.0.1:80 is not called: the address is private; have the operator open it: outcrop serve --allow-private 10.0.0.1.", strings.TrimPrefix(s.URL, "http://")
	warned("private", private)
	warned("metadata", "Calls fail: 169.254.169.254:80 is not called: a cloud's metadata service is there.")
	warned("opened", "")
	warned("ours", "")
	g.stop()
	g = startPortal(t, dir)
	warned("private", private)
	warned("opened", "Calls fail: "+at+" is not called: the address is a loopback address; have the operator open it: outcrop serve --allow-private 127.0.0.1.")
	warned("ours", "")
}
