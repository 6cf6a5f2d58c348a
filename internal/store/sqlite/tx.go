package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite/dbfile"
)

// tx is a transaction, of a writer or a reader.
type tx struct {
	ctx     context.Context // of Update or View, whose frame outlives the tx
	conn    *dbfile.Conn
	now     time.Time
	touched map[store.Topic]struct{}
	wrote   bool
	done    bool
	// failed is the first error that is not part of the contract. It fails the
	// transaction even when the function goes on.
	failed error
}

var _ store.Tx = (*tx)(nil)

func (s *Store) newTx(ctx context.Context, conn *dbfile.Conn) *tx {
	return &tx{ctx: ctx, conn: conn, now: s.now().UTC().Truncate(time.Microsecond), touched: map[store.Topic]struct{}{}}
}

// Now implements store.Reader.
func (t *tx) Now() time.Time { return t.now }

// Touch implements store.Tx.
func (t *tx) Touch(topic store.Topic) { t.touched[topic] = struct{}{} }

// ready refuses a statement that may not run any more.
func (t *tx) ready() error {
	switch {
	case t.done:
		return fmt.Errorf("transaction has ended: %w", store.ErrClosed)
	case t.failed != nil:
		return t.failed
	}
	return t.ctx.Err()
}

// fail records an error of the database, and passes it on.
func (t *tx) fail(err error) error {
	if err != nil && t.failed == nil {
		t.failed = err
	}
	return err
}

// get reads one row; store.ErrNotFound is no failure.
func (t *tx) get(query string, args []any, into ...any) error {
	if err := t.ready(); err != nil {
		return err
	}
	err := t.conn.QueryRow(query, args...).Scan(into...)
	if errors.Is(err, store.ErrNotFound) {
		return err
	}
	return t.fail(err)
}

// list reads rows.
func (t *tx) list(query string, args []any, scan func(scan func(...any) error) error) error {
	if err := t.ready(); err != nil {
		return err
	}
	return t.fail(t.conn.Query(query, args, scan))
}

// exec changes rows and returns how many.
func (t *tx) exec(query string, args ...any) (int64, error) {
	if err := t.ready(); err != nil {
		return 0, err
	}
	n, err := t.conn.Exec(query, args...)
	if err != nil {
		return 0, t.fail(err)
	}
	t.wrote = true
	return n, nil
}

// insert adds a row and returns its id.
func (t *tx) insert(query string, args ...any) (int64, error) {
	if err := t.ready(); err != nil {
		return 0, err
	}
	id, err := t.conn.Insert(query, args...)
	if err != nil {
		return 0, t.fail(err)
	}
	t.wrote = true
	return id, nil
}

// nextEpoch draws from the counter that leases and claims share.
func (t *tx) nextEpoch() (int64, error) {
	var epoch int64
	err := t.get(`UPDATE counters SET value = value + 1 WHERE name = 'epoch' RETURNING value`, nil, &epoch)
	t.wrote = true
	return epoch, err
}

func micros(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixMicro()
}

func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
