package oci

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/outcrop/outcrop/internal/iprange"
)

var (
	errPrivate = errors.New("the registry is at a private address")
	errAstray  = errors.New("the registry sends us to this machine")
)

// mayBePrivate tells whether a host, without a port, may be in this machine's own
// networks. The loopback may when it is named so, and not by a name that leads there.
func (r *registries) mayBePrivate(host string) bool {
	listed := func(l string) bool { return hostname(l) == host }
	return loopback(host) || slices.ContainsFunc(r.cfg.Private, listed) || slices.ContainsFunc(r.cfg.Insecure, listed)
}

// dial keeps to public addresses, whatever a name resolves to.
func (r *registries) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	if !r.mayBePrivate(hostname(address)) {
		d.Control = func(_, to string, _ syscall.RawConn) error {
			if ap, err := netip.ParseAddrPort(to); err != nil || !iprange.Public(ap.Addr()) {
				return errPrivate
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, address)
}

// A fence keeps what a registry elsewhere says, by redirects or as the place of its
// logins, from leading to the servers of this machine.
type fence struct {
	inner http.RoundTripper
	home  string // the registry's host
}

func (f fence) RoundTrip(r *http.Request) (*http.Response, error) {
	if to := r.URL.Hostname(); loopback(to) && !loopback(f.home) {
		return nil, errAstray
	}
	return f.inner.RoundTrip(r)
}
