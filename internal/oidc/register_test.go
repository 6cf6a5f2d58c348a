package oidc

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/issuer"
)

// TestRegistrationsOfOne: who registers clients as often as they can keeps nobody else
// from it.
func TestRegistrationsOfOne(t *testing.T) {
	k := newKit(t)
	_, err := k.pools.UpdatePool(t.Context(), k.pool.Scope, k.pool.ID, func(s *issuer.Settings) error {
		s.Registration.Open = true
		return nil
	})
	k.must(err)
	register := func(from string) int {
		r := httptest.NewRequest(http.MethodPost, ownOrigin+"/"+k.pool.ID+"/oauth2/register", strings.NewReader(`{"redirect_uris":["`+redirect+`"]}`))
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		k.handler.ServeHTTP(w, r)
		return w.Code
	}
	refused := 0
	for range 30 {
		if register("192.0.2.1:1000") == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < 15 {
		t.Errorf("%d of 30 were refused", refused)
	}
	if got := register("192.0.2.2:1000"); got != http.StatusCreated {
		t.Errorf("somebody else: %d", got)
	}
}

// TestRegistrationOfMore: a client that can do more than is served reads what is left.
func TestRegistrationOfMore(t *testing.T) {
	for body, want := range map[string]string{
		`{"redirect_uris":["http://127.0.0.1/"],"grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"]}`: "authorization_code refresh_token",
		`{"redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback"]}`:                                                                          "authorization_code",
		`{"redirect_uris":["http://127.0.0.1/"],"grant_types":["urn:ietf:params:oauth:grant-type:device_code"]}`:                                      "invalid_client_metadata",
		`{"redirect_uris":["http://127.0.0.1/"],"grant_types":["refresh_token"]}`:                                                                     "invalid_client_metadata",
	} {
		in, code, _ := readRegistration([]byte(body))
		if got := strings.Join(in.Grants, " "); code != want && (code != "" || got != want) {
			t.Errorf("%s: %q %q, want %q", body, got, code, want)
		}
	}
}

// TestAnyPort: a program that has registered an address of its user's machine has whatever
// port is free when users come back.
func TestAnyPort(t *testing.T) {
	k := newKit(t)
	c, err := k.pools.Register(t.Context(), k.pool, "Editor", []string{"http://127.0.0.1:33418/", "https://editor.example/redirect"}, nil, false)
	k.must(err)
	for to, want := range map[string]int{
		"http://127.0.0.1:33418/": http.StatusSeeOther, "http://127.0.0.1:59656/": http.StatusSeeOther, "http://127.0.0.1/": http.StatusSeeOther, "https://editor.example/redirect": http.StatusSeeOther,
		"http://localhost:59656/": http.StatusBadRequest, "http://127.0.0.1:59656/x": http.StatusBadRequest, "http://127.0.0.1:59656/?x=y": http.StatusBadRequest,
		"https://127.0.0.1:59656/": http.StatusBadRequest, "http://127.0.0.1.evil.example:59656/": http.StatusBadRequest, "http://a@127.0.0.1:59656/": http.StatusBadRequest,
		"https://editor.example:444/redirect": http.StatusBadRequest, "http://127.0.0.1:59656": http.StatusBadRequest,
	} {
		if resp := k.ask(nil, "GET", "/oauth2/authorize?"+k.asked("client_id", c.ID, "redirect_uri", to, "scope", "openid").Encode(), nil, nil); resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", to, resp.Status, want)
		}
	}
	own := issuer.Client{ClientSettings: issuer.ClientSettings{Callbacks: []string{"http://127.0.0.1:33418/"}}}
	if own.TakesRedirect("http://127.0.0.1:59656/") || !own.TakesRedirect("http://127.0.0.1:33418/") {
		t.Error("a client of the pool's owner has other addresses than its own, as it would not at AWS")
	}
}
