package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

func TestState(t *testing.T) {
	for stat, want := range map[string]string{
		"7 (sh) S 1 7 7 0":         "S",
		"7 (sh) Z 1 7 7 0":         "Z",
		"7 (a) R (b) Z ) D 1 7":    "D",
		"7 () Z 1":                 "Z",
		"":                         "",
		"7 (a process without one": "7",
	} {
		if got := state(stat); got != want {
			t.Errorf("state(%q) = %q, want %q", stat, got, want)
		}
	}
}

func TestResumeArgs(t *testing.T) {
	g := &guest{id: "0123456789abcdef", bundle: "/bundles/0123456789abcdef"}
	golden(t, "runsc.resume.golden", []byte(strings.Join((&supervisor{separate: true}).runscArgs(g, true), "\n")+"\n"))
}

func TestWriteSnapshot(t *testing.T) {
	b := bundle(t.TempDir())
	if err := b.writeSnapshot(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"checkpoint.img": "/proc/self/fd/4", "pages_meta.img": "/proc/self/fd/5", "pages.img": "/proc/self/fd/6",
	} {
		if got, err := os.Readlink(filepath.Join(b.snapshot(), name)); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestResumeFailure(t *testing.T) {
	b := bundle(t.TempDir())
	err := errors.Join(os.WriteFile(b.log(), []byte(`{"msg":"it is cut","level":"error"}`), 0o600), os.WriteFile(b.panics(), []byte("the crash\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	err = resumeFailure(&guest{bundle: b}, syscall.WaitStatus(128<<8))
	var f *wire.Failure
	if want := "runsc ended with 128: it is cut the crash"; !errors.As(err, &f) || f.Kind != wire.Resuming || f.Text != want {
		t.Errorf("resumeFailure() = %v, want %q", err, want)
	}
}

func TestDescribe(t *testing.T) {
	for status, want := range map[unix.WaitStatus]string{3 << 8: "exit code 3", unix.WaitStatus(unix.SIGKILL): "signal SIGKILL"} {
		if got := describe(status); got != want {
			t.Errorf("describe(%x) = %q, want %q", int(status), got, want)
		}
	}
}
