package work

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// maxErrorText bounds what is kept of an error.
const maxErrorText = 2000

// do makes one attempt at an item and records how it ended.
func (r *Runner) do(ctx context.Context, c *claim) {
	defer func() {
		r.mu.Lock()
		delete(r.running, c.item.ID)
		r.mu.Unlock()
		c.cancel(nil)
		select {
		case r.ended <- struct{}{}:
		default:
		}
	}()
	reg := r.handlers[c.item.Kind]
	var err error
	if c.item.Attempt > reg.policy.MaxAttempts {
		// Only a process that died during the last attempt leaves this behind.
		err = Permanent(fmt.Errorf("the process ended during attempt %d", c.item.Attempt-1))
	} else {
		err = attempt(ctx, reg, c.item)
	}
	// The outcome is recorded even when we are stopping.
	if recordErr := r.record(context.WithoutCancel(ctx), reg, c, err, context.Cause(ctx)); recordErr != nil {
		// The claim runs out, or is taken over at the next start.
		r.options.Log.Error("record outcome of work", "item", c.item.String(), "error", recordErr)
	}
}

// attempt runs the handler. A panic is an error of the item, not the end of the
// server.
func attempt(ctx context.Context, reg registered, item *Item) (err error) {
	ctx, cancel := context.WithTimeout(ctx, reg.policy.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return reg.handler.Do(ctx, item)
}

// record writes the outcome of an attempt. why is the reason for which its
// context ended, or nil.
func (r *Runner) record(ctx context.Context, reg registered, c *claim, err, why error) error {
	item := c.item.Work
	later, isLater := asLater(err)
	switch {
	case errors.Is(why, errLost):
		return nil // somebody else has it, or the handler completed it
	case err == nil:
		return r.complete(ctx, item)
	case isLater:
		item.Attempt--
		item.NotBefore = r.options.Now().Add(later)
	case errors.Is(why, errStopped):
		// Not the item's fault: it goes on at the next start.
		item.Attempt--
		item.NotBefore = r.options.Now()
	case isPermanent(err) || item.Attempt >= reg.policy.MaxAttempts:
		r.options.Log.Error("work failed", "item", item.String(), "attempt", item.Attempt, "error", err)
		return r.fail(ctx, reg, item, err)
	default:
		pause := r.backoff(reg.policy, item.Attempt)
		item.NotBefore = r.options.Now().Add(pause)
		r.options.Log.Warn("work will be tried again", "item", item.String(), "attempt", item.Attempt, "pause", pause, "error", err)
	}
	if !isLater {
		item.LastError = short(err)
	}
	return r.update(ctx, func(tx store.Tx) error { return tx.RetryWork(item) })
}

// complete removes an item, unless its handler has.
func (r *Runner) complete(ctx context.Context, item store.Work) error {
	return r.update(ctx, func(tx store.Tx) error {
		if _, err := tx.Work(item.ID); errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return tx.CompleteWork(item)
	})
}

// fail removes an item and lets its handler write down the failure in the same
// transaction. Where even that fails the item stays and is tried again.
func (r *Runner) fail(ctx context.Context, reg registered, item store.Work, cause error) error {
	err := r.update(ctx, func(tx store.Tx) error {
		if err := tx.CompleteWork(item); err != nil {
			return err
		}
		return reg.handler.Failed(tx, item, cause)
	})
	if err == nil || errors.Is(err, store.ErrLost) {
		return err
	}
	item.NotBefore = r.options.Now().Add(reg.policy.MaxPause)
	item.LastError = short(errors.Join(cause, err))
	return errors.Join(err, r.update(ctx, func(tx store.Tx) error { return tx.RetryWork(item) }))
}

// recordTries is how often an outcome is written before it is left to the end of
// the claim.
const recordTries = 3

// update writes an outcome, again where the store fails for a moment.
func (r *Runner) update(ctx context.Context, fn func(store.Tx) error) (err error) {
	for i := range recordTries {
		err = r.store.Update(ctx, fn)
		if err == nil || errors.Is(err, store.ErrLost) || errors.Is(err, store.ErrClosed) || i == recordTries-1 {
			break
		}
		time.Sleep(r.backoff(Policy{FirstPause: 50 * time.Millisecond, MaxPause: time.Second}, i+1))
	}
	return err
}

// backoff is the pause after a failed attempt, counted from 1.
func (r *Runner) backoff(p Policy, attempt int) time.Duration {
	pause := p.MaxPause
	if shift := attempt - 1; shift < 32 {
		pause = min(p.MaxPause, p.FirstPause<<shift)
	}
	return pause - time.Duration(r.options.Random()*float64(pause)/2)
}

// short makes an error's text fit to be stored.
func short(err error) string {
	text := err.Error()
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "\ufffd")
}
