package registry

import (
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// Upload is a blob that is on its way.
type Upload struct {
	ID string
	// Offset is how many bytes have come.
	Offset int64
}

// Part is a piece of a blob.
type Part struct {
	Reader io.Reader
	// At is the byte of the blob that it begins with, or -1 where nobody said.
	At int64
	// Size is its announced length in bytes, or -1.
	Size int64
}

// bufferSize is the unit of reading, hashing and writing, in bytes.
const bufferSize = 256 << 10

// StartUpload begins an upload. The error is CodeRepositoryNotFound.
func (s *Storage) StartUpload(ctx context.Context, n Name) (Upload, error) {
	var id uploadID
	if err := s.draw(id[:]); err != nil {
		return Upload{}, err
	}
	err := s.store.Update(ctx, func(tx store.Tx) error {
		repo, err := find(tx, n)
		if err != nil {
			return err
		}
		return write(tx, tableUpload, id[:], uploadRow{Repository: repo.State.UID, Touched: tx.Now()})
	})
	return Upload{ID: id.String()}, wrapped(err, "begin upload to", n)
}

// uploadOf reads an upload. Errors: CodeRepositoryNotFound, CodeUploadNotFound.
func uploadOf(r store.Reader, n Name, id uploadID) (u uploadRow, err error) {
	repo, err := find(r, n)
	if err != nil {
		return u, err
	}
	ok, err := read(r, tableUpload, id[:], &u)
	if err == nil && (!ok || u.Repository != repo.State.UID) {
		err = uploadNotFound(id.String())
	}
	return u, err
}

// Upload tells how far an upload is. Errors: CodeRepositoryNotFound,
// CodeUploadNotFound.
func (s *Storage) Upload(ctx context.Context, n Name, id string) (Upload, error) {
	var u uploadRow
	key, ok := parseUploadID(id)
	if !ok {
		return Upload{}, uploadNotFound(id)
	}
	err := s.store.View(ctx, func(r store.Reader) (err error) {
		u, err = uploadOf(r, n, key)
		return err
	})
	return Upload{id, u.Offset}, wrapped(err, "look for upload to", n)
}

// claim keeps everybody else from writing to an upload.
func (s *Storage) claim(id string) (key uploadID, release func(), err error) {
	key, ok := parseUploadID(id)
	if !ok {
		return key, nil, uploadNotFound(id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[key] {
		return key, nil, uploadBusy()
	}
	s.busy[key] = true
	return key, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.busy, key)
	}, nil
}

// Append adds a part. When it has returned nil the part is durable; with an error
// the upload is as it was. Errors: CodeRepositoryNotFound, CodeUploadNotFound,
// CodeUploadBusy, CodeInvalidPart, CodeLimit; those of the part's reader are in
// the chain.
func (s *Storage) Append(ctx context.Context, n Name, id string, p Part) (Upload, error) {
	key, release, err := s.claim(id)
	if err != nil {
		return Upload{}, err
	}
	defer release()
	u, err := s.extend(ctx, n, key, p)
	if err != nil {
		return Upload{}, wrapped(err, "extend upload to", n)
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		if _, err := uploadOf(tx, n, key); err != nil {
			return err
		}
		row := u.row
		row.Touched = tx.Now()
		if !row.Segment.IsZero() {
			if err := tx.PutRow(tableSegment, row.Segment[:], mark()); err != nil {
				return err
			}
		}
		return write(tx, tableUpload, key[:], row)
	})
	s.settle(ctx, u.fresh, err)
	return Upload{id, u.row.Offset}, wrapped(err, "extend upload to", n)
}

// Finish ends an upload with its last part, which may be empty, and shows the blob
// in the repository. The upload is over in any case but CodeUploadBusy and
// CodeInvalidPart. Errors: those of Append, and CodeInvalidLayer where the bytes
// have another digest.
func (s *Storage) Finish(ctx context.Context, n Name, id string, d Digest, p Part) (Blob, error) {
	key, release, err := s.claim(id)
	if err != nil {
		return Blob{}, err
	}
	defer release()
	u, err := s.extend(ctx, n, key, p)
	if err != nil {
		return Blob{}, wrapped(err, "finish upload to", n)
	}
	got, err := s.digest(u, d)
	if err == nil && got != d {
		err = layerMismatch(d, got)
	}
	if err != nil {
		s.settle(ctx, u.fresh, errUnwanted)
		return Blob{}, wrapped(errors.Join(err, s.cancel(ctx, n, key)), "finish upload to", n)
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		if _, err := uploadOf(tx, n, key); err != nil {
			return err
		}
		if err := tx.DeleteRow(tableUpload, key[:]); err != nil {
			return err
		}
		return arrive(tx, u.row.Repository, d, blobRow{Size: u.row.Offset, Segment: u.row.Segment})
	})
	if err == nil {
		s.wake() // there may have been the same blob already
	}
	s.settle(ctx, u.fresh, err)
	return Blob{d, u.row.Offset}, wrapped(err, "finish upload to", n)
}

// arrive shows a blob whose bytes have come in a repository.
func arrive(tx store.Tx, repo uid, d Digest, b blobRow) error {
	l, linked, err := link(tx, repo, d)
	if err != nil {
		return err
	}
	if err := keep(tx, d, b); err != nil {
		return err
	}
	if linked { // it counts already
		if err := count(tx, d, -1); err != nil {
			return err
		}
	}
	l.Since = tx.Now()
	return write(tx, tableLink, repo.with(d.key()), l)
}

