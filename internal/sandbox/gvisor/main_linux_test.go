package gvisor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
)

// The tests run twice when root runs them: once more as an ordinary user, by a
// copy of themselves, those whose outcome depends on the user; nightly all. These
// variables tell the copy what was built already.
const (
	executableVariable = "OUTCROP_TEST_EXECUTABLE"
	guestVariable      = "OUTCROP_TEST_GUEST"
	dirVariable        = "OUTCROP_TEST_DIR"
	venvVariable       = "OUTCROP_TEST_VENV"
	ordinaryVariable   = "OUTCROP_TEST_ORDINARY" // set for the copy that tests once more
	roleVariable       = "OUTCROP_TEST_ROLE"     // what a copy is for; empty for tests
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	os.Exit(setUp(m.Run))
}

// setUp builds what the tests need into a directory that anybody may enter.
func setUp(run func() int) int {
	if os.Getenv(executableVariable) != "" {
		return run()
	}
	dir, err := os.MkdirTemp("", "outcrop-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	err = os.Chmod(dir, 0o755)
	var guest string
	if err == nil {
		guest, err = sandboxtest.BuildGuest(dir)
	}
	executable := filepath.Join(dir, "outcrop-sandbox")
	if err == nil {
		cmd := exec.Command("go", "run", "github.com/outcrop/outcrop/tools/embedsandbox", "-plain", executable)
		cmd.Stderr = os.Stderr
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "set up:", err)
		return 1
	}
	os.Setenv(executableVariable, executable)
	os.Setenv(guestVariable, guest)
	os.Setenv(dirVariable, dir)
	os.Setenv(venvVariable, findVenv())
	return run()
}

// open returns an engine with a directory of its own, which ends with the test:
// some look at all sandboxes of this machine that run the tests' executable.
func open(t testing.TB) sandbox.Engine {
	t.Helper()
	e, err := New(Config{Dir: filepath.Join(t.TempDir(), "engine"), Executable: os.Getenv(executableVariable)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestContract(t *testing.T) { sandboxtest.Run(t, harness(t, open, sandboxtest.Whole)) }

// TestContractPassthrough holds guests with the machine's network stack to the
// same, where the stack matters; nightly to all of it.
func TestContractPassthrough(t *testing.T) {
	passing := func(t testing.TB) sandbox.Engine { return passingThrough{open(t)} }
	sandboxtest.Run(t, harness(t, passing, sandboxtest.OfStack))
}

// harness runs a part of the suite, of that what depends on the user if root has
// run it before; nightly the whole.
func harness(t *testing.T, open func(testing.TB) sandbox.Engine, part sandboxtest.Part) sandboxtest.Harness {
	if os.Getenv(ordinaryVariable) != "" {
		part |= sandboxtest.OfUser
	}
	if nightly() {
		part = sandboxtest.Whole
	}
	return sandboxtest.Harness{Open: open, Guest: os.Getenv(guestVariable), Dir: os.Getenv(dirVariable), Python: python(t), Node: node(t), Part: part}
}

// nightly says that what takes long is run too.
func nightly() bool { return os.Getenv("OUTCROP_NIGHTLY") != "" }

// passingThrough is an engine that gives every guest the machine's network stack.
type passingThrough struct{ sandbox.Engine }

// Start implements sandbox.Engine.
func (e passingThrough) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	spec.Passthrough = true
	return e.Engine.Start(ctx, spec)
}
