package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/server"
)

// rig is a server with a gateway of tools and one of HTTP, whose callers read all there is.
type rig struct {
	*testing.T
	*server.Server
	tools, web *server.Gateway
	client     *http.Client
	// key is what providers of models are shown.
	key types.CredentialProviderConfiguration
	// made are the ids of targets by their names.
	made sync.Map
}

func start(t *testing.T, args ...string) *rig {
	t.Helper()
	r := &rig{T: t, Server: server.Start(t, server.Options{Args: args}), client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true}}}
	in := func(name string) *control.CreateGatewayInput {
		return &control.CreateGatewayInput{Name: &name, AuthorizerType: types.AuthorizerTypeNone, ExceptionLevel: types.ExceptionLevelDebug}
	}
	tools := in("tools")
	tools.ProtocolType = types.GatewayProtocolTypeMcp
	r.tools, r.web = r.Gateway(tools), r.Gateway(in("web"))
	key, err := r.Control().CreateApiKeyCredentialProvider(t.Context(), &control.CreateApiKeyCredentialProviderInput{Name: aws.String("key"), ApiKey: aws.String("key-of-the-models")})
	if err != nil {
		t.Fatal(err)
	}
	r.key = types.CredentialProviderConfiguration{
		CredentialProviderType: types.CredentialProviderTypeApiKey, CredentialProvider: &types.CredentialProviderMemberApiKeyCredentialProvider{Value: types.GatewayApiKeyCredentialProvider{ProviderArn: key.CredentialProviderArn}},
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("server:\n%.8000s", r.Server.Log())
		}
	})
	return r
}

// kind is one kind of thing that leads to a URL.
type kind struct {
	name string
	// make makes one, and returns why not. use returns what its user is told; nil is what
	// make has told already.
	make func(r *rig, name, url string) string
	use  func(r *rig, name string) string
	// at is the gateway of its target, nil where there is none.
	at func(r *rig) *server.Gateway
}

// kinds are all that lead to a URL of their owner's choice. API Gateway's stages, Smithy's
// services, agents and schemas in S3 are where the operator says, or at this server.
func kinds() []kind {
	tools, web := func(r *rig) *server.Gateway { return r.tools }, func(r *rig) *server.Gateway { return r.web }
	return []kind{
		{"mcpServer", func(r *rig, name, url string) string { return r.target(r.tools, name, server.McpServer(url)) }, (*rig).hello, tools},
		{"openApiSchema", func(r *rig, name, url string) string { return r.target(r.tools, name, server.OpenAPI(document(url))) }, (*rig).hello, tools},
		{"passthrough", func(r *rig, name, url string) string { return r.target(r.web, name, passes(url)) }, (*rig).pass, web},
		{"inference", func(r *rig, name, url string) string { return r.target(r.web, name, infers(url), r.key) }, (*rig).infer, web},
		{"authorizer", (*rig).authorizer, nil, nil},
		{"token endpoint", (*rig).tokenEndpoint, (*rig).hello, tools},
	}
}

// says makes one, uses it, and takes it away.
func (k kind) says(r *rig, name, url string) string {
	text := k.make(r, name, url)
	if text != "" || k.use == nil {
		return text
	}
	defer k.drop(r, name)
	return k.use(r, name)
}

func (k kind) drop(r *rig, name string) {
	id, _ := r.made.LoadAndDelete(name)
	if _, err := r.Control().DeleteGatewayTarget(r.Context(), &control.DeleteGatewayTargetInput{GatewayIdentifier: &k.at(r).ID, TargetId: aws.String(id.(string))}); err != nil {
		r.Error(err)
	}
}

// target makes one, and returns why it does not become READY.
func (r *rig) target(g *server.Gateway, name string, is types.TargetConfiguration, shows ...types.CredentialProviderConfiguration) string {
	out, err := g.Settled(r.Context(), name, is, shows...)
	switch {
	case err != nil:
		return err.Error()
	case out.Status != types.TargetStatusReady:
		return "FAILED " + strings.Join(out.StatusReasons, "\n")
	}
	r.made.Store(name, *out.TargetId)
	return ""
}

// document describes an API with operations below a URL, each by its name.
func document(url string, operations ...string) string {
	if operations == nil {
		operations = []string{"hello"}
	}
	paths := map[string]any{}
	for _, name := range operations {
		paths["/"+name] = map[string]any{"get": map[string]any{"operationId": name, "responses": map[string]any{"200": map[string]string{"description": "it"}}}}
	}
	text, err := json.Marshal(map[string]any{"openapi": "3.1.0", "info": map[string]string{"title": "x", "version": "1"}, "servers": []any{map[string]string{"url": url}}, "paths": paths})
	if err != nil {
		return err.Error() // text only
	}
	return string(text)
}

func passes(url string) types.TargetConfiguration {
	return &types.TargetConfigurationMemberHttp{Value: &types.HttpTargetConfigurationMemberPassthrough{Value: types.PassthroughTargetConfiguration{Endpoint: &url, ProtocolType: types.PassthroughProtocolTypeCustom}}}
}

