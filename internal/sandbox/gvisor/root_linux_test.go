package gvisor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
)

// More roles that a copy of the test program plays (roles_linux_test.go).
const (
	roleFullDisk   = "full-disk"   // a guest writes more than the host's disk has
	roleNoexecRoot = "noexec-root" // a guest runs what it wrote where the disk is mounted noexec
)

// hostDisk is what the disk of such a role has, in bytes.
const hostDisk = 64 << 20

// playRoot runs a guest whose root and whose engine lie on a small disk of its
// own, mounted with flags, and says what the guest said.
func playRoot(ctx context.Context, flags uintptr, args ...string) error {
	dir := os.Getenv("HOME")
	if err := unix.Mount("x", dir, "tmpfs", flags, fmt.Sprintf("size=%d", hostDisk)); err != nil {
		return err
	}
	root := filepath.Join(dir, "image")
	if err := os.MkdirAll(filepath.Join(root, "data"), 0o755); err != nil {
		return err
	}
	guest, err := os.ReadFile(os.Getenv(guestVariable))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "guest"), guest, 0o755); err != nil {
		return err
	}
	e, err := New(Config{Dir: filepath.Join(dir, "engine"), Executable: os.Getenv(executableVariable)})
	if err != nil {
		return err
	}
	var out sandboxtest.Buffer
	s, err := e.Start(ctx, sandbox.Spec{
		ID: "x", Args: append([]string{"/guest"}, args...), Root: root, Stdout: &out, Stderr: &out, Limits: sandbox.Limits{DiskBytes: 1 << 30},
	})
	if err != nil {
		return err
	}
	<-s.Done()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	if used := int64(st.Blocks-st.Bfree) * st.Bsize; used > hostDisk/2 {
		return fmt.Errorf("%d bytes of the disk are used after the guest's end", used)
	}
	fmt.Printf("%v %d: %s", s.Exit().Cause, s.Exit().Code, out.String())
	return e.Close(ctx)
}

// playedRoot plays a role with mounts of its own.
func playedRoot(t *testing.T, role string) string {
	t.Helper()
	cmd, out := copyAs(t, role, &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	})
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return out.String()
}

// TestFullDisk: a guest may have more than the host, and is told when there is no
// more; it goes on, and what it took comes back.
func TestFullDisk(t *testing.T) {
	got := playedRoot(t, roleFullDisk)
	var n int
	if _, err := fmt.Sscanf(got, "exited 0: %d no space left on device\n", &n); err != nil || n < hostDisk/4 || n > hostDisk {
		t.Errorf("the guest says %q, want some of %d bytes and then no space", got, hostDisk)
	}
}

func TestNoexecRoot(t *testing.T) {
	if got := playedRoot(t, roleNoexecRoot); got != "exited 0: ran\n" {
		t.Errorf("where the disk is mounted noexec the guest says %q", got)
	}
}

// TestDisksAreEmptied: what a machine left that lost its power goes, and what
// another supervisor is about to unlink stays.
func TestDisksAreEmptied(t *testing.T) {
	dir := t.TempDir()
	disks := filepath.Join(dir, "disks")
	if err := os.Mkdir(disks, 0o700); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{wire.RootFile + "old", wire.TmpFile + "old", wire.RootFile + "young", "else"} {
		if err := os.WriteFile(filepath.Join(disks, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "young") {
			if err := os.Chtimes(filepath.Join(disks, name), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := makeDisks(dir); err != nil || got != disks {
		t.Fatalf("makeDisks() = %q, %v", got, err)
	}
	entries, err := os.ReadDir(disks)
	if err != nil || len(entries) != 2 || entries[0].Name() != "else" || entries[1].Name() != wire.RootFile+"young" {
		t.Errorf("left are %v, %v", entries, err)
	}
}
