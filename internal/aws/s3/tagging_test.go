package s3_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

func TestGetObjectTagging(t *testing.T) {
	k := newKit(t).withBucket()
	k.put("there", "x")
	out, err := k.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("there")})
	if err != nil || len(out.TagSet) != 0 {
		t.Errorf("%+v, %v, want no tags", out, err)
	}
	_, err = k.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("missing")})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "NoSuchKey" {
		t.Errorf("of a missing key: %v, want NoSuchKey", err)
	}
}
