package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/gateway/credential"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
	"github.com/outcrop/outcrop/internal/workload"
)

// lockedLog is what a server logs.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// portal is a whole server with a gateway's identity and role, as far as its outbound
// credentials need them.
type portal struct {
	*parts
	server  *Server
	t       *testing.T
	url     string
	log     *lockedLog
	control *control.Client
	source  target.Source
	gone    atomic.Bool // the gateway
	stop    func()
}

const gatewayID = "shop-abcdefghij"

func newPortal(t *testing.T) *portal {
	t.Helper()
	g := startPortal(t, filepath.Join(t.TempDir(), "data"), "127.0.0.1")
	g.must(g.store.Update(t.Context(), func(tx store.Tx) error {
		_, err := workload.Create(tx, workload.Identity{Scope: g.source.Scope, Name: gatewayID, Host: g.source.GatewayARN})
		return err
	}))
	return g
}

// startPortal starts a server on a data directory, with some private addresses open.
func startPortal(t *testing.T, dir string, open ...string) *portal {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	private, err := outbound.ParsePrivate(open)
	if err != nil {
		t.Fatal(err)
	}
	g := &portal{t: t, parts: &parts{}, url: "http://" + l.Addr().String(), log: &lockedLog{}}
	s := &Server{cfg: Config{
		Listener: l, DataDir: dir, Region: "us-west-2", Version: "test", AllowPrivate: private, Grace: time.Second,
		Log: slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}.withDefaults(), mark: "only-this-server-knows"}
	g.server = s
	for _, build := range []func(context.Context, *parts) error{s.openData, s.openLeaves, s.openServices, s.openAPI} {
		if err := build(t.Context(), g.parts); err != nil {
			t.Fatal(errors.Join(err, s.close(), l.Close()))
		}
	}
	g.identity.roles.acts = func(context.Context, credential.Gateway) (bool, error) { return !g.gone.Load(), nil } // there are none but in name
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	s.cfg.Ready = func(string, string) { close(ready) }
	go func() { done <- s.Serve(ctx) }()
	g.stop = sync.OnceFunc(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		g.must(<-done)
	})
	t.Cleanup(g.stop)
	<-ready
	root, err := g.directory.Root(t.Context())
	g.must(err)
	g.control = control.New(control.Options{
		BaseEndpoint: &g.url, Region: "us-west-2", RetryMaxAttempts: 1,
		Credentials: awscredentials.NewStaticCredentialsProvider(root.AccessKeyID, root.Secret.Reveal(), ""),
	})
	scope := store.Scope{Account: s.account, Region: "us-west-2"}
	arn := "arn:aws:bedrock-agentcore:us-west-2:" + s.account + ":gateway/" + gatewayID
	g.source = target.Source{Scope: scope, Gateway: gatewayID, GatewayARN: arn, Role: "arn:aws:iam::" + s.account + ":role/gw", ID: "TARGET0001", Name: "t"}
	return g
}

func (g *portal) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// role makes the gateway's role, which may do some things.
func (g *portal) role(statements ...string) {
	g.t.Helper()
	_, err := g.directory.CreateRole(g.t.Context(), principal.NewRole{Name: "gw", Path: "/", Trust: principal.AgentTrust(g.source.Scope.Account)})
	g.must(err)
	g.allow(statements...)
}

func (g *portal) allow(statements ...string) {
	g.t.Helper()
	if len(statements) > 0 {
		g.must(g.directory.PutInline(g.t.Context(), principal.Holder{Kind: principal.RoleHolder, Name: "gw"}, "own", policyText(statements...)))
	}
}

// grants is what a gateway's role is given for a credential provider (spec/gateway.md 4.3).
func (g *portal) grants(action, kind string) []string {
	base := "arn:aws:bedrock-agentcore:us-west-2:" + g.source.Scope.Account + ":"
	var out []string
	for _, resource := range []string{"workload-identity-directory/default", "workload-identity-directory/default/workload-identity/" + gatewayID} {
		out = append(out, grant("bedrock-agentcore:GetWorkloadAccessToken", base+resource, ""), grant(action, base+resource, ""))
	}
	return append(out, grant(action, base+"token-vault/default", ""), grant(action, base+"token-vault/default/"+kind+"/*", ""),
		grant("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-west-2:"+g.source.Scope.Account+":secret:bedrock-agentcore-identity!default/*", ""))
}

