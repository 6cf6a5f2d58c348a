package telemetry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite/dbfile"
)

// MaxListed is the most groups or streams of one page.
const MaxListed = 50

// GroupInfo describes a log group.
type GroupInfo struct {
	Name    string
	Created time.Time
	// Retention is how many days events are kept; 0 is the server's default.
	Retention int
	// Bytes is what its events hold.
	Bytes int64
}

// StreamInfo describes a log stream. The times are zero while it has no event.
type StreamInfo struct {
	Name                             string
	Created                          time.Time
	FirstEvent, LastEvent, Ingestion time.Time
	Bytes                            int64
}

// CreateGroup makes a group, or returns ErrExists.
func (d *DB) CreateGroup(ctx context.Context, g Group) error {
	err := d.change(ctx, func(conn *dbfile.Conn) error {
		if _, err := groupID(conn, g); !errors.Is(err, ErrNotFound) {
			return orExists(err)
		}
		_, err := makeGroup(conn, g, d.options.Now())
		return err
	})
	if err != nil {
		return fmt.Errorf("create log group %s: %w", g.Name, err)
	}
	return nil
}

// CreateStream makes a stream, or returns ErrExists, or ErrNotFound when its
// group is not there.
func (d *DB) CreateStream(ctx context.Context, g Group, stream string) error {
	err := d.change(ctx, func(conn *dbfile.Conn) error {
		id, err := groupID(conn, g)
		if err != nil {
			return err
		}
		if _, err := streamID(conn, id, stream); !errors.Is(err, ErrNotFound) {
			return orExists(err)
		}
		_, err = makeStream(conn, streamKey{g, stream}, d.options.Now())
		return err
	})
	if err != nil {
		return fmt.Errorf("create log stream %s: %w", stream, err)
	}
	return nil
}

func orExists(err error) error {
	if err == nil {
		return ErrExists
	}
	return err
}

