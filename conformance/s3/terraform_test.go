package s3

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/conformance/terraform"
)

// TestTerraform applies a bucket with all that stands around it, finds nothing to
// do, changes tags, and destroys it.
func TestTerraform(t *testing.T) {
	s := server.Start(t, server.Options{})
	tf := terraform.New(t, s, "testdata/terraform")
	c := s3.NewFromConfig(s.AWS(), func(o *s3.Options) { o.UsePathStyle = true })
	for _, team := range []string{"blue", "green"} {
		out := tf.Apply("team=" + team)
		if team == "green" && !strings.Contains(out, "0 added, 2 changed, 0 destroyed") {
			t.Errorf("a change of tags:\n%s", out)
		}
		tags, err := c.GetBucketTagging(t.Context(), &s3.GetBucketTaggingInput{Bucket: aws.String("terraform-code")})
		if err != nil || len(tags.TagSet) != 2 || *tags.TagSet[1].Value != team {
			t.Errorf("the bucket has %+v, %v", tags, err)
		}
	}
	if out := tf.Run("output", "-no-color", "-json", "tags"); !strings.Contains(out, `"team":"green"`) || !strings.Contains(out, `"by":"terraform"`) {
		t.Errorf("the object has %s", out)
	}
	versions, err := c.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String("terraform-code")})
	if err != nil || len(versions.Versions) != 1 {
		t.Errorf("tags made a version: %+v, %v", versions, err)
	}
	tf.Destroy("team=green")
	if _, err := c.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("terraform-code")}); err == nil {
		t.Error("the bucket is still there")
	}
}
