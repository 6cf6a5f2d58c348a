//go:build linux

package uplink

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// The wire's two ends, the same for every sandbox: RFC 7335's range for such
// translators, which no network uses.
var (
	Gateway = netip.AddrFrom4([4]byte{192, 0, 0, 1})
	Guest   = netip.AddrFrom4([4]byte{192, 0, 0, 2})
)

// prefixBits is the length of the wire's prefix.
const prefixBits = 29

// The hardware addresses are fixed, so that a guest that was saved finds in its
// copy what it remembers. The far interface's own differs from the gateway's, so
// that the machine's kernel takes no packet for its own.
const (
	guestMAC   = tcpip.LinkAddress("\x02\x00\xc0\x00\x00\x02")
	gatewayMAC = tcpip.LinkAddress("\x02\x00\xc0\x00\x00\x01")
	farMAC     = tcpip.LinkAddress("\x02\x00\xc0\x00\x00\x03")
)

// wireBroadcast is the last address of the wire's prefix.
var wireBroadcast = netip.AddrFrom4([4]byte{192, 0, 0, 7})
