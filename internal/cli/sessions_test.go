package cli

import (
	"fmt"
	"testing"
	"time"
)

// TestSessionsTell what they use and how they began, and once why one was not
// restored and that one is passed through to the host's network stack.
func TestSessionsTell(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	now := time.Now().UTC()
	for i, rest := range []string{
		`"status":"IDLE","origin":"RESTORED","memoryBytes":125829120,"passthrough":true`,
		`"status":"HIBERNATED","snapshotBytes":41943040,"storageBytes":1048576`,
		`"status":"ACTIVE","origin":"COLD","originReason":"there is no snapshot yet","memoryBytes":131072000`,
		`"status":"ACTIVE","origin":"COLD","originReason":"there is no snapshot yet"`,
	} {
		f.sessions = append(f.sessions, fmt.Sprintf(`{"sessionId":"session-%d","agentRuntimeName":"hello","agentRuntimeArn":"arn:x","agentRuntimeVersion":"3",
			"endpointName":"DEFAULT","requests":7,"startedAt":%q,"lastActiveAt":%q,%s}`, i,
			now.Add(-10*time.Minute).Format(time.RFC3339), now.Add(-3*time.Minute-time.Second).Format(time.RFC3339), rest))
	}
	u.golden("sessions/kinds", u.run("sessions"))
}
