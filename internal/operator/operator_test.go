package operator_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/operator"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

var (
	scope   = store.Scope{Account: "123456789012", Region: "us-east-1"}
	foreign = store.Scope{Account: "123456789012", Region: "eu-central-1"}
	group   = telemetry.Group{Scope: scope, Name: "logs/hello-0123456789-DEFAULT"}
)

// sessions is a fixed list, ordered as session.Manager.List orders.
type sessions []session.Info

// Spares are one of each agent.
func (s sessions) Spares(match func(session.Key) bool) (out []session.SpareInfo) {
	for _, i := range s {
		i.Key.ID = ""
		if match(i.Key) && !slices.ContainsFunc(out, func(o session.SpareInfo) bool { return o.Key == i.Key }) {
			out = append(out, session.SpareInfo{Key: i.Key, Version: i.Version, Made: i.Started, Memory: 9})
		}
	}
	return out
}

func (s sessions) List(match func(session.Key) bool) []session.Info {
	var out []session.Info
	for _, i := range s {
		if match(i.Key) {
			out = append(out, i)
		}
	}
	return out
}

func info(sc store.Scope, owner, id string) session.Info {
	return session.Info{Key: session.Key{Scope: sc, Owner: owner, Endpoint: "DEFAULT", ID: id}, Status: session.Idle, Version: "3", Requests: 7}
}

