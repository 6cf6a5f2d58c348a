package sandboxtest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// testProbes has a guest of each kind try everything of Probes. All of it runs
// beside a neighbour, and the machine must be as before.
func testProbes(t *testing.T, b *bench) {
	h := newHaystack(t, b)
	spec := b.spec(t, "serve", "127.0.0.1:8080")
	spec.ID, spec.Stdout = "neighbour", new(Buffer)
	b.start(t, spec)
	spec.Stdout.(*Buffer).WaitFor(t, "ready\n")
	t.Run("outside", func(t *testing.T) { h.outside(t, b.Guest) })
	before := h.survey(t)
	roles := []string{roleUser, roleRoot, roleUserns, roleAllns}
	if b.Part != Whole { // who may least, and who may most
		roles = []string{roleUser, roleAllns}
	}
	for _, role := range roles {
		t.Run(role, func(t *testing.T) { h.try(t, b, role) })
	}
	if after := h.survey(t); after != before {
		t.Errorf("the machine has changed:\n%s\nit was\n%s", after, before)
	}
}

// try runs every probe in one sandbox, each its own test.
func (h *haystack) try(t *testing.T, b *bench, role string) {
	probes := Probes()
	as := map[string]string{roleUser: "self", roleRoot: "self", roleUserns: "userns", roleAllns: "allns"}[role]
	args := []string{"probe", as}
	for _, p := range probes {
		args = append(args, p.With(h.values).Do)
	}
	spec := b.spec(t, args...)
	spec.ID = "probes"
	if role == roleRoot {
		spec.Args[0], spec.Code, spec.Root = "guest", "", h.root
	}
	spec.Mounts = []sandbox.Mount{{Source: h.shown, Target: "/opt/shown"}}
	spec.Volumes = []sandbox.Volume{{Source: h.volume, Target: "/mnt/data"}}
	if b.engine.Capabilities().Outbound {
		spec.Network = h
	}
	stdout, stderr, status := b.output(t, spec)
	lines := strings.Split(strings.TrimRight(stdout, "\n"), "\n")
	if len(lines) != len(probes) {
		t.Fatalf("%d of %d probes came to an end; %+v\n%s", len(lines), len(probes), status, stderr)
	}
	for i, p := range probes {
		t.Run(p.Group+"/"+p.Name, func(t *testing.T) {
			_, result, _ := strings.Cut(lines[i], "\t")
			t.Log(result)
			if err := p.Check(role, result); err != nil {
				t.Errorf("%s: %v", p.With(h.values).Do, err)
			}
		})
	}
	t.Run("network/nothing was asked for", func(t *testing.T) {
		if asked := h.strange(); len(asked) > 0 {
			t.Errorf("its network was asked for %q", asked)
		}
	})
}

// outside runs some probes where there is no sandbox: they must find what is there,
// or their failing inside would mean nothing. Only such as look.
func (h *haystack) outside(t *testing.T, guest string) {
	looks := []string{
		"read:{secret}", "through-fd:{secret}", "through-link:{secret}", "connect:{socket}", "connect:@{abstract}", "read:{shm}", "shm:{shmkey}",
		"contains:/proc/cmdline={cmdline}", "contains:/proc/version={release}", "contains:/proc/sys/kernel/hostname={hostname}",
		"contains:/proc/sys/kernel/random/boot_id={boot}", "environment:{canary}", "proc-of:{pid}", "signal:{pid}", "prlimit:{pid}",
		"priority:{pid}", "affinity:{pid}", "dial:tcp {loopback}", "dial:tcp {outward}", "dial:tcp 0.0.0.0:{port}",
	}
	inside := map[string]bool{}
	for _, p := range Probes() {
		inside[p.Do] = true
	}
	args := []string{"probe", "self"}
	for _, do := range looks {
		if !inside[do] {
			t.Errorf("%s is tried outside and not inside", do)
		}
		args = append(args, Probe{Do: do}.With(h.values).Do)
	}
	out, err := exec.CommandContext(t.Context(), guest, args...).Output()
	must(t, err)
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "\tgot: ") {
			t.Errorf("outside of a sandbox: %s", line)
		}
	}
}

// A haystack is what the test keeps on the machine for no guest to find.
type haystack struct {
	dir, shown, volume, root string
	values                   map[string]string

	mu    sync.Mutex
	asked []string
}

