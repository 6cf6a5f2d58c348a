package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Work is an item of durable work. It is written in the transaction that makes
// the work necessary and removed in the one that records its outcome.
type Work struct {
	// ID grows with each item.
	ID int64
	// Kind chooses the handler.
	Kind string
	// Key is the thing the work is for, scope included. Items of one key are
	// done one after the other, in the order in which they were written.
	Key string
	// Payload is the handler's own JSON.
	Payload json.RawMessage
	// NotBefore is when the item may be claimed.
	NotBefore time.Time
	// Attempt is how often it has been claimed, this time included.
	Attempt int
	// LastError is the error of the attempt before, for people to read.
	LastError string
	// Created is when it was written.
	Created time.Time
	// Owner, Epoch and LeaseUntil are the claim; zero when it is not claimed.
	Owner      Owner
	Epoch      int64
	LeaseUntil time.Time
}

func (w Work) String() string { return fmt.Sprintf("%s %s (item %d)", w.Kind, w.Key, w.ID) }

// WorkReader reads items.
type WorkReader interface {
	// Work returns one item, or ErrNotFound.
	Work(id int64) (Work, error)
	// WorkOf lists the items of a key in their order.
	WorkOf(key string) ([]Work, error)
	// CountWork counts the items whose keys begin with a text.
	CountWork(prefix string) (int, error)
	// NextWork is the earliest time at which owner's ClaimWork may find an item
	// of these kinds; false when there is none at all.
	NextWork(owner Owner, kinds []string) (time.Time, bool, error)
}

// WorkWriter writes items. What makes an item claimable touches WorkTopic.
type WorkWriter interface {
	// EnqueueWork adds an item, of which Kind, Key, Payload and NotBefore
	// count, and returns it as stored.
	EnqueueWork(w Work) (Work, error)
	// ClaimWork gives at most limit items to owner for ttl: those that are due,
	// the oldest of their key, and not claimed by anybody alive. A claim that
	// has expired, or of a dead process of the owner's node, is taken over.
	ClaimWork(owner Owner, kinds []string, ttl time.Duration, limit int) ([]Work, error)
	// RenewWork keeps a claim for another ttl, or returns ErrLost.
	RenewWork(w Work, ttl time.Duration) (Work, error)
	// CompleteWork removes a claimed item, or returns ErrLost. A handler calls
	// it in the transaction that writes the outcome, so both or neither happen.
	CompleteWork(w Work) error
	// RetryWork gives a claimed item back, to be done at w.NotBefore or later,
	// with w.Attempt, w.LastError and w.Payload; or returns ErrLost.
	RetryWork(w Work) error
	// CancelWork removes the items of a key that nobody has claimed and
	// returns how many.
	CancelWork(key string) (int64, error)
}

// Check validates an item that is about to be written.
func (w *Work) Check() error {
	if w.Kind == "" || w.Key == "" {
		return fmt.Errorf("check work %s: kind and key are required: %w", w, ErrInvalid)
	}
	if len(w.Payload) == 0 {
		w.Payload = json.RawMessage("{}")
	}
	if !jsontext.Value(w.Payload).IsValid() {
		return fmt.Errorf("check work %s: payload is not strict JSON: %w", w, ErrInvalid)
	}
	if err := CheckText(w.Kind); err != nil {
		return err
	}
	return CheckText(w.Key)
}
