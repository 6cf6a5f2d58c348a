package runtime

import (
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/gorilla/websocket"

	"github.com/outcrop/outcrop/conformance/server"
)

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// heard is what the second port of testdata/agents/ports.py was sent.
type heard struct {
	Method, Path, Query, Host, Tenant, Body string
	Proof                                   *string
	Counted                                 int
}

// TestPorts has a server of its own, which it ends.
func TestPorts(t *testing.T) {
	f := newFixture(t)
	arn := f.agent("ports", "ports.py", func(in *control.CreateAgentRuntimeInput) {
		in.AllowedPorts = []types.AllowedPort{
			&types.AllowedPortMemberPort{Value: 8100}, &types.AllowedPortMemberPortRange{Value: types.PortRange{From: aws.Int32(8200), To: aws.Int32(8210)}},
		}
	})
	id := server.SessionID("ports")
	invoke := func() string {
		t.Helper()
		out, err := data.NewFromConfig(f.AWS()).InvokeAgentRuntime(t.Context(), &data.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, RuntimeSessionId: &id, Payload: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		defer out.Response.Close()
		if out.SessionEndpointUrl == nil {
			t.Fatal("no URL of the session")
		}
		return *out.SessionEndpointUrl
	}
	base := invoke()
	t.Run("curl", func(t *testing.T) { f.with(t).curlPort(base) })
	t.Run("refused", func(t *testing.T) {
		f := f.with(t)
		f.portAnswers(base+"/8080/ping", 403, "Port 8080 of this session cannot be reached: the allowedPorts of its runtime are 8100, 8200-8210")
		f.portAnswers(base+"/8201/", 424, "Nothing listens on port 8201 of the session")
		resp, err := http.Get(base + "/8100/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("without a signature: %d", resp.StatusCode)
		}
	})
	t.Run("websocket", func(t *testing.T) { f.with(t).talkPort(base) })
	t.Run("outcrop ports", func(t *testing.T) { f.with(t).forwardPorts() })
	t.Run("the server restarts", func(t *testing.T) {
		f := f.with(t)
		before := f.portAnswers(base+"/8100/count", 200, "")
		if err := f.End(syscall.SIGTERM, time.Minute); err != nil {
			t.Fatal(err)
		}
		f.Restart()
		after := f.portAnswers(base+"/8100/count", 200, "")
		if got := count(t, after); got != count(t, before)+1 {
			t.Errorf("counted %d after the restart, %d before", got, count(t, before))
		}
	})
	t.Run("the session ends", func(t *testing.T) {
		f := f.with(t)
		if err := f.stop(arn, id); err != nil {
			t.Fatal(err)
		}
		f.portAnswers(base+"/8100/", 404, "No session found at this URL")
		if again := invoke(); again != base {
			t.Errorf("the session's URL is %s, and was %s", again, base)
		}
		f.portAnswers(base+"/8100/", 200, `"path":"/"`)
	})
	if t.Failed() {
		t.Logf("server:\n%s", f.Log())
	}
}

func count(t *testing.T, answer string) int {
	t.Helper()
	var h heard
	if err := json.Unmarshal([]byte(answer), &h); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	return h.Counted
}

// portAnswers sends a signed GET and wants an answer.
func (f *fixture) portAnswers(url string, status int, fragment string) string {
	f.Helper()
	r, err := http.NewRequestWithContext(f.Context(), http.MethodGet, url, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.sign(r)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status || !strings.Contains(string(body), fragment) {
		f.Errorf("GET %s: %d %s, %v; want %d with %q", url, resp.StatusCode, body, err, status, fragment)
	}
	return string(body)
}

func (f *fixture) sign(r *http.Request) {
	f.Helper()
	creds := aws.Credentials{AccessKeyID: f.AccessKeyID, SecretAccessKey: f.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(f.Context(), creds, r, emptyHash, "bedrock-agentcore", f.Region, time.Now()); err != nil {
		f.Fatal(err)
	}
}

// curlPort is what the documentation shows.
func (f *fixture) curlPort(base string) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		f.Skip("there is no curl")
	}
	cmd := exec.CommandContext(f.Context(), curl, "--silent", "--show-error", "--aws-sigv4", "aws:amz:"+f.Region+":bedrock-agentcore", "--user", f.AccessKeyID+":"+f.SecretAccessKey,
		"-X", "PUT", "-H", "X-Tenant: blue", "-H", "Content-Type: text/plain", "--data", "some text", "-w", "%{http_code}", base+"/8100/teapot?page=2")
	out, err := cmd.Output()
	if err != nil {
		f.Fatalf("curl: %v: %s", err, out)
	}
	var h heard
	text, status := string(out[:max(0, len(out)-3)]), string(out[max(0, len(out)-3):])
	if err := json.Unmarshal([]byte(text), &h); err != nil || status != "418" {
		f.Fatalf("curl: %s %s", status, text)
	}
	if h.Counted = 0; h != (heard{Method: "PUT", Path: "/teapot", Query: "page=2", Host: "localhost:8100", Tenant: "blue", Body: "some text"}) {
		f.Errorf("curl arrives as %+v", h)
	}
}

// talkPort talks on the second port's WebSocket.
func (f *fixture) talkPort(base string) {
	r, err := http.NewRequestWithContext(f.Context(), http.MethodGet, base+"/8100/talk", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.sign(r)
	c, resp, err := websocket.DefaultDialer.DialContext(f.Context(), "ws"+strings.TrimPrefix(r.URL.String(), "http"), r.Header)
	if err != nil {
		f.Fatalf("%v, %v", err, resp)
	}
	defer c.Close()
	if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		f.Fatal(err)
	}
	if _, text, err := c.ReadMessage(); err != nil || string(text) != "heard hello" {
		f.Errorf("%q, %v", text, err)
	}
}
