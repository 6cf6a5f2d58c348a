package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/outcrop/outcrop/internal/sandbox/socketpair"
)

// A Handler returns the guest's end of a connection that it has opened to an
// address of Outcrop's; ctx bounds the call alone. inlet.Listener has what one
// does.
type Handler func(ctx context.Context) (net.Conn, error)

// Handle lets h answer TCP connections to an address, whatever the policy says.
// Nil takes it back.
func (s *Session) Handle(at netip.AddrPort, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h == nil {
		delete(s.handlers, at)
		return
	}
	s.handlers[at] = h
}

// own returns a connection to Outcrop itself. ok is false when the destination
// is none of its addresses.
func (s *Session) own(ctx context.Context, network string, to netip.AddrPort) (c net.Conn, ok bool, err error) {
	if to == DNS {
		c, err = s.connectDNS(network)
		return c, true, err
	}
	s.mu.Lock()
	h := s.handlers[to]
	s.mu.Unlock()
	if h == nil || network != "tcp" {
		return nil, false, nil
	}
	c, err = h(ctx)
	if err != nil {
		return nil, true, fmt.Errorf("connect to %s: %w", to, err)
	}
	return c, true, nil
}

// errBusy is what a guest gets that has too many connections to the name server.
var errBusy = errors.New("too many connections to the name server")

// connectDNS returns a connection to the session's name server.
func (s *Session) connectDNS(network string) (net.Conn, error) {
	select {
	case s.dnsConns <- struct{}{}:
	default:
		return nil, errBusy
	}
	// Sockets both, so that an engine can hand the guest's over instead of copying.
	guest, ours, err := socketpair.Conns(socketpair.For(network))
	if err != nil {
		<-s.dnsConns
		return nil, fmt.Errorf("connect to %s: %w", DNS, err)
	}
	serve := s.servePackets
	if network == "tcp" {
		serve = s.serveStream
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		<-s.dnsConns
		guest.Close()
		ours.Close()
		return nil, net.ErrClosed
	}
	s.served.Go(func() {
		defer func() { <-s.dnsConns }()
		serve(ours)
	})
	return guest, nil
}
