package passthrough_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// TestPlainRole: a gateway's role signs for what the endpoint's name says, and where that
// says nothing a warning does.
func TestPlainRole(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://abc.execute-api.us-east-1.amazonaws.com/prod":    "execute-api",
		"https://bedrock-runtime.eu-central-1.amazonaws.com":      "bedrock",
		"https://abcdefg.lambda-url.us-east-1.on.aws/":            "lambda",
		"https://example.org":                                     "",
		"https://lambda-url.on.aws.example.org":                   "",
		"https://abc.execute-api.us-east-1.amazonaws.com.example": "",
	} {
		signs := "nothing"
		d := passthrough.Driver{Config: passthrough.Config{
			Client: func(target.Source) (*http.Client, error) { return &http.Client{}, nil },
			Credentials: func(s target.Source, service string) (target.Credentials, error) {
				if s.Credential != nil {
					signs = service
				}
				return nil, nil
			},
		}}
		s := target.Source{
			Credential: &agentcorecontrol.CredentialProviderConfiguration{CredentialProviderType: new(agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE)},
			Config: &agentcorecontrol.TargetConfiguration{Http: &agentcorecontrol.HttpTargetConfiguration{
				Passthrough: &agentcorecontrol.PassthroughTargetConfiguration{Endpoint: &endpoint}}},
		}
		c, err := d.Catalogue(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		server, err := d.Open(s, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		warned := len(c.Warnings) == 1 && strings.Contains(c.Warnings[0], "are not signed")
		if want == "" && (signs != "nothing" || !warned) || want != "" && (signs != want || c.Warnings != nil) {
			t.Errorf("%s: signs for %s, %q", endpoint, signs, c.Warnings)
		}
	}
}
