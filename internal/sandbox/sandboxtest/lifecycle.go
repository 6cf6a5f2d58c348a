package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
)

func testExit(t *testing.T, b *bench) {
	tests := []struct {
		name string
		args []string
		want sandbox.Status
	}{
		{"success", []string{"exit", "0"}, sandbox.Status{Cause: sandbox.Exited}},
		{"failure", []string{"exit", "3"}, sandbox.Status{Cause: sandbox.Exited, Code: 3}},
		{"highest", []string{"exit", "255"}, sandbox.Status{Cause: sandbox.Exited, Code: 255}},
		{"killed", []string{"die", "9"}, sandbox.Status{Cause: sandbox.Exited, Code: 137}},
		{"terminated", []string{"die", "15"}, sandbox.Status{Cause: sandbox.Exited, Code: 143}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := b.start(t, b.spec(t, tt.args...))
			wait(t, s)
			if got := s.Exit(); got != tt.want {
				t.Errorf("Exit() = %+v, want %+v", got, tt.want)
			}
			stop(t, s, time.Second) // of one that has ended
			if got := s.Exit(); got != tt.want {
				t.Errorf("Exit() after Stop = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func testOutput(t *testing.T, b *bench) {
	stdout, stderr, status := b.output(t, b.spec(t, "say", "one\npart", "two"))
	if stdout != "one\npart" || stderr != "two" || status.Code != 0 {
		t.Errorf("got %q, %q, %+v; want %q, %q and success", stdout, stderr, status, "one\npart", "two")
	}
}

func testOutputBurst(t *testing.T, b *bench) {
	size := often(2<<20, 10<<20) // a pipe holds 64 KiB
	stdout, stderr, status := b.output(t, b.spec(t, "burst", fmt.Sprint(size)))
	if len(stdout) != size || len(stderr) != size || status.Code != 0 {
		t.Errorf("got %d and %d bytes, %+v; want %d each and success", len(stdout), len(stderr), status, size)
	}
	if strings.Trim(stdout, "x\n") != "" {
		t.Error("output has bytes that the guest did not write")
	}
}

// testOutputWaits: a guest that writes faster than it is read waits. Most
// programs lose what a full pipe does not take.
func testOutputWaits(t *testing.T, b *bench) {
	const size = 5 << 20
	stdout, stderr, status := b.output(t, b.spec(t, "raw", fmt.Sprint(size)))
	if len(stdout) != size || status.Code != 0 {
		t.Errorf("got %d of %d bytes, %+v: %s", len(stdout), size, status, stderr)
	}
}

// brokenWriter takes one write.
type brokenWriter struct{ calls int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	w.calls++
	return 0, io.ErrClosedPipe
}

func testOutputWriterFails(t *testing.T, b *bench) {
	spec := b.spec(t, "burst", fmt.Sprint(1<<20))
	w := new(brokenWriter)
	spec.Stdout = w // and no Stderr at all
	s := b.start(t, spec)
	wait(t, s)
	if got := s.Exit(); got.Code != 0 || w.calls != 1 {
		t.Errorf("Exit() = %+v after %d writes, want success after 1", got, w.calls)
	}
}

func testEnvironment(t *testing.T, b *bench) {
	spec := b.spec(t, "env")
	spec.Env = []string{"A=1", "B=x=y", "HOME=/elsewhere"}
	stdout, _, _ := b.output(t, spec)
	caps := b.engine.Capabilities()
	want := []string{
		fmt.Sprintf("uid=%d gid=%d dir=/var/task host=sandbox", caps.GuestUID, caps.GuestGID),
		"CapInh:0000000000000000", "CapPrm:0000000000000000", "CapEff:0000000000000000", "CapBnd:0000000000000000",
		"env:A=1", "env:B=x=y", "env:HOME=/elsewhere", "env:LANG=C.UTF-8",
		"env:PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"interface:lo true",
	}
	lines := map[string]bool{}
	for line := range strings.Lines(stdout) {
		lines[strings.TrimSuffix(line, "\n")] = true
	}
	for _, w := range want {
		if !lines[w] {
			t.Errorf("%q is missing in:\n%s", w, stdout)
		}
	}
	if n := strings.Count(stdout, "env:"); n != 5 {
		t.Errorf("the guest has %d variables, want 5:\n%s", n, stdout)
	}
	if caps.GuestUID == 0 {
		t.Error("guests are root")
	}
	spec = b.spec(t, "env")
	spec.Dir = "/tmp"
	if stdout, _, _ := b.output(t, spec); !strings.Contains(stdout, "dir=/tmp ") {
		t.Errorf("the working directory is not /tmp:\n%s", stdout)
	}
}

func testRefusals(t *testing.T, b *bench) {
	closed := filepath.Join(b.dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*sandbox.Spec)
		want   error
		text   string
	}{
		{"bad id", func(s *sandbox.Spec) { s.ID = "a/b" }, sandbox.ErrInvalid, "ID"},
		{"no such program", func(s *sandbox.Spec) { s.Args = []string{"/var/task/none"} }, sandbox.ErrCommand, "/var/task/none"},
		{"not in PATH", func(s *sandbox.Spec) { s.Args = []string{"no-such-program"} }, sandbox.ErrCommand, "no-such-program"},
		{"not executable", func(s *sandbox.Spec) { s.Args = []string{"/etc/passwd"} }, sandbox.ErrCommand, "/etc/passwd"},
		{"no such working directory", func(s *sandbox.Spec) { s.Dir = "/none" }, sandbox.ErrCommand, "/none"},
		{"no such code", func(s *sandbox.Spec) { s.Code = filepath.Join(b.dir, "none") }, sandbox.ErrInvalid, "none"},
		{"code the guest cannot read", func(s *sandbox.Spec) { s.Code = closed }, sandbox.ErrInvalid, "mode drwx------"},
		{"too large a /tmp", func(s *sandbox.Spec) { s.TmpBytes = b.engine.Capabilities().MaxTmpBytes + 1 }, sandbox.ErrInvalid, "TmpBytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := b.spec(t, "exit", "0")
			tt.change(&spec)
			var stderr Buffer
			spec.Stderr = &stderr
			s, err := b.engine.Start(t.Context(), spec)
			if err == nil {
				stop(t, s, 0)
			}
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("Start() = %v, want %v with %q", err, tt.want, tt.text)
			}
			var command *sandbox.CommandError
			if errors.As(err, &command) != (tt.want == sandbox.ErrCommand) || command != nil && (!strings.Contains(command.Reason, tt.text) || strings.Contains(command.Reason, spec.ID)) {
				t.Errorf("Start() = %v with %+v; want a CommandError with %q and without the sandbox's name, if any", err, command, tt.text)
			}
			if stderr.Len() != 0 {
				t.Errorf("the guest's standard error has %q", stderr.String())
			}
			if tt.want == sandbox.ErrInvalid && tt.name == "bad id" {
				return
			}
			// The id is free again.
			b.start(t, sandbox.Spec{ID: spec.ID, Args: []string{"/var/task/guest", "exit", "0"}, Code: b.code})
		})
	}
}

func testSameID(t *testing.T, b *bench) {
	spec := b.spec(t, "stubborn")
	s := b.start(t, spec)
	if _, err := b.engine.Start(t.Context(), spec); !errors.Is(err, sandbox.ErrExists) {
		t.Errorf("Start() of a live id = %v, want ErrExists", err)
	}
	stop(t, s, 0)
	again := b.start(t, spec)
	if again.ID() != spec.ID {
		t.Errorf("ID() = %q, want %q", again.ID(), spec.ID)
	}
}

func testStartGivenUp(t *testing.T, b *bench) {
	b.start(t, b.spec(t, "stubborn")) // the engine is warm
	for i := range 10 {
		spec := b.spec(t, "stubborn")
		spec.ID = fmt.Sprintf("given-up-%d", i)
		cause := errors.New("given up")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Duration(i)*15*time.Millisecond, cause)
		s, err := b.engine.Start(ctx, spec)
		cancel()
		switch {
		case err == nil: // it was faster
			stop(t, s, 0)
		case !errors.Is(err, cause):
			t.Errorf("Start() = %v, want the context's cause", err)
		}
		// What was begun is taken down, and then the id is free.
		late := time.After(patience)
		for {
			s, err := b.engine.Start(t.Context(), spec)
			if err == nil {
				stop(t, s, 0)
				break
			}
			if !errors.Is(err, sandbox.ErrExists) {
				t.Fatalf("Start() after giving up = %v", err)
			}
			select {
			case <-late:
				t.Fatalf("the id is not free after %v", patience)
			case <-time.After(5 * time.Millisecond): // polls an engine without events
			}
		}
	}
}

