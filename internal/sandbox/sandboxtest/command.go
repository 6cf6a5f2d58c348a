package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// commandTests are about commands beside a guest's first process.
func commandTests() []test {
	return []test{
		{"Command", testCommand},
		{"CommandRefusals", testCommandRefusals},
		{"CommandInput", testCommandInput},
		{"CommandBurst", testCommandBurst},
		{"CommandStop", testCommandStop},
		{"CommandLeavesBehind", testCommandLeavesBehind},
		{"CommandEndsWithSandbox", testCommandEndsWithSandbox},
		{"CommandsConcurrently", testCommandsConcurrently},
		{"CommandAfterResume", testCommandAfterResume},
		{"Terminal", testTerminal},
		{"TerminalHungUp", testTerminalHungUp},
		{"TerminalName", testTerminalName},
		{"TerminalNameAfterResume", testTerminalNameAfterResume},
	}
}

// idle starts a guest that does nothing.
func (b *bench) idle(t *testing.T) sandbox.Sandbox {
	spec := b.spec(t)
	spec.Args, spec.Env = []string{"tail", "-f", "/dev/null"}, []string{"COLOUR=blue"}
	return b.start(t, spec)
}

// noSleeper fails when some process of the guest still sleeps after a while. The
// guest's first process waits for nobody, so that some stay zombies.
func noSleeper(t *testing.T, s sandbox.Sandbox) {
	t.Helper()
	var stdout Buffer
	c := shell(`for ((i = 0; i < 100; i++)); do cat /proc/[0-9]*/stat | grep -q "(sleep) [^Z]" || exit 0; read -t 0.1 <> <(:); done; exit 1`)
	c.Stdout = &stdout
	if got := waitProcess(t, execute(t, s, c)); got.Code != 0 {
		t.Errorf("a process sleeps that should have ended: %+v", got)
	}
}

// shell is a command of the guest's shell.
func shell(script string) sandbox.Command {
	return sandbox.Command{Args: []string{"/bin/bash", "-c", script}}
}

func execute(t testing.TB, s sandbox.Sandbox, c sandbox.Command) sandbox.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := s.Execute(ctx, c)
	if err != nil {
		t.Fatalf("Execute(%q) = %v", c.Args, err)
	}
	return p
}

func waitProcess(t testing.TB, p sandbox.Process) sandbox.Status {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatalf("the command has not ended after %v", patience)
	}
	return p.Exit()
}

func testCommand(t *testing.T, b *bench) {
	s := b.idle(t)
	exited := func(code int) sandbox.Status { return sandbox.Status{Cause: sandbox.Exited, Code: code} }
	for _, tt := range []struct {
		name           string
		command        sandbox.Command
		stdout, stderr string
		want           sandbox.Status
	}{
		{"output", shell("echo one; echo two >&2; exit 3"), "one\n", "two\n", exited(3)},
		{"signal", shell("kill -9 $$"), "", "", exited(137)},
		{"guest's environment", shell("echo $COLOUR $PWD"), "blue /var/task\n", "", exited(0)},
		{"own environment", sandbox.Command{Args: []string{"sh", "-c", "echo $COLOUR $PWD"}, Env: []string{"COLOUR=red"}, Dir: "/tmp"}, "red /tmp\n", "", exited(0)},
		{"nothing to read", shell("cat; echo end"), "end\n", "", exited(0)},
		{"guest's user", shell("id -u; grep -c '^CapEff:.0*$' /proc/self/status; grep NoNewPrivs /proc/self/status"),
			fmt.Sprintf("%d\n1\nNoNewPrivs:\t1\n", b.engine.Capabilities().GuestUID), "", exited(0)},
		{"same files", shell("echo x > /tmp/file; ls /proc/1/root/tmp"), "file\n", "", exited(0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr Buffer
			c := tt.command
			c.Stdout, c.Stderr = &stdout, &stderr
			p := execute(t, s, c)
			if got := waitProcess(t, p); got != tt.want || stdout.String() != tt.stdout || stderr.String() != tt.stderr {
				t.Errorf("got %+v, %q, %q; want %+v, %q, %q", got, stdout.String(), stderr.String(), tt.want, tt.stdout, tt.stderr)
			}
		})
	}
}

