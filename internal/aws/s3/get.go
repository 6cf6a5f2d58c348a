package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
)

// GetObject streams an object, a range of it or one of its parts.
func (s *Service) GetObject(ctx context.Context, in *model.GetObjectRequest) (*model.GetObjectOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	r, err := s.open(ctx, c, in)
	if err != nil {
		return nil, err
	}
	out, err := s.describe(ctx, c, in, r)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return out, nil
}

// HeadObject is GetObject without the bytes.
func (s *Service) HeadObject(ctx context.Context, in *model.HeadObjectRequest) (*model.HeadObjectOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	get := model.GetObjectRequest(*in)
	r, err := s.open(ctx, c, &get)
	if err != nil {
		return nil, err
	}
	o, err := s.describe(ctx, c, &get, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	return &model.HeadObjectOutput{
		AcceptRanges: o.AcceptRanges, LastModified: o.LastModified, ContentLength: o.ContentLength, ContentRange: o.ContentRange,
		ETag: o.ETag, VersionId: o.VersionId, PartsCount: o.PartsCount, Metadata: o.Metadata, TagCount: o.TagCount,
		ChecksumCRC32: o.ChecksumCRC32, ChecksumCRC32C: o.ChecksumCRC32C, ChecksumCRC64NVME: o.ChecksumCRC64NVME,
		ChecksumSHA1: o.ChecksumSHA1, ChecksumSHA256: o.ChecksumSHA256, ChecksumType: o.ChecksumType,
		CacheControl: o.CacheControl, ContentDisposition: o.ContentDisposition, ContentEncoding: o.ContentEncoding,
		ContentLanguage: o.ContentLanguage, ContentType: o.ContentType, Expires: o.Expires,
	}, nil
}

func (s *Service) open(ctx context.Context, c call, in *model.GetObjectRequest) (*object.Reader, error) {
	id, version := c.id(in.Bucket, in.Key), wire.Text(in.VersionId)
	r, err := s.objects.Get(ctx, id, version, readCondition(in.IfMatch, in.IfNoneMatch, in.IfModifiedSince, in.IfUnmodifiedSince))
	if err != nil {
		return nil, s.readFault(ctx, id, version, err)
	}
	return r, nil
}

func readCondition(match, noneMatch *string, modified, unmodified *time.Time) object.ReadCondition {
	c := object.ReadCondition{Match: wire.Text(match), NoneMatch: wire.Text(noneMatch)}
	if modified != nil {
		c.ModifiedSince = *modified
	}
	if unmodified != nil {
		c.UnmodifiedSince = *unmodified
	}
	return c
}

// readFault adds the headers that say what it was that could not be read.
func (s *Service) readFault(ctx context.Context, id object.ID, version string, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	h := http.Header{}
	if m := new(object.DeleteMarker); errors.As(err, &m) {
		h.Set("X-Amz-Delete-Marker", "true")
		h.Set("X-Amz-Version-Id", m.VersionID)
		if f.Status == http.StatusMethodNotAllowed {
			h.Set("Last-Modified", m.Modified.UTC().Format(http.TimeFormat))
			h.Set("Allow", http.MethodDelete)
		}
	}
	if f.Status == http.StatusNotModified { // RFC 9110, 15.4.5
		if info, err := s.objects.Head(ctx, id, version, object.ReadCondition{}); err == nil {
			setUnchanged(h, info)
		}
	}
	e := *f
	e.Header = h
	return &e
}

func setUnchanged(h http.Header, info object.Info) {
	h.Set("ETag", *quoted(info.ETag))
	h.Set("Last-Modified", info.Modified.UTC().Format(http.TimeFormat))
	for name, value := range map[string]string{
		"X-Amz-Version-Id": info.VersionID, "Cache-Control": info.Metadata.CacheControl, "Expires": info.Metadata.Expires,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
}

// describe is the answer with the bytes that were asked for. It owns r only if
// it returns no error.
func (s *Service) describe(ctx context.Context, c call, in *model.GetObjectRequest, r *object.Reader) (*model.GetObjectOutput, error) {
	info := r.Info()
	piece, err := choose(r, in, c.Header.Get("If-Range"))
	if err != nil {
		return nil, err
	}
	m := info.Metadata
	out := &model.GetObjectOutput{
		AcceptRanges: new("bytes"), ETag: quoted(info.ETag), LastModified: &info.Modified, ContentLength: &piece.length,
		VersionId: wire.Optional(info.VersionID), Metadata: m.User, TagCount: tagCount(ctx, c, info),
		CacheControl:       either(in.ResponseCacheControl, m.CacheControl),
		ContentDisposition: either(in.ResponseContentDisposition, m.ContentDisposition),
		ContentEncoding:    either(in.ResponseContentEncoding, m.ContentEncoding),
		ContentLanguage:    either(in.ResponseContentLanguage, m.ContentLanguage),
		ContentType:        either(in.ResponseContentType, m.ContentType),
		Expires:            wire.Optional(m.Expires),
		Body:               &content{Reader: r, span: piece},
	}
	if in.ResponseExpires != nil {
		out.Expires = new(in.ResponseExpires.UTC().Format(http.TimeFormat))
	}
	if piece.partial {
		out.ContentRange = new(piece.contentRange(info.Size))
	}
	if in.PartNumber != nil && info.Parts > 0 {
		out.PartsCount = new(int32(info.Parts))
	}
	if value := sumOf(r, in, piece); value != "" {
		out.ChecksumType = wire.Optional(string(info.Checksum.Type))
		sums{&out.ChecksumCRC32, &out.ChecksumCRC32C, &out.ChecksumCRC64NVME, &out.ChecksumSHA1, &out.ChecksumSHA256}.
			set(info.Checksum.Algorithm, value)
	}
	return out, nil
}

// sumOf is the checksum of the very bytes that are answered, if it was asked for
// and is known: of the whole or of a part. Clients hold it against what they get.
func sumOf(r *object.Reader, in *model.GetObjectRequest, piece span) string {
	switch {
	case in.ChecksumMode == nil:
		return ""
	case in.PartNumber != nil:
		return r.PartChecksum(int(*in.PartNumber))
	case piece.length == r.Size():
		return r.Info().Checksum.Value
	}
	return ""
}

// choose finds the bytes that a request asks for.
func choose(r *object.Reader, in *model.GetObjectRequest, ifRange string) (span, error) {
	info := r.Info()
	switch {
	case in.PartNumber != nil && in.Range != nil:
		return span{}, invalidRequest("Cannot specify both Range header and partNumber query parameter")
	case in.PartNumber != nil:
		n := int(*in.PartNumber)
		if n < 1 || n > object.MaxParts {
			return span{}, invalidArgument("partNumber", strconv.Itoa(n), "Part number must be an integer between 1 and 10000, inclusive")
		}
		offset, length, err := r.Part(n)
		return span{offset: offset, length: length, partial: length > 0}, err
	case in.Range != nil && rangeApplies(ifRange, info.ETag, info.Modified):
		return parseRange(*in.Range, info.Size)
	}
	return span{length: info.Size}, nil
}

// either is the override of a request, or what is stored.
func either(override *string, stored string) *string {
	if override != nil {
		return override
	}
	return wire.Optional(stored)
}

// content is a span of an object as the body of an answer.
type content struct {
	*object.Reader
	span
	section *io.SectionReader
}

// Read implements io.Reader.
func (b *content) Read(p []byte) (int, error) {
	if b.section == nil {
		b.section = io.NewSectionReader(b.Reader, b.offset, b.length)
	}
	return b.section.Read(p)
}

// WriteTo implements io.WriterTo; the kernel sends what is in files.
func (b *content) WriteTo(w io.Writer) (int64, error) { return b.SendTo(w, b.offset, b.length) }
