package portal_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/portal"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/work"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account  = "111122223333"
	region   = "us-west-2"
	roleARN  = "arn:aws:iam::" + account + ":role/portal"
	gateway  = "tools-abcdefghij"
	vaultARN = "arn:aws:bedrock-agentcore:" + region + ":" + account + ":token-vault/default/oauth2credentialprovider/"
	issuer   = "https://idp.example"
)

var scope = store.Scope{Account: account, Region: region}

// kit is the service with a runner of its work, and everything around it made up.
type kit struct {
	*testing.T
	*portal.Service
	store *sqlite.Store
	mu    sync.Mutex
	// untrusted is a role that may not be assumed.
	untrusted string
	// then is what happens between a call and its work, once.
	then      func()
	gateways  map[string]portal.Gateway
	providers map[string]portal.Provider
	down      bool // the issuers do not answer
}

func (k *kit) CheckRole(_ context.Context, role, source string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if role == k.untrusted || !strings.HasPrefix(source, "arn:aws:bedrock-agentcore:"+region+":"+account+":consent-portal/") {
		return fault.Invalid("executionRoleArn", "the role %s cannot be assumed", role)
	}
	return nil
}

func (k *kit) Gateway(_ context.Context, s store.Scope, id string) (portal.Gateway, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	g, ok := k.gateways[id]
	if k.then != nil {
		k.then()
		k.then = nil
	}
	if !ok || s != scope {
		return g, fault.NotFound("No gateway found with id '%s'", id)
	}
	return g, nil
}

func (k *kit) Provider(_ context.Context, s store.Scope, name string) (portal.Provider, error) {
	p, ok := k.providers[name]
	if !ok || s != scope {
		return p, fault.NotFound("Credential provider with name: %s not found", name)
	}
	return p, nil
}

func (k *kit) Issuer(_ context.Context, discoveryURL string) (string, error) {
	if k.down {
		return "", errors.New("connection refused")
	}
	name, _, _ := strings.Cut(discoveryURL, "/.well-known/")
	return strings.TrimSuffix(name, "/alias"), nil
}

// within runs a test in a bubble, whose clock goes on when all wait.
func within(t *testing.T, test func(k *kit)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st, err := sqlite.Open(t.Context(), filepath.Join(dir, "db"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		doc := issuer + "/.well-known/openid-configuration"
		k := &kit{T: t, store: st, gateways: map[string]portal.Gateway{
			gateway: {DiscoveryURL: doc}, "signed-abcdefghij": {}, "strict-abcdefghij": {DiscoveryURL: doc, Audiences: []string{"a", "b"}},
			"other-abcdefghij": {DiscoveryURL: doc},
		}, providers: map[string]portal.Provider{
			"people": {Vendor: "CustomOauth2", DiscoveryURL: doc, ClientID: "c"}, "alias": {Vendor: "CustomOauth2", DiscoveryURL: issuer + "/alias/.well-known/openid-configuration", ClientID: "c"},
			"others": {Vendor: "CustomOauth2", DiscoveryURL: "https://other.example/.well-known/openid-configuration", ClientID: "c"},
			"github": {Vendor: "GithubOauth2", Issuer: "https://github.com", ClientID: "c"}, "keyed": {Vendor: "CustomOauth2", DiscoveryURL: doc},
			"plain": {Vendor: "CustomOauth2", ClientID: "c"}, "google": {Vendor: "GoogleOauth2", Issuer: "https://accounts.google.com", ClientID: "c"},
		}}
		k.Service = portal.New(portal.Config{Store: st, Roles: k, Gateways: k, Providers: k, Issuers: k, Base: func() string { return "http://127.0.0.1:8642" }})
		ctx, stop := context.WithCancel(t.Context())
		runner := work.New(st, work.Options{Owner: store.Owner{Node: "n", Process: "1"}})
		for kind, h := range k.Handlers() {
			k.must(runner.Register(kind, h, work.Policy{}))
		}
		done := make(chan error, 1)
		go func() { done <- runner.Run(ctx) }()
		test(k)
		stop()
		<-done
		k.must(st.Close())
	})
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) ctx() context.Context {
	return pipeline.WithCall(k.Context(), &pipeline.Call{Scope: scope})
}

func request(name string) *agentcorecontrol.CreateConsentPortalRequest {
	return &agentcorecontrol.CreateConsentPortalRequest{
		Name: &name, ExecutionRoleArn: new(roleARN), Sources: []agentcorecontrol.ConsentPortalSource{{Identifier: new(gateway), Type: new("agentcore-gateway")}},
		IdpConfig: &agentcorecontrol.ConsentPortalIdpConfig{CredentialProviderArn: new(vaultARN + "people"), Scopes: []string{"openid", "email"}},
	}
}

