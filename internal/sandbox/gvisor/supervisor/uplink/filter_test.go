//go:build linux

package uplink

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// packet is an IPv4 packet with a payload of zeros.
func packet(protocol tcpip.TransportProtocolNumber, from, to string, length int) []byte {
	b := make([]byte, header.IPv4MinimumSize+length)
	encodeIPv4(b, protocol, tcpip.AddrFrom4(netip.MustParseAddr(from).As4()), tcpip.AddrFrom4(netip.MustParseAddr(to).As4()))
	return b
}

func TestFilter(t *testing.T) {
	ping := packet(header.ICMPv4ProtocolNumber, "192.0.0.2", "192.0.0.1", 8)
	ping[header.IPv4MinimumSize] = byte(header.ICMPv4Echo)
	pingElse := packet(header.ICMPv4ProtocolNumber, "192.0.0.2", "8.8.8.8", 8)
	pingElse[header.IPv4MinimumSize] = byte(header.ICMPv4Echo)
	short := packet(header.TCPProtocolNumber, "192.0.0.2", "1.2.3.4", 20)
	short[0] = 0x41 // a header of four bytes
	for _, tt := range []struct {
		what   string
		packet []byte
		want   bool
	}{
		{"TCP", packet(header.TCPProtocolNumber, "192.0.0.2", "1.2.3.4", 20), true},
		{"UDP to the gateway", packet(header.UDPProtocolNumber, "192.0.0.2", "192.0.0.1", 8), true},
		{"ping of the gateway", ping, true},
		{"ping of another", pingElse, false},
		{"another ICMP message", packet(header.ICMPv4ProtocolNumber, "192.0.0.2", "192.0.0.1", 8), false},
		{"SCTP", packet(132, "192.0.0.2", "1.2.3.4", 20), false},
		{"IGMP", packet(header.IGMPProtocolNumber, "192.0.0.2", "224.0.0.22", 8), false},
		{"spoofed", packet(header.TCPProtocolNumber, "192.0.0.3", "1.2.3.4", 20), false},
		{"spoofed gateway", packet(header.TCPProtocolNumber, "192.0.0.1", "192.0.0.1", 20), false},
		{"no source", packet(header.UDPProtocolNumber, "0.0.0.0", "255.255.255.255", 20), false},
		{"to itself", packet(header.TCPProtocolNumber, "192.0.0.2", "192.0.0.2", 20), false},
		{"loopback", packet(header.TCPProtocolNumber, "192.0.0.2", "127.0.0.1", 20), false},
		{"multicast", packet(header.UDPProtocolNumber, "192.0.0.2", "239.1.1.1", 20), false},
		{"broadcast", packet(header.UDPProtocolNumber, "192.0.0.2", "255.255.255.255", 20), false},
		{"the wire's broadcast", packet(header.UDPProtocolNumber, "192.0.0.2", "192.0.0.7", 20), false},
		{"nowhere", packet(header.TCPProtocolNumber, "192.0.0.2", "0.0.0.0", 20), false},
		{"nothing", nil, false},
		{"half a header", ping[:10], false},
		{"a header that is too short", short, false},
	} {
		if got := passes(tt.packet); got != tt.want {
			t.Errorf("%s: passes() = %t, want %t", tt.what, got, tt.want)
		}
	}
}

// TestSpoofed: what a guest sends in another's name leads to nothing at all.
func TestSpoofed(t *testing.T) {
	h := newHost(t)
	u, g := newWire(t, Config{Connect: h.connect})
	for i := range 100 {
		syn := packet(header.TCPProtocolNumber, "192.0.0.3", "1.2.3.4", header.TCPMinimumSize)
		header.TCP(syn[header.IPv4MinimumSize:]).Encode(&header.TCPFields{
			SrcPort: uint16(1000 + i), DstPort: 80, DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn, WindowSize: 1000,
		})
		g.send(t, syn)
	}
	g.mustDial(t).Close()
	h.accept(t).Close() // what came later was served
	select {
	case <-h.conns:
		t.Error("a spoofed packet made a connection")
	case <-time.After(50 * time.Millisecond): // nothing may follow
	}
	awaitSlots(t, u, 0)
}

// send puts a packet on the wire.
func (g *guest) send(t testing.TB, packet []byte) {
	t.Helper()
	if err := g.stack.WritePacketToRemote(1, gatewayMAC, ipv4.ProtocolNumber, buffer.MakeWithData(packet)); err != nil {
		t.Fatal(err)
	}
}

// syn is a guest's SYN from a port, with a checksum.
func syn(port uint16) []byte {
	b := packet(header.TCPProtocolNumber, Guest.String(), "1.2.3.4", header.TCPMinimumSize)
	segment := header.TCP(b[header.IPv4MinimumSize:])
	segment.Encode(&header.TCPFields{
		SrcPort: port, DstPort: 80, SeqNum: 1, DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn, WindowSize: 1000,
	})
	ip := header.IPv4(b)
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), header.TCPMinimumSize)
	segment.SetChecksum(^segment.CalculateChecksum(sum))
	return b
}

// TestHalfOpen: SYNs that are never followed hold no more than the slots, and
// not for long.
func TestHalfOpen(t *testing.T) {
	h := newHost(t)
	go func() {
		for {
			select {
			case c := <-h.conns:
				c.Close()
			case <-t.Context().Done():
				return
			}
		}
	}()
	u, g := newWire(t, Config{Connect: h.connect, Connections: 8})
	g.link.Attach(sink{}) // the guest's own stack would answer the SYN-ACKs with resets
	for i := range 10_000 {
		g.link.WritePackets(list(syn(uint16(1024 + i))))
	}
	if n := len(u.slots); n > 8 {
		t.Errorf("%d slots are taken of 8", n)
	}
	awaitSlots(t, u, 0)
}

// sink takes packets and does nothing with them.
type sink struct{}

func (sink) DeliverNetworkPacket(tcpip.NetworkProtocolNumber, *stack.PacketBuffer) {}
func (sink) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *stack.PacketBuffer)    {}

func list(packet []byte) stack.PacketBufferList {
	var l stack.PacketBufferList
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
	p.NetworkProtocolNumber = ipv4.ProtocolNumber
	l.PushBack(p)
	return l
}

// FuzzFrame: whatever comes over the wire, the stack lives on.
func FuzzFrame(f *testing.F) {
	f.Add(syn(1000))
	f.Add(packet(header.UDPProtocolNumber, "192.0.0.2", "1.2.3.4", 20))
	f.Add(packet(header.ICMPv4ProtocolNumber, "192.0.0.2", "192.0.0.1", 8))
	f.Fuzz(func(t *testing.T, frame []byte) {
		near, far := pipe.New(guestMAC, gatewayMAC, mtu)
		near.Attach(sink{})
		u, err := New(Config{Connections: 2, Connect: func(context.Context, string, netip.AddrPort) (*os.File, error) {
			return nil, Refused
		}}, far)
		if err != nil {
			t.Fatal(err)
		}
		near.WritePackets(list(frame))
		u.Close()
	})
}
