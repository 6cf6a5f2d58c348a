package session_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
)

// TestHibernates: an idle session gives its memory back and comes back as it
// was, with its age and its count.
func TestHibernates(t *testing.T) {
	with(t, func(r *rig) {
		began := time.Now()
		r.ask("a", "/set?canary-secret")
		r.sleeps(5*time.Minute - time.Second)
		r.status(session.Idle)
		r.sleeps(2 * time.Second)
		i := r.status(session.Hibernated)
		if r.engine.Alive() != 0 || i.Snapshot == 0 || i.Requests != 1 || !i.IdleDeadline.Equal(began.Add(15*time.Minute)) || r.sealed("sessions") != 1 {
			t.Errorf("%d alive, %+v, %d files", r.engine.Alive(), i, r.sealed("sessions"))
		}
		r.hides("canary")
		r.sleeps(5 * time.Minute)
		if got := r.ask("a", "/get"); got != "canary-secret" {
			t.Errorf("it remembers %q", got)
		}
		i = r.only()
		if i.Origin != session.Woken || i.Requests != 2 || !i.Started.Equal(began) || r.sealed("sessions") != 0 || r.engine.Resumes() != 1 {
			t.Errorf("%+v, %d files", i, r.sealed("sessions"))
		}
		r.sleeps(6 * time.Minute)
		r.status(session.Hibernated)
		if got := r.ask("a", "/get"); got != "canary-secret" {
			t.Errorf("the second time it remembers %q", got)
		}
	})
}

// TestForgetsItsPast: however often a session hibernates, what it was before it
// did is garbage.
func TestForgetsItsPast(t *testing.T) {
	with(t, func(r *rig) {
		type detail struct{ _ [1 << 10]byte }
		var past []weak.Pointer[detail]
		for range 5 {
			d := new(detail)
			past = append(past, weak.Make(d))
			r.plan.Detail = d
			r.ask("a", "/get")
			r.sleeps(6 * time.Minute)
			r.status(session.Hibernated)
		}
		r.plan.Detail = nil
		runtime.GC()
		for i, d := range past {
			if d.Value() != nil {
				t.Errorf("what it was at its turn %d is held while it hibernates", i+1)
			}
		}
	})
}

