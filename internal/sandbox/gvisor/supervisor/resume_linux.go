package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/hooks"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// hookTimeout bounds a guest's own restore hook. A start has a minute for all.
const hookTimeout = 30 * time.Second

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
