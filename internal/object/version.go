package object

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/object/checksum"
	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// version is the row of one version of an object, or of a delete marker.
type version struct {
	// seq is part of the row's key.
	seq uint64
	ID  string `json:"id"`
	// Null is the sequence number that the null version had when this row was
	// written, 0 when there was none or this is it. A later one would be newer,
	// so that of the newest row is right or names a row that is gone.
	Null     uint64     `json:"null,omitempty"`
	Marker   bool       `json:"marker,omitempty"`
	Modified time.Time  `json:"modified"`
	Content  segment.ID `json:"content,omitzero"`
	Size     int64      `json:"size,omitempty"`
	ETag     string     `json:"etag,omitempty"`
	Checksum Checksum   `json:"checksum,omitzero"`
	Parts    int        `json:"parts,omitempty"`
	// Upload is the multipart upload it came from, so that completing it a
	// second time is answered as the first was.
	Upload   string   `json:"upload,omitempty"`
	Metadata Metadata `json:"metadata,omitzero"`
	Tags     Tags     `json:"tags,omitempty"`
}

// current is the row of a live object in the table that ListObjects reads.
type current struct {
	ETag      string             `json:"e"`
	Size      int64              `json:"s"`
	Modified  int64              `json:"m"` // microseconds since 1970
	Algorithm checksum.Algorithm `json:"a,omitempty"`
	Type      checksum.Type      `json:"t,omitempty"`
}

func (v version) null() bool { return v.ID == NullVersion }

// nullSeq is where the null version is, as far as v knows.
func (v version) nullSeq() uint64 {
	if v.null() {
		return v.seq
	}
	return v.Null
}

func (v version) info(b Bucket, key string) Info {
	info := Info{
		Bucket: b.Name, Key: key, VersionID: v.ID, Modified: v.Modified, Size: v.Size,
		ETag: v.ETag, Checksum: v.Checksum, Parts: v.Parts, Metadata: v.Metadata, Tags: v.Tags,
	}
	if b.Versioning == Unversioned {
		info.VersionID = ""
	}
	return info
}

func decodeVersion(row []byte, seq uint64) (version, error) {
	v := version{seq: seq}
	if err := json.Unmarshal(row, &v); err != nil {
		return v, fmt.Errorf("decode version: %w", err)
	}
	return v, nil
}

// newestVersion returns the newest version or delete marker of a key; false when
// there is none.
func newestVersion(r store.Reader, bucket, key string) (version, bool, error) {
	within := store.Prefix(versionsOf(bucket, key))
	within.Limit = 1
	for row, err := range r.Rows(tableVersion, within) {
		if err != nil {
			return version{}, false, err
		}
		seq, ok := seqOf(row.Key[len(within.From):])
		if !ok {
			return version{}, false, fmt.Errorf("read version of %s/%s: %w", bucket, key, errDamaged)
		}
		v, err := decodeVersion(row.Value, seq)
		return v, err == nil, err
	}
	return version{}, false, nil
}

// versionAt returns the version with that id; false when there is none.
func versionAt(r store.Reader, bucket, key, id string) (version, bool, error) {
	var seq uint64
	if id == NullVersion {
		newest, ok, err := newestVersion(r, bucket, key)
		if err != nil || !ok || newest.null() {
			return newest, ok, err
		}
		seq = newest.Null
	} else {
		s, ok := parseStamp(id)
		if !ok {
			return version{}, false, invalidArgument("versionId", id, "Invalid version id specified")
		}
		seq = s.seq()
	}
	row, err := r.Row(tableVersion, versionKey(bucket, key, seq))
	if errors.Is(err, store.ErrNotFound) {
		return version{}, false, nil
	}
	if err != nil {
		return version{}, false, err
	}
	v, err := decodeVersion(row, seq)
	return v, err == nil && v.ID == id, err
}

// find returns the live version that a read asks for: the newest where id is
// empty.
func find(r store.Reader, bucket, key, id string) (version, error) {
	if id == "" {
		v, ok, err := newestVersion(r, bucket, key)
		switch {
		case err != nil:
			return v, err
		case !ok:
			return v, noSuchKey(key)
		case v.Marker:
			return v, noSuchKey(key).Because(&DeleteMarker{VersionID: v.ID, Modified: v.Modified})
		}
		return v, nil
	}
	v, ok, err := versionAt(r, bucket, key, id)
	switch {
	case err != nil:
		return v, err
	case !ok:
		return v, noSuchVersion(key, id)
	case v.Marker:
		return v, markerNotAllowed(key).Because(&DeleteMarker{VersionID: v.ID, Modified: v.Modified})
	}
	return v, nil
}

// publish makes v the newest version of a key, replacing the null version where
// v is the null version. The content of v is counted by the caller, before, so
// that a content which is replaced by itself is never without a user. random is
// for v's id, which publish sets.
func publish(tx store.Tx, b Bucket, key string, v version, random [stampRandom]byte) (version, error) {
	newest, ok, err := newestVersion(tx, b.Name, key)
	if err != nil {
		return v, err
	}
	v.Modified = tx.Now()
	if b.Versioning == Enabled {
		v.seq = nextSeq(newest.seq, v.Modified)
		v.ID = newStamp(v.seq, random).String()
		v.Null = newest.nullSeq()
	} else {
		v.ID = NullVersion
		if ok && newest.null() {
			v.seq = newest.seq // in place
			err = releaseVersion(tx, newest)
		} else {
			v.seq = nextSeq(newest.seq, v.Modified)
			err = removeNull(tx, b.Name, key)
		}
		if err != nil {
			return v, err
		}
	}
	row, err := json.Marshal(v)
	if err != nil {
		return v, fmt.Errorf("encode version: %w", err)
	}
	if err := tx.PutRow(tableVersion, versionKey(b.Name, key, v.seq), row); err != nil {
		return v, err
	}
	return v, writeCurrent(tx, b.Name, key, v, true)
}

// removeNull removes the null version of a key if there is one.
func removeNull(tx store.Tx, bucket, key string) error {
	old, ok, err := versionAt(tx, bucket, key, NullVersion)
	if err != nil || !ok {
		return err
	}
	return removeVersion(tx, bucket, key, old)
}

// removeVersion removes the row of a version and gives its content up. The table
// of current objects is the caller's.
func removeVersion(tx store.Tx, bucket, key string, v version) error {
	if err := tx.DeleteRow(tableVersion, versionKey(bucket, key, v.seq)); err != nil {
		return err
	}
	return releaseVersion(tx, v)
}

func releaseVersion(tx store.Tx, v version) error {
	if v.Marker {
		return nil
	}
	return release(tx, v.Content)
}

// writeCurrent makes the listing show v, or nothing when there is no version or
// the newest is a delete marker.
func writeCurrent(tx store.Tx, bucket, key string, v version, ok bool) error {
	if !ok || v.Marker {
		return tx.DeleteRow(tableCurrent, currentKey(bucket, key))
	}
	row, err := json.Marshal(current{
		ETag: v.ETag, Size: v.Size, Modified: v.Modified.UnixMicro(),
		Algorithm: v.Checksum.Algorithm, Type: v.Checksum.Type,
	})
	if err != nil {
		return fmt.Errorf("encode listing of %s/%s: %w", bucket, key, err)
	}
	return tx.PutRow(tableCurrent, currentKey(bucket, key), row)
}
