package mcp

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/server"
)

// configured are the scenarios about what a gateway does not do by itself, with who does:
// what is not here must pass.
func configured() map[string]string {
	const (
		discovery    = "where a server's metadata is, whoever makes the credential provider finds out: it has a discoveryUrl"
		registration = "whoever makes the credential provider registers the client: it has a clientId"
		scopes       = "the scopes are those of the target's oauthCredentialProvider"
		resource     = "the resource is what the target's customParameters say"
		proof        = "how a client proves itself is what the credential provider says, which has no such way"
		grant        = "the grant is what the target's oauthCredentialProvider says, which has no such one"
	)
	return map[string]string{
		"auth/metadata-var1":                    discovery,
		"auth/metadata-var2":                    discovery,
		"auth/metadata-var3":                    discovery,
		"auth/metadata-issuer-mismatch":         registration + ", before the provider reads the document, and refuses it",
		"auth/basic-cimd":                       registration,
		"auth/authorization-server-migration":   registration + ", of one authorization server",
		"auth/scope-from-www-authenticate":      scopes,
		"auth/scope-from-scopes-supported":      scopes,
		"auth/scope-step-up":                    scopes,
		"auth/resource-mismatch":                resource,
		"auth/client-credentials-jwt":           proof + " but with a key of KMS",
		"auth/dpop":                             proof,
		"auth/dpop-nonce":                       proof,
		"auth/enterprise-managed-authorization": grant,
		"auth/wif-jwt-bearer":                   grant,
	}
}

// needed are those that a gateway is for.
func needed() []string {
	return []string{"auth/pre-registration", "auth/token-endpoint-auth-basic", "auth/token-endpoint-auth-post"}
}

// clients has the suite play an MCP server with an authorization server, and a gateway with
// a credential provider its client (operator_test.go).
func clients(t *testing.T, s *server.Server, suite string) {
	text, err := json.Marshal(signedIn(t, s))
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, revision := range []string{"2025-11-25", "2026-07-28"} {
		t.Run(revision, func(t *testing.T) {
			t.Parallel()
			got, said, err := try(t, suite, revision, []string{settingVariable + "=" + string(text)}, "client", "--command", self, "--timeout", "100000")
			if len(got) == 0 {
				t.Fatalf("%v: %s", err, said)
			}
			judge(t, revision, got)
			if t.Failed() {
				t.Logf("the suite says %s\nserver:\n%s", said, s.Log())
			}
		})
	}
}

// judge wants each scenario about authorization to pass, but those that are configured,
// which must be there and fail.
func judge(t *testing.T, revision string, got map[string][]check) {
	t.Helper()
	sum, listed := totals{what: "clients, through a gateway's target", revision: revision}, configured()
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if !strings.HasPrefix(name, "auth/") {
			continue
		}
		reason := listed[name]
		switch bad := troubles(got[name]); {
		case len(bad) == 0 && reason == "":
			sum.passed++
		case len(bad) == 0:
			t.Errorf("%s passes, though it is listed: %s", name, reason)
		case reason == "":
			t.Errorf("%s: %s", name, lines(bad))
		default:
			sum.refused++
		}
	}
	for _, name := range needed() {
		if len(got[name]) == 0 {
			t.Errorf("%s was not run", name)
		}
	}
	if revision == "2026-07-28" { // which has all that the earlier one has
		for name := range listed {
			if len(got[name]) == 0 {
				t.Errorf("%s is listed, and not in the suite any more", name)
			}
		}
	}
	sum.figure(t)
}

// troubles are what the suite holds against a client.
func troubles(checks []check) (bad []check) {
	for _, c := range checks {
		if c.Status == "FAILURE" || c.Status == "WARNING" {
			bad = append(bad, c)
		}
	}
	return bad
}

// signedIn makes a pool with a user, who signs in.
func signedIn(t *testing.T, s *server.Server) setting {
	t.Helper()
	call := func(operation string, in map[string]any, out any) {
		t.Helper()
		if err := s.JSON11(t.Context(), "cognito-idp."+operation, in, out); err != nil {
			t.Fatal(err)
		}
	}
	var pool struct{ UserPool struct{ ID string } }
	call("CreateUserPool", map[string]any{"PoolName": "people"}, &pool)
	id := pool.UserPool.ID
	var app struct{ UserPoolClient struct{ ClientID string } }
	call("CreateUserPoolClient", map[string]any{"UserPoolId": id, "ClientName": "app", "ExplicitAuthFlows": []string{"ALLOW_USER_PASSWORD_AUTH"}}, &app)
	const password = "Ada-Password-1"
	call("AdminCreateUser", map[string]any{"UserPoolId": id, "Username": "ada"}, nil)
	call("AdminSetUserPassword", map[string]any{"UserPoolId": id, "Username": "ada", "Password": password, "Permanent": true}, nil)
	var in struct{ AuthenticationResult struct{ AccessToken string } }
	call("InitiateAuth", map[string]any{
		"ClientId": app.UserPoolClient.ClientID, "AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": map[string]string{"USERNAME": "ada", "PASSWORD": password},
	}, &in)
	return setting{
		URL: s.URL, Region: s.Region, Key: s.AccessKeyID, Secret: s.SecretAccessKey, Role: "arn:aws:iam::" + s.Account + ":role/outcrop-default",
		Discovery: "https://cognito-idp." + s.Region + ".amazonaws.com/" + id + "/.well-known/openid-configuration",
		Client:    app.UserPoolClient.ClientID, Token: in.AuthenticationResult.AccessToken,
	}
}
