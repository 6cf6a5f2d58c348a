package identity

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// TestSRP signs users in with the client of browsers' apps, to which the password
// stays: theirs, a temporary one, one that they change, across a restart; and with a
// client of Python.
func TestSRP(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	python := pinned.Program(t, "python")
	var made struct{ Pool, Client string }
	if err := json.Unmarshal([]byte(s.Run(t, nil, python, "testdata/srp/setup.py")), &made); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	node, dir := pinned.Node(t, "testdata/srp", "testdata/srp/signin.mjs")
	if out := s.Run(t, nil, node, filepath.Join(dir, "signin.mjs"), s.URL, made.Pool, made.Client); out != "signed in\n" {
		t.Error(out)
	}
	if out := s.Run(t, nil, python, "testdata/srp/signin.py", s.URL, made.Pool, made.Client); out != "signed in\n" {
		t.Error(out)
	}
}
