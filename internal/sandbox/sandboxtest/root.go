package sandboxtest

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// rootTests are about guests with a root of their own.
func rootTests() []test {
	return []test{
		{"RootWritable", testRootWritable},
		{"RootShared", testRootShared},
		{"RootUser", testRootUser},
		{"RootSetuid", testRootSetuid},
		{"RootDisk", testRootDisk},
		{"RootPoints", testRootPoints},
		{"RootGiven", testRootGiven},
		{"RootTmp", testRootTmp},
		{"RootLinks", testRootLinks},
		{"RootOverlay", testRootOverlay},
		{"RootVolume", testRootVolume},
		{"RootSaved", testRootSaved},
		{"RootRefusals", testRootRefusals},
	}
}

// root makes a directory that is a guest's root: /bin/guest and some files.
func (b *bench) root(t *testing.T) string {
	t.Helper()
	root := filepath.Join(b.dir, "root")
	for _, d := range []string{"", "bin", "etc", "data"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(b.code, "guest"), filepath.Join(root, "bin/guest")); err != nil {
		t.Fatal(err)
	}
	put(t, root, "etc/passwd", "app:x:1000:1000::/data:/bin/guest\n", 0o644)
	put(t, root, "data/file", "image", 0o644)
	put(t, root, "data/private", "private", 0o600)
	return root
}

