package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

var (
	anna  = store.Owner{Node: "node-a", Process: "1"}
	anna2 = store.Owner{Node: "node-a", Process: "2"}
	berta = store.Owner{Node: "node-b", Process: "1"}
)

func (e *env) acquire(name string, owner store.Owner) (l store.Lease) {
	e.t.Helper()
	e.update(func(tx store.Tx) (err error) { l, err = tx.AcquireLease(name, owner, time.Minute); return err })
	return l
}

var leaseTests = map[string]func(*testing.T, *env){
	"have one holder": func(t *testing.T, e *env) {
		l := e.acquire("s", anna)
		err := e.refused(store.ErrHeld, func(tx store.Tx) error {
			_, err := tx.AcquireLease("s", berta, time.Minute)
			return err
		})
		var held *store.HeldError
		if !errors.As(err, &held) || held.Owner != anna || !held.Expires.Equal(l.Expires) {
			t.Errorf("held: %v", err)
		}
		again := e.acquire("s", anna)
		equal(t, "epoch of the owner's own", again.Epoch, l.Epoch)
	},
	"change hands when they expire": func(t *testing.T, e *env) {
		l := e.acquire("s", anna)
		e.clock.advance(time.Minute + time.Second)
		late := e.renewed(l) // nobody took it: a late renewal is fine
		e.clock.advance(time.Minute + time.Second)
		next := e.acquire("s", berta)
		if next.Epoch <= l.Epoch {
			t.Errorf("epoch %d after %d", next.Epoch, l.Epoch)
		}
		e.refused(store.ErrLost, func(tx store.Tx) error { _, err := tx.RenewLease(late, time.Minute); return err })
		e.refused(store.ErrLost, func(tx store.Tx) error { return tx.ReleaseLease(late) })
	},
	"are taken over at once from a dead process of the node": func(t *testing.T, e *env) {
		l := e.acquire("s", anna)
		e.reopen()
		next := e.acquire("s", anna2)
		if next.Epoch <= l.Epoch || next.Owner != anna2 {
			t.Errorf("took over %+v after %+v", next, l)
		}
	},
	"never repeat an epoch": func(t *testing.T, e *env) {
		first := e.acquire("s", anna)
		e.update(func(tx store.Tx) error { return tx.ReleaseLease(first) })
		e.refused(store.ErrNotFound, func(tx store.Tx) error { _, err := tx.Lease("s"); return err })
		second := e.acquire("s", anna)
		if second.Epoch <= first.Epoch {
			t.Errorf("epoch %d after %d", second.Epoch, first.Epoch)
		}
		e.refused(store.ErrLost, func(tx store.Tx) error { return tx.ReleaseLease(first) })
	},
	"are listed by prefix": func(t *testing.T, e *env) {
		for _, name := range []string{"b/2", "a/1", "b/1", "b0", "c"} {
			e.acquire(name, anna)
		}
		e.view(func(r store.Reader) error {
			leases, err := r.Leases("b/")
			equal(t, "found", len(leases), 2)
			equal(t, "order", leases[0].Name+" "+leases[1].Name, "b/1 b/2")
			all, err2 := r.Leases("")
			equal(t, "all", len(all), 5)
			return errors.Join(err, err2)
		})
	},
	"refuse bad arguments": func(t *testing.T, e *env) {
		for _, c := range []struct {
			name  string
			owner store.Owner
			ttl   time.Duration
		}{{"", anna, 1}, {"s", store.Owner{Node: "n"}, 1}, {"s", anna, 0}} {
			e.refused(store.ErrInvalid, func(tx store.Tx) error { _, err := tx.AcquireLease(c.name, c.owner, c.ttl); return err })
		}
	},
}

func (e *env) renewed(l store.Lease) (out store.Lease) {
	e.t.Helper()
	e.update(func(tx store.Tx) (err error) { out, err = tx.RenewLease(l, time.Minute); return err })
	equal(e.t, "epoch", out.Epoch, l.Epoch)
	if !out.Expires.After(l.Expires) {
		e.t.Fatalf("renewed until %s, was %s", out.Expires, l.Expires)
	}
	return out
}
