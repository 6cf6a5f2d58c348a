package identity_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	dt "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/identity/consent"
	"github.com/outcrop/outcrop/internal/identity/oauth"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

const (
	gatewayARN   = "arn:aws:bedrock-agentcore:us-west-2:111122223333:gateway/tools-abcdefghij"
	portalBegin  = "https://portal.example/connect"
	portalReturn = "https://portal.example/connect/callback"
)

// hosted makes the workload identity of a gateway that has a consent portal.
func hosted(c *identity.Config) {
	c.Portal = func(_ context.Context, arn string) (identity.Portal, error) {
		if arn != gatewayARN {
			return identity.Portal{}, nil
		}
		return identity.Portal{Begin: portalBegin, Return: portalReturn}, nil
	}
}

// asked begins a consent of ann's for a gateway, whose workload token no client can have.
func asked(k *kit, back string) (*data.GetResourceOauth2TokenOutput, error) {
	k.Helper()
	k.must(k.store.Update(k.Context(), func(tx store.Tx) error {
		_, err := workload.Create(tx, workload.Identity{Scope: scope, Name: "tools-abcdefghij", Host: gatewayARN})
		if errors.Is(err, store.ErrExists) {
			err = nil
		}
		return err
	}))
	token, err := k.tokens.Make(k.Context(), workload.Claims{Scope: scope, Workload: "tools-abcdefghij", Host: gatewayARN, User: workload.User{Kind: workload.ByJWT, Issuer: "https://issuer", Name: "ann"}})
	k.must(err)
	return k.token(dt.Oauth2FlowTypeUserFederation, aws.String(token.Reveal()), func(in *data.GetResourceOauth2TokenInput) {
		in.ResourceOauth2ReturnUrl, in.CustomState = &back, nil
	})
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// TestThroughPortal: a link that leads back to a gateway's portal leads there first, and on
// to the service in the browser alone that the portal gave the pass to.
func TestThroughPortal(t *testing.T) {
	var service *identity.Service
	k, v := newKit(t, users{}, hosted), newVendor(t)
	k.custom("svc", v, nil)
	service = k.service
	_, err := asked(k, "https://elsewhere.example/")
	k.refused(err, "ValidationException", "allowedResourceOauth2ReturnUrls")
	out, err := asked(k, portalReturn) // in no list
	k.must(err)
	uri := *out.SessionUri
	led := func(b *http.Client, at string) *url.URL {
		t.Helper()
		status, to := visit(t, b, at)
		if status != http.StatusFound {
			t.Fatalf("%d", status)
		}
		return to
	}
	anns, eves := browser(t), browser(t)
	for range 2 { // it is not used up
		if to := led(eves, *out.AuthorizationUrl); to.String() != portalBegin+"?request_uri="+url.QueryEscape(uri) {
			t.Fatalf("%s", to)
		}
	}
	pending, err := service.Pending(t.Context(), uri)
	if want := (identity.Pending{Scope: scope, Workload: "tools-abcdefghij", Provider: "svc", User: workload.User{Kind: workload.ByJWT, Issuer: "https://issuer", Name: "ann"}, ReturnURL: portalReturn}); err != nil || pending != want {
		t.Errorf("%+v, %v", pending, err)
	}
	other := pending
	other.User.Name = "eve"
	for _, try := range []struct {
		uri string
		p   identity.Pending
	}{{uri, other}, {uri + "x", pending}, {"x", pending}} {
		if _, err := service.Vouch(t.Context(), try.uri, "state", try.p); !errors.Is(err, consent.ErrNone) {
			t.Errorf("%s: %v", try.uri, err)
		}
	}
	at, err := service.Vouch(t.Context(), uri, "old", pending)
	k.must(err)
	now, err := service.Vouch(t.Context(), uri, "ann's", pending)
	k.must(err)
	for _, without := range []string{*out.AuthorizationUrl, at, now + "x", *out.AuthorizationUrl + "~"} {
		if to := led(eves, without); !strings.HasPrefix(to.String(), portalBegin) {
			t.Errorf("without the pass %s leads to %s", without, to)
		}
	}
	sent := led(anns, now)
	if !strings.HasPrefix(sent.String(), v.URL+"/authorize?") {
		t.Fatalf("%s", sent)
	}
	if status, _ := visit(t, eves, now); status != http.StatusBadRequest {
		t.Errorf("a second browser: %d", status)
	}
	if _, err := service.Pending(t.Context(), uri); !errors.Is(err, consent.ErrNone) {
		t.Errorf("it was begun: %v", err)
	}
	back := led(anns, sent.Query().Get("redirect_uri")+"?code=c0de&state="+url.QueryEscape(sent.Query().Get("state")))
	if q := back.Query(); !strings.HasPrefix(back.String(), portalReturn+"?") || q.Get("state") != "ann's" || !strings.HasPrefix(q.Get("session_id"), uri+".") {
		t.Errorf("%s", back)
	}
}

// TestConnection: what a user agreed to is seen and taken back, at the service too.
func TestConnection(t *testing.T) {
	f := newFederation(t)
	revoked := make(chan url.Values, 4)
	status := http.StatusOK
	f.vendor.more["revocation_endpoint"] = f.vendor.URL + "/revoke"
	f.vendor.revoke = func(r *http.Request) int {
		id, password, _ := r.BasicAuth()
		r.PostForm.Set("by", id+":"+password)
		revoked <- r.PostForm
		return status
	}
	c := identity.Connection{Scope: scope, Workload: "desk", Provider: "svc", User: workload.User{Kind: workload.ByID, Name: "ann"}, Scopes: []string{"write", "read"},
		Parameters: map[string]string{"access_type": "offline", "redirect_uri": "https://evil", "code_challenge": "x"}}
	connected := func() bool {
		t.Helper()
		is, err := f.service.Connected(t.Context(), c)
		f.must(err)
		return is
	}
	if connected() {
		t.Error("connected before anybody has agreed")
	}
	f.must(f.service.Disconnect(t.Context(), c))
	f.consent(byID("ann"), nil)
	if !connected() {
		t.Error("not connected")
	}
	f.skew = 2 * time.Hour // the access token is over, and another can be had
	if !connected() {
		t.Error("not connected with a refresh token")
	}
	f.skew = 0
	other := c
	other.Scopes = []string{"read"}
	if is, err := f.service.Connected(t.Context(), other); is || err != nil {
		t.Errorf("other scopes: %v, %v", is, err)
	}
	f.must(f.service.Disconnect(t.Context(), other))
	if !connected() || len(revoked) != 0 {
		t.Error("another connection's end ends it")
	}
	status = http.StatusServiceUnavailable // which changes nothing here
	f.must(f.service.Disconnect(t.Context(), c))
	got := <-revoked
	wantForm(t, got, map[string]string{"token": "rt-1", "token_type_hint": "refresh_token", "by": "client:s3cret"})
	if connected() || f.rows() != 0 {
		t.Error("still connected")
	}
	c.Provider = "none"
	if _, err := f.service.Connected(t.Context(), c); err == nil {
		t.Error("of no provider")
	}
}

// TestSignIn: a credential provider is a client of OpenID Connect to whom it signs in.
func TestSignIn(t *testing.T) {
	k, v := newKit(t, users{}), newVendor(t)
	k.custom("people", v, nil)
	v.more["authorization_response_iss_parameter_supported"] = true
	is, err := k.service.SignIn(t.Context(), scope, "people")
	if want := (identity.SignIn{Vendor: "CustomOauth2", ClientID: "client", DiscoveryURL: v.discovery()}); err != nil || is != want {
		t.Errorf("%+v, %v", is, err)
	}
	to, err := k.service.SendToSignIn(t.Context(), scope, "people", oauth.Authorization{
		Redirect: "https://portal.example/callback", State: secret.NewString("s"), Nonce: secret.NewString("n"), Verifier: secret.NewString("v"), Prompt: "login", Wish: oauth.Wish{Scopes: []string{"openid"}, Audiences: []string{"api"}},
	})
	k.must(err)
	at, err := url.Parse(to.URL)
	k.must(err)
	wantForm(t, at.Query(), map[string]string{"client_id": "client", "state": "s", "nonce": "n", "prompt": "login", "scope": "openid", "audience": "api", "redirect_uri": "https://portal.example/callback", "code_challenge_method": "S256"})
	if to.Issuer != v.URL || !to.NamesItself || to.ClientID != "client" {
		t.Errorf("%+v", to)
	}
	v.answer = func(url.Values) (int, string) {
		return 200, `{"access_token":"a.b.c","id_token":"i.d.t","token_type":"Bearer"}`
	}
	got, err := k.service.RedeemSignIn(t.Context(), scope, "people", secret.NewString("c0de"), "https://portal.example/callback", secret.NewString("v"))
	k.must(err)
	if got.Access.Reveal() != "a.b.c" || got.ID.Reveal() != "i.d.t" {
		t.Error("other tokens")
	}
	wantForm(t, v.last(t), map[string]string{"grant_type": "authorization_code", "code": "c0de", "code_verifier": "v", "redirect_uri": "https://portal.example/callback"})
	if _, err := k.service.SignIn(t.Context(), scope, "none"); err == nil {
		t.Error("by no provider")
	}
}

// TestSameUser: a user is one by all names of their issuer, in what they agreed to as well.
func TestSameUser(t *testing.T) {
	k, v := newKit(t, users{"a.b.c": ann()}, func(c *identity.Config) {
		c.SameIssuer = func(_ context.Context, issuer string) (string, error) {
			if slices.Contains([]string{"https://issuer", "http://127.0.0.1/issuer"}, issuer) {
				return "https://one", nil
			}
			return issuer, nil
		}
	}), newVendor(t)
	k.custom("svc", v, nil)
	for name, want := range map[string]string{"https://issuer": "https://one", "http://127.0.0.1/issuer": "https://one", "https://other": "https://other"} {
		u, err := k.service.SameUser(t.Context(), workload.User{Kind: workload.ByJWT, Issuer: name, Name: "ann"})
		if err != nil || u.Issuer != want || u.Name != "ann" {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	if u, err := k.service.SameUser(t.Context(), workload.User{Kind: workload.ByID, Name: "https://issuer"}); err != nil || u.Issuer != "" || u.Name != "https://issuer" {
		t.Errorf("%+v, %v", u, err)
	}
	_, err := k.control.CreateWorkloadIdentity(t.Context(), &control.CreateWorkloadIdentityInput{Name: aws.String("desk"), AllowedResourceOauth2ReturnUrls: []string{returnURL}})
	k.must(err)
	made, err := k.data.GetWorkloadAccessTokenForJWT(t.Context(), &data.GetWorkloadAccessTokenForJWTInput{WorkloadName: aws.String("desk"), UserToken: aws.String("a.b.c")})
	k.must(err)
	out, err := k.token(dt.Oauth2FlowTypeUserFederation, made.WorkloadAccessToken, func(in *data.GetResourceOauth2TokenInput) { in.ResourceOauth2ReturnUrl = aws.String(returnURL) })
	k.must(err)
	if p, err := k.service.Pending(t.Context(), *out.SessionUri); err != nil || p.User.Issuer != "https://one" {
		t.Errorf("%+v, %v", p, err)
	}
}
