package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/client/statefile"
)

// TestKeyOfAnotherUser runs the client as a user who may not read the data
// directory, with and without knowing where it is.
func TestKeyOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to have another user's data directory")
	}
	f := newFake(t)
	// Go's temporary directories are closed to others.
	root, err := os.MkdirTemp("", "outcrop-other-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	data, home, program := filepath.Join(root, "data"), filepath.Join(root, "home"), filepath.Join(root, "outcrop.test")
	writeKey(t, data)
	start, _ := statefile.Process(os.Getpid())
	own := statefile.File{Path: filepath.Join(data, statefile.Name)}
	if err := own.Add(statefile.Record{URL: f.url, PID: os.Getpid(), ProcessStart: start, DataDirectory: data, StartedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(program, self, 0o755)
	}
	if err == nil {
		err = os.Mkdir(home, 0o700)
	}
	const nobody = 65534
	if err = firstError(err, os.Chmod(root, 0o755), os.Chown(home, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		cmd := exec.Command(program, args...)
		cmd.Dir = "/"
		cmd.Env = []string{"HOME=" + home, "OUTCROP_TEST_AS_MAIN=1", "OUTCROP_TEST_ADDRESS=" + strings.TrimPrefix(f.url, "http://")}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%v gave no error", args)
		}
		return string(out)
	}
	for _, args := range [][]string{{"ls", "--data", data}, {"env", "--data", data}, {"invoke", "hello", "--data", data}, {"ls"}, {"env"}} {
		got := run(args...)
		for _, want := range []string{"its key is readable by root only", "outcrop serve --data", "let root run outcrop env"} {
			if !strings.Contains(got, want) {
				t.Errorf("%v says\n%s\nand not %q", args, got, want)
			}
		}
	}
	// sudo with the user's HOME leaves root's list behind.
	list := filepath.Join(home, ".local", "state", "outcrop")
	if err := firstError(os.MkdirAll(list, 0o755), os.WriteFile(filepath.Join(list, statefile.Name), []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := run("ls"); !strings.Contains(got, "belongs to root, most likely because outcrop ran under sudo") {
		t.Errorf("root's list in the user's home: %s", got)
	}
	if info, err := os.Stat(filepath.Join(data, "credentials.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v", info.Mode(), err)
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