func put(t *testing.T, root, name, text string, mode fs.FileMode) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.WriteFile(path, []byte(text), mode.Perm()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// rooted is a guest below its own root that does what args say, as root.
func (b *bench) rooted(t *testing.T, root string, args ...string) sandbox.Spec {
	s := b.spec(t, args...)
	s.Args[0], s.Code, s.Root = "guest", "", root
	return s
}

// listing is everything below a directory: names, modes, sizes and times.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&out, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// testRootWritable: what a guest writes, changes and removes is its own.
func testRootWritable(t *testing.T, b *bench) {
	root := b.root(t)
	before := listing(t, root)
	stdout, _, status := b.output(t, b.rooted(t, root, "write", "/new", "/etc/new", "/data/file", "/etc/passwd"))
	if strings.Count(stdout, ": ok\n") != 4 || status.Code != 0 {
		t.Errorf("the guest cannot write to its root: %s", stdout)
	}
	if stdout, stderr, _ := b.output(t, b.rooted(t, root, "relocate", "/data/copy")); stdout != "ran\n" {
		t.Errorf("a program that the guest wrote says %q, %q", stdout, stderr)
	}
	stdout, _, _ = b.output(t, b.rooted(t, root, "remove", "/data/file", "/etc/passwd", "/data"))
	if want := "/data/file: ok\n/etc/passwd: ok\n/data: directory not empty\n"; stdout != want {
		t.Errorf("removing says %q, want %q", stdout, want)
	}
	stdout, _, _ = b.output(t, b.rooted(t, root, "read", "/new", "/etc/new", "/data/file"))
	if want := "/new: \"\" no such file or directory\n/etc/new: \"\" no such file or directory\n/data/file: \"image\" ok\n"; stdout != want {
		t.Errorf("the next sandbox sees %q, want %q", stdout, want)
	}
	if after := listing(t, root); after != before {
		t.Errorf("the directory is\n%s\nand was\n%s", after, before)
	}
}

// testRootShared: two guests of one root at the same time.
func testRootShared(t *testing.T, b *bench) {
	root := b.root(t)
	var specs [2]sandbox.Spec
	var out [2]Buffer
	for i := range specs {
		specs[i] = b.rooted(t, root, "swap", "127.0.0.1:8080", "/data/file", fmt.Sprint("guest ", i))
		specs[i].ID += strconv.Itoa(i)
	}
	var guests [2]sandbox.Sandbox
	for i := range specs {
		specs[i].Stdout = &out[i]
		guests[i] = b.start(t, specs[i])
		out[i].WaitFor(t, "wrote\n")
	}
	for i, s := range guests {
		c, err := s.Dial(t.Context(), 8080)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		out[i].WaitFor(t, fmt.Sprintf("wrote\nguest %d\n", i))
		wait(t, s)
	}
	if data, err := os.ReadFile(filepath.Join(root, "data/file")); err != nil || string(data) != "image" {
		t.Errorf("the directory's file is %q, %v", data, err)
	}
}

func testRootUser(t *testing.T, b *bench) {
	root := b.root(t)
	stdout, _, _ := b.output(t, b.rooted(t, root, "env"))
	if !strings.Contains(stdout, "uid=0 gid=0 dir=/ ") || strings.Contains(stdout, "CapEff:0000000000000000") {
		t.Errorf("root in its own image is\n%s", stdout)
	}
	spec := b.rooted(t, root, "env")
	spec.User, spec.Group, spec.Dir = 1000, 1001, "/data"
	stdout, _, _ = b.output(t, spec)
	if !strings.Contains(stdout, "uid=1000 gid=1001 dir=/data ") || strings.Count(stdout, ":0000000000000000\n") != 5 {
		t.Errorf("an ordinary user in an image is\n%s", stdout)
	}
	spec = b.rooted(t, root, "read", "/data/file", "/data/private")
	spec.User, spec.Group = 1000, 1000
	stdout, _, _ = b.output(t, spec)
	if want := "/data/file: \"image\" ok\n/data/private: \"\" permission denied\n"; stdout != want {
		t.Errorf("an ordinary user reads %q, want %q", stdout, want)
	}
	spec = b.rooted(t, root, "write", "/data/file", "/new", "/tmp/new", "/dev/shm/new")
	spec.User, spec.Group = 1000, 1000
	stdout, _, _ = b.output(t, spec)
	if want := "/data/file: permission denied\n/new: permission denied\n/tmp/new: ok\n/dev/shm/new: ok\n"; stdout != want {
		t.Errorf("an ordinary user writes %q, want %q", stdout, want)
	}
	stdout, _, _ = b.output(t, b.rooted(t, root, "chown", "1000", "/data/file"))
	if want := "/data/file: ok 100644 1000:1000\n"; stdout != want {
		t.Errorf("root gives a file away: %q, want %q", stdout, want)
	}
}

// testRootSetuid: the bits mean nothing, whoever set them.
func testRootSetuid(t *testing.T, b *bench) {
	root := b.root(t)
	data, err := os.ReadFile(filepath.Join(b.code, "guest"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, root, "bin/setuid", string(data), 0o755|fs.ModeSetuid|fs.ModeSetgid)
	spec := b.rooted(t, root, "exec", "/bin/setuid", "env")
	spec.User, spec.Group = 1000, 1000
	stdout, _, _ := b.output(t, spec)
	if !strings.Contains(stdout, "effective uid=1000 gid=1000\n") || strings.Count(stdout, ":0000000000000000\n") != 5 {
		t.Errorf("a setuid program of the root runs as\n%s", stdout)
	}
}

// testRootDisk: what does not fit is refused, the guest goes on, and the memory
// directories have bounds of their own.
func testRootDisk(t *testing.T, b *bench) {
	const size = 16 << 20
	spec := b.rooted(t, b.root(t), "fill", "/data/x")
	spec.Limits.DiskBytes = size
	stdout, _, status := b.output(t, spec)
	written, reason, _ := strings.Cut(strings.TrimSpace(stdout), " ")
	n, err := strconv.Atoi(written)
	if err != nil || n > size || n < size/2 || reason != "no space left on device" || status.Code != 0 {
		t.Errorf("the root took %q, want some of %d bytes and then no space", stdout, size)
	}
	spec = b.rooted(t, spec.Root, "refill", "/data/x", "/tmp/x", "/data/y")
	spec.Limits.DiskBytes = size
	stdout, _, status = b.output(t, spec)
	if want := "full\n/tmp/x: ok\n/data/y: ok\n"; stdout != want || status.Code != 0 {
		t.Errorf("after a full disk was emptied the guest says %q, want %q", stdout, want)
	}
}

// testRootPoints: code and mounts appear where the root has nothing to mount on,
// and change nothing else.
func testRootPoints(t *testing.T, b *bench) {
	root := b.root(t)
	if err := os.Chmod(filepath.Join(root, "data"), 0o751); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/data", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../../../nowhere", filepath.Join(root, "dangling")); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(b.dir, "shown")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "x", "shown", 0o644)
	before := listing(t, root)
	paths := []string{"/var/task", "/mnt/a/b/x", "/link/deep/x", "/etc/one", "/data/file", "/dangling/x", "/data/deep/x"}
	spec := b.rooted(t, root, append([]string{"read"}, paths...)...)
	spec.Code = b.code
	spec.Mounts = []sandbox.Mount{
		{Source: dir, Target: "/mnt/a/b"},
		{Source: dir, Target: "/link/deep"},
		{Source: dir + "/x", Target: "/etc/one"},
		{Source: dir, Target: "/dangling"},
	}
	stdout, stderr, _ := b.output(t, spec)
	want := "/var/task: directory guest\n/mnt/a/b/x: \"shown\" ok\n/link/deep/x: \"shown\" ok\n/etc/one: \"shown\" ok\n/data/file: \"image\" ok\n/dangling/x: \"shown\" ok\n/data/deep/x: \"shown\" ok\n"
	if stdout != want {
		t.Errorf("the guest sees\n%s%swant\n%s", stdout, stderr, want)
	}
	spec.Args = []string{"guest", "stat", "/data", "/data/private", "/etc"}
	stdout, _, _ = b.output(t, spec)
	uid, gid := 0, 0
	if want := fmt.Sprintf("/data: ok 40751 %d:%d\n/data/private: ok 100600 %[1]d:%[2]d\n/etc: ok 40755 %[1]d:%[2]d\n", uid, gid); stdout != want {
		t.Errorf("below mount points the guest sees %q, want %q", stdout, want)
	}
	spec.Args = []string{"guest", "write", "/data/new", "/etc/new", "/mnt/a/new", "/mnt/a/b/new", "/var/task/new"}
	stdout, _, _ = b.output(t, spec)
	if strings.Count(stdout, ": ok\n") != 3 || strings.Count(stdout, "read-only file system\n") != 2 {
		t.Errorf("around and in mounts the guest writes %s", stdout)
	}
	if after := listing(t, root); after != before {
		t.Errorf("the directory is\n%s\nand was\n%s", after, before)
	}
}

