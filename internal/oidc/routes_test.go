package oidc

import (
	"net/http/httptest"
	"slices"
	"testing"
)

// openRoutes is the whole list of what a pool answers without a signature. It is
// golden: nothing joins it unseen.
var openRoutes = []string{
	"GET /.well-known/jwks.json", "GET /.well-known/oauth-authorization-server", "GET /.well-known/openid-configuration",
	"GET /login", "GET /logout", "GET /oauth2/authorize", "GET /oauth2/userInfo",
	"HEAD /.well-known/jwks.json", "HEAD /.well-known/oauth-authorization-server", "HEAD /.well-known/openid-configuration",
	"POST /login", "POST /logout", "POST /oauth2/authorize", "POST /oauth2/register", "POST /oauth2/revoke", "POST /oauth2/token", "POST /oauth2/userInfo",
}

func TestRoutes(t *testing.T) {
	got := Routes()
	slices.Sort(got)
	if !slices.Equal(got, openRoutes) {
		t.Errorf("routes %q, want %q", got, openRoutes)
	}
}

// TestLocate holds which hosts and paths are for a pool; all others stay with the API.
func TestLocate(t *testing.T) {
	const pool = "us-east-1_abCD12345"
	for url, want := range map[string]string{
		"http://localhost:8642/" + pool + "/oauth2/token":                                                 pool + " /oauth2/token",
		"http://localhost:8642/" + pool + "/.well-known/jwks.json":                                        pool + " /.well-known/jwks.json",
		"http://localhost:8642/.well-known/oauth-authorization-server/" + pool:                            pool + " /.well-known/oauth-authorization-server",
		"http://localhost:8642/.well-known/openid-configuration/" + pool:                                  pool + " /.well-known/openid-configuration",
		"https://cognito-idp.us-east-1.amazonaws.com/" + pool + "/.well-known/jwks.json":                  pool + " /.well-known/jwks.json",
		"https://a-b.auth.us-east-1.amazoncognito.com/oauth2/token":                                       " /oauth2/token",
		"https://a-b.auth.us-east-1.amazoncognito.com/":                                                   " /",
		"http://localhost:8642/" + pool:                                                                   "",
		"http://localhost:8642/":                                                                          "",
		"http://localhost:8642/bucket/" + pool + "/oauth2/token":                                          "",
		"http://localhost:8642/us-east-1_short/oauth2/token":                                              "",
		"http://localhost:8642/.well-known/openid-configuration":                                          "",
		"http://localhost:8642/.well-known/other/" + pool:                                                 "",
		"https://cognito-idp.us-east-1.amazonaws.com/":                                                    "",
		"https://cognito-idp.us-east-1.amazonaws.com/" + pool + "/oauth2/token":                           "",
		"https://bedrock-agentcore.us-east-1.amazonaws.com/" + pool + "/.well-known/openid-configuration": "",
		"https://bucket.s3.us-east-1.amazonaws.com/" + pool + "/oauth2/token":                             "",
		"https://evil.amazoncognito.com.example.com/oauth2/token":                                         "",
	} {
		at, ok := locate(httptest.NewRequest("GET", url, nil))
		got := ""
		if ok {
			got = at.poolID + " " + at.path
		}
		if got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
