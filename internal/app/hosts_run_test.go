package app_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/ca"
)

// hosting runs a server that answers AWS's names until the test ends.
func hosting(t *testing.T, dir string, names ...string) (plainAddr, tlsAddr, proxyAddr string, roots *x509.CertPool, err error) {
	t.Helper()
	var listeners [3]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- app.Run(ctx, app.Config{
			Listener: listeners[0], DataDir: dir, Region: "us-east-1", Version: "test", Log: slog.New(slog.DiscardHandler), Grace: time.Second,
			Hosts: app.HostsConfig{TLS: listeners[1:2], Proxy: listeners[2], Names: names},
			Ready: func(string, string) { close(ready) },
		})
	}()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		for _, l := range listeners {
			if l.Close() == nil {
				t.Errorf("%s was left open", l.Addr())
			}
		}
		return "", "", "", nil, err
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	root, err := os.ReadFile(filepath.Join(dir, "ca", ca.RootName))
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	return listeners[0].Addr().String(), listeners[1].Addr().String(), listeners[2].Addr().String(), roots, nil
}

func TestHosts(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := filepath.Join(t.TempDir(), "data")
	t.Run("server", func(t *testing.T) {
		plainAddr, tlsAddr, proxyAddr, roots, err := hosting(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(tlsAddr)
		direct := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
		proxied := direct.Clone()
		proxied.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: proxyAddr})
		t.Cleanup(direct.CloseIdleConnections)
		t.Cleanup(proxied.CloseIdleConnections)
		for _, c := range []struct {
			by     *http.Transport
			url    string
			status int
			text   string
		}{
			{direct, "https://localhost:" + port + "/_outcrop/health", 200, `"ok"`},
			{direct, "https://" + tlsAddr + "/_outcrop/health", 200, `"ok"`},
			{proxied, "https://dynamodb.us-east-1.amazonaws.com/", 404, "The service 'dynamodb' is not served"},
			{proxied, "https://bucket.s3.us-east-1.amazonaws.com/key", 403, "AccessDenied"},
			{proxied, "https://bedrock-agentcore.us-east-1.amazonaws.com/_outcrop/health", 404, ""},
			{proxied, "http://dynamodb.us-east-1.amazonaws.com/", 404, "The service 'dynamodb' is not served"},
		} {
			resp, err := (&http.Client{Transport: c.by}).Get(c.url)
			if err != nil {
				t.Errorf("%s: %v", c.url, err)
				continue
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != c.status || !strings.Contains(string(body), c.text) {
				t.Errorf("%s: %d %s", c.url, resp.StatusCode, body)
			}
		}
		// The SDK's handshakes say their Host twice.
		for _, c := range []struct {
			to, host string
			tls      bool
		}{{plainAddr, "localhost", false}, {tlsAddr, "localhost", true}} {
			conn, err := net.Dial("tcp", c.to)
			if err != nil {
				t.Fatal(err)
			}
			if c.tls {
				conn = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: c.host})
			}
			_, _ = fmt.Fprintf(conn, "GET /_outcrop/health HTTP/1.1\r\nHost: %[1]s\r\nUpgrade: websocket\r\nConnection: close\r\nHost: %[1]s\r\n\r\n", c.host)
			if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
				t.Errorf("%s twice: %v, %v", c.host, resp, err)
			}
			_ = conn.Close()
		}
		// A connection that does not get as far as a request is no hindrance to the end.
		c, err := net.Dial("tcp", proxyAddr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_, _ = fmt.Fprint(c, "CONNECT sts.amazonaws.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect}); err != nil || resp.StatusCode != 200 {
			t.Errorf("CONNECT: %v, %v", resp, err)
		}
	})
	t.Run("another name", func(t *testing.T) {
		var scope *ca.ScopeError
		if _, _, _, _, err := hosting(t, dir, "agents.example.com"); !errors.As(err, &scope) {
			t.Errorf("Run = %v", err)
		}
	})
}
