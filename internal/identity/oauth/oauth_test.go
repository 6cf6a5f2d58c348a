package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/identity/oauth"
	"github.com/outcrop/outcrop/internal/secret"
)

var _ error = (*oauth.Failure)(nil)

func at(seconds int64) func() time.Time {
	return func() time.Time { return time.Unix(seconds, 0).UTC() }
}

// endpoint answers as told.
func endpoint(t *testing.T, status int, contentType, body string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/json" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("headers %v", r.Header)
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return s
}

// TestAnswers: of services that keep to RFC 6749 5, and of those that do not.
func TestAnswers(t *testing.T) {
	const jsonType = "application/json;charset=utf-8"
	for name, c := range map[string]struct {
		status             int
		kind, body         string
		access, refresh    string
		expires            int64
		failure            string
		refused, otherwise bool
		token              bool // that is none
	}{
		"plain":             {status: 200, kind: jsonType, body: `{"access_token":"a","refresh_token":"r","expires_in":60}`, access: "a", refresh: "r", expires: 1060},
		"life as text":      {status: 200, kind: jsonType, body: `{"access_token":"a","expires_in":"60"}`, access: "a", expires: 1060},
		"no life":           {status: 200, kind: jsonType, body: `{"access_token":"a"}`, access: "a"},
		"life below zero":   {status: 200, kind: jsonType, body: `{"access_token":"a","expires_in":-1}`, access: "a"},
		"life without end":  {status: 200, kind: jsonType, body: `{"access_token":"a","expires_in":1e300}`, access: "a", expires: 1000 + 3650*86400},
		"form":              {status: 200, kind: "application/x-www-form-urlencoded", body: "access_token=a&expires_in=60", access: "a", expires: 1060},
		"form that refuses": {status: 200, kind: "application/x-www-form-urlencoded", body: "error=bad_verification_code&error_description=old", failure: "bad_verification_code: old", refused: true},
		"200 that refuses":  {status: 200, kind: jsonType, body: `{"ok":false,"error":"invalid_code"}`, failure: "invalid_code", refused: true},
		"refusal":           {status: 400, kind: jsonType, body: `{"error":"invalid_grant","error_description":"no\nmore"}`, failure: "invalid_grant: no more", refused: true},
		"out of order":      {status: 503, kind: "text/html", body: "<html>", failure: "status 503"},
		"500 that refuses":  {status: 500, kind: jsonType, body: `{"error":"server_error"}`, failure: "server_error"},
		"error is no text":  {status: 400, kind: jsonType, body: `{"error":{"message":"x"}}`, failure: "status 400"},
		"nothing":           {status: 200, kind: jsonType, body: `{}`, otherwise: true},
		"no JSON":           {status: 200, kind: jsonType, body: `x`, otherwise: true},
		"two lines":         {status: 200, kind: jsonType, body: `{"access_token":"pl4nted\r\nX-Evil: 1"}`, token: true},
		"one line end":      {status: 200, kind: "application/x-www-form-urlencoded", body: "access_token=pl4nted%0A", token: true},
		"no ASCII":          {status: 200, kind: jsonType, body: `{"access_token":"pl4ntéd"}`, token: true},
		"all that may be":   {status: 200, kind: jsonType, body: `{"access_token":"a ~!\"#/+="}`, access: `a ~!"#/+=`},
	} {
		t.Run(name, func(t *testing.T) {
			s := endpoint(t, c.status, c.kind, c.body)
			got, err := oauth.Caller{HTTP: s.Client(), Now: at(1000)}.Ask(t.Context(), s.URL, oauth.Client{}, url.Values{"grant_type": {"x"}})
			var failure *oauth.Failure
			switch {
			case c.token:
				if !errors.Is(err, oauth.ErrToken) || strings.Contains(err.Error(), "pl4nt") || !got.Access.Empty() {
					t.Errorf("%v", err)
				}
			case c.otherwise:
				if err == nil || errors.As(err, &failure) {
					t.Errorf("%v", err)
				}
			case c.failure != "":
				if !errors.As(err, &failure) || !strings.Contains(err.Error(), c.failure) || failure.Refused() != c.refused {
					t.Errorf("%v", err)
				}
			case err != nil || got.Access.Reveal() != c.access || got.Refresh.Reveal() != c.refresh || c.expires == 0 != got.Expires.IsZero() || c.expires != 0 && got.Expires.Unix() != c.expires:
				t.Errorf("%s %s %s, %v", got.Access.Reveal(), got.Refresh.Reveal(), got.Expires, err)
			}
		})
	}
}

