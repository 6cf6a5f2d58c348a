package identity

import (
	"encoding/json"
	"testing"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/leak"
	"github.com/outcrop/outcrop/conformance/pinned"
)

// TestEscalation tries every way up by IAM and STS with boto3, and then looks for the
// keys that it had.
func TestEscalation(t *testing.T) {
	t.Parallel()
	d := open(t)
	out := d.Server.Run(t, []string{"BUCKET=" + bucket, "KEY=" + agent.Key, "PYTHON=" + string(d.python)}, pinned.Program(t, "python"), "testdata/escalate.py")
	var secrets leak.Secrets
	if err := json.Unmarshal([]byte(out), &secrets); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	secrets["the account's key"] = d.SecretAccessKey
	leak.Check(t, d.DataDir, secrets, map[string]string{"the server's log": d.Log()}, "credentials.json")
}
