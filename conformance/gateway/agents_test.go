package gateway

import (
	"testing"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// TestAgents: running agents are called through gateways by boto3 and by programs that
// know HTTP alone, as the gateway's role, as the caller and with the caller's token.
func TestAgents(t *testing.T) {
	s := server.Start(t, server.Options{})
	code, python := s.Pack("testdata/agent", "")
	const bucket = "agents"
	if err := s.Agents().Store(t.Context(), bucket, agent.Key, code); err != nil {
		t.Fatal(err)
	}
	env := []string{"BUCKET=" + bucket, "KEY=" + agent.Key, "PYTHON=" + string(python)}
	if got, want := s.Run(t, env, pinned.Program(t, "python"), "testdata/agents.py"), "boto3\nas the caller\na stream\na card\na token\nwarnings\n"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
