package gvisor

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
)

// leadsTo is a network where every connection goes to one address.
type leadsTo string

// Connect implements sandbox.Network.
func (to leadsTo) Connect(ctx context.Context, network string, _ netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, string(to))
}

// peer is a server on the machine's loopback.
func peer(b *testing.B, serve func(net.Conn)) leadsTo {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				serve(c)
				c.Close()
			}()
		}
	}()
	return leadsTo(l.Addr().String())
}

// run runs the suite's guest to its end, which must be good, and returns how
// long it ran after its start.
func run(b *testing.B, e sandbox.Engine, id string, network sandbox.Network, args ...string) time.Duration {
	b.Helper()
	var out sandboxtest.Buffer
	s, err := e.Start(b.Context(), sandbox.Spec{
		ID: id, Args: append([]string{"/opt/guest"}, args...), Stdout: &out, Network: network,
		Mounts: []sandbox.Mount{{Source: os.Getenv(guestVariable), Target: "/opt/guest"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	<-s.Done()
	if s.Exit() != (sandbox.Status{Cause: sandbox.Exited}) {
		b.Fatalf("the guest ended with %+v: %s", s.Exit(), out.String())
	}
	return time.Since(begin)
}

// BenchmarkWire is what a wire carries, in MB/s, and what a connection through
// it costs; beside it the same between two sockets of the machine.
func BenchmarkWire(b *testing.B) {
	const size = 1 << 30
	e := open(b)
	defer e.Close(context.Background())
	sink := peer(b, func(c net.Conn) { _, _ = io.Copy(io.Discard, struct{ io.Reader }{c}) })
	source := peer(b, func(c net.Conn) {
		block := make([]byte, 256<<10)
		for n := 0; n < size; n += len(block) {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
	b.Run("up", func(b *testing.B) {
		for i := range b.N {
			took := run(b, e, fmt.Sprint("up", i), sink, "push", "1.2.3.4:80", fmt.Sprint(size))
			b.ReportMetric(size/1e6/took.Seconds(), "MB/s")
		}
	})
	b.Run("down", func(b *testing.B) {
		for i := range b.N {
			took := run(b, e, fmt.Sprint("down", i), source, "pull", "1.2.3.4:80")
			b.ReportMetric(size/1e6/took.Seconds(), "MB/s")
		}
	})
	b.Run("loopback", func(b *testing.B) {
		for range b.N {
			c, err := net.Dial("tcp", string(source))
			if err != nil {
				b.Fatal(err)
			}
			begin := time.Now()
			_, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{c}, make([]byte, 256<<10))
			b.ReportMetric(size/1e6/time.Since(begin).Seconds(), "MB/s")
			c.Close()
		}
	})
	b.Run("connect", func(b *testing.B) {
		const n = 2000
		for i := range b.N {
			idle := run(b, e, fmt.Sprint("idle", i), sink, "connects", "1.2.3.4:80", "0")
			took := run(b, e, fmt.Sprint("connect", i), sink, "connects", "1.2.3.4:80", fmt.Sprint(n))
			b.ReportMetric(float64((took-idle).Microseconds())/n, "µs/connection")
		}
	})
}

// BenchmarkStartWired is BenchmarkStart with a wire.
func BenchmarkStartWired(b *testing.B) {
	e := open(b)
	defer e.Close(context.Background())
	for i := 0; b.Loop(); i++ {
		s, err := e.Start(b.Context(), sandbox.Spec{ID: fmt.Sprint(i), Args: []string{"sleep", "1000"}, Network: leadsTo("127.0.0.1:1")})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Stop(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
