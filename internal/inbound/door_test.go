package inbound

import (
	"context"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/jwt"
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
