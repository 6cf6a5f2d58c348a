package oci

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Local are the registries that this very process keeps. Their images are read
// where they lie: by no protocol, and with no password.
type Local interface {
	// Repository returns what a registry's host, with its port, and a name in it
	// stand for, or nil where somebody else keeps that registry.
	Repository(host, name string) LocalRepository
}

// LocalRepository is a repository of Local. Its refusals are fault.Errors.
type LocalRepository interface {
	// Manifest returns what a tag or a digest stands for.
	Manifest(ctx context.Context, reference string) (mediaType string, raw []byte, err error)
	// Blob opens a blob. The caller closes it.
	Blob(ctx context.Context, digest string) (io.ReadSeekCloser, error)
}

func localManifest(ctx context.Context, r LocalRepository, ref name.Reference) (*remote.Descriptor, error) {
	mediaType, raw, err := r.Manifest(ctx, ref.Identifier())
	if err != nil {
		return nil, err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	d := v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: digest, Size: size}
	return &remote.Descriptor{Descriptor: d, Manifest: raw}, nil
}

// localBlob opens a blob at a byte.
func localBlob(ctx context.Context, r LocalRepository, digest v1.Hash, at int64) (io.ReadCloser, error) {
	b, err := r.Blob(ctx, digest.String())
	if err != nil {
		return nil, err
	}
	if _, err := b.Seek(at, io.SeekStart); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}
