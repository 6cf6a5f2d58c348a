package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// networkTests are about what guests reach beyond themselves.
func networkTests() []test {
	return []test{
		{"NetworkStream", testNetworkStream},
		{"NetworkHalfClose", testNetworkHalfClose},
		{"NetworkRefusals", testNetworkRefusals},
		{"NetworkDatagrams", testNetworkDatagrams},
		{"NetworkFlood", testNetworkFlood},
		{"NetworkEnds", testNetworkEnds},
		{"NetworkApart", testNetworkApart},
		{"NetworkSlowReader", testNetworkSlowReader},
		{"NetworkBandwidth", testNetworkBandwidth},
		{"NetworkPing", testNetworkPing},
		{"Passthrough", testPassthrough},
	}
}

// A networkFunc is a sandbox.Network.
type networkFunc func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error)

// Connect implements sandbox.Network.
func (f networkFunc) Connect(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	return f(ctx, network, to)
}

// needsOutbound skips what an engine without networks cannot do.
func needsOutbound(t *testing.T, b *bench) {
	t.Helper()
	if !b.engine.Capabilities().Outbound {
		t.Skip("Capabilities().Outbound is false")
	}
}

// servesTCP starts a server on the machine's loopback whose connections serve
// gets, and returns how to connect to it.
func servesTCP(t *testing.T, serve func(*net.TCPConn)) func(context.Context) (net.Conn, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c.(*net.TCPConn))
		}
	}()
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
}

func echo(c net.Conn) {
	defer c.Close()
	if _, err := io.Copy(c, c); err != nil {
		return
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// both is a network where every connection to port 1 is a socket's, and every
// other one a pipe's in memory. All are echoes.
func both(t *testing.T) networkFunc {
	dial := servesTCP(t, func(c *net.TCPConn) { echo(c) })
	return func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
		if to.Port() == 1 {
			return dial(ctx)
		}
		ours, theirs := net.Pipe()
		go echo(theirs)
		return ours, nil
	}
}

// testNetworkStream sends 100 MB there and back, through a socket, and less
// through a pipe, which has no half-close: its end is the guest's.
func testNetworkStream(t *testing.T, b *bench) {
	needsOutbound(t, b)
	const size = 100 << 20
	var asked []string
	var mu sync.Mutex
	network := both(t)
	spec := b.spec(t, "exchange", "198.51.100.7:1", fmt.Sprint(size))
	spec.Network = networkFunc(func(ctx context.Context, kind string, to netip.AddrPort) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, kind+" "+to.String())
		return network(ctx, kind, to)
	})
	var out, speed Buffer
	spec.Stdout, spec.Stderr = &out, &speed
	s := b.start(t, spec)
	wait(t, s)
	if got, want := out.String(), fmt.Sprintf("%d bytes, equal true, ok\n", size); got != want {
		t.Errorf("the guest says %q, want %q", got, want)
	}
	t.Logf("there and back: %s", strings.TrimSpace(speed.String()))
	if want := "tcp 198.51.100.7:1"; len(asked) != 1 || asked[0] != want {
		t.Errorf("the network was asked for %q, want %q", asked, want)
	}
	u, err := s.Usage(t.Context())
	if err != nil || u.Sent != size || u.Received != size {
		t.Errorf("Usage() = %+v, %v; want %d sent and received", u, err, size)
	}
}

// testNetworkHalfClose: the answer to all that a guest has sent comes after it
// said that this was all, whatever the connection is made of.
func testNetworkHalfClose(t *testing.T, b *bench) {
	needsOutbound(t, b)
	dial := servesTCP(t, func(c *net.TCPConn) { echo(c) })
	spec := b.spec(t, "exchange", "198.51.100.7:1", "5000000")
	spec.Network = networkFunc(func(ctx context.Context, _ string, _ netip.AddrPort) (net.Conn, error) {
		c, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return wrapped{c.(*net.TCPConn)}, nil // no socket that could be handed over
	})
	if out, _, _ := b.output(t, spec); out != "5000000 bytes, equal true, ok\n" {
		t.Errorf("the guest says %q", out)
	}
}

// wrapped is a connection that is no socket to those who look.
type wrapped struct{ halfCloser }

type halfCloser interface {
	net.Conn
	CloseWrite() error
}

