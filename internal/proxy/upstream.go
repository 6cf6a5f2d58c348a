package proxy

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// dial reaches a target, through the next proxy where there is one.
func (p *Proxy) dial(ctx context.Context, t target) (net.Conn, error) {
	if t.addr.IsValid() {
		if err := p.deny(t.addr); err != nil {
			return nil, err
		}
	}
	next, err := p.next(t)
	if err != nil {
		return nil, err
	}
	if next == nil {
		return p.dialer.DialContext(ctx, "tcp", t.String())
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	// An operator's proxy may be on this very machine.
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", hostPort(next))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	through, err := connect(c, next, t)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("through the proxy %s: %w", next.Host, err), c.Close())
	}
	return through, nil
}

// next is the proxy behind this one, which is not this one: a server may have been
// started in a shell that sends everything to it.
func (p *Proxy) next(t target) (*url.URL, error) {
	if p.cfg.Upstream == nil {
		return nil, nil
	}
	next, err := p.cfg.Upstream(&url.URL{Scheme: "https", Host: t.String()})
	if err != nil || next == nil {
		return nil, err
	}
	if next.Scheme != "http" {
		return nil, fmt.Errorf("the proxy %s://%s is not spoken to in HTTP", next.Scheme, next.Host)
	}
	if p.isSelf(hostPort(next)) {
		return nil, nil
	}
	return next, nil
}

// isSelf reports whether an address is this proxy's own.
func (p *Proxy) isSelf(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if host == "localhost" {
		host = "127.0.0.1"
	}
	at, addrErr := netip.ParseAddr(host)
	own, ownErr := netip.ParseAddrPort(p.own)
	if errors.Join(err, addrErr, ownErr) != nil || port != strconv.Itoa(int(own.Port())) {
		return false
	}
	return at == own.Addr() || at.IsLoopback() && own.Addr().IsUnspecified()
}

func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), "80")
}

// connect asks the next proxy for the target.
func connect(c net.Conn, next *url.URL, t target) (net.Conn, error) {
	head := "CONNECT " + t.String() + " HTTP/1.1\r\nHost: " + t.String() + "\r\n"
	if next.User != nil {
		password, _ := next.User.Password()
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(next.User.Username()+":"+password)) + "\r\n"
	}
	if _, err := c.Write([]byte(head + "\r\n")); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(c, 64<<10)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %s", resp.Status)
	}
	if n := r.Buffered(); n > 0 {
		early, err := r.Peek(n)
		return &begun{Conn: c, early: early}, err
	}
	return c, nil
}
