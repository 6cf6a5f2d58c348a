package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	datatypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// settingVariable has what the operator needs of the test.
const settingVariable = "OUTCROP_CONFORMANCE_SETTING"

// setting is a server with a user who can sign in.
type setting struct {
	URL, Region, Key, Secret, Role string
	Discovery, Client, Token       string // of the user
}

// TestMain is the suite's client where the suite runs it, and else the tests.
func TestMain(m *testing.M) {
	text := os.Getenv(settingVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := operate(ctx, text, os.Args[len(os.Args)-1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// returnURL is where users come back to: nobody listens there, since the operator reads
// what it is to be told from where it is sent.
const returnURL = "http://127.0.0.1:9/agreed"

// operator puts a gateway before a server of the suite, and calls through it. What it
// knows of the server is what that says of itself.
type operator struct {
	setting
	api  *control.Client
	data *data.Client
	// server is the suite's, revision the one of MCP that it wants.
	server, revision string
	gateway          *control.CreateGatewayOutput
}

func operate(ctx context.Context, text, server string) error {
	o := operator{server: server, revision: os.Getenv("MCP_CONFORMANCE_PROTOCOL_VERSION")}
	if err := json.Unmarshal([]byte(text), &o.setting); err != nil {
		return err
	}
	if !strings.HasPrefix(os.Getenv("MCP_CONFORMANCE_SCENARIO"), "auth/") {
		return errors.New("this is about authorization alone")
	}
	config := aws.Config{Region: o.Region, BaseEndpoint: &o.URL, Credentials: credentials.NewStaticCredentialsProvider(o.Key, o.Secret, "")}
	o.api, o.data = control.NewFromConfig(config), data.NewFromConfig(config)
	as, err := o.discover(ctx)
	if err != nil {
		return err
	}
	provider, err := o.provide(ctx, as)
	if err != nil {
		return err
	}
	if err := o.front(ctx); err != nil {
		return err
	}
	if err := o.target(ctx, as, provider); err != nil {
		return err
	}
	return o.call(ctx)
}

// authorizationServer is what one says of itself.
type authorizationServer struct {
	at           string   // where its document is
	Registration string   `json:"registration_endpoint"`
	Grants       []string `json:"grant_types_supported"`
}

// challenge is where a server that refuses says where its metadata is (RFC 9728 5.1).
var challenge = regexp.MustCompile(`resource_metadata="([^"]+)"`)

// discover goes from the server's refusal to its authorization server.
func (o *operator) discover(ctx context.Context) (as authorizationServer, err error) {
	answer, err := send(ctx, http.MethodPost, o.server, nil, map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, nil)
	if err != nil {
		return as, err
	}
	at := challenge.FindStringSubmatch(answer.Get("WWW-Authenticate"))
	if at == nil {
		return as, errors.New("the server does not say where its metadata is")
	}
	var resource struct {
		Servers []string `json:"authorization_servers"`
	}
	if _, err := send(ctx, http.MethodGet, at[1], nil, nil, &resource); err != nil {
		return as, err
	}
	if len(resource.Servers) == 0 {
		return as, errors.New("the server names no authorization server")
	}
	as.at = strings.TrimSuffix(resource.Servers[0], "/") + "/.well-known/oauth-authorization-server"
	_, err = send(ctx, http.MethodGet, as.at, nil, nil, &as)
	return as, err
}

// provide makes a credential provider of a client that the scenario has, or that is
// registered for it. How the client proves itself is left to the provider.
func (o *operator) provide(ctx context.Context, as authorizationServer) (arn *string, err error) {
	var client struct {
		ID     string  `json:"client_id"`
		Secret *string `json:"client_secret"`
	}
	if text := os.Getenv("MCP_CONFORMANCE_CONTEXT"); text != "" {
		if err := json.Unmarshal([]byte(text), &client); err != nil {
			return nil, err
		}
	}
	name := "suite-" + strings.NewReplacer("/", "-", "_", "-").Replace(os.Getenv("MCP_CONFORMANCE_SCENARIO")) + "-" + o.revision
	config := func() *types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig {
		return &types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: types.CustomOauth2ProviderConfigInput{
			ClientId: &client.ID, ClientSecret: client.Secret, OauthDiscovery: &types.Oauth2DiscoveryMemberDiscoveryUrl{Value: as.at},
		}}
	}
	register := client.ID == ""
	if register {
		if as.Registration == "" {
			return nil, errors.New("there is no client, and none can be registered")
		}
		client.ID = "not-registered-yet" // its callback is not known before
	}
	made, err := o.api.CreateOauth2CredentialProvider(ctx, &control.CreateOauth2CredentialProviderInput{
		Name: &name, CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2, Oauth2ProviderConfigInput: config(),
	})
	if err != nil || !register {
		return arnOf(made), err
	}
	_, err = send(ctx, http.MethodPost, as.Registration, nil, map[string]any{
		"client_name": "outcrop", "application_type": "web", "redirect_uris": []string{*made.CallbackUrl}, "grant_types": []string{"authorization_code", "refresh_token"},
	}, &client)
	if err != nil {
		return nil, err
	}
	_, err = o.api.UpdateOauth2CredentialProvider(ctx, &control.UpdateOauth2CredentialProviderInput{
		Name: &name, CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2, Oauth2ProviderConfigInput: config(),
	})
	return arnOf(made), err
}

func arnOf(made *control.CreateOauth2CredentialProviderOutput) *string {
	if made == nil {
		return nil
	}
	return made.CredentialProviderArn
}

// front makes the gateway, whose users come back to returnURL.
func (o *operator) front(ctx context.Context) (err error) {
	o.gateway, err = o.api.CreateGateway(ctx, &control.CreateGatewayInput{
		Name: aws.String(fmt.Sprintf("suite-%d", os.Getpid())), RoleArn: &o.Role, ProtocolType: types.GatewayProtocolTypeMcp, ExceptionLevel: types.ExceptionLevelDebug,
		AuthorizerType: types.AuthorizerTypeCustomJwt, AuthorizerConfiguration: &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{
			Value: types.CustomJWTAuthorizerConfiguration{DiscoveryUrl: &o.Discovery, AllowedClients: []string{o.Client}},
		},
	})
	if err != nil {
		return err
	}
	_, err = o.api.UpdateWorkloadIdentity(ctx, &control.UpdateWorkloadIdentityInput{Name: o.gateway.GatewayId, AllowedResourceOauth2ReturnUrls: []string{returnURL}})
	return errors.Join(err, until(ctx, func() (bool, error) {
		got, err := o.api.GetGateway(ctx, &control.GetGatewayInput{GatewayIdentifier: o.gateway.GatewayId})
		return err == nil && got.Status == types.GatewayStatusReady, err
	}))
}

// target puts the suite's server behind the gateway, with tokens that are for it
// (RFC 8707), and agrees to what the gateway asks of it for its catalogue.
func (o *operator) target(ctx context.Context, as authorizationServer, provider *string) error {
	how := types.OAuthCredentialProvider{
		ProviderArn: provider, Scopes: []string{}, GrantType: types.OAuthGrantTypeAuthorizationCode, DefaultReturnUrl: aws.String(returnURL),
		CustomParameters: map[string]string{"resource": o.server},
	}
	if len(as.Grants) > 0 && !slices.Contains(as.Grants, "authorization_code") {
		how.GrantType, how.DefaultReturnUrl = types.OAuthGrantTypeClientCredentials, nil
	}
	made, err := o.api.CreateGatewayTarget(ctx, &control.CreateGatewayTargetInput{
		GatewayIdentifier: o.gateway.GatewayId, Name: aws.String("suite"),
		TargetConfiguration: &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberMcpServer{
			Value: types.McpServerTargetConfiguration{Endpoint: &o.server},
		}},
		CredentialProviderConfigurations: []types.CredentialProviderConfiguration{{
			CredentialProviderType: types.CredentialProviderTypeOauth, CredentialProvider: &types.CredentialProviderMemberOauthCredentialProvider{Value: how},
		}},
	})
	if err != nil {
		return err
	}
	agreed := false
	return until(ctx, func() (bool, error) {
		got, err := o.api.GetGatewayTarget(ctx, &control.GetGatewayTargetInput{GatewayIdentifier: o.gateway.GatewayId, TargetId: made.TargetId})
		switch {
		case err != nil:
			return false, err
		case got.Status == types.TargetStatusFailed:
			return false, fmt.Errorf("the target failed: %v", got.StatusReasons)
		case got.Status == types.TargetStatusCreatePendingAuth && !agreed:
			agreed = true
			asked, ok := got.AuthorizationData.(*types.AuthorizationDataMemberOauth2)
			if !ok {
				return false, errors.New("the target does not say where to agree")
			}
			return false, o.agree(ctx, *asked.Value.AuthorizationUrl, &datatypes.UserIdentifierMemberUserId{Value: aws.ToString(asked.Value.UserId)})
		}
		return got.Status == types.TargetStatusReady, nil
	})
}

// agree goes with a browser where users are sent to, and says who it was that came back.
func (o *operator) agree(ctx context.Context, at string, who datatypes.UserIdentifier) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), returnURL) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	answer, err := browser.Do(r)
	if err != nil {
		return err
	}
	if err := answer.Body.Close(); err != nil {
		return err
	}
	back, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || back.Query().Get("session_id") == "" {
		return fmt.Errorf("the browser ends at %s with %s", answer.Request.URL.Path, answer.Status)
	}
	_, err = o.data.CompleteResourceTokenAuth(ctx, &data.CompleteResourceTokenAuthInput{SessionUri: aws.String(back.Query().Get("session_id")), UserIdentifier: who})
	return err
}

