//go:build linux

package terminal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is one at which a program runs and a test types.
type terminal struct {
	t           *testing.T
	screen, tty *os.File
	cmd         *exec.Cmd
	ended       chan struct{}
	before      unix.Termios

	mu    sync.Mutex
	shown strings.Builder
	more  chan struct{} // has one when there is more
}

// open starts a program at a terminal of 120 by 40 characters.
func open(t *testing.T, env []string, name string, args ...string) *terminal {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, screen: screen, tty: tty, ended: make(chan struct{}), more: make(chan struct{}, 1)}
	x.resize(120, 40)
	x.before = x.modes()
	x.cmd = exec.Command(name, args...)
	x.cmd.Env, x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = env, tty, tty, tty
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go x.watch()
	go func() {
		defer close(x.ended)
		_ = x.cmd.Wait() // its exit code is asked for
	}()
	t.Cleanup(func() {
		_ = x.cmd.Process.Kill() // it has ended, as a rule
		<-x.ended
		_ = errors.Join(tty.Close(), screen.Close())
	})
	return x
}

func (x *terminal) watch() {
	buf := make([]byte, 4096)
	for {
		n, err := x.screen.Read(buf)
		if err != nil {
			return
		}
		x.mu.Lock()
		x.shown.Write(buf[:n])
		x.mu.Unlock()
		select {
		case x.more <- struct{}{}:
		default:
		}
	}
}

func (x *terminal) resize(columns, rows uint16) {
	x.t.Helper()
	if err := unix.IoctlSetWinsize(int(x.screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		x.t.Fatal(err)
	}
}

func (x *terminal) modes() unix.Termios {
	x.t.Helper()
	modes, err := unix.IoctlGetTermios(int(x.tty.Fd()), unix.TCGETS)
	if err != nil {
		x.t.Fatal(err)
	}
	return *modes
}

func (x *terminal) types(keys string) {
	x.t.Helper()
	if _, err := x.screen.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// all is what was shown so far.
func (x *terminal) all() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.shown.String()
}

// shows waits for a text and returns all that was shown up to now; what was shown
// is then forgotten.
func (x *terminal) shows(text string) string {
	x.t.Helper()
	limit := time.After(time.Minute)
	for {
		x.mu.Lock()
		all := x.shown.String()
		if strings.Contains(all, text) {
			x.shown.Reset()
			x.mu.Unlock()
			return all
		}
		x.mu.Unlock()
		select {
		case <-x.more:
		case <-limit:
			x.t.Fatalf("the terminal does not show %q:\n%s", text, all)
		}
	}
}

// ends wants the program to end with a code and the terminal to be what it was.
func (x *terminal) ends(code int) {
	x.t.Helper()
	select {
	case <-x.ended:
	case <-time.After(time.Minute):
		x.t.Fatalf("the program does not end:\n%s", x.all())
	}
	if got := x.cmd.ProcessState.ExitCode(); got != code {
		x.t.Errorf("exit code %d, want %d:\n%s", got, code, x.all())
	}
	if after := x.modes(); after != x.before {
		x.t.Errorf("the terminal is left as %+v, was %+v", after, x.before)
	}
}
