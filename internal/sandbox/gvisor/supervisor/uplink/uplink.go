//go:build linux

// Package uplink ends the wires of sandboxes.
//
// A sandbox's only interface is one end of a veth pair in a network namespace of
// its own. The other end, in the same namespace or in one with nothing else in it,
// has no address: a packet socket bound to it is given to a network stack in this
// process, one for each sandbox, which takes whatever address the guest sends to as
// its own. So what arrives at a stack is that sandbox's for certain, no packet of a
// guest is ever routed by the machine, and what the guest reaches is decided a
// connection at a time: somebody else connects and hands over the open socket, and
// the two are spliced.
//
// Each wire holds a bounded number of connections, and each connection a bounded
// number of bytes. Reading waits for writing in both directions.
package uplink

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const nicID tcpip.NICID = 1

// Bounds of what one connection may hold in this process. The guest is some
// 100 µs away, so that a quarter of a MiB keeps a gigabyte a second moving.
const (
	receiveBytes = 256 << 10 // what the guest has sent and nobody took
	sendBytes    = 256 << 10 // what the guest has not acknowledged
	// Where many are open each holds less, so that a hostile guest's all together
	// hold some 200 MiB: wireBytes shared by those that are open when it begins,
	// but leastBytes.
	wireBytes  = 64 << 20
	leastBytes = 32 << 10
	// datagramBytes is what may wait of one UDP flow; more is dropped.
	datagramBytes = 128 << 10
)

const (
	// lingerTimeout is how long a guest may take to acknowledge the last bytes
	// of a connection that is over.
	lingerTimeout = 10 * time.Second
	// A guest whose end of an open connection is gone is found out after
	// keepaliveIdle + keepaliveCount * keepaliveInterval.
	keepaliveIdle     = 60 * time.Second
	keepaliveInterval = 15 * time.Second
	keepaliveCount    = 4
	// handshakeTimeout is how long a guest may take to finish what it began.
	handshakeTimeout = 5 * time.Second
	// Each connection that begins costs the engine a message, refused or not.
	arrivalsPerSecond = 1000
	arrivalsAtOnce    = 1000
	// burst is what a wire with a bound of its bandwidth may carry at once.
	burst = 256 << 10
)

// An Answer tells why a connection was not made.
type Answer int

// The answers, as a machine on the network would give them.
const (
	Refused     Answer = iota + 1 // a reset, or "port unreachable"
	Unreachable                   // "host unreachable"
	TimedOut                      // silence
)

// Error is the answer in words.
func (a Answer) Error() string {
	switch a {
	case Unreachable:
		return "host is unreachable"
	case TimedOut:
		return "connection timed out"
	}
	return "connection refused"
}

// Config is what a wire needs.
type Config struct {
	// Connect returns a connected socket for what the guest asks: a stream for
	// "tcp", for "udp" one that keeps the bounds of datagrams. An error that is
	// no Answer is taken for Refused. ctx ends with the wire.
	Connect func(ctx context.Context, network string, to netip.AddrPort) (*os.File, error)
	// Connections is how many there may be at once, of both kinds, from the
	// first packet to the last.
	Connections int
	// Shared bounds the connections of all wires that share it; nil does not.
	Shared Slots
	// Bandwidth is how many bytes a second may go each way; zero is no bound.
	Bandwidth int64
}

// Slots are a number of connections, each of which holds one.
type Slots chan struct{}

// NewSlots returns n of them.
func NewSlots(n int) Slots { return make(Slots, n) }

// take claims a slot. A nil Slots has any number.
func (s Slots) take() bool {
	if s == nil {
		return true
	}
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s Slots) release() {
	if s != nil {
		<-s
	}
}

// An Uplink is the machine's end of one sandbox's wire.
type Uplink struct {
	cfg   Config
	stack *stack.Stack
	link  *filter

	ctx    context.Context // ends with the wire
	cancel context.CancelFunc
	flows  sync.WaitGroup
	slots  Slots
	// arrivals bounds how many connections may begin; the guest's kernel tries
	// again what is passed over.
	arrivals *rate.Limiter

	sent, received   atomic.Int64
	upRate, downRate *rate.Limiter // nil without a bound

	mu     sync.Mutex
	closed bool
	udp    map[udpKey]*udpFlow
}

// New ends a wire at link, which it takes over.
func New(cfg Config, link stack.LinkEndpoint) (*Uplink, error) {
	ctx, cancel := context.WithCancel(context.Background())
	u := &Uplink{
		cfg: cfg, ctx: ctx, cancel: cancel,
		slots:    NewSlots(cfg.Connections),
		arrivals: rate.NewLimiter(arrivalsPerSecond, arrivalsAtOnce),
		udp:      map[udpKey]*udpFlow{},
	}
	if cfg.Bandwidth > 0 {
		u.upRate = rate.NewLimiter(rate.Limit(cfg.Bandwidth), burst)
		u.downRate = rate.NewLimiter(rate.Limit(cfg.Bandwidth), burst)
	}
	u.link = newFilter(link)
	if err := u.build(); err != nil {
		u.Close()
		return nil, fmt.Errorf("make network stack: %w", err)
	}
	return u, nil
}

