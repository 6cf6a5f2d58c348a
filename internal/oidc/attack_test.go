package oidc

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/issuer"
)

// TestNoOpenRedirect: a browser is led to the redirect URIs of the client and nowhere
// else.
func TestNoOpenRedirect(t *testing.T) {
	k := newKit(t)
	for name, change := range map[string][]string{
		"another host":        {"redirect_uri", "https://evil.example/cb"},
		"a longer path":       {"redirect_uri", redirect + "/x"},
		"another case":        {"redirect_uri", strings.ToUpper(redirect)},
		"without the query":   {"redirect_uri", "https://app.example/cb"},
		"another query":       {"redirect_uri", redirect + "&x=1"},
		"a user":              {"redirect_uri", "https://app.example@evil.example/cb?fixed=1"},
		"encoded once more":   {"redirect_uri", url.QueryEscape(redirect)},
		"a fragment":          {"redirect_uri", redirect + "#x"},
		"a backslash":         {"redirect_uri", `https://app.example\@evil.example/cb`},
		"no client":           {"client_id", ""},
		"another client":      {"client_id", strings.Repeat("a", 26)},
		"a client of no user": {"client_id", k.worker.ID},
	} {
		for _, path := range []string{"/oauth2/authorize?", "/login?"} {
			resp := k.ask(nil, "GET", path+k.asked(change...).Encode(), nil, nil)
			if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "" {
				t.Errorf("%s: %s %d to %q", name, path, resp.StatusCode, resp.Header.Get("Location"))
			}
		}
	}
	twice := k.asked()
	twice.Add("redirect_uri", "https://evil.example/cb")
	if resp := k.ask(nil, "GET", "/oauth2/authorize?"+twice.Encode(), nil, nil); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("two redirect URIs: %d", resp.StatusCode)
	}
	for to, want := range map[string]int{"https://app.example/bye": 303, "https://evil.example/": 400, "https://app.example/bye/": 400, "//evil.example": 400, "": 200} {
		q := url.Values{"client_id": {k.public.ID}}
		if to != "" {
			q.Set("logout_uri", to)
		}
		if resp := k.ask(jar{}, "GET", "/logout?"+q.Encode(), nil, nil); resp.StatusCode != want {
			t.Errorf("after signing out to %q: %d", to, resp.StatusCode)
		}
	}
}

