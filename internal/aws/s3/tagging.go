package s3

import (
	"context"
	"maps"
	"net/url"
	"slices"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
)

// GetObjectTagging lists the tags of an object.
func (s *Service) GetObjectTagging(ctx context.Context, in *model.GetObjectTaggingRequest) (*model.GetObjectTaggingOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	id, version := c.id(in.Bucket, in.Key), wire.Text(in.VersionId)
	info, err := s.objects.Head(ctx, id, version, object.ReadCondition{})
	if err != nil {
		return nil, s.readFault(ctx, id, version, err)
	}
	return &model.GetObjectTaggingOutput{VersionId: wire.Optional(info.VersionID), TagSet: tagSet(info.Tags)}, nil
}

// PutObjectTagging replaces the tags of an object.
func (s *Service) PutObjectTagging(ctx context.Context, in *model.PutObjectTaggingRequest) (*model.PutObjectTaggingOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tagging)
	if err != nil {
		return nil, err
	}
	version, err := s.setTags(ctx, c.id(in.Bucket, in.Key), wire.Text(in.VersionId), tags)
	return &model.PutObjectTaggingOutput{VersionId: version}, err
}

// DeleteObjectTagging leaves an object without tags.
func (s *Service) DeleteObjectTagging(ctx context.Context, in *model.DeleteObjectTaggingRequest) (*model.DeleteObjectTaggingOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	version, err := s.setTags(ctx, c.id(in.Bucket, in.Key), wire.Text(in.VersionId), nil)
	return &model.DeleteObjectTaggingOutput{VersionId: version}, err
}

func (s *Service) setTags(ctx context.Context, id object.ID, version string, tags object.Tags) (*string, error) {
	info, err := s.objects.SetTags(ctx, id, version, tags)
	if err != nil {
		return nil, s.readFault(ctx, id, version, err)
	}
	return wire.Optional(info.VersionID), nil
}

// GetBucketTagging lists the tags of a bucket; one without any is an error.
func (s *Service) GetBucketTagging(ctx context.Context, in *model.GetBucketTaggingRequest) (*model.GetBucketTaggingOutput, error) {
	_, b, err := s.bucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if len(b.Tags) == 0 {
		return nil, notSet("NoSuchTagSet", "The TagSet does not exist", b.Name)
	}
	return &model.GetBucketTaggingOutput{TagSet: tagSet(b.Tags)}, nil
}

// PutBucketTagging replaces the tags of a bucket.
func (s *Service) PutBucketTagging(ctx context.Context, in *model.PutBucketTaggingRequest) (*model.Nothing, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tagging)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.objects.SetBucketTags(ctx, c.account, wire.Text(in.Bucket), tags)
}

// DeleteBucketTagging leaves a bucket without tags.
func (s *Service) DeleteBucketTagging(ctx context.Context, in *model.DeleteBucketTaggingRequest) (*model.Nothing, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.objects.SetBucketTags(ctx, c.account, wire.Text(in.Bucket), nil)
}

// tagSet lists tags in the order of their keys.
func tagSet(tags object.Tags) []model.Tag {
	set := []model.Tag{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		set = append(set, model.Tag{Key: &key, Value: new(tags[key])})
	}
	return set
}

// tagsOf reads the body of a call that sets tags.
func tagsOf(in *model.Tagging) (object.Tags, error) {
	if in == nil {
		return nil, malformedXML()
	}
	return tagsIn(in.TagSet)
}

func tagsIn(set []model.Tag) (object.Tags, error) {
	tags := object.Tags{}
	for _, tag := range set {
		if tag.Key == nil || tag.Value == nil {
			return nil, malformedXML()
		}
		if _, again := tags[*tag.Key]; again {
			e := fault.BadRequest("InvalidTag", "Cannot provide multiple Tags with the same key")
			e.Members = map[string]string{"TagKey": *tag.Key}
			return nil, e
		}
		tags[*tag.Key] = *tag.Value
	}
	return tags, nil
}

// parseTagging reads x-amz-tagging, which is written like a query; nil is none.
func parseTagging(header *string) (object.Tags, error) {
	if wire.Text(header) == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(*header)
	tags := object.Tags{}
	for key, list := range values {
		if len(list) > 1 {
			err = fault.BadRequest("InvalidTag", "more than once")
		}
		tags[key] = list[0]
	}
	if err != nil {
		return nil, invalidArgument("x-amz-tagging", *header,
			"The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
	}
	return tags, nil
}

// tagCount is the header of an object with tags, for those who may read them.
func tagCount(ctx context.Context, c call, info object.Info) *int32 {
	if len(info.Tags) == 0 {
		return nil
	}
	if c.Authorize(ctx, tagRequirement("s3:GetObject", info.Bucket, info.Key, "")) != nil {
		return nil
	}
	return new(int32(len(info.Tags)))
}

// tagRequirement is the right to get or put tags, of a version where one is named.
func tagRequirement(verb, bucket, key, version string) auth.Requirement {
	action := verb + "Tagging"
	if version != "" {
		action = verb + "VersionTagging"
	}
	return auth.Requirement{Action: action, Resource: bucketARN(bucket) + "/" + key}
}

// copiedTags are those that a copy is to have; nil are its source's, which the
// caller must be allowed to read and to write.
func (s *Service) copiedTags(ctx context.Context, c call, in *model.CopyObjectRequest, src source) (*object.Tags, error) {
	if wire.Text(in.TaggingDirective) == model.TaggingDirectiveREPLACE {
		tags, err := parseTagging(in.Tagging)
		return &tags, err
	}
	info, err := s.objects.Head(ctx, src.id(c.account), src.version, object.ReadCondition{})
	if err != nil || len(info.Tags) == 0 {
		return nil, nil // the copy itself says why there is no source
	}
	return nil, c.Authorize(ctx, tagRequirement("s3:GetObject", src.bucket, src.key, src.version),
		tagRequirement("s3:PutObject", wire.Text(in.Bucket), wire.Text(in.Key), ""))
}
