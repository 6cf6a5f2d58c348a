package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSessionsTell what they use and how they began, once why one was not restored
// and that one is passed through to the host's network stack, and what waits for the
// next.
func TestSessionsTell(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	now := time.Now().UTC()
	for i, rest := range []string{
		`"status":"IDLE","origin":"RESTORED","memoryBytes":125829120,"passthrough":true`,
		`"status":"HIBERNATED","snapshotBytes":41943040,"storageBytes":1048576`,
		`"status":"ACTIVE","origin":"COLD","originReason":"there is no snapshot yet","memoryBytes":131072000`,
		`"status":"ACTIVE","origin":"COLD","originReason":"there is no snapshot yet"`,
		`"status":"IDLE","origin":"SPARE","memoryBytes":125829120`,
		`"status":"IDLE","origin":"RESTORED","originReason":"it has session storage, and no spare can be given any"`,
	} {
		f.sessions = append(f.sessions, fmt.Sprintf(`{"sessionId":"session-%d","agentRuntimeName":"hello","agentRuntimeArn":"arn:x","agentRuntimeVersion":"3",
			"endpointName":"DEFAULT","requests":7,"startedAt":%q,"lastActiveAt":%q,%s}`, i,
			now.Add(-10*time.Minute).Format(time.RFC3339), now.Add(-3*time.Minute-time.Second).Format(time.RFC3339), rest))
	}
	for _, version := range []string{"3", "3", "4"} {
		f.spares = append(f.spares, fmt.Sprintf(`{"agentRuntimeName":"hello","agentRuntimeArn":"arn:x","agentRuntimeVersion":%q,"endpointName":"DEFAULT",
			"memoryBytes":104857600}`, version))
	}
	u.golden("sessions/kinds", u.run("sessions"))
	f.sessions = []string{f.sessions[0], strings.Replace(f.sessions[1], "DEFAULT", "prod", 1)}
	u.golden("sessions/endpoints", u.run("sessions"))
	f.sessions = nil
	u.golden("sessions/spares", u.run("sessions"))
}