func testCommandRefusals(t *testing.T, b *bench) {
	s := b.idle(t)
	for _, tt := range []struct {
		name    string
		command sandbox.Command
		want    error
	}{
		{"nothing", sandbox.Command{}, sandbox.ErrInvalid},
		{"a NUL", sandbox.Command{Args: []string{"a\x00b"}}, sandbox.ErrInvalid},
		{"no variable", sandbox.Command{Args: []string{"ls"}, Env: []string{"x"}}, sandbox.ErrInvalid},
		{"a relative directory", sandbox.Command{Args: []string{"ls"}, Dir: "tmp"}, sandbox.ErrInvalid},
		{"a terminal with two outputs", sandbox.Command{Args: []string{"ls"}, Terminal: &sandbox.Window{}, Stderr: io.Discard}, sandbox.ErrInvalid},
		{"not in the PATH", sandbox.Command{Args: []string{"no-such-program"}}, sandbox.ErrCommand},
		{"not there", sandbox.Command{Args: []string{"/no/such/program"}}, sandbox.ErrCommand},
		{"not a program", sandbox.Command{Args: []string{"/etc/passwd"}}, sandbox.ErrCommand},
		{"no directory", sandbox.Command{Args: []string{"ls"}, Dir: "/no/such/directory"}, sandbox.ErrCommand},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if p, err := s.Execute(t.Context(), tt.command); !errors.Is(err, tt.want) {
				t.Errorf("Execute(%+v) = %v, %v; want %v", tt.command, p, err, tt.want)
			}
		})
	}
	stop(t, s, 0)
	if _, err := s.Execute(t.Context(), shell("true")); !errors.Is(err, sandbox.ErrStopped) {
		t.Errorf("Execute() in one that has ended = %v, want %v", err, sandbox.ErrStopped)
	}
}

func testCommandInput(t *testing.T, b *bench) {
	s := b.idle(t)
	const size = 4 << 20
	var stdout Buffer
	c := shell("cat | wc -c")
	c.Stdin, c.Stdout = strings.NewReader(strings.Repeat("x", size)), &stdout
	if got := waitProcess(t, execute(t, s, c)); got.Code != 0 || strings.TrimSpace(stdout.String()) != fmt.Sprint(size) {
		t.Errorf("the command read %q bytes, %+v, want %d", stdout.String(), got, size)
	}
	// One that does not want it all.
	c = shell("head -c 3")
	stdout = Buffer{}
	c.Stdin, c.Stdout = strings.NewReader(strings.Repeat("x", size)), &stdout
	if got := waitProcess(t, execute(t, s, c)); got.Code != 0 || stdout.String() != "xxx" {
		t.Errorf("the command read %q, %+v, want 3 bytes", stdout.String(), got)
	}
}

// testCommandBurst: a command that writes faster than it is read waits, and all
// of it is there once it is done.
func testCommandBurst(t *testing.T, b *bench) {
	s := b.idle(t)
	const size = 5 << 20
	var stdout, stderr Buffer
	c := sandbox.Command{Args: []string{sandbox.CodePath + "/guest", "raw", fmt.Sprint(size)}, Stdout: &stdout, Stderr: &stderr}
	if got := waitProcess(t, execute(t, s, c)); got.Code != 0 || stdout.Len() != size {
		t.Errorf("got %d of %d bytes, %+v: %s", stdout.Len(), size, got, stderr.String())
	}
}

func testCommandStop(t *testing.T, b *bench) {
	s := b.idle(t)
	for _, tt := range []struct {
		name, script, want string
		grace              time.Duration
		status             sandbox.Status
	}{
		{"tidies up", "trap 'echo tidy; exit 4' TERM; echo ready; sleep 1000 & wait", "ready\ntidy\n", patience, sandbox.Status{Cause: sandbox.Stopped, Code: 4}},
		{"stubborn", "trap '' TERM; echo ready; while :; do sleep 1; done", "ready\n", 100 * time.Millisecond, sandbox.Status{Cause: sandbox.Stopped, Code: 137}},
		{"at once", "echo ready; sleep 1000", "ready\n", 0, sandbox.Status{Cause: sandbox.Stopped, Code: 137}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout Buffer
			c := shell(tt.script)
			c.Stdout = &stdout
			p := execute(t, s, c)
			stdout.WaitFor(t, "ready\n")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := p.Stop(ctx, tt.grace); err != nil {
				t.Fatalf("Stop() = %v", err)
			}
			if got := p.Exit(); got != tt.status || stdout.String() != tt.want {
				t.Errorf("got %+v, %q; want %+v, %q", got, stdout.String(), tt.status, tt.want)
			}
		})
	}
	noSleeper(t, s) // nothing of their groups is left
}

// testCommandLeavesBehind: nobody waits for what a command leaves behind.
func testCommandLeavesBehind(t *testing.T, b *bench) {
	s := b.idle(t)
	var stdout Buffer
	c := shell("(while :; do echo more; sleep 0.01; done) & echo $!; exit 5")
	c.Stdout = &stdout
	if got := waitProcess(t, execute(t, s, c)); got != (sandbox.Status{Cause: sandbox.Exited, Code: 5}) {
		t.Errorf("Exit() = %+v, want exit code 5", got)
	}
	if pid, _, _ := strings.Cut(stdout.String(), "\n"); pid == "" {
		t.Errorf("the command wrote %q, want a number", stdout.String())
	}
}