func (k *kit) get(id string) *agentcorecontrol.GetConsentPortalResponse {
	k.Helper()
	out, err := k.GetConsentPortal(k.ctx(), &agentcorecontrol.GetConsentPortalRequest{ConsentPortalIdentifier: &id})
	k.must(err)
	return out
}

// TestPortal follows one from its making to its end.
func TestPortal(t *testing.T) {
	within(t, func(k *kit) {
		in := request("Team_Portal")
		in.Description, in.Tags, in.IdpConfig.Audience = new("what for"), map[string]string{"team": "a"}, new("api")
		out, err := k.CreateConsentPortal(k.ctx(), in)
		k.must(err)
		id, arn := *out.ConsentPortalId, *out.ConsentPortalArn
		if !strings.HasPrefix(id, "Team_Portal-") || len(id) != len("Team_Portal-")+10 || arn != "arn:aws:bedrock-agentcore:us-west-2:111122223333:consent-portal/"+id ||
			*out.Status != "CREATING" || out.PortalUrl != nil || out.StatusReason != nil {
			k.Errorf("%+v", out)
		}
		if _, err := k.Find(k.Context(), id); !fault.Is(err, "ResourceNotFoundException") {
			k.Errorf("it serves before it is ACTIVE: %v", err)
		}
		synctest.Wait()
		got := k.get(arn)
		if *got.Status != "ACTIVE" || *got.PortalUrl != "http://127.0.0.1:8642/portal/"+id || *got.Description != "what for" || *got.Sources[0].Identifier != gateway ||
			*got.Sources[0].Type != "agentcore-gateway" || *got.IdpConfig.Audience != "api" || *got.ExecutionRoleArn != roleARN || *got.IdpConfig.CredentialProviderArn != vaultARN+"people" {
			k.Errorf("%+v", got)
		}
		found, err := k.Find(k.Context(), strings.ToLower(id)) // as host names are
		k.must(err)
		if found.ID != id || found.Gateway != gateway || found.Role != roleARN || found.Provider != "people" || !slices.Equal(found.Scopes, []string{"openid", "email"}) || found.Audience != "api" {
			k.Errorf("%+v", found)
		}
		if at, err := k.Of(k.Context(), "arn:aws:bedrock-agentcore:us-west-2:111122223333:gateway/"+gateway); err != nil || at != *got.PortalUrl {
			k.Errorf("%s, %v", at, err)
		}
		list, err := k.ListConsentPortals(k.ctx(), &agentcorecontrol.ListConsentPortalsRequest{MaxResults: new(int32(1))})
		if err != nil || len(list.ConsentPortals) != 1 || *list.ConsentPortals[0].PortalUrl != *got.PortalUrl || list.NextToken != nil {
			k.Errorf("%+v, %v", list, err)
		}
		k.must(k.store.Update(k.Context(), func(tx store.Tx) error {
			return k.SetTags(tx, scope, "consent-portal/"+id, map[string]string{"team": "b"})
		}))
		k.must(k.store.View(k.Context(), func(r store.Reader) error {
			tags, err := k.Tags(r, scope, "consent-portal/"+id)
			if tags["team"] != "b" {
				k.Errorf("%v", tags)
			}
			return err
		}))

		// What is not said stays.
		up, err := k.UpdateConsentPortal(k.ctx(), &agentcorecontrol.UpdateConsentPortalRequest{ConsentPortalIdentifier: &id, Description: new("for all")})
		k.must(err)
		if *up.Status != "UPDATING" || *up.ExecutionRoleArn != roleARN || *up.IdpConfig.Audience != "api" {
			k.Errorf("%+v", up)
		}
		synctest.Wait()
		if got := k.get(id); *got.Status != "ACTIVE" || *got.Description != "for all" {
			k.Errorf("%+v", got)
		}
		_, err = k.DeleteConsentPortal(k.ctx(), &agentcorecontrol.DeleteConsentPortalRequest{ConsentPortalIdentifier: &arn})
		k.must(err)
		for _, err := range []error{
			func() error { _, err := k.Find(k.Context(), id); return err }(),
			func() error {
				_, err := k.GetConsentPortal(k.ctx(), &agentcorecontrol.GetConsentPortalRequest{ConsentPortalIdentifier: &id})
				return err
			}(),
			func() error {
				_, err := k.DeleteConsentPortal(k.ctx(), &agentcorecontrol.DeleteConsentPortalRequest{ConsentPortalIdentifier: &id})
				return err
			}(),
		} {
			k.refused(err, "ResourceNotFoundException", id)
		}
		if at, err := k.Of(k.Context(), "arn:aws:bedrock-agentcore:us-west-2:111122223333:gateway/"+gateway); err != nil || at != "" {
			k.Errorf("its gateway leads to %s, %v", at, err)
		}
		if _, err := k.CreateConsentPortal(k.ctx(), in); err != nil {
			k.Errorf("another of its name: %v", err)
		}
	})
}

