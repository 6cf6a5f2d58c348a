//go:build linux

package uplink

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// acceptTCP answers a guest's SYN, in a goroutine of its own. The connection is
// made before the guest's is accepted, so that the guest meets a refusal or a
// silence as it would on the network itself.
func (u *Uplink) acceptTCP(r *tcp.ForwarderRequest) {
	if !u.enter() {
		r.Complete(false)
		return
	}
	defer u.flows.Done()
	if !u.arrivals.Allow() {
		r.Complete(false)
		return
	}
	if !u.take() {
		r.Complete(true)
		return
	}
	defer u.release()
	host, err := u.connect(u.ctx, "tcp", r.ID())
	if err != nil {
		// Silence lets the guest's SYN be sent again, and tried again here.
		r.Complete(!errors.Is(err, TimedOut) && u.ctx.Err() == nil)
		return
	}
	defer host.Close()
	f := &tcpFlow{uplink: u}
	stream, ok := host.(stream)
	if !ok {
		r.Complete(true)
		return
	}
	f.host = stream
	id := r.ID()
	late := time.AfterFunc(handshakeTimeout, func() { u.giveUp(id) })
	ep, terr := r.CreateEndpoint(&f.queue)
	late.Stop()
	r.Complete(false)
	if terr != nil {
		breakOff(host) // the guest gave up, or never answered
		return
	}
	f.guest = ep
	f.run()
}

// giveUp ends the handshake of a connection.
func (u *Uplink) giveUp(id stack.TransportEndpointID) {
	e := u.stack.FindTransportEndpoint(ipv4.ProtocolNumber, tcp.ProtocolNumber, id, nicID)
	if ep, ok := e.(*tcp.Endpoint); ok && ep.EndpointState() == tcp.StateSynRecv {
		ep.Abort()
	}
}

// A stream is what all connected stream sockets are.
type stream interface {
	net.Conn
	rawConn
	CloseWrite() error
}

// A tcpFlow splices a guest's connection with one of the machine's.
type tcpFlow struct {
	uplink *Uplink
	guest  tcpip.Endpoint
	queue  waiter.Queue // of guest
	host   stream
	over   sync.Once
}

// run returns when nothing of the connection is left.
func (f *tcpFlow) run() {
	stop := context.AfterFunc(f.uplink.ctx, f.abort)
	defer stop()
	f.keepAlive()
	if n := share(len(f.uplink.slots)); n < receiveBytes {
		f.guest.SocketOptions().SetReceiveBufferSize(n, true)
		f.guest.SocketOptions().SetSendBufferSize(n, true)
	}
	down := make(chan struct{})
	go func() {
		defer close(down)
		if f.download() != nil {
			f.abort()
		}
	}()
	if f.upload() != nil {
		f.abort()
	}
	f.awaitEnd(down)
	f.guest.Close()
}

// share is how many bytes one of so many connections may hold each way.
func share(connections int) int64 {
	return min(max(wireBytes/2/int64(max(connections, 1)), leastBytes), receiveBytes)
}

// keepAlive finds out guests that are gone without a word, as a saved one's
// connections are.
func (f *tcpFlow) keepAlive() {
	f.guest.SocketOptions().SetKeepAlive(true)
	idle, interval := tcpip.KeepaliveIdleOption(keepaliveIdle), tcpip.KeepaliveIntervalOption(keepaliveInterval)
	_ = f.guest.SetSockOpt(&idle)
	_ = f.guest.SetSockOpt(&interval)
	_ = f.guest.SetSockOptInt(tcpip.KeepaliveCountOption, keepaliveCount)
	f.guest.SocketOptions().SetDelayOption(false)
}

// abort ends both connections at once: the guest sees a reset.
func (f *tcpFlow) abort() {
	f.over.Do(func() {
		breakOff(f.host)
		f.guest.Abort()
	})
}

// breakOff ends a connection so that its other side knows that this was not all.
func breakOff(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}

// upload copies from the guest until it has said that there is no more. When
// nobody takes it any more, it is dropped, so that what there is to download
// still arrives.
func (f *tcpFlow) upload() error {
	wait, ready := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	f.queue.EventRegister(&wait)
	defer f.queue.EventUnregister(&wait)
	var late *time.Timer
	for {
		buf := takeBuffer()
		w := tcpip.SliceWriter(*buf)
		res, terr := f.guest.Read(&w, tcpip.ReadOptions{})
		var err error
		if n := res.Count; terr == nil && n > 0 && late == nil {
			f.uplink.sent.Add(int64(n))
			if err = f.uplink.pace(f.uplink.upRate, n); err == nil {
				_, err = f.host.Write((*buf)[:n])
			}
		}
		giveBuffer(buf)
		if err != nil {
			late = time.AfterFunc(lingerTimeout, f.abort)
			defer late.Stop()
		}
		switch terr.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			<-ready // abort wakes it, too
		case *tcpip.ErrClosedForReceive:
			if tcp.EndpointState(f.guest.State()) == tcp.StateError {
				return errors.New(terr.String()) // broken off: not all that there was
			}
			_ = f.host.CloseWrite() // if it fails, download knows
			return nil
		default:
			return errors.New(terr.String())
		}
	}
}

// download copies to the guest until the machine's side has said that there is
// no more.
func (f *tcpFlow) download() error {
	raw, err := f.host.SyscallConn()
	if err != nil {
		return err
	}
	wait, ready := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	f.queue.EventRegister(&wait)
	defer f.queue.EventUnregister(&wait)
	for {
		buf, n, err := readReady(raw)
		if err != nil {
			return err
		}
		if n == 0 {
			giveBuffer(buf)
			if terr := f.guest.Shutdown(tcpip.ShutdownWrite); terr != nil {
				return errors.New(terr.String())
			}
			return nil
		}
		f.uplink.received.Add(int64(n)) // before the guest can know
		if err = f.uplink.pace(f.uplink.downRate, n); err == nil {
			err = f.write((*buf)[:n], ready)
		}
		giveBuffer(buf)
		if err != nil {
			return err
		}
	}
}

// write sends all of b to the guest.
func (f *tcpFlow) write(b []byte, ready <-chan struct{}) error {
	for len(b) > 0 {
		r := payload(b)
		n, terr := f.guest.Write(&r, tcpip.WriteOptions{})
		b = b[n:]
		switch terr.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			<-ready
		default:
			return errors.New(terr.String())
		}
	}
	return nil
}

// awaitEnd waits for the download, and then until the guest has everything.
func (f *tcpFlow) awaitEnd(down <-chan struct{}) {
	wait, ready := waiter.NewChannelEntry(waiter.EventHUp)
	f.queue.EventRegister(&wait)
	defer f.queue.EventUnregister(&wait)
	for done := false; !done; {
		if f.ended() {
			f.abort()
			<-down
			return
		}
		select {
		case <-down:
			done = true
		case <-ready:
		}
	}
	late := time.AfterFunc(lingerTimeout, f.abort)
	defer late.Stop()
	for !f.ended() {
		<-ready
	}
	f.over.Do(func() { f.host.Close() }) // what it has of the guest's still goes out
}

// ended tells whether nothing will be sent or received any more.
func (f *tcpFlow) ended() bool {
	switch tcp.EndpointState(f.guest.State()) {
	case tcp.StateClose, tcp.StateError, tcp.StateTimeWait:
		return true
	}
	return false
}