func newHaystack(t *testing.T, b *bench) *haystack {
	t.Helper()
	h := &haystack{dir: filepath.Join(b.dir, "hay"), root: b.root(t), volume: b.volume(t)}
	h.shown = filepath.Join(h.dir, "shown")
	must(t, os.MkdirAll(h.shown, 0o755))
	put(t, h.dir, "secret", "secret", 0o644)
	put(t, h.shown, "public", "public", 0o644)
	put(t, h.shown, "private", "private", 0o600)
	must(t, os.Symlink(filepath.Join(h.dir, "secret"), filepath.Join(h.volume, "absolute")))
	must(t, os.Symlink(strings.Repeat("../", 30)+h.dir+"/secret", filepath.Join(h.volume, "relative")))
	must(t, unix.Mkfifo(filepath.Join(h.shown, "pipe"), 0o666))
	must(t, os.Chmod(filepath.Join(h.shown, "pipe"), 0o666))
	abstract := fmt.Sprintf("outcrop-probes-%d", os.Getpid())
	for _, at := range []string{filepath.Join(h.shown, "socket"), filepath.Join(h.dir, "socket"), "@" + abstract} {
		l, err := net.Listen("unix", at)
		must(t, err)
		t.Cleanup(func() { l.Close() })
		if !strings.HasPrefix(at, "@") {
			must(t, os.Chmod(at, 0o777))
		}
	}
	loopback, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { loopback.Close() })
	all, err := net.Listen("tcp4", ":0")
	must(t, err)
	t.Cleanup(func() { all.Close() })
	var uts unix.Utsname
	must(t, unix.Uname(&uts))
	port := fmt.Sprint(loopback.Addr().(*net.TCPAddr).Port)
	t.Setenv("OUTCROP_TEST_CANARY", "canary-4cf1")
	h.values = map[string]string{
		"secret": filepath.Join(h.dir, "secret"), "dir": b.dir, "socket": filepath.Join(h.dir, "socket"), "abstract": abstract,
		"shm": sharedFile(t), "shmkey": sharedMemory(t), "pid": fmt.Sprint(os.Getpid()), "loopback": loopback.Addr().String(), "port": port,
		"outward": outward(all.Addr().(*net.TCPAddr).Port), "canary": "canary-4cf1",
		"release": unix.ByteSliceToString(uts.Release[:]), "hostname": unix.ByteSliceToString(uts.Nodename[:]),
		"cmdline": line(t, "/proc/cmdline"), "boot": line(t, "/proc/sys/kernel/random/boot_id"),
	}
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// line is what a file of the machine says.
func line(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return strings.TrimSpace(string(text))
}

// sharedFile is a file that every process of the machine may read.
func sharedFile(t testing.TB) string {
	t.Helper()
	path := fmt.Sprintf("/dev/shm/outcrop-probes-%d", os.Getpid())
	must(t, os.WriteFile(path, []byte("secret"), 0o644))
	t.Cleanup(func() { os.Remove(path) })
	return path
}

// sharedMemory is the key of a segment that every process of the machine may
// attach.
func sharedMemory(t testing.TB) string {
	t.Helper()
	key := 0x0c0c0000 | os.Getpid()&0xffff
	id, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|0o666)
	must(t, err)
	t.Cleanup(func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
	return fmt.Sprint(key)
}

// outward is a port of this machine as others reach it; of one that has no other
// address, its loopback.
func outward(port int) string {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return fmt.Sprintf("%s:%d", n.IP, port)
		}
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// Connect implements sandbox.Network: it notes what is asked and refuses it.
func (h *haystack) Connect(_ context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, network+" "+to.String())
	return nil, syscall.ECONNREFUSED
}

// strange is what its network was asked for that no single machine can have.
func (h *haystack) strange() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, a := range h.asked {
		_, address, _ := strings.Cut(a, " ")
		to := netip.MustParseAddrPort(address)
		if !to.Addr().Is4() || to.Addr().IsMulticast() || to.Addr().IsLoopback() || to.Addr().IsUnspecified() || to.Addr() == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || to.Port() == 1 {
			out = append(out, a)
		}
	}
	return out
}

// survey is what guests could have changed of the machine.
func (h *haystack) survey(t testing.TB) string {
	t.Helper()
	host, _ := os.Hostname()
	mounts := slices.DeleteFunc(strings.Split(line(t, "/proc/self/mountinfo"), "\n"), func(m string) bool {
		return strings.Contains(m, " outcrop-test ") // disks of other packages' tests come and go
	})
	return fmt.Sprintf("host %s\n%s\n%s%s%s", host, strings.Join(mounts, "\n"), listing(t, h.shown), listing(t, h.root), line(t, filepath.Join(h.dir, "secret")))
}

// isolationTests are about guests that want out.
func isolationTests() []test {
	return []test{
		{"Probes", testProbes},
		{"Difficult", testDifficult},
		{"HookForged", testHookForged},
		{"HookRefused", testHookRefused},
		{"VolumeTricks", testVolumeTricks},
	}
}
