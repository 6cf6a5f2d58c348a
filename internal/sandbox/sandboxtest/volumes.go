package sandboxtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// volumeTests are about directories that outlive guests.
func volumeTests() []test {
	return []test{
		{"VolumeOutlives", testVolumeOutlives},
		{"VolumeKinds", testVolumeKinds},
		{"VolumeBound", testVolumeBound},
		{"VolumeBoundOfNames", testVolumeBoundOfNames},
		{"VolumeAlone", testVolumeAlone},
		{"VolumeShared", testVolumeShared},
		{"VolumeRefusals", testVolumeRefusals},
		{"VolumeSnapshot", testVolumeSnapshot},
		{"VolumeSnapshotOpen", testVolumeSnapshotOpen},
	}
}

// volume makes a directory for a guest to write to, as its owner would: nobody
// else may enter it.
func (b *bench) volume(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(b.dir, "volume-*")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// mounted is a spec with a volume at /mnt/data.
func (b *bench) mounted(t *testing.T, dir string, args ...string) sandbox.Spec {
	spec := b.spec(t, args...)
	spec.Volumes = []sandbox.Volume{{Source: dir, Target: "/mnt/data"}}
	return spec
}

func testVolumeOutlives(t *testing.T, b *bench) {
	dir := b.volume(t)
	stdout, stderr, _ := b.output(t, b.mounted(t, dir, "write", "/mnt/data/a", "/mnt/data/b"))
	if want := "/mnt/data/a: ok\n/mnt/data/b: ok\n"; stdout != want {
		t.Fatalf("the guest wrote %q, want %q: %s", stdout, want, stderr)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(text) != "x" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	// A killed one's too.
	spec := b.mounted(t, dir, "serve", "127.0.0.1:8080")
	spec.Args = []string{"/bin/sh", "-c", "echo more >> /mnt/data/a; echo ready; sleep 1000"}
	s := b.ready(t, spec)
	stop(t, s, 0)
	stdout, _, _ = b.output(t, b.mounted(t, dir, "read", "/mnt/data", "/mnt/data/a"))
	if want := "/mnt/data: directory a,b\n/mnt/data/a: \"xmore\\n\" ok\n"; stdout != want {
		t.Errorf("the next guest sees %q, want %q", stdout, want)
	}
}

// testVolumeKinds: what a guest makes is its own to see, and on the machine nothing
// that does harm to who looks there: no device, no socket, and links are links.
func testVolumeKinds(t *testing.T, b *bench) {
	dir := b.volume(t)
	stdout, _, _ := b.output(t, b.mounted(t, dir, "links", "/mnt/data"))
	want := []string{
		"file: ok", "chmod: ok", "reread: ok", "directory: ok", "below: ok", "symlink: ok", "dirlink: ok", "hardlink: ok",
		"device: operation not permitted", "outside: invalid cross-device link", "rename: ok", "owner: true",
	}
	got := strings.Split(strings.TrimSpace(stdout), "\n")
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%q is missing", w)
		}
	}
	if t.Failed() {
		t.Logf("the guest said:\n%s", stdout)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if kind := e.Type(); kind != 0 && kind != fs.ModeDir && kind != fs.ModeSymlink {
			t.Errorf("%s is %v on the machine", e.Name(), kind)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"symlink", "dirlink/etc/passwd"} {
		if f, err := root.Open(name); err == nil {
			f.Close()
			t.Errorf("%s leads out of the volume", name)
		}
	}
	// Another guest sees the same.
	stdout, _, _ = b.output(t, b.mounted(t, dir, "read", "/mnt/data/file", "/mnt/data/hardlink", "/mnt/data/moved"))
	if want := "/mnt/data/file: \"mine\" ok\n/mnt/data/hardlink: \"mine\" ok\n/mnt/data/moved: \"x\" ok\n"; stdout != want {
		t.Errorf("the next guest sees %q, want %q", stdout, want)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Errorf("its owner cannot remove the volume: %v", err)
	}
	if _, err := os.Stat("/etc/passwd"); err != nil {
		t.Error(err)
	}
}

func testVolumeBound(t *testing.T, b *bench) {
	const size = 64 << 20
	dir := b.volume(t)
	spec := b.mounted(t, dir, "fill", "/mnt/data/big")
	spec.Volumes[0].Bytes = size
	spec.Limits.CPUs = 1
	begin := time.Now()
	stdout, _, status := b.output(t, spec)
	took := time.Since(begin)
	var held int64
	if info, err := os.Stat(filepath.Join(dir, "big")); err == nil {
		held = info.Size()
	}
	t.Logf("of %d MiB it wrote %d MiB; ended after %v with %v", size>>20, held>>20, took.Round(time.Millisecond), status.Cause)
	// It is refused or ended.
	if status.Cause != sandbox.OutOfSpace && !strings.Contains(stdout, "no space left") {
		t.Errorf("it ended with %+v and said %q", status, stdout)
	}
	if held < size/2 || held > 32*size {
		t.Errorf("it wrote %d bytes, %d are allowed", held, size)
	}
	// Within the bound it is as any other.
	if err := os.Remove(filepath.Join(dir, "big")); err != nil {
		t.Fatal(err)
	}
	spec = b.mounted(t, dir, "write", "/mnt/data/small")
	spec.Volumes[0].Bytes = size
	if stdout, _, status := b.output(t, spec); stdout != "/mnt/data/small: ok\n" || status.Cause != sandbox.Exited {
		t.Errorf("it wrote %q and ended with %+v", stdout, status)
	}
}

// testVolumeBoundOfNames: empty files take room too.
func testVolumeBoundOfNames(t *testing.T, b *bench) {
	const size = 4 << 20
	dir := b.volume(t)
	spec := b.mounted(t, dir, "")
	spec.Args = []string{"/bin/sh", "-c", "cd /mnt/data; i=0; while :; do : > $i || exit 3; i=$((i+1)); done"}
	spec.Volumes[0].Bytes = size
	_, _, status := b.output(t, spec)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d empty files; ended with %v", len(entries), status.Cause)
	if status.Cause != sandbox.OutOfSpace && status.Code != 3 || len(entries) < size/4096/2 {
		t.Errorf("it ended with %+v after %d files", status, len(entries))
	}
}

func testVolumeAlone(t *testing.T, b *bench) {
	dir := b.volume(t)
	first := b.start(t, b.mounted(t, dir, "stubborn"))
	spec := b.mounted(t, dir, "stubborn")
	spec.ID += "2"
	if _, err := b.engine.Start(t.Context(), spec); !errors.Is(err, sandbox.ErrInvalid) || !strings.Contains(fmt.Sprint(err), dir) {
		t.Errorf("Start() with the volume of another = %v, want ErrInvalid", err)
	}
	stop(t, first, 0)
	stop(t, b.start(t, spec), 0)
}

// testVolumeShared: what one sees of it is what the others, and the machine, have
// made of it; whoever wants it alone does not get it.
func testVolumeShared(t *testing.T, b *bench) {
	dir := b.volume(t)
	guest := func(id string) sandbox.Sandbox {
		spec := b.mounted(t, dir)
		spec.ID, spec.Args, spec.Volumes[0].Shared = id, []string{"tail", "-f", "/dev/null"}, true
		return b.start(t, spec)
	}
	one, two := guest("one"), guest("two")
	for _, step := range []struct {
		in     sandbox.Sandbox // nil: the machine
		script string
		want   string
	}{
		{one, "echo first > /mnt/data/file; ls /mnt/data", "file\n"},
		{two, "cat /mnt/data/file; echo second >> /mnt/data/file", "first\n"},
		{one, "cat /mnt/data/file", "first\nsecond\n"},
		{nil, "echo third > file; mkdir below; echo deep > below/file", ""},
		{two, "cat /mnt/data/file /mnt/data/below/file", "third\ndeep\n"},
		{one, "cat /mnt/data/file; echo fourth > /mnt/data/new; mv /mnt/data/new /mnt/data/file", "third\n"},
		{two, "cat /mnt/data/file; rm -r /mnt/data/below", "fourth\n"},
		{one, "ls /mnt/data; test -e /mnt/data/below/file || echo gone", "file\ngone\n"},
		{nil, "cat file; ls", "fourth\nfile\n"},
	} {
		var got Buffer
		if step.in == nil {
			c := exec.Command("/bin/sh", "-c", step.script)
			c.Dir, c.Stdout, c.Stderr = dir, &got, &got
			if err := c.Run(); err != nil {
				t.Fatalf("%s: %v", step.script, err)
			}
		} else {
			c := shell(step.script)
			c.Stdout, c.Stderr = &got, &got
			waitProcess(t, execute(t, step.in, c))
		}
		if got.String() != step.want {
			t.Errorf("%s: %q, want %q", step.script, got.String(), step.want)
		}
	}
	alone := b.mounted(t, dir, "stubborn")
	alone.ID = "alone"
	if _, err := b.engine.Start(t.Context(), alone); !errors.Is(err, sandbox.ErrInvalid) || !strings.Contains(fmt.Sprint(err), dir) {
		t.Errorf("Start() with a volume that others share = %v, want ErrInvalid", err)
	}
	stop(t, one, 0)
	stop(t, two, 0)
	s := b.start(t, alone)
	shared := b.mounted(t, dir, "stubborn")
	shared.ID, shared.Volumes[0].Shared = "shared", true
	if _, err := b.engine.Start(t.Context(), shared); !errors.Is(err, sandbox.ErrInvalid) {
		t.Errorf("Start() with a volume that another has alone = %v, want ErrInvalid", err)
	}
	stop(t, s, 0)
}

func testVolumeRefusals(t *testing.T, b *bench) {
	file := filepath.Join(b.dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{file, filepath.Join(b.dir, "none")} {
		spec := b.mounted(t, source, "exit", "0")
		if s, err := b.engine.Start(t.Context(), spec); !errors.Is(err, sandbox.ErrInvalid) || !strings.Contains(fmt.Sprint(err), source) {
			t.Errorf("Start() with a volume at %s = %v, want ErrInvalid", source, err)
			if err == nil {
				stop(t, s, 0)
			}
		}
	}
}

// testVolumeSnapshot: a saved guest goes on with another's directory.
func testVolumeSnapshot(t *testing.T, b *bench) {
	needsSnapshots(t, b)
	one, two := b.volume(t), b.volume(t)
	spec := b.mounted(t, one, "")
	spec.Args = []string{"/bin/sh", "-c", "echo one > /mnt/data/a; ls /mnt/data; echo ready; while ! test -e /mnt/data/go; do sleep 0.05; done; cat /mnt/data/a; echo later > /mnt/data/b; echo done; sleep 1000"}
	spec.SafeToCopy = true
	s := b.ready(t, spec)
	saved := save(t, s, true)
	stop(t, s, 0)
	for name, text := range map[string]string{"a": "two\n", "go": ""} {
		if err := os.WriteFile(filepath.Join(two, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	var again Buffer
	spec.Volumes[0].Source, spec.Snapshot, spec.Stdout = two, saved, &again
	s = b.start(t, spec)
	again.WaitFor(t, "done\n")
	if got := again.String(); !strings.Contains(got, "two\n") {
		t.Errorf("resumed beside another directory it says %q, want what that holds", got)
	}
	stop(t, s, 0)
	if text, err := os.ReadFile(filepath.Join(two, "b")); err != nil || string(text) != "later\n" {
		t.Errorf("what it wrote afterwards is %q, %v", text, err)
	}
	if entries, err := os.ReadDir(one); err != nil || len(entries) != 1 {
		t.Errorf("the first directory holds %v, %v", entries, err)
	}
}

// testVolumeSnapshotOpen: a guest that was saved with a file open goes on writing
// to it, in its own directory or in one that has such a file; it does not start
// where there is none.
func testVolumeSnapshotOpen(t *testing.T, b *bench) {
	needsSnapshots(t, b)
	one, two, three := b.volume(t), b.volume(t), b.volume(t)
	spec := b.mounted(t, one, "")
	spec.Args = []string{"/bin/sh", "-c", "exec 3>>/mnt/data/log; echo first >&3; echo ready; while ! test -e /mnt/data/go; do sleep 0.05; done; echo second >&3; echo done; sleep 1000"}
	spec.SafeToCopy = true
	s := b.ready(t, spec)
	saved := save(t, s, false)
	spec.Snapshot = saved
	if err := os.WriteFile(filepath.Join(two, "log"), []byte("other\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{one: "first\nsecond\n", two: "other\nsecond\n"} {
		if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		var again Buffer
		spec.Volumes[0].Source, spec.Stdout = dir, &again
		s := b.start(t, spec)
		again.WaitFor(t, "done\n")
		stop(t, s, 0)
		if text, err := os.ReadFile(filepath.Join(dir, "log")); err != nil || string(text) != want {
			t.Errorf("the file holds %q, %v; want %q", text, err, want)
		}
	}
	spec.Volumes[0].Source = three
	if s, err := b.engine.Start(t.Context(), spec); !errors.Is(err, sandbox.ErrSnapshot) {
		t.Errorf("Start() where the file is missing = %v, want ErrSnapshot", err)
		if err == nil {
			stop(t, s, 0)
		}
	}
}
