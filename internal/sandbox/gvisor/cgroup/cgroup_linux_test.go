package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"syscall"
)

// machine makes a root with the given files, in which process 42 lives.
func machine(t *testing.T, files map[string]string) Finder {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Finder{Root: root, PID: 42, Writable: func(path string) bool {
		_, err := os.Stat(filepath.Join(root, path))
		_, closed := files[path+" closed"]
		return err == nil && !closed
	}}
}

const (
	unifiedMount = "30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	oldMounts    = "31 27 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" +
		"32 27 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
	service = "/sys/fs/cgroup/user.slice/run-1.scope"
)

// delegated is a machine with version 2 and a scope of this process's own.
func delegated(change map[string]string) map[string]string {
	files := map[string]string{
		"/proc/self/cgroup":                    "0::/user.slice/run-1.scope\n",
		"/proc/self/mountinfo":                 "22 27 0:21 / /proc rw - proc proc rw\n" + unifiedMount,
		service + "/cgroup.controllers":        "cpuset cpu io memory pids\n",
		service + "/cgroup.procs":              "42\n",
		service + "/cgroup.subtree_control":    "",
		service + "/cgroup.type":               "domain\n",
		"/proc/42/stat":                        "42 (out (crop) x) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 9 0 777 1 1\n",
		service + "/outcrop-42-777-9/sandbox/": "",
		service + "/outcrop-41-5-1/sandbox/":   "",
		service + "/outcrop-42-6-1/":           "",
		service + "/somebody-elses/":           "",
	}
	for name, text := range change {
		files[name] = text
	}
	return files
}

func TestFind(t *testing.T) {
	tests := []struct {
		name   string
		files  map[string]string
		want   Place
		reason string // of a refusal
		fix    string
	}{
		{
			name: "delegated", files: delegated(nil),
			want: Place{Version: 2, Unified: service, Controllers: []string{"memory", "cpu"}},
		},
		{
			name: "moved by an engine before", files: delegated(map[string]string{
				"/proc/self/cgroup": "0::/user.slice/run-1.scope/outcrop-server\n", service + "/cgroup.procs": "",
			}),
			want: Place{Version: 2, Unified: service, Controllers: []string{"memory", "cpu"}},
		},
		{
			name: "without the processor's", files: delegated(map[string]string{service + "/cgroup.controllers": "memory pids\n"}),
			want: Place{Version: 2, Unified: service, Controllers: []string{"memory"}},
		},
		{
			name: "in a container", files: delegated(map[string]string{
				"/proc/self/cgroup":    "0::/docker/abc\n",
				"/proc/self/mountinfo": strings.Replace(unifiedMount, " / ", " /docker/abc ", 1),

				"/sys/fs/cgroup/cgroup.controllers": "memory\n", "/sys/fs/cgroup/cgroup.procs": "42\n",
				"/sys/fs/cgroup/cgroup.subtree_control": "", "/sys/fs/cgroup/cgroup.type": "domain\n",
			}),
			want: Place{Version: 2, Unified: "/sys/fs/cgroup", Controllers: []string{"memory"}},
		},
		{
			name: "the machine's root, with processes", files: delegated(map[string]string{
				"/proc/self/cgroup":                 "0::/\n",
				"/sys/fs/cgroup/cgroup.controllers": "memory cpu\n", "/sys/fs/cgroup/cgroup.procs": "1\n42\n43\n",
				"/sys/fs/cgroup/cgroup.subtree_control": "",
			}),
			want: Place{Version: 2, Unified: "/sys/fs/cgroup", Controllers: []string{"memory", "cpu"}},
		},
		{
			name: "another's", files: delegated(map[string]string{service + " closed": ""}),
			reason: "no control group is delegated", fix: "systemd-run --user --scope -p Delegate=yes outcrop serve",
		},
		{
			name: "mine, but not its processes", files: delegated(map[string]string{service + "/cgroup.procs closed": ""}),
			reason: "no control group is delegated", fix: "Delegate=yes",
		},
		{
			name: "without memory's", files: delegated(map[string]string{service + "/cgroup.controllers": "cpu pids\n"}),
			reason: "has no memory controller", fix: "Delegate=memory cpu",
		},
		{
			name: "with a shell in it", files: delegated(map[string]string{service + "/cgroup.procs": "7\n42\n"}),
			reason: "holds 1 other processes", fix: "systemd-run --user --scope",
		},
		{
			name: "version 1", files: map[string]string{
				"/proc/self/cgroup": "4:memory:/system.slice\n2:cpu,cpuacct:/\n0::/\n", "/proc/self/mountinfo": oldMounts,
				"/sys/fs/cgroup/memory/system.slice/": "", "/sys/fs/cgroup/cpu,cpuacct/": "",
			},
			want: Place{Version: 1, Memory: "/sys/fs/cgroup/memory/system.slice", CPU: "/sys/fs/cgroup/cpu,cpuacct", Controllers: []string{"memory", "cpu"}},
		},
		{
			name: "version 1 for an ordinary user", files: map[string]string{
				"/proc/self/cgroup": "4:memory:/\n2:cpu,cpuacct:/\n", "/proc/self/mountinfo": oldMounts,
				"/sys/fs/cgroup/memory/": "", "/sys/fs/cgroup/memory closed": "",
			},
			reason: "version 1 are root's", fix: "run outcrop as root",
		},
		{
			name: "none mounted", files: map[string]string{"/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": ""},
			reason: "no control groups are mounted", fix: "mount -t cgroup2",
		},
		{name: "nothing to read", reason: "cannot be read", fix: "mount /proc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := machine(t, tt.files).Find()
			if tt.reason != "" {
				var r *Refusal
				if !errors.As(err, &r) || !strings.Contains(r.Reason, tt.reason) || !strings.Contains(r.Fix, tt.fix) {
					t.Fatalf("Find() = %v, want %q and %q", err, tt.reason, tt.fix)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Version != tt.want.Version || got.Unified != tt.want.Unified || got.Memory != tt.want.Memory || got.CPU != tt.want.CPU || !slices.Equal(got.Controllers, tt.want.Controllers) {
				t.Errorf("Find() = %+v, want %+v", *got, tt.want)
			}
		})
	}
}

func TestMemory(t *testing.T) {
	old := map[string]string{
		"/proc/self/cgroup": "4:memory:/a/b\n", "/proc/self/mountinfo": oldMounts,
		"/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
		"/sys/fs/cgroup/memory/a/memory.limit_in_bytes":   "3000000\n",
		"/sys/fs/cgroup/memory/memory.limit_in_bytes":     "9223372036854771712\n",
	}
	for name, tt := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"bounded itself":   {delegated(map[string]string{service + "/memory.max": "1000000\n", "/sys/fs/cgroup/user.slice/memory.max": "max\n"}), 1_000_000},
		"bounded above":    {delegated(map[string]string{service + "/memory.max": "5000000\n", "/sys/fs/cgroup/user.slice/memory.max": "2000000\n"}), 2_000_000},
		"not bounded":      {delegated(map[string]string{service + "/memory.max": "max\n"}), 0},
		"version 1, above": {old, 3_000_000},
		"nothing to read":  {nil, 0},
	} {
		if got := machine(t, tt.files).Memory(); got != tt.want {
			t.Errorf("%s: Memory() = %d, want %d", name, got, tt.want)
		}
	}
}

