package gvisor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/cgroup"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

const (
	mountinfo = "/proc/self/mountinfo"
	unified   = "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	scope     = "/sys/fs/cgroup/user.slice/run-1.scope"
)

// scoped is a machine on which a server runs in a scope of its own.
func scoped(procs, controllers string) map[string]string {
	return map[string]string{
		"/proc/self/cgroup": "0::/user.slice/run-1.scope\n", mountinfo: unified,
		scope + "/cgroup.procs": procs, scope + "/cgroup.controllers": controllers,
		scope + "/cgroup.subtree_control": "", scope + "/cgroup.type": "domain\n",
	}
}

// TestProbeDisk holds that room for the executable is asked for until it is there.
func TestProbeDisk(t *testing.T) {
	const much = int64(1) << 62
	for _, tt := range []struct {
		least int64
		ready bool
		want  bool
	}{{0, false, true}, {much, false, false}, {much, true, true}} {
		f := probeDisk(t.TempDir(), tt.least, tt.ready)
		if f.OK != tt.want || (f.Fix == "") != tt.want || strings.Contains(f.Detail, "too little to unpack the sandbox executable") == tt.want {
			t.Errorf("least %d, ready %v: %+v", tt.least, tt.ready, f)
		}
	}
}

func TestProbeGroups(t *testing.T) {
	mine := func(string) bool { return true }
	roots := func(path string) bool { return false }
	tests := []struct {
		name        string
		files       map[string]string
		writable    func(string) bool
		detail, fix string
	}{
		{"delegated", scoped("42\n", "cpu memory pids"), mine, "version 2: the kernel bounds each sandbox's memory and cpu", ""},
		{"not delegated", scoped("42\n", "cpu memory pids"), roots, "looked at every 100ms instead of bounded by the kernel", "systemd-run --user --scope -p Delegate=yes outcrop serve"},
		{"a login's scope", scoped("42\n7\n8\n", "cpu memory"), mine, "holds 2 other processes", "systemd-run --user --scope -p Delegate=yes outcrop serve"},
		{"delegated without memory", scoped("42\n", "cpu pids"), mine, "has no memory controller", "Delegate=memory cpu"},
		{"version 1, an ordinary user", map[string]string{
			"/proc/self/cgroup": "4:memory:/\n", mountinfo: "31 27 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
		}, roots, "version 1 are root's", "run outcrop as root"},
		{"none, as in a container", map[string]string{"/proc/self/cgroup": "0::/\n", mountinfo: "1 1 0:1 / / rw - overlay overlay rw\n"}, mine, "no control groups are mounted", "mount -t cgroup2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := machine(t, tt.files)
			f := h.probeGroups(cgroup.Finder{Root: h.root, PID: 42, Writable: tt.writable})
			if !f.OK || !strings.Contains(f.Detail, tt.detail) || !strings.Contains(f.Fix, tt.fix) || (tt.fix == "") != (f.Fix == "") {
				t.Errorf("probeGroups() = %+v, want %q and the fix %q", f, tt.detail, tt.fix)
			}
		})
	}
}

func TestProbeAppArmor(t *testing.T) {
	const enabled, restricts = "/sys/module/apparmor/parameters/enabled", "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"without":      {nil, "not in use"},
		"off":          {map[string]string{enabled: "N\n"}, "not in use"},
		"on":           {map[string]string{enabled: "Y\n", restricts: "0\n"}, "it lets ordinary users"},
		"Ubuntu 24.04": {map[string]string{enabled: "Y\n", restricts: "1\n"}, "keeps ordinary users from"},
	} {
		h := machine(t, tt.files)
		if f := h.probeAppArmor(); !f.OK || !strings.Contains(f.Detail, tt.want) {
			t.Errorf("%s: probeAppArmor() = %+v, want %q", name, f, tt.want)
		}
		blocked := h.blocker(privileges{userNamespace: true})
		if (blocked != nil) != (name == "Ubuntu 24.04") {
			t.Errorf("%s: an ordinary user is told %v", name, blocked)
		}
		if blocked != nil && !strings.Contains(blocked.Fix, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0") {
			t.Errorf("the fix is %q", blocked.Fix)
		}
	}
}

