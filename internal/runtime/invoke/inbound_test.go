package invoke_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/gorilla/websocket"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
	"github.com/outcrop/outcrop/internal/workload"
)

// guarded has a runtime that wants tokens of an issuer.
func guarded(t *testing.T, i *runtimetest.Issuer, change func(*types.CustomJWTAuthorizerConfiguration), listed ...string) *kit {
	t.Helper()
	return newKitWith(t, func(in *control.CreateAgentRuntimeInput) {
		c := types.CustomJWTAuthorizerConfiguration{DiscoveryUrl: aws.String(i.URL + "/.well-known/openid-configuration"), AllowedClients: []string{"app"}}
		if change != nil {
			change(&c)
		}
		in.AuthorizerConfiguration = &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: c}
		if listed != nil {
			in.RequestHeaderConfiguration = &types.RequestHeaderConfigurationMemberRequestHeaderAllowlist{Value: listed}
		}
	})
}

// bearer invokes with a token, or without one.
func (k *kit) bearer(token string, header http.Header) (*http.Response, string) {
	k.Helper()
	return k.bearerAt(k.URL+"/runtimes/"+url.QueryEscape(k.arn())+"/invocations", token, header)
}

func (k *kit) bearerAt(at, token string, header http.Header) (*http.Response, string) {
	k.Helper()
	r, err := http.NewRequestWithContext(k.Context(), http.MethodPost, at, strings.NewReader(`{"prompt": "hi"}`))
	if err != nil {
		k.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		k.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		k.Fatal(err)
	}
	return resp, string(body)
}

func TestBearer(t *testing.T) {
	i := runtimetest.NewIssuer(t)
	k := guarded(t, i, nil, "Authorization")
	var seen http.Header
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		_, _ = io.Copy(w, r.Body)
	})
	token := i.Token(nil)
	resp, body := k.bearer(token, http.Header{"X-Amzn-Bedrock-Agentcore-Runtime-User-Id": {"mallory"}})
	if resp.StatusCode != http.StatusOK || body != `{"prompt": "hi"}` {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	if seen.Get("Authorization") != "Bearer "+token {
		t.Error("the agent does not get the header that its owner has listed")
	}
	wat := seen.Get("WorkloadAccessToken")
	c, err := k.Tokens.Open(t.Context(), wat)
	if err != nil {
		t.Fatal(err)
	}
	if want := (workload.User{Kind: workload.ByJWT, Issuer: i.URL, Name: "ann"}); c.User != want || c.JWT.Reveal() != token || c.Workload != k.id || c.Host != k.arn() {
		t.Errorf("the agent's token says %+v, want %+v", c, want)
	}
	for _, name := range []string{"X-Amz-Bedrock-AgentCore-Identity-WAT", "X-Amzn-Bedrock-AgentCore-Runtime-Workload-AccessToken"} {
		if seen.Get(name) != wat {
			t.Errorf("%s is another", name)
		}
	}

	// By its bare id, as those call who know no region.
	if resp, body := k.bearerAt(k.URL+"/runtimes/"+k.id+"/invocations?accountId="+runtimetest.Account, token, nil); resp.StatusCode != http.StatusOK {
		t.Errorf("by the bare id: %s %s", resp.Status, body)
	}
}

