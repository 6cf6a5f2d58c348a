package proxy

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/gate"
)

// TestStrangers: neither who says nothing to the proxy nor who has it terminate a
// connection and says nothing there takes the place of others.
func TestStrangers(t *testing.T) {
	door := gate.New(gate.Config{Strangers: 8, Patience: time.Millisecond})
	known := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gate.Known(r.Context())
		_, _ = io.WriteString(w, "served")
	}))
	k := start(t, known, func(p *Proxy) { p.cfg.Gate = door })
	client := k.client()
	get := func() {
		t.Helper()
		resp, err := client.Get("https://sts.us-east-1.amazonaws.com/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, _ := io.ReadAll(resp.Body); string(b) != "served" {
			t.Errorf("%d %s", resp.StatusCode, b)
		}
	}
	get()
	target := echo(t)
	tunnel, r := k.open(target)
	defer tunnel.Close()
	for n := range 40 {
		if n%2 == 0 {
			c, err := net.Dial("tcp", k.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			continue
		}
		c, _ := k.open("iam.amazonaws.com:443")
		defer c.Close()
	}
	get() // on the connection that it has
	client.CloseIdleConnections()
	get() // on a new one
	_, _ = io.WriteString(tunnel, "ping")
	if got, err := r.Peek(4); err != nil || string(got) != "ping" {
		t.Errorf("a tunnel meanwhile: %q, %v", got, err)
	}
}
