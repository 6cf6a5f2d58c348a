package supervisor

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOverlayArgs(t *testing.T) {
	if got := strings.Join((&guest{}).overlayArgs(), " "); got != "--overlay2=none" {
		t.Errorf("on the host layer: %s", got)
	}
	// There is no disksDir here, and one that cannot be looked at is not used.
	if got := strings.Join((&guest{diskBytes: 4096}).overlayArgs(), " "); got != "--overlay2=root:memory,size=4096 --allow-rootfs-tar-annotation" {
		t.Errorf("on a root: %s", got)
	}
}

func TestCopyOverlay(t *testing.T) {
	good := []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./a/", Typeflag: tar.TypeDir, Mode: 0o7777, Uid: 5, Gid: 6},
		{Name: "./a/f", Typeflag: tar.TypeReg, Mode: 0o6755, Size: 1},
	}
	out, err := copied(t, good)
	if err != nil {
		t.Fatal(err)
	}
	want := []int64{0o755, 0o1777, 0o755}
	r := tar.NewReader(out)
	for i, mode := range want {
		h, err := r.Next()
		if err != nil || h.Name != good[i].Name || h.Mode != mode || h.Uid != good[i].Uid {
			t.Errorf("entry %d is %+v, %v, want mode %o", i, h, err, mode)
		}
	}
	for name, h := range map[string]tar.Header{
		"no dot":           {Name: "a", Typeflag: tar.TypeReg},
		"absolute":         {Name: "/a", Typeflag: tar.TypeReg},
		"link":             {Name: "./a", Typeflag: tar.TypeSymlink, Linkname: "b"},
		"device":           {Name: "./a", Typeflag: tar.TypeChar},
		"directory, named": {Name: "./a", Typeflag: tar.TypeDir},
	} {
		if _, err := copied(t, []tar.Header{h}); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	if err := copyOverlay(tar.NewWriter(io.Discard), t.TempDir(), map[string]bool{}); err == nil {
		t.Error("a directory is taken")
	}
}

// copied is what copyOverlay makes of an archive.
func copied(t *testing.T, headers []tar.Header) (*bytes.Buffer, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "overlay.tar")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(file)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	out := new(bytes.Buffer)
	to := tar.NewWriter(out)
	err = copyOverlay(to, path, map[string]bool{})
	return out, errors.Join(err, to.Close())
}

// TestOpenIn: no path of a root leads out of it.
func TestOpenIn(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	if err := os.MkdirAll(filepath.Join(root, "in/deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"up": "../../../../..", "abs": "/in", "out": "/etc", "magic": "/proc/self/root"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	for path, want := range map[string]string{"/": "", "/up": "", "/up/in": "/in", "/abs/deep": "/in/deep", "/in/../../..": "", "/up/../abs": "/in"} {
		fd, err := openIn(dir, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		points := filepath.Join(t.TempDir(), "points")
		got, err := copyDirs(dir, fd, points)
		unix.Close(fd)
		if err != nil || got != points+want {
			t.Errorf("%s is %s, %v, want %s", path, strings.TrimPrefix(got, points), err, want)
		}
	}
	for _, path := range []string{"/out", "/magic", "/etc/passwd"} {
		if fd, err := openIn(dir, path); !errors.Is(err, unix.ENOENT) {
			t.Errorf("%s: %d, %v", path, fd, err)
		}
	}
	if filled(dir, "up") || !filled(dir, "in") || filled(dir, "in/deep") || filled(dir, "none") {
		t.Error("filled() is wrong about a link, a directory, an empty or a missing one")
	}
}
