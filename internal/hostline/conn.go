package hostline

import (
	"crypto/tls"
	"io"
	"net"
	"slices"
)

// first reads a connection's first head, and after that says so.
type first struct {
	over bool   // what comes is read from the connection
	held []byte // read from it and not passed on
	head head
}

// chunk is how much of a head is read at once, in bytes.
const chunk = 4 << 10

// read reads from r until it is known what is to pass, and passes that. What is no
// handshake passes without a copy.
func (f *first) read(r io.Reader, p []byte) (int, error) {
	if f.held == nil {
		n, err := r.Read(p)
		v := more
		if n > 0 {
			v = f.head.scan(p[:n])
		}
		switch v {
		case drop:
			f.over = true
			return n - f.cut(p[:n]), err
		case leave:
			f.over = true
			return n, err
		}
		if n == 0 || err != nil { // the reader's business, and so is what follows
			f.over = err != nil
			return n, err
		}
		f.held = append(f.held, p[:n]...)
		f.hold(r)
	}
	n := copy(p, f.held)
	if f.held = f.held[n:]; len(f.held) == 0 {
		f.over, f.held = true, nil
	}
	return n, nil
}

// hold reads until the head is known. Its reader meets an error of r's once more,
// after what came before it.
func (f *first) hold(r io.Reader) {
	for len(f.held) < maxHead {
		f.held = slices.Grow(f.held, chunk)
		n, err := r.Read(f.held[len(f.held):min(cap(f.held), maxHead)])
		f.held = f.held[:len(f.held)+n]
		if n > 0 {
			switch f.head.scan(f.held) {
			case drop:
				f.held = f.held[:len(f.held)-f.cut(f.held)]
				return
			case leave:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut leaves the second Host out and returns how many bytes that were.
func (f *first) cut(b []byte) int {
	copy(b[f.head.from:], b[f.head.to:])
	return f.head.to - f.head.from
}

// clear is a connection in the clear.
type clear struct {
	net.Conn
	first first
}

// Read implements net.Conn.
func (c *clear) Read(p []byte) (int, error) {
	if c.first.over {
		return c.Conn.Read(p)
	}
	return c.first.read(c.Conn, p)
}

// NetConn is the connection below.
func (c *clear) NetConn() net.Conn { return c.Conn }

// CloseWrite tells the client that nothing follows.
func (c *clear) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// sending is clear over a connection by which the kernel sends files.
type sending struct {
	clear
	io.ReaderFrom
}

// inClear wraps a connection that was accepted.
func inClear(c net.Conn) net.Conn {
	if from, ok := c.(io.ReaderFrom); ok {
		return &sending{clear{Conn: c}, from}
	}
	return &clear{Conn: c}
}

// sealed is a connection under TLS whose handshake is over. http.Server asks it for
// its ConnectionState.
type sealed struct {
	*tls.Conn
	first first
}

// Read implements net.Conn.
func (c *sealed) Read(p []byte) (int, error) {
	if c.first.over {
		return c.Conn.Read(p)
	}
	return c.first.read(c.Conn, p)
}