// TestEchoes: what a service says again of a secret is not said on.
func TestEchoes(t *testing.T) {
	const planted = "pl4nted <secret>"
	for name, tt := range map[string]struct{ kind, body string }{
		"JSON":    {"application/json", `{"error":"invalid_client","error_description":"it is not pl4nted <secret>"}`},
		"escaped": {"application/json", `{"error":"invalid_client","error_description":"it is not pl4nted \u003csecret\u003e"}`},
		"form":    {"application/x-www-form-urlencoded", "error=invalid_client&error_description=it+is+not+pl4nted+%3Csecret%3E"},
		"cut":     {"application/json", `{"error":"invalid_client","error_description":"` + strings.Repeat("x", 505) + ` pl4nted <secret>"}`},
		"code":    {"application/json", `{"error":"pl4nted <secret>"}`},
	} {
		s := endpoint(t, 401, tt.kind, tt.body)
		for _, of := range []struct {
			client oauth.Client
			form   url.Values
		}{
			{oauth.Client{Secret: secret.NewString(planted), Method: oauth.Basic}, url.Values{}},
			{oauth.Client{Secret: secret.NewString(planted), Method: oauth.Post}, url.Values{}},
			{oauth.Client{}, url.Values{"subject_token": {planted}}},
		} {
			_, err := oauth.Caller{HTTP: s.Client(), Now: time.Now}.Ask(t.Context(), s.URL, of.client, of.form)
			var f *oauth.Failure
			if !errors.As(err, &f) || strings.Contains(err.Error(), "pl4n") || f.Code == "" || f.HTTPStatus() != 401 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestBasicIsEncoded: RFC 6749 2.3.1 wants both parts of a form's encoding.
func TestBasicIsEncoded(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, password, _ := r.BasicAuth()
		_ = json.NewEncoder(w).Encode(map[string]string{"access_token": id + " " + password})
	}))
	defer s.Close()
	got, err := oauth.Caller{HTTP: s.Client(), Now: time.Now}.Ask(t.Context(), s.URL, oauth.Client{ID: "a:b", Secret: secret.NewString("c d%"), Method: oauth.Basic}, url.Values{})
	if err != nil || got.Access.Reveal() != "a%3Ab c+d%25" {
		t.Errorf("%s, %v", got.Access.Reveal(), err)
	}
}

// TestNothingIsSentWhereNothingIsProven: a key that does not sign ends the request.
func TestNothingIsSentWhereNothingIsProven(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer s.Close()
	no := errors.New("disabled")
	c := oauth.Client{ID: "c", Method: oauth.Private, Assert: func(context.Context, string) (secret.String, error) { return secret.String{}, no }}
	if _, err := (oauth.Caller{HTTP: s.Client(), Now: time.Now}).Ask(t.Context(), s.URL, c, url.Values{}); !errors.Is(err, no) || asked.Load() != 0 {
		t.Errorf("%v, %d", err, asked.Load())
	}
}

