// Package outbound makes the HTTP clients for addresses that callers name: issuers,
// their keys, token endpoints, targets of gateways.
//
// Such a client is not a way into this machine or its networks (server-side request
// forgery). It connects to public addresses alone, and to what the operator opened.
// The address is judged when its socket is about to connect, after the name was
// resolved, so a name that resolves differently the second time gains nothing. A
// cloud's metadata service is never reached, nor a link-local address, whatever was
// opened. TLS is required,
// but for what the operator opened. A redirect is followed only for a request that
// can be repeated as it is (GET, HEAD), never from https to http, to another host
// only at public addresses, and there without any of the request's headers that
// could hold a credential. The environment's proxy is not used.
package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/outcrop/outcrop/internal/outbound/http1"
)

// The defaults of Config (spec/identity.md 12.6).
const (
	DefaultTimeout = 10 * time.Second
	DefaultMaxBody = 1 << 20
	// MaxRedirects are followed, one after another.
	MaxRedirects = 3
)

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 64 << 10

// Config is what a client is made with. The zero value reaches the public internet
// over TLS.
type Config struct {
	// Private is what is reached although it is not public: `outcrop serve
	// --allow-private VALUE`, as ParsePrivate reads it.
	Private Private

	// Machine tells whether an address is this machine's own (network.Machine.Has):
	// they are then reached only where Private opens each, since no firewall stands
	// between. Nil knows only those that are loopback.
	Machine func(netip.Addr) bool

	// Roots are what servers' certificates are checked against: the system's and the
	// operator's (`outcrop serve --trust-ca FILE`), as RootsWith joins them. Nil is
	// the system's alone.
	Roots *x509.CertPool

	// Timeout bounds a whole exchange, redirects and body included. Zero is
	// DefaultTimeout; below zero is none, for a caller whose contexts end.
	Timeout time.Duration

	// MaxBody bounds a body, in bytes as they are read, after decompression. Reading
	// more is a *TooLarge. Zero is DefaultMaxBody; below zero is none.
	MaxBody int64

	// Idle is how many connections to one host are kept for what is asked next, and
	// IdleTimeout how long. Zero is 4 connections and 30 seconds.
	Idle        int
	IdleTimeout time.Duration

	// Direct sends small requests without TLS in the caller's own goroutine (package
	// http1), for those that are on the way of every call. Their answers are not
	// compressed.
	Direct bool

	// Via is where requests for what was asked for go, redirects to other hosts left out;
	// nil is where their URLs say.
	Via *Via

	// Proxy is asked for a request's proxy, and nil is none. A proxy resolves names
	// by itself: what it must not reach is then for it to refuse, and only addresses
	// and localhost that stand in a URL are judged here.
	Proxy func(*http.Request) (*url.URL, error)
}

// Via is where connections go in the place of a URL's own host, as to a load balancer
// before it. Names in requests and certificates stay the URL's. It is judged like any
// host that a URL names.
type Via struct {
	// Host is a name or an address, and empty the URL's own; Port is empty for the URL's.
	Host, Port string
	// Network is tcp4 or tcp6 where only such addresses are meant.
	Network string
	// Opened is set for what the operator has named, whatever it resolves to: as a name
	// among Private.Hosts.
	Opened bool
}

// New returns a client; it is safe for concurrent use. Its errors unwrap to a
// *Refused where the guard refused, before a byte was sent.
func New(cfg Config) *http.Client {
	switch {
	case cfg.Timeout == 0:
		cfg.Timeout = DefaultTimeout
	case cfg.Timeout < 0:
		cfg.Timeout = 0
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.Idle == 0 {
		cfg.Idle = 4
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = 30 * time.Second
	}
	g := &guard{cfg: cfg, home: fence{cfg.Private, cfg.Machine}, away: fence{machine: cfg.Machine}}
	g.secure = g.transport(guarded(g.home, false, cfg.Via))
	plain := guarded(g.home, true, cfg.Via)
	g.plain = g.transport(plain)
	if cfg.Direct {
		g.plain = http1.New(http1.Config{Dial: plain, Next: g.plain, MaxIdle: cfg.Idle, IdleTimeout: cfg.IdleTimeout, MaxHeader: maxHeader})
	}
	g.abroad = g.transport(guarded(g.away, false, nil))
	if cfg.Proxy != nil {
		g.proxied = g.transport(dialer().DialContext)
		g.proxied.Proxy = cfg.Proxy
	}
	return &http.Client{Transport: g, CheckRedirect: redirect, Timeout: cfg.Timeout}
}

// RootsWith returns the system's roots and those of some PEM files' contents.
func RootsWith(pems ...[]byte) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read system's certificates: %w", err)
	}
	for _, pem := range pems {
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("read certificates to trust: there is no certificate in PEM form")
		}
	}
	return pool, nil
}

