package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/fault"
)

// target is where a client wants a connection to.
type target struct {
	// host is a name in lower case, or an address in its usual form.
	host string
	// addr is set where host is an address.
	addr netip.Addr
	port uint16
}

func (t target) String() string { return net.JoinHostPort(t.host, strconv.Itoa(int(t.port))) }

// parseTarget reads the target of CONNECT, HOST:PORT (RFC 9110 7.2), and nothing
// else: what one reader takes for a name and another for an address, a user or a
// path would be judged as the one and dialled as the other.
func parseTarget(s string) (target, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return target{}, fmt.Errorf("%q is not HOST:PORT", clip(s))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return target{}, fmt.Errorf("%q has no port between 1 and 65535", clip(s))
	}
	t := target{port: uint16(n)}
	if addr, err := netip.ParseAddr(host); err == nil {
		// Brackets belong to IPv6, and a zone to nobody who is elsewhere.
		if addr.Zone() != "" || addr.Is6() != strings.HasPrefix(s, "[") {
			return target{}, fmt.Errorf("%q is no address", clip(s))
		}
		t.addr = addr.Unmap()
		t.host = t.addr.String()
		return t, nil
	}
	name, ok := awshost.Clean(host)
	if !ok || strings.HasPrefix(s, "[") || numeric(name) {
		return target{}, fmt.Errorf("%q names no host", clip(s))
	}
	t.host = name
	return t, nil
}

// numeric reports whether some resolvers would take a name for an address in
// another form: 2130706433, 127.1, 0x7f.0.0.1.
func numeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if _, err := strconv.ParseUint(last, 10, 64); err == nil {
		return true
	}
	hex, ok := strings.CutPrefix(last, "0x")
	_, err := strconv.ParseUint(hex, 16, 64)
	return ok && (err == nil || hex == "") || strings.Trim(last, "0123456789") == ""
}

func clip(s string) string { return fault.Clip(s, 100) }
