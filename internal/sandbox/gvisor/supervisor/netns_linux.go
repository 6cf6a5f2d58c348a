package supervisor

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/supervisor/uplink"
)

// newNetNS makes a network namespace that has nothing but a loopback interface,
// up: runsc copies the state of its interfaces at boot, and with lo down even
// 127.0.0.1 answers "Network is unreachable" inside. With cable there is a wire
// besides, and its far end is returned.
func newNetNS(cable bool) (ns, far *os.File, err error) {
	type result struct {
		ns, far *os.File
		err     error
	}
	made := make(chan result)
	go func() {
		// The thread enters the namespace and is never given back: it ends with
		// this goroutine.
		runtime.LockOSThread()
		var r result
		r.ns, r.err = enterNewNetNS()
		if r.err == nil && cable {
			if r.far, r.err = uplink.Plug(); r.err != nil {
				r.ns.Close()
			}
		}
		made <- r
	}()
	r := <-made
	return r.ns, r.far, r.err
}

func enterNewNetNS() (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("make network namespace: %w", err)
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
