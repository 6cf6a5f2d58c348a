package oci

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestPrune: what is held, kept or young stays, with its layers.
func TestPrune(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := open(t, func(c *StoreConfig) { c.Now = func() time.Time { return now } })
	srv := serve(t, nil)
	base := archive(t, member{name: "base", body: strings.Repeat("b", 1000)})
	get := func(name string) *Image {
		i, err := s.Pull(t.Context(), srv.push(t, name, imageOf(t, v1.Config{Cmd: []string{name}}, base, archive(t, file(name)))), PullOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	held, kept, young, old := get("held"), get("kept"), get("young"), get("oldone")
	for _, i := range []*Image{kept, young, old} {
		i.Release()
	}
	// Layers carry the real time of their making: all of them are older than the
	// clock of this test.
	now = now.Add(48 * time.Hour)
	again, err := s.Open(young.Digest)
	if err != nil {
		t.Fatal(err)
	}
	again.Release()
	keep := func(digest string) bool { return digest == kept.Digest }
	done, err := s.Prune(t.Context(), PruneOptions{Unused: 24 * time.Hour, Keep: keep})
	if err != nil || len(done.Images) != 1 || done.Images[0] != old.Digest || done.Layers != 1 || done.Bytes != 6 {
		t.Fatalf("Prune() = %+v, %v, want the old one and its own layer", done, err)
	}
	if _, err := s.Open(old.Digest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open() of what was pruned = %v", err)
	}
	u, err := s.Usage()
	if err != nil || len(u.Images) != 3 || u.Layers != 4 || u.Bytes != 1000+4+4+5 {
		t.Errorf("Usage() = %+v, %v", u, err)
	}
	for _, i := range u.Images {
		if i.Held != (i.Digest == held.Digest) || i.Files != 2 || i.Used.Before(time.Unix(1_800_000_000, 0)) {
			t.Errorf("an image is %+v", i)
		}
	}
	if text := list(t, held.Root); !strings.Contains(text, `"base"`) || !strings.Contains(text, `"held"`) {
		t.Errorf("what is held is now\n%s", text)
	}
	held.Release()
	now = now.Add(48 * time.Hour)
	if done, err = s.Prune(t.Context(), PruneOptions{}); err != nil || len(done.Images) != 3 || done.Layers != 4 {
		t.Errorf("Prune() of all = %+v, %v", done, err)
	}
	for _, kind := range []string{layersName, imagesName, pinsName} {
		if left, err := os.ReadDir(filepath.Join(s.cfg.Dir, kind)); err != nil || len(left) != 0 {
			t.Errorf("%s has %v, %v", kind, left, err)
		}
	}
	get("oldone").Release()
}

// TestPruneGivenUp: what is hidden but not removed goes when the store is opened.
func TestPruneGivenUp(t *testing.T) {
	s := open(t, nil)
	i, err := s.Pull(t.Context(), serve(t, nil).push(t, "a", imageOf(t, v1.Config{}, archive(t, file("a"), member{name: "locked/", mode: 0o1}, file("locked/b")))), PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	i.Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if done, err := s.Prune(ctx, PruneOptions{}); !errors.Is(err, context.Canceled) && err != nil || len(done.Images) != 1 {
		t.Errorf("Prune() = %+v, %v", done, err)
	}
	if _, err := s.Open(i.Digest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open() = %v", err)
	}
	if _, err := NewStore(s.cfg); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{layersName, imagesName} {
		if left, err := os.ReadDir(filepath.Join(s.cfg.Dir, kind)); err != nil || len(left) != 0 {
			t.Errorf("%s has %v, %v", kind, left, err)
		}
	}
}

// TestReopen: what has a name is whole, whatever else lies there.
func TestReopen(t *testing.T) {
	s := open(t, nil)
	i := pull(t, s, serve(t, nil).push(t, "a", imageOf(t, v1.Config{}, archive(t, file("a")))))
	for _, dir := range []string{layersName, imagesName} {
		if err := os.MkdirAll(filepath.Join(s.cfg.Dir, dir, tmpPrefix+"1", "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	again, err := NewStore(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := again.Open(i.Digest)
	if err != nil || list(t, opened.Root) != list(t, i.Root) {
		t.Errorf("after a restart: %+v, %v", opened, err)
	}
	opened.Release()
	if left, _ := filepath.Glob(filepath.Join(s.cfg.Dir, "*", tmpPrefix+"*")); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
	// A store that keeps owners shares nothing with one that does not.
	cfg := s.cfg
	cfg.Owners = !cfg.Owners
	other, err := NewStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(i.Digest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open() by other rules = %v", err)
	}
}

// TestContentsAreShared: two images have the same file once, and nothing that is
// done with one changes the other.
func TestContentsAreShared(t *testing.T) {
	eachOwners(t, func(t *testing.T, s *Store) {
		srv := serve(t, nil)
		base := archive(t, file("a"), file("b"))
		one := pull(t, s, srv.push(t, "one", imageOf(t, v1.Config{}, base)))
		before := list(t, one.Root)
		two := pull(t, s, srv.push(t, "two", imageOf(t, v1.Config{}, base, archive(t, member{name: "a", body: "changed", mode: 0o600, uid: 5}, hard("c", "b"), member{name: "b", body: "new"}))))
		var a, b syscall.Stat_t
		if err := errors.Join(syscall.Stat(one.Root+"/b", &a), syscall.Stat(two.Root+"/c", &b)); err != nil || a.Ino != b.Ino {
			t.Errorf("a file that two images have is two files, %v", err)
		}
		if after := list(t, one.Root); after != before {
			t.Errorf("the first image is\n%s\nand was\n%s", after, before)
		}
		data, err := os.ReadFile(two.Root + "/a")
		if err != nil || string(data) != "changed" {
			t.Errorf("the second image has %q, %v", data, err)
		}
	})
}

// TestNothingLeaks: a closed store leaves no connection or goroutine.
func TestNothingLeaks(t *testing.T) {
	srv := serve(t, nil)
	ref := srv.push(t, "a", imageOf(t, v1.Config{}, archive(t, file("a")), archive(t, file("b"))))
	leaks := goleak.IgnoreCurrent()
	s, err := NewStore(StoreConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.Pull(t.Context(), ref, PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	i.Release()
	s.Close()
	srv.CloseClientConnections()
	goleak.VerifyNone(t, leaks)
}

// TestCopies: where a content can have no further name, a copy is the same.
func TestCopies(t *testing.T) {
	files := t.TempDir()
	root, err := os.OpenRoot(files)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	x := newExtraction(root, false, &budget{limits: DefaultLimits()})
	data := archive(t, member{name: "a", body: "body", mode: 0o750}, member{name: "b"})
	if err := x.read(t.Context(), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	tr := newTree()
	if err := tr.apply(0, x.entries); err != nil {
		t.Fatal(err)
	}
	linked := filepath.Join(t.TempDir(), "linked")
	if err := build(tr, linked, []string{files}, false); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	from, err := unix.Open(files, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(from)
	to, err := unix.Open(copied, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(to)
	b := &builder{layers: []int{from}}
	for name, n := range tr.root.children {
		if err := b.copy(to, name, n); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := list(t, copied), list(t, linked); got != want {
		t.Errorf("copied are\n%slinked\n%s", got, want)
	}
	info, err := os.Stat(filepath.Join(copied, "a"))
	if err != nil || info.ModTime().Unix() != 1_700_000_000 {
		t.Errorf("a copy is of %v, %v", info, err)
	}
}
