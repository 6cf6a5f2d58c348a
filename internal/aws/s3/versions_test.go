package s3_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/outcrop/outcrop/internal/api/wire"
)

func TestVersions(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	if v := must(k.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: aws.String(bucket)}))(t); v.Status != "" {
		t.Errorf("versioning %q", v.Status)
	}
	k.put("key", "null version")
	k.enableVersioning()
	if v := must(k.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: aws.String(bucket)}))(t); v.Status != "Enabled" {
		t.Errorf("versioning %q", v.Status)
	}
	one, two := k.put("key", "one"), k.put("key", "two")
	if *one.VersionId == *two.VersionId {
		t.Error("two versions have one id")
	}
	for version, want := range map[string]string{"null": "null version", *one.VersionId: "one", *two.VersionId: "two", "": "two"} {
		body, got := k.get(&s3.GetObjectInput{Key: aws.String("key"), VersionId: wire.Optional(version)})
		if body != want || (version != "" && *got.VersionId != version) {
			t.Errorf("version %q: %q, %s", version, body, *got.VersionId)
		}
	}
	marker := must(k.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("key")}))(t)
	if !*marker.DeleteMarker || marker.VersionId == nil {
		t.Fatalf("delete: %+v", marker)
	}
	// A marker is told in headers, which SDKs do not show in errors.
	answer, body := k.send(raw{method: "GET", target: "/" + bucket + "/key"})
	if answer.StatusCode != 404 || answer.Header.Get("x-amz-delete-marker") != "true" || answer.Header.Get("x-amz-version-id") != *marker.VersionId ||
		!strings.Contains(body, "<Code>NoSuchKey</Code>") {
		t.Errorf("%d %v %s", answer.StatusCode, answer.Header, body)
	}
	answer, body = k.send(raw{method: "GET", target: "/" + bucket + "/key?versionId=" + *marker.VersionId})
	if answer.StatusCode != 405 || answer.Header.Get("x-amz-delete-marker") != "true" || answer.Header.Get("Allow") != "DELETE" ||
		answer.Header.Get("Last-Modified") == "" || !strings.Contains(body, "<Code>MethodNotAllowed</Code>") {
		t.Errorf("%d %v %s", answer.StatusCode, answer.Header, body)
	}
	list := must(k.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: aws.String(bucket)}))(t)
	if len(list.Versions) != 3 || len(list.DeleteMarkers) != 1 || !*list.DeleteMarkers[0].IsLatest || *list.Versions[0].VersionId != *two.VersionId || *list.Versions[0].IsLatest {
		t.Errorf("versions: %+v", list)
	}
	page := must(k.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: aws.String(bucket), MaxKeys: aws.Int32(2)}))(t)
	rest := must(k.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: aws.String(bucket), KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker}))(t)
	if len(page.Versions)+len(page.DeleteMarkers) != 2 || len(rest.Versions)+len(rest.DeleteMarkers) != 2 || *rest.IsTruncated {
		t.Errorf("pages: %+v, %+v", page, rest)
	}
	must(k.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("key"), VersionId: marker.VersionId}))(t)
	if body, _ := k.get(&s3.GetObjectInput{Key: aws.String("key")}); body != "two" {
		t.Errorf("after the marker has gone: %q", body)
	}
	_, err := k.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("key"), VersionId: aws.String("nonsense")})
	wantFault(t, err, 400, "InvalidArgument")
	must(k.PutBucketVersioning(ctx, versioning("Suspended")))(t)
	if out := k.put("key", "suspended"); *out.VersionId != "null" {
		t.Errorf("suspended: version %q", *out.VersionId)
	}
	if body, _ := k.get(&s3.GetObjectInput{Key: aws.String("key"), VersionId: one.VersionId}); body != "one" {
		t.Errorf("an old version after suspension: %q", body)
	}
}

