// Package dbfile opens one SQLite file the way Outcrop keeps its data: locked to
// one process, readable by its owner only, in WAL mode, and brought to the
// newest schema by numbered migrations. The store and the telemetry each have a
// file of their own and share nothing but this.
package dbfile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"modernc.org/sqlite"

	"github.com/outcrop/outcrop/internal/store"
)

// Synchronous says what a commit waits for.
type Synchronous string

const (
	// Full waits until the log is on the disk: a commit survives a power failure.
	Full Synchronous = "FULL"
	// Normal leaves the log to the system: a commit survives kill -9, and a
	// power failure may lose the last ones but damages nothing.
	Normal Synchronous = "NORMAL"
)

// Config describes a file.
type Config struct {
	// ApplicationID marks the file as one of ours (sqlite.org/pragma.html#pragma_application_id).
	ApplicationID int32
	// Migrations holds 001_name.sql, 002_name.sql and so on without a gap. The
	// number of the last one applied is the file's user_version.
	Migrations fs.FS
	// Synchronous is the mode of the writer.
	Synchronous Synchronous
	// Readers is the largest number of connections that read; 0 is 4.
	Readers int
	// Shrink lets the file give space back (incremental_vacuum). It counts only
	// when the file is created.
	Shrink bool
}

// File is an open SQLite file with one connection that writes and some that read.
type File struct {
	path    string
	lock    *os.File
	pool    *sql.DB
	writer  *Conn
	readers chan *Conn // the idle ones
	slots   chan struct{}

	mu     sync.Mutex
	closed bool
}

// The cache of each connection, in KiB: the writer's holds what a burst changes.
const (
	writerCache = 8 << 10
	readerCache = 2 << 10
)

// Open opens or creates the file at path and migrates it. It is store.ErrInUse
// when another process has it, store.ErrForeign when it is not ours, and
// store.ErrNewer when a newer program wrote it; none of these changes the file.
func Open(ctx context.Context, path string, c Config) (_ *File, err error) {
	if c.Readers <= 0 {
		c.Readers = 4
	}
	migrations, err := loadMigrations(c.Migrations)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	f := &File{path: path, lock: lock, readers: make(chan *Conn, c.Readers), slots: make(chan struct{}, c.Readers)}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	if err := touch(path); err != nil {
		return nil, err
	}
	connector, err := sqlite.NewConnector(dsn(path))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f.pool = sql.OpenDB(connector)
	if f.writer, err = f.connect(ctx); err != nil {
		return nil, err
	}
	if err := f.prepare(c, migrations); err != nil {
		return nil, err
	}
	return f, nil
}

// dsn quotes path, so that no name of a directory is taken for a parameter.
func dsn(path string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "_dqs=0&_defensive=1"}
	if !filepath.IsAbs(path) {
		u = url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: u.RawQuery}
	}
	return u.String()
}

// touch creates the file for its owner only; SQLite gives the log and the shared
// memory beside it the same mode.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	return f.Close()
}

// prepare checks that the file is ours before anything is written to it.
func (f *File) prepare(c Config, migrations []migration) error {
	w := f.writer
	// The order matters: nothing of a foreign file may be touched, and
	// auto_vacuum only counts before the first table.
	if _, err := w.Exec("PRAGMA busy_timeout = 5000"); err != nil {
		return err
	}
	version, err := f.identify(c.ApplicationID, len(migrations))
	if err != nil {
		return err
	}
	if version == 0 && c.Shrink {
		if _, err := w.Exec("PRAGMA auto_vacuum = INCREMENTAL"); err != nil {
			return err
		}
	}
	for _, pragma := range []string{
		"journal_mode = WAL",
		"synchronous = " + string(c.Synchronous),
		"foreign_keys = ON",
		"trusted_schema = OFF",
		"temp_store = MEMORY",
		"journal_size_limit = 67108864",
		fmt.Sprintf("cache_size = -%d", writerCache),
	} {
		if _, err := w.Exec("PRAGMA " + pragma); err != nil {
			return fmt.Errorf("open %s: set %s: %w", f.path, pragma, err)
		}
	}
	return f.migrate(c.ApplicationID, version, migrations)
}

