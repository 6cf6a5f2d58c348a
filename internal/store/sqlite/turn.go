package sqlite

import (
	"context"
	"sync"

	"github.com/outcrop/outcrop/internal/store"
)

// turn passes the right to write from one goroutine to the next, in order. Unlike
// a mutex it says whether somebody waits, stops waiting when a context ends, and
// can be handed to a waiter who is then sure to get it.
type turn struct {
	mu      sync.Mutex
	taken   bool
	closed  bool
	waiters []chan struct{}
}

// take waits for the turn. On an error the caller does not have it.
func (t *turn) take(ctx context.Context) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return store.ErrClosed
	}
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	t.waiters = append(t.waiters, mine)
	t.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, w := range t.waiters {
		if w == mine {
			t.waiters = append(t.waiters[:i], t.waiters[i+1:]...)
			return ctx.Err()
		}
	}
	// It was given at the same moment. The giver may rely on us to commit, so it
	// is kept; the caller sees the ended context for itself.
	return nil
}

// pass gives the turn to the next waiter, and reports whether there was one. If
// not, the caller still has it.
func (t *turn) pass() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiters) == 0 {
		return false
	}
	close(t.waiters[0])
	t.waiters = t.waiters[1:]
	return true
}

// drop gives the turn up, to the next waiter or to nobody.
func (t *turn) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiters) == 0 {
		t.taken = false
		return
	}
	close(t.waiters[0])
	t.waiters = t.waiters[1:]
}

// close waits for the turn and never gives it back. Those who wait already go
// first, so that no promised commit is left out.
func (t *turn) close() {
	t.mu.Lock()
	t.closed = true
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return
	}
	mine := make(chan struct{})
	t.waiters = append(t.waiters, mine)
	t.mu.Unlock()
	<-mine
}
