package crash

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outcrop/outcrop/conformance/server"
)

// footprint is what grows when something leaks.
type footprint struct {
	census census
	// Files are open descriptors, Memory is resident bytes; of the server and
	// of the supervisor of its sandboxes.
	serverFiles, supervisorFiles   int
	serverMemory, supervisorMemory int64
	// mounts and what runsc keeps of sandboxes are in the supervisor's namespace.
	mounts int
	kept   []string
}

// TestSoak starts and stops sessions one after the other and wants the server to
// be as it was.
func TestSoak(t *testing.T) {
	sessions := 30
	if nightly() {
		sessions = 500
	}
	const together, warm = 2, 6
	r := newRig(t, server.Options{})
	begun := time.Now()
	pass := func(from, to int) {
		for i := from; i < to; i += together {
			errs := make(chan error, together)
			for n := range together {
				go func() { errs <- r.visit(t.Context(), server.SessionID("soak", i+n)) }()
			}
			for range together {
				if err := <-errs; err != nil {
					t.Fatalf("%v\n%s", err, tail(r.Log()))
				}
			}
		}
	}
	pass(0, warm)
	r.quiet(t)
	before, err := r.footprint(t)
	if err != nil {
		t.Fatal(err)
	}
	pass(warm, warm+sessions)
	var after footprint
	eventually(t, 30*time.Second, func() (err error) {
		if after, err = r.footprint(t); err != nil {
			return err
		}
		return after.level(before)
	})
	t.Logf("%d sessions in %v: server %d -> %d descriptors, %d -> %d KiB; supervisor %d -> %d descriptors, %d -> %d KiB, %d -> %d mounts, %v kept",
		sessions, time.Since(begun).Round(time.Millisecond), before.serverFiles, after.serverFiles, before.serverMemory>>10, after.serverMemory>>10,
		before.supervisorFiles, after.supervisorFiles, before.supervisorMemory>>10, after.supervisorMemory>>10, before.mounts, after.mounts, after.kept)
	r.goroutines(t, sessions)
}

// visit is the life of one session.
func (r *rig) visit(ctx context.Context, session string) error {
	if _, err := r.ask(ctx, session, question{Write: []string{"/tmp/file"}, Text: strings.Repeat("x", 512<<10)}); err != nil {
		return fmt.Errorf("invoke in session %s: %w", session, err)
	}
	if err := r.end(ctx, session); err != nil {
		return fmt.Errorf("stop session %s: %w", session, err)
	}
	return nil
}

func (r *rig) footprint(t *testing.T) (footprint, error) {
	f := footprint{census: take(t, r.DataDir, r.Cmd.Process.Pid)}
	var supervisor int
	for _, p := range below(r.Cmd.Process.Pid) {
		if p.parent == r.Cmd.Process.Pid {
			supervisor = p.pid
		}
	}
	if supervisor == 0 {
		return f, fmt.Errorf("there is no supervisor: %+v", f.census)
	}
	var err error
	if f.serverFiles, f.serverMemory, err = usage(r.Cmd.Process.Pid); err != nil {
		return f, err
	}
	if f.supervisorFiles, f.supervisorMemory, err = usage(supervisor); err != nil {
		return f, err
	}
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", supervisor))
	if err != nil {
		return f, err
	}
	f.mounts = strings.Count(string(table), "\n")
	for _, dir := range []string{"bundles", "state"} {
		left, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(supervisor), "root", dir))
		if err != nil {
			return f, err
		}
		for _, e := range left {
			f.kept = append(f.kept, dir+"/"+e.Name())
		}
	}
	return f, nil
}

// usage counts descriptors and resident bytes of a process.
func usage(pid int) (descriptors int, resident int64, err error) {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, 0, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	m := regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`).FindSubmatch(status)
	if m == nil {
		return 0, 0, fmt.Errorf("process %d has no VmRSS", pid)
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	return len(fds), kib << 10, err
}

// How much two footprints may differ: kept connections come and go, and what the
// runtime keeps of freed memory varies.
const (
	spareFiles  = 8
	spareMemory = 24 << 20
)

func (f footprint) level(before footprint) error {
	if err := f.census.same(before.census); err != nil {
		return err
	}
	switch {
	case f.serverFiles > before.serverFiles+spareFiles, f.supervisorFiles > before.supervisorFiles,
		f.serverMemory > before.serverMemory+spareMemory, f.supervisorMemory > before.supervisorMemory+spareMemory,
		f.mounts != before.mounts, !slices.Equal(f.kept, before.kept):
		return fmt.Errorf("it grew from %+v to %+v", before, f)
	}
	return nil
}

var goroutine = regexp.MustCompile(`(?m)^goroutine \d+ `)

// goroutines has the server print them, which ends it, and wants fewer than half
// as many as there were sessions, however few each leaves.
func (r *rig) goroutines(t *testing.T, sessions int) {
	t.Helper()
	if err := r.End(syscall.SIGQUIT, 30*time.Second); err == nil {
		t.Fatal("SIGQUIT ended the server with status 0")
	}
	creators := map[string]int{}
	for line := range strings.Lines(r.Log()) {
		if rest, ok := strings.CutPrefix(line, "created by "); ok {
			name, _, _ := strings.Cut(rest, " ")
			creators[strings.TrimSpace(name)]++
		}
	}
	all := len(goroutine.FindAllString(r.Log(), -1))
	if all == 0 {
		t.Fatalf("the server did not print its goroutines:\n%s", tail(r.Log()))
	}
	for name, n := range creators {
		if n >= sessions/2 {
			t.Errorf("%d goroutines made by %s are left of %d sessions", n, name, sessions)
		}
	}
	t.Logf("%d goroutines", all)
}
