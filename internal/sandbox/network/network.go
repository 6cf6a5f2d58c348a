// Package network decides what guests reach, and answers at the addresses that
// are Outcrop's own on every guest's wire.
//
// A Session is the network of one sandbox. It sees a guest's connections one by
// one, before they are made, and dials the very address that it has checked: how
// a guest came by an address does not matter, so that no answer of a name server
// can lead it somewhere else. Names are resolved by a server on the wire, which
// knows what it has answered; with a list of allowed names, only those addresses
// are reached.
//
// IPv4 only: guests have no other address, and AAAA records are answered empty.
package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// dialTimeout bounds a connection attempt: no longer than Linux would try.
const dialTimeout = 120 * time.Second

// Config is what a session's network needs.
type Config struct {
	// Policy says what is reached.
	Policy Policy
	// Own reports which names are Outcrop's: they are resolved to the gateway, before
	// anybody is asked and under every policy. It is given them in lower case, without
	// the dot at their end. Nil is none.
	Own func(ctx context.Context, name string) bool
	// Resolver answers the other names; nil knows none. A profile's own takes
	// precedence.
	Resolver Resolver
	// Machine knows the addresses of this machine, which stay closed. It is
	// shared by all sessions.
	Machine *Machine
	// Dial connects; nil is a net.Dialer's DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Note is told, once for each destination, what the guest was refused. It may
	// be called concurrently and does not wait. Nil drops it.
	Note func(Refusal)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// A Session is the network of one sandbox. Its methods may be called
// concurrently.
type Session struct {
	cfg      Config
	answered answers
	noted    notes
	vain     notes // names that were asked for in vain
	queries  *rate.Limiter
	inFlight chan struct{}
	dnsConns chan struct{} // a token for each connection to the name server

	ctx    context.Context // ends with the session
	cancel context.CancelFunc
	served sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	handlers map[netip.AddrPort]Handler
}

var _ sandbox.Network = (*Session)(nil)

// New returns the network of a sandbox. Whoever calls it closes it.
func New(cfg Config) (*Session, error) {
	if err := cfg.Policy.validate(); err != nil {
		return nil, err
	}
	if cfg.Machine == nil {
		return nil, errors.New("make network: the machine's addresses are not known")
	}
	if p := cfg.Policy.Profile; p != nil && p.Resolver != nil {
		cfg.Resolver = p.Resolver
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Session{
		cfg: cfg, handlers: map[netip.AddrPort]Handler{},
		queries: rate.NewLimiter(queriesPerSecond, queriesAtOnce), inFlight: make(chan struct{}, queriesInFlight),
		dnsConns: make(chan struct{}, dnsConnections),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Connect implements sandbox.Network. Its errors say what kept the guest.
func (s *Session) Connect(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if c, ok, err := s.own(ctx, network, to); ok {
		return c, err
	}
	names := s.answered.names(to.Addr(), s.cfg.Now())
	if r := s.refuse(network, to, names); r != nil {
		s.note(*r)
		return nil, r
	}
	c, err := s.cfg.Dial(ctx, network+"4", to.String())
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to, err)
	}
	if toItself(c) && !s.cfg.Policy.opens(to) {
		c.Close()
		r := refusal(network, to, names, reasonMachine, s.cfg.Policy.fixAlone(network, to))
		s.note(*r)
		return nil, r
	}
	return c, nil
}

// toItself tells whether the kernel delivers a connection to this machine. It
// takes a local destination as the source, too, whatever made it local: an
// address that the interfaces do not list, or one that is a moment old.
func toItself(c net.Conn) bool {
	local, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return false // no address at all
	}
	remote, err := netip.ParseAddrPort(c.RemoteAddr().String())
	return err == nil && local.Addr() == remote.Addr()
}

// Close ends what the session itself answers. Connections that it has dialled
// are the guest's.
func (s *Session) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.served.Wait()
}
