package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// period is that of processor quotas, in microseconds: the kernel's default.
const period = 100_000

// leastQuota is what the kernel takes at least, in microseconds a period.
const leastQuota = 1_000

// A Group is the control group of one sandbox, a directory a hierarchy.
type Group struct {
	memory string
	dirs   []string
	// unified: of version 2, where a process can be born in its group.
	unified *os.File
}

// New makes a group. Zero bounds nothing. memory is in bytes, cpus in processors.
func (g Groups) New(name string, memory int64, cpus float64) (*Group, error) {
	made := new(Group)
	var err error
	if g.Unified != "" {
		err = made.makeUnified(filepath.Join(g.Unified, name), memory, cpus, g.BoundsCPU)
	} else {
		err = made.makeOld(filepath.Join(g.Memory, name), memory)
		if err == nil && g.CPU != "" && cpus > 0 {
			err = made.makeOldCPU(filepath.Join(g.CPU, name), cpus)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make control group %s: %w", name, errors.Join(err, made.Close()))
	}
	return made, nil
}

func (g *Group) makeUnified(dir string, memory int64, cpus float64, boundsCPU bool) error {
	if err := g.mkdir(dir); err != nil {
		return err
	}
	g.memory = dir
	if memory > 0 {
		// Without swap, and all of a sandbox at once: half of one is of no use.
		for _, v := range []struct{ name, value string }{{"memory.swap.max", "0"}, {"memory.oom.group", "1"}} {
			if err := set(dir, v.name, v.value); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if err := set(dir, "memory.max", strconv.FormatInt(memory, 10)); err != nil {
			return err
		}
	}
	if cpus > 0 && boundsCPU {
		if err := set(dir, "cpu.max", fmt.Sprintf("%d %d", quota(cpus), period)); err != nil {
			return err
		}
	}
	file, err := os.Open(dir)
	g.unified = file
	return err
}

func (g *Group) makeOld(dir string, memory int64) error {
	if err := g.mkdir(dir); err != nil {
		return err
	}
	g.memory = dir
	if memory <= 0 {
		return nil
	}
	value := strconv.FormatInt(memory, 10)
	if err := set(dir, "memory.limit_in_bytes", value); err != nil {
		return err
	}
	// Memory and swap together; a machine without swap accounting has no such file.
	if err := set(dir, "memory.memsw.limit_in_bytes", value); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (g *Group) makeOldCPU(dir string, cpus float64) error {
	if err := g.mkdir(dir); err != nil {
		return err
	}
	if err := set(dir, "cpu.cfs_period_us", strconv.Itoa(period)); err != nil {
		return err
	}
	return set(dir, "cpu.cfs_quota_us", strconv.FormatInt(quota(cpus), 10))
}

func quota(cpus float64) int64 { return max(leastQuota, int64(cpus*period)) }

func (g *Group) mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	g.dirs = append(g.dirs, dir)
	return nil
}

// Directory is what a process can be born in, by syscall.SysProcAttr's CgroupFD;
// nil where only threads that Enter have children in the group.
func (g *Group) Directory() *os.File { return g.unified }

// Enter puts the calling thread into the group; Aside gives it one. Version 1 only.
func (g *Group) Enter() error {
	for _, dir := range g.dirs {
		if err := set(dir, "tasks", "0"); err != nil {
			return fmt.Errorf("enter control group: %w", err)
		}
	}
	return nil
}

// Aside runs do on a thread that ends with it, so that what do changes of its
// thread, and its children inherit, changes nothing else. The program's first
// thread would not end.
func Aside(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked, unless it is the first
		if unix.Gettid() != unix.Getpid() {
			do()
			return
		}
		Aside(do) // on another one, since this one waits here
		runtime.UnlockOSThread()
	}()
	<-done
}

// Kills is how often the kernel killed a process because the group had reached its
// bound of memory.
func (g *Group) Kills() int {
	name := "memory.oom_control"
	if g.unified != nil {
		name = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(g.memory, name))
	if err != nil {
		return 0
	}
	return kills(text)
}

// kills finds the line "oom_kill N".
func kills(text []byte) int {
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// Removal waits for the last processes to be collected by their parents.
const (
	removeTries = 100
	removePause = 5 * time.Millisecond
)

// Close removes the group once its processes have ended. Those that have not
// after half a second keep it; Place.Remove takes it then.
func (g *Group) Close() error {
	var errs []error
	if g.unified != nil {
		errs = append(errs, g.unified.Close())
	}
	for _, dir := range g.dirs {
		errs = append(errs, remove(dir))
	}
	return errors.Join(errs...)
}

// remove removes an empty group. The kernel says EBUSY while a process of it has
// not been collected, and there is nothing to wait on in version 1.
func remove(dir string) error {
	for i := 0; ; i++ {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || i == removeTries {
			return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
		}
		time.Sleep(removePause)
	}
}

func set(dir, name, value string) error {
	// Not os.WriteFile, which would make what is missing.
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}

// words are the words of a file.
func words(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(text))
}
