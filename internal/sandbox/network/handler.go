package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
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

// connectDNS returns a connection to the session's name server.
func (s *Session) connectDNS(network string) (net.Conn, error) {
	guest, ours, err := pair(network)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", DNS, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		guest.Close()
		ours.Close()
		return nil, net.ErrClosed
	}
	if network == "tcp" {
		s.served.Go(func() { s.serveStream(ours) })
	} else {
		s.served.Go(func() { s.servePackets(ours) })
	}
	return guest, nil
}