// TestClean: what killed servers left goes, and nothing of those that live.
func TestClean(t *testing.T) {
	f := machine(t, delegated(nil))
	f.clean(service)
	entries, err := os.ReadDir(f.path(service))
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, e.Name())
		}
	}
	if want := []string{"outcrop-42-777-9", "somebody-elses"}; !slices.Equal(dirs, want) {
		t.Errorf("left are %q, want %q", dirs, want)
	}
}

func TestKills(t *testing.T) {
	for text, want := range map[string]int{
		"oom_kill_disable 0\nunder_oom 0\noom_kill 2\n":              2,
		"low 0\nhigh 0\nmax 31\noom 1\noom_kill 1\noom_group_kill 1": 1,
		"low 0\noom 1\n": 0, "": 0, "oom_kill x\n": 0,
	} {
		if got := kills([]byte(text)); got != want {
			t.Errorf("kills(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestQuota(t *testing.T) {
	for cpus, want := range map[float64]int64{2: 200_000, 0.5: 50_000, 1e-9: leastQuota} {
		if got := quota(cpus); got != want {
			t.Errorf("quota(%v) = %d, want %d", cpus, got, want)
		}
	}
}

// TestOnThisMachine makes a group where the machine lets us, and has the kernel
// kill what exceeds it.
func TestOnThisMachine(t *testing.T) {
	place, err := Finder{}.Find()
	if err != nil {
		t.Skip(err)
	}
	groups, err := place.Ready()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := place.Remove(); err != nil {
			t.Error(err)
		}
	}()
	g, err := groups.New("test", 32<<20, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	run := func(size string) error {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "x=$(head -c "+size+" /dev/zero | tr '\\0' x)")
		if dir := g.Directory(); dir != nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
			return cmd.Run()
		}
		var err error
		Aside(func() {
			if err = g.Enter(); err == nil {
				err = cmd.Run()
			}
		})
		return err
	}
	if err := run("1000000"); err != nil || g.Kills() != 0 {
		t.Errorf("what stays below its bound: %v, %d kills", err, g.Kills())
	}
	if err := run("200000000"); err == nil || g.Kills() == 0 {
		t.Errorf("what exceeds its bound: %v, %d kills", err, g.Kills())
	}
}

// The test program plays a server in a part of the tree that is its own. It gets
// the part by this variable.
const partVariable = "OUTCROP_TEST_CGROUP"

// TestDivide: what version 2 wants is done, where this machine has it beside
// version 1, and a process is born in its group.
func TestDivide(t *testing.T) {
	if dir := os.Getenv(partVariable); dir != "" {
		divide(t, dir)
		return
	}
	m, ok := Finder{}.mounts()[""]
	if !ok || os.Geteuid() != 0 {
		t.Skip("needs root and version 2")
	}
	dir, err := os.MkdirTemp(m.at, "outcrop-test-*")
	if err != nil {
		t.Skip(err)
	}
	defer func() {
		for _, d := range []string{filepath.Join(dir, leaf), dir} {
			if err := remove(d); err != nil {
				t.Error(err)
			}
		}
	}()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestDivide$", "-test.v")
	cmd.Env = append(os.Environ(), partVariable+"="+dir)
	file, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(file.Fd())}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func divide(t *testing.T, dir string) {
	p := &Place{Version: 2, Unified: dir, Controllers: words(filepath.Join(dir, "cgroup.controllers"))}
	groups, err := p.Ready()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Remove(); err != nil {
			t.Error(err)
		}
	}()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil || !strings.Contains(string(own), filepath.Base(dir)+"/"+leaf+"\n") {
		t.Errorf("this process is in %q, %v; want a group of its own", own, err)
	}
	g, err := groups.New("x", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	cmd := exec.CommandContext(t.Context(), "cat", "/proc/self/cgroup")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.Directory().Fd())}
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), filepath.Base(groups.Unified)+"/x\n") {
		t.Errorf("its child is in %q, %v; want the group", out, err)
	}
	lent(t, g, filepath.Base(groups.Unified))
}