// TestAuthorizationURL: nobody's parameters get in the way of ours.
func TestAuthorizationURL(t *testing.T) {
	got, err := oauth.Authorization{
		Endpoint: "https://a.example/authorize?state=theirs&keep=1", ClientID: "c", Redirect: "https://me/cb", State: secret.NewString("s"),
		Verifier: secret.NewString("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
		Wish:     oauth.Wish{Scopes: []string{"a", "b"}, Resources: []string{"https://r"}, Parameters: map[string]string{"prompt": "consent", "state": "evil", "request_uri": "evil", "response_mode": "form_post", "keep": "evil"}},
	}.URL()
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	// The challenge is that of RFC 7636, Appendix B.
	for name, want := range map[string]string{
		"state": "s", "keep": "1", "client_id": "c", "redirect_uri": "https://me/cb", "response_type": "code", "scope": "a b", "resource": "https://r", "prompt": "consent",
		"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256", "request_uri": "", "response_mode": "",
	} {
		if v := u.Query()[name]; len(v) > 1 || u.Query().Get(name) != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
}

// TestDiscovery: documents are kept, and believed of their own issuer alone.
func TestDiscovery(t *testing.T) {
	var asked atomic.Int32
	doc := map[string]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path == "/gone/.well-known/openid-configuration" {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(doc)
	}))
	defer s.Close()
	now := int64(1000)
	d := &oauth.Directory{HTTP: s.Client(), Now: func() time.Time { return at(now)() }}
	find := func(path, issuer, token string) error {
		doc["issuer"], doc["token_endpoint"] = issuer, token
		_, err := d.Find(t.Context(), s.URL+path)
		return err
	}
	const oidc, rfc8414 = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	for want, c := range map[string][3]string{
		"another issuer": {oidc, "https://evil.example", ""}, "not an https URL": {oidc, s.URL, "javascript:x"}, "a user": {oidc, s.URL, "https://u@a/"}, "status 404": {"/gone" + oidc, s.URL, ""},
	} {
		if err := find(c[0], c[1], c[2]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for path, issuer := range map[string]string{oidc: s.URL, "/t1" + oidc: s.URL + "/t1/", rfc8414: s.URL, rfc8414 + "/t2": s.URL + "/t2"} {
		if err := find(path, issuer, "https://a/token"); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	n := asked.Load()
	if err := find(oidc, "https://changed", ""); err != nil || asked.Load() != n {
		t.Errorf("it was not kept: %v", err)
	}
	now += 3601
	if err := find(oidc, "https://changed", ""); err == nil {
		t.Error("it was kept too long")
	}
	if err := find("/new"+oidc, s.URL+"/new", ""); err != nil {
		t.Error(err)
	}
	now += 11
	doc["token_endpoint"] = "https://a/token"
	if got, err := d.Find(t.Context(), s.URL+"/new"+oidc); err != nil || got.TokenEndpoint == "" {
		t.Errorf("one without a token endpoint is kept: %+v, %v", got, err)
	}
}

// FuzzAnswer: whatever a token endpoint says is a token, or an error without control
// characters.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/json", `{"access_token":"a","expires_in":60}`)
	f.Add(400, "application/json", "{\"error\":\"a\",\"error_description\":\"\\u0007\"}")
	f.Add(200, "application/x-www-form-urlencoded", "access_token=a&expires_in=-1")
	f.Fuzz(func(t *testing.T, status int, kind, body string) {
		trip := roundTrip(func(*http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			w.Header().Set("Content-Type", kind)
			_, _ = w.WriteString(body)
			r := w.Result()
			r.StatusCode = status
			return r, nil
		})
		got, err := oauth.Caller{HTTP: &http.Client{Transport: trip}, Now: at(1000)}.Ask(t.Context(), "https://a/token", oauth.Client{}, url.Values{})
		switch failure := (*oauth.Failure)(nil); {
		case err == nil:
			if got.Access.Empty() || !got.Expires.IsZero() && got.Expires.Before(time.Unix(1000, 0)) {
				t.Errorf("%+v", got)
			}
		case errors.As(err, &failure):
			if strings.ContainsFunc(failure.Code+failure.Description, func(r rune) bool { return r < 0x20 || r > 0x7e }) || len(failure.Code) > 128 || len(failure.Description) > 512 {
				t.Errorf("%q", failure)
			}
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestResources: what a token is for is said wherever one is asked for (RFC 8707), however
// it was said first; nothing else of the wish is said again.
func TestResources(t *testing.T) {
	for name, c := range map[string]struct {
		wish oauth.Wish
		want []string
	}{
		"none":           {oauth.Wish{Scopes: []string{"a"}, Audiences: []string{"b"}, Parameters: map[string]string{"prompt": "login"}}, nil},
		"resources":      {oauth.Wish{Resources: []string{"https://a", "https://b"}}, []string{"https://a", "https://b"}},
		"as a parameter": {oauth.Wish{Parameters: map[string]string{"resource": "https://a/mcp"}}, []string{"https://a/mcp"}},
		"both":           {oauth.Wish{Resources: []string{"https://a"}, Parameters: map[string]string{"resource": "https://b"}}, []string{"https://a"}},
	} {
		code := oauth.Code(secret.NewString("c"), "https://me/cb", secret.NewString("v"), c.wish)
		refresh := oauth.Refresh(secret.NewString("r"), c.wish)
		at, err := oauth.Authorization{Endpoint: "https://as/authorize", Wish: c.wish}.URL()
		if err != nil {
			t.Fatal(err)
		}
		if u, err := url.Parse(at); err != nil || !slices.Equal(u.Query()["resource"], c.want) {
			t.Errorf("%s: the user is sent to %s, %v", name, at, err)
		}
		for form, members := range map[string]int{code.Encode(): 4, refresh.Encode(): 2} {
			got, err := url.ParseQuery(form)
			if err != nil || !slices.Equal(got["resource"], c.want) {
				t.Errorf("%s: %s, %v", name, form, err)
			}
			if got.Del("resource"); len(got) != members {
				t.Errorf("%s: %s has %d members", name, form, len(got))
			}
		}
	}
}
