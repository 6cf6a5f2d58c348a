package credential_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/credential"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret"

	"context"
)

// TestAPIKeyPlaces: a key goes where its owner says (spec/gateway.md 4.1).
func TestAPIKeyPlaces(t *testing.T) {
	key := planted + "-key"
	for name, tt := range map[string]struct {
		in            agentcorecontrol.ApiKeyCredentialProvider
		header, value string
		query         string
	}{
		"nothing said":      {value: "Bearer " + key, header: "Authorization"},
		"header":            {in: agentcorecontrol.ApiKeyCredentialProvider{CredentialLocation: new("HEADER"), CredentialParameterName: new("X-Api-Key")}, header: "X-Api-Key", value: key},
		"prefix":            {in: agentcorecontrol.ApiKeyCredentialProvider{CredentialPrefix: new("Token")}, header: "Authorization", value: "Token " + key},
		"prefix and space":  {in: agentcorecontrol.ApiKeyCredentialProvider{CredentialPrefix: new("Bearer ")}, header: "Authorization", value: "Bearer " + key},
		"space alone":       {in: agentcorecontrol.ApiKeyCredentialProvider{CredentialPrefix: new(" ")}, header: "Authorization", value: key},
		"header and prefix": {in: agentcorecontrol.ApiKeyCredentialProvider{CredentialParameterName: new("X-Api-Key"), CredentialPrefix: new("v1")}, header: "X-Api-Key", value: "v1 " + key},
		"query":             {in: agentcorecontrol.ApiKeyCredentialProvider{CredentialLocation: new("QUERY_PARAMETER"), CredentialPrefix: new("Bearer")}, query: "q=1&x=%7e&api_key=" + key},
		"named query":       {in: agentcorecontrol.ApiKeyCredentialProvider{CredentialLocation: new("QUERY_PARAMETER"), CredentialParameterName: new("q")}, query: "x=%7e&q=" + key},
	} {
		r, err := apply(t, of(t, newFake().maker(), keySource(tt.in)), &target.Call{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if tt.header != "" && (r.Header.Get(tt.header) != tt.value || len(r.Header) != 1 || r.URL.RawQuery != "q=1&x=%7e") {
			t.Errorf("%s: %v, %s", name, r.Header, r.URL)
		}
		if tt.query != "" && (r.URL.RawQuery != tt.query || len(r.Header) != 0) {
			t.Errorf("%s: %v, %s", name, r.Header, r.URL)
		}
		if r.URL.EscapedPath() != "/a%2Fb" {
			t.Errorf("%s: the path is %s", name, r.URL.EscapedPath())
		}
	}
}

// TestUnfit: what cannot be served is told its owner with the way out.
func TestUnfit(t *testing.T) {
	for name, tt := range map[string]struct {
		source target.Source
		says   string
	}{
		"another account": {source("API_KEY", &agentcorecontrol.CredentialProvider{ApiKeyCredentialProvider: &agentcorecontrol.ApiKeyCredentialProvider{
			ProviderArn: new(strings.Replace(keyARN, account, "999922223333", 1))}}), "another account or region"},
		"another kind": {source("API_KEY", &agentcorecontrol.CredentialProvider{ApiKeyCredentialProvider: &agentcorecontrol.ApiKeyCredentialProvider{
			ProviderArn: new(tokARN)}}), "token-vault/default/apikeycredentialprovider/NAME"},
		"no provider":     {source("API_KEY", nil), "apiKeyCredentialProvider is required"},
		"no oauth":        {source("OAUTH", &agentcorecontrol.CredentialProvider{}), "oauthCredentialProvider is required"},
		"no such place":   {keySource(agentcorecontrol.ApiKeyCredentialProvider{CredentialLocation: new("COOKIE")}), "neither HEADER nor QUERY_PARAMETER"},
		"no header":       {keySource(agentcorecontrol.ApiKeyCredentialProvider{CredentialParameterName: new("X Api")}), "not the name of a header"},
		"no such grant":   {tokenSource(agentcorecontrol.OAuthCredentialProvider{GrantType: new("PASSWORD")}), "there is no grantType 'PASSWORD'"},
		"no such type":    {source("MAGIC", nil), "there is no credentialProviderType 'MAGIC'"},
		"role, no target": {source("GATEWAY_IAM_ROLE", nil), "iamCredentialProvider.service is required"},
	} {
		_, err := newFake().maker().Of(tt.source, credential.Service{})
		var unfit *target.Unfit
		if !errors.As(err, &unfit) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantText(t, err, tt.says)
	}
}

// TestNoCredentials: a target without any is called as it is.
func TestNoCredentials(t *testing.T) {
	s := source("", nil)
	s.Credential = nil
	if r, err := apply(t, of(t, newFake().maker(), s), &target.Call{}); err != nil || len(r.Header) != 0 {
		t.Errorf("%v, %v", r.Header, err)
	}
}

// TestKeysAreKept: a key is asked for once, and anew when Identity wants it to be.
func TestKeysAreKept(t *testing.T) {
	f := newFake()
	cr := of(t, f.maker(), keySource(agentcorecontrol.ApiKeyCredentialProvider{}))
	for range 3 {
		if _, err := apply(t, cr, &target.Call{}); err != nil {
			t.Fatal(err)
		}
	}
	f.pass(30 * time.Second)
	if _, err := apply(t, cr, &target.Call{}); err != nil || f.keys != 2 {
		t.Errorf("asked %d times, %v", f.keys, err)
	}
}

// TestTokensAreAskedForOnce: many calls that begin at once wait for one token, and who
// leaves takes it from nobody.
func TestTokensAreAskedForOnce(t *testing.T) {
	f := newFake()
	f.wait = make(chan struct{})
	cr := of(t, f.maker(), tokenSource(agentcorecontrol.OAuthCredentialProvider{Scopes: []string{"a/b"}, CustomParameters: map[string]string{"audience": "x"}}))
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- cr.Apply(ctx, request(t, "https://example.com", ""), &target.Call{}) }()
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r := request(t, "https://example.com", "")
			if err := cr.Apply(t.Context(), r, &target.Call{}); err != nil || r.Header.Get("Authorization") != "Bearer "+planted+"-token" {
				t.Errorf("%v, %v", r.Header, err)
			}
		})
	}
	close(f.wait)
	all.Wait()
	if n := len(f.asked); n != 1 {
		t.Fatalf("asked %d times", n)
	}
	if a := f.asked[0]; a.Flow != credential.Machine || a.Provider != "crm" || a.Scopes[0] != "a/b" || a.Parameters["audience"] != "x" || !a.User.Token.Empty() || a.User.ID != "" {
		t.Errorf("%+v", a)
	}
}

