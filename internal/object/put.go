package object

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/outcrop/outcrop/internal/object/checksum"
	"github.com/outcrop/outcrop/internal/store"
)

// Put is what goes with the bytes of a new object.
type Put struct {
	Metadata Metadata
	Tags     Tags
	// OnlyIf makes the write conditional.
	OnlyIf WriteCondition
}

// WriteCondition is tested in the transaction that would write.
type WriteCondition struct {
	// Absent demands that there is no such object (If-None-Match: *).
	Absent bool
	// ETag is the one that the object must have (If-Match); "*" is any.
	ETag string
}

func (c WriteCondition) check(r store.Reader, bucket, key string) error {
	if !c.Absent && c.ETag == "" {
		return nil
	}
	v, ok, err := newestVersion(r, bucket, key)
	if err != nil {
		return err
	}
	live := ok && !v.Marker
	switch {
	case c.Absent && live:
		return preconditionFailed("If-None-Match")
	case c.ETag != "" && !live:
		return noSuchKey(key)
	case c.ETag != "" && !matches(c.ETag, v.ETag):
		return preconditionFailed("If-Match")
	}
	return nil
}

// Put stores an object. It returns when the object is durable and visible; with
// an error nothing has changed. Memory does not grow with the size of the body.
//
// Errors: NoSuchBucket, AccessDenied, KeyTooLongError, MetadataTooLarge,
// InvalidStorageClass, EntityTooLarge, IncompleteBody, InvalidDigest, BadDigest,
// InvalidRequest, BadRequest and InvalidTag, PreconditionFailed, NoSuchKey (If-Match), InsufficientStorage.
// An error of the body's reader is in the chain.
func (s *Storage) Put(ctx context.Context, id ID, put Put, body Body) (Info, error) {
	info, err := s.put(ctx, id, put, body)
	return info, failed(err, "put object %s", id)
}

func (s *Storage) put(ctx context.Context, id ID, put Put, body Body) (info Info, err error) {
	if err := id.check(); err != nil {
		return info, err
	}
	if put.Metadata, err = put.Metadata.normalized(); err != nil {
		return info, err
	}
	if err := put.Tags.Check(MaxObjectTags); err != nil {
		return info, err
	}
	if err := body.check(); err != nil {
		return info, err
	}
	// Whoever will be refused is better refused before the bytes have come.
	err = s.store.View(ctx, func(r store.Reader) error {
		if _, err := readBucket(r, id.Account, id.Bucket); err != nil {
			return err
		}
		return put.OnlyIf.check(r, id.Bucket, id.Key)
	})
	if err != nil {
		return info, err
	}
	random, err := s.random()
	if err != nil {
		return info, err
	}
	got, err := s.receive(ctx, body, smallSize)
	if err != nil {
		return info, err
	}
	defer func() { s.settle(ctx, got, err) }()
	err = s.store.Update(ctx, func(tx store.Tx) error {
		b, err := readBucket(tx, id.Account, id.Bucket)
		if err != nil {
			return err
		}
		if err := put.OnlyIf.check(tx, id.Bucket, id.Key); err != nil {
			return err
		}
		if err := got.insert(tx); err != nil {
			return err
		}
		v, err := publish(tx, b, id.Key, version{
			Content: got.id, Size: got.size, ETag: got.etag(), Metadata: put.Metadata, Tags: put.Tags,
			Checksum: Checksum{Algorithm: body.Algorithm, Type: checksum.FullObject, Value: checksum.Encode(got.sum)},
		}, random)
		info = v.info(b, id.Key)
		return err
	})
	if err == nil {
		s.wake() // of an object that was replaced
	}
	return info, err
}

// matches compares an ETag with one from a caller, which may be "*", quoted, weak
// or a list.
func matches(wanted, etag string) bool {
	for one := range strings.SplitSeq(wanted, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == "*" || strings.Trim(one, `"`) == etag {
			return true
		}
	}
	return false
}

func parseBase64(text string, size int) ([]byte, bool) {
	if len(text) != base64.StdEncoding.EncodedLen(size) {
		return nil, false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	return raw, err == nil && len(raw) == size
}

func lower(a checksum.Algorithm) string { return strings.ToLower(string(a)) }
