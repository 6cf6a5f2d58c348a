package s3

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/object/checksum"
)

// CreateMultipartUpload begins an upload in parts.
func (s *Service) CreateMultipartUpload(ctx context.Context, in *model.CreateMultipartUploadRequest) (*model.CreateMultipartUploadOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	tags, err := parseTagging(in.Tagging)
	if err != nil {
		return nil, err
	}
	u, err := s.objects.CreateUpload(ctx, c.id(in.Bucket, in.Key), object.NewUpload{
		Tags:      tags,
		Algorithm: checksum.Algorithm(wire.Text(in.ChecksumAlgorithm)), Type: checksum.Type(wire.Text(in.ChecksumType)),
		Metadata: object.Metadata{
			ContentType: wire.Text(in.ContentType), ContentEncoding: contentEncoding(wire.Text(in.ContentEncoding)),
			ContentDisposition: wire.Text(in.ContentDisposition), ContentLanguage: wire.Text(in.ContentLanguage),
			CacheControl: wire.Text(in.CacheControl), Expires: wire.Text(in.Expires), User: in.Metadata,
		},
	})
	if err != nil {
		return nil, err
	}
	out := &model.CreateMultipartUploadOutput{
		Bucket: in.Bucket, Key: in.Key, UploadId: &u.ID, AbortDate: abortDate(u), AbortRuleId: new(abortRule),
	}
	if in.ChecksumAlgorithm != nil {
		out.ChecksumAlgorithm, out.ChecksumType = new(string(u.Algorithm)), new(string(u.Type))
	}
	return out, nil
}

// abortRule names the rule by which idle uploads end, as if a lifecycle
// configuration had it.
const abortRule = "outcrop-idle-uploads"

// abortDate is when an upload ends by itself if no part comes; each part
// postpones it.
func abortDate(u object.Upload) *time.Time { return new(u.Initiated.Add(object.UploadLife)) }

// UploadPart streams one part into the storage.
func (s *Service) UploadPart(ctx context.Context, in *model.UploadPartRequest) (*model.UploadPartOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	body, err := c.body(in.Body, in.ContentMD5)
	if err != nil {
		return nil, err
	}
	id, upload := c.id(in.Bucket, in.Key), wire.Text(in.UploadId)
	own, err := s.uploadAlgorithm(ctx, id, upload)
	if err != nil {
		return nil, err
	}
	algorithm, beside := body.Algorithm, func() string { return "" }
	if own == checksum.Default && algorithm != "" && algorithm != own {
		body, beside = checkBeside(body)
	}
	p, err := s.objects.UploadPart(ctx, id, upload, int(*in.PartNumber), body)
	if err != nil {
		return nil, err
	}
	if sum := beside(); sum != "" {
		p.Checksum = sum
	}
	out := &model.UploadPartOutput{ETag: quoted(p.ETag)}
	sums{&out.ChecksumCRC32, &out.ChecksumCRC32C, &out.ChecksumCRC64NVME, &out.ChecksumSHA1, &out.ChecksumSHA256}.
		set(algorithm, p.Checksum)
	return out, nil
}

// uploadAlgorithm is the checksum that an upload keeps.
func (s *Service) uploadAlgorithm(ctx context.Context, id object.ID, upload string) (checksum.Algorithm, error) {
	list, err := s.objects.ListParts(ctx, id, upload, 0, 0)
	return list.Upload.Algorithm, err
}

// UploadPartCopy makes a part of a piece of an object.
func (s *Service) UploadPartCopy(ctx context.Context, in *model.UploadPartCopyRequest) (*model.UploadPartCopyOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	src, err := c.source(ctx, in.CopySource, in.ExpectedSourceBucketOwner)
	if err != nil {
		return nil, err
	}
	want := object.PartCopy{
		Source: src.id(c.account), SourceVersion: src.version, Length: -1,
		If: readCondition(in.CopySourceIfMatch, in.CopySourceIfNoneMatch, in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince),
	}
	if r := wire.Text(in.CopySourceRange); r != "" {
		if want.Offset, want.Length, err = parseCopyRange(r); err != nil {
			return nil, err
		}
	}
	p, version, err := s.objects.UploadPartCopy(ctx, c.id(in.Bucket, in.Key), wire.Text(in.UploadId), int(*in.PartNumber), want)
	if err != nil {
		return nil, err
	}
	result := &model.CopyPartResult{ETag: quoted(p.ETag), LastModified: &p.Modified}
	// The part is there; that the upload may be gone by now changes no answer.
	if own, err := s.uploadAlgorithm(ctx, c.id(in.Bucket, in.Key), wire.Text(in.UploadId)); err == nil {
		sums{&result.ChecksumCRC32, &result.ChecksumCRC32C, &result.ChecksumCRC64NVME, &result.ChecksumSHA1, &result.ChecksumSHA256}.
			set(own, p.Checksum)
	}
	return &model.UploadPartCopyOutput{CopySourceVersionId: wire.Optional(version), CopyPartResult: result}, nil
}

