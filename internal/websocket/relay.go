// Package websocket passes WebSocket connections (RFC 6455) from a client to a
// server behind us, frame by frame and unchanged, and holds their bounds.
//
// Both ends have agreed with each other, key, protocols and extensions included;
// nothing here looks into what frames carry.
package websocket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound a connection; a zero one bounds nothing.
type Limits struct {
	FrameBytes      int64 // payload of one frame, either way
	FramesPerSecond int   // either way; a second's worth may come at once
	Life            time.Duration
}

// A Violation ended a connection that kept to no bound.
type Violation struct {
	ByClient bool
	Code     uint16
	Reason   string // names the bound
}

// Error returns the reason.
func (v *Violation) Error() string { return v.Reason }

// The ends of connections besides those in order.
var (
	// ErrServerGone: the server's end broke without a closing frame.
	ErrServerGone = errors.New("the connection ended without a closing frame")
	// ErrLife: the connection lived as long as it may.
	ErrLife = errors.New("the connection has lived as long as it may")
)

// closing is how long the other side has to answer a closing frame, or to take
// one.
const closing = 5 * time.Second

// Lingering is how long a client that was closed for what it sends may go on
// sending: a connection that is closed with something unread is reset, and the
// closing frame is lost with it.
const Lingering = time.Second

// bufferBytes is what is held of a connection each way.
const bufferBytes = 16 << 10

// Relay passes frames between a client and a server until one of them closes the
// connection, breaks a limit, or ctx ends; that one's cause is told to both as
// GoingAway. It closes both. The error is nil for a connection that was closed in
// order or that the client left, a *Violation, ErrServerGone, ErrLife or ctx's cause.
func Relay(ctx context.Context, client, server io.ReadWriteCloser, l Limits) error {
	if l.Life > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, l.Life, ErrLife)
		defer cancel()
	}
	c, s := newSide(client, true), newSide(server, false)
	defer s.conn.Close()
	defer c.conn.Close()
	ended := make(chan error, 2)
	go func() { ended <- pump(c, s, l) }()
	go func() { ended <- pump(s, c, l) }()
	left := 2
	defer func() {
		c.conn.Close()
		s.conn.Close()
		for ; left > 0; left-- {
			<-ended
		}
	}()
	var err error
	select {
	case err = <-ended:
		left--
	case <-ctx.Done():
		err = context.Cause(ctx)
		code := uint16(GoingAway)
		if errors.Is(err, ErrLife) {
			code = PolicyViolation
		}
		c.close(code, err.Error())
		s.close(code, err.Error())
		return err
	}
	var v *Violation
	switch {
	case errors.Is(err, errClosed): // the other side answers
		late := time.NewTimer(closing)
		defer late.Stop()
		select {
		case <-ended:
			left--
		case <-late.C:
		case <-ctx.Done():
		}
		return nil
	case errors.As(err, &v):
		c.close(v.Code, v.Reason)
		s.close(v.Code, v.Reason)
		if v.ByClient {
			c.drain()
		}
		return err
	case errors.Is(err, errServer):
		c.close(InternalError, ErrServerGone.Error())
		return ErrServerGone
	}
	return nil // the client left
}

// What ends a pump in one direction.
var (
	errClosed = errors.New("a closing frame was passed on")
	errClient = errors.New("the client's end broke")
	errServer = errors.New("the server's end broke")
)

// A side is one end of a connection.
type side struct {
	conn   io.ReadWriteCloser
	client bool
	r      *bufio.Reader

	mu     sync.Mutex // holds for a whole frame
	w      *bufio.Writer
	closed bool // a closing frame was sent to it
}

func newSide(conn io.ReadWriteCloser, client bool) *side {
	return &side{conn: conn, client: client, r: bufio.NewReaderSize(conn, bufferBytes), w: bufio.NewWriterSize(conn, bufferBytes)}
}

func (s *side) broke() error {
	if s.client {
		return errClient
	}
	return errServer
}

// pump passes frames one way.
func pump(from, to *side, l Limits) error {
	pace := rate.NewLimiter(rate.Inf, 0)
	if l.FramesPerSecond > 0 {
		pace = rate.NewLimiter(rate.Limit(l.FramesPerSecond), l.FramesPerSecond)
	}
	for {
		h, err := readHeader(from.r)
		switch {
		case errors.Is(err, errFrame), err == nil && h.masked() != from.client:
			return &Violation{from.client, ProtocolError, errFrame.Error()}
		case err != nil:
			return from.broke()
		case l.FrameBytes > 0 && h.data > l.FrameBytes:
			return &Violation{from.client, MessageTooBig, fmt.Sprintf("a frame has %d bytes, at most %d are allowed", h.data, l.FrameBytes)}
		case !pace.Allow():
			return &Violation{from.client, PolicyViolation, fmt.Sprintf("more than %d frames came in a second", l.FramesPerSecond)}
		}
		if err := to.pass(&h, from); err != nil {
			return err
		}
	}
}

// pass writes a frame whose header was read from another side.
func (s *side) pass(h *header, from *side) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if _, err := s.w.Write(h.bytes[:h.length]); err != nil {
		return s.broke()
	}
	if n, err := io.CopyN(s.w, from.r, h.data); err != nil {
		if n < h.data && s.w.Flush() == nil {
			return from.broke()
		}
		return s.broke()
	}
	s.closed = h.opcode() == opClose
	if s.closed || from.r.Buffered() == 0 { // else more goes out with it
		if s.w.Flush() != nil {
			return s.broke()
		}
	}
	if s.closed {
		return errClosed
	}
	return nil
}

// close sends a closing frame, unless one was sent or the side takes nothing.
func (s *side) close(code uint16, reason string) {
	late := time.AfterFunc(closing, func() { s.conn.Close() })
	defer late.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if _, err := s.w.Write(closeFrame(code, reason, !s.client)); err == nil {
		_ = s.w.Flush() // it is closed next
	}
}

// drain drops what still comes, until the other side closes or Lingering is over.
func (s *side) drain() {
	late := time.AfterFunc(Lingering, func() { s.conn.Close() })
	defer late.Stop()
	_, _ = io.Copy(io.Discard, s.r)
}
