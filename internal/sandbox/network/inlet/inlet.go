// Package inlet brings connections that guests open to servers of this process.
//
// A Listener is the net.Listener that http.Server.Serve takes. What arrives on
// it goes the way of every other connection of that server, through the same
// handler: it carries no rights of its own.
package inlet

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"github.com/outcrop/outcrop/internal/sandbox/socketpair"
)

// Listener accepts the connections that Connect makes. It is safe for concurrent
// use.
type Listener struct {
	addr   net.Addr
	ready  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// New returns a Listener; addr is what guests call the server.
func New(addr netip.AddrPort) *Listener {
	return &Listener{addr: net.TCPAddrFromAddrPort(addr), ready: make(chan net.Conn), closed: make(chan struct{})}
}

// Connect returns the guest's end of a new connection whose other end Accept
// returns, with guest as its remote address. It is a socket, so that its
// descriptor can be given away. The error is net.ErrClosed after Close, ctx's
// when it ends before the connection was accepted, or that of making sockets.
func (l *Listener) Connect(ctx context.Context, guest netip.AddrPort) (net.Conn, error) {
	ours, theirs, err := socketpair.Conns(socketpair.Stream)
	if err != nil {
		return nil, err
	}
	select {
	case l.ready <- &wireConn{ours, l.addr, net.TCPAddrFromAddrPort(guest)}:
		return theirs, nil
	case <-l.closed:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	_, _ = ours.Close(), theirs.Close() // nobody has them
	return nil, err
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed: // first, so that nothing is accepted after Close
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that were accepted live on.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.addr }

var _ net.Listener = (*Listener)(nil)

// wireConn is a socket under the addresses of a guest's wire.
type wireConn struct {
	*net.UnixConn
	local, remote net.Addr
}

func (c *wireConn) LocalAddr() net.Addr  { return c.local }
func (c *wireConn) RemoteAddr() net.Addr { return c.remote }
