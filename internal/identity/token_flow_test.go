package identity_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	dt "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

const returnURL = "https://app.example/back?x=1"

// custom makes a provider of a scripted server and returns its callback URL.
func (k *kit) custom(name string, v *vendorServer, change func(*types.CustomOauth2ProviderConfigInput)) string {
	k.Helper()
	c := types.CustomOauth2ProviderConfigInput{
		OauthDiscovery: &types.Oauth2DiscoveryMemberDiscoveryUrl{Value: v.discovery()}, ClientId: aws.String("client"), ClientSecret: aws.String("s3cret"),
	}
	if change != nil {
		change(&c)
	}
	out, err := k.control.CreateOauth2CredentialProvider(k.Context(), &control.CreateOauth2CredentialProviderInput{
		Name: &name, CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2,
		Oauth2ProviderConfigInput: &types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: c},
	})
	if err != nil {
		k.Fatal(err)
	}
	return *out.CallbackUrl
}

func (k *kit) m2m(token *string, change func(*data.GetResourceOauth2TokenInput)) (*data.GetResourceOauth2TokenOutput, error) {
	return k.token(dt.Oauth2FlowTypeM2m, token, change)
}

func (k *kit) token(flow dt.Oauth2FlowType, token *string, change func(*data.GetResourceOauth2TokenInput)) (*data.GetResourceOauth2TokenOutput, error) {
	in := &data.GetResourceOauth2TokenInput{WorkloadIdentityToken: token, ResourceCredentialProviderName: aws.String("svc"), Oauth2Flow: flow, Scopes: []string{"read", "write"}}
	if change != nil {
		change(in)
	}
	return k.data.GetResourceOauth2Token(k.Context(), in)
}

