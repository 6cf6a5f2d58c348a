package s3_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func versioning(status string) *s3.PutBucketVersioningInput {
	return &s3.PutBucketVersioningInput{Bucket: aws.String(bucket), VersioningConfiguration: &types.VersioningConfiguration{
		Status: types.BucketVersioningStatus(status)}}
}

func TestBuckets(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	head := must(k.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(bucket)}))(t)
	if aws.ToString(head.BucketRegion) != region {
		t.Errorf("region %q", aws.ToString(head.BucketRegion))
	}
	if l := must(k.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String(bucket)}))(t); l.LocationConstraint != "" {
		t.Errorf("location %q", l.LocationConstraint)
	}
	west := k.client(keyID, "us-west-2")
	config := &types.CreateBucketConfiguration{LocationConstraint: "us-west-2"}
	must(west.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("west"), CreateBucketConfiguration: config}))(t)
	if l := must(k.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String("west")}))(t); l.LocationConstraint != "us-west-2" {
		t.Errorf("location %q", l.LocationConstraint)
	}
	_, err := west.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("west"), CreateBucketConfiguration: config})
	wantFault(t, err, 409, "BucketAlreadyOwnedByYou")
	_, err = west.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("west2")})
	wantFault(t, err, 400, "IllegalLocationConstraintException")
	// In the classic region creating one's own bucket again succeeds.
	must(k.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}))(t)

	list := must(k.ListBuckets(ctx, &s3.ListBucketsInput{}))(t)
	if len(list.Buckets) != 2 || *list.Buckets[0].Name != bucket || *list.Buckets[1].BucketRegion != "us-west-2" || len(*list.Owner.ID) != 64 {
		t.Errorf("list: %+v", list)
	}
	first := must(k.ListBuckets(ctx, &s3.ListBucketsInput{MaxBuckets: aws.Int32(1)}))(t)
	second := must(k.ListBuckets(ctx, &s3.ListBucketsInput{MaxBuckets: aws.Int32(1), ContinuationToken: first.ContinuationToken}))(t)
	if len(first.Buckets) != 1 || len(second.Buckets) != 1 || *second.Buckets[0].Name != "west" || second.ContinuationToken != nil {
		t.Errorf("pages: %+v, %+v", first, second)
	}

	k.put("key", "x")
	_, err = k.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(bucket)})
	wantFault(t, err, 409, "BucketNotEmpty")
	must(k.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("key")}))(t)
	must(k.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(bucket)}))(t)
	_, err = k.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(bucket)})
	wantFault(t, err, 404, "NotFound")
	_, err = k.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	wantFault(t, err, 404, "NoSuchBucket")
}

func TestMetadata(t *testing.T) {
	k := newKit(t).withBucket()
	in := &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("key"), Body: strings.NewReader("hello"),
		ContentType: aws.String("text/plain"), ContentEncoding: aws.String("gzip"), ContentDisposition: aws.String(`attachment; filename="a.txt"`),
		ContentLanguage: aws.String("la"), CacheControl: aws.String("max-age=60"), Metadata: map[string]string{"color": "blue", "two-words": "a b"},
	}
	put := must(k.PutObject(t.Context(), in))(t)
	if aws.ToString(put.ETag) != `"5d41402abc4b2a76b9719d911017c592"` || put.VersionId != nil {
		t.Errorf("put: %+v", put)
	}
	body, got := k.get(&s3.GetObjectInput{Key: in.Key})
	if body != "hello" || *got.ContentType != "text/plain" || *got.ContentEncoding != "gzip" || *got.ContentDisposition != *in.ContentDisposition ||
		*got.ContentLanguage != "la" || *got.CacheControl != "max-age=60" || *got.ContentLength != 5 || *got.ETag != *put.ETag ||
		*got.AcceptRanges != "bytes" || len(got.Metadata) != 2 || got.Metadata["two-words"] != "a b" || time.Since(*got.LastModified) > time.Minute {
		t.Errorf("get: %q %+v", body, got)
	}
	head := must(k.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key}))(t)
	if *head.ContentLength != 5 || *head.ETag != *put.ETag || head.Metadata["color"] != "blue" || *head.ContentType != "text/plain" {
		t.Errorf("head: %+v", head)
	}
	answer, _ := k.send(raw{method: http.MethodHead, target: "/" + bucket + "/key"})
	if _, lower := answer.Header["X-Amz-Meta-Color"]; !lower || answer.ContentLength != 5 {
		t.Errorf("raw head: %v", answer.Header)
	}
}