func testCommandEndsWithSandbox(t *testing.T, b *bench) {
	s := b.idle(t)
	var stdout Buffer
	c := shell("echo ready; sleep 1000")
	c.Stdout = &stdout
	p := execute(t, s, c)
	stdout.WaitFor(t, "ready\n")
	stop(t, s, 0)
	if got, want := waitProcess(t, p), (sandbox.Status{Cause: sandbox.Destroyed, Code: 137}); got != want {
		t.Errorf("Exit() = %+v, want %+v", got, want)
	}
}

func testCommandsConcurrently(t *testing.T, b *bench) {
	s := b.idle(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			var stdout Buffer
			c := shell(fmt.Sprintf("echo %d; exit %d", i, i))
			c.Stdout = &stdout
			p, err := s.Execute(t.Context(), c)
			if err != nil {
				t.Errorf("Execute(%d) = %v", i, err)
				return
			}
			if got := waitProcess(t, p); got.Code != i || stdout.String() != fmt.Sprintf("%d\n", i) {
				t.Errorf("command %d: got %+v, %q", i, got, stdout.String())
			}
		})
	}
	all.Wait()
}

// testCommandAfterResume: a guest that was resumed runs commands as before, and
// of those of before nothing is left.
func testCommandAfterResume(t *testing.T, b *bench) {
	needsSnapshots(t, b)
	spec := b.spec(t)
	spec.Args = []string{"tail", "-f", "/dev/null"}
	s := b.start(t, spec)
	var stdout Buffer
	c := shell("echo x > /tmp/file; echo ready; sleep 2000")
	c.Stdout = &stdout
	p := execute(t, s, c)
	stdout.WaitFor(t, "ready\n")
	saved, err := s.Save(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { saved.Close() })
	if got := waitProcess(t, p); got.Cause != sandbox.Destroyed {
		t.Errorf("the command of a guest that was saved: %+v, want %v", got, sandbox.Destroyed)
	}
	spec.Snapshot = saved
	s = b.start(t, spec)
	stdout = Buffer{}
	c = shell("cat /tmp/file")
	c.Stdout = &stdout
	if got := waitProcess(t, execute(t, s, c)); got.Code != 0 || stdout.String() != "x\n" {
		t.Errorf("got %q, %+v; want the file", stdout.String(), got)
	}
	noSleeper(t, s)
}

func testTerminal(t *testing.T, b *bench) {
	s := b.idle(t)
	var screen Buffer
	keys, typed := io.Pipe()
	p := execute(t, s, sandbox.Command{
		Args: []string{"/bin/bash", "--norc", "--noprofile", "-i"}, Env: []string{`PS1=\#> `, "TERM=dumb"},
		Terminal: &sandbox.Window{Columns: 91, Rows: 33}, Stdin: keys, Stdout: &screen,
	})
	t.Cleanup(func() { typed.Close() })
	enter := func(text string) { // a pipe's end takes what is written, or the test is over
		if _, err := io.WriteString(typed, text); err != nil {
			t.Fatal(err)
		}
	}
	// Each line is typed when the shell asks for it: keys that make signals drop
	// what was typed before them.
	lines := 0
	line := func(text string) {
		lines++
		screen.WaitFor(t, fmt.Sprintf("%d> ", lines))
		enter(text + "\r")
	}
	line("stty size; test -t 0 && echo is a terminal")
	screen.WaitFor(t, "33 91\r\nis a terminal\r\n")
	// The shell lets go of a ^C while whose arriving a program ends that it waits for: here
	// it waits for none.
	line("(trap 'stty size; echo sized' WINCH; trap exit INT; echo wait$((0+1)); while :; do :; done)")
	screen.WaitFor(t, "wait1\r\n")
	if err := p.Resize(sandbox.Window{Columns: 120, Rows: 40}); err != nil {
		t.Fatal(err)
	}
	screen.WaitFor(t, "40 120\r\nsized\r\n")
	// Keys that make signals reach whoever is in the foreground.
	enter("\x03")
	line("(trap 'echo interrupted; exit' INT; echo wait$((1+1)); while :; do :; done)")
	screen.WaitFor(t, "wait2\r\n")
	enter("\x03")
	line("(echo wait$((1+2)); while :; do sleep 0.1; done)")
	screen.WaitFor(t, "interrupted\r\n")
	screen.WaitFor(t, "wait3\r\n")
	enter("\x1a")
	line("jobs -s; kill %1; fg")
	screen.WaitFor(t, "Stopped")
	// Programs that want every key have it.
	line("stty raw -echo; echo raw$((1+1)); head -c 1 | od -An -tx1; stty sane")
	screen.WaitFor(t, "raw2")
	enter("\x03")
	screen.WaitFor(t, " 03")
	line("exit 6")
	if got := waitProcess(t, p); got != (sandbox.Status{Cause: sandbox.Exited, Code: 6}) {
		t.Errorf("Exit() = %+v, want exit code 6; the screen: %q", got, screen.String())
	}
}

