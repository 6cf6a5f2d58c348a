package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/store"
)

var transactionTests = map[string]func(*testing.T, *env){
	"a failed update leaves nothing": func(t *testing.T, e *env) {
		e.refused(errBoom, func(tx store.Tx) error {
			if err := insert(doc(home, "a", ""))(tx); err != nil {
				return err
			}
			if err := tx.PutRow("t", []byte("k"), []byte("v")); err != nil {
				return err
			}
			if _, err := tx.EnqueueWork(store.Work{Kind: "k", Key: "a"}); err != nil {
				return err
			}
			return errBoom
		})
		e.view(func(r store.Reader) error {
			_, err := r.Document(doc(home, "a", "").Key)
			is(t, "document", err, store.ErrNotFound)
			_, err = r.Row("t", []byte("k"))
			is(t, "row", err, store.ErrNotFound)
			items, err := r.WorkOf("a")
			equal(t, "items", len(items), 0)
			return err
		})
	},
	"an update reads its own writes": func(t *testing.T, e *env) {
		e.update(func(tx store.Tx) error {
			if err := insert(doc(home, "a", "n"))(tx); err != nil {
				return err
			}
			d, err := tx.DocumentByName(home, "thing", "", "n")
			equal(t, "id", d.ID, "a")
			return err
		})
	},
	"a view is a snapshot": func(t *testing.T, e *env) {
		e.update(insert(doc(home, "a", "")))
		e.view(func(r store.Reader) error {
			if _, err := r.Document(doc(home, "a", "").Key); err != nil {
				return err
			}
			written := make(chan error)
			go func() { written <- e.store.Update(e.ctx, insert(doc(home, "b", ""))) }()
			is(t, "update during the view", <-written, nil)
			_, err := r.Document(doc(home, "b", "").Key)
			is(t, "written during the view", err, store.ErrNotFound)
			return nil
		})
		e.view(func(r store.Reader) error {
			_, err := r.Document(doc(home, "b", "").Key)
			return err
		})
	},
	"views beyond number take turns": func(t *testing.T, e *env) {
		e.update(insert(doc(home, "a", "")))
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if err := e.store.View(e.ctx, func(r store.Reader) error {
					_, err := r.Document(doc(home, "a", "").Key)
					return err
				}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	},
	"what was acknowledged is there after reopening": func(t *testing.T, e *env) {
		e.update(insert(doc(home, "a", "n")))
		e.reopen()
		e.view(func(r store.Reader) error {
			_, err := r.Document(doc(home, "a", "").Key)
			return err
		})
	},
	"concurrent updates are serialised, and a refusal hurts nobody else": testConcurrent,
	"a storm leaves what was acknowledged":                               testStorm,
	"a panic gives the store back": func(t *testing.T, e *env) {
		func() {
			defer func() { equal(t, "recovered", recover(), any("bang")) }()
			_ = e.store.Update(e.ctx, func(tx store.Tx) error {
				if err := insert(doc(home, "a", ""))(tx); err != nil {
					return err
				}
				panic("bang")
			})
		}()
		e.update(func(tx store.Tx) error {
			_, err := tx.Document(doc(home, "a", "").Key)
			is(t, "written before the panic", err, store.ErrNotFound)
			return insert(doc(home, "b", ""))(tx)
		})
	},
	"an ended context is refused": func(t *testing.T, e *env) {
		ctx, cancel := context.WithCancel(e.ctx)
		is(t, "cancelled during", e.store.Update(ctx, func(tx store.Tx) error {
			cancel()
			return insert(doc(home, "a", ""))(tx)
		}), context.Canceled)
		is(t, "update", e.store.Update(ctx, insert(doc(home, "a", ""))), context.Canceled)
		is(t, "view", e.store.View(ctx, func(store.Reader) error { return nil }), context.Canceled)
		e.update(insert(doc(home, "a", "")))
	},
	"waiting for a turn ends with its context": func(t *testing.T, e *env) {
		ctx, cancel := context.WithCancel(e.ctx)
		waiter := make(chan error)
		e.update(func(tx store.Tx) error {
			go func() { waiter <- e.store.Update(ctx, insert(doc(home, "b", ""))) }()
			cancel()
			is(t, "waiter", <-waiter, context.Canceled)
			return insert(doc(home, "a", ""))(tx)
		})
		e.update(insert(doc(home, "b", "")))
	},
	"a transaction ends with its function": func(t *testing.T, e *env) {
		var kept store.Tx
		e.update(func(tx store.Tx) error { kept = tx; return nil })
		_, err := kept.InsertDocument(doc(home, "a", ""))
		is(t, "late write", err, store.ErrClosed)
	},
	"a closed store refuses": func(t *testing.T, e *env) {
		if err := e.store.Close(); err != nil {
			t.Fatal(err)
		}
		is(t, "update", e.store.Update(e.ctx, func(store.Tx) error { return nil }), store.ErrClosed)
		is(t, "view", e.store.View(e.ctx, func(store.Reader) error { return nil }), store.ErrClosed)
		is(t, "second close", e.store.Close(), nil)
	},
	"a commit wakes those who wait for its topics": func(t *testing.T, e *env) {
		things, work, rows, own := e.store.Changed(store.DocumentTopic("thing")), e.store.Changed(store.WorkTopic),
			e.store.Changed(store.RowTopic("t")), e.store.Changed("own")
		e.refused(errBoom, func(tx store.Tx) error { tx.Touch("own"); return errBoom })
		e.update(insert(doc(home, "a", "")))
		<-things
		equal(t, "woken by a failed update or another topic", woken(work) || woken(rows) || woken(own), false)
		e.update(func(tx store.Tx) error {
			tx.Touch("own")
			_, err := tx.EnqueueWork(store.Work{Kind: "k", Key: "a"})
			return errors.Join(err, tx.PutRow("t", []byte("k"), nil))
		})
		<-work
		<-rows
		<-own
		equal(t, "woken before the next change", woken(e.store.Changed(store.WorkTopic)), false)
	},
	"a watch ends before a change of its topic can be read": func(t *testing.T, e *env) {
		const table, rounds = "t", 100
		number := func() (n int) {
			is(t, "read", e.store.View(e.ctx, func(r store.Reader) error {
				value, err := r.Row(table, []byte("k"))
				if errors.Is(err, store.ErrNotFound) {
					return nil
				}
				n = len(value)
				return err
			}), nil)
			return n
		}
		written := make(chan error, 1)
		go func() {
			var err error
			for n := 0; n < rounds && err == nil; n++ {
				err = e.store.Update(e.ctx, func(tx store.Tx) error { return tx.PutRow(table, []byte("k"), make([]byte, n+1)) })
			}
			written <- err
		}()
		var kept store.Cache[string, int]
		for last := 0; last < rounds && !t.Failed(); {
			last = number()
			n, ok := kept.Get("k")
			if !ok {
				watch := e.store.Watch(store.RowTopic(table))
				n = number()
				kept.Put("k", n, watch)
			}
			if n < last {
				t.Errorf("%d is kept, and %d can be read", n, last)
			}
		}
		is(t, "write", <-written, nil)
	},
	"the clock is one instant a transaction": func(t *testing.T, e *env) {
		e.update(func(tx store.Tx) error {
			before := tx.Now()
			e.clock.advance(1e9)
			equal(t, "now", tx.Now(), before)
			equal(t, "nanoseconds", before.Nanosecond()%1000, 0)
			return nil
		})
	},
}

func woken(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// testConcurrent counts one document up from many goroutines; every third update
// fails after it has written.
func testConcurrent(t *testing.T, e *env) {
	const workers, each = 8, 30
	e.update(insert(doc(home, "counter", "")))
	var wg sync.WaitGroup
	errs := make(chan error, workers*each)
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				fails := (w+i)%3 == 0
				err := e.store.Update(e.ctx, func(tx store.Tx) error {
					d, err := tx.Document(doc(home, "counter", "").Key)
					if err != nil {
						return err
					}
					if _, err := tx.ReplaceDocument(d); err != nil {
						return err
					}
					if fails {
						return errBoom
					}
					return insert(doc(home, fmt.Sprintf("%d-%d", w, i), ""))(tx)
				})
				if fails != errors.Is(err, errBoom) || !fails && err != nil {
					errs <- fmt.Errorf("worker %d, update %d: %w", w, i, err)
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	e.view(func(r store.Reader) error {
		d, err := r.Document(doc(home, "counter", "").Key)
		if err != nil {
			return err
		}
		list, err := r.Documents(home, "thing", "", store.Page{Size: store.MaxPageSize})
		equal(t, "updates counted against documents inserted", int(d.Revision-1), len(list.Items)-1)
		equal(t, "updates", int(d.Revision-1), workers*each*2/3)
		return err
	})
}