// TestDeviations: what the client did wrong it is told at its redirect URI, with its
// state and the issuer.
func TestDeviations(t *testing.T) {
	k := newKit(t)
	for name, c := range map[string]struct {
		change []string
		want   string
	}{
		"a token at once":        {[]string{"response_type", "token"}, "unsupported_response_type"},
		"no response type":       {[]string{"response_type", ""}, "unsupported_response_type"},
		"no challenge":           {[]string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"a plain challenge":      {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"no method, which is it": {[]string{"code_challenge_method", ""}, "invalid_request"},
		"a short challenge":      {[]string{"code_challenge", "abc"}, "invalid_request"},
		"another scope":          {[]string{"scope", "openid tools/invoke"}, "invalid_scope"},
		"no resource":            {[]string{"resource", "not a URI"}, "invalid_target"},
		"another's resource":     {[]string{"resource", "https://payroll.example"}, "invalid_target"},
		"a fragment of one":      {[]string{"resource", "https://a.example/#x"}, "invalid_target"},
		"a request object":       {[]string{"request", "x"}, "request_not_supported"},
		"one elsewhere":          {[]string{"request_uri", "https://evil.example"}, "request_uri_not_supported"},
		"a fragment's answer":    {[]string{"response_mode", "fragment"}, "invalid_request"},
		"no page":                {[]string{"prompt", "none"}, "login_required"},
		"no page, and one":       {[]string{"prompt", "none login"}, "invalid_request"},
	} {
		resp := k.ask(nil, "GET", "/oauth2/authorize?"+k.asked(c.change...).Encode(), nil, nil)
		to, err := resp.Location()
		if err != nil {
			t.Errorf("%s: %d %s", name, resp.StatusCode, text(resp))
			continue
		}
		q := to.Query()
		if q.Get("error") != c.want || q.Get("state") != "s&t=1" || q.Get("iss") != ownOrigin+"/"+k.pool.ID || q.Get("fixed") != "1" || to.Host != "app.example" {
			t.Errorf("%s: %s", name, to)
		}
	}
}

// TestPKCE: without the verifier a code is nothing, and a code without a challenge
// takes no verifier.
func TestPKCE(t *testing.T) {
	k := newKit(t)
	private := []string{"client_id", k.private.ID, "code_challenge", "", "code_challenge_method", ""}
	for name, c := range map[string]struct {
		change []string
		form   url.Values
		want   int
	}{
		"as it should be":        {nil, url.Values{"client_id": {k.public.ID}, "code_verifier": {verifier}}, 200},
		"no verifier":            {nil, url.Values{"client_id": {k.public.ID}}, 400},
		"another verifier":       {nil, url.Values{"client_id": {k.public.ID}, "code_verifier": {s256}}, 400},
		"a secret, no challenge": {private, url.Values{"client_id": {k.private.ID}, "client_secret": {k.privateSecret}}, 200},
		"the challenge is gone":  {private, url.Values{"client_id": {k.private.ID}, "client_secret": {k.privateSecret}, "code_verifier": {verifier}}, 400},
		"another client":         {nil, url.Values{"client_id": {k.private.ID}, "client_secret": {k.privateSecret}, "code_verifier": {verifier}}, 400},
		"another redirect URI":   {nil, url.Values{"client_id": {k.public.ID}, "code_verifier": {verifier}, "redirect_uri": {"https://app.example/"}}, 400},
	} {
		code := k.signIn(jar{}, k.asked(c.change...)).Query().Get("code")
		form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}}
		for name, v := range c.form {
			form[name] = v
		}
		if status, out := k.token(form, nil); status != c.want || status == 400 && out["error"] != "invalid_grant" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
}

// TestCodeReuse: a code that comes twice ends what it became.
func TestCodeReuse(t *testing.T) {
	k := newKit(t)
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {k.signIn(jar{}, k.asked()).Query().Get("code")}, "redirect_uri": {redirect},
		"client_id": {k.public.ID}, "code_verifier": {verifier},
	}
	_, first := k.token(form, nil)
	if status, out := k.token(form, nil); status != 400 || out["error"] != "invalid_grant" {
		t.Errorf("a second time: %d %v", status, out)
	}
	refresh, _ := first["refresh_token"].(string)
	again := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {k.public.ID}}
	if status, out := k.token(again, nil); refresh == "" || status != 400 || out["error"] != "invalid_grant" {
		t.Errorf("the refresh token of a code that came twice: %d %v", status, out)
	}
	access, _ := first["access_token"].(string)
	resp := k.ask(nil, "GET", "/oauth2/userInfo", nil, http.Header{"Authorization": {"Bearer " + access}})
	if resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("its access token: %d", resp.StatusCode)
	}
}

