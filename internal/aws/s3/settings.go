package s3

import (
	"context"
	"net/http"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
)

// bucket is what a call that reads a bucket begins with.
func (s *Service) bucket(ctx context.Context, name, expectedOwner *string) (call, object.Bucket, error) {
	c, err := begin(ctx, expectedOwner)
	if err != nil {
		return c, object.Bucket{}, err
	}
	b, err := s.objects.Bucket(ctx, c.account, wire.Text(name))
	return c, b, err
}

// notSet is S3's answer to who asks for a setting that a bucket does not have.
func notSet(code, message, bucket string) *fault.Error {
	e := fault.New(code, http.StatusNotFound, "%s", message)
	e.Members = map[string]string{"BucketName": bucket}
	return e
}

func malformedXML() *fault.Error {
	return fault.BadRequest("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
}

// GetPublicAccessBlock returns what was said of a bucket, and of one that nobody
// said anything of that all is blocked, as S3 does.
func (s *Service) GetPublicAccessBlock(ctx context.Context, in *model.GetPublicAccessBlockRequest) (*model.GetPublicAccessBlockOutput, error) {
	_, b, err := s.bucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	p := b.PublicAccess
	if p == nil {
		return nil, notSet("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found", b.Name)
	}
	return &model.GetPublicAccessBlockOutput{PublicAccessBlockConfiguration: &model.PublicAccessBlockConfiguration{
		BlockPublicAcls: &p.BlockACLs, IgnorePublicAcls: &p.IgnoreACLs, BlockPublicPolicy: &p.BlockPolicy, RestrictPublicBuckets: &p.RestrictBuckets,
	}}, nil
}

// PutPublicAccessBlock keeps what is said; nothing is public either way.
func (s *Service) PutPublicAccessBlock(ctx context.Context, in *model.PutPublicAccessBlockRequest) (*model.Nothing, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	said := in.PublicAccessBlockConfiguration
	if said == nil {
		return nil, malformedXML()
	}
	return &model.Nothing{}, s.objects.SetPublicAccessBlock(ctx, c.account, wire.Text(in.Bucket), &object.PublicAccessBlock{
		BlockACLs: wire.True(said.BlockPublicAcls), IgnoreACLs: wire.True(said.IgnorePublicAcls),
		BlockPolicy: wire.True(said.BlockPublicPolicy), RestrictBuckets: wire.True(said.RestrictPublicBuckets),
	})
}

// DeletePublicAccessBlock removes the setting; nothing becomes public.
func (s *Service) DeletePublicAccessBlock(ctx context.Context, in *model.DeletePublicAccessBlockRequest) (*model.Nothing, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.objects.SetPublicAccessBlock(ctx, c.account, wire.Text(in.Bucket), nil)
}

// GetBucketOwnershipControls returns what was said of a bucket, or
// BucketOwnerEnforced.
func (s *Service) GetBucketOwnershipControls(ctx context.Context, in *model.GetBucketOwnershipControlsRequest) (*model.GetBucketOwnershipControlsOutput, error) {
	_, b, err := s.bucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if b.Ownership == nil {
		return nil, notSet("OwnershipControlsNotFoundError", "The bucket ownership controls were not found", b.Name)
	}
	rule := model.OwnershipControlsRule{ObjectOwnership: new(string(*b.Ownership))}
	return &model.GetBucketOwnershipControlsOutput{OwnershipControls: &model.OwnershipControls{Rules: []model.OwnershipControlsRule{rule}}}, nil
}

// PutBucketOwnershipControls keeps what is said; objects are the bucket owner's
// either way.
func (s *Service) PutBucketOwnershipControls(ctx context.Context, in *model.PutBucketOwnershipControlsRequest) (*model.Nothing, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if in.OwnershipControls == nil || len(in.OwnershipControls.Rules) != 1 {
		return nil, malformedXML()
	}
	o, err := ownership(in.OwnershipControls.Rules[0].ObjectOwnership)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.objects.SetOwnership(ctx, c.account, wire.Text(in.Bucket), &o)
}

// ownership reads the name of one; "" is none.
func ownership(name *string) (object.Ownership, error) {
	switch o := object.Ownership(wire.Text(name)); o {
	case "", object.OwnerEnforced, object.OwnerPreferred, object.ObjectWriter:
		return o, nil
	}
	return "", invalidArgument("x-amz-object-ownership", *name, "Invalid x-amz-object-ownership header: %s", *name)
}

// DeleteBucketOwnershipControls removes the setting.
func (s *Service) DeleteBucketOwnershipControls(ctx context.Context, in *model.DeleteBucketOwnershipControlsRequest) (*model.Nothing, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.objects.SetOwnership(ctx, c.account, wire.Text(in.Bucket), nil)
}

// GetBucketEncryption says that nothing is encrypted: PutBucketEncryption is
// refused.
func (s *Service) GetBucketEncryption(ctx context.Context, in *model.GetBucketEncryptionRequest) (*model.GetBucketEncryptionOutput, error) {
	_, b, err := s.bucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return nil, notSet("ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found", b.Name)
}

// DeleteBucketEncryption finds nothing to delete, which is no error of S3's.
func (s *Service) DeleteBucketEncryption(ctx context.Context, in *model.DeleteBucketEncryptionRequest) (*model.Nothing, error) {
	_, _, err := s.bucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	return &model.Nothing{}, err
}
