package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
	"github.com/outcrop/outcrop/internal/sandbox/socketpair"
)

const (
	// DefaultConnections is how many connections a guest may have at once where
	// its Spec does not say.
	DefaultConnections = 1024
	// connectTimeout bounds a connection attempt where the network does not. A
	// guest's own patience is about two minutes.
	connectTimeout = 60 * time.Second
)

// hookAddress is the engine's own, where processes of savable guests are told
// that they are copies. No Network is asked for it.
var hookAddress = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 0, 1}), 1)

// cable tells whether a guest gets a wire, and which.
func cable(spec sandbox.Spec) *wire.Cable {
	if spec.Network == nil && !spec.Savable {
		return nil
	}
	c := &wire.Cable{Connections: spec.Limits.Connections, Bandwidth: spec.Limits.Bandwidth}
	if c.Connections == 0 {
		c.Connections = DefaultConnections
	}
	return c
}

// connects answers a guest's wish for a connection. It does not wait.
func (e *engine) connects(l *link, m *wire.Connect) {
	e.mu.Lock()
	g := e.names[m.Sandbox]
	e.mu.Unlock()
	go func() {
		answer := &wire.Connected{Flow: m.Flow}
		var file *os.File
		err := error(sandbox.ErrStopped)
		if g != nil {
			file, err = g.connect(m.Network, m.To)
		}
		if err != nil {
			answer.Refusal = refusal(err)
			_ = l.conn.Send(&wire.Message{Connected: answer}) // a supervisor that is gone needs none
			return
		}
		_ = l.conn.Send(&wire.Message{Connected: answer}, file)
		file.Close()
	}()
}

// connect returns a connected socket for what a guest asks.
func (g *guest) connect(network string, to netip.AddrPort) (*os.File, error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	go func() { // an attempt ends with the guest
		select {
		case <-g.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	if to == hookAddress {
		if network != "tcp" || g.hook == nil {
			return nil, unix.ECONNREFUSED
		}
		ours, theirs, err := socketpair.Conn(socketpair.Stream)
		if err != nil {
			return nil, err
		}
		go g.hook(ours)
		return theirs, nil
	}
	if g.spec.Network == nil {
		return nil, unix.ECONNREFUSED
	}
	conn, err := g.spec.Network.Connect(ctx, network, to)
	if err != nil {
		return nil, err
	}
	return handOver(network, conn)
}

// refusal sorts the reasons why a connection was not made.
func refusal(err error) wire.Kind {
	var timeout net.Error
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return wire.Unreachable
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return wire.TimedOut
	}
	return wire.Refused
}

// handOver turns a connection into a descriptor that the supervisor splices. A
// socket is given away as it is; anything else is copied here, through a pair.
func handOver(network string, conn net.Conn) (*os.File, error) {
	switch c := conn.(type) {
	case *net.TCPConn, *net.UDPConn, *net.UnixConn:
		defer conn.Close()
		return c.(interface{ File() (*os.File, error) }).File()
	}
	ours, theirs, err := socketpair.Conn(socketpair.For(network))
	if err != nil {
		conn.Close()
		return nil, err
	}
	go splice(ours, conn, network == "udp")
	return theirs, nil
}

// splice copies both ways until both sides have ended, or one broke.
func splice(a *net.UnixConn, b net.Conn, datagrams bool) {
	var wg sync.WaitGroup
	one := func(to, from net.Conn) {
		var err error
		if datagrams {
			err = copyDatagrams(to, from)
		} else {
			_, err = io.Copy(to, from)
		}
		if half, ok := to.(interface{ CloseWrite() error }); err == nil && ok && !datagrams {
			err = half.CloseWrite()
			if err == nil {
				return
			}
		}
		a.Close()
		b.Close()
	}
	wg.Go(func() { one(a, b) })
	wg.Go(func() { one(b, a) })
	wg.Wait()
	a.Close()
	b.Close()
}

// copyDatagrams copies one read at a time, until the end or an error. Empty ones
// are dropped: a packet socket takes them for its end.
func copyDatagrams(to, from net.Conn) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || n == 0 && from.LocalAddr().Network() == "unixpacket" {
			return err
		}
		if n == 0 {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil && !errors.Is(err, unix.EMSGSIZE) {
			return err
		}
	}
}

// measure asks what the guest has sent and received.
func (g *guest) measure(ctx context.Context) (wire.Measured, error) {
	g.mu.Lock()
	l, used := g.link, g.used
	g.mu.Unlock()
	select {
	case <-g.done:
		return used, nil
	default:
	}
	if l == nil {
		return used, nil
	}
	m, err := l.ask(ctx, &wire.Message{Measure: &wire.Measure{Sandbox: g.start.Sandbox}})
	var f *wire.Failure
	switch {
	case errors.Is(err, errLost), errors.As(err, &f) && f.Kind == wire.Gone: // it is just ending
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.used, nil
	case err != nil:
		return wire.Measured{}, fmt.Errorf("measure sandbox %s: %w", g.spec.ID, err)
	}
	return *m.Measured, nil
}