// TestHibernatedEnds: at its idle timeout, at the end of its life, when it is
// stopped, and with its owner; nothing is left of it then.
func TestHibernatedEnds(t *testing.T) {
	tests := []struct {
		name string
		why  string
		do   func(r *rig)
	}{
		{"idle", "ended: it was idle for 15m0s", func(r *rig) { r.sleeps(10 * time.Minute) }},
		{"stopped", "ended: it was stopped", func(r *rig) {
			if err := r.Stop(r.Context(), key("a")); err != nil {
				r.Error(err)
			}
		}},
		{"owner", "ended: its owner was deleted", func(r *rig) {
			if err := r.StopOwner(r.Context(), scope, key("a").Owner); err != nil {
				r.Error(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			with(t, func(r *rig) {
				r.ask("a", "/set?x")
				r.sleeps(6 * time.Minute)
				r.status(session.Hibernated)
				tt.do(r)
				if got := r.List(all); len(got) != 0 || r.sealed("sessions") != 0 {
					t.Errorf("left: %+v, %d files", got, r.sealed("sessions"))
				}
				if last := r.notes[len(r.notes)-1]; last != "a: session "+tt.why {
					t.Errorf("notes %q", r.notes)
				}
				if err := r.Stop(r.Context(), key("a")); !errors.Is(err, session.ErrNotFound) {
					t.Errorf("Stop = %v", err)
				}
				if got := r.ask("a", "/get"); got != "" {
					t.Errorf("it remembers %q", got)
				}
			})
		})
	}
	t.Run("life", func(t *testing.T) {
		with(t, func(r *rig) {
			r.plan.MaxLife = 8 * time.Minute
			r.ask("a", "/set?x")
			r.sleeps(8*time.Minute + time.Second)
			if got := r.List(all); len(got) != 0 {
				t.Errorf("left: %+v", got)
			}
			r.noted("session ended: its maximum lifetime is over")
		})
	})
	t.Run("longer", func(t *testing.T) {
		with(t, func(r *rig) {
			r.end()
			r.change = func(c *session.Config) { c.KeepHibernated = time.Hour }
			r.start()
			r.ask("a", "/set?x")
			r.sleeps(59 * time.Minute)
			if got := r.ask("a", "/get"); got != "x" {
				t.Errorf("it remembers %q", got)
			}
		})
	})
}

// TestNeverWhile: what runs is not taken for idle.
func TestNeverWhile(t *testing.T) {
	t.Run("a request", func(t *testing.T) {
		with(t, func(r *rig) {
			use, err := r.Acquire(r.Context(), key("a"), r.planner)
			if err != nil {
				t.Fatal(err)
			}
			r.sleeps(time.Hour)
			r.status(session.Active)
			use.Release()
			r.sleeps(5 * time.Minute)
			r.status(session.Hibernated)
		})
	})
	t.Run("busy", func(t *testing.T) {
		with(t, func(r *rig) {
			r.says(`{"status":"HealthyBusy"}`)
			r.ask("a", "/set?x")
			r.sleeps(time.Hour)
			r.status(session.Active)
			r.says(`{"status":"Healthy"}`)
			r.sleeps(6 * time.Second)
			r.status(session.Idle) // its idle time starts now
			r.sleeps(4 * time.Minute)
			r.status(session.Idle)
			r.sleeps(time.Minute)
			r.status(session.Hibernated)
		})
	})
	t.Run("busy at the last moment", func(t *testing.T) {
		with(t, func(r *rig) {
			r.ask("a", "/set?x")
			r.sleeps(5*time.Minute - time.Second)
			r.says(`{"status":"HealthyBusy"}`)
			r.sleeps(2 * time.Second)
			r.status(session.Active)
		})
	})
	t.Run("opted out", func(t *testing.T) {
		with(t, func(r *rig) {
			r.plan.Hibernate = false
			r.ask("a", "/set?x")
			r.sleeps(14 * time.Minute)
			r.status(session.Idle)
			r.sleeps(time.Minute)
			if len(r.List(all)) != 0 {
				t.Error("it is not over")
			}
		})
	})
	t.Run("it cannot be saved", func(t *testing.T) {
		with(t, func(r *rig) {
			r.engine.Unsavable = fmt.Errorf("%w: it holds a device", sandbox.ErrUnsavable)
			r.ask("a", "/set?x")
			r.sleeps(14 * time.Minute)
			r.status(session.Idle)
			if got := r.ask("a", "/get"); got != "x" {
				t.Errorf("it remembers %q", got)
			}
			if len(r.notes) != 1 {
				t.Errorf("notes %q, want one", r.notes)
			}
			r.noted("the session cannot hibernate: sandbox cannot be saved: it holds a device")
		})
	})
}

// TestBusyEnds: at the end of its life, whatever it says.
func TestBusyEnds(t *testing.T) {
	with(t, func(r *rig) {
		r.says(`{"status":"HealthyBusy"}`)
		r.plan.MaxLife = 20 * time.Minute
		r.ask("a", "/set?x")
		r.sleeps(20*time.Minute + time.Second)
		if len(r.List(all)) != 0 {
			t.Error("it lives longer than it may")
		}
		r.noted("ended: its maximum lifetime is over")
	})
}

// TestTimeOfLastUpdate: a guest that says when it changed last is idle from then
// on; one that says so at every ping never is.
func TestTimeOfLastUpdate(t *testing.T) {
	with(t, func(r *rig) {
		r.ask("a", "/set?x")
		for range 20 {
			r.says(fmt.Sprintf(`{"status":"Healthy","time_of_last_update":%d}`, time.Now().Unix()))
			r.sleeps(time.Minute)
			r.status(session.Idle)
		}
		r.sleeps(4 * time.Minute)
		r.status(session.Hibernated)
	})
}

// TestIllGuestEnds after three polls, and not because of one.
func TestIllGuestEnds(t *testing.T) {
	with(t, func(r *rig) {
		r.ask("a", "/set?x")
		r.sick(true)
		r.sleeps(12 * time.Second)
		r.sick(false)
		r.sleeps(time.Minute)
		r.status(session.Idle)
		r.sick(true)
		r.sleeps(17 * time.Second)
		if len(r.List(all)) != 0 {
			t.Error("it lives")
		}
		r.noted("ended: its health check failed 3 times in a row: GET /ping answered 500 Internal Server Error")
		r.sick(false)
		r.ask("a", "/get")
	})
}

// TestRequestWhileSaving waits, and finds the session as it was, however many
// ask.
func TestRequestWhileSaving(t *testing.T) {
	with(t, func(r *rig) {
		r.engine.SaveTime = 10 * time.Second
		r.ask("a", "/set?x")
		r.sleeps(5*time.Minute + time.Second)
		r.status(session.Hibernating)
		impatient, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if _, err := r.Acquire(impatient, key("a"), r.planner); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire = %v", err)
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if got := r.ask("a", "/get"); got != "x" {
					t.Errorf("it remembers %q", got)
				}
			})
		}
		wg.Wait()
		if r.engine.Resumes() != 1 || r.engine.Starts() != 2 {
			t.Errorf("%d resumes, %d starts", r.engine.Resumes(), r.engine.Starts())
		}
	})
}