func TestCopy(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	must(k.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("dir/a b+c"), Body: strings.NewReader("content"),
		ContentType: aws.String("text/plain"), Metadata: map[string]string{"m": "1"}}))(t)
	copyTo := func(key, source string, change func(*s3.CopyObjectInput)) (*s3.CopyObjectOutput, error) {
		in := &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: &key, CopySource: &source}
		if change != nil {
			change(in)
		}
		return k.CopyObject(ctx, in)
	}
	for i, source := range []string{bucket + "/dir/a%20b%2Bc", "/" + bucket + "/dir/a+b%2Bc", bucket + "/dir/a b%2bc", bucket + "%2Fdir%2Fa%20b%2Bc"} {
		key := fmt.Sprint("copy", i)
		out := must(copyTo(key, source, nil))(t)
		body, got := k.get(&s3.GetObjectInput{Key: &key})
		if body != "content" || *got.ContentType != "text/plain" || got.Metadata["m"] != "1" || *out.CopyObjectResult.ETag != *got.ETag {
			t.Errorf("%s: %q %+v", source, body, got)
		}
	}
	replace := func(in *s3.CopyObjectInput) {
		in.MetadataDirective, in.Metadata, in.ContentType = "REPLACE", map[string]string{"n": "2"}, aws.String("x/y")
	}
	must(copyTo("copy0", bucket+"/copy0", replace))(t)
	if _, got := k.get(&s3.GetObjectInput{Key: aws.String("copy0")}); got.Metadata["n"] != "2" || got.Metadata["m"] != "" || *got.ContentType != "x/y" {
		t.Errorf("replaced: %+v", got)
	}
	_, err := copyTo("copy0", bucket+"/copy0", nil)
	wantFault(t, err, 400, "InvalidRequest")
	_, err = copyTo("x", bucket+"/missing", nil)
	wantFault(t, err, 404, "NoSuchKey")
	_, err = copyTo("x", "other-bucket/key", nil)
	wantFault(t, err, 404, "NoSuchBucket")
	_, err = copyTo("x", bucket+"/copy0", func(in *s3.CopyObjectInput) { in.CopySourceIfMatch = aws.String(`"other"`) })
	wantFault(t, err, 412, "PreconditionFailed")
	_, err = copyTo("x", bucket+"/copy0", func(in *s3.CopyObjectInput) { in.CopySourceIfNoneMatch = aws.String(`*`) })
	wantFault(t, err, 412, "PreconditionFailed")
	_, err = copyTo("x", bucket+"/copy0", func(in *s3.CopyObjectInput) { in.ExpectedSourceBucketOwner = aws.String("999999999999") })
	wantFault(t, err, 403, "AccessDenied")
	out := must(copyTo("sha", bucket+"/copy0", func(in *s3.CopyObjectInput) { in.ChecksumAlgorithm = "SHA256" }))(t)
	if got := aws.ToString(out.CopyObjectResult.ChecksumSHA256); got != "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=" {
		t.Errorf("checksum of the copy: %q", got)
	}
	k.enableVersioning()
	old, _ := k.put("v", "old"), k.put("v", "new")
	version := must(copyTo("from-old", bucket+"/v?versionId="+*old.VersionId, nil))(t)
	if body, _ := k.get(&s3.GetObjectInput{Key: aws.String("from-old")}); body != "old" || *version.CopySourceVersionId != *old.VersionId {
		t.Errorf("copied %q from %s", body, *version.CopySourceVersionId)
	}
}

func TestDeleteObjects(t *testing.T) {
	k := newKit(t).withBucket()
	put := k.put("a", "1")
	k.put("b", "2")
	del := func(quiet bool, list ...types.ObjectIdentifier) *s3.DeleteObjectsOutput {
		return must(k.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: list, Quiet: &quiet}}))(t)
	}
	out := del(false, types.ObjectIdentifier{Key: aws.String("a"), ETag: aws.String(`"other"`)}, types.ObjectIdentifier{Key: aws.String("missing")},
		types.ObjectIdentifier{Key: aws.String("a"), ETag: put.ETag})
	if len(out.Deleted) != 2 || len(out.Errors) != 1 || *out.Errors[0].Code != "PreconditionFailed" || *out.Errors[0].Key != "a" {
		t.Errorf("%+v", out)
	}
	if out = del(true, types.ObjectIdentifier{Key: aws.String("b")}); len(out.Deleted) != 0 || len(out.Errors) != 0 {
		t.Errorf("quiet: %+v", out)
	}
	k.enableVersioning()
	k.put("c", "3")
	out = del(false, types.ObjectIdentifier{Key: aws.String("c")})
	if len(out.Deleted) != 1 || !*out.Deleted[0].DeleteMarker || out.Deleted[0].DeleteMarkerVersionId == nil || out.Deleted[0].VersionId != nil {
		t.Errorf("marker: %+v", out)
	}
}

