package session_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxfake"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

var scope = store.Scope{Account: "123456789012", Region: "us-east-1"}

func key(id string) session.Key {
	return session.Key{Scope: scope, Owner: "hello-0123456789", Endpoint: "DEFAULT", ID: id}
}

// plan is ready at once, idle after a minute and over after an hour.
func plan(ended *[]string) session.Planner {
	return func(context.Context, string) (session.Plan, error) {
		return session.Plan{
			Probe: func(context.Context, http.RoundTripper) error { return nil }, Port: 8080,
			StartLimit: 30 * time.Second, IdleLimit: time.Minute, MaxLife: time.Hour, Version: "1",
			Ended: func(e session.End) {
				if ended != nil {
					*ended = append(*ended, e.Why)
				}
			},
		}, nil
	}
}

func acquire(t *testing.T, m *session.Manager, id string, p session.Planner) *session.Use {
	t.Helper()
	use, err := m.Acquire(t.Context(), key(id), p)
	if err != nil {
		t.Fatalf("Acquire: %v", err)
	}
	return use
}

func all(session.Key) bool { return true }

// bubble runs f with fake time and checks that nothing is left afterwards.
func bubble(t *testing.T, limit int, f func(t *testing.T, e *sandboxfake.Engine, m *session.Manager)) {
	synctest.Test(t, func(t *testing.T) {
		e := &sandboxfake.Engine{}
		m := session.NewManager(session.Config{Engine: e, Limit: limit, Log: slog.New(slog.DiscardHandler)})
		f(t, e, m)
		if err := m.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if n := e.Alive(); n != 0 {
			t.Errorf("%d sandboxes outlive the manager", n)
		}
	})
}

func TestStartsOnce(t *testing.T) {
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		e.Startup = time.Second
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				use := acquire(t, m, "a", plan(nil))
				time.Sleep(time.Second) // fake time: all twenty hold it together
				use.Release()
			})
		}
		time.Sleep(1500 * time.Millisecond)
		if got := m.List(all); len(got) != 1 || got[0].Running != 20 || got[0].Status != session.Active || got[0].Requests != 20 {
			t.Errorf("List = %+v, want one session with 20 running", got)
		}
		wg.Wait()
		if n := e.Starts(); n != 1 {
			t.Errorf("%d starts for one session, want 1", n)
		}
	})
}

func TestKeysShareNothing(t *testing.T) {
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		other := key("a")
		other.Endpoint = "prod"
		foreign := key("a")
		foreign.Scope.Account = "999999999999"
		for _, k := range []session.Key{key("a"), key("b"), other, foreign} {
			use, err := m.Acquire(t.Context(), k, plan(nil))
			if err != nil {
				t.Fatal(err)
			}
			use.Release()
		}
		if n := e.Alive(); n != 4 {
			t.Errorf("%d sandboxes for four keys, want 4", n)
		}
	})
}

func TestIdleEnds(t *testing.T) {
	var ended []string
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		acquire(t, m, "a", plan(&ended)).Release()
		time.Sleep(59 * time.Second)
		acquire(t, m, "a", plan(&ended)).Release() // starts the clock anew
		time.Sleep(59 * time.Second)
		if e.Alive() != 1 {
			t.Fatal("session ended although it was used a minute ago")
		}
		use := acquire(t, m, "a", plan(&ended))
		time.Sleep(10 * time.Minute) // a running request is no idleness
		if e.Alive() != 1 {
			t.Fatal("session ended under a running request")
		}
		use.Release()
		time.Sleep(61 * time.Second)
		if e.Alive() != 0 || len(m.List(all)) != 0 {
			t.Error("session is alive after its idle time")
		}
		if n := e.Starts(); n != 1 {
			t.Errorf("%d starts, want 1", n)
		}
	})
	if want := []string{"it was idle for 1m0s"}; fmt.Sprint(ended) != fmt.Sprint(want) {
		t.Errorf("Ended = %v, want %v", ended, want)
	}
}

func TestMaxLifeEndsABusySession(t *testing.T) {
	var ended []string
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		use := acquire(t, m, "a", plan(&ended))
		time.Sleep(time.Hour + time.Second)
		if e.Alive() != 0 {
			t.Error("session is alive after its maximum lifetime")
		}
		use.Release()
		acquire(t, m, "a", plan(nil)).Release() // the id can be used again
	})
	if len(ended) != 1 || ended[0] != "its maximum lifetime is over" {
		t.Errorf("Ended = %v", ended)
	}
}

