package app

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/ca"
	"github.com/outcrop/outcrop/internal/proxy"
)

// HostsConfig says what is served under AWS's host names, and over TLS.
type HostsConfig struct {
	// TLS are open listeners on which TLS is spoken: for the operator's own names,
	// and for AWS's by clients that were told so by a hosts file.
	TLS []net.Listener
	// Certificate and Key are the operator's, shown for the names they are good
	// for; both may be empty.
	Certificate, Key string
	// Names are the operator's own, for which the private CA signs.
	Names []string
	// Proxy is the open listener of the proxy that answers AWS's names, or nil.
	Proxy net.Listener
	// ServedOnly leaves AWS's names to AWS whose services are not served here.
	ServedOnly bool
}

// hosts are the parts that HostsConfig asks for; without it there are none.
type hosts struct {
	tls   *tls.Config
	proxy *proxy.Proxy
	// serves reports whether a service is served, by its signing name.
	serves func(name string) bool
}

// closeListeners closes what Run was given.
func (c Config) closeListeners() error {
	err := closed(c.Listener.Close())
	for _, l := range c.Hosts.TLS {
		err = errors.Join(err, closed(l.Close()))
	}
	if c.Hosts.Proxy != nil {
		err = errors.Join(err, closed(c.Hosts.Proxy.Close()))
	}
	return err
}

// openHosts makes the private CA, the first time, and what stands on it.
func (s *Server) openHosts(ctx context.Context, cfg Config, f foundation) error {
	h := cfg.Hosts
	if len(h.TLS) == 0 && h.Proxy == nil {
		return nil
	}
	authority, err := ca.Open(ctx, ca.Config{Dir: filepath.Join(cfg.DataDir, "ca"), Box: f.box, Names: h.ownNames(), Now: time.Now})
	if err != nil {
		return err
	}
	var operator *ca.Pair
	if h.Certificate != "" {
		if operator, err = ca.OpenPair(h.Certificate, h.Key, time.Now, cfg.Log); err != nil {
			return err
		}
	}
	s.hosts.tls = authority.TLS(operator)
	if h.Proxy != nil {
		s.hosts.proxy = proxy.New(proxy.Config{
			Terminates: s.terminates, TLS: s.hosts.tls, Log: cfg.Log, Gate: s.door,
			Upstream: func(u *url.URL) (*url.URL, error) { return http.ProxyFromEnvironment(&http.Request{URL: u}) },
			// The front is built later, and nothing is served before.
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.front.ServeHTTP(w, r) }),
		})
	}
	return nil
}

// ownNames are the operator's names, and the addresses that are listened on.
func (h HostsConfig) ownNames() []string {
	names := h.Names
	if h.Certificate != "" {
		return names // which is good for the addresses
	}
	for _, l := range h.TLS {
		at, err := netip.ParseAddrPort(l.Addr().String())
		if a := at.Addr().Unmap().WithZone(""); err == nil && !a.IsUnspecified() && !a.IsLoopback() {
			names = append(names[:len(names):len(names)], a.String())
		}
	}
	return names
}

// terminates reports whether a host name is answered here.
func (s *Server) terminates(host string) bool {
	name, ok := awshost.Parse(host)
	return ok && (!s.cfg.Hosts.ServedOnly || s.hosts.serves(name.Service))
}

// serveHosts answers on the further listeners.
func (s *Server) serveHosts(ctx context.Context, group *errgroup.Group, server *http.Server) {
	for _, l := range s.cfg.Hosts.TLS {
		group.Go(func() error { return answer(server, tls.NewListener(s.door.Listen(l), s.hosts.tls)) })
	}
	if p := s.hosts.proxy; p != nil {
		group.Go(func() error { return answer(server, p.Terminated()) })
		group.Go(func() error { return p.Serve(ctx, s.cfg.Hosts.Proxy) })
	}
}

// sameHost refuses a request over TLS for another host than the connection was
// made for: whoever stands between may have led it here.
func sameHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && r.TLS.ServerName != "" {
			host := (&url.URL{Host: r.Host}).Hostname()
			if !strings.EqualFold(strings.TrimSuffix(host, "."), strings.TrimSuffix(r.TLS.ServerName, ".")) {
				http.Error(w, "The connection was made for "+r.TLS.ServerName+" and the request is for another host.", http.StatusMisdirectedRequest)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