func TestBearerRefused(t *testing.T) {
	i := runtimetest.NewIssuer(t)
	k := guarded(t, i, func(c *types.CustomJWTAuthorizerConfiguration) {
		c.AllowedAudience, c.AllowedScopes = []string{"agents"}, []string{"call"}
		c.AdvertisedScopeMapping = map[string]string{"call": "agents/call"}
	})
	k.agent(func(http.ResponseWriter, *http.Request) { t.Error("the agent is reached") })
	hour := time.Now().Add(time.Hour).Unix()
	other := runtimetest.NewIssuer(t)
	for _, tt := range []struct {
		name, token, text string
		status            int
	}{
		{"none", "", "Missing Authentication Token", 401},
		{"no token", "garbage", "not a signed JWT", 401},
		{"alg none", unsigned(i.URL, hour), "algorithm", 401},
		{"another's", other.Token(map[string]any{"iss": i.URL}), "signature is not its issuer's", 401},
		{"another issuer", i.Token(map[string]any{"iss": "https://evil.example"}), "issuer is not the configured one", 401},
		{"over", i.Token(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), "has expired", 401},
		{"not yet", i.Token(map[string]any{"nbf": hour}), "not valid yet", 401},
		{"another client", i.Token(map[string]any{"client_id": "x"}), "Claim 'client_id' value mismatch with configuration.", 403},
		{"another audience", i.Token(map[string]any{"aud": "x"}), "Claim 'aud' value mismatch with configuration", 403},
		{"no scope", i.Token(map[string]any{"scope": nil}), "Claim 'scope' value mismatch", 403},
		{"no scope for another audience", i.Token(map[string]any{"scope": nil, "aud": "x"}), "Claim 'scope' value mismatch", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := k.bearer(tt.token, nil)
			if resp.StatusCode != tt.status || !strings.Contains(body, tt.text) {
				t.Errorf("%d %s, want %d with %q", resp.StatusCode, body, tt.status, tt.text)
			}
			challenge := resp.Header.Get("WWW-Authenticate")
			more := tt.name == "no scope" // another token may do
			if got := strings.HasPrefix(challenge, `Bearer resource_metadata="`+k.URL+"/runtimes/"); got != (tt.status == 401 || more) || strings.Contains(challenge, `error="insufficient_scope"`) != more {
				t.Errorf("WWW-Authenticate: %s", challenge)
			}
			if (tt.status == 401 || more) && !strings.Contains(challenge, `scope="agents/call"`) {
				t.Errorf("WWW-Authenticate names no scope: %s", challenge)
			}
			who := ""
			if tt.status == 403 {
				who = i.URL + "#ann" // whose token is valid
			}
			k.onRecord(resp.Header.Get("X-Amzn-Requestid"), who, tt.status)
		})
	}
	t.Run("signature", func(t *testing.T) {
		resp := k.send(call{})
		if body := k.text(resp); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "Authorization method mismatch. The agent is configured") {
			t.Errorf("%s %s", resp.Status, body)
		}
	})
}

// onRecord fails the test unless the account's audit has a refused call as one of who
// about the runtime.
func (k *kit) onRecord(requestID, who string, status int) {
	k.Helper()
	if err := k.Telemetry.Flush(k.Context()); err != nil {
		k.Fatal(err)
	}
	records, _, err := k.Telemetry.Records(k.Context(), telemetry.AuditQuery{Scope: runtimetest.Scope(), RequestID: requestID})
	if err != nil || len(records) != 1 {
		k.Fatalf("%d records, %v", len(records), err)
	}
	if r := records[0]; r.Principal != who || r.Status != status || r.ErrorMessage == "" || !slices.Contains(r.Resources, k.arn()) {
		k.Errorf("on record is %+v", r)
	}
}

func unsigned(iss string, exp int64) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc(fmt.Appendf(nil, `{"iss":%q,"sub":"ann","client_id":"app","exp":%d}`, iss, exp)) + "."
}

// TestSignedByBareID: a bare id is the signer's own, in whatever region and with the
// account beside it or not; a token is wanted there too.
func TestSignedByBareID(t *testing.T) {
	i := runtimetest.NewIssuer(t)
	k := guarded(t, i, nil)
	k.agent(func(http.ResponseWriter, *http.Request) { t.Error("the agent is reached") })
	k.Invoke.SetRegion("eu-west-1") // the server's own is another
	resp := k.send(call{agent: k.id, query: "?accountId=" + runtimetest.Account})
	if body := k.text(resp); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "Authorization method mismatch") {
		t.Errorf("%s %s", resp.Status, body)
	}
	_, err := k.Data.StopRuntimeSession(t.Context(), &data.StopRuntimeSessionInput{AgentRuntimeArn: &k.id, RuntimeSessionId: aws.String(runtimetest.SessionID("one"))})
	if err == nil || !strings.Contains(err.Error(), "Authorization method mismatch") {
		t.Errorf("stopped by its bare id: %v", err)
	}
}

// TestAdmittedToOneEndpoint: a token that one endpoint takes is good at no other, however
// the request names them.
func TestAdmittedToOneEndpoint(t *testing.T) {
	const arn = "arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/agent-AbCdEfGh12"
	p := auth.Principal{Kind: auth.Bearer, Account: runtimetest.Account, Admitted: arn + "/runtime-endpoint/one"}
	for resource, want := range map[string]bool{
		arn: true, arn + "/runtime-endpoint/one": true, arn + "/runtime-endpoint/two": false, arn + "x": false,
		arn[:len(arn)-1]: false, "*": false,
	} {
		d := auth.NewAuthorizer().Decide(t.Context(), p, auth.Requirement{Action: "bedrock-agentcore:InvokeAgentRuntime", Resource: resource})
		if d.Allowed() != want {
			t.Errorf("%s: %v, want %v", resource, d.Effect, want)
		}
	}
}

