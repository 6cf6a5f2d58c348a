package object

import (
	"context"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Copy tells what to copy and how.
type Copy struct {
	Source ID
	// SourceVersion is empty for the newest version.
	SourceVersion string
	// If is demanded of the source; what a read calls not modified is
	// PreconditionFailed here.
	If ReadCondition
	// Metadata replaces that of the source; nil copies it.
	Metadata *Metadata
	// Tags replace those of the source; nil copies them.
	Tags *Tags
	// OnlyIf makes the write conditional.
	OnlyIf WriteCondition
}

// Copied is the new object and the version it was copied from (empty where the
// source's bucket never had versioning).
type Copied struct {
	Info
	SourceVersion string
}

// Copy copies an object without moving its bytes: source and copy share them. It
// takes the same time for every size. ETag and checksum are those of the source,
// also for one that was uploaded in parts (S3 would compute new ones).
//
// Errors: those of Head for the source and of Put for the copy; InvalidRequest
// for a source of more than 5 GiB and for a copy to itself that changes nothing.
func (s *Storage) Copy(ctx context.Context, to ID, c Copy) (Copied, error) {
	copied, err := s.copy(ctx, to, c)
	return copied, failed(err, "copy object %s to %s", c.Source, to)
}

func (s *Storage) copy(ctx context.Context, to ID, c Copy) (copied Copied, err error) {
	if err := to.check(); err != nil {
		return copied, err
	}
	if c.Metadata != nil {
		m, err := c.Metadata.normalized()
		if err != nil {
			return copied, err
		}
		c.Metadata = &m
	} else if to == c.Source && c.SourceVersion == "" {
		return copied, invalidRequest("This copy request is illegal because it is trying to copy an object to itself without changing " +
			"the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	if c.Tags != nil {
		if err := c.Tags.Check(MaxObjectTags); err != nil {
			return copied, err
		}
	}
	random, err := s.random()
	if err != nil {
		return copied, err
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		from, v, err := look(tx, c.Source, c.SourceVersion, c.If)
		if fault.Is(err, "NotModified") {
			return preconditionFailed("x-amz-copy-source-If-None-Match")
		}
		if err != nil {
			return err
		}
		if v.Size > MaxCopySize {
			return invalidRequest("The specified copy source is larger than the maximum allowable size for a copy source: %d", int64(MaxCopySize))
		}
		b, err := readBucket(tx, to.Account, to.Bucket)
		if err != nil {
			return err
		}
		if err := c.OnlyIf.check(tx, to.Bucket, to.Key); err != nil {
			return err
		}
		copied.SourceVersion = v.info(from, c.Source.Key).VersionID
		if c.Metadata != nil {
			v.Metadata = *c.Metadata
		}
		if c.Tags != nil {
			v.Tags = *c.Tags
		}
		v.Null, v.Upload = 0, ""
		if err := retain(tx, v.Content); err != nil {
			return err
		}
		v, err = publish(tx, b, to.Key, v, random)
		copied.Info = v.info(b, to.Key)
		return err
	})
	if err != nil {
		return Copied{}, err
	}
	s.wake()
	return copied, nil
}
