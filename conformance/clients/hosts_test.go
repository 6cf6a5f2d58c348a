package clients

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/client"
)

// TestClientsUnderAWSNames tells the same stories with no endpoint anywhere: the
// clients call AWS's own names, and a proxy and a CA lead them here.
func TestClientsUnderAWSNames(t *testing.T) {
	s := server.Start(t, server.Options{Args: []string{"--aws-hosts", "--proxy-listen", "127.0.0.1:0"}})
	f := fixture{Server: s, env: s.Env("--aws-hosts"), sdk: s.AWS()}
	var proxy *url.URL
	for _, v := range f.env {
		name, value, _ := strings.Cut(v, "=")
		switch {
		case strings.HasPrefix(name, "AWS_ENDPOINT_URL"), strings.HasPrefix(name, "BEDROCK_AGENTCORE_") && strings.HasSuffix(name, "_ENDPOINT"):
			t.Fatalf("%s is set", name)
		case name == "HTTPS_PROXY":
			var err error
			if proxy, err = url.Parse(value); err != nil {
				t.Fatal(err)
			}
		}
	}
	root, err := os.ReadFile(filepath.Join(s.DataDir, "ca", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	f.trust, f.proxy = filepath.Join(s.DataDir, "ca", "ca.pem"), proxy
	f.sdk.BaseEndpoint = nil
	f.sdk.HTTPClient = client.ForSDK(awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.Proxy, tr.TLSClientConfig = http.ProxyURL(proxy), &tls.Config{RootCAs: roots}
	}))
	without := []string{"aws-cli", "java"} // the HTTP of the one is boto3's; the other has told the story at another endpoint
	if os.Getenv("OUTCROP_NIGHTLY") != "" {
		without = nil
	}
	tellStories(t, f, without...)
	t.Run("bedrock-agentcore", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), pinned.Program(t, "python"), "testdata/websocket.py", sockets(t, s))
		cmd.Env = f.env
		tell(t, cmd)
		if t.Failed() {
			t.Logf("server:\n%s", f.Log())
		}
	})
}

// sockets deploys the agent of testdata/sockets and returns its ARN.
func sockets(t *testing.T, s *server.Server) string {
	t.Helper()
	code, python := s.Pack("testdata/sockets", "")
	account := s.Agents()
	if err := account.Store(t.Context(), "sockets", agent.Key, code); err != nil {
		t.Fatal(err)
	}
	made, err := account.Create(t.Context(), account.Input("sockets", "sockets", python))
	if err != nil {
		t.Fatal(err)
	}
	return *made.AgentRuntimeArn
}
