package session_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/faulty"
)

// statuses are the sessions' by id.
func (r *rig) statuses() string {
	var out []string
	for _, i := range r.List(all) {
		out = append(out, i.Key.ID+" "+string(i.Status))
	}
	return strings.Join(out, ", ")
}

// TestMakesRoom: the session that has been idle longest hibernates for the next.
func TestMakesRoom(t *testing.T) {
	with(t, func(r *rig) {
		r.end()
		r.change = func(c *session.Config) { c.Limit = 3 }
		r.start()
		for _, id := range []string{"a", "b", "c"} {
			r.ask(id, "/set?"+id)
			r.sleeps(time.Second)
		}
		r.ask("a", "/get") // b is the oldest now
		r.ask("d", "/set?d")
		if got := r.statuses(); got != "a IDLE, b HIBERNATED, c IDLE, d IDLE" {
			t.Error(got)
		}
		for _, id := range []string{"b", "c", "a", "d", "b"} {
			if got := r.ask(id, "/get"); got != id {
				t.Errorf("%s remembers %q", id, got)
			}
			if n := r.engine.Alive(); n > 3 {
				t.Errorf("%d alive", n)
			}
			r.sleeps(time.Second)
		}
	})
}

// TestNoRoom: who works, says that it is busy, or cannot be saved is left alone.
func TestNoRoom(t *testing.T) {
	with(t, func(r *rig) {
		r.end()
		r.change = func(c *session.Config) { c.Limit = 2 }
		r.start()
		use, err := r.Acquire(r.Context(), key("a"), r.planner)
		if err != nil {
			t.Fatal(err)
		}
		r.says(`{"status":"HealthyBusy"}`)
		r.ask("b", "/set?b")
		if _, err := r.Acquire(r.Context(), key("c"), r.planner); !errors.Is(err, session.ErrLimit) {
			t.Errorf("Acquire = %v, want ErrLimit", err)
		}
		r.says("")
		r.sleeps(6 * time.Second)
		r.ask("c", "/get")
		if got := r.statuses(); got != "a ACTIVE, b HIBERNATED, c IDLE" {
			t.Error(got)
		}
		r.engine.Unsavable = sandbox.ErrUnsavable
		if _, err := r.Acquire(r.Context(), key("b"), r.planner); !errors.Is(err, session.ErrLimit) || !strings.Contains(err.Error(), "2 are alive") {
			t.Errorf("Acquire = %v, want ErrLimit", err)
		}
		if got := r.statuses(); got != "a ACTIVE, b HIBERNATED, c IDLE" {
			t.Error(got)
		}
		use.Release()
	})
}

// TestMemoryBudget counts what sandboxes use, and what one is taken to need that
// has not been measured.
func TestMemoryBudget(t *testing.T) {
	with(t, func(r *rig) {
		r.end()
		r.engine.Use = sandbox.Usage{MemoryBytes: 300 << 20}
		r.change = func(c *session.Config) { c.MemoryBudget = 800 << 20 }
		r.start()
		r.ask("a", "/get")
		r.sleeps(6 * time.Second)
		r.ask("b", "/get")
		r.sleeps(6 * time.Second)
		if i := r.List(all)[0]; i.Memory != 300<<20 {
			t.Errorf("it uses %d", i.Memory)
		}
		r.ask("c", "/get")
		r.sleeps(6 * time.Second)
		if got := r.statuses(); got != "a IDLE, b IDLE, c IDLE" {
			t.Error(got)
		}
		r.ask("d", "/get") // 900 MiB are used
		if got := r.statuses(); got != "a HIBERNATED, b HIBERNATED, c IDLE, d IDLE" && got != "a HIBERNATED, b IDLE, c IDLE, d IDLE" {
			t.Error(got)
		}
	})
}

// TestFreeMemory asks the host.
func TestFreeMemory(t *testing.T) {
	with(t, func(r *rig) {
		r.end()
		free := int64(1 << 30)
		r.change = func(c *session.Config) { c.FreeMemory = func() (int64, error) { return free, nil } }
		r.start()
		r.ask("a", "/get")
		free = 10 << 20
		r.ask("b", "/get")
		if got := r.statuses(); got != "a HIBERNATED, b IDLE" {
			t.Error(got)
		}
		use, err := r.Acquire(r.Context(), key("b"), r.planner)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Acquire(r.Context(), key("c"), r.planner); !errors.Is(err, session.ErrLimit) || !strings.Contains(err.Error(), "MiB of memory are missing") {
			t.Errorf("Acquire = %v", err)
		}
		use.Release()
	})
}

