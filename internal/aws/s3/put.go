package s3

import (
	"context"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/object"
)

// PutObject streams the body into the storage.
func (s *Service) PutObject(ctx context.Context, in *model.PutObjectRequest) (*model.PutObjectOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	onlyIf, err := writeCondition(in.IfMatch, in.IfNoneMatch)
	if err != nil {
		return nil, err
	}
	tags, err := parseTagging(in.Tagging)
	if err != nil {
		return nil, err
	}
	body, err := c.body(in.Body, in.ContentMD5)
	if err != nil {
		return nil, err
	}
	info, err := s.objects.Put(ctx, c.id(in.Bucket, in.Key), object.Put{OnlyIf: onlyIf, Tags: tags, Metadata: object.Metadata{
		ContentType: wire.Text(in.ContentType), ContentEncoding: contentEncoding(wire.Text(in.ContentEncoding)),
		ContentDisposition: wire.Text(in.ContentDisposition), ContentLanguage: wire.Text(in.ContentLanguage),
		CacheControl: wire.Text(in.CacheControl), Expires: wire.Text(in.Expires), User: in.Metadata,
	}}, body)
	if err != nil {
		return nil, err
	}
	out := &model.PutObjectOutput{
		ETag: quoted(info.ETag), VersionId: wire.Optional(info.VersionID), ChecksumType: wire.Optional(string(info.Checksum.Type)),
	}
	sums{&out.ChecksumCRC32, &out.ChecksumCRC32C, &out.ChecksumCRC64NVME, &out.ChecksumSHA1, &out.ChecksumSHA256}.
		set(info.Checksum.Algorithm, info.Checksum.Value)
	return out, nil
}

// writeCondition reads the headers that make a write conditional. Of
// If-None-Match S3 knows "*" alone.
func writeCondition(match, noneMatch *string) (object.WriteCondition, error) {
	c := object.WriteCondition{ETag: wire.Text(match)}
	switch none := wire.Text(noneMatch); {
	case none == "":
	case none != "*":
		return c, notImplemented("If-None-Match", "only * is known of a write")
	case c.ETag != "":
		return c, notImplemented("If-Match", "it cannot stand beside If-None-Match")
	default:
		c.Absent = true
	}
	return c, nil
}

// contentEncoding takes aws-chunked, which is of the transfer alone, off.
func contentEncoding(header string) string {
	var kept []string
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimSpace(part); part != "" && !strings.EqualFold(part, "aws-chunked") {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ",")
}
