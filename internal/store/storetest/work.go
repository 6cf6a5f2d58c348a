package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

var kinds = []string{"build", "delete"}

func (e *env) enqueue(kind, key string, after time.Duration) (w store.Work) {
	e.t.Helper()
	e.update(func(tx store.Tx) (err error) {
		w, err = tx.EnqueueWork(store.Work{Kind: kind, Key: key, NotBefore: e.clock.now().Add(after)})
		return err
	})
	return w
}

func (e *env) claim(owner store.Owner, limit int) (items []store.Work) {
	e.t.Helper()
	e.update(func(tx store.Tx) (err error) {
		items, err = tx.ClaimWork(owner, kinds, time.Minute, limit)
		return err
	})
	return items
}

func keys(items []store.Work) string {
	var out []string
	for _, w := range items {
		out = append(out, w.Kind+":"+w.Key)
	}
	return strings.Join(out, " ")
}

func complete(w store.Work) func(store.Tx) error {
	return func(tx store.Tx) error { return tx.CompleteWork(w) }
}

var workTests = map[string]func(*testing.T, *env){
	"is counted by the beginning of its key": func(t *testing.T, e *env) {
		for _, key := range []string{"a/1/x", "a/1/y", "a/10/x", "a/1/é", "b"} {
			e.enqueue("build", key, 0)
		}
		e.enqueue("delete", "a/1/x", time.Hour)
		items := e.claim(anna, 1)
		e.view(func(r store.Reader) error {
			for prefix, want := range map[string]int{"a/1/": 4, "a/10/": 1, "a": 5, "c": 0} {
				n, err := r.CountWork(prefix)
				if err != nil {
					return err
				}
				equal(t, prefix, n, want)
			}
			return nil
		})
		e.update(complete(items[0]))
		e.view(func(r store.Reader) error {
			n, err := r.CountWork("a/1/")
			equal(t, "when one was done", n, 3)
			return err
		})
	},
	"is claimed, and completed with its outcome": func(t *testing.T, e *env) {
		e.update(func(tx store.Tx) error {
			_, err := tx.EnqueueWork(store.Work{Kind: "build", Key: "a", Payload: json.RawMessage(`{"v":1}`)})
			return errors.Join(err, insert(doc(home, "a", ""))(tx))
		})
		items := e.claim(anna, 10)
		equal(t, "items", keys(items), "build:a")
		equal(t, "payload", string(items[0].Payload), `{"v":1}`)
		equal(t, "attempt", items[0].Attempt, 1)
		equal(t, "claimed twice", len(e.claim(berta, 10))+len(e.claim(anna, 10)), 0)
		e.refused(errBoom, func(tx store.Tx) error { return errors.Join(tx.CompleteWork(items[0]), errBoom) })
		e.update(complete(items[0]))
		e.refused(store.ErrLost, complete(items[0]))
		e.refused(store.ErrNotFound, func(tx store.Tx) error { _, err := tx.Work(items[0].ID); return err })
	},
	"of one key is done one after the other, in order": func(t *testing.T, e *env) {
		e.enqueue("build", "a", time.Hour) // the oldest of a is not due
		e.enqueue("delete", "a", 0)
		e.enqueue("build", "b", 0)
		e.enqueue("delete", "b", 0)
		first := e.claim(anna, 10)
		equal(t, "first", keys(first), "build:b")
		equal(t, "while it runs", keys(e.claim(anna, 10)), "")
		e.update(complete(first[0]))
		equal(t, "second", keys(e.claim(anna, 10)), "delete:b")
		e.clock.advance(time.Hour)
		equal(t, "when due", keys(e.claim(anna, 1)), "build:a")
	},
	"is claimed up to the limit, oldest first, by kind": func(t *testing.T, e *env) {
		for i := range 5 {
			e.enqueue("build", fmt.Sprint(i), 0)
		}
		e.enqueue("unknown", "x", 0)
		equal(t, "two", keys(e.claim(anna, 2)), "build:0 build:1")
		equal(t, "rest", keys(e.claim(anna, 10)), "build:2 build:3 build:4")
		e.update(func(tx store.Tx) error {
			none, err := tx.ClaimWork(anna, nil, time.Minute, 10)
			equal(t, "no kinds", len(none), 0)
			return err
		})
	},
	"comes back after a failure": func(t *testing.T, e *env) {
		e.enqueue("build", "a", 0)
		w := e.claim(anna, 1)[0]
		w.NotBefore, w.LastError, w.Payload = e.clock.now().Add(time.Minute), "no disk", json.RawMessage(`{"step":2}`)
		e.update(func(tx store.Tx) error { return tx.RetryWork(w) })
		e.refused(store.ErrLost, complete(w))
		equal(t, "during the pause", len(e.claim(anna, 1)), 0)
		e.clock.advance(time.Minute)
		again := e.claim(berta, 1)[0]
		equal(t, "attempt", again.Attempt, 2)
		equal(t, "last error", again.LastError, "no disk")
		equal(t, "payload", string(again.Payload), `{"step":2}`)
		again.Attempt = 1
		e.update(func(tx store.Tx) error { return tx.RetryWork(again) })
		equal(t, "attempt that was not counted", e.claim(berta, 1)[0].Attempt, 2)
	},
	"is taken over from the dead": func(t *testing.T, e *env) {
		e.enqueue("build", "a", 0)
		dead := e.claim(anna, 1)[0]
		equal(t, "from another node", len(e.claim(berta, 1)), 0)
		e.reopen()
		e.view(func(r store.Reader) error {
			own, _, err := r.NextWork(anna2, kinds)
			other, _, err2 := r.NextWork(berta, kinds)
			equal(t, "due for the same node", own.After(r.Now()), false)
			equal(t, "due for another node", other, dead.LeaseUntil)
			return errors.Join(err, err2)
		})
		next := e.claim(anna2, 1) // same node, at once
		equal(t, "same node", keys(next), "build:a")
		e.refused(store.ErrLost, complete(dead))
		e.refused(store.ErrLost, func(tx store.Tx) error { return tx.RetryWork(dead) })
		e.clock.advance(time.Minute)
		after := e.claim(berta, 1) // another node, once expired
		equal(t, "attempt", after[0].Attempt, 3)
		e.refused(store.ErrLost, func(tx store.Tx) error { _, err := tx.RenewWork(next[0], time.Minute); return err })
	},
	"is kept by renewing": func(t *testing.T, e *env) {
		e.enqueue("build", "a", 0)
		w := e.claim(anna, 1)[0]
		e.clock.advance(50 * time.Second)
		e.update(func(tx store.Tx) (err error) { w, err = tx.RenewWork(w, time.Minute); return err })
		e.clock.advance(50 * time.Second)
		equal(t, "claimed by another", len(e.claim(berta, 1)), 0)
		e.update(complete(w))
	},
	"says when to look again": func(t *testing.T, e *env) {
		next := func() (at time.Time, any bool) {
			e.view(func(r store.Reader) (err error) { at, any, err = r.NextWork(anna, kinds); return err })
			return at, any
		}
		_, found := next()
		equal(t, "nothing", found, false)
		w := e.enqueue("build", "a", time.Hour)
		e.enqueue("build", "a", 0) // waits for the first
		e.enqueue("unknown", "b", 0)
		at, _ := next()
		equal(t, "not before", at, w.NotBefore)
		e.clock.advance(time.Hour)
		claimed := e.claim(anna, 1)[0]
		at, _ = next()
		equal(t, "claim ends", at, claimed.LeaseUntil)
		e.update(complete(claimed))
		at, _ = next()
		equal(t, "due", at.After(e.clock.now()), false)
	},
	"that nobody has claimed can be cancelled": func(t *testing.T, e *env) {
		e.enqueue("build", "a", 0)
		w := e.claim(anna, 1)[0]
		e.enqueue("build", "a", 0)
		e.enqueue("delete", "a", 0)
		e.enqueue("build", "b", 0)
		e.update(func(tx store.Tx) error {
			n, err := tx.CancelWork("a")
			equal(t, "cancelled", n, 2)
			return err
		})
		e.update(complete(w))
		equal(t, "left", keys(e.claim(anna, 10)), "build:b")
	},
	"refuses what was never claimed": func(t *testing.T, e *env) {
		w := e.enqueue("build", "a", 0)
		e.refused(store.ErrLost, complete(w))
		e.refused(store.ErrInvalid, func(tx store.Tx) error { _, err := tx.EnqueueWork(store.Work{Kind: "build"}); return err })
		e.refused(store.ErrInvalid, func(tx store.Tx) error {
			_, err := tx.EnqueueWork(store.Work{Kind: "build", Key: "a", Payload: json.RawMessage("{")})
			return err
		})
		e.refused(store.ErrInvalid, func(tx store.Tx) error { _, err := tx.ClaimWork(store.Owner{}, kinds, 1, 1); return err })
	},
}
