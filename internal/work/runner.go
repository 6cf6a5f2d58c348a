package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// Options are the limits and seams of a Runner. Owner must be set; the zero value
// of the others is good.
type Options struct {
	// Owner is this process; see store.Owner.
	Owner store.Owner
	// Concurrency is how many items run at a time; 0 is 16.
	Concurrency int
	// Lease is how long a claim holds without a heartbeat, which comes three
	// times as often; 0 is 30 s. It bounds how long the items of a dead node
	// wait; those of a dead process of this node do not.
	Lease time.Duration
	// Grace is how long Run waits for running handlers once its context has
	// ended; 0 is 10 s. What is not done by then is done again after a restart.
	Grace time.Duration
	// Now is the clock; nil is time.Now. It must be the store's.
	Now func() time.Time
	// Random shortens pauses, from 0 up to 1; nil is math/rand/v2.Float64.
	Random func() float64
	// Log hears of failed attempts; nil is silent.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Concurrency <= 0 {
		o.Concurrency = 16
	}
	if o.Lease <= 0 {
		o.Lease = 30 * time.Second
	}
	if o.Grace <= 0 {
		o.Grace = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Runner does the work of a store.
type Runner struct {
	store    store.Store
	options  Options
	kinds    []string
	handlers map[string]registered

	mu sync.Mutex
	// running are the claims of this process, by item.
	running map[int64]*claim
	// kept is when the claims were last known to hold.
	kept  time.Time
	ended chan struct{} // of capacity 1: a handler has returned
}

type registered struct {
	handler Handler
	policy  Policy
}

// claim is an item that is being done.
type claim struct {
	work   store.Work // as claimed; the handler has the item
	item   *Item
	cancel context.CancelCauseFunc
}

var (
	errLost    = errors.New("the claim on the item was lost")
	errStopped = errors.New("the runner is stopping")
)

// New returns a runner over s. Handlers are registered before Run.
func New(s store.Store, o Options) *Runner {
	return &Runner{store: s, options: o.withDefaults(), handlers: map[string]registered{},
		running: map[int64]*claim{}, ended: make(chan struct{}, 1)}
}

// Register makes h do the items of kind. It must be called before Run, and once
// for each kind; an item of a kind that nobody registered stays where it is.
func (r *Runner) Register(kind string, h Handler, p Policy) error {
	if _, ok := r.handlers[kind]; ok {
		return fmt.Errorf("register work %s: has a handler already", kind)
	}
	r.handlers[kind] = registered{h, p.withDefaults()}
	r.kinds = append(r.kinds, kind)
	slices.Sort(r.kinds)
	return nil
}

// Run does work until ctx ends, and then waits for the running handlers, whose
// contexts end too. A store that cannot be reached is logged and tried again.
func (r *Runner) Run(ctx context.Context) error {
	if !r.options.Owner.Valid() {
		return fmt.Errorf("run work: owner %s: %w", r.options.Owner, store.ErrInvalid)
	}
	// On a full disk work that has begun can still end, and what is deleted goes.
	ctx = store.Freeing(ctx)
	// Handlers stop when we say so, not before their outcome can be recorded.
	handling, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(errStopped)
	var handlers sync.WaitGroup
	heart := time.NewTicker(r.options.Lease / 3)
	defer heart.Stop()
	for {
		// Asked before claiming, so that what is enqueued meanwhile wakes us.
		changed := r.store.Changed(store.WorkTopic)
		pause, err := r.start(ctx, handling, &handlers)
		if err != nil && ctx.Err() == nil {
			r.options.Log.Error("claim work", "error", err)
			pause = time.Second
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-r.ended:
		case <-timer.C:
		case <-heart.C:
			r.beat(ctx)
		}
		timer.Stop()
		if ctx.Err() != nil {
			break
		}
	}
	stop(errStopped)
	return r.drain(&handlers, heart.C)
}

// drain waits for the handlers, keeping their claims meanwhile.
func (r *Runner) drain(handlers *sync.WaitGroup, heart <-chan time.Time) error {
	done := make(chan struct{})
	go func() {
		handlers.Wait()
		close(done)
	}()
	grace := time.NewTimer(r.options.Grace)
	defer grace.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-grace.C:
			return fmt.Errorf("stop work: %d handlers did not stop within %s", r.count(), r.options.Grace)
		case <-heart:
			r.beat(context.Background())
		}
	}
}

