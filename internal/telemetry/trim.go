package telemetry

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/outcrop/outcrop/internal/store/sqlite/dbfile"
)

// trimStep is how many rows one transaction of Trim removes, so that writers
// never wait for long.
const trimStep = 2000

// Trim removes what is too old or too much; Run calls it every TrimEvery.
func (d *DB) Trim(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.trimAge, d.trimDiscarded, d.trimSize, d.trimStreams, d.trimAudit} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("trim telemetry: %w", err)
		}
	}
	// Gives at most 16 MiB back to the file system at a time.
	d.writing.Lock()
	defer d.writing.Unlock()
	if d.closed {
		return ErrClosed
	}
	return d.file.Writer().Script("PRAGMA incremental_vacuum(4096)")
}

// trimAge removes events older than their group keeps them.
func (d *DB) trimAge(ctx context.Context) error {
	keep := map[int64]int64{} // group to the earliest time, in microseconds
	err := d.read(ctx, func(conn *dbfile.Conn) error {
		return conn.Query(`SELECT id, retention FROM groups`, nil, func(scan func(...any) error) error {
			var id, days int64
			if err := scan(&id, &days); err != nil {
				return err
			}
			age := d.options.LogAge
			if days > 0 {
				age = time.Duration(days) * 24 * time.Hour
			}
			keep[id] = micros(d.options.Now().Add(-age))
			return nil
		})
	})
	for group, earliest := range keep {
		if err == nil {
			err = d.removeAll(ctx, `SELECT id FROM events WHERE group_id = ? AND time < ? ORDER BY time, id LIMIT ?`, group, earliest)
		}
	}
	return err
}