// TestForgedForms: the form is taken from the browser that it was made for, from our
// own page, for a while.
func TestForgedForms(t *testing.T) {
	k := newKit(t)
	good := func(j jar) url.Values {
		return url.Values{"request": {k.open(j, k.asked())}, "username": {"ada"}, "password": {password}}
	}
	mine := jar{}
	form := good(mine)
	refused := func(name string, j jar, form url.Values, header http.Header) {
		t.Helper()
		resp := k.ask(j, "POST", "/login", form, header)
		if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "" {
			t.Errorf("%s: %d to %q", name, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	refused("a browser without the cookie", jar{}, form, nil)
	theirs := jar{}
	good(theirs)
	refused("another browser", theirs, form, nil)
	refused("another site's page", mine, form, http.Header{"Origin": {"https://evil.example"}})
	refused("a page without an origin", mine, form, http.Header{"Origin": {"null"}})
	refused("a page of another site, as the browser says", mine, form, http.Header{"Sec-Fetch-Site": {"cross-site"}})
	changed := good(mine)
	raw, err := base64.RawURLEncoding.DecodeString(changed.Get("request"))
	k.must(err)
	raw[len(raw)-1] ^= 1
	changed.Set("request", base64.RawURLEncoding.EncodeToString(raw))
	refused("a form that was changed", mine, changed, nil)
	refused("no form", mine, url.Values{"username": {"ada"}, "password": {password}}, nil)
	k.ahead = formLife
	refused("too late", mine, form, nil)
	k.ahead = 0
	if resp := k.ask(mine, "POST", "/login", form, http.Header{"Origin": {ownOrigin}, "Sec-Fetch-Site": {"same-origin"}}); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("our own page: %d %s", resp.StatusCode, text(resp))
	}
}

// TestSessionFixation: a session that somebody put into the browser is not the one
// that its user signs in to.
func TestSessionFixation(t *testing.T) {
	k := newKit(t)
	planted := jar{sessionCookie: "planted"}
	k.signIn(planted, k.asked())
	if planted[sessionCookie] == "planted" || planted[sessionCookie] == "" {
		t.Errorf("the session is %q", planted[sessionCookie])
	}
	if resp := k.ask(jar{sessionCookie: "planted"}, "GET", "/oauth2/authorize?"+k.asked("prompt", "none").Encode(), nil, nil); !strings.Contains(resp.Header.Get("Location"), "login_required") {
		t.Errorf("the planted session is signed in: %s", resp.Header.Get("Location"))
	}
	first := planted[sessionCookie]
	k.signIn(planted, k.asked("prompt", "login"))
	if planted[sessionCookie] == first {
		t.Error("a second sign-in has the same session")
	}
	straight := func(session string) bool {
		resp := k.ask(jar{sessionCookie: session}, "GET", "/oauth2/authorize?"+k.asked("prompt", "none").Encode(), nil, nil)
		return strings.Contains(resp.Header.Get("Location"), "code=")
	}
	if straight(first) || !straight(planted[sessionCookie]) {
		t.Error("the session of before goes on, or the new one does not")
	}
	k.must(k.pools.SignOut(t.Context(), k.pool, "ada"))
	if straight(planted[sessionCookie]) {
		t.Error("the browser is signed in after its user has signed out everywhere")
	}
	k.signIn(planted, k.asked("prompt", "login"))
	k.ahead = issuer.SessionLife
	if straight(planted[sessionCookie]) {
		t.Error("the session does not end")
	}
}

// TestPageTellsNobody: the page says the same of a wrong password and of a user who is
// not there, and lets nobody guess on.
func TestPageTellsNobody(t *testing.T) {
	k := newKit(t)
	j := jar{}
	try := func(name, password string) (int, string) {
		resp := k.ask(j, "POST", "/login", url.Values{"request": {k.open(j, k.asked())}, "username": {name}, "password": {password}}, nil)
		body := hiddenField.ReplaceAllString(text(resp), "")
		return resp.StatusCode, strings.ReplaceAll(body, name, "NAME")
	}
	for i := range 7 {
		wrongStatus, wrong := try("ada", "Guess-1234")
		absentStatus, absent := try("eve", "Guess-1234")
		if wrongStatus != absentStatus || wrong != absent {
			t.Errorf("try %d: %d %s\n%d %s", i, wrongStatus, wrong, absentStatus, absent)
		}
	}
	if status, body := try("ada", password); status != http.StatusUnauthorized || !strings.Contains(body, "attempts exceeded") {
		t.Errorf("the right one after seven guesses: %d %s", status, body)
	}
	if status, body := try(`"><script>alert(1)</script>`, "x"); status != http.StatusUnauthorized || strings.Contains(body, "<script") {
		t.Errorf("a name with a script: %d %s", status, body)
	}
}

// TestHeaders holds what keeps the page to itself.
func TestHeaders(t *testing.T) {
	k := newKit(t)
	resp := k.ask(jar{}, "GET", "/login?"+k.asked().Encode(), nil, nil)
	body := text(resp)
	policy := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'sha256-"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q has no %s", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(body, "<script") || strings.Contains(body, "<b>") {
		t.Errorf("policy %q, page %s", policy, body)
	}
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "same-origin"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("pages of other origins may read the page")
	}
}

