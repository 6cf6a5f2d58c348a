package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/iprange"
)

// A Mode is what a runtime's network is.
type Mode string

// The modes.
const (
	Sandbox Mode = "SANDBOX" // nothing but Outcrop
	Public  Mode = "PUBLIC"  // the internet
	VPC     Mode = "VPC"     // what a profile names
)

// A Policy says what a guest reaches. Outcrop's own addresses are always
// reached; the wire's range, and everything that is not IPv4, never.
type Policy struct {
	Mode Mode

	// Allow opens ranges that Public keeps closed. This machine's own addresses
	// and loopback stay closed within them, unless a prefix is that one address;
	// link-local ones, unless a prefix lies among them.
	Allow []netip.Prefix

	// Hosts, where there are any, narrow what is reached down to addresses that
	// these names have resolved to: NAME, or *.SUFFIX for the names below it.
	Hosts []string

	// Profile is what VPC reaches. Nil reaches nothing: nobody has mapped the
	// Subnets, which the refusal then names together with MapCommand, the command
	// that maps them. Reason says what else it is.
	Profile    *Profile
	Subnets    []string
	Reason     string
	MapCommand string

	// AllowCommand and HostCommand are what an operator runs to open a range to
	// Public, and a name, which follow them. Refusals name them; empty: they say it
	// in words.
	AllowCommand, HostCommand string
}

// A Profile is a network that an operator has named.
type Profile struct {
	Name  string
	Rules []Rule
	// Resolver answers its names; nil is the session's.
	Resolver Resolver
	// RuleCommand is what an operator runs to open more to it: a rule follows, as
	// CIDR:PORT/tcp. Empty: refusals say it in words.
	RuleCommand string
}

// A Rule opens a range to some ports, with the exceptions of Policy.Allow.
type Rule struct {
	Prefix netip.Prefix
	// First and Last bound the ports; both zero are all of them.
	First, Last uint16
	// Network is "tcp" or "udp"; empty is both.
	Network string
}

// validate names what cannot be meant.
func (p Policy) validate() error {
	switch p.Mode {
	case Sandbox, Public, VPC:
	default:
		return fmt.Errorf("make network: mode %q is none of SANDBOX, PUBLIC and VPC", p.Mode)
	}
	for _, h := range p.Hosts {
		if err := CheckHost(h); err != nil {
			return fmt.Errorf("make network: allowed host %q: %w", h, err)
		}
	}
	for _, prefix := range p.Allow {
		if err := validPrefix(prefix); err != nil {
			return fmt.Errorf("make network: allowed range %s: %w", prefix, err)
		}
	}
	if p.Profile == nil {
		return nil
	}
	for _, r := range p.Profile.Rules {
		if err := validPrefix(r.Prefix); err != nil {
			return fmt.Errorf("make network: profile %s: range %s: %w", p.Profile.Name, r.Prefix, err)
		}
		if r.First > r.Last || r.Network != "" && r.Network != "tcp" && r.Network != "udp" {
			return fmt.Errorf("make network: profile %s: ports %d to %d of %q", p.Profile.Name, r.First, r.Last, r.Network)
		}
	}
	return nil
}

func validPrefix(p netip.Prefix) error {
	switch {
	case !p.IsValid() || !p.Addr().Is4():
		return fmt.Errorf("it is not an IPv4 range such as 10.1.0.0/16")
	case p.Masked() != p:
		return fmt.Errorf("it has bits beyond its length; %s is meant, or a longer one", p.Masked())
	}
	return nil
}

// covers tells whether a rule opens a destination.
func (r Rule) covers(network string, to netip.AddrPort) bool {
	ports := r.First == 0 && r.Last == 0 || r.First <= to.Port() && to.Port() <= r.Last
	return ports && (r.Network == "" || r.Network == network) && iprange.Admits(r.Prefix, to.Addr())
}

// opens tells whether exactly this address was opened, as one of this machine's
// must be.
func (p Policy) opens(to netip.AddrPort) bool {
	alone := netip.PrefixFrom(to.Addr(), 32)
	if p.Mode == Public {
		return slices.Contains(p.Allow, alone)
	}
	return p.Mode == VPC && p.Profile != nil && slices.ContainsFunc(p.Profile.Rules, func(r Rule) bool { return r.Prefix == alone })
}