// TestStopWhileSaving leaves nothing.
func TestStopWhileSaving(t *testing.T) {
	with(t, func(r *rig) {
		r.engine.SaveTime = 10 * time.Second
		r.ask("a", "/set?x")
		r.sleeps(5*time.Minute + time.Second)
		r.status(session.Hibernating)
		if err := r.Stop(r.Context(), key("a")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(r.List(all)) != 0 || r.sealed("sessions") != 0 {
			t.Errorf("left: %+v, %d files", r.List(all), r.sealed("sessions"))
		}
		r.noted("ended: it was stopped")
		if got := r.ask("a", "/get"); got != "" {
			t.Errorf("it remembers %q", got)
		}
	})
}

// TestSurvives a killed process; what ran is lost, and nothing is resumed twice.
func TestSurvives(t *testing.T) {
	with(t, func(r *rig) {
		r.ask("a", "/set?x")
		r.sleeps(6 * time.Minute)
		r.ask("b", "/set?y")
		r.kill()
		i := r.status(session.Hibernated)
		if i.Key != key("a") || i.Requests != 1 || i.Version != "1" {
			t.Errorf("%+v", i)
		}
		if got := r.ask("a", "/get"); got != "x" {
			t.Errorf("it remembers %q", got)
		}
		if got := r.ask("b", "/get"); got != "" {
			t.Errorf("the other remembers %q", got)
		}
		r.kill() // both ran
		if got := r.List(all); len(got) != 0 || r.sealed("sessions") != 0 {
			t.Errorf("%+v, %d files", got, r.sealed("sessions"))
		}
		if got := r.ask("a", "/get"); got != "" {
			t.Errorf("it was resumed a second time, and remembers %q", got)
		}
	})
}

// TestEndsWhileDown: its time goes on without a server.
func TestEndsWhileDown(t *testing.T) {
	with(t, func(r *rig) {
		r.ask("a", "/set?x")
		r.sleeps(6 * time.Minute)
		r.end()
		time.Sleep(10 * time.Minute)
		r.start()
		synctest.Wait()
		if got := r.List(all); len(got) != 0 || r.sealed("sessions") != 0 {
			t.Errorf("%+v, %d files", got, r.sealed("sessions"))
		}
	})
}

// TestCannotBeWoken: it starts afresh with its storage, and says so.
func TestCannotBeWoken(t *testing.T) {
	tests := []struct {
		name, why string
		do        func(r *rig)
	}{
		{"file gone", "its file is gone", func(r *rig) {
			found, _ := filepath.Glob(filepath.Join(r.dir, "sessions", "*.sealed"))
			if err := os.Remove(found[0]); err != nil {
				r.Fatal(err)
			}
		}},
		{"other engine", "snapshot cannot be resumed; the server's own log says why", func(r *rig) {
			r.engine.FailResume = fmt.Errorf("start sandbox 94ba: %w: runsc ended with 128", sandbox.ErrSnapshot)
		}},
		{"other interpreter", "what it was made from has changed", func(r *rig) { r.plan.Basis = "sha256:2" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			with(t, func(r *rig) {
				r.plan.Storage = "/mnt/data"
				r.plan.Template = false
				r.ask("a", "/set?x")
				place := r.engine.Specs()[0].Volumes[0]
				if err := os.WriteFile(filepath.Join(place.Source, "f"), []byte("stored"), 0o600); err != nil {
					t.Fatal(err)
				}
				r.sleeps(6 * time.Minute)
				r.status(session.Hibernated)
				tt.do(r)
				if got := r.ask("a", "/get"); got != "" {
					t.Errorf("it remembers %q", got)
				}
				i := r.only()
				if i.Origin != session.Cold || r.sealed("sessions") != 0 || time.Since(i.Started) > time.Second {
					t.Errorf("%+v, %d files", i, r.sealed("sessions"))
				}
				if want := "where it hibernated cannot be resumed: " + tt.why; i.Why != want {
					t.Errorf("why is %q, want %q", i.Why, want)
				}
				r.noted("the session starts afresh, with its storage alone: where it hibernated cannot be resumed: " + tt.why)
				specs := r.engine.Specs()
				v := specs[len(specs)-1].Volumes[0]
				if body, err := os.ReadFile(filepath.Join(v.Source, "f")); v.Target != "/mnt/data" || v.Bytes != 1<<30 || string(body) != "stored" {
					t.Errorf("storage %+v: %q, %v", v, body, err)
				}
			})
		})
	}
}

// TestNotNow: a session whose plan cannot be made just now sleeps on.
func TestNotNow(t *testing.T) {
	with(t, func(r *rig) {
		r.ask("a", "/set?x")
		r.sleeps(6 * time.Minute)
		r.gone = true
		if _, err := r.Acquire(r.Context(), key("a"), r.planner); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Acquire = %v", err)
		}
		r.gone = false
		r.status(session.Hibernated)
		r.fault = errors.New("disk is full")
		if _, err := r.Acquire(r.Context(), key("a"), r.planner); err == nil {
			t.Error("it was woken without being marked as running")
		}
		r.fault = nil
		if got := r.ask("a", "/get"); got != "x" {
			t.Errorf("it remembers %q", got)
		}
	})
}

