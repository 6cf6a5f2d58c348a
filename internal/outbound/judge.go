package outbound

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// lookupLimit bounds how long Judge waits for the addresses of a name.
const lookupLimit = time.Second

// Judge tells what a client of this configuration would refuse of a URL, without calling
// it: a *Refused where all addresses of its host are refused, a *net.DNSError where the name
// is none, and nil where nothing is known against it. Proxies are left out.
func (cfg Config) Judge(ctx context.Context, u *url.URL) error {
	return cfg.judge(ctx, u, net.DefaultResolver.LookupNetIP)
}

func (cfg Config) judge(ctx context.Context, u *url.URL, lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)) error {
	plain := u.Scheme == "http"
	usual := "443"
	if plain {
		usual = "80"
	}
	f := fence{cfg.Private, cfg.Machine}
	host, port, network, named := f.leads(cfg.Via, u.Hostname(), cmp.Or(u.Port(), usual), "tcp")
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{a}
	} else {
		ctx, cancel := context.WithTimeout(ctx, lookupLimit)
		defer cancel()
		if addrs, err = lookup(ctx, "ip"+strings.TrimPrefix(network, "tcp"), host); err != nil {
			if none, ok := errors.AsType[*net.DNSError](err); ok && none.IsNotFound {
				return none
			}
			return nil
		}
	}
	var first error
	for _, a := range addrs {
		at, err := netip.ParseAddrPort(net.JoinHostPort(a.String(), port))
		if err != nil {
			return nil // a port that is none is another matter
		}
		if err = f.judge(at, named, plain); err == nil {
			return nil
		}
		first = cmp.Or(first, err)
	}
	return first
}