// TestClientProof: secrets come in the header or the body, never in the address, one
// way at a time; who has none does not sign in by itself.
func TestClientProof(t *testing.T) {
	k := newKit(t)
	basic := func(id, key string) http.Header {
		return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+key))}}
	}
	machine := func(more ...string) url.Values {
		form := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i+1 < len(more); i += 2 {
			form.Add(more[i], more[i+1])
		}
		return form
	}
	for name, c := range map[string]struct {
		form   url.Values
		header http.Header
		status int
		want   string
	}{
		"in the header":         {machine(), basic(k.worker.ID, k.workerSecret), 200, ""},
		"in the body":           {machine("client_id", k.worker.ID, "client_secret", k.workerSecret), nil, 200, ""},
		"both":                  {machine("client_id", k.worker.ID, "client_secret", k.workerSecret), basic(k.worker.ID, k.workerSecret), 400, "invalid_request"},
		"two clients":           {machine("client_id", k.public.ID), basic(k.worker.ID, k.workerSecret), 400, "invalid_request"},
		"another secret":        {machine(), basic(k.worker.ID, "x"), 401, "invalid_client"},
		"nobody":                {machine(), basic(strings.Repeat("a", 26), "x"), 401, "invalid_client"},
		"no secret":             {machine("client_id", k.worker.ID), nil, 401, "invalid_client"},
		"a public client":       {machine("client_id", k.public.ID), nil, 400, "unauthorized_client"},
		"one for users":         {machine(), basic(k.private.ID, k.privateSecret), 400, "unauthorized_client"},
		"another scope":         {machine("scope", "openid"), basic(k.worker.ID, k.workerSecret), 400, "invalid_scope"},
		"a parameter twice":     {machine("scope", "tools/invoke", "scope", "openid"), basic(k.worker.ID, k.workerSecret), 400, "invalid_request"},
		"a resource of its own": {machine("resource", "https://tools.example"), basic(k.worker.ID, k.workerSecret), 200, ""},
		"another's resource":    {machine("resource", "https://payroll.example"), basic(k.worker.ID, k.workerSecret), 400, "invalid_target"},
		"nobody's resource":     {machine("resource", "https://anywhere.example"), basic(k.worker.ID, k.workerSecret), 400, "invalid_target"},
		"a resource below one":  {machine("resource", "https://tools.example/"), basic(k.worker.ID, k.workerSecret), 400, "invalid_target"},
		"another grant":         {url.Values{"grant_type": {"password"}}, basic(k.worker.ID, k.workerSecret), 400, "unsupported_grant_type"},
		"an exchange of tokens": {url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}}, basic(k.worker.ID, k.workerSecret), 400, "unauthorized_client"},
	} {
		if status, out := k.token(c.form, c.header); status != c.status || c.want != "" && out["error"] != c.want {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	resp := k.ask(nil, "POST", "/oauth2/token?client_id="+k.worker.ID+"&client_secret="+k.workerSecret, machine(), nil)
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("in the address: %d", resp.StatusCode)
	}
	if resp := k.ask(nil, "GET", "/oauth2/token", nil, nil); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("by GET: %d", resp.StatusCode)
	}
}

// TestOtherPool: a client, a code and a token of one pool are nothing in another.
func TestOtherPool(t *testing.T) {
	k := newKit(t)
	code := k.signIn(jar{}, k.asked()).Query().Get("code")
	mine := k.pool
	other, err := k.pools.CreatePool(t.Context(), mine.Scope, issuer.Settings{Name: "other"})
	k.must(err)
	k.pool = other
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "client_id": {k.public.ID}, "code_verifier": {verifier}}
	if status, out := k.token(form, nil); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
		t.Errorf("the code: %d %v", status, out)
	}
	if resp := k.ask(nil, "GET", "/oauth2/authorize?"+k.asked().Encode(), nil, nil); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("the client: %d", resp.StatusCode)
	}
	if resp := k.ask(nil, "POST", "/oauth2/register", nil, nil); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a pool that is closed to new clients: %d", resp.StatusCode)
	}
	k.pool = mine
	_, out := k.token(form, nil)
	access, _ := out["access_token"].(string)
	info := func() int {
		return k.ask(nil, "GET", "/oauth2/userInfo", nil, http.Header{"Authorization": {"Bearer " + access}}).StatusCode
	}
	if info() != http.StatusOK {
		t.Errorf("user info at its own pool: %d", info())
	}
	k.pool = other
	if info() != http.StatusUnauthorized {
		t.Errorf("user info at another pool: %d", info())
	}
}

// TestDeletedMeanwhile: a page that stands while its client or its pool is deleted
// lets nobody in.
func TestDeletedMeanwhile(t *testing.T) {
	k := newKit(t)
	j := jar{}
	form := url.Values{"request": {k.open(j, k.asked())}, "username": {"ada"}, "password": {password}}
	k.must(k.pools.DeleteClient(t.Context(), k.pool.Scope, k.pool.ID, k.public.ID))
	if resp := k.ask(j, "POST", "/login", form, nil); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("the client is gone: %d", resp.StatusCode)
	}
	k.must(k.pools.DeletePool(t.Context(), k.pool.Scope, k.pool.ID))
	if resp := k.ask(j, "GET", "/.well-known/jwks.json", nil, nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the pool is gone: %d", resp.StatusCode)
	}
}

