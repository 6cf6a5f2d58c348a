package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes a directory of a few files and returns it.
func tree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, size := range map[string]int{"a": 100_000, "b/c": 10_000, "b/empty": 0} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Repeat("x", size)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func openVolume(t testing.TB, dir string, bytes int64) *volume {
	t.Helper()
	file, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return newVolume(file, bytes)
}

// TestHeldFollowsNothing: links are counted, not what they lead to, and files with
// two names once.
func TestHeldFollowsNothing(t *testing.T) {
	dir := tree(t)
	v := openVolume(t, dir, 1)
	const least = 110_000 + 2*entryBytes // two files, an empty one, a directory
	before := held(v.dir)
	if before < least || before > least+8*entryBytes {
		t.Errorf("it holds %d bytes, want some more than %d", before, least)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func(string) error{
		"link":     func(at string) error { return os.Symlink(outside, at) },
		"dirlink":  func(at string) error { return os.Symlink("/", at) },
		"hardlink": func(at string) error { return os.Link(filepath.Join(dir, "a"), at) },
	} {
		if err := make(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := held(v.dir) - before; got != 3*entryBytes {
		t.Errorf("three links added %d bytes, want %d", got, 3*entryBytes)
	}
}

func TestHeldIsBoundedInDepth(t *testing.T) {
	dir := t.TempDir()
	at := dir
	for i := range deepest + 2 {
		at = filepath.Join(at, fmt.Sprint(i%10))
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := held(openVolume(t, dir, 1).dir); got != tooDeep {
		t.Errorf("it holds %d bytes, want more than any bound", got)
	}
}

// TestFullVolume: what a volume held before counts against the bound, but leaves a
// guest room to live.
func TestFullVolume(t *testing.T) {
	dir := tree(t)
	v := openVolume(t, dir, 50_000)
	if left, bounded := v.left(); !bounded || left <= 0 || left > spare {
		t.Errorf("left() of one that is full = %d, %t; want some, at most %d", left, bounded, spare)
	}
	v = openVolume(t, dir, 10<<20)
	if left, bounded := v.left(); !bounded || left <= 9<<20 || left > 10<<20-110_000 {
		t.Errorf("left() = %d, %t; want 10 MiB without what it holds", left, bounded)
	}
	if _, bounded := openVolume(t, dir, 0).left(); bounded {
		t.Error("a volume without a bound is bounded")
	}
}

// TestFullVolumeBesideWriters: a guest that comes back to a volume that is full is
// not ended for what others write to the same file system while it starts, its own
// root among them, and is ended for what it writes itself.
func TestFullVolumeBesideWriters(t *testing.T) {
	dir := tree(t)
	v := openVolume(t, dir, 50_000)
	others := filepath.Join(t.TempDir(), "others")
	if err := os.WriteFile(others, make([]byte, 4*spare), 0o644); err != nil {
		t.Fatal(err)
	}
	look := func() int64 {
		v.walked = v.walked.Add(-2 * rewalk) // so that it is looked into
		left, _ := v.left()
		return left
	}
	if left := look(); left <= 0 || left > spare {
		t.Errorf("left() = %d beside another writer, want some, at most %d", left, spare)
	}
	if err := os.WriteFile(filepath.Join(dir, "more"), make([]byte, 2*spare), 0o644); err != nil {
		t.Fatal(err)
	}
	if left := look(); left > 0 {
		t.Errorf("left() = %d after it wrote twice what it may, want none", left)
	}
}

func BenchmarkVolumeLook(b *testing.B) {
	v := openVolume(b, tree(b), 1<<40)
	v.left()
	for b.Loop() {
		v.left()
	}
}

func BenchmarkVolumeWalk(b *testing.B) {
	dir := b.TempDir()
	const files = 1000
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	v := openVolume(b, dir, 1)
	for b.Loop() {
		held(v.dir)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
}