func testNetworkRefusals(t *testing.T, b *bench) {
	needsOutbound(t, b)
	refusals := map[string]error{
		"198.51.100.1:80": errors.New("the policy says no"),
		"198.51.100.2:80": syscall.ECONNREFUSED,
		"198.51.100.3:80": context.DeadlineExceeded,
	}
	spec := b.spec(t, "dial", "198.51.100.1:80", "198.51.100.2:80", "198.51.100.3:80")
	spec.Network = networkFunc(func(_ context.Context, _ string, to netip.AddrPort) (net.Conn, error) {
		return nil, refusals[to.String()]
	})
	out, _, _ := b.output(t, spec)
	want := "198.51.100.1:80: connection refused\n198.51.100.2:80: connection refused\n198.51.100.3:80: i/o timeout\n"
	if out != want {
		t.Errorf("the guest says\n%swant\n%s", out, want)
	}
	spec = b.spec(t, "rawsockets")
	spec.ID += "-raw"
	spec.Network = both(t)
	out, _, _ = b.output(t, spec)
	if strings.Contains(out, ": ok\n") || strings.Count(out, "\n") != 6 {
		t.Errorf("a guest can have raw sockets or another's address:\n%s", out)
	}
}

func testNetworkDatagrams(t *testing.T, b *bench) {
	needsOutbound(t, b)
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := server.ReadFromUDP(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteToUDP(buf[:n], from)
		}
	}()
	for _, port := range []string{"1", "2"} { // a socket's, and one in memory
		spec := b.spec(t, "datagrams", "198.51.100.7:"+port, "1", "1400", "9000", "60000", "3")
		spec.ID += port
		spec.Network = networkFunc(func(_ context.Context, network string, to netip.AddrPort) (net.Conn, error) {
			if network != "udp" {
				return nil, fmt.Errorf("%s was asked for", network)
			}
			c, err := net.Dial("udp4", server.LocalAddr().String())
			if err == nil && to.Port() != 1 {
				c = struct{ net.Conn }{c}
			}
			return c, err
		})
		out, _, _ := b.output(t, spec)
		if want := "1: true ok\n1400: true ok\n9000: true ok\n60000: true ok\n3: true ok\n"; out != want {
			t.Errorf("port %s: the guest says\n%swant\n%s", port, out, want)
		}
	}
	spec := b.spec(t, "datagrams", "198.51.100.7:3", "1")
	spec.ID += "refused"
	spec.Network = networkFunc(func(context.Context, string, netip.AddrPort) (net.Conn, error) { return nil, syscall.ECONNREFUSED })
	if out, _, _ := b.output(t, spec); out != "1: false connection refused\n" {
		t.Errorf("of a refused flow the guest says %q", out)
	}
}

// testNetworkFlood opens ten thousand connections, many more than are allowed.
func testNetworkFlood(t *testing.T, b *bench) {
	needsOutbound(t, b)
	const allowed = 64
	count := often(2500, 10_000)
	var open, most atomic.Int64
	dial := servesTCP(t, func(c *net.TCPConn) {
		n := open.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		_, _ = io.Copy(io.Discard, c)
		open.Add(-1)
		c.Close()
	})
	spec := b.spec(t, "flood", "198.51.100.7:80", fmt.Sprint(count))
	spec.Limits.Connections = allowed
	spec.Network = networkFunc(func(ctx context.Context, _ string, _ netip.AddrPort) (net.Conn, error) { return dial(ctx) })
	var out, took Buffer
	spec.Stdout, spec.Stderr = &out, &took
	begin := time.Now()
	s := b.start(t, spec)
	wait(t, s)
	t.Logf("%s", strings.TrimSpace(took.String()))
	if d := time.Since(begin); d > 45*time.Second {
		t.Errorf("the flood took %v, want less than 45 s", d)
	}
	if m := most.Load(); m > allowed {
		t.Errorf("%d connections were open at once, %d are allowed", m, allowed)
	}
	found := regexp.MustCompile(`ok: (\d+)\nconnection refused: (\d+)\n$`).FindStringSubmatch(out.String())
	if found == nil {
		t.Fatalf("the guest says %q", out.String())
	}
	ok, _ := strconv.Atoi(found[1])
	refused, _ := strconv.Atoi(found[2])
	if ok != allowed || ok+refused != count {
		t.Errorf("%d connections were made and %d refused, want %d of %d", ok, refused, allowed, count)
	}
}

// testNetworkEnds: with the sandbox, its connections end.
func testNetworkEnds(t *testing.T, b *bench) {
	needsOutbound(t, b)
	ended := make(chan struct{})
	dial := servesTCP(t, func(c *net.TCPConn) {
		_, _ = io.Copy(io.Discard, c)
		c.Close()
		close(ended)
	})
	spec := b.spec(t, "hold", "198.51.100.7:80")
	spec.Network = networkFunc(func(ctx context.Context, _ string, _ netip.AddrPort) (net.Conn, error) { return dial(ctx) })
	s := b.ready(t, spec)
	stop(t, s, 0)
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("a connection outlives its sandbox")
	}
}

