package object

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// VersionList asks for a page of the versions in a bucket.
type VersionList struct {
	Prefix    string
	Delimiter string
	// KeyMarker and VersionMarker are the last key and version of the page
	// before; without VersionMarker it goes on after all versions of the key.
	KeyMarker     string
	VersionMarker string
	// Max is the largest number of versions, delete markers and common prefixes
	// together, no more than MaxPage; 0 lists nothing.
	Max int
}

// VersionListing is a page of the versions in a bucket: by key, and within a key
// the newest first.
type VersionListing struct {
	Versions  []ListedVersion
	Prefixes  []string
	Truncated bool
	// KeyMarker and VersionMarker continue a truncated page.
	KeyMarker     string
	VersionMarker string
}

// ListedVersion is what a listing tells of a version or of a delete marker.
type ListedVersion struct {
	ListedObject
	VersionID string
	Latest    bool
	Marker    bool
}

// ListVersions lists a page of the versions and delete markers of a bucket.
// Errors: NoSuchBucket, AccessDenied, InvalidArgument (VersionMarker).
func (s *Storage) ListVersions(ctx context.Context, account, bucket string, l VersionList) (VersionListing, error) {
	return view(ctx, s, account, bucket, "versions", l, listVersions)
}

func listVersions(r store.Reader, bucket string, l VersionList) (VersionListing, error) {
	var list VersionListing
	at, err := l.latest(r, bucket)
	if err != nil {
		return list, err
	}
	sc := scan{
		table: tableVersion, bucket: bucket, prefix: l.Prefix, delimiter: l.Delimiter,
		limit: min(l.Max, MaxPage), escaped: true,
		item: func(key string, rest, value []byte) error {
			seq, ok := seqOf(rest)
			if !ok {
				return fmt.Errorf("list version of %s/%s: %w", bucket, key, errDamaged)
			}
			v, err := decodeVersion(value, seq)
			if err != nil {
				return err
			}
			latest := key != at.key
			if key == l.KeyMarker {
				latest = seq == at.seq
			}
			at.key = key
			list.Versions = append(list.Versions, v.listed(key, latest))
			list.KeyMarker, list.VersionMarker = key, v.ID
			return nil
		},
		roll: func(prefix string) {
			list.Prefixes = append(list.Prefixes, prefix)
			list.KeyMarker, list.VersionMarker = prefix, ""
		},
	}
	from, err := l.from(r, &sc)
	if err != nil {
		return list, err
	}
	if list.Truncated, err = sc.run(r, from); err != nil {
		return list, err
	}
	if !list.Truncated {
		list.KeyMarker, list.VersionMarker = "", ""
	}
	return list, nil
}

func (v version) listed(key string, latest bool) ListedVersion {
	return ListedVersion{
		ListedObject: ListedObject{
			Key: key, Modified: v.Modified.In(time.UTC), Size: v.Size, ETag: v.ETag,
			Checksum: Checksum{Algorithm: v.Checksum.Algorithm, Type: v.Checksum.Type},
		},
		VersionID: v.ID, Latest: latest, Marker: v.Marker,
	}
}

// place is where a listing of versions stands: the key it has seen last, and the
// number of the newest version of the marker's key.
type place struct {
	key string
	seq uint64
}

func (l VersionList) latest(r store.Reader, bucket string) (place, error) {
	if l.VersionMarker == "" {
		return place{}, nil
	}
	if l.KeyMarker == "" {
		return place{}, invalidArgument("version-id-marker", l.VersionMarker, "A version-id marker cannot be specified without a key marker.")
	}
	newest, _, err := newestVersion(r, bucket, l.KeyMarker)
	return place{seq: newest.seq}, err
}

// from is the row key to begin with. A version marker whose version is gone still
// tells its place, but for the null version: then the key is listed again, since
// to repeat is better than to leave out.
func (l VersionList) from(r store.Reader, sc *scan) ([]byte, error) {
	if l.KeyMarker == "" {
		return nil, nil
	}
	if l.VersionMarker == "" {
		sc.under = l.KeyMarker
		return append(sc.row(l.KeyMarker), afterKey...), nil
	}
	var seq uint64
	if l.VersionMarker == NullVersion {
		v, ok, err := versionAt(r, sc.bucket, l.KeyMarker, NullVersion)
		if err != nil {
			return nil, err
		}
		if !ok {
			return versionsOf(sc.bucket, l.KeyMarker), nil
		}
		seq = v.seq
	} else {
		st, ok := parseStamp(l.VersionMarker)
		if !ok {
			return nil, invalidArgument("version-id-marker", l.VersionMarker, "Invalid version id specified")
		}
		seq = st.seq()
	}
	return append(bytes.Clone(versionKey(sc.bucket, l.KeyMarker, seq)), 0), nil
}
