package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	datatypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

// elsewhere is another company's authorization server, where everybody agrees at once.
type elsewhere struct {
	*httptest.Server
	mu    sync.Mutex
	forms []url.Values
	deny  bool // exchanges
}

func newElsewhere(t *testing.T) *elsewhere {
	v := &elsewhere{}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		defer v.mu.Unlock()
		if r.URL.Path == "/authorize" {
			q := r.URL.Query()
			http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {"c-1"}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
			return
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		v.forms = append(v.forms, r.PostForm)
		w.Header().Set("Content-Type", "application/json")
		if v.deny && strings.HasSuffix(r.PostForm.Get("grant_type"), "token-exchange") {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"%s is not of mine"}`, r.PostForm.Get("subject_token"))
			return
		}
		fmt.Fprintf(w, `{"access_token":"pl4nted-%d","expires_in":3600,"token_type":"Bearer"}`, len(v.forms))
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *elsewhere) last() url.Values {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.forms[len(v.forms)-1]
}

const appReturn = "https://app.example/back"

// client makes a credential provider for the vendor, and lets users come back to appReturn.
func (g *portal) client(v *elsewhere) (provider string) {
	g.t.Helper()
	made, err := g.control.CreateOauth2CredentialProvider(g.t.Context(), &control.CreateOauth2CredentialProviderInput{
		Name: aws.String("crm"), CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2,
		Oauth2ProviderConfigInput: &types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: types.CustomOauth2ProviderConfigInput{
			ClientId: aws.String("client"), ClientSecret: aws.String(plantedSecret),
			OauthDiscovery: &types.Oauth2DiscoveryMemberAuthorizationServerMetadata{Value: types.Oauth2AuthorizationServerMetadata{
				Issuer: &v.URL, AuthorizationEndpoint: aws.String(v.URL + "/authorize"), TokenEndpoint: aws.String(v.URL + "/token"),
			}},
			OnBehalfOfTokenExchangeConfig: &types.OnBehalfOfTokenExchangeConfigType{
				GrantType:                    types.OnBehalfOfTokenExchangeGrantTypeTypeTokenExchange,
				TokenExchangeGrantTypeConfig: &types.TokenExchangeGrantTypeConfigType{ActorTokenContent: types.ActorTokenContentTypeNone},
			},
		}},
	})
	g.must(err)
	g.must(g.store.Update(g.t.Context(), func(tx store.Tx) error {
		_, err := workload.SetReturnURLs(tx, g.source.Scope, gatewayID, []string{appReturn})
		return err
	}))
	return *made.CredentialProviderArn
}

// ann is a caller whose token a user pool of this server made.
func (g *portal) ann() target.Caller {
	g.t.Helper()
	ctx, scope := g.t.Context(), g.source.Scope
	pool, err := g.pools.CreatePool(ctx, scope, issuer.Settings{Name: "people"})
	g.must(err)
	user, err := g.pools.CreateUser(ctx, pool, issuer.NewUser{Name: "ann"})
	g.must(err)
	c, err := g.pools.CreateClient(ctx, scope, pool.ID, issuer.ClientSettings{Name: "app"}, false, secret.String{})
	g.must(err)
	tokens, err := g.pools.Mint(ctx, pool, c, user, issuer.SignIn{Issuer: issuer.Issuer(pool.ID), Scopes: []string{"openid"}}, false)
	g.must(err)
	claims := claimsOf(g.t, tokens.Access.Reveal())
	return target.Caller{Issuer: claims["iss"].(string), Subject: claims["sub"].(string), Token: tokens.Access}
}

// agrees walks a user's browser from a login page to the application, and returns the
// session that it is told.
func (g *portal) agrees(at string) string {
	g.t.Helper()
	jar, err := cookiejar.New(nil)
	g.must(err)
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), appReturn) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	answer, err := browser.Get(at)
	g.must(err)
	defer answer.Body.Close()
	back, err := answer.Location()
	g.must(err)
	browser.CloseIdleConnections()
	return back.Query().Get("session_id")
}

// complete says as the application who has agreed.
func (g *portal) complete(session string, who datatypes.UserIdentifier) {
	g.t.Helper()
	root, err := g.directory.Root(g.t.Context())
	g.must(err)
	data := bedrockagentcore.New(bedrockagentcore.Options{
		BaseEndpoint: &g.url, Region: "us-west-2", RetryMaxAttempts: 1,
		Credentials: awscredentials.NewStaticCredentialsProvider(root.AccessKeyID, root.Secret.Reveal(), ""),
	})
	_, err = data.CompleteResourceTokenAuth(g.t.Context(), &bedrockagentcore.CompleteResourceTokenAuthInput{SessionUri: &session, UserIdentifier: who})
	g.must(err)
}

// TestGatewayLogin: a user without a token is sent to agree; afterwards the same call is
// made with that user's token, and with nobody else's.
func TestGatewayLogin(t *testing.T) {
	g, v := newPortal(t), newElsewhere(t)
	g.role(g.tokenGrants()...)
	provider := g.client(v)
	cr := g.with("OAUTH", &agentcorecontrol.CredentialProvider{OauthCredentialProvider: &agentcorecontrol.OAuthCredentialProvider{
		ProviderArn: &provider, Scopes: []string{"read"}, GrantType: new("AUTHORIZATION_CODE"), DefaultReturnUrl: new(appReturn)}})
	ann := g.ann()
	call := &target.Call{Caller: ann, Version: "2025-11-25"}

	_, err := g.header(cr, call)
	var rpc *target.Error
	if !errors.As(err, &rpc) || rpc.Code != -32042 {
		t.Fatalf("%v", err)
	}
	var data struct{ Elicitations []struct{ URL string } }
	g.must(json.Unmarshal(rpc.Data, &data))
	g.complete(g.agrees(data.Elicitations[0].URL), &datatypes.UserIdentifierMemberUserToken{Value: ann.Token.Reveal()})
	got, err := g.header(cr, call)
	if err != nil || got != "Bearer pl4nted-1" {
		t.Fatalf("%s, %v", got, err)
	}
	bob := ann
	bob.Subject = "bob" // whom the token does not name: it is what counts
	if _, err := g.header(cr, &target.Call{Caller: bob, Version: "2025-11-25"}); err == nil {
		t.Error("a caller is served whom the token does not name")
	}
	_, err = g.header(cr, &target.Call{Caller: ann, Version: "2025-11-25", Meta: json.RawMessage(
		`{"aws.bedrock-agentcore.gateway/credentialProviderConfiguration":{"oauthCredentialProvider":{"returnUrl":"https://evil.example/"}}}`)})
	if err != nil { // kept: nobody is sent anywhere
		t.Error(err)
	}
	_, err = g.header(cr, &target.Call{Caller: ann, Version: "2025-11-25", Meta: json.RawMessage(
		`{"aws.bedrock-agentcore.gateway/credentialProviderConfiguration":{"oauthCredentialProvider":{"returnUrl":"https://evil.example/","forceAuthentication":true}}}`)})
	g.refused(err, "https://evil.example/", "allowedResourceOauth2ReturnUrls")

	// The gateway itself asks for what there is to list.
	_, err = g.header(cr, &target.Call{Catalogue: true})
	var consent *target.Consent
	if !errors.As(err, &consent) {
		t.Fatalf("%v", err)
	}
	g.complete(g.agrees(consent.URL), &datatypes.UserIdentifierMemberUserId{Value: consent.UserID})
	g.source.Consenter = consent.UserID
	cr = g.with("OAUTH", &agentcorecontrol.CredentialProvider{OauthCredentialProvider: &agentcorecontrol.OAuthCredentialProvider{
		ProviderArn: &provider, Scopes: []string{"read"}, GrantType: new("AUTHORIZATION_CODE"), DefaultReturnUrl: new(appReturn)}})
	if got, err := g.header(cr, &target.Call{Catalogue: true}); err != nil || got != "Bearer pl4nted-2" {
		t.Errorf("%s, %v", got, err)
	}
	events := []string{}
	for _, e := range []string{"GetWorkloadAccessTokenForJWT", "GetWorkloadAccessTokenForUserId"} {
		if len(g.audited(e)) > 0 {
			events = append(events, e)
		}
	}
	if len(events) != 2 {
		t.Errorf("the audit has %s alone", events)
	}
	g.clean(ann.Token.Reveal(), "pl4nted")
}

// TestGatewayExchange: the caller's token is exchanged at the vendor, whose refusal is told
// with its status and without what it says again of the token.
func TestGatewayExchange(t *testing.T) {
	g, v := newPortal(t), newElsewhere(t)
	g.role(g.tokenGrants()...)
	provider, ann := g.client(v), g.ann()
	cr := g.with("OAUTH", &agentcorecontrol.CredentialProvider{OauthCredentialProvider: &agentcorecontrol.OAuthCredentialProvider{
		ProviderArn: &provider, Scopes: []string{"read"}, GrantType: new("TOKEN_EXCHANGE"), CustomParameters: map[string]string{"audience": "crm"}}})
	if got, err := g.header(cr, &target.Call{Caller: ann}); err != nil || got != "Bearer pl4nted-1" {
		t.Fatalf("%s, %v", got, err)
	}
	if f := v.last(); f.Get("subject_token") != ann.Token.Reveal() || f.Get("audience") != "crm" || f.Get("scope") != "read" || !strings.HasSuffix(f.Get("grant_type"), ":token-exchange") {
		t.Errorf("%v", f)
	}
	if got, err := g.header(cr, &target.Call{Catalogue: true}); err != nil || got != "Bearer pl4nted-2" || v.last().Get("grant_type") != "client_credentials" {
		t.Errorf("%s, %v", got, err)
	}
	v.mu.Lock()
	v.deny = true
	v.mu.Unlock()
	_, err := g.header(cr, &target.Call{Caller: ann})
	g.refused(err, "Token exchange failed with HTTP status 400", "invalid_grant", "'crm'")
	if strings.Contains(err.Error(), ann.Token.Reveal()) {
		t.Error("the error shows the token")
	}
	_, err = g.header(cr, &target.Call{})
	g.refused(err, "CUSTOM_JWT")
	g.clean(ann.Token.Reveal(), "pl4nted")
}

// clean asserts that nothing of some secrets is in the log and in the audit.
func (g *portal) clean(secrets ...string) {
	g.t.Helper()
	records := fmt.Sprintf("%+v", g.audited(""))
	for _, s := range slices.Concat(secrets, []string{plantedSecret, plantedKey}) {
		if strings.Contains(g.log.String(), s) || strings.Contains(records, s) {
			g.t.Errorf("'%s...' is in the log or the audit", s[:7])
		}
	}
}
