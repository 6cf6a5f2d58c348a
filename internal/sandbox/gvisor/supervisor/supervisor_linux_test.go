package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

var update = flag.Bool("update", false, "write the golden files")

func request() *wire.Start {
	return &wire.Start{
		Sandbox: "0123456789abcdef", Args: []string{"python3", "main.py"}, Env: []string{"A=1"}, Dir: "/var/task",
		UID: wire.GuestID, GID: wire.GuestID, TmpBytes: 1 << 20,
		Mounts: []wire.Mount{{Source: "/data/code", Target: "/var/task"}, {Source: "/opt/python", Target: "/opt/python"}},
	}
}

// golden holds got to a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update to accept):\n%s", name, got)
	}
}

func TestOCISpec(t *testing.T) {
	got, err := json.MarshalIndent(ociSpec(request()), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "spec.golden.json", append(got, '\n'))
}

func TestRunscArgs(t *testing.T) {
	g := &guest{id: "0123456789abcdef", bundle: "/bundles/0123456789abcdef"}
	for name, separate := range map[string]bool{"runsc.root.golden": true, "runsc.user.golden": false} {
		s := &supervisor{separate: separate}
		golden(t, name, []byte(strings.Join(s.runscArgs(g, false), "\n")+"\n"))
	}
}

// TestWiden: what runsc is given stays where it is, and the table is as large as a
// sandbox's will be.
func TestWiden(t *testing.T) {
	got := widen([]uintptr{7, 8}, 9)
	if len(got) <= tableSize/2 || len(got) > tableSize-3 || got[0] != 7 || got[1] != 8 || got[len(got)-1] != 9 {
		t.Errorf("%d descriptors, %v and so on to %d", len(got), got[:2], got[len(got)-1])
	}
	for i, fd := range got[2 : len(got)-1] {
		if fd != ^uintptr(0) {
			t.Errorf("descriptor %d is %d, want none", 2+i, fd)
		}
	}
}

func TestShow(t *testing.T) {
	host, root := t.TempDir(), t.TempDir()
	if err := os.Symlink("usr/lib", host+"/lib"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(host+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/lib", "/pipe", "/missing"} {
		if err := show(host, root, p); err != nil {
			t.Errorf("show(%s) = %v", p, err)
		}
	}
	if link, err := os.Readlink(root + "/lib"); err != nil || link != "usr/lib" {
		t.Errorf("the link points to %q, %v", link, err)
	}
	if entries, _ := os.ReadDir(root); len(entries) != 1 {
		t.Errorf("%d entries are shown, want the link alone", len(entries))
	}
}

func TestBootFailure(t *testing.T) {
	tests := []struct {
		said string
		kind wire.Kind
		text string
	}{
		{`error finding executable "python3" in PATH [/bin]: no such file`, wire.Command, "python3: not found in the guest's PATH"},
		{`creating process: failed to load python3: no such file or directory`, wire.Command, "python3: not found in the guest"},
		{`creating process: failed to load python3: permission denied`, wire.Command, "python3: the guest may not execute it"},
		{`creating process: failed to load python3: exec format error`, wire.Command, "python3: not an executable for this machine"},
		{`failed to create process working directory "/var/task"`, wire.Command, "/var/task: no such directory in the guest"},
		{`something else`, wire.Internal, "runsc ended with 128: first; something else the crash"},
	}
	for _, tt := range tests {
		b := bundle(t.TempDir())
		line, err := json.Marshal(map[string]string{"msg": tt.said, "level": "error"})
		if err != nil {
			t.Fatal(err)
		}
		log := `{"msg":"first","level":"error"}` + "\n" + `{"msg":"chatter","level":"info"}` + "\n" + string(line) + "\ncut off"
		if err := errors.Join(os.WriteFile(b.log(), []byte(log), 0o600), os.WriteFile(b.panics(), []byte("the crash\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
		err = bootFailure(&guest{bundle: b}, request(), syscall.WaitStatus(128<<8))
		var f *wire.Failure
		if !errors.As(err, &f) || f.Kind != tt.kind || f.Text != tt.text {
			t.Errorf("bootFailure(%q) = %+v, want %s %q", tt.said, f, tt.kind, tt.text)
		}
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "panic")
	if got := tail(path); got != "" {
		t.Errorf("tail of a file that is not there = %q", got)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 2*detailBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := len(tail(path)); got != detailBytes {
		t.Errorf("tail has %d bytes, want %d", got, detailBytes)
	}
}

func TestClassify(t *testing.T) {
	for err, want := range map[error]wire.Kind{
		unix.EPERM: wire.Denied, unix.EACCES: wire.Denied, unix.ENOSYS: wire.Denied, unix.ENOMEM: wire.Internal,
	} {
		var f *wire.Failure
		if got := classify("mount /proc", err); !errors.As(got, &f) || f.Kind != want || !strings.HasPrefix(f.Text, "mount /proc: ") {
			t.Errorf("classify(%v) = %+v, want %s", err, f, want)
		}
	}
}

// TestReaper lets children end before and after somebody waits for them.
func TestReaper(t *testing.T) {
	r := newReaper()
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() { defer close(stopped); r.run(stop) }()
	defer func() { close(stop); <-stopped }()
	var all []<-chan syscall.WaitStatus
	for range 20 {
		_, c, err := r.start("/bin/sh", []string{"sh", "-c", "exit 7"}, &syscall.ProcAttr{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	release := r.hold()
	// Not started by the reaper, as an orphan is not.
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 7"}, &syscall.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	for unix.Kill(pid, 0) == nil { // until it is reaped
		runtime.Gosched()
	}
	all = append(all, r.adopt(pid))
	for i, c := range all {
		select {
		case status := <-c:
			if status.ExitStatus() != 7 {
				t.Errorf("child %d ended with %d, want 7", i, status.ExitStatus())
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("child %d was not reaped", i)
		}
	}
	release()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) != 0 || len(r.early) != 0 {
		t.Errorf("the reaper still has %d waiters and %d statuses", len(r.waiting), len(r.early))
	}
}
