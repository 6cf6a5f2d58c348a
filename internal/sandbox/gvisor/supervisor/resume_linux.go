package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/urpc"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/hooks"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// hookTimeout bounds a guest's own restore hook. A start has a minute for all.
const hookTimeout = 30 * time.Second

const (
	executeGuest = "containerManager.ExecuteAsync"
	waitGuest    = "containerManager.WaitPID"
)

// snapshotFiles are the names that runsc gives to wire.SnapshotFiles.
var snapshotFiles = [wire.SnapshotFiles]string{"checkpoint.img", "pages_meta.img", "pages.img"}

// firstSnapshotFD is where runsc finds the first of them; the others follow. It is
// the one after netNSPath's.
const firstSnapshotFD = 4

func (b bundle) snapshot() string { return filepath.Join(string(b), "snapshot") }

// writeSnapshot makes the directory in which runsc looks for a snapshot's files. It
// opens them anew there, so that each sandbox reads at its own pace.
func (b bundle) writeSnapshot() error {
	if err := os.Mkdir(b.snapshot(), 0o700); err != nil {
		return fmt.Errorf("make snapshot's directory: %w", err)
	}
	for i, name := range snapshotFiles {
		if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", firstSnapshotFD+i), filepath.Join(b.snapshot(), name)); err != nil {
			return fmt.Errorf("make snapshot's directory: %w", err)
		}
	}
	return nil
}

// hooksMount shows a savable guest the hooks. They are beside the host's files.
func hooksMount() wire.Mount { return wire.Mount{Source: "/.." + hooksDir, Target: hooks.Dir} }

// resumeFailure says why a sandbox was not resumed. Whatever it was, a start
// without the snapshot may go well.
func resumeFailure(g *guest, status syscall.WaitStatus) error {
	return &wire.Failure{
		Kind: wire.Resuming,
		Text: fmt.Sprintf("runsc ended with %d: %s %s", status.ExitStatus(), logged(g.bundle.log()), tail(g.bundle.panics())),
	}
}

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
	ContainerID      string
}

// waitArgs are boot.WaitPIDArgs.
type waitArgs struct {
	PID int32
	CID string
}

// runHook runs the restore hook inside a guest, as its user. gVisor's own way
// would run it as root, and for snapshots that were made with it only.
func runHook(m *wire.Start, stdout, stderr *os.File) error {
	err := execute(m, stdout, stderr)
	var f *wire.Failure
	if err == nil || errors.As(err, &f) {
		return err
	}
	return &wire.Failure{Kind: wire.Resuming, Text: fmt.Sprintf("restore hook %s: %v", m.RestoreHook[0], err)}
}

func execute(m *wire.Start, stdout, stderr *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	var pid int32
	err = controlFor(callTimeout, m.Sandbox, executeGuest, &executeArgs{
		FilePayload: urpc.FilePayload{Files: []*os.File{null, stdout, stderr}},
		GuestFDs:    []int{0, 1, 2},
		Argv:        m.RestoreHook, Envv: m.Env, WorkingDirectory: m.Dir,
		KUID: m.UID, KGID: m.GID, NoNewPrivileges: true, Capabilities: &struct{}{},
		ContainerID: m.Sandbox,
	}, &pid)
	if err != nil {
		return err
	}
	var status uint32
	if err := controlFor(hookTimeout, m.Sandbox, waitGuest, &waitArgs{PID: pid, CID: m.Sandbox}, &status); err != nil {
		return err
	}
	if w := unix.WaitStatus(status); !w.Exited() || w.ExitStatus() != 0 {
		return errors.New(describe(w))
	}
	return nil
}

func describe(w unix.WaitStatus) string {
	if w.Signaled() {
		return "signal " + unix.SignalName(w.Signal())
	}
	return fmt.Sprintf("exit code %d", w.ExitStatus())
}
