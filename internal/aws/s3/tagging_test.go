package s3_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func tags(kv ...string) *types.Tagging {
	out := &types.Tagging{TagSet: []types.Tag{}}
	for i := 0; i+1 < len(kv); i += 2 {
		out.TagSet = append(out.TagSet, types.Tag{Key: &kv[i], Value: &kv[i+1]})
	}
	return out
}

func said(set []types.Tag) string {
	var out []string
	for _, tag := range set {
		out = append(out, *tag.Key+"="+*tag.Value)
	}
	return strings.Join(out, "&")
}

// tagsOf are an object's tags as both calls that know of them tell.
func (k *kit) tagsOf(key, version string) string {
	k.t.Helper()
	in := &s3.GetObjectTaggingInput{Bucket: aws.String(bucket), Key: &key}
	head := &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: &key}
	if version != "" {
		in.VersionId, head.VersionId = &version, &version
	}
	out, info := must(k.GetObjectTagging(k.t.Context(), in))(k.t), must(k.HeadObject(k.t.Context(), head))(k.t)
	if int(aws.ToInt32(info.TagCount)) != len(out.TagSet) {
		k.t.Errorf("HEAD counts %d tags of %s", aws.ToInt32(info.TagCount), said(out.TagSet))
	}
	return said(out.TagSet)
}

func TestObjectTags(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	wants := func(key, version, want string) {
		t.Helper()
		if got := k.tagsOf(key, version); got != want {
			t.Errorf("%s has the tags %q, want %q", key, got, want)
		}
	}
	k.put("plain", "x")
	wants("plain", "", "")
	put := &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("key"), Body: strings.NewReader("x"), Tagging: aws.String("team=a%20b&empty=&%C3%BC=%2B")}
	must(k.PutObject(ctx, put))(t)
	wants("key", "", "empty=&team=a b&ü=+")
	if got := must(k.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("key")}))(t); aws.ToInt32(got.TagCount) != 3 {
		t.Errorf("GET counts %d tags", aws.ToInt32(got.TagCount))
	}

	copied := func(to string, change func(*s3.CopyObjectInput)) {
		t.Helper()
		in := &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: &to, CopySource: aws.String(bucket + "/key")}
		if change != nil {
			change(in)
		}
		must(k.CopyObject(ctx, in))(t)
	}
	copied("as it was", nil)
	wants("as it was", "", "empty=&team=a b&ü=+")
	copied("read again", func(in *s3.CopyObjectInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256 })
	wants("read again", "", "empty=&team=a b&ü=+")
	copied("ignored", func(in *s3.CopyObjectInput) { in.Tagging = aws.String("other=1") })
	wants("ignored", "", "empty=&team=a b&ü=+")
	copied("replaced", func(in *s3.CopyObjectInput) {
		in.TaggingDirective, in.Tagging, in.ChecksumAlgorithm = types.TaggingDirectiveReplace, aws.String("other=1"), types.ChecksumAlgorithmSha1
	})
	wants("replaced", "", "other=1")
	copied("cleared", func(in *s3.CopyObjectInput) { in.TaggingDirective = types.TaggingDirectiveReplace })
	wants("cleared", "", "")

	up := must(k.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("parts"), Tagging: aws.String("by=parts")}))(t)
	part := must(k.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: aws.String(bucket), Key: aws.String("parts"), UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x"),
	}))(t)
	must(k.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(bucket), Key: aws.String("parts"), UploadId: up.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag}}},
	}))(t)
	wants("parts", "", "by=parts")

	before := must(k.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("key")}))(t)
	must(k.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("key"), Tagging: tags("one", "1")}))(t)
	wants("key", "", "one=1")
	wants("as it was", "", "empty=&team=a b&ü=+")
	after := must(k.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("key")}))(t)
	if *after.ETag != *before.ETag || !after.LastModified.Equal(*before.LastModified) {
		t.Error("tags changed the object")
	}
	must(k.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("key")}))(t)
	wants("key", "", "")
	k.put("plain", "again") // a new object has its own tags
	wants("plain", "", "")
}

