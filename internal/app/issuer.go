package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/store"
)

// bases are the addresses by which clients reach the server, as far as it knows
// them: those of its listeners, and for a listener on all of the machine's, those of
// its interfaces; and the one that the operator says. Each begins the name of every user pool as an issuer.
func (s *Server) bases() []string {
	out := basesOf("http", s.cfg.Listener.Addr(), nil)
	for _, l := range s.cfg.Hosts.TLS {
		out = append(out, basesOf("https", l.Addr(), s.cfg.Hosts.Names)...)
	}
	if public := strings.ToLower(strings.TrimSuffix(s.cfg.PublicURL, "/")); public != "" && !slices.Contains(out, public) {
		out = append(out, public)
	}
	return out
}

func basesOf(scheme string, addr net.Addr, names []string) []string {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return nil // a listener that is not on TCP
	}
	ip := at.Addr().Unmap().WithZone("")
	hosts := slices.Clone(names)
	switch {
	case ip.IsUnspecified():
		hosts = append(hosts, "localhost")
		interfaces, err := net.InterfaceAddrs()
		if err != nil {
			interfaces = nil // then by names alone
		}
		for _, a := range interfaces {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				hosts = append(hosts, p.Addr().Unmap().WithZone("").String())
			}
		}
	case ip.IsLoopback():
		hosts = append(hosts, "localhost", ip.String())
	default:
		hosts = append(hosts, ip.String())
	}
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = scheme + "://" + strings.ToLower(net.JoinHostPort(h, fmt.Sprint(at.Port())))
		if u, err := url.Parse(out[i]); err == nil && (scheme == "https" && u.Port() == "443" || scheme == "http" && u.Port() == "80") {
			out[i] = scheme + "://" + strings.TrimSuffix(u.Host, ":"+u.Port())
		}
	}
	return out
}

// localIssuer answers for user pools where a runtime names one as the issuer of its
// callers, so that no request is made to AWS, or to ourselves. Every call with a token
// asks it.
func (s *Server) localIssuer(f foundation, pools *issuer.Pools) func(context.Context, string) (jwt.Local, bool, error) {
	bases := s.bases()
	ours := func(base string) bool { return slices.Contains(bases, strings.ToLower(base)) }
	var found store.Cache[string, jwt.Local] // by discovery URL
	return func(ctx context.Context, discoveryURL string) (jwt.Local, bool, error) {
		if !issuer.MayBe(discoveryURL) {
			return jwt.Local{}, false, nil // that is most, and each call with a token asks
		}
		if l, ok := found.Get(discoveryURL); ok {
			return l, true, nil
		}
		watch := f.store.Watch(issuer.KeyTopic())
		l, ok, err := pools.Local(ctx, discoveryURL, ours, bases)
		if err != nil || !ok {
			return jwt.Local{}, false, err
		}
		keys, err := json.Marshal(l.Keys)
		if err != nil {
			return jwt.Local{}, false, err
		}
		local := jwt.Local{Issuer: l.Issuers[0], Also: l.Issuers[1:], Keys: keys}
		found.Put(discoveryURL, local, watch)
		return local, true, nil
	}
}