// CompleteMultipartUpload makes an object of the parts.
func (s *Service) CompleteMultipartUpload(ctx context.Context, in *model.CompleteMultipartUploadRequest) (*model.CompleteMultipartUploadOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	want := object.Complete{Size: -1, Type: checksum.Type(wire.Text(in.ChecksumType))}
	if want.OnlyIf, err = writeCondition(in.IfMatch, in.IfNoneMatch); err != nil {
		return nil, err
	}
	if in.MpuObjectSize != nil {
		want.Size = *in.MpuObjectSize
	}
	said, err := parseClaim(c.Header)
	if err != nil {
		return nil, err
	}
	want.Checksum = said.value
	id, upload := c.id(in.Bucket, in.Key), wire.Text(in.UploadId)
	own, err := s.uploadAlgorithm(ctx, id, upload)
	if err != nil && !fault.Is(err, "NoSuchUpload") { // it may have been completed by this very request
		return nil, err
	}
	if want.Parts, err = completedParts(in.MultipartUpload, own); err != nil {
		return nil, err
	}
	info, err := s.objects.CompleteUpload(ctx, id, upload, want)
	if err != nil {
		return nil, err
	}
	out := &model.CompleteMultipartUploadOutput{
		Location: new(c.location(info.Bucket, info.Key)), Bucket: in.Bucket, Key: in.Key, ETag: quoted(info.ETag),
		VersionId: wire.Optional(info.VersionID), ChecksumType: wire.Optional(string(info.Checksum.Type)),
	}
	sums{&out.ChecksumCRC32, &out.ChecksumCRC32C, &out.ChecksumCRC64NVME, &out.ChecksumSHA1, &out.ChecksumSHA256}.
		set(info.Checksum.Algorithm, info.Checksum.Value)
	return out, nil
}

// completedParts reads the list of parts. Their checksums are held against those
// of the upload where they are of its algorithm; others have been checked when
// the parts came (checkBeside).
func completedParts(m *model.CompletedMultipartUpload, own checksum.Algorithm) ([]object.CompletedPart, error) {
	malformed := fault.New("MalformedXML", http.StatusBadRequest,
		"The XML you provided was not well-formed or did not validate against our published schema")
	if m == nil {
		return nil, malformed
	}
	parts := make([]object.CompletedPart, len(m.Parts))
	for i := range m.Parts {
		p := &m.Parts[i]
		if p.PartNumber == nil || p.ETag == nil {
			return nil, malformed
		}
		parts[i] = object.CompletedPart{Number: int(*p.PartNumber), ETag: *p.ETag}
		a, sum := sums{&p.ChecksumCRC32, &p.ChecksumCRC32C, &p.ChecksumCRC64NVME, &p.ChecksumSHA1, &p.ChecksumSHA256}.get()
		switch {
		case a == own:
			parts[i].Checksum = sum
		case a != "" && own != "" && own != checksum.Default:
			return nil, invalidRequest("Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
				strings.ToLower(string(own)), strings.ToLower(string(a)))
		}
	}
	return parts, nil
}

// location is the address of an object as this caller would name it.
func (c call) location(bucket, key string) string {
	_, host, _ := strings.Cut(c.BaseURL, "://")
	path := "/" + strings.ReplaceAll(urlEncode(key), "+", "%20")
	if strings.HasPrefix(host, bucket+".") {
		return c.BaseURL + path
	}
	return c.BaseURL + "/" + bucket + path
}

