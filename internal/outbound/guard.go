package outbound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/outcrop/outcrop/internal/iprange"
)

// Private is what an operator opened of what is not public. The zero value is
// nothing.
type Private struct {
	// Ranges are opened but for the metadata services and link-local addresses among
	// them, and this machine's own addresses unless one is named alone (its loopback may
	// be in a range).
	Ranges []netip.Prefix
	// Hosts are opened whatever they resolve to, but for metadata services and link-local
	// addresses. They are in lower case, without a final dot.
	Hosts []string
}

// ParsePrivate reads what an operator names: addresses, ranges (10.1.0.0/16) and
// host names (idp.corp.example).
func ParsePrivate(list []string) (Private, error) {
	var p Private
	for _, text := range list {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			if prefix.Addr().Is4In6() {
				return Private{}, fmt.Errorf("parse private range %q: name it in IPv4's form", text)
			}
			if prefix.Masked() != prefix {
				return Private{}, fmt.Errorf("parse private range %q: it has bits beyond its length; %s is meant, or a longer one", text, prefix.Masked())
			}
			if prefix.Addr().IsLinkLocalUnicast() {
				return Private{}, neverError(text)
			}
			p.Ranges = append(p.Ranges, prefix)
			continue
		}
		if a, err := netip.ParseAddr(text); err == nil {
			a = iprange.Plain(a)
			if a.IsLinkLocalUnicast() || iprange.Metadata(a) {
				return Private{}, neverError(text)
			}
			p.Ranges = append(p.Ranges, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		host := hostOf(text)
		if host == "" || strings.ContainsAny(host, "/:@*?# \t[]%") {
			return Private{}, fmt.Errorf("parse private address %q: it is neither a range such as 10.1.0.0/16, nor an address, nor a host name without port", text)
		}
		p.Hosts = append(p.Hosts, host)
	}
	return p, nil
}

// neverError refuses to open what is never called, rather than to seem to.
func neverError(text string) error {
	return fmt.Errorf("parse private address %q: link-local addresses and metadata services of clouds are never called", text)
}

// Refused says why an address that a caller named is not called. Its text may be
// shown to the caller: it tells nothing of what is at the address.
type Refused struct {
	// Host is that of the URL or, where a name was resolved, the address and port.
	Host string
	// Reason continues "is not called: ". Fix is what an operator does, or empty.
	Reason, Fix string
}

func (e *Refused) Error() string {
	text := e.Host + " is not called: " + e.Reason
	if e.Fix != "" {
		text += "; " + e.Fix
	}
	return text
}

const fixPrivate = "have the operator open it: outcrop serve --allow-private "

// Openable reports whether a text tells of a Refused that --allow-private lifts: it may be
// untrue once the server has started anew.
func Openable(text string) bool { return strings.Contains(text, fixPrivate) }

// opens tells whether an operator opened an address. One that is this machine's is
// not meant by a wide range: it is opened alone.
func (p Private) opens(a netip.Addr, mine bool) bool {
	if mine {
		return slices.Contains(p.Ranges, netip.PrefixFrom(a, a.BitLen()))
	}
	return slices.ContainsFunc(p.Ranges, func(r netip.Prefix) bool { return r.Contains(a) })
}

// named tells whether a host was opened by its name.
func (p Private) named(host string) bool { return slices.Contains(p.Hosts, hostOf(host)) }

// fence judges addresses.
type fence struct {
	open    Private
	machine func(netip.Addr) bool // nil where it is not known
}

// judge refuses an address, or returns nil. named says that the host was opened by
// name, and plain that there is to be no TLS.
func (f fence) judge(at netip.AddrPort, named, plain bool) error {
	refuse := func(reason, fix string) error { return &Refused{Host: at.String(), Reason: reason, Fix: fix} }
	a := iprange.Plain(at.Addr())
	what, special := iprange.Special(a)
	mine := f.machine != nil && !a.IsLoopback() && f.machine(a)
	opened := f.open.opens(a, mine) || named
	switch {
	case iprange.Metadata(a):
		return refuse("a cloud's metadata service is there", "")
	case a.IsLinkLocalUnicast():
		return refuse("the address is link-local", "")
	case a.IsMulticast() || a.IsUnspecified():
		return refuse("the address is of no single machine", "")
	case opened:
		return nil
	case mine:
		return refuse("the address is this machine's", fixPrivate+a.String())
	case special:
		return refuse("the address is "+what, fixPrivate+a.String())
	case plain:
		return refuse("it is spoken to without TLS", "use https, or "+fixPrivate+a.String())
	}
	return nil
}

// judgeName judges what a proxy will resolve.
func (f fence) judgeName(host string, plain bool) error {
	named := f.open.named(host)
	if a, err := netip.ParseAddr(host); err == nil {
		return f.judge(netip.AddrPortFrom(a, 0), named, plain)
	}
	refuse := func(reason string) error { return &Refused{Host: host, Reason: reason, Fix: fixPrivate + host} }
	name := hostOf(host)
	switch {
	case named:
		return nil
	case plain:
		return refuse("it is spoken to without TLS")
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return refuse("the name is this machine's")
	}
	return nil
}

// hostOf is how a host name is compared.
func hostOf(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

func dialer() *net.Dialer { return &net.Dialer{Timeout: DefaultTimeout, KeepAlive: 30 * time.Second} }

// guarded dials what a fence lets through. Each address is judged right before its socket
// connects, so that nothing can change in between.
func guarded(f fence, plain bool, via *Via) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", address, err)
		}
		host, port, network, named := f.leads(via, host, port, network)
		d := dialer()
		d.Control = func(network, to string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(to)
			if err != nil || !strings.HasPrefix(network, "tcp") {
				return fmt.Errorf("judge address %s %s: %w", network, to, errors.Join(err, errOdd))
			}
			return f.judge(at, named, plain)
		}
		return d.DialContext(ctx, network, net.JoinHostPort(host, port))
	}
}

// leads is where a connection goes, and whether that was opened by its name.
func (f fence) leads(via *Via, host, port, network string) (_, _, _ string, named bool) {
	if via == nil {
		return host, port, network, f.open.named(host)
	}
	host = cmp.Or(via.Host, host)
	return host, cmp.Or(via.Port, port), cmp.Or(via.Network, network), via.Opened || f.open.named(host)
}

var errOdd = errors.New("it is not of TCP")
