package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestStage: what is linked stays when it is removed, once and for all; stages of
// killed backups go, those at work stay.
func TestStage(t *testing.T) {
	dir := t.TempDir()
	write := func(name, body string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(body), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("objects/content/aa/one", "1")
	write("objects/content/bb/two", "2")
	s, err := openStage(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.linkAll(t.Context(), "objects"); err != nil {
		t.Fatal(err)
	}
	write("objects/content/bb/three", "3")
	if err := os.Remove(filepath.Join(dir, "objects/content/aa/one")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"objects/content/aa/one", "objects/content/bb/two", "objects/content/bb/three"} {
		if err := s.link(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if body, err := os.ReadFile(s.path(name)); err != nil || len(body) != 1 {
			t.Errorf("%s is %q, %v", name, body, err)
		}
	}
	if err := s.link("objects/content/cc/four"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what never was: %v", err)
	}
	if err := copyFile(filepath.Join(dir, "objects/content/bb/two"), s.path("copied")); err != nil {
		t.Error(err)
	}
	killed := filepath.Join(dir, stagingDir, "killed", "deep")
	if err := os.MkdirAll(killed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := cleanStages(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(killed)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a killed backup: %v", err)
	}
	if _, err := os.Stat(s.path("copied")); err != nil {
		t.Errorf("of one at work: %v", err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, stagingDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the last: %v", err)
	}
}

// TestWhatIsBackedUp: names are in one list, and an archive brings no others.
func TestWhatIsBackedUp(t *testing.T) {
	for name, want := range map[string][2]bool{ // known, belongs
		"outcrop.db": {true, true}, "outcrop.db-wal": {true, false}, "outcrop.db.lock": {true, false}, "telemetry.db": {true, true}, "key.json": {true, true},
		"server.json": {true, false}, "server.json.lock": {true, false}, "objects": {true, true}, "snapshots": {true, false}, "ca": {true, true}, "later": {false, false},
		"objects/content/aa/x": {true, true}, "outcrop.db/x": {false, false}, "key.json/../../x": {false, false}, "snapshots/x": {false, false},
	} {
		if got := [2]bool{known(name), belongs(name)}; got[1] != want[1] || filepath.Dir(name) == "." && got[0] != want[0] {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string]bool{"session-storage/a/b/data/x": true, "session-storage": false, "objects/x": false} {
		if belonging, owned := accepts(name); !belonging || owned != want {
			t.Errorf("%s: %t, %t", name, belonging, owned)
		}
	}
}
