package app

import (
	"context"
	"errors"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/jwt"
)

// TestTrustedIssuers: a strict server takes the tokens of strangers' issuers from nobody,
// and never asks for their keys.
func TestTrustedIssuers(t *testing.T) {
	const pool, named, other = "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_AbCdEfGhI", "https://login.example.com", "https://evil.example"
	broken := errors.New("the store is gone")
	local := func(_ context.Context, at string) (jwt.Local, bool, error) {
		if at == "fail" {
			return jwt.Local{}, false, broken
		}
		return jwt.Local{}, at == pool+"/.well-known/openid-configuration", nil
	}
	for name, tt := range map[string]struct {
		cfg  Config
		want map[string]bool
	}{
		"strict":           {Config{Strict: true}, map[string]bool{pool: true, named: false, other: false}},
		"strict and named": {Config{Strict: true, TrustedIssuers: []string{named}}, map[string]bool{pool: true, named: true, other: false, named + "/": false}},
		"named":            {Config{TrustedIssuers: []string{named}}, map[string]bool{pool: true, named: true, other: false}},
	} {
		trust := trusted(tt.cfg, local)
		for issuer, want := range tt.want {
			at, _ := jwt.DiscoveryURL(issuer)
			if got, err := trust(t.Context(), issuer, at); err != nil || got != want {
				t.Errorf("%s: %s: %v, %v", name, issuer, got, err)
			}
		}
		if _, err := trust(t.Context(), other, "fail"); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if trusted(Config{}, local) != nil {
		t.Error("without a word of the operator somebody is not trusted")
	}
}
