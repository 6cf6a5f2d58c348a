package identity

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

const callback = "http://localhost:3999/callback"

// setup is what testdata/app.py makes.
type setup struct {
	Pool, Public, Private, Machine, Domain      string
	PrivateSecret, MachineSecret, Region, Scope string
}

func newSetup(t *testing.T, s *server.Server) setup {
	t.Helper()
	return newSetupFor(t, s, callback)
}

// newSetupFor has applications that users come back to at an address.
func newSetupFor(t *testing.T, s *server.Server, callback string) setup {
	t.Helper()
	var out setup
	text := s.Run(t, []string{"CALLBACK=" + callback}, pinned.Program(t, "python"), "testdata/app.py")
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

// TestOpenIDConnect signs a user in with another project's client: discovery, code
// with PKCE by the page's own form, the id token's signature, user info, refresh, a
// restart, revocation.
func TestOpenIDConnect(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	made := newSetup(t, s)
	ctx := t.Context()
	provider, err := oidc.NewProvider(ctx, s.URL+"/"+made.Pool)
	if err != nil {
		t.Fatal(err)
	}
	config := oauth2.Config{ClientID: made.Public, Endpoint: provider.Endpoint(), RedirectURL: callback, Scopes: []string{"openid", "email"}}
	verifier := oauth2.GenerateVerifier()
	b := newBrowser(t, callback)
	start := config.AuthCodeURL("a state", oauth2.S256ChallengeOption(verifier), oidc.Nonce("a nonce"))
	page := b.get(start)
	if page.status != http.StatusOK || !strings.Contains(page.text, "Sign in to people") {
		t.Fatalf("%d %s", page.status, page.text)
	}
	if wrong := b.send(page, "login", map[string]string{"username": "ada", "password": "guess"}); wrong.status != http.StatusUnauthorized || !strings.Contains(wrong.text, "Incorrect username or password.") {
		t.Errorf("a wrong password: %d %s", wrong.status, wrong.text)
	}
	page = b.send(page, "login", map[string]string{"username": "ada", "password": "Temp-0rary"})
	if !strings.Contains(page.text, "Choose a password") {
		t.Fatalf("a temporary password: %d %s", page.status, page.text)
	}
	done := b.send(page, "password", map[string]string{"password": "Analytical-1", "again": "Analytical-1"})
	if done.left == nil {
		t.Fatalf("%d %s", done.status, done.text)
	}
	q := done.left.Query()
	if q.Get("state") != "a state" || q.Get("iss") != s.URL+"/"+made.Pool {
		t.Errorf("the client gets %s", done.left)
	}
	token, err := config.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: made.Public}).Verify(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if id.Nonce != "a nonce" || claims["cognito:username"] != "ada" || claims["email"] != "ada@example.com" || claims["token_use"] != "id" {
		t.Errorf("claims %v", claims)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		t.Error(err)
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil || info.Subject != id.Subject || info.Email != "ada@example.com" {
		t.Errorf("user info %+v, %v", info, err)
	}
	s.Kill()
	s.Restart()
	again, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil || again.AccessToken == token.AccessToken {
		t.Fatalf("refresh: %v", err)
	}
	// The browser is still signed in: no page stands before the next code.
	if straight := b.get(config.AuthCodeURL("x", oauth2.S256ChallengeOption(verifier))); straight.left == nil || straight.left.Query().Get("code") == "" {
		t.Errorf("a browser that is signed in: %d %s", straight.status, straight.text)
	}
	revoke(t, s, made, token.RefreshToken)
	if _, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token(); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("a revoked token: %v", err)
	}
	if _, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(again)); err == nil {
		t.Error("user info of a revoked sign-in")
	}
}