// build makes the stack. It knows IPv4, TCP and UDP and nothing else: the link
// knows the only neighbour, and so does the guest, so there is not even ARP.
func (u *Uplink) build() error {
	u.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
		HandleLocal:        false,
	})
	if err := u.tune(); err != nil {
		return err
	}
	forwardTCP := tcp.NewForwarder(u.stack, receiveBytes, u.cfg.Connections+1, u.acceptTCP)
	u.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, forwardTCP.HandlePacket)
	forwardUDP := udp.NewForwarder(u.stack, u.acceptUDP)
	u.stack.SetTransportProtocolHandler(udp.ProtocolNumber, forwardUDP.HandlePacket)
	buffers := tcpip.ReceiveBufferSizeOption{Min: 4 << 10, Default: datagramBytes, Max: datagramBytes}
	if err := u.stack.SetOption(buffers); err != nil {
		return fmt.Errorf("set buffers: %s", err)
	}
	u.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicID}})
	if err := u.stack.CreateNIC(nicID, u.link); err != nil {
		return fmt.Errorf("create interface: %s", err)
	}
	gateway := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(Gateway.As4()), PrefixLen: 32},
	}
	if err := u.stack.AddProtocolAddress(nicID, gateway, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("add address: %s", err)
	}
	if err := u.stack.SetPromiscuousMode(nicID, true); err != nil {
		return fmt.Errorf("take all addresses: %s", err)
	}
	if err := u.stack.SetSpoofing(nicID, true); err != nil {
		return fmt.Errorf("send from all addresses: %s", err)
	}
	return nil
}

// tune sets TCP up for a short wire that loses nothing on the way.
func (u *Uplink) tune() error {
	var (
		sack     = tcpip.TCPSACKEnabled(true)
		moderate = tcpip.TCPModerateReceiveBufferOption(false)
		receive  = tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: receiveBytes, Max: receiveBytes}
		send     = tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: sendBytes, Max: sendBytes}
		linger   = tcpip.TCPLingerTimeoutOption(lingerTimeout)
		// Nothing old comes late on a wire like this, and an endpoint that waits
		// for it holds a slot.
		wait = tcpip.TCPTimeWaitTimeoutOption(time.Millisecond)
		// RACK takes a guest that was not scheduled in time for a loss.
		recovery = tcpip.TCPRecovery(0)
	)
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &receive, &send, &linger, &wait, &recovery} {
		if err := u.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("set %T: %s", o, err)
		}
	}
	return nil
}

// Counts returns the bytes that went from the guest and to it so far, without
// headers.
func (u *Uplink) Counts() (sent, received int64) { return u.sent.Load(), u.received.Load() }

// take claims a slot for a connection.
func (u *Uplink) take() bool {
	if !u.slots.take() {
		return false
	}
	if !u.cfg.Shared.take() {
		u.slots.release()
		return false
	}
	return true
}

func (u *Uplink) release() {
	u.cfg.Shared.release()
	u.slots.release()
}

// enter counts a connection in, which Close waits for, unless that was called.
func (u *Uplink) enter() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	u.flows.Add(1)
	return true
}

// connect asks for the other end of a connection.
func (u *Uplink) connect(ctx context.Context, network string, id stack.TransportEndpointID) (net.Conn, error) {
	to := netip.AddrPortFrom(netip.AddrFrom4(id.LocalAddress.As4()), id.LocalPort)
	file, err := u.cfg.Connect(ctx, network, to)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return net.FileConn(file)
}

// pace waits until n more bytes may go. It fails when the wire is closed.
func (u *Uplink) pace(limit *rate.Limiter, n int) error {
	if limit == nil {
		return u.ctx.Err()
	}
	return limit.WaitN(u.ctx, n)
}

// Reset breaks all TCP connections off, both ways, as when the guest has lost
// its own ends.
func (u *Uplink) Reset() {
	for _, e := range u.stack.RegisteredEndpoints() {
		if ep, ok := e.(*tcp.Endpoint); ok {
			ep.Abort()
		}
	}
}

// Close ends every connection and returns when nothing of the wire is left. It
// is called once.
func (u *Uplink) Close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.cancel()
	u.link.shut()
	for _, e := range u.stack.RegisteredEndpoints() {
		e.Abort() // what is still shaking hands, too
	}
	u.flows.Wait()
	u.link.Close()
	u.link.Wait() // before Destroy, which would hold what a last delivery needs
	u.stack.Destroy()
}