// testNetworkApart: two sandboxes with the same addresses do not meet, and what
// one asks for is asked of its own network.
func testNetworkApart(t *testing.T, b *bench) {
	needsOutbound(t, b)
	serving := b.spec(t, "serve", ":8080")
	serving.Network = both(t)
	var ready Buffer
	serving.Stdout = &ready
	b.start(t, serving)
	ready.WaitFor(t, "ready\n")
	var asked atomic.Int64
	spec := b.spec(t, "dial", "192.0.0.1:8080", "192.0.0.2:8080", "192.0.0.3:8080", "127.0.0.1:8080")
	spec.ID += "-dials"
	spec.Network = networkFunc(func(context.Context, string, netip.AddrPort) (net.Conn, error) {
		asked.Add(1)
		return nil, errors.New("no")
	})
	out, _, _ := b.output(t, spec)
	if strings.Contains(out, ": ok\n") || strings.Count(out, "\n") != 4 {
		t.Errorf("a sandbox reaches another:\n%s", out)
	}
	if asked.Load() == 0 {
		t.Error("its own network was asked for nothing")
	}
}

// testNetworkSlowReader: who does not read stops the guest and nobody else.
func testNetworkSlowReader(t *testing.T, b *bench) {
	needsOutbound(t, b)
	const size = 32 << 20
	goOn := make(chan struct{})
	dial := servesTCP(t, func(c *net.TCPConn) {
		<-goOn
		echo(c)
	})
	slow := b.spec(t, "exchange", "198.51.100.7:80", fmt.Sprint(size))
	slow.Network = networkFunc(func(ctx context.Context, _ string, _ netip.AddrPort) (net.Conn, error) { return dial(ctx) })
	var out Buffer
	slow.Stdout = &out
	s := b.start(t, slow)
	last := int64(-1)
	for {
		u, err := s.Usage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if u.Sent > 0 && u.Sent == last {
			break
		}
		last = u.Sent
		time.Sleep(200 * time.Millisecond) // the pace of looking at another process
	}
	if last >= size {
		t.Errorf("%d bytes were taken, though nobody reads", last)
	}
	other := b.spec(t, "exchange", "198.51.100.7:1", "1000000")
	other.ID += "-other"
	other.Network = both(t)
	if out, _, _ := b.output(t, other); out != "1000000 bytes, equal true, ok\n" {
		t.Errorf("beside a slow one, the guest says %q", out)
	}
	close(goOn)
	wait(t, s)
	if got, want := out.String(), fmt.Sprintf("%d bytes, equal true, ok\n", size); got != want {
		t.Errorf("the guest says %q, want %q", got, want)
	}
}

func testNetworkBandwidth(t *testing.T, b *bench) {
	needsOutbound(t, b)
	const rate, size = 4 << 20, 8 << 20
	spec := b.spec(t, "exchange", "198.51.100.7:1", fmt.Sprint(size))
	spec.Network = both(t)
	spec.Limits.Bandwidth = rate
	begin := time.Now()
	out, _, _ := b.output(t, spec)
	if want := fmt.Sprintf("%d bytes, equal true, ok\n", size); out != want {
		t.Errorf("the guest says %q, want %q", out, want)
	}
	if took := time.Since(begin); took < 3*size/rate*time.Second/4 {
		t.Errorf("%d bytes took %v at %d bytes a second", size, took, rate)
	}
}

// testNetworkPing: the gateway answers.
func testNetworkPing(t *testing.T, b *bench) {
	needsOutbound(t, b)
	spec := b.spec(t, "probe", "self", "ping:192.0.0.1")
	spec.Network = both(t)
	if out, _, _ := b.output(t, spec); !strings.Contains(out, "\tgot: ") {
		t.Errorf("the guest says %q", out)
	}
}

// testPassthrough: a guest with the machine's network stack serves as all others do,
// or is refused where there is none.
func testPassthrough(t *testing.T, b *bench) {
	spec := b.spec(t, "serve", "127.0.0.1:80")
	spec.Passthrough = true
	var ready Buffer
	spec.Stdout = &ready
	if !b.engine.Capabilities().Passthrough {
		if _, err := b.engine.Start(t.Context(), spec); !errors.Is(err, sandbox.ErrInvalid) {
			t.Errorf("Start() = %v, and Capabilities().Passthrough is false", err)
		}
		return
	}
	s := b.start(t, spec)
	ready.WaitFor(t, "ready\n")
	c, done := Client(s, 80)
	defer done()
	if got := post(t, c, "/", "hello"); got != "hello" {
		t.Errorf("the guest says %q", got)
	}
	if _, err := s.Dial(t.Context(), 81); !errors.Is(err, sandbox.ErrRefused) {
		t.Errorf("Dial() of a port where nobody listens = %v", err)
	}
	dials := b.spec(t, "dial", "192.0.0.2:80", "127.0.0.1:80") // where nobody else's is
	dials.ID, dials.Passthrough = "dials", true
	if out, _, _ := b.output(t, dials); strings.Contains(out, ": ok") || strings.Count(out, "\n") != 2 {
		t.Errorf("another guest of its kind reaches it:\n%s", out)
	}
}
