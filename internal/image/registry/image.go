package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// Image is a manifest in a repository.
type Image struct {
	Digest    Digest
	MediaType string
	// ArtifactType is that of the manifest, or of its configuration.
	ArtifactType string
	// ManifestSize is that of the manifest itself, Size of all that it names.
	ManifestSize, Size int64
	Pushed             time.Time
	Subject            Digest
	// Tags are sorted.
	Tags []string
}

// smallManifest is the largest that is kept in a row, in bytes.
const smallManifest = 16 << 10

// Put stores a manifest, and gives it a tag where id has one. Everything that it
// names must be in the repository, and must have the size that it says. mediaType
// is what the sender calls it, or empty. Putting what is there already changes
// nothing and tells so by fresh.
//
// Errors: CodeRepositoryNotFound, CodeInvalid, CodeManifestTooBig,
// CodeDigestMismatch (of id), CodeLayersNotFound, CodeImagesNotFound,
// CodeTagExists.
func (s *Storage) Put(ctx context.Context, n Name, id ImageID, mediaType string, raw []byte) (i Image, fresh bool, err error) {
	m, err := parseManifest(mediaType, raw)
	if err != nil {
		return i, false, err
	}
	if id.Tag != "" && !ValidTag(id.Tag) {
		return i, false, invalidTag(id.Tag)
	}
	d := digestOf(raw, id.Digest)
	if id.Digest != "" && id.Digest != d {
		return i, false, digestMismatch(id.Digest, d)
	}
	b, err := s.manifestBytes(raw)
	if err != nil {
		return i, false, wrapped(err, "put image into", n)
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		repo, err := find(tx, n)
		if err != nil {
			return err
		}
		p := put{tx: tx, name: n, repo: repo.State.UID, settings: repo.Spec}
		if fresh, err = p.manifest(d, m, b); err != nil {
			return err
		}
		if id.Tag != "" {
			moved, err := p.tag(id.Tag, d)
			if err != nil {
				return err
			}
			fresh = fresh || moved
		}
		i, err = readImage(tx, p.repo, d)
		return err
	})
	s.settle(ctx, b.Segment, err)
	return i, fresh, wrapped(err, "put image into", n)
}

// manifestBytes puts a manifest that is not small into a segment.
func (s *Storage) manifestBytes(raw []byte) (b blobRow, err error) {
	b.Size = int64(len(raw))
	if len(raw) <= smallManifest {
		b.Bytes = raw
		return b, nil
	}
	if b.Segment, err = segment.NewID(s.rand); err != nil {
		return b, err
	}
	w, err := s.segments.Create(b.Segment)
	if err != nil {
		return b, err
	}
	if _, err := w.Write(raw); err != nil {
		_ = w.Discard() // the next start removes it
		return b, err
	}
	return b, w.Sync()
}

// put is one transaction that puts a manifest.
type put struct {
	tx       store.Tx
	name     Name
	repo     uid
	settings Settings
}

// manifest writes the manifest and counts what it names, unless it is there.
func (p *put) manifest(d Digest, m *manifest, b blobRow) (fresh bool, err error) {
	var row manifestRow
	there, err := read(p.tx, tableManifest, p.repo.with(d.key()), &row)
	if err != nil || there {
		return false, err
	}
	row = manifestRow{
		MediaType: m.mediaType, ArtifactType: m.artifactType, Size: b.Size, ImageSize: m.size, Pushed: p.tx.Now(), Subject: m.subject,
	}
	if row.Blobs, err = p.layers(m.blobs); err != nil {
		return false, err
	}
	if row.Children, row.ImageSize, err = p.children(d, m); err != nil {
		return false, err
	}
	if err := keep(p.tx, d, b); err != nil {
		return false, err
	}
	if m.subject != "" {
		if err := p.tx.PutRow(tableReferrer, p.repo.with(m.subject.key(), d.key()), mark()); err != nil {
			return false, err
		}
	}
	return true, write(p.tx, tableManifest, p.repo.with(d.key()), row)
}

// layers counts the manifest at the blobs that it names.
func (p *put) layers(named []reference) (digests []Digest, err error) {
	var missing []Digest
	for _, r := range named {
		l, ok, err := link(p.tx, p.repo, r.digest)
		if err != nil {
			return nil, err
		}
		var b blobRow
		if ok {
			if ok, err = read(p.tx, tableBlob, r.digest.key(), &b); err != nil {
				return nil, err
			}
		}
		if !ok {
			missing = append(missing, r.digest)
			continue
		}
		if b.Size != r.size {
			return nil, invalidManifest("it gives %s %d bytes, and it has %d", r.digest, r.size, b.Size)
		}
		l.Refs++
		if err := write(p.tx, tableLink, p.repo.with(r.digest.key()), l); err != nil {
			return nil, err
		}
		digests = append(digests, r.digest)
	}
	if missing != nil {
		return nil, layersNotFound(p.name, missing)
	}
	return digests, nil
}

