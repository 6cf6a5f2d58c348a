package cli

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/client/statefile"
)

// TestOwnServerOverTLS: where one's own server speaks TLS it is found by that address, with
// its key and its CA, and outcrop env has clients trust it.
func TestOwnServerOverTLS(t *testing.T) {
	u := newUser(t)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Authorization"), testKey) {
			t.Errorf("signed with %q", r.Header.Get("Authorization"))
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"agentRuntimes":[]}`))
	}))
	defer s.Close()
	r := u.knows("http://127.0.0.1:1", u.data())
	r.TLSAddresses = []string{strings.TrimPrefix(s.URL, "https://")}
	if err := u.program().state().Add(r); err != nil {
		t.Fatal(err)
	}
	u.golden("connect/own-untrusted", u.run("ls", "--endpoint", s.URL)) // of a CA that is not the server's
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.MkdirAll(filepath.Join(u.data(), "ca"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(u.data(), "ca", "ca.pem"), root, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := u.run("ls", "--endpoint", s.URL); r.code != 0 {
		t.Errorf("%s", r)
	}
	env := u.run("env", "--endpoint", s.URL)
	_, bundle, _ := strings.Cut(env.stdout, "export AWS_CA_BUNDLE=")
	bundle, _, _ = strings.Cut(bundle, ";")
	if body, err := os.ReadFile(bundle); err != nil || !strings.Contains(string(body), string(root)) || !strings.Contains(env.stdout, "export AWS_ENDPOINT_URL="+s.URL+";") {
		t.Errorf("%v: %s", err, env)
	}
}

func TestSpeaksTLS(t *testing.T) {
	r := statefile.Record{TLSAddresses: []string{"0.0.0.0:8644", "127.0.0.1:443", "192.0.2.7:9000", "[::1]:9001"}}
	for endpoint, want := range map[string]bool{
		"https://127.0.0.1:8644": true, "https://localhost:8644": true, "https://127.0.0.1": true, "https://localhost": true, "https://192.0.2.7:9000": true,
		"https://[::1]:9001": true, "https://localhost:9001": true, "http://127.0.0.1:8644": false, "https://127.0.0.1:9000": false, "https://192.0.2.8:8644": false,
		"https://example.com:8644": false, "https://": false,
	} {
		if got := speaksTLS(r, endpoint); got != want {
			t.Errorf("%s: %v", endpoint, got)
		}
	}
}

// TestRoots: a server over TLS whose authority AWS_CA_BUNDLE names is reached as
// AWS's own clients reach it.
func TestRoots(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"agentRuntimes":[]}`))
	}))
	defer s.Close()
	bundle := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificates"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		bundle, fragment string
		code             int
	}{
		{bundle, "", 0},
		{"", "certificate", exitFailure},
		{"/no/such.pem", "AWS_CA_BUNDLE cannot be read", exitFailure},
		{empty, "which has no certificates in PEM", exitFailure},
	} {
		u := newUser(t)
		u.environ = append(u.environ, "AWS_ENDPOINT_URL="+s.URL, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_CA_BUNDLE="+c.bundle)
		if r := u.run("ls"); r.code != c.code || !strings.Contains(r.stderr, c.fragment) {
			t.Errorf("with %q: %s", c.bundle, r)
		}
	}
}
