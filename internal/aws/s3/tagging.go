package s3

import (
	"context"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/object"
)

// GetObjectTagging says that an object has no tags, which is true: what would
// give it some is refused. Terraform asks at every read of an object.
func (s *Service) GetObjectTagging(ctx context.Context, in *model.GetObjectTaggingRequest) (*model.GetObjectTaggingOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	id, version := c.id(in.Bucket, in.Key), text(in.VersionId)
	info, err := s.objects.Head(ctx, id, version, object.ReadCondition{})
	if err != nil {
		return nil, s.readFault(ctx, id, version, err)
	}
	return &model.GetObjectTaggingOutput{VersionId: optional(info.VersionID), TagSet: []model.Tag{}}, nil
}
