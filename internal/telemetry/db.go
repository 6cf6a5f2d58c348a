package telemetry

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite/dbfile"
)

// applicationID is "OUTT" in the file's header.
const applicationID = 0x4f555454

// FlushEvery is the longest that an event or record waits in memory while Run is
// running.
const FlushEvery = 50 * time.Millisecond

// retryEvery is the pause after a write that failed, for a full disk stays full
// for a while.
const retryEvery = time.Second

//go:embed schema/*.sql
var schema embed.FS

// Options are the limits and seams of the database; the zero value is good.
type Options struct {
	// LogAge is how long log events are kept in groups that say nothing else;
	// 0 is 30 days.
	LogAge time.Duration
	// LogBytes is the most that all log events may hold, 0 is 1 GiB; beyond it
	// the oldest of the largest group go first.
	LogBytes int64
	// AuditAge is how long audit records are kept; 0 is 90 days.
	AuditAge time.Duration
	// AuditRecords is the most that are kept; 0 is a million. Half of them may be of
	// calls that nobody signed (sign-ins to user pools, and calls with a token):
	// anybody can make such calls, too.
	AuditRecords int64
	// StrangerRecords is how many of them may be of calls by nobody who is
	// known, the newest; 0 is 10,000. Anybody can make such calls, who must not
	// push out what others have done.
	StrangerRecords int64
	// TrimEvery is how often both are enforced; 0 is a minute.
	TrimEvery time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log hears of batches that could not be written; nil is silent.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	const day = 24 * time.Hour
	if o.LogAge <= 0 {
		o.LogAge = 30 * day
	}
	if o.LogBytes <= 0 {
		o.LogBytes = 1 << 30
	}
	if o.AuditAge <= 0 {
		o.AuditAge = 90 * day
	}
	if o.AuditRecords <= 0 {
		o.AuditRecords = 1_000_000
	}
	if o.StrangerRecords <= 0 {
		o.StrangerRecords = 10_000
	}
	if o.TrimEvery <= 0 {
		o.TrimEvery = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// DB is the telemetry database. It is safe for concurrent use.
type DB struct {
	file    *dbfile.File
	options Options
	queue   *queue
	topics  store.Topics

	// writing guards the file's writer, streams and closed. It is locked before
	// the queue's own lock.
	writing sync.Mutex
	// streams remembers the rows of streams that were written to.
	streams map[streamKey]streamRef
	closed  bool
}

type streamRef struct {
	id, group int64
}

// Open opens or creates the database at path. Run must be started for events to
// be written in time.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	migrations, err := fs.Sub(schema, "schema")
	if err != nil {
		return nil, fmt.Errorf("open telemetry: %w", err)
	}
	file, err := dbfile.Open(ctx, path, dbfile.Config{
		ApplicationID: applicationID,
		Migrations:    migrations,
		Synchronous:   dbfile.Normal,
		Shrink:        true,
	})
	if err != nil {
		return nil, fmt.Errorf("open telemetry: %w", err)
	}
	return &DB{file: file, options: o.withDefaults(), queue: newQueue(), streams: map[streamKey]streamRef{}}, nil
}

// Run writes what is queued and removes what is too old, until ctx ends; then it
// writes the rest. A batch that cannot be written is logged, and tried again as
// far as audit records go.
func (d *DB) Run(ctx context.Context) error {
	trim := time.NewTicker(d.options.TrimEvery)
	defer trim.Stop()
	for {
		select {
		case <-ctx.Done():
			// The end of ctx must not stop the last batch.
			return d.Flush(context.WithoutCancel(ctx))
		case <-trim.C:
			if err := d.Trim(ctx); err != nil && ctx.Err() == nil {
				d.options.Log.Error("trim telemetry", "error", err)
			}
			continue
		case <-d.queue.wake:
		}
		// The first event after a pause is written at once, later ones together.
		pause := FlushEvery
		if err := d.Flush(ctx); err != nil && ctx.Err() == nil {
			d.options.Log.Error("write telemetry", "error", err)
			d.queue.notify()
			pause = retryEvery
		}
		select {
		case <-time.After(pause):
		case <-d.queue.pressed:
		case <-ctx.Done():
		}
	}
}

// Append queues one log event; group and stream come to be when it is written.
// It never waits. A message is cut to MaxMessage bytes and made valid UTF-8; an
// empty one is left out, as CloudWatch Logs has none. A zero time is now.
func (d *DB) Append(group Group, stream string, at time.Time, message string) {
	if at.IsZero() {
		at = d.options.Now()
	}
	if message = safeText(message, MaxMessage); message != "" {
		d.queue.push(queuedEvent{key: streamKey{group, stream}, at: at, message: message})
	}
}

// Wait waits while a stream has more than 2 MiB in the queue, at most for the time
// given. A writer that can wait, and does between its events, loses none of them
// as long as the disk keeps up.
func (d *DB) Wait(group Group, stream string, most time.Duration) {
	taken := d.queue.full(streamKey{group, stream})
	if taken == nil {
		return
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-taken:
	case <-timer.C:
	}
}

// Dropped is how many log events were dropped since the start.
func (d *DB) Dropped() int64 {
	d.queue.mu.Lock()
	defer d.queue.mu.Unlock()
	return d.queue.dropped
}

// Audit queues the record of a call. It waits only while the queue is full. With
// an error the record is lost: there is no room for it, and none can be made.
func (d *DB) Audit(ctx context.Context, r Record) error {
	_, room, err := d.pushAudit(ctx, r, false)
	if err != nil {
		return fmt.Errorf("audit %s %s: %w", r.Event, r.RequestID, err)
	}
	if !room {
		_ = d.Flush(ctx) // it is queued all the same, and Run says what fails
	}
	return nil
}

// AuditDurable returns when the record is on the disk. After an error the call
// must not answer with its secret.
func (d *DB) AuditDurable(ctx context.Context, r Record) error {
	number, _, err := d.pushAudit(ctx, r, true)
	if err == nil {
		err = d.flush(ctx, number)
	}
	if err != nil {
		return fmt.Errorf("audit %s %s: %w", r.Event, r.RequestID, err)
	}
	return nil
}

// pushAudit queues a record, and makes room first where there is none at all.
func (d *DB) pushAudit(ctx context.Context, r Record, durable bool) (number int64, room bool, err error) {
	number, room, err = d.queue.pushAudit(r, durable)
	if !errors.Is(err, errAuditsFull) {
		return number, room, err
	}
	if err := d.Flush(ctx); err != nil {
		return 0, false, err
	}
	return d.queue.pushAudit(r, durable)
}

// Flush writes everything that was queued before the call.
func (d *DB) Flush(ctx context.Context) error { return d.flush(ctx, 0) }

// flush writes the queue, unless the audit record of that number (0 for none) is
// on the disk already: callers who wait for each other share one write.
func (d *DB) flush(ctx context.Context, durable int64) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	if durable > 0 && d.queue.isDurable(durable) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.closed {
		return ErrClosed
	}
	b := d.queue.take()
	if len(b.events)+len(b.audits)+len(b.dropped) == 0 {
		return nil
	}
	groups, err := d.write(b)
	if err != nil {
		clear(d.streams) // some may have been rolled back
		d.queue.restore(b)
		return err
	}
	d.queue.confirm(b)
	for group := range groups {
		d.topics.Wake(groupTopic(group))
	}
	if len(b.audits) > 0 {
		d.topics.Wake(auditTopic)
	}
	return nil
}

