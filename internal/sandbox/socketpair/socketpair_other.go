//go:build !linux

// Package socketpair makes connected Unix sockets. Sandboxes need Linux; elsewhere
// there are none.
package socketpair

import (
	"errors"
	"net"
)

// A Kind says how the bytes go.
type Kind int

// Stream is the one kind.
const Stream Kind = 0

// For returns what carries a network of package net.
func For(string) Kind { return Stream }

// Conns fails.
func Conns(Kind) (a, b *net.UnixConn, err error) {
	return nil, nil, errors.ErrUnsupported
}
