package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// conn is a connection to a server. One request at a time is on its way there.
type conn struct {
	net.Conn
	address string
	pool    *pool
	raw     syscall.RawConn // nil where there is no socket
	in      *bufio.Reader
	// left is how much of the head of an answer may still come, in bytes, of at most max.
	left, max int64
	since     time.Time // when it fell idle
}

func newConn(c net.Conn, address string, p *pool, maxHeader int64) *conn {
	out := &conn{Conn: c, address: address, pool: p, left: math.MaxInt64, max: maxHeader}
	if socket, ok := c.(syscall.Conn); ok {
		out.raw, _ = socket.SyscallConn() // without one it is not kept
	}
	out.in = bufio.NewReader(out)
	return out
}

// Read implements io.Reader, for in.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("server response headers exceeded %d bytes; aborted", c.max)
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// exchange sends a request and reads the head of its answer. The connection ends with the
// request's context. After an error, sent tells whether a byte of the request has left.
func (c *conn) exchange(r *http.Request, text []byte) (a *http.Response, sent bool, err error) {
	ctx := r.Context()
	forget := context.AfterFunc(ctx, func() { _ = c.Close() })
	n, err := c.Write(text)
	if err == nil {
		a, err = c.answer(r)
	}
	if err != nil {
		forget()
		_ = c.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, n > 0, err
	}
	b := &body{ReadCloser: a.Body, ctx: ctx, conn: c, forget: forget, last: a.Close}
	if a.Body == http.NoBody {
		b.finish(true)
	} else {
		a.Body = b
	}
	return a, true, nil
}

// maxInterim is how many heads may come before that of the answer.
const maxInterim = 5

// answer reads the head of the answer.
func (c *conn) answer(r *http.Request) (*http.Response, error) {
	c.left = c.max
	for range maxInterim {
		a, err := readResponse(c.in, r)
		switch {
		case err != nil:
			return nil, err
		case a.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("malformed HTTP response: the server switches to a protocol that it was not asked for")
		case a.StatusCode < http.StatusContinue || a.StatusCode >= http.StatusOK:
			c.left = math.MaxInt64
			return a, nil
		}
	}
	return nil, fmt.Errorf("malformed HTTP response: more than %d interim ones", maxInterim)
}

// pool are the connections that nobody uses, by address, each list with the longest idle
// first.
type pool struct {
	max     int
	timeout time.Duration

	mu        sync.Mutex
	byAddress map[string][]*conn
	sweeping  bool // a timer runs
}

// take returns the connection that was used last, of those that their server has neither
// closed nor written to since.
func (p *pool) take(address string) *conn {
	for {
		c := p.last(address)
		if c == nil || time.Since(c.since) < p.timeout && c.quiet() {
			return c
		}
		_ = c.Close()
	}
}

func (p *pool) last(address string) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.byAddress[address]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	list[len(list)-1] = nil
	p.byAddress[address] = list[:len(list)-1]
	return c
}

// put keeps a connection.
func (p *pool) put(c *conn) {
	c.since = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.byAddress[c.address]) >= p.max || c.raw == nil {
		_ = c.Close()
		return
	}
	p.byAddress[c.address] = append(p.byAddress[c.address], c)
	if !p.sweeping {
		p.sweeping = true
		time.AfterFunc(p.timeout, p.sweep)
	}
}

// sweep closes what has been idle for too long, and comes again when the next will have
// been: soon, but not for each.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.timeout
	for address, list := range p.byAddress {
		n := 0
		for n < len(list) && time.Since(list[n].since) >= p.timeout {
			_ = list[n].Close()
			n++
		}
		if len(list) == n {
			delete(p.byAddress, address)
			continue
		}
		p.byAddress[address] = append(list[:0:0], list[n:]...)
		next = min(next, p.timeout-time.Since(list[n].since))
	}
	if p.sweeping = len(p.byAddress) > 0; p.sweeping {
		time.AfterFunc(max(next, p.timeout/8), p.sweep)
	}
}

// clear closes all.
func (p *pool) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.byAddress {
		for _, c := range list {
			_ = c.Close()
		}
	}
	clear(p.byAddress)
}

// maxText is how large a buffer is kept, in bytes.
const maxText = maxBody + 16<<10

// text returns an empty buffer.
func (t *Transport) text() *bytes.Buffer {
	b, ok := t.texts.Get().(*bytes.Buffer)
	if !ok || b.Cap() > maxText {
		return &bytes.Buffer{}
	}
	b.Reset()
	return b
}
