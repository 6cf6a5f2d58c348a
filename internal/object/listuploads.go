package object

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/outcrop/outcrop/internal/store"
)

// UploadList asks for a page of the uploads under way in a bucket.
type UploadList struct {
	Prefix    string
	Delimiter string
	// KeyMarker and UploadMarker are the last key and upload of the page before;
	// without UploadMarker it goes on after all uploads of the key.
	KeyMarker    string
	UploadMarker string
	// Max is the largest number of uploads and common prefixes together, no more
	// than MaxPage; 0 lists nothing.
	Max int
}

// UploadListing is a page of uploads: by key, and within a key the oldest first.
type UploadListing struct {
	Uploads   []Upload
	Prefixes  []string
	Truncated bool
	// KeyMarker and UploadMarker continue a truncated page.
	KeyMarker    string
	UploadMarker string
}

// ListUploads lists a page of the uploads under way. Errors: NoSuchBucket,
// AccessDenied, InvalidArgument (UploadMarker).
func (s *Storage) ListUploads(ctx context.Context, account, bucket string, l UploadList) (UploadListing, error) {
	return view(ctx, s, account, bucket, "uploads", l, listUploads)
}

func listUploads(r store.Reader, bucket string, l UploadList) (UploadListing, error) {
	var list UploadListing
	sc := scan{
		table: tableUpload, bucket: bucket, prefix: l.Prefix, delimiter: l.Delimiter,
		limit: min(l.Max, MaxPage), escaped: true,
		item: func(key string, rest, value []byte) error {
			var u upload
			if err := json.Unmarshal(value, &u); err != nil || len(rest) != stampSize {
				return fmt.Errorf("decode upload of %s/%s: %w", bucket, key, errDamaged)
			}
			listed := u.upload(key, stamp(rest))
			list.Uploads = append(list.Uploads, listed)
			list.KeyMarker, list.UploadMarker = key, listed.ID
			return nil
		},
		roll: func(prefix string) {
			list.Prefixes = append(list.Prefixes, prefix)
			list.KeyMarker, list.UploadMarker = prefix, ""
		},
	}
	from, err := l.from(&sc)
	if err != nil {
		return list, err
	}
	if list.Truncated, err = sc.run(r, from); err != nil {
		return list, err
	}
	if !list.Truncated {
		list.KeyMarker, list.UploadMarker = "", ""
	}
	return list, nil
}

// from is the row key to begin with. S3 does not regard an upload marker that
// comes without a key marker.
func (l UploadList) from(sc *scan) ([]byte, error) {
	if l.KeyMarker == "" {
		return nil, nil
	}
	if l.UploadMarker == "" {
		sc.under = l.KeyMarker
		return append(sc.row(l.KeyMarker), afterKey...), nil
	}
	st, ok := parseStamp(l.UploadMarker)
	if !ok {
		return nil, invalidArgument("upload-id-marker", l.UploadMarker, "Invalid uploadId marker")
	}
	return append(uploadKey(sc.bucket, l.KeyMarker, st), 0), nil
}