// children notes an index at the manifests that it names, and adds up their sizes.
func (p *put) children(d Digest, m *manifest) (digests []Digest, size int64, err error) {
	if !IsIndex(m.mediaType) {
		return nil, m.size, nil
	}
	var missing []Digest
	for _, r := range m.children {
		var child manifestRow
		ok, err := read(p.tx, tableManifest, p.repo.with(r.digest.key()), &child)
		switch {
		case err != nil:
			return nil, 0, err
		case !ok:
			missing = append(missing, r.digest)
			continue
		case child.Size != r.size:
			return nil, 0, invalidManifest("it gives %s %d bytes, and it has %d", r.digest, r.size, child.Size)
		}
		size += child.ImageSize
		digests = append(digests, r.digest)
		if err := p.tx.PutRow(tableParent, p.repo.with(r.digest.key(), d.key()), mark()); err != nil {
			return nil, 0, err
		}
	}
	if missing != nil {
		return nil, 0, imagesNotFound(p.name, missing)
	}
	return digests, size, nil
}

// tag gives the manifest a tag, and takes it from another where that may be.
func (p *put) tag(tag string, d Digest) (moved bool, err error) {
	var old tagRow
	ok, err := read(p.tx, tableTag, p.repo.with([]byte(tag)), &old)
	if err != nil || ok && old.Digest == d {
		return false, err
	}
	if ok {
		if !p.settings.Mutability.moves(p.settings.Exclusions, tag) {
			return false, tagExists(p.name, tag)
		}
		if err := p.tx.DeleteRow(tableTagged, p.repo.with(old.Digest.key(), []byte(tag))); err != nil {
			return false, err
		}
	}
	if err := p.tx.PutRow(tableTagged, p.repo.with(d.key(), []byte(tag)), mark()); err != nil {
		return false, err
	}
	return true, write(p.tx, tableTag, p.repo.with([]byte(tag)), tagRow{d})
}

// readImage reads one image, which is there.
func readImage(r store.Reader, repo uid, d Digest) (Image, error) {
	var row manifestRow
	ok, err := read(r, tableManifest, repo.with(d.key()), &row)
	if err != nil {
		return Image{}, err
	}
	if !ok {
		return Image{}, fmt.Errorf("read image %s: there is none", d)
	}
	return row.image(r, repo, d)
}

func (m manifestRow) image(r store.Reader, repo uid, d Digest) (Image, error) {
	tags, err := tagsOf(r, repo, d)
	return Image{
		Digest: d, MediaType: m.MediaType, ArtifactType: m.ArtifactType, ManifestSize: m.Size, Size: m.ImageSize,
		Pushed: m.Pushed, Subject: m.Subject, Tags: tags,
	}, err
}

// tagsOf lists the tags of an image.
func tagsOf(r store.Reader, repo uid, d Digest) (tags []string, err error) {
	prefix := repo.with(d.key())
	for row, err := range r.Rows(tableTagged, store.Prefix(prefix)) {
		if err != nil {
			return nil, err
		}
		tags = append(tags, string(row.Key[len(prefix):]))
	}
	return tags, nil
}

// resolve finds the digest of an image. Errors: CodeImageNotFound,
// CodeTagMismatch, CodeMissingID, CodeInvalidTag.
func resolve(r store.Reader, n Name, repo uid, id ImageID) (Digest, error) {
	if id.Tag != "" {
		if !ValidTag(id.Tag) {
			return "", invalidTag(id.Tag)
		}
		var t tagRow
		ok, err := read(r, tableTag, repo.with([]byte(id.Tag)), &t)
		switch {
		case err != nil:
			return "", err
		case !ok:
			return "", imageNotFound(n, id)
		case id.Digest != "" && id.Digest != t.Digest:
			return "", tagMismatch(id)
		}
		return t.Digest, nil
	}
	if id.Digest == "" {
		return "", missingID()
	}
	if _, err := ParseDigest(string(id.Digest)); err != nil {
		return "", err
	}
	_, err := r.Row(tableManifest, repo.with(id.Digest.key()))
	if errors.Is(err, store.ErrNotFound) {
		return "", imageNotFound(n, id)
	}
	return id.Digest, err
}

// Image returns one image. Errors: CodeRepositoryNotFound and those of its id:
// CodeImageNotFound, CodeTagMismatch, CodeMissingID, CodeInvalidTag,
// CodeInvalidDigest.
func (s *Storage) Image(ctx context.Context, n Name, id ImageID) (i Image, err error) {
	err = s.store.View(ctx, func(r store.Reader) error {
		repo, err := find(r, n)
		if err != nil {
			return err
		}
		d, err := resolve(r, n, repo.State.UID, id)
		if err != nil {
			return err
		}
		i, err = readImage(r, repo.State.UID, d)
		return err
	})
	return i, wrapped(err, "read image of", n)
}

