package s3_test

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func digest(body string) string {
	sum := md5.Sum([]byte(body))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// chunked is a body in the aws-chunked form, with one trailing header.
func chunked(body, trailer string) string {
	return fmt.Sprintf("%x\r\n%s\r\n0\r\n%s\r\n\r\n", len(body), body, trailer)
}

// TestRefusals sends what no SDK would and reads S3's words. Nothing of it may
// change the object that is there.
func TestRefusals(t *testing.T) {
	k := newKit(t).withBucket()
	k.put("key", "hello")
	h := func(kv ...string) map[string]string {
		out := map[string]string{}
		for i := 0; i+1 < len(kv); i += 2 {
			out[kv[i]] = kv[i+1]
		}
		return out
	}
	stream := func(body, trailer, name string) raw {
		return raw{method: "PUT", body: chunked(body, trailer), header: h("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
			"X-Amz-Decoded-Content-Length", fmt.Sprint(len(body)), "X-Amz-Trailer", name, "Content-Encoding", "aws-chunked")}
	}
	with := func(q raw, target string) raw { q.target = target; return q }
	const object = "/" + bucket + "/key"
	for _, c := range []struct {
		raw
		status int
		code   string
	}{
		{raw{method: "PUT", target: "/UPPER"}, 400, "InvalidBucketName"},
		{raw{method: "PUT", target: "/192.168.0.1"}, 400, "InvalidBucketName"},
		{raw{method: "PUT", target: "/new-bucket", body: "<CreateBucketConfiguration"}, 400, "MalformedXML"},
		{raw{method: "PUT", target: "/new-bucket", body: "<CreateBucketConfiguration><LocationConstraint>moon-1</LocationConstraint></CreateBucketConfiguration>"}, 400, "InvalidArgument"},
		{raw{method: "PUT", target: "/new-bucket", body: "<CreateBucketConfiguration><Tags><Tag><Key>aws:a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>"}, 400, "InvalidTag"},
		{raw{method: "PUT", target: "/new-bucket", header: h("x-amz-acl", "public-read")}, 400, "NotImplemented"},
		{raw{method: "PUT", target: "/new-bucket", header: h("x-amz-bucket-object-lock-enabled", "true")}, 400, "NotImplemented"},
		{raw{method: "PUT", target: "/new-bucket", header: h("x-amz-object-ownership", "Somebody")}, 400, "InvalidArgument"},
		{raw{method: "GET", target: "/no-such-bucket/key"}, 404, "NoSuchBucket"},
		{raw{method: "GET", target: "/" + bucket + "/missing"}, 404, "NoSuchKey"},
		{raw{method: "GET", target: object + "?versionId=3HL4kqtJvjVBH40Nrjfkd"}, 400, "InvalidArgument"},
		{raw{method: "GET", target: object + "?partNumber=0"}, 400, "InvalidArgument"},
		{raw{method: "GET", target: object + "?partNumber=2"}, 416, "InvalidPartNumber"},
		{raw{method: "GET", target: object + "?partNumber=1", header: h("Range", "bytes=0-1")}, 400, "InvalidRequest"},
		{raw{method: "GET", target: object + "?partNumber=one"}, 400, "InvalidArgument"},
		{raw{method: "GET", target: object, header: h("Range", "bytes=5-")}, 416, "InvalidRange"},
		{raw{method: "GET", target: object, header: h("If-Modified-Since", "yesterday")}, 400, "InvalidArgument"},
		{raw{method: "GET", target: object, header: h("x-amz-expected-bucket-owner", "222233334444")}, 403, "AccessDenied"},
		{raw{method: "GET", target: object, header: h("x-amz-expected-bucket-owner", "me")}, 400, "InvalidBucketOwnerAWSAccountID"},
		{raw{method: "GET", target: object, header: h("x-amz-server-side-encryption-customer-algorithm", "AES256")}, 400, "NotImplemented"},
		{raw{method: "GET", target: object, header: h("x-amz-request-payer", "requester")}, 400, "NotImplemented"},
		{raw{method: "GET", target: "/" + bucket + "?max-keys=-1"}, 400, "InvalidArgument"},
		{raw{method: "GET", target: "/" + bucket + "?list-type=2&continuation-token="}, 400, "InvalidArgument"},
		{raw{method: "GET", target: "/" + bucket + "?versions&version-id-marker=x"}, 400, "InvalidArgument"},
		{raw{method: "GET", target: "/" + bucket + "?acl"}, 400, "NotImplemented"},
		{raw{method: "GET", target: object + "?acl"}, 400, "NotImplemented"},
		{raw{method: "GET", target: "/?max-buckets=0"}, 400, "InvalidArgument"},
		{raw{method: "GET", target: "/?continuation-token=%20"}, 400, "InvalidArgument"},

		{raw{method: "PUT", target: object, header: h("x-amz-acl", "public-read")}, 400, "NotImplemented"},
		{raw{method: "PUT", target: object, header: h("x-amz-grant-read", "id=x")}, 400, "NotImplemented"},
		{raw{method: "PUT", target: object, header: h("x-amz-server-side-encryption", "AES256")}, 400, "NotImplemented"},
		{raw{method: "PUT", target: object, header: h("x-amz-server-side-encryption", "aws:kms")}, 400, "NotImplemented"},
		{raw{method: "PUT", target: object, header: h("x-amz-server-side-encryption-customer-key", "x")}, 400, "NotImplemented"},
		{raw{method: "PUT", target: object, header: h("x-amz-storage-class", "GLACIER")}, 400, "NotImplemented"},
		{raw{method: "PUT", target: object, header: h("x-amz-tagging", "a=b&a=c")}, 400, "InvalidArgument"},
		{raw{method: "PUT", target: object, header: h("x-amz-object-lock-mode", "GOVERNANCE")}, 400, "NotImplemented"},
		{raw{method: "PUT", target: object, header: h("x-amz-website-redirect-location", "/x")}, 400, "NotImplemented"},
		{raw{method: "PUT", target: object, header: h("x-amz-write-offset-bytes", "5")}, 400, "NotImplemented"},
		{raw{method: "PUT", target: object, header: h("Content-MD5", "nonsense")}, 400, "InvalidDigest"},
		{raw{method: "PUT", target: object, body: "x", header: h("Content-MD5", digest("y"))}, 400, "BadDigest"},
		{raw{method: "PUT", target: object, body: "x", header: h("x-amz-checksum-crc32", "AAAAAA==")}, 400, "BadDigest"},
		{raw{method: "PUT", target: object, body: "x", header: h("x-amz-checksum-crc32", "AAAA")}, 400, "InvalidRequest"},
		{raw{method: "PUT", target: object, body: "x", header: h("x-amz-checksum-md4", "AAAA")}, 400, "InvalidRequest"},
		{raw{method: "PUT", target: object, body: "x", header: h("x-amz-checksum-xxhash64", "AAAA")}, 400, "InvalidRequest"},
		{raw{method: "PUT", target: object, body: "x", header: h("x-amz-checksum-crc32", "AAAAAA==", "x-amz-checksum-sha1", "AAAA")}, 400, "InvalidRequest"},
		{raw{method: "PUT", target: object, body: "x", header: h("x-amz-sdk-checksum-algorithm", "CRC32")}, 400, "InvalidRequest"},
		{raw{method: "PUT", target: object, body: "x", header: h("x-amz-sdk-checksum-algorithm", "SHA1", "x-amz-checksum-crc32", "AAAAAA==")}, 400, "InvalidRequest"},
		{with(stream("hello", "x-amz-checksum-crc32:AAAAAA==", "x-amz-checksum-crc32"), object), 400, "BadDigest"},
		{with(stream("hello", "x-amz-checksum-crc32:oops", "x-amz-checksum-crc32"), object), 400, "InvalidRequest"},
		{raw{method: "PUT", target: "/" + bucket + "/" + strings.Repeat("k", 1025)}, 400, "KeyTooLongError"},
		{raw{method: "PUT", target: "/" + bucket + "/%FF"}, 400, "InvalidURI"},
		{raw{method: "PUT", target: object, header: h("x-amz-meta-big", strings.Repeat("x", 2049))}, 400, "MetadataTooLarge"},

		{raw{method: "PUT", target: object, header: h("x-amz-copy-source", "nokey")}, 400, "InvalidArgument"},
		{raw{method: "PUT", target: object, header: h("x-amz-copy-source", bucket+"/%zz")}, 400, "InvalidArgument"},
		{raw{method: "PUT", target: object, header: h("x-amz-copy-source", bucket+"/key?acl")}, 400, "InvalidArgument"},
		{raw{method: "PUT", target: object, header: h("x-amz-copy-source", "arn:aws:s3:us-east-1:1:accesspoint/a/object/k")}, 400, "NotImplemented"},
		{raw{method: "PUT", target: object, header: h("x-amz-copy-source", bucket+"/key", "x-amz-tagging-directive", "MERGE")}, 400, "InvalidArgument"},
		{raw{method: "PUT", target: object, header: h("x-amz-copy-source", bucket+"/key", "x-amz-metadata-directive", "MERGE")}, 400, "InvalidArgument"},

		{raw{method: "POST", target: "/" + bucket + "?delete", body: "<Delete><Object><Key>key</Key></Object></Delete>"}, 400, "InvalidRequest"},
		{raw{method: "POST", target: "/" + bucket + "?delete", body: "<Delete/>", header: h("Content-MD5", digest("<Delete/>"))}, 400, "InvalidArgument"},
		{raw{method: "POST", target: "/" + bucket + "?delete", body: "<Delete><Object><Key>key</Key></Object></Delete>", header: h("Content-MD5", digest("x"))}, 400, "BadDigest"},
		{raw{method: "POST", target: "/" + bucket + "?delete", body: "not xml", header: h("Content-MD5", digest("not xml"))}, 400, "MalformedXML"},
		{raw{method: "DELETE", target: object, header: h("x-amz-mfa", "1 2")}, 400, "NotImplemented"},
		{raw{method: "DELETE", target: object, header: h("x-amz-if-match-size", "5")}, 400, "NotImplemented"},

		{raw{method: "PUT", target: "/" + bucket + "?versioning"}, 400, "InvalidArgument"},
		{raw{method: "PUT", target: "/" + bucket + "?versioning", body: "<VersioningConfiguration><Status>On</Status></VersioningConfiguration>"}, 400, "InvalidArgument"},
		{raw{method: "PUT", target: "/" + bucket + "?versioning", body: "<VersioningConfiguration/>"}, 400, "IllegalVersioningConfigurationException"},
		{raw{method: "PUT", target: "/" + bucket + "?versioning", body: "<VersioningConfiguration><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>"}, 400, "NotImplemented"},
		{raw{method: "PUT", target: object + "?partNumber=1&uploadId=nonsense", body: "x"}, 404, "NoSuchUpload"},
		{raw{method: "POST", target: object + "?uploadId=nonsense", body: "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>"}, 404, "NoSuchUpload"},
		{raw{method: "POST", target: object + "?uploadId=nonsense"}, 400, "MalformedXML"},
		{raw{method: "POST", target: object + "?uploads", header: h("x-amz-checksum-algorithm", "SHA256", "x-amz-checksum-type", "FULL_OBJECT")}, 400, "InvalidRequest"},
		{raw{method: "POST", target: object + "?uploads", header: h("x-amz-checksum-algorithm", "MD5")}, 400, "InvalidRequest"},
		{raw{method: "GET", target: object + "?uploadId=nonsense"}, 404, "NoSuchUpload"},
	} {
		answer, body := k.send(c.raw)
		name := fmt.Sprintf("%s %s %v", c.method, c.target, c.header)
		if answer.StatusCode != c.status || !strings.Contains(body, "<Code>"+c.code+"</Code>") {
			t.Errorf("%s: %d %s, want %d %s", name, answer.StatusCode, body, c.status, c.code)
		}
		if refused := answer.Header.Get("X-Outcrop-Refused") != ""; refused != (c.code == "NotImplemented") {
			t.Errorf("%s: X-Outcrop-Refused: %v", name, refused)
		}
		if answer.Header.Get("X-Amz-Request-Id") == "" {
			t.Errorf("%s: no request id", name)
		}
	}
	if body, _ := k.get(&s3.GetObjectInput{Key: aws.String("key")}); body != "hello" {
		t.Errorf("a refused request has changed the object: %q", body)
	}
	if list := must(k.ListBuckets(t.Context(), &s3.ListBucketsInput{}))(t); len(list.Buckets) != 1 {
		t.Errorf("a refused request has made a bucket: %+v", list.Buckets)
	}
}

// TestHarmless sends demands that ask for what is done anyway.
func TestHarmless(t *testing.T) {
	k := newKit(t).withBucket()
	for _, header := range [][2]string{
		{"x-amz-acl", "private"}, {"x-amz-acl", "bucket-owner-full-control"}, {"x-amz-storage-class", "STANDARD"},
		{"x-amz-expected-bucket-owner", account}, {"x-amz-object-ownership", "BucketOwnerEnforced"}, {"x-amz-bucket-object-lock-enabled", "false"},
		{"Content-MD5", digest("hello")}, {"Content-Encoding", "aws-chunked"},
	} {
		answer, body := k.send(raw{method: "PUT", target: "/" + bucket + "/key", body: "hello", header: map[string]string{header[0]: header[1]}})
		if answer.StatusCode != 200 {
			t.Errorf("%v: %d %s", header, answer.StatusCode, body)
		}
	}
	answer, _ := k.send(raw{method: "HEAD", target: "/" + bucket + "/key"})
	if _, ok := answer.Header["Content-Encoding"]; ok {
		t.Errorf("aws-chunked was kept: %v", answer.Header)
	}
	body := chunked("hello", "x-amz-checksum-crc32:NhCmhg==")
	answer, text := k.send(raw{method: "PUT", target: "/" + bucket + "/stream", body: body, header: map[string]string{
		"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length": "5",
		"X-Amz-Trailer": "x-amz-checksum-crc32", "Content-Encoding": "aws-chunked,gzip"}})
	if answer.StatusCode != 200 || answer.Header.Get("x-amz-checksum-crc32") != "NhCmhg==" {
		t.Errorf("trailer: %d %s", answer.StatusCode, text)
	}
	if answer, text := k.send(raw{method: "GET", target: "/" + bucket + "/stream"}); answer.Header.Get("Content-Encoding") != "gzip" || text != "hello" {
		t.Errorf("%v %q", answer.Header, text)
	}
}

// TestNoPageOfThisOrigin holds that a browser runs nothing of what an object, a
// listing or a refusal says, whatever its type and however it was asked for.
func TestNoPageOfThisOrigin(t *testing.T) {
	k := newKit(t).withBucket()
	object := "/" + bucket + "/page"
	if answer, body := k.send(raw{method: "PUT", target: object, body: "<script>1</script>", header: map[string]string{"Content-Type": "text/html"}}); answer.StatusCode != 200 {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	for _, c := range []struct {
		raw
		status int
		kind   string
	}{
		{raw{method: "GET", target: object}, 200, "text/html"},
		{raw{method: "HEAD", target: object}, 200, "text/html"},
		{raw{method: "GET", target: object, header: map[string]string{"Range": "bytes=0-3"}}, 206, "text/html"},
		{raw{method: "GET", target: object + "?response-content-type=image%2Fsvg%2Bxml"}, 200, "image/svg+xml"},
		{raw{method: "GET", target: "/" + bucket}, 200, "application/xml"},
		{raw{method: "GET", target: object + "/none"}, 404, "application/xml"},
	} {
		answer, _ := k.send(c.raw)
		h := answer.Header
		if answer.StatusCode != c.status || h.Get("Content-Type") != c.kind || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != "sandbox" {
			t.Errorf("%s %s: %d %v", c.method, c.target, answer.StatusCode, h)
		}
	}
}
