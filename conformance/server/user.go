package server

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Nobody is an ordinary user that every machine has.
const Nobody = 65534

// OpenDir is a directory that other users can reach, unlike t.TempDir.
func OpenDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "outcrop-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// AsNobody are the options of a server that runs as an ordinary user, with a home,
// a data directory in it, and a copy of the program that he may execute. Where the
// test runs as one already, it is skipped.
func AsNobody(t testing.TB) Options {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can start a server as another user; this test runs as an ordinary one anyhow")
	}
	dir := OpenDir(t)
	home, binary := filepath.Join(dir, "home"), filepath.Join(dir, "outcrop")
	program, err := os.ReadFile(Binary(t))
	err = errors.Join(err, os.WriteFile(binary, program, 0o755), os.Mkdir(home, 0o700), os.Chown(dir, Nobody, Nobody), os.Chown(home, Nobody, Nobody))
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		DataDir: filepath.Join(home, "data"), Binary: binary, Env: []string{"HOME=" + home, "XDG_DATA_HOME="},
		User: &syscall.Credential{Uid: Nobody, Gid: Nobody},
	}
}