// AbortMultipartUpload gives an upload up.
func (s *Service) AbortMultipartUpload(ctx context.Context, in *model.AbortMultipartUploadRequest) (*model.AbortMultipartUploadOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return &model.AbortMultipartUploadOutput{}, s.objects.AbortUpload(ctx, c.id(in.Bucket, in.Key), wire.Text(in.UploadId))
}

// ListParts lists the parts of an upload.
func (s *Service) ListParts(ctx context.Context, in *model.ListPartsRequest) (*model.ListPartsOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	most, err := page("max-parts", in.MaxParts)
	if err != nil {
		return nil, err
	}
	var after int32
	if in.PartNumberMarker != nil {
		if after = *in.PartNumberMarker; after < 0 {
			return nil, invalidArgument("part-number-marker", strconv.Itoa(int(after)), "Argument part-number-marker must be an integer between 0 and 2147483647")
		}
	}
	list, err := s.objects.ListParts(ctx, c.id(in.Bucket, in.Key), wire.Text(in.UploadId), int(after), most)
	if err != nil {
		return nil, err
	}
	out := &model.ListPartsOutput{
		Bucket: in.Bucket, Key: in.Key, UploadId: in.UploadId, Owner: c.owner(), Initiator: &model.Initiator{ID: c.owner().ID},
		StorageClass: new(model.StorageClassSTANDARD), PartNumberMarker: &after, MaxParts: new(int32(most)), IsTruncated: new(list.Next > 0),
		ChecksumAlgorithm: new(string(list.Upload.Algorithm)), ChecksumType: new(string(list.Upload.Type)),
		AbortDate: abortDate(list.Upload), AbortRuleId: new(abortRule), Parts: make([]model.Part, len(list.Parts)),
	}
	if n := len(list.Parts); n > 0 {
		out.NextPartNumberMarker = new(int32(list.Parts[n-1].Number))
	}
	for i := range list.Parts {
		p, o := &list.Parts[i], &out.Parts[i]
		*o = model.Part{PartNumber: new(int32(p.Number)), LastModified: &p.Modified, ETag: quoted(p.ETag), Size: &p.Size}
		sums{&o.ChecksumCRC32, &o.ChecksumCRC32C, &o.ChecksumCRC64NVME, &o.ChecksumSHA1, &o.ChecksumSHA256}.
			set(list.Upload.Algorithm, p.Checksum)
	}
	return out, nil
}

// ListMultipartUploads lists the uploads under way in a bucket.
func (s *Service) ListMultipartUploads(ctx context.Context, in *model.ListMultipartUploadsRequest) (*model.ListMultipartUploadsOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	most, err := page("max-uploads", in.MaxUploads)
	if err != nil {
		return nil, err
	}
	list, err := s.objects.ListUploads(ctx, c.account, wire.Text(in.Bucket), object.UploadList{
		Prefix: wire.Text(in.Prefix), Delimiter: wire.Text(in.Delimiter), KeyMarker: wire.Text(in.KeyMarker), UploadMarker: wire.Text(in.UploadIdMarker), Max: most,
	})
	if err != nil {
		return nil, err
	}
	e := encoder(in.EncodingType)
	out := &model.ListMultipartUploadsOutput{
		Bucket: in.Bucket, KeyMarker: e.always(in.KeyMarker), UploadIdMarker: new(wire.Text(in.UploadIdMarker)), Prefix: e.always(in.Prefix),
		Delimiter: e.optional(in.Delimiter), MaxUploads: new(int32(most)), IsTruncated: &list.Truncated, EncodingType: in.EncodingType,
		CommonPrefixes: e.prefixes(list.Prefixes), Uploads: make([]model.MultipartUpload, len(list.Uploads)),
	}
	if list.Truncated {
		out.NextKeyMarker, out.NextUploadIdMarker = e.optional(&list.KeyMarker), wire.Optional(list.UploadMarker)
	}
	for i := range list.Uploads {
		u := &list.Uploads[i]
		out.Uploads[i] = model.MultipartUpload{
			UploadId: &u.ID, Key: new(e.text(u.Key)), Initiated: &u.Initiated, Owner: c.owner(), Initiator: &model.Initiator{ID: c.owner().ID},
			StorageClass: new(model.StorageClassSTANDARD), ChecksumAlgorithm: new(string(u.Algorithm)), ChecksumType: new(string(u.Type)),
		}
	}
	return out, nil
}
