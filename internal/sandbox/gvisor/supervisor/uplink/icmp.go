//go:build linux

package uplink

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// unreachable tells the guest that its datagrams to a destination do not arrive,
// as the destination would. The stack has no call for it that could wait for
// somebody's decision.
func (u *Uplink) unreachable(id stack.TransportEndpointID, code header.ICMPv4Code) {
	packet := unreachablePacket(id, code)
	_ = u.stack.WritePacketToRemote(nicID, guestMAC, ipv4.ProtocolNumber, buffer.MakeWithData(packet)) // a full wire loses it
}

// unreachablePacket is "destination unreachable" with the begin of the datagram
// that it is about: its addresses and ports are what the receiver looks at.
func unreachablePacket(id stack.TransportEndpointID, code header.ICMPv4Code) []byte {
	const quoted = header.IPv4MinimumSize + header.UDPMinimumSize
	packet := make([]byte, header.IPv4MinimumSize+header.ICMPv4MinimumSize+quoted)
	encodeIPv4(packet, header.ICMPv4ProtocolNumber, id.LocalAddress, id.RemoteAddress)
	message := packet[header.IPv4MinimumSize:]
	quote := message[header.ICMPv4MinimumSize:]
	encodeIPv4(quote, header.UDPProtocolNumber, id.RemoteAddress, id.LocalAddress)
	header.UDP(quote[header.IPv4MinimumSize:]).Encode(&header.UDPFields{
		SrcPort: id.RemotePort, DstPort: id.LocalPort, Length: header.UDPMinimumSize,
	})
	icmp := header.ICMPv4(message)
	icmp.SetType(header.ICMPv4DstUnreachable)
	icmp.SetCode(code)
	icmp.SetChecksum(^checksum.Checksum(message, 0))
	return packet
}

// encodeIPv4 writes the header of a packet that fills b.
func encodeIPv4(b []byte, protocol tcpip.TransportProtocolNumber, from, to tcpip.Address) {
	ip := header.IPv4(b)
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(b)), TTL: 64, Protocol: uint8(protocol), SrcAddr: from, DstAddr: to,
	})
	ip.SetChecksum(^ip.CalculateChecksum())
}
