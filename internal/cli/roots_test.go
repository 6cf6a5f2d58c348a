package cli

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
