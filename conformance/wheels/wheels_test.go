// Package wheels deploys zips as clients make them for AWS, with Python packages
// vendored for another machine than the server's, and has the agents run.
package wheels

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

const bucket = "wheels"

// packages have native code, and wheels of these versions for both machines and every
// Python that a runtime can have.
func packages() []string {
	return []string{"markupsafe==3.0.3", "orjson==3.11.4", "pydantic-core==2.41.5"}
}

// other is the machine that the server is not.
func other() string {
	if runtime.GOARCH == "arm64" {
		return "x86_64"
	}
	return "aarch64"
}

// vendor makes the code zip of testdata with its packages for the other machine, by
// pip as AWS's pages tell users to.
func vendor(t *testing.T, python types.AgentManagedRuntimeType) []byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "zip")
	version := strings.ReplaceAll(strings.TrimPrefix(string(python), "PYTHON_"), "_", ".")
	args := append([]string{
		"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--platform", "manylinux2014_" + other(), "--python-version", version,
		"--implementation", "cp", "--only-binary=:all:", "--target", dir,
	}, packages()...)
	if out, err := exec.CommandContext(t.Context(), pinned.Program(t, "python"), args...).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("no package index answers: %s", out)
		}
		t.Fatalf("vendor: %v\n%s", err, out)
	}
	main, err := os.ReadFile("testdata/main.py")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "main.py"), main, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pack(t, dir)
}

func pack(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type answer struct {
	Escaped, Native, Machine string
	Number                   int
	Versions                 []string
}

func invoke(t *testing.T, s *server.Server, arn string) answer {
	t.Helper()
	out, err := bedrockagentcore.NewFromConfig(s.AWS()).InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(server.SessionID(t.Name(), time.Now().UnixNano())),
		Payload: []byte(`{"text":"<b>","number":"42"}`), ContentType: aws.String("application/json"),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	defer out.Response.Close()
	body, err := io.ReadAll(out.Response)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return a
}

// TestForeignWheels deploys one such zip: it runs, a second deployment asks no
// index, and neither does a session after the server was killed.
func TestForeignWheels(t *testing.T) {
	s := server.Start(t, server.Options{})
	python := s.Python()
	code := vendor(t, python)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if err := s.Agents().Store(ctx, bucket, agent.Key, code); err != nil {
		t.Fatal(err)
	}
	in := s.Agents().Input(bucket, "first", python)
	got, err := s.Agents().Create(ctx, in)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	check := func(a answer) {
		t.Helper()
		if a.Escaped != "&lt;b&gt;" || a.Number != 42 || a.Machine == other() || strings.Contains(a.Native, other()) || strings.Join(a.Versions, " ") != "3.0.3 3.11.4 2.41.5" {
			t.Errorf("the agent answered %+v", a)
		}
	}
	check(invoke(t, s, *got.AgentRuntimeArn))
	log, _, err := s.CLI(ctx, "logs", "first")
	if err != nil || !strings.Contains(log, "the zip has Python packages for linux "+other()) || strings.Count(log, "sha256:") != len(packages()) {
		t.Errorf("log %v:\n%s", err, log)
	}

	// The same zip again, on a server that was killed.
	s.Kill()
	s.Restart()
	check(invoke(t, s, *got.AgentRuntimeArn))
	second, err := s.Agents().Create(ctx, s.Agents().Input(bucket, "second", python))
	if err != nil {
		t.Fatal(err)
	}
	check(invoke(t, s, *second.AgentRuntimeArn))
	if log, _, err := s.CLI(ctx, "logs", "second"); err != nil || strings.Contains(log, "fetch") {
		t.Errorf("the second deployment fetched, %v:\n%s", err, log)
	}
	if trees := fitted(t, s); len(trees) != 1 {
		t.Errorf("fitted trees: %v", trees)
	}
}

// fitted are the trees that were made for this machine.
func fitted(t *testing.T, s *server.Server) (trees []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(s.DataDir, "code", "fitted"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "task" {
			trees = append(trees, path)
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return trees
}

// TestNoIndex refuses it in words, on a server that asks no index.
func TestNoIndex(t *testing.T) {
	s := server.Start(t, server.Options{Args: []string{"--no-index"}})
	python := s.Python()
	if err := s.Agents().Store(t.Context(), bucket, agent.Key, vendor(t, python)); err != nil {
		t.Fatal(err)
	}
	_, err := s.Agents().Create(t.Context(), s.Agents().Input(bucket, "refused", python))
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, want := range []string{"CREATE_FAILED: ", "markupsafe 3.0.3 (\"markupsafe/_speedups.", other(), "--no-index", "uv pip install --target"} {
		if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
			t.Errorf("the reason lacks %q: %v", want, err)
		}
	}
	if trees := fitted(t, s); len(trees) != 0 {
		t.Errorf("trees %v", trees)
	}
}