func infers(url string) types.TargetConfiguration {
	return &types.TargetConfigurationMemberInference{Value: &types.InferenceTargetConfigurationMemberProvider{Value: types.InferenceProviderTargetConfiguration{Endpoint: &url}}}
}

func (r *rig) hello(name string) string { return r.tool(name + "___hello") }

func (r *rig) pass(name string) string { return r.ask(http.MethodGet, r.web.URL+"/"+name+"/", "") }

func (r *rig) infer(name string) string {
	return r.ask(http.MethodPost, r.web.URL+"/inference/v1/chat/completions", `{"model":"`+name+`/m","messages":[]}`)
}

func (r *rig) authorizer(name, url string) string {
	api := r.Control()
	out, err := api.CreateGateway(r.Context(), &control.CreateGatewayInput{
		Name: &name, RoleArn: aws.String("arn:aws:iam::" + r.Account + ":role/outcrop-default"), ProtocolType: types.GatewayProtocolTypeMcp, AuthorizerType: types.AuthorizerTypeCustomJwt,
		AuthorizerConfiguration: &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
			DiscoveryUrl: aws.String(strings.TrimSuffix(url, "/") + "/.well-known/openid-configuration"), AllowedClients: []string{"c"},
		}},
	})
	if err != nil {
		return err.Error()
	}
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C { // the reasons are there when the gateway is
		got, err := api.GetGateway(r.Context(), &control.GetGatewayInput{GatewayIdentifier: out.GatewayId})
		switch {
		case err != nil:
			return err.Error()
		case got.Status != types.GatewayStatusCreating && len(got.StatusReasons) == 0:
			return welcome + "its issuer"
		case got.Status != types.GatewayStatusCreating:
			return strings.Join(got.StatusReasons, "\n")
		}
	}
}

// tokenEndpoint is of the provider of a target's credentials.
func (r *rig) tokenEndpoint(name, url string) string {
	made, err := r.Control().CreateOauth2CredentialProvider(r.Context(), &control.CreateOauth2CredentialProviderInput{
		Name: &name, CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2,
		Oauth2ProviderConfigInput: &types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: types.CustomOauth2ProviderConfigInput{
			ClientId: aws.String("id"), ClientSecret: aws.String("secret-of-the-client"), OauthDiscovery: &types.Oauth2DiscoveryMemberAuthorizationServerMetadata{Value: types.Oauth2AuthorizationServerMetadata{
				Issuer: aws.String("https://good.test"), AuthorizationEndpoint: aws.String("https://good.test/authorize"), TokenEndpoint: &url,
			}},
		}},
	})
	if err != nil {
		return err.Error()
	}
	return r.target(r.tools, name, server.OpenAPI(document("https://good.test")), types.CredentialProviderConfiguration{
		CredentialProviderType: types.CredentialProviderTypeOauth, CredentialProvider: &types.CredentialProviderMemberOauthCredentialProvider{Value: types.OAuthCredentialProvider{
			ProviderArn: made.CredentialProviderArn, Scopes: []string{"s"}, GrantType: types.OAuthGrantTypeClientCredentials,
		}},
	})
}

// tool calls one and returns what it says, behind FAILED where that is an error.
func (r *rig) tool(name string) string {
	text, err := r.call(r.Context(), name)
	if err != nil {
		return err.Error()
	}
	return text
}

func (r *rig) call(ctx context.Context, name string) (string, error) {
	body, status, err := r.send(ctx, http.MethodPost, r.tools.URL, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+name+`","arguments":{}}}`)
	if err != nil {
		return "", err
	}
	var answer struct {
		Result *struct {
			IsError bool
			Content []struct{ Text string }
		}
		Error *struct{ Message string }
	}
	switch err := json.Unmarshal(body, &answer); {
	case err != nil:
		return "", fmt.Errorf("the gateway answers %d %.200q: %w", status, body, err)
	case answer.Error != nil:
		return "FAILED " + answer.Error.Message, nil
	case answer.Result == nil:
		return "", fmt.Errorf("the gateway answers %d %.200q", status, body)
	}
	var text strings.Builder
	if answer.Result.IsError {
		text.WriteString("FAILED ")
	}
	for _, c := range answer.Result.Content {
		text.WriteString(c.Text)
	}
	return text.String(), nil
}

// ask sends a request to the gateway of HTTP and returns status and body.
func (r *rig) ask(method, url, body string) string {
	answer, status, err := r.send(r.Context(), method, url, body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", status, answer)
}

// maxRead is what a caller reads of an answer, in bytes.
const maxRead = 1 << 20

func (r *rig) send(ctx context.Context, method, url, body string) ([]byte, int, error) {
	q, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, 0, err
	}
	q.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {"2025-06-18"}}
	a, err := r.client.Do(q)
	if err != nil {
		return nil, 0, err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(io.LimitReader(a.Body, maxRead))
	return text, a.StatusCode, err
}