// testRootGiven: what every guest gets, and nothing of the host.
func testRootGiven(t *testing.T, b *bench) {
	root := b.root(t)
	secret := filepath.Join(b.dir, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	missing := []string{secret, b.dir, "/host", "/layer", "/state", "/bundles", "/disks", "/root", "/usr", "/proc/1/root" + secret, "/etc/shadow"}
	stdout, _, _ := b.output(t, b.rooted(t, root, append([]string{"read", "/", "/tmp", "/dev/shm", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}, missing...)...))
	for _, want := range []string{
		"/: directory bin,data,dev,etc,proc,sys,tmp\n", "/tmp: directory \n", "/dev/shm: directory \n", `/etc/hostname: "sandbox\n" ok`,
		`/etc/hosts: "127.0.0.1 localhost`, `/etc/resolv.conf: "`,
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in:\n%s", want, stdout)
		}
	}
	for _, p := range missing {
		if want := fmt.Sprintf("%s: \"\" no such file or directory\n", p); !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in:\n%s", want, stdout)
		}
	}
	stdout, _, _ = b.output(t, b.rooted(t, root, "write", "/dev/null", "/tmp/x", "/dev/shm/x", "/etc/hosts", "/proc/sys/kernel/hostname"))
	if want := "/dev/null: ok\n/tmp/x: ok\n/dev/shm/x: ok\n/etc/hosts: ok\n/proc/sys/kernel/hostname: "; !strings.HasPrefix(stdout, want) || strings.Count(stdout, ": ok\n") != 4 {
		t.Errorf("the guest writes\n%s", stdout)
	}
}

