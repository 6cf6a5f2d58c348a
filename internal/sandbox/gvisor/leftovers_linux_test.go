package gvisor

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"time"
)

func TestFilesOf(t *testing.T) {
	files, err := pack([]byte("the executable"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	exe, err := prepare(files, "", dir)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, age := range map[string]time.Duration{
		"outcrop-sandbox-0123456789abcdef": time.Hour, "outcrop-sandbox-young": 0, ".unpack-1": time.Hour, ".unpack-2": 0, "mine": time.Hour,
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte("old"), 0o500), os.Chtimes(path, now.Add(-age), now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(exe.path, now.Add(-time.Hour), now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	want := []Leftover{{filepath.Join(dir, ".unpack-1"), 3, true}, {filepath.Join(dir, "outcrop-sandbox-0123456789abcdef"), 3, false}}
	got, err := filesOf(files, Config{Dir: dir}, now.Add(-time.Minute))
	if err != nil || !slices.Equal(got.Leftovers, want) || got.Used != 14 {
		t.Errorf("%+v, %v", got, err)
	}
	// A build without an executable uses none of them.
	got, err = filesOf(fstest.MapFS{}, Config{Dir: dir}, now.Add(-time.Minute))
	if err != nil || len(got.Leftovers) != 3 || got.Used != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	// One that the operator has put there is not ours.
	got, err = filesOf(files, Config{Dir: dir, Executable: want[1].Path}, now.Add(-time.Minute))
	if err != nil || !slices.Equal(got.Leftovers, want[:1]) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := filesOf(files, Config{Dir: filepath.Join(dir, "missing")}, now); err == nil {
		t.Error("a directory that is not there is fine")
	}
}
