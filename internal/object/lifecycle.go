package object

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// MaxLifecycleRules is S3's bound on the rules of a bucket.
const MaxLifecycleRules = 1000

// LifecycleRule removes the objects of a bucket below a prefix when they have been
// there for some days. As in S3 they go at the midnight (UTC) after that; in a bucket
// with versioning a delete marker hides them.
type LifecycleRule struct {
	ID     string `json:"id"`
	Prefix string `json:"prefix,omitempty"`
	Days   int    `json:"days"`
	// Disabled rules are kept and do nothing.
	Disabled bool `json:"disabled,omitempty"`
}

// due reports whether the rule removes an object of this age now.
func (l LifecycleRule) due(o ListedObject, now time.Time) bool {
	const day = 24 * time.Hour
	end := o.Modified.UTC().AddDate(0, 0, l.Days)
	if midnight := end.Truncate(day); !midnight.Equal(end) {
		end = midnight.Add(day)
	}
	return !l.Disabled && strings.HasPrefix(o.Key, l.Prefix) && !now.Before(end)
}

// SetLifecycle replaces the rules of a bucket; none removes them. Errors: those of
// Bucket, and InvalidArgument for rules that S3 would not take.
func (s *Storage) SetLifecycle(ctx context.Context, account, name string, rules []LifecycleRule) error {
	if len(rules) > MaxLifecycleRules {
		return fault.BadRequest("InvalidRequest", "The number of lifecycle rules must not exceed the allowed limit of %d rules", MaxLifecycleRules)
	}
	seen := map[string]bool{}
	for _, l := range rules {
		if l.Days < 1 {
			return invalidArgument("Days", fmt.Sprint(l.Days), "'Days' for Expiration action must be a positive integer")
		}
		if len(l.ID) > 255 {
			return invalidArgument("ID", l.ID, "ID length should not exceed allowed limit of 255")
		}
		if seen[l.ID] {
			return invalidArgument("ID", l.ID, "Rule ID must be unique. Found same ID for more than one rule")
		}
		seen[l.ID] = true
	}
	return s.changeBucket(ctx, account, name, "lifecycle", func(b *bucketState) { b.Lifecycle = slices.Clone(rules) })
}

// ExpireObjects removes the objects whose time is over by the rules of their bucket.
// Run calls it.
func (s *Storage) ExpireObjects(ctx context.Context) error {
	ctx = store.Freeing(ctx)
	var ruled []Bucket
	err := s.store.View(ctx, func(r store.Reader) error {
		ruled = nil
		for found, err := range buckets().All(r) {
			if err != nil {
				return err
			}
			if len(found.State.Lifecycle) > 0 {
				ruled = append(ruled, bucketOf(found))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for buckets with lifecycle rules: %w", err)
	}
	for _, b := range ruled {
		for token, more := "", true; more; {
			if token, more, err = s.expirePage(ctx, b, token); err != nil {
				return fmt.Errorf("remove objects of bucket %s by its rules: %w", b.Name, err)
			}
		}
	}
	return nil
}

// expirePage removes what is due of one page of a bucket, and returns where the next
// one begins. What it found is looked at once more where it is removed: an object that
// was written anew in between stays.
func (s *Storage) expirePage(ctx context.Context, b Bucket, token string) (next string, more bool, err error) {
	var page Listing
	var due []string
	look := func(r store.Reader) error {
		due = nil
		var err error
		if page, err = listObjects(r, b.Name, List{Token: token, Max: deleteBatch}); err != nil {
			return err
		}
		for _, o := range page.Objects {
			if slices.ContainsFunc(b.Lifecycle, func(l LifecycleRule) bool { return l.due(o, r.Now()) }) {
				due = append(due, o.Key)
			}
		}
		return nil
	}
	if err := s.store.View(ctx, look); err != nil || len(due) == 0 {
		return page.Token, page.Truncated, err
	}
	random, err := s.random()
	if err != nil {
		return "", false, err
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		now, err := readBucket(tx, b.Account, b.Name)
		if _, gone := errors.AsType[*fault.Error](err); gone {
			page = Listing{}
			return nil
		}
		if err != nil {
			return err
		}
		b = now
		if err := look(tx); err != nil {
			return err
		}
		for i, key := range due {
			if _, err := deleteOne(tx, b, Deletion{Key: key}, nth(random, i)); err != nil {
				return err
			}
		}
		return nil
	})
	s.wake()
	return page.Token, page.Truncated, err
}