// TestBearerOfASigned: a runtime that wants signatures lets no token in.
func TestBearerOfASigned(t *testing.T) {
	k := newKit(t)
	k.agent(func(http.ResponseWriter, *http.Request) { t.Error("the agent is reached") })
	resp, body := k.bearer(runtimetest.NewIssuer(t).Token(nil), nil)
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "Authorization method mismatch") {
		t.Errorf("%s %s", resp.Status, body)
	}
	k.onRecord(resp.Header.Get("X-Amzn-Requestid"), "", http.StatusForbidden)
	resp, body = k.bearer("", nil)
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "Missing Authentication Token") || resp.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// TestResourceMetadata: who is refused finds out where to sign in.
func TestResourceMetadata(t *testing.T) {
	i := runtimetest.NewIssuer(t)
	k := guarded(t, i, func(c *types.CustomJWTAuthorizerConfiguration) { c.AllowedScopes = []string{"call"} })
	resp, _ := k.bearer("", nil)
	_, at, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), `resource_metadata="`)
	at, _, _ = strings.Cut(at, `"`)
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	resource := strings.Replace(at, "/.well-known/oauth-protected-resource", "", 1)
	for _, at := range []string{at, k.URL + "/.well-known/oauth-protected-resource/runtimes/" + url.PathEscape(k.arn()) + "/invocations?" + u.RawQuery} {
		resp, err := http.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got struct {
			Resource string   `json:"resource"`
			Servers  []string `json:"authorization_servers"`
			Scopes   []string `json:"scopes_supported"`
			Methods  []string `json:"bearer_methods_supported"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatalf("%s: %s %v", at, resp.Status, err)
		}
		if got.Resource != resource || len(got.Servers) != 1 || got.Servers[0] != i.URL || len(got.Scopes) != 1 || got.Methods[0] != "header" {
			t.Errorf("%s says %+v", at, got)
		}
	}
	signed := newKit(t)
	resp, err = http.Get(signed.URL + "/runtimes/" + url.PathEscape(signed.arn()) + "/invocations/.well-known/oauth-protected-resource")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("of a runtime that wants signatures: %s", resp.Status)
	}
}

// TestGuards: a URL is a resource's by its path and query, as metadata and callers write
// it, where there is an authorizer.
func TestGuards(t *testing.T) {
	k := guarded(t, runtimetest.NewIssuer(t), nil)
	label, id := url.PathEscape(k.arn()), k.arn()[strings.LastIndexByte(k.arn(), '/')+1:]
	lower := strings.NewReplacer("%2F", "%2f", "%3A", "%3a").Replace(url.QueryEscape(k.arn()))
	signed := newKit(t)
	for path, want := range map[string]bool{
		label + "/invocations?qualifier=DEFAULT": true, label + "/invocations": true, label + "/invocations/": true, lower + "/invocations": true,
		id + "/invocations?qualifier=DEFAULT&accountId=" + runtimetest.Account: true,
		label + "/invocations?qualifier=other":                                 false, label + "/invocations?qualifier=DEFAULT&qualifier=DEFAULT": false,
		label + "/invocations?x=1": false, label + "/invocations?%zz": false, label + "/invocations#x": false, label + "/invocations/x": false,
		label + "/ws": false, label: false, id + "/invocations": false, id + "/invocations?accountId=444455556666": false, strings.Replace(label, "us-west-2", "eu-west-1", 1) + "/invocations": false,
		"absent-AbCdEfGh12/invocations?accountId=" + runtimetest.Account: false, "%2e%2e/invocations": false, "/invocations": false, "": false,
	} {
		u, err := url.Parse("https://agents.example/runtimes/" + path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Invoke.Guards(t.Context(), u); got != want || err != nil {
			t.Errorf("%s: %v %v, want %v", u, got, err, want)
		}
	}
	u, err := url.Parse(signed.URL + "/runtimes/" + url.PathEscape(signed.arn()) + "/invocations")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := signed.Invoke.Guards(t.Context(), u); got || err != nil {
		t.Errorf("a runtime that wants signatures: %v %v", got, err)
	}
}

// TestAllowedWorkloads: only the agents that are named call on the user's behalf, as
// long as they are those that got the tokens.
func TestAllowedWorkloads(t *testing.T) {
	i := runtimetest.NewIssuer(t)
	k := guarded(t, i, func(c *types.CustomJWTAuthorizerConfiguration) {
		c.AllowedWorkloadConfiguration = &types.AllowedWorkloadConfiguration{
			HostingEnvironments: []types.HostingEnvironment{{Arn: aws.String("arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/front-AbCdEfGh12")}},
			WorkloadIdentities:  []string{"desk"},
		}
	})
	k.agent(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	const host = "arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/front-AbCdEfGh12"
	here, elsewhere, abroad := runtimetest.Scope(), store.Scope{Account: "111122223333", Region: "eu-west-1"}, store.Scope{Account: "444455556666", Region: "us-west-2"}
	err := k.Store.Update(t.Context(), func(tx store.Tx) error {
		for _, i := range []workload.Identity{{Scope: here, Name: "desk"}, {Scope: here, Name: "x"}, {Scope: elsewhere, Name: "desk"}, {Scope: abroad, Name: "desk"}} {
			if _, err := workload.Create(tx, i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	old := workload.Tokens{Box: k.Tokens.Box, Now: func() time.Time { return time.Now().Add(-time.Minute) }}
	for _, tt := range []struct {
		name   string
		tokens workload.Tokens
		c      workload.Claims
		status int
	}{
		{"by name", k.Tokens, workload.Claims{Scope: here, Workload: "desk"}, 200},
		{"of another region", k.Tokens, workload.Claims{Scope: elsewhere, Workload: "desk"}, 403},
		{"of another account", k.Tokens, workload.Claims{Scope: abroad, Workload: "desk"}, 403},
		{"older than its identity", old, workload.Claims{Scope: here, Workload: "desk"}, 403},
		{"by host", k.Tokens, workload.Claims{Scope: here, Workload: "x", Host: host}, 200},
		{"by host, and gone", k.Tokens, workload.Claims{Scope: here, Workload: "y", Host: host}, 403},
		{"by host, and older", old, workload.Claims{Scope: here, Workload: "x", Host: host}, 403},
		{"another", k.Tokens, workload.Claims{Scope: here, Workload: "x", Host: k.arn()}, 403},
		{"nobody", k.Tokens, workload.Claims{}, 403},
	} {
		header := http.Header{}
		if tt.c.Workload != "" {
			wat, err := tt.tokens.Make(t.Context(), tt.c)
			if err != nil {
				t.Fatal(err)
			}
			header.Set("X-Amz-Bedrock-AgentCore-Identity-WAT", wat.Reveal())
		}
		if resp, body := k.bearer(i.Token(nil), header); resp.StatusCode != tt.status {
			t.Errorf("%s: %s %s", tt.name, resp.Status, body)
		}
	}
}

// TestUserOfASigned: who signs names the user.
func TestUserOfASigned(t *testing.T) {
	k := newKit(t)
	var seen http.Header
	k.agent(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() })
	k.text(k.send(call{}))
	if seen.Get("WorkloadAccessToken") != "" {
		t.Error("an agent that is called for nobody has a token")
	}
	k.text(k.send(call{header: http.Header{"X-Amzn-Bedrock-Agentcore-Runtime-User-Id": {"ann"}}}))
	c, err := k.Tokens.Open(t.Context(), seen.Get("WorkloadAccessToken"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (workload.User{Kind: workload.ByID, Name: "ann"}); c.User != want || !c.JWT.Empty() {
		t.Errorf("the agent's token says %+v, want %+v", c.User, want)
	}
}

// TestBearerSocket: programs send the token in a header, pages among the protocols.
func TestBearerSocket(t *testing.T) {
	i := runtimetest.NewIssuer(t)
	k := guarded(t, i, nil, "Authorization")
	var seen http.Request
	k.echoSockets(&seen)
	at := "ws" + strings.TrimPrefix(k.URL, "http") + "/runtimes/" + url.QueryEscape(k.arn()) + "/ws"
	token := i.Token(nil)
	inProtocol := "base64UrlBearerAuthorization." + base64.RawURLEncoding.EncodeToString([]byte(token))
	for _, tt := range []struct {
		name, selected string
		dialer         websocket.Dialer
		header         http.Header
	}{
		{"header", "", websocket.Dialer{}, http.Header{"Authorization": {"Bearer " + token}}},
		{"page", "base64UrlBearerAuthorization", websocket.Dialer{Subprotocols: []string{inProtocol, "base64UrlBearerAuthorization"}}, nil},
		{"page with a protocol", "chat", websocket.Dialer{Subprotocols: []string{inProtocol, "base64UrlBearerAuthorization", "chat"}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, resp, err := tt.dialer.DialContext(t.Context(), at, tt.header)
			if err != nil {
				t.Fatalf("%v: %+v", err, resp)
			}
			defer conn.Close()
			if conn.Subprotocol() != tt.selected {
				t.Errorf("protocol %q, want %q", conn.Subprotocol(), tt.selected)
			}
			if err := conn.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
				t.Fatal(err)
			}
			if _, text, err := conn.ReadMessage(); err != nil || string(text) != "hi" {
				t.Errorf("%s, %v", text, err)
			}
			if strings.Contains(seen.Header.Get("Sec-Websocket-Protocol"), "base64") || seen.Header.Get("Authorization") != "Bearer "+token || seen.Header.Get("WorkloadAccessToken") == "" {
				t.Errorf("the agent sees %v", seen.Header)
			}
		})
	}
	_, resp, err := (&websocket.Dialer{}).DialContext(t.Context(), at, nil)
	if err == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %v", err)
	}
}