func testStop(t *testing.T, b *bench) {
	spec := b.spec(t, "term")
	var out Buffer
	spec.Stdout = &out
	s := b.start(t, spec)
	out.WaitFor(t, "ready\n")
	if got := s.Exit(); got != (sandbox.Status{}) {
		t.Errorf("Exit() of a running one = %+v", got)
	}
	stop(t, s, 10*time.Second)
	if got, want := s.Exit(), (sandbox.Status{Cause: sandbox.Stopped, Code: 7}); got != want {
		t.Errorf("Exit() = %+v, want %+v", got, want)
	}
	if got := out.String(); got != "ready\nterminating\n" {
		t.Errorf("the last words are missing: %q", got)
	}
}

func testStopStubborn(t *testing.T, b *bench) {
	spec := b.spec(t, "stubborn")
	s := b.ready(t, spec)
	const grace = 300 * time.Millisecond
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), grace/3)
	defer cancel()
	if err := s.Stop(ctx, grace); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop() = %v before its grace is over, want the context's error", err)
	}
	wait(t, s) // the stopping goes on
	if took := time.Since(begin); took < grace {
		t.Errorf("it was killed after %v, before its grace of %v was over", took, grace)
	}
	if got, want := s.Exit(), (sandbox.Status{Cause: sandbox.Stopped, Code: 137}); got != want {
		t.Errorf("Exit() = %+v, want %+v", got, want)
	}
}