func TestStop(t *testing.T) {
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		if err := m.Stop(t.Context(), key("a")); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Stop of nothing = %v, want ErrNotFound", err)
		}
		e.Stuck = true
		use := acquire(t, m, "a", plan(nil))
		stopped := make(chan error)
		begun := time.Now()
		go func() { stopped <- m.Stop(context.Background(), key("a")) }()
		synctest.Wait()
		if _, err := m.Acquire(t.Context(), key("a"), plan(nil)); !errors.Is(err, session.ErrStopping) {
			t.Errorf("Acquire while stopping = %v, want ErrStopping", err)
		}
		if err := m.Stop(t.Context(), key("a")); !errors.Is(err, session.ErrStopping) {
			t.Errorf("second Stop = %v, want ErrStopping", err)
		}
		if err := <-stopped; err != nil {
			t.Errorf("Stop: %v", err)
		}
		if took := time.Since(begun); took > 15*time.Second {
			t.Errorf("Stop took %v, want at most 15 s", took)
		}
		use.Release()
		if e.Alive() != 0 {
			t.Error("sandbox is alive after Stop")
		}
	})
}

func TestStopWhileStarting(t *testing.T) {
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		e.Startup = 5 * time.Second
		got := make(chan error)
		go func() {
			_, err := m.Acquire(context.Background(), key("a"), plan(nil))
			got <- err
		}()
		synctest.Wait()
		if err := m.Stop(t.Context(), key("a")); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if err := <-got; !errors.Is(err, session.ErrStopping) {
			t.Errorf("Acquire = %v, want ErrStopping", err)
		}
		if e.Alive() != 0 {
			t.Error("sandbox is alive after Stop")
		}
	})
}

func TestCrashFreesTheKey(t *testing.T) {
	var ended []string
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		use := acquire(t, m, "a", plan(&ended))
		e.Crash(3)
		<-use.Done()
		use.Release()
		synctest.Wait()
		acquire(t, m, "a", plan(nil)).Release()
		if n := e.Starts(); n != 2 {
			t.Errorf("%d starts, want 2", n)
		}
	})
	if len(ended) != 1 || ended[0] != "its process exited with status 3" {
		t.Errorf("Ended = %v", ended)
	}
}

func TestStartFailures(t *testing.T) {
	boom := errors.New("boom")
	never := func(context.Context, string) (session.Plan, error) {
		p, _ := plan(nil)(context.Background(), "")
		p.Probe = func(context.Context, http.RoundTripper) error { return boom }
		return p, nil
	}
	tests := []struct {
		name  string
		setup func(*sandboxfake.Engine)
		plan  func(context.Context, string) (session.Plan, error)
		want  error
		after time.Duration
	}{
		{"plan", func(*sandboxfake.Engine) {}, func(context.Context, string) (session.Plan, error) { return session.Plan{}, boom }, boom, 0},
		{"engine", func(e *sandboxfake.Engine) { e.Fail = boom }, plan(nil), boom, 0},
		{"never ready", func(*sandboxfake.Engine) {}, never, session.ErrNotReady, 30 * time.Second},
		{"exits first", func(e *sandboxfake.Engine) { time.AfterFunc(time.Second, func() { e.Crash(3) }) }, never, session.ErrExited, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
				tt.setup(e)
				begun := time.Now()
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() {
						if _, err := m.Acquire(t.Context(), key("a"), tt.plan); !errors.Is(err, tt.want) {
							t.Errorf("Acquire = %v, want %v", err, tt.want)
						}
					})
				}
				wg.Wait()
				if took := time.Since(begun); took < tt.after || took > tt.after+time.Second {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				e.Fail = nil
				acquire(t, m, "a", plan(nil)).Release() // nothing of the failure is left
			})
		})
	}
}

func TestStartOutlivesItsCaller(t *testing.T) {
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		e.Startup = 5 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Acquire(ctx, key("a"), plan(nil)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire = %v, want DeadlineExceeded", err)
		}
		time.Sleep(5 * time.Second)
		if got := m.List(all); len(got) != 1 || got[0].Status != session.Idle {
			t.Errorf("List = %+v, want the session idle", got)
		}
		time.Sleep(time.Minute)
		if e.Alive() != 0 {
			t.Error("a session nobody came back to is alive after its idle time")
		}
	})
}

func TestLimit(t *testing.T) {
	bubble(t, 2, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		a, b := acquire(t, m, "a", plan(nil)), acquire(t, m, "b", plan(nil))
		if _, err := m.Acquire(t.Context(), key("c"), plan(nil)); !errors.Is(err, session.ErrLimit) {
			t.Errorf("third session = %v, want ErrLimit", err)
		}
		acquire(t, m, "a", plan(nil)).Release() // those that run go on
		a.Release()
		b.Release()
	})
}

