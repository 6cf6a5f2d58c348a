package app

import (
	"crypto/tls"
	"net/http"
	"testing"
)

// TestReached: behind a proxy that ends TLS the server is where its public URL says.
func TestReached(t *testing.T) {
	gateway := func(host string) bool { return host == "g-1.gateway.example.com" }
	for _, c := range []struct {
		public, host string
		tls          bool
		want         string
	}{
		{"https://agents.example.com", "agents.example.com", false, "https://agents.example.com"},
		{"https://agents.example.com", "Agents.Example.com", false, "https://Agents.Example.com"},
		{"https://agents.example.com", "agents.example.com:8642", false, "http://agents.example.com:8642"},
		{"https://agents.example.com:8644", "agents.example.com:8644", false, "https://agents.example.com:8644"},
		{"https://agents.example.com:8644", "agents.example.com", false, "http://agents.example.com"},
		{"https://agents.example.com", "g-1.gateway.example.com", false, "https://g-1.gateway.example.com"},
		{"https://agents.example.com", "g-1.gateway.example.com:8642", false, "http://g-1.gateway.example.com:8642"},
		{"https://agents.example.com", "127.0.0.1:8642", false, "http://127.0.0.1:8642"},
		{"https://agents.example.com", "[::1]:8642", true, "https://[::1]:8642"},
		{"http://agents.example.com", "agents.example.com", false, "http://agents.example.com"},
		{"http://agents.example.com", "agents.example.com", true, "https://agents.example.com"},
		{"", "agents.example.com", false, "http://agents.example.com"},
		{"", "", false, "http://"},
	} {
		r := &http.Request{Host: c.host}
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if got := reached(c.public, gateway)(r); got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.host, c.public, got, c.want)
		}
	}
}
