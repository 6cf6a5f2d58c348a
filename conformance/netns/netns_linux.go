package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// insideVariable names the test that runs in namespaces of its own.
const insideVariable = "OUTCROP_TEST_INSIDE"

// Hosts is the file that tells where names lead.
const Hosts = "/etc/hosts"

// Inside is true in the process that runs the calling test in namespaces of its own: it
// has loopback, a hosts file of its own, and the name server at an address, or none where
// that is empty. Outside it starts that process, tells of it, and is false. It takes root.
// What prepare does, outside, gives more of the environment; nil does nothing.
func Inside(t *testing.T, nameServer string, prepare func() (env []string)) bool {
	t.Helper()
	if os.Getenv(insideVariable) == t.Name() {
		if err := isolate(t.TempDir(), nameServer); err != nil {
			t.Fatal(err)
		}
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to have a network of its own with the addresses and ports of others")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), insideVariable+"="+t.Name())
	if prepare != nil {
		cmd.Env = append(cmd.Env, prepare()...)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the death signal comes when the thread ends that started it
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && cmd.ProcessState == nil && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC)):
		t.Skipf("this machine lets root make no namespaces: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Errorf("it did not run\n%s", out)
	default:
		t.Logf("%s", out)
	}
	return false
}

// isolate makes the process's namespaces those of a machine of its own.
func isolate(dir, nameServer string) error {
	resolver := ""
	if nameServer != "" {
		resolver = "nameserver " + nameServer + "\noptions timeout:1 attempts:1\n"
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts from the machine: %w", err)
	}
	for file, text := range map[string]string{Hosts: "127.0.0.1 localhost\n::1 localhost\n", "/etc/resolv.conf": resolver} {
		own := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(own, []byte(text), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(own, file, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", file, err)
		}
	}
	return up("lo")
}

// Link is what joins the two namespaces, by its name in the test's own.
const Link, linkOfOthers = "ours", "theirs"

// Beside makes another namespace, with addresses (10.77.0.2/24), joined with that of the
// process, which has addresses of its own. serve starts whoever is there; it is called in
// the other namespace, and what it listens on stays there. All ends with the process.
func Beside(own, others []string, serve func() error) error {
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: Link}, PeerName: linkOfOthers}); err != nil {
		return fmt.Errorf("make veth pair: %w", err)
	}
	made, thread, moved := make(chan error, 1), make(chan int, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: it stays there, and what it listens on
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- fmt.Errorf("make the others' namespace: %w", err)
			return
		}
		thread <- unix.Gettid()
		<-moved
		err := errors.Join(up("lo"), up(linkOfOthers, others...))
		if err == nil {
			err = serve()
		}
		made <- err
	}()
	select {
	case err := <-made:
		return err
	case tid := <-thread:
		if err := move(linkOfOthers, tid); err != nil {
			return err
		}
	}
	// Addresses of the other side show up only on links that are up at both ends.
	if err := errors.Join(up("lo"), up(Link, own...)); err != nil {
		return err
	}
	close(moved)
	return <-made
}

// move gives a link to the network namespace of a thread.
func move(name string, tid int) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", tid))
	if err != nil {
		return err
	}
	defer ns.Close()
	return netlink.LinkSetNsFd(link, int(ns.Fd()))
}

// up sets an interface up, with addresses.
func up(name string, addresses ...string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	for _, text := range addresses {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		a.Flags = unix.IFA_F_NODAD // it is there at once
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("add %s to %s: %w", text, name, err)
		}
	}
	return netlink.LinkSetUp(link)
}
