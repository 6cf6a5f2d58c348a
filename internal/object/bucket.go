package object

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// bucketSpec is what a bucket's creator sent, bucketState what became of it.
type (
	bucketSpec struct {
		Region string `json:"region"`
	}
	bucketState struct {
		Account      string                      `json:"account"`
		Versioning   Versioning                  `json:"versioning,omitempty"`
		Tags         Tags                        `json:"tags,omitempty"`
		PublicAccess *setting[PublicAccessBlock] `json:"publicAccess,omitempty"`
		Ownership    *setting[Ownership]         `json:"ownership,omitempty"`
		Lifecycle    []LifecycleRule             `json:"lifecycle,omitempty"`
		Policy       string                      `json:"policy,omitempty"`
		Pins         pin.Pins                    `json:"pins,omitempty"`
	}
	bucketResource = store.Resource[bucketSpec, bucketState]
)

// Bucket names are unique over all accounts and regions, so buckets are documents
// of no one's scope, listed under their account.
func buckets() store.Collection[bucketSpec, bucketState] {
	return store.Collection[bucketSpec, bucketState]{Kind: "bucket"}
}

// BucketTopic changes when a bucket or a setting of one does.
func BucketTopic() store.Topic { return buckets().Topic() }

func bucketScope() store.Scope { return store.Scope{Account: store.Global, Region: store.Global} }

func bucketOf(r bucketResource) Bucket {
	return Bucket{
		Name: r.ID, Account: r.State.Account, Region: r.Spec.Region,
		Created: r.Created, Versioning: r.State.Versioning, Tags: r.State.Tags,
		PublicAccess: r.State.PublicAccess.or(PublicAccessBlock{true, true, true, true}), Ownership: r.State.Ownership.or(OwnerEnforced),
		Lifecycle: r.State.Lifecycle, Policy: r.State.Policy, Pins: r.State.Pins,
	}
}

// readBucket returns a bucket of the account. Another account's is AccessDenied.
func readBucket(r store.Reader, account, name string) (Bucket, error) {
	if !validBucketName(name) {
		return Bucket{}, invalidBucketName(name)
	}
	found, err := buckets().Get(r, bucketScope(), name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Bucket{}, noSuchBucket(name)
	case err != nil:
		return Bucket{}, err
	case account == "" || found.State.Account != account:
		return Bucket{}, accessDenied()
	}
	return bucketOf(found), nil
}

// classicRegion is the one region in which creating one's own bucket again
// succeeds.
const classicRegion = "us-east-1"

// NewBucket is what a bucket begins with; the zero value is S3's default.
type NewBucket struct {
	Tags      Tags
	Ownership Ownership
}

// CreateBucket creates a bucket. Errors: InvalidBucketName, BucketAlreadyExists,
// BucketAlreadyOwnedByYou, BadRequest and InvalidTag.
func (s *Storage) CreateBucket(ctx context.Context, account, region, name string, n NewBucket) (Bucket, error) {
	if err := CheckBucketName(name); err != nil {
		return Bucket{}, err
	}
	if account == "" || region == "" {
		return Bucket{}, fault.BadRequest("InvalidRequest", "A bucket needs an account and a region")
	}
	if err := n.Tags.Check(MaxBucketTags); err != nil {
		return Bucket{}, err
	}
	state := bucketState{Account: account, Tags: n.Tags}
	if n.Ownership != "" {
		state.Ownership = settingOf(&n.Ownership)
	}
	var made Bucket
	err := s.store.Update(ctx, func(tx store.Tx) error {
		old, err := buckets().Get(tx, bucketScope(), name)
		switch {
		case err == nil && old.State.Account != account:
			return bucketAlreadyExists(name)
		case err == nil && old.Spec.Region == classicRegion && region == classicRegion:
			made = bucketOf(old)
			return nil
		case err == nil:
			return bucketAlreadyOwned(name)
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		r, err := buckets().Create(tx, bucketResource{
			Scope: bucketScope(), ID: name, Parent: account,
			Spec:  bucketSpec{Region: region},
			State: state,
		})
		made = bucketOf(r)
		return err
	})
	return made, failed(err, "create bucket %s", name)
}

// Bucket returns a bucket of the account. Errors: NoSuchBucket, AccessDenied.
func (s *Storage) Bucket(ctx context.Context, account, name string) (Bucket, error) {
	var b Bucket
	err := s.store.View(ctx, func(r store.Reader) (err error) {
		b, err = readBucket(r, account, name)
		return err
	})
	return b, failed(err, "read bucket %s", name)
}

// BucketList asks for some of the buckets of an account.
type BucketList struct {
	Prefix string
	// Region leaves out the buckets of others; empty is all.
	Region string
	// After is the name of the last bucket of the page before.
	After string
	// Max is the largest number of buckets; 0 is all.
	Max int
}

// Buckets lists the buckets of an account by name, and whether there are more.
func (s *Storage) Buckets(ctx context.Context, account string, l BucketList) (list []Bucket, more bool, err error) {
	err = s.store.View(ctx, func(r store.Reader) error {
		list = nil
		for found, err := range buckets().Each(r, bucketScope(), account) {
			if err != nil {
				return err
			}
			b := bucketOf(found)
			if strings.HasPrefix(b.Name, l.Prefix) && b.Name > l.After && (l.Region == "" || b.Region == l.Region) {
				list = append(list, b)
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b Bucket) int { return strings.Compare(a.Name, b.Name) })
	if l.Max > 0 && len(list) > l.Max {
		list, more = list[:l.Max], true
	}
	return list, more, failed(err, "list buckets of %s", account)
}

// DeleteBucket deletes an empty bucket and aborts its uploads. Errors:
// NoSuchBucket, AccessDenied, BucketNotEmpty.
func (s *Storage) DeleteBucket(ctx context.Context, account, name string) error {
	err := s.store.Update(ctx, func(tx store.Tx) error {
		b, err := readBucket(tx, account, name)
		if err != nil {
			return err
		}
		within := store.Prefix(bucketSpace(name))
		within.Limit = 1
		for _, err := range tx.Rows(tableVersion, within) {
			if err != nil {
				return err
			}
			return bucketNotEmpty(name, b.Versioning)
		}
		if err := abandonUploads(tx, name); err != nil {
			return err
		}
		return buckets().Delete(tx, bucketScope(), name)
	})
	if err == nil {
		s.wake()
	}
	return failed(err, "delete bucket %s", name)
}

func (s *Storage) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}
