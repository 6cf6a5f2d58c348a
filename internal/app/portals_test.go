package app

import (
	"context"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/jwt"
)

// TestPortalHosts: a portal has the name that AWS gives portals, and those below names of
// this server's; nobody else's name is one.
func TestPortalHosts(t *testing.T) {
	of := portalHosts("localhost", "agents.example", "")
	for host, want := range map[string]string{
		"team-abcdefghij.consent-portal.localhost":                                         "team-abcdefghij",
		"Team-abcdefghij.Consent-Portal.agents.example.":                                   "team-abcdefghij",
		"team-abcdefghij.consent-portal.bedrock-agentcore.us-west-2.amazonaws.com":         "team-abcdefghij",
		"a.team-abcdefghij.consent-portal.localhost":                                       "",
		"a.b.consent-portal.bedrock-agentcore.us-west-2.amazonaws.com":                     "",
		"team-abcdefghij.gateway.bedrock-agentcore.us-west-2.amazonaws.com":                "",
		"consent-portal.bedrock-agentcore.us-west-2.amazonaws.com":                         "",
		"bedrock-agentcore.us-west-2.amazonaws.com":                                        "",
		"team-abcdefghij.consent-portal.bedrock-agentcore.us-west-2.amazonaws.com.evil.io": "",
		"team-abcdefghij.consent-portal.evil.example":                                      "",
		"localhost": "", "": "", "consent-portal.localhost": "",
	} {
		if got := of(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
		if got := gatewayHosts("localhost", "agents.example")(host); got != "" && want != "" {
			t.Errorf("%s is a gateway's too: %s", host, got)
		}
	}
}

// TestSameIssuer: a pool of this server's has AWS's name for one, and issuers elsewhere keep
// theirs.
func TestSameIssuer(t *testing.T) {
	const pool = "us-east-1_abCD12345"
	of := sameIssuer(func(_ context.Context, at string) (jwt.Local, bool, error) {
		return jwt.Local{}, at == "http://localhost:8642/"+pool+"/.well-known/openid-configuration" || at == "https://cognito-idp.us-east-1.amazonaws.com/"+pool+"/.well-known/openid-configuration", nil
	})
	for name, want := range map[string]string{
		"http://localhost:8642/" + pool:                       "https://cognito-idp.us-east-1.amazonaws.com/" + pool,
		"https://cognito-idp.us-east-1.amazonaws.com/" + pool: "https://cognito-idp.us-east-1.amazonaws.com/" + pool,
		"https://evil.example/" + pool:                        "https://evil.example/" + pool,
		"https://idp.example":                                 "https://idp.example",
		"":                                                    "", "not a URL": "not a URL",
	} {
		if got, err := of(t.Context(), name); got != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