func (g *portal) apiKeyGrants() []string {
	return g.grants("bedrock-agentcore:GetResourceApiKey", "apikeycredentialprovider")
}

func (g *portal) tokenGrants() []string {
	return g.grants("bedrock-agentcore:GetResourceOauth2Token", "oauth2credentialprovider")
}

func (g *portal) with(kind string, p *agentcorecontrol.CredentialProvider) target.Credentials {
	g.t.Helper()
	s := g.source
	s.Credential = &agentcorecontrol.CredentialProviderConfiguration{CredentialProviderType: &kind, CredentialProvider: p}
	c, err := g.credentials.Of(s, credential.Service{})
	g.must(err)
	return c
}

// header is what credentials put into a request's Authorization.
func (g *portal) header(cr target.Credentials, c *target.Call) (string, error) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, "https://example.com/", nil)
	g.must(err)
	err = cr.Apply(g.t.Context(), r, c)
	return r.Header.Get("Authorization"), err
}

// refused asserts that an error says some things.
func (g *portal) refused(err error, parts ...string) {
	g.t.Helper()
	if err == nil {
		g.t.Fatal("it was not refused")
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			g.t.Errorf("%q does not say %q", err, p)
		}
	}
}

// audited returns the records of an event that gateways' roles made.
func (g *portal) audited(event string) []telemetry.Record {
	g.t.Helper()
	g.must(g.telemetry.Flush(g.t.Context()))
	records, _, err := g.telemetry.Records(g.t.Context(), telemetry.AuditQuery{Scope: g.source.Scope, Event: event})
	g.must(err)
	return slices.DeleteFunc(records, func(r telemetry.Record) bool { return r.SourceIP != "bedrock-agentcore.amazonaws.com" })
}

const plantedKey, plantedSecret = "pl4nted-api-key", "pl4nted-client-secret"

func (g *portal) keyProvider(name string) target.Credentials {
	g.t.Helper()
	made, err := g.control.CreateApiKeyCredentialProvider(g.t.Context(), &control.CreateApiKeyCredentialProviderInput{Name: &name, ApiKey: aws.String(plantedKey)})
	g.must(err)
	return g.with("API_KEY", &agentcorecontrol.CredentialProvider{ApiKeyCredentialProvider: &agentcorecontrol.ApiKeyCredentialProvider{ProviderArn: made.CredentialProviderArn}})
}