func (r *Runner) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.running)
}

// idle is how long to sleep when nothing is due: a wake-up that got lost, on a
// store of several nodes, costs no more.
const idle = time.Minute

// start claims what is due and has room, and runs it. It returns how long there
// is nothing to do.
func (r *Runner) start(ctx, handling context.Context, handlers *sync.WaitGroup) (time.Duration, error) {
	// A claim of ours that has run out, because the store stood still, would be
	// found due and done twice.
	if r.options.Now().Sub(r.lastKept()) > r.options.Lease/2 {
		if err := r.heartbeat(ctx); err != nil {
			return 0, err
		}
	}
	room := r.options.Concurrency - r.count()
	if room <= 0 {
		return idle, nil // a handler that returns wakes us
	}
	// Looking is free and claiming is a write, so look first.
	pause, err := r.pause(ctx)
	if err != nil || pause > 0 {
		return pause, err
	}
	var items []store.Work
	err = r.store.Update(ctx, func(tx store.Tx) (err error) {
		items, err = tx.ClaimWork(r.options.Owner, r.kinds, r.options.Lease, room)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, w := range items {
		c := &claim{work: w, item: &Item{w}}
		var own context.Context
		own, c.cancel = context.WithCancelCause(handling)
		r.mu.Lock()
		r.running[w.ID] = c
		r.mu.Unlock()
		handlers.Go(func() { r.do(own, c) })
	}
	if len(items) == room {
		return idle, nil // full; a handler that returns wakes us
	}
	// What is claimable now is claimed: the next is due later, or ours.
	pause, err = r.pause(ctx)
	return max(pause, time.Millisecond), err
}

// pause is how long nothing is due, 0 when something may be.
func (r *Runner) pause(ctx context.Context) (pause time.Duration, err error) {
	err = r.store.View(ctx, func(v store.Reader) error {
		at, any, err := v.NextWork(r.options.Owner, r.kinds)
		pause = idle
		if any {
			pause = min(idle, max(0, at.Sub(v.Now())))
		}
		return err
	})
	return pause, err
}

func (r *Runner) lastKept() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept
}

// beat is the regular heartbeat.
func (r *Runner) beat(ctx context.Context) {
	if err := r.heartbeat(ctx); err != nil && ctx.Err() == nil {
		r.options.Log.Error("keep claims on work", "error", err)
	}
}

// heartbeat keeps the claims of the running handlers, in one transaction. Those
// that are lost are told to stop.
func (r *Runner) heartbeat(ctx context.Context) error {
	now := r.options.Now()
	r.mu.Lock()
	claims := slices.Collect(maps.Values(r.running))
	r.mu.Unlock()
	if len(claims) == 0 {
		r.keep(now, nil)
		return nil
	}
	var lost []*claim
	err := r.store.Update(ctx, func(tx store.Tx) error {
		lost = nil
		for _, c := range claims {
			_, err := tx.RenewWork(c.work, r.options.Lease)
			switch {
			case errors.Is(err, store.ErrLost):
				lost = append(lost, c)
			case err != nil:
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.keep(now, lost)
	return nil
}

// keep notes that all claims but the lost ones hold.
func (r *Runner) keep(since time.Time, lost []*claim) {
	r.mu.Lock()
	r.kept = since
	r.mu.Unlock()
	for _, c := range lost {
		// A handler that completed its item itself has no claim left either, and
		// is about to return.
		c.cancel(errLost)
	}
}
