package registry

import (
	"context"
	"fmt"
	"maps"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// ParseManifest and Matches show to tests what is pure.
var (
	ParseManifest = parseManifest
	Matches       = wildcard
)

// SmallManifest is the largest manifest that is kept in a row.
const SmallManifest = smallManifest

// Audit checks every count and every way back against what they are of, and that
// the files are those that the store names. It is for a storage at rest.
func (s *Storage) Audit(r store.Reader) error {
	a := audit{blobs: map[Digest]int64{}, links: map[string]int64{}, named: map[segment.ID]bool{}, ways: map[string]bool{}}
	steps := []func(store.Reader) error{a.manifests, a.tags, a.checkLinks, a.checkBlobs, a.uploads, a.checkWays, a.garbage}
	for _, step := range steps {
		if err := step(r); err != nil {
			return err
		}
	}
	files := map[segment.ID]bool{}
	if err := s.segments.Each(func(id segment.ID) error { files[id] = true; return nil }); err != nil {
		return err
	}
	if !maps.Equal(files, a.named) {
		return fmt.Errorf("%d files, and %d are named", len(files), len(a.named))
	}
	listed := map[segment.ID]bool{}
	if err := Segments(context.Background(), s.store, func(id segment.ID) error { listed[id] = true; return nil }); err != nil || !maps.Equal(listed, a.named) {
		return fmt.Errorf("%d segments are listed, and %d are named: %w", len(listed), len(a.named), err)
	}
	if incoming, err := s.segments.Incoming(); err != nil || len(incoming) > 0 {
		return fmt.Errorf("incoming: %v, %w", incoming, err)
	}
	return nil
}

type audit struct {
	blobs map[Digest]int64
	links map[string]int64
	named map[segment.ID]bool
	ways  map[string]bool // rows without values that must be there
}

func way(table string, key []byte) string { return table + " " + string(key) }

func (a *audit) manifests(r store.Reader) error {
	for row, err := range r.Rows(tableManifest, store.Range{}) {
		m, err := decoded[manifestRow](row, err)
		if err != nil {
			return err
		}
		repo, d := uid(row.Key[:len(uid{})]), digestOfKey(row.Key[len(uid{}):])
		a.blobs[d]++
		for _, b := range m.Blobs {
			a.links[string(repo.with(b.key()))]++
		}
		for _, c := range m.Children {
			a.ways[way(tableParent, repo.with(c.key(), d.key()))] = true
		}
		if m.Subject != "" {
			a.ways[way(tableReferrer, repo.with(m.Subject.key(), d.key()))] = true
		}
	}
	return nil
}

func (a *audit) tags(r store.Reader) error {
	for row, err := range r.Rows(tableTag, store.Range{}) {
		t, err := decoded[tagRow](row, err)
		if err != nil {
			return err
		}
		repo := uid(row.Key[:len(uid{})])
		a.ways[way(tableTagged, repo.with(t.Digest.key(), row.Key[len(uid{}):]))] = true
		if _, err := r.Row(tableManifest, repo.with(t.Digest.key())); err != nil {
			return fmt.Errorf("tag %s has no image: %w", row.Key[len(uid{}):], err)
		}
	}
	return nil
}

func (a *audit) checkLinks(r store.Reader) error {
	for row, err := range r.Rows(tableLink, store.Range{}) {
		l, err := decoded[linkRow](row, err)
		if err != nil {
			return err
		}
		d := digestOfKey(row.Key[len(uid{}):])
		a.blobs[d]++
		if want := a.links[string(row.Key)]; l.Refs != want {
			return fmt.Errorf("link to %s counts %d manifests of %d", d, l.Refs, want)
		}
		delete(a.links, string(row.Key))
	}
	if len(a.links) > 0 {
		return fmt.Errorf("%d named blobs have no link", len(a.links))
	}
	return nil
}

func (a *audit) checkBlobs(r store.Reader) error {
	for row, err := range r.Rows(tableBlob, store.Range{}) {
		b, err := decoded[blobRow](row, err)
		if err != nil {
			return err
		}
		d := digestOfKey(row.Key)
		if want := a.blobs[d]; b.Refs != want {
			return fmt.Errorf("blob %s counts %d users of %d", d, b.Refs, want)
		}
		delete(a.blobs, d)
		if !b.Segment.IsZero() {
			a.named[b.Segment] = true
		}
	}
	if len(a.blobs) > 0 {
		return fmt.Errorf("blobs are missing: %v", a.blobs)
	}
	return nil
}

func (a *audit) uploads(r store.Reader) error {
	for row, err := range r.Rows(tableUpload, store.Range{}) {
		u, err := decoded[uploadRow](row, err)
		if err != nil {
			return err
		}
		if !u.Segment.IsZero() {
			a.named[u.Segment] = true
		}
	}
	for row, err := range r.Rows(tableSegment, store.Range{}) {
		if err != nil || !a.named[segment.ID(row.Key)] {
			return fmt.Errorf("segment %x is named by nobody, %w", row.Key, err)
		}
	}
	for id := range a.named {
		if ok, err := isNamed(r, id); !ok || err != nil {
			return fmt.Errorf("segment %s is not known, %w", id, err)
		}
	}
	return nil
}

func (a *audit) checkWays(r store.Reader) error {
	for _, table := range []string{tableTagged, tableParent, tableReferrer} {
		for row, err := range r.Rows(table, store.Range{}) {
			if err != nil {
				return err
			}
			if !a.ways[way(table, row.Key)] {
				return fmt.Errorf("row %x of %s leads nowhere", row.Key, table)
			}
			delete(a.ways, way(table, row.Key))
		}
	}
	if len(a.ways) > 0 {
		return fmt.Errorf("%d rows are missing", len(a.ways))
	}
	return nil
}

func (a *audit) garbage(r store.Reader) error {
	for row, err := range r.Rows(tableGarbage, store.Range{}) {
		return fmt.Errorf("garbage %x is left, %w", row.Key, err)
	}
	return nil
}