// Manifest returns one image and the bytes of its manifest. Errors: those of
// Image.
func (s *Storage) Manifest(ctx context.Context, n Name, id ImageID) (Image, []byte, error) {
	i, err := s.Image(ctx, n, id)
	if err != nil {
		return i, nil, err
	}
	r, err := s.open(i.Digest, func() (b blobRow, err error) {
		err = s.store.View(ctx, func(r store.Reader) error {
			ok, err := read(r, tableBlob, i.Digest.key(), &b)
			if err == nil && !ok { // it was deleted meanwhile
				err = imageNotFound(n, id)
			}
			return err
		})
		return b, err
	})
	if err != nil {
		return i, nil, wrapped(err, "read manifest of", n)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	return i, raw, wrapped(err, "read manifest of", n)
}

// Failure is why one of several images was not deleted.
type Failure struct {
	ID  ImageID
	Err *fault.Error
}

// Delete deletes images, named by digest, or tags: an image whose last tag goes is
// deleted with it, unless an index names it. It tells what is gone, once for each
// tag. The error is CodeRepositoryNotFound.
func (s *Storage) Delete(ctx context.Context, n Name, ids []ImageID) (gone []ImageID, failures []Failure, err error) {
	err = s.store.Update(ctx, func(tx store.Tx) error {
		gone, failures = nil, nil
		repo, err := find(tx, n)
		if err != nil {
			return err
		}
		for _, id := range ids {
			some, err := remove(tx, n, repo.State.UID, id)
			if f, refused := errors.AsType[*fault.Error](err); refused {
				failures = append(failures, Failure{id, f})
				continue
			}
			if err != nil {
				return err
			}
			gone = append(gone, some...)
		}
		return nil
	})
	if err == nil {
		s.wake()
	}
	return gone, failures, wrapped(err, "delete images of", n)
}

// Untag takes a tag away and leaves its image. Errors: CodeRepositoryNotFound,
// CodeImageNotFound.
func (s *Storage) Untag(ctx context.Context, n Name, tag string) error {
	err := s.store.Update(ctx, func(tx store.Tx) error {
		repo, err := find(tx, n)
		if err != nil {
			return err
		}
		d, err := resolve(tx, n, repo.State.UID, ImageID{Tag: tag})
		if err != nil {
			return err
		}
		return untag(tx, repo.State.UID, d, tag)
	})
	return wrapped(err, "take tag from image of", n)
}

// remove deletes an image or a tag, as BatchDeleteImage does.
func remove(tx store.Tx, n Name, repo uid, id ImageID) (gone []ImageID, err error) {
	d, err := resolve(tx, n, repo, id)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(tx, repo, d)
	if err != nil {
		return nil, err
	}
	parents, err := parentsOf(tx, repo, d)
	if err != nil {
		return nil, err
	}
	if id.Tag != "" && (len(tags) > 1 || len(parents) > 0) {
		return []ImageID{{d, id.Tag}}, untag(tx, repo, d, id.Tag)
	}
	if len(parents) > 0 {
		return nil, referenced(parents)
	}
	for _, tag := range tags {
		gone = append(gone, ImageID{d, tag})
		if err := untag(tx, repo, d, tag); err != nil {
			return nil, err
		}
	}
	if tags == nil {
		gone = []ImageID{{Digest: d}}
	}
	return gone, forget(tx, repo, d)
}

func untag(tx store.Tx, repo uid, d Digest, tag string) error {
	if err := tx.DeleteRow(tableTagged, repo.with(d.key(), []byte(tag))); err != nil {
		return err
	}
	return tx.DeleteRow(tableTag, repo.with([]byte(tag)))
}

// parentsOf lists indexes that name a manifest.
func parentsOf(r store.Reader, repo uid, d Digest) (parents []Digest, err error) {
	prefix := repo.with(d.key())
	for row, err := range r.Rows(tableParent, store.Prefix(prefix)) {
		if err != nil {
			return nil, err
		}
		parents = append(parents, digestOfKey(row.Key[len(prefix):]))
	}
	return parents, nil
}

// forget removes a manifest that has no tag. What it named becomes loose.
func forget(tx store.Tx, repo uid, d Digest) error {
	var m manifestRow
	if _, err := read(tx, tableManifest, repo.with(d.key()), &m); err != nil {
		return err
	}
	for _, b := range m.Blobs {
		l, ok, err := link(tx, repo, b)
		if err != nil {
			return err
		}
		if !ok {
			continue // nothing to count
		}
		if l.Refs--; l.Refs == 0 {
			l.Since = tx.Now()
		}
		if err := write(tx, tableLink, repo.with(b.key()), l); err != nil {
			return err
		}
	}
	for _, c := range m.Children {
		if err := tx.DeleteRow(tableParent, repo.with(c.key(), d.key())); err != nil {
			return err
		}
	}
	if m.Subject != "" {
		if err := tx.DeleteRow(tableReferrer, repo.with(m.Subject.key(), d.key())); err != nil {
			return err
		}
	}
	if err := tx.DeleteRow(tableManifest, repo.with(d.key())); err != nil {
		return err
	}
	return count(tx, d, -1)
}
