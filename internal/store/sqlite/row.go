package sqlite

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/outcrop/outcrop/internal/store"
)

// rowBatch is how many rows a scan holds at a time; between two batches the
// caller may write.
const rowBatch = 256

// Row implements store.RowReader.
func (t *tx) Row(table string, key []byte) ([]byte, error) {
	var value []byte
	err := t.get(`SELECT value FROM ordered_rows WHERE tbl = ? AND key = ?`, []any{table, key}, &value)
	if err != nil {
		return nil, fmt.Errorf("get row of %s: %w", table, err)
	}
	return value, nil
}

// Rows implements store.RowReader.
func (t *tx) Rows(table string, r store.Range) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		from, to, left := r.From, r.To, r.Limit
		for {
			size := rowBatch
			if r.Limit > 0 {
				size = min(size, left)
			}
			rows, err := t.rowBatch(table, from, to, r.Reverse, size)
			if err != nil {
				yield(store.Row{}, fmt.Errorf("scan rows of %s: %w", table, err))
				return
			}
			for _, row := range rows {
				// The caller may do what it likes with a key it was given.
				last := bytes.Clone(row.Key)
				if !yield(row, nil) {
					return
				}
				if r.Reverse {
					to = last
				} else {
					from = append(last, 0) // the smallest key after it
				}
			}
			left -= len(rows)
			if len(rows) < size || r.Limit > 0 && left == 0 {
				return
			}
		}
	}
}

func (t *tx) rowBatch(table string, from, to []byte, reverse bool, size int) ([]store.Row, error) {
	where, args := rowRange(table, from, to)
	query := `SELECT key, value FROM ordered_rows WHERE ` + where + ` ORDER BY key`
	if reverse {
		query += ` DESC`
	}
	var rows []store.Row
	err := t.list(query+` LIMIT ?`, append(args, size), func(scan func(...any) error) error {
		var row store.Row
		if err := scan(&row.Key, &row.Value); err != nil {
			return err
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

func rowRange(table string, from, to []byte) (where string, args []any) {
	where, args = `tbl = ?`, []any{table}
	if len(from) > 0 {
		where, args = where+` AND key >= ?`, append(args, from)
	}
	if to != nil {
		where, args = where+` AND key < ?`, append(args, to)
	}
	return where, args
}

// PutRow implements store.RowWriter.
func (t *tx) PutRow(table string, key, value []byte) error {
	if err := store.CheckRow(table, key, value); err != nil {
		return err
	}
	if value == nil {
		value = []byte{} // the driver would write NULL
	}
	_, err := t.exec(`INSERT INTO ordered_rows (tbl, key, value) VALUES (?, ?, ?)
		ON CONFLICT (tbl, key) DO UPDATE SET value = excluded.value`, table, key, value)
	if err != nil {
		return fmt.Errorf("put row of %s: %w", table, err)
	}
	t.Touch(store.RowTopic(table))
	return nil
}

// DeleteRow implements store.RowWriter.
func (t *tx) DeleteRow(table string, key []byte) error {
	if _, err := t.exec(`DELETE FROM ordered_rows WHERE tbl = ? AND key = ?`, table, key); err != nil {
		return fmt.Errorf("delete row of %s: %w", table, err)
	}
	t.Touch(store.RowTopic(table))
	return nil
}

// DeleteRows implements store.RowWriter.
func (t *tx) DeleteRows(table string, r store.Range) (int64, error) {
	where, args := rowRange(table, r.From, r.To)
	query := `DELETE FROM ordered_rows WHERE ` + where
	if r.Limit > 0 {
		query = `DELETE FROM ordered_rows WHERE tbl = ? AND key IN
			(SELECT key FROM ordered_rows WHERE ` + where + ` ORDER BY key LIMIT ?)`
		args = append(append([]any{table}, args...), r.Limit)
	}
	n, err := t.exec(query, args...)
	if err != nil {
		return 0, fmt.Errorf("delete rows of %s: %w", table, err)
	}
	t.Touch(store.RowTopic(table))
	return n, nil
}