// TestGatewayAPIKeys: a gateway shows the key of a provider if its role may have it; else
// it is said which action on which resource is missing. The audit tells of both.
func TestGatewayAPIKeys(t *testing.T) {
	g := newPortal(t)
	key := func() target.Credentials { // without what another has kept
		return g.with("API_KEY", &agentcorecontrol.CredentialProvider{ApiKeyCredentialProvider: &agentcorecontrol.ApiKeyCredentialProvider{
			ProviderArn: new("arn:aws:bedrock-agentcore:us-west-2:" + g.source.Scope.Account + ":token-vault/default/apikeycredentialprovider/search")}})
	}
	_, err := g.header(g.keyProvider("search"), &target.Call{})
	g.refused(err, "role/gw does not exist", "aws iam create-role --role-name gw", "credential provider 'search'")

	g.role()
	_, err = g.header(key(), &target.Call{})
	g.refused(err, "assumed-role/gw/"+gatewayID, "bedrock-agentcore:GetWorkloadAccessToken", "workload-identity-directory/default")
	all := g.apiKeyGrants()
	g.allow(all[:len(all)-1]...)
	_, err = g.header(key(), &target.Call{})
	g.refused(err, "secretsmanager:GetSecretValue", "secret:bedrock-agentcore-identity!default/apikey/search-")
	g.allow(all...)
	cr := key()
	for range 3 {
		if got, err := g.header(cr, &target.Call{}); err != nil || got != "Bearer "+plantedKey {
			t.Fatalf("%s, %v", got, err)
		}
	}
	records := g.audited("GetResourceApiKey")
	if len(records) != 2 || records[1].ErrorCode != "AccessDeniedException" || records[0].ErrorCode != "" || !strings.HasSuffix(records[0].Principal, ":assumed-role/gw/"+gatewayID) ||
		!slices.ContainsFunc(records[0].Resources, func(r string) bool { return strings.HasSuffix(r, "apikeycredentialprovider/search") }) {
		t.Errorf("%+v", records)
	}
	if n := len(g.audited("GetWorkloadAccessToken")); n != 3 {
		t.Errorf("%d workload access tokens were told of", n)
	}

	// The trust policy decides who is helped by the role.
	g.must(g.directory.SetTrust(t.Context(), "gw", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`))
	_, err = g.header(key(), &target.Call{})
	g.refused(err, "cannot be assumed", "trust policy", principal.AgentService)
	if strings.Contains(g.log.String(), plantedKey) {
		t.Error("the key is in the log")
	}
}

// pool makes a user pool of this server with a client that gets tokens for itself, and a
// credential provider for it.
func (g *portal) pool(base string) (client, provider string) {
	g.t.Helper()
	ctx, scope := g.t.Context(), g.source.Scope
	p, err := g.pools.CreatePool(ctx, scope, issuer.Settings{Name: "shop"})
	g.must(err)
	g.must(g.pools.CreateDomain(ctx, scope, p.ID, "shop", nil))
	g.must(g.pools.CreateServer(ctx, scope, p.ID, issuer.ResourceServer{Identifier: "crm", Name: "crm", Scopes: []issuer.ServerScope{{Name: "read", Description: "r"}}}))
	c, err := g.pools.CreateClient(ctx, scope, p.ID, issuer.ClientSettings{Name: "c", OAuth: true, Grants: []string{"client_credentials"}, Scopes: []string{"crm/read"}},
		true, secret.NewString(plantedSecret+"-000000000000000000000000"))
	g.must(err)
	made, err := g.control.CreateOauth2CredentialProvider(ctx, &control.CreateOauth2CredentialProviderInput{
		Name: aws.String("crm"), CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2,
		Oauth2ProviderConfigInput: &types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: types.CustomOauth2ProviderConfigInput{
			ClientId: &c.ID, ClientSecret: aws.String(plantedSecret + "-000000000000000000000000"),
			OauthDiscovery: &types.Oauth2DiscoveryMemberDiscoveryUrl{Value: base + "/" + p.ID + "/.well-known/openid-configuration"},
		}},
	})
	g.must(err)
	return c.ID, *made.CredentialProviderArn
}

// TestGatewayTokens: a gateway shows a token of this server's own user pool, which it asks
// for once.
func TestGatewayTokens(t *testing.T) {
	for name, base := range map[string]string{"by this server's address": "", "by AWS's name": "https://cognito-idp.us-west-2.amazonaws.com"} {
		t.Run(name, func(t *testing.T) { testGatewayTokens(t, base) })
	}
}

func testGatewayTokens(t *testing.T, base string) {
	g := newPortal(t)
	g.role(g.tokenGrants()...)
	client, provider := g.pool(cmp.Or(base, g.url))
	cr := g.with("OAUTH", &agentcorecontrol.CredentialProvider{OauthCredentialProvider: &agentcorecontrol.OAuthCredentialProvider{ProviderArn: &provider, Scopes: []string{"crm/read"}}})
	var first string
	for range 3 {
		got, err := g.header(cr, &target.Call{})
		g.must(err)
		if first == "" {
			first = got
		}
		if got != first {
			t.Error("it was asked for again")
		}
	}
	token, ok := strings.CutPrefix(first, "Bearer ")
	if claims := claimsOf(t, token); !ok || claims["client_id"] != client || claims["scope"] != "crm/read" {
		t.Errorf("%v", claims)
	}
	if n := len(g.audited("GetResourceOauth2Token")); n != 1 {
		t.Errorf("%d calls were told of", n)
	}

	// What the authorization server says is told, and no secret.
	cr = g.with("OAUTH", &agentcorecontrol.CredentialProvider{OauthCredentialProvider: &agentcorecontrol.OAuthCredentialProvider{ProviderArn: &provider, Scopes: []string{"crm/write"}}})
	_, err := g.header(cr, &target.Call{})
	g.refused(err, "credential provider 'crm'", "invalid_scope")
	_, err = g.header(cr, &target.Call{Catalogue: true})
	if !errors.As(err, new(*target.Unfit)) {
		t.Errorf("%T", err)
	}
	_, err = g.control.DeleteOauth2CredentialProvider(t.Context(), &control.DeleteOauth2CredentialProviderInput{Name: aws.String("crm")})
	g.must(err)
	_, err = g.header(cr, &target.Call{})
	g.refused(err, "credential provider 'crm' is not there", "Make it again")
	if log := g.log.String(); strings.Contains(log, plantedSecret) || strings.Contains(log, token) {
		t.Error("a secret is in the log")
	}
}

// call sends what credentials make of a request, as gateways do: what is for this server
// comes here, and nothing leaves the machine.
func (g *portal) call(cr target.Credentials, caller target.Caller, url, body string) (int, string) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, url, strings.NewReader(body))
	g.must(err)
	r.Header.Set("Content-Type", "application/json")
	g.must(cr.Apply(g.t.Context(), r, &target.Call{Caller: caller}))
	client := g.server.leadHome(&http.Client{Transport: nowhere{}}, g.server.leadsHome(g.parts))
	defer client.CloseIdleConnections()
	answer, err := client.Do(r)
	g.must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	g.must(err)
	return answer.StatusCode, string(text)
}

type nowhere struct{}

func (nowhere) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, errors.New(r.URL.Host + " is elsewhere")
}

// TestGatewaySignsForThisServer: what the role signs for this server, by its own address or
// AWS's, is verified and decided on as anybody's call.
func TestGatewaySignsForThisServer(t *testing.T) {
	g := newPortal(t)
	g.role(grant("bedrock-agentcore:GetWorkloadIdentity", "*", ""))
	cr := g.with("GATEWAY_IAM_ROLE", &agentcorecontrol.CredentialProvider{IamCredentialProvider: &agentcorecontrol.IamCredentialProvider{Service: new("bedrock-agentcore")}})
	for _, base := range []string{g.url, "https://bedrock-agentcore-control.us-west-2.amazonaws.com"} {
		if status, text := g.call(cr, target.Caller{}, base+"/identities/GetWorkloadIdentity", `{"name":"`+gatewayID+`"}`); status != 200 || !strings.Contains(text, gatewayID) {
			t.Errorf("%s: %d %s", base, status, text)
		}
		if status, text := g.call(cr, target.Caller{}, base+"/identities/DeleteWorkloadIdentity", `{"name":"`+gatewayID+`"}`); status != 403 || !strings.Contains(text, "assumed-role/gw/"+gatewayID) {
			t.Errorf("%s: %d %s", base, status, text)
		}
	}
}

// TestHomeHasNoAddress: what this server calls comes from no address that a policy could
// ask for, and from nowhere else but itself, whatever others say.
func TestHomeHasNoAddress(t *testing.T) {
	g := newPortal(t)
	g.role(grant("bedrock-agentcore:GetWorkloadIdentity", "*", `,"Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.1"}}`))
	cr := g.with("GATEWAY_IAM_ROLE", &agentcorecontrol.CredentialProvider{IamCredentialProvider: &agentcorecontrol.IamCredentialProvider{Service: new("bedrock-agentcore")}})
	at, body := g.url+"/identities/GetWorkloadIdentity", `{"name":"`+gatewayID+`"}`
	if status, text := g.call(cr, target.Caller{}, at, body); status != 403 {
		t.Errorf("through the gateway: %d %s", status, text)
	}
	if n := len(g.audited("GetWorkloadIdentity")); n != 1 {
		t.Errorf("%d calls are told of as this server's", n)
	}
	for _, hops := range []string{"", "1", "1 ", "1 made-up", "1 only-this-server-know"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(body))
		g.must(err)
		g.must(cr.Apply(t.Context(), r, &target.Call{}))
		r.Header.Set(hopsHeader, hops)
		answer, err := http.DefaultClient.Do(r)
		g.must(err)
		g.must(answer.Body.Close())
		if answer.StatusCode != 200 {
			t.Errorf("by itself, saying %q: %s", hops, answer.Status)
		}
	}
	if n := len(g.audited("GetWorkloadIdentity")); n != 1 {
		t.Errorf("%d calls are told of as this server's", n)
	}
}

// TestWhatLeadsHome: the names of this server, and no others.
func TestWhatLeadsHome(t *testing.T) {
	g := newPortal(t)
	g.server.cfg.PublicURL, g.server.cfg.GatewayDomain = "https://agents.example.com", "gw.example.com"
	pool, err := g.pools.CreatePool(t.Context(), g.source.Scope, issuer.Settings{Name: "shop"})
	g.must(err)
	g.must(g.pools.CreateDomain(t.Context(), g.source.Scope, pool.ID, "shop", nil))
	home, port := g.server.leadsHome(g.parts), g.url[strings.LastIndexByte(g.url, ':'):]
	for text, want := range map[string]bool{
		g.url + "/x": true, "http://localhost" + port: true, "https://localhost" + port: false, "http://127.0.0.1:1": false, "http://192.0.2.1" + port: false,
		"https://agents.example.com/x": true, "http://agents.example.com": false, "https://agents.example.com:8443": false, "https://evil-agents.example.com": false,
		"http://shop-abcdefghij.gateway.localhost" + port + "/mcp": true, "http://shop-abcdefghij.gateway.localhost:1/mcp": false, "http://other.localhost" + port: false,
		"https://shop-abcdefghij.gateway.gw.example.com/mcp": true, "http://shop-abcdefghij.gateway.gw.example.com/mcp": false, "https://shop-abcdefghij.gateway.gw.example.com:1/mcp": false,
		"https://shop-abcdefghij.gateway.localhost/mcp": false, "https://gw.example.com": false,
		"https://bedrock-agentcore.us-west-2.amazonaws.com/runtimes/arn%3Aaws%3Ax/invocations": true, "https://shop-abcdefghij.gateway.bedrock-agentcore.us-west-2.amazonaws.com/mcp": true,
		"https://cognito-idp.us-west-2.amazonaws.com/" + pool.ID + "/.well-known/openid-configuration": true, "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_AbCdEfGhI/.well-known/openid-configuration": false,
		"https://shop.auth.us-west-2.amazoncognito.com/oauth2/token": true, "https://others.auth.us-west-2.amazoncognito.com/oauth2/token": false,
		"https://dynamodb.us-west-2.amazonaws.com": false, "https://nobodys-bucket.s3.us-west-2.amazonaws.com/k": false, "https://bedrock-agentcore.us-west-2.amazonaws.com:8443": false,
		"https://user:password@bedrock-agentcore.us-west-2.amazonaws.com": false, "ftp://localhost" + port: false,
	} {
		u, err := url.Parse(text)
		g.must(err)
		if got := home(t.Context(), u); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestGatewaySignsAsItsCaller: a request to this server is signed on as whoever signed the
// one to the gateway, with their rights; to others it is not.
func TestGatewaySignsAsItsCaller(t *testing.T) {
	g := newPortal(t)
	_, err := g.directory.CreateUser(t.Context(), principal.NewUser{Name: "ann"})
	g.must(err)
	g.must(g.directory.PutInline(t.Context(), principal.Holder{Kind: principal.UserHolder, Name: "ann"}, "own", policyText(grant("bedrock-agentcore:InvokeAgentRuntime", "*", ""))))
	made, _, err := g.directory.CreateAccessKey(t.Context(), "ann")
	g.must(err)
	key, err := g.directory.Key(t.Context(), made.ID, "")
	g.must(err)
	ann := target.Caller{Principal: key.Principal.ARN, Signed: &key.Principal}
	cr := g.with("CALLER_IAM_CREDENTIALS", &agentcorecontrol.CredentialProvider{IamCredentialProvider: &agentcorecontrol.IamCredentialProvider{Service: new("bedrock-agentcore")}})
	agent := g.url + "/runtimes/" + url.PathEscape("arn:aws:bedrock-agentcore:us-west-2:"+g.source.Scope.Account+":runtime/nobody-0123456789")
	if status, text := g.call(cr, ann, agent+"/invocations", `{}`); status != 404 {
		t.Errorf("%d %s", status, text)
	}
	if status, text := g.call(cr, ann, agent+"/stopruntimesession", `{}`); status != 403 || !strings.Contains(text, ":user/ann") {
		t.Errorf("%d %s", status, text)
	}
	for _, other := range []string{"/identities/GetWorkloadIdentity", "/?Action=AttachUserPolicy", "/runtimes/x?Action=AttachUserPolicy"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+other, nil)
		g.must(err)
		g.refused(cr.Apply(t.Context(), r, &target.Call{Caller: ann}), "is no agent and no gateway of this server")
	}
	_, err = g.header(cr, &target.Call{Caller: ann})
	g.refused(err, "user/ann", "example.com is not this server", "GATEWAY_IAM_ROLE")
}

// TestGatewayRolesEnd: what a gateway's role was given is over when the gateway is gone or
// acts as another role, and so is what a late call is given.
func TestGatewayRolesEnd(t *testing.T) {
	g := newPortal(t)
	g.role()
	gw := credential.Gateway{Scope: g.source.Scope, ID: gatewayID, ARN: g.source.GatewayARN, Role: g.source.Role}
	k, err := g.identity.roles.Role(t.Context(), gw)
	g.must(err)
	if _, err := g.directory.Key(t.Context(), k.ID, k.Token.Reveal()); err != nil {
		t.Error(err)
	}
	g.gone.Store(true)
	g.identity.roles.end(t.Context())
	if _, err := g.directory.Key(t.Context(), k.ID, k.Token.Reveal()); !errors.Is(err, sigv4.ErrExpiredToken) {
		t.Errorf("after its gateway: %v", err)
	}
	late, err := g.identity.roles.Role(t.Context(), gw)
	for err == nil {
		if _, err = g.directory.Key(t.Context(), late.ID, late.Token.Reveal()); err == nil {
			runtime.Gosched() // until the watch has looked
		}
	}
	if !errors.Is(err, sigv4.ErrExpiredToken) && !errors.Is(err, principal.ErrEnded) {
		t.Error(err)
	}
}

// TestGatewayRolesAreLeft: a session of a role that nobody wants any more is left, and what
// it was given stays good until it ends.
func TestGatewayRolesAreLeft(t *testing.T) {
	g := newPortal(t)
	g.role()
	roles, now := g.identity.roles, time.Now()
	roles.now = func() time.Time { return now }
	for i := range 3 {
		gw := credential.Gateway{Scope: g.source.Scope, ID: fmt.Sprint("gw-", i), ARN: fmt.Sprint(g.source.GatewayARN, i), Role: g.source.Role}
		k, err := roles.Role(t.Context(), gw)
		g.must(err)
		now = now.Add(40 * time.Minute)
		if _, err := g.directory.Key(t.Context(), k.ID, k.Token.Reveal()); err != nil {
			t.Error(err)
		}
	}
	if n := len(roles.sessions); n != 2 {
		t.Errorf("%d sessions are kept", n)
	}
}

func claimsOf(t *testing.T, token string) (claims map[string]any) {
	t.Helper()
	part := strings.Split(token, ".")
	if len(part) != 3 {
		t.Fatalf("'%s' is no JWT", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(part[1])
	if err == nil {
		err = json.Unmarshal(b, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}
