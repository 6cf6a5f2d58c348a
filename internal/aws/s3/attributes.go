package s3

import (
	"context"
	"slices"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/object/checksum"
)

// GetObjectAttributes tells what is known of an object, as far as it is asked for.
func (s *Service) GetObjectAttributes(ctx context.Context, in *model.GetObjectAttributesRequest) (*model.GetObjectAttributesOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	id, version := c.id(in.Bucket, in.Key), wire.Text(in.VersionId)
	info, err := s.objects.Head(ctx, id, version, object.ReadCondition{})
	if err != nil {
		return nil, s.readFault(ctx, id, version, err)
	}
	asks := func(name string) bool { return slices.Contains(in.ObjectAttributes, name) }
	out := &model.GetObjectAttributesOutput{LastModified: &info.Modified, VersionId: wire.Optional(info.VersionID)}
	if asks(model.ObjectAttributesETag) {
		out.ETag = &info.ETag // without quotes, here alone
	}
	if asks(model.ObjectAttributesObjectSize) {
		out.ObjectSize = &info.Size
	}
	if asks(model.ObjectAttributesStorageClass) {
		out.StorageClass = new(model.StorageClassSTANDARD)
	}
	if asks(model.ObjectAttributesChecksum) && info.Checksum.Value != "" {
		sum := &model.Checksum{ChecksumType: wire.Optional(string(info.Checksum.Type))}
		sums{&sum.ChecksumCRC32, &sum.ChecksumCRC32C, &sum.ChecksumCRC64NVME, &sum.ChecksumSHA1, &sum.ChecksumSHA256}.
			set(info.Checksum.Algorithm, checksum.TrimParts(info.Checksum.Value)) // the number of parts is beside it
		out.Checksum = sum
	}
	if asks(model.ObjectAttributesObjectParts) && info.Parts > 0 {
		out.ObjectParts, err = s.attributeParts(ctx, id, info, in)
	}
	return out, err
}

func (s *Service) attributeParts(ctx context.Context, id object.ID, info object.Info, in *model.GetObjectAttributesRequest) (*model.GetObjectAttributesParts, error) {
	most, err := page("max-parts", in.MaxParts)
	if err != nil {
		return nil, err
	}
	var after int32
	if in.PartNumberMarker != nil {
		after = *in.PartNumberMarker
	}
	out := &model.GetObjectAttributesParts{
		TotalPartsCount: new(int32(info.Parts)), PartNumberMarker: &after, MaxParts: new(int32(most)), IsTruncated: new(false),
	}
	if most == 0 {
		return out, nil
	}
	parts, more, err := s.objects.Parts(ctx, id, info.VersionID, int(after), most)
	if err != nil {
		return nil, err
	}
	out.IsTruncated, out.Parts = &more, make([]model.ObjectPart, len(parts))
	for i := range parts {
		p, o := &parts[i], &out.Parts[i]
		o.PartNumber, o.Size = new(int32(p.Number)), &p.Size
		sums{&o.ChecksumCRC32, &o.ChecksumCRC32C, &o.ChecksumCRC64NVME, &o.ChecksumSHA1, &o.ChecksumSHA256}.
			set(info.Checksum.Algorithm, p.Checksum)
	}
	if n := len(parts); n > 0 {
		out.NextPartNumberMarker = new(int32(parts[n-1].Number))
	}
	return out, nil
}
