package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/client"
)

// The bars of the invoke row.
const (
	throughputBar = 0.7
	addedBar      = 500 * time.Microsecond
	handlerBar    = 100 * time.Microsecond
)

const sessionID = "benchmark-session-0123456789012345"

// invokeRow compares an invocation through Outcrop with a bare ReverseProxy
// whose transport dials the same sandbox through the same engine.
func invokeRow(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "outcrop-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := start(ctx, dir)
	if err != nil {
		return err
	}
	defer b.stop()
	requests := map[int][]byte{}
	for _, size := range []int{1 << 10, 64 << 10} {
		if requests[size], err = b.signed(ctx, b.arn, sessionID, payload(size)); err != nil {
			return err
		}
	}
	if _, err := load(b.addr, requests[1<<10], 1<<10, 1); err != nil { // starts the session
		return err
	}
	proxy, release, err := b.proxy(ctx)
	if err != nil {
		return err
	}
	defer release()
	defer proxy.Close()
	bare := proxy.Listener.Addr().String()

	fmt.Printf("\n%-22s %14s %14s %7s %10s %10s %10s\n", "invoke (SigV4)", "outcrop req/s", "proxy req/s", "ratio", "p50", "proxy p50", "echo p50")
	failed := false
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, n := range []int{1, 16, 64} {
			ours, theirs, err := b.pair(bare, requests[size], size, n)
			if err != nil {
				return err
			}
			ratio := ours.perSecond / theirs.perSecond
			ok := ratio >= throughputBar && (n > 1 || ours.p50-theirs.p50 <= addedBar)
			fmt.Printf("%3d KiB, %2d at once     %14.0f %14.0f %7.2f %10s %10s %7d µs  %s\n", size>>10, n,
				ours.perSecond, theirs.perSecond, ratio, ms(ours.p50), ms(theirs.p50), ours.handler.Microseconds(), verdict(ok))
			if n == 1 && size == 1<<10 && ours.handler > handlerBar { // a long body takes it as long to read
				failed = true
			}
		}
	}
	fmt.Printf("bars: ratio >= %.1f; added p50 at one at once <= %s\n", throughputBar, ms(addedBar))
	if failed {
		return fmt.Errorf("the echo's own handler took more than %v at p50: the machine is too busy to measure", handlerBar)
	}
	return nil
}

// pair measures both in turn and keeps the medians.
func (b *bench) pair(bare string, request []byte, size, n int) (ours, theirs result, err error) {
	var a, z []result
	for range rounds {
		r, err := load(b.addr, request, size, n)
		if err != nil {
			return ours, theirs, fmt.Errorf("through outcrop: %w", err)
		}
		a = append(a, r)
		if r, err = load(bare, request, size, n); err != nil {
			return ours, theirs, fmt.Errorf("through the proxy: %w", err)
		}
		z = append(z, r)
	}
	return medians(a), medians(z), nil
}

func medians(rs []result) result {
	var per []float64
	var p50, handler []time.Duration
	for _, r := range rs {
		per, p50, handler = append(per, r.perSecond), append(p50, r.p50), append(handler, r.handler)
	}
	return result{median(per), median(p50), median(handler)}
}

// bench is a running server with the echo deployed, and how to reach it.
type bench struct {
	target
	server *app.Server
	stop   func()
	arn    string // the echo's
}

func start(ctx context.Context, dir string) (*bench, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	data := filepath.Join(dir, "data")
	server, err := app.Build(ctx, app.Config{
		Listener: l, DataDir: data, Region: "us-east-1", Version: "bench", Log: slog.New(slog.DiscardHandler), Grace: time.Second,
		Ready: func(string, string) { close(ready) },
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		return nil, errors.Join(err, errors.New("the server ended at once"))
	}
	b := &bench{server: server, stop: func() {
		cancel()
		if err := <-done; err != nil {
			fmt.Fprintln(os.Stderr, "stop server:", err)
		}
	}}
	creds, err := client.ReadCredentials(data)
	if err == nil {
		b.target = target{l.Addr().String(), creds}
		b.arn, err = b.deploy(ctx, dir)
	}
	if err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

// deploy builds the echo, packs it and creates the runtime.
func (b *bench) deploy(ctx context.Context, dir string) (arn string, err error) {
	code, err := agent.Zip(ctx, dir, "github.com/outcrop/outcrop/conformance/bench/echo")
	if err != nil {
		return "", err
	}
	runtime, err := agent.Deploy(ctx, b.account(), "bench", "echo", code)
	if err != nil {
		return "", err
	}
	return *runtime.AgentRuntimeArn, nil
}

// proxy is what Outcrop is compared with: nothing but the hop.
func (b *bench) proxy(ctx context.Context) (*httptest.Server, func(), error) {
	use, err := b.use(ctx)
	if err != nil {
		return nil, nil, err
	}
	return proxyTo(use.Transport()), use.Release, nil
}

// whole reads a body to its end. One that breaks is sent as it is, and the echo
// refuses it.
func whole(body io.Reader) io.ReadCloser {
	read, _ := io.ReadAll(body)
	return io.NopCloser(bytes.NewReader(read))
}