// testRootTmp: what an image has in /tmp is there.
func testRootTmp(t *testing.T, b *bench) {
	root := b.root(t)
	if err := os.Mkdir(filepath.Join(root, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "tmp"), 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	put(t, root, "tmp/kept", "kept", 0o644)
	spec := b.rooted(t, root, "read", "/tmp/kept")
	spec.User, spec.Group = 1000, 1000
	stdout, _, _ := b.output(t, spec)
	if want := "/tmp/kept: \"kept\" ok\n"; stdout != want {
		t.Errorf("the guest sees %q, want %q", stdout, want)
	}
	spec.Args = []string{"guest", "write", "/tmp/new"}
	if stdout, _, _ = b.output(t, spec); stdout != "/tmp/new: ok\n" {
		t.Errorf("the guest says %q", stdout)
	}
}

// testRootLinks: neither kind of link leads out or changes what it leads to.
func testRootLinks(t *testing.T, b *bench) {
	root := b.root(t)
	outside := filepath.Join(b.dir, "outside")
	if err := os.WriteFile(outside, []byte("outside"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(outside, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"absolute": outside, "relative": "../../outside", "up": "../../../../../../../../.." + outside} {
		if err := os.Symlink(target, filepath.Join(root, "data", name)); err != nil {
			t.Fatal(err)
		}
	}
	// As a composed image has it: one file with a name outside of the root.
	if err := os.Link(outside, filepath.Join(root, "data/hard")); err != nil {
		t.Fatal(err)
	}
	stdout, _, _ := b.output(t, b.rooted(t, root, "read", "/data/absolute", "/data/relative", "/data/up", "/data/hard"))
	want := "/data/absolute: \"\" no such file or directory\n/data/relative: \"\" no such file or directory\n/data/up: \"\" no such file or directory\n/data/hard: \"outside\" ok\n"
	if stdout != want {
		t.Errorf("the guest sees %q, want %q", stdout, want)
	}
	_, _, _ = b.output(t, b.rooted(t, root, "write", "/data/absolute", "/data/relative", "/data/up", "/data/hard"))
	_, _, _ = b.output(t, b.rooted(t, root, "chown", "1000", "/data/hard"))
	data, err := os.ReadFile(outside)
	info, err2 := os.Stat(outside)
	if err = errors.Join(err, err2); err != nil || string(data) != "outside" || info.Mode() != 0o666 {
		t.Errorf("the file outside is %q, %v, %v", data, info, err)
	}
}

// testRootOverlay: owners that the host's files cannot have.
func testRootOverlay(t *testing.T, b *bench) {
	root := b.root(t)
	overlay := filepath.Join(b.dir, "overlay.tar")
	file, err := os.Create(overlay)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(file)
	for _, h := range []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./data/", Typeflag: tar.TypeDir, Mode: 0o4750, Uid: 1000, Gid: 1000},
		{Name: "./data/file", Typeflag: tar.TypeReg, Mode: 0o4640, Uid: 1000, Gid: 1000, Size: 7},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("overlay")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	spec := b.rooted(t, root, "stat", "/data", "/data/file", "/data/private", "/etc/passwd")
	spec.Overlay, spec.User, spec.Group = overlay, 1000, 1000
	stdout, _, _ := b.output(t, spec)
	if want := "/data: ok 40750 1000:1000\n/data/file: ok 100640 1000:1000\n/data/private: ok 100600 0:0\n/etc/passwd: ok 100644 0:0\n"; stdout != want {
		t.Errorf("the guest sees %q, want %q", stdout, want)
	}
	spec.Args = []string{"guest", "read", "/data", "/data/file"}
	stdout, _, _ = b.output(t, spec)
	if want := "/data: directory file,private\n/data/file: \"overlay\" ok\n"; stdout != want {
		t.Errorf("the guest reads %q, want %q", stdout, want)
	}
	spec.Args = []string{"guest", "write", "/data/new", "/data/file"}
	if stdout, _, _ = b.output(t, spec); stdout != "/data/new: ok\n/data/file: ok\n" {
		t.Errorf("the owner writes %q", stdout)
	}
}

// testRootVolume: what outlives a guest appears in a root that has no place for
// it, and belongs to the guest's user.
func testRootVolume(t *testing.T, b *bench) {
	volume := filepath.Join(b.dir, "volume")
	if err := os.Mkdir(volume, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := b.rooted(t, b.root(t), "write", "/mnt/session/x", "/data/x")
	spec.User, spec.Group = 1000, 1000
	spec.Volumes = []sandbox.Volume{{Source: volume, Target: "/mnt/session"}}
	stdout, _, _ := b.output(t, spec)
	if want := "/mnt/session/x: ok\n/data/x: permission denied\n"; stdout != want {
		t.Errorf("the guest writes %q, want %q", stdout, want)
	}
	spec.Args = []string{"guest", "read", "/mnt/session", "/mnt/session/x"}
	stdout, _, _ = b.output(t, spec)
	if want := "/mnt/session: directory x\n/mnt/session/x: \"x\" ok\n"; stdout != want {
		t.Errorf("the next guest reads %q, want %q", stdout, want)
	}
}

// testRootSaved: what a guest wrote below its root is saved with it, resumed into
// a file of its own, and bounded again.
func testRootSaved(t *testing.T, b *bench) {
	needsSnapshots(t, b)
	root := b.root(t)
	before := listing(t, root)
	text := strings.Repeat("saved", 20_000)
	var out Buffer
	spec := b.rooted(t, root, "swap", "127.0.0.1:8080", "/data/file", text)
	spec.Savable, spec.SafeToCopy, spec.Stdout, spec.Limits.DiskBytes = true, true, &out, 16<<20
	s := b.start(t, spec)
	out.WaitFor(t, "wrote\n")
	if u, err := s.Usage(t.Context()); err != nil || u.DiskBytes < int64(len(text)) && !b.engine.Capabilities().FilesInMemory {
		t.Errorf("Usage() = %+v, %v; it has written %d bytes below its root", u, err, len(text))
	}
	snapshot := save(t, s, false)
	wait(t, s)
	for i := range 2 {
		var out Buffer
		spec.ID, spec.Snapshot, spec.Stdout = fmt.Sprint("resumed-", i), snapshot, &out
		s := b.start(t, spec)
		c, err := s.Dial(t.Context(), 8080)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		wait(t, s)
		if got := out.String(); got != text+"\n" {
			t.Errorf("a resumed guest reads %.40q in its file", got)
		}
	}
	if after := listing(t, root); after != before {
		t.Errorf("the directory is\n%s\nand was\n%s", after, before)
	}
}

func testRootRefusals(t *testing.T, b *bench) {
	root := b.root(t)
	for _, tt := range []struct {
		name   string
		change func(*sandbox.Spec)
		want   error
		text   string
	}{
		{"no such root", func(s *sandbox.Spec) { s.Root += "x" }, sandbox.ErrInvalid, "no such file"},
		{"root is a file", func(s *sandbox.Spec) { s.Root += "/data/file" }, sandbox.ErrInvalid, "not a directory"},
		{"no such overlay", func(s *sandbox.Spec) { s.Overlay = root + "x" }, sandbox.ErrInvalid, "no such file"},
		{"overlay is no archive", func(s *sandbox.Spec) { s.Overlay = root + "/data/file" }, sandbox.ErrInvalid, "overlay"},
		{"directory on a file", func(s *sandbox.Spec) { s.Mounts = []sandbox.Mount{{Source: b.code, Target: "/data/file"}} }, sandbox.ErrInvalid, "/data/file"},
		{"below a file", func(s *sandbox.Spec) { s.Mounts = []sandbox.Mount{{Source: b.code, Target: "/data/file/x"}} }, sandbox.ErrInvalid, "not a directory"},
		{"no such command", func(s *sandbox.Spec) { s.Args[0] = "nothing" }, sandbox.ErrCommand, "nothing"},
		{"command of the host", func(s *sandbox.Spec) { s.Args[0] = "/usr/bin/env" }, sandbox.ErrCommand, "/usr/bin/env"},
		{"directory is a file", func(s *sandbox.Spec) { s.Dir = "/data/file" }, sandbox.ErrCommand, "/data/file"},
	} {
		spec := b.rooted(t, root, "env")
		tt.change(&spec)
		s, err := b.engine.Start(t.Context(), spec)
		if err == nil {
			stop(t, s, 0)
		}
		if !errors.Is(err, tt.want) || !strings.Contains(fmt.Sprint(err), tt.text) {
			t.Errorf("%s: Start() = %v, want %v with %q", tt.name, err, tt.want, tt.text)
		}
	}
	spec := b.rooted(t, root, "env")
	spec.Dir = "/made/for/it"
	if stdout, _, _ := b.output(t, spec); !strings.Contains(stdout, " dir=/made/for/it ") {
		t.Errorf("after refusals and in a new directory a guest says %q", stdout)
	}
}
