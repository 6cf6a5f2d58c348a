package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/cgroup"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/supervisor/uplink"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// detailBytes bounds what is told about a crash.
const detailBytes = 4 << 10

// A guest is one sandbox, from the moment that its start was asked for.
type guest struct {
	id     string
	bundle bundle
	// diskBytes bounds what is written below its root; 0 where nothing can be.
	diskBytes int64

	// group and processors are what it is confined to, if it is.
	group      *cgroup.Group
	processors []int
	volumes    []*volume

	// uplink is nil where there is no wire.
	uplink *uplink.Uplink
	// passed is the network namespace of a guest that is passed through to it, else nil.
	passed *os.File

	// saving keeps new connections out: what forwards them cannot be saved.
	saving sync.RWMutex

	mu sync.Mutex
	// pid is the process to kill: first the runsc that boots the sandbox, then
	// the sandbox itself; 0 between and after.
	pid int
	// killed: it was asked for, maybe before there was anything to kill.
	killed bool
	watch  *watch        // while there is a sandbox
	over   wire.Excess   // what it was killed for
	used   wire.Measured // the last that was known
}

// become tells the guest which process to kill from now on, and reports whether
// somebody asked for that already.
func (g *guest) become(pid int) (killed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pid = pid
	return g.killed
}

func (g *guest) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.killed = true
	if g.pid != 0 {
		_ = unix.Kill(g.pid, unix.SIGKILL) // it may just have ended
	}
}

// start boots a sandbox, or resumes one from the files of a snapshot, and returns
// when its first process runs.
func (s *supervisor) start(m *wire.Start, stdout, stderr *os.File, snapshot []*os.File) error {
	if m.Savable {
		m.Mounts = append(m.Mounts, hooksMount())
	}
	g := &guest{id: m.Sandbox, bundle: bundle(filepath.Join(bundlesDir, m.Sandbox)), diskBytes: m.DiskBytes}
	s.mu.Lock()
	_, taken := s.guests[g.id]
	if !taken {
		s.guests[g.id] = g
	}
	s.mu.Unlock()
	if taken || len(g.id) != wire.IDLength {
		return fmt.Errorf("id %q is taken or not %d characters long", g.id, wire.IDLength)
	}
	defer s.reaper.hold()()
	sentry, err := s.boot(g, m, stdout, stderr, snapshot)
	if err != nil {
		s.remove(g)
		return err
	}
	ended := s.reaper.adopt(sentry)
	if g.become(sentry) {
		g.kill()
	}
	go func() {
		status := <-ended
		g.become(0)
		m := &wire.Ended{Sandbox: g.id, Code: status.ExitStatus(), Broken: !status.Exited()}
		m.Used = g.measure()
		if m.Broken {
			m.Detail = tail(g.bundle.panics())
			m.Excess = g.excess()
		}
		s.remove(g)
		_ = s.conn.Send(&wire.Message{Ended: m})
	}()
	return nil
}

