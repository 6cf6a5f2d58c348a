package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// PruneOptions say what Prune leaves.
type PruneOptions struct {
	// Unused is how long nobody may have opened or released what is removed.
	Unused time.Duration
	// Keep tells of an image, by its digest, that it must stay. It is called
	// while the store is locked and must not call it. Nil keeps none.
	Keep func(digest string) bool
	// DryRun removes nothing and says what it would.
	DryRun bool
}

// Pruned says what Prune removed.
type Pruned struct {
	Images []string // their digests
	Layers int
	Bytes  int64 // given back: those of layers that no image has any more
}

// Prune removes the images that nobody holds or keeps, and the layers that no
// image has any more.
func (s *Store) Prune(ctx context.Context, o PruneOptions) (Pruned, error) {
	gone, done, err := s.discard(o)
	for _, path := range gone {
		if ctx.Err() != nil {
			return done, context.Cause(ctx) // the rest goes when the store is opened again
		}
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		return done, fmt.Errorf("prune image store: %w", err)
	}
	return done, nil
}

// discard renames what is to be removed: from then on it is not there, whatever
// happens while it is being removed.
func (s *Store) discard(o PruneOptions) (gone []string, done Pruned, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.cfg.Now().Add(-o.Unused)
	used := map[string]bool{} // layers
	digests, err := s.list(imagesName)
	if err != nil {
		return nil, done, err
	}
	left := map[string]bool{} // images
	for _, d := range digests {
		r, err := s.record(d)
		readable := err == nil
		if readable && (s.images[d] > 0 || o.Keep != nil && o.Keep(d) || !s.older(imagesName, d, imageName, before)) {
			left[d] = true
			for _, l := range r.Layers {
				used[l] = true
			}
			continue
		}
		if !readable && !errors.Is(err, fs.ErrNotExist) {
			return gone, done, err
		}
		if gone, err = s.hide(gone, imagesName, d, o); err != nil {
			return gone, done, err
		}
		done.Images = append(done.Images, d)
	}
	layers, err := s.list(layersName)
	if err != nil {
		return gone, done, err
	}
	for _, d := range layers {
		if used[d] || s.layers[d] > 0 || !s.older(layersName, d, indexName, before) {
			continue
		}
		if l, err := s.readIndex(d, true); err == nil {
			done.Bytes += l.Size
		}
		if gone, err = s.hide(gone, layersName, d, o); err != nil {
			return gone, done, err
		}
		done.Layers++
	}
	if o.DryRun {
		return gone, done, nil
	}
	return gone, done, s.unpin(left)
}

// older tells whether something was last used before a time.
func (s *Store) older(kind, digest, file string, before time.Time) bool {
	info, err := os.Stat(filepath.Join(s.path(kind, digest), file))
	return err != nil || !info.ModTime().After(before)
}

// hide gives something a temporary name, which it adds to those that are gone.
func (s *Store) hide(gone []string, kind, digest string, o PruneOptions) ([]string, error) {
	if o.DryRun {
		return gone, nil
	}
	tmp, err := os.MkdirTemp(filepath.Join(s.cfg.Dir, kind), tmpPrefix)
	if err != nil {
		return gone, err
	}
	return append(gone, tmp), os.Rename(s.path(kind, digest), filepath.Join(tmp, "gone"))
}

// unpin forgets what images stood for that are not left.
func (s *Store) unpin(left map[string]bool) error {
	pins, err := s.list(pinsName)
	if err != nil {
		return err
	}
	for _, top := range pins {
		digest, err := os.ReadFile(s.path(pinsName, top))
		if err == nil && !left[string(digest)] && !s.flights.Under(string(digest)) {
			err = os.Remove(s.path(pinsName, top))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// list returns the digests of a kind.
func (s *Store) list(kind string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.cfg.Dir, kind))
	if err != nil {
		return nil, err
	}
	var digests []string
	for _, e := range entries {
		if algorithm, hex, ok := strings.Cut(e.Name(), "-"); ok && !strings.HasPrefix(e.Name(), tmpPrefix) {
			digests = append(digests, algorithm+":"+hex)
		}
	}
	return digests, nil
}

// Stored is an image of the store.
type Stored struct {
	Digest, Reference string
	// Size is the number of bytes of its files; others may share them.
	Size  int64
	Files int
	Used  time.Time // when it was last opened or released
	Held  bool
}

// Usage is what the store holds.
type Usage struct {
	Images []Stored // by digest
	Layers int
	Bytes  int64 // of all layers, each once
}

// Usage looks at everything in the store.
func (s *Store) Usage() (Usage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var u Usage
	digests, err := s.list(imagesName)
	if err != nil {
		return u, fmt.Errorf("look at image store: %w", err)
	}
	for _, d := range digests {
		r, err := s.record(d)
		if err != nil {
			continue // Prune removes it
		}
		i := Stored{Digest: d, Reference: r.Reference, Size: r.Size, Files: r.Files, Held: s.images[d] > 0}
		if info, err := os.Stat(filepath.Join(s.path(imagesName, d), imageName)); err == nil {
			i.Used = info.ModTime()
		}
		u.Images = append(u.Images, i)
	}
	slices.SortFunc(u.Images, func(a, b Stored) int { return strings.Compare(a.Digest, b.Digest) })
	layers, err := s.list(layersName)
	if err != nil {
		return u, fmt.Errorf("look at image store: %w", err)
	}
	for _, d := range layers {
		if l, err := s.readIndex(d, true); err == nil {
			u.Layers++
			u.Bytes += l.Size
		}
	}
	return u, nil
}
