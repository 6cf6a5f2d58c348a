package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite/dbfile"
)

// MaxRecords is the most records of one page.
const MaxRecords = 1000

// AuditQuery asks for audit records, the newest first. An empty member asks for
// nothing in particular.
type AuditQuery struct {
	Scope store.Scope
	// From is the earliest time, To the first that is left out.
	From, To time.Time

	RequestID, Principal, AccessKeyID string
	Event, Source, ErrorCode          string
	// Resource is one of a record's resources.
	Resource string
	ReadOnly *bool

	// Limit is at most MaxRecords; 0 is 50.
	Limit int
	Token string
}

// Records returns one page, and the token of the next, empty on the last.
// Records still in the queue are not among them; Flush writes them.
func (d *DB) Records(ctx context.Context, q AuditQuery) (out []Record, next string, err error) {
	where, args := q.where()
	listing := fmt.Sprint("audit ", where, args)
	start := place{math.MaxInt64, math.MaxInt64}
	if q.Token != "" {
		if start, err = openPlace(listing, q.Token); err != nil {
			return nil, "", err
		}
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, MaxRecords)
	var places []place
	err = d.read(ctx, func(conn *dbfile.Conn) error {
		return conn.Query(`SELECT id, time, request_id, account, region, principal, access_key_id, event, source,
			source_ip, user_agent, resources, error_code, status, read_only FROM audit
			WHERE account = ? AND region = ?`+where+` AND (time, id) < (?, ?) ORDER BY time DESC, id DESC LIMIT ?`,
			append(append([]any{q.Scope.Account, q.Scope.Region}, args...), start.time, start.id, limit+1),
			func(scan func(...any) error) error {
				r, at, err := scanRecord(scan)
				out, places = append(out, r), append(places, at)
				return err
			})
	})
	if err != nil {
		return nil, "", fmt.Errorf("read audit records: %w", err)
	}
	if len(out) > limit {
		out = out[:limit]
		next = places[limit-1].token(listing)
	}
	return out, next, nil
}

func (q AuditQuery) where() (where string, args []any) {
	and := func(condition string, arg any) { where, args = where+" AND "+condition, append(args, arg) }
	for _, c := range []struct{ column, value string }{
		{"request_id", q.RequestID}, {"principal", q.Principal}, {"access_key_id", q.AccessKeyID},
		{"event", q.Event}, {"source", q.Source}, {"error_code", q.ErrorCode},
	} {
		if c.value != "" {
			and(c.column+" = ?", c.value)
		}
	}
	if !q.From.IsZero() {
		and("time >= ?", micros(q.From))
	}
	if !q.To.IsZero() {
		and("time < ?", micros(q.To))
	}
	if q.Resource != "" {
		and("EXISTS (SELECT 1 FROM json_each(resources) WHERE value = ?)", q.Resource)
	}
	if q.ReadOnly != nil {
		and("read_only = ?", *q.ReadOnly)
	}
	return where, args
}

func scanRecord(scan func(...any) error) (r Record, at place, err error) {
	var resources string
	err = scan(&at.id, &at.time, &r.RequestID, &r.Scope.Account, &r.Scope.Region, &r.Principal, &r.AccessKeyID, &r.Event,
		&r.Source, &r.SourceIP, &r.UserAgent, &resources, &r.ErrorCode, &r.Status, &r.ReadOnly)
	if err == nil {
		err = json.Unmarshal([]byte(resources), &r.Resources)
	}
	r.Time = instant(at.time)
	return r, at, err
}
