package network

import "net/netip"

// The addresses of every guest's wire. The range is RFC 7335's, for translators
// within one machine: no network uses it.
var (
	Gateway = netip.AddrFrom4([4]byte{192, 0, 0, 1})
	Guest   = netip.AddrFrom4([4]byte{192, 0, 0, 2})
)

// Where Outcrop answers its guests: names always, its own API where that has a
// Handler (AWS_ENDPOINT_URL of a guest points to it). The metadata services'
// addresses are those of package metadata.
var (
	DNS = netip.AddrPortFrom(Gateway, 53)
	API = netip.AddrPortFrom(Gateway, 8642)
)

// special are the ranges of IANA's IPv4 Special-Purpose Address Registry (RFC
// 6890) that are not globally reachable, and multicast (RFC 5771). Of
// 192.0.0.0/24 two addresses are; they are anycast for relays and no loss. One more
// answers only the machines of one cloud, as link-local ones do in others.
var special = [...]struct {
	prefix netip.Prefix
	what   string
}{
	{prefix4(0, 0, 0, 0, 8), `of "this network"`},
	{prefix4(10, 0, 0, 0, 8), "private"},
	{prefix4(100, 64, 0, 0, 10), "shared by a carrier's customers"},
	{prefix4(127, 0, 0, 0, 8), "a loopback address"},
	{prefix4(168, 63, 129, 16, 32), "of Azure's platform, which hands out secrets of the machine"},
	{prefix4(169, 254, 0, 0, 16), "link-local"},
	{prefix4(172, 16, 0, 0, 12), "private"},
	{prefix4(192, 0, 0, 0, 24), "of the sandbox's own wire"},
	{prefix4(192, 0, 2, 0, 24), "for documentation"},
	{prefix4(192, 88, 99, 0, 24), "reserved"},
	{prefix4(192, 168, 0, 0, 16), "private"},
	{prefix4(198, 18, 0, 0, 15), "for benchmarks"},
	{prefix4(198, 51, 100, 0, 24), "for documentation"},
	{prefix4(203, 0, 113, 0, 24), "for documentation"},
	{prefix4(224, 0, 0, 0, 4), "multicast"},
	{prefix4(240, 0, 0, 0, 4), "reserved"},
}

func prefix4(a, b, c, d byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
}

// wire is what no policy opens: a guest's own network.
var wire = prefix4(192, 0, 0, 0, 24)

// Wire is the range of every guest's own network, which no policy opens.
func Wire() netip.Prefix { return wire }

// specialUse tells what an address is for, when it is not anybody's on the
// internet.
func specialUse(a netip.Addr) (what string, ok bool) {
	for _, s := range special {
		if s.prefix.Contains(a) {
			return s.what, true
		}
	}
	return "", false
}