// trimDiscarded removes the events of deleted streams, and then the streams.
func (d *DB) trimDiscarded(ctx context.Context) error {
	var ids []int64
	err := d.read(ctx, func(conn *dbfile.Conn) error {
		return conn.Query(`SELECT id FROM streams WHERE group_id = 0`, nil, func(scan func(...any) error) error {
			var id int64
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
	})
	for _, id := range ids {
		if err == nil {
			err = d.removeAll(ctx, `SELECT id FROM events WHERE stream_id = ? ORDER BY time, id LIMIT ?`, id)
		}
		if err == nil {
			err = d.change(ctx, func(conn *dbfile.Conn) error {
				_, err := conn.Exec(`DELETE FROM streams WHERE id = ?`, id)
				return err
			})
		}
	}
	return err
}

// trimSize removes events while all together hold too much: the oldest of the
// group that holds most, so that a loud agent loses its own history and not a
// quiet one's.
func (d *DB) trimSize(ctx context.Context) error {
	for {
		largest, most, err := d.largest(ctx)
		if err != nil || most <= 0 {
			return err
		}
		n, err := d.remove(ctx, `SELECT id FROM (
			SELECT id, ? - sum(cost) OVER (ORDER BY time, id) + cost AS left FROM (
				SELECT id, time, octet_length(message) + ? AS cost FROM events WHERE group_id = ? ORDER BY time, id LIMIT ?))
			WHERE left > 0`, most, eventOverhead, largest)
		if err != nil || n == 0 {
			return err
		}
	}
}

// evenStep is, in bytes, how finely trimSize goes back and forth between groups
// of one size.
const evenStep = 1 << 20

// largest returns the group that holds most and how many bytes of it are to go
// before it is time to look again: what is too much in all, but about as many as
// it has more than the next. They are none if all together hold no more than they may.
func (d *DB) largest(ctx context.Context) (group, most int64, err error) {
	var first, second, held int64
	err = d.read(ctx, func(conn *dbfile.Conn) error {
		return conn.Query(`SELECT group_id, sum(bytes) FROM streams GROUP BY group_id`, nil, func(scan func(...any) error) error {
			var id, bytes int64
			if err := scan(&id, &bytes); err != nil {
				return err
			}
			held += bytes
			if bytes > first {
				group, first, second = id, bytes, first
			} else {
				second = max(second, bytes)
			}
			return nil
		})
	})
	return group, min(held-d.options.LogBytes, max(first-second, evenStep)), err
}

// removeAll removes, step by step, the events that a query with a limit finds.
func (d *DB) removeAll(ctx context.Context, query string, args ...any) error {
	for {
		n, err := d.remove(ctx, query, args...)
		if err != nil || n < trimStep {
			return err
		}
	}
}

// remove removes the events that query finds, up to trimStep, and takes them off
// the sums of their streams.
func (d *DB) remove(ctx context.Context, query string, args ...any) (n int64, err error) {
	args = append(args, trimStep)
	err = d.change(ctx, func(conn *dbfile.Conn) error {
		type sum struct{ stream, bytes int64 }
		var sums []sum
		err := conn.Query(`SELECT stream_id, sum(octet_length(message) + ?) FROM events WHERE id IN (`+query+`) GROUP BY stream_id`,
			append([]any{eventOverhead}, args...), func(scan func(...any) error) error {
				var s sum
				err := scan(&s.stream, &s.bytes)
				sums = append(sums, s)
				return err
			})
		if err != nil {
			return err
		}
		if n, err = conn.Exec(`DELETE FROM events WHERE id IN (`+query+`)`, args...); err != nil {
			return err
		}
		for _, s := range sums {
			_, err := conn.Exec(`UPDATE streams SET bytes = bytes - ?,
				first_event = COALESCE((SELECT min(time) FROM events WHERE stream_id = streams.id), 0) WHERE id = ?`, s.bytes, s.stream)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// trimStreams removes streams that lost their last event to age: each session
// has one, and nobody deletes them.
func (d *DB) trimStreams(ctx context.Context) error {
	earliest := micros(d.options.Now().Add(-d.options.LogAge))
	return d.change(ctx, func(conn *dbfile.Conn) error {
		n, err := conn.Exec(`DELETE FROM streams WHERE id IN (SELECT id FROM streams s
			WHERE created < ? AND last_ingested < ? AND NOT EXISTS (SELECT 1 FROM events WHERE stream_id = s.id) LIMIT ?)`,
			earliest, earliest, trimStep)
		if n > 0 {
			clear(d.streams)
		}
		return err
	})
}

// trimAudit removes records that are too old or too many, those of strangers
// first, and of calls without a signature.
func (d *DB) trimAudit(ctx context.Context) error {
	if err := d.removeRecords(ctx, math.MaxInt64, `SELECT id FROM audit WHERE account = '' AND region = ''
		ORDER BY time DESC, id DESC LIMIT ? OFFSET ?`, d.options.StrangerRecords); err != nil {
		return err
	}
	if err := d.removeRecords(ctx, math.MaxInt64, `SELECT id FROM audit WHERE access_key_id = '' AND account <> ''
		ORDER BY id DESC LIMIT ? OFFSET ?`, d.options.AuditRecords/2); err != nil {
		return err
	}
	// Only the oldest are looked at.
	earliest := micros(d.options.Now().Add(-d.options.AuditAge))
	if err := d.removeRecords(ctx, math.MaxInt64, `SELECT id FROM (SELECT id, time FROM audit ORDER BY id LIMIT ?) WHERE time < ?`, earliest); err != nil {
		return err
	}
	var held int64
	err := d.read(ctx, func(conn *dbfile.Conn) error {
		return conn.QueryRow(`SELECT count(*) FROM audit`).Scan(&held)
	})
	if err != nil || held <= d.options.AuditRecords {
		return err
	}
	return d.removeRecords(ctx, held-d.options.AuditRecords, `SELECT id FROM audit ORDER BY id LIMIT ?`)
}

// removeRecords removes, step by step, the audit records that a query with a
// limit, its first parameter, finds, and at most so many.
func (d *DB) removeRecords(ctx context.Context, most int64, query string, args ...any) error {
	for {
		step := min(most, trimStep)
		var n int64
		err := d.change(ctx, func(conn *dbfile.Conn) (err error) {
			n, err = conn.Exec(`DELETE FROM audit WHERE id IN (`+query+`)`, append([]any{step}, args...)...)
			return err
		})
		if most -= n; err != nil || n < step || most == 0 {
			return err
		}
	}
}
