// Package sqlite implements the store in one SQLite file.
//
// One connection writes, in WAL mode with synchronous=FULL: an acknowledged
// write survives kill -9, and a power failure on a disk that honours fsync.
// Updates that arrive together share a commit, and so one fsync; see group.
// Readers have connections and snapshots of their own and wait for nobody.
package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite/dbfile"
)

// applicationID is "OUTC" in the file's header.
const applicationID = 0x4f555443

//go:embed schema/*.sql
var schema embed.FS

// Options are the seams of a store; the zero value is good.
type Options struct {
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Reserve is how many bytes of the disk are kept, in a file beside the
	// store's, for Updates that make room (store.Freeing); 0 is none.
	Reserve int64
}

// Store is a store in one SQLite file.
type Store struct {
	file    *dbfile.File
	now     func() time.Time
	reserve *reserve
	turn    turn
	group   *group // the open commit group; guarded by turn
	topics  store.Topics

	views  sync.WaitGroup
	mu     sync.Mutex
	closed bool
}

var _ store.Store = (*Store)(nil)

// Open opens or creates the store at path and brings its schema up to date. The
// file and those beside it are readable by their owner only. It fails with
// store.ErrInUse, store.ErrForeign or store.ErrNewer where the file must not be
// touched.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	migrations, err := fs.Sub(schema, "schema")
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	config := dbfile.Config{ApplicationID: applicationID, Migrations: migrations, Synchronous: dbfile.Full}
	file, err := dbfile.Open(ctx, path, config)
	if errors.Is(err, store.ErrFull) && o.Reserve > 0 && os.Truncate(path+".reserve", 0) == nil {
		file, err = dbfile.Open(ctx, path, config) // its log and shared memory need room too
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	reserve, err := openReserve(path+".reserve", o.Reserve, o.Now)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), file.Close())
	}
	return &Store{file: file, now: o.Now, reserve: reserve}, nil
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Reader) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	s.views.Add(1)
	s.mu.Unlock()
	defer s.views.Done()

	conn, err := s.file.Reader(ctx)
	if err != nil {
		return fmt.Errorf("begin view: %w", err)
	}
	defer s.file.Release(conn)
	if _, err := conn.Exec("BEGIN"); err != nil {
		return fmt.Errorf("begin view: %w", err)
	}
	t := s.newTx(ctx, conn)
	defer func() {
		t.done = true
		// A read transaction has nothing to lose: how it ends does not matter.
		_, _ = conn.Exec("ROLLBACK")
	}()
	if err := fn(t); err != nil {
		return err
	}
	return t.failed
}

// Changed implements store.Store.
func (s *Store) Changed(topic store.Topic) <-chan struct{} { return s.topics.Changed(topic) }

// Watch implements store.Store.
func (s *Store) Watch(topic store.Topic) store.Watch { return s.topics.Watch(topic) }

// Backup writes a consistent copy to path, which must not exist, while the store
// is in use.
func (s *Store) Backup(ctx context.Context, path string) error { return s.file.Backup(ctx, path) }

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.views.Wait()
	// The turn is taken for good: who comes later is told that it is closed.
	s.turn.close()
	if s.group != nil {
		s.finish(s.group) // it was handed to us as the last in the queue
	}
	return s.file.Close()
}
