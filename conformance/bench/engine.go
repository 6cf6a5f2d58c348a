package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/outcrop/outcrop/conformance/bench/figures"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor"
)

// The bars of the hop: a part of what the same proxy does without a sandbox.
const (
	netstackBar    = 0.4
	passthroughBar = 0.7
)

// rig is an engine without a server, and the echo to run in it.
type rig struct {
	sandbox.Engine
	echo string
}

// openRig builds the echo and opens an engine.
func openRig(ctx context.Context, o options) (*rig, error) {
	dir, err := os.MkdirTemp(o.dir, "engine-")
	if err != nil {
		return nil, err
	}
	echo := filepath.Join(dir, "echo")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", echo, "github.com/outcrop/outcrop/conformance/bench/echo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the echo: %w: %s", err, out)
	}
	engine, err := gvisor.New(gvisor.Config{Dir: filepath.Join(dir, "sandbox"), Executable: o.sandbox})
	return &rig{engine, echo}, err
}

func (r *rig) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "close engine:", err)
	}
}

// spec runs the echo in a sandbox, holding some MiB.
func (r *rig) spec(id string, heap int) sandbox.Spec {
	return sandbox.Spec{
		ID: id, Args: []string{"/opt/echo", "127.0.0.1:8080", strconv.Itoa(heap)}, SafeToCopy: true,
		Mounts: []sandbox.Mount{{Source: r.echo, Target: "/opt/echo"}},
	}
}

// through is a client of one port, whatever the URL says.
func through(dial func(context.Context) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression: true, MaxIdleConns: 64, MaxIdleConnsPerHost: 64, WriteBufferSize: 32 << 10, ReadBufferSize: 32 << 10,
	}
}

func inside(s sandbox.Sandbox) *http.Transport {
	return through(func(ctx context.Context) (net.Conn, error) { return s.Dial(ctx, 8080) })
}

// answers waits until the echo does.
func answers(ctx context.Context, t http.RoundTripper) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:8080/ping", nil)
		if err != nil {
			return err
		}
		resp, err := t.RoundTrip(req)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the echo does not answer: %w", err)
		case <-time.After(time.Millisecond):
		}
	}
}

// hopRow compares a ReverseProxy to the echo in the sandbox with one to the same
// echo outside.
func hopRow(ctx context.Context, o options, report *figures.Report) error {
	r, err := openRig(ctx, o)
	if err != nil {
		return err
	}
	defer r.close()
	outside, stop, err := r.outside(ctx)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Printf("\n%-30s %14s %14s %7s %10s %12s\n", "the sandbox hop, 1 KiB", "inside req/s", "outside req/s", "ratio", "p50", "outside p50")
	for _, network := range []string{"netstack", "passthrough"} {
		spec, bar := r.spec(network, 0), netstackBar
		if network == "passthrough" {
			spec.Passthrough, bar = true, passthroughBar
		}
		s, err := r.Start(ctx, spec)
		if err != nil {
			return err
		}
		transport := inside(s)
		if err := answers(ctx, transport); err != nil {
			return err
		}
		if err := hops(network, bar, transport, outside, report); err != nil {
			return err
		}
		transport.CloseIdleConnections()
		if err := s.Stop(ctx, 0); err != nil {
			return err
		}
	}
	fmt.Printf("bars: %.1f by the guest's netstack, %.1f by passthrough; docs/benchmarks.md says where the time goes\n", netstackBar, passthroughBar)
	return nil
}

// outside runs the echo as a plain process.
func (r *rig) outside(ctx context.Context) (*http.Transport, func(), error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, r.echo, addr)
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}
	t := through(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	})
	if err := answers(ctx, t); err != nil {
		stop()
		return nil, nil, err
	}
	return t, stop, nil
}

func hops(network string, bar float64, in, out http.RoundTripper, report *figures.Report) error {
	a, z := proxyTo(in), proxyTo(out)
	defer a.Close()
	defer z.Close()
	const size = 1 << 10
	request := fmt.Appendf(nil, "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", size, payload(size))
	for _, n := range []int{1, 16, 64} {
		var ins, outs []result
		for range rounds {
			got, err := load(a.Listener.Addr().String(), request, size, n)
			if err != nil {
				return err
			}
			ins = append(ins, got)
			if got, err = load(z.Listener.Addr().String(), request, size, n); err != nil {
				return err
			}
			outs = append(outs, got)
		}
		x, y := medians(ins), medians(outs)
		h := figures.Hop{Network: network, AtOnce: n, Inside: x.perSecond, Outside: y.perSecond, P50: int64(x.p50)}
		report.Hops = append(report.Hops, h)
		fmt.Printf("%-16s %2d at once    %14.0f %14.0f %7.2f %10s %12s  %s\n", network, n, x.perSecond, y.perSecond, h.Ratio(), ms(x.p50), ms(y.p50), verdict(h.Ratio() >= bar))
	}
	return nil
}

// proxyTo is nothing but the hop. It reads the body first: one that streams it
// loses some requests, since net/http's server takes the body away once the
// answer begins. Outcrop has read it by then as well, to check its hash.
func proxyTo(t http.RoundTripper) *httptest.Server {
	return httptest.NewServer(&httputil.ReverseProxy{
		Transport: t, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Body = whole(r.In.Body)
			r.Out.URL = &url.URL{Scheme: "http", Host: "localhost:8080", Path: "/invocations"}
		},
	})
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
