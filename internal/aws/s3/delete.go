package s3

import (
	"context"
	"errors"
	"net/http"

	model "github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
)

// DeleteObject deletes an object, or one version of it for ever.
func (s *Service) DeleteObject(ctx context.Context, in *model.DeleteObjectRequest) (*model.DeleteObjectOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	d, err := s.objects.Delete(ctx, c.account, wire.Text(in.Bucket), object.Deletion{
		Key: wire.Text(in.Key), VersionID: wire.Text(in.VersionId), ETag: wire.Text(in.IfMatch),
	})
	if err != nil {
		return nil, err
	}
	out := &model.DeleteObjectOutput{VersionId: wire.Optional(d.VersionID)}
	if d.Marker {
		out.DeleteMarker = new(true)
	}
	return out, nil
}

// maxDeletes is how many keys one request may name.
const maxDeletes = 1000

// DeleteObjects deletes each key that the caller may, and tells what became of
// each.
func (s *Service) DeleteObjects(ctx context.Context, in *model.DeleteObjectsRequest) (*model.DeleteObjectsOutput, error) {
	c, err := begin(ctx, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if in.Delete == nil || len(in.Delete.Objects) == 0 || len(in.Delete.Objects) > maxDeletes {
		return nil, fault.New("MalformedXML", http.StatusBadRequest,
			"The XML you provided was not well-formed or did not validate against our published schema")
	}
	if !hasDigest(c.Header) {
		return nil, invalidRequest("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
	}
	bucket, wanted := wire.Text(in.Bucket), in.Delete.Objects
	refused := make([]error, len(wanted))
	var list []object.Deletion
	for i, o := range wanted {
		if refused[i] = c.mayDelete(ctx, bucket, o); refused[i] == nil {
			list = append(list, object.Deletion{Key: wire.Text(o.Key), VersionID: wire.Text(o.VersionId), ETag: wire.Text(o.ETag)})
		}
	}
	done, err := s.objects.DeleteAll(ctx, c.account, bucket, list)
	if err != nil {
		return nil, err
	}
	return deletions(wanted, refused, done, wire.True(in.Delete.Quiet)), nil
}

// deletions is the answer: done has an entry for each key that was not refused.
func deletions(wanted []model.ObjectIdentifier, refused []error, done []object.Deleted, quiet bool) *model.DeleteObjectsOutput {
	out := &model.DeleteObjectsOutput{}
	for i, o := range wanted {
		err := refused[i]
		var d object.Deleted
		if err == nil {
			d, done = done[0], done[1:]
			err = d.Err
		}
		switch {
		case err != nil:
			out.Errors = append(out.Errors, deleteError(o, err))
		case !quiet:
			out.Deleted = append(out.Deleted, deletedObject(o, d))
		}
	}
	return out
}

// hasDigest reports whether the body came with a digest; the codec has held it
// against the body.
func hasDigest(h http.Header) bool {
	said, err := parseClaim(h)
	return h.Get("Content-Md5") != "" || err == nil && said.value != ""
}

// mayDelete asks for each key by itself, as S3 does.
func (c call) mayDelete(ctx context.Context, bucket string, o model.ObjectIdentifier) error {
	if o.LastModifiedTime != nil || o.Size != nil {
		return notImplemented("Delete.Object.Size", "S3 has it for directory buckets only")
	}
	action := "s3:DeleteObject"
	if wire.Text(o.VersionId) != "" {
		action = "s3:DeleteObjectVersion"
	}
	return c.Authorize(ctx, auth.Requirement{Action: action, Resource: bucketARN(bucket) + "/" + wire.Text(o.Key)})
}

func deleteError(o model.ObjectIdentifier, err error) model.Error {
	e := model.Error{Key: o.Key, VersionId: o.VersionId, Code: new("InternalError"), Message: new("We encountered an internal error. Please try again.")}
	if f := new(fault.Error); errors.As(err, &f) {
		f = sigv4.S3.Fault(f)
		e.Code, e.Message = &f.Code, &f.Message
	}
	return e
}

func deletedObject(o model.ObjectIdentifier, d object.Deleted) model.DeletedObject {
	out := model.DeletedObject{Key: o.Key, VersionId: o.VersionId}
	if d.Marker {
		out.DeleteMarker, out.DeleteMarkerVersionId = new(true), wire.Optional(d.VersionID)
	}
	return out
}
