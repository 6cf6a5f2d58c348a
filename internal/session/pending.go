package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// pendingNetwork is that of a guest that may have no session yet: nothing is reached
// until it is bound.
type pendingNetwork struct {
	bound atomic.Pointer[sandbox.Network]
}

var errNoSession = errors.New("the guest has no session yet")

// Connect implements sandbox.Network.
func (p *pendingNetwork) Connect(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	n := p.bound.Load()
	if n == nil {
		return nil, fmt.Errorf("connect to %s: %w", to, errNoSession)
	}
	return (*n).Connect(ctx, network, to)
}

// bind leads to a session's network from here on. Nil is none.
func (p *pendingNetwork) bind(to sandbox.Network) {
	if to != nil {
		p.bound.Store(&to)
	}
}

// maxPending is what is kept of each output of a guest without a session, in bytes.
const maxPending = 64 << 10

// pendingOutput keeps what a guest says that may have no session yet, for the one
// that it gets. What exceeds maxPending is lost, and counted.
type pendingOutput struct {
	mu    sync.Mutex
	kept  []byte
	lost  int
	bound bool
	to    io.Writer
}

// Write implements io.Writer.
func (p *pendingOutput) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.bound {
		n := min(len(b), maxPending-len(p.kept))
		p.kept = append(p.kept, b[:n]...)
		p.lost += len(b) - n
	} else if p.to != nil {
		return p.to.Write(b)
	}
	return len(b), nil
}

// bind gives a session's writer what was kept, and all that comes. Nil drops it.
func (p *pendingOutput) bind(to io.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bound, p.to = true, to
	if to != nil {
		_, _ = to.Write(p.kept) // a writer that has had enough says so again
	}
	if to != nil && p.lost > 0 {
		_, _ = fmt.Fprintf(to, "\noutcrop: %d bytes that the agent wrote before the session began were not kept\n", p.lost)
	}
	p.kept = nil
}
