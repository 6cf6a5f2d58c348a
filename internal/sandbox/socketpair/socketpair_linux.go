// Package socketpair makes connected Unix sockets: what is handed to another
// process as a descriptor, with its other end here.
package socketpair

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A Kind says how the bytes go.
type Kind int

// The kinds. Packets keep the bounds of what was written, and tell of their end,
// unlike datagrams.
const (
	Stream  Kind = unix.SOCK_STREAM
	Packets Kind = unix.SOCK_SEQPACKET
)

// For returns what carries a network of package net: "udp" needs Packets.
func For(network string) Kind {
	if network == "udp" {
		return Packets
	}
	return Stream
}

// Files returns both ends, closed on exec and not blocking.
func Files(kind Kind) (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, int(kind)|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "socketpair"), os.NewFile(uintptr(fds[1]), "socketpair"), nil
}

// Conn returns an end to use here and a file to give away.
func Conn(kind Kind) (ours *net.UnixConn, theirs *os.File, err error) {
	file, theirs, err := Files(kind)
	if err != nil {
		return nil, nil, err
	}
	if ours, err = use(file); err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// Conns returns both ends to use here.
func Conns(kind Kind) (a, b *net.UnixConn, err error) {
	a, file, err := Conn(kind)
	if err != nil {
		return nil, nil, err
	}
	if b, err = use(file); err != nil {
		a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

// use takes file over.
func use(file *os.File) (*net.UnixConn, error) {
	defer file.Close() // the connection has a descriptor of its own
	c, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("use socket pair: %w", err)
	}
	return c.(*net.UnixConn), nil // what else could it be
}
