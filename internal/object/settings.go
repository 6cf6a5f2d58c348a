package object

import (
	"context"
	"maps"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// PublicAccessBlock says which ways of making a bucket public are shut. There are
// none here: nobody is served without a signature, whatever it says.
type PublicAccessBlock struct {
	BlockACLs       bool `json:"blockAcls,omitempty"`
	IgnoreACLs      bool `json:"ignoreAcls,omitempty"`
	BlockPolicy     bool `json:"blockPolicy,omitempty"`
	RestrictBuckets bool `json:"restrictBuckets,omitempty"`
}

// Ownership says who owns objects that others write. A bucket is served to its
// own account alone, so all three mean the same here.
type Ownership string

// OwnerEnforced is what a bucket has that nobody said anything else of.
const (
	OwnerEnforced  Ownership = "BucketOwnerEnforced"
	OwnerPreferred Ownership = "BucketOwnerPreferred"
	ObjectWriter   Ownership = "ObjectWriter"
)

// setting is what was said of a bucket, which may be that it has none; a bucket
// without a setting has S3's default.
type setting[T any] struct {
	Value   T    `json:"value"`
	Removed bool `json:"removed,omitempty"`
}

func settingOf[T any](value *T) *setting[T] {
	if value == nil {
		return &setting[T]{Removed: true}
	}
	return &setting[T]{Value: *value}
}

// or is the value, the default where nothing was said, and nil where it was
// removed.
func (s *setting[T]) or(standard T) *T {
	switch {
	case s == nil:
		return &standard
	case s.Removed:
		return nil
	}
	return &s.Value
}

// changeBucket changes the state of a bucket of the account.
func (s *Storage) changeBucket(ctx context.Context, account, name, what string, change func(*bucketState)) error {
	err := s.store.Update(ctx, func(tx store.Tx) error {
		if _, err := readBucket(tx, account, name); err != nil {
			return err
		}
		_, err := buckets().Update(tx, bucketScope(), name, func(r *bucketResource) error {
			change(&r.State)
			return nil
		})
		return err
	})
	return failed(err, "set %s of bucket %s", what, name)
}

// SetVersioning enables or suspends versioning. This and its siblings have the
// errors of Bucket.
func (s *Storage) SetVersioning(ctx context.Context, account, name string, v Versioning) error {
	if v != Enabled && v != Suspended {
		return fault.BadRequest("IllegalVersioningConfigurationException", "The Versioning element must be specified")
	}
	return s.changeBucket(ctx, account, name, "versioning", func(b *bucketState) { b.Versioning = v })
}

// SetBucketTags replaces the tags of a bucket; none removes them. Errors:
// BadRequest, InvalidTag.
func (s *Storage) SetBucketTags(ctx context.Context, account, name string, t Tags) error {
	if err := t.Check(MaxBucketTags); err != nil {
		return err
	}
	return s.changeBucket(ctx, account, name, "tags", func(b *bucketState) { b.Tags = maps.Clone(t) })
}

// SetPublicAccessBlock keeps what is said of a bucket; nil removes it.
func (s *Storage) SetPublicAccessBlock(ctx context.Context, account, name string, p *PublicAccessBlock) error {
	return s.changeBucket(ctx, account, name, "public access block", func(b *bucketState) { b.PublicAccess = settingOf(p) })
}

// SetOwnership keeps what is said of a bucket; nil removes it.
func (s *Storage) SetOwnership(ctx context.Context, account, name string, o *Ownership) error {
	return s.changeBucket(ctx, account, name, "ownership", func(b *bucketState) { b.Ownership = settingOf(o) })
}

// SetPolicy attaches a policy to a bucket, and whom it names; the empty text removes
// it.
func (s *Storage) SetPolicy(ctx context.Context, account, name, text string, pins pin.Pins) error {
	return s.changeBucket(ctx, account, name, "policy", func(b *bucketState) { b.Policy, b.Pins = text, pins })
}
