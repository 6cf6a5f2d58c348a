package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store/faulty"
)

// TestRestartKeeps what is idle; what works is lost, and says so.
func TestRestartKeeps(t *testing.T) {
	with(t, func(r *rig) {
		r.ask("a", "/set?x")
		r.sleeps(6 * time.Minute) // it hibernates already
		r.ask("b", "/set?y")
		r.ask("c", "/set?z")
		r.plan.Hibernate = false
		r.ask("opted out", "/set?x")
		r.plan.Hibernate = true
		use, err := r.Acquire(r.Context(), key("asked"), r.planner)
		if err != nil {
			t.Fatal(err)
		}
		r.send(use, "/set?x")
		r.notes = nil
		begun := time.Now()
		r.end()
		use.Release()
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v", took)
		}
		r.plan.Spec.Limits.MemoryBytes = 1 << 30 // the operator changes the bound
		r.start()
		if got := r.statuses(); got != "a HIBERNATED, b HIBERNATED, c HIBERNATED" {
			t.Errorf("%s; notes %q", got, r.notes)
		}
		for id, want := range map[string]string{"a": "x", "b": "y", "c": "z", "opted out": "", "asked": ""} {
			if got := r.ask(id, "/get"); got != want {
				t.Errorf("%s remembers %q, want %q", id, got, want)
			}
		}
		if r.began("b") != session.Woken || r.engine.Alive() != 5 {
			t.Errorf("b began %s, %d alive", r.began("b"), r.engine.Alive())
		}
	})
}

// TestRestartLosesBusy: what says that it works is not saved.
func TestRestartLosesBusy(t *testing.T) {
	with(t, func(r *rig) {
		r.ask("a", "/set?x")
		r.says(`{"status":"HealthyBusy"}`) // which nobody has asked it yet
		r.end()
		r.start()
		if got := r.List(all); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		r.noted("ended: the server shut down")
	})
}

// TestRestartInTime: as many are saved as the time allows, those that were used last;
// the rest ends.
func TestRestartInTime(t *testing.T) {
	with(t, func(r *rig) {
		n := runtime.GOMAXPROCS(0)
		r.end()
		r.change = func(c *session.Config) { c.Limit = 3*n + 1 }
		r.start()
		for i := range 3 * n {
			r.ask(fmt.Sprintf("%03d", i), "/set?x")
			r.sleeps(time.Millisecond)
		}
		r.engine.SaveTime = 5 * time.Second
		begun := time.Now()
		r.closeManager()
		if took := time.Since(begun); took < 8*time.Second || took > 9*time.Second || r.engine.Alive() != 0 {
			t.Errorf("it took %v, %d alive", took, r.engine.Alive())
		}
		r.engine.SaveTime = 0
		r.end()
		r.start()
		got := r.List(all)
		if len(got) != n || got[0].Key.ID != fmt.Sprintf("%03d", 2*n) {
			t.Errorf("%d of %d sessions were saved, the oldest %+v", len(got), 3*n, got[0])
		}
	})
}

// TestRestartUnsavable: a guest that cannot be saved ends as others do, and so does
// one that fits no disk.
func TestRestartUnsavable(t *testing.T) {
	for name, change := range map[string]func(r *rig){
		"guest": func(r *rig) { r.engine.Unsavable = sandbox.ErrUnsavable },
		"disk":  func(r *rig) { r.engine.Ballast = 2000 },
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(r *rig) {
				r.end()
				r.room = 1000
				r.start()
				r.ask("a", "/set?x")
				change(r)
				begun := time.Now()
				r.end()
				if took := time.Since(begun); took > time.Second {
					t.Errorf("it took %v", took)
				}
				r.noted("ended: the server shut down")
				r.start()
				if got := r.List(all); len(got) != 0 || r.sealed("sessions") != 0 {
					t.Errorf("%+v, %d files", got, r.sealed("sessions"))
				}
			})
		})
	}
}

// TestGuestEndsAtRestart: a guest may end by itself just when it would be saved for
// the next process.
func TestGuestEndsAtRestart(t *testing.T) {
	with(t, func(r *rig) {
		var hold atomic.Bool
		recorded, asked := make(chan struct{}), make(chan struct{})
		r.end()
		r.change = func(c *session.Config) {
			c.Store = faulty.New(c.Store, func(faulty.Call) faulty.Fault {
				if hold.Load() {
					<-recorded
				}
				return faulty.Fault{}
			})
		}
		r.start()
		r.plan.Health = func(context.Context, http.RoundTripper) (session.Health, error) {
			if hold.Load() {
				<-asked
				return session.Health{}, errors.New("it has ended")
			}
			return session.Health{}, nil
		}
		r.ask("a", "/set?x")
		hold.Store(true)
		r.engine.Crash(1)
		synctest.Wait() // its end is noticed and not yet recorded
		var closing sync.WaitGroup
		closing.Go(r.closeManager)
		synctest.Wait() // it is asked how it is, to be saved
		close(recorded)
		synctest.Wait() // it is forgotten
		close(asked)
		closing.Wait()
		hold.Store(false)
		r.noted("ended: its process exited with status 1")
	})
}
