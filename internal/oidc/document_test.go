package oidc

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/outbound"
)

const appBack = "https://app.example/cb"

// site is where clients publish their documents.
type site struct {
	*httptest.Server
	asked  atomic.Int32
	answer func(w http.ResponseWriter, r *http.Request)
}

// newSite has the kit's handler trust a site, whose documents are at /client.json.
func newSite(k *kit) *site {
	s := &site{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.answer(w, r)
	}))
	k.Cleanup(s.Close)
	s.says(nil)
	k.reach(s.Client())
	return s
}

// reach has documents fetched by another client.
func (k *kit) reach(c *http.Client) {
	cfg := k.handler.cfg
	cfg.HTTP = c
	k.handler.documents = newDocuments(cfg)
}

func (s *site) id() string { return s.URL + "/client.json" }

// says has the document say something else than a good one; nil takes a member away.
func (s *site) says(change map[string]any) {
	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		said := map[string]any{
			"client_id": s.id(), "client_name": "Editor", "redirect_uris": []string{appBack, "http://127.0.0.1:33418/"}, "token_endpoint_auth_method": "none",
			"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
		}
		for name, value := range change {
			if said[name] = value; value == nil {
				delete(said, name)
			}
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(said)
	}
}

// begin asks for a sign-in by a client of a document.
func (k *kit) begin(j jar, id string, change ...string) *http.Response {
	k.Helper()
	return k.ask(j, "GET", "/oauth2/authorize?"+k.asked(append([]string{"client_id", id, "redirect_uri", appBack}, change...)...).Encode(), nil, nil)
}

// turnedAway wants a page and no redirect.
func (k *kit) turnedAway(what string, resp *http.Response, why string) {
	k.Helper()
	if body := text(resp); resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "" || !strings.Contains(body, why) {
		k.Errorf("%s: %d %s, want %s", what, resp.StatusCode, body, why)
	}
}

// TestDocument: a client that is known by its document alone signs users in, who are asked
// about it and told whose the document is. It is fetched once; later tokens need it no more.
func TestDocument(t *testing.T) {
	k := newKit(t)
	s, j := newSite(k), jar{}
	if resp := k.begin(j, s.id()); resp.StatusCode != http.StatusSeeOther || !strings.Contains(resp.Header.Get("Location"), "/login?") {
		t.Fatalf("%d %s", resp.StatusCode, text(resp))
	}
	const local = "http://127.0.0.1:59656/"
	for _, to := range []string{appBack, local} {
		q := k.asked("client_id", s.id(), "redirect_uri", to)
		form := url.Values{"username": {"ada"}, "password": {password}}
		form.Set("request", k.open(jar{"outcrop-form": j["outcrop-form"]}, q))
		form.Set("request", k.open(j, q))
		resp := k.ask(j, "POST", "/login", form, nil)
		page := text(resp)
		for want, there := range map[string]bool{
			"Allow Editor to use your account?": true, "<strong>" + strings.TrimPrefix(s.URL, "https://") + "</strong>": true, "Any program on your computer": to == local, "It has registered itself": false,
		} {
			if strings.Contains(page, want) != there {
				t.Errorf("to %s: %q is on the page: %t\n%s", to, want, !there, page)
			}
		}
		back, err := k.ask(j, "POST", "/login", url.Values{"request": {hiddenField.FindStringSubmatch(page)[1]}, "action": {"allow"}}, nil).Location()
		k.must(err)
		if asked := s.asked.Load(); asked != 1 {
			t.Errorf("fetched %d times", asked)
		}
		s.says(map[string]any{"client_id": nil}) // it is not asked again
		status, out := k.token(url.Values{
			"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {to}, "client_id": {s.id()}, "code_verifier": {verifier},
		}, nil)
		if status != http.StatusOK || out["refresh_token"] == nil {
			t.Fatalf("%d %v", status, out)
		}
		claims := map[string]any{}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(out["access_token"].(string), ".")[1])
		k.must(err)
		k.must(json.Unmarshal(payload, &claims))
		if claims["client_id"] != s.id() {
			t.Errorf("%v", claims)
		}
		again := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {out["refresh_token"].(string)}, "client_id": {s.id()}}
		if status, out := k.token(again, nil); status != http.StatusOK || out["refresh_token"] == again.Get("refresh_token") {
			t.Errorf("a refresh: %d %v", status, out)
		}
		again.Set("client_secret", "x")
		if status, out := k.token(again, nil); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
			t.Errorf("with a secret: %d %v", status, out)
		}
		j = jar{}
	}
	if asked := s.asked.Load(); asked != 1 {
		t.Errorf("fetched %d times", asked)
	}
}

