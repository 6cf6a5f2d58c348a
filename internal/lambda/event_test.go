package lambda

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// tell has a function invoked by whom nobody waits for.
func (r *rig) tell(name, payload string) error {
	return r.later(r.Context(), Name{Scope: here, Function: name}, Invocation{Payload: []byte(payload)})
}

// waiting has events in the store that are due when the test is over.
func (r *rig) waiting(name, id string, n int) {
	r.Helper()
	must(r, r.cfg.Store.Update(r.Context(), func(tx store.Tx) error {
		for i := range n {
			job := payload{Scope: here, Name: name, ID: id, Event: &event{RequestID: fmt.Sprint(i)}}
			if err := enqueueAt(tx, eventKind, job.eventKey(), job, time.Now().Add(1000*time.Hour)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// TestTooManyEvents refuses what there is no room for: of a function, and of an account.
func TestTooManyEvents(t *testing.T) {
	with(t, nil, func(r *rig) {
		for _, name := range []string{"f", "g"} {
			r.create(name)
		}
		doc, err := r.read(r.Context(), Name{Scope: here, Function: "f"})
		must(r, err)
		r.waiting("f", doc.State.ID, maxOfFunction-1)
		must(r, r.tell("f", "{}"))
		err = r.tell("f", "{}")
		refused(r, err, "TooManyRequestsException", "The function has 1000 asynchronous invocations that wait")
		if reason := fault.From(err).Members["Reason"]; reason != lambda.ThrottleReasonFunctionInvocationRateLimitExceeded {
			r.Errorf("for the reason %s", reason)
		}
		must(r, r.tell("g", "{}"))
		r.waiting("others", "1", maxOfScope-maxOfFunction)
		err = r.tell("g", "{}")
		refused(r, err, "TooManyRequestsException", "The functions of this account and region have")
		if reason := fault.From(err).Members["Reason"]; reason != lambda.ThrottleReasonCallerRateLimitExceeded {
			r.Errorf("for the reason %s", reason)
		}
	})
}

// TestEventsShare gives a function with one event its turn beside one with many.
func TestEventsShare(t *testing.T) {
	with(t, func(c *Config) { c.Environments = 20 }, func(r *rig) {
		for _, name := range []string{"many", "one"} {
			r.create(name)
		}
		begun := time.Now()
		var after time.Duration
		done := 0
		r.answers(func(_ http.ResponseWriter, req *http.Request) {
			body, _ := io.ReadAll(req.Body)
			time.Sleep(2 * time.Second)
			r.mu.Lock()
			defer r.mu.Unlock()
			if done++; string(body) == `"one"` {
				after = time.Since(begun)
			}
		})
		for range 40 {
			must(r, r.tell("many", `"many"`))
		}
		must(r, r.tell("one", `"one"`))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if done != 41 || after == 0 || after > 12*time.Second {
			r.Errorf("%d ran, the one after %s", done, after)
		}
	})
}

// TestEventOfABusyFunction is tried until there is room, however long the others take, and
// no other waits behind one that failed.
func TestEventOfABusyFunction(t *testing.T) {
	with(t, func(c *Config) { c.Environments = 1 }, func(r *rig) {
		r.create("f")
		var ran atomic.Int64
		r.answers(func(w http.ResponseWriter, req *http.Request) {
			body, _ := io.ReadAll(req.Body)
			if ran.Add(1); strings.Contains(string(body), "bad") {
				w.Header().Set(headerFailed, unhandled)
			}
		})
		doc, err := r.read(r.Context(), Name{Scope: here, Function: "f"})
		must(r, err)
		busy, err := r.take(here, owner(doc.ID, doc.State.ID), doc.State.Live.Number)
		must(r, err)
		must(r, r.tell("f", `{}`))
		time.Sleep(time.Hour)
		r.give(busy, false)
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if n := ran.Load(); n != 1 {
			r.Errorf("the event has run %d times", n)
		}
		ran.Store(0)
		for range eventLanes + 1 {
			must(r, r.tell("f", `"bad"`))
		}
		must(r, r.tell("f", `{}`))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := ran.Load(); n != eventLanes+2 {
			r.Errorf("%d have run, the others wait behind those that failed", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n, want := ran.Load(), int64(3*(eventLanes+1)+1); n != want {
			r.Errorf("%d have run, want %d", n, want)
		}
		must(r, r.cfg.Store.View(r.Context(), func(reader store.Reader) error {
			n, err := reader.CountWork(eventKind)
			if n != 0 {
				r.Errorf("%d events are left", n)
			}
			return err
		}))
	})
}
