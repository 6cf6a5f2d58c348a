package jwt_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/outbound"
)

// listen serves on a loopback address and counts connections.
func listen(t *testing.T, ip string, h http.HandlerFunc) (base string, connections *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Skipf("%s cannot be listened on: %v", ip, err)
	}
	connections = new(atomic.Int32)
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return "http://" + l.Addr().String(), connections
}

func guarded(t *testing.T, timeout time.Duration, private ...string) *http.Client {
	t.Helper()
	p, err := outbound.ParsePrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	c := outbound.New(outbound.Config{Private: p, Timeout: timeout})
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// TestInward: neither a discovery URL, nor the key set that a document names, nor a
// redirect, nor iss is a way to this machine: nothing connects.
func TestInward(t *testing.T) {
	inner, connections := listen(t, "127.0.0.2", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "secret") })
	port := inner[strings.LastIndex(inner, ":"):]
	var answer func(w http.ResponseWriter, r *http.Request)
	outer, _ := listen(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) { answer(w, r) })
	const wellKnown = "/.well-known/openid-configuration"
	targets := []string{
		inner, "https://127.0.0.2" + port, "http://0.0.0.0" + port, "http://[::ffff:127.0.0.2]" + port, "http://[64:ff9b::7f00:2]" + port,
		"http://169.254.169.254", "https://[fd00:ec2::254]", "https://10.0.0.1", "https://192.168.0.1", "https://100.64.0.1", "https://[fd00::1]",
	}
	check := func(where, discoveryURL string) {
		t.Helper()
		v := jwt.New(jwt.Config{HTTP: guarded(t, 5*time.Second, "127.0.0.1")})
		defer v.Close()
		_, err := v.Verify(t.Context(), discoveryURL, es(t, "p256"), jwt.Rules{})
		if got := reason(t, err); got != jwt.Unavailable || !errors.As(err, new(*outbound.Refused)) {
			t.Errorf("%s: %v", where, err)
		}
	}
	for _, target := range targets {
		check("discovery at "+target, target+wellKnown)
		answer = func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, document(issuerName, target+"/jwks.json"))
		}
		check("keys at "+target, outer+wellKnown)
		answer = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) }
		check("redirect to "+target, outer+wellKnown)
		answer = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == wellKnown {
				io.WriteString(w, document(issuerName, outer+"/jwks.json"))
				return
			}
			http.Redirect(w, r, target, http.StatusTemporaryRedirect)
		}
		check("keys redirected to "+target, outer+wellKnown)

		v := jwt.New(jwt.Config{HTTP: guarded(t, 5*time.Second)})
		token := sign(t, keysOnce().p256, jose.ES256, nil, claims(time.Now(), map[string]any{"iss": target}))
		if _, err := v.VerifyIssued(t.Context(), token, nil, jwt.Rules{}); !errors.As(err, new(*outbound.Refused)) {
			t.Errorf("iss %s: %v", target, err)
		}
		v.Close()
	}
	if n := connections.Load(); n > 0 {
		t.Errorf("there were %d connections", n)
	}
}

// TestLargeAndSlow: neither a key set of 10 MB nor one that never ends costs more
// than its bound.
func TestLargeAndSlow(t *testing.T) {
	good := keySet(public("p256", &keysOnce().p256.PublicKey))
	var sent atomic.Int64
	held := make(chan struct{})
	defer close(held)
	base, _ := listen(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "openid"):
			io.WriteString(w, document(issuerName, "http://"+r.Host+"/keys"+strings.TrimSuffix(r.URL.Path, "/.well-known/openid-configuration")))
		case r.URL.Path == "/keys/large":
			for range 10 << 10 {
				n, err := io.WriteString(w, strings.Repeat(" ", 1<<10))
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
			io.WriteString(w, good)
		case r.URL.Path == "/keys/slow":
			io.WriteString(w, good[:10])
			w.(http.Flusher).Flush()
			select {
			case <-held:
			case <-r.Context().Done():
			}
		default:
			io.WriteString(w, good)
		}
	})
	for path, want := range map[string]jwt.Reason{"/good": "", "/large": jwt.Unavailable, "/slow": jwt.Unavailable} {
		var log strings.Builder
		v := jwt.New(jwt.Config{HTTP: guarded(t, 300*time.Millisecond, "127.0.0.1"), Log: slog.New(slog.NewTextHandler(&log, nil))})
		_, err := v.Verify(t.Context(), base+path+"/.well-known/openid-configuration", es(t, "p256"), jwt.Rules{})
		if got := reason(t, err); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		v.Close()
		if want != "" && !strings.Contains(log.String(), "keys of issuer not fetched") {
			t.Errorf("%s: the log says %q", path, log.String())
		}
	}
	if n := sent.Load(); n > 8<<20 {
		t.Errorf("%d bytes of 10 MB were taken", n)
	}
	// The Verifier's own bound holds for any client.
	v := jwt.New(jwt.Config{HTTP: &http.Client{Timeout: 5 * time.Second, Transport: &web{asked: map[string]int{}, answers: map[string]func(*http.Request) (int, http.Header, string){
		discovery: func(*http.Request) (int, http.Header, string) {
			return 200, nil, document(issuerName, jwksURI)
		},
		jwksURI: func(*http.Request) (int, http.Header, string) { return 200, nil, strings.Repeat(" ", 1<<20) + good },
	}}}})
	defer v.Close()
	if _, err := v.Verify(t.Context(), discovery, es(t, "p256"), jwt.Rules{}); reason(t, err) != jwt.Unavailable || !strings.Contains(fmt.Sprint(err), "larger than") {
		t.Errorf("1 MiB and more: %v", err)
	}
}
