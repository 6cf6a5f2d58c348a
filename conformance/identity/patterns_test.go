package identity

import (
	"encoding/json"
	"testing"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/leak"
	"github.com/outcrop/outcrop/conformance/pinned"
)

// TestCallers calls agents in the two ways that there are, a role's signature and a
// token, as far as the runtime; and looks for what was secret of them afterwards, and
// once more when the server was killed and is back.
func TestCallers(t *testing.T) {
	t.Parallel()
	d := open(t)
	env := []string{"ENDPOINT=" + d.URL, "BUCKET=" + bucket, "KEY=" + agent.Key, "PYTHON=" + string(d.python)}
	out := d.Server.Run(t, env, pinned.Program(t, "python"), "testdata/patterns.py")
	var secrets leak.Secrets
	if err := json.Unmarshal([]byte(out), &secrets); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	secrets["the account's key"] = d.SecretAccessKey
	if audit, _, err := d.CLI(t.Context(), "audit"); err != nil {
		t.Error(err)
	} else {
		leak.Check(t, d.DataDir, secrets, map[string]string{"the server's log": d.Log(), "the audit": audit}, "credentials.json")
	}
	d.Kill()
	d.Restart()
	leak.Check(t, d.DataDir, secrets, map[string]string{"the server's log": d.Log()}, "credentials.json")
}
