package telemetry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite/dbfile"
)

// The bounds of one page, those of CloudWatch Logs (10,000 events or 1 MiB), and
// of what a page that matches little reads.
const (
	MaxEvents    = 10_000
	maxPageBytes = 1 << 20
	maxScanned   = 50_000
)

var errEnough = errors.New("the page is full")

// Streams chooses streams of a group. The zero value is all of them.
type Streams struct {
	// Names are at most 100 names of streams.
	Names []string
	// Prefix is what a stream's name begins with; it counts when Names is empty.
	Prefix string
}

// where is the condition on events e.
func (s Streams) where(group int64) (string, []any) {
	switch {
	case len(s.Names) == 1:
		return ` AND e.stream_id = (SELECT id FROM streams WHERE group_id = ? AND name = ?)`, []any{group, s.Names[0]}
	case len(s.Names) > 1:
		args := []any{group}
		for _, name := range s.Names {
			args = append(args, name)
		}
		in := strings.TrimSuffix(strings.Repeat("?,", len(s.Names)), ",")
		return ` AND e.stream_id IN (SELECT id FROM streams WHERE group_id = ? AND name IN (` + in + `))`, args
	case s.Prefix != "":
		within, args := prefixed("name", s.Prefix)
		return ` AND e.stream_id IN (SELECT id FROM streams WHERE group_id = ?` + within + `)`, append([]any{group}, args...)
	}
	return "", nil
}

// prefixed is the condition that column begins with prefix.
func prefixed(column, prefix string) (string, []any) {
	where, args := ` AND `+column+` >= ?`, []any{prefix}
	if end := store.PrefixEnd([]byte(prefix)); end != nil {
		where, args = where+` AND `+column+` < CAST(? AS TEXT)`, append(args, end)
	}
	return where, args
}

// Query asks for log events in the order of their time.
type Query struct {
	Group   Group
	Streams Streams
	// From is the earliest time, To the first that is left out; zero is open.
	From, To time.Time
	// Match says which messages are wanted; nil is all.
	Match func(message string) bool
	// Limit is the most events of a page; 0 is MaxEvents. A page also ends at
	// 1 MiB of messages.
	Limit int
	// Scan is the most events that one page looks at; 0 is 50,000.
	Scan int
	// Token is EventPage.Newer or EventPage.Older of another page of the same
	// group and streams; empty is the first page.
	Token string
	// Latest makes the first page the newest events instead of the oldest.
	Latest bool
}

// EventPage is one page, oldest event first.
type EventPage struct {
	Events []Event
	// Newer and Older continue after the last and before the first event. They
	// are never empty, and a token that finds nothing comes back as it was,
	// which is how GetLogEvents says that there is no more for now.
	Newer, Older string
	// More says that the page ended at a limit, so that the next one in the same
	// direction may have events. A page that matches little can be empty and
	// have more (FilterLogEvents).
	More bool
}

// The first byte of a token says which way it goes, as in CloudWatch Logs.
const (
	forward  = "f/"
	backward = "b/"
)

// Events returns a page of events, or ErrNotFound when the group is not there.
func (d *DB) Events(ctx context.Context, q Query) (EventPage, error) {
	if q.Limit <= 0 || q.Limit > MaxEvents {
		q.Limit = MaxEvents
	}
	if q.Scan <= 0 {
		q.Scan = maxScanned
	}
	s, err := newScan(q)
	if err != nil {
		return EventPage{}, err
	}
	err = d.read(ctx, func(conn *dbfile.Conn) error {
		id, err := groupID(conn, q.Group)
		if err != nil {
			return err
		}
		return s.run(ctx, conn, id)
	})
	if err != nil {
		return EventPage{}, fmt.Errorf("read log events of %s: %w", q.Group.Name, err)
	}
	return s.page(), nil
}

// scan reads one page.
type scan struct {
	q       Query
	listing string
	back    bool
	start   place // exclusive
	events  []Event
	bytes   int
	scanned int
	end     place // of what was looked at
	more    bool
}

func newScan(q Query) (*scan, error) {
	s := &scan{q: q, listing: fmt.Sprintf("%s %q %q", q.Group, q.Streams.Names, q.Streams.Prefix)}
	token := q.Token
	switch {
	case strings.HasPrefix(token, forward):
		token = token[len(forward):]
	case strings.HasPrefix(token, backward):
		token, s.back = token[len(backward):], true
	case token != "":
		return nil, fmt.Errorf("open page token: %w", ErrBadToken)
	default:
		s.back = q.Latest
		s.start = place{time: math.MinInt64}
		if s.back {
			s.start = place{time: math.MaxInt64, id: math.MaxInt64}
		}
		s.end = s.start
		return s, nil
	}
	var err error
	s.start, err = openPlace(s.listing, token)
	s.end = s.start
	return s, err
}

