// Package http1 is the client side of HTTP/1.1 without TLS for requests that are small
// and known: each is written, and its answer read, in the goroutine of whoever asks.
//
// Each connection of net/http's Transport has a goroutine that writes and one that reads,
// so that a request is handed over three times until its answer is back. For what a
// gateway does (a small message there, a small one back) these hand-overs are what most
// of its time goes to. What is done here is to write requests, to keep the connections, and
// to read answers of the common kind, just as net/http makes them. Other answers are still
// net/http's to read.
//
// All else is left to another http.RoundTripper: TLS, and with it HTTP/2; upgrades; bodies
// that are large, or that somebody is still sending (those without GetBody), since a server
// may answer meanwhile.
package http1

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a Transport is made with. All members are required.
type Config struct {
	// Dial connects to an address such as example.org:80.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Next takes the requests that are not taken here.
	Next http.RoundTripper
	// MaxIdle is how many connections to one address are kept for what is asked next, and
	// IdleTimeout how long.
	MaxIdle     int
	IdleTimeout time.Duration
	// MaxHeader bounds the head of an answer, in bytes.
	MaxHeader int64
}

// Transport is an http.RoundTripper. It is safe for concurrent use.
type Transport struct {
	cfg  Config
	idle pool
	// texts are *bytes.Buffer, for requests as they are sent.
	texts sync.Pool
}

// New returns a Transport without connections.
func New(cfg Config) *Transport {
	return &Transport{cfg: cfg, idle: pool{max: cfg.MaxIdle, timeout: cfg.IdleTimeout, byAddress: map[string][]*conn{}}}
}

// RoundTrip implements http.RoundTripper. A request is sent again only where not a byte
// of it has left, on a connection that its server had closed.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !fits(r) {
		return t.cfg.Next.RoundTrip(r)
	}
	text := t.text()
	defer t.texts.Put(text)
	if err := write(text, r); err != nil { // it closes the body
		return nil, err
	}
	address := addressOf(r)
	for {
		c, kept, err := t.connection(r.Context(), address)
		if err != nil {
			return nil, err
		}
		a, sent, err := c.exchange(r, text.Bytes())
		if err == nil || sent || !kept || r.Context().Err() != nil {
			return a, err
		}
	}
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (t *Transport) CloseIdleConnections() {
	t.idle.clear()
	if next, ok := t.cfg.Next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

// addressOf is where a request's server listens.
func addressOf(r *http.Request) string {
	port := r.URL.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(r.URL.Hostname(), port)
}

// connection returns one that is kept, and otherwise a new one.
func (t *Transport) connection(ctx context.Context, address string) (c *conn, kept bool, err error) {
	if c := t.idle.take(address); c != nil {
		return c, true, nil
	}
	dialled, err := t.cfg.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, false, err
	}
	return newConn(dialled, address, &t.idle, t.cfg.MaxHeader), false, nil
}

// body is an answer's, which gives its connection back when it has been read to its end.
type body struct {
	io.ReadCloser // knows where the end is
	ctx           context.Context
	conn          *conn
	forget        func() bool // ends what ends the connection with ctx
	last          bool        // there is no other answer on the connection
	finished      atomic.Bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		b.finish(true)
	case err != nil:
		b.finish(false)
		if b.ctx.Err() != nil {
			err = context.Cause(b.ctx)
		}
	}
	return n, err
}

// Close implements io.Closer. It may be called while another goroutine reads, which then
// meets an error.
func (b *body) Close() error {
	b.finish(false)
	return nil
}

// finish gives the connection back, once, or closes it.
func (b *body) finish(whole bool) {
	if b.finished.Swap(true) {
		return
	}
	if alone := b.forget(); alone && whole && !b.last && b.conn.in.Buffered() == 0 {
		b.conn.pool.put(b.conn)
	} else {
		_ = b.conn.Close()
	}
}
