package identity

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	dt "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/chromium"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// appBack is where an application would be that users call the agent from; their browser
// stops before it.
const appBack = "http://127.0.0.1:1/app/back"

// issue runs another project's issuer in a process of its own, and returns its URL.
func issue(t *testing.T) string {
	t.Helper()
	node, dir := pinned.Node(t, "testdata/oauth", "testdata/oauth/issuer.mjs")
	cmd := exec.CommandContext(t.Context(), node, "issuer.mjs")
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it says nothing of interest at its end
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "http://127.0.0.1:") {
			return lines.Text()
		}
	}
	t.Fatal("the issuer did not start")
	return ""
}

// reach is a server with an agent that reaches services, and their issuer.
type reach struct {
	*testing.T
	s       *server.Server
	issuer  string
	app     *application      // where the agent's users come back to
	chrome  *chromium.Browser // theirs
	control *control.Client
	data    *data.Client
	// client is the provider's at the issuer.
	client, password string
	runtime          *control.GetAgentRuntimeOutput
}

func newReach(t *testing.T) *reach {
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})
	s.Python() // or skip
	r := &reach{T: t, s: s, issuer: issue(t), app: newApplication(t), chrome: chromium.Start(t), control: control.NewFromConfig(s.AWS()), data: data.NewFromConfig(s.AWS())}
	r.providers()
	if _, stderr, err := s.CLI(t.Context(), "deploy", "testdata/oauth/agent", "--entry", "main.py", "--name", "reach", "--role", r.role()); err != nil {
		t.Fatalf("%v %s\n%s", err, stderr, s.Log())
	}
	list, err := r.control.ListAgentRuntimes(t.Context(), &control.ListAgentRuntimesInput{})
	if err != nil || len(list.AgentRuntimes) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if r.runtime, err = r.control.GetAgentRuntime(t.Context(), &control.GetAgentRuntimeInput{AgentRuntimeId: list.AgentRuntimes[0].AgentRuntimeId}); err != nil {
		t.Fatal(err)
	}
	r.allowReturn(*r.runtime.AgentRuntimeId)
	return r
}

func (r *reach) allowReturn(id string) {
	r.Helper()
	if _, err := r.control.UpdateWorkloadIdentity(r.Context(), &control.UpdateWorkloadIdentityInput{Name: &id, AllowedResourceOauth2ReturnUrls: []string{r.app.URL}}); err != nil {
		r.Fatal(err)
	}
}

// providers makes those that the agent names. The issuer is told the callback URL by
// registration, so that the provider is updated with what came of that.
func (r *reach) providers() {
	r.Helper()
	ctx := r.Context()
	if _, err := r.control.CreateApiKeyCredentialProvider(ctx, &control.CreateApiKeyCredentialProviderInput{Name: aws.String("maps"), ApiKey: aws.String("the-key-of-maps")}); err != nil {
		r.Fatal(err)
	}
	config := func(id, password string) types.Oauth2ProviderConfigInput {
		return &types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: types.CustomOauth2ProviderConfigInput{
			OauthDiscovery: &types.Oauth2DiscoveryMemberDiscoveryUrl{Value: r.issuer + "/.well-known/openid-configuration"}, ClientId: &id, ClientSecret: &password,
			OnBehalfOfTokenExchangeConfig: &types.OnBehalfOfTokenExchangeConfigType{
				GrantType: types.OnBehalfOfTokenExchangeGrantTypeTypeTokenExchange, TokenExchangeGrantTypeConfig: &types.TokenExchangeGrantTypeConfigType{ActorTokenContent: types.ActorTokenContentTypeNone},
			},
		}}
	}
	made, err := r.control.CreateOauth2CredentialProvider(ctx, &control.CreateOauth2CredentialProviderInput{
		Name: aws.String("svc"), CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2, Oauth2ProviderConfigInput: config("unknown", "unknown"),
	})
	if err != nil {
		r.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{
		"redirect_uris": []string{*made.CallbackUrl}, "scope": "openid api offline_access",
		"grant_types": []string{"authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"},
	})
	if err != nil {
		r.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.issuer+"/reg", strings.NewReader(string(body)))
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	var client struct {
		ID       string `json:"client_id"`
		Password string `json:"client_secret"`
	}
	do(r.T, req, http.StatusCreated, &client)
	r.client, r.password = client.ID, client.Password
	up, err := r.control.UpdateOauth2CredentialProvider(ctx, &control.UpdateOauth2CredentialProviderInput{
		Name: aws.String("svc"), CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2, Oauth2ProviderConfigInput: config(client.ID, client.Password),
	})
	if err != nil || *up.CallbackUrl != *made.CallbackUrl {
		r.Fatalf("%+v, %v", up, err)
	}
}

