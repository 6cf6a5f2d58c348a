//go:build linux

package uplink

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// udpIdle is how long a flow is kept after its last datagram; queries of
	// names, each from a port of its own, have no use for that long.
	udpIdle  = 60 * time.Second
	dnsIdle  = 6 * time.Second // more than a resolver waits until it asks again
	dnsPort  = 53
	udpYoung = time.Second // a flow that was used within this time is not ended for another
)

// A udpKey tells a guest's flows apart.
type udpKey struct {
	port uint16 // the guest's
	to   netip.AddrPort
}

// A udpFlow splices the datagrams between a guest's port and one destination
// with a socket of the machine.
type udpFlow struct {
	uplink *Uplink
	id     stack.TransportEndpointID
	guest  tcpip.Endpoint
	queue  waiter.Queue // of guest
	used   atomic.Int64 // when, in ns of the Unix epoch
	idle   time.Duration
	timer  *time.Timer

	ctx    context.Context // ends with the flow
	cancel context.CancelFunc

	forgotten bool // under the uplink's mu: the slot was given back

	mu   sync.Mutex
	host net.Conn // nil until it is connected
	over bool
}

// acceptUDP answers the first datagram of a flow; later ones go to the endpoint
// that it makes. It is called by the one who reads the wire and must not wait.
func (u *Uplink) acceptUDP(r *udp.ForwarderRequest) bool {
	if !u.arrivals.Allow() || !u.enter() {
		return true
	}
	if !u.take() && !(u.evict() && u.take()) {
		go func() {
			defer u.flows.Done()
			u.unreachable(r.ID(), header.ICMPv4PortUnreachable)
		}()
		return true
	}
	f := &udpFlow{uplink: u, id: r.ID(), idle: udpIdle}
	if r.ID().LocalPort == dnsPort {
		f.idle = dnsIdle
	}
	f.ctx, f.cancel = context.WithCancel(u.ctx)
	ep, terr := r.CreateEndpoint(&f.queue)
	if terr != nil {
		f.cancel()
		u.release()
		u.flows.Done()
		return true
	}
	f.guest = ep
	f.used.Store(time.Now().UnixNano())
	u.mu.Lock()
	u.udp[f.key()] = f
	u.mu.Unlock()
	go f.run()
	return true
}

func (f *udpFlow) key() udpKey {
	return udpKey{f.id.RemotePort, netip.AddrPortFrom(netip.AddrFrom4(f.id.LocalAddress.As4()), f.id.LocalPort)}
}

// evict ends the flow that was silent for longest and waits for its slot, if it
// was silent for long enough.
func (u *Uplink) evict() bool {
	u.mu.Lock()
	var oldest *udpFlow
	for _, f := range u.udp {
		if oldest == nil || f.used.Load() < oldest.used.Load() {
			oldest = f
		}
	}
	u.mu.Unlock()
	if oldest == nil || time.Since(time.Unix(0, oldest.used.Load())) < udpYoung {
		return false
	}
	oldest.end()
	oldest.forget()
	return true
}

// forget gives the flow's slot back, once. Another flow may have its key by then.
func (f *udpFlow) forget() {
	u := f.uplink
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.udp[f.key()] == f {
		delete(u.udp, f.key())
	}
	if !f.forgotten {
		f.forgotten = true
		u.release()
	}
}

// end ends the flow at once.
func (f *udpFlow) end() {
	f.cancel()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return
	}
	f.over = true
	if f.host != nil {
		f.host.Close()
	}
	f.guest.Close()
}

// run returns when nothing of the flow is left.
func (f *udpFlow) run() {
	defer f.uplink.flows.Done()
	defer f.forget()
	defer f.end()
	stop := context.AfterFunc(f.ctx, f.end)
	defer stop()
	host, err := f.uplink.connect(f.ctx, "udp", f.id)
	if err != nil {
		f.refuse(err)
		return
	}
	raw, ok := host.(rawConn)
	f.mu.Lock()
	if f.over || !ok {
		f.mu.Unlock()
		host.Close()
		return
	}
	f.host = host
	f.timer = time.AfterFunc(f.idle, f.end)
	f.mu.Unlock()
	defer f.timer.Stop()
	down := make(chan struct{})
	go func() {
		defer close(down)
		defer f.end()
		if err := f.download(raw); errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EHOSTUNREACH) {
			f.refuse(err)
		}
	}()
	f.upload()
	f.end()
	<-down
}

// refuse tells the guest why nothing comes back.
func (f *udpFlow) refuse(err error) {
	switch {
	case f.ctx.Err() != nil || errors.Is(err, TimedOut):
	case errors.Is(err, Unreachable) || errors.Is(err, unix.EHOSTUNREACH):
		f.uplink.unreachable(f.id, header.ICMPv4HostUnreachable)
	default:
		f.uplink.unreachable(f.id, header.ICMPv4PortUnreachable)
	}
}

// touch puts the end of an idle flow off.
func (f *udpFlow) touch() {
	f.used.Store(time.Now().UnixNano())
	f.timer.Reset(f.idle)
}

// upload copies datagrams from the guest. What the network does not take is
// lost, as it would be there.
func (f *udpFlow) upload() {
	wait, ready := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	f.queue.EventRegister(&wait)
	defer f.queue.EventUnregister(&wait)
	_, packets := f.host.(*net.UnixConn)
	for {
		buf := takeBuffer()
		w := tcpip.SliceWriter(*buf)
		res, terr := f.guest.Read(&w, tcpip.ReadOptions{})
		var err error
		// An empty datagram would be an end of file to a Unix socket.
		if n := res.Count; terr == nil && (n > 0 || !packets) {
			f.touch()
			f.uplink.sent.Add(int64(n))
			if err = f.uplink.pace(f.uplink.upRate, n); err == nil {
				_, err = f.host.Write((*buf)[:n])
			}
		}
		giveBuffer(buf)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, unix.EPIPE) || f.ctx.Err() != nil {
			return
		}
		switch terr.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			select {
			case <-ready:
			case <-f.ctx.Done():
				return
			}
		default:
			return
		}
	}
}

// download copies datagrams to the guest.
func (f *udpFlow) download(host rawConn) error {
	raw, err := host.SyscallConn()
	if err != nil {
		return err
	}
	_, packets := host.(*net.UnixConn)
	for {
		buf, n, err := readReady(raw)
		if err != nil {
			return err
		}
		if n == 0 && packets {
			giveBuffer(buf)
			return nil
		}
		f.touch()
		if err = f.uplink.pace(f.uplink.downRate, n); err == nil {
			r := payload((*buf)[:n])
			f.uplink.received.Add(int64(n))                // before the guest can know
			_, _ = f.guest.Write(&r, tcpip.WriteOptions{}) // what does not fit is lost
		}
		giveBuffer(buf)
		if err != nil {
			return err
		}
	}
}