func revoke(t *testing.T, s *server.Server, made setup, token string) {
	t.Helper()
	resp, err := http.PostForm(s.URL+"/"+made.Pool+"/oauth2/revoke", url.Values{"token": {token}, "client_id": {made.Public}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("revoke: %s", resp.Status)
	}
}

// TestMachine signs a client in by itself, at the pool's own path and at its name
// below amazoncognito.com.
func TestMachine(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	made := newSetup(t, s)
	for name, style := range map[string]oauth2.AuthStyle{"header": oauth2.AuthStyleInHeader, "body": oauth2.AuthStyleInParams} {
		config := clientcredentials.Config{
			ClientID: made.Machine, ClientSecret: made.MachineSecret, TokenURL: s.URL + "/" + made.Pool + "/oauth2/token", Scopes: []string{made.Scope},
			AuthStyle: style, EndpointParams: url.Values{"resource": {"https://api.example/jobs"}},
		}
		token, err := config.Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		claims := payload(t, token.AccessToken)
		if claims["sub"] != made.Machine || claims["scope"] != made.Scope || claims["aud"] != "https://api.example/jobs" || claims["iss"] != s.URL+"/"+made.Pool {
			t.Errorf("%s: claims %v", name, claims)
		}
		config.ClientSecret = "another"
		if _, err := config.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "invalid_client") {
			t.Errorf("%s: another secret: %v", name, err)
		}
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {made.Machine}, "client_secret": {made.MachineSecret}, "scope": {made.Scope}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = made.Domain + ".auth." + made.Region + ".amazoncognito.com"
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var token struct {
		Access string `json:"access_token"`
		Type   string `json:"token_type"`
		Life   int    `json:"expires_in"`
	}
	do(t, req, http.StatusOK, &token)
	if want := "https://cognito-idp." + made.Region + ".amazonaws.com/" + made.Pool; payload(t, token.Access)["iss"] != want || token.Type != "Bearer" || token.Life != 3600 {
		t.Errorf("%+v", token)
	}
	doc, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/"+made.Pool+"/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	doc.Host = "cognito-idp." + made.Region + ".amazonaws.com"
	var found map[string]any
	do(t, doc, http.StatusOK, &found)
	if found["token_endpoint"] != "https://"+req.Host+"/oauth2/token" || found["issuer"] != "https://"+doc.Host+"/"+made.Pool {
		t.Errorf("the document %v", found)
	}
}

// TestAWSHosts gets a token at the name below amazoncognito.com that clients have
// written into them, over TLS.
func TestAWSHosts(t *testing.T) {
	s := server.Start(t, server.Options{Args: []string{"--aws-hosts", "--proxy-listen", "127.0.0.1:0"}})
	made := newSetup(t, s)
	script := `import sys, urllib.parse, urllib.request
form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": sys.argv[2], "client_secret": sys.argv[3]}).encode()
print(urllib.request.urlopen(sys.argv[1], form).read().decode())`
	at := "https://" + made.Domain + ".auth." + made.Region + ".amazoncognito.com/oauth2/token"
	cmd := exec.CommandContext(t.Context(), pinned.Program(t, "python"), "-c", script, at, made.Machine, made.MachineSecret)
	cmd.Env = s.Env("--aws-hosts")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var token struct {
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal(out, &token); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := "https://cognito-idp." + made.Region + ".amazonaws.com/" + made.Pool; payload(t, token.Access)["iss"] != want {
		t.Errorf("the token is of %v", payload(t, token.Access)["iss"])
	}
}

// TestDynamicClient signs in as MCP clients do, who know the URL of an agent alone: its
// refusal names the metadata of the resource (RFC 9728), that the authorization server,
// whose own metadata (RFC 8414) says where a client registers itself (RFC 7591); the user
// agrees to it, and the token is for that agent, which takes it.
func TestDynamicClient(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	made := newSetup(t, s)
	called := scopedAgent(t, s, made)
	signIn := refusedSignIn(t, called)
	if signIn.Resource != called || len(signIn.Servers) != 1 || signIn.Servers[0] != s.URL+"/"+made.Pool {
		t.Fatalf("%+v", signIn)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(signIn.Servers[0], s.URL, s.URL+"/.well-known/oauth-authorization-server", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "http://localhost:6274")
	var meta struct {
		Issuer    string `json:"issuer"`
		Authorize string `json:"authorization_endpoint"`
		Token     string `json:"token_endpoint"`
		Register  string `json:"registration_endpoint"`
	}
	do(t, req, http.StatusOK, &meta)
	if meta.Issuer != s.URL+"/"+made.Pool || meta.Register == "" {
		t.Fatalf("%+v", meta)
	}
	body, err := json.Marshal(map[string]any{
		"client_name": "Inspector", "redirect_uris": []string{callback}, "token_endpoint_auth_method": "none",
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
	})
	if err != nil {
		t.Fatal(err)
	}
	post, err := http.NewRequestWithContext(t.Context(), http.MethodPost, meta.Register, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var client struct {
		ID string `json:"client_id"`
	}
	do(t, post, http.StatusCreated, &client)
	config := oauth2.Config{ClientID: client.ID, Endpoint: oauth2.Endpoint{AuthURL: meta.Authorize, TokenURL: meta.Token, AuthStyle: oauth2.AuthStyleInParams}, RedirectURL: callback}
	verifier, resource := oauth2.GenerateVerifier(), oauth2.SetAuthURLParam("resource", signIn.Resource)
	b := newBrowser(t, callback)
	if other := b.get(config.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("resource", "https://gateway.example/mcp"))); other.left == nil || other.left.Query().Get("error") != "invalid_target" {
		t.Errorf("another's resource: %+v", other)
	}
	page := b.get(config.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier), resource))
	page = b.send(page, "login", map[string]string{"username": "bob", "password": "Bob-12345"})
	if !strings.Contains(page.text, "Allow Inspector") || !strings.Contains(page.text, signIn.Resource) {
		t.Fatalf("the user is asked %d %s", page.status, page.text)
	}
	if no := b.send(page, "cancel", nil); no.left == nil || no.left.Query().Get("error") != "access_denied" {
		t.Errorf("not agreed to: %+v", no)
	}
	yes := b.send(page, "allow", nil)
	if yes.left == nil {
		t.Fatalf("agreed to: %d %s", yes.status, yes.text)
	}
	token, err := config.Exchange(t.Context(), yes.left.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if aud := payload(t, token.AccessToken)["aud"]; aud != signIn.Resource {
		t.Errorf("audience %v", aud)
	}
	call, err := http.NewRequestWithContext(t.Context(), http.MethodPost, called, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	token.SetAuthHeader(call)
	var said map[string]string
	if do(t, call, http.StatusOK, &said); said["hello"] != "you" {
		t.Errorf("the agent says %v", said)
	}
	// Its refresh tokens are good once, and one that comes again ends all.
	first := token.RefreshToken
	second, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: first}).Token()
	if err != nil || second.RefreshToken == first {
		t.Fatalf("refresh: %v", err)
	}
	for _, used := range []string{first, second.RefreshToken} {
		if _, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: used}).Token(); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("a token that came again: %v", err)
		}
	}
}

