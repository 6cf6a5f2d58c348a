package leak

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/auth/srp"
)

// planted is what the script gave the server to keep, or got of it.
type planted struct {
	Secrets Secrets
	// Bytes are secrets that are no text.
	Bytes map[string][]byte
	// Canary is kept in the clear, by right.
	Canary string
}

// TestServer uses every kind of secret there is and finds none afterwards: on the disk,
// in the log, in the audit, before and after a kill. What it is to find, it finds.
func TestServer(t *testing.T) {
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})
	var p planted
	out := s.Run(t, []string{"ENDPOINT=" + s.URL, "PRIME=" + srp.Prime}, pinned.Program(t, "python"), "testdata/plant.py")
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	secrets := p.Secrets
	secrets["the account's secret key"] = s.SecretAccessKey
	for name, value := range p.Bytes {
		secrets[name] = string(value)
	}
	look := func() {
		t.Helper()
		audit, _, err := s.CLI(t.Context(), "audit", "--json")
		if err != nil {
			t.Fatal(err)
		}
		Check(t, s.DataDir, secrets, map[string]string{"the server's log": s.Log(), "the audit": audit}, "credentials.json")
	}
	look()
	s.Kill()
	s.Restart()
	look()
	if found := sought(t, s.DataDir, Secrets{"canary": p.Canary}); !slices.Equal(found, []string{"canary"}) {
		t.Errorf("what the server keeps in the clear is not found: %q", found)
	}
	for name, value := range secrets {
		if err := os.WriteFile(filepath.Join(s.DataDir, "planted-"+name), []byte(`{"value":"`+value+`"}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if found := sought(t, s.DataDir, secrets); !slices.Equal(found, slices.Sorted(maps.Keys(secrets))) {
		t.Errorf("all are in the clear now, and found are only %q", found)
	}
}

// sought are the names of the secrets that are found.
func sought(t *testing.T, dir string, s Secrets) []string {
	t.Helper()
	scan, err := newScanner(s)
	if err != nil {
		t.Fatal(err)
	}
	found, _, _, err := scan.dir(dir, []string{"credentials.json"})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range found {
		names[f.Secret] = true
	}
	return slices.Sorted(maps.Keys(names))
}
