package supervisor

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/supervisor/uplink"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// plug makes a guest's network namespace, and its wire where it has one.
func (s *supervisor) plug(g *guest, cable *wire.Cable, passthrough bool) (*os.File, error) {
	ns, far, err := newNetNS(cable != nil, passthrough)
	if err != nil {
		return nil, err
	}
	if passthrough {
		g.mu.Lock()
		g.passed = ns
		g.mu.Unlock()
	}
	if cable == nil {
		return ns, nil
	}
	link, err := uplink.Link(far)
	if err != nil {
		ns.Close()
		far.Close()
		return nil, err
	}
	u, err := uplink.New(uplink.Config{
		Connect: func(ctx context.Context, network string, to netip.AddrPort) (*os.File, error) {
			return s.asks.connect(ctx, s.conn, &wire.Connect{Sandbox: g.id, Network: network, To: to})
		},
		Connections: cable.Connections, Bandwidth: cable.Bandwidth, Shared: s.connections,
	}, link)
	if err != nil {
		ns.Close()
		return nil, err
	}
	g.mu.Lock()
	g.uplink = u
	g.mu.Unlock()
	return ns, nil
}

// sparedFiles are open files that connections leave to everything else: what
// comes without one that the process could take is lost with the socket to the
// engine.
const sparedFiles = 512

// connectionSlots are as many connections as the process may have files for. Each
// has a socket, and another one for a moment when it is made.
func connectionSlots() uplink.Slots {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return uplink.NewSlots(sparedFiles)
	}
	return uplink.NewSlots(int(max(min(limit.Cur, 1<<20), 2*sparedFiles)-sparedFiles) / 2)
}

// network is the kind of the guest's network stack, as runsc calls it.
func (g *guest) network() string {
	if g.passed != nil {
		return "host"
	}
	return "sandbox"
}

// unplug ends the guest's wire, if it has one.
func (g *guest) unplug() {
	if g.uplink != nil {
		g.uplink.Close()
	}
	if g.passed != nil {
		g.passed.Close()
	}
}

// disconnect breaks the guest's connections off, as being saved has done inside.
func (g *guest) disconnect() {
	if g.uplink != nil {
		g.uplink.Reset()
	}
}

// measure tells what the guest has used.
func (g *guest) measure() wire.Measured {
	g.mu.Lock()
	u, m := g.uplink, g.used
	g.mu.Unlock()
	m = g.usage(m)
	if u != nil {
		m.Sent, m.Received = u.Counts()
	}
	g.mu.Lock()
	g.used = m
	g.mu.Unlock()
	return m
}

// measure answers a request to measure. The guest's kernel is asked, which may
// take as long as it wants.
func (s *supervisor) measure(id string) (*wire.Measured, error) {
	g := s.find(id)
	if g == nil {
		return nil, gone(id)
	}
	m := g.measure()
	return &m, nil
}

// asks are the connections that guests wait for.
type asks struct {
	mu      sync.Mutex
	flow    uint64
	waiting map[uint64]chan connected
}

type connected struct {
	file *os.File
	err  error
}

// connect asks the engine for a connected socket.
func (a *asks) connect(ctx context.Context, conn *wire.Conn, m *wire.Connect) (*os.File, error) {
	c := make(chan connected, 1)
	a.mu.Lock()
	if a.waiting == nil {
		a.waiting = map[uint64]chan connected{}
	}
	a.flow++
	m.Flow = a.flow
	a.waiting[m.Flow] = c
	a.mu.Unlock()
	if err := conn.Send(&wire.Message{Connect: m}); err != nil {
		a.forget(m.Flow)
		return nil, err
	}
	select {
	case r := <-c:
		return r.file, r.err
	case <-ctx.Done():
		a.forget(m.Flow)
		select {
		case r := <-c: // just before
			if r.file != nil {
				r.file.Close()
			}
		default:
		}
		return nil, context.Cause(ctx)
	}
}

func (a *asks) forget(flow uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, flow)
}

// answer hands what the engine sent to whoever waits for it.
func (a *asks) answer(m *wire.Connected, files []*os.File) {
	var r connected
	switch {
	case m.Refusal == wire.Unreachable:
		r.err = uplink.Unreachable
	case m.Refusal == wire.TimedOut:
		r.err = uplink.TimedOut
	case m.Refusal != "":
		r.err = uplink.Refused
	case len(files) != 1:
		r.err = fmt.Errorf("connection %d came with %d files", m.Flow, len(files))
	default:
		r.file, files = files[0], nil
	}
	for _, f := range files {
		f.Close()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.waiting[m.Flow]
	if ok {
		delete(a.waiting, m.Flow)
		c <- r
	} else if r.file != nil {
		r.file.Close()
	}
}
