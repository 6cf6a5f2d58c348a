package gvisor

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
)

// BenchmarkStart is the time until the guest's first process runs.
func BenchmarkStart(b *testing.B) {
	e := open(b)
	defer e.Close(context.Background())
	for i := 0; b.Loop(); i++ {
		s, err := e.Start(b.Context(), sandbox.Spec{ID: fmt.Sprint(i), Args: []string{"sleep", "1000"}})
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

// BenchmarkFirstAnswer is the time from Start to the first answer over HTTP.
func BenchmarkFirstAnswer(b *testing.B) {
	e := open(b)
	defer e.Close(context.Background())
	for i := 0; b.Loop(); i++ {
		s := serving(b, e, fmt.Sprint(i))
		client, closeIdle := sandboxtest.Client(s, 8080)
		request(b, client, "http://guest/", "x")
		b.StopTimer()
		closeIdle()
		if err := s.Stop(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkDial is one connection, opened and closed.
func BenchmarkDial(b *testing.B) {
	e := open(b)
	defer e.Close(context.Background())
	s := serving(b, e, "a")
	for b.Loop() {
		c, err := s.Dial(b.Context(), 8080)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkRequest sends 1 KiB to an echo and back over kept connections, inside
// a sandbox and to the same program outside: the price of the hop.
func BenchmarkRequest(b *testing.B) {
	e := open(b)
	defer e.Close(context.Background())
	inside, closeInside := sandboxtest.Client(serving(b, e, "a"), 8080)
	defer closeInside()
	address := outside(b)
	transport := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}}
	defer transport.CloseIdleConnections()
	for _, at := range []struct {
		name   string
		client *http.Client
	}{{"inside", inside}, {"outside", &http.Client{Transport: transport}}} {
		for _, n := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d", at.name, n), func(b *testing.B) {
				requests := make(chan struct{})
				done := make(chan struct{})
				for range n {
					go func() {
						for range requests {
							request(b, at.client, "http://guest/", body)
						}
						done <- struct{}{}
					}()
				}
				b.ResetTimer()
				for range b.N {
					requests <- struct{}{}
				}
				close(requests)
				for range n {
					<-done
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
			})
		}
	}
}

var body = strings.Repeat("x", 1024)

func request(b *testing.B, client *http.Client, url, body string) {
	resp, err := client.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(len(body)) {
		b.Errorf("%d bytes came back, %v", n, err)
	}
}

// serving starts the echo in a sandbox and returns when it listens.
func serving(b *testing.B, e sandbox.Engine, id string) sandbox.Sandbox {
	b.Helper()
	var out sandboxtest.Buffer
	s, err := e.Start(b.Context(), sandbox.Spec{
		ID: id, Args: []string{"/opt/guest", "serve", "127.0.0.1:8080"}, Stdout: &out,
		Mounts: []sandbox.Mount{{Source: os.Getenv(guestVariable), Target: "/opt/guest"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	out.WaitFor(b, "ready\n")
	return s
}

// outside runs the echo without a sandbox and returns its address.
func outside(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.Command(os.Getenv(guestVariable), "serve", address)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		b.Fatalf("the echo said %q, %v", line, err)
	}
	return address
}