func (k *kit) refused(err error, code string, says ...string) {
	k.Helper()
	if !fault.Is(err, code) {
		k.Errorf("%v, want %s", err, code)
		return
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			k.Errorf("%q does not say %q", err, text)
		}
	}
}

// TestRefusals: what cannot be a portal is refused with the member and the way out.
func TestRefusals(t *testing.T) {
	within(t, func(k *kit) {
		_, err := k.CreateConsentPortal(k.ctx(), request("first"))
		k.must(err)
		synctest.Wait()
		k.mu.Lock()
		k.untrusted = "arn:aws:iam::" + account + ":role/untrusted"
		k.mu.Unlock()
		for name, tt := range map[string]struct {
			change func(*agentcorecontrol.CreateConsentPortalRequest)
			code   string
			says   []string
		}{
			"name taken": {func(in *agentcorecontrol.CreateConsentPortalRequest) {
				in.Name = new("first")
				in.Sources[0].Identifier = new("other-abcdefghij")
			}, "ConflictException", []string{"'first'"}},
			"gateway taken": {func(*agentcorecontrol.CreateConsentPortalRequest) {}, "ConflictException", []string{gateway, "already"}},
			"no gateway": {func(in *agentcorecontrol.CreateConsentPortalRequest) {
				in.Sources[0].Identifier = new("none-abcdefghij")
			}, "ResourceNotFoundException", []string{"none-abcdefghij"}},
			"foreign gateway": {func(in *agentcorecontrol.CreateConsentPortalRequest) {
				in.Sources[0].Identifier = new("arn:aws:bedrock-agentcore:eu-west-1:111122223333:gateway/tools-abcdefghij")
			}, "ValidationException", []string{"sources[0].identifier", "another account or region"}},
			"signed gateway": {func(in *agentcorecontrol.CreateConsentPortalRequest) {
				in.Sources[0].Identifier = new("signed-abcdefghij")
			}, "ValidationException", []string{"CUSTOM_JWT"}},
			"role":   {func(in *agentcorecontrol.CreateConsentPortalRequest) { in.ExecutionRoleArn = new(k.untrusted) }, "ValidationException", []string{"role/untrusted"}},
			"scopes": {func(in *agentcorecontrol.CreateConsentPortalRequest) { in.IdpConfig.Scopes = []string{"email"} }, "ValidationException", []string{"idpConfig.scopes", "openid"}},
			"audience": {func(in *agentcorecontrol.CreateConsentPortalRequest) {
				in.Sources[0].Identifier = new("strict-abcdefghij")
				in.IdpConfig.Audience = new("c")
			}, "ValidationException", []string{"idpConfig.audience", "a, b"}},
			"long audience": {func(in *agentcorecontrol.CreateConsentPortalRequest) {
				in.IdpConfig.Audience = new(strings.Repeat("x", 2049))
			}, "ValidationException", []string{"2048"}},
			"no provider":  {with("none"), "ResourceNotFoundException", []string{"none"}},
			"other issuer": {with("others"), "ValidationException", []string{"https://other.example", issuer}},
			"google":       {with("google"), "ValidationException", []string{"accounts.google.com"}},
			"github":       {with("github"), "ValidationException", []string{"GithubOauth2", "OpenID Connect"}},
			"no client id": {with("keyed"), "ValidationException", []string{"clientId"}},
			"no discovery": {with("plain"), "ValidationException", []string{"discoveryUrl"}},
			"foreign provider": {func(in *agentcorecontrol.CreateConsentPortalRequest) {
				in.IdpConfig.CredentialProviderArn = new(strings.Replace(vaultARN, account, "999999999999", 1) + "people")
			}, "ValidationException", []string{"idpConfig.credentialProviderArn"}},
			"tags": {func(in *agentcorecontrol.CreateConsentPortalRequest) { in.Tags = map[string]string{"aws:own": "x"} }, "ValidationException", nil},
		} {
			in := request("second")
			tt.change(in)
			_, err := k.CreateConsentPortal(k.ctx(), in)
			if !fault.Is(err, tt.code) {
				k.Errorf("%s: %v, want %s", name, err, tt.code)
				continue
			}
			k.refused(err, tt.code, tt.says...)
		}
		k.down = true
		in := request("second")
		in.IdpConfig.CredentialProviderArn = new(vaultARN + "others")
		_, err = k.CreateConsentPortal(k.ctx(), in)
		k.refused(err, "ValidationException", "connection refused")
	})
}

func with(provider string) func(*agentcorecontrol.CreateConsentPortalRequest) {
	return func(in *agentcorecontrol.CreateConsentPortalRequest) {
		in.IdpConfig.CredentialProviderArn = new(vaultARN + provider)
	}
}

