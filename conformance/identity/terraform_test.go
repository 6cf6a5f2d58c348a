package identity

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/conformance/terraform"
)

// TestTerraform applies a pool with a domain, a resource server, clients and a user,
// finds nothing to do, changes what may be changed, and destroys it all.
func TestTerraform(t *testing.T) {
	s := server.Start(t, server.Options{})
	tf := terraform.New(t, s, "testdata/terraform")
	tf.Apply("team=a")
	client := strings.TrimSpace(tf.Run("output", "-raw", "client"))
	tokens := s.Run(t, nil, pinned.Program(t, "aws"), "--region", "us-east-1", "cognito-idp", "initiate-auth", "--client-id", client,
		"--auth-flow", "USER_PASSWORD_AUTH", "--auth-parameters", "USERNAME=ada,PASSWORD=Analytical1")
	if !strings.Contains(tokens, `"AccessToken"`) {
		t.Errorf("the user signs in: %s", tokens)
	}
	tf.Apply("team=b")
	tf.Destroy("team=b")
}