// transact runs fn in a transaction of the writer, which the caller has locked.
func (d *DB) transact(durable bool, fn func(*dbfile.Conn) error) (err error) {
	conn := d.file.Writer()
	if durable {
		// In this mode the commit waits for the disk, and takes every commit
		// before it along.
		if err := conn.Script("PRAGMA synchronous = FULL"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, conn.Script("PRAGMA synchronous = NORMAL")) }()
	}
	if _, err := conn.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err = fn(conn)
	if err == nil {
		_, err = conn.Exec("COMMIT")
	}
	if err != nil {
		_, _ = conn.Exec("ROLLBACK") // fails when SQLite has done so
	}
	return err
}

// change runs fn in a transaction of its own.
func (d *DB) change(ctx context.Context, fn func(*dbfile.Conn) error) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.closed {
		return ErrClosed
	}
	return d.transact(false, fn)
}

// read runs fn on a snapshot.
func (d *DB) read(ctx context.Context, fn func(*dbfile.Conn) error) error {
	conn, err := d.file.Reader(ctx)
	if errors.Is(err, store.ErrClosed) {
		return ErrClosed
	}
	if err != nil {
		return err
	}
	defer d.file.Release(conn)
	if _, err := conn.Exec("BEGIN"); err != nil {
		return err
	}
	defer func() { _, _ = conn.Exec("ROLLBACK") }()
	return fn(conn)
}

// Changed returns a channel that is closed after the next event of group has
// been stored; see store.Store.Changed for how to use it.
func (d *DB) Changed(group Group) <-chan struct{} { return d.topics.Changed(groupTopic(group)) }

// AuditChanged returns a channel that is closed after the next audit record has been
// stored, of any account.
func (d *DB) AuditChanged() <-chan struct{} { return d.topics.Changed(auditTopic) }

// auditTopic is no group's: those begin with an account.
const auditTopic store.Topic = "audit"

func groupTopic(g Group) store.Topic { return store.Topic(g.String()) }

// Backup writes a consistent copy to path, which must not exist.
func (d *DB) Backup(ctx context.Context, path string) error {
	if err := d.Flush(ctx); err != nil {
		return err
	}
	return d.file.Backup(ctx, path)
}

// Close writes what is queued and closes the file. Run has ended before.
func (d *DB) Close() error {
	d.queue.close()
	err := d.Flush(context.Background())
	if errors.Is(err, ErrClosed) {
		return nil
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	d.closed = true
	return errors.Join(err, d.file.Close())
}

func micros(at time.Time) int64 { return at.UnixMicro() }

func instant(us int64) time.Time { return time.UnixMicro(us).UTC() }
