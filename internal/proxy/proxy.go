// Package proxy is an HTTP proxy for clients that insist on AWS's host names. A
// CONNECT to such a name is answered by this server itself: its TLS ends here, and
// the connection is handed to the API. A CONNECT to any other name is a tunnel,
// for clients on this machine alone, so that a shell may send all that it does
// through the proxy.
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/gate"
)

const (
	// maxConnections bounds what is open at once, whoever opened it: four times what
	// the gate lets strangers have, so that they cannot take all of it.
	maxConnections = 4096
	// maxTunnels leaves most of them for what this server answers itself.
	maxTunnels = 512
	// headTime is how long the head of a request may take.
	headTime = 10 * time.Second
	// dialTime is how long a tunnel's far end may take.
	dialTime = 15 * time.Second
	// idleTime is how long a tunnel may stay silent.
	idleTime = 30 * time.Minute
)

// Config is what a Proxy is made of. All members are required but Gate and Upstream.
type Config struct {
	// Terminates reports whether a host name is this server's to answer.
	Terminates func(host string) bool
	// TLS has the certificates of those names. Its connections implement
	// interface{ Target() string }, which tells it the name.
	TLS *tls.Config
	// Handler answers requests in the clear for those names.
	Handler http.Handler
	// Gate bounds the connections of strangers; nil bounds none. What is terminated
	// stays one until the API knows who calls.
	Gate *gate.Gate
	// Upstream names the proxy that tunnels to a URL go through, or nil.
	Upstream func(*url.URL) (*url.URL, error)
	Log      *slog.Logger
}

// Proxy serves one listener.
type Proxy struct {
	cfg        Config
	terminated *handover
	dialer     net.Dialer
	deny       func(netip.Addr) error // what tunnels may not end at
	own        string                 // the listener's address

	mu      sync.Mutex
	tunnels map[*tunnel]struct{}
	ended   bool
	running sync.WaitGroup
}

// New returns a proxy that serves nothing yet.
func New(cfg Config) *Proxy {
	p := &Proxy{cfg: cfg, terminated: newHandover(), tunnels: map[*tunnel]struct{}{}, deny: denied}
	p.dialer = net.Dialer{Timeout: dialTime, KeepAlive: 30 * time.Second, ControlContext: p.control}
	return p
}

// Terminated is where the connections come out whose names are this server's:
// *tls.Conn, their handshakes still to come.
func (p *Proxy) Terminated() net.Listener { return p.terminated }

// Serve answers on l until ctx ends, and then closes it and every tunnel. What has
// been handed over lives on.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	p.own = l.Addr().String()
	server := &http.Server{
		Handler: p, ReadHeaderTimeout: headTime, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10, DisableGeneralOptionsHandler: true,
		ErrorLog: slog.NewLogLogger(p.cfg.Log.Handler(), slog.LevelDebug),
	}
	if door := p.cfg.Gate; door != nil {
		server.Handler, server.ConnContext, l = gate.Handler(p), gate.Context, door.Listen(l)
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err := server.Serve(limit(l, maxConnections))
	_ = p.terminated.Close()
	p.endTunnels()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve proxy %s: %w", l.Addr(), err)
	}
	return nil
}

// ServeHTTP answers one request of a client's.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		p.plain(w, r)
		return
	}
	t, err := parseTarget(r.RequestURI)
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, "The target of CONNECT is wrong: %v.", err)
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		// Nobody agrees where such a request ends and the tunnel begins.
		refuse(w, http.StatusBadRequest, "CONNECT has no body.")
	case p.cfg.Terminates(t.host) && t.port == 443:
		p.terminate(w, t)
	case p.cfg.Terminates(t.host) && t.port == 80:
		refuse(w, http.StatusForbidden, "%s is answered over TLS alone here, on port 443.", t.host)
	case !local(r.RemoteAddr):
		refuse(w, http.StatusForbidden, "This proxy answers AWS's names, and opens connections to others for clients on its own machine only. Add %s to NO_PROXY.", t.host)
	default:
		p.tunnel(r.Context(), w, t)
	}
}

// local reports whether a client is on this machine.
func local(remote string) bool {
	a, err := netip.ParseAddrPort(remote)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// refuse answers with a reason. Most clients show the status line alone.
func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, format+"\n", args...) // a client that has left
}

// plain answers a request that is no CONNECT: of those that name a whole URL, the
// ones for this server's names.
func (p *Proxy) plain(w http.ResponseWriter, r *http.Request) {
	port := r.URL.Port()
	switch {
	case r.URL.Host == "":
		refuse(w, http.StatusBadRequest, "This is a proxy. Name it in HTTPS_PROXY: eval \"$(outcrop env --aws-hosts)\"")
	case r.URL.Scheme != "http" || port != "" && port != "80" || !p.cfg.Terminates(r.URL.Hostname()):
		refuse(w, http.StatusForbidden, "This proxy forwards no requests in the clear. Name it in HTTPS_PROXY and not in HTTP_PROXY.")
	default:
		for _, name := range []string{"Proxy-Connection", "Proxy-Authorization"} {
			r.Header.Del(name)
		}
		p.cfg.Handler.ServeHTTP(w, r)
	}
}

// established is the answer after which the connection is the client's own.
const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// take says yes to a CONNECT and returns the connection. The error was told.
func take(w http.ResponseWriter) (net.Conn, error) {
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	err = c.SetDeadline(time.Time{})
	if err == nil {
		_, err = io.WriteString(c, established)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	// A client may have gone on without waiting for the answer.
	if n := buffered.Reader.Buffered(); n > 0 {
		early, err := buffered.Reader.Peek(n)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return &begun{Conn: c, early: append([]byte(nil), early...)}, nil
	}
	return c, nil
}

// begun is a connection of which some bytes have been read.
type begun struct {
	net.Conn
	early []byte
}

// Read implements net.Conn.
func (c *begun) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// NetConn is the connection below.
func (c *begun) NetConn() net.Conn { return c.Conn }

// CloseWrite tells the other side that nothing follows.
func (c *begun) CloseWrite() error { return closeWrite(c.Conn) }

// terminate hands a connection to the API.
func (p *Proxy) terminate(w http.ResponseWriter, t target) {
	c, err := take(w)
	if err != nil {
		p.cfg.Log.Debug("client left before its answer", "target", t.String(), "error", err)
		return
	}
	p.terminated.give(tls.Server(&towards{c, t.host}, p.cfg.TLS))
}

// towards is a connection whose client asked for a host.
type towards struct {
	net.Conn
	host string
}

// NetConn is the connection below.
func (c *towards) NetConn() net.Conn { return c.Conn }

// Target is the host.
func (c *towards) Target() string { return c.host }