func TestListing(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	for _, key := range []string{"a/1", "a/2", "b", "c d/1", "e+f", "ü"} {
		k.put(key, key)
	}
	var keys, prefixes []string
	pages := s3.NewListObjectsV2Paginator(k.Client, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Delimiter: aws.String("/"), MaxKeys: aws.Int32(2), EncodingType: "url", FetchOwner: aws.Bool(true)})
	n := 0
	for ; pages.HasMorePages(); n++ {
		page := must(pages.NextPage(ctx))(t)
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
			if o.Owner == nil || o.StorageClass != "STANDARD" || *o.Size != int64(map[string]int{"b": 1, "e%2Bf": 3, "%C3%BC": 2}[*o.Key]) {
				t.Errorf("%+v", o)
			}
		}
		for _, p := range page.CommonPrefixes {
			prefixes = append(prefixes, *p.Prefix)
		}
	}
	if n != 3 || fmt.Sprint(keys) != "[b e%2Bf %C3%BC]" || fmt.Sprint(prefixes) != "[a/ c+d/]" {
		t.Errorf("%d pages, keys %v, prefixes %v", n, keys, prefixes)
	}
	after := must(k.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), StartAfter: aws.String("b"), Prefix: aws.String("")}))(t)
	if *after.KeyCount != 3 || after.Contents[0].Owner != nil || *after.StartAfter != "b" {
		t.Errorf("%+v", after)
	}
	one := must(k.ListObjects(ctx, &s3.ListObjectsInput{Bucket: aws.String(bucket), Delimiter: aws.String("/"), MaxKeys: aws.Int32(1)}))(t)
	two := must(k.ListObjects(ctx, &s3.ListObjectsInput{Bucket: aws.String(bucket), Delimiter: aws.String("/"), Marker: one.NextMarker}))(t)
	if *one.NextMarker != "a/" || len(one.CommonPrefixes) != 1 || len(two.Contents) != 3 || len(two.CommonPrefixes) != 1 || two.Contents[0].Owner == nil {
		t.Errorf("%+v, %+v", one, two)
	}
	if out := must(k.ListObjects(ctx, &s3.ListObjectsInput{Bucket: aws.String(bucket), MaxKeys: aws.Int32(1)}))(t); !*out.IsTruncated || out.NextMarker != nil {
		t.Errorf("without delimiter: %+v", out)
	}
	if out := must(k.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), MaxKeys: aws.Int32(0)}))(t); *out.IsTruncated || *out.KeyCount != 0 {
		t.Errorf("nothing asked: %+v", out)
	}
	if out := must(k.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), MaxKeys: aws.Int32(5000)}))(t); *out.MaxKeys != 1000 {
		t.Errorf("too many asked: %+v", out)
	}
	_, err := k.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), ContinuationToken: aws.String("nonsense")})
	wantFault(t, err, 400, "InvalidArgument")
}

// TestGuest holds that every way to an object asks whether the caller may.
func TestGuest(t *testing.T) {
	k := newKit(t).withBucket()
	k.put("key", "x")
	for _, q := range []raw{
		{method: "GET", target: "/"}, {method: "PUT", target: "/guest-bucket"}, {method: "GET", target: "/" + bucket}, {method: "GET", target: "/" + bucket + "/key"},
		{method: "PUT", target: "/" + bucket + "/key", body: "y"}, {method: "DELETE", target: "/" + bucket + "/key"}, {method: "POST", target: "/" + bucket + "/key?uploads"},
		{method: "GET", target: "/" + bucket + "/key", key: "AKIDUNKNOWN"},
	} {
		if q.key == "" {
			q.key = guestID
		}
		answer, body := k.send(q)
		want := "AccessDenied"
		if q.key != guestID {
			want = "InvalidAccessKeyId"
		}
		if answer.StatusCode != http.StatusForbidden || !strings.Contains(body, "<Code>"+want+"</Code>") {
			t.Errorf("%s %s: %d %s", q.method, q.target, answer.StatusCode, body)
		}
	}
	// DeleteObjects asks for each key, and for nothing on the bucket.
	out := must(k.client(guestID, region).DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{
		Objects: []types.ObjectIdentifier{{Key: aws.String("key")}, {Key: aws.String("key"), VersionId: aws.String("null")}},
	}}))(t)
	if len(out.Deleted) != 0 || len(out.Errors) != 2 || *out.Errors[0].Code != "AccessDenied" || !strings.Contains(*out.Errors[0].Message, "s3:DeleteObject on resource: arn:aws:s3:::"+bucket+"/key") ||
		!strings.Contains(*out.Errors[1].Message, "s3:DeleteObjectVersion on") {
		t.Errorf("%+v", out)
	}
	if body, _ := k.get(&s3.GetObjectInput{Key: aws.String("key")}); body != "x" {
		t.Errorf("a guest has written %q", body)
	}
}