// call calls the server's tool as the user, who is sent to agree first where that is
// needed.
func (o *operator) call(ctx context.Context) error {
	params, header := map[string]any{"name": "suite___test-tool", "arguments": map[string]any{}}, http.Header{
		"Authorization": {"Bearer " + o.Token}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {o.revision},
	}
	if o.revision >= "2026-07-28" {
		header.Set("Mcp-Method", "tools/call")
		header.Set("Mcp-Name", "suite___test-tool")
		params["_meta"] = map[string]any{
			"io.modelcontextprotocol/protocolVersion": o.revision, "io.modelcontextprotocol/clientInfo": map[string]any{"name": "operator", "version": "1"},
			"io.modelcontextprotocol/clientCapabilities": map[string]any{"elicitation": map[string]any{"url": map[string]any{}}},
		}
	}
	for {
		var answer struct {
			Result struct {
				Content  []struct{ Text string }
				IsError  bool
				Requests map[string]struct{ Params struct{ URL string } } `json:"inputRequests"`
			}
			Error *struct {
				Message string
				Data    struct{ Elicitations []struct{ URL string } }
			}
		}
		_, err := send(ctx, http.MethodPost, *o.gateway.GatewayUrl, header, map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, &answer)
		login := answer.Result.Requests["login"].Params.URL
		switch {
		case err != nil:
			return err
		case login == "" && answer.Error != nil && len(answer.Error.Data.Elicitations) == 1:
			login = answer.Error.Data.Elicitations[0].URL
		case login == "" && answer.Error != nil:
			return errors.New(answer.Error.Message)
		case login == "" && (answer.Result.IsError || len(answer.Result.Content) != 1 || answer.Result.Content[0].Text != "test"):
			return fmt.Errorf("the tool says %+v", answer.Result)
		case login == "":
			return nil
		}
		if err := o.agree(ctx, login, &datatypes.UserIdentifierMemberUserToken{Value: o.Token}); err != nil {
			return err
		}
	}
}

// send sends JSON, and reads what comes into out unless that is nil; then any status
// will do.
func send(ctx context.Context, method, at string, header http.Header, in, out any) (http.Header, error) {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, at, &body)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if out == nil {
		return answer.Header, nil
	}
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		return nil, fmt.Errorf("%s %s answers %s: %w", method, at, answer.Status, err)
	}
	return answer.Header, nil
}

// until asks ten times a second.
func until(ctx context.Context, is func() (bool, error)) error {
	for {
		if ok, err := is(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
