package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/garbage"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/session"
)

// pruned wants code to go and to be left.
func (k kit) pruned(o garbage.Options, taken, left int64) {
	k.Helper()
	r, err := k.Service.PruneCode(k.Context(), o)
	if err != nil || r.Taken.Items != taken || r.Left.Items != left || (r.Taken.Bytes > 0) != (taken > 0) || (r.Left.Bytes > 0) != (left > 0) {
		k.Errorf("PruneCode(%+v) = %+v, %v; want %d taken and %d left", o, r, err, taken, left)
	}
}

// changed gives a runtime a version with code of its own.
func (k kit) changed(id, key, body string) {
	k.Helper()
	k.Put(key, runtimetest.Zip(k.T, "main.py", body))
	in := change(id)
	in.AgentRuntimeArtifact = code(key, "")
	if _, err := k.Control.UpdateAgentRuntime(k.Context(), in); err != nil {
		k.Fatal(err)
	}
	if got := k.settled(id); got.Status != types.AgentRuntimeStatusReady {
		k.Fatalf("%s: %s", got.Status, aws.ToString(got.FailureReason))
	}
}

func (k kit) stop(id, name string) {
	k.Helper()
	_, err := k.Data.StopRuntimeSession(k.Context(), &bedrockagentcore.StopRuntimeSessionInput{
		AgentRuntimeArn: aws.String(arn(id)), RuntimeSessionId: aws.String(runtimetest.SessionID(name)),
	})
	if err != nil {
		k.Fatal(err)
	}
}

// TestCodeObjects: the zips of all versions, until their runtime is gone.
func TestCodeObjects(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	want := func(keys ...string) {
		t.Helper()
		all, err := k.Service.CodeObjects(t.Context())
		if err != nil || len(all) != len(keys) {
			t.Errorf("CodeObjects() = %v, %v; want %q", all, err, keys)
		}
		for _, key := range keys {
			if !all[runtime.CodeObject{Bucket: runtimetest.Bucket, Key: key}] {
				t.Errorf("%s is not among %v", key, all)
			}
		}
	}
	want()
	id := k.created("steady")
	k.changed(id, "second.zip", "second")
	want("agent.zip", "second.zip")
	if _, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id}); err != nil {
		t.Fatal(err)
	}
	k.gone(id)
	want()
}

// TestPruneCode that no version has, and at request of those that nobody runs, if
// it can be fetched again.
func TestPruneCode(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("steady")
	k.pruned(garbage.Options{All: true}, 0, 1)
	k.Put("broken.zip", runtimetest.Zip(t, "agent/main.py", "x"))
	in := create("broken")
	in.AgentRuntimeArtifact = code("broken.zip", "")
	out, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	k.settled(*out.AgentRuntimeId)
	k.pruned(garbage.Options{Unused: time.Hour}, 0, 2)
	k.pruned(garbage.Options{DryRun: true}, 1, 1)
	k.pruned(garbage.Options{}, 1, 1)

	if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
		t.Fatal(err)
	}
	k.changed(id, "two.zip", "print('two')\n")
	k.pruned(garbage.Options{}, 0, 2)
	k.pruned(garbage.Options{All: true}, 0, 2) // a session of version 1 runs
	k.stop(id, "one")
	k.pruned(garbage.Options{All: true, Unused: time.Hour}, 0, 2)
	k.pruned(garbage.Options{All: true, DryRun: true}, 1, 1)
	good := runtimetest.Zip(t, "main.py", "print('hello')\n")
	k.Put("agent.zip", runtimetest.Zip(t, "main.py", "print('another')\n"))
	k.pruned(garbage.Options{All: true}, 0, 2) // it could not be fetched again
	k.Put("agent.zip", good)
	k.pruned(garbage.Options{All: true}, 1, 1)
	if _, err := k.invoke(arn(id), "two", "hi"); err != nil {
		t.Error(err)
	}
}

// TestPruneSparesWhatHibernates: the code of its version, until it is another.
func TestPruneSparesWhatHibernates(t *testing.T) {
	k := newKit(t, runtimetest.Options{Snapshots: true, MaxSessions: 1})
	id := k.made(create("sleepy"))
	if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
		t.Fatal(err)
	}
	k.changed(id, "two.zip", "print('two')\n")
	if _, err := k.invoke(arn(id), "two", "hi"); err != nil {
		t.Fatal(err)
	}
	k.pruned(garbage.Options{All: true}, 0, 2)
	hibernated := func(o session.PruneOptions, ended int) {
		t.Helper()
		if done, err := k.Sessions.Prune(t.Context(), o); err != nil || done.Ended != ended {
			t.Errorf("%+v, %v; want %d ended", done, err, ended)
		}
	}
	hibernated(session.PruneOptions{Basis: k.Service.Basis}, 0)
	if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
		t.Fatal(err)
	}
	for _, i := range k.Sessions.List(everything) {
		if i.Version == "1" && i.Origin != session.Woken {
			t.Errorf("it was not woken: %+v", i)
		}
	}
	k.stop(id, "one")
	k.pruned(garbage.Options{All: true}, 1, 1)
}

func TestBasis(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("based")
	key := session.Key{Scope: runtimetest.Scope(), Owner: id, Endpoint: "DEFAULT"}
	known, err := k.Service.Known(t.Context())
	if err != nil || len(known) != 1 || known[0] != key {
		t.Errorf("known %+v, %v", known, err)
	}
	if got, err := k.Service.Basis(t.Context(), key, "1"); err != nil || got == "" {
		t.Errorf("%q, %v", got, err)
	}
	other := key
	other.Endpoint = "prod"
	for _, at := range []struct {
		key     session.Key
		version string
	}{{key, "2"}, {key, ""}, {other, "1"}} {
		if got, err := k.Service.Basis(t.Context(), at.key, at.version); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("%+v: %q, %v", at, got, err)
		}
	}
}

// TestPruneBesideStarts: sessions of new versions, and of one that hibernates,
// start while others prune all the time.
func TestPruneBesideStarts(t *testing.T) {
	k := newKit(t, runtimetest.Options{Snapshots: true, MaxSessions: 2})
	id := k.made(create("busy"))
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all.Go(func() {
		for ctx.Err() == nil {
			_, err := k.Service.PruneCode(ctx, garbage.Options{All: true})
			if err == nil {
				_, err = k.Sessions.Prune(ctx, session.PruneOptions{Basis: k.Service.Basis})
			}
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for i := range 6 {
		text := fmt.Sprint(i)
		k.changed(id, text+".zip", text)
		for _, name := range []string{"stays", text + "a", text + "b"} {
			if answer, err := k.invoke(arn(id), name, text); err != nil || answer != text {
				t.Errorf("%s: %q, %v", name, answer, err)
			}
		}
		k.stop(id, text+"a")
	}
	for _, i := range k.Sessions.List(everything) {
		if i.Key.ID == runtimetest.SessionID("stays") && i.Version != "2" {
			t.Errorf("the first session lost its place: %+v", i)
		}
	}
	if _, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id}); err != nil {
		t.Fatal(err)
	}
	k.gone(id)
}