type keySourceOf struct{ id, secret string }

func (k keySourceOf) Key(_ context.Context, id, _ string) (sigv4.Key, error) {
	if id != k.id {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	return sigv4.Key{Secret: k.secret, Principal: auth.Principal{Kind: auth.AssumedRole, Account: account}}, nil
}

// TestRoleSigns: what the role signs is verified by the rules of the service, with a path
// that holds an ARN, and the role's credentials are kept until near their end.
func TestRoleSigns(t *testing.T) {
	f := newFake()
	for name, tt := range map[string]struct {
		in      *agentcorecontrol.IamCredentialProvider
		own     credential.Service
		service string
		region  string
	}{
		"named":       {&agentcorecontrol.IamCredentialProvider{Service: new("execute-api"), Region: new("eu-west-1")}, credential.Service{}, "execute-api", "eu-west-1"},
		"own":         {nil, credential.Service{Name: "bedrock-agentcore"}, "bedrock-agentcore", region},
		"named first": {&agentcorecontrol.IamCredentialProvider{Service: new("aoss")}, credential.Service{Name: "bedrock-agentcore", Region: "us-east-2"}, "aoss", "us-east-2"},
	} {
		cr, err := f.maker().Of(source("GATEWAY_IAM_ROLE", &agentcorecontrol.CredentialProvider{IamCredentialProvider: tt.in}), tt.own)
		if err != nil {
			t.Fatal(err)
		}
		r := request(t, "https://example.com/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A1%3Aruntime%2Fr/invocations?qualifier=DEFAULT", `{"a":1}`)
		r.Header.Set("Authorization", "Bearer of-another")
		r.Header.Set("X-Amz-Date", "20200101T000000Z")
		if err := cr.Apply(t.Context(), r, &target.Call{}); err != nil {
			t.Fatal(err)
		}
		verifier := sigv4.New(sigv4.Config{Keys: keySourceOf{"ASIAEXAMPLE", planted + "-secret"}, SpoolDir: t.TempDir(), Now: f.clock})
		r.Host = r.URL.Host
		claim, err := sigv4.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		id, err := verifier.Verify(t.Context(), r, claim, sigv4.Expect{Service: tt.service, MaxBody: 1 << 20})
		if err != nil || id.Claim.Region != tt.region {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := id.Close(); err != nil {
			t.Error(err)
		}
	}
	f.roles = 0
	cr := f.maker().Role(source("GATEWAY_IAM_ROLE", nil), credential.Service{Name: "lambda"})
	for _, wait := range []time.Duration{0, 54 * time.Minute, time.Minute} {
		f.pass(wait)
		if _, err := apply(t, cr, &target.Call{}); err != nil {
			t.Fatal(err)
		}
	}
	if f.roles != 2 {
		t.Errorf("the role was assumed %d times", f.roles)
	}
}

// TestBodiesThatCannotBeSigned: what cannot be read twice is no request that is signed.
func TestBodiesThatCannotBeSigned(t *testing.T) {
	cr := newFake().maker().Role(source("GATEWAY_IAM_ROLE", nil), credential.Service{Name: "lambda"})
	r := request(t, "https://example.com", "x")
	r.GetBody = nil
	wantText(t, cr.Apply(t.Context(), r, &target.Call{}), "read once")
}

// TestInterceptorsBeatProviders: an Authorization that an interceptor set goes on as it is
// (spec/gateway.md 3.5); a key at another place does not stand in its way.
func TestInterceptorsBeatProviders(t *testing.T) {
	iam := &agentcorecontrol.CredentialProvider{IamCredentialProvider: &agentcorecontrol.IamCredentialProvider{Service: new("bedrock-agentcore")}}
	for name, s := range map[string]target.Source{
		"key": keySource(agentcorecontrol.ApiKeyCredentialProvider{}), "token": tokenSource(agentcorecontrol.OAuthCredentialProvider{}),
		"role": source("GATEWAY_IAM_ROLE", iam), "caller": source("CALLER_IAM_CREDENTIALS", iam), "passed on": source("JWT_PASSTHROUGH", nil),
		"key in a header": keySource(agentcorecontrol.ApiKeyCredentialProvider{CredentialParameterName: new("X-Key")}),
	} {
		f := newFake()
		r := request(t, "https://example.com", "")
		r.Header.Set("Authorization", "Intercepted")
		c := ann()
		c.Principal = "arn:aws:iam::" + account + ":user/u"
		if err := of(t, f.maker(), s).Apply(t.Context(), r, &target.Call{Intercepted: true, Caller: c}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r.Header.Get("Authorization") != "Intercepted" || (name == "key in a header") != (r.Header.Get("X-Key") != "") {
			t.Errorf("%s: %v", name, r.Header)
		}
	}
}

// TestPassthrough: the caller's token goes on unchanged, and where there is none that is
// said.
func TestPassthrough(t *testing.T) {
	cr := of(t, newFake().maker(), source("JWT_PASSTHROUGH", nil))
	r, err := apply(t, cr, &target.Call{Caller: target.Caller{Token: secret.NewString("any.token.at-all")}})
	if err != nil || r.Header.Get("Authorization") != "Bearer any.token.at-all" {
		t.Errorf("%v, %v", r.Header, err)
	}
	_, err = apply(t, cr, &target.Call{})
	wantText(t, err, "the caller came without one")
}

// TestCallerSigns: the caller's own signature is asked for with the host that gets it.
func TestCallerSigns(t *testing.T) {
	f, user := newFake(), target.Caller{Principal: "arn:aws:iam::1:user/u", Signed: &auth.Principal{ARN: "arn:aws:iam::1:user/u"}}
	cr := of(t, f.maker(), source("CALLER_IAM_CREDENTIALS", &agentcorecontrol.CredentialProvider{IamCredentialProvider: &agentcorecontrol.IamCredentialProvider{Service: new("bedrock-agentcore")}}))
	_, err := apply(t, cr, &target.Call{Caller: ann()})
	wantText(t, err, "AWS_IAM or AUTHENTICATE_ONLY")
	r, err := apply(t, cr, &target.Call{Caller: user})
	if err != nil || f.callerOf != "arn:aws:iam::1:user/u at example.com" || !strings.Contains(r.Header.Get("Authorization"), "ASIACALLER/20261122/"+region+"/bedrock-agentcore/") {
		t.Errorf("%s, %v, %v", f.callerOf, r.Header, err)
	}
	f.fail = fault.Denied("that host is none of ours")
	_, err = apply(t, cr, &target.Call{Caller: user})
	wantText(t, err, "arn:aws:iam::1:user/u", "none of ours")
}

// TestRefusalsAreTold: what Identity refuses is told with the provider, the reason and the
// way out; to the target's owner where the gateway itself asks.
func TestRefusalsAreTold(t *testing.T) {
	for name, tt := range map[string]struct {
		err   error
		says  []string
		unfit bool // where the owner has to mend it
	}{
		"gone":      {fault.NotFound("Credential provider 'crm' not found"), []string{"credential provider 'crm' is not there", "Make it again"}, true},
		"forbidden": {fault.Denied("not authorized to perform: bedrock-agentcore:GetResourceOauth2Token on resource: " + tokARN), []string{role, "GetResourceOauth2Token", tokARN, "policy"}, true},
		"refused":   {fault.Validation("The authorization server of credential provider 'crm' refused: invalid_client"), []string{"invalid_client"}, true},
		"throttled": {fault.Throttled("too fast"), []string{"cannot be had now"}, false},
		"broken":    {errors.New("disk on fire"), []string{"cannot be had now"}, false},
	} {
		for _, catalogue := range []bool{false, true} {
			f := newFake()
			f.answer = func(credential.Request) (credential.Answer, error) { return credential.Answer{}, tt.err }
			_, err := apply(t, of(t, f.maker(), tokenSource(agentcorecontrol.OAuthCredentialProvider{})), &target.Call{Catalogue: catalogue})
			var unfit *target.Unfit
			var failure *target.Failure
			switch {
			case errors.As(err, &unfit) != (catalogue && tt.unfit), errors.As(err, &failure) == (catalogue && tt.unfit):
				t.Errorf("%s, %v: %T", name, catalogue, err)
			case failure != nil && (strings.Contains(failure.Text, "fire") || failure.Shown):
				t.Errorf("%s: %+v", name, failure)
			}
			wantText(t, err, append(tt.says, "'crm'")...)
		}
	}
}

func BenchmarkKeptToken(b *testing.B) {
	cr := of(b, newFake().maker(), tokenSource(agentcorecontrol.OAuthCredentialProvider{}))
	r := request(b, "https://example.com", "")
	for b.Loop() {
		if err := cr.Apply(b.Context(), r, &target.Call{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	cr := newFake().maker().Role(source("GATEWAY_IAM_ROLE", nil), credential.Service{Name: "lambda"})
	r := request(b, "https://example.com/2015-03-31/functions/f/invocations", strings.Repeat("x", 1000))
	for b.Loop() {
		if err := cr.Apply(b.Context(), r, &target.Call{}); err != nil {
			b.Fatal(err)
		}
	}
}
