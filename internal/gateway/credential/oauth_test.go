package credential_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/credential"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret"
)

const login = "https://host/identities/oauth2/authorize?request_uri=urn%3Ax"

func codeSource() target.Source {
	return tokenSource(agentcorecontrol.OAuthCredentialProvider{GrantType: new("AUTHORIZATION_CODE"), Scopes: []string{"read"}, DefaultReturnUrl: new("https://app/back")})
}

// asking is a fake whose provider has no token yet.
func asking() *fake {
	f := newFake()
	f.answer = func(credential.Request) (credential.Answer, error) { return credential.Answer{LoginURL: login}, nil }
	return f
}

// TestLogin: a user without a token is told where to get one, as the caller's revision of
// MCP has it (spec/gateway.md 4.4).
func TestLogin(t *testing.T) {
	const url = `{"io.modelcontextprotocol/clientCapabilities":{"elicitation":{"url":{}}}}`
	for name, tt := range map[string]struct {
		version, meta string
		want          string // the kind of error
	}{
		"2025-03-26": {version: "2025-03-26", want: "failure"}, "2025-06-18": {version: "2025-06-18", want: "failure"},
		"no revision": {want: "failure"}, "2025-11-25": {version: "2025-11-25", want: "error"},
		"2026-07-28": {version: "2026-07-28", meta: url, want: "asked"}, "2026-07-28 without pages": {version: "2026-07-28", want: "failure"},
		"2026-07-28 with forms": {version: "2026-07-28", meta: `{"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}`, want: "failure"},
	} {
		_, err := apply(t, of(t, asking().maker(), codeSource()), &target.Call{Caller: ann(), Version: tt.version, Meta: json.RawMessage(tt.meta)})
		var asked *target.Asked
		var rpc *target.Error
		var failure *target.Failure
		switch {
		case errors.As(err, &asked) && tt.want == "asked":
			var got struct {
				ResultType    string
				InputRequests map[string]struct {
					Method string
					Params map[string]string
				}
			}
			if err := json.Unmarshal(asked.Result, &got); err != nil {
				t.Fatal(err)
			}
			r := got.InputRequests["login"]
			if got.ResultType != "input_required" || r.Method != "elicitation/create" || r.Params["mode"] != "url" || r.Params["url"] != login || r.Params["message"] == "" || len(r.Params) != 3 {
				t.Errorf("%s: %s", name, asked.Result)
			}
		case errors.As(err, &rpc) && tt.want == "error":
			var got struct{ Elicitations []map[string]string }
			if err := json.Unmarshal(rpc.Data, &got); err != nil || len(got.Elicitations) != 1 {
				t.Fatalf("%s, %v", rpc.Data, err)
			}
			e := got.Elicitations[0]
			if rpc.Code != -32042 || rpc.Message != "This request requires more information." || e["mode"] != "url" || e["url"] != login || len(e["elicitationId"]) != 36 ||
				e["message"] != "Please login to this URL for authorization." {
				t.Errorf("%s: %+v, %v", name, rpc, e)
			}
		case errors.As(err, &failure) && tt.want == "failure":
			if !failure.Shown || !strings.Contains(failure.Text, login) {
				t.Errorf("%s: %+v", name, failure)
			}
		default:
			t.Errorf("%s: %T %v, want %s", name, err, err, tt.want)
		}
	}
}

// TestUserTokens: a user's token is that user's alone, kept for as long as Identity lets,
// and asked for anew where the caller says so.
func TestUserTokens(t *testing.T) {
	f := newFake()
	f.answer = func(r credential.Request) (credential.Answer, error) {
		return credential.Answer{Value: secret.NewString(r.User.Issuer + " " + r.User.Subject), Until: f.now.Add(30 * time.Second)}, nil
	}
	cr := of(t, f.maker(), codeSource())
	as := func(issuer, subject, meta string) *credential.Request {
		t.Helper()
		n := len(f.asked)
		c := target.Caller{Issuer: issuer, Subject: subject, Token: secret.NewString("a.b.c")}
		r, err := apply(t, cr, &target.Call{Caller: c, Meta: json.RawMessage(meta)})
		if err != nil || r.Header.Get("Authorization") != "Bearer "+issuer+" "+subject {
			t.Fatalf("%v, %v", r.Header, err)
		}
		if len(f.asked) == n {
			return nil
		}
		return &f.asked[n]
	}
	if r := as("https://idp", "ann", ""); r == nil || r.Flow != credential.Federation || r.ReturnURL != "https://app/back" || r.Force || r.Scopes[0] != "read" || r.User.Token.Reveal() != "a.b.c" || r.User.ID != "" {
		t.Errorf("%+v", r)
	}
	if as("https://idp", "ann", "") != nil {
		t.Error("asked again")
	}
	for _, u := range [][2]string{{"https://idp", "bob"}, {"https://idpa", "nn"}, {"https://other", "ann"}} {
		if as(u[0], u[1], "") == nil {
			t.Errorf("%s has another's token", u)
		}
	}
	meta := `{"other":1,"aws.bedrock-agentcore.gateway/credentialProviderConfiguration":{"oauthCredentialProvider":{"returnUrl":"https://app/there","forceAuthentication":true}}}`
	if r := as("https://idp", "ann", meta); r == nil || !r.Force || r.ReturnURL != "https://app/there" {
		t.Errorf("%+v", r)
	}
	f.pass(30 * time.Second)
	if as("https://idp", "ann", "") == nil {
		t.Error("kept too long")
	}
}