func newService(t *testing.T, list sessions, reason string) (*operator.Service, *telemetry.DB, context.Context) {
	t.Helper()
	db, err := telemetry.Open(t.Context(), filepath.Join(t.TempDir(), "telemetry.db"), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	svc := operator.New(operator.Config{
		Server: operator.Server{Version: "1.2.3", Account: scope.Account}, Sessions: list, Logs: db, Audit: db,
		Interpreters: func(context.Context) ([]image.Interpreter, error) {
			return []image.Interpreter{{Runtime: "PYTHON_3_11", Version: "3.11.2", Machine: "x86_64", Libc: "glibc 2.36"}}, nil
		},
		Sandbox:  func(context.Context) (string, string, string) { return "gvisor", reason, "do this" },
		ARN:      func(k session.Key) string { return "arn:" + k.Owner },
		LogGroup: func(id, endpoint string) string { return "logs/" + id + "-" + endpoint },
	})
	return svc, db, pipeline.WithCall(t.Context(), &pipeline.Call{Scope: scope})
}

func TestGetServer(t *testing.T) {
	for _, reason := range []string{"", "user namespaces are off"} {
		svc, _, ctx := newService(t, nil, reason)
		out, err := svc.GetServer(ctx, &outcrop.GetServerRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if *out.Version != "1.2.3" || len(out.Interpreters) != 1 || *out.Interpreters[0].Libc != "glibc 2.36" {
			t.Errorf("GetServer = %+v", out)
		}
		if *out.Sandbox.Available != (reason == "") || (reason != "") != (out.Sandbox.Reason != nil && *out.Sandbox.Fix == "do this") {
			t.Errorf("sandbox = %+v with reason %q", out.Sandbox, reason)
		}
	}
}

func TestListSessionsPages(t *testing.T) {
	var list sessions
	var want []string
	for i := range 7 {
		id := fmt.Sprintf("session-%d", i)
		list = append(list, info(scope, "hello-0123456789", id), info(foreign, "hello-0123456789", id))
		want = append(want, id)
	}
	list = append(list, info(scope, "other-0123456789", "x"))
	svc, _, ctx := newService(t, list, "")
	var got []string
	in := &outcrop.ListSessionsRequest{AgentRuntimeId: ptr("hello-0123456789"), MaxResults: ptr(int32(3))}
	for {
		out, err := svc.ListSessions(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range out.Sessions {
			got = append(got, *s.SessionId)
			if *s.AgentRuntimeName != "hello" || *s.AgentRuntimeVersion != "3" || *s.Requests != 7 || *s.Status != "IDLE" {
				t.Errorf("session %+v", s)
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("paged %v, want %v: those of this region and agent, once", got, want)
	}
	in.NextToken = ptr("!")
	if _, err := svc.ListSessions(ctx, in); fault.From(err).Status != http.StatusBadRequest {
		t.Errorf("bad token: %v, want a refusal", err)
	}
}

// TestSessionsTell how they began and what they use; what is unknown is absent.
func TestSessionsTell(t *testing.T) {
	cold := info(scope, "hello-0123456789", "cold")
	cold.Origin, cold.Why, cold.Memory, cold.Passthrough = session.Cold, "there is no snapshot yet", 5<<20, true
	asleep := info(scope, "hello-0123456789", "sleeper")
	asleep.Status, asleep.Snapshot, asleep.Storage = session.Hibernated, 7, 8
	svc, _, ctx := newService(t, sessions{cold, asleep}, "")
	out, err := svc.ListSessions(ctx, &outcrop.ListSessionsRequest{})
	if err != nil || len(out.Sessions) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	if s := out.Sessions[0]; *s.Origin != "COLD" || *s.OriginReason != cold.Why || *s.MemoryBytes != 5<<20 || s.Passthrough == nil || !*s.Passthrough || s.SnapshotBytes != nil || s.StorageBytes != nil {
		t.Errorf("%+v", s)
	}
	if s := out.Sessions[1]; *s.Status != "HIBERNATED" || s.Origin != nil || s.OriginReason != nil || s.MemoryBytes != nil || s.Passthrough != nil || *s.SnapshotBytes != 7 || *s.StorageBytes != 8 {
		t.Errorf("%+v", s)
	}
}

// TestSpares are on the first page, those of the region and the agent.
func TestSpares(t *testing.T) {
	svc, _, ctx := newService(t, sessions{info(scope, "hello-0123456789", "a"), info(scope, "hello-0123456789", "b"), info(scope, "other-0123456789", "c")}, "")
	in := &outcrop.ListSessionsRequest{AgentRuntimeId: ptr("hello-0123456789"), MaxResults: ptr(int32(1))}
	out, err := svc.ListSessions(ctx, in)
	if err != nil || len(out.Spares) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	if s := out.Spares[0]; *s.AgentRuntimeName != "hello" || *s.AgentRuntimeVersion != "3" || *s.EndpointName != "DEFAULT" || *s.MemoryBytes != 9 {
		t.Errorf("%+v", s)
	}
	in.NextToken = out.NextToken
	if out, err = svc.ListSessions(ctx, in); err != nil || len(out.Sessions) != 1 || len(out.Spares) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
}

// say logs a line of a session and waits until it is stored.
func say(t *testing.T, db *telemetry.DB, sessionID, text string) {
	t.Helper()
	db.Append(group, "2026/11/21/[runtime-logs]"+sessionID, time.Now(), text)
	if err := db.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func messages(out *outcrop.GetRuntimeLogsResponse) []string {
	var text []string
	for _, e := range out.Events {
		text = append(text, *e.Message)
	}
	return text
}

func TestLogs(t *testing.T) {
	svc, db, ctx := newService(t, nil, "")
	read := func(in outcrop.GetRuntimeLogsRequest) *outcrop.GetRuntimeLogsResponse {
		t.Helper()
		in.AgentRuntimeId = ptr("hello-0123456789")
		out, err := svc.GetRuntimeLogs(ctx, &in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := read(outcrop.GetRuntimeLogsRequest{}); len(out.Events) != 0 || out.NextToken == nil {
		t.Errorf("an agent that never ran: %+v", out)
	}
	for i := range 5 {
		say(t, db, "one", fmt.Sprint("a", i))
	}
	say(t, db, "two", "b")
	if got := messages(read(outcrop.GetRuntimeLogsRequest{})); !slices.Equal(got, []string{"a0", "a1", "a2", "a3", "a4", "b"}) {
		t.Errorf("all: %v", got)
	}
	if got := messages(read(outcrop.GetRuntimeLogsRequest{Last: ptr(int32(2))})); !slices.Equal(got, []string{"a4", "b"}) {
		t.Errorf("the last two: %v", got)
	}
	if got := messages(read(outcrop.GetRuntimeLogsRequest{SessionId: ptr("two")})); !slices.Equal(got, []string{"b"}) {
		t.Errorf("of session two: %v", got)
	}
	if got := messages(read(outcrop.GetRuntimeLogsRequest{SessionId: ptr("none")})); len(got) != 0 {
		t.Errorf("of a session that is not there: %v", got)
	}
	first := read(outcrop.GetRuntimeLogsRequest{MaxResults: ptr(int32(4))})
	rest := read(outcrop.GetRuntimeLogsRequest{NextToken: first.NextToken})
	if got := append(messages(first), messages(rest)...); len(got) != 6 {
		t.Errorf("two pages: %v", got)
	}
	if _, err := svc.GetRuntimeLogs(ctx, &outcrop.GetRuntimeLogsRequest{AgentRuntimeId: ptr("hello-0123456789"), NextToken: ptr("bogus")}); fault.From(err).Status != http.StatusBadRequest {
		t.Errorf("bad token: %v, want a refusal", err)
	}
}

// TestTheLastOfMany: a page of the store ends at 1 MiB, what was asked for does not.
func TestTheLastOfMany(t *testing.T) {
	svc, db, ctx := newService(t, nil, "")
	const lines = 500
	for i := range lines {
		db.Append(group, "2026/11/21/[runtime-logs]one", time.Now(), fmt.Sprintf("%04d %s", i, strings.Repeat("x", 5000)))
	}
	if err := db.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := svc.GetRuntimeLogs(ctx, &outcrop.GetRuntimeLogsRequest{AgentRuntimeId: ptr("hello-0123456789"), Last: ptr(int32(450))})
	if err != nil {
		t.Fatal(err)
	}
	got := messages(out)
	if len(got) != 450 || !strings.HasPrefix(got[0], "0050 ") || !strings.HasPrefix(got[449], "0499 ") {
		t.Errorf("%d lines, from %.4s to %.4s; want 450, from 0050 to 0499", len(got), got[0], got[len(got)-1])
	}
}

// TestFollow waits for a line that is not there yet, from nothing at all and
// from the end of what was read.
func TestFollow(t *testing.T) {
	svc, db, ctx := newService(t, nil, "")
	token := (*string)(nil)
	for _, line := range []string{"first", "second"} {
		got := make(chan *outcrop.GetRuntimeLogsResponse, 1)
		go func() {
			out, err := svc.GetRuntimeLogs(ctx, &outcrop.GetRuntimeLogsRequest{
				AgentRuntimeId: ptr("hello-0123456789"), NextToken: token, WaitSeconds: ptr(int32(20)),
			})
			if err != nil {
				t.Error(err)
			}
			got <- out
		}()
		say(t, db, "one", line)
		out := <-got
		if out == nil || !slices.Equal(messages(out), []string{line}) {
			t.Fatalf("followed %v, want %s", out, line)
		}
		token = out.NextToken
	}
}

func ptr[T any](v T) *T { return &v }