// SetRetention says how many days a group keeps its events; 0 is the default.
func (d *DB) SetRetention(ctx context.Context, g Group, days int) error {
	err := d.change(ctx, func(conn *dbfile.Conn) error {
		id, err := groupID(conn, g)
		if err != nil {
			return err
		}
		_, err = conn.Exec(`UPDATE groups SET retention = ? WHERE id = ?`, days, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("set retention of log group %s: %w", g.Name, err)
	}
	return nil
}

// DeleteGroup removes a group with its streams. Their space is freed by and by.
func (d *DB) DeleteGroup(ctx context.Context, g Group) error {
	err := d.change(ctx, func(conn *dbfile.Conn) error {
		id, err := groupID(conn, g)
		if err != nil {
			return err
		}
		clear(d.streams)
		if err := discard(conn, `group_id = ?`, id); err != nil {
			return err
		}
		_, err = conn.Exec(`DELETE FROM groups WHERE id = ?`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete log group %s: %w", g.Name, err)
	}
	return nil
}

// DeleteStream removes a stream. Its space is freed by and by.
func (d *DB) DeleteStream(ctx context.Context, g Group, stream string) error {
	err := d.change(ctx, func(conn *dbfile.Conn) error {
		group, err := groupID(conn, g)
		if err != nil {
			return err
		}
		id, err := streamID(conn, group, stream)
		if err != nil {
			return err
		}
		clear(d.streams)
		return discard(conn, `id = ?`, id)
	})
	if err != nil {
		return fmt.Errorf("delete log stream %s: %w", stream, err)
	}
	return nil
}

// discard moves streams to group 0, where Trim removes them.
func discard(conn *dbfile.Conn, where string, arg any) error {
	_, err := conn.Exec(`UPDATE streams SET group_id = 0, name = CAST(id AS TEXT) WHERE `+where, arg)
	return err
}

func streamID(conn *dbfile.Conn, group int64, name string) (id int64, err error) {
	err = conn.QueryRow(`SELECT id FROM streams WHERE group_id = ? AND name = ?`, group, name).Scan(&id)
	if errors.Is(err, store.ErrNotFound) {
		return 0, fmt.Errorf("find log stream %s: %w", name, ErrNotFound)
	}
	return id, err
}

// Groups lists the groups of a scope whose name begins with prefix, by name, and
// returns the token of the next page, empty on the last.
func (d *DB) Groups(ctx context.Context, scope store.Scope, prefix string, limit int, token string) (out []GroupInfo, next string, err error) {
	listing := fmt.Sprintf("groups %q %q", scope, prefix)
	where, args := prefixed("name", prefix)
	args = append([]any{scope.Account, scope.Region}, args...)
	if token != "" {
		after, err := openToken(listing, token)
		if err != nil {
			return nil, "", err
		}
		where, args = where+` AND name > ?`, append(args, string(after))
	}
	limit = listed(limit)
	err = d.read(ctx, func(conn *dbfile.Conn) error {
		return conn.Query(`SELECT name, created, retention,
			(SELECT COALESCE(sum(bytes), 0) FROM streams s WHERE s.group_id = g.id)
			FROM groups g WHERE account = ? AND region = ?`+where+` ORDER BY name LIMIT ?`,
			append(args, limit+1), func(scan func(...any) error) error {
				var g GroupInfo
				var created int64
				if err := scan(&g.Name, &created, &g.Retention, &g.Bytes); err != nil {
					return err
				}
				g.Created = instant(created)
				out = append(out, g)
				return nil
			})
	})
	if err != nil {
		return nil, "", fmt.Errorf("list log groups: %w", err)
	}
	if len(out) > limit {
		out = out[:limit]
		next = sealToken(listing, []byte(out[limit-1].Name))
	}
	return out, next, nil
}

// StreamQuery asks for the streams of a group.
type StreamQuery struct {
	Group  Group
	Prefix string
	// Recent puts the stream with the latest event first; otherwise they come by
	// name.
	Recent bool
	// Limit is at most MaxListed, which is also the default.
	Limit int
	Token string
}

// ListStreams lists the streams of a group and returns the token of the next
// page, empty on the last. It is ErrNotFound when the group is not there.
func (d *DB) ListStreams(ctx context.Context, q StreamQuery) (out []StreamInfo, next string, err error) {
	listing := fmt.Sprintf("streams %s %q %t", q.Group, q.Prefix, q.Recent)
	where, args := prefixed("name", q.Prefix)
	order := ` ORDER BY name`
	if q.Recent {
		order = ` ORDER BY last_event DESC, name DESC`
	}
	if q.Token != "" {
		after, name, err := openStreamToken(listing, q.Token)
		if err != nil {
			return nil, "", err
		}
		if q.Recent {
			where, args = where+` AND (last_event, name) < (?, ?)`, append(args, after, name)
		} else {
			where, args = where+` AND name > ?`, append(args, name)
		}
	}
	limit := listed(q.Limit)
	err = d.read(ctx, func(conn *dbfile.Conn) error {
		id, err := groupID(conn, q.Group)
		if err != nil {
			return err
		}
		return conn.Query(`SELECT name, created, first_event, last_event, last_ingested, bytes FROM streams WHERE group_id = ?`+
			where+order+` LIMIT ?`, append(append([]any{id}, args...), limit+1), func(scan func(...any) error) error {
			s, err := scanStream(scan)
			out = append(out, s)
			return err
		})
	})
	if err != nil {
		return nil, "", fmt.Errorf("list log streams of %s: %w", q.Group.Name, err)
	}
	if len(out) > limit {
		out = out[:limit]
		last := out[limit-1]
		next = sealToken(listing, append(binary.BigEndian.AppendUint64(nil, uint64(unset(last.LastEvent))), last.Name...))
	}
	return out, next, nil
}

func scanStream(scan func(...any) error) (s StreamInfo, err error) {
	var created, first, last, ingested int64
	err = scan(&s.Name, &created, &first, &last, &ingested, &s.Bytes)
	s.Created = instant(created)
	for _, t := range []struct {
		into *time.Time
		us   int64
	}{{&s.FirstEvent, first}, {&s.LastEvent, last}, {&s.Ingestion, ingested}} {
		if t.us != 0 {
			*t.into = instant(t.us)
		}
	}
	return s, err
}

func unset(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return micros(at)
}

// openStreamToken opens a token of the last event's time and the name.
func openStreamToken(listing, token string) (last int64, name string, err error) {
	b, err := openToken(listing, token)
	if err == nil && len(b) < 8 {
		err = fmt.Errorf("open page token: %w", ErrBadToken)
	}
	if err != nil {
		return 0, "", err
	}
	return int64(binary.BigEndian.Uint64(b)), string(b[8:]), nil
}

func listed(limit int) int {
	if limit <= 0 || limit > MaxListed {
		return MaxListed
	}
	return limit
}
