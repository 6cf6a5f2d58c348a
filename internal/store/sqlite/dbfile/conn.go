package dbfile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/outcrop/outcrop/internal/store"
)

// Conn is one connection, used by one goroutine at a time. It prepares each
// statement once.
//
// It takes no context: for one that can end the driver starts a goroutine with
// each statement, which costs more than the statement. Callers check theirs
// between statements.
type Conn struct {
	sql   *sql.Conn
	stmts map[string]*sql.Stmt
}

// maxStatements bounds the statements kept; beyond it (lists of many lengths in
// an IN) all are let go and prepared anew.
const maxStatements = 128

func (c *Conn) prepared(query string) (*sql.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	if len(c.stmts) >= maxStatements {
		for q, s := range c.stmts {
			_ = s.Close()
			delete(c.stmts, q)
		}
	}
	s, err := c.sql.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("prepare statement: %w", explain(err))
	}
	c.stmts[query] = s
	return s, nil
}

// Exec runs a statement and returns how many rows it changed.
func (c *Conn) Exec(query string, args ...any) (int64, error) {
	r, err := c.exec(query, args)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return n, explain(err)
}

// Insert runs a statement and returns the id of the row it added.
func (c *Conn) Insert(query string, args ...any) (int64, error) {
	r, err := c.exec(query, args)
	if err != nil {
		return 0, err
	}
	id, err := r.LastInsertId()
	return id, explain(err)
}

func (c *Conn) exec(query string, args []any) (sql.Result, error) {
	s, err := c.prepared(query)
	if err != nil {
		return nil, err
	}
	r, err := s.ExecContext(context.Background(), args...)
	return r, explain(err)
}

// Row is the result of QueryRow.
type Row struct {
	row *sql.Row
	err error
}

// Scan copies the row's columns, or returns store.ErrNotFound.
func (r Row) Scan(into ...any) error {
	if r.err != nil {
		return r.err
	}
	return explain(r.row.Scan(into...))
}

// QueryRow runs a query for one row.
func (c *Conn) QueryRow(query string, args ...any) Row {
	s, err := c.prepared(query)
	if err != nil {
		return Row{err: err}
	}
	return Row{row: s.QueryRowContext(context.Background(), args...)}
}

// Query runs a query and calls scan for each row. The scan must not use c.
func (c *Conn) Query(query string, args []any, scan func(scan func(...any) error) error) error {
	s, err := c.prepared(query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(context.Background(), args...)
	if err != nil {
		return explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return explain(err)
		}
	}
	return explain(rows.Err())
}

// Script runs statements without keeping them: several at once, or a PRAGMA, many
// of which act when they are prepared and not when they run.
func (c *Conn) Script(text string) error {
	_, err := c.sql.ExecContext(context.Background(), text)
	return explain(err)
}

func (c *Conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	c.stmts = nil
	return errors.Join(append(errs, c.sql.Close())...)
}

// explain puts the contract's error into the chain of a driver's error.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	if errors.Is(err, sql.ErrConnDone) {
		return fmt.Errorf("%w: %w", store.ErrClosed, err)
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() {
	// A full disk shows as SQLITE_FULL where the database or its log grows, and
	// as the other where the shared memory beside it does.
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE:
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%w: %w", store.ErrForeign, err)
	}
	return err
}
