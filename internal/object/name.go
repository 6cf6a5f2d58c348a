package object

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/fault"
)

// CheckBucketName holds the rules for the names of general purpose buckets.
func CheckBucketName(name string) error {
	if !validBucketName(name) {
		return invalidBucketName(name)
	}
	return nil
}

func validBucketName(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.Contains(name, "..") {
		return false
	}
	for i := range len(name) {
		c := name[i]
		edge := i == 0 || i == len(name)-1
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case (c == '-' || c == '.') && !edge:
		default:
			return false
		}
	}
	for _, prefix := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	for _, suffix := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, suffix) {
			return false
		}
	}
	_, err := netip.ParseAddr(name)
	return err != nil
}

// CheckKey holds the rules for keys: UTF-8, 1 to 1024 bytes.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fault.BadRequest("InvalidRequest", "A key cannot be empty")
	case len(key) > MaxKeyLength:
		return keyTooLong(key)
	case !utf8.ValidString(key):
		return fault.BadRequest("InvalidURI", "Couldn't parse the specified URI.")
	}
	return nil
}

// SplitURI splits s3://BUCKET/KEY; what is not there is empty.
func SplitURI(uri string) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	return bucket, key
}

func (id ID) check() error {
	if !validBucketName(id.Bucket) {
		return invalidBucketName(id.Bucket)
	}
	return CheckKey(id.Key)
}

func (id ID) String() string { return id.Bucket + "/" + id.Key }

// defaultContentType is what S3 tells of an object that was written without one.
const defaultContentType = "binary/octet-stream"

// maxSystemMetadata bounds the members that are not the user's, as S3 bounds the
// headers of a PUT (8 KB).
const maxSystemMetadata = 8 << 10

// normalized validates m and fills in what S3 fills in.
func (m Metadata) normalized() (Metadata, error) {
	system := len(m.ContentType) + len(m.ContentEncoding) + len(m.ContentDisposition) +
		len(m.ContentLanguage) + len(m.CacheControl) + len(m.Expires)
	if system > maxSystemMetadata {
		return m, metadataTooLarge(system)
	}
	user := 0
	for name, value := range m.User {
		user += len(name) + len(value)
	}
	if user > MaxUserMetadata {
		return m, metadataTooLarge(user)
	}
	if m.StorageClass != "" && m.StorageClass != "STANDARD" {
		return m, invalidStorageClass(m.StorageClass)
	}
	m.StorageClass = ""
	if m.ContentType == "" {
		m.ContentType = defaultContentType
	}
	return m, nil
}
