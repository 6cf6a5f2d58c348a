package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// forge is an issuer in another process than the server, such as one of a build system.
type forge struct {
	*testing.T
	url string
	key *ecdsa.PrivateKey
}

func newForge(t *testing.T) *forge {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &forge{T: t, key: key}
	mux := http.NewServeMux()
	answer := func(v func() any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v()) } // a client that has left
	}
	mux.HandleFunc("/ci/.well-known/openid-configuration", answer(func() any { return map[string]string{"issuer": f.url, "jwks_uri": f.url + "/keys"} }))
	mux.HandleFunc("/ci/keys", answer(func() any {
		return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one", Algorithm: "ES384", Use: "sig"}}}
	}))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	f.url = s.URL + "/ci"
	return f
}

func (f *forge) token(key *ecdsa.PrivateKey, more map[string]any) string {
	f.Helper()
	claims := map[string]any{
		"iss": f.url, "sub": "repo:a/b", "aud": "jobs", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"job": []string{"7"}}},
	}
	maps.Copy(claims, more)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES384, Key: jose.JSONWebKey{Key: key, KeyID: "one"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		f.Fatal(err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		f.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		f.Fatal(err)
	}
	return text
}

// TestWebIdentity has boto3 and the AWS CLI trade identity tokens in for credentials, of
// a user pool and of an issuer elsewhere. The audit tells whose tokens they were.
func TestWebIdentity(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})
	f := newForge(t)
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := f.token(f.key, nil)
	s.Run(t, []string{
		"ACCOUNT=" + s.Account, "ISSUER=" + f.url, "TOKEN=" + good, "FORGED=" + f.token(other, nil),
		"EXPIRED=" + f.token(f.key, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
	}, pinned.Program(t, "python"), "testdata/webidentity.py")

	// The CLI, which has no credentials of its own here.
	program := pinned.Program(t, "aws")
	s.Run(t, nil, program, "iam", "create-open-id-connect-provider", "--url", f.url, "--client-id-list", "jobs", "--tags", "Key=team,Value=a")
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config")
	profile := "[profile build]\nrole_arn = arn:aws:iam::" + s.Account + ":role/jobs\nweb_identity_token_file = " + path + "\nrole_session_name = cli\n"
	if err := os.WriteFile(config, []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"AWS_CONFIG_FILE=" + config, "AWS_PROFILE=build", "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}
	if who := s.Run(t, env, program, "sts", "get-caller-identity", "--query", "Arn", "--output", "text"); !strings.HasSuffix(strings.TrimSpace(who), ":assumed-role/jobs/cli") {
		t.Errorf("the CLI is %s", who)
	}
	records, errs, err := s.CLI(t.Context(), "audit", "--event", "AssumeRoleWithWebIdentity", "--json")
	if err != nil {
		t.Fatal(err, errs)
	}
	name := strings.TrimPrefix(f.url, "http://")
	for _, want := range []string{"oidc-provider/" + name + ":jobs:repo:a/b", "role/jobs", "InvalidIdentityToken", "ExpiredTokenException", "AccessDenied"} {
		if !strings.Contains(records, want) {
			t.Errorf("the audit lacks %q: %s", want, records)
		}
	}
	if part := strings.Split(good, "."); strings.Contains(records, part[1]) || strings.Contains(s.Log(), part[1]) || strings.Contains(s.Log(), part[2]) {
		t.Error("a token is in the audit or the log")
	}
}

// TestOutbound has the starter toolkit and the SDK get tokens of the account, and another
// project's client verify them by what the server publishes, before and after a restart.
func TestOutbound(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	var got struct{ Issuer, Role, OfRole, OfRoot string }
	text := s.Run(t, []string{"ACCOUNT=" + s.Account}, pinned.Program(t, "python"), "testdata/outbound.py")
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if !strings.HasPrefix(got.Issuer, strings.Replace(s.URL, "127.0.0.1", "localhost", 1)+"/_outcrop/tokens/") {
		t.Errorf("the issuer is %s", got.Issuer)
	}
	verify := func(token, audience string) map[string]any {
		t.Helper()
		provider, err := oidc.NewProvider(t.Context(), got.Issuer)
		if err != nil {
			t.Fatal(err)
		}
		id, err := provider.Verifier(&oidc.Config{ClientID: audience}).Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		claims := map[string]any{}
		if err := id.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		return claims
	}
	claims := verify(got.OfRole, "https://api.example.com")
	own, _ := claims["https://sts.amazonaws.com/"].(map[string]any)
	tags, _ := own["principal_tags"].(map[string]any)
	asked, _ := own["request_tags"].(map[string]any)
	if claims["sub"] != got.Role || own["aws_account"] != s.Account || own["source_region"] != "us-west-2" || tags["team"] != "red" || asked["job"] != "7" || own["original_session_exp"] == nil {
		t.Errorf("%v", claims)
	}
	if claims := verify(got.OfRoot, "two"); claims["sub"] != "arn:aws:iam::"+s.Account+":root" {
		t.Errorf("%v", claims)
	}
	s.Kill()
	s.Restart()
	verify(got.OfRole, "https://api.example.com")
	found, err := filepath.Glob(filepath.Join(s.DataDir, "*.db*"))
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	for _, path := range found {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if part := strings.Split(got.OfRole, "."); strings.Contains(string(b), part[2]) || strings.Contains(s.Log(), part[2]) {
			t.Errorf("a token is in %s or the log", path)
		}
	}
}

// TestAgentProvesItself: an agent gets tokens of its role by the SDK's decorators, from
// STS and by a credential provider that has no secret: the service there verifies the
// assertion by what the account's issuer publishes.
func TestAgentProvesItself(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})
	s.Python() // or skip
	issuer := strings.TrimSpace(s.Run(t, nil, pinned.Program(t, "aws"), "iam", "enable-outbound-web-identity-federation", "--output", "text"))
	provider, err := oidc.NewProvider(t.Context(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	role := "arn:aws:iam::" + s.Account + ":role/outcrop-default"
	mux := http.NewServeMux()
	service := httptest.NewServer(mux)
	t.Cleanup(service.Close)
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		id, err := provider.Verifier(&oidc.Config{ClientID: service.URL + "/token"}).Verify(r.Context(), r.PostFormValue("client_assertion"))
		if err != nil || id.Subject != role || r.PostFormValue("grant_type") != "client_credentials" || r.PostForm.Has("client_id") || r.PostForm.Has("client_secret") {
			t.Errorf("the service is shown %v: %v", r.PostForm, err)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "for " + id.Subject, "token_type": "Bearer", "expires_in": 3600}) // a client that has left
	})
	cp, dp := control.NewFromConfig(s.AWS()), data.NewFromConfig(s.AWS())
	_, err = cp.CreateOauth2CredentialProvider(t.Context(), &control.CreateOauth2CredentialProviderInput{
		Name: aws.String("svc"), CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2,
		Oauth2ProviderConfigInput: &types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: types.CustomOauth2ProviderConfigInput{
			OauthDiscovery: &types.Oauth2DiscoveryMemberAuthorizationServerMetadata{Value: types.Oauth2AuthorizationServerMetadata{
				Issuer: &service.URL, AuthorizationEndpoint: aws.String(service.URL + "/authorize"), TokenEndpoint: aws.String(service.URL + "/token"),
			}},
			ClientAuthenticationMethod: types.ClientAuthenticationMethodTypeAwsIamIdTokenJwt,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, err := s.CLI(t.Context(), "deploy", "testdata/caller", "--entry", "main.py", "--name", "caller"); err != nil {
		t.Fatalf("%v %s\n%s", err, stderr, s.Log())
	}
	list, err := cp.ListAgentRuntimes(t.Context(), &control.ListAgentRuntimesInput{})
	if err != nil || len(list.AgentRuntimes) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	says := func(do string) string {
		t.Helper()
		out, err := dp.InvokeAgentRuntime(t.Context(), &data.InvokeAgentRuntimeInput{
			AgentRuntimeArn: list.AgentRuntimes[0].AgentRuntimeArn, Payload: []byte(`{"do":"` + do + `"}`), RuntimeUserId: aws.String("ann"), ContentType: aws.String("application/json"),
		})
		if err != nil {
			t.Fatalf("%v\n%s", err, s.Log())
		}
		defer out.Response.Close()
		var said struct{ Token string }
		if err := json.NewDecoder(out.Response).Decode(&said); err != nil {
			t.Fatal(err)
		}
		return said.Token
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: "https://api.example.com"}).Verify(t.Context(), says("own"))
	if err != nil || id.Subject != role {
		t.Errorf("%+v, %v", id, err)
	}
	if got := says("machine"); got != "for "+role {
		t.Errorf("the service gave %q\n%s", got, s.Log())
	}
}

// TestProviderCommands administers the account's providers with the AWS CLI.
func TestProviderCommands(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	s.Run(t, []string{"ACCOUNT=" + s.Account}, "bash", "testdata/providers.sh")
}
