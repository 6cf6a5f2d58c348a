package inbound

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/workload"
)

// keys are the example of RFC 7517 A.1.
const keys = `{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"sig","kid":"1"}]}`

// TestMetadata: an issuer that is this server goes by the name at which the caller reaches
// it, or by its public one where the caller is at a name of the resource's own.
func TestMetadata(t *testing.T) {
	const aws = "https://cognito-idp.us-east-1.amazonaws.com/pool"
	v := jwt.New(jwt.Config{Local: func(_ context.Context, discoveryURL string) (jwt.Local, bool, error) {
		return jwt.Local{Issuer: aws, Also: []string{"http://localhost:8642/pool", "https://agents.example.com/pool"}, Keys: []byte(keys)}, true, nil
	}})
	t.Cleanup(v.Close)
	d := &Door{Verifier: v, Public: func() string { return "https://agents.example.com" }}
	for base, want := range map[string]string{
		"http://localhost:8642":                                         "http://localhost:8642/pool",
		"https://Agents.example.com":                                    "https://agents.example.com/pool",
		"https://g-1.gateway.example.com":                               "https://agents.example.com/pool",
		"http://g-1.gateway.localhost:8642":                             "https://agents.example.com/pool",
		"https://agents.example.com.evil.io":                            "https://agents.example.com/pool",
		"https://g-1.gateway.bedrock-agentcore.us-east-1.amazonaws.com": aws,
		"https://bedrock-agentcore.us-east-1.amazonaws.com":             aws,
	} {
		got := d.Metadata(t.Context(), &Authorizer{DiscoveryURL: aws + "/.well-known/openid-configuration", Scopes: []string{"call"}}, base, base+"/mcp")
		if len(got.Servers) != 1 || got.Servers[0] != want || got.Resource != base+"/mcp" || len(got.Scopes) != 1 {
			t.Errorf("at %s: %+v, want %s", base, got, want)
		}
	}
	d.Public = nil
	if got := d.Metadata(t.Context(), &Authorizer{}, "https://g-1.gateway.example.com", ""); got.Servers[0] != aws {
		t.Errorf("without a public name: %+v", got)
	}
}

// TestUnlisted: whose agent is not let in is told which rule refused it, in the log, and where
// callers may read more than AWS's words in the refusal, too. No token is in either.
func TestUnlisted(t *testing.T) {
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	now := time.Now()
	d := &Door{Store: st, Workloads: workload.Tokens{Box: secrettest.Box(t), Now: func() time.Time { return now }}}
	scope := store.Scope{Account: "123456789012", Region: "us-east-1"}
	token := func(name, host string) string {
		made, err := d.Workloads.Make(t.Context(), workload.Claims{Scope: scope, Workload: name, Host: host})
		if err != nil {
			t.Fatal(err)
		}
		return made.Reveal()
	}
	over := token("desk", "")
	now = now.Add(2 * workload.TokenLife)
	a := &Authorizer{Workloads: &Workloads{Names: []string{"desk"}}}
	const name = "arn:aws:bedrock-agentcore:us-east-1:123456789012:workload-identity-directory/default/workload-identity/x"
	for token, want := range map[string]string{
		"":                    "the caller showed no workload access token (X-Amz-Bedrock-Agentcore-Identity-Wat)",
		"bad":                 "the workload access token is not valid",
		over:                  "the workload access token has expired",
		token("x", ""):        "the caller is " + name + ", which is not listed",
		token("x", "arn:a:b"): "the caller is " + name + " in arn:a:b, which is not listed",
		token("desk", ""):     "the workload access token is of an identity that was deleted",
	} {
		for _, debug := range []bool{false, true} {
			f := fault.From(d.fromAllowed(t.Context(), a, Caller{Scope: scope, Workload: token, Debug: debug}))
			text, cause := "Authorization denied", errors.Unwrap(f)
			if debug {
				text += ". allowedWorkloadConfiguration: " + want
			}
			if f.Status != 403 || f.Message != text || cause == nil || cause.Error() != "allowedWorkloadConfiguration: "+want || token != "" && strings.Contains(cause.Error(), token) {
				t.Errorf("%s: %s, because %v", want, f.Message, cause)
			}
		}
	}
}
