package cgroup

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLend moves a process out and back, in directories that stand for groups.
func TestLend(t *testing.T) {
	root := t.TempDir()
	own := filepath.Join(root, "sandbox")
	files := map[string]string{"own": own + "/cgroup.procs", "above": root + "/cgroup.procs", "leaf": filepath.Join(root, leaf, "cgroup.procs")}
	for _, dir := range []string{own, filepath.Join(root, leaf)} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for version, outside := range map[int]string{1: "above", 2: "leaf"} {
		for _, path := range files {
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		g := &Group{memory: own}
		if version == 2 {
			file, err := os.Open(own)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			g.unified = file
		}
		back, err := g.Lend(77)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, version, files, outside)
		if err := os.WriteFile(files[outside], nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := back(); err != nil {
			t.Fatal(err)
		}
		holds(t, version, files, "own")
	}
	if _, err := (&Group{memory: filepath.Join(root, "missing", "sandbox")}).Lend(77); err == nil {
		t.Error("Lend() to a group that is not there succeeds")
	}
}

// holds wants the process in one file and in no other.
func holds(t *testing.T, version int, files map[string]string, where string) {
	t.Helper()
	for name, path := range files {
		want := ""
		if name == where {
			want = "77"
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("version %d: %s holds %q, %v; want %q", version, name, got, err, want)
		}
	}
}