func testStopConcurrently(t *testing.T, b *bench) {
	s := b.start(t, b.spec(t, "stubborn"))
	var wg sync.WaitGroup
	begin := time.Now()
	for _, grace := range []time.Duration{sandbox.MaxGrace, time.Hour, 200 * time.Millisecond, 14 * time.Second} {
		wg.Go(func() { stop(t, s, grace) })
	}
	wg.Wait()
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v, so that the shortest grace did not win", took)
	}
}

func testClose(t *testing.T, b *bench) {
	var all []sandbox.Sandbox
	for i := range 3 {
		spec := b.spec(t, "stubborn")
		spec.ID = fmt.Sprint(i)
		all = append(all, b.start(t, spec))
	}
	var wg sync.WaitGroup
	for range 2 { // idempotent, also at once
		wg.Go(func() {
			if err := b.engine.Close(t.Context()); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
	wg.Wait()
	for _, s := range all {
		select {
		case <-s.Done():
		default:
			t.Errorf("sandbox %s is not done after Close", s.ID())
		}
		if got := s.Exit().Cause; got != sandbox.Stopped {
			t.Errorf("Exit().Cause = %v, want stopped", got)
		}
	}
	if _, err := b.engine.Start(t.Context(), b.spec(t, "exit", "0")); !errors.Is(err, sandbox.ErrClosed) {
		t.Errorf("Start() after Close = %v, want ErrClosed", err)
	}
}
