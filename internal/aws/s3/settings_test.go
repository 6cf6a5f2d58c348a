package s3_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// TestPublicAccessBlock is what S3 says of a new bucket, what was put, and
// nothing once it was deleted.
func TestPublicAccessBlock(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	get := func() (*types.PublicAccessBlockConfiguration, error) {
		out, err := k.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: aws.String(bucket)})
		if err != nil {
			return nil, err
		}
		return out.PublicAccessBlockConfiguration, nil
	}
	if p := must(get())(t); !*p.BlockPublicAcls || !*p.IgnorePublicAcls || !*p.BlockPublicPolicy || !*p.RestrictPublicBuckets {
		t.Errorf("a new bucket has %+v", p)
	}
	must(k.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
		Bucket: aws.String(bucket), PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{BlockPublicPolicy: aws.Bool(true)},
	}))(t)
	if p := must(get())(t); *p.BlockPublicAcls || *p.IgnorePublicAcls || !*p.BlockPublicPolicy || *p.RestrictPublicBuckets {
		t.Errorf("it has %+v", p)
	}
	must(k.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: aws.String(bucket)}))(t)
	_, err := get()
	wantFault(t, err, 404, "NoSuchPublicAccessBlockConfiguration")
}

func TestOwnershipControls(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	get := func(name string) (types.ObjectOwnership, error) {
		out, err := k.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: &name})
		if err != nil {
			return "", err
		}
		return out.OwnershipControls.Rules[0].ObjectOwnership, nil
	}
	put := func(o types.ObjectOwnership) error {
		_, err := k.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{
			Bucket: aws.String(bucket), OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: o}}},
		})
		return err
	}
	if o := must(get(bucket))(t); o != types.ObjectOwnershipBucketOwnerEnforced {
		t.Errorf("a new bucket has %s", o)
	}
	if err := put(types.ObjectOwnershipBucketOwnerPreferred); err != nil {
		t.Fatal(err)
	}
	if o := must(get(bucket))(t); o != types.ObjectOwnershipBucketOwnerPreferred {
		t.Errorf("it has %s", o)
	}
	wantFault(t, put("Somebody"), 400, "InvalidArgument")
	must(k.DeleteBucketOwnershipControls(ctx, &s3.DeleteBucketOwnershipControlsInput{Bucket: aws.String(bucket)}))(t)
	_, err := get(bucket)
	wantFault(t, err, 404, "OwnershipControlsNotFoundError")
	must(k.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("writers"), ObjectOwnership: types.ObjectOwnershipObjectWriter}))(t)
	if o := must(get("writers"))(t); o != types.ObjectOwnershipObjectWriter {
		t.Errorf("it was created with %s", o)
	}
}

// TestEncryptionOfBuckets is none, said in S3's words, and none can be set.
func TestEncryptionOfBuckets(t *testing.T) {
	k := newKit(t).withBucket()
	ctx := t.Context()
	_, err := k.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: aws.String(bucket)})
	wantFault(t, err, 404, "ServerSideEncryptionConfigurationNotFoundError")
	_, err = k.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{
		Bucket: aws.String(bucket), ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{
			{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryptionAes256}},
		}},
	})
	wantFault(t, err, 400, "NotImplemented")
	must(k.DeleteBucketEncryption(ctx, &s3.DeleteBucketEncryptionInput{Bucket: aws.String(bucket)}))(t)
}
