package identity

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	dt "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/chromium"
	"github.com/outcrop/outcrop/conformance/server"
)

// application is one that users come back to, at an origin of its own.
type application struct {
	URL  string
	back chan *http.Request
}

func newApplication(t *testing.T) *application {
	t.Helper()
	a := &application{back: make(chan *http.Request, 1)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/back" {
			http.NotFound(w, r)
			return
		}
		a.back <- r
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<title>Back</title><p>You are back.<script>document.title += ', with scripts'</script>") // a browser that has left
	}))
	t.Cleanup(s.Close)
	a.URL = s.URL + "/back"
	return a
}

// TestSignInPages has people sign in to a pool of the server's, as a service that an
// agent reaches: whoever they are, the token is theirs.
func TestSignInPages(t *testing.T) {
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})
	app, chrome := newApplication(t), chromium.Start(t)
	d := newDesk(t, s, app)
	signIn := func(name, password string) chromium.Step {
		return chromium.Step{Fill: map[string]string{"#username": name, "#password": password}, Click: "[value=login]"}
	}
	for name, c := range map[string]struct {
		chromium.Visit
		titles, user string
		says         map[int]string
	}{
		"by mouse, with a wrong password first and then a temporary one": {
			Visit: chromium.Visit{Steps: []chromium.Step{signIn("ada", "guess"), {Fill: map[string]string{"#password": "Temp-0rary"}, Click: "[value=login]"},
				{Fill: map[string]string{"#password": "Analytical-1", "#again": "Analytical-1"}, Click: "[value=password]"}}},
			titles: "Sign in; Sign in; Choose a password; Back, with scripts", user: "ada", says: map[int]string{1: "Incorrect username or password."},
		},
		"by keyboard alone": {
			Visit:  chromium.Visit{Steps: []chromium.Step{{Keys: []string{"bob", "Tab", "guess", "Enter"}}, {Keys: []string{"Bob-12345", "Tab", "Space"}}}},
			titles: "Sign in; Sign in; Back, with scripts", user: "bob", says: map[int]string{1: "Incorrect username or password."},
		},
		"without scripts": {Visit: chromium.Visit{Plain: true, Steps: []chromium.Step{signIn("bob", "Bob-12345")}}, titles: "Sign in; Back", user: "bob"},
		"not at all":      {Visit: chromium.Visit{Steps: []chromium.Step{{Click: "[value=cancel]"}}}, titles: "Sign in; Back, with scripts"},
	} {
		t.Run(name, func(t *testing.T) {
			chrome.T = t
			user := strings.ReplaceAll(name, " ", "-")
			begun := d.ask(t, user, "")
			c.Link = aws.ToString(begun.AuthorizationUrl)
			pages := chrome.Walk(c.Visit)
			var titles []string
			for i, p := range pages {
				titles = append(titles, p.Title)
				if !strings.Contains(p.Text, c.says[i]) {
					t.Errorf("page %d says %q, want %q", i+1, p.Text, c.says[i])
				}
			}
			if got := strings.Join(titles, "; "); got != c.titles {
				t.Fatalf("the pages are %s, want %s", got, c.titles)
			}
			query := (<-app.back).URL.Query()
			session := query.Get("session_id")
			if query.Has("code") || session == "" || (c.user == "") != (query.Get("error") == "access_denied") {
				t.Fatalf("the user came back with %v", query)
			}
			err := d.complete(t, user, session)
			out := d.ask(t, user, aws.ToString(begun.SessionUri))
			if c.user == "" {
				if err == nil || out.SessionStatus != dt.SessionStatusFailed {
					t.Errorf("who did not agree: %v, %+v", err, out)
				}
				return
			}
			if err != nil || out.AccessToken == nil {
				t.Fatalf("no token: %v, %+v", err, out)
			}
			if whose := payload(t, *out.AccessToken)["username"]; whose != c.user {
				t.Errorf("the token is of %v, want %s", whose, c.user)
			}
		})
	}
}

// desk is an application without a runtime, whose users let it reach a pool of the
// server's as a service named people.
type desk struct {
	data *data.Client
	made setup
	back string
}

func newDesk(t *testing.T, s *server.Server, app *application) *desk {
	t.Helper()
	ctx, cp := t.Context(), control.NewFromConfig(s.AWS())
	config := func(issuer, id, password string) types.Oauth2ProviderConfigInput {
		return &types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: types.CustomOauth2ProviderConfigInput{
			OauthDiscovery: &types.Oauth2DiscoveryMemberDiscoveryUrl{Value: issuer + "/.well-known/openid-configuration"}, ClientId: &id, ClientSecret: &password,
		}}
	}
	provider, err := cp.CreateOauth2CredentialProvider(ctx, &control.CreateOauth2CredentialProviderInput{
		Name: aws.String("people"), CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2,
		Oauth2ProviderConfigInput: config(s.URL+"/unknown", "unknown", "unknown"),
	})
	if err != nil {
		t.Fatal(err)
	}
	// A client has to name where its users come back to, and a provider its client.
	made := newSetupFor(t, s, *provider.CallbackUrl)
	_, err = cp.UpdateOauth2CredentialProvider(ctx, &control.UpdateOauth2CredentialProviderInput{
		Name: aws.String("people"), CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2,
		Oauth2ProviderConfigInput: config(s.URL+"/"+made.Pool, made.Private, made.PrivateSecret),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cp.CreateWorkloadIdentity(ctx, &control.CreateWorkloadIdentityInput{Name: aws.String("desk"), AllowedResourceOauth2ReturnUrls: []string{app.URL}}); err != nil {
		t.Fatal(err)
	}
	return &desk{data.NewFromConfig(s.AWS()), made, app.URL}
}

// ask asks for a user's token, or how a session of theirs has ended.
func (d *desk) ask(t *testing.T, user, session string) *data.GetResourceOauth2TokenOutput {
	t.Helper()
	made, err := d.data.GetWorkloadAccessTokenForUserId(t.Context(), &data.GetWorkloadAccessTokenForUserIdInput{WorkloadName: aws.String("desk"), UserId: &user})
	if err != nil {
		t.Fatal(err)
	}
	in := &data.GetResourceOauth2TokenInput{
		WorkloadIdentityToken: made.WorkloadAccessToken, ResourceCredentialProviderName: aws.String("people"), Scopes: []string{"openid", "email"},
		Oauth2Flow: dt.Oauth2FlowTypeUserFederation, ResourceOauth2ReturnUrl: &d.back,
	}
	if session != "" {
		in.SessionUri = &session
	}
	out, err := d.data.GetResourceOauth2Token(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// complete says which of the application's users has come back.
func (d *desk) complete(t *testing.T, user, session string) error {
	t.Helper()
	_, err := d.data.CompleteResourceTokenAuth(t.Context(), &data.CompleteResourceTokenAuthInput{SessionUri: &session, UserIdentifier: &dt.UserIdentifierMemberUserId{Value: user}})
	return err
}
