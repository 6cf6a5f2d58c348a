//go:build !unix

package inlet

import "net"

// pair returns two ends of a connection in memory. Where there is no Unix there
// are no sandboxes either; the program is built there for its client half.
func pair() (ours, theirs net.Conn, err error) {
	ours, theirs = net.Pipe()
	return ours, theirs, nil
}

type wireConn struct {
	net.Conn
	local, remote net.Addr
}

func (c *wireConn) LocalAddr() net.Addr  { return c.local }
func (c *wireConn) RemoteAddr() net.Addr { return c.remote }

func named(c net.Conn, local, remote net.Addr) net.Conn { return &wireConn{c, local, remote} }
