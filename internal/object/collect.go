package object

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// The kinds of garbage: the first byte of a row of tableGarbage, before an id.
const (
	garbageFile   = 'f' // a segment
	garbageList   = 'l' // a content of kindList with no user
	garbageUpload = 'u' // an upload, of which the parts are left
)

func addGarbage(tx store.Tx, kind byte, id []byte) error {
	return tx.PutRow(tableGarbage, append([]byte{kind}, id...), []byte{contentVersion})
}

// recover removes the files of writes that were under way when the process
// before died, unless their transaction went through.
func (s *Storage) recover(ctx context.Context) error {
	if err := s.segments.Recover(func(id segment.ID) (bool, error) { return s.named(ctx, id) }); err != nil {
		return err
	}
	s.wake()
	return nil
}

// expiry is how often uploads and lifecycle rules are looked at.
const expiry = time.Hour

// Run removes garbage, idle uploads and what lifecycle rules name until ctx ends. Without it nothing is
// wrong, but the disk fills.
func (s *Storage) Run(ctx context.Context) error {
	ticker := time.NewTicker(expiry)
	defer ticker.Stop()
	s.expire(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			s.expire(ctx)
			s.wake() // garbage that failed before
		case <-s.kick:
			s.report(ctx, "collect garbage", s.Collect(ctx))
		}
	}
}

func (s *Storage) expire(ctx context.Context) {
	s.report(ctx, "abort idle uploads", s.ExpireUploads(ctx))
	s.report(ctx, "remove objects by lifecycle rules", s.ExpireObjects(ctx))
}

func (s *Storage) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, what, "error", err)
	}
}

// Collect removes what is garbage now, except what somebody is reading.
func (s *Storage) Collect(ctx context.Context) error {
	ctx = store.Freeing(ctx)
	// Uploads and lists turn into files.
	for _, kind := range []struct {
		kind byte
		free func(context.Context, [][]byte) error
	}{{garbageUpload, s.freeUploads}, {garbageList, s.freeLists}, {garbageFile, s.freeFiles}} {
		if err := s.eachGarbage(ctx, kind.kind, kind.free); err != nil {
			return fmt.Errorf("collect garbage of kind %c: %w", kind.kind, err)
		}
	}
	return nil
}

func (s *Storage) eachGarbage(ctx context.Context, kind byte, free func(context.Context, [][]byte) error) error {
	within := store.Prefix([]byte{kind})
	within.Limit = listChunk
	for {
		var ids [][]byte
		err := s.store.View(ctx, func(r store.Reader) error {
			ids = nil
			for row, err := range r.Rows(tableGarbage, within) {
				if err != nil {
					return err
				}
				ids = append(ids, row.Key[1:])
			}
			return nil
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := free(ctx, ids); err != nil {
			return err
		}
		last := ids[len(ids)-1]
		within.From = append(append([]byte{kind}, last...), 0)
	}
}

// unread returns those of the contents that nobody reads.
func (s *Storage) unread(ids [][]byte) []segment.ID {
	contents := make([]segment.ID, len(ids))
	for i, id := range ids {
		copy(contents[i][:], id)
	}
	unread := contents[:0:0]
	for i, free := range s.pins.free(contents) {
		if free {
			unread = append(unread, contents[i])
		}
	}
	return unread
}

func (s *Storage) freeFiles(ctx context.Context, ids [][]byte) error {
	files := s.unread(ids)
	if len(files) == 0 {
		return nil
	}
	for _, id := range files {
		if err := s.segments.Remove(id); err != nil {
			return err
		}
	}
	return s.store.Update(ctx, func(tx store.Tx) error {
		for _, id := range files {
			if err := tx.DeleteRow(tableGarbage, append([]byte{garbageFile}, id[:]...)); err != nil {
				return err
			}
		}
		return nil
	})
}

// freeLists gives up the members of lists, a chunk in a transaction.
func (s *Storage) freeLists(ctx context.Context, ids [][]byte) error {
	for _, id := range s.unread(ids) {
		for more := true; more; {
			err := s.store.Update(ctx, func(tx store.Tx) (err error) {
				more, err = freeChunk(tx, id)
				return err
			})
			if err != nil {
				return fmt.Errorf("give up parts of content %s: %w", id, err)
			}
		}
	}
	return nil
}

// freeChunk gives up one chunk of a list; when none is left the list itself.
func freeChunk(tx store.Tx, id segment.ID) (more bool, err error) {
	chunks := store.Range{From: append(bytes.Clone(id[:]), 0), To: store.PrefixEnd(id[:]), Limit: 1}
	for row, err := range tx.Rows(tableContent, chunks) {
		if err != nil {
			return false, err
		}
		members, err := decodeMembers(row.Value)
		if err != nil {
			return false, err
		}
		for _, m := range members {
			if err := release(tx, m.id); err != nil {
				return false, err
			}
		}
		return true, tx.DeleteRow(tableContent, row.Key)
	}
	if err := tx.DeleteRow(tableContent, id[:]); err != nil {
		return false, err
	}
	return false, tx.DeleteRow(tableGarbage, append([]byte{garbageList}, id[:]...))
}

// freeUploads gives up the parts of uploads, a chunk in a transaction.
func (s *Storage) freeUploads(ctx context.Context, ids [][]byte) error {
	for _, id := range ids {
		for more := true; more; {
			err := s.store.Update(ctx, func(tx store.Tx) (err error) {
				more, err = freeParts(tx, id)
				return err
			})
			if err != nil {
				return fmt.Errorf("give up parts of upload %x: %w", id, err)
			}
		}
	}
	return nil
}

func freeParts(tx store.Tx, upload []byte) (more bool, err error) {
	within := store.Prefix(upload)
	within.Limit = listChunk
	seen := 0
	for row, err := range tx.Rows(tablePart, within) {
		if err != nil {
			return false, err
		}
		var p part
		if err := json.Unmarshal(row.Value, &p); err != nil {
			return false, fmt.Errorf("decode part: %w", err)
		}
		if err := release(tx, p.Content); err != nil {
			return false, err
		}
		if err := tx.DeleteRow(tablePart, row.Key); err != nil {
			return false, err
		}
		seen++
	}
	if seen == listChunk {
		return true, nil
	}
	return false, tx.DeleteRow(tableGarbage, append([]byte{garbageUpload}, upload...))
}
