package identity

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// echo is an agent without dependencies.
const echo = `
import http.server, json

class Agent(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"status": "Healthy"})
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer({"hello": "you"})
    def answer(self, body):
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Agent).serve_forever()
`

// TestRuntimeTakesPoolTokens lets users of a pool call an agent, whichever of the
// pool's addresses the agent's authorizer names and whichever they signed in at; and
// nobody else.
func TestRuntimeTakesPoolTokens(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	made := newSetup(t, s)
	python := s.Python()
	code, err := agent.Pack(map[string][]byte{"main.py": []byte(echo)})
	if err != nil {
		t.Fatal(err)
	}
	to := s.Agents()
	if err := to.Store(t.Context(), "agents", agent.Key, code); err != nil {
		t.Fatal(err)
	}
	ours, theirs := s.URL+"/"+made.Pool, "https://cognito-idp."+made.Region+".amazonaws.com/"+made.Pool
	atOurs := machineToken(t, s.URL+"/"+made.Pool+"/oauth2/token", "", made)
	atTheirs := machineToken(t, s.URL+"/oauth2/token", made.Domain+".auth."+made.Region+".amazoncognito.com", made)
	for name, issuer := range map[string]string{"ours": ours, "theirs": theirs} {
		in := to.Input("agents", name, python)
		discovery := issuer + "/.well-known/openid-configuration"
		in.AuthorizerConfiguration = &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
			DiscoveryUrl: &discovery, AllowedClients: []string{made.Machine},
		}}
		found, err := to.Create(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		at := s.URL + "/runtimes/" + url.PathEscape(*found.AgentRuntimeArn) + "/invocations?qualifier=DEFAULT"
		if told := refusedSignIn(t, at); told.Resource != at || len(told.Servers) != 1 || told.Servers[0] != ours {
			t.Errorf("who calls an agent of %s is told of %+v", name, told)
		}
		for from, c := range map[string]struct {
			token string
			want  int
		}{
			"ours": {atOurs, http.StatusOK}, "theirs": {atTheirs, http.StatusOK},
			"forged":  {atOurs[:strings.LastIndexByte(atOurs, '.')] + ".AAAA", http.StatusUnauthorized},
			"another": {machineToken(t, s.URL+"/"+made.Pool+"/oauth2/token", "", withClient(t, s, made)), http.StatusForbidden},
		} {
			if status, body := invoke(t, s, *found.AgentRuntimeArn, c.token); status != c.want {
				t.Errorf("an agent of %s, a token of %s: %d %s", name, from, status, body)
			}
		}
	}
}

// withClient makes another application that signs in by itself.
func withClient(t *testing.T, s *server.Server, made setup) setup {
	t.Helper()
	out, _, err := s.CLI(t.Context(), "pool", "add-client", made.Pool, "other", "--machine", "--scope", made.Scope, "--json", "--region", made.Region)
	if err != nil {
		t.Fatal(err)
	}
	var client struct{ ClientID, ClientSecret string }
	if err := json.Unmarshal([]byte(out), &client); err != nil {
		t.Fatal(err)
	}
	made.Machine, made.MachineSecret = client.ClientID, client.ClientSecret
	return made
}

func machineToken(t *testing.T, at, host string, made setup) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {made.Machine}, "client_secret": {made.MachineSecret}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Host = host
	var token struct {
		Access string `json:"access_token"`
	}
	do(t, req, http.StatusOK, &token)
	return token.Access
}

func invoke(t *testing.T, s *server.Server, arn, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/runtimes/"+url.QueryEscape(arn)+"/invocations", strings.NewReader(`{"prompt":"hi"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestRuntimeAsksForGroups: an authorizer that asks for one of some groups
// (customClaims, CONTAINS_ANY) lets in who is in one of them, and nobody else.
func TestRuntimeAsksForGroups(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("Analytical-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cli := func(args ...string) string {
		t.Helper()
		out, errs, err := s.CLI(t.Context(), append([]string{"pool"}, args...)...)
		if err != nil {
			t.Fatal(err, errs)
		}
		return out
	}
	cli("create", "people")
	for user, group := range map[string]string{"ada": "operators", "bob": "guests", "eve": ""} {
		cli("add-user", "people", user, "--password-file", file)
		if group != "" {
			cli("add-group", "people", group, user)
		}
	}
	var app struct{ ClientID, DiscoveryURL string }
	if err := json.Unmarshal([]byte(cli("add-client", "people", "app", "--json")), &app); err != nil {
		t.Fatal(err)
	}
	python := s.Python()
	code, err := agent.Pack(map[string][]byte{"main.py": []byte(echo)})
	if err != nil {
		t.Fatal(err)
	}
	to := s.Agents()
	if err := to.Store(t.Context(), "agents", agent.Key, code); err != nil {
		t.Fatal(err)
	}
	in := to.Input("agents", "grouped", python)
	in.AuthorizerConfiguration = &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
		DiscoveryUrl: &app.DiscoveryURL, AllowedClients: []string{app.ClientID},
		CustomClaims: []types.CustomClaimValidationType{{
			InboundTokenClaimName: new("cognito:groups"), InboundTokenClaimValueType: types.InboundTokenClaimValueTypeStringArray,
			AuthorizingClaimMatchValue: &types.AuthorizingClaimMatchValueType{
				ClaimMatchOperator: types.ClaimMatchOperatorTypeContainsAny,
				ClaimMatchValue:    &types.ClaimMatchValueTypeMemberMatchValueStringList{Value: []string{"admins", "operators"}},
			},
		}},
	}}
	found, err := to.Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]int{"ada": http.StatusOK, "bob": http.StatusForbidden, "eve": http.StatusForbidden} {
		text := s.Run(t, nil, pinned.Program(t, "aws"), "cognito-idp", "initiate-auth", "--client-id", app.ClientID,
			"--auth-flow", "USER_PASSWORD_AUTH", "--auth-parameters", "USERNAME="+user+",PASSWORD=Analytical-1")
		var in struct {
			AuthenticationResult struct{ AccessToken string }
		}
		if err := json.Unmarshal([]byte(text), &in); err != nil {
			t.Fatal(err)
		}
		if status, body := invoke(t, s, *found.AgentRuntimeArn, in.AuthenticationResult.AccessToken); status != want {
			t.Errorf("%s: %d %s", user, status, body)
		}
	}
}
