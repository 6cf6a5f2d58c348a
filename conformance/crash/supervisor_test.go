package crash

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/conformance/server"
)

// TestSupervisorDies: one process supervises all sandboxes and ends the wires of
// all, so that its end, such as by a panic in its network stack, ends them all.
// Nobody loses more than that: each session's log has its end, the same sessions
// begin anew at the next request, under a new supervisor, and nothing is left.
func TestSupervisorDies(t *testing.T) {
	ctx := t.Context()
	r := newRig(t, server.Options{})
	var sessions []string
	for i := range 3 {
		sessions = append(sessions, server.SessionID("orphan", i))
		if _, err := r.ask(ctx, sessions[i], question{Write: []string{"/tmp/mark"}, Text: "before"}); err != nil {
			t.Fatal(err)
		}
	}
	body, err := r.open(ctx, r.base.AgentRuntimeArn, sessions[0], question{Stream: 1 << 20, Every: 20})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	first := r.supervisor(t)
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, recovery, func() error {
		out, stderr, err := r.CLI(ctx, "logs", "base")
		if err != nil {
			return fmt.Errorf("%w: %s", err, stderr)
		}
		if n := strings.Count(out, "session ended: its sandbox broke, status 137"); n != len(sessions) {
			return fmt.Errorf("%d of %d sessions say how they ended:\n%s", n, len(sessions), out)
		}
		return nil
	})
	if !strings.Contains(r.Log(), "the supervisor of sandboxes ended") {
		t.Errorf("the server says nothing of it:\n%s", tail(r.Log()))
	}
	for _, id := range sessions {
		a, err := r.ask(ctx, id, question{Read: []string{"/tmp/mark"}})
		if err != nil {
			t.Fatalf("session %s does not begin anew: %v\n%s", id, err, tail(r.Log()))
		}
		if got := a.Read["/tmp/mark"]; strings.Contains(got, "before") {
			t.Errorf("the new session has a file of the old one: %q", got)
		}
	}
	if second := r.supervisor(t); second == first {
		t.Errorf("the supervisor is still %d", first)
	}
	for _, id := range sessions {
		if err := r.end(ctx, id); err != nil {
			t.Error(err)
		}
	}
	r.quiet(t)
}

// supervisor is the process that the server's sandboxes live under.
func (r *rig) supervisor(t *testing.T) int {
	t.Helper()
	for _, p := range below(r.Cmd.Process.Pid) {
		if p.parent == r.Cmd.Process.Pid {
			return p.pid
		}
	}
	t.Fatal("there is no supervisor")
	return 0
}
