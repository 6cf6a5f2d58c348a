// Package storetest is the suite that every implementation of store.Store
// passes. A test of the implementation calls Run with a function that opens it.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// Opener opens the store that lives in dir, creating it the first time. The
// suite closes what it opens.
type Opener func(t testing.TB, dir string, now func() time.Time) store.Store

// Run runs the whole suite.
func Run(t *testing.T, open Opener) {
	for _, group := range []struct {
		name  string
		tests map[string]func(*testing.T, *env)
	}{
		{"Transactions", transactionTests},
		{"Documents", documentTests},
		{"Collections", collectionTests},
		{"Rows", rowTests},
		{"Leases", leaseTests},
		{"Work", workTests},
		{"Replies", replyTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for name, test := range group.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, newEnv(t, open))
				})
			}
		})
	}
}

// env is one store with a clock the test moves.
type env struct {
	t     *testing.T
	ctx   context.Context
	dir   string
	open  Opener
	store store.Store
	clock *clock
}

func newEnv(t *testing.T, open Opener) *env {
	e := &env{t: t, ctx: t.Context(), dir: t.TempDir(), open: open,
		clock: &clock{at: time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)}}
	e.store = open(t, e.dir, e.clock.now)
	t.Cleanup(func() {
		if err := e.store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// reopen closes the store and opens it again.
func (e *env) reopen() {
	e.t.Helper()
	if err := e.store.Close(); err != nil {
		e.t.Fatalf("close: %v", err)
	}
	e.store = e.open(e.t, e.dir, e.clock.now)
}

// update runs fn in a transaction that must succeed.
func (e *env) update(fn func(tx store.Tx) error) {
	e.t.Helper()
	if err := e.store.Update(e.ctx, fn); err != nil {
		e.t.Fatalf("update: %v", err)
	}
}

// view runs fn on a snapshot that must be readable.
func (e *env) view(fn func(r store.Reader) error) {
	e.t.Helper()
	if err := e.store.View(e.ctx, fn); err != nil {
		e.t.Fatalf("view: %v", err)
	}
}

// refused runs fn in a transaction that must fail with want.
func (e *env) refused(want error, fn func(tx store.Tx) error) error {
	e.t.Helper()
	err := e.store.Update(e.ctx, fn)
	if !errors.Is(err, want) {
		e.t.Fatalf("update: got error %v, want %v", err, want)
	}
	return err
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

var errBoom = errors.New("boom")

var (
	home   = store.Scope{Account: "111122223333", Region: "eu-central-1"}
	abroad = store.Scope{Account: "111122223333", Region: "us-east-1"}
	others = store.Scope{Account: "444455556666", Region: "eu-central-1"}
)

// doc is a document of kind "thing".
func doc(scope store.Scope, id, name string) store.Document {
	return store.Document{
		Key:   store.Key{Scope: scope, Kind: "thing", ID: id},
		Name:  name,
		Spec:  json.RawMessage(fmt.Sprintf(`{"id":%q}`, id)),
		State: json.RawMessage(`{"status":"CREATING"}`),
	}
}

func insert(docs ...store.Document) func(store.Tx) error {
	return func(tx store.Tx) error {
		for _, d := range docs {
			if _, err := tx.InsertDocument(d); err != nil {
				return err
			}
		}
		return nil
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func is(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: got error %v, want %v", what, err, want)
	}
}
