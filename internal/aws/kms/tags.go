package kms

import (
	"context"
	"maps"
	"slices"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/kms"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/tag"
)

// merged adds tags to others.
func merged(old map[string]string, tags []model.Tag) (map[string]string, error) {
	out := map[string]string{}
	maps.Copy(out, old)
	seen := map[string]bool{}
	for _, t := range tags {
		name := wire.Text(t.TagKey)
		switch {
		case seen[name]:
			return nil, badTag("Duplicate tag keys: '%s'", name)
		case strings.HasPrefix(strings.ToLower(name), "aws:"):
			return nil, badTag("The tag key '%s' is reserved: keys that begin with aws: belong to AWS", name)
		}
		seen[name], out[name] = true, wire.Text(t.TagValue)
	}
	if len(out) > tag.Max {
		return nil, badTag("Too many tags: the key would have %d, and may have at most %d", len(out), tag.Max)
	}
	return out, nil
}

func badTag(format string, args ...any) error {
	return fault.BadRequest("TagException", format, args...)
}

// TagResource adds tags to a key.
func (s *Service) TagResource(ctx context.Context, in *model.TagResourceRequest) (*model.Nothing, error) {
	return s.change(ctx, "TagResource", in.KeyId, func(k *key.Settings) (err error) {
		k.Tags, err = merged(k.Tags, in.Tags)
		return err
	})
}

// UntagResource takes tags off a key.
func (s *Service) UntagResource(ctx context.Context, in *model.UntagResourceRequest) (*model.Nothing, error) {
	return s.change(ctx, "UntagResource", in.KeyId, func(k *key.Settings) error {
		k.Tags = maps.Clone(k.Tags)
		for _, name := range in.TagKeys {
			delete(k.Tags, name)
		}
		return nil
	})
}

// ListResourceTags lists the tags of a key.
func (s *Service) ListResourceTags(ctx context.Context, in *model.ListResourceTagsRequest) (*model.ListResourceTagsResponse, error) {
	k, err := s.managed(ctx, "ListResourceTags", in.KeyId)
	if err != nil {
		return nil, err
	}
	part, next := chunk(slices.Collect(maps.Keys(k.Tags)), func(name string) string { return name }, in.Limit, in.Marker, 50)
	out := &model.ListResourceTagsResponse{Tags: []model.Tag{}, NextMarker: next, Truncated: new(next != nil)}
	for _, name := range part {
		out.Tags = append(out.Tags, model.Tag{TagKey: &name, TagValue: new(k.Tags[name])})
	}
	return out, nil
}
