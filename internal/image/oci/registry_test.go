package oci

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/outcrop/outcrop/internal/fault"
)

func TestCredentials(t *testing.T) {
	var open401 atomic.Bool
	srv := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			if open401.Load() && (user != "me" || password != "secret") {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	ref := srv.push(t, "a", imageOf(t, v1.Config{}, archive(t, file("a"))))
	open401.Store(true)
	config := filepath.Join(t.TempDir(), "config.json")
	text, err := json.Marshal(map[string]any{"auths": map[string]any{srv.host: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("me:secret"))}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		config string
		given  Credentials
		ok     bool
	}{
		{"none", "", Credentials{}, false},
		{"given", "", Credentials{"me", "secret"}, true},
		{"wrong", config, Credentials{"me", "other"}, false},
		{"docker configuration", config, Credentials{}, true},
		{"no such configuration", config + "x", Credentials{}, false},
	} {
		s := open(t, func(c *StoreConfig) { c.Registry.DockerConfig = tt.config })
		i, err := s.Pull(t.Context(), ref, PullOptions{Credentials: tt.given})
		if err == nil {
			i.Release()
		}
		if tt.ok != (err == nil) || !tt.ok && (!fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), "answers 401. Check the credentials")) {
			t.Errorf("%s: Pull() = %v", tt.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "other") {
			t.Errorf("%s: the password is in %v", tt.name, err)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s", Credentials{"a", "b"}, Credentials{"a", "b"}, Credentials{"a", "b"}, Credentials{"a", "b"}); got != strings.TrimSpace(strings.Repeat("[redacted] ", 4)) {
		t.Errorf("credentials print as %s", got)
	}
}

// named makes every name lead to a server of the test, and counts.
func named(srv *httptest.Server, dials *atomic.Int64) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
	}
}

// TestPlain: nothing is sent without TLS but to the loopback and to whom the
// operator lists, private addresses included.
func TestPlain(t *testing.T) {
	var requests, dials atomic.Int64
	srv := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			h.ServeHTTP(w, r)
		})
	})
	srv.push(t, "a", imageOf(t, v1.Config{}, archive(t, file("a"))))
	before := requests.Load()
	for _, host := range []string{"registry.example:5000", "10.1.2.3:5000", "192.168.0.1", "registry.local"} {
		s := open(t, func(c *StoreConfig) { c.Registry.Dial = named(srv.Server, &dials) })
		_, err := s.Pull(t.Context(), host+"/a", PullOptions{Credentials: Credentials{"me", "secret"}})
		if err == nil || requests.Load() != before {
			t.Errorf("%s: Pull() = %v, and %d requests came", host, err, requests.Load()-before)
		}
		s = open(t, func(c *StoreConfig) {
			c.Registry.Dial, c.Registry.Insecure = named(srv.Server, &dials), []string{host}
		})
		i, err := s.Pull(t.Context(), host+"/a", PullOptions{})
		if err != nil {
			t.Errorf("%s, listed: Pull() = %v", host, err)
			continue
		}
		i.Release()
		before = requests.Load()
	}
	if dials.Load() == 0 {
		t.Error("the dialer of the configuration was not asked")
	}
}

// TestTLS: the authorities are the operator's.
func TestTLS(t *testing.T) {
	plain := serve(t, nil)
	plain.push(t, "a", imageOf(t, v1.Config{}, archive(t, file("a"))))
	target, err := url.Parse(plain.URL)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Scheme, r.URL.Host, r.RequestURI = target.Scheme, target.Host, ""
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		for k, v := range answer.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	}))
	defer srv.Close()
	var dials atomic.Int64
	s := open(t, func(c *StoreConfig) { c.Registry.Dial = named(srv, &dials) })
	if _, err := s.Pull(t.Context(), "example.com/a", PullOptions{}); !fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), "certificate that this machine does not trust") {
		t.Errorf("Pull() from an unknown authority = %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	s = open(t, func(c *StoreConfig) { c.Registry.Dial, c.Registry.RootCAs = named(srv, &dials), roots })
	i, err := s.Pull(t.Context(), "example.com/a", PullOptions{}) // a name of the test's certificate
	if err != nil {
		t.Fatal(err)
	}
	i.Release()
}

// TestRedirect: a registry's answer does not lead us to this machine's own.
func TestRedirect(t *testing.T) {
	for to, ok := range map[string]bool{
		"https://cdn.example/x": true, "https://registry.example/y": true, "http://93.184.216.34/": true,
		"http://127.0.0.1/": false, "http://localhost:8642/": false, "http://169.254.169.254/latest/": false,
		"http://10.0.0.1/": false, "http://[::1]/": false, "http://[::ffff:127.0.0.1]/": false, "http://[fd00::1]/": false, "http://0.0.0.0/": false,
	} {
		from, _ := http.NewRequest(http.MethodGet, "https://registry.example/v2/", nil)
		r, err := http.NewRequest(http.MethodGet, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := redirect(r, []*http.Request{from}); (err == nil) != ok {
			t.Errorf("to %s: %v", to, err)
		}
	}
}

// TestUnreachable: each way not to reach a registry says so.
func TestUnreachable(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"no such name", &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}, "There is no registry registry.example"},
		{"refused", &net.OpError{Op: "dial", Err: errors.New("connection refused")}, "cannot be reached from this machine"},
	} {
		s := open(t, func(c *StoreConfig) {
			c.Registry.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, tt.err }
		})
		_, err := s.Pull(t.Context(), "registry.example/a", PullOptions{})
		if !fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Pull() = %v, want %q", tt.name, err, tt.want)
		}
	}
}