// oddKeys are names that clients and servers have stumbled over.
func oddKeys() []string {
	return []string{
		"plain", "with space", "plus+sign", "per%cent", "per%2Fcent", "a/b/c", "/leading", "trailing/", "double//slash", "./dot", "../up", "a/../b",
		"ünïcödé/世界/😀", "question?mark", "hash#tag", "amp&ersand", "semi;colon", "quote'\"<>", "tilde~", "star*", "new\nline", "tab\tbed",
		"brackets[]{}|^`\\", "colon:at@", strings.Repeat("k", 1024), "\u200d", "aws-chunked", "index.html?versionId=1",
	}
}

func TestOddKeys(t *testing.T) {
	k := newKit(t).withBucket()
	for _, c := range []*s3.Client{k.Client, k.hosted()} {
		for _, key := range oddKeys() {
			if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(key)}); err != nil {
				t.Errorf("put %q: %v", key, err)
				continue
			}
			if body, _ := k.get(&s3.GetObjectInput{Key: &key}); body != key {
				t.Errorf("get %q: %q", key, body)
			}
		}
		seen := map[string]bool{}
		list := must(c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)}))(t)
		for _, o := range list.Contents {
			seen[*o.Key] = true
		}
		for _, key := range oddKeys() {
			if !seen[key] {
				t.Errorf("%q is not listed", key)
			}
		}
		var names []types.ObjectIdentifier
		for _, key := range oddKeys() {
			names = append(names, types.ObjectIdentifier{Key: &key})
		}
		gone := must(c.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: names}}))(t)
		if len(gone.Deleted) != len(names) || len(gone.Errors) != 0 {
			t.Errorf("deleted %d of %d, %d errors", len(gone.Deleted), len(names), len(gone.Errors))
		}
		if left := must(c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)}))(t); *left.KeyCount != 0 {
			t.Errorf("%d keys are left: %q", *left.KeyCount, *left.Contents[0].Key)
		}
	}
}

func TestRangesAndConditions(t *testing.T) {
	k := newKit(t).withBucket()
	put := k.put("key", "0123456789")
	key, etag := aws.String("key"), *put.ETag
	for header, want := range map[string]string{
		"bytes=0-0": "0", "bytes=2-4": "234", "bytes=7-": "789", "bytes=-3": "789", "bytes=5-999": "56789", "bytes=-999": "0123456789",
		"bytes=0-1,3-4": "0123456789", "chapters=1-2": "0123456789", "bytes=4-2": "0123456789",
	} {
		body, out := k.get(&s3.GetObjectInput{Key: key, Range: aws.String(header)})
		if body != want || *out.ContentLength != int64(len(want)) {
			t.Errorf("%s: %q", header, body)
		}
		if partial := out.ContentRange != nil; partial != (header[0] == 'b' && header != "bytes=0-1,3-4" && header != "bytes=4-2") {
			t.Errorf("%s: Content-Range %v", header, out.ContentRange)
		}
	}
	for _, header := range []string{"bytes=10-", "bytes=-0", "bytes=99999999999999999999-"} {
		_, err := k.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: key, Range: aws.String(header)})
		wantFault(t, err, 416, "InvalidRange")
	}
	future, past := aws.Time(time.Now().Add(time.Hour)), aws.Time(time.Now().Add(-time.Hour))
	for _, c := range []struct {
		in     s3.GetObjectInput
		status int
		code   string
	}{
		{s3.GetObjectInput{IfMatch: &etag}, 200, ""},
		{s3.GetObjectInput{IfMatch: aws.String(`"other"`)}, 412, "PreconditionFailed"},
		{s3.GetObjectInput{IfNoneMatch: aws.String(`"other"`)}, 200, ""},
		{s3.GetObjectInput{IfNoneMatch: &etag}, 304, "NotModified"},
		{s3.GetObjectInput{IfModifiedSince: past}, 200, ""},
		{s3.GetObjectInput{IfModifiedSince: future}, 304, "NotModified"},
		{s3.GetObjectInput{IfUnmodifiedSince: future}, 200, ""},
		{s3.GetObjectInput{IfUnmodifiedSince: past}, 412, "PreconditionFailed"},
		{s3.GetObjectInput{IfMatch: &etag, IfUnmodifiedSince: past}, 200, ""},
		{s3.GetObjectInput{IfNoneMatch: aws.String(`"other"`), IfModifiedSince: future}, 200, ""},
	} {
		c.in.Bucket, c.in.Key = aws.String(bucket), key
		out, err := k.GetObject(t.Context(), &c.in)
		if c.status == 200 {
			readAll(t, must(out, err)(t).Body)
		} else {
			if c.status == 304 {
				c.code = "NotModified" // the SDK names it after the status
			}
			wantFault(t, err, c.status, c.code)
		}
	}
	answer, _ := k.send(raw{method: "GET", target: "/" + bucket + "/key", header: map[string]string{"If-None-Match": etag}})
	if answer.StatusCode != 304 || answer.Header.Get("ETag") != etag || answer.Header.Get("Last-Modified") == "" || answer.Header.Get("Content-Type") != "" {
		t.Errorf("304: %v", answer.Header)
	}
	for ifRange, want := range map[string]int{etag: 206, `"other"`: 200, "Mon, 02 Jan 2006 15:04:05 GMT": 200} {
		answer, _ := k.send(raw{method: "GET", target: "/" + bucket + "/key", header: map[string]string{"Range": "bytes=0-1", "If-Range": ifRange}})
		if answer.StatusCode != want {
			t.Errorf("If-Range %s: %d", ifRange, answer.StatusCode)
		}
	}
	// Writes.
	write := func(match, none *string) error {
		_, err := k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: key, Body: strings.NewReader("new"), IfMatch: match, IfNoneMatch: none})
		return err
	}
	wantFault(t, write(nil, aws.String("*")), 412, "PreconditionFailed")
	wantFault(t, write(aws.String(`"other"`), nil), 412, "PreconditionFailed")
	wantFault(t, write(nil, aws.String(`"other"`)), 400, "NotImplemented")
	if err := write(&etag, nil); err != nil {
		t.Error(err)
	}
}

