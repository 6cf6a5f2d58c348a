package storage_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/session/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = storage.Key{Owner: "1/us-east-1/hello", Endpoint: "DEFAULT", Session: "../../etc/passwd", Version: "1"}

func open(t *testing.T, dir string) *storage.Store {
	t.Helper()
	s, err := storage.New(storage.Config{Dir: dir, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func volume(t *testing.T, s *storage.Store, k storage.Key) *storage.Volume {
	t.Helper()
	v, err := s.Open(k)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func write(t *testing.T, v *storage.Volume, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(v.Path(), "f"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, v *storage.Volume) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(v.Path(), "f"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// TestLives: a session finds its own again, also in another process, and nobody
// else's.
func TestLives(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "storage")
	s := open(t, dir)
	v := volume(t, s, key)
	if rel, err := filepath.Rel(dir, v.Path()); err != nil || strings.HasPrefix(rel, "..") || strings.Count(rel, "/") != 2 {
		t.Fatalf("it lies at %s", v.Path())
	}
	write(t, v, "mine")
	v.Measure()
	if v.Size() != 4 || v.Bytes() != storage.DefaultBytes {
		t.Errorf("size %d, bound %d", v.Size(), v.Bytes())
	}
	v.Close()
	v.Close()
	for _, change := range []func(*storage.Key){
		func(k *storage.Key) { k.Owner = "other" }, func(k *storage.Key) { k.Endpoint = "prod" }, func(k *storage.Key) { k.Session = "b" },
	} {
		k := key
		change(&k)
		other := volume(t, s, k)
		if read(t, other) != "" {
			t.Errorf("%+v finds the other's", k)
		}
		other.Close()
	}
	v = volume(t, open(t, dir), key)
	defer v.Close()
	if read(t, v) != "mine" {
		t.Error("it is lost")
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if info, err = os.Stat(v.Path()); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("a guest's user may not write: %v, %v", info.Mode(), err)
	}
}

// TestVersionResets: a new version starts empty (spec/runtime.md 2.9).
func TestVersionResets(t *testing.T) {
	s := open(t, t.TempDir())
	v := volume(t, s, key)
	write(t, v, "old")
	// As a guest may leave it, to be in the way.
	for _, above := range []string{"", "\xff not text", strings.Repeat(strings.Repeat("long", 50)+"/", 15)} {
		shut := filepath.Join(v.Path(), above, "shut")
		if err := errors.Join(os.MkdirAll(filepath.Join(shut, "in"), 0o700), os.Chmod(shut, 0)); err != nil {
			t.Fatal(err)
		}
	}
	v.Close()
	next := key
	next.Version = "2"
	v = volume(t, s, next)
	if read(t, v) != "" {
		t.Error("a new version finds the old files")
	}
	v.Close()
	s.Wait()
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(v.Path()))), "trash", "*")); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// TestAges: 14 days after the last use it goes, while it is used never.
func TestAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir())
		defer s.Wait()
		prunes := func() {
			t.Helper()
			if _, err := s.Prune(storage.PruneOptions{}); err != nil {
				t.Error(err)
			}
		}
		v := volume(t, s, key)
		write(t, v, "mine")
		time.Sleep(30 * 24 * time.Hour)
		prunes()
		v.Close()
		time.Sleep(13 * 24 * time.Hour)
		prunes()
		v = volume(t, s, key)
		if read(t, v) != "mine" {
			t.Error("it went too early")
		}
		v.Close()
		time.Sleep(14 * 24 * time.Hour)
		prunes()
		if v := volume(t, s, key); read(t, v) != "" {
			t.Error("it stays too long")
		}
	})
}

// TestDropEndpoint: what another endpoint's sessions keep stays.
func TestDropEndpoint(t *testing.T) {
	s := open(t, t.TempDir())
	other := key
	other.Endpoint = "other"
	for _, k := range []storage.Key{key, other} {
		v := volume(t, s, k)
		write(t, v, "mine")
		v.Close()
	}
	for range 2 { // the second finds nothing
		if err := s.DropEndpoint(key.Owner, key.Endpoint); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DropEndpoint("nobody", key.Endpoint); err != nil {
		t.Error(err)
	}
	if v := volume(t, s, key); read(t, v) != "" {
		t.Error("it outlives its endpoint")
	}
	if v := volume(t, s, other); read(t, v) != "mine" {
		t.Error("another endpoint's went too")
	}
}

func TestDropOwnerAndScratch(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	v := volume(t, s, key)
	write(t, v, "mine")
	if err := s.DropOwner(key.Owner); err != nil {
		t.Fatal(err)
	}
	v.Close() // its place is gone
	if err := s.DropOwner(key.Owner); err != nil {
		t.Error(err)
	}
	if v := volume(t, s, key); read(t, v) != "" {
		t.Error("it outlives its owner")
	}
	a, err := s.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	if a.Path() == b.Path() {
		t.Error("two have the same scratch")
	}
	write(t, a, "x")
	a.Close()
	s.Wait()
	if _, err := os.Stat(a.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("scratch is left: %v", err)
	}
	open(t, dir) // what a killed process left
	if _, err := os.Stat(b.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("scratch is left: %v", err)
	}
}
