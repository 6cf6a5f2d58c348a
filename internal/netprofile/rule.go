package netprofile

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/sandbox/network"
)

// Rule opens a range to some ports. Its text, which is also how it is stored, is
// CIDR[:PORT[-PORT]][/tcp|/udp]; an address alone is a range of one.
type Rule network.Rule

// ParseRule reads a Rule's text.
func ParseRule(text string) (Rule, error) {
	var r Rule
	rest := text
	for _, n := range []string{"tcp", "udp"} {
		if before, ok := strings.CutSuffix(rest, "/"+n); ok {
			rest, r.Network = before, n
			break
		}
	}
	if strings.Count(rest, ":") > 1 {
		return Rule{}, fault.Invalid("rules", "Rule %q: %s", text, noIPv6)
	}
	where, ports, limited := strings.Cut(rest, ":")
	if limited {
		var err error
		if r.First, r.Last, err = parsePorts(ports); err != nil {
			return Rule{}, fault.Invalid("rules", "Rule %q: %v; a rule is CIDR[:PORT[-PORT]][/tcp|/udp], such as 10.1.0.0/16:443", text, err)
		}
	}
	var err error
	if r.Prefix, err = parseRange(where); err != nil {
		return Rule{}, fault.Invalid("rules", "Rule %q: %v", text, err)
	}
	return r, nil
}

func parsePorts(text string) (first, last uint16, err error) {
	from, to, many := strings.Cut(text, "-")
	if !many {
		to = from
	}
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(to, 10, 16)
	switch {
	case errA != nil || errB != nil || a == 0 || b == 0:
		return 0, 0, fmt.Errorf("ports %q must be one from 1 to 65535, or two with '-' between", text)
	case a > b:
		return 0, 0, fmt.Errorf("ports %q: the first must not be above the last", text)
	}
	return uint16(a), uint16(b), nil
}

// String is the text that ParseRule reads.
func (r Rule) String() string {
	var b strings.Builder
	b.WriteString(r.Prefix.String())
	if r.First != 0 || r.Last != 0 {
		fmt.Fprintf(&b, ":%d", r.First)
		if r.Last != r.First {
			fmt.Fprintf(&b, "-%d", r.Last)
		}
	}
	if r.Network != "" {
		b.WriteString("/" + r.Network)
	}
	return b.String()
}

// MarshalText implements encoding.TextMarshaler.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler, for what was stored: an error
// of it is nobody's input.
func (r *Rule) UnmarshalText(text []byte) error {
	rule, err := ParseRule(string(text))
	if err != nil {
		return fmt.Errorf("decode network rule: %v", err)
	}
	*r = rule
	return nil
}

func compareRules(a, b Rule) int {
	return cmp.Or(comparePrefixes(a.Prefix, b.Prefix), cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last), cmp.Compare(a.Network, b.Network))
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

const noIPv6 = "sandboxes have no IPv6; name an IPv4 range"

// ParseRange reads a range that network mode PUBLIC is to reach.
func ParseRange(text string) (netip.Prefix, error) {
	p, err := parseRange(text)
	if err != nil {
		return p, fault.Invalid("ranges", "Range %q: %v", text, err)
	}
	return p, nil
}

// parseRange also refuses what no guest would ever reach: an entry without effect
// misleads.
func parseRange(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, errAddr := netip.ParseAddr(text)
		if errAddr != nil {
			return p, errors.New("it is neither an IPv4 range such as 10.1.0.0/16 nor an address")
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	switch a := p.Addr(); {
	case !a.Is4():
		return netip.Prefix{}, errors.New(noIPv6)
	case p.Masked() != p:
		return netip.Prefix{}, fmt.Errorf("it has bits beyond its length; did you mean %s or %s/32?", p.Masked(), a)
	case network.Wire().Contains(a) && p.Bits() >= network.Wire().Bits():
		return netip.Prefix{}, fmt.Errorf("it is of every sandbox's own wire (%s), where nothing else can be reached", network.Wire())
	case a.IsUnspecified() && p.Bits() >= 8: // RFC 6890: "this network"
		return netip.Prefix{}, errors.New("nothing has an address there; all addresses together are 0.0.0.0/0")
	case a.IsLoopback():
		return netip.Prefix{}, errors.New("every sandbox has a loopback of its own there; have the server listen on another address of its machine, and name that")
	}
	return p, nil
}

// ParseServer reads the address of a name server, with a port or without.
func ParseServer(text string) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return at, fault.Invalid("dnsServers", "DNS server %q must be an address such as 10.1.0.2, or with a port 10.1.0.2:5353", text)
		}
		at = netip.AddrPortFrom(addr, network.DNS.Port())
	}
	if a := at.Addr(); at.Port() == 0 || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
		return netip.AddrPort{}, fault.Invalid("dnsServers", "DNS server %q is no address of one server; name it as 10.1.0.2 or 10.1.0.2:5353", text)
	}
	return at, nil
}