func (s *scan) run(ctx context.Context, conn *dbfile.Conn, group int64) error {
	within, args := s.q.Streams.where(group)
	args = append([]any{group}, args...)
	query := `SELECT e.id, s.name, e.time, e.ingested, e.message FROM events e JOIN streams s ON s.id = e.stream_id
		WHERE e.group_id = ? AND s.group_id = e.group_id` + within
	if !s.q.From.IsZero() {
		query, args = query+` AND e.time >= ?`, append(args, micros(s.q.From))
	}
	if !s.q.To.IsZero() {
		query, args = query+` AND e.time < ?`, append(args, micros(s.q.To))
	}
	if s.back {
		query += ` AND (e.time, e.id) < (?, ?) ORDER BY e.time DESC, e.id DESC`
	} else {
		query += ` AND (e.time, e.id) > (?, ?) ORDER BY e.time, e.id`
	}
	args = append(args, s.start.time, s.start.id)
	err := conn.Query(query, args, func(scan func(...any) error) error {
		if s.scanned%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		e, err := scanEvent(scan)
		if err != nil {
			return err
		}
		return s.add(e)
	})
	if errors.Is(err, errEnough) {
		s.more = true
		return nil
	}
	return err
}

// add looks at one event.
func (s *scan) add(e Event) error {
	wanted := s.q.Match == nil || s.q.Match(e.Message)
	if s.scanned >= s.q.Scan || wanted && (len(s.events) >= s.q.Limit || len(s.events) > 0 && s.bytes+len(e.Message) > maxPageBytes) {
		return errEnough
	}
	s.scanned++
	s.end = place{micros(e.Time), e.ID}
	if wanted {
		s.events = append(s.events, e)
		s.bytes += len(e.Message)
	}
	return nil
}

func (s *scan) page() EventPage {
	oldest, newest := s.start, s.end
	if s.back {
		slices.Reverse(s.events)
		oldest, newest = s.end, s.start
	}
	// What is on the side we came from begins at the first event itself.
	if len(s.events) > 0 {
		first, last := s.events[0], s.events[len(s.events)-1]
		if s.back {
			newest = place{micros(last.Time), last.ID}
		} else {
			oldest = place{micros(first.Time), first.ID}
		}
	}
	return EventPage{Events: s.events, More: s.more,
		Newer: forward + newest.token(s.listing), Older: backward + oldest.token(s.listing)}
}

func scanEvent(scan func(...any) error) (e Event, err error) {
	var at, ingested int64
	err = scan(&e.ID, &e.Stream, &at, &ingested, &e.Message)
	e.Time, e.Ingested = instant(at), instant(ingested)
	return e, err
}

// Last is the cursor of the newest stored event of any group: Tail from there
// gives what comes.
func (d *DB) Last(ctx context.Context) (cursor int64, err error) {
	err = d.read(ctx, func(conn *dbfile.Conn) error {
		cursor, err = lastEvent(conn)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("find last log event: %w", err)
	}
	return cursor, nil
}

func lastEvent(conn *dbfile.Conn) (id int64, err error) {
	err = conn.QueryRow(`SELECT COALESCE(max(id), 0) FROM events`).Scan(&id)
	return id, err
}

// Tail returns at most limit events that were stored after cursor, in the order
// in which they were, and the cursor to go on from. Late events with old times
// are among them, so following never misses one. A group that is not there has
// none. See Changed for when to call it again.
func (d *DB) Tail(ctx context.Context, group Group, streams Streams, cursor int64, limit int) (events []Event, next int64, err error) {
	next = cursor
	if limit <= 0 || limit > MaxEvents {
		limit = MaxEvents
	}
	err = d.read(ctx, func(conn *dbfile.Conn) error {
		last, err := lastEvent(conn)
		if err != nil || last <= cursor {
			return err
		}
		id, err := groupID(conn, group)
		if errors.Is(err, ErrNotFound) {
			next = last
			return nil
		}
		if err != nil {
			return err
		}
		within, args := streams.where(id)
		err = conn.Query(`SELECT e.id, s.name, e.time, e.ingested, e.message FROM events e JOIN streams s ON s.id = e.stream_id
			WHERE e.id > ? AND e.id <= ? AND +e.group_id = ? AND s.group_id = e.group_id`+within+` ORDER BY e.id LIMIT ?`,
			append(append([]any{cursor, last, id}, args...), limit), func(scan func(...any) error) error {
				e, err := scanEvent(scan)
				events = append(events, e)
				return err
			})
		if len(events) == limit {
			last = events[limit-1].ID
		}
		next = last
		return err
	})
	if err != nil {
		return nil, cursor, fmt.Errorf("follow log events of %s: %w", group.Name, err)
	}
	return events, next, nil
}
