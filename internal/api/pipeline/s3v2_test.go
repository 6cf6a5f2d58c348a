package pipeline

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/s3"
)

// TestPresignedV2 serves URLs that botocore 1.44.5 has made, in both styles of
// addressing, and refuses them to whoever changes them.
func TestPresignedV2(t *testing.T) {
	k := newKit(t)
	var got *s3.PutObjectRequest
	k.serve["PutObject"] = func(_ context.Context, in any) (any, error) {
		got = in.(*s3.PutObjectRequest)
		return &s3.PutObjectOutput{}, nil
	}
	const query = "?AWSAccessKeyId=AKIDEXAMPLE&Signature=tQ9CTvMglKl9bIb8dFLOs1zIJjE%3D&content-type=text%2Fplain&x-amz-meta-color=blue&Expires=1800000000"
	put := func(url string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPut, url, strings.NewReader("body"))
		r.Header.Set("Content-Type", "text/plain")
		return k.do(r)
	}
	for _, url := range []string{"http://localhost:8642/first-bucket/k", "http://first-bucket.localhost:8642/k", "http://first-bucket.s3.amazonaws.com/k"} {
		got = nil
		if w := put(url + query); w.Code != http.StatusOK || got == nil {
			t.Fatalf("%s: %d %s", url, w.Code, w.Body)
		}
		if *got.Bucket != "first-bucket" || *got.Key != "k" || got.Metadata["color"] != "blue" || *got.ContentType != "text/plain" {
			t.Errorf("%s: %+v", url, got)
		}
	}
	record := k.audit.last(t)
	if record.AccessKeyID != "AKIDEXAMPLE" || record.Event != "PutObject" || record.Scope.Region != "us-east-1" {
		t.Errorf("audited as %+v", record)
	}
	got = nil
	for _, url := range []string{"http://other-bucket.localhost:8642/k", "http://localhost:8642/first-bucket/k2"} {
		if w := put(url + query); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "<Code>SignatureDoesNotMatch</Code>") || got != nil {
			t.Errorf("%s: %d %s", url, w.Code, w.Body)
		}
	}
	// The scheme is S3's: it opens no operation of another service.
	if w := k.do(httptest.NewRequest(http.MethodGet, "http://localhost:8642/runtimes/?AWSAccessKeyId=AKIDEXAMPLE&Signature=x&Expires=1800000000", nil)); w.Code != http.StatusForbidden {
		t.Errorf("another service's path: %d %s", w.Code, w.Body)
	}
}
