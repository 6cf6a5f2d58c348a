//go:build unix

package http1

import (
	"errors"
	"syscall"
)

// quiet tells whether nothing has come since the last answer: neither the connection's
// end nor what nobody asked for.
func (c *conn) quiet() bool {
	var quiet bool
	err := c.raw.Read(func(socket uintptr) bool {
		var b [1]byte
		_, err := syscall.Read(int(socket), b[:]) // the socket does not block
		quiet = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && quiet
}