// TestEngineTrouble: what cannot be started just now sleeps on in memory.
func TestEngineTrouble(t *testing.T) {
	with(t, func(r *rig) {
		r.ask("a", "/set?x")
		r.sleeps(6 * time.Minute)
		r.engine.Fail = &sandbox.UnavailableError{Reason: "user namespaces are off"}
		if _, err := r.Acquire(r.Context(), key("a"), r.planner); !errors.Is(err, sandbox.ErrUnavailable) {
			t.Errorf("Acquire = %v", err)
		}
		r.sleeps(time.Second)
		r.status(session.Hibernated)
		r.engine.Fail = nil
		if got := r.ask("a", "/get"); got != "x" || r.only().Origin != session.Woken {
			t.Errorf("it remembers %q", got)
		}
		r.sleeps(6 * time.Minute)
		r.status(session.Hibernated)
		r.kill()
		if got := r.ask("a", "/get"); got != "x" {
			t.Errorf("after a restart it remembers %q", got)
		}
	})
}

// TestNoRoomOnDisk: a guest that was saved and cannot be written stays in memory.
func TestNoRoomOnDisk(t *testing.T) {
	with(t, func(r *rig) {
		r.end()
		r.room = 1
		r.start()
		r.ask("a", "/set?x")
		r.sleeps(6 * time.Minute)
		r.status(session.Hibernated)
		if got := r.ask("a", "/get"); got != "x" {
			t.Errorf("it remembers %q", got)
		}
		r.sleeps(6 * time.Minute)
		r.status(session.Hibernated) // and is closed with the server
	})
}