// lent has a process of a group leave it and come back.
func lent(t *testing.T, g *Group, name string) {
	cmd := exec.CommandContext(t.Context(), "cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.Directory().Fd())}
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	isIn := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", cmd.Process.Pid)); err != nil || !strings.Contains(string(got), name+want) {
			t.Errorf("the process is in %q, %v; want %s%s", got, err, name, want)
		}
	}
	back, err := g.Lend(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	isIn("/" + leaf + "\n")
	if err := back(); err != nil {
		t.Error(err)
	}
	isIn("/x\n")
}

// FuzzMounts: what the kernel's files hold, in containers, may be unexpected.
func FuzzMounts(f *testing.F) {
	f.Add("0::/a\n", unifiedMount, "cpu memory", "42\n")
	f.Add("4:memory:/b\n2:cpu,cpuacct:/\n", oldMounts, "", "")
	f.Add(":::\n1:\n", " - \n - cgroup2\n", "", "x")
	f.Fuzz(func(t *testing.T, own, mounts, controllers, procs string) {
		root := t.TempDir()
		for name, text := range map[string]string{"proc/self/cgroup": own, "proc/self/mountinfo": mounts, "sys/fs/cgroup/cgroup.controllers": controllers, "sys/fs/cgroup/cgroup.procs": procs} {
			if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		finder := Finder{Root: root, PID: 42, Writable: func(string) bool { return true }}
		if n := finder.Memory(); n < 0 {
			t.Errorf("Memory() = %d", n)
		}
		place, err := finder.Find()
		var r *Refusal
		if err != nil && !errors.As(err, &r) {
			t.Errorf("Find() = %v, which says no fix", err)
		}
		if err == nil && !slices.Contains(place.Controllers, "memory") {
			t.Errorf("Find() = %+v, which bounds no memory", fmt.Sprint(*place))
		}
	})
}

// BenchmarkEnter is what a sandbox's start and end take longer with a group.
func BenchmarkEnter(b *testing.B) {
	place, err := Finder{}.Find()
	if err != nil {
		b.Skip(err)
	}
	groups, err := place.Ready()
	if err != nil {
		b.Fatal(err)
	}
	defer place.Remove()
	var entering time.Duration
	for i := 0; b.Loop(); i++ {
		g, err := groups.New(fmt.Sprint(i), 1<<30, 1)
		if err != nil {
			b.Fatal(err)
		}
		if g.Directory() == nil {
			Aside(func() {
				begin := time.Now()
				if err := g.Enter(); err != nil {
					b.Error(err)
				}
				entering += time.Since(begin)
			})
		}
		if err := g.Close(); err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(entering.Milliseconds())/float64(b.N), "ms/entering")
}
