package s3

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
)

// classicRegion is the region that S3 names by nothing at all.
const classicRegion = "us-east-1"

// CreateBucket makes a bucket in the region the caller signed for.
func (s *Service) CreateBucket(ctx context.Context, in *model.CreateBucketRequest) (*model.CreateBucketOutput, error) {
	c, err := begin(ctx, nil)
	if err != nil {
		return nil, err
	}
	constraint, err := createConfiguration(in.CreateBucketConfiguration)
	if err != nil {
		return nil, err
	}
	region, err := bucketRegion(c.Scope.Region, constraint)
	if err != nil {
		return nil, err
	}
	var begins object.NewBucket
	if begins.Ownership, err = ownership(in.ObjectOwnership); err != nil {
		return nil, err
	}
	if in.CreateBucketConfiguration != nil {
		if begins.Tags, err = tagsIn(in.CreateBucketConfiguration.Tags); err != nil {
			return nil, err
		}
	}
	b, err := s.objects.CreateBucket(ctx, c.account, region, wire.Text(in.Bucket), begins)
	if err != nil {
		return nil, err
	}
	return &model.CreateBucketOutput{Location: new("/" + b.Name), BucketArn: new(bucketARN(b.Name))}, nil
}

func createConfiguration(c *model.CreateBucketConfiguration) (constraint string, err error) {
	switch {
	case c == nil:
		return "", nil
	case c.Location != nil || c.Bucket != nil:
		return "", notImplemented("CreateBucketConfiguration.Bucket", "there are no directory buckets")
	}
	return wire.Text(c.LocationConstraint), nil
}

// bucketRegion is the region of a new bucket: the one that was signed for, which
// the constraint has to name everywhere but in the classic region, whose
// endpoint makes buckets everywhere.
func bucketRegion(signed, constraint string) (string, error) {
	want := constraint
	switch constraint {
	case "":
		want = classicRegion
	case "EU":
		want = "eu-west-1"
	case classicRegion:
		e := fault.BadRequest("InvalidLocationConstraint", "The specified location-constraint is not valid")
		e.Members = map[string]string{"LocationConstraint": constraint}
		return "", e
	}
	if signed == classicRegion || want == signed {
		return want, nil
	}
	if constraint == "" {
		constraint = "unspecified"
	}
	return "", fault.New("IllegalLocationConstraintException", http.StatusBadRequest,
		"The %s location constraint is incompatible for the region specific endpoint this request was sent to.", constraint)
}

func bucketARN(name string) string { return "arn:aws:s3:::" + name }

// DeleteBucket deletes an empty bucket.
func (s *Service) DeleteBucket(ctx context.Context, in *model.DeleteBucketRequest) (*model.Nothing, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.objects.DeleteBucket(ctx, c.account, wire.Text(in.Bucket))
}

// HeadBucket says whether the caller has the bucket.
func (s *Service) HeadBucket(ctx context.Context, in *model.HeadBucketRequest) (*model.HeadBucketOutput, error) {
	_, b, err := s.bucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return &model.HeadBucketOutput{
		BucketArn: new(bucketARN(b.Name)), BucketRegion: &b.Region, AccessPointAlias: new(false),
	}, nil
}

// maxBuckets is the largest page of ListBuckets.
const maxBuckets = 10_000

// ListBuckets lists the buckets of the account, in pages if MaxBuckets says so.
func (s *Service) ListBuckets(ctx context.Context, in *model.ListBucketsRequest) (*model.ListBucketsOutput, error) {
	c, err := begin(ctx, nil)
	if err != nil {
		return nil, err
	}
	l := object.BucketList{Prefix: wire.Text(in.Prefix), Region: wire.Text(in.BucketRegion), Max: maxBuckets}
	if in.MaxBuckets != nil {
		l.Max = int(*in.MaxBuckets)
	}
	if t := wire.Text(in.ContinuationToken); t != "" {
		after, err := base64.RawURLEncoding.Strict().DecodeString(t)
		if err != nil || object.CheckBucketName(string(after)) != nil {
			return nil, invalidArgument("continuation-token", t, "The continuation token provided is incorrect")
		}
		l.After = string(after)
	}
	list, more, err := s.objects.Buckets(ctx, c.account, l)
	if err != nil {
		return nil, err
	}
	out := &model.ListBucketsOutput{Owner: c.owner(), Buckets: make([]model.Bucket, len(list)), Prefix: in.Prefix}
	for i, b := range list {
		out.Buckets[i] = model.Bucket{Name: &b.Name, CreationDate: &b.Created, BucketRegion: &b.Region, BucketArn: new(bucketARN(b.Name))}
	}
	if more {
		out.ContinuationToken = new(base64.RawURLEncoding.EncodeToString([]byte(list[len(list)-1].Name)))
	}
	return out, nil
}

// GetBucketLocation names the region; that of the classic one is empty.
func (s *Service) GetBucketLocation(ctx context.Context, in *model.GetBucketLocationRequest) (*model.GetBucketLocationOutput, error) {
	_, b, err := s.bucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if b.Region == classicRegion {
		return &model.GetBucketLocationOutput{}, nil
	}
	return &model.GetBucketLocationOutput{LocationConstraint: &b.Region}, nil
}

// GetBucketVersioning tells nothing of a bucket that never had versioning.
func (s *Service) GetBucketVersioning(ctx context.Context, in *model.GetBucketVersioningRequest) (*model.GetBucketVersioningOutput, error) {
	_, b, err := s.bucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return &model.GetBucketVersioningOutput{Status: wire.Optional(string(b.Versioning))}, nil
}

// PutBucketVersioning enables or suspends versioning.
func (s *Service) PutBucketVersioning(ctx context.Context, in *model.PutBucketVersioningRequest) (*model.Nothing, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	v := in.VersioningConfiguration
	if v == nil {
		return nil, malformedXML()
	}
	if strings.EqualFold(wire.Text(v.MFADelete), "Enabled") {
		return nil, notImplemented("VersioningConfiguration.MfaDelete", "deletion cannot be tied to a second factor")
	}
	return &model.Nothing{}, s.objects.SetVersioning(ctx, c.account, wire.Text(in.Bucket), object.Versioning(wire.Text(v.Status)))
}
