package gvisor

import (
	"context"
	"maps"
	"net"
	"slices"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// A throughConn is a connection to a guest that is passed through to the machine's
// network stack, which would keep it over a save.
type throughConn struct {
	*conn
	guest *guest
}

// dialThrough returns a socket of the guest's network namespace, connected.
func (g *guest) dialThrough(ctx context.Context, port uint16) (net.Conn, error) {
	file, err := g.link.askFile(ctx, &wire.Message{Dial: &wire.Dial{Sandbox: g.start.Sandbox, Port: port}})
	if err != nil {
		return nil, translate(err)
	}
	c, err := newConn(file, addr{g.spec.ID, port})
	if err != nil {
		return nil, err
	}
	t := &throughConn{c, g}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = map[*throughConn]struct{}{}
	}
	g.open[t] = struct{}{}
	return t, nil
}

// Close closes the connection.
func (t *throughConn) Close() error {
	t.guest.mu.Lock()
	delete(t.guest.open, t)
	t.guest.mu.Unlock()
	return t.conn.Close()
}

// connections are those to the guest that a save breaks and nobody else does.
func (g *guest) connections() []*throughConn {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.open))
}
