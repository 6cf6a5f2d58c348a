// Package sandboxtest is the suite that every sandbox.Engine must pass.
package sandboxtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// patience is how long anything in the suite may take on a busy machine.
const patience = 60 * time.Second

// Harness is what the suite needs of an engine's tests.
type Harness struct {
	// Open returns a new engine; the suite closes it.
	Open func(t testing.TB) sandbox.Engine
	// Guest is the path of the program that BuildGuest built.
	Guest string
	// Dir is a directory of the machine that others may enter; the suite puts
	// its code directories there.
	Dir string
	// Python and Node run the suite's agents; without a path those are skipped.
	Python, Node Interpreter
	// Part is what is run.
	Part Part
}

// An Interpreter is a program of the machine that guests run.
type Interpreter struct {
	Path   string
	Mounts []sandbox.Mount
	Env    []string
	// Draws are names of what its agent must have drawn, besides what every one
	// has.
	Draws []string
}

// BuildGuest builds the suite's guest program into dir and returns its path.
func BuildGuest(dir string) (string, error) {
	path := filepath.Join(dir, "guest")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "github.com/outcrop/outcrop/internal/sandbox/sandboxtest/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build guest: %w\n%s", err, out)
	}
	return path, nil
}

// A test is one of the suite.
type test struct {
	name string
	test func(*testing.T, *bench)
}

// Run runs the suite, or the part of it that the harness asks for.
func Run(t *testing.T, h Harness) {
	for _, tt := range suite() {
		if !h.Part.has(tt.name) {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			engine := h.Open(t)
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				if err := engine.Close(ctx); err != nil {
					t.Errorf("Close() = %v", err)
				}
			})
			tt.test(t, newBench(t, h, engine))
		})
	}
}

func suite() []test {
	tests := []test{
		{"Exit", testExit},
		{"Output", testOutput},
		{"OutputBurst", testOutputBurst},
		{"OutputWaits", testOutputWaits},
		{"OutputWriterFails", testOutputWriterFails},
		{"Environment", testEnvironment},
		{"Refusals", testRefusals},
		{"SameID", testSameID},
		{"StartGivenUp", testStartGivenUp},
		{"Stop", testStop},
		{"StopStubborn", testStopStubborn},
		{"StopConcurrently", testStopConcurrently},
		{"Close", testClose},
		{"Dial", testDial},
		{"DialRefused", testDialRefused},
		{"DialStopped", testDialStopped},
		{"DialConcurrently", testDialConcurrently},
		{"DialDeaf", testDialDeaf},
		{"ManyRequests", testManyRequests},
		{"Deadline", testDeadline},
		{"ClientLeaves", testClientLeaves},
		{"BigBodies", testBigBodies},
		{"HalfClose", testHalfClose},
		{"HostFiles", testHostFiles},
		{"OtherSandbox", testOtherSandbox},
		{"ReadOnly", testReadOnly},
		{"TmpBound", testTmpBound},
		{"Network", testNetwork},
		{"Mounts", testMounts},
	}
	return slices.Concat(tests, commandTests(), networkTests(), rootTests(), snapshotTests(), limitTests(), volumeTests(), isolationTests())
}

// A bench is where one test works: an engine and a code directory with the
// guest program in it.
type bench struct {
	Harness
	engine sandbox.Engine
	dir    string // a directory others may enter
	code   string
}

func newBench(t *testing.T, h Harness, engine sandbox.Engine) *bench {
	t.Helper()
	dir, err := os.MkdirTemp(h.Dir, "bench-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return &bench{Harness: h, engine: engine, dir: dir, code: NewCode(t, dir, h.Guest)}
}

// NewCode makes a code directory below dir that holds the guest program.
func NewCode(t testing.TB, dir, guest string) string {
	t.Helper()
	code := filepath.Join(dir, "code")
	if err := os.Mkdir(code, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(guest, filepath.Join(code, "guest")); err != nil {
		data, err := os.ReadFile(guest) // on another disk
		if err == nil {
			err = os.WriteFile(filepath.Join(code, "guest"), data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return code
}

// spec is a guest that does what args say.
func (b *bench) spec(t *testing.T, args ...string) sandbox.Spec {
	return sandbox.Spec{
		ID:   strings.ReplaceAll(strings.ReplaceAll(t.Name(), "/", "-"), "#", "_"),
		Args: append([]string{sandbox.CodePath + "/guest"}, args...),
		Code: b.code,
	}
}

// start starts a sandbox that ends with the test.
func (b *bench) start(t *testing.T, spec sandbox.Spec) sandbox.Sandbox {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := b.engine.Start(ctx, spec)
	if err != nil {
		t.Fatalf("Start(%v) = %v", spec.Args, err)
	}
	t.Cleanup(func() { stop(t, s, 0) })
	return s
}

// output runs a guest to its end and returns what it said.
func (b *bench) output(t *testing.T, spec sandbox.Spec) (stdout, stderr string, status sandbox.Status) {
	t.Helper()
	var out, err Buffer
	spec.Stdout, spec.Stderr = &out, &err
	s := b.start(t, spec)
	wait(t, s)
	return out.String(), err.String(), s.Exit()
}

func wait(t testing.TB, s sandbox.Sandbox) {
	t.Helper()
	select {
	case <-s.Done():
	case <-time.After(patience):
		t.Fatalf("sandbox %s has not ended after %v", s.ID(), patience)
	}
}

func stop(t testing.TB, s sandbox.Sandbox, grace time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Stop(ctx, grace); err != nil {
		t.Errorf("Stop(%s, %v) = %v", s.ID(), grace, err)
	}
}

// A Buffer collects output and lets a test wait for a part of it.
type Buffer struct {
	mu      sync.Mutex
	data    bytes.Buffer
	changed chan struct{}
}

// Write appends p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	return b.data.Write(p)
}

// String returns what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// Len returns how many bytes were written so far.
func (b *Buffer) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Len()
}

// WaitFor returns when part was written.
func (b *Buffer) WaitFor(t testing.TB, part string) {
	t.Helper()
	late := time.After(patience)
	for {
		b.mu.Lock()
		found := strings.Contains(b.data.String(), part)
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%q has not been written after %v, only %q", part, patience, b.String())
		}
	}
}
