// Package gate bounds the connections of strangers: of callers who have not shown
// who they are and of whom no request is under way. A server gives each a buffer
// for a header and time to send it, so that without a bound whoever opens
// connections faster than they run out of time takes all of its memory and
// descriptors.
//
// What is let in stays in as long as there is room. At the bound the stranger who
// has been silent for longest goes, and only after Patience: a request that has
// come is read within that, so a crowd of clients that connect at once waits in
// the kernel's queue and loses nobody.
//
// Callers who were let in by their credentials, and requests that are being
// answered, are nobody's business here.
package gate

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// The bounds of a Gate whose Config leaves them out.
const (
	DefaultStrangers = 1024
	DefaultPatience  = 250 * time.Millisecond
)

// Config of a Gate; the zero value is good.
type Config struct {
	// Strangers is how many may be connected and silent.
	Strangers int
	// Patience is how long each of them may be silent in any case.
	Patience time.Duration
	// Shut is told of every connection that had to go, with how many there were
	// since the start; nil is nobody.
	Shut func(address net.Addr, total int64)
}

// Gate counts the strangers of one server. It is safe for concurrent use.
type Gate struct {
	cfg   Config
	freed chan struct{} // holds one: somebody has left the list

	mu     sync.Mutex
	silent *list.List // of *visitor, longest silent first
	shut   int64
}

// New returns a Gate that is open.
func New(cfg Config) *Gate {
	if cfg.Strangers == 0 {
		cfg.Strangers = DefaultStrangers
	}
	if cfg.Patience == 0 {
		cfg.Patience = DefaultPatience
	}
	if cfg.Shut == nil {
		cfg.Shut = func(net.Addr, int64) {}
	}
	return &Gate{cfg: cfg, freed: make(chan struct{}, 1), silent: list.New()}
}

// visitor is a connection.
type visitor struct {
	gate *Gate
	conn net.Conn

	// Guarded by the gate's mutex.
	place   *list.Element // among the silent, or nil
	since   time.Time     // when it fell silent
	running int           // requests
	known   bool
	gone    bool
}

// guest is a connection that was let in.
type guest interface{ who() *visitor }

// tcp tells its visitor that it was closed. It has all methods of a TCP connection,
// by which the kernel sends files.
type tcp struct {
	*net.TCPConn
	visitor *visitor
}

// Close implements net.Conn.
func (c *tcp) Close() error {
	c.visitor.leave()
	return c.TCPConn.Close()
}

func (c *tcp) who() *visitor { return c.visitor }

// other is tcp for connections of another kind.
type other struct {
	net.Conn
	visitor *visitor
}

// Close implements net.Conn.
func (c *other) Close() error {
	c.visitor.leave()
	return c.Conn.Close()
}

// CloseWrite tells the other side that nothing follows, where the connection can.
func (c *other) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *other) who() *visitor { return c.visitor }

// listener lets connections in.
type listener struct {
	net.Listener
	gate *Gate
	done chan struct{}
	end  func()
}

// Listen returns l behind the gate.
func (g *Gate) Listen(l net.Listener) net.Listener {
	done := make(chan struct{})
	return &listener{Listener: l, gate: g, done: done, end: sync.OnceFunc(func() { close(done) })}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.end()
	return l.Listener.Close()
}

// Accept implements net.Listener. At the bound it waits, for Patience at most.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	for {
		wait := l.gate.makeRoom()
		if wait == 0 {
			break
		}
		timer := time.NewTimer(wait)
		select {
		case <-l.gate.freed:
		case <-timer.C:
		case <-l.done:
			timer.Stop()
			_ = c.Close() // nobody will serve it
			return nil, net.ErrClosed
		}
		timer.Stop()
	}
	v := &visitor{gate: l.gate, conn: c}
	v.fallSilent()
	if c, ok := c.(*net.TCPConn); ok {
		return &tcp{c, v}, nil
	}
	return &other{c, v}, nil
}

// makeRoom shuts out who has been silent for long enough until there is room, and
// returns how long it is until it could do so; 0 when there is room.
func (g *Gate) makeRoom() (wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.silent.Len() >= g.cfg.Strangers {
		v := g.silent.Front().Value.(*visitor)
		if left := g.cfg.Patience - time.Since(v.since); left > 0 {
			return left
		}
		v.remove()
		v.gone = true
		g.shut++
		_ = v.conn.Close() // its reader sees the end
		g.cfg.Shut(v.conn.RemoteAddr(), g.shut)
	}
	return 0
}

// remove takes a visitor from the silent; the caller holds the lock.
func (v *visitor) remove() {
	if v.place == nil {
		return
	}
	v.gate.silent.Remove(v.place)
	v.place = nil
	select {
	case v.gate.freed <- struct{}{}:
	default:
	}
}

func (v *visitor) fallSilent() {
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	v.since = time.Now()
	v.place = v.gate.silent.PushBack(v)
}

func (v *visitor) leave() {
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	v.gone = true
	v.remove()
}

// begin and end are those of a request.
func (v *visitor) begin() {
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	v.running++
	v.remove()
}

func (v *visitor) end() {
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	v.running--
	if v.running == 0 && !v.known && !v.gone {
		v.since = time.Now()
		v.place = v.gate.silent.PushBack(v)
	}
}

type visitorKey struct{}

// Context is for http.Server.ConnContext: Handler finds a request's connection by it,
// below TLS too.
func Context(ctx context.Context, c net.Conn) context.Context {
	for {
		switch below := c.(type) {
		case guest:
			return context.WithValue(ctx, visitorKey{}, below.who())
		case interface{ NetConn() net.Conn }:
			c = below.NetConn()
		default:
			return ctx
		}
	}
}

// Handler tells requests from silence, on the connections of every Gate.
func Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, ok := r.Context().Value(visitorKey{}).(*visitor)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		v.begin()
		defer v.end()
		next.ServeHTTP(w, r)
	})
}

// Known says that the caller of a request has shown who they are: their connection
// is no stranger's from then on.
func Known(ctx context.Context) {
	v, ok := ctx.Value(visitorKey{}).(*visitor)
	if !ok {
		return
	}
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	v.known = true
}
