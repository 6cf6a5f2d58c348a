package gvisor

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
)

const goarch = runtime.GOARCH

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// notOfUser are tests that are long and come out as they do for any user. The
// suite of engines knows by itself which of its own are not.
const notOfUser = "^(TestNoexecDirectory|TestNoexecRoot|TestSnapshotsLeakNothing|TestSaveNearMemoryLimit|TestEmbedded)$"

// TestOrdinaryUser runs the other tests again as a user without privileges: those
// whose outcome may depend on that, nightly all.
func TestOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the tests run as an ordinary user already")
	}
	// The test program is in a directory that nobody else may enter.
	program := filepath.Join(os.Getenv(dirVariable), "ordinary.test")
	copyFile(t, program, "/proc/self/exe")
	home := filepath.Join(os.Getenv(dirVariable), "home")
	for _, dir := range []string{home, os.Getenv(dirVariable) + "/code"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-test.count=1"}
	if !nightly() {
		args = append(args, "-test.skip", notOfUser)
	}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home, dirVariable+"="+os.Getenv(dirVariable)+"/code", ordinaryVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as an ordinary user: %v\n%s", err, failures(string(out)))
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// failures is what failed tests printed, of what a test program printed; all of it
// if it does not say which failed.
func failures(out string) string {
	failed := regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`).FindAllStringSubmatch(out, -1)
	if failed == nil {
		return out
	}
	var said strings.Builder
	printing := ""
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "===" {
			printing = words[2]
		}
		if slices.ContainsFunc(failed, func(f []string) bool { return f[1] == printing }) {
			said.WriteString(line)
		}
	}
	return said.String()
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// A trace is what sandboxes leave on a machine while they run.
type trace struct{ processes, mounts, interfaces []string }

// look finds the processes that run the executable under test, and everything
// else that a sandbox could leave behind.
func look(t testing.TB) trace {
	t.Helper()
	var tr trace
	var want unix.Stat_t
	if err := unix.Stat(os.Getenv(executableVariable), &want); err != nil {
		t.Fatal(err)
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		var got unix.Stat_t
		if unix.Stat(dir+"/exe", &got) == nil && got.Dev == want.Dev && got.Ino == want.Ino {
			line, _ := os.ReadFile(dir + "/cmdline")
			tr.processes = append(tr.processes, filepath.Base(dir)+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	tr.mounts = strings.Split(string(mounts), "\n")
	interfaces, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		tr.interfaces = append(tr.interfaces, i.Name())
	}
	return tr
}

// awaitTrace polls until the machine looks as before.
func awaitTrace(t testing.TB, before trace) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		now := look(t)
		if len(now.processes) == len(before.processes) && slices.Equal(now.mounts, before.mounts) && slices.Equal(now.interfaces, before.interfaces) {
			return
		}
		select {
		case <-late:
			t.Fatalf("the machine looks different:\n%+v\nit was\n%+v", now, before)
		case <-time.After(10 * time.Millisecond): // polls the machine
		}
	}
}

func TestKilledServerLeavesNothing(t *testing.T) {
	before := look(t)
	cmd, _ := copyAs(t, roleServer, nil)
	cmd.Stdout = nil
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	running := look(t)
	if line != "ready\n" || len(running.processes) < len(before.processes)+7 { // a supervisor, three sandboxes, three gofers
		t.Fatalf("the server said %q and runs %q", line, running.processes)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	awaitTrace(t, before)
}

// TestKilledSupervisor: everything ends, and the next start makes a new one.
func TestKilledSupervisor(t *testing.T) {
	before := look(t)
	e := open(t)
	defer e.Close(context.Background())
	s := sleeper(t, e, "a")
	supervisor := e.(*engine).supervisor
	var pid int
	for _, p := range look(t).processes {
		if strings.Contains(p, "outcrop-sandbox supervise") {
			fmt.Sscan(p, &pid)
		}
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatalf("kill supervisor %d: %v", pid, err)
	}
	<-s.Done()
	if got, want := s.Exit(), (sandbox.Status{Cause: sandbox.Destroyed, Code: 137}); got != want {
		t.Errorf("Exit() = %+v, want %+v", got, want)
	}
	<-supervisor.lost
	awaitTrace(t, before)
	s = sleeper(t, e, "a")
	if err := s.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

// TestKilledSandbox: somebody else kills a sandbox's process.
func TestKilledSandbox(t *testing.T) {
	e := open(t)
	defer e.Close(context.Background())
	s, other := sleeper(t, e, "a"), sleeper(t, e, "b")
	var pid int
	for _, p := range look(t).processes {
		if strings.Contains(p, "runsc-sandbox") && strings.HasSuffix(p, fmt.Sprintf("%016x ", 1)) {
			fmt.Sscan(p, &pid)
			break
		}
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatalf("kill sandbox %d: %v", pid, err)
	}
	<-s.Done()
	if got, want := s.Exit(), (sandbox.Status{Cause: sandbox.Destroyed, Code: 137}); got != want {
		t.Errorf("Exit() = %+v, want %+v", got, want)
	}
	if got := other.Exit(); got != (sandbox.Status{}) {
		t.Errorf("the other sandbox ended: %+v", got)
	}
}

func sleeper(t testing.TB, e sandbox.Engine, id string) sandbox.Sandbox {
	t.Helper()
	s, err := e.Start(t.Context(), sandbox.Spec{ID: id, Args: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestNothingLeaks starts and stops fifty, five at once, half of them with a wire
// on which a connection is open, all with a command.
func TestNothingLeaks(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	e := open(t).(*engine)
	round := func(i int) {
		var wg sync.WaitGroup
		for j := range 5 {
			wg.Go(func() {
				spec := sandbox.Spec{ID: fmt.Sprintf("%d-%d", i, j), Args: []string{"sleep", "1000"}}
				var out sandboxtest.Buffer
				if j%2 == 1 {
					spec.Network, spec.Stdout = echoes{}, &out
					spec.Mounts = []sandbox.Mount{{Source: os.Getenv(guestVariable), Target: "/opt/guest"}}
					spec.Args = []string{"/opt/guest", "hold", "1.2.3.4:80"}
				}
				s, err := e.Start(t.Context(), spec)
				if err != nil {
					t.Error(err)
					return
				}
				if spec.Network != nil {
					out.WaitFor(t, "ready\n")
				}
				if _, err := s.Dial(t.Context(), 80); err == nil {
					t.Error("something listens")
				}
				command := sandbox.Command{Args: []string{"true"}}
				if j == 0 {
					command = sandbox.Command{Args: []string{"cat"}, Terminal: &sandbox.Window{}} // ends with its sandbox
				}
				if p, err := s.Execute(t.Context(), command); err != nil {
					t.Error(err)
				} else if j != 0 {
					<-p.Done()
				}
				if err := s.Stop(t.Context(), 0); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	round(0) // warms up
	processes, ours, theirs := counts(t)
	for i := range 10 {
		round(i + 1)
	}
	late := time.After(10 * time.Second)
	for {
		p, o, s := counts(t)
		if p <= processes && o <= ours && s <= theirs {
			break
		}
		select {
		case <-late:
			t.Fatalf("after fifty sandboxes: %d processes, %d descriptors here and %d in the supervisor; before %d, %d and %d", p, o, s, processes, ours, theirs)
		case <-time.After(10 * time.Millisecond): // a last descriptor may be on its way
		}
	}
	leftInSupervisor(t)
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, leaks)
}

// echoes is a network where everything is an echo in memory.
type echoes struct{}

// Connect implements sandbox.Network.
func (echoes) Connect(context.Context, string, netip.AddrPort) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		_, _ = io.Copy(theirs, theirs) // until the guest is gone
		theirs.Close()
	}()
	return ours, nil
}

// leftInSupervisor finds what the supervisor keeps of sandboxes that have ended.
func leftInSupervisor(t *testing.T) {
	t.Helper()
	for _, p := range look(t).processes {
		var pid string
		fmt.Sscan(p, &pid)
		for _, dir := range []string{"/bundles", "/state"} {
			entries, err := os.ReadDir("/proc/" + pid + "/root" + dir)
			if err != nil {
				t.Error(err)
			}
			for _, entry := range entries {
				if strings.Contains(entry.Name(), "0000") { // a sandbox's id
					t.Errorf("%s/%s is left", dir, entry.Name())
				}
			}
		}
	}
}

// counts returns how many processes run the executable, and how many files are
// open here and in the supervisor.
func counts(t *testing.T) (processes, ours, supervisor int) {
	t.Helper()
	tr := look(t)
	for _, p := range tr.processes {
		if strings.Contains(p, "outcrop-sandbox supervise") {
			var pid string
			fmt.Sscan(p, &pid)
			supervisor = descriptors(t, pid)
		}
	}
	return len(tr.processes), descriptors(t, "self"), supervisor
}

func descriptors(t *testing.T, pid string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/" + pid + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestAbandonedConnections: a sandbox's process gives up connections whose
// client left, whole or after a half, even if the guest never closes its end.
func TestAbandonedConnections(t *testing.T) {
	e := open(t)
	defer e.Close(context.Background())
	var out sandboxtest.Buffer
	s, err := e.Start(t.Context(), sandbox.Spec{
		ID: "a", Args: []string{"/opt/guest", "keep", "127.0.0.1:8080"}, Stdout: &out,
		Mounts: []sandbox.Mount{{Source: os.Getenv(guestVariable), Target: "/opt/guest"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	out.WaitFor(t, "ready\n")
	var pid string
	for _, p := range look(t).processes {
		if strings.Contains(p, "runsc-sandbox") && strings.Contains(p, " boot ") {
			fmt.Sscan(p, &pid)
		}
	}
	const n = 50
	before := descriptors(t, pid)
	var open []net.Conn
	for i := range n {
		c, err := s.Dial(t.Context(), 8080)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		open = append(open, c)
	}
	if got := descriptors(t, pid); got < before+n/2 { // some that starting took end meanwhile
		t.Fatalf("with %d connections the sandbox's process has %d descriptors, before %d: this test looks at the wrong one", n, got, before)
	}
	for _, c := range open {
		c.Close()
	}
	late := time.After(10 * time.Second)
	for descriptors(t, pid) > before {
		select {
		case <-late:
			t.Fatalf("the sandbox's process keeps %d descriptors, before %d", descriptors(t, pid), before)
		case <-time.After(10 * time.Millisecond): // polls another process
		}
	}
}

func TestUserNamespacesOff(t *testing.T) {
	cmd, out := copyAs(t, roleNoNamespaces, &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE}, // to switch them off
	})
	err := cmd.Run()
	const fix = "user namespaces are switched off on this machine (user.max_user_namespaces is 0); as root: sysctl -w user.max_user_namespaces=15000, and write that line to /etc/sysctl.d/99-outcrop.conf to keep it\n"
	want := "start sandbox x: sandboxes are not available: " + fix + "user namespaces: " + fix
	if err != nil || out.String() != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, out, want)
	}
}

func TestNoexecDirectory(t *testing.T) {
	needEmbedded(t)
	cmd, out := copyAs(t, roleNoexec, &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	})
	if err := cmd.Run(); err != nil || out.String() != "5\n" {
		t.Errorf("got %v and %q, want the guest's code 5", err, out)
	}
}

func TestProbe(t *testing.T) {
	findings := Probe(t.Context(), Config{Dir: filepath.Join(t.TempDir(), "engine"), Executable: os.Getenv(executableVariable)})
	var names []string
	for _, f := range findings {
		names = append(names, f.Name)
		if !f.OK || f.Detail == "" { // some have a fix that nobody needs
			t.Errorf("%+v, want a detail and nothing that is broken", f)
		}
	}
	want := []string{"kernel", "user namespaces", "AppArmor", "control groups", "open files", "data directory", "sandbox executable", "sandbox self-test"}
	if !slices.Equal(names, want) {
		t.Errorf("the findings are about %q, want %q", names, want)
	}
}

// TestUmask starts a guest for an engine whose umask would keep the guest, who is
// another user, from its own root.
func TestUmask(t *testing.T) {
	e := open(t)
	dir, err := os.MkdirTemp(os.Getenv(dirVariable), "umask-*")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	code := sandboxtest.NewCode(t, dir, os.Getenv(guestVariable))
	var out sandboxtest.Buffer
	old := unix.Umask(0o077)
	s, err := e.Start(t.Context(), sandbox.Spec{ID: "umask", Code: code, Args: []string{sandbox.CodePath + "/guest", "read", "/etc/passwd", "/"}, Stdout: &out})
	unix.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if got := out.String(); !strings.Contains(got, "sandbox:x:") || !strings.Contains(got, "/: directory ") {
		t.Errorf("the guest sees %q", got)
	}
}