// TestRefusedDocuments: nothing is sent anywhere by what a document says that is not good, and
// it is not kept.
func TestRefusedDocuments(t *testing.T) {
	k := newKit(t)
	s := newSite(k)
	send := func(fn func(w http.ResponseWriter)) {
		s.answer = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fn(w)
		}
	}
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("a redirect was followed")
	}))
	t.Cleanup(elsewhere.Close)
	for why, set := range map[string]func(){
		"Its client_id must be its own URL": func() { s.says(map[string]any{"client_id": s.URL + "/other.json"}) },
		"to the letter":                     func() { s.says(map[string]any{"client_id": s.id() + "/"}) },
		"no JSON object":                    func() { send(func(w http.ResponseWriter) { _, _ = w.Write([]byte("[1]")) }) },
		"has no client_secret":              func() { s.says(map[string]any{"client_secret": "hunter2"}) },
		"auth_method of such a client is":   func() { s.says(map[string]any{"token_endpoint_auth_method": "client_secret_post"}) },
		"client is none":                    func() { s.says(map[string]any{"token_endpoint_auth_method": "private_key_jwt"}) },
		"from one to ten redirect_uris":     func() { s.says(map[string]any{"redirect_uris": nil}) },
		"A redirect URI is https":           func() { s.says(map[string]any{"redirect_uris": []string{appBack, "http://app.example/cb"}}) },
		"app&#39;s own scheme":              func() { s.says(map[string]any{"redirect_uris": []string{"javascript:alert(1)"}}) },
		"The grant types are":               func() { s.says(map[string]any{"grant_types": []string{"client_credentials"}}) },
		"None of the scopes":                func() { s.says(map[string]any{"scope": "payroll/all"}) },
		"more than 5120 bytes":              func() { s.says(map[string]any{"client_name": strings.Repeat("a", maxDocument)}) },
		"comes with status 404":             func() { send(func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }) },
		"comes with status 302": func() {
			send(func(w http.ResponseWriter) {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(http.StatusFound)
			})
		},
		"of the type application/json": func() {
			send(func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html") })
		},
		"breaks off": func() {
			send(func(w http.ResponseWriter) { w.Header().Set("Content-Length", "100") })
		},
	} {
		k.reach(s.Client())
		k.handler.registers = New(k.handler.cfg).registers
		set()
		for range 2 {
			before := s.asked.Load()
			k.turnedAway(why, k.begin(nil, s.id()), why)
			if s.asked.Load() == before && why != "None of the scopes" {
				t.Errorf("%s: the refusal is kept", why)
			}
		}
	}
	s.says(nil)
	k.reach(s.Client())
	k.turnedAway("another redirect URI", k.begin(nil, s.id(), "redirect_uri", appBack+"/"), "not one that the application was registered with")
	k.turnedAway("another host", k.begin(nil, s.id(), "redirect_uri", "http://localhost:33418/"), "not one that the application was registered with")
	k.turnedAway("no path", k.begin(nil, s.URL), "needs a path")
	k.turnedAway("without TLS", k.begin(nil, "http://app.example/client.json"), "not known here")
	if to, err := k.begin(nil, s.id(), "code_challenge", "", "code_challenge_method", "").Location(); err != nil || to.Query().Get("error") != "invalid_request" {
		t.Errorf("without PKCE: %v %v", to, err)
	}
}

// TestDocumentsOfClosedPools: where clients do not register themselves no document is
// fetched, and the metadata says nothing of any.
func TestDocumentsOfClosedPools(t *testing.T) {
	k := newKit(t)
	s := newSite(k)
	says := func() bool {
		var out map[string]any
		k.must(json.Unmarshal([]byte(text(k.ask(nil, "GET", "/.well-known/oauth-authorization-server", nil, nil))), &out))
		return out["client_id_metadata_document_supported"] == true
	}
	if !says() {
		t.Error("the metadata does not say it")
	}
	_, err := k.pools.UpdatePool(t.Context(), k.pool.Scope, k.pool.ID, func(p *issuer.Settings) error {
		p.Registration.Open = false
		return nil
	})
	k.must(err)
	k.turnedAway("a closed pool", k.begin(nil, s.id()), "not known here")
	if says() || s.asked.Load() != 0 {
		t.Errorf("a closed pool: the metadata says it: %t, fetched %d times", says(), s.asked.Load())
	}
	if status, out := k.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {s.id()}}, nil); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
		t.Errorf("a closed pool's token endpoint: %d %v", status, out)
	}
}

