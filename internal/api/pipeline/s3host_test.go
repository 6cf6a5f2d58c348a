package pipeline

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/object"
)

func TestBucketOfHost(t *testing.T) {
	for host, want := range map[string]string{
		"bucket.localhost":                            "bucket",
		"bucket.localhost:8642":                       "bucket",
		"Bucket.LocalHost:8642":                       "bucket",
		"my.dotted.bucket.localhost:8642":             "my.dotted.bucket",
		"bucket.localhost.":                           "bucket",
		"bucket.s3.amazonaws.com":                     "bucket",
		"bucket.s3.amazonaws.com:443":                 "bucket",
		"bucket.s3.us-west-2.amazonaws.com":           "bucket",
		"bucket.s3-us-west-2.amazonaws.com":           "bucket",
		"bucket.s3.dualstack.us-west-2.amazonaws.com": "bucket",
		"bucket.s3.cn-north-1.amazonaws.com.cn":       "bucket",
		"a.b.s3.us-east-1.amazonaws.com":              "a.b",
		"logs.s3.archive.s3.us-east-1.amazonaws.com":  "logs.s3.archive",
		"localhost":                                 "",
		"localhost:8642":                            "",
		"ab.localhost":                              "", // no name for a bucket
		"s3.amazonaws.com":                          "",
		"s3.us-west-2.amazonaws.com":                "",
		"s3.dualstack.us-west-2.amazonaws.com":      "",
		"s3-us-west-2.amazonaws.com":                "",
		"bedrock-agentcore.us-west-2.amazonaws.com": "",
		"bucket.s3.too.many.labels.amazonaws.com":   "",
		"127.0.0.1:8642":                            "",
		"127.0.0.1":                                 "",
		"[::1]:8642":                                "",
		"[::1]":                                     "",
		"192.168.1.10":                              "",
		"outcrop.example.com":                       "",
		"bucket.outcrop.example.com":                "",
		"amazonaws.com":                             "",
		".localhost":                                "",
		"":                                          "",
		"..localhost":                               "",
		"bucket.s3.amazonaws.com.evil.example":      "",
		"169.254.169.254.localhost":                 "", // an address is no bucket
		strings.Repeat("a", 64) + ".localhost":      "",
		"bucket.s3.dualstack.us-west-2.amazonaws.com:1": "bucket",
	} {
		if got := bucketOfHost(host); got != want {
			t.Errorf("bucketOfHost(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestHostedPath(t *testing.T) {
	for _, c := range []struct{ host, path, want string }{
		{"bucket.localhost", "/", "/bucket/"},
		{"bucket.localhost", "", "/bucket/"},
		{"bucket.localhost", "/key", "/bucket/key"},
		{"bucket.localhost", "//key", "/bucket//key"},
		{"bucket.localhost", "/a%2Fb", "/bucket/a%2Fb"},
		{"localhost", "/bucket/key", "/bucket/key"},
		{"127.0.0.1:8642", "/", "/"},
	} {
		if got := hostedPath(c.host, c.path); got != c.want {
			t.Errorf("hostedPath(%q, %q) = %q, want %q", c.host, c.path, got, c.want)
		}
	}
}

// TestHostedBucket routes signed requests of both styles to the same operation.
func TestHostedBucket(t *testing.T) {
	k := newKit(t)
	var bucket, key string
	k.serve["GetObject"] = func(_ context.Context, in any) (any, error) {
		bucket, key = *in.(*s3.GetObjectRequest).Bucket, *in.(*s3.GetObjectRequest).Key
		return &s3.GetObjectOutput{}, nil
	}
	listed := 0
	k.serve["ListBuckets"] = func(context.Context, any) (any, error) { listed++; return &s3.ListBucketsOutput{}, nil }
	k.serve["ListObjects"] = func(_ context.Context, in any) (any, error) {
		bucket, key = *in.(*s3.ListObjectsRequest).Bucket, ""
		return &s3.ListObjectsOutput{}, nil
	}
	for _, c := range []struct{ url, bucket, key string }{
		{"http://one.localhost:8642/a/b%20c", "one", "a/b c"},
		{"http://localhost:8642/two/a//b", "two", "a//b"},
		{"http://two.s3.us-west-2.amazonaws.com//a", "two", "/a"},
		{"http://three.localhost:8642/", "three", ""},
		{"http://localhost:8642/three/", "three", ""},
		{"http://127.0.0.1:8642/four/dir/", "four", "dir/"},
	} {
		r := sign(t, httptest.NewRequest(http.MethodGet, c.url, nil), "s3", "")
		if w := k.do(r); w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", c.url, w.Code, w.Body)
		}
		if bucket != c.bucket || key != c.key {
			t.Errorf("%s: bucket %q, key %q; want %q, %q", c.url, bucket, key, c.bucket, c.key)
		}
	}
	if w := k.do(sign(t, httptest.NewRequest(http.MethodGet, "http://localhost:8642/", nil), "s3", "")); w.Code != 200 || listed != 1 {
		t.Errorf("list buckets: %d, called %d times", w.Code, listed)
	}
}

// TestHoistedHeaders finds the headers that a presigned URL has in its query,
// for the route and for the codec, and never those that nobody signed.
func TestHoistedHeaders(t *testing.T) {
	k := newKit(t)
	var got *s3.CopyObjectRequest
	k.serve["CopyObject"] = func(_ context.Context, in any) (any, error) {
		got = in.(*s3.CopyObjectRequest)
		return &s3.CopyObjectOutput{}, nil
	}
	q := url.Values{"x-amz-copy-source": {"from/key"}, "X-Amz-Acl": {"private"}, "x-amz-meta-Color": {"blue"}, "X-Amz-Expires": {"60"}}
	r := httptest.NewRequest(http.MethodPut, "http://localhost:8642/to/key?"+q.Encode(), nil)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	signed, _, err := signer.PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret},
		r, "UNSIGNED-PAYLOAD", "s3", testRegion, testTime.Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if w := k.do(httptest.NewRequest(http.MethodPut, signed, nil)); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if *got.CopySource != "from/key" || *got.ACL != "private" || got.Metadata["color"] != "blue" || len(got.Metadata) != 1 {
		t.Errorf("got %+v", got)
	}
	r = httptest.NewRequest(http.MethodPut, signed+"&x-amz-storage-class=GLACIER", nil)
	if w := k.do(r); w.Code != http.StatusForbidden {
		t.Errorf("an added parameter: %d", w.Code)
	}
	r = httptest.NewRequest(http.MethodPut, signed, nil)
	r.Header.Set("X-Amz-Acl", "public-read")
	if w := k.do(r); w.Code != http.StatusForbidden {
		t.Errorf("an added header: %d", w.Code)
	}
}

// TestOddTargets signs for one object and sends a target that could be read as
// another: the path that is routed is the one that was signed.
func TestOddTargets(t *testing.T) {
	k := newKit(t)
	var bucket, key string
	k.serve["GetObject"] = func(_ context.Context, in any) (any, error) {
		bucket, key = *in.(*s3.GetObjectRequest).Bucket, *in.(*s3.GetObjectRequest).Key
		return &s3.GetObjectOutput{}, nil
	}
	const signed, path = "http://localhost:8642/uploads/q%3A//x/victim/secret", "/uploads/q://x/victim/secret"
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	presigned, _, err := signer.PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret},
		httptest.NewRequest(http.MethodGet, signed+"?X-Amz-Expires=60", nil), "UNSIGNED-PAYLOAD", "s3", testRegion, testTime)
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(presigned, "?")
	for _, target := range []string{path, "a:" + path, "http://localhost:8642" + path} {
		bucket, key = "", ""
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + "?" + query + " HTTP/1.1\r\nHost: localhost:8642\r\n\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		if w := k.do(r); w.Code != http.StatusOK || bucket != "uploads" || key != "q://x/victim/secret" {
			t.Errorf("%s: %d, bucket %q, key %q %s", target, w.Code, bucket, key, w.Body)
		}
	}
}

func FuzzHostedPath(f *testing.F) {
	for _, host := range []string{"bucket.localhost:80", "a.s3.amazonaws.com", "[::1]:1", "s3..amazonaws.com.cn", "."} {
		f.Add(host, "/key")
	}
	f.Fuzz(func(t *testing.T, host, path string) {
		bucket := bucketOfHost(host)
		if bucket != "" && object.CheckBucketName(bucket) != nil {
			t.Errorf("bucketOfHost(%q) = %q", host, bucket)
		}
		got := hostedPath(host, path)
		if !strings.HasSuffix(got, path) || bucket == "" && got != path {
			t.Errorf("hostedPath(%q, %q) = %q", host, path, got)
		}
	})
}