// FuzzLogin feeds the page forms that are none.
func FuzzLogin(f *testing.F) {
	k := newKit(f)
	j := jar{}
	sealed := k.open(j, k.asked())
	f.Add("request="+sealed+"&username=eve", "")
	f.Add("request=%&x", k.asked().Encode())
	f.Add("request="+sealed+"&action=cancel", "response_type=code&client_id="+k.public.ID)
	f.Fuzz(func(t *testing.T, body, query string) {
		k.ahead = time.Hour // no form is good, so that nothing is hashed
		own := *k
		own.TB = t
		for _, r := range []struct{ method, path, body string }{
			{"POST", "/login", body}, {"GET", "/login?" + (&url.URL{Path: query}).EscapedPath(), ""}, {"POST", "/oauth2/authorize", query}, {"POST", "/oauth2/token", body},
		} {
			values := url.Values{"request": {r.body}}
			if parsed, err := url.ParseQuery(r.body); err == nil {
				values = parsed
			}
			resp := own.ask(nil, r.method, r.path, values, nil)
			if resp.StatusCode >= 500 {
				t.Fatalf("%s %s %q: %d", r.method, r.path, r.body, resp.StatusCode)
			}
			if to, err := resp.Location(); err == nil && to.Host != "app.example" && !strings.HasPrefix(to.Path, "/"+k.pool.ID) {
				t.Fatalf("%s %s %q leads to %s", r.method, r.path, r.body, to)
			}
		}
	})
}

// FuzzRegistration feeds metadata of clients; what is taken has only redirect URIs
// that a code may be sent to, and a name on one line.
func FuzzRegistration(f *testing.F) {
	f.Add([]byte(`{"redirect_uris":["https://a.example/cb"],"client_name":"x"}`))
	f.Add([]byte(`{"redirect_uris":["javascript:alert(1)"]}`))
	f.Add([]byte(`{"redirect_uris":["http://localhost:1/"],"token_endpoint_auth_method":"none","grant_types":["implicit"]}`))
	f.Add([]byte("{\"redirect_uris\":[\"a:b\"],\"client_name\":\"\u202e\\u0000\\n\"}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, code, _ := readRegistration(body)
		if code != "" {
			return
		}
		for _, u := range in.Redirects {
			if issuer.CheckRedirect(u) != nil {
				t.Fatalf("%q is taken", u)
			}
		}
		if strings.ContainsAny(in.Name, "\n\r\x00\u202e") || len([]rune(in.Name)) > maxName {
			t.Fatalf("the name %q", in.Name)
		}
	})
}

func BenchmarkToken(b *testing.B) {
	k := newKit(b)
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {k.worker.ID}, "client_secret": {k.workerSecret}}
	for b.Loop() {
		if status, out := k.token(form, nil); status != http.StatusOK {
			b.Fatal(out)
		}
	}
}

// TestRegisteredClientsNameServedResources: anybody registers a client, and gets no token
// by it for what others serve.
func TestRegisteredClientsNameServedResources(t *testing.T) {
	k := newKit(t)
	pool, err := k.pools.UpdatePool(t.Context(), k.pool.Scope, k.pool.ID, func(s *issuer.Settings) error {
		s.Registration.Scopes = []string{"openid", "https://tools.example/call"}
		return nil
	})
	k.must(err)
	c, err := k.pools.Register(t.Context(), pool, "Inspector", []string{redirect}, nil, false)
	k.must(err)
	const ours = ownOrigin + "/runtimes/ours/invocations?qualifier=DEFAULT"
	ask := func(resources ...string) string {
		t.Helper()
		q := k.asked("client_id", c.ID, "scope", "openid")
		q["resource"] = resources
		resp := k.ask(nil, "GET", "/oauth2/authorize?"+q.Encode(), nil, nil)
		to, err := resp.Location()
		k.must(err)
		if strings.HasSuffix(to.Path, "/login") {
			return ""
		}
		return to.Query().Get("error") + ": " + to.Query().Get("error_description")
	}
	for _, good := range [][]string{nil, {ours}, {"https://tools.example"}, {ours, "https://tools.example"}} {
		if got := ask(good...); got != "" {
			t.Errorf("%v: %s", good, got)
		}
	}
	for _, bad := range [][]string{
		{"https://gateway.example/mcp"}, {ours, "https://gateway.example/mcp"}, {ours + "&x=1"}, {"https://payroll.example"}, {"https://tools.example/"}, {"mailto:ann@example.com"},
	} {
		if got := ask(bad...); !strings.HasPrefix(got, "invalid_target: ") {
			t.Errorf("%v: %q", bad, got)
		}
	}
	if got := ask("https://gateway.example/mcp"); !strings.HasSuffix(got, "resource servers of the user pool; https://gateway.example/mcp is neither") {
		t.Error(got)
	}
	k.broken = errors.New("no disk")
	if got := ask(ours); got != "server_error: " {
		t.Error(got)
	}
	k.open(jar{}, k.asked("resource", "https://gateway.example/mcp")) // by a client of the pool's owner
}