// The reasons and ways out that stand in more than one place.
const (
	reasonMachine = "it is an address of this machine"
	fixMachine    = "name that one address, as /32, in the operator's allow-list or the profile"
	fixHosts      = "add the name to the allowed hosts"
	fixLoopback   = "every sandbox has a loopback of its own; have the server listen on another address of its machine, and open that"
)

// fixAlone is how exactly this address is opened.
func (p Policy) fixAlone(network string, to netip.AddrPort) string {
	alone := netip.PrefixFrom(to.Addr(), 32).String()
	switch {
	case to.Addr().IsLoopback() || to.Addr().IsUnspecified():
		if p.AllowCommand != "" || p.Profile != nil && p.Profile.RuleCommand != "" {
			return fixLoopback // which no command opens
		}
	case p.Mode == Public && p.AllowCommand != "":
		return "run: " + p.AllowCommand + " " + alone
	case p.Mode == VPC && p.Profile != nil && p.Profile.RuleCommand != "":
		return p.fixRule(network, to)
	}
	return fixMachine
}

// fixRule is how a profile opens a destination.
func (p Policy) fixRule(network string, to netip.AddrPort) string {
	if p.Profile.RuleCommand == "" {
		return "add the range and port to the profile"
	}
	return fmt.Sprintf("run: %s %s/32:%d/%s", p.Profile.RuleCommand, to.Addr(), to.Port(), network)
}

// fixRange is how Public reaches an address that is none of the internet's.
func (p Policy) fixRange(to netip.AddrPort) string {
	if p.AllowCommand == "" {
		return "add its range to the operator's allow-list, or use network mode VPC with a profile"
	}
	return "run: " + p.AllowCommand + " " + to.Addr().String() + "/32, or use network mode VPC with a profile"
}

// fixHost is how a name gets among the allowed hosts; it may be empty.
func (p Policy) fixHost(name string) string {
	if name = strings.TrimSuffix(name, "."); name != "" && p.HostCommand != "" && CheckHost(name) == nil {
		return "run: " + p.HostCommand + " " + name
	}
	return fixHosts
}

// refuse tells why a destination is not reached, or returns nil. names are what
// it was resolved from.
func (s *Session) refuse(network string, to netip.AddrPort, names []string) *Refusal {
	p, addr := s.cfg.Policy, to.Addr()
	deny := func(reason, fix string) *Refusal { return refusal(network, to, names, reason, fix) }
	switch {
	case !addr.Is4():
		return deny("sandboxes have no IPv6", "use a name or an IPv4 address")
	case wire.Contains(addr):
		return deny("nothing answers there on the sandbox's own wire", "")
	case p.Mode == Sandbox:
		return deny("network mode SANDBOX reaches nothing but Outcrop", "use network mode PUBLIC or VPC")
	case p.Mode == VPC && p.Profile == nil:
		return deny(p.unmapped())
	case len(p.Hosts) > 0 && !slices.ContainsFunc(names, p.hostAllowed):
		return deny("only the allowed hosts are reached ("+strings.Join(p.Hosts, ", ")+"), by the addresses that their names resolve to", p.fixHost(first(names)))
	case p.opens(to):
	case addr.IsLoopback() || addr.IsUnspecified() || s.cfg.Machine.Has(addr):
		return deny(reasonMachine, p.fixAlone(network, to))
	}
	if p.Mode == VPC {
		if !slices.ContainsFunc(p.Profile.Rules, func(r Rule) bool { return r.covers(network, to) }) {
			return deny("the network profile "+p.Profile.Name+" does not open it", p.fixRule(network, to))
		}
		return nil
	}
	if what, ok := iprange.Special(addr); ok && !slices.ContainsFunc(p.Allow, func(r netip.Prefix) bool { return iprange.Admits(r, addr) }) {
		return deny("the address is "+what+", and network mode PUBLIC reaches the internet alone", p.fixRange(to))
	}
	return nil
}

// unmapped is the reason and the way out of VPC without a profile.
func (p Policy) unmapped() (reason, fix string) {
	reason = p.Reason
	if reason == "" {
		reason = "no network profile is mapped to " + plural(len(p.Subnets), "subnet") + " " + strings.Join(p.Subnets, ", ")
	}
	if p.MapCommand != "" {
		fix = "run: " + p.MapCommand
	}
	return strings.TrimSpace(reason), fix
}

// first is the first of some names, or empty.
func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
