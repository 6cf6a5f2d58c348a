package metadata

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/outcrop/outcrop/internal/sandbox/network"
	"github.com/outcrop/outcrop/internal/sandbox/network/inlet"
)

// Attach lets h answer at the two addresses of a session's network at which AWS's
// SDKs ask. Whoever calls it calls stop before it closes the session; stop returns
// when no connection is served any more.
func Attach(s *network.Session, h *Handler) (stop func()) {
	server := NewServer(h)
	guest := netip.AddrPortFrom(network.Guest, 0)
	var serving sync.WaitGroup
	addresses := []netip.AddrPort{Address, ContainerAddress}
	for _, at := range addresses {
		l := inlet.New(at)
		s.Handle(at, func(ctx context.Context) (net.Conn, error) { return l.Connect(ctx, guest) })
		serving.Go(func() {
			// It ends with http.ErrServerClosed alone: this listener has no
			// other failure.
			_ = server.Serve(l)
		})
	}
	return sync.OnceFunc(func() {
		for _, at := range addresses {
			s.Handle(at, nil)
		}
		_ = server.Close() // of connections within this machine
		serving.Wait()
	})
}

var _ http.Handler = (*Handler)(nil)
