package cli

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"

	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/client/statefile"
)

// listen binds the port. When another server of this user has it and nothing
// speaks against using that one, it says so and returns neither.
func (p *Program) listen(ctx context.Context, f *flags, s serveFlags, dir string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network(s.listen), s.listen)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, p.explainTaken(ctx, f, s, dir)
	case errors.Is(err, syscall.EACCES):
		return nil, fail("Choose a port from 1024 on: --listen 127.0.0.1:8642", "listen on %s: %w", s.listen, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fail("Listen on 127.0.0.1, on 0.0.0.0 for all, or on one of the addresses that ip addr shows.", "no interface of this machine has the address of %s", s.listen)
	}
	f2 := misuse("listen on %s: %w", s.listen, err)
	f2.fix = "--listen takes HOST:PORT, such as " + defaultListen
	return nil, f2
}

// network keeps an IPv4 address to IPv4: Go's "tcp" takes 0.0.0.0 for every
// address of both families, which is more than was asked for.
func network(listen string) string {
	if host, _, err := net.SplitHostPort(listen); err == nil {
		if ip := net.ParseIP(host); ip != nil && ip.To4() != nil {
			return "tcp4"
		}
	}
	return "tcp"
}

// explainTaken finds out who has the port. It is nil when it is a server of this
// user that serves what was asked for.
func (p *Program) explainTaken(ctx context.Context, f *flags, s serveFlags, dir string) error {
	listen := s.listen
	who := whoListens(resolve(listen))
	fix := "Listen on another port: outcrop serve --listen " + freeAddress(ctx, listen)
	if f.data != "" {
		fix += " --data " + quotePOSIX(f.data)
	}
	if r, ok := p.ours(who, listen); ok {
		if f.data == "" || r.DataDirectory == dir {
			p.sayRunning(r, s)
			return nil
		}
		return fail(fix, "%s is taken by your Outcrop with another data directory: pid %d, %s", listen, r.PID, r.DataDirectory)
	}
	if seen, err := client.Probe(ctx, urlOf(addr(listen)), nil); err == nil && seen.Outcrop {
		return fail(fix, "%s is taken by an Outcrop server: %s", listen, who)
	}
	return fail(fix, "%s is taken by %s", listen, who)
}

// ours returns the running server of this user that holds the port.
func (p *Program) ours(who holder, listen string) (statefile.Record, bool) {
	live, err := p.state().Live()
	if err != nil {
		return statefile.Record{}, false
	}
	for _, r := range live {
		if who.pid > 0 && r.PID == who.pid || who.pid == 0 && r.URL == urlOf(addr(listen)) {
			return r, true
		}
	}
	return statefile.Record{}, false
}

// resolve turns localhost:8642 into an address; what has none stays.
func resolve(listen string) string {
	a, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return listen
	}
	if a.IP == nil { // ":8642"
		a.IP = net.IPv6unspecified
	}
	return a.String()
}

// freeAddress is the next port on the same host that nobody has, for a
// suggestion: by the time it is followed somebody may have it.
func freeAddress(ctx context.Context, listen string) string {
	host, port, err := net.SplitHostPort(listen)
	n, convErr := strconv.Atoi(port)
	if err != nil || convErr != nil {
		return defaultListen
	}
	var lc net.ListenConfig
	for next := n + 1; next <= min(n+100, 65535); next++ {
		candidate := net.JoinHostPort(host, strconv.Itoa(next))
		if portOf(candidate) == portOf(defaultProxy) { // which --aws-hosts would want
			continue
		}
		if l, err := lc.Listen(ctx, "tcp", candidate); err == nil {
			_ = l.Close()
			return candidate
		}
	}
	return net.JoinHostPort(host, "0")
}