// scopedAgent deploys an agent that takes tokens of a pool's users, and returns its URL.
func scopedAgent(t *testing.T, s *server.Server, made setup) string {
	t.Helper()
	python, to := s.Python(), s.Agents()
	code, err := agent.Pack(map[string][]byte{"main.py": []byte(echo)})
	if err == nil {
		err = to.Store(t.Context(), "agents", agent.Key, code)
	}
	if err != nil {
		t.Fatal(err)
	}
	in, discovery := to.Input("agents", "scoped", python), s.URL+"/"+made.Pool+"/.well-known/openid-configuration"
	in.AuthorizerConfiguration = &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
		DiscoveryUrl: &discovery, AllowedScopes: []string{"openid"},
	}}
	found, err := to.Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return s.URL + "/runtimes/" + url.PathEscape(*found.AgentRuntimeArn) + "/invocations?qualifier=DEFAULT"
}

// protected is the metadata of a resource (RFC 9728).
type protected struct {
	Resource string   `json:"resource"`
	Servers  []string `json:"authorization_servers"`
}

// refusedSignIn reads the metadata that a caller without a token is told of.
func refusedSignIn(t *testing.T, called string) (out protected) {
	t.Helper()
	resp, err := http.Post(called, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	_, at, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), `resource_metadata="`)
	at, _, ok := strings.Cut(at, `"`)
	if resp.StatusCode != http.StatusUnauthorized || !ok {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	do(t, req, http.StatusOK, &out)
	return out
}

func do(t *testing.T, req *http.Request, want int, into any) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != want {
		t.Fatalf("%s %s: %s %s", req.Method, req.URL, resp.Status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
}

func payload(t *testing.T, token string) map[string]any {
	t.Helper()
	claims := map[string]any{}
	part := strings.Split(token, ".")
	if len(part) != 3 {
		t.Fatalf("%q is no token", token)
	}
	if err := json.Unmarshal(decode(t, part[1]), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
