package oidc

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestNamed: audience names a resource where this server serves it, and resource wins.
func TestNamed(t *testing.T) {
	k := newKit(t)
	r := httptest.NewRequest("GET", "http://pool.example/oauth2/authorize", nil)
	const ours, other = "http://pool.example/runtimes/ours/invocations?qualifier=DEFAULT", "https://api.example"
	for _, tt := range []struct {
		query url.Values
		want  []string
	}{
		{url.Values{}, nil},
		{url.Values{"audience": {ours}}, []string{ours}},
		{url.Values{"audience": {other}}, nil},
		{url.Values{"audience": {ours, ours}}, nil},
		{url.Values{"audience": {ours}, "resource": {other}}, []string{other}},
	} {
		if got, err := k.handler.named(r, tt.query); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%v: %q, %v", tt.query, got, err)
		}
	}
	k.broken = errors.New("no disk")
	if _, err := k.handler.named(r, url.Values{"audience": {ours}}); err == nil {
		t.Error("what cannot be looked up is taken for none")
	}
}

// location is where a browser is sent from the authorization endpoint.
func (k *kit) location(j jar, change ...string) *url.URL {
	k.Helper()
	resp := k.ask(j, "GET", "/oauth2/authorize?"+k.asked(change...).Encode(), nil, nil)
	to, err := resp.Location()
	if err != nil || resp.StatusCode != http.StatusSeeOther {
		k.Fatalf("%v: %d %s", change, resp.StatusCode, text(resp))
	}
	return to
}

// TestMaxAge: who signed in longer ago than the client says signs in again (OpenID Connect
// Core 3.1.2.1).
func TestMaxAge(t *testing.T) {
	k, j := newKit(t), jar{}
	for _, bad := range []string{"-1", "abc", "1.5", "60s", "99999999999"} {
		if q := k.location(j, "max_age", bad).Query(); q.Get("error") != "invalid_request" || !strings.Contains(q.Get("error_description"), "max_age") {
			t.Errorf("%s: %v", bad, q)
		}
	}
	k.signIn(j, k.asked())
	k.ahead = 2 * time.Minute
	for age, again := range map[string]bool{"": false, "3600": false, "60": true, "0": true} {
		if page := strings.HasSuffix(k.location(j, "max_age", age).Path, "/login"); page != again {
			t.Errorf("max_age %q after two minutes: to the page: %t", age, page)
		}
		want := ""
		if again {
			want = "login_required"
		}
		if got := k.location(j, "max_age", age, "prompt", "none").Query().Get("error"); got != want {
			t.Errorf("max_age %q without a page: %q, want %q", age, got, want)
		}
	}
	k.open(j, k.asked("max_age", "60")) // it is the page, not a code
	if to := k.signIn(j, k.asked("max_age", "60")); to.Query().Get("code") == "" {
		t.Errorf("after signing in again: %s", to)
	}
}

// TestChallenge: a code_challenge that S256 cannot yield is refused by that name.
func TestChallenge(t *testing.T) {
	k := newKit(t)
	for _, bad := range []string{"abc", s256 + "A", s256[1:], s256[1:] + "=", s256[1:] + "+", verifier + verifier} {
		if q := k.location(jar{}, "code_challenge", bad).Query(); q.Get("error") != "invalid_request" || !strings.HasPrefix(q.Get("error_description"), "The code_challenge is ") {
			t.Errorf("%s: %v", bad, q)
		}
	}
	if q := k.location(jar{}, "code_challenge_method", "plain").Query(); !strings.HasPrefix(q.Get("error_description"), "The code_challenge_method is ") {
		t.Errorf("plain: %v", q)
	}
}
