package oci

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// member is one of a crafted layer.
type member struct {
	name string
	kind byte // tar's; 0 is a file, or a directory when the name ends in a slash
	body string
	link string
	mode int64 // 0 is 0644, of directories 0755
	uid  int
	gid  int
}

// archive is a layer uncompressed.
func archive(t testing.TB, members ...member) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Typeflag: m.kind, Linkname: m.link, Mode: m.mode, Uid: m.uid, Gid: m.gid, ModTime: time.Unix(1_700_000_000, 0)}
		if m.kind == 0 {
			h.Typeflag = tar.TypeReg
			if strings.HasSuffix(m.name, "/") {
				h.Typeflag = tar.TypeDir
			}
		}
		if m.mode == 0 {
			h.Mode = 0o644
			if h.Typeflag == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(m.body))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// imageOf is an image for this machine of uncompressed layers.
func imageOf(t testing.TB, config v1.Config, layers ...[]byte) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	for _, l := range layers {
		var err error
		if img, err = mutate.AppendLayers(img, static.NewLayer(l, types.OCIUncompressedLayer)); err != nil {
			t.Fatal(err)
		}
	}
	return configured(t, img, config, runtime.GOARCH)
}

func configured(t testing.TB, img v1.Image, config v1.Config, arch string) v1.Image {
	t.Helper()
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", arch, config
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	return img
}

// server is a registry on the loopback.
type server struct {
	*httptest.Server
	host string
}

// serve starts one, whose handler a test may wrap.
func serve(t testing.TB, wrap func(http.Handler) http.Handler) *server {
	t.Helper()
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		h = wrap(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &server{Server: s, host: strings.TrimPrefix(s.URL, "http://")}
}

// push puts an image under a name and returns the reference.
func (s *server) push(t testing.TB, repo string, img remote.Taggable) string {
	t.Helper()
	ref, err := name.ParseReference(s.host + "/" + repo)
	if err != nil {
		t.Fatal(err)
	}
	switch v := img.(type) {
	case v1.Image:
		err = remote.Write(ref, v)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, v)
	default:
		err = remote.Put(ref, v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

// open opens a store of one's own.
func open(t testing.TB, change func(*StoreConfig)) *Store {
	t.Helper()
	cfg := StoreConfig{Dir: filepath.Join(t.TempDir(), "images")}
	if change != nil {
		change(&cfg)
	}
	s, err := NewStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// eachOwners runs a test for both ways to keep owners, as far as we may.
func eachOwners(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Run("single", func(t *testing.T) { test(t, open(t, nil)) })
	t.Run("owners", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("takes root's privileges")
		}
		test(t, open(t, func(c *StoreConfig) { c.Owners = true }))
	})
}

func pull(t testing.TB, s *Store, reference string) *Image {
	t.Helper()
	i, err := s.Pull(t.Context(), reference, PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Release)
	return i
}

// tree lists what is below a directory: mode, owner, path, then a link's target
// or a small file's content.
func list(t testing.TB, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&out, "%v %d:%d %q", info.Mode(), st.Uid, st.Gid, name)
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, " -> %q", link)
		case info.Mode().IsRegular() && info.Size() < 100:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, " %q", data)
		}
		out.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