// TestVersionStays: a session keeps the version it started with while it sleeps.
func TestVersionStays(t *testing.T) {
	with(t, func(r *rig) {
		r.ask("a", "/set?x")
		r.sleeps(6 * time.Minute)
		r.plan.Version = "2"
		if got := r.ask("a", "/get"); got != "x" || r.only().Version != "1" {
			t.Errorf("it remembers %q and runs version %s", got, r.only().Version)
		}
	})
}

// TestLostIsSaid: the log of a session that ran when its server was killed says so,
// where it ended and once where it starts afresh.
func TestLostIsSaid(t *testing.T) {
	with(t, func(r *rig) {
		r.ask("a", "/set?x")
		r.ask("b", "/set?y")
		r.kill()
		r.noted("a: session ended: the server that ran it ended")
		if got := r.ask("a", "/get"); got != "" {
			t.Errorf("it remembers %q", got)
		}
		const afresh = "the session starts afresh: the server that ran it ended"
		r.noted(afresh)
		if err := r.Stop(r.Context(), key("a")); err != nil {
			t.Fatal(err)
		}
		r.notes = nil
		r.ask("a", "/get")
		r.ask("c", "/get")
		if len(r.notes) != 0 {
			t.Errorf("notes %q, want none", r.notes)
		}
		r.end()
		r.start() // an orderly end has its own line
		r.notes = nil
		r.ask("a", "/get")
		if len(r.notes) != 0 {
			t.Errorf("notes %q, want none", r.notes)
		}
	})
}

// TestLostIsSaidByTheNext: a server that is killed before its line is on the disk
// leaves it to the next one, which says it once.
func TestLostIsSaidByTheNext(t *testing.T) {
	with(t, func(r *rig) {
		r.ask("a", "/set?x")
		r.change = func(c *session.Config) { c.Noted = func(context.Context) error { return errors.New("killed") } }
		r.kill()
		r.change = func(c *session.Config) { c.Noted = func(context.Context) error { return nil } }
		for _, said := range []int{1, 0} {
			r.notes = nil
			r.kill()
			if n := strings.Count(strings.Join(r.notes, "\n"), "the server that ran it ended"); n != said {
				t.Errorf("notes %q, want %d", r.notes, said)
			}
		}
		if got := r.ask("a", "/get"); got != "" {
			t.Errorf("it remembers %q", got)
		}
	})
}

// TestExpiredWhileAway: what hibernated longer than it may while no server ran ends
// with a line in its log.
func TestExpiredWhileAway(t *testing.T) {
	with(t, func(r *rig) {
		r.asleep()
		r.end()
		r.sleeps(time.Hour)
		r.start()
		r.sleeps(time.Second)
		r.noted("a: session ended: it was idle for 15m0s")
	})
}

// TestGoneWhileAway: what a restored data directory has no file of is not listed, takes
// no room, and begins anew with its storage.
func TestGoneWhileAway(t *testing.T) {
	with(t, func(r *rig) {
		r.asleep()
		r.end()
		if err := os.RemoveAll(filepath.Join(r.dir, "sessions")); err != nil {
			r.Fatal(err)
		}
		r.start()
		if got := r.List(all); len(got) != 0 {
			t.Errorf("listed: %+v", got)
		}
		if done, err := r.Prune(r.Context(), session.PruneOptions{DryRun: true}); err != nil || done != (session.Pruned{}) {
			t.Errorf("prune would end %+v, %v", done, err)
		}
		r.noted("a: session ended: the file in which it hibernated is gone")
		if got := r.ask("a", "/get"); got != "" {
			t.Errorf("it remembers %q", got)
		}
		r.noted("the session starts afresh: the file in which it hibernated is gone")
	})
}

// TestDamagedWhileAsleep: the log says what is wrong, and nothing of our files.
func TestDamagedWhileAsleep(t *testing.T) {
	with(t, func(r *rig) {
		r.asleep()
		r.end()
		r.damage("sessions")
		r.start()
		if got := r.ask("a", "/get"); got != "" {
			t.Errorf("it remembers %q", got)
		}
		const want = "where it hibernated cannot be resumed: its file is damaged, or was sealed with another key"
		r.noted("the session starts afresh, with its storage alone: " + want)
		if i := r.only(); i.Why != want {
			t.Errorf("why is %q, want %q", i.Why, want)
		}
	})
}
