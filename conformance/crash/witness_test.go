package crash

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// These tests hold the witnesses to account: what must not go unnoticed is
// noticed.

// TestJournalContradicts wants a journal to find what was lost, what came back
// and what nobody made.
func TestJournalContradicts(t *testing.T) {
	broken := func() error { return os.ErrClosed }
	fine := func() error { return nil }
	for what, c := range map[string]struct {
		tell  func(j *journal)
		found map[string]string
		wrong int
	}{
		"acknowledged and there":   {func(j *journal) { _ = j.change("a", "1", fine) }, map[string]string{"a": "1"}, 0},
		"acknowledged and lost":    {func(j *journal) { _ = j.change("a", "1", fine) }, nil, 1},
		"another content":          {func(j *journal) { _ = j.change("a", "1", fine) }, map[string]string{"a": "2"}, 1},
		"deleted and back":         {func(j *journal) { _ = j.change("a", "1", fine); _ = j.change("a", absent, fine) }, map[string]string{"a": "1"}, 1},
		"made by nobody":           {func(*journal) {}, map[string]string{"a": "1"}, 1},
		"under way, done":          {func(j *journal) { _ = j.change("a", "1", fine); _ = j.change("a", "2", broken) }, map[string]string{"a": "2"}, 0},
		"under way, not done":      {func(j *journal) { _ = j.change("a", "1", fine); _ = j.change("a", "2", broken) }, map[string]string{"a": "1"}, 0},
		"under way, half done":     {func(j *journal) { _ = j.change("a", "1", fine); _ = j.change("a", "2", broken) }, nil, 1},
		"deletion under way, done": {func(j *journal) { _ = j.change("a", "1", fine); _ = j.change("a", absent, broken) }, nil, 0},
	} {
		j := newJournal()
		c.tell(j)
		if wrong := j.reconcile(c.found); len(wrong) != c.wrong {
			t.Errorf("%s: %v", what, wrong)
		}
		if wrong := j.reconcile(c.found); len(wrong) != 0 {
			t.Errorf("%s: what was found is not taken as the truth: %v", what, wrong)
		}
	}
}

// TestSlopeNotices wants growth to be seen through noise, and noise not to be taken
// for growth.
func TestSlopeNotices(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for what, c := range map[string]struct{ each, least, most float64 }{
		"flat":      {0, -0.05, 0.05},
		"growing":   {1, 0.9, 1.1},
		"shrinking": {-1, -1.1, -0.9},
	} {
		var values []float64
		for i := range 300 {
			v := 1000 + c.each*float64(i) + 20*random.Float64()
			if random.IntN(10) == 0 {
				v += 500 // before a collection
			}
			values = append(values, v)
		}
		if got := slope(values); got < c.least || got > c.most {
			t.Errorf("%s: %f", what, got)
		}
	}
}

// TestCensusNotices leaves a process in namespaces of its own, whose parent has
// died, and a mount.
func TestCensusNotices(t *testing.T) {
	dir := t.TempDir()
	before := take(t, dir, 0)
	cmd := exec.Command("sh", "-c", `sleep 600 & echo $!; kill -9 $$`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Skipf("this machine does not allow user namespaces: %v", err)
	}
	_ = w.Close()
	_ = cmd.Wait() // it kills itself
	now := take(t, dir, 0)
	if now.processes() != before.processes()+1 || now.Namespaces["net"] != before.Namespaces["net"]+1 || now.same(before) == nil {
		t.Errorf("an orphan in a namespace is not noticed: %+v, before %+v", now, before)
	}
	for _, p := range below(os.Getpid()) {
		if p.name == "sleep" {
			if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
	eventually(t, 10*time.Second, func() error { return take(t, dir, 0).same(before) })
}

// TestInventoryNotices plants what a crash might leave.
func TestInventoryNotices(t *testing.T) {
	dir := t.TempDir()
	plant := func(name string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"outcrop.db", "outcrop.db-wal", "objects/content/8d/8d3f", "code/sha256/aa/task/main.py",
		"sandbox/outcrop-sandbox-0123456789abcdef", "code/python/0123456789abcdef/pyvenv.cfg"} {
		plant(name)
	}
	sound := files{Segments: 1, Code: []string{"aa"}, Others: []string{"outcrop.db"}}
	if err := inventory(t, dir).same(sound); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"objects/content/8d/8d40", "objects/incoming/8d40", "spool/.body-1", "code/sha256/tmp-1/task/x",
		"code/sha256/bb/manifest.json", "code/python/tmp-1/bin", "sandbox/.unpack-1", "credentials.json.new"} {
		plant(name)
		if inventory(t, dir).same(sound) == nil {
			t.Errorf("%s is not noticed", name)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		prune(t, dir)
	}
}

// prune removes directories that are empty.
func prune(t *testing.T, dir string) {
	t.Helper()
	if err := exec.Command("find", dir, "-mindepth", "1", "-type", "d", "-empty", "-delete").Run(); err != nil {
		t.Fatal(err)
	}
}
