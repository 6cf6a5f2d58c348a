package registry

import (
	"bytes"
	"context"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Tagged chooses images by whether they have tags.
type Tagged uint8

// The choices.
const (
	Any Tagged = iota
	OnlyTagged
	OnlyUntagged
)

// Images lists the images of a repository behind one, at most some of them, and
// whether there are more. Their order is that of their digests. The error is
// CodeRepositoryNotFound.
func (s *Storage) Images(ctx context.Context, n Name, which Tagged, after Digest, most int) (list []Image, more bool, err error) {
	err = s.store.View(ctx, func(r store.Reader) error {
		list, more = nil, false
		found, err := find(r, n)
		if err != nil {
			return err
		}
		repo := found.State.UID
		within := store.Prefix(repo[:])
		if after != "" {
			within.From = append(repo.with(after.key()), 0)
		}
		for row, err := range r.Rows(tableManifest, within) {
			if err != nil {
				return err
			}
			i, err := readImage(r, repo, digestOfKey(row.Key[len(repo):]))
			if err != nil {
				return err
			}
			if which == OnlyTagged && i.Tags == nil || which == OnlyUntagged && i.Tags != nil {
				continue
			}
			if len(list) == most {
				more = true
				return nil
			}
			list = append(list, i)
		}
		return nil
	})
	return list, more, wrapped(err, "list images of", n)
}

// Tags lists the tags of a repository behind one, at most some of them, and
// whether there are more. The error is CodeRepositoryNotFound.
func (s *Storage) Tags(ctx context.Context, n Name, after string, most int) (tags []string, more bool, err error) {
	err = s.store.View(ctx, func(r store.Reader) error {
		tags, more = nil, false
		found, err := find(r, n)
		if err != nil {
			return err
		}
		repo := found.State.UID
		within := store.Prefix(repo[:])
		if after != "" {
			within.From = append(repo.with([]byte(after)), 0)
		}
		for row, err := range r.Rows(tableTag, within) {
			if err != nil {
				return err
			}
			if len(tags) == most {
				more = true
				return nil
			}
			tags = append(tags, string(row.Key[len(repo):]))
		}
		return nil
	})
	return tags, more, wrapped(err, "list tags of", n)
}

// Referrer is a manifest whose subject another one is.
type Referrer struct {
	Image
	Annotations map[string]string
}

// Referrers lists the manifests whose subject has a digest, behind one, at most
// some of them and no more than MaxManifest bytes of manifests, and whether there
// are more; artifactType chooses among them where it is not empty. The subject need
// not be there. The error is CodeRepositoryNotFound.
func (s *Storage) Referrers(ctx context.Context, n Name, subject Digest, artifactType string, after Digest, most int) (list []Referrer, more bool, err error) {
	var found []Image
	err = s.store.View(ctx, func(r store.Reader) error {
		found, more = nil, false
		res, err := find(r, n)
		if err != nil {
			return err
		}
		repo := res.State.UID
		prefix := repo.with(subject.key())
		within := store.Prefix(prefix)
		if after != "" {
			within.From = append(bytes.Clone(prefix), append(after.key(), 0)...)
		}
		for row, err := range r.Rows(tableReferrer, within) {
			if err != nil {
				return err
			}
			i, err := readImage(r, repo, digestOfKey(row.Key[len(prefix):]))
			if err != nil {
				return err
			}
			if artifactType != "" && i.ArtifactType != artifactType {
				continue
			}
			if len(found) == most {
				more = true
				return nil
			}
			found = append(found, i)
		}
		return nil
	})
	var size int64
	for _, i := range found {
		if err != nil {
			break
		}
		if size += i.ManifestSize; size > MaxManifest && list != nil {
			more = true
			break
		}
		var raw []byte
		if i, raw, err = s.Manifest(ctx, n, ImageID{Digest: i.Digest}); fault.Is(err, CodeImageNotFound) {
			err = nil // it went while we looked
			continue
		}
		var m *manifest
		if err == nil {
			m, err = parseManifest(i.MediaType, raw)
		}
		if err == nil {
			list = append(list, Referrer{i, m.annotations})
		}
	}
	return list, more, wrapped(err, "list referrers in", n)
}

// Layer says whether a repository has a blob, for those who ask for many.
func (s *Storage) Layer(ctx context.Context, n Name, d Digest) (Blob, bool, error) {
	b, err := s.Stat(ctx, n, d)
	if fault.Is(err, CodeLayerMissing) {
		return Blob{}, false, nil
	}
	return b, err == nil, err
}
