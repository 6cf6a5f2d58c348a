package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/outcrop/outcrop/internal/fault"
)

// maxResumes is how often in a row a download is taken up again without a byte
// having come.
const maxResumes = 4

// A blob reads one blob of a repository. A connection that breaks or stalls is
// taken up again where it was; whoever reads sees one stream, of exactly the size
// announced and of that digest, or an error.
type blob struct {
	ctx      context.Context
	client   *client
	digest   v1.Hash
	size     int64
	progress func(n int64) // bytes so far

	at     int64
	sum    hash.Hash
	body   io.ReadCloser
	cancel context.CancelFunc // ends the request of body
	idle   *time.Timer        // cancels it
	failed int                // resumes without a byte
	err    error              // what ended it other than its end
}

func (c *client) blob(ctx context.Context, d v1.Descriptor, progress func(int64)) (*blob, error) {
	sum, err := v1.Hasher(d.Digest.Algorithm)
	if err != nil {
		return nil, fault.Validation("The image is refused: a layer's digest is %s, of a kind that nobody computes.", quote(d.Digest.String()))
	}
	return &blob{ctx: ctx, client: c, digest: d.Digest, size: d.Size, sum: sum, progress: progress}, nil
}

// Read reads what comes next.
func (b *blob) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	for {
		if b.at == b.size {
			return 0, b.end()
		}
		if b.body == nil {
			if err := b.request(); err != nil {
				return 0, b.fail(err)
			}
		}
		b.idle.Reset(b.client.stall)
		n, err := b.body.Read(p[:min(int64(len(p)), b.size-b.at)])
		if n > 0 {
			b.failed = 0
			b.at += int64(n)
			b.sum.Write(p[:n])
			if b.progress != nil {
				b.progress(b.at)
			}
		}
		if err != nil { // the end too: more was announced, or b.at says so next time
			b.hangUp()
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
		if b.failed++; b.failed > maxResumes {
			return 0, b.fail(fmt.Errorf("it broke off after %d of %d bytes: %w", b.at, b.size, err))
		}
		if err := b.ctx.Err(); err != nil {
			return 0, b.fail(context.Cause(b.ctx))
		}
	}
}

// end compares the digest of all that was read.
func (b *blob) end() error {
	b.hangUp()
	if got := fmt.Sprintf("%x", b.sum.Sum(nil)); got != b.digest.Hex {
		b.err = fault.Validation("The image is damaged: the blob %s has another digest, %s. Push it again.", b.digest, got)
		return b.err
	}
	return io.EOF
}

func (b *blob) fail(err error) error {
	b.err = err
	return err
}

// request asks for what is missing.
func (b *blob) request() error {
	ctx, cancel := context.WithCancel(b.ctx)
	if b.client.local != nil {
		body, err := localBlob(ctx, b.client.local, b.digest, b.at)
		if err != nil {
			cancel()
			return err
		}
		b.body, b.cancel, b.idle = body, cancel, time.AfterFunc(b.client.stall, cancel)
		return nil
	}
	url := fmt.Sprintf("%s://%s/v2/%s/blobs/%s", b.client.repo.Scheme(), b.client.repo.RegistryStr(), b.client.repo.RepositoryStr(), b.digest)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel()
		return err
	}
	if b.at > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.at, b.size-1))
	}
	answer, err := b.client.http.Do(r)
	if err != nil {
		cancel()
		return explain(b.ctx, b.client.repo.Digest(b.digest.String()), err)
	}
	switch {
	case b.at > 0 && answer.StatusCode == http.StatusOK: // it has no ranges: read again what is known
		_, err = io.CopyN(io.Discard, answer.Body, b.at)
	case b.at > 0 && answer.StatusCode != http.StatusPartialContent, b.at == 0 && answer.StatusCode != http.StatusOK:
		err = fault.Validation("The registry %s answers %d when it is asked for the blob %s. Push the image again.", b.client.repo.RegistryStr(), answer.StatusCode, b.digest)
	}
	if err != nil {
		cancel()
		answer.Body.Close()
		return err
	}
	b.body, b.cancel = answer.Body, cancel
	b.idle = time.AfterFunc(b.client.stall, cancel)
	return nil
}

func (b *blob) hangUp() {
	if b.body == nil {
		return
	}
	b.idle.Stop()
	b.cancel()
	b.body.Close()
	b.body = nil
}

// Close gives the connection up. It is idempotent.
func (b *blob) Close() error {
	b.hangUp()
	return nil
}

// readAll reads a small blob.
func (c *client) readAll(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if d.Size < 0 || d.Size > maxManifest {
		return nil, fault.Validation("The image is refused: its configuration has %d bytes; the limit is %d.", d.Size, maxManifest)
	}
	b, err := c.blob(ctx, d, nil)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(b)
}

// plainTar returns a layer's archive, whatever it is compressed by: builders'
// media types are not always true, the first bytes are. Close does not close r.
func plainTar(r io.Reader) (io.ReadCloser, error) {
	head := make([]byte, 4)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	whole := io.MultiReader(bytes.NewReader(head[:n]), r)
	switch {
	case n >= 2 && head[0] == 0x1f && head[1] == 0x8b: // RFC 1952 2.3.1
		z, err := gzip.NewReader(whole)
		if err != nil {
			return nil, damaged(err)
		}
		return z, nil
	case n == 4 && string(head) == "\x28\xb5\x2f\xfd", n == 4 && head[0]&0xf0 == 0x50 && string(head[1:]) == "\x2a\x4d\x18": // RFC 8878 3.1
		z, err := zstd.NewReader(whole, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, damaged(err)
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(whole), nil
}
