package runtime_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/image/wheel"
	"github.com/outcrop/outcrop/internal/image/wheel/wheeltest"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
)

// machines are this one and another, in the names of uname(2).
func machines() (own, other string) {
	if goruntime.GOARCH == "arm64" {
		return "aarch64", "x86_64"
	}
	return "x86_64", "aarch64"
}

// foreignZip has a Python package with native code for another machine.
func foreignZip(t *testing.T) []byte {
	_, other := machines()
	return wheeltest.Zip(t, wheeltest.Merge(map[string]string{"main.py": "print('hello')\n"},
		wheeltest.Installed("odd", "1.0", "cp311-cp311-manylinux_2_17_"+other, map[string]string{"odd/_x.so": wheeltest.ELF(other)})))
}

// index answers with one build of everything, for this machine.
type index struct {
	t     *testing.T
	asked int
}

func (x *index) Fetch(_ context.Context, r wheel.Request) (fetched []wheel.Fetched, err error) {
	own, _ := machines()
	x.asked++
	for i, want := range r.Wanted {
		dir := filepath.Join(r.Dir, fmt.Sprint(i))
		wheeltest.Write(x.t, dir, wheeltest.Installed(want.Name, want.Version, "cp311-cp311-manylinux_2_17_"+own, map[string]string{"odd/_x.so": wheeltest.ELF(own)}))
		want.Hash = "sha256:one"
		fetched = append(fetched, wheel.Fetched{Pin: want, Tree: dir})
	}
	return fetched, nil
}

// TestForeignPackages: a zip that was made for another machine runs on this one, and
// the log says what was done.
func TestForeignPackages(t *testing.T) {
	x := &index{t: t}
	k := newKit(t, runtimetest.Options{Wheels: x})
	k.Put("agent.zip", foreignZip(t))
	id, again := k.created("first"), k.created("again")
	for _, name := range []string{id, again} {
		if _, err := k.invoke(arn(name), "one", "hi"); err != nil {
			t.Fatal(err)
		}
	}
	specs := k.Engine.Specs()
	own, _ := machines()
	if b, err := os.ReadFile(filepath.Join(specs[0].Code, "odd", "_x.so")); err != nil || string(b) != wheeltest.ELF(own) {
		t.Errorf("the agent has %q, %v", b, err)
	}
	if x.asked != 1 || specs[0].Code != specs[1].Code {
		t.Errorf("the index was asked %d times, for %s and %s", x.asked, specs[0].Code, specs[1].Code)
	}
	log := strings.Join(k.Logs("/aws/bedrock-agentcore/runtimes/"+id+"-DEFAULT"), "\n")
	if !strings.Contains(log, "outcrop: the zip has Python packages for linux ") || !strings.Contains(log, "outcrop: the packages are replaced: ") {
		t.Errorf("log: %s", log)
	}
	// Lost code is made again of the very same.
	if err := os.RemoveAll(filepath.Join(k.Dir, "code", "fitted")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(k.Dir, "code", "fitted"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := k.invoke(arn(id), "two", "hi"); err != nil || x.asked != 2 {
		t.Errorf("%v, asked %d times", err, x.asked)
	}
	if specs = k.Engine.Specs(); specs[2].Code != specs[0].Code {
		t.Errorf("%s and %s", specs[2].Code, specs[0].Code)
	}
}

// TestForeignPackagesRefused, where no index is asked, at a create and at an update.
func TestForeignPackagesRefused(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	steady := k.created("steady")
	k.Put("agent.zip", foreignZip(t))
	out, err := k.Control.CreateAgentRuntime(t.Context(), create("foreign"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Control.UpdateAgentRuntime(t.Context(), change(steady)); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]types.AgentRuntimeStatus{*out.AgentRuntimeId: types.AgentRuntimeStatusCreateFailed, steady: types.AgentRuntimeStatusUpdateFailed} {
		got := k.settled(id)
		for _, part := range []string{"odd 1.0 (\"odd/_x.so\" for linux ", "outcrop serve --no-index", "zip again"} {
			if got.Status != want || !strings.Contains(aws.ToString(got.FailureReason), part) {
				t.Errorf("%s: %q lacks %q", got.Status, aws.ToString(got.FailureReason), part)
			}
		}
	}
}
