package s3

import (
	"context"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/object"
)

// page reads the size of a page: 1000 unless told otherwise, and never more.
func page(name string, asked *int32) (int, error) {
	switch {
	case asked == nil:
		return object.MaxPage, nil
	case *asked < 0:
		return 0, invalidArgument(name, "", "Argument %s must be an integer between 0 and 2147483647", name)
	}
	return min(int(*asked), object.MaxPage), nil
}

// ListObjects is the first form of listing, which goes on after a marker.
func (s *Service) ListObjects(ctx context.Context, in *model.ListObjectsRequest) (*model.ListObjectsOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	most, err := page("maxKeys", in.MaxKeys)
	if err != nil {
		return nil, err
	}
	list, err := s.objects.ListObjects(ctx, c.account, wire.Text(in.Bucket), object.List{
		Prefix: wire.Text(in.Prefix), Delimiter: wire.Text(in.Delimiter), Marker: wire.Text(in.Marker), Max: most,
	})
	if err != nil {
		return nil, err
	}
	e := encoder(in.EncodingType)
	out := &model.ListObjectsOutput{
		Name: in.Bucket, Prefix: e.always(in.Prefix), Marker: e.always(in.Marker), Delimiter: e.optional(in.Delimiter),
		MaxKeys: new(int32(most)), IsTruncated: &list.Truncated, EncodingType: in.EncodingType,
		CommonPrefixes: e.prefixes(list.Prefixes), Contents: e.objects(list.Objects, c.owner()),
	}
	// Without a delimiter the last key is the marker, and S3 leaves it to that.
	if list.Truncated && wire.Text(in.Delimiter) != "" {
		out.NextMarker = e.optional(&list.Marker)
	}
	return out, nil
}

// ListObjectsV2 is the second form, which goes on by a token.
func (s *Service) ListObjectsV2(ctx context.Context, in *model.ListObjectsV2Request) (*model.ListObjectsV2Output, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	most, err := page("maxKeys", in.MaxKeys)
	if err != nil {
		return nil, err
	}
	if in.ContinuationToken != nil && *in.ContinuationToken == "" {
		return nil, invalidArgument("continuation-token", "", "The continuation token provided is incorrect")
	}
	list, err := s.objects.ListObjects(ctx, c.account, wire.Text(in.Bucket), object.List{
		Prefix: wire.Text(in.Prefix), Delimiter: wire.Text(in.Delimiter), StartAfter: wire.Text(in.StartAfter), Token: wire.Text(in.ContinuationToken), Max: most,
	})
	if err != nil {
		return nil, err
	}
	var owner *model.Owner
	if wire.True(in.FetchOwner) {
		owner = c.owner()
	}
	e := encoder(in.EncodingType)
	return &model.ListObjectsV2Output{
		Name: in.Bucket, Prefix: e.always(in.Prefix), Delimiter: e.optional(in.Delimiter), StartAfter: e.optional(in.StartAfter),
		MaxKeys: new(int32(most)), KeyCount: new(int32(len(list.Objects) + len(list.Prefixes))), IsTruncated: &list.Truncated,
		ContinuationToken: in.ContinuationToken, NextContinuationToken: wire.Optional(list.Token), EncodingType: in.EncodingType,
		CommonPrefixes: e.prefixes(list.Prefixes), Contents: e.objects(list.Objects, owner),
	}, nil
}

// ListObjectVersions lists versions and delete markers.
func (s *Service) ListObjectVersions(ctx context.Context, in *model.ListObjectVersionsRequest) (*model.ListObjectVersionsOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	most, err := page("maxKeys", in.MaxKeys)
	if err != nil {
		return nil, err
	}
	if wire.Text(in.VersionIdMarker) != "" && wire.Text(in.KeyMarker) == "" {
		return nil, invalidArgument("version-id-marker", wire.Text(in.VersionIdMarker), "A version-id marker cannot be specified without a key marker.")
	}
	list, err := s.objects.ListVersions(ctx, c.account, wire.Text(in.Bucket), object.VersionList{
		Prefix: wire.Text(in.Prefix), Delimiter: wire.Text(in.Delimiter), KeyMarker: wire.Text(in.KeyMarker), VersionMarker: wire.Text(in.VersionIdMarker), Max: most,
	})
	if err != nil {
		return nil, err
	}
	e := encoder(in.EncodingType)
	out := &model.ListObjectVersionsOutput{
		Name: in.Bucket, Prefix: e.always(in.Prefix), Delimiter: e.optional(in.Delimiter), MaxKeys: new(int32(most)),
		KeyMarker: e.always(in.KeyMarker), VersionIdMarker: new(wire.Text(in.VersionIdMarker)), IsTruncated: &list.Truncated,
		EncodingType: in.EncodingType, CommonPrefixes: e.prefixes(list.Prefixes),
	}
	if list.Truncated {
		out.NextKeyMarker, out.NextVersionIdMarker = e.optional(&list.KeyMarker), wire.Optional(list.VersionMarker)
	}
	e.versions(out, list.Versions, c.owner())
	return out, nil
}