// TestM2M: by client credentials, asked for once however many want it, kept until
// shortly before its end and for those alone who asked for the same.
func TestM2M(t *testing.T) {
	k, v := newKit(t, nil), newVendor(t)
	k.custom("svc", v, nil)
	token := k.workloadToken("desk", "")
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			out, err := k.m2m(token, nil)
			if err != nil || *out.AccessToken != "at-1" || out.AuthorizationUrl != nil || out.SessionUri != nil || out.SessionStatus != "" {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
	wait.Wait()
	if v.count() != 1 {
		t.Errorf("asked %d times", v.count())
	}
	wantForm(t, v.last(t), map[string]string{"grant_type": "client_credentials", "scope": "read write"})
	if v.basics[0] != "client:s3cret" {
		t.Errorf("the client is %s", v.basics[0])
	}
	want := func(text string, change func(*data.GetResourceOauth2TokenInput)) {
		t.Helper()
		out, err := k.m2m(token, change)
		if err != nil || *out.AccessToken != text {
			t.Errorf("%+v, %v, want %s", out, err, text)
		}
	}
	want("at-1", func(in *data.GetResourceOauth2TokenInput) { in.Scopes = []string{"write", "read"} })
	want("at-2", func(in *data.GetResourceOauth2TokenInput) { in.Scopes = []string{"read"} })
	want("at-3", func(in *data.GetResourceOauth2TokenInput) {
		in.Resources, in.Audiences, in.CustomParameters = []string{"https://api"}, []string{"api"}, map[string]string{"a": "b", "grant_type": "password", "client_id": "evil"}
	})
	wantForm(t, v.last(t), map[string]string{"grant_type": "client_credentials", "resource": "https://api", "audience": "api", "a": "b", "client_id": "-"})
	want("at-4", func(in *data.GetResourceOauth2TokenInput) { in.ForceAuthentication = aws.Bool(true) })
	want("at-4", nil)
	token = k.workloadToken("desk", "ann")
	want("at-4", nil) // whoever it works for
	token = k.workloadToken("other", "")
	want("at-5", nil)
	k.skew = 3600*time.Second - 59*time.Second
	token = k.workloadToken("desk", "")
	want("at-6", nil)

	v.answer = func(url.Values) (int, string) {
		return 400, `{"error":"invalid_scope","error_description":"no such scope"}`
	}
	_, err := k.m2m(token, func(in *data.GetResourceOauth2TokenInput) { in.Scopes = []string{"x"} })
	k.refused(err, "ValidationException", "invalid_scope: no such scope")
	v.answer = func(url.Values) (int, string) { return 200, `{}` }
	_, err = k.m2m(token, func(in *data.GetResourceOauth2TokenInput) { in.Scopes = []string{"x"} })
	k.refused(err, "ValidationException", "did not answer as one")
	v.answer = func(url.Values) (int, string) { return 200, `{"access_token":"pl4nted\r\nX-Evil: 1"}` }
	_, err = k.m2m(token, func(in *data.GetResourceOauth2TokenInput) { in.Scopes = []string{"x"} })
	k.refused(err, "ValidationException", "The authorization server of credential provider 'svc' answered with no token: its access_token has characters that no header can carry; a token has visible ASCII and spaces alone")
}

// TestClientAuthentication: a client proves itself as its provider says.
func TestClientAuthentication(t *testing.T) {
	k, v := newKit(t, nil), newVendor(t)
	token := k.workloadToken("desk", "")
	post := func(c *types.CustomOauth2ProviderConfigInput) {
		c.ClientAuthenticationMethod = types.ClientAuthenticationMethodTypeClientSecretPost
	}
	k.custom("svc", v, post)
	if _, err := k.m2m(token, nil); err != nil {
		t.Fatal(err)
	}
	wantForm(t, v.last(t), map[string]string{"client_id": "client", "client_secret": "s3cret"})
	if v.basics[0] != ":" {
		t.Errorf("basic besides: %s", v.basics[0])
	}
	k.custom("pkjwt", v, func(c *types.CustomOauth2ProviderConfigInput) {
		c.ClientSecret, c.ClientAuthenticationMethod = nil, types.ClientAuthenticationMethodTypePrivateKeyJwt
		c.PrivateKeyJwtConfig = &types.PrivateKeyJwtConfig{
			SigningAlgorithm:       types.SigningAlgorithmEs256,
			PrivateKeySource:       &types.PrivateKeySourceMemberKmsKeySource{Value: types.KmsKeySourceType{KmsKeyArn: aws.String(keyARN)}},
			AdditionalHeaderClaims: map[string]string{"kid": "k1"}, AdditionalPayloadClaims: map[string]string{"tenant": "t1"},
		}
	})
	if _, err := k.m2m(token, func(in *data.GetResourceOauth2TokenInput) { in.ResourceCredentialProviderName = aws.String("pkjwt") }); err != nil {
		t.Fatal(err)
	}
	form := v.last(t)
	wantForm(t, form, map[string]string{"client_id": "client", "client_secret": "-", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"})
	var header, payload map[string]any
	for i, part := range []*map[string]any{&header, &payload} {
		b, err := base64.RawURLEncoding.DecodeString(strings.Split(form.Get("client_assertion"), ".")[i])
		if err != nil || json.Unmarshal(b, part) != nil {
			t.Fatalf("%s: %v", form.Get("client_assertion"), err)
		}
	}
	if header["alg"] != "ES256" || header["kid"] != "k1" || payload["iss"] != "client" || payload["sub"] != "client" || payload["aud"] != v.URL+"/token" || payload["tenant"] != "t1" ||
		payload["jti"] == "" || payload["exp"].(float64)-payload["iat"].(float64) != 300 {
		t.Errorf("%v %v", header, payload)
	}
}

const keyARN = "arn:aws:kms:us-west-2:111122223333:key/00000000-0000-0000-0000-000000000001"

// browser follows no redirect by itself.
func browser(t *testing.T) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// visit returns the status and where it leads.
func visit(t *testing.T, c *http.Client, at string) (int, *url.URL) {
	t.Helper()
	answer, err := c.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	u, err := url.Parse(answer.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, u
}

func withReturn(in *data.GetResourceOauth2TokenInput) {
	in.ResourceOauth2ReturnUrl, in.CustomState = aws.String(returnURL), aws.String("a:b")
	in.CustomParameters = map[string]string{"access_type": "offline", "redirect_uri": "https://evil", "code_challenge": "x"}
}

// federation is a user's consent, step by step.
type federation struct {
	*kit
	vendor   *vendorServer
	callback string
	token    *string
	browser  *http.Client
	session  string // the agent's name for it
	handle   string // the application's, of the last that came back
	link     string
}

func newFederation(t *testing.T) *federation {
	k, v := newKit(t, users{"a.b.c": ann(), said(ann()): ann(), said(bob()): bob()}), newVendor(t)
	f := &federation{kit: k, vendor: v, callback: k.custom("svc", v, nil), token: k.workloadToken("desk", "ann", returnURL), browser: browser(t)}
	return f
}

// ask starts a session, or is told a token.
func (f *federation) ask(change func(*data.GetResourceOauth2TokenInput)) string {
	f.Helper()
	out, err := f.kit.token(dt.Oauth2FlowTypeUserFederation, f.token, func(in *data.GetResourceOauth2TokenInput) {
		withReturn(in)
		if change != nil {
			change(in)
		}
	})
	if err != nil {
		f.Fatal(err)
	}
	if out.AccessToken != nil {
		return *out.AccessToken
	}
	if out.SessionStatus == dt.SessionStatusFailed {
		return "FAILED"
	}
	if out.SessionStatus != dt.SessionStatusInProgress {
		f.Fatalf("%+v", out)
	}
	f.session, f.link = *out.SessionUri, *out.AuthorizationUrl
	return ""
}

func (f *federation) poll() string {
	return f.ask(func(in *data.GetResourceOauth2TokenInput) { in.SessionUri = aws.String(f.session) })
}

// begin leads the browser to the service and returns its state.
func (f *federation) begin() string {
	f.Helper()
	status, at := visit(f.T, f.browser, f.link)
	if status != http.StatusFound || !strings.HasPrefix(at.String(), f.vendor.URL+"/authorize?") {
		f.Fatalf("%d %s", status, at)
	}
	wantForm(f.T, at.Query(), map[string]string{
		"tenant": "1", "client_id": "client", "response_type": "code", "redirect_uri": f.callback, "scope": "read write", "code_challenge_method": "S256", "access_type": "offline", "client_secret": "-",
	})
	if len(at.Query().Get("code_challenge")) != 43 || strings.Contains(at.Query().Get("state"), "a:b") {
		f.Errorf("%s", at)
	}
	return at.Query().Get("state")
}

func (f *federation) back(state, more string) (int, *url.URL) {
	f.Helper()
	status, at := visit(f.T, f.browser, f.callback+"?code=c0de&state="+url.QueryEscape(state)+more)
	if status == http.StatusFound {
		f.handle = at.Query().Get("session_id")
	}
	return status, at
}

func (f *federation) complete(c *data.Client, who dt.UserIdentifier) error {
	_, err := c.CompleteResourceTokenAuth(f.Context(), &data.CompleteResourceTokenAuthInput{SessionUri: &f.handle, UserIdentifier: who})
	return err
}

func byID(id string) dt.UserIdentifier { return &dt.UserIdentifierMemberUserId{Value: id} }

// TestUserFederation is the whole way, and what is kept of it.
func TestUserFederation(t *testing.T) {
	f := newFederation(t)
	f.ask(nil)
	if f.poll() != "" {
		t.Error("there is a token before consent")
	}
	state := f.begin()
	status, at := f.back(state, "&session_state=1&scope=a+b&authuser=0") // what vendors add
	if status != http.StatusFound || !strings.HasPrefix(at.String(), "https://app.example/back?") || at.Query().Get("session_id") == f.session || at.Query().Get("state") != "a:b" || at.Query().Get("x") != "1" {
		t.Fatalf("%d %s", status, at)
	}
	if at.Query().Has("code") || f.vendor.count() != 0 {
		t.Error("the code left the platform, or was exchanged before the user was checked")
	}
	if f.poll() != "" {
		t.Error("there is a token before the user was checked")
	}
	if err := f.complete(f.data, byID("ann")); err != nil {
		t.Fatal(err)
	}
	form := f.vendor.last(t)
	wantForm(t, form, map[string]string{"grant_type": "authorization_code", "code": "c0de", "redirect_uri": f.callback})
	if len(form.Get("code_verifier")) != 43 {
		t.Errorf("verifier %q", form.Get("code_verifier"))
	}
	for _, read := range []func() string{f.poll, func() string { return f.ask(nil) }} {
		if got := read(); got != "at-1" {
			t.Errorf("got %q", got)
		}
	}
	// Shortly before its end it is refreshed, by one of many.
	f.skew = 3600*time.Second - 59*time.Second
	f.token = f.workloadToken("desk", "ann")
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			out, err := f.kit.token(dt.Oauth2FlowTypeUserFederation, f.token, withReturn)
			if err != nil || out.AccessToken == nil || *out.AccessToken != "at-2" {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
	wait.Wait()
	wantForm(t, f.vendor.last(t), map[string]string{"grant_type": "refresh_token", "refresh_token": "rt-1"})
	if f.vendor.count() != 2 {
		t.Errorf("asked %d times", f.vendor.count())
	}
	// When the service does not take it any more, the user is asked again.
	f.skew *= 2
	f.token = f.workloadToken("desk", "ann")
	f.vendor.answer = func(url.Values) (int, string) { return 400, `{"error":"invalid_grant"}` }
	if got := f.ask(nil); got != "" {
		t.Errorf("got %q", got)
	}
	if n := f.rows(); n != 0 {
		t.Errorf("%d tokens are kept", n)
	}
}

// rows counts the tokens in the vault.
func (k *kit) rows() (n int) {
	err := k.store.View(k.Context(), func(r store.Reader) error {
		n = 0
		for row, err := range r.Rows(workload.KeptTable, store.Range{}) {
			if err != nil {
				return err
			}
			for _, secret := range []string{"at-", "rt-", "s3cret"} {
				if strings.Contains(string(row.Value), secret) {
					k.Errorf("a row holds %s in the clear", secret)
				}
			}
			n++
		}
		return nil
	})
	if err != nil {
		k.Fatal(err)
	}
	return n
}

// consent goes the whole way for a user.
func (f *federation) consent(who dt.UserIdentifier, change func(*data.GetResourceOauth2TokenInput)) {
	f.Helper()
	f.ask(change)
	f.back(f.begin(), "")
	if err := f.complete(f.data, who); err != nil {
		f.Fatal(err)
	}
}

// TestForceAuthentication drops what is stored, and asks again.
func TestForceAuthentication(t *testing.T) {
	f := newFederation(t)
	f.consent(byID("ann"), nil)
	if got := f.ask(func(in *data.GetResourceOauth2TokenInput) { in.ForceAuthentication = aws.Bool(true) }); got != "" || f.rows() != 0 {
		t.Errorf("got %q, %d tokens", got, f.rows())
	}
}

// TestConsentFails: a user who refuses, a service that does, and too late.
func TestConsentFails(t *testing.T) {
	f := newFederation(t)
	f.ask(nil)
	state := f.begin()
	status, at := visit(t, f.browser, f.callback+"?error=access_denied&error_description=no&state="+url.QueryEscape(state))
	if status != 302 || at.Query().Get("error") != "access_denied" || at.Query().Get("error_description") != "no" || !strings.HasPrefix(at.Query().Get("session_id"), f.session+".") {
		t.Errorf("%d %s", status, at)
	}
	if got := f.poll(); got != "FAILED" {
		t.Errorf("got %q", got)
	}
	f.vendor.answer = func(url.Values) (int, string) {
		return 400, `{"error":"invalid_grant","error_description":"code is old"}`
	}
	f.ask(nil)
	f.back(f.begin(), "")
	f.refused(f.complete(f.data, byID("ann")), "ValidationException", "invalid_grant: code is old")
	if got := f.poll(); got != "FAILED" {
		t.Errorf("got %q", got)
	}
	// A provider that is another by then gets no code of this one.
	f.ask(nil)
	f.back(f.begin(), "")
	n := f.vendor.count()
	if _, err := f.control.DeleteOauth2CredentialProvider(t.Context(), &control.DeleteOauth2CredentialProviderInput{Name: aws.String("svc")}); err != nil {
		t.Fatal(err)
	}
	f.custom("svc", f.vendor, nil)
	f.refused(f.complete(f.data, byID("ann")), "ResourceNotFoundException", "svc")
	if f.vendor.count() != n {
		t.Error("a code went to a provider that was not asked for it")
	}
}

// TestWhatGoesWithWhat: tokens go with their provider, their workload and their user's
// word.
func TestWhatGoesWithWhat(t *testing.T) {
	f := newFederation(t)
	ctx := t.Context()
	f.consent(byID("ann"), nil)
	if _, err := f.m2m(f.token, nil); err != nil || f.rows() != 2 {
		t.Fatalf("%v, %d", err, f.rows())
	}
	f.custom("other", f.vendor, nil)
	if _, err := f.m2m(f.token, func(in *data.GetResourceOauth2TokenInput) { in.ResourceCredentialProviderName = aws.String("other") }); err != nil || f.rows() != 3 {
		t.Fatalf("%v, %d", err, f.rows())
	}
	// Another server's client: no refresh token goes there.
	_, err := f.control.UpdateOauth2CredentialProvider(ctx, &control.UpdateOauth2CredentialProviderInput{
		Name: aws.String("other"), CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2,
		Oauth2ProviderConfigInput: &types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: types.CustomOauth2ProviderConfigInput{
			OauthDiscovery: &types.Oauth2DiscoveryMemberDiscoveryUrl{Value: f.vendor.discovery()}, ClientId: aws.String("another"), ClientSecret: aws.String("s"),
		}},
	})
	if err != nil || f.rows() != 2 {
		t.Errorf("%v, %d", err, f.rows())
	}
	if _, err := f.control.DeleteOauth2CredentialProvider(ctx, &control.DeleteOauth2CredentialProviderInput{Name: aws.String("svc")}); err != nil || f.rows() != 0 {
		t.Errorf("%v, %d", err, f.rows())
	}
	f.custom("svc", f.vendor, nil)
	if _, err := f.m2m(f.token, nil); err != nil || f.rows() != 1 {
		t.Fatalf("%v, %d", err, f.rows())
	}
	if _, err := f.control.DeleteWorkloadIdentity(ctx, &control.DeleteWorkloadIdentityInput{Name: aws.String("desk")}); err != nil || f.rows() != 0 {
		t.Errorf("%v, %d", err, f.rows())
	}
}

// TestNoTokenEndpoint: what is missing can be mended by who reads it.
func TestNoTokenEndpoint(t *testing.T) {
	f := newFederation(t)
	f.vendor.more["token_endpoint"] = ""
	if _, err := f.m2m(f.token, nil); err == nil || !strings.Contains(err.Error(), "names no token_endpoint. Have its authorization server name one") {
		t.Error(err)
	}
}

// TestOnBehalfOf are the forms of spec/identity.md 5.4.
func TestOnBehalfOf(t *testing.T) {
	k, v := newKit(t, users{"a.b.c": ann()}), newVendor(t)
	ctx := t.Context()
	k.workloadToken("desk", "")
	made, err := k.data.GetWorkloadAccessTokenForJWT(ctx, &data.GetWorkloadAccessTokenForJWTInput{WorkloadName: aws.String("desk"), UserToken: aws.String("a.b.c")})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(provider string, token *string) error {
		_, err := k.token(dt.Oauth2FlowTypeOnBehalfOfTokenExchange, token, func(in *data.GetResourceOauth2TokenInput) {
			in.ResourceCredentialProviderName, in.Audiences = &provider, []string{"api"}
		})
		return err
	}
	exchange := func(actor types.ActorTokenContentType, scopes []string, nobody bool) func(*types.CustomOauth2ProviderConfigInput) {
		return func(c *types.CustomOauth2ProviderConfigInput) {
			c.OnBehalfOfTokenExchangeConfig = &types.OnBehalfOfTokenExchangeConfigType{
				GrantType: types.OnBehalfOfTokenExchangeGrantTypeTypeTokenExchange, TokenExchangeGrantTypeConfig: &types.TokenExchangeGrantTypeConfigType{ActorTokenContent: actor, ActorTokenScopes: scopes},
			}
			if nobody {
				c.OnBehalfOfTokenExchangeConfig.OnBehalfOfAuthenticationConfig = &types.OnBehalfOfAuthenticationConfig{ClientAuthenticationMethod: types.OnBehalfOfClientAuthenticationMethodNoClient}
			}
		}
	}
	const jwtType = "urn:ietf:params:oauth:token-type:jwt"
	want := map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": "a.b.c", "subject_token_type": jwtType, "scope": "read write", "audience": "api", "actor_token": "-"}
	k.custom("plain", v, exchange(types.ActorTokenContentTypeNone, nil, false))
	if err := ask("plain", made.WorkloadAccessToken); err != nil {
		t.Fatal(err)
	}
	wantForm(t, v.last(t), want)
	k.custom("nobody", v, exchange(types.ActorTokenContentTypeNone, nil, true))
	if err := ask("nobody", made.WorkloadAccessToken); err != nil {
		t.Fatal(err)
	}
	wantForm(t, v.last(t), want)
	if v.basics[0] != "client:s3cret" || v.basics[1] != ":" {
		t.Errorf("clients %q", v.basics)
	}
	k.custom("actor", v, exchange(types.ActorTokenContentTypeM2m, []string{"act"}, false))
	if err := ask("actor", made.WorkloadAccessToken); err != nil {
		t.Fatal(err)
	}
	wantForm(t, v.asked[2], map[string]string{"grant_type": "client_credentials", "scope": "act"})
	want["actor_token"], want["actor_token_type"] = "at-3", "urn:ietf:params:oauth:token-type:access_token"
	wantForm(t, v.last(t), want)
	k.custom("bearer", v, func(c *types.CustomOauth2ProviderConfigInput) {
		c.OnBehalfOfTokenExchangeConfig = &types.OnBehalfOfTokenExchangeConfigType{GrantType: types.OnBehalfOfTokenExchangeGrantTypeTypeJwtAuthorizationGrant}
	})
	if err := ask("bearer", made.WorkloadAccessToken); err != nil {
		t.Fatal(err)
	}
	wantForm(t, v.last(t), map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b.c", "scope": "read write", "audience": "api", "requested_token_use": "-"})

	k.custom("none", v, nil)
	k.refused(ask("none", made.WorkloadAccessToken), "ValidationException", "has no onBehalfOfTokenExchangeConfig")
	k.refused(ask("plain", k.workloadToken("desk", "ann")), "ValidationException", "user's JWT")
	if !slices.Equal(v.asked[len(v.asked)-1]["assertion"], []string{"a.b.c"}) {
		t.Error("a refused call went out")
	}
}
