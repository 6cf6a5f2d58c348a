package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRepairsFit holds every repair to the pinned gVisor, and what is repaired
// to the notice that its licence asks for.
func TestRepairsFit(t *testing.T) {
	_, source, err := module()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, r := range repairs {
		path := filepath.Join(dir, r.file)
		if _, err := os.Stat(path); err != nil {
			data, err := os.ReadFile(filepath.Join(source, r.file))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := repairAll(dir); err != nil {
		t.Fatal(err)
	}
	for _, r := range repairs {
		data, err := os.ReadFile(filepath.Join(dir, r.file))
		if err != nil {
			t.Fatal(err)
		}
		if text := string(data); strings.Count(text, notice) != 1 || !strings.HasPrefix(text, notice+"// Copyright") {
			t.Errorf("%s does not say first, and once, that it was changed: %.200s", r.file, text)
		}
	}
}

func TestRepairRefusesWhatDoesNotFit(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("a b a"), 0o644); err != nil {
		t.Fatal(err)
	}
	for old, want := range map[string]string{"a": "2 times", "c": "0 times"} {
		err := repair{file: "f", old: old, new: "x"}.apply(dir)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("apply(%q) = %v, want %q", old, err, want)
		}
	}
	if err := (repair{file: "f", old: "b", new: "c"}).apply(dir); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "f")); string(got) != "a c a" {
		t.Errorf("the file holds %q", got)
	}
}

// TestPruneKeepsTheCurrentCopy: what is old goes, and nothing that is in use or
// not ours.
func TestPruneKeepsTheCurrentCopy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with [brackets]")
	now := time.Now()
	for name, age := range map[string]time.Duration{
		"gvisor-v1-current": 48 * time.Hour, "gvisor-v1-old": 2 * time.Hour, "gvisor-v0-building": time.Minute,
		".gvisor-1-left": 2 * time.Hour, ".gvisor-2-copying": time.Minute, "packages": 48 * time.Hour, "gvisor-notes": 48 * time.Hour,
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Join(path, "pkg"), 0o755), os.Chtimes(path, now.Add(-age), now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(filepath.Join(dir, "gvisor-v1-current"), now); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if got, want := strings.Join(names, " "), ".gvisor-2-copying gvisor-notes gvisor-v0-building gvisor-v1-current packages"; got != want {
		t.Errorf("left: %s, want %s", got, want)
	}
}

func TestEmbedWritesOnlyChanges(t *testing.T) {
	dir := t.TempDir()
	executable, name := filepath.Join(dir, "exe"), filepath.Join(dir, "outcrop-sandbox-linux-test")
	embedIt := func(content string) os.FileInfo {
		t.Helper()
		if err := os.WriteFile(executable, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := embed(executable, name); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name + ".sha256")
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := embedIt("one")
	if again := embedIt("one"); !again.ModTime().Equal(first.ModTime()) {
		t.Error("an unchanged executable was embedded again")
	}
	one, _ := os.ReadFile(name + ".sha256")
	embedIt("two")
	if two, _ := os.ReadFile(name + ".sha256"); string(one) == string(two) {
		t.Error("a changed executable was not embedded")
	}
}
