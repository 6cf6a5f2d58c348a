package network

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// pair returns the two ends of a connection, sockets both, so that an engine can
// hand the guest's over instead of copying. Packets keep their bounds.
func pair(network string) (a, b net.Conn, err error) {
	kind := unix.SOCK_STREAM
	if network == "udp" {
		kind = unix.SOCK_SEQPACKET // which tells of its end, unlike datagrams
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	a, aerr := conn(fds[0])
	b, berr := conn(fds[1])
	if err := errors.Join(aerr, berr); err != nil {
		for _, c := range []net.Conn{a, b} {
			if c != nil {
				c.Close()
			}
		}
		return nil, nil, fmt.Errorf("use socket pair: %w", err)
	}
	return a, b, nil
}

func conn(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "pair")
	defer file.Close()
	return net.FileConn(file)
}
