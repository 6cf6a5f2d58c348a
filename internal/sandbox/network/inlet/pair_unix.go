//go:build unix

package inlet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// pair returns two ends of a socket pair.
func pair() (ours, theirs *net.UnixConn, err error) {
	syscall.ForkLock.RLock() // not every Unix can make them close-on-exec
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	ours, err = conn(fds[0])
	theirs, err2 := conn(fds[1])
	if err = errors.Join(err, err2); err != nil {
		for _, c := range []*net.UnixConn{ours, theirs} {
			if c != nil {
				_ = c.Close() // the error is told already
			}
		}
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	return ours, theirs, nil
}

// conn takes fd over.
func conn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "inlet")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("it is no Unix socket"), c.Close())
	}
	return u, nil
}

// wireConn is a socket under the addresses of a guest's wire.
type wireConn struct {
	*net.UnixConn
	local, remote net.Addr
}

func (c *wireConn) LocalAddr() net.Addr  { return c.local }
func (c *wireConn) RemoteAddr() net.Addr { return c.remote }

func named(c *net.UnixConn, local, remote net.Addr) net.Conn { return &wireConn{c, local, remote} }
