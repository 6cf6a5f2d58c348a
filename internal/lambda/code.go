package lambda

import (
	"bytes"
	"context"
	"io"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/store"
)

// code is where a caller says that a function's code is.
type code struct {
	zip                  []byte
	bucket, key, version string
}

func codeOf(in *lambda.FunctionCode) code {
	return code{in.ZipFile, wire.Text(in.S3Bucket), wire.Text(in.S3Key), wire.Text(in.S3ObjectVersion)}
}

// unpack puts a version's code into the cache, and its digest and size into the version.
// The caller releases the code when the version is stored.
func (s *Service) unpack(ctx context.Context, scope store.Scope, c code, v *version) (*image.Code, error) {
	var zip io.ReaderAt
	switch {
	case c.zip != nil && (c.bucket != "" || c.key != ""):
		return nil, invalidParameter("Please provide either ZipFile or S3Bucket and S3Key, and not both.")
	case c.zip != nil:
		if len(c.zip) > maxZip {
			return nil, user("RequestTooLargeException", 413, "The zip has %d bytes; the limit is %d. Put it into a bucket and name it by S3Bucket and S3Key", len(c.zip), maxZip)
		}
		zip, v.Size = bytes.NewReader(c.zip), int64(len(c.zip))
	case c.bucket == "" || c.key == "":
		return nil, invalidParameter("Please provide a source for function code.")
	default:
		obj, err := s.cfg.Objects.Open(ctx, scope, c.bucket, c.key, c.version)
		if err != nil {
			return nil, codeFault(err)
		}
		defer obj.Close()
		zip, v.Size = obj, obj.Size()
	}
	held, err := s.cfg.Code.Unpack(ctx, zip, v.Size, "")
	if f := fault.From(err); err != nil && f.Status < 500 {
		return nil, invalidParameter("Could not unzip uploaded file. Please check your file, then try to upload again. %s", f.Message).Because(err)
	}
	if err != nil {
		return nil, err
	}
	if held.Size > maxUnzipped {
		held.Release()
		return nil, invalidParameter("Unzipped size must be smaller than %d bytes; it is %d", maxUnzipped, held.Size)
	}
	v.Digest, v.Fit, v.SDK, v.Interpreter, v.Warnings, v.Snapshot = held.Digest, nil, "", "", nil, nil
	return held, nil
}

// codeFault words S3's refusal of a zip.
func codeFault(err error) error {
	f := fault.From(err)
	if f.Status >= 500 {
		return err
	}
	return invalidParameter("Error occurred while GetObject. S3 Error Code: %s. S3 Error Message: %s", f.Code, f.Message).Because(err)
}
