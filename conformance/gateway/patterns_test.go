package gateway

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/leak"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// TestSignedCallers goes the way on which nobody signs in: a program with a role calls an
// agent, and that signs as its own role when it calls a gateway before a service that wants
// a key. The way of people with tokens is the README of examples/gateway.
func TestSignedCallers(t *testing.T) {
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})
	s.Python() // or skip
	const key = "key-of-the-search-service"
	search, err := filepath.Abs("../../examples/gateway")
	if err != nil {
		t.Fatal(err)
	}
	out := s.Run(t, []string{"OUTCROP=" + server.Binary(t), "ACCOUNT=" + s.Account, "AGENT=" + search, "KEY=" + key, "DATA=" + s.DataDir, "SCRATCH=" + t.TempDir(), "PYTHON=" + pinned.Program(t, "python")},
		"bash", "testdata/signed.sh")
	if want := `"web___search: {\"titles\": [\"How granite weathers\", \"Granite and its minerals\"]}"`; !strings.Contains(out, want) {
		t.Errorf("it says\n%s", out)
	}
	audit, _, err := s.CLI(t.Context(), "audit")
	if err != nil {
		t.Error(err)
	}
	leak.Check(t, s.DataDir, leak.Secrets{"the service's key": key, "the account's key": s.SecretAccessKey}, map[string]string{"the server's log": s.Log(), "the audit": audit}, "credentials.json")
	if t.Failed() {
		t.Logf("server:\n%s", s.Log())
	}
}
