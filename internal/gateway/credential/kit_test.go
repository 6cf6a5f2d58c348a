package credential_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/gateway/credential"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account = "111122223333"
	region  = "us-west-2"
	role    = "arn:aws:iam::" + account + ":role/gw"
	vault   = "arn:aws:bedrock-agentcore:" + region + ":" + account + ":token-vault/default/"
	keyARN  = vault + "apikeycredentialprovider/search"
	tokARN  = vault + "oauth2credentialprovider/crm"
	// planted is in every secret of these tests, and in nothing else.
	planted = "pl4nted"
)

// fake is Identity and Roles.
type fake struct {
	mu       sync.Mutex
	now      time.Time
	asked    []credential.Request
	keys     int // calls of APIKey
	roles    int
	answer   func(credential.Request) (credential.Answer, error)
	fail     error
	wait     chan struct{} // where set, calls of Token wait for it
	callerOf string
}

func newFake() *fake { return &fake{now: time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)} }

func (f *fake) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fake) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fake) APIKey(_ context.Context, g credential.Gateway, provider string) (credential.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys++
	if g.ID != "gw-1" || g.Role != role || provider != "search" {
		return credential.Answer{}, errors.New("asked for another")
	}
	return credential.Answer{Value: secret.NewString(planted + "-key"), Until: f.now.Add(30 * time.Second)}, f.fail
}

func (f *fake) Token(_ context.Context, r credential.Request) (credential.Answer, error) {
	if f.wait != nil {
		<-f.wait
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r)
	if f.answer != nil {
		return f.answer(r)
	}
	return credential.Answer{Value: secret.NewString(planted + "-token"), Until: f.now.Add(30 * time.Second)}, f.fail
}

func (f *fake) Role(context.Context, credential.Gateway) (credential.Keys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roles++
	return credential.Keys{ID: "ASIAEXAMPLE", Secret: secret.NewString(planted + "-secret"), Token: secret.NewString("session"), Expires: f.now.Add(time.Hour)}, f.fail
}

func (f *fake) Caller(_ context.Context, who auth.Principal, at *url.URL) (credential.Keys, error) {
	f.callerOf = who.ARN + " at " + at.Host
	return credential.Keys{ID: "ASIACALLER", Secret: secret.NewString(planted + "-secret"), Token: secret.NewString("session"), Expires: f.now.Add(time.Hour)}, f.fail
}

func (f *fake) maker() *credential.Maker {
	return credential.New(credential.Config{Identity: f, Roles: f, Now: f.clock})
}

func source(kind string, p *agentcorecontrol.CredentialProvider) target.Source {
	return target.Source{
		Scope: store.Scope{Account: account, Region: region}, Gateway: "gw-1", GatewayARN: "arn:aws:bedrock-agentcore:" + region + ":" + account + ":gateway/gw-1",
		Role: role, ID: "TARGET0001", Name: "t", Credential: &agentcorecontrol.CredentialProviderConfiguration{CredentialProviderType: &kind, CredentialProvider: p},
	}
}

func keySource(p agentcorecontrol.ApiKeyCredentialProvider) target.Source {
	p.ProviderArn = new(keyARN)
	return source("API_KEY", &agentcorecontrol.CredentialProvider{ApiKeyCredentialProvider: &p})
}

func tokenSource(p agentcorecontrol.OAuthCredentialProvider) target.Source {
	p.ProviderArn = new(tokARN)
	return source("OAUTH", &agentcorecontrol.CredentialProvider{OauthCredentialProvider: &p})
}

func of(t testing.TB, m *credential.Maker, s target.Source) target.Credentials {
	t.Helper()
	c, err := m.Of(s, credential.Service{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func request(t testing.TB, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// apply puts credentials on a request to example.com.
func apply(t testing.TB, cr target.Credentials, c *target.Call) (*http.Request, error) {
	t.Helper()
	r := request(t, "https://example.com/a%2Fb?q=1&x=%7e", `{"a":1}`)
	return r, cr.Apply(t.Context(), r, c)
}

// ann is a user whose token was verified.
func ann() target.Caller {
	return target.Caller{Issuer: "https://idp", Subject: "ann", Token: secret.NewString(planted + ".jwt.ann")}
}

// wantText asserts that an error says some things, and no secret.
func wantText(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%q does not say %q", err, p)
		}
	}
	if strings.Contains(err.Error(), planted) {
		t.Errorf("%q shows a secret", err)
	}
}