// TestLease: a session that another server runs is not run here, and one that
// another has taken over ends.
func TestLease(t *testing.T) {
	with(t, func(r *rig) {
		other := store.Owner{Node: "other", Process: "1"}
		name := func(id string) string {
			return "session/" + scope.String() + "/" + key(id).Owner + "/DEFAULT/" + id
		}
		epoch := func(id string) (e int64) {
			err := r.store.View(r.Context(), func(tx store.Reader) error {
				l, err := tx.Lease(name(id))
				e = l.Epoch
				return err
			})
			if err != nil {
				t.Error(err)
			}
			return e
		}
		err := r.store.Update(r.Context(), func(tx store.Tx) error {
			_, err := tx.AcquireLease(name("a"), other, time.Minute)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Acquire(r.Context(), key("a"), r.planner); !errors.Is(err, session.ErrElsewhere) {
			t.Errorf("Acquire = %v, want ErrElsewhere", err)
		}
		was := epoch("a")
		time.Sleep(61 * time.Second)
		r.ask("a", "/get")
		if epoch("a") <= was {
			t.Error("a takeover does not raise the epoch")
		}
		r.sleeps(2 * time.Minute) // it is renewed
		err = r.store.Update(r.Context(), func(tx store.Tx) error {
			if _, err := tx.AcquireLease(name("a"), other, time.Minute); !errors.Is(err, store.ErrHeld) {
				t.Errorf("the lease was not renewed: %v", err)
			}
			l, err := tx.Lease(name("a"))
			if err != nil {
				return err
			}
			if err := tx.ReleaseLease(l); err != nil {
				return err
			}
			_, err = tx.AcquireLease(name("a"), other, time.Hour)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		r.sleeps(11 * time.Second)
		if len(r.List(all)) != 0 {
			t.Error("two servers run it")
		}
		r.noted("ended: another server has taken it over")
	})
}

// TestFullDisk: sessions run although nothing can be written about them.
func TestFullDisk(t *testing.T) {
	with(t, func(r *rig) {
		r.fault = store.ErrFull
		r.ask("a", "/set?x")
		r.sleeps(6 * time.Minute)
		r.status(session.Hibernated)
		r.fault = nil
		if got := r.ask("a", "/get"); got != "x" {
			t.Errorf("it remembers %q", got)
		}
	})
}

// TestFullDiskAtTheStart: a server starts although it cannot write that sessions
// were lost, and leaves that to the next one.
func TestFullDiskAtTheStart(t *testing.T) {
	with(t, func(r *rig) {
		r.ask("a", "/set?x")
		r.change = func(c *session.Config) {
			c.Store = faulty.New(c.Store, func(call faulty.Call) faulty.Fault {
				if call.Write {
					return faulty.Fault{Before: store.ErrFull}
				}
				return faulty.Fault{}
			})
		}
		r.kill()
		if got := r.ask("a", "/get"); got != "" {
			t.Errorf("it remembers %q", got)
		}
		r.change = nil
		r.kill()
		r.noted("a: session ended: the server that ran it ended")
	})
}

// TestManyComeAndGo: under pressure nobody loses anything, and nothing leaks.
func TestManyComeAndGo(t *testing.T) {
	with(t, func(r *rig) {
		r.end()
		r.engine.SaveTime, r.engine.Startup = 80*time.Millisecond, 100*time.Millisecond
		r.change = func(c *session.Config) { c.Limit = 4 }
		r.start()
		done := make(chan struct{})
		for n := range 12 {
			go func() {
				defer func() { done <- struct{}{} }()
				id := fmt.Sprint(n)
				for round := range 5 {
					var use *session.Use
					for use == nil {
						var err error
						if use, err = r.Acquire(r.Context(), key(id), r.planner); errors.Is(err, session.ErrLimit) {
							time.Sleep(50 * time.Millisecond)
						} else if err != nil {
							t.Errorf("Acquire: %v", err)
							return
						}
					}
					if round > 0 {
						if got := r.send(use, "/get"); got != id {
							t.Errorf("%s remembers %q", id, got)
						}
					}
					r.send(use, "/set?"+id)
					use.Release()
					time.Sleep(time.Duration(n) * 10 * time.Millisecond)
				}
			}()
		}
		for range 12 {
			<-done
		}
		if n := r.engine.Alive(); n > 4 {
			t.Errorf("%d alive", n)
		}
	})
}
