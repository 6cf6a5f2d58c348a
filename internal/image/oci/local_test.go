package oci

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/outcrop/outcrop/internal/fault"
)

// localHost is the only registry that a kept one has.
const localHost = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"

// kept is one image, in a repository "agent" under the tag "v1".
type kept struct {
	image v1.Image
	opens atomic.Int64 // of blobs
	cut   bool         // every blob breaks off, once
}

func (k *kept) Repository(host, name string) LocalRepository {
	if host != localHost || name != "agent" {
		return nil
	}
	return k
}

func (k *kept) Manifest(_ context.Context, reference string) (string, []byte, error) {
	d, err := k.image.Digest()
	if err != nil || reference != "v1" && reference != d.String() {
		return "", nil, fault.Validation("There is no %s", reference)
	}
	raw, err := k.image.RawManifest()
	if err != nil {
		return "", nil, err
	}
	m, err := k.image.MediaType()
	return string(m), raw, err
}

// lame breaks off after some bytes.
type lame struct {
	*bytes.Reader
	left int
}

func (l *lame) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := l.Reader.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

func (l *lame) Close() error { return nil }

func (k *kept) Blob(_ context.Context, digest string) (io.ReadSeekCloser, error) {
	h, err := v1.NewHash(digest)
	if err != nil {
		return nil, err
	}
	raw, err := k.image.RawConfigFile()
	if config, _ := k.image.ConfigName(); err == nil && config != h {
		var l v1.Layer
		if l, err = k.image.LayerByDigest(h); err == nil {
			var r io.ReadCloser
			if r, err = l.Compressed(); err == nil {
				raw, err = io.ReadAll(r)
			}
		}
	}
	left := len(raw) + 1
	if k.opens.Add(1)%2 == 1 && k.cut {
		left = 7
	}
	return &lame{bytes.NewReader(raw), left}, err
}

// TestLocal reads an image without a registry, as a registry would give it.
func TestLocal(t *testing.T) {
	for _, cut := range []bool{false, true} {
		k := &kept{image: imageOf(t, v1.Config{Cmd: []string{"x"}}, archive(t, file("hello"))), cut: cut}
		s := open(t, func(c *StoreConfig) { c.Local = k })
		digest, err := k.image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		resolved, err := s.Resolve(t.Context(), localHost+"/agent:v1", Credentials{})
		pinned := resolved.Pinned
		if want := localHost + "/agent@" + digest.String(); err != nil || pinned != want {
			t.Fatalf("pinned %s, %v, want %s", pinned, err, want)
		}
		if i := pull(t, s, pinned); !strings.Contains(list(t, i.Root), `"hello"`) || i.Digest != digest.String() {
			t.Errorf("%s\n%s", i.Digest, list(t, i.Root))
		}
		if _, err := s.Resolve(t.Context(), localHost+"/agent:v2", Credentials{}); !fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), "There is no v2") {
			t.Errorf("error %v", err)
		}
	}
}

// TestNotLocal: what a kept registry does not know is asked of others.
func TestNotLocal(t *testing.T) {
	srv := serve(t, nil)
	ref := srv.push(t, "agent", imageOf(t, v1.Config{}, archive(t, file("a"))))
	k := &kept{}
	pull(t, open(t, func(c *StoreConfig) { c.Local = k }), ref)
	if k.opens.Load() != 0 {
		t.Error("the kept registry was asked")
	}
}
