package metadata_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox/network"
	"github.com/outcrop/outcrop/internal/sandbox/network/metadata"
)

// TestAttach: two sessions ask at the same addresses, and each gets its own.
func TestAttach(t *testing.T) {
	machine := network.NewMachine()
	type wire struct {
		*guest
		session *network.Session
		client  *http.Client
		stop    func()
	}
	wires := make([]wire, 2)
	for i := range wires {
		g := newGuest(t, func(c *metadata.Config) { c.ContainerToken = "mine" })
		g.made = 100 * (i + 1)
		s, err := network.New(network.Config{Policy: network.Policy{Mode: network.Sandbox}, Machine: machine})
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, kind, to string) (net.Conn, error) {
			return s.Connect(ctx, kind, netip.MustParseAddrPort(to))
		}}}
		wires[i] = wire{g, s, client, metadata.Attach(s, g.Handler)}
	}
	do := func(w wire, method, url string, headers ...string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		resp, err := w.client.Do(r)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return resp.StatusCode, string(b)
	}
	const imds, ecs = "http://169.254.169.254", "http://169.254.170.2"
	var tokens [2]string
	for i, w := range wires {
		code, token := do(w, "PUT", imds+tokenPath, lifeHeader, "60")
		if code != 200 {
			t.Fatalf("session %d: %d %s", i, code, token)
		}
		tokens[i] = token
		want := []string{"ASIA0000000000000101", "ASIA0000000000000201"}[i]
		if code, body := do(w, "GET", imds+rolePath, header, token); code != 200 || !strings.Contains(body, want) {
			t.Errorf("session %d: %d %s", i, code, body)
		}
		if code, body := do(w, "GET", ecs+metadata.ContainerPath, "Authorization", "mine"); code != 200 || !strings.Contains(body, want) {
			t.Errorf("session %d, the container's form: %d %s", i, code, body)
		}
	}
	if code, _ := do(wires[1], "GET", imds+rolePath, header, tokens[0]); code != 401 {
		t.Errorf("another session's token: %d", code)
	}
	for _, w := range wires {
		w.client.CloseIdleConnections()
		w.stop()
		w.stop()
		if code, text := do(w, "PUT", imds+tokenPath, lifeHeader, "60"); code != 0 {
			t.Errorf("after the end: %d %s", code, text)
		}
		w.session.Close()
	}
}
