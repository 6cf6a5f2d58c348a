package cli

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/outcrop/outcrop/internal/bundle"
	"github.com/outcrop/outcrop/internal/client"
)

// codeObject is where a code zip lies.
type codeObject struct{ bucket, key, version string }

func (o codeObject) String() string { return "s3://" + o.bucket + "/" + o.key }

// codeOf is where a zip belongs: in the deployment bucket under its digest, so
// that the same code has the same place.
func codeOf(account, name string, c *client.Client, b *bundle.Bundle) codeObject {
	return codeObject{
		bucket: "outcrop-deploy-" + account + "-" + c.Target().Region,
		key:    name + "/" + strings.TrimPrefix(b.Digest, "sha256:") + ".zip",
	}
}

// upload puts the zip where it belongs, unless it is there.
func (p *Program) upload(ctx context.Context, c *client.Client, o codeObject, b *bundle.Bundle) (codeObject, error) {
	digest, err := hex.DecodeString(strings.TrimPrefix(b.Digest, "sha256:"))
	if err != nil {
		return o, fmt.Errorf("read digest of code zip: %w", err)
	}
	sum := base64.StdEncoding.EncodeToString(digest)
	if version, ok := lies(ctx, c, o, b.Size, sum); ok {
		o.version = version
		p.say("the same code is at %s", o)
		return o, nil
	}
	if err := makeBucket(ctx, c, o.bucket); err != nil {
		return o, err
	}
	f, err := os.Open(b.Path)
	if err != nil {
		return o, fmt.Errorf("open code zip: %w", err)
	}
	defer func() { _ = f.Close() }()
	show := &progress{p: p}
	defer show.done()
	// The digest is known: it is what is signed, and what the object is checked
	// against, so that the file is read only once, to send it.
	out, err := c.S3().PutObject(v4.SetPayloadHash(ctx, hex.EncodeToString(digest)), &s3.PutObjectInput{
		Bucket: aws.String(o.bucket), Key: aws.String(o.key), ContentLength: aws.Int64(b.Size),
		ContentType:    aws.String("application/zip"),
		ChecksumSHA256: aws.String(sum),
		Body:           &watchedFile{File: f, moved: func(n int64) { show.update("uploading: %s of %s", size(n), size(b.Size)) }},
	})
	if err != nil {
		return o, fmt.Errorf("upload %s: %w", o.key, err)
	}
	o.version = aws.ToString(out.VersionId)
	show.line("uploaded %s to %s", size(b.Size), o)
	return o, nil
}

// lies reports whether the very zip is there, and as which version. Who may not
// look uploads.
func lies(ctx context.Context, c *client.Client, o codeObject, length int64, sum string) (version string, ok bool) {
	out, err := c.S3().HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: aws.String(o.bucket), Key: aws.String(o.key), ChecksumMode: s3types.ChecksumModeEnabled,
	})
	if err != nil || aws.ToInt64(out.ContentLength) != length || aws.ToString(out.ChecksumSHA256) != sum {
		return "", false
	}
	return aws.ToString(out.VersionId), true
}

// makeBucket makes the deployment bucket unless it is there.
func makeBucket(ctx context.Context, c *client.Client, bucket string) error {
	in := &s3.CreateBucketInput{Bucket: aws.String(bucket)}
	if region := c.Target().Region; region != client.DefaultRegion { // S3 wants the constraint everywhere but there
		in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(region)}
	}
	_, err := c.S3().CreateBucket(ctx, in)
	if err != nil && !client.Is(err, "BucketAlreadyOwnedByYou") {
		return fmt.Errorf("make bucket %s: %w", bucket, err)
	}
	return nil
}

// watchedFile tells how far its reading has come. It stays seekable, as the SDK
// wants of what it hashes before it sends it.
type watchedFile struct {
	*os.File
	at    int64
	moved func(int64)
}

func (w *watchedFile) Read(b []byte) (int, error) {
	n, err := w.File.Read(b)
	w.at += int64(n)
	if n > 0 {
		w.moved(w.at)
	}
	return n, err
}

func (w *watchedFile) Seek(offset int64, whence int) (int64, error) {
	at, err := w.File.Seek(offset, whence)
	w.at = at
	return at, err
}

// WriteTo hides the file's own, which would pass Read by.
func (w *watchedFile) WriteTo(to io.Writer) (int64, error) {
	return io.Copy(to, struct{ io.Reader }{w})
}
