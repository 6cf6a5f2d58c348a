package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// The kinds of garbage: the first byte of a row of tableGarbage, before an id.
const (
	garbageFile       = 'f' // a segment
	garbageRepository = 'r' // the uid of a deleted repository, whose rows are left
)

// chunk is how much is removed in a transaction.
const chunk = 500

func addGarbage(tx store.Tx, kind byte, id []byte) error {
	return tx.PutRow(tableGarbage, append([]byte{kind}, id...), mark())
}

func (s *Storage) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// recover settles the segments that a killed process was writing.
func (s *Storage) recover(ctx context.Context) error {
	err := s.segments.Recover(func(id segment.ID) (named bool, err error) {
		err = s.store.View(ctx, func(r store.Reader) (err error) {
			named, err = isNamed(r, id)
			return err
		})
		return named, err
	})
	if err != nil {
		return err
	}
	s.wake()
	return nil
}

// every is how often Run looks for what nobody needs.
const every = time.Hour

// Run removes idle uploads, loose layers and garbage until ctx ends.
func (s *Storage) Run(ctx context.Context) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	prune := func() {
		_, err := s.Prune(ctx, PruneOptions{Unused: Grace})
		s.report(ctx, "remove what no image needs", err)
	}
	prune()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			prune()
		case <-s.kick:
			s.report(ctx, "collect garbage of the image registry", s.Collect(ctx))
		}
	}
}

func (s *Storage) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, what, "error", err)
	}
}

// PruneOptions say what Prune takes: uploads that are idle, and layers that have
// been loose, for Unused.
type PruneOptions struct {
	Unused time.Duration
	// DryRun takes nothing and tells what would be taken.
	DryRun bool
}

// Pruned tells what was taken, and what is left.
type Pruned struct {
	Uploads, Layers int
	Bytes           int64 // of both
	// Left counts the blobs that are kept, and their bytes.
	Left      int
	LeftBytes int64
}

// Prune removes what no image needs and nobody is about to.
func (s *Storage) Prune(ctx context.Context, o PruneOptions) (p Pruned, err error) {
	ctx = store.Freeing(ctx)
	if err := s.pruneUploads(ctx, o, &p); err != nil {
		return p, fmt.Errorf("prune uploads: %w", err)
	}
	if err := s.pruneLinks(ctx, o, &p); err != nil {
		return p, fmt.Errorf("prune layers: %w", err)
	}
	if !o.DryRun {
		if err := s.Collect(ctx); err != nil {
			return p, err
		}
	}
	err = s.store.View(ctx, func(r store.Reader) error {
		p.Left, p.LeftBytes = 0, 0
		for row, err := range r.Rows(tableBlob, store.Range{}) {
			b, err := decoded[blobRow](row, err)
			if err != nil {
				return err
			}
			p.Left++
			p.LeftBytes += b.Size
		}
		return nil
	})
	return p, err
}

// decoded is the value of a row that a listing yields.
func decoded[T any](row store.Row, err error) (v T, _ error) {
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(row.Value, &v); err != nil {
		return v, fmt.Errorf("read row: %w", err)
	}
	return v, nil
}

// pruneUploads gives up uploads that nobody has written to.
func (s *Storage) pruneUploads(ctx context.Context, o PruneOptions, p *Pruned) error {
	var idle []uploadID
	var sizes []int64
	err := s.store.View(ctx, func(r store.Reader) error {
		idle, sizes = nil, nil
		before := r.Now().Add(-o.Unused)
		for row, err := range r.Rows(tableUpload, store.Range{}) {
			u, err := decoded[uploadRow](row, err)
			if err != nil {
				return err
			}
			if !u.Touched.After(before) {
				idle, sizes = append(idle, uploadID(row.Key)), append(sizes, u.Offset)
			}
		}
		return nil
	})
	for i, id := range idle {
		if err != nil {
			return err
		}
		dropped := true
		if !o.DryRun {
			dropped, err = s.dropIdle(ctx, id, o.Unused)
		}
		if dropped {
			p.Uploads++
			p.Bytes += sizes[i]
		}
	}
	return err
}

// dropIdle removes an upload if it still is idle.
func (s *Storage) dropIdle(ctx context.Context, id uploadID, unused time.Duration) (dropped bool, err error) {
	_, release, err := s.claim(id.String())
	if err != nil {
		return false, nil // somebody is writing to it
	}
	defer release()
	err = s.store.Update(ctx, func(tx store.Tx) error {
		var u uploadRow
		ok, err := read(tx, tableUpload, id[:], &u)
		if dropped = ok && !u.Touched.After(tx.Now().Add(-unused)); err != nil || !dropped {
			return err
		}
		return drop(tx, id, u)
	})
	return dropped && err == nil, err
}

