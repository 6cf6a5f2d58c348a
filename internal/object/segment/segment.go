// Package segment keeps runs of bytes in files: the content of objects, of the
// parts of uploads and of the layers of images. A byte that the store names never
// changes. The package knows nothing but files; who needs which segment is written
// in the store.
//
// A segment is invisible until a transaction of the store names it, so its file
// can be written in place. For as long as that has not happened an empty marker
// of the same name stands in the directory "incoming". A start after a crash
// therefore looks at the writes that were under way, never at the whole tree:
//
//	incoming/8d3f...        the marker
//	content/8d/8d3f...      the bytes
package segment

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/outcrop/outcrop/internal/durable"
)

// ID names a segment. It is random, and never used twice.
type ID [16]byte

// NewID draws an id from random.
func NewID(random io.Reader) (ID, error) {
	var id ID
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return id, fmt.Errorf("draw segment id: %w", err)
	}
	return id, nil
}

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText writes the id in hexadecimal.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(id)) {
		return fmt.Errorf("parse segment id %q: not %d characters long", text, hex.EncodedLen(len(id)))
	}
	if _, err := hex.Decode(id[:], text); err != nil {
		return fmt.Errorf("parse segment id %q: %w", text, err)
	}
	return nil
}

// Dir is a directory of segments. It is safe for concurrent use; only one
// process may have it open.
type Dir struct{ root string }

const (
	contentDir  = "content"
	incomingDir = "incoming"
)

// Open returns the directory at root, which it creates when it is not there.
func Open(root string) (*Dir, error) {
	for _, dir := range []string{root, filepath.Join(root, contentDir), filepath.Join(root, incomingDir)} {
		if err := makeDir(dir); err != nil {
			return nil, fmt.Errorf("open segments %s: %w", root, err)
		}
	}
	return &Dir{root: root}, nil
}

func (d *Dir) marker(id ID) string { return filepath.Join(d.root, incomingDir, id.String()) }

func (d *Dir) content(id ID) string { return filepath.Join(d.root, Path(id)) }

// Path is where a segment is beneath the root of its directory, for copies of it.
func Path(id ID) string {
	name := id.String()
	return filepath.Join(contentDir, name[:2], name)
}

// Create begins a new segment. The caller ends it with Settle or Discard.
func (d *Dir) Create(id ID) (*Writer, error) {
	marker, err := os.OpenFile(d.marker(id), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create segment %s: %w", id, err)
	}
	marker.Close()
	w := &Writer{dir: d, id: id}
	path := d.content(id)
	w.file, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeDir(filepath.Dir(path)); err == nil {
			w.file, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create segment %s: %w", id, err), w.Discard())
	}
	return w, nil
}

// Resume opens a segment that the store names, to append to it. The store names
// its first size bytes; what a write that failed has left behind them is cut off.
// The caller ends it with Sync or Close, and does not Settle it.
func (d *Dir) Resume(id ID, size int64) (*Writer, error) {
	w := &Writer{dir: d, id: id, kept: size}
	var err error
	if w.file, err = os.OpenFile(d.content(id), os.O_WRONLY, 0); err != nil {
		return nil, fmt.Errorf("resume segment %s: %w", id, err)
	}
	err = w.file.Truncate(size)
	if err == nil {
		_, err = w.file.Seek(size, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("resume segment %s: %w", id, err), w.Close())
	}
	return w, nil
}

// Open opens a segment for reading. The file stays readable after Remove.
func (d *Dir) Open(id ID) (*os.File, error) {
	f, err := os.Open(d.content(id))
	if err != nil {
		return nil, fmt.Errorf("open segment %s: %w", id, err)
	}
	return f, nil
}

// Remove deletes a segment; one that is not there is no error.
func (d *Dir) Remove(id ID) error {
	if err := os.Remove(d.content(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove segment %s: %w", id, err)
	}
	return nil
}

// Incoming lists the segments that a killed process was writing, or had written
// without learning whether they were needed. Each is to be settled with Settle.
func (d *Dir) Incoming() ([]ID, error) {
	entries, err := os.ReadDir(filepath.Join(d.root, incomingDir))
	if err != nil {
		return nil, fmt.Errorf("list incoming segments: %w", err)
	}
	ids := make([]ID, 0, len(entries))
	for _, e := range entries {
		var id ID
		// A name that is not ours was put there by somebody else, who keeps it.
		if id.UnmarshalText([]byte(e.Name())) == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Settle ends the time in which id was incoming: its file is kept or removed.
func (d *Dir) Settle(id ID, keep bool) error {
	if !keep {
		// The file first: a marker without a file is found again, a file
		// without a marker never.
		if err := d.Remove(id); err != nil {
			return err
		}
	}
	if err := os.Remove(d.marker(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("settle segment %s: %w", id, err)
	}
	return nil
}

// Recover settles what a killed process was writing: named tells of each whether the
// store names it.
func (d *Dir) Recover(named func(ID) (bool, error)) error {
	incoming, err := d.Incoming()
	if err != nil {
		return err
	}
	for _, id := range incoming {
		keep, err := named(id)
		if err != nil {
			return err
		}
		if err := d.Settle(id, keep); err != nil {
			return err
		}
	}
	return nil
}

// Each calls fn with every segment that has a file, for checks of the whole.
func (d *Dir) Each(fn func(ID) error) error {
	root := filepath.Join(d.root, contentDir)
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		var id ID
		if id.UnmarshalText([]byte(e.Name())) != nil || path != d.content(id) {
			return nil
		}
		return fn(id)
	})
}

// Writer is a segment that is being written. It is for one goroutine.
type Writer struct {
	dir  *Dir
	id   ID
	file *os.File
	kept int64 // bytes that were there before
}

// Write appends p.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	if err != nil {
		return n, fmt.Errorf("write segment %s: %w", w.id, err)
	}
	return n, nil
}

// Sync makes the bytes and the name of the file durable and closes it. The
// segment may be named in the store from now on.
func (w *Writer) Sync() error {
	err := w.file.Sync()
	if closeErr := w.file.Close(); err == nil {
		err = closeErr
	}
	w.file = nil
	if err == nil {
		err = durable.Dir(filepath.Dir(w.dir.content(w.id)))
	}
	if err != nil {
		return fmt.Errorf("sync segment %s: %w", w.id, err)
	}
	return nil
}

// Close gives up what was written since Resume. After Sync it does nothing.
func (w *Writer) Close() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.file.Truncate(w.kept), w.file.Close())
	w.file = nil
	return err
}

// Discard gives the segment up and removes its file.
func (w *Writer) Discard() error {
	_ = w.Close() // what could not be written is not needed
	return w.dir.Settle(w.id, false)
}

// makeDir creates a directory for the owner alone and makes its name durable.
func makeDir(path string) error {
	switch err := os.Mkdir(path, 0o700); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return durable.Dir(filepath.Dir(path))
}
