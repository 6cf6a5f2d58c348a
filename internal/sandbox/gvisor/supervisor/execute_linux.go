package supervisor

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/urpc"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// What a sandbox's control server understands, as in gVisor's runsc/boot.
const (
	executeGuest = "containerManager.ExecuteAsync"
	waitGuest    = "containerManager.WaitPID"
)

// executeArgs are control.ExecArgs.
type executeArgs struct {
	urpc.FilePayload
	GuestFDs         []int
	Argv             []string `json:"argv"`
	Envv             []string `json:"envv"`
	WorkingDirectory string   `json:"wd"`
	KUID, KGID       uint32
	NoNewPrivileges  bool
	Capabilities     *struct{} // empty is none, and nil all for root
	StdioIsPty       bool
	ContainerID      string
}

// waitArgs are boot.WaitPIDArgs.
type waitArgs struct {
	PID int32
	CID string
}

// execute starts a process in a guest.
func (s *supervisor) execute(m *wire.Execute, stdio []*os.File) (*wire.Executed, error) {
	g := s.find(m.Sandbox)
	if g == nil {
		return nil, gone(m.Sandbox)
	}
	g.saving.RLock()
	defer g.saving.RUnlock()
	pid, err := execute(m, stdio)
	return &wire.Executed{PID: pid}, err
}

// wait waits for the end of a process, however long it takes.
func wait(m *wire.Wait) (*wire.Waited, error) {
	status, err := await(0, m)
	return &wire.Waited{Code: exitCode(status)}, err
}

// execute starts a process in a guest, in a group and a session of its own, with
// its standard input, output and error. It returns its number.
func execute(m *wire.Execute, stdio []*os.File) (pid int32, err error) {
	err = controlFor(callTimeout, m.Sandbox, executeGuest, &executeArgs{
		FilePayload: urpc.FilePayload{Files: stdio},
		GuestFDs:    []int{0, 1, 2},
		Argv:        m.Args, Envv: m.Env, WorkingDirectory: m.Dir,
		KUID: m.UID, KGID: m.GID, NoNewPrivileges: true, Capabilities: &struct{}{},
		StdioIsPty:  m.Terminal,
		ContainerID: m.Sandbox,
	}, &pid)
	var remote urpc.RemoteError
	if errors.As(err, &remote) {
		if f := commandFailure(remote.Message, m.Args[0], m.Dir); f != nil {
			return 0, f
		}
	}
	return pid, err
}

// await returns how a process that execute started has ended. A timeout of 0 is
// none.
func await(timeout time.Duration, m *wire.Wait) (unix.WaitStatus, error) {
	var status uint32
	err := controlFor(timeout, m.Sandbox, waitGuest, &waitArgs{PID: m.PID, CID: m.Sandbox}, &status)
	return unix.WaitStatus(status), err
}

// commandFailure says in our words what runsc says of a command that cannot be
// executed; nil where it was something else. What runsc says is meant for its
// developers.
func commandFailure(text, command, dir string) *wire.Failure {
	for _, known := range []struct{ part, text string }{
		{"error finding executable", command + ": not found in the guest's PATH"},
		{"failed to load " + command + ": no such file", command + ": not found in the guest"},
		{"failed to load " + command + ": permission denied", command + ": the guest may not execute it"},
		{"failed to load ", command + ": not an executable for this machine"},
		{"failed to create process working directory", dir + ": no such directory in the guest"},
		{"failed to find initial working directory", dir + ": no such directory in the guest"},
	} {
		if strings.Contains(text, known.part) {
			return &wire.Failure{Kind: wire.Command, Text: known.text}
		}
	}
	return nil
}

// runHook runs the restore hook inside a guest, as its user. gVisor's own way
// would run it as root, and for snapshots that were made with it only.
func runHook(m *wire.Start, stdout, stderr *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	pid, err := execute(&wire.Execute{Sandbox: m.Sandbox, Args: m.RestoreHook, Env: m.Env, Dir: m.Dir, UID: m.UID, GID: m.GID}, []*os.File{null, stdout, stderr})
	var status unix.WaitStatus
	if err == nil {
		status, err = await(hookTimeout, &wire.Wait{Sandbox: m.Sandbox, PID: pid})
	}
	if err == nil && (!status.Exited() || status.ExitStatus() != 0) {
		err = errors.New(describe(status))
	}
	var f *wire.Failure
	if err == nil || errors.As(err, &f) && f.Kind == wire.Gone {
		return err
	}
	return &wire.Failure{Kind: wire.Resuming, Text: fmt.Sprintf("restore hook %s: %v", m.RestoreHook[0], err)}
}

func describe(w unix.WaitStatus) string {
	if w.Signaled() {
		return "signal " + unix.SignalName(w.Signal())
	}
	return fmt.Sprintf("exit code %d", w.ExitStatus())
}

// exitCode is what shells make of a wait status.
func exitCode(w unix.WaitStatus) int {
	if w.Signaled() {
		return 128 + int(w.Signal())
	}
	return w.ExitStatus()
}
