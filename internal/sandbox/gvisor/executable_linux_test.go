package gvisor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/outcrop/outcrop/internal/sandbox"
)

func TestPrepareUnpacks(t *testing.T) {
	dir := t.TempDir()
	content := []byte("#!/bin/sh\n" + strings.Repeat("#\n", 10_000))
	files, err := pack(content)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"outcrop-sandbox-0123456789abcdef", ".unpack-123"} { // of an older version, of a crash
		if err := os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o500); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "outcrop-sandbox-"+digestOf(content)[:16])
	check := func(when string) {
		t.Helper()
		exe, err := prepare(files, "", dir)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		got, err := os.ReadFile(exe.path)
		if err != nil || string(got) != string(content) || exe.path != path {
			t.Errorf("%s: %s holds %d bytes (%v), want %s with %d", when, exe.path, len(got), err, path, len(content))
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o555 {
			t.Errorf("%s: mode %v, %v", when, info.Mode(), err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("%s: %d files are there, want 1", when, len(entries))
		}
	}
	check("first")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o500); err != nil {
		t.Fatal(err)
	}
	check("again, with another mode")
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("an intact file was replaced (%v)", err)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	check("after it was cut short")
}

// TestNewRemovesHalfUnpacked: what a killed server left goes at the start, not
// with the first session, and nothing else does.
func TestNewRemovesHalfUnpacked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[odd] name")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".unpack-1", ".unpack-2", "outcrop-sandbox-0123456789abcdef"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := newEngine(Config{Dir: dir}, host{}, fstest.MapFS{}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "outcrop-sandbox-0123456789abcdef" {
		t.Errorf("left are %v (%v)", left, err)
	}
}

func TestPrepareRefuses(t *testing.T) {
	files, err := pack([]byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := pack([]byte("other"))
	if err != nil {
		t.Fatal(err)
	}
	name := "embedded/outcrop-sandbox-linux-" + goarch
	mixed := fstest.MapFS{name + ".zst": files[name+".zst"], name + ".sha256": other[name+".sha256"]}
	bad := fstest.MapFS{name + ".zst": files[name+".zst"], name + ".sha256": {Data: []byte("../../etc/passwd")}}
	notExecutable := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notExecutable, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(private, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		files    fstest.MapFS
		external string
		text     string
		unavail  bool
	}{
		{"no executable in the build", fstest.MapFS{}, "", "build it with `make build`", true},
		{"another digest", mixed, "", "its digest is", false},
		{"no digest", bad, "", "is no digest", false},
		{"external one is missing", nil, "/none", "the configured sandbox executable /none cannot be executed (no such file or directory)", true},
		{"external one is not executable", nil, notExecutable, "permission denied", true},
		{"external one is for its owner alone", nil, private, "mode -rwx------", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			exe, err := prepare(tt.files, tt.external, dir)
			if err == nil || !strings.Contains(err.Error(), tt.text) || errors.Is(err, sandbox.ErrUnavailable) != tt.unavail {
				t.Errorf("prepare() = %v, %v; want %q, unavailable: %t", exe, err, tt.text, tt.unavail)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 0 {
				t.Errorf("%d files are left", len(entries))
			}
		})
	}
}

// needEmbedded skips a test of the executable that a build embeds where there is none.
func needEmbedded(t *testing.T) {
	t.Helper()
	if _, err := packedDigest(embedded, goarch); errors.Is(err, fs.ErrNotExist) {
		t.Skip("this test program was built without `make build` before")
	}
}

// TestEmbedded runs what the build carries.
func TestEmbedded(t *testing.T) {
	needEmbedded(t)
	e, err := New(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	s, err := e.Start(t.Context(), sandbox.Spec{ID: "a", Args: []string{"sh", "-c", "exit 4"}})
	if err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if got := s.Exit().Code; got != 4 {
		t.Errorf("the guest ended with %d, want 4", got)
	}
}

// TestVersion holds what Capabilities says to go.mod.
func TestVersion(t *testing.T) {
	mod, err := os.ReadFile("../../../go.mod")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("not in the source tree")
	}
	if err != nil || !strings.Contains(string(mod), "gvisor.dev/gvisor "+gvisorVersion+" ") && !strings.Contains(string(mod), "gvisor.dev/gvisor "+gvisorVersion+"\n") {
		t.Errorf("go.mod does not pin gVisor %s (%v)", gvisorVersion, err)
	}
}

// TestPrepareSparesOthers: another version, such as its doctor, unpacks its own
// executable into a directory of a server that runs, and lets go of it. The
// server's stays, and goes once no server has it.
func TestPrepareSparesOthers(t *testing.T) {
	dir := t.TempDir()
	one, err := pack([]byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := pack([]byte("other"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := prepare(one, "", dir)
	if err != nil {
		t.Fatal(err)
	}
	unpacking, err := os.Create(filepath.Join(dir, unpackPrefix+"1"))
	if err != nil {
		t.Fatal(err)
	}
	keep(unpacking)
	doctor, err := newEngine(Config{Dir: dir}, host{}, other)
	if err != nil {
		t.Fatal(err)
	}
	defer doctor.Close(t.Context())
	exe, err := prepare(other, "", dir)
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	for _, path := range []string{server.path, unpacking.Name(), exe.path} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("what somebody keeps is gone: %v", err)
		}
	}
	if err := errors.Join(server.Close(), unpacking.Close(), os.Chmod(exe.path, 0o700), os.Truncate(exe.path, 1)); err != nil {
		t.Fatal(err)
	}
	again, err := prepare(other, "", dir) // unpacks anew
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files are left, want the one in use", len(entries))
	}
}
