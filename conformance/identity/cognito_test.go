package identity

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// TestSetupScript runs the script by which people set a pool up with the AWS CLI.
func TestSetupScript(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("there is no jq on PATH")
	}
	s := server.Start(t, server.Options{})
	env := []string{"REGION=us-west-2", "USERNAME=testuser", "PASSWORD=YourPassword123!"}
	out := s.Run(t, env, "bash", "testdata/setup_cognito.sh")
	got := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		got[name] = value
	}
	pool := got["Pool id"]
	if want := "https://cognito-idp.us-west-2.amazonaws.com/" + pool + "/.well-known/openid-configuration"; got["Discovery URL"] != want || !strings.HasPrefix(pool, "us-west-2_") {
		t.Errorf("the script printed %s", out)
	}
	claims := payload(t, got["Bearer Token"])
	for name, want := range map[string]any{
		"iss": "https://cognito-idp.us-west-2.amazonaws.com/" + pool, "client_id": got["Client ID"], "token_use": "access",
		"username": "testuser", "scope": "aws.cognito.signin.user.admin",
	} {
		if claims[name] != want {
			t.Errorf("claim %s is %v, want %v", name, claims[name], want)
		}
	}
	if claims["aud"] != nil || claims["exp"].(float64)-claims["iat"].(float64) != 3600 {
		t.Errorf("claims %v", claims)
	}
}

// TestBoto3 drives the API as boto3's callers do: a gateway's authorizer, users with
// temporary passwords, refusals, and a restart in the middle.
func TestBoto3(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	state := filepath.Join(t.TempDir(), "state.json")
	env := []string{"STATE=" + state}
	t.Log(s.Run(t, env, pinned.Program(t, "python"), "testdata/pools.py", "before"))
	s.Kill()
	s.Restart()
	t.Log(s.Run(t, env, pinned.Program(t, "python"), "testdata/pools.py", "after"))
}

// TestPoolCommands sets a pool up as a person does, with the commands of their own.
func TestPoolCommands(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("Analytical-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cli := func(args ...string) string {
		t.Helper()
		out, errs, err := s.CLI(t.Context(), append([]string{"pool"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out + errs
	}
	made := cli("create", "people")
	cli("add-user", "people", "ada", "--email", "ada@example.com", "--password-file", file)
	if said := cli("add-group", "people", "operators", "ada"); !strings.Contains(said, "ada") || cli("add-group", "people", "operators", "ada") != said {
		t.Errorf("a group with ada: %s", said)
	}
	if _, errs, err := s.CLI(t.Context(), "pool", "add-group", "people", "operators", "eve"); err == nil || !strings.Contains(errs, "User does not exist") {
		t.Errorf("a user who is not there: %v %s", err, errs)
	}
	var app, robot struct{ ClientID, ClientSecret, DiscoveryURL string }
	for text, into := range map[string]any{
		cli("add-client", "people", "cli", "--json"): &app, cli("add-client", "people", "robot", "--machine", "--scope", "tools/invoke", "--json"): &robot,
	} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	if app.ClientSecret != "" || robot.ClientSecret == "" || !strings.Contains(made, app.DiscoveryURL) {
		t.Errorf("%+v and %+v of %s", app, robot, made)
	}
	tokens := s.Run(t, nil, pinned.Program(t, "aws"), "cognito-idp", "initiate-auth", "--client-id", app.ClientID,
		"--auth-flow", "USER_PASSWORD_AUTH", "--auth-parameters", "USERNAME=ada,PASSWORD=Analytical-1")
	var signedIn struct {
		AuthenticationResult struct{ AccessToken string }
	}
	if err := json.Unmarshal([]byte(tokens), &signedIn); err != nil {
		t.Errorf("ada signs in: %s", tokens)
	}
	if in, _ := payload(t, signedIn.AuthenticationResult.AccessToken)["cognito:groups"].([]any); len(in) != 1 || in[0] != "operators" {
		t.Errorf("ada is in %v", in)
	}
	if _, errs, err := s.CLI(t.Context(), "pool", "delete", "people"); err == nil || !strings.Contains(errs, "--force") {
		t.Errorf("nobody is asked: %v %s", err, errs)
	}
	cli("delete", "people", "--force")
	if left := cli("ls"); !strings.Contains(left, "No user pools") {
		t.Errorf("there are %s", left)
	}
}

func decode(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
