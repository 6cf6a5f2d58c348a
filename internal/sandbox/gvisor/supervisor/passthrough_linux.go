package supervisor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// dialInto connects to a guest that is passed through to its network namespace. The
// engine gets the socket: nobody copies what goes over it.
func (s *supervisor) dialInto(id string, port uint16) (*os.File, error) {
	g := s.find(id)
	if g == nil {
		return nil, gone(id)
	}
	g.saving.RLock()
	defer g.saving.RUnlock()
	g.mu.Lock()
	ns := g.passed
	g.mu.Unlock()
	if ns == nil {
		return nil, fmt.Errorf("sandbox %s is not passed through to its network namespace", id)
	}
	file, err := socketIn(ns)
	if err == nil {
		if err = connectLoopback(file, port); err == nil {
			return file, nil
		}
		file.Close()
	}
	switch {
	case !g.runs(): // its namespace may outlive it, or not
		return nil, gone(id)
	case errors.Is(err, unix.ECONNREFUSED):
		return nil, &wire.Failure{Kind: wire.Refused, Text: fmt.Sprintf("port %d", port)}
	}
	return nil, fmt.Errorf("dial port %d of sandbox %s: %w", port, id, err)
}

// runs tells whether there is a process of the sandbox.
func (g *guest) runs() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pid != 0
}

// connectLoopback connects a socket that does not block. It waits where the
// listener's queue is full, for callTimeout.
func connectLoopback(file *os.File, port uint16) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	if err := file.SetWriteDeadline(time.Now().Add(callTimeout)); err != nil {
		return err
	}
	to := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: int(port)}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		failed = unix.Connect(int(fd), to)
		switch failed {
		case unix.EINPROGRESS, unix.EALREADY, unix.EINTR:
			return false
		case unix.EISCONN:
			failed = nil
		}
		return true
	})
	return errors.Join(err, failed)
}