// errUnwanted makes settle drop what has come.
var errUnwanted = errors.New("it is not what was announced")

// Cancel gives an upload up. Errors: CodeRepositoryNotFound, CodeUploadNotFound,
// CodeUploadBusy.
func (s *Storage) Cancel(ctx context.Context, n Name, id string) error {
	key, release, err := s.claim(id)
	if err != nil {
		return err
	}
	defer release()
	return wrapped(s.cancel(ctx, n, key), "cancel upload to", n)
}

func (s *Storage) cancel(ctx context.Context, n Name, key uploadID) error {
	err := s.store.Update(ctx, func(tx store.Tx) error {
		u, err := uploadOf(tx, n, key)
		if err != nil {
			return err
		}
		return drop(tx, key, u)
	})
	if err == nil {
		s.wake()
	}
	return err
}

// drop removes an upload.
func drop(tx store.Tx, key uploadID, u uploadRow) error {
	if err := tx.DeleteRow(tableUpload, key[:]); err != nil {
		return err
	}
	return giveUp(tx, u.Segment)
}

// extended is an upload whose part is on the disk and in no row yet.
type extended struct {
	row uploadRow
	sum hash.Hash
	// fresh is the segment, where no row names it yet.
	fresh segment.ID
}

// digest is that of all that has come. Who uploads says by which algorithm only at
// the end; for another one than SHA-256 the bytes are read again.
func (s *Storage) digest(e *extended, like Digest) (Digest, error) {
	if like.kind() == sha2Short {
		return like.of(e.sum), nil
	}
	h := like.hash()
	if !e.row.Segment.IsZero() {
		file, err := s.segments.Open(e.row.Segment)
		if err != nil {
			return "", err
		}
		defer file.Close()
		if _, err := io.Copy(h, io.LimitReader(file, e.row.Offset)); err != nil {
			return "", fmt.Errorf("read segment %s: %w", e.row.Segment, err)
		}
	}
	return like.of(h), nil
}

// extend writes a part behind what has come.
func (s *Storage) extend(ctx context.Context, n Name, key uploadID, p Part) (*extended, error) {
	e := &extended{sum: sha256.New()}
	err := s.store.View(ctx, func(r store.Reader) (err error) {
		e.row, err = uploadOf(r, n, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	if p.At >= 0 && p.At != e.row.Offset {
		return nil, wrongOffset(p.At, e.row.Offset)
	}
	if len(e.row.Sum) > 0 {
		if err := e.sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(e.row.Sum); err != nil {
			return nil, fmt.Errorf("read state of upload %s: %w", key, err)
		}
	}
	if err := s.receive(e, p); err != nil {
		return nil, err
	}
	if e.row.Sum, err = e.sum.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
		return nil, fmt.Errorf("keep state of upload %s: %w", key, err)
	}
	return e, nil
}

// receive reads a part to its end, into the segment of e. Memory does not grow
// with it.
func (s *Storage) receive(e *extended, p Part) (err error) {
	buf := s.buffers.Get().(*[bufferSize]byte)
	defer s.buffers.Put(buf)
	k := sink{storage: s, upload: e}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.undo())
		}
	}()
	size, err := io.CopyBuffer(&k, struct{ io.Reader }{p.Reader}, buf[:])
	if err != nil {
		return err
	}
	if p.Size >= 0 && size != p.Size {
		return wrongLength(p.Size, size)
	}
	e.row.Offset += size
	if k.file == nil {
		return nil
	}
	return k.file.Sync()
}

// sink hashes a part and writes it to the segment of its upload, which it opens
// when there is something to write.
type sink struct {
	storage *Storage
	upload  *extended
	file    *segment.Writer
	size    int64
}

// Write implements io.Writer.
func (k *sink) Write(p []byte) (n int, err error) {
	if k.size += int64(len(p)); k.upload.row.Offset+k.size > MaxBlob {
		return 0, layerTooLarge()
	}
	if k.file == nil {
		if k.file, err = k.storage.writer(k.upload); err != nil {
			return 0, err
		}
	}
	k.upload.sum.Write(p)
	return k.file.Write(p)
}

// undo leaves the segment as it was.
func (k *sink) undo() error {
	switch {
	case k.file == nil:
		return nil
	case k.upload.fresh.IsZero():
		return k.file.Close()
	}
	return k.file.Discard()
}

// writer opens the segment of an upload, or makes it.
func (s *Storage) writer(e *extended) (*segment.Writer, error) {
	if !e.row.Segment.IsZero() {
		return s.segments.Resume(e.row.Segment, e.row.Offset)
	}
	id, err := segment.NewID(s.rand)
	if err != nil {
		return nil, err
	}
	w, err := s.segments.Create(id)
	if err == nil {
		e.row.Segment, e.fresh = id, id
	}
	return w, err
}

// settle ends the time in which a new segment may be in no row: failure is the
// error of the transaction that was to name it. An error of the commit itself
// leaves open whether it does, so the store is asked; when it does not answer, the
// next start asks again.
func (s *Storage) settle(ctx context.Context, fresh segment.ID, failure error) {
	if fresh.IsZero() {
		return
	}
	named := false
	err := s.store.View(context.WithoutCancel(ctx), func(r store.Reader) (err error) {
		named, err = isNamed(r, fresh)
		return err
	})
	if err == nil {
		err = s.segments.Settle(fresh, named)
	}
	if err != nil {
		s.log.Error("settle blob", "segment", fresh.String(), "after", failure, "error", err)
	}
}