// role makes the agent's, with what the starter toolkit writes for this part.
func (r *reach) role() string {
	r.Helper()
	base := "arn:aws:bedrock-agentcore:" + r.s.Region + ":" + r.s.Account + ":"
	aws := pinned.Program(r.T, "aws")
	arn := r.s.Run(r.T, nil, aws, "iam", "create-role", "--role-name", "reach", "--query", "Role.Arn", "--output", "text", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
	r.s.Run(r.T, nil, aws, "iam", "put-role-policy", "--role-name", "reach", "--policy-name", "identity", "--policy-document", fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["bedrock-agentcore:GetResourceApiKey"],"Resource":["%[1]stoken-vault/default","%[1]stoken-vault/default/apikeycredentialprovider/*",
			"%[1]sworkload-identity-directory/default","%[1]sworkload-identity-directory/default/workload-identity/reach-*"]},
		{"Effect":"Allow","Action":["bedrock-agentcore:GetResourceOauth2Token"],"Resource":["%[1]stoken-vault/default","%[1]stoken-vault/default/oauth2credentialprovider/*",
			"%[1]sworkload-identity-directory/default","%[1]sworkload-identity-directory/default/workload-identity/reach-*","%[1]sworkload-identity-directory/default/workload-identity/behalf-*"]}]}`, base))
	return strings.TrimSpace(arn)
}

// event is what the agent says.
type event struct{ Link, Token, Error string }

// events reads them from a stream, one at a time.
type events struct {
	t    *testing.T
	body io.ReadCloser
	scan *bufio.Scanner
}

func newEvents(t *testing.T, body io.ReadCloser) *events {
	t.Cleanup(func() { _ = body.Close() }) // it was read
	return &events{t, body, bufio.NewScanner(body)}
}

// next is what the agent says that has come to what it was asked.
func (e *events) next() event {
	e.t.Helper()
	out := e.said()
	if out.Error != "" {
		e.t.Fatalf("the agent says %s", out.Error)
	}
	return out
}

func (e *events) said() (out event) {
	e.t.Helper()
	for e.scan.Scan() {
		if text, ok := strings.CutPrefix(e.scan.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(text), &out); err != nil {
				e.t.Fatalf("the agent says %s: %v", text, err)
			}
			return out
		}
	}
	e.t.Fatalf("the agent said nothing: %v", e.scan.Err())
	return out
}

// as calls the agent for a user whom the caller vouches for.
func (r *reach) as(user, payload string) *events {
	r.Helper()
	out, err := r.data.InvokeAgentRuntime(r.Context(), &data.InvokeAgentRuntimeInput{
		AgentRuntimeArn: r.runtime.AgentRuntimeArn, Payload: []byte(payload), RuntimeUserId: &user, ContentType: aws.String("application/json"),
	})
	if err != nil {
		r.Fatalf("%v\n%s", err, r.s.Log())
	}
	return newEvents(r.T, out.Response)
}

// whose asks the issuer about a token.
func (r *reach) whose(token string) (sub, client string) {
	r.Helper()
	form := url.Values{"token": {token}}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.issuer+"/token/introspection", strings.NewReader(form.Encode()))
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(r.client), url.QueryEscape(r.password))
	var out struct {
		Active bool
		Sub    string
		Client string `json:"client_id"`
	}
	do(r.T, req, http.StatusOK, &out)
	if !out.Active {
		r.Errorf("the issuer does not know the token")
	}
	return out.Sub, out.Client
}

// signIn has a person in Chromium sign in at the issuer's pages and agree, from a link to
// the application.
func (r *reach) signIn(link, name string) *url.URL {
	r.Helper()
	pages := r.chrome.Walk(chromium.Visit{Link: link, Steps: []chromium.Step{
		{Fill: map[string]string{"[name=login]": name, "[name=password]": "any"}, Click: "[type=submit]"}, {Click: "[type=submit]"},
	}})
	if last := pages[len(pages)-1]; last.Title != "Back, with scripts" {
		r.Fatalf("the way ends at %+v", last)
	}
	return (<-r.app.back).URL
}

// complete is what the application says of who came back to it.
func (r *reach) complete(session string, who dt.UserIdentifier) error {
	_, err := r.data.CompleteResourceTokenAuth(r.Context(), &data.CompleteResourceTokenAuthInput{SessionUri: &session, UserIdentifier: who})
	return err
}

// stranger completes for somebody who must not.
func (r *reach) stranger(session string, who dt.UserIdentifier) {
	r.Helper()
	if err := r.complete(session, who); err == nil || !strings.Contains(err.Error(), "AccessDeniedException: Invalid or expired session") {
		r.Errorf("%v ends a session: %v", who, err)
	}
}

// TestAgentReachesServices: an agent is handed an API key and tokens by the decorators
// of the SDK, in its sandbox and with its role.
func TestAgentReachesServices(t *testing.T) {
	r := newReach(t)
	if got := r.as("ann", `{"do":"key"}`).next(); got.Token != "the-key-of-maps" {
		t.Errorf("the key is %q", got.Token)
	}
	machine := r.as("ann", `{"do":"machine"}`).next().Token
	if _, client := r.whose(machine); client != r.client {
		t.Errorf("the token is of %s, want %s", client, r.client)
	}
	if again := r.as("bob", `{"do":"machine"}`).next().Token; again != machine {
		t.Error("the agent's own token was not kept")
	}

	payload := `{"do":"user","back":"` + r.app.URL + `"}`
	consent := func() (*events, string) {
		ann := r.as("ann", payload)
		back := r.signIn(ann.next().Link, "ann-at-svc")
		session := back.Query().Get("session_id")
		if session == "" || back.Query().Get("state") != "my:state" || back.Query().Has("code") {
			t.Fatalf("the browser came to %s", back)
		}
		return ann, session
	}
	_, session := consent()
	for _, who := range []string{"bob", "ann"} { // whom bob's coming has ended it for
		r.stranger(session, &dt.UserIdentifierMemberUserId{Value: who})
	}
	ann, session := consent()
	if err := r.complete(session, &dt.UserIdentifierMemberUserId{Value: "ann"}); err != nil {
		t.Fatal(err)
	}
	token := ann.next().Token
	if sub, client := r.whose(token); sub != "ann-at-svc" || client != r.client {
		t.Errorf("the token is of %s by %s", sub, client)
	}
	if got := r.as("bob", payload).next(); got.Token != "" || got.Link == "" {
		t.Errorf("bob got %+v", got)
	}

	r.s.Kill()
	r.s.Restart()
	if got := r.as("ann", payload).next(); got.Token != token {
		t.Errorf("after a restart the agent got %+v", got)
	}
	if got := r.as("ann", `{"do":"machine"}`).next(); got.Token != machine {
		t.Error("after a restart the agent got another token of its own")
	}

	// It is its role that lets it.
	r.s.Run(t, nil, pinned.Program(t, "aws"), "iam", "delete-role-policy", "--role-name", "reach", "--policy-name", "identity")
	if got := r.as("ann", `{"do":"key"}`).said(); !strings.Contains(got.Error, "is not authorized to perform: bedrock-agentcore:GetResourceApiKey on resource: arn:aws:bedrock-agentcore:") {
		t.Errorf("without its policy the agent got %+v", got)
	}
	for _, secret := range []string{token, machine, "the-key-of-maps", r.password} {
		if strings.Contains(r.s.Log(), secret) {
			t.Errorf("the server's log has %s", secret)
		}
	}
}

// TestOnBehalfOfUser: an agent that was called with a user's token gets another for it,
// and the user's consent is ended by that token too.
func TestOnBehalfOfUser(t *testing.T) {
	r := newReach(t)
	b := newBrowser(t, appBack)
	app := url.Values{
		"client_id": {"app"}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {appBack}, "state": {"s"}, "code_challenge_method": {"S256"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, // of RFC 7636, Appendix B
	}
	v := b.send(b.get(r.issuer+"/auth?"+app.Encode()), "", map[string]string{"login": "ann", "password": "any"})
	v = b.send(v, "", nil)
	if v.left == nil {
		t.Fatalf("the way ends at %s: %s", v.at, v.text)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {v.left.Query().Get("code")}, "redirect_uri": {appBack}, "code_verifier": {"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("app", "app-secret")
	var signed struct {
		ID string `json:"id_token"`
	}
	do(t, req, http.StatusOK, &signed)

	discovery := r.issuer + "/.well-known/openid-configuration"
	made, err := r.s.Agents().Create(t.Context(), &control.CreateAgentRuntimeInput{
		AgentRuntimeName: aws.String("behalf"), RoleArn: r.runtime.RoleArn, NetworkConfiguration: r.runtime.NetworkConfiguration, AgentRuntimeArtifact: r.runtime.AgentRuntimeArtifact,
		EnvironmentVariables: r.runtime.EnvironmentVariables,
		AuthorizerConfiguration: &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
			DiscoveryUrl: &discovery, AllowedAudience: []string{"app"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.allowReturn(*made.AgentRuntimeId)
	call := func(payload string) *events {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.s.URL+"/runtimes/"+url.QueryEscape(*made.AgentRuntimeArn)+"/invocations", strings.NewReader(payload))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+signed.ID)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(resp.Body)
			t.Fatalf("%d %s\n%s", resp.StatusCode, body, r.s.Log())
		}
		return newEvents(t, resp.Body)
	}
	if sub, client := r.whose(call(`{"do":"behalf"}`).next().Token); sub != "ann" || client != r.client {
		t.Errorf("the token is of %s by %s", sub, client)
	}

	consent := func() (*events, string) {
		said := call(`{"do":"user","back":"` + r.app.URL + `"}`)
		return said, r.signIn(said.next().Link, "ann-at-svc").Query().Get("session_id")
	}
	_, session := consent()
	r.stranger(session, &dt.UserIdentifierMemberUserId{Value: "ann"}) // of the same name, by id
	said, session := consent()
	if err := r.complete(session, &dt.UserIdentifierMemberUserToken{Value: signed.ID}); err != nil {
		t.Fatal(err)
	}
	if sub, _ := r.whose(said.next().Token); sub != "ann-at-svc" {
		t.Errorf("the token is of %s", sub)
	}
}