func TestPresigned(t *testing.T) {
	k := newKit(t).withBucket()
	presign := s3.NewPresignClient(k.Client)
	put := must(presign.PresignPutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("a b"), ContentType: aws.String("text/plain"), Metadata: map[string]string{"color": "red"},
	}))(t)
	r := must(http.NewRequestWithContext(t.Context(), put.Method, put.URL, strings.NewReader("presigned")))(t)
	r.Header = put.SignedHeader.Clone()
	answer := must(k.server.Client().Do(r))(t)
	if text := readAll(t, answer.Body); answer.StatusCode != 200 {
		t.Fatalf("put: %d %s", answer.StatusCode, text)
	}
	get := must(presign.PresignGetObject(t.Context(), &s3.GetObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("a b"),
		ResponseContentType: aws.String("text/html"), ResponseContentDisposition: aws.String("inline"), ResponseCacheControl: aws.String("no-store"),
		ResponseContentEncoding: aws.String("identity"), ResponseContentLanguage: aws.String("de"), ResponseExpires: aws.Time(time.Unix(1_800_000_000, 0)),
	}))(t)
	answer = must(k.server.Client().Get(get.URL))(t)
	if text := readAll(t, answer.Body); text != "presigned" || answer.StatusCode != 200 {
		t.Fatalf("get: %d %s", answer.StatusCode, text)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html", "Content-Disposition": "inline", "Cache-Control": "no-store", "Content-Encoding": "identity",
		"Content-Language": "de", "Expires": "Fri, 15 Jan 2027 08:00:00 GMT", "x-amz-meta-color": "red",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	answer = must(k.server.Client().Get(strings.Replace(get.URL, "text%2Fhtml", "text%2Fplain", 1)))(t)
	if readAll(t, answer.Body); answer.StatusCode != 403 {
		t.Errorf("changed override: %d", answer.StatusCode)
	}
}

