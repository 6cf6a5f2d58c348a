package object

import (
	"context"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// ReadCondition is what a reader demands of an object. Where an ETag is named,
// the time beside it does not count (RFC 9110, 13.2.2).
type ReadCondition struct {
	Match           string    // If-Match
	NoneMatch       string    // If-None-Match
	ModifiedSince   time.Time // If-Modified-Since
	UnmodifiedSince time.Time // If-Unmodified-Since
}

func (c ReadCondition) check(v version) error {
	// HTTP knows no part of a second.
	modified := v.Modified.Truncate(time.Second)
	switch {
	case c.Match != "":
		if !matches(c.Match, v.ETag) {
			return preconditionFailed("If-Match")
		}
	case !c.UnmodifiedSince.IsZero() && modified.After(c.UnmodifiedSince):
		return preconditionFailed("If-Unmodified-Since")
	}
	switch {
	case c.NoneMatch != "":
		if matches(c.NoneMatch, v.ETag) {
			return notModified()
		}
	case !c.ModifiedSince.IsZero() && !modified.After(c.ModifiedSince):
		return notModified()
	}
	return nil
}

// Head describes an object, or the version with an id. Errors: NoSuchBucket,
// AccessDenied, NoSuchKey, NoSuchVersion, MethodNotAllowed (a delete marker),
// PreconditionFailed, NotModified.
func (s *Storage) Head(ctx context.Context, id ID, versionID string, c ReadCondition) (Info, error) {
	var info Info
	err := s.store.View(ctx, func(r store.Reader) error {
		b, v, err := look(r, id, versionID, c)
		info = v.info(b, id.Key)
		return err
	})
	if err != nil {
		return Info{}, failed(err, "head object %s", id)
	}
	return info, nil
}

// look finds the version that a read asks for and may have.
func look(r store.Reader, id ID, versionID string, c ReadCondition) (Bucket, version, error) {
	if err := id.check(); err != nil {
		return Bucket{}, version{}, err
	}
	b, err := readBucket(r, id.Account, id.Bucket)
	if err != nil {
		return b, version{}, err
	}
	v, err := find(r, id.Bucket, id.Key, versionID)
	if err != nil {
		return b, v, err
	}
	return b, v, c.check(v)
}

// Get opens an object, or the version with an id, for reading, with the errors
// of Head. The Reader stays on the version it found, whatever is written or
// deleted meanwhile, and must be closed.
func (s *Storage) Get(ctx context.Context, id ID, versionID string, c ReadCondition) (*Reader, error) {
	reader := &Reader{segments: s.segments}
	s.pins.looking.RLock()
	err := s.store.View(ctx, func(r store.Reader) error {
		b, v, err := look(r, id, versionID, c)
		if err != nil {
			return err
		}
		reader.info = v.info(b, id.Key)
		return reader.load(r, v)
	})
	if err == nil && !reader.isSmall {
		s.pins.pin(reader.content)
		reader.unpin = s.pins.unpin
	}
	s.pins.looking.RUnlock()
	if err != nil {
		return nil, failed(err, "get object %s", id)
	}
	return reader, nil
}

// Open opens an object, or the version with an id, for a service that needs
// random access to its bytes (a code zip). It is Get without conditions.
func (s *Storage) Open(ctx context.Context, account, bucket, key, versionID string) (*Reader, error) {
	return s.Get(ctx, ID{Account: account, Bucket: bucket, Key: key}, versionID, ReadCondition{})
}

// Part is one part of a multipart object.
type Part struct {
	Number int
	Size   int64
	// Checksum is base64 in the algorithm of the object's checksum.
	Checksum string
}

// Parts lists the parts of a multipart object whose number is greater than
// after, at most limit (0 is MaxPage), and whether there are more. An object
// that was put in one piece has none.
func (s *Storage) Parts(ctx context.Context, id ID, versionID string, after, limit int) (parts []Part, more bool, err error) {
	if after < 0 || limit < 0 {
		return nil, false, fault.BadRequest("InvalidArgument", "Argument maxParts must be an integer between 0 and 2147483647")
	}
	reader, err := s.Get(ctx, id, versionID, ReadCondition{})
	if err != nil {
		return nil, false, err
	}
	defer reader.Close()
	if limit == 0 || limit > MaxPage {
		limit = MaxPage
	}
	for _, p := range reader.parts() {
		switch {
		case p.Number <= after:
		case len(parts) == limit:
			return parts, true, nil
		default:
			parts = append(parts, p)
		}
	}
	return parts, false, nil
}
