package gvisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/klauspost/compress/zstd"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// The roles that a copy of the test program plays.
const (
	roleServer       = "server"        // starts sandboxes and waits to be killed
	roleNoNamespaces = "no-namespaces" // tries to start one where user namespaces are off
	roleNoexec       = "noexec"        // starts one with a data directory mounted noexec
	roleInternet     = "internet"      // starts some on a machine with an internet of its own
)

// play is what a copy of the test program does instead of running tests. It
// says on standard output what came of it.
func play(role string) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	switch role {
	case roleServer:
		err = playServer(ctx)
	case roleNoNamespaces:
		err = playNoNamespaces(ctx)
	case roleNoexec:
		err = playNoexec(ctx)
	case roleInternet:
		err = playInternet(ctx)
	case roleFullDisk:
		err = playRoot(ctx, 0, "fill", "/data/x")
	case roleNoexecRoot:
		err = playRoot(ctx, unix.MS_NOEXEC, "relocate", "/data/x")
	default:
		err = fmt.Errorf("no such role: %s", role)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func playServer(ctx context.Context) error {
	e, err := New(Config{Dir: os.Getenv("HOME"), Executable: os.Getenv(executableVariable)})
	if err != nil {
		return err
	}
	for i := range 3 {
		_, err := e.Start(ctx, sandbox.Spec{ID: fmt.Sprint(i), Args: []string{"sleep", "1000"}, Network: echoes{}})
		if err != nil {
			return err
		}
	}
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

func playNoNamespaces(ctx context.Context) error {
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		return err
	}
	e, err := New(Config{Dir: os.Getenv("HOME"), Executable: os.Getenv(executableVariable)})
	if err != nil {
		return err
	}
	_, err = e.Start(ctx, sandbox.Spec{ID: "x", Args: []string{"true"}})
	fmt.Println(err)
	for _, f := range (host{}).probe(Config{Dir: os.Getenv("HOME"), Executable: os.Getenv(executableVariable)}) {
		if !f.OK {
			fmt.Printf("%s: %s; %s\n", f.Name, f.Detail, f.Fix)
		}
	}
	return e.Close(ctx)
}

func playNoexec(ctx context.Context) error {
	dir := os.Getenv("HOME")
	if err := unix.Mount("x", dir, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	e, err := New(Config{Dir: filepath.Join(dir, "engine")})
	if err != nil {
		return err
	}
	if !e.Capabilities().FilesInMemory {
		return errors.New("Capabilities().FilesInMemory is false")
	}
	s, err := e.Start(ctx, sandbox.Spec{ID: "x", Args: []string{"sh", "-c", "exit 5"}})
	if err != nil {
		return err
	}
	<-s.Done()
	fmt.Println(s.Exit().Code)
	if d := probeDisk(dir, 0, true).Detail; !bytes.Contains([]byte(d), []byte("noexec")) {
		return fmt.Errorf("the probe does not say noexec: %s", d)
	}
	return e.Close(ctx)
}

// pack is what a build embeds of an executable.
func pack(data []byte) (fstest.MapFS, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	name := "embedded/outcrop-sandbox-linux-" + goarch
	return fstest.MapFS{
		name + ".zst":    {Data: w.EncodeAll(data, nil)},
		name + ".sha256": {Data: fmt.Appendf(nil, "%s  outcrop-sandbox\n", digestOf(data))},
	}, nil
}

// copyAs is a copy of the test program in a role, with a home of its own.
func copyAs(t *testing.T, role string, attr *syscall.SysProcAttr) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	home := t.TempDir()
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "HOME="+home)
	cmd.SysProcAttr = attr
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}