// TestChecksums puts and gets with each algorithm, in a header and (over TLS) in
// a trailer, which the SDK verifies by itself.
func TestChecksums(t *testing.T) {
	for name, k := range map[string]*kit{"header": newKit(t).withBucket(), "trailer": newTLSKit(t).withBucket()} {
		for _, a := range []types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
			t.Run(fmt.Sprintf("%s %s", name, a), func(t *testing.T) {
				body := bytes.Repeat([]byte(a), 100_000)
				key := aws.String(string(a))
				put := must(k.PutObject(t.Context(), &s3.PutObjectInput{
					Bucket: aws.String(bucket), Key: key, Body: bytes.NewReader(body), ChecksumAlgorithm: a, ContentEncoding: aws.String("br"),
				}))(t)
				if put.ChecksumType != types.ChecksumTypeFullObject {
					t.Errorf("type %q", put.ChecksumType)
				}
				got, out := k.get(&s3.GetObjectInput{Key: key, ChecksumMode: types.ChecksumModeEnabled})
				if got != string(body) || *out.ContentEncoding != "br" {
					t.Errorf("%d bytes, encoding %q", len(got), *out.ContentEncoding)
				}
				value := func(c ...*string) (s string) {
					for _, v := range c {
						s += aws.ToString(v)
					}
					return s
				}
				stored := value(put.ChecksumCRC32, put.ChecksumCRC32C, put.ChecksumCRC64NVME, put.ChecksumSHA1, put.ChecksumSHA256)
				told := value(out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256)
				if stored == "" || stored != told {
					t.Errorf("put said %q, get %q", stored, told)
				}
				if _, out := k.get(&s3.GetObjectInput{Key: key, ChecksumMode: types.ChecksumModeEnabled, Range: aws.String("bytes=0-9")}); out.ChecksumType != "" {
					t.Errorf("a range came with the checksum of the whole")
				}
			})
		}
	}
}

func TestDefaultChecksum(t *testing.T) {
	k := newKit(t).withBucket()
	answer, _ := k.send(raw{method: "PUT", target: "/" + bucket + "/key", body: "hello"})
	if answer.Header.Get("x-amz-checksum-crc64nvme") != "M3eFcAZSQlc=" || answer.Header.Get("x-amz-checksum-type") != "FULL_OBJECT" {
		t.Errorf("%v", answer.Header)
	}
}

