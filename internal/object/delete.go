package object

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Deletion asks for the deletion of an object, or of one version of it.
type Deletion struct {
	Key string
	// VersionID is empty for the object as a whole: in a bucket with versioning
	// a delete marker hides it then.
	VersionID string
	// ETag is the one that the object must have (If-Match); empty is any.
	ETag string
}

// Deleted tells what a deletion did.
type Deleted struct {
	// VersionID is the version that is gone, or the delete marker that was
	// made; empty in a bucket that never had versioning.
	VersionID string
	// Marker says that VersionID is or was a delete marker.
	Marker bool
	// Err is why this one of several was not deleted.
	Err error
}

// Delete deletes an object or one version. What is not there is no error, unless
// an ETag was asked for. Errors: NoSuchBucket, AccessDenied, PreconditionFailed,
// InvalidArgument (VersionID).
func (s *Storage) Delete(ctx context.Context, account, bucket string, d Deletion) (Deleted, error) {
	all, err := s.DeleteAll(ctx, account, bucket, []Deletion{d})
	if err != nil {
		return Deleted{}, err
	}
	return all[0], all[0].Err
}

// deleteBatch is how many deletions share a transaction.
const deleteBatch = 200

// DeleteAll deletes several objects or versions and returns what happened to
// each, in their order. The error is of the whole; what Deleted.Err tells is of
// one.
func (s *Storage) DeleteAll(ctx context.Context, account, bucket string, list []Deletion) ([]Deleted, error) {
	done := make([]Deleted, 0, len(list))
	for len(list) > 0 {
		n := min(deleteBatch, len(list))
		some, err := s.deleteSome(ctx, account, bucket, list[:n])
		if err != nil {
			return nil, failed(err, "delete objects of %s", bucket)
		}
		done, list = append(done, some...), list[n:]
	}
	return done, nil
}

func (s *Storage) deleteSome(ctx context.Context, account, bucket string, list []Deletion) ([]Deleted, error) {
	random, err := s.random()
	if err != nil {
		return nil, err
	}
	done := make([]Deleted, len(list))
	err = s.store.Update(ctx, func(tx store.Tx) error {
		b, err := readBucket(tx, account, bucket)
		if err != nil {
			return err
		}
		for i, d := range list {
			deleted, err := deleteOne(tx, b, d, nth(random, i))
			if f := new(fault.Error); errors.As(err, &f) {
				deleted.Err = f
			} else if err != nil {
				return err
			}
			done[i] = deleted
		}
		return nil
	})
	if err == nil {
		s.wake()
	}
	return done, err
}

// nth is what makes the i-th of several delete markers: no two have the same id.
func nth(random [stampRandom]byte, i int) [stampRandom]byte {
	binary.BigEndian.PutUint16(random[:], uint16(i)^binary.BigEndian.Uint16(random[:]))
	return random
}

// deleteOne returns a fault only when it has written nothing.
func deleteOne(tx store.Tx, b Bucket, d Deletion, random [stampRandom]byte) (Deleted, error) {
	if err := CheckKey(d.Key); err != nil {
		return Deleted{}, err
	}
	if d.VersionID != "" {
		return deleteVersion(tx, b, d)
	}
	if err := (WriteCondition{ETag: d.ETag}).check(tx, b.Name, d.Key); err != nil {
		return Deleted{}, err
	}
	if b.Versioning != Unversioned {
		v, err := publish(tx, b, d.Key, version{Marker: true}, random)
		return Deleted{VersionID: v.ID, Marker: true}, err
	}
	if err := removeNull(tx, b.Name, d.Key); err != nil {
		return Deleted{}, err
	}
	return Deleted{}, writeCurrent(tx, b.Name, d.Key, version{}, false)
}

func deleteVersion(tx store.Tx, b Bucket, d Deletion) (Deleted, error) {
	deleted := Deleted{VersionID: d.VersionID}
	v, ok, err := versionAt(tx, b.Name, d.Key, d.VersionID)
	if err != nil {
		return Deleted{}, err
	}
	if d.ETag != "" {
		if !ok || v.Marker {
			return Deleted{}, noSuchKey(d.Key)
		}
		if !matches(d.ETag, v.ETag) {
			return Deleted{}, preconditionFailed("If-Match")
		}
	}
	if !ok {
		return deleted, nil
	}
	deleted.Marker = v.Marker
	if err := removeVersion(tx, b.Name, d.Key, v); err != nil {
		return Deleted{}, err
	}
	newest, any, err := newestVersion(tx, b.Name, d.Key)
	if err != nil || any && newest.seq > v.seq {
		return deleted, err // it was not the newest
	}
	return deleted, writeCurrent(tx, b.Name, d.Key, newest, any)
}
