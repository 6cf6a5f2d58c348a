//go:build linux

package uplink

import (
	"net/netip"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/nested"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A filter lets of a guest's frames pass what the stack shall see.
type filter struct {
	nested.Endpoint
	closed atomic.Bool
}

func newFilter(link stack.LinkEndpoint) *filter {
	f := new(filter)
	f.Endpoint.Init(link, f)
	return f
}

// shut lets nothing in any more. What the stack sends still goes out.
func (f *filter) shut() { f.closed.Store(true) }

// DeliverNetworkPacket implements stack.NetworkDispatcher.
func (f *filter) DeliverNetworkPacket(protocol tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	if f.closed.Load() || protocol != header.IPv4ProtocolNumber {
		return
	}
	// The IP header and what tells an ICMP message's type.
	head, ok := pkt.Data().PullUp(min(pkt.Data().Size(), header.IPv4MaximumHeaderSize+header.ICMPv4MinimumSize))
	if ok && passes(head) {
		f.Endpoint.DeliverNetworkPacket(protocol, pkt)
	}
}

// passes tells whether an IPv4 packet that begins with head is the guest's own,
// goes to a single machine, and is TCP, UDP or a ping of the gateway. Source
// addresses that are not the guest's are somebody else's identity; everything
// else would be answered by a stack that takes all addresses for its own.
func passes(head []byte) bool {
	if len(head) < header.IPv4MinimumSize {
		return false
	}
	ip := header.IPv4(head)
	length := int(ip.HeaderLength())
	if length < header.IPv4MinimumSize || length > len(head) {
		return false
	}
	from, to := netip.AddrFrom4(ip.SourceAddress().As4()), netip.AddrFrom4(ip.DestinationAddress().As4())
	if from != Guest || to == Guest || !singleMachine(to) {
		return false
	}
	switch ip.TransportProtocol() {
	case header.TCPProtocolNumber, header.UDPProtocolNumber:
		return true
	case header.ICMPv4ProtocolNumber:
		message := head[length:]
		return to == Gateway && len(message) > 0 && header.ICMPv4Type(message[0]) == header.ICMPv4Echo
	}
	return false
}

// singleMachine tells whether an address can be one machine's.
func singleMachine(a netip.Addr) bool {
	four := a.As4()
	return !a.IsLoopback() && four[0] != 0 && four[0] < 224 && a != wireBroadcast
}
