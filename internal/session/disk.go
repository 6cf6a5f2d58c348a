package session

import (
	"context"
	"fmt"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// DiskError says that the disk has no room for what a guest may write to it. It
// matches ErrLimit.
type DiskError struct {
	// Need is what the guest may write, and Free what the disk has left for guests, in
	// bytes.
	Need, Free int64
}

func (e *DiskError) Error() string {
	return fmt.Sprintf("the guest may write %d MiB to the server's disk, in /tmp and in place of its image's files, and %d MiB are left for guests", e.Need>>20, max(e.Free, 0)>>20)
}

// Is matches ErrLimit.
func (e *DiskError) Is(target error) bool { return target == ErrLimit }

// diskRoom returns a DiskError unless the disk has room for what a guest may write that
// was given more than usual. Any other starts on a full disk too, as what makes room may
// have to; what others may still write is not asked for.
func (m *Manager) diskRoom(spec sandbox.Spec) error {
	c := m.cfg.Engine.Capabilities()
	if m.cfg.FreeDisk == nil || c.FilesInMemory {
		return nil
	}
	var need int64
	if spec.TmpBytes > c.DefaultTmpBytes {
		need = spec.TmpBytes
	}
	if spec.Root != "" && spec.Limits.DiskBytes > c.DefaultDiskBytes {
		need += spec.Limits.DiskBytes
	}
	if need == 0 {
		return nil
	}
	free, err := m.cfg.FreeDisk()
	if err != nil {
		m.cfg.Log.Warn("ask for free disk", "error", err)
		return nil
	}
	if free < need {
		return fmt.Errorf("start session: %w", &DiskError{Need: need, Free: free})
	}
	return nil
}

// smallFiles is how much a guest may have on the disk, in bytes, to be saved like one
// that has nothing there.
const smallFiles = 64 << 20

// admit lets guests be saved that have more than smallFiles on the disk: one at a time,
// until done, since all of it is in memory before it is in a snapshot's file, and only
// if that and the disk have room.
func (s *session) admit(ctx context.Context) (done func(), err error) {
	s.measure()
	m := s.m
	m.mu.Lock()
	files, size := s.files, s.files+s.memory
	m.mu.Unlock()
	if files <= smallFiles {
		return func() {}, nil
	}
	select {
	case m.large <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: others are being saved", errBusy)
	}
	done = func() { <-m.large }
	if m.cfg.FreeMemory != nil {
		if free, err := m.cfg.FreeMemory(); err != nil {
			m.cfg.Log.Warn("ask for free memory", "error", err)
		} else if free < size {
			done()
			return nil, fmt.Errorf("it has %d MiB in files, and the memory to save them in is not free", files>>20)
		}
	}
	if m.cfg.Hibernated.Fits(size) != nil {
		done()
		return nil, fmt.Errorf("it has %d MiB in files, for which there is no room among the snapshots", files>>20)
	}
	return done, nil
}
