package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// tunnel is a connection to somewhere else.
type tunnel struct {
	client, far net.Conn
	idle        *time.Timer
	once        sync.Once
}

// tunnel opens one and keeps it until an end closes it.
func (p *Proxy) tunnel(ctx context.Context, w http.ResponseWriter, t target) {
	tun := &tunnel{}
	if !p.begin(tun) {
		refuse(w, http.StatusServiceUnavailable, "%d tunnels are open, which is as many as this proxy keeps.", maxTunnels)
		return
	}
	defer p.finish(tun)
	far, err := p.dial(ctx, t)
	if err != nil {
		p.cfg.Log.Debug("tunnel not opened", "target", t.String(), "error", err)
		status := http.StatusBadGateway
		if denied := (*deniedError)(nil); errors.As(err, &denied) {
			status = http.StatusForbidden
		}
		refuse(w, status, "No connection to %s: %v.", t, err)
		return
	}
	client, err := take(w)
	if err != nil {
		_ = far.Close() // nobody has it
		return
	}
	if !p.attach(tun, client, far) {
		_, _ = client.Close(), far.Close() // the server ends
		return
	}
	tun.run()
}

// begin counts a tunnel, unless there are too many or the end has come.
func (p *Proxy) begin(t *tunnel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || len(p.tunnels) >= maxTunnels {
		return false
	}
	p.tunnels[t] = struct{}{}
	p.running.Add(1)
	return true
}

// attach gives a tunnel its connections, unless the end has come.
func (p *Proxy) attach(t *tunnel, client, far net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		t.client, t.far = client, far
		t.idle = time.AfterFunc(idleTime, t.close)
	}
	return !p.ended
}

func (p *Proxy) finish(t *tunnel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tunnels, t)
	p.running.Done()
}

// endTunnels closes them all and waits until they are gone.
func (p *Proxy) endTunnels() {
	p.mu.Lock()
	p.ended = true
	for t := range p.tunnels {
		if t.client != nil {
			t.close()
		}
	}
	p.mu.Unlock()
	p.running.Wait()
}

// run copies both ways until both are through.
func (t *tunnel) run() {
	var both sync.WaitGroup
	both.Go(func() { t.copy(t.far, t.client) })
	both.Go(func() { t.copy(t.client, t.far) })
	both.Wait()
	t.close()
}

// copy takes one way. Its end is passed on, and the other way goes on.
func (t *tunnel) copy(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		t.idle.Reset(idleTime)
		if n > 0 {
			if _, writeErr := to.Write(buf[:n]); writeErr != nil {
				t.close()
				return
			}
		}
		if errors.Is(err, io.EOF) {
			if closeWrite(to) != nil {
				t.close()
			}
			return
		}
		if err != nil {
			t.close()
			return
		}
	}
}

func (t *tunnel) close() {
	t.once.Do(func() {
		t.idle.Stop()
		_, _ = t.client.Close(), t.far.Close() // both ends learn of it
	})
}

// closeWrite tells the other side that nothing follows.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// deniedError says that a tunnel may not end at an address.
type deniedError struct {
	addr netip.Addr
	what string
}

func (e *deniedError) Error() string { return e.addr.String() + " is " + e.what }

// control looks at the address that is really dialled, whatever its name resolved
// to before.
func (p *Proxy) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return p.deny(a.Addr())
}

// denied keeps tunnels from what is reached because of who this server is: its own
// loopback, where a client on this machine can go by itself, and the services on
// the link that hand a cloud's machine its credentials.
func denied(a netip.Addr) error {
	a = a.Unmap()
	switch {
	case a.IsLoopback(), a.IsUnspecified():
		return &deniedError{a, "this machine itself, which needs no proxy: add it to NO_PROXY"}
	case a.IsLinkLocalUnicast(), a == awsMetadata6():
		return &deniedError{a, "link-local, where clouds hand out credentials of this machine"}
	case a.IsMulticast():
		return &deniedError{a, "a multicast address"}
	}
	return nil
}

// awsMetadata6 is EC2's metadata service in IPv6, which is not link-local.
func awsMetadata6() netip.Addr { return netip.MustParseAddr("fd00:ec2::254") }
