package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/urpc"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// saveTimeout bounds the writing of a guest's state, which takes some 0.2 s for
// 400 MB of memory.
const saveTimeout = 5 * time.Minute

// What a sandbox's control server understands, as in gVisor's runsc/boot.
const (
	pauseGuest  = "containerManager.Pause"
	resumeGuest = "containerManager.Resume"
	listGuest   = "containerManager.Processes"
	saveGuest   = "containerManager.Checkpoint"
	readGuest   = "Fs.Read"
)

// saveArgs are control.SaveOpts. The files are the state, what is known of the
// pages, and the pages.
type saveArgs struct {
	urpc.FilePayload
	Metadata      map[string]string `json:"metadata"`
	HavePagesFile bool              `json:"have_pages_file"`
	Resume        bool
}

// process is control.Process.
type process struct {
	PID     int    `json:"pid"`
	Threads []int  `json:"threads"`
	Cmd     string `json:"cmd"`
}

// readArgs are control.ReadOpts. The file is where the content goes.
type readArgs struct {
	urpc.FilePayload
	Path string `json:"path"`
	Size int64  `json:"size"`
}

// save writes a guest's state to files. The guest is paused before its processes
// are listed, so that the list is that of the state; without m.Keep it stays so
// (gVisor's own way would end it, even if the state could not be saved).
func (s *supervisor) save(m *wire.Save, files []*os.File) (*wire.Saved, error) {
	id := m.Sandbox
	g := s.find(id)
	if g == nil {
		return nil, gone(id)
	}
	g.saving.Lock()
	defer g.saving.Unlock()
	if err := control(id, pauseGuest, nil); err != nil {
		return nil, err
	}
	saved, err := g.savePaused(m, files)
	if err == nil {
		g.disconnect() // before it goes on, and connects anew
	}
	if err != nil || m.Keep {
		err = errors.Join(err, thaw(id))
	}
	if err != nil {
		return nil, err
	}
	return saved, nil
}

// thaw lets a paused guest go on.
func thaw(id string) error { return control(id, resumeGuest, nil) }

func (g *guest) savePaused(m *wire.Save, files []*os.File) (saved *wire.Saved, err error) {
	id := g.id
	saved = new(wire.Saved)
	if m.List {
		if saved.Processes, err = living(id); err != nil {
			return nil, err
		}
	}
	if err := g.fits(); err != nil {
		return nil, err
	}
	back, err := g.lend()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, back()) }()
	err = controlFor(saveTimeout, id, saveGuest, &saveArgs{
		FilePayload:   urpc.FilePayload{Files: files},
		Metadata:      map[string]string{"compression": "none"}, // pages in a file of their own need it
		HavePagesFile: true,
		Resume:        true, // the pause above still holds
	}, nil)
	var remote urpc.RemoteError
	if errors.As(err, &remote) {
		reason, _, _ := strings.Cut(remote.Message, "\n") // the stacks that follow say little
		return nil, &wire.Failure{Kind: wire.Unsaved, Text: reason}
	}
	return saved, err
}

// fits refuses to save a guest that has more than its bound of memory with what lies
// on the disk: all of it becomes memory in a snapshot, which nothing else bounds.
func (g *guest) fits() error {
	g.mu.Lock()
	w := g.watch
	g.mu.Unlock()
	if w == nil {
		return nil
	}
	memory, disk := w.used(), w.onDisk()
	if disk == 0 || w.limits.Memory <= 0 || memory <= w.limits.Memory-disk {
		return nil
	}
	return &wire.Failure{Kind: wire.Unsaved, Text: fmt.Sprintf(
		"it has %d MiB in files, in /tmp or in place of its image's; with its memory they exceed its limit of memory, %d MiB: remove files, or raise the limit",
		disk>>20, (w.limits.Memory-wire.OverheadBytes)>>20)}
}

// lend takes the sandbox's process out of the guest's bound of memory, and returns
// how to put it back. What it writes to the snapshot would count as the guest's:
// one that uses more than half of what it may would be killed.
func (g *guest) lend() (back func() error, err error) {
	g.mu.Lock()
	pid := g.pid
	g.mu.Unlock()
	if g.group == nil || pid == 0 {
		return func() error { return nil }, nil
	}
	put, err := g.group.Lend(pid)
	if err != nil {
		return nil, err
	}
	return func() error {
		err := put()
		if err == nil || errors.Is(err, unix.ESRCH) { // it may have ended
			return nil
		}
		g.kill() // nothing would bound it
		return err
	}, nil
}

// living lists a paused guest's processes but for those that have ended and wait
// to be waited for: they will never draw anything again.
func living(id string) ([]wire.Process, error) {
	var all []process
	if err := controlFor(callTimeout, id, listGuest, &id, &all); err != nil {
		return nil, err
	}
	var living []wire.Process
	for _, p := range all {
		if len(p.Threads) <= 1 { // what ended has no other threads
			ended, err := ended(id, p.PID)
			if err != nil {
				return nil, err
			}
			if ended {
				continue
			}
		}
		living = append(living, wire.Process{PID: p.PID, Name: p.Cmd})
	}
	return living, nil
}

// statBytes is more than /proc/PID/stat ever has, and fits in a pipe.
const statBytes = 4096

// ended tells whether a process is a zombie.
func ended(id string, pid int) (bool, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return false, fmt.Errorf("look at process %d of %s: %w", pid, id, err)
	}
	defer r.Close()
	err = control(id, readGuest, &readArgs{
		FilePayload: urpc.FilePayload{Files: []*os.File{w}},
		Path:        fmt.Sprintf("/proc/%d/stat", pid), Size: statBytes,
	})
	w.Close()
	if err != nil {
		return false, err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return false, fmt.Errorf("look at process %d of %s: %w", pid, id, err)
	}
	return state(string(text)) == "Z", nil
}

// state is the third word of /proc/PID/stat. The second, a name in parentheses,
// can be anything.
func state(stat string) string {
	rest := strings.TrimLeft(stat[strings.LastIndexByte(stat, ')')+1:], " ")
	state, _, _ := strings.Cut(rest, " ")
	return state
}
