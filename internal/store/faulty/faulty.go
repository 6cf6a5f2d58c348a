// Package faulty wraps a store and makes it fail on purpose, by a script or by a
// seed, so that tests see what their code does when a disk fills up, a node
// changes a document under it, or an acknowledgement gets lost.
package faulty

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// ErrInjected is in the chain of the errors that a plan does not choose itself.
var ErrInjected = errors.New("injected fault")

// Call is one Update or View, as a Plan sees it.
type Call struct {
	// Number counts the calls of the store from 1.
	Number int
	// Write tells Update from View.
	Write bool
}

// Fault says what goes wrong with a call. The zero value is nothing. Faults can
// be combined; of the two errors Before comes first.
type Fault struct {
	// Delay is waited before anything is done, or until the context ends.
	Delay time.Duration
	// Before fails the call before its function runs.
	Before error
	// Undo fails an Update after its function ran, and rolls it back: the disk
	// was full, the commit conflicted.
	Undo error
	// After fails an Update after it has committed: the acknowledgement was lost.
	After error
	// Rerun runs an Update's function, rolls it back and runs it again, as a
	// database does that resolves conflicts. It is no failure: what the function
	// does outside its transaction shows.
	Rerun bool
	// Stale lets that many replacements of documents fail with store.ErrStale.
	Stale int
}

// Plan chooses the fault of a call. It is called by one goroutine at a time.
type Plan func(Call) Fault

// Script gives the faults to the first calls, one each; later calls are sound.
func Script(faults ...Fault) Plan {
	return func(c Call) Fault {
		if c.Number <= len(faults) {
			return faults[c.Number-1]
		}
		return Fault{}
	}
}

// Writes gives the faults to the first Updates and leaves Views alone.
func Writes(faults ...Fault) Plan {
	n := 0
	return func(c Call) Fault {
		if !c.Write {
			return Fault{}
		}
		if n++; n <= len(faults) {
			return faults[n-1]
		}
		return Fault{}
	}
}

// Random lets each Update go wrong with probability p, in any of the ways above
// and for at most a millisecond of delay; the same seed gives the same faults.
func Random(seed uint64, p float64) Plan {
	rng := rand.New(rand.NewPCG(seed, 0))
	return func(c Call) Fault {
		if !c.Write || rng.Float64() >= p {
			return Fault{}
		}
		err := fmt.Errorf("call %d: %w", c.Number, ErrInjected)
		switch rng.IntN(6) {
		case 0:
			return Fault{Before: err}
		case 1:
			return Fault{Undo: fmt.Errorf("%w: %w", store.ErrFull, err)}
		case 2:
			return Fault{After: err}
		case 3:
			return Fault{Rerun: true}
		case 4:
			return Fault{Stale: 1}
		}
		return Fault{Delay: time.Duration(rng.Int64N(int64(time.Millisecond)))}
	}
}

// Store is a store with faults.
type Store struct {
	inner store.Store

	mu    sync.Mutex
	plan  Plan
	calls int
	hit   int
}

var _ store.Store = (*Store)(nil)

// New wraps inner. A nil plan is sound.
func New(inner store.Store, plan Plan) *Store {
	s := &Store{inner: inner}
	s.Follow(plan)
	return s
}

// Follow changes the plan and counts calls from 1 again; nil is sound.
func (s *Store) Follow(plan Plan) {
	if plan == nil {
		plan = Script()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan, s.calls = plan, 0
}

// Faults is how many calls something was wrong with.
func (s *Store) Faults() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hit
}

func (s *Store) next(write bool) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	f := s.plan(Call{Number: s.calls, Write: write})
	if f != (Fault{}) {
		s.hit++
	}
	return f
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	f := s.next(true)
	if err := f.begin(ctx); err != nil {
		return err
	}
	stale := f.Stale
	run := func(tx store.Tx) error { return fn(&faultyTx{Tx: tx, stale: &stale}) }
	if f.Rerun {
		err := s.inner.Update(ctx, func(tx store.Tx) error {
			if err := run(tx); err != nil {
				return err
			}
			return errRerun
		})
		if !errors.Is(err, errRerun) {
			return err
		}
	}
	err := s.inner.Update(ctx, func(tx store.Tx) error {
		if err := run(tx); err != nil {
			return err
		}
		return f.Undo
	})
	if err != nil {
		return err
	}
	return f.After
}

var errRerun = errors.New("conflict: the transaction runs again")

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Reader) error) error {
	f := s.next(false)
	if err := f.begin(ctx); err != nil {
		return err
	}
	return s.inner.View(ctx, fn)
}

// Changed implements store.Store.
func (s *Store) Changed(topic store.Topic) <-chan struct{} { return s.inner.Changed(topic) }

// Watch implements store.Store.
func (s *Store) Watch(topic store.Topic) store.Watch { return s.inner.Watch(topic) }

// Close implements store.Store.
func (s *Store) Close() error { return s.inner.Close() }

func (f Fault) begin(ctx context.Context) error {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f.Before
}

// faultyTx finds documents changed by somebody else.
type faultyTx struct {
	store.Tx
	stale *int
}

func (t *faultyTx) ReplaceDocument(d store.Document) (store.Document, error) {
	if *t.stale > 0 {
		*t.stale--
		return d, fmt.Errorf("replace %s: %w: %w", d.Key, store.ErrStale, ErrInjected)
	}
	return t.Tx.ReplaceDocument(d)
}
