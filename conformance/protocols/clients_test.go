package protocols

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/pinned"
)

// TestClients: boto3 and the AgentCore SDK find their way to agents of MCP and A2A, to
// their sessions, and to their cards.
func TestClients(t *testing.T) {
	f := newFixture(t)
	cmd := exec.CommandContext(t.Context(), pinned.Program(t, "python"), "testdata/clients.py",
		f.deploy(t, "polite.py", types.ServerProtocolMcp, "stateful"), f.deploy(t, "polite.py", types.ServerProtocolMcp, "stateless"),
		f.deploy(t, "polite.py", types.ServerProtocolA2a, ""))
	cmd.Env = f.Env()
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "told" {
		t.Errorf("%v\n%s\nserver:\n%s", err, out, f.Log())
	}
}
