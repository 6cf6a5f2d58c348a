package oci

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/outcrop/outcrop/internal/fault"
)

// TestPrivate: a name that leads into a private network is refused before a byte is
// sent, unless the operator lists it.
func TestPrivate(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, tt := range []struct {
		cfg     RegistryConfig
		address string
		ok      bool
	}{
		{RegistryConfig{}, "127.0.0.1:" + port, true},
		{RegistryConfig{}, "localhost:" + port, true},
		{RegistryConfig{}, "0.0.0.0:" + port, false},
		{RegistryConfig{Private: []string{"other"}}, "0.0.0.0:" + port, false},
		{RegistryConfig{Private: []string{"0.0.0.0:" + port}}, "0.0.0.0:" + port, true},
		{RegistryConfig{Insecure: []string{"0.0.0.0"}}, "0.0.0.0:" + port, true},
	} {
		c, err := newRegistries(tt.cfg, nil).dial(t.Context(), "tcp", tt.address)
		if err == nil {
			c.Close()
		}
		if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, errPrivate) {
			t.Errorf("dial(%s) by %+v = %v", tt.address, tt.cfg, err)
		}
	}
	s := open(t, nil)
	_, err = s.Resolve(t.Context(), "10.255.255.1:5000/a", Credentials{})
	if want := "The registry 10.255.255.1:5000 is at a private address. Have the operator list it: outcrop serve --private-registry 10.255.255.1:5000"; !fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), want) {
		t.Errorf("Resolve() = %v, want %q", err, want)
	}
}

// TestAstray: a registry elsewhere cannot have us ask this machine's own servers.
func TestAstray(t *testing.T) {
	asked := false
	inner := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true })
	})
	login := func(realm string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	local := strings.Replace(inner.URL, "127.0.0.1", "localhost", 1)
	for name, answer := range map[string]http.HandlerFunc{
		"login": login(inner.URL), "login at a name": login(local),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, inner.URL+r.URL.Path, http.StatusFound)
		},
	} {
		srv := serve(t, func(http.Handler) http.Handler { return answer })
		s := open(t, func(c *StoreConfig) {
			c.Registry.Insecure = []string{"registry.example:5000"}
			c.Registry.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
			}
		})
		_, err := s.Pull(t.Context(), "registry.example:5000/a", PullOptions{})
		if !fault.Is(err, "ValidationException") || asked {
			t.Errorf("%s: Pull() = %v, and it was asked: %t", name, err, asked)
		}
	}
}

// TestTold: what a refusal is about can be told without its text.
func TestTold(t *testing.T) {
	srv := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/secret/") {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	srv.push(t, "there", imageOf(t, v1.Config{}, archive(t, file("a"))))
	s := open(t, nil)
	for ref, want := range map[string]error{"there:other": ErrMissing, "gone:1": ErrMissing, "secret:1": ErrDenied} {
		if _, err := s.Resolve(t.Context(), srv.host+"/"+ref, Credentials{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", ref, err, want)
		}
	}
}
