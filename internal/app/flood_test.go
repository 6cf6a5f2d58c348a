package app_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/gate"
)

// TestHeaders takes what clients send, and bounds it.
func TestHeaders(t *testing.T) {
	url := start(t, filepath.Join(t.TempDir(), "data"))
	for size, want := range map[int]int{24 << 10: http.StatusOK, 48 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/_outcrop/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Custom", strings.Repeat("x", size))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("a header of %d bytes is answered %d, want %d", size, resp.StatusCode, want)
		}
	}
}

// TestFloodOfHeaders: beside more connections than are kept, each with a header
// that grows and does not end, a neighbour's calls are served.
func TestFloodOfHeaders(t *testing.T) {
	url := start(t, filepath.Join(t.TempDir(), "data"))
	var open []net.Conn
	var flood sync.WaitGroup
	for range gate.DefaultStrangers + 400 {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		flood.Go(func() {
			_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nX-Slow: %s", strings.Repeat("x", 16<<10)) // and no end
			_, _ = io.Copy(io.Discard, c)                                                      // until it is closed
		})
	}
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
		flood.Wait()
	}()
	neighbour := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 20 {
		begun := time.Now()
		resp, err := neighbour.Get(url + "/_outcrop/health")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if took := time.Since(begun); resp.StatusCode != http.StatusOK || took > 2*time.Second {
			t.Errorf("a neighbour is answered %d after %v", resp.StatusCode, took)
		}
	}
}