// onTerminal runs a script on a terminal of its own and returns what that shows.
func onTerminal(t *testing.T, s sandbox.Sandbox, script string) string {
	t.Helper()
	var screen Buffer
	c := shell(script)
	c.Terminal, c.Stdout = &sandbox.Window{Columns: 80, Rows: 24}, &screen
	if got := waitProcess(t, execute(t, s, c)); got.Code != 0 {
		t.Errorf("%s: %+v, %q", script, got, screen.String())
	}
	return strings.ReplaceAll(screen.String(), "\r\n", "\n")
}

// testTerminalName: a terminal is a file of the guest's, as programs want it that hand
// theirs to others by its name, and no longer than it is there.
func testTerminalName(t *testing.T, b *bench) {
	s := b.idle(t)
	if got, want := onTerminal(t, s, `tty; readlink /proc/self/fd/0; stat -L -c '%F %Hr:%Lr' /dev/stdin; exec 0<&-; echo by name >/dev/pts/0; tty </dev/pts/0`), "/dev/pts/0\n/dev/pts/0\ncharacter special file 136:0\nby name\n/dev/pts/0\n"; got != want {
		t.Errorf("the first terminal shows %q, want %q", got, want)
	}
	var screen Buffer
	keys, typed := io.Pipe()
	c := shell("tty; read; exit 3")
	c.Terminal, c.Stdin, c.Stdout = &sandbox.Window{Columns: 80, Rows: 24}, keys, &screen
	t.Cleanup(func() { typed.Close() })
	p := execute(t, s, c)
	screen.WaitFor(t, "/dev/pts/1\r\n")
	if got, want := onTerminal(t, s, "tty; echo /dev/pts/*"), "/dev/pts/2\n/dev/pts/1 /dev/pts/2 /dev/pts/ptmx\n"; got != want {
		t.Errorf("beside another, a terminal shows %q, want %q", got, want)
	}
	if _, err := io.WriteString(typed, "\r"); err != nil {
		t.Fatal(err)
	}
	if got := waitProcess(t, p); got.Code != 3 {
		t.Errorf("Exit() = %+v, want exit code 3", got)
	}
	var stdout Buffer
	c = shell("echo /dev/pts/*; tty || true")
	c.Stdout = &stdout
	if got := waitProcess(t, execute(t, s, c)); got.Code != 0 || stdout.String() != "/dev/pts/ptmx\nnot a tty\n" {
		t.Errorf("after all of them: %q, %+v", stdout.String(), got)
	}
}

// testTerminalNameAfterResume: a guest can be saved whose terminals are open by their
// names, and those that it makes afterwards have names too.
func testTerminalNameAfterResume(t *testing.T, b *bench) {
	needsSnapshots(t, b)
	spec := b.spec(t)
	spec.Args = []string{"tail", "-f", "/dev/null"}
	s := b.start(t, spec)
	var screen Buffer
	c := shell("exec 5<>/dev/pts/0; echo opened; sleep 2000")
	c.Terminal, c.Stdout = &sandbox.Window{Columns: 80, Rows: 24}, &screen
	p := execute(t, s, c)
	screen.WaitFor(t, "opened")
	saved, err := s.Save(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { saved.Close() })
	waitProcess(t, p)
	spec.Snapshot = saved
	s = b.start(t, spec)
	if got, want := onTerminal(t, s, "tty; echo /dev/pts/*"), "/dev/pts/1\n/dev/pts/1 /dev/pts/ptmx\n"; got != want {
		t.Errorf("after a resume, a terminal shows %q, want %q", got, want)
	}
	noSleeper(t, s)
}

// testTerminalHungUp: what runs on a terminal that goes away ends.
func testTerminalHungUp(t *testing.T, b *bench) {
	s := b.idle(t)
	var screen Buffer
	keys, typed := io.Pipe()
	p := execute(t, s, sandbox.Command{
		Args: []string{"/bin/bash", "--norc", "--noprofile", "-i"}, Env: []string{"PS1=$ "},
		Terminal: &sandbox.Window{Columns: 80, Rows: 24}, Stdin: keys, Stdout: &screen,
	})
	t.Cleanup(func() { typed.Close() })
	screen.WaitFor(t, "$ ")
	if _, err := io.WriteString(typed, "sleep 3000 & bash -c 'echo begun$((1+1)); read'\r"); err != nil {
		t.Fatal(err)
	}
	screen.WaitFor(t, "begun2")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Stop(ctx, patience); err != nil {
		t.Fatalf("Stop() = %v", err)
	}
	noSleeper(t, s)
}