// TestManyUsers: what is kept of users is bounded, and those that come beyond are served.
func TestManyUsers(t *testing.T) {
	f := newFake()
	cr := of(t, f.maker(), codeSource())
	for i := range 5000 {
		c := ann()
		c.Subject = fmt.Sprint(i)
		if _, err := apply(t, cr, &target.Call{Caller: c}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhoIsNoUser: what is for a user is for nobody who came without a verified token.
func TestWhoIsNoUser(t *testing.T) {
	for _, grant := range []string{"AUTHORIZATION_CODE", "TOKEN_EXCHANGE"} {
		cr := of(t, asking().maker(), tokenSource(agentcorecontrol.OAuthCredentialProvider{GrantType: &grant}))
		for _, c := range []target.Caller{{}, {Principal: "arn:aws:iam::1:user/u"}, {Token: secret.NewString(planted)}, {Issuer: "i", Token: secret.NewString(planted)}} {
			_, err := apply(t, cr, &target.Call{Caller: c})
			wantText(t, err, grant, "CUSTOM_JWT")
		}
	}
}

// TestReturnURL: where nobody says where users come back to, that is said.
func TestReturnURL(t *testing.T) {
	cr := of(t, asking().maker(), tokenSource(agentcorecontrol.OAuthCredentialProvider{GrantType: new("AUTHORIZATION_CODE")}))
	_, err := apply(t, cr, &target.Call{Caller: ann()})
	wantText(t, err, "defaultReturnUrl", "returnUrl", "allowedResourceOauth2ReturnUrls", "'gw-1'")
	for meta, says := range map[string]string{
		`{"aws.bedrock-agentcore.gateway/credentialProviderConfiguration":{"oauthCredentialProvider":{"returnUrl":1}}}`:                                   "is not of the form",
		`{"aws.bedrock-agentcore.gateway/credentialProviderConfiguration":"x"}`:                                                                           "is not of the form",
		`{"aws.bedrock-agentcore.gateway/credentialProviderConfiguration":{"oauthCredentialProvider":{"returnUrl":"` + strings.Repeat("x", 2049) + `"}}}`: "more than 2048",
	} {
		_, err := apply(t, cr, &target.Call{Caller: ann(), Meta: json.RawMessage(meta)})
		var rpc *target.Error
		if !errors.As(err, &rpc) || rpc.Code != -32602 {
			t.Fatalf("%v", err)
		}
		wantText(t, err, says)
	}
}

// TestCatalogueConsent: for the catalogue somebody agrees who is made up for that, the same
// one until it is done.
func TestCatalogueConsent(t *testing.T) {
	f := asking()
	_, err := apply(t, of(t, f.maker(), codeSource()), &target.Call{Catalogue: true})
	var c *target.Consent
	if !errors.As(err, &c) || c.URL != login || !strings.HasPrefix(c.UserID, "gw-1TARGET0001") || len(c.UserID) != len("gw-1TARGET0001")+36 || f.asked[0].User.ID != c.UserID {
		t.Fatalf("%v, %+v", err, f.asked)
	}
	s := codeSource()
	s.Consenter = c.UserID
	f.answer = nil
	if r, err := apply(t, of(t, f.maker(), s), &target.Call{Catalogue: true}); err != nil || f.asked[1].User.ID != c.UserID || r.Header.Get("Authorization") == "" {
		t.Errorf("%v, %+v", err, f.asked[1])
	}
}

type answered int

func (a answered) Error() string   { return fmt.Sprint("status ", int(a)) }
func (a answered) HTTPStatus() int { return int(a) }

// TestExchange: the caller's own token is exchanged at each call, and a refusal has AWS's
// words; for the catalogue the gateway has a token of its own.
func TestExchange(t *testing.T) {
	f := newFake()
	cr := of(t, f.maker(), tokenSource(agentcorecontrol.OAuthCredentialProvider{GrantType: new("TOKEN_EXCHANGE"), CustomParameters: map[string]string{"audience": "crm"}}))
	for range 2 {
		if _, err := apply(t, cr, &target.Call{Caller: ann()}); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.asked) != 2 || f.asked[1].Flow != credential.Exchange || f.asked[1].User.Token.Reveal() != planted+".jwt.ann" || f.asked[1].Parameters["audience"] != "crm" {
		t.Errorf("%+v", f.asked)
	}
	f.answer = func(credential.Request) (credential.Answer, error) {
		return credential.Answer{}, fault.Validation("The authorization server of credential provider 'crm' refused: invalid_grant").Because(answered(400))
	}
	_, err := apply(t, cr, &target.Call{Caller: ann()})
	wantText(t, err, "Token exchange failed with HTTP status 400", "invalid_grant", "'crm'")
	f.answer = nil
	if _, err := apply(t, cr, &target.Call{Catalogue: true}); err != nil || f.asked[3].Flow != credential.Machine || !f.asked[3].User.Token.Empty() {
		t.Errorf("%v, %+v", err, f.asked)
	}
}