func TestProbeKernel(t *testing.T) {
	for release, ok := range map[string]bool{"5.10.0-30-amd64": false, "5.15.0-1-generic": true} {
		f := machine(t, map[string]string{"/proc/sys/kernel/osrelease": release + "\n"}).probeKernel()
		if f.OK != ok || (f.Fix == "") != ok || f.Detail != "Linux "+release {
			t.Errorf("probeKernel() = %+v, want OK to be %t", f, ok)
		}
	}
}

// TestExplainWire: what a kernel lacks for a sandbox's wire has a fix of its own.
func TestExplainWire(t *testing.T) {
	for text, fix := range map[string]string{
		"make a network namespace: plug wire: make veth pair: " + unix.EOPNOTSUPP.Error():       "modprobe veth",
		"make a network namespace: plug wire: make packet socket: " + unix.EAFNOSUPPORT.Error(): "modprobe af_packet",
	} {
		err := machine(t, nil).explain(privileges{}, text, errors.New(text))
		var u *sandbox.UnavailableError
		if !errors.As(err, &u) || !strings.Contains(u.Fix, fix) {
			t.Errorf("explain(%q) = %v, want the fix %q", text, err, fix)
		}
	}
}

// TestRehearse has a sandbox do on this machine what sessions do.
func TestRehearse(t *testing.T) {
	f := Rehearse(t.Context(), Config{Dir: filepath.Join(t.TempDir(), "engine"), Executable: os.Getenv(executableVariable)})
	if !f.OK || !strings.Contains(f.Detail, "resume ") || f.Fix != "" {
		t.Errorf("Rehearse() = %+v", f)
	}
	t.Log(f.Detail)
}

// TestGroupsAreRemoved: with the engine go its control groups.
func TestGroupsAreRemoved(t *testing.T) {
	e := open(t).(*engine)
	s := sleeper(t, e, "a")
	g := e.groups()
	if !g.Any() {
		t.Skip("this machine lets us make none")
	}
	var dirs []string
	for _, dir := range []string{g.Unified, g.Memory, g.CPU} {
		if dir == "" {
			continue
		}
		dirs = append(dirs, dir)
		if got, err := filepath.Glob(dir + "/0*"); err != nil || len(got) != 1 {
			t.Errorf("%s has %q, %v; want one sandbox's", dir, got, err)
		}
	}
	if err := s.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
	for _, dir := range dirs {
		if got, _ := filepath.Glob(dir + "/0*"); len(got) != 0 {
			t.Errorf("%q is left of a sandbox that ended", got)
		}
	}
	sleeper(t, e, "b")
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
	}
}

func TestBounds(t *testing.T) {
	small := machine(t, map[string]string{"/proc/meminfo": "MemTotal:        4000000 kB\nMemFree: 1 kB\n"})
	if got, want := small.bounds(sandbox.Limits{}).Memory, int64(3_000_000<<10+wire.OverheadBytes); got != want {
		t.Errorf("on a small machine a guest may have %d bytes, want %d", got, want)
	}
	contained := machine(t, map[string]string{
		"/proc/meminfo": "MemTotal:       64000000 kB\n", "/proc/self/cgroup": "0::/\n", mountinfo: unified, "/sys/fs/cgroup/memory.max": "4000000000\n",
	})
	if got, want := contained.bounds(sandbox.Limits{}).Memory, int64(3_000_000_000+wire.OverheadBytes); got != want {
		t.Errorf("in a container of 4 GB a guest may have %d bytes, want %d", got, want)
	}
	large := machine(t, map[string]string{"/proc/meminfo": "MemTotal:       64000000 kB\n"})
	got := large.bounds(sandbox.Limits{})
	if got.Memory != DefaultMemoryBytes+wire.OverheadBytes || got.CPUs != DefaultCPUs || got.Processes != DefaultProcesses || got.OpenFiles != DefaultOpenFiles {
		t.Errorf("the engine's own bounds are %+v", got)
	}
	got = large.bounds(sandbox.Limits{MemoryBytes: 1 << 20, CPUs: 0.5, Processes: 7, OpenFiles: 8})
	if got.Memory != 1<<20+wire.OverheadBytes || got.CPUs != 0.5 || got.Processes != 7 || got.OpenFiles != 8 {
		t.Errorf("a spec's bounds become %+v", got)
	}
	if got := large.bounds(sandbox.Limits{MemoryBytes: 1<<63 - 1}); got.Memory <= 0 {
		t.Errorf("what bounds nothing becomes %+v", got)
	}
}
