package s3

import (
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/object"
)

// listEncoder writes the keys of a listing; encoding-type=url is for those that
// XML cannot hold.
type listEncoder struct{ url bool }

func encoder(encodingType *string) listEncoder {
	return listEncoder{url: wire.Text(encodingType) == model.EncodingTypeUrl}
}

func (e listEncoder) text(s string) string {
	if !e.url {
		return s
	}
	return urlEncode(s)
}

// always is for members that S3 writes even when they are empty.
func (e listEncoder) always(s *string) *string { return new(e.text(wire.Text(s))) }

func (e listEncoder) optional(s *string) *string { return wire.Optional(e.text(wire.Text(s))) }

// urlEncode escapes as S3 does for encoding-type=url: a form's encoding that
// leaves the slash alone.
func urlEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.*/", c) >= 0:
			b.WriteByte(c)
		case c == ' ':
			b.WriteByte('+')
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

func (e listEncoder) prefixes(list []string) []model.CommonPrefix {
	out := make([]model.CommonPrefix, len(list))
	for i, p := range list {
		out[i].Prefix = new(e.text(p))
	}
	return out
}

func (e listEncoder) objects(list []object.ListedObject, owner *model.Owner) []model.Object {
	out := make([]model.Object, len(list))
	for i := range list {
		o := &list[i]
		out[i] = model.Object{
			Key: new(e.text(o.Key)), LastModified: &o.Modified, ETag: quoted(o.ETag), Size: &o.Size,
			ChecksumAlgorithm: algorithms(o.Checksum), ChecksumType: wire.Optional(string(o.Checksum.Type)),
			StorageClass: new(model.ObjectStorageClassSTANDARD), Owner: owner,
		}
	}
	return out
}

// versions fills both lists of a listing of versions.
func (e listEncoder) versions(out *model.ListObjectVersionsOutput, list []object.ListedVersion, owner *model.Owner) {
	for i := range list {
		v := &list[i]
		if v.Marker {
			out.DeleteMarkers = append(out.DeleteMarkers, model.DeleteMarkerEntry{
				Key: new(e.text(v.Key)), VersionId: &v.VersionID, IsLatest: &v.Latest, LastModified: &v.Modified, Owner: owner,
			})
			continue
		}
		out.Versions = append(out.Versions, model.ObjectVersion{
			Key: new(e.text(v.Key)), VersionId: &v.VersionID, IsLatest: &v.Latest, LastModified: &v.Modified, Owner: owner,
			ETag: quoted(v.ETag), Size: &v.Size, StorageClass: new(model.ObjectVersionStorageClassSTANDARD),
			ChecksumAlgorithm: algorithms(v.Checksum), ChecksumType: wire.Optional(string(v.Checksum.Type)),
		})
	}
}
