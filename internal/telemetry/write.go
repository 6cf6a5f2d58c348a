package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite/dbfile"
)

// sums is what a batch adds to a stream.
type sums struct {
	first, last, bytes int64
}

// write stores a batch and returns the groups it touched.
func (d *DB) write(b batch) (map[Group]struct{}, error) {
	groups := map[Group]struct{}{}
	now := d.options.Now()
	err := d.transact(b.durable, func(conn *dbfile.Conn) error {
		added := map[streamRef]*sums{}
		for key, n := range b.dropped {
			groups[key.group] = struct{}{}
			if err := d.writeEvent(conn, dropNotice(key, n, now), now, added); err != nil {
				return err
			}
		}
		for _, e := range b.events {
			groups[e.key.group] = struct{}{}
			if err := d.writeEvent(conn, e, now, added); err != nil {
				return err
			}
		}
		for ref, s := range added {
			_, err := conn.Exec(`UPDATE streams SET bytes = bytes + ?, last_ingested = ?,
				first_event = CASE WHEN first_event = 0 THEN ? ELSE min(first_event, ?) END,
				last_event = max(last_event, ?) WHERE id = ?`,
				s.bytes, micros(now), s.first, s.first, s.last, ref.id)
			if err != nil {
				return fmt.Errorf("write stream: %w", err)
			}
		}
		return writeAudits(conn, b.audits)
	})
	return groups, err
}

// dropNotice tells the reader of a stream what is missing from it.
func dropNotice(key streamKey, n int64, now time.Time) queuedEvent {
	return queuedEvent{key: key, at: now,
		message: fmt.Sprintf("[outcrop] %d earlier log events of this stream were dropped: they came faster than they could be stored", n)}
}

func (d *DB) writeEvent(conn *dbfile.Conn, e queuedEvent, now time.Time, added map[streamRef]*sums) error {
	ref, err := d.stream(conn, e.key, now)
	if err != nil {
		return err
	}
	at := micros(e.at)
	_, err = conn.Exec(`INSERT INTO events (group_id, stream_id, time, ingested, message) VALUES (?, ?, ?, ?, ?)`,
		ref.group, ref.id, at, micros(now), e.message)
	if err != nil {
		return fmt.Errorf("write log event: %w", err)
	}
	s := added[ref]
	if s == nil {
		s = &sums{first: at, last: at}
		added[ref] = s
	}
	s.first, s.last = min(s.first, at), max(s.last, at)
	s.bytes += int64(e.cost())
	return nil
}

// stream finds the row of a stream, or makes it and its group.
func (d *DB) stream(conn *dbfile.Conn, key streamKey, now time.Time) (streamRef, error) {
	if ref, ok := d.streams[key]; ok {
		return ref, nil
	}
	ref, err := makeStream(conn, key, now)
	if err != nil {
		return ref, err
	}
	if len(d.streams) > 10_000 { // sessions come and go
		clear(d.streams)
	}
	d.streams[key] = ref
	return ref, nil
}

func makeStream(conn *dbfile.Conn, key streamKey, now time.Time) (ref streamRef, err error) {
	if ref.group, err = makeGroup(conn, key.group, now); err != nil {
		return ref, err
	}
	err = conn.QueryRow(`SELECT id FROM streams WHERE group_id = ? AND name = ?`, ref.group, key.stream).Scan(&ref.id)
	if errors.Is(err, store.ErrNotFound) {
		ref.id, err = conn.Insert(`INSERT INTO streams
			(group_id, name, created, first_event, last_event, last_ingested, bytes) VALUES (?, ?, ?, 0, 0, 0, 0)`,
			ref.group, key.stream, micros(now))
	}
	if err != nil {
		return ref, fmt.Errorf("make log stream %s: %w", key.stream, err)
	}
	return ref, nil
}

func makeGroup(conn *dbfile.Conn, g Group, now time.Time) (id int64, err error) {
	id, err = groupID(conn, g)
	if errors.Is(err, ErrNotFound) {
		id, err = conn.Insert(`INSERT INTO groups (account, region, name, created, retention) VALUES (?, ?, ?, ?, 0)`,
			g.Scope.Account, g.Scope.Region, g.Name, micros(now))
	}
	if err != nil {
		return 0, fmt.Errorf("make log group %s: %w", g.Name, err)
	}
	return id, nil
}

// groupID returns the row of a group, or ErrNotFound.
func groupID(conn *dbfile.Conn, g Group) (id int64, err error) {
	err = conn.QueryRow(`SELECT id FROM groups WHERE account = ? AND region = ? AND name = ?`,
		g.Scope.Account, g.Scope.Region, g.Name).Scan(&id)
	if errors.Is(err, store.ErrNotFound) {
		return 0, fmt.Errorf("find log group %s: %w", g.Name, ErrNotFound)
	}
	return id, err
}

// auditRows are how many records one statement writes, as long as there are so many: more
// than half of what a record costs alone is the statement.
const auditRows = 16

const (
	insertAudit = `INSERT INTO audit (time, request_id, account, region, principal, access_key_id, event, source,
		source_ip, user_agent, resources, error_code, error_message, status, read_only, principal_id) VALUES `
	auditRow = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

func writeAudits(conn *dbfile.Conn, records []Record) error {
	many := insertAudit + strings.Repeat(auditRow+", ", auditRows-1) + auditRow
	var args []any
	for len(records) > 0 {
		n, statement := 1, insertAudit+auditRow
		if len(records) >= auditRows {
			n, statement = auditRows, many
		}
		args = args[:0]
		for i := range records[:n] {
			var err error
			if args, err = appendAudit(args, &records[i]); err != nil {
				return err
			}
		}
		if _, err := conn.Exec(statement, args...); err != nil {
			return fmt.Errorf("write audit records: %w", err)
		}
		records = records[n:]
	}
	return nil
}

// appendAudit appends a record's columns.
func appendAudit(args []any, r *Record) ([]any, error) {
	named := make([]string, 0, min(len(r.Resources), maxAuditResources))
	for _, arn := range r.Resources[:cap(named)] {
		named = append(named, clip(arn))
	}
	resources, err := json.Marshal(named)
	if err != nil {
		return nil, fmt.Errorf("encode audit record: %w", err)
	}
	return append(args, micros(r.Time), clip(r.RequestID), clip(r.Scope.Account), clip(r.Scope.Region), clip(r.Principal), clip(r.AccessKeyID),
		clip(r.Event), clip(r.Source), clip(r.SourceIP), clip(r.UserAgent), string(resources), clip(r.ErrorCode), clip(r.ErrorMessage), r.Status, r.ReadOnly, clip(r.PrincipalID)), nil
}

// A caller chooses some of the texts of a record, so each is bounded, and so is
// the number of its resources.
const (
	maxAuditText      = 2048
	maxAuditResources = 100
)

func clip(s string) string { return safeText(s, maxAuditText) }
