// Package work runs the durable jobs of the store: everything that is CREATING,
// UPDATING, DELETING, syncing or extracting.
//
// A service writes an item in the transaction that puts its resource into a
// transitional status, and registers a Handler for the item's kind. The Runner
// claims due items, runs them with bounded concurrency, one at a time and in
// order for each key, and tries again with growing pauses. An item whose process
// died is taken up at the next start; one that failed for good ends with
// Handler.Failed in the transaction that removes it, so that nothing stays in a
// transitional status.
package work

import (
	"context"
	"errors"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// Handler does the items of one kind. An item may be done twice (the process
// died after the work and before it was recorded), so Do is idempotent.
type Handler interface {
	// Do makes one attempt. Its context ends when the runner stops, when the
	// claim is lost, and at Policy.Timeout.
	//
	// nil completes the item, unless Do has done so itself with Item.Complete in
	// the transaction that wrote the outcome, which is the better way. Later
	// gives the item back without counting the attempt, Permanent fails it at
	// once, and any other error is an attempt that failed.
	Do(ctx context.Context, item *Item) error

	// Failed records that the item is given up: it moves the resource to its
	// FAILED status. It runs in the transaction that removes the item. cause is
	// the error of the last attempt.
	Failed(tx store.Tx, item store.Work, cause error) error
}

// Item is a claimed item of work. A handler may change Payload to remember how far
// it came: the next attempt gets it.
type Item struct {
	store.Work
}

// Complete removes the item in the handler's own transaction, so that outcome
// and completion become durable together. It is ErrLost when the claim has been
// lost, and the transaction must then fail.
func (i *Item) Complete(tx store.Tx) error { return tx.CompleteWork(i.Work) }

// Policy says how the items of a kind are tried. The zero value is good.
type Policy struct {
	// MaxAttempts is how often an item is tried before it has failed; 0 is 8,
	// which with the other defaults is a little over two minutes.
	MaxAttempts int
	// FirstPause is the pause after the first failure, doubled with each
	// further one up to MaxPause, each shortened by up to half at random; 0 is
	// 1 s and 1 min.
	FirstPause, MaxPause time.Duration
	// Timeout bounds one attempt; 0 is 15 min.
	Timeout time.Duration
}

func (p Policy) withDefaults() Policy {
	if p.MaxAttempts <= 0 {
		p.MaxAttempts = 8
	}
	if p.FirstPause <= 0 {
		p.FirstPause = time.Second
	}
	if p.MaxPause <= 0 {
		p.MaxPause = time.Minute
	}
	if p.Timeout <= 0 {
		p.Timeout = 15 * time.Minute
	}
	return p
}

// Permanent marks an error that no further attempt can mend.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Later gives the item back for after, because what it waits for is not there
// yet. That is no failure and does not count as an attempt.
func Later(after time.Duration) error { return &laterError{after} }

type laterError struct{ after time.Duration }

func (e *laterError) Error() string { return "not ready, again in " + e.after.String() }

func isPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

func asLater(err error) (time.Duration, bool) {
	var l *laterError
	if errors.As(err, &l) {
		return l.after, true
	}
	return 0, false
}
