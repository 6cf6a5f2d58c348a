package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/store"
)

// testStorm lets many goroutines succeed, fail, panic and give up at random, and
// then finds just what was acknowledged.
func testStorm(t *testing.T, e *env) {
	const workers, each = 24, 60
	var mu sync.Mutex
	want := map[string]bool{}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			for i := range each {
				id := fmt.Sprintf("%d-%d", w, i)
				err := e.stormy(rng.IntN(6), id)
				mu.Lock()
				want[id] = err == nil
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	e.reopen()
	acknowledged := 0
	e.view(func(r store.Reader) error {
		for id, stored := range want {
			_, err := r.Document(doc(home, id, "").Key)
			if stored != (err == nil) || err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: acknowledged %t, %v", id, stored, err)
			}
			if stored {
				acknowledged++
			}
		}
		return nil
	})
	if acknowledged < workers*each/3 {
		t.Errorf("only %d of %d were acknowledged", acknowledged, workers*each)
	}
}

// stormy makes one update in one of several ways.
func (e *env) stormy(way int, id string) (err error) {
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	switch way {
	case 0: // gives up while it waits, or before or after its turn
		go cancel()
	case 1: // fails after it wrote
		return e.store.Update(ctx, func(tx store.Tx) error { return errors.Join(insert(doc(home, id, ""))(tx), errBoom) })
	case 2: // panics after it wrote
		defer func() {
			if recover() != nil {
				err = errBoom
			}
		}()
		return e.store.Update(ctx, func(tx store.Tx) error {
			if err := insert(doc(home, id, ""))(tx); err != nil {
				return err
			}
			panic(errBoom)
		})
	}
	return e.store.Update(ctx, insert(doc(home, id, "")))
}