func TestMultipart(t *testing.T) {
	k := newTLSKit(t).withBucket()
	ctx := t.Context()
	whole := make([]byte, 5<<20+5<<20+100)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(whole)
	key := aws.String("dir/big file")
	up := must(k.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: aws.String(bucket), Key: key, ContentType: aws.String("x/y"), Metadata: map[string]string{"m": "1"}, ChecksumAlgorithm: "CRC32",
	}))(t)
	if up.ChecksumAlgorithm != "CRC32" || up.ChecksumType != "COMPOSITE" || up.AbortDate == nil {
		t.Errorf("create: %+v", up)
	}
	var parts []types.CompletedPart
	for i, body := range [][]byte{whole[:5<<20], whole[5<<20 : 10<<20], whole[10<<20:]} {
		n := aws.Int32(int32(i + 1))
		p := must(k.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId, PartNumber: n, Body: bytes.NewReader(body), ChecksumAlgorithm: "CRC32",
		}))(t)
		parts = append(parts, types.CompletedPart{PartNumber: n, ETag: p.ETag, ChecksumCRC32: p.ChecksumCRC32})
	}
	listed := must(k.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId, MaxParts: aws.Int32(2)}))(t)
	if len(listed.Parts) != 2 || !*listed.IsTruncated || *listed.NextPartNumberMarker != "2" || *listed.Parts[0].ChecksumCRC32 != *parts[0].ChecksumCRC32 {
		t.Errorf("parts: %+v", listed)
	}
	uploads := must(k.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket), Prefix: aws.String("dir/")}))(t)
	if len(uploads.Uploads) != 1 || *uploads.Uploads[0].Key != *key || *uploads.Uploads[0].UploadId != *up.UploadId {
		t.Errorf("uploads: %+v", uploads)
	}
	done := must(k.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		MpuObjectSize: aws.Int64(int64(len(whole))),
	}))(t)
	if !strings.HasSuffix(*done.ETag, `-3"`) || *done.Location != k.server.URL+"/"+bucket+"/dir/big%20file" || !strings.HasSuffix(*done.ChecksumCRC32, "-3") {
		t.Errorf("complete: %+v", done)
	}
	body, got := k.get(&s3.GetObjectInput{Key: key, ChecksumMode: "ENABLED"})
	if body != string(whole) || *got.ETag != *done.ETag || *got.ContentType != "x/y" || got.PartsCount != nil {
		t.Errorf("get: %d bytes, %+v", len(body), got)
	}
	body, got = k.get(&s3.GetObjectInput{Key: key, PartNumber: aws.Int32(3), ChecksumMode: "ENABLED"})
	if body != string(whole[10<<20:]) || *got.PartsCount != 3 || *got.ContentRange != "bytes 10485760-10485859/10485860" || *got.ChecksumCRC32 != *parts[2].ChecksumCRC32 {
		t.Errorf("part 3: %d bytes, %+v", len(body), got)
	}
	head := must(k.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: key, PartNumber: aws.Int32(1)}))(t)
	if *head.ContentLength != 5<<20 || *head.PartsCount != 3 {
		t.Errorf("head of part 1: %+v", head)
	}
	_, err := k.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: key, PartNumber: aws.Int32(4)})
	wantFault(t, err, 416, "InvalidPartNumber")
	body, _ = k.get(&s3.GetObjectInput{Key: key, Range: aws.String("bytes=5242870-5242889")})
	if body != string(whole[5242870:5242890]) {
		t.Error("a range over the border of two parts is not what was put")
	}
	attributes := must(k.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: aws.String(bucket), Key: key,
		ObjectAttributes: []types.ObjectAttributes{"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}}))(t)
	if *attributes.ObjectParts.TotalPartsCount != 3 || len(attributes.ObjectParts.Parts) != 3 || *attributes.ETag != strings.Trim(*done.ETag, `"`) ||
		*attributes.ObjectSize != int64(len(whole)) || attributes.StorageClass != "STANDARD" || *attributes.Checksum.ChecksumCRC32+"-3" != *done.ChecksumCRC32 {
		t.Errorf("attributes: %+v", attributes)
	}
}

func TestMultipartFaults(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	key := aws.String("key")
	up := must(k.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: key}))(t)
	part := func(n int32, body string) *string {
		return must(k.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId, PartNumber: &n, Body: strings.NewReader(body)}))(t).ETag
	}
	complete := func(parts ...types.CompletedPart) error {
		_, err := k.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
		return err
	}
	one, two := part(1, "small"), part(2, "small too")
	name := func(n int32, etag *string) types.CompletedPart {
		return types.CompletedPart{PartNumber: aws.Int32(n), ETag: etag}
	}
	wantFault(t, complete(), 400, "MalformedXML")
	wantFault(t, complete(name(1, one), name(2, two)), 400, "EntityTooSmall")
	wantFault(t, complete(name(2, two), name(1, one)), 400, "InvalidPartOrder")
	wantFault(t, complete(name(1, two)), 400, "InvalidPart")
	wantFault(t, complete(name(3, two)), 400, "InvalidPart")
	_, err := k.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(10001), Body: strings.NewReader("x")})
	wantFault(t, err, 400, "InvalidArgument")
	must(k.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId}))(t)
	_, err = k.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId})
	wantFault(t, err, 404, "NoSuchUpload")
	wantFault(t, complete(name(1, one)), 404, "NoSuchUpload")
}

func TestPartCopy(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	k.put("source", "0123456789")
	key := aws.String("copy")
	up := must(k.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: key, ChecksumAlgorithm: "SHA256"}))(t)
	in := &s3.UploadPartCopyInput{Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(1),
		CopySource: aws.String(bucket + "/source"), CopySourceRange: aws.String("bytes=2-5")}
	p := must(k.UploadPartCopy(ctx, in))(t)
	must(k.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{
			PartNumber: aws.Int32(1), ETag: p.CopyPartResult.ETag, ChecksumSHA256: p.CopyPartResult.ChecksumSHA256}}}}))(t)
	if body, _ := k.get(&s3.GetObjectInput{Key: key}); body != "2345" || p.CopyPartResult.ChecksumSHA256 == nil {
		t.Errorf("%q, checksum %v", body, p.CopyPartResult.ChecksumSHA256)
	}
	in.CopySourceRange = aws.String("bytes=2-")
	_, err := k.UploadPartCopy(ctx, in)
	wantFault(t, err, 400, "InvalidArgument")
}

func TestUnseekableBody(t *testing.T) {
	k := newTLSKit(t).withBucket()
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, io.LimitReader(rand.NewChaCha8([32]byte{2}), 3<<20))
		w.CloseWithError(err)
	}()
	must(k.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("stream"), Body: r, ContentLength: aws.Int64(3 << 20)}))(t)
	body, _ := k.get(&s3.GetObjectInput{Key: aws.String("stream"), ChecksumMode: "ENABLED"})
	want := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(want)
	if body != string(want) {
		t.Errorf("%d bytes came back, or others", len(body))
	}
}