// pruneLinks hides blobs that no manifest of their repository names.
func (s *Storage) pruneLinks(ctx context.Context, o PruneOptions, p *Pruned) error {
	var loose [][]byte
	err := s.store.View(ctx, func(r store.Reader) error {
		loose = nil
		before := r.Now().Add(-o.Unused)
		for row, err := range r.Rows(tableLink, store.Range{}) {
			l, err := decoded[linkRow](row, err)
			if err != nil {
				return err
			}
			if l.Refs == 0 && !l.Since.After(before) {
				loose = append(loose, row.Key)
			}
		}
		return nil
	})
	for len(loose) > 0 && err == nil {
		some := loose[:min(chunk, len(loose))]
		loose = loose[len(some):]
		var layers int
		var bytes int64
		hideAll := func(r store.Reader, hide func(repo uid, d Digest) error) error {
			layers, bytes = 0, 0
			before := r.Now().Add(-o.Unused)
			for _, key := range some {
				repo, d := uid(key[:len(uid{})]), digestOfKey(key[len(uid{}):])
				l, ok, err := link(r, repo, d)
				if err != nil {
					return err
				}
				if !ok || l.Refs > 0 || l.Since.After(before) {
					continue
				}
				var b blobRow
				if _, err := read(r, tableBlob, d.key(), &b); err != nil {
					return err
				}
				if layers++; b.Refs == 1 {
					bytes += b.Size
				}
				if err := hide(repo, d); err != nil {
					return err
				}
			}
			return nil
		}
		if o.DryRun {
			err = s.store.View(ctx, func(r store.Reader) error {
				return hideAll(r, func(uid, Digest) error { return nil })
			})
		} else {
			err = s.store.Update(ctx, func(tx store.Tx) error {
				return hideAll(tx, func(repo uid, d Digest) error { return hide(tx, repo, d) })
			})
		}
		p.Layers += layers
		p.Bytes += bytes
	}
	return err
}

// Collect removes what is garbage now.
func (s *Storage) Collect(ctx context.Context) error {
	ctx = store.Freeing(ctx)
	// Repositories turn into files.
	if err := s.eachGarbage(ctx, garbageRepository, s.freeRepository); err != nil {
		return fmt.Errorf("remove what is left of repositories: %w", err)
	}
	if err := s.eachGarbage(ctx, garbageFile, s.freeFiles); err != nil {
		return fmt.Errorf("remove blobs: %w", err)
	}
	return nil
}

// eachGarbage hands out the ids of a kind, a chunk at a time, until none is left.
func (s *Storage) eachGarbage(ctx context.Context, kind byte, free func(context.Context, [][]byte) error) error {
	within := store.Prefix([]byte{kind})
	within.Limit = chunk
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
		within.From = append(append([]byte{kind}, ids[len(ids)-1]...), 0)
	}
}

// freeFiles removes segments; who reads one goes on.
func (s *Storage) freeFiles(ctx context.Context, ids [][]byte) error {
	for _, id := range ids {
		if err := s.segments.Remove(segment.ID(id)); err != nil {
			return err
		}
	}
	return s.store.Update(ctx, func(tx store.Tx) error {
		for _, id := range ids {
			if err := tx.DeleteRow(tableGarbage, append([]byte{garbageFile}, id...)); err != nil {
				return err
			}
		}
		return nil
	})
}

// freeRepository removes the rows of deleted repositories.
func (s *Storage) freeRepository(ctx context.Context, ids [][]byte) error {
	for _, id := range ids {
		repo := uid(id)
		for more := true; more; {
			err := s.store.Update(ctx, func(tx store.Tx) (err error) {
				more, err = freeChunk(tx, repo)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// freeChunk gives up some of what a deleted repository had; when nothing is left
// the repository itself.
func freeChunk(tx store.Tx, repo uid) (more bool, err error) {
	within := store.Prefix(repo[:])
	within.Limit = chunk
	for _, table := range []string{tableManifest, tableLink} { // each counts at a blob
		for row, err := range tx.Rows(table, within) {
			if err != nil {
				return false, err
			}
			more = true
			if err := count(tx, digestOfKey(row.Key[len(repo):]), -1); err != nil {
				return false, err
			}
			if err := tx.DeleteRow(table, row.Key); err != nil {
				return false, err
			}
		}
	}
	for _, table := range []string{tableTag, tableTagged, tableParent, tableReferrer} {
		n, err := tx.DeleteRows(table, within)
		if err != nil {
			return false, err
		}
		more = more || n > 0
	}
	if more {
		return true, nil
	}
	for row, err := range tx.Rows(tableUpload, store.Range{}) {
		u, err := decoded[uploadRow](row, err)
		if err != nil {
			return false, err
		}
		if u.Repository == repo {
			if err := drop(tx, uploadID(row.Key), u); err != nil {
				return false, err
			}
		}
	}
	return false, tx.DeleteRow(tableGarbage, append([]byte{garbageRepository}, repo[:]...))
}