func TestStopOwner(t *testing.T) {
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		other := key("a")
		other.Owner = "other-0123456789"
		for _, k := range []session.Key{key("a"), key("b"), other} {
			use, err := m.Acquire(t.Context(), k, plan(nil))
			if err != nil {
				t.Fatal(err)
			}
			use.Release()
		}
		if err := m.StopOwner(t.Context(), scope, key("a").Owner); err != nil {
			t.Errorf("StopOwner: %v", err)
		}
		if got := m.List(all); len(got) != 1 || got[0].Key != other {
			t.Errorf("List = %+v, want only the other owner's", got)
		}
	})
}

func TestStopEndpoint(t *testing.T) {
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		other := key("a")
		other.Endpoint = "other"
		for _, k := range []session.Key{key("a"), other} {
			use, err := m.Acquire(t.Context(), k, plan(nil))
			if err != nil {
				t.Fatal(err)
			}
			use.Release()
		}
		if err := m.StopEndpoint(t.Context(), scope, other.Owner, other.Endpoint); err != nil {
			t.Errorf("StopEndpoint: %v", err)
		}
		if got := m.List(all); len(got) != 1 || got[0].Key != key("a") {
			t.Errorf("List = %+v, want only the other endpoint's", got)
		}
	})
}

func TestCloseRefuses(t *testing.T) {
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		acquire(t, m, "a", plan(nil)).Release()
		if err := m.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Acquire(t.Context(), key("b"), plan(nil)); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Acquire after Close = %v, want ErrClosed", err)
		}
	})
}

// TestStopEndsRequests: a server that is told to stop waits for its running
// requests, so these are ended first; and nobody waits for a start.
func TestStopEndsRequests(t *testing.T) {
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		e.Stuck = true
		use := acquire(t, m, "a", plan(nil))
		if err := use.Context().Err(); err != nil {
			t.Fatalf("the context of a live session has ended: %v", err)
		}
		begun := time.Now()
		go func() { _ = m.Stop(context.Background(), key("a")) }()
		<-use.Context().Done()
		if took := time.Since(begun); took != 0 {
			t.Errorf("the requests ended %v after the stop", took)
		}
		if err := context.Cause(use.Context()); !errors.Is(err, session.ErrStopping) {
			t.Errorf("cause %v, want ErrStopping", err)
		}
		use.Release()
	})
}

func TestStopCutsAStartShort(t *testing.T) {
	var ended []string
	never := func(context.Context, string) (session.Plan, error) {
		p, _ := plan(&ended)(context.Background(), "")
		p.Probe = func(context.Context, http.RoundTripper) error { return errors.New("boom") }
		return p, nil
	}
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		got := make(chan error)
		go func() {
			_, err := m.Acquire(context.Background(), key("a"), never)
			got <- err
		}()
		time.Sleep(time.Second)
		begun := time.Now()
		if err := m.Stop(t.Context(), key("a")); err != nil {
			t.Error(err)
		}
		if err := <-got; !errors.Is(err, session.ErrStopping) {
			t.Errorf("Acquire = %v, want ErrStopping", err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("stopping a start took %v", took)
		}
	})
	if fmt.Sprint(ended) != "[it was stopped]" {
		t.Errorf("Ended = %q", ended)
	}
}

// TestDeathLeavesTheContext: what a guest said before it died can be read.
func TestDeathLeavesTheContext(t *testing.T) {
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		use := acquire(t, m, "a", plan(nil))
		e.Crash(1)
		synctest.Wait()
		if err := use.Context().Err(); err != nil {
			t.Errorf("the context ended with the guest: %v", err)
		}
		use.Release()
	})
}

// TestStartsAgainWhenTheEngineBroke: ErrStopped of Start is nobody's fault.
func TestStartsAgainWhenTheEngineBroke(t *testing.T) {
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		e.Fail = fmt.Errorf("the supervisor died: %w", sandbox.ErrStopped)
		if _, err := m.Acquire(t.Context(), key("a"), plan(nil)); !errors.Is(err, sandbox.ErrStopped) {
			t.Errorf("Acquire = %v, want ErrStopped", err)
		}
		if n := e.Starts(); n != 2 {
			t.Errorf("%d attempts, want 2", n)
		}
	})
}

func TestSlowEngineIsNotReady(t *testing.T) {
	var ended []string
	bubble(t, 10, func(t *testing.T, e *sandboxfake.Engine, m *session.Manager) {
		e.Startup = time.Minute
		var failed *session.StartError
		if _, err := m.Acquire(t.Context(), key("a"), plan(&ended)); !errors.As(err, &failed) || !errors.Is(err, session.ErrNotReady) {
			t.Errorf("Acquire = %v, want a StartError", err)
		}
	})
	if fmt.Sprint(ended) != "[it was not ready within 30s: context deadline exceeded]" {
		t.Errorf("Ended = %q", ended)
	}
}
