package sandboxtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// Client returns an HTTP client that reaches a port of the sandbox, whatever
// the URL's host, and how to give its connections back.
func Client(s sandbox.Sandbox, port uint16) (*http.Client, func()) {
	transport := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx, port) },
		MaxIdleConnsPerHost: 1024,
		DisableCompression:  true,
	}
	return &http.Client{Transport: transport, Timeout: patience}, transport.CloseIdleConnections
}

// server starts a guest that serves HTTP and is ready.
func (b *bench) server(t *testing.T, address string) (sandbox.Sandbox, *Buffer) {
	t.Helper()
	spec := b.spec(t, "serve", address)
	out := new(Buffer)
	spec.Stdout = out
	s := b.start(t, spec)
	out.WaitFor(t, "ready\n")
	return s, out
}

func post(t testing.TB, c *http.Client, path, body string) string {
	t.Helper()
	resp, err := c.Post("http://guest"+path, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Errorf("POST %s: %v", path, err)
		return ""
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("POST %s: %v", path, err)
	}
	return string(got)
}

func testDial(t *testing.T, b *bench) {
	for _, address := range []string{"127.0.0.1:8080", ":8080"} { // both ways an agent may listen
		s, _ := b.server(t, address)
		client, closeIdle := Client(s, 8080)
		for _, body := range []string{"hello", strings.Repeat("x", 100_000)} {
			if got := post(t, client, "/", body); got != body {
				t.Errorf("the echo has %d bytes, want %d", len(got), len(body))
			}
		}
		closeIdle()
		c, err := s.Dial(t.Context(), 8080)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := c.RemoteAddr().String(), s.ID()+":8080"; got != want {
			t.Errorf("RemoteAddr() = %q, want %q", got, want)
		}
		c.Close()
		stop(t, s, 0)
	}
}

func testDialRefused(t *testing.T, b *bench) {
	s, _ := b.server(t, "127.0.0.1:8080")
	for range 3 {
		if c, err := s.Dial(t.Context(), 8081); !errors.Is(err, sandbox.ErrRefused) {
			t.Errorf("Dial() of a closed port = %v, %v; want ErrRefused", c, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("given up")
	cancel(cause)
	if c, err := s.Dial(ctx, 8080); err == nil {
		c.Close() // it may be faster
	} else if !errors.Is(err, cause) {
		t.Errorf("Dial() with a context that ended = %v, want its cause", err)
	}
}

func testDialStopped(t *testing.T, b *bench) {
	s, _ := b.server(t, "127.0.0.1:8080")
	c, err := s.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stop(t, s, 0)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read() of a stopped sandbox's connection = %d, %v; want its end", n, err)
	}
	if _, err := s.Dial(t.Context(), 8080); !errors.Is(err, sandbox.ErrStopped) {
		t.Errorf("Dial() of a stopped sandbox = %v, want ErrStopped", err)
	}
}

func testDialConcurrently(t *testing.T, b *bench) {
	s, _ := b.server(t, "127.0.0.1:8080")
	client, closeIdle := Client(s, 8080)
	defer closeIdle()
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for j := range 20 {
				body := fmt.Sprintf("%d/%d", i, j)
				if got := post(t, client, "/", body); got != body {
					t.Errorf("the echo of %q is %q", body, got)
				}
			}
		})
	}
	wg.Wait()
}

// testManyRequests finds wake-ups that get lost: the guest answers in two pieces,
// and a forwarder that misses the second leaves one request in some thousands
// hanging.
func testManyRequests(t *testing.T, b *bench) {
	s, _ := b.server(t, "127.0.0.1:8080")
	client, closeIdle := Client(s, 8080)
	defer closeIdle()
	client.Timeout = 15 * time.Second
	body := strings.Repeat("x", 1024)
	for i := range often(2500, 20_000) {
		if post(t, client, "/", body); t.Failed() {
			t.Fatalf("request %d failed", i)
		}
	}
}

// testDialDeaf fills a listener's queue. That may keep dials waiting, but never
// a Stop.
func testDialDeaf(t *testing.T, b *bench) {
	spec := b.spec(t, "deaf", "127.0.0.1:8080")
	s := b.ready(t, spec)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if c, err := s.Dial(ctx, 8080); err == nil {
			defer c.Close()
		}
	}
	begin := time.Now()
	stop(t, s, time.Second)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("Stop() took %v", took)
	}
}

func testDeadline(t *testing.T, b *bench) {
	s, _ := b.server(t, "127.0.0.1:8080")
	c, err := s.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read() past its deadline = %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if answer, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.0 200")) {
		t.Errorf("the answer after a missed deadline is %q, %v", answer, err)
	}
}

func testClientLeaves(t *testing.T, b *bench) {
	s, out := b.server(t, "127.0.0.1:8080")
	c, err := s.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET /stream HTTP/1.1\r\nHost: guest\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// Another request shows that the first arrived.
	client, closeIdle := Client(s, 8080)
	defer closeIdle()
	post(t, client, "/", "x")
	begin := time.Now()
	c.Close()
	out.WaitFor(t, "client left\n")
	if took := time.Since(begin); took > time.Second {
		t.Errorf("the guest noticed after %v, want within 1 s", took)
	}
}

// testBigBodies echoes 100 MB of noise and holds both ways to their hash.
func testBigBodies(t *testing.T, b *bench) {
	const size = 100 << 20
	s, _ := b.server(t, "127.0.0.1:8080")
	client, closeIdle := Client(s, 8080)
	defer closeIdle()
	sent, got := sha256.New(), sha256.New()
	noise := io.LimitReader(rand.NewChaCha8([32]byte{1}), size)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://guest/", io.TeeReader(noise, sent))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(got, resp.Body)
	if err != nil || n != size || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Errorf("%d bytes came back (%v), equal: %t; want all %d", n, err, bytes.Equal(sent.Sum(nil), got.Sum(nil)), size)
	}
}

func testHalfClose(t *testing.T, b *bench) {
	spec := b.spec(t, "half", "127.0.0.1:8080")
	s := b.ready(t, spec)
	c, err := s.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	half, ok := c.(interface{ CloseWrite() error })
	if want := b.engine.Capabilities().HalfClose; ok != want {
		t.Fatalf("the connection has CloseWrite: %t, and Capabilities().HalfClose is %t", ok, want)
	}
	if !ok {
		return
	}
	if _, err := io.WriteString(c, "12345"); err != nil {
		t.Fatal(err)
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if answer, err := io.ReadAll(c); err != nil || string(answer) != "5" {
		t.Errorf("the answer after CloseWrite is %q, %v; want 5", answer, err)
	}
}
