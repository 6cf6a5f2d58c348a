package app

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

func TestSameHost(t *testing.T) {
	h := sameHost(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct {
		name, host string
		want       int
	}{
		{"sts.amazonaws.com", "sts.amazonaws.com", 200},
		{"sts.amazonaws.com", "STS.amazonaws.com.:443", 200},
		{"sts.amazonaws.com", "iam.amazonaws.com", 421},
		{"sts.amazonaws.com", "sts.amazonaws.com.evil.example", 421},
		{"sts.amazonaws.com", "", 421},
		{"sts.amazonaws.com", "127.0.0.1", 421},
		{"", "sts.amazonaws.com", 200}, // it was made for an address
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host, r.TLS = c.host, &tls.ConnectionState{ServerName: c.name}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("a connection for %q and a request for %q: %d", c.name, c.host, w.Code)
		}
	}
}

// at is a listener that is somewhere.
type at struct {
	net.Listener
	addr string
}

func (l at) Addr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", l.addr)
	if err != nil {
		panic(err)
	}
	return a
}

func TestOwnNames(t *testing.T) {
	h := HostsConfig{Names: []string{"a.example"}, TLS: []net.Listener{at{addr: "127.0.0.1:1"}, at{addr: "0.0.0.0:1"}, at{addr: "192.0.2.7:1"}, at{addr: "[2001:db8::7]:1"}, at{addr: "[::]:1"}}}
	if got, want := h.ownNames(), []string{"a.example", "192.0.2.7", "2001:db8::7"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	h.Certificate = "cert.pem"
	if got := h.ownNames(); !slices.Equal(got, h.Names) {
		t.Errorf("with a certificate %q", got)
	}
}
