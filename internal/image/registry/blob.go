package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// Blob is a layer, or another run of bytes that manifests name.
type Blob struct {
	Digest Digest
	Size   int64
}

// Reader reads a blob, which stays readable whatever becomes of it meanwhile.
type Reader struct {
	Blob
	*io.SectionReader
	io.Closer
}

// Size is the length in bytes.
func (r *Reader) Size() int64 { return r.Blob.Size }

// nothing closes what has no file.
type nothing struct{}

func (nothing) Close() error { return nil }

// link reads what a repository knows of a blob.
func link(r store.Reader, repo uid, d Digest) (l linkRow, ok bool, err error) {
	ok, err = read(r, tableLink, repo.with(d.key()), &l)
	return l, ok, err
}

// blobOf reads the blob that a repository shows. The error is CodeLayerMissing.
func blobOf(r store.Reader, n Name, d Digest) (repo uid, l linkRow, b blobRow, err error) {
	found, err := find(r, n)
	if err != nil {
		return repo, l, b, err
	}
	repo = found.State.UID
	l, ok, err := link(r, repo, d)
	if err != nil {
		return repo, l, b, err
	}
	if !ok {
		return repo, l, b, layerMissing(n, d)
	}
	ok, err = read(r, tableBlob, d.key(), &b)
	if err == nil && !ok {
		err = fmt.Errorf("read blob %s: its link has none", d)
	}
	return repo, l, b, err
}

// Stat returns a blob of a repository. A client that asks may leave out an upload
// and name the blob in a manifest later on, so a loose one has all of Grace again.
// Errors: CodeRepositoryNotFound, CodeLayerMissing.
func (s *Storage) Stat(ctx context.Context, n Name, d Digest) (Blob, error) {
	var b blobRow
	var stale bool
	err := s.store.View(ctx, func(r store.Reader) (err error) {
		var l linkRow
		_, l, b, err = blobOf(r, n, d)
		stale = l.Refs == 0 && r.Now().Sub(l.Since) > Grace/24
		return err
	})
	if err == nil && stale {
		err = s.store.Update(ctx, func(tx store.Tx) error {
			var repo uid
			var l linkRow
			if repo, l, b, err = blobOf(tx, n, d); err != nil {
				return err
			}
			l.Since = tx.Now()
			return write(tx, tableLink, repo.with(d.key()), l)
		})
	}
	return Blob{d, b.Size}, wrapped(err, "look for blob in", n)
}

// Open opens a blob of a repository. Errors: CodeRepositoryNotFound,
// CodeLayerMissing.
func (s *Storage) Open(ctx context.Context, n Name, d Digest) (*Reader, error) {
	r, err := s.open(d, func() (b blobRow, err error) {
		err = s.store.View(ctx, func(r store.Reader) error {
			_, _, b, err = blobOf(r, n, d)
			return err
		})
		return b, err
	})
	return r, wrapped(err, "open blob of", n)
}

// open opens what look finds. Where a file is gone the blob may have been given up
// between looking and opening, and perhaps been pushed again, so it looks again.
func (s *Storage) open(d Digest, look func() (blobRow, error)) (*Reader, error) {
	var last segment.ID
	for {
		b, err := look()
		if err != nil {
			return nil, err
		}
		whole := Blob{d, b.Size}
		if b.Segment.IsZero() {
			return &Reader{whole, io.NewSectionReader(bytes.NewReader(b.Bytes), 0, b.Size), nothing{}}, nil
		}
		file, err := s.segments.Open(b.Segment)
		switch {
		case err == nil:
			return &Reader{whole, io.NewSectionReader(file, 0, b.Size), file}, nil
		case !errors.Is(err, fs.ErrNotExist) || b.Segment == last:
			return nil, err
		}
		last = b.Segment
	}
}