// TestAlias: an issuer has several discovery URLs, and one name.
func TestAlias(t *testing.T) {
	within(t, func(k *kit) {
		in := request("p")
		with("alias")(in)
		if _, err := k.CreateConsentPortal(k.ctx(), in); err != nil {
			k.Error(err)
		}
	})
}

// TestAudienceMissing: a portal through which nobody's token will do says what to set.
func TestAudienceMissing(t *testing.T) {
	within(t, func(k *kit) {
		in := request("p")
		in.Sources[0].Identifier = new("strict-abcdefghij")
		out, err := k.CreateConsentPortal(k.ctx(), in)
		k.must(err)
		synctest.Wait()
		if got := k.get(*out.ConsentPortalId); *got.Status != "ACTIVE" || got.StatusReason == nil || !strings.Contains(*got.StatusReason, "set idpConfig.audience to one of a, b") {
			k.Errorf("%+v", got)
		}
		in.IdpConfig.Audience = new("b")
		_, err = k.UpdateConsentPortal(k.ctx(), &agentcorecontrol.UpdateConsentPortalRequest{ConsentPortalIdentifier: out.ConsentPortalId, IdpConfig: in.IdpConfig})
		k.must(err)
		synctest.Wait()
		if got := k.get(*out.ConsentPortalId); *got.Status != "ACTIVE" || got.StatusReason != nil {
			k.Errorf("%+v", got)
		}
	})
}

// TestWhatChangesMeanwhile: a portal whose gateway or role is gone by the time at which it
// would become ACTIVE says so, and one that served goes on.
func TestWhatChangesMeanwhile(t *testing.T) {
	within(t, func(k *kit) {
		was := k.gateways[gateway]
		k.then = func() { k.gateways[gateway] = portal.Gateway{} }
		out, err := k.CreateConsentPortal(k.ctx(), request("p"))
		k.must(err)
		synctest.Wait()
		if got := k.get(*out.ConsentPortalId); *got.Status != "FAILED" || !strings.Contains(*got.StatusReason, "CUSTOM_JWT") || got.PortalUrl != nil {
			k.Errorf("%+v", got)
		}
		k.mu.Lock()
		k.gateways[gateway] = was
		k.mu.Unlock()
		update := &agentcorecontrol.UpdateConsentPortalRequest{ConsentPortalIdentifier: out.ConsentPortalId, Description: new("again")}
		_, err = k.UpdateConsentPortal(k.ctx(), update)
		k.must(err)
		synctest.Wait()
		if got := k.get(*out.ConsentPortalId); *got.Status != "ACTIVE" || got.StatusReason != nil {
			k.Errorf("%+v", got)
		}
		update.ExecutionRoleArn = new("arn:aws:iam::" + account + ":role/other")
		k.then = func() { k.untrusted = *update.ExecutionRoleArn }
		_, err = k.UpdateConsentPortal(k.ctx(), update)
		k.must(err)
		synctest.Wait()
		got, err := k.Find(k.Context(), *out.ConsentPortalId)
		if now := k.get(*out.ConsentPortalId); *now.Status != "UPDATE_FAILED" || now.PortalUrl == nil || err != nil || got.Role != roleARN {
			k.Errorf("%+v, %+v, %v", now, got, err)
		}
	})
}

// TestHostNames: with a domain every portal has a name of its own, as host names are written.
func TestHostNames(t *testing.T) {
	s := portal.New(portal.Config{Base: func() string { return "https://agents.example:8443/" }, Domain: "agents.example"})
	if got := s.URL("Team_Portal-abcdefghij"); got != "https://team_portal-abcdefghij.consent-portal.agents.example:8443" {
		t.Error(got)
	}
}

// TestBusy: a portal that is being made or changed is not changed beside that, and may be
// deleted.
func TestBusy(t *testing.T) {
	dir := t.TempDir()
	within(t, func(k *kit) {
		idle, err := sqlite.Open(k.Context(), filepath.Join(dir, "db"), sqlite.Options{}) // whose work nobody does
		k.must(err)
		defer func() { k.must(idle.Close()) }()
		s := portal.New(portal.Config{Store: idle, Roles: k, Gateways: k, Providers: k, Issuers: k, Base: func() string { return "" }})
		out, err := s.CreateConsentPortal(k.ctx(), request("p"))
		k.must(err)
		_, err = s.UpdateConsentPortal(k.ctx(), &agentcorecontrol.UpdateConsentPortalRequest{ConsentPortalIdentifier: out.ConsentPortalId})
		k.refused(err, "ConflictException", "CREATING")
		_, err = s.DeleteConsentPortal(k.ctx(), &agentcorecontrol.DeleteConsentPortalRequest{ConsentPortalIdentifier: out.ConsentPortalId})
		k.must(err)
	})
}
