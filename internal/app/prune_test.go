package app_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/client"
)

// plant makes files with one byte each, last written to two days ago; names that
// end in a slash are directories.
func plant(t *testing.T, dir string, names ...string) {
	t.Helper()
	old := time.Now().Add(-48 * time.Hour)
	for _, name := range names {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if strings.HasSuffix(name, "/") {
			err = errors.Join(err, os.MkdirAll(path, 0o700))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte("x"), 0o600))
		}
		if err := errors.Join(err, os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
}

// prune asks the server at url and writes its results as "KIND removed/bytes left/bytes".
func prune(t *testing.T, url, dir string, in outcrop.PruneRequest) []string {
	t.Helper()
	key, err := client.ReadCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{Target: client.Target{Endpoint: url, AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, Region: key.Region}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Prune(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range out.Results {
		if r.Failed != nil {
			t.Errorf("%s failed", *r.Kind)
		}
		lines = append(lines, fmt.Sprintf("%s %d/%d %d/%d", *r.Kind, *r.Removed, *r.RemovedBytes, *r.Left, *r.LeftBytes))
	}
	return lines
}

// TestPrune finds each kind of garbage where it lies, tells of it, removes it and
// nothing else.
func TestPrune(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	url := start(t, dir)
	code := filepath.Join("code", "sha256", strings.Repeat("0", 64))
	garbage := []string{
		filepath.Join(code, "task", "main.py"), code + "/",
		filepath.Join("session-storage", "nobody", "session", "data", "f"), filepath.Join("session-storage", "nobody", "session", "info.json"),
		filepath.Join("sandbox", "outcrop-sandbox-0123456789abcdef"),
		filepath.Join("sandbox", ".unpack-1"), filepath.Join("code", "sha256", "tmp-1", "f"), filepath.Join("code", "sha256", "tmp-1") + "/",
		filepath.Join("snapshots", "versions", "new-1"), filepath.Join("snapshots", "sessions", "new-1"), filepath.Join("spool", ".body-1"), ".key-1",
	}
	before := census(t, dir)
	plant(t, dir, garbage...)
	planted := census(t, dir)
	want := []string{"CODE 1/1 0/0", "SNAPSHOTS 0/0 0/0", "HIBERNATED 0/0 0/0", "STORAGE 1/1 0/0", "EXECUTABLES 1/1 0/0", "TEMPORARY 6/6 0/0", "IMAGES 0/0 0/0", "LAYERS 0/0 0/0", "UPLOADS 0/0 0/0"}
	young, dry := int64(7*24*3600), true
	if got := prune(t, url, dir, outcrop.PruneRequest{UnusedSeconds: &young}); got[0] != "CODE 0/0 1/1" || got[3] != "STORAGE 0/0 1/1" || census(t, dir) != planted {
		t.Errorf("what is too young: %q", got)
	}
	if got := prune(t, url, dir, outcrop.PruneRequest{DryRun: &dry}); fmt.Sprint(got) != fmt.Sprint(want) || census(t, dir) != planted {
		t.Errorf("would be removed: %q, want %q", got, want)
	}
	if got := prune(t, url, dir, outcrop.PruneRequest{Kinds: []string{"STORAGE"}}); fmt.Sprint(got) != fmt.Sprint(want[3:4]) {
		t.Errorf("of one kind was removed: %q, want %q", got, want[3:4])
	}
	want[3] = "STORAGE 0/0 0/0"
	if got := prune(t, url, dir, outcrop.PruneRequest{}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("was removed: %q, want %q", got, want)
	}
	if after := census(t, dir); after != before {
		t.Errorf("left:\n%s\nbefore:\n%s", after, before)
	}
}

// census lists the files of a data directory, those of its databases left out,
// and what is on its way out.
func census(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && !strings.Contains(path, ".db") && !strings.Contains(path, "/trash/") {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}