// identify returns the schema version of a file that is ours or empty.
func (f *File) identify(want int32, newest int) (int, error) {
	var application, version, tables int64
	err := f.writer.QueryRow(
		`SELECT a.application_id, v.user_version, (SELECT count(*) FROM sqlite_schema)
		 FROM pragma_application_id a, pragma_user_version v`).Scan(&application, &version, &tables)
	switch {
	case errors.Is(err, store.ErrForeign):
		return 0, &fs.PathError{Op: "open", Path: f.path, Err: err}
	case err != nil:
		return 0, fmt.Errorf("open %s: read header: %w", f.path, err)
	case application != int64(want) && (application != 0 || tables != 0 || version != 0):
		return 0, &fs.PathError{Op: "open", Path: f.path, Err: fmt.Errorf("application id is %#x, not %#x: %w", application, want, store.ErrForeign)}
	case version > int64(newest):
		return 0, fmt.Errorf("open %s: its schema has version %d and this program knows %d; start the newer version again, or restore a backup made before the upgrade: %w",
			f.path, version, newest, store.ErrNewer)
	}
	return int(version), nil
}

// connect opens one connection.
func (f *File) connect(ctx context.Context) (*Conn, error) {
	c, err := f.pool.Conn(ctx)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: f.path, Err: explain(err)}
	}
	return &Conn{sql: c, stmts: map[string]*sql.Stmt{}}, nil
}

// Writer is the one connection that writes. The caller sees to it that one
// goroutine at a time uses it.
func (f *File) Writer() *Conn { return f.writer }

// Reader borrows a connection that cannot write; give it back with Release. It
// waits while all are in use.
func (f *File) Reader(ctx context.Context) (*Conn, error) {
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case c, ok := <-f.readers:
		if !ok {
			<-f.slots
			return nil, store.ErrClosed
		}
		return c, nil
	default:
	}
	c, err := f.newReader(ctx)
	if err != nil {
		<-f.slots
		return nil, err
	}
	return c, nil
}

func (f *File) newReader(ctx context.Context) (*Conn, error) {
	c, err := f.connect(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	for _, pragma := range []string{
		"busy_timeout = 5000", "query_only = ON", "trusted_schema = OFF", "temp_store = MEMORY",
		fmt.Sprintf("cache_size = -%d", readerCache),
	} {
		if _, err := c.Exec("PRAGMA " + pragma); err != nil {
			_ = c.close()
			return nil, err
		}
	}
	return c, nil
}

// Release gives a reader back.
func (f *File) Release(c *Conn) {
	f.mu.Lock()
	closed := f.closed
	if !closed {
		f.readers <- c // never blocks: it has a place for each slot
	}
	f.mu.Unlock()
	if closed {
		_ = c.close()
	}
	<-f.slots
}

// Backup writes a consistent copy of the file to path, which must not exist,
// while the file is in use.
func (f *File) Backup(ctx context.Context, path string) error {
	c, err := f.connect(ctx)
	if err != nil {
		return fmt.Errorf("back up %s: %w", f.path, err)
	}
	return errors.Join(copyTo(c, f.path, path), c.close())
}

// Copy is Backup for a file that another process may have open, or nobody. It
// neither takes the file's lock nor changes what is in the file.
func Copy(ctx context.Context, from, to string) (err error) {
	if _, err := os.Stat(from); err != nil { // the driver would make one
		return fmt.Errorf("back up %s: %w", from, err)
	}
	connector, err := sqlite.NewConnector(dsn(from))
	if err != nil {
		return fmt.Errorf("back up %s: %w", from, err)
	}
	f := &File{path: from, pool: sql.OpenDB(connector)}
	defer func() { err = errors.Join(err, f.pool.Close()) }()
	c, err := f.connect(ctx)
	if err != nil {
		return fmt.Errorf("back up %s: %w", from, err)
	}
	if _, err := c.Exec("PRAGMA busy_timeout = 5000"); err != nil {
		return errors.Join(&fs.PathError{Op: "back up", Path: from, Err: err}, c.close())
	}
	return errors.Join(copyTo(c, from, to), c.close())
}

// copyTo writes a copy of the file from, to which c is connected.
func copyTo(c *Conn, from, to string) (err error) {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("back up %s: %w", from, err)
	}
	defer func() {
		if err == nil {
			err = out.Sync()
		}
		err = errors.Join(err, out.Close())
		if err != nil {
			_ = os.Remove(to)
		}
	}()
	if _, err = c.Exec("VACUUM INTO ?", to); err != nil {
		return &fs.PathError{Op: "back up", Path: from, Err: err}
	}
	return nil
}

// Close folds the log into the file and releases both. The caller has seen to it
// that nobody writes any more; readers that are out are closed when released.
func (f *File) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	close(f.readers)
	f.mu.Unlock()
	var errs []error
	for c := range f.readers {
		errs = append(errs, c.close())
	}
	if f.writer != nil {
		errs = append(errs, f.writer.close())
	}
	if f.pool != nil {
		errs = append(errs, f.pool.Close())
	}
	errs = append(errs, f.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", f.path, err)
	}
	return nil
}
