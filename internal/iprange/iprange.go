// Package iprange knows which addresses are anybody's on the internet, and which
// are not: this machine's, its networks', a cloud's metadata services.
package iprange

import "net/netip"

// A special range is not for anybody on the internet.
type special struct {
	prefix netip.Prefix
	what   string
}

// special4 are the ranges of IANA's IPv4 Special-Purpose Address Registry (RFC
// 6890) that are not globally reachable, and multicast (RFC 5771). Of
// 192.0.0.0/24 two addresses are; they are anycast for relays and no loss. One more
// answers only the machines of one cloud, as link-local ones do in others.
var special4 = [...]special{
	{prefix4(0, 0, 0, 0, 8), `of "this network"`},
	{prefix4(10, 0, 0, 0, 8), "private"},
	{prefix4(100, 64, 0, 0, 10), "shared by a carrier's customers"},
	{prefix4(127, 0, 0, 0, 8), "a loopback address"},
	{prefix4(168, 63, 129, 16, 32), "of Azure's platform, which hands out secrets of the machine"},
	{prefix4(169, 254, 0, 0, 16), "link-local"},
	{prefix4(172, 16, 0, 0, 12), "private"},
	{prefix4(192, 0, 0, 0, 24), "for protocols of the network itself"},
	{prefix4(192, 0, 2, 0, 24), "for documentation"},
	{prefix4(192, 88, 99, 0, 24), "reserved"},
	{prefix4(192, 168, 0, 0, 16), "private"},
	{prefix4(198, 18, 0, 0, 15), "for benchmarks"},
	{prefix4(198, 51, 100, 0, 24), "for documentation"},
	{prefix4(203, 0, 113, 0, 24), "for documentation"},
	{prefix4(224, 0, 0, 0, 4), "multicast"},
	{prefix4(240, 0, 0, 0, 4), "reserved"},
}

// special6 are those of IPv6. What remains of 2000::/3 is the internet's: nothing
// else has been given to anybody (RFC 4291 2.4). The texts of the ranges outside it
// only say better what they are.
var special6 = [...]special{
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "a loopback address"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "of a translator of this network"}, // RFC 8215
	{netip.MustParsePrefix("2001::/23"), "for protocols of the network itself"},  // RFC 2928; Teredo is in it
	{netip.MustParsePrefix("2001:db8::/32"), "for documentation"},
	{netip.MustParsePrefix("3fff::/20"), "for documentation"},
	{netip.MustParsePrefix("fc00::/7"), "private"}, // RFC 4193
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "private"}, // RFC 3879: was site-local
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

var (
	global6 = netip.MustParsePrefix("2000::/3")
	nat64   = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixTo4  = netip.MustParsePrefix("2002::/16")    // RFC 3056
)

// metadata are the addresses at which clouds hand out a machine's own credentials.
var metadata = [...]netip.Addr{
	netip.AddrFrom4([4]byte{169, 254, 169, 254}), // AWS, Google, Azure, Oracle and others
	netip.AddrFrom4([4]byte{169, 254, 170, 2}),   // AWS: containers
	netip.AddrFrom4([4]byte{169, 254, 170, 23}),  // AWS: pods
	netip.AddrFrom4([4]byte{168, 63, 129, 16}),   // Azure
	netip.AddrFrom4([4]byte{100, 100, 100, 200}), // Alibaba
	netip.AddrFrom4([4]byte{192, 0, 0, 192}),     // Oracle, older machines
	netip.MustParseAddr("fd00:ec2::254"),         // AWS
	netip.MustParseAddr("fd00:ec2::23"),          // AWS: pods
	netip.MustParseAddr("fd20:ce::254"),          // Google
}

func prefix4(a, b, c, d byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
}

// Plain returns the IPv4 address that an IPv6 one only wraps (IPv4-mapped, the
// well-known prefix of NAT64, 6to4), without a zone; any other address is returned
// as it is, without a zone.
func Plain(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixTo4.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// Special tells what an address, or the one it wraps, is for, when it is not
// anybody's on the internet. An invalid address is nobody's.
func Special(a netip.Addr) (what string, ok bool) {
	if !a.IsValid() {
		return "invalid", true
	}
	a = Plain(a)
	list := special6[:]
	if a.Is4() {
		list = special4[:]
	}
	for _, s := range list {
		if s.prefix.Contains(a) {
			return s.what, true
		}
	}
	if a.Is6() && !global6.Contains(a) {
		return "reserved", true
	}
	return "", false
}

// Public reports whether anybody on the internet can be at an address.
func Public(a netip.Addr) bool {
	_, is := Special(a)
	return !is
}

// Metadata reports whether a cloud hands out a machine's own credentials at an
// address, or at the one it wraps.
func Metadata(a netip.Addr) bool {
	a = Plain(a)
	for _, m := range metadata {
		if a == m {
			return true
		}
	}
	return false
}

// linkLocalBits is the length of 169.254.0.0/16. Of fe80::/10 networks use no more
// than fe80::/64.
const linkLocalBits = 16

// Admits tells whether a range that an operator opened is meant to have an
// address in it. A wide one is not meant to have link-local ones, where clouds
// hand out the machine's own credentials.
func Admits(p netip.Prefix, a netip.Addr) bool {
	return p.Contains(a) && (!a.IsLinkLocalUnicast() || p.Bits() >= linkLocalBits)
}
