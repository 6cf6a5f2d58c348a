package s3

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/object/checksum"
)

// source is a parsed x-amz-copy-source.
type source struct{ bucket, key, version string }

// parseSource reads "bucket/key", with or without a slash before it, in the
// encoding of a query, and "?versionId=".
func parseSource(header string) (source, error) {
	bad := func(text string) (source, error) {
		return source{}, invalidArgument("x-amz-copy-source", header, "%s", text)
	}
	path, query, hasQuery := strings.Cut(header, "?")
	var s source
	if hasQuery {
		version, ok := strings.CutPrefix(query, "versionId=")
		if !ok || version == "" {
			return bad("Unsupported copy source parameter.")
		}
		s.version = version
	}
	path, err := url.QueryUnescape(path) // S3 reads a plus sign as a space
	if err != nil {
		return bad("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	if strings.HasPrefix(path, "arn:") {
		return source{}, notImplemented("x-amz-copy-source", "there are no access points; name the bucket")
	}
	s.bucket, s.key, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if s.bucket == "" || s.key == "" {
		return bad("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	return s, nil
}

// source parses the header and asks whether the caller may read what it names.
func (c call) source(ctx context.Context, header, expectedOwner *string) (source, error) {
	src, err := parseSource(wire.Text(header))
	if err != nil {
		return src, err
	}
	if err := c.checkOwner(expectedOwner); err != nil {
		return src, err
	}
	resource := bucketARN(src.bucket) + "/" + src.key
	needs := []auth.Requirement{{Action: "s3:GetObject", Resource: resource}}
	if src.version != "" {
		needs[0].Action = "s3:GetObjectVersion"
	}
	return src, c.Authorize(ctx, needs...)
}

func (s source) id(account string) object.ID {
	return object.ID{Account: account, Bucket: s.bucket, Key: s.key}
}

// CopyObject copies an object on the server.
func (s *Service) CopyObject(ctx context.Context, in *model.CopyObjectRequest) (*model.CopyObjectOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	src, err := c.source(ctx, in.CopySource, in.ExpectedSourceBucketOwner)
	if err != nil {
		return nil, err
	}
	onlyIf, err := writeCondition(in.IfMatch, in.IfNoneMatch)
	if err != nil {
		return nil, err
	}
	want := object.Copy{
		Source: src.id(c.account), SourceVersion: src.version, OnlyIf: onlyIf,
		If: readCondition(in.CopySourceIfMatch, in.CopySourceIfNoneMatch, in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince),
	}
	if wire.Text(in.MetadataDirective) == model.MetadataDirectiveREPLACE {
		want.Metadata = &object.Metadata{
			ContentType: wire.Text(in.ContentType), ContentEncoding: contentEncoding(wire.Text(in.ContentEncoding)),
			ContentDisposition: wire.Text(in.ContentDisposition), ContentLanguage: wire.Text(in.ContentLanguage),
			CacheControl: wire.Text(in.CacheControl), Expires: wire.Text(in.Expires), User: in.Metadata,
		}
	}
	if want.Tags, err = s.copiedTags(ctx, c, in, src); err != nil {
		return nil, err
	}
	copied, err := s.copy(ctx, c.id(in.Bucket, in.Key), want, checksum.Algorithm(wire.Text(in.ChecksumAlgorithm)))
	if err != nil {
		return nil, err
	}
	result := &model.CopyObjectResult{
		ETag: quoted(copied.ETag), LastModified: &copied.Modified, ChecksumType: wire.Optional(string(copied.Checksum.Type)),
	}
	sums{&result.ChecksumCRC32, &result.ChecksumCRC32C, &result.ChecksumCRC64NVME, &result.ChecksumSHA1, &result.ChecksumSHA256}.
		set(copied.Checksum.Algorithm, copied.Checksum.Value)
	return &model.CopyObjectOutput{
		CopyObjectResult: result, VersionId: wire.Optional(copied.VersionID), CopySourceVersionId: wire.Optional(copied.SourceVersion),
	}, nil
}

// copy moves no bytes unless another checksum is asked for than the source has.
func (s *Service) copy(ctx context.Context, to object.ID, c object.Copy, a checksum.Algorithm) (object.Copied, error) {
	if a == "" {
		return s.objects.Copy(ctx, to, c)
	}
	info, err := s.objects.Head(ctx, c.Source, c.SourceVersion, object.ReadCondition{})
	if err != nil {
		return object.Copied{}, err
	}
	if info.Checksum.Algorithm == a && info.Checksum.Type == checksum.FullObject {
		return s.objects.Copy(ctx, to, c)
	}
	r, err := s.objects.Get(ctx, c.Source, c.SourceVersion, c.If)
	if fault.Is(err, "NotModified") { // as the storage's own copy says it
		err = fault.New("PreconditionFailed", http.StatusPreconditionFailed, "At least one of the pre-conditions you specified did not hold")
	}
	if err != nil {
		return object.Copied{}, err
	}
	defer r.Close()
	info = r.Info()
	m := info.Metadata
	if c.Metadata != nil {
		m = *c.Metadata
	}
	tags := info.Tags
	if c.Tags != nil {
		tags = *c.Tags
	}
	made, err := s.objects.Put(ctx, to, object.Put{Metadata: m, Tags: tags, OnlyIf: c.OnlyIf}, object.Body{Reader: r, Size: info.Size, Algorithm: a})
	return object.Copied{Info: made, SourceVersion: info.VersionID}, err
}
