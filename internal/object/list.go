package object

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// List asks for a page of a bucket's objects. At most one of Marker, StartAfter
// and Token counts: Token before StartAfter before Marker.
type List struct {
	Prefix    string
	Delimiter string
	// Marker is ListObjects': what comes after that key, and not the common
	// prefix that it is in.
	Marker string
	// StartAfter is ListObjectsV2's: what comes after that key, with the common
	// prefix that it is in if there is more of it.
	StartAfter string
	// Token is Listing.Token of the page before.
	Token string
	// Max is the largest number of objects and common prefixes together, no
	// more than MaxPage; 0 lists nothing.
	Max int
}

// Listing is a page of a bucket's objects, both lists in the order of UTF-8.
type Listing struct {
	Objects  []ListedObject
	Prefixes []string
	// Truncated says that there is more.
	Truncated bool
	// Marker is the last key or common prefix of a truncated page, and Token
	// the same as ListObjectsV2 wants it.
	Marker string
	Token  string
}

// ListedObject is what a listing tells of an object.
type ListedObject struct {
	Key      string
	Modified time.Time
	Size     int64
	ETag     string
	// Checksum has no value.
	Checksum Checksum
}

// ListObjects lists a page of the objects of a bucket. It reads what it lists and
// not what is below a common prefix. Errors: NoSuchBucket, AccessDenied,
// InvalidArgument (Token).
func (s *Storage) ListObjects(ctx context.Context, account, bucket string, l List) (Listing, error) {
	return view(ctx, s, account, bucket, "objects", l, listObjects)
}

func listObjects(r store.Reader, bucket string, l List) (Listing, error) {
	var list Listing
	sc := scan{
		table: tableCurrent, bucket: bucket, prefix: l.Prefix, delimiter: l.Delimiter, limit: min(l.Max, MaxPage),
		item: func(key string, _, value []byte) error {
			var c current
			if err := json.Unmarshal(value, &c); err != nil {
				return fmt.Errorf("decode listing of %s/%s: %w", bucket, key, err)
			}
			list.Objects = append(list.Objects, ListedObject{
				Key: key, Modified: time.UnixMicro(c.Modified).UTC(), Size: c.Size, ETag: c.ETag,
				Checksum: Checksum{Algorithm: c.Algorithm, Type: c.Type},
			})
			list.Marker = key
			return nil
		},
		roll: func(prefix string) {
			list.Prefixes = append(list.Prefixes, prefix)
			list.Marker = prefix
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
		list.Marker = ""
		return list, nil
	}
	isPrefix := len(list.Prefixes) > 0 && list.Prefixes[len(list.Prefixes)-1] == list.Marker
	list.Token = listToken(bucket, list.Marker, isPrefix)
	return list, nil
}

// from is the row key to begin with.
func (l List) from(sc *scan) ([]byte, error) {
	after := l.StartAfter
	switch {
	case l.Token != "":
		position, isPrefix, ok := openListToken(sc.bucket, l.Token)
		if !ok {
			return nil, invalidArgument("continuation-token", l.Token, "The continuation token provided is incorrect")
		}
		if isPrefix {
			return store.PrefixEnd(sc.row(position)), nil
		}
		after = position
	case after == "" && l.Marker != "":
		after, sc.under = l.Marker, l.Marker
	}
	if after == "" {
		return nil, nil
	}
	return append(sc.row(after), 0), nil
}

// A token is a seal, a kind and a position. The seal tells a token of this bucket
// from anything else; it keeps no secret, because the position gives nobody what
// StartAfter would not.
const (
	tokenKey    = 'k'
	tokenPrefix = 'p'
	tokenSeal   = 8
)

func listToken(bucket, position string, isPrefix bool) string {
	kind := byte(tokenKey)
	if isPrefix {
		kind = tokenPrefix
	}
	body := string(kind) + position
	return base64.RawURLEncoding.EncodeToString(append(listSeal(bucket, body), body...))
}

func openListToken(bucket, token string) (position string, isPrefix, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) <= tokenSeal+1 {
		return "", false, false
	}
	position, isPrefix = string(raw[tokenSeal+1:]), raw[tokenSeal] == tokenPrefix
	if listToken(bucket, position, isPrefix) != token { // the decoder passes over line breaks
		return "", false, false
	}
	return position, isPrefix, true
}

func listSeal(bucket, body string) []byte {
	sum := sha256.Sum256([]byte("1\x00" + bucket + "\x00" + body))
	return sum[:tokenSeal]
}
