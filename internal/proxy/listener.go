package proxy

import (
	"net"
	"sync"
)

// handover is a listener whose connections somebody else has accepted.
type handover struct {
	ready  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandover() *handover {
	return &handover{ready: make(chan net.Conn), closed: make(chan struct{})}
}

// give waits until the connection is accepted, and closes it when it never will be.
func (h *handover) give(c net.Conn) {
	select {
	case h.ready <- c:
	case <-h.closed:
		_ = c.Close() // nobody has it
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.ready:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that were accepted live on.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return handoverAddr{} }

type handoverAddr struct{}

func (handoverAddr) Network() string { return "proxy" }
func (handoverAddr) String() string  { return "proxy" }

var _ net.Listener = (*handover)(nil)

// limited is a listener with so many connections open at most. The next one waits
// in the kernel's queue.
type limited struct {
	net.Listener
	room   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener, most int) *limited {
	return &limited{Listener: l, room: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &counted{Conn: c, leave: func() { <-l.room }}, nil
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// counted is a connection of a limited listener.
type counted struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.leave)
	return err
}

// NetConn is the connection below.
func (c *counted) NetConn() net.Conn { return c.Conn }

// CloseWrite tells the other side that nothing follows.
func (c *counted) CloseWrite() error { return closeWrite(c.Conn) }
