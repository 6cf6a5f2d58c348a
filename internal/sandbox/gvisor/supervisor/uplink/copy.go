//go:build linux

package uplink

import (
	"io"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// bufferBytes holds the longest datagram.
const bufferBytes = 64 << 10

// buffers are shared by all wires, and held only while bytes move: a connection
// that is open and silent has none.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, bufferBytes)
	return &b
}}

func takeBuffer() *[]byte  { return buffers.Get().(*[]byte) }
func giveBuffer(b *[]byte) { buffers.Put(b) }

// rawConn is a connection whose descriptor can be waited for.
type rawConn interface {
	SyscallConn() (syscall.RawConn, error)
}

// readReady waits until there is something to read and returns it in a buffer,
// which the caller gives back unless there is an error.
func readReady(raw syscall.RawConn) (buf *[]byte, n int, err error) {
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		b := takeBuffer()
		for {
			n, failed = unix.Read(int(fd), *b)
			if failed != unix.EINTR {
				break
			}
		}
		if failed != nil {
			giveBuffer(b)
			return failed != unix.EAGAIN
		}
		buf = b
		return true
	})
	if err == nil {
		err = failed
	}
	return buf, n, err
}

// payload is bytes as a stack takes them.
type payload []byte

// Read implements io.Reader.
func (p *payload) Read(b []byte) (int, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(b, *p)
	*p = (*p)[n:]
	return n, nil
}

// Len implements tcpip.Payloader.
func (p *payload) Len() int { return len(*p) }
