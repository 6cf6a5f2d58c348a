// Package build deploys folders with a Dockerfile through real builders.
package build

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// folder is one with a Dockerfile that needs no registry: a static program.
func folder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "echo_agent")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := agent.Build(t.Context(), filepath.Join(dir, "agent"), "github.com/outcrop/outcrop/conformance/container/testdata/agent"); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "Dockerfile"), "FROM scratch\nCOPY agent /agent\nENV GREETING=hi\nUSER 1000\nENTRYPOINT [\"/agent\"]\n")
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestBuildah(t *testing.T) { deploys(t, "buildah") }

func TestPodman(t *testing.T) {
	if os.Getenv("OUTCROP_TEST_PODMAN") == "" {
		t.Skip("OUTCROP_TEST_PODMAN=1 tests podman, a hundred packages of the distribution, beside buildah, which builds by the same library")
	}
	deploys(t, "podman")
}

// ready skips where an ordinary user may not use buildah, for lack of a range of ids
// or of user namespaces. Root always may.
func ready(t *testing.T, tool string, env []string) {
	t.Helper()
	if os.Geteuid() == 0 || tool != "buildah" {
		return
	}
	trial := exec.CommandContext(t.Context(), tool, "from", "--name", "trial", "scratch")
	trial.Env = append(os.Environ(), env...)
	if out, err := trial.CombinedOutput(); err != nil {
		t.Skipf("this user cannot use %s: %v: %s", tool, err, out)
	}
}

// deploys has a tool build and push twice, and the agent answer.
func deploys(t *testing.T, tool string) {
	pinned.System(t, tool)
	// The builder's images are the test's own, in directories that need no mount.
	storage := filepath.Join(t.TempDir(), "storage.conf")
	write(t, storage, fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", filepath.Join(filepath.Dir(storage), "graph"), filepath.Join(filepath.Dir(storage), "run")))
	env := []string{"CONTAINERS_STORAGE_CONF=" + storage, "STORAGE_DRIVER="}
	ready(t, tool, env)
	s := server.Start(t, server.Options{Env: env})
	dir := folder(t)
	out, said, err := s.CLI(t.Context(), "deploy", dir, "--builder", tool)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	arn := strings.TrimSpace(out)
	for _, want := range []string{"building Dockerfile by " + tool + " ", "linux/" + runtime.GOARCH, "STEP 2/", "pushing ", "version 1, from " + s.Account + ".dkr.ecr." + s.Region + ".amazonaws.com/outcrop-deploy/echo-agent@sha256:"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	answer, err := bedrockagentcore.NewFromConfig(s.AWS()).InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(server.SessionID(t.Name())), Payload: []byte(`{}`),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	defer answer.Response.Close()
	if body, err := io.ReadAll(answer.Response); err != nil || !strings.Contains(string(body), `"GREETING":"hi"`) || !strings.Contains(string(body), `"UID":1000`) {
		t.Errorf("%s, %v", body, err)
	}
	// The same again is no new version; a change is one.
	if _, said, err := s.CLI(t.Context(), "deploy", dir, "--builder", tool); err != nil || !strings.Contains(said, "is unchanged") {
		t.Errorf("%v\n%s", err, said)
	}
	write(t, filepath.Join(dir, "Dockerfile"), "FROM scratch\nCOPY agent /agent\nENV GREETING=hello\nENTRYPOINT [\"/agent\"]\n")
	if _, said, err := s.CLI(t.Context(), "deploy", dir, "--builder", tool); err != nil || !strings.Contains(said, "version 2, ") {
		t.Errorf("%v\n%s", err, said)
	}
	id := arn[strings.LastIndexByte(arn, '/')+1:]
	got, err := control.NewFromConfig(s.AWS()).GetAgentRuntime(t.Context(), &control.GetAgentRuntimeInput{AgentRuntimeId: &id})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := got.AgentRuntimeArtifact.(*types.AgentRuntimeArtifactMemberContainerConfiguration); !ok {
		t.Errorf("it is no image: %T", got.AgentRuntimeArtifact)
	}
	// What cannot be built is told in the builder's words.
	write(t, filepath.Join(dir, "Dockerfile"), "FROM scratch\nCOPY nothing /agent\n")
	if _, said, err := s.CLI(t.Context(), "deploy", dir, "--builder", tool); err == nil || !strings.Contains(said, "could not build") || !strings.Contains(said, "nothing") {
		t.Errorf("%v\n%s", err, said)
	}
}