// boot runs runsc and returns the sandbox's pid.
func (s *supervisor) boot(g *guest, m *wire.Start, stdout, stderr *os.File, snapshot []*os.File) (int, error) {
	ns, err := s.plug(g, m.Cable, m.Passthrough)
	if err != nil {
		return 0, err
	}
	if g.passed == nil {
		defer ns.Close()
	}
	unmount, err := g.mountVolumes(m)
	if err != nil {
		return 0, err
	}
	defer unmount()
	if err := s.confine(g, &m.Limits); err != nil {
		return 0, err
	}
	defer g.bundle.settle()
	if err := writeBundle(g.bundle, m); err != nil {
		return 0, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("start sandbox %s: %w", g.id, err)
	}
	defer null.Close()
	files := []uintptr{null.Fd(), stdout.Fd(), stderr.Fd(), ns.Fd()} // netNSPath names the last
	if m.Resume {
		if err := g.bundle.writeSnapshot(); err != nil {
			return 0, err
		}
		for _, f := range snapshot { // from firstSnapshotFD on
			files = append(files, f.Fd())
		}
	}
	files = widen(files, null.Fd())
	pid, exited, err := s.spawn(g, "/proc/self/exe", s.runscArgs(g, m.Resume), &syscall.ProcAttr{
		Dir:   string(g.bundle), // upperName is relative to it
		Env:   []string{"PATH=/usr/bin:/bin"},
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start runsc for %s: %w", g.id, err)
	}
	if g.become(pid) {
		g.kill()
	}
	status := <-exited
	if g.become(0) {
		return 0, gone(g.id)
	}
	if !status.Exited() || status.ExitStatus() != 0 {
		if m.Resume {
			return 0, resumeFailure(g, status)
		}
		return 0, bootFailure(g, m, status)
	}
	text, err := os.ReadFile(g.bundle.pid())
	if err != nil {
		return 0, fmt.Errorf("read pid of %s: %w", g.id, err)
	}
	sentry, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || sentry <= 1 {
		return 0, fmt.Errorf("read pid of %s: %q is none", g.id, text)
	}
	g.watchOver(sentry, m.Limits)
	if m.Resume && len(m.RestoreHook) > 0 {
		if g.become(sentry) {
			return 0, gone(g.id)
		}
		if err := runHook(m, stdout, stderr); err != nil {
			return 0, err
		}
	}
	return sentry, nil
}

// tableSize is how many descriptors a sandbox's table holds: its process moves the
// guest's standard streams to 253 and on.
const tableSize = 256

// widen gives runsc a descriptor so high that its table, and so those of its
// children, are as large as they will be. To grow a table that threads share, a
// process waits until all processors have been elsewhere, which takes some ms.
func widen(files []uintptr, any uintptr) []uintptr {
	for len(files) < tableSize-4 {
		files = append(files, ^uintptr(0)) // closed
	}
	return append(files, any)
}

// runscArgs is the command that boots or resumes g.
func (s *supervisor) runscArgs(g *guest, resume bool) []string {
	command := []string{"run"}
	if resume {
		command = []string{"restore", "--image-path=" + g.bundle.snapshot()}
	}
	return slices.Concat([]string{
		"runsc", // what makes the executable be runsc
		"--root=" + stateDir,
		"--log=" + g.bundle.log(), "--log-format=json",
		"--panic-log=" + g.bundle.panics(),
		"--platform=systrap",
		"--network=" + g.network(),
		// Limits do not come from control groups.
		"--ignore-cgroups",
	}, g.overlayArgs(), []string{
		// Code is pinned by digest and interpreters are the system's: nobody
		// changes them under a running guest, so their attributes may be cached.
		"--file-access=exclusive", "--file-access-mounts=exclusive",
		// Where there is a second UID, only the gofer opens files and the
		// sandbox's process is nobody with no capability at all. An ordinary
		// user's namespace has one UID; there the process is that user.
		fmt.Sprintf("--directfs=%t", !s.separate),
		fmt.Sprintf("--fdlimit=%d", maxHostFiles),
		// The host's settings are doctor's matter.
		"--host-settings=ignore",
		// Everything is in this executable, and is meant to be.
		"--sidecar-usage-policy=LEGACY_DEPRECATED_SLOW_EMBEDDED_FALLBACK",
	}, command, []string{"--detach", "--bundle=" + string(g.bundle), "--pid-file=" + g.bundle.pid(), g.id})
}

// remove takes down what is left of a guest and forgets it.
func (s *supervisor) remove(g *guest) {
	s.sweep(g.id)
	g.unwatch()
	g.closeVolumes()
	s.release(g)
	g.unplug()
	left, _ := filepath.Glob(stateDir + "/*" + g.id + "*")
	for _, path := range append(left, string(g.bundle)) {
		_ = os.RemoveAll(path) // on a memory file system of our own
	}
	s.mu.Lock()
	delete(s.guests, g.id)
	s.mu.Unlock()
}

// sweep kills every process that has the id as an argument, as runsc's sandbox
// and gofer do, and waits for their ends. They are our children by now.
func (s *supervisor) sweep(id string) {
	defer s.reaper.hold()()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		line, err := os.ReadFile(dir + "/cmdline")
		if err != nil || !bytes.HasSuffix(line, []byte("\x00"+id+"\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || unix.Kill(pid, unix.SIGKILL) != nil {
			continue
		}
		<-s.reaper.adopt(pid)
	}
}

// bootFailure finds out from runsc's log why a sandbox did not start.
func bootFailure(g *guest, m *wire.Start, status syscall.WaitStatus) error {
	text := logged(g.bundle.log())
	if f := commandFailure(text, m.Args[0], m.Dir); f != nil {
		return f
	}
	return &wire.Failure{
		Kind: wire.Internal,
		Text: fmt.Sprintf("runsc ended with %d: %s %s", status.ExitStatus(), text, tail(g.bundle.panics())),
	}
}

// logged joins the messages in runsc's log, one JSON object after the other.
func logged(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	var all []string
	for d := json.NewDecoder(file); ; {
		var entry struct {
			Msg   string `json:"msg"`
			Level string `json:"level"`
		}
		if err := d.Decode(&entry); err != nil {
			break
		}
		if entry.Level == "error" {
			all = append(all, entry.Msg)
		}
	}
	return strings.Join(all, "; ")
}

// tail returns the last bytes of a file, or nothing.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return strings.TrimSpace(string(data[max(0, len(data)-detailBytes):]))
}
