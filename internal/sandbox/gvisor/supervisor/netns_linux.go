package supervisor

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/supervisor/uplink"
)

// newNetNS makes a network namespace that has nothing but a loopback interface,
// up: runsc copies the state of its interfaces at boot, and with lo down even
// 127.0.0.1 answers "Network is unreachable" inside. With cable there is a wire
// besides, and its far end is returned. A guest that is passed through to the
// namespace finds nothing of the wire in it but its near end.
func newNetNS(cable, passthrough bool) (ns, far *os.File, err error) {
	onThread(func() {
		if ns, err = enterNewNetNS(); err != nil {
			return
		}
		if passthrough {
			err = openToGuest()
		}
		if err == nil && cable {
			far, err = plugInto(ns, passthrough)
		}
		if err != nil {
			ns.Close()
		}
	})
	return ns, far, err
}

// plugInto makes a wire whose near end is in ns, which the thread is in. Its far end
// is there too or, apart, in a namespace that only the wire's socket keeps.
func plugInto(ns *os.File, apart bool) (*os.File, error) {
	if !apart {
		return uplink.Plug(nil)
	}
	if err := unshareNet(); err != nil {
		return nil, err
	}
	return uplink.Plug(ns)
}

// openToGuest has the namespace's kernel do for a guest without any capability what
// gVisor's network stack does: listen on all ports, and ping.
func openToGuest() error {
	var err error
	for _, set := range []struct {
		name   string
		values []string // until one is taken
	}{
		{"ip_unprivileged_port_start", []string{"0"}},
		// All groups of the user namespace: nobody's is the last, or there is but one.
		{"ping_group_range", []string{"0 65534", "0 0"}},
		// What is in them is the machine's memory.
		{"tcp_rmem", []string{"4096 131072 1048576"}},
		{"tcp_wmem", []string{"4096 65536 1048576"}},
	} {
		for _, value := range set.values {
			if err = os.WriteFile("/proc/sys/net/ipv4/"+set.name, []byte(value), 0); err == nil {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("open network namespace to its guest: %w", err)
		}
	}
	return nil
}

// socketIn makes a TCP socket in a network namespace. It stays there whoever uses it.
func socketIn(ns *os.File) (*os.File, error) {
	raw, err := ns.SyscallConn()
	if err != nil {
		return nil, err
	}
	var made int
	var failed error
	onThread(func() {
		err = raw.Control(func(fd uintptr) { failed = unix.Setns(int(fd), unix.CLONE_NEWNET) })
		if err == nil && failed == nil {
			made, failed = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("make socket in network namespace: %w", err)
	}
	return os.NewFile(uintptr(made), "connection"), nil
}

// onThread calls f on a thread that may enter namespaces: it is never given back,
// and ends afterwards.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// unshareNet moves the thread into a new network namespace, in which interfaces but
// the loopback get no IPv6 addresses: nobody answers them.
func unshareNet() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("make network namespace: %w", err)
	}
	return nil
}

func enterNewNetNS() (*os.File, error) {
	if err := unshareNet(); err != nil {
		return nil, err
	}
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("set loopback up: %w", err)
	}
	defer unix.Close(sock)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return nil, fmt.Errorf("set loopback up: %w", err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(sock, unix.SIOCSIFFLAGS, lo); err != nil {
		return nil, fmt.Errorf("set loopback up: %w", err)
	}
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	return file, nil
}