// guard is the client's transport. Which of its transports a request takes depends
// on what its connection may be to, as connections are kept by scheme and host
// alone.
type guard struct {
	cfg     Config
	home    fence           // of what was asked for
	away    fence           // of where redirects lead
	secure  *http.Transport // https, to public addresses and what is opened
	plain   transport       // http, to what is opened alone
	abroad  *http.Transport // https, to public addresses alone
	proxied *http.Transport // to a proxy; nil without one
}

// transport is what keeps connections.
type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

func (g *guard) transport(dial dialFunc) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{RootCAs: g.cfg.Roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    DefaultTimeout,
		MaxIdleConns:           max(64, g.cfg.Idle),
		MaxIdleConnsPerHost:    g.cfg.Idle,
		IdleConnTimeout:        g.cfg.IdleTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	t, err := g.choose(r)
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	answer, err := t.RoundTrip(r)
	if err != nil || g.cfg.MaxBody < 0 {
		return answer, err
	}
	if answer.ContentLength > g.cfg.MaxBody && r.Method != http.MethodHead {
		answer.Body.Close()
		return nil, &TooLarge{g.cfg.MaxBody}
	}
	answer.Body = bound(answer.Body, g.cfg.MaxBody)
	return answer, nil
}

// choose judges what can be judged by a URL and returns the transport that judges
// the rest.
func (g *guard) choose(r *http.Request) (transport, error) {
	refuse := func(reason, fix string) error { return &Refused{Host: r.URL.Host, Reason: reason, Fix: fix} }
	strayed := astray(r)
	switch {
	case r.URL.Host == "" || r.URL.Hostname() == "":
		return nil, refuse("the URL names no host", "")
	case r.URL.User != nil:
		return nil, refuse("the URL holds a user name or password", "")
	case r.URL.Scheme != "https" && r.URL.Scheme != "http":
		return nil, refuse("the URL's scheme is not https", "")
	case strayed && r.URL.Scheme == "http":
		return nil, refuse("it is a redirect to another host without TLS", "")
	}
	judge := g.home
	if strayed {
		judge = g.away
	}
	if g.cfg.Proxy != nil && (strayed || g.cfg.Via == nil || g.cfg.Via.Host == "") { // a proxy would go by the URL
		proxy, err := g.cfg.Proxy(r)
		if err != nil {
			return nil, fmt.Errorf("choose proxy for %s: %w", r.URL.Host, err)
		}
		if proxy != nil {
			return g.proxied, judge.judgeName(r.URL.Hostname(), r.URL.Scheme == "http")
		}
	}
	switch {
	case strayed:
		return g.abroad, nil
	case r.URL.Scheme == "http":
		return g.plain, nil
	}
	return g.secure, nil
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (g *guard) CloseIdleConnections() {
	for _, t := range []transport{g.secure, g.plain, g.abroad} {
		t.CloseIdleConnections()
	}
	if g.proxied != nil {
		g.proxied.CloseIdleConnections()
	}
}

// WithoutURL is an error of a client without the URLs that net/http puts before it: their
// queries may hold keys, and what was asked.
func WithoutURL(err error) error {
	for {
		u, ok := errors.AsType[*url.Error](err)
		if !ok {
			return err
		}
		err = u.Err
	}
}