// TestTagsOfVersions keeps those of each version apart.
func TestTagsOfVersions(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	must(k.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: aws.String(bucket), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}))(t)
	put := func(body, tagging string) string {
		return *must(k.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("key"), Body: strings.NewReader(body), Tagging: &tagging}))(t).VersionId
	}
	old, young := put("1", "n=1"), put("2", "n=2")
	out := must(k.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("key"), VersionId: &old, Tagging: tags("n", "one")}))(t)
	if *out.VersionId != old || k.tagsOf("key", old) != "n=one" || k.tagsOf("key", young) != "n=2" || k.tagsOf("key", "") != "n=2" {
		t.Errorf("of %s: %q and %q", *out.VersionId, k.tagsOf("key", old), k.tagsOf("key", ""))
	}
	marker := must(k.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("key")}))(t)
	_, err := k.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("key"), VersionId: marker.VersionId, Tagging: tags()})
	wantFault(t, err, 405, "MethodNotAllowed")
	_, err = k.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("key")})
	wantFault(t, err, 404, "NoSuchKey")
}

func TestBucketTags(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	get := func() (string, error) {
		out, err := k.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String(bucket)})
		if err != nil {
			return "", err
		}
		return said(out.TagSet), nil
	}
	_, err := get()
	wantFault(t, err, 404, "NoSuchTagSet")
	must(k.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: aws.String(bucket), Tagging: tags("b", "2", "a", "1")}))(t)
	must(k.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{ // which leaves them alone
		Bucket: aws.String(bucket), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}))(t)
	if got, err := get(); got != "a=1&b=2" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	must(k.DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: aws.String(bucket)}))(t)
	_, err = get()
	wantFault(t, err, 404, "NoSuchTagSet")
	must(k.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: aws.String("with-tags"), CreateBucketConfiguration: &types.CreateBucketConfiguration{Tags: tags("from", "the start").TagSet},
	}))(t)
	out := must(k.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String("with-tags")}))(t)
	if got := said(out.TagSet); got != "from=the start" {
		t.Errorf("created with %q", got)
	}
}

// TestTagLimits holds S3's limits, each at its edge, and leaves what was there.
func TestTagLimits(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	k.put("key", "x")
	many := func(n int) *types.Tagging {
		var kv []string
		for i := range n {
			kv = append(kv, fmt.Sprint("k", i), "v")
		}
		return tags(kv...)
	}
	object := func(in *types.Tagging) error {
		_, err := k.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("key"), Tagging: in})
		return err
	}
	whole := func(in *types.Tagging) error {
		_, err := k.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: aws.String(bucket), Tagging: in})
		return err
	}
	header := func(value string) error {
		_, err := k.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("other"), Body: strings.NewReader("x"), Tagging: &value})
		return err
	}
	for name, test := range map[string]struct {
		err    error
		status int
		code   string
	}{
		"ten":                 {object(many(10)), 0, ""},
		"eleven":              {object(many(11)), 400, "BadRequest"},
		"fifty":               {whole(many(50)), 0, ""},
		"fifty-one":           {whole(many(51)), 400, "BadRequest"},
		"long key":            {whole(tags(strings.Repeat("ü", 128), "")), 0, ""},
		"too long a key":      {object(tags(strings.Repeat("k", 129), "")), 400, "InvalidTag"},
		"empty key":           {object(tags("", "v")), 400, "InvalidArgument"},
		"long value":          {whole(tags("k", strings.Repeat("v", 256))), 0, ""},
		"too long a value":    {object(tags("k", strings.Repeat("v", 257))), 400, "InvalidTag"},
		"odd characters":      {object(tags("k", "a*b")), 400, "InvalidTag"},
		"of AWS":              {whole(tags("aws:cloudformation:stack", "x")), 400, "InvalidTag"},
		"twice":               {object(tags("k", "1", "k", "2")), 400, "InvalidTag"},
		"header, eleven":      {header("a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1&j=1&k=1"), 400, "BadRequest"},
		"header, twice":       {header("a=1&a=2"), 400, "InvalidArgument"},
		"header, no encoding": {header("a=%zz"), 400, "InvalidArgument"},
		"header, odd":         {header("a=%2A"), 400, "InvalidTag"},
	} {
		if test.code == "" {
			if test.err != nil {
				t.Errorf("%s: %v", name, test.err)
			}
			continue
		}
		t.Run(name, func(t *testing.T) { wantFault(t, test.err, test.status, test.code) })
	}
	if got := k.tagsOf("key", ""); strings.Count(got, "&") != 9 {
		t.Errorf("after refusals the object has %q", got)
	}
	_, err := k.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("other")})
	wantFault(t, err, 404, "NotFound")
}
