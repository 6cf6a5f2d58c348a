package network

import "net/netip"

// The addresses of every guest's wire. The range is RFC 7335's, for translators
// within one machine: no network uses it.
var (
	Gateway = netip.AddrFrom4([4]byte{192, 0, 0, 1})
	Guest   = netip.AddrFrom4([4]byte{192, 0, 0, 2})
)

// Where Outcrop answers its guests: names always, its own API where that has a
// Handler (AWS_ENDPOINT_URL of a guest points to it), and over TLS for names that are
// resolved to it. The metadata services'
// addresses are those of package metadata.
var (
	DNS = netip.AddrPortFrom(Gateway, 53)
	API = netip.AddrPortFrom(Gateway, 8642)
	TLS = netip.AddrPortFrom(Gateway, 443)
)

// wire is what no policy opens: a guest's own network.
var wire = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 0, 0}), 24)

// Wire is the range of every guest's own network, which no policy opens.
func Wire() netip.Prefix { return wire }
