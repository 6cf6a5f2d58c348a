package s3

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
)

func TestParseSource(t *testing.T) {
	for header, want := range map[string]source{
		"bucket/key":                        {"bucket", "key", ""},
		"/bucket/key":                       {"bucket", "key", ""},
		"bucket/a/b/":                       {"bucket", "a/b/", ""},
		"bucket//key":                       {"bucket", "/key", ""},
		"bucket/a%20b":                      {"bucket", "a b", ""},
		"bucket/a+b":                        {"bucket", "a b", ""},
		"bucket/a%2Bb":                      {"bucket", "a+b", ""},
		"bucket%2Fkey":                      {"bucket", "key", ""},
		"bucket/%C3%BC":                     {"bucket", "ü", ""},
		"bucket/ü":                          {"bucket", "ü", ""},
		"bucket/a%3Fb":                      {"bucket", "a?b", ""},
		"bucket/key?versionId=v1":           {"bucket", "key", "v1"},
		"/bucket/a%3FversionId=?versionId=": {},
		"bucket/key?versionId=":             {},
		"bucket/key?acl":                    {},
		"bucket":                            {},
		"bucket/":                           {},
		"/":                                 {},
		"":                                  {},
		"bucket/%zz":                        {},
	} {
		got, err := parseSource(header)
		if got != want || (err != nil) != (want == source{}) || err != nil && !fault.Is(err, "InvalidArgument") {
			t.Errorf("parseSource(%q) = %+v, %v", header, got, err)
		}
	}
}

func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"/b/k", "b/a%20b?versionId=x", "arn:aws:s3:::x/y", "%2F%2F", "b?versionId=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		s, err := parseSource(header)
		if err == nil && (s.bucket == "" || s.key == "" || strings.Contains(s.bucket, "/")) {
			t.Errorf("parseSource(%q) = %+v", header, s)
		}
	})
}

func FuzzParseTagging(f *testing.F) {
	for _, s := range []string{"a=b", "a=1&a=2", "%C3%BC=%2B", "a;b", "%zz", "=&="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		tags, err := parseTagging(&header)
		if err != nil && !fault.Is(err, "InvalidArgument") {
			t.Errorf("parseTagging(%q) = %v", header, err)
		}
		if len(tags) > 0 && tags.Check(object.MaxObjectTags) == nil && len(tags) > object.MaxObjectTags {
			t.Errorf("parseTagging(%q) = %v", header, tags)
		}
	})
}

func FuzzURLEncode(f *testing.F) {
	f.Add("a b/ü+%")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := url.QueryUnescape(urlEncode(s))
		if err != nil || got != s {
			t.Errorf("%q became %q, %v", s, got, err)
		}
	})
}

func TestURLEncode(t *testing.T) {
	for key, want := range map[string]string{
		"": "", "a/b": "a/b", "a b+c": "a+b%2Bc", "-_.*~": "-_.*%7E", "ü\n": "%C3%BC%0A", "%": "%25",
	} {
		if got := urlEncode(key); got != want {
			t.Errorf("urlEncode(%q) = %q, want %q", key, got, want)
		}
	}
}

func TestContentEncoding(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "gzip": "gzip", "aws-chunked": "", "aws-chunked,gzip": "gzip", "gzip, aws-chunked": "gzip", "AWS-Chunked , br, gzip": "br,gzip",
	} {
		if got := contentEncoding(header); got != want {
			t.Errorf("contentEncoding(%q) = %q, want %q", header, got, want)
		}
	}
}

func TestBucketRegion(t *testing.T) {
	for _, c := range []struct{ signed, constraint, want, code string }{
		{"us-east-1", "", "us-east-1", ""},
		{"us-east-1", "us-west-2", "us-west-2", ""},
		{"us-east-1", "EU", "eu-west-1", ""},
		{"us-east-1", "us-east-1", "", "InvalidLocationConstraint"},
		{"us-west-2", "us-west-2", "us-west-2", ""},
		{"eu-west-1", "EU", "eu-west-1", ""},
		{"us-west-2", "", "", "IllegalLocationConstraintException"},
		{"us-west-2", "eu-west-1", "", "IllegalLocationConstraintException"},
		{"us-west-2", "us-east-1", "", "InvalidLocationConstraint"},
	} {
		got, err := bucketRegion(c.signed, c.constraint)
		if got != c.want || (c.code == "") != (err == nil) || err != nil && !fault.Is(err, c.code) {
			t.Errorf("bucketRegion(%q, %q) = %q, %v", c.signed, c.constraint, got, err)
		}
	}
}

func TestParseClaim(t *testing.T) {
	for _, c := range []struct {
		headers string
		want    claim
		ok      bool
	}{
		{"", claim{}, true},
		{"x-amz-checksum-crc32: AAAAAA==", claim{"CRC32", "AAAAAA==", false}, true},
		{"x-amz-checksum-crc64nvme: x; x-amz-sdk-checksum-algorithm: CRC64NVME", claim{"CRC64NVME", "x", false}, true},
		{"x-amz-trailer: x-amz-checksum-sha256", claim{"SHA256", "", true}, true},
		{"x-amz-trailer: x-amz-trailer-signature,x-amz-checksum-sha1; x-amz-sdk-checksum-algorithm: SHA1", claim{"SHA1", "", true}, true},
		{"x-amz-checksum-mode: ENABLED; x-amz-checksum-type: COMPOSITE; x-amz-checksum-algorithm: SHA1", claim{}, true},
		{"x-amz-checksum-crc32: A; x-amz-checksum-sha1: B", claim{}, false},
		{"x-amz-checksum-crc32: A; x-amz-trailer: x-amz-checksum-crc32", claim{}, false},
		{"x-amz-checksum-md5: A", claim{}, false},
		{"x-amz-sdk-checksum-algorithm: CRC32", claim{}, false},
		{"x-amz-sdk-checksum-algorithm: XXHASH64", claim{}, false},
		{"x-amz-sdk-checksum-algorithm: SHA1; x-amz-checksum-crc32: A", claim{}, false},
	} {
		h := http.Header{}
		for line := range strings.SplitSeq(c.headers, ";") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				h.Set(strings.TrimSpace(name), strings.TrimSpace(value))
			}
		}
		got, err := parseClaim(h)
		if got != c.want || (err == nil) != c.ok || err != nil && !fault.Is(err, "InvalidRequest") {
			t.Errorf("%s: %+v, %v", c.headers, got, err)
		}
	}
}

// TestDemandsAreCanonical: a name in another case would match nothing.
func TestDemandsAreCanonical(t *testing.T) {
	for _, d := range demands() {
		if d.header != http.CanonicalHeaderKey(d.header) || d.reason == "" {
			t.Errorf("%+v", d)
		}
	}
	for name, refused := range map[string]bool{
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": true, "X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key": true,
		"X-Amz-Object-Lock-Legal-Hold": true, "X-Amz-Object-Lock-Event-Hold-Duration-Days": true, "X-Amz-Grant-Full-Control": true,
		"X-Amz-Meta-Acl": false, "X-Amz-Date": false, "X-Amz-Tagging-Count": false, "X-Amz-Checksum-Mode": false, "X-Amz-Copy-Source": false,
	} {
		if err := refuseHeaders(http.Header{name: {"x"}}); (err != nil) != refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}