// TestDocumentsAtPrivateAddresses are fetched where the operator opened them alone.
func TestDocumentsAtPrivateAddresses(t *testing.T) {
	k := newKit(t)
	s := newSite(k)
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	k.reach(outbound.New(outbound.Config{Roots: roots}))
	resp := k.begin(nil, s.id())
	if body := text(resp); s.asked.Load() != 0 || resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "cannot be fetched") || strings.Contains(body, "loopback") {
		t.Errorf("fetched %d times: %s", s.asked.Load(), body)
	}
	k.reach(outbound.New(outbound.Config{Roots: roots, Private: outbound.Private{Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}))
	if resp := k.begin(nil, s.id()); s.asked.Load() != 1 || resp.StatusCode != http.StatusSeeOther {
		t.Errorf("opened: fetched %d times: %s", s.asked.Load(), text(resp))
	}
}

// TestSlowDocuments: whoever has documents fetched that do not come waits no longer than it
// takes, and not often.
func TestSlowDocuments(t *testing.T) {
	k := newKit(t)
	s, done := newSite(k), make(chan struct{})
	t.Cleanup(func() { close(done) })
	s.answer = func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}
	k.handler.documents.most = 20 * time.Millisecond
	k.turnedAway("slow", k.begin(nil, s.id()), "cannot be fetched")
	for range cap(k.handler.documents.slots) {
		k.handler.documents.slots <- struct{}{}
	}
	k.turnedAway("no room", k.begin(nil, s.id()), "not answered in time")
	for range 20 {
		k.begin(nil, s.id())
	}
	k.turnedAway("too often", k.begin(nil, s.id()), "Too many applications")
}

// TestKeptDocuments are as many as there is room for, and as long as they say, within bounds.
func TestKeptDocuments(t *testing.T) {
	k := newKit(t)
	s := newSite(k)
	says := s.answer
	for header, want := range map[string]time.Duration{
		"": keptByDefault, "max-age=3600": time.Hour, "public, Max-Age=\"120\"": 2 * time.Minute, "max-age=1": leastKept, "max-age=99999999": mostKept,
		"no-store": leastKept, "max-age=3600, no-cache": leastKept, "max-age=-1": leastKept, "max-age=x": leastKept, "expires": 30 * time.Minute,
	} {
		s.answer = func(w http.ResponseWriter, r *http.Request) {
			if header == "expires" {
				w.Header().Set("Expires", time.Now().Add(30*time.Minute).UTC().Format(http.TimeFormat))
			} else {
				w.Header().Set("Cache-Control", header)
			}
			says(w, r)
		}
		// A Date is of whole seconds, and some pass.
		if _, got, err := k.handler.documents.fetch(t.Context(), s.id()); err != nil || got > want || got < want-10*time.Second {
			t.Errorf("%s: %s, %v, want %s", header, got, err, want)
		}
	}
	s = newSite(k)
	for range 2 {
		k.begin(nil, s.id())
	}
	k.ahead = keptByDefault
	k.begin(nil, s.id())
	if asked := s.asked.Load(); asked != 2 {
		t.Errorf("fetched %d times", asked)
	}
	d := k.handler.documents
	for i := range 3 * maxDocuments {
		d.keep(string(rune(i)), keptDocument{until: d.now().Add(time.Hour)})
	}
	if len(d.kept) > maxDocuments {
		t.Errorf("%d are kept", len(d.kept))
	}
}

// FuzzDocument: whatever a document says, what is taken leads to addresses that codes may be
// sent to, by a client without a secret.
func FuzzDocument(f *testing.F) {
	const id = "https://app.example/client.json"
	f.Add([]byte(`{"client_id":"` + id + `","client_name":"Editor","redirect_uris":["https://app.example/cb"]}`))
	f.Add([]byte(`{"client_id":"` + id + `","Client_ID":"x","redirect_uris":["javascript:alert(1)"],"token_endpoint_auth_method":"none"}`))
	f.Add([]byte(`{"client_id":"` + id + `","redirect_uris":["http://127.0.0.1/"],"client_secret":null,"jwks":{},"grant_types":null}`))
	f.Add([]byte(`{"client_id":"` + id + `","client_name":"\u202e ","redirect_uris":["https://app.example/cb"]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		said, problem := readDocument(id, body)
		if problem != "" {
			return
		}
		if said.Method != "none" || len(said.Redirects) == 0 || said.Name == "" || len([]rune(said.Name)) > maxName || said.Name != plain(said.Name) {
			t.Errorf("%+v", said)
		}
		for _, u := range said.Redirects {
			if err := issuer.CheckRedirect(u); err != nil {
				t.Error(err)
			}
		}
	})
}
