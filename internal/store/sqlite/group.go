package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// group is a transaction of the file that several Updates share, each inside a
// savepoint of its own. The Update that finds nobody waiting commits for all, so
// a lone one commits at once and a crowd pays for one fsync together. No
// goroutine of its own is needed, and a function that panics does so on the
// goroutine of its caller.
type group struct {
	began  time.Time
	size   int  // Updates that had their turn
	wrote  bool // at least one savepoint was kept
	topics map[store.Topic]struct{}
	// broken is set when SQLite gave up the whole transaction (a full disk, an
	// I/O error) and every savepoint in it is gone.
	broken error
	done   chan struct{}
	err    error // valid when done is closed
}

// The bounds of a group: what the first of it waits for at most.
const (
	maxGroupSize = 256
	maxGroupTime = 20 * time.Millisecond
)

var errUnfinished = errors.New("the function of an update did not return")

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	switch {
	case s.reserve != nil && store.IsFreeing(ctx):
		return s.updateFreeing(ctx, fn)
	case !s.reserve.ready():
		return fmt.Errorf("begin update: what is left is for deletes: %w", store.ErrFull)
	}
	return s.update(ctx, fn)
}

func (s *Store) update(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.turn.take(ctx); err != nil {
		return err
	}
	g, err := s.join()
	if err != nil {
		s.turn.drop()
		return err
	}
	g.size++
	finished := false
	defer func() {
		if !finished { // fn panicked, or ended its goroutine (t.FailNow)
			s.undo(g, errUnfinished)
			s.leave(g)
		}
	}()
	err = s.inSavepoint(ctx, g, fn)
	finished = true
	s.leave(g)
	// Even a refusal waits: it may rest on a write that the group had not yet
	// made durable, and must not be heard if that fails.
	<-g.done
	if g.err != nil {
		return g.err
	}
	return err
}

// join returns the open group, or opens one. The caller has the turn.
func (s *Store) join() (*group, error) {
	if s.group != nil {
		return s.group, nil
	}
	conn := s.file.Writer()
	if _, err := conn.Exec("BEGIN IMMEDIATE"); err != nil {
		// Where a rollback once failed, the one before may still be open.
		_, _ = conn.Exec("ROLLBACK")
		if _, err := conn.Exec("BEGIN IMMEDIATE"); err != nil {
			return nil, fmt.Errorf("begin update: %w", err)
		}
	}
	s.group = &group{began: time.Now(), topics: map[store.Topic]struct{}{}, done: make(chan struct{})}
	return s.group, nil
}

// inSavepoint runs fn so that its failure undoes its own writes only.
func (s *Store) inSavepoint(ctx context.Context, g *group, fn func(store.Tx) error) error {
	if g.broken != nil {
		return g.broken
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	conn := s.file.Writer()
	if _, err := conn.Exec("SAVEPOINT one"); err != nil {
		g.broken = fmt.Errorf("begin update: %w", err)
		return g.broken
	}
	t := s.newTx(ctx, conn)
	defer func() { t.done = true }()
	err := fn(t)
	if err == nil {
		err = t.failed
	}
	if err != nil {
		s.undo(g, err)
		return err
	}
	if _, err := conn.Exec("RELEASE one"); err != nil {
		g.broken = fmt.Errorf("end update: %w", err)
		return g.broken
	}
	g.wrote = g.wrote || t.wrote
	for topic := range t.touched {
		g.topics[topic] = struct{}{}
	}
	return nil
}

// undo rolls back to the savepoint after cause. Where SQLite has already
// rolled back everything, the savepoint is gone and with it the group.
func (s *Store) undo(g *group, cause error) {
	if g.broken != nil {
		return
	}
	conn := s.file.Writer()
	_, err := conn.Exec("ROLLBACK TO one")
	if err == nil {
		_, err = conn.Exec("RELEASE one")
	}
	if err != nil {
		g.broken = fmt.Errorf("update was undone with the others of its commit: %w", cause)
	}
}

// leave hands the group to the next Update, or ends it when nobody waits.
func (s *Store) leave(g *group) {
	if g.broken == nil && g.size < maxGroupSize && time.Since(g.began) < maxGroupTime && s.turn.pass() {
		return
	}
	s.finish(g)
	s.turn.drop()
}

// finish ends a group and tells its members.
func (s *Store) finish(g *group) {
	s.end(g)
	s.group = nil
	close(g.done)
}

// end commits a group, or rolls it back when it wrote nothing or is broken.
func (s *Store) end(g *group) {
	conn := s.file.Writer()
	if g.broken == nil && g.wrote {
		err := s.topics.Commit(g.topics, func() error {
			_, err := conn.Exec("COMMIT")
			return err
		})
		if err == nil {
			return
		}
		g.broken = fmt.Errorf("commit update: %w", err)
	}
	g.err = g.broken
	// Fails, and needs not succeed, when SQLite has rolled back already.
	_, _ = conn.Exec("ROLLBACK")
}
