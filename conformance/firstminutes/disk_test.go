//go:build linux

package firstminutes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/cli"
)

// mounted mounts a memory file system on the person's data directory, in the
// mount namespace of the test.
func (p *person) mounted(size string, flags uintptr) string {
	p.t.Helper()
	err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		os.MkdirAll(p.data(), 0o700),
		unix.Mount("tmpfs", p.data(), "tmpfs", flags, "mode=0700,size="+size),
	)
	if err != nil {
		p.t.Fatalf("mount: %v", err)
	}
	p.t.Cleanup(func() {
		if err := unix.Unmount(p.data(), unix.MNT_DETACH); err != nil {
			p.t.Error(err)
		}
	})
	return p.data()
}

// fill leaves so many bytes free on the file system of dir.
func fill(t *testing.T, dir string, leave int64) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "filling"))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, max(1, int64(st.Bavail)*st.Bsize-leave)), f.Close())
	if err != nil {
		t.Fatal(err)
	}
}

func TestDiskNearlyFull(t *testing.T) {
	t.Parallel()
	if !inside(t, ordinary(unix.CLONE_NEWNS)) {
		return
	}
	p := newPerson(t)
	dir := p.mounted("50m", 0)
	s := p.serve()
	wants(t, s.Log(), "Warning: the disk is nearly full", dir)
	f := p.doctor("disk")
	if f.OK || f.Fix == "" || !strings.HasPrefix(f.Detail, "the disk is nearly full: ") {
		t.Errorf("doctor: %+v", f)
	}
	python(t, s)
	// There is no room for the sandbox executable.
	r := p.must(p.home, "deploy", p.agent("mine", nil))
	wants(t, r.stderr, "Warning: the server cannot start sandboxes yet", "MiB free")
	r = p.run(p.home, "invoke", "mine")
	if r.code != 1 {
		t.Errorf("%s", r)
	}
	wants(t, r.stderr, "the disk with "+dir, "is full", "free 100 MB")
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	if !inside(t, ordinary(unix.CLONE_NEWNS)) {
		return
	}
	p := newPerson(t)
	dir := p.mounted("220m", 0)
	fill(t, dir, 0)
	r := p.run("/", "serve", "--listen", "127.0.0.1:0")
	if r.code != 1 || strings.Contains(r.stderr, "listens on") {
		t.Errorf("%s", r)
	}
	wants(t, r.stderr, "outcrop: the disk that holds "+dir+" is full: ", "Free some space, or choose another place with --data.")
	if f := p.doctor("disk"); f.OK || !strings.Contains(f.Detail, "nearly full") {
		t.Errorf("doctor: %+v", f)
	}

	// It starts where there is some room, and then the room goes.
	if err := os.Remove(filepath.Join(dir, "filling")); err != nil {
		t.Fatal(err)
	}
	s := p.serve()
	python(t, s)
	folder := p.agent("mine", map[string]string{"data.txt": strings.Repeat(fmt.Sprint(time.Now().UnixNano()), 1<<20)})
	fill(t, dir, 16<<10)
	r = p.run(p.home, "deploy", folder)
	if r.code != 1 || r.stdout != "" {
		t.Errorf("%s", r)
	}
	wants(t, r.stderr, "The disk of this server is full", "Free some space")
	if !s.Healthy() {
		t.Error("the server has gone")
	}
	if err := os.Remove(filepath.Join(dir, "filling")); err != nil {
		t.Fatal(err)
	}
	p.must(p.home, "deploy", folder)
	var two int
	if p.evaluate("mine", "1 + 1", &two); two != 2 {
		t.Errorf("1 + 1 is %d", two)
	}
}

// TestNoexec has sandboxes run although nothing in the data directory may.
func TestNoexec(t *testing.T) {
	t.Parallel()
	if !inside(t, ordinary(unix.CLONE_NEWNS)) {
		return
	}
	p := newPerson(t)
	dir := p.mounted("1200m", unix.MS_NOEXEC)
	script := filepath.Join(dir, "script")
	write(t, dir, map[string]string{"script!": "#!/bin/sh\n"})
	if err := unix.Access(script, unix.X_OK); err == nil {
		t.Fatal("the mount lets programs run")
	}
	s := p.serve()
	python(t, s)
	if f := p.doctor("mount"); !f.OK || !strings.Contains(f.Detail, "noexec") {
		t.Errorf("doctor: %+v", f)
	}
	if f := p.doctor("server's sandboxes"); !f.OK {
		t.Errorf("doctor: %+v", f)
	}
	p.must(p.home, "deploy", p.agent("mine", nil))
	var two int
	if p.evaluate("mine", "1 + 1", &two); two != 2 {
		t.Errorf("1 + 1 is %d", two)
	}
	avoids(t, s.Log(), "level=ERROR")
}

// TestClock runs the command line by a clock that is off, against a server whose
// clock is right.
func TestClock(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.serve()
	folder := p.agent("mine", nil)
	for _, off := range []time.Duration{-390 * time.Second, 390 * time.Second} { // six minutes and a half
		for _, args := range [][]string{{"deploy", folder}, {"sessions"}, {"doctor"}} {
			var stdout, stderr strings.Builder
			program := cli.Program{
				Args: args, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Environ: p.environ(),
				Now: func() time.Time { return time.Now().Add(off) },
			}
			code := program.Run(context.Background())
			said := stdout.String() + stderr.String()
			if code != 1 {
				t.Errorf("%v: exit code %d\n%s", args, code, said)
			}
			if args[0] == "doctor" {
				wants(t, said, "FAIL  clock", "differs from the server's by 6m", "timedatectl")
				continue
			}
			wants(t, said, "clocks of this machine and the server differ by more than 5 minutes", "outcrop doctor", "timedatectl")
		}
	}
}