// Mount shows a blob of one repository in another of the same account and region.
// ok is false where the source has none: then it has to be uploaded. The error is
// CodeRepositoryNotFound, of the target.
func (s *Storage) Mount(ctx context.Context, to Name, from string, d Digest) (b Blob, ok bool, err error) {
	err = s.store.Update(ctx, func(tx store.Tx) error {
		ok = false
		target, err := find(tx, to)
		if err != nil {
			return err
		}
		source, err := repositories().Get(tx, to.Scope, from)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, ok, err = link(tx, source.State.UID, d); err != nil || !ok {
			return err
		}
		var row blobRow
		if ok, err = read(tx, tableBlob, d.key(), &row); err != nil || !ok {
			return err
		}
		b = Blob{d, row.Size}
		return show(tx, target.State.UID, d)
	})
	return b, ok, wrapped(err, "mount blob in", to)
}

// show gives a repository a link to a blob, or Grace again where it has one.
func show(tx store.Tx, repo uid, d Digest) error {
	l, ok, err := link(tx, repo, d)
	if err != nil {
		return err
	}
	if !ok {
		if err := count(tx, d, 1); err != nil {
			return err
		}
	}
	l.Since = tx.Now()
	return write(tx, tableLink, repo.with(d.key()), l)
}

// DeleteBlob takes a blob that no manifest names out of a repository. Errors:
// CodeRepositoryNotFound, CodeLayerMissing, CodeLayerNeeded.
func (s *Storage) DeleteBlob(ctx context.Context, n Name, d Digest) error {
	err := s.store.Update(ctx, func(tx store.Tx) error {
		repo, l, _, err := blobOf(tx, n, d)
		if err != nil {
			return err
		}
		if l.Refs > 0 {
			return layerNeeded(d)
		}
		return hide(tx, repo, d)
	})
	if err == nil {
		s.wake()
	}
	return wrapped(err, "delete blob of", n)
}

// hide takes a link away.
func hide(tx store.Tx, repo uid, d Digest) error {
	if err := tx.DeleteRow(tableLink, repo.with(d.key())); err != nil {
		return err
	}
	return count(tx, d, -1)
}

// count changes how many need a blob. One that nobody needs is garbage.
func count(tx store.Tx, d Digest, change int64) error {
	var b blobRow
	ok, err := read(tx, tableBlob, d.key(), &b)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("count users of blob %s: there is none", d)
	}
	if b.Refs += change; b.Refs > 0 {
		return write(tx, tableBlob, d.key(), b)
	}
	if err := tx.DeleteRow(tableBlob, d.key()); err != nil {
		return err
	}
	return giveUp(tx, b.Segment)
}

// giveUp makes garbage of a segment that nobody needs.
func giveUp(tx store.Tx, id segment.ID) error {
	if id.IsZero() {
		return nil
	}
	if err := tx.DeleteRow(tableSegment, id[:]); err != nil {
		return err
	}
	return addGarbage(tx, garbageFile, id[:])
}

// keep stores the bytes of a blob for one more user, unless they are there
// already: then those that came are given up, if the store names them.
func keep(tx store.Tx, d Digest, b blobRow) error {
	var old blobRow
	ok, err := read(tx, tableBlob, d.key(), &old)
	if err != nil {
		return err
	}
	if ok {
		named, err := isNamed(tx, b.Segment)
		if err != nil {
			return err
		}
		if named {
			if err := giveUp(tx, b.Segment); err != nil {
				return err
			}
		}
		old.Refs++
		return write(tx, tableBlob, d.key(), old)
	}
	b.Refs = 1
	if !b.Segment.IsZero() {
		if err := tx.PutRow(tableSegment, b.Segment[:], mark()); err != nil {
			return err
		}
	}
	return write(tx, tableBlob, d.key(), b)
}

// isNamed reports whether the store names a segment.
func isNamed(r store.Reader, id segment.ID) (bool, error) {
	if id.IsZero() {
		return false, nil
	}
	_, err := r.Row(tableSegment, id[:])
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
