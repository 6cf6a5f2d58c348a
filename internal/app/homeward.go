package app

import (
	"context"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/outbound"
)

// homeward leads requests here that are for this server, by whatever of its names: a
// gateway may have an agent of this server behind it, by the URL that AWS would give it.
// They go through the listener and the pipeline as anybody's. Others go on as before.
type homeward struct {
	ours func(context.Context, *url.URL) bool
	here *http.Transport
	next http.RoundTripper
	// mark tells this server that a request is its own.
	mark string
}

// idleHomeward is how long a connection to ourselves is kept, for no longer than the
// server keeps it.
const idleHomeward = 4 * time.Second

// leadHome wraps clients that call what others name.
func (s *Server) leadHome(c *http.Client, ours func(context.Context, *url.URL) bool) *http.Client {
	at := dialable(s.cfg.Listener.Addr())
	here := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", at)
		},
		MaxIdleConnsPerHost: 64, IdleConnTimeout: idleHomeward,
	}
	out := *c
	out.Transport = &homeward{ours: ours, here: here, next: c.Transport, mark: s.mark}
	return &out
}

// hopsHeader says how often a request has led to another one to this server, maxHops of
// which are made: a target may lead to its own gateway. Behind the number this server
// puts its mark, which nobody else knows.
const (
	hopsHeader = "X-Outcrop-Hops"
	maxHops    = 8
)

type hopsKey struct{}

// countHops lets homeward know what a request says of how it came about. Whoever says too
// much has no more of their own calls answered.
//
// A request that this server makes has no address that it came from: AWS shows policies no
// caller's (aws:SourceIp) of what its services call, and that of this machine, to which a
// caller may have led it by a gateway, would be somebody else's.
func countHops(mark string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number, shown, _ := strings.Cut(r.Header.Get(hopsHeader), " ")
		if n, err := strconv.Atoi(number); err == nil && n > 0 {
			r = r.WithContext(context.WithValue(r.Context(), hopsKey{}, min(n, maxHops)))
		}
		if mark != "" && subtle.ConstantTimeCompare([]byte(shown), []byte(mark)) == 1 {
			r = r.WithContext(r.Context()) // of net/http's there is one more owner
			r.RemoteAddr = ""
			r.Header.Del(hopsHeader) // which a target could be shown
		}
		next.ServeHTTP(w, r)
	})
}

// RoundTrip implements http.RoundTripper.
func (h *homeward) RoundTrip(r *http.Request) (*http.Response, error) {
	if !h.ours(r.Context(), r.URL) {
		return h.next.RoundTrip(r)
	}
	hops, _ := r.Context().Value(hopsKey{}).(int)
	if hops++; hops > maxHops {
		if r.Body != nil {
			_ = r.Body.Close() // nobody reads it
		}
		return nil, &outbound.Refused{
			Host: r.URL.Host, Reason: "the request has come back to this server " + strconv.Itoa(maxHops) + " times", Fix: "give the target an endpoint that does not lead to its own gateway",
		}
	}
	in := r.Clone(r.Context())
	in.Header.Set(hopsHeader, strconv.Itoa(hops)+" "+h.mark)
	if in.Host == "" {
		in.Host = r.URL.Host // as it was signed
	}
	in.URL.Scheme = "http" // nobody is between
	answer, err := h.here.RoundTrip(in)
	if answer != nil {
		answer.Request = r
	}
	return answer, err
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (h *homeward) CloseIdleConnections() {
	h.here.CloseIdleConnections()
	if c, ok := h.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// dialable is where a listener is reached from this machine.
func dialable(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil || !at.Addr().IsUnspecified() {
		return a.String()
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if at.Addr().Is6() {
		loopback = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(loopback, at.Port()).String()
}

// leadsHome reports which URLs are this server's: those of its listener, of the URL that
// the operator gave it, of its gateways, and AWS's names as far as they lead agents here.
func (s *Server) leadsHome(p *parts) func(context.Context, *url.URL) bool {
	gateway, below, named := gatewayHosts("localhost"), gatewayHosts(strings.ToLower(s.cfg.GatewayDomain)), s.namedHome(p)
	public, err := url.Parse(s.publicURL())
	if err != nil {
		public = &url.URL{} // which leads nowhere
	}
	return func(ctx context.Context, u *url.URL) bool {
		if u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
			return false
		}
		if u.Scheme == "http" && p.kept.reaches(u.Host) || named(ctx, u) {
			return true
		}
		if public.Scheme == u.Scheme &&
			(strings.EqualFold(public.Host, u.Host) || !awshost.Is(u.Hostname()) && below(u.Hostname()) != "" && public.Port() == u.Port()) {
			return true
		}
		return u.Scheme == "http" && u.Port() == p.kept.port && strings.HasSuffix(strings.ToLower(u.Hostname()), ".localhost") && gateway(u.Hostname()) != ""
	}
}

// namedHome reports which URLs have a name of AWS's that leads agents here. A user pool
// that is none of this server's stays AWS's.
func (s *Server) namedHome(p *parts) func(context.Context, *url.URL) bool {
	pool := s.localIssuer(p.foundation, p.pools)
	return func(ctx context.Context, u *url.URL) bool {
		if u.Scheme != "https" || u.User != nil || u.Port() != "" || s.guests.hosts == nil || s.guests.hosts.serves == nil {
			return false
		}
		host := strings.ToLower(u.Hostname())
		if !s.guests.hosts.own(ctx, host, nil) {
			return false
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		if name, _ := awshost.Parse(host); name.Service != "cognito-idp" || name.Prefix != "" || id == "" {
			return true
		}
		_, ok, err := pool(ctx, "https://"+host+"/"+id+"/.well-known/openid-configuration")
		return ok && err == nil
	}
}
