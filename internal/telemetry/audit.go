package telemetry

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
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
	// AllRegions asks for the whole account's.
	AllRegions bool
	// From is the earliest time, To the first that is left out.
	From, To time.Time

	RequestID, Principal, AccessKeyID string
	Event, Source, ErrorCode          string
	// Resource is one of a record's resources, ResourceName one or the end of one: what
	// follows a colon or a slash in it.
	Resource, ResourceName string
	// Username is the end of the principal's ARN: a user's name, a role session's, or
	// root.
	Username string
	// Sources are several, of which one is wanted; NotEvent is an event that is not.
	Sources  []string
	NotEvent string
	ReadOnly *bool
	// Failed asks for calls that were refused, or for those that were not.
	Failed *bool

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
		return conn.Query(selectRecords+where+` AND (time, id) < (?, ?) ORDER BY time DESC, id DESC LIMIT ?`,
			append(args, start.time, start.id, limit+1),
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

// RecordsAfter returns records that were stored after cursor, in the order in which
// they were, and the cursor to go on from. A cursor of -1 gives none, and the newest
// place. See AuditChanged for when to call it again.
func (d *DB) RecordsAfter(ctx context.Context, q AuditQuery, cursor int64) (out []Record, next int64, err error) {
	where, args := q.where()
	limit := min(cmp.Or(max(q.Limit, 0), MaxRecords), MaxRecords)
	err = d.read(ctx, func(conn *dbfile.Conn) error {
		if err := conn.QueryRow(`SELECT COALESCE(max(id), 0) FROM audit`).Scan(&next); err != nil || cursor < 0 || next <= cursor {
			return err
		}
		last := int64(0)
		err := conn.Query(selectRecords+where+` AND id > ? AND id <= ? ORDER BY id LIMIT ?`, append(args, cursor, next, limit), func(scan func(...any) error) error {
			r, at, err := scanRecord(scan)
			out, last = append(out, r), at.id
			return err
		})
		if len(out) == limit {
			next = last
		}
		return err
	})
	if err != nil {
		return nil, cursor, fmt.Errorf("follow audit records: %w", err)
	}
	return out, max(next, cursor), nil
}

const selectRecords = `SELECT id, time, request_id, account, region, principal, access_key_id, event, source,
	source_ip, user_agent, resources, error_code, error_message, status, read_only, principal_id FROM audit WHERE `

// where is the condition of a query, with its arguments.
func (q AuditQuery) where() (where string, args []any) {
	where, args = "account = ?", []any{q.Scope.Account}
	and := func(condition string, arg ...any) { where, args = where+" AND "+condition, append(args, arg...) }
	if !q.AllRegions {
		and("region = ?", q.Scope.Region)
	}
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
	if q.ResourceName != "" {
		and(`EXISTS (SELECT 1 FROM json_each(resources) WHERE value = ? OR substr(value, -length(?) - 1) IN (':' || ?, '/' || ?))`,
			q.ResourceName, q.ResourceName, q.ResourceName, q.ResourceName)
	}
	if q.Username != "" {
		and(`substr(principal, -length(?) - 1) IN (':' || ?, '/' || ?, '#' || ?)`, q.Username, q.Username, q.Username, q.Username)
	}
	if len(q.Sources) > 0 {
		in := make([]any, len(q.Sources))
		for i, s := range q.Sources {
			in[i] = s
		}
		and("source IN ("+strings.TrimSuffix(strings.Repeat("?,", len(in)), ",")+")", in...)
	}
	if q.NotEvent != "" {
		and("event <> ?", q.NotEvent)
	}
	if q.Failed != nil {
		and("(error_code <> '') = ?", *q.Failed)
	}
	if q.ReadOnly != nil {
		and("read_only = ?", *q.ReadOnly)
	}
	return where, args
}

func scanRecord(scan func(...any) error) (r Record, at place, err error) {
	var resources string
	err = scan(&at.id, &at.time, &r.RequestID, &r.Scope.Account, &r.Scope.Region, &r.Principal, &r.AccessKeyID, &r.Event,
		&r.Source, &r.SourceIP, &r.UserAgent, &resources, &r.ErrorCode, &r.ErrorMessage, &r.Status, &r.ReadOnly, &r.PrincipalID)
	if err == nil {
		err = json.Unmarshal([]byte(resources), &r.Resources)
	}
	r.Time = instant(at.time)
	return r, at, err
}
