//go:build linux

package firstminutes

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/conformance/server"
)

// The variables that make this program one inside namespaces: which test it
// runs there, and whether it is to switch user namespaces off before.
const (
	insideVariable = "OUTCROP_TEST_INSIDE"
	offVariable    = "OUTCROP_TEST_NAMESPACES_OFF"
)

// TestMain switches user namespaces off, in the namespace that it was started
// in, and then is a test program like any other, without the right it took.
func TestMain(m *testing.M) {
	if os.Getenv(offVariable) == "" {
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, "switch user namespaces off:", switchOff())
	os.Exit(1)
}

// switchOff returns only when it fails.
func switchOff() error {
	runtime.LockOSThread() // capabilities are a thread's
	// The setting is that of the namespace, so the machine keeps its own.
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, offVariable+"=") {
			env = append(env, e)
		}
	}
	return unix.Exec("/proc/self/exe", os.Args, env)
}

// inside is true in the process that runs the test in new namespaces. Outside it
// starts that process, tells of it, and is false.
func inside(t *testing.T, attr *syscall.SysProcAttr, env ...string) bool {
	t.Helper()
	if os.Getenv(insideVariable) == t.Name() {
		return true
	}
	dir := publicCopies(t)
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "tests"), "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	cmd.Dir = "/"
	cmd.Env = append([]string{
		insideVariable + "=" + t.Name(), "OUTCROP_BINARY=" + filepath.Join(dir, "outcrop"), "PATH=" + systemPath, "LANG=C.UTF-8", "HOME=/",
	}, env...)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && cmd.ProcessState == nil && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EACCES)):
		t.Skipf("this machine does not let these tests make namespaces: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Errorf("it did not run\n%s", out)
	}
	return false
}

// publicCopies makes a directory, which every user can enter, with this program
// and the one under test: home and build directories are closed to others.
func publicCopies(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "outcrop-firstminutes-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"tests": self, "outcrop": server.Binary(t)} {
		to := filepath.Join(dir, name)
		if os.Link(from, to) == nil {
			continue
		}
		if err := copyProgram(to, from); err != nil { // on another file system, or not ours
			t.Fatal(err)
		}
	}
	return dir
}

// ordinary are namespaces of a new user: whoever runs the tests is root in them.
func ordinary(flags uintptr) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: flags}
	if os.Getuid() != 0 { // root needs no user namespace to make the others
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

func copyProgram(to, from string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Chmod(0o755), dst.Close())
}
