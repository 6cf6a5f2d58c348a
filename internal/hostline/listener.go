package hostline

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// handshakeTime is how long the handshake of TLS may take.
const handshakeTime = 10 * time.Second

// Listen returns l for an http.Server, with connections whose first head may say
// its Host twice. Those in the clear come as they are accepted. A *tls.Conn comes
// after its handshake: as itself when it speaks HTTP/2, which http.Server knows by
// its type, or when the handshake failed, which http.Server is told by it.
func Listen(l net.Listener) net.Listener {
	return &listener{Listener: l, ready: make(chan accepted), done: make(chan struct{}), shaking: map[net.Conn]struct{}{}}
}

type listener struct {
	net.Listener
	begin sync.Once
	ready chan accepted
	end   sync.Once
	done  chan struct{}

	mu      sync.Mutex
	shaking map[net.Conn]struct{}
	running sync.WaitGroup
}

type accepted struct {
	conn net.Conn
	err  error
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.begin.Do(func() { l.start(l.accept) })
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// accept takes connections from below until the listener is closed.
func (l *listener) accept() {
	for {
		c, err := l.Listener.Accept()
		if conn, ok := c.(*tls.Conn); ok && err == nil {
			if !l.shake(conn) {
				_ = conn.Close() // nobody will serve it
				return
			}
			continue
		}
		if err == nil {
			c = inClear(c)
		}
		if !l.give(accepted{c, err}) {
			return
		}
	}
}

// start runs f, unless the end has come.
func (l *listener) start(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return false
	default:
	}
	l.running.Go(f)
	return true
}

// give passes a connection or an error on, unless the end has come.
func (l *listener) give(a accepted) bool {
	select {
	case l.ready <- a:
		return true
	case <-l.done:
		if a.err == nil {
			_ = a.conn.Close() // nobody will serve it
		}
		return false
	}
}

// shake has the handshake made beside others.
func (l *listener) shake(c *tls.Conn) bool {
	return l.start(func() {
		if !l.enter(c) {
			_ = c.Close() // nobody will serve it
			return
		}
		err := c.SetDeadline(time.Now().Add(handshakeTime))
		if err == nil {
			err = c.Handshake()
		}
		if err == nil {
			err = c.SetDeadline(time.Time{})
		}
		l.leave(c)
		if err == nil && c.ConnectionState().NegotiatedProtocol != "h2" {
			l.give(accepted{conn: &sealed{Conn: c}})
			return
		}
		l.give(accepted{conn: c})
	})
}

func (l *listener) enter(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return false
	default:
	}
	l.shaking[c] = struct{}{}
	return true
}

func (l *listener) leave(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.shaking, c)
}

// Close implements net.Listener. It returns when nothing of it runs any more;
// connections that were accepted live on.
func (l *listener) Close() error {
	var err error
	l.end.Do(func() {
		l.mu.Lock()
		close(l.done)
		for c := range l.shaking {
			_ = c.Close() // its handshake ends
		}
		l.mu.Unlock()
		err = l.Listener.Close()
		l.running.Wait()
	})
	return err
}
