package sigv2_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv2"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/fault"
)

// keys knows the keys of the examples; one of them is temporary.
type keys struct{}

func (keys) Key(_ context.Context, id, token string) (sigv4.Key, error) {
	k := sigv4.Key{Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Principal: auth.Principal{Account: "111122223333", ID: id, Kind: auth.Root}}
	switch {
	case id == "AKIAIOSFODNN7EXAMPLE":
		k.Secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	case id != "AKIDEXAMPLE":
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	if token != "" {
		return sigv4.Key{}, sigv4.ErrBadToken
	}
	return k, nil
}

func verify(t *testing.T, method, target, path string, header http.Header, now int64) error {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for name, values := range header {
		r.Header[name] = values
	}
	c, ok := sigv2.Parse(r)
	if !ok {
		t.Fatalf("%s makes no claim", target)
	}
	p, err := sigv2.Verify(t.Context(), keys{}, r, c, path, time.Unix(now, 0))
	if err == nil && p.Kind != auth.Root {
		t.Errorf("proven, but for %+v", p)
	}
	return err
}

// TestPublished is the example of the S3 developer guide.
func TestPublished(t *testing.T) {
	err := verify(t, "GET", "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620",
		"/johnsmith/photos/puppy.jpg", nil, 1175139600)
	if err != nil {
		t.Error(err)
	}
}

const signer = "AWSAccessKeyId=AKIDEXAMPLE&Expires=1800000000&Signature="

// TestBotocore holds URLs that botocore 1.44.5 has made for each kind of
// operation, and what must not be done to them.
func TestBotocore(t *testing.T) {
	const get, put = "GET", "PUT"
	plain := http.Header{"Content-Type": {"text/plain"}, "X-Amz-Meta-Color": {"blue"}}
	const putURL = "/first-bucket/k?" + signer + "tQ9CTvMglKl9bIb8dFLOs1zIJjE%3D&content-type=text%2Fplain&x-amz-meta-color=blue"
	const versionURL = "/first-bucket/k?versionId=v1&response-content-type=text%2Fx&response-content-disposition=attachment%3B%20filename%3D%22%C3%BC.txt%22&" +
		signer + "76BHzc4SV%2BOFx66RokK2ruiCCD8%3D"
	const simple = "/first-bucket/a%20b/%C3%BC%2B.txt?" + signer + "6KiDVnngRBL3tAGwesQNFbtYSnw%3D"
	for _, c := range []struct {
		name, method, target string
		header               http.Header
		code                 string
	}{
		{"get", get, simple, nil, ""},
		{"version and overrides", get, versionURL, nil, ""},
		{"put", put, putURL, plain, ""},
		{"put, headers in the query alone", put, putURL, nil, ""},
		{"part", put, "/first-bucket/k?uploadId=u%2F1&partNumber=3&" + signer + "N2GHtnXLOmn5sg53xXw5j20OpJg%3D", nil, ""},
		{"list", get, "/first-bucket?list-type=2&prefix=a%2F&encoding-type=url&" + signer + "KVkcN6wV0MmW%2FF6azDfxRGVyKSM%3D", nil, ""},
		{"delete", "DELETE", "/first-bucket/k?" + signer + "j%2FQtOqBhgkv%2BEnQFn7BRm2xTM%2FQ%3D", nil, ""},

		{"other method", put, simple, nil, "SignatureDoesNotMatch"},
		{"other key", get, strings.Replace(simple, "txt", "exe", 1), nil, "SignatureDoesNotMatch"},
		{"other version", get, strings.Replace(versionURL, "=v1", "=v2", 1), nil, "SignatureDoesNotMatch"},
		{"other override", get, strings.Replace(versionURL, "text%2Fx", "text%2Fhtml", 1), nil, "SignatureDoesNotMatch"},
		{"added version", get, simple + "&versionId=v1", nil, "SignatureDoesNotMatch"},
		{"added sub-resource", get, simple + "&attributes", nil, "SignatureDoesNotMatch"},
		{"added upload", put, putURL + "&uploadId=x&partNumber=1", plain, "SignatureDoesNotMatch"},
		{"added header", get, simple, http.Header{"X-Amz-Acl": {"public-read"}}, "SignatureDoesNotMatch"},
		{"added header in the query", get, simple + "&x-amz-acl=public-read", nil, "SignatureDoesNotMatch"},
		{"added copy source", put, putURL, http.Header{"X-Amz-Copy-Source": {"a/b"}}, "SignatureDoesNotMatch"},
		{"other content type", put, putURL, http.Header{"Content-Type": {"text/html"}}, "SignatureDoesNotMatch"},
		{"later expiry", get, strings.Replace(simple, "1800000000", "1900000000", 1), nil, "SignatureDoesNotMatch"},
		{"expired", get, strings.Replace(simple, "1800000000", "1700000000", 1), nil, "AccessDenied"},
		{"no expiry", get, strings.Replace(simple, "&Expires=1800000000", "", 1), nil, "AccessDenied"},
		{"no signature", get, "/k?AWSAccessKeyId=AKIDEXAMPLE&Expires=1800000000", nil, "AccessDenied"},
		{"no base64", get, strings.Replace(simple, "6KiD", "%25%25", 1), nil, "SignatureDoesNotMatch"},
		{"other account", get, strings.Replace(simple, "AKIDEXAMPLE", "AKIDOTHER", 1), nil, "InvalidAccessKeyId"},
		{"token of nobody", get, simple + "&x-amz-security-token=t", nil, "InvalidToken"},
		{"two mechanisms", get, simple, http.Header{"Authorization": {"AWS4-HMAC-SHA256 x"}}, "InvalidArgument"},
	} {
		path, _, _ := strings.Cut(c.target, "?")
		err := verify(t, c.method, c.target, path, c.header, 1_799_999_000)
		if (c.code == "") != (err == nil) || err != nil && !fault.Is(err, c.code) {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
}

// TestAmbiguous changes a URL that was signed for a copy so that the text that is
// signed stays the same.
func TestAmbiguous(t *testing.T) {
	const signed = "/b/k?x-amz-copy-source=%2Fb%2Ffrom&x-amz-metadata-directive=COPY&"
	sign := func(text string) string {
		mac := hmac.New(sha1.New, []byte("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
		mac.Write([]byte(text))
		return signer + url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	tail := sign("PUT\n\n\n1800000000\nx-amz-copy-source:/b/from\nx-amz-metadata-directive:COPY\n/b/k")
	if err := verify(t, http.MethodPut, signed+tail, "/b/k", nil, 1_799_999_000); err != nil {
		t.Fatal(err)
	}
	joined := sign("PUT\n\n\n1800000000\nx-amz-copy-source:/b/from,1\n/b/k")
	filename := sign("GET\n\n\n1700000000\n/b/k?response-content-disposition=x\n1800000000\n/b/secret")
	for name, c := range map[string]struct {
		method, target, path string
		header               http.Header
	}{
		"two headers folded into one name": {"PUT", "/b/k?x-amz-copy-source%3A%2Fb%2Ffrom%0Ax-amz-metadata-directive=COPY&" + tail, "/b/k", nil},
		"two headers folded into a value":  {"PUT", "/b/k?x-amz-copy-source=%2Fb%2Ffrom%0Ax-amz-metadata-directive%3ACOPY&" + tail, "/b/k", nil},
		"a second one in other letters":    {"PUT", signed + "X-Amz-Copy-Source=%2Fb%2Fsecret&" + tail, "/b/k", nil},
		"a second one in odd letters":      {"PUT", signed + "x-amz-copy-%C5%BFource=%2Fb%2Fsecret&" + tail, "/b/k", nil},
		"a value taken apart":              {"PUT", "/b/k?x-amz-copy-source=%2Fb%2Ffrom&x-amz-copy-source=1&" + joined, "/b/k", nil},
		"a value taken apart, as headers":  {"PUT", "/b/k?" + joined, "/b/k", http.Header{"X-Amz-Copy-Source": {"/b/from", "1"}}},
		"a path that was a parameter": {"GET", "/b/secret?content-md5=%0A%0A1700000000&" +
			"content-type=%2Fb%2Fk%3Fresponse-content-disposition%3Dx&" + filename, "/b/secret", nil},
	} {
		for range 20 { // the order of a map decides nothing
			if err := verify(t, c.method, c.target, c.path, c.header, 1_799_999_000); !fault.Is(err, "InvalidArgument") {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// TestNoClaim are requests that are somebody else's.
func TestNoClaim(t *testing.T) {
	for _, target := range []string{"/first-bucket/k", "/k?X-Amz-Algorithm=AWS4-HMAC-SHA256", "/k?AWSAccessKeyId=", "/k?awsaccesskeyid=x"} {
		if _, ok := sigv2.Parse(httptest.NewRequest(http.MethodGet, target, nil)); ok {
			t.Errorf("%s makes a claim", target)
		}
	}
}

// FuzzVerify proves nothing that was not signed.
func FuzzVerify(f *testing.F) {
	f.Add("versionId=v1&"+signer+"76BHzc4SV%2BOFx66RokK2ruiCCD8%3D", "/b/k")
	f.Add("AWSAccessKeyId=AKIDEXAMPLE&Signature=%zz", "/")
	f.Fuzz(func(t *testing.T, query, path string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery = query
		c, ok := sigv2.Parse(r)
		if !ok {
			return
		}
		if _, err := sigv2.Verify(t.Context(), keys{}, r, c, path, time.Unix(1, 0)); err == nil {
			t.Errorf("%q at %q was accepted", query, path)
		}
	})
}
