package oidc

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
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
