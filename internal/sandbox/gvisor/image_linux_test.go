package gvisor

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/outcrop/outcrop/internal/image/oci"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
)

// TestImage takes an image all the way: from a registry, through the store, into
// sandboxes, whose user finds its own files and nobody else's.
func TestImage(t *testing.T) {
	guest, err := os.ReadFile(os.Getenv(guestVariable))
	if err != nil {
		t.Fatal(err)
	}
	first := layer(t,
		tar.Header{Name: "usr/bin/guest", Mode: 0o4755, Linkname: string(guest)},
		tar.Header{Name: "bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin"},
		tar.Header{Name: "etc/passwd", Mode: 0o644, Linkname: "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"},
		tar.Header{Name: "etc/shadow", Mode: 0o600, Linkname: "root:*:"},
		tar.Header{Name: "home/app/", Typeflag: tar.TypeDir, Mode: 0o750, Uid: 1000, Gid: 1001},
		tar.Header{Name: "home/app/config", Mode: 0o640, Uid: 1000, Gid: 1001, Linkname: "mine"},
		tar.Header{Name: "home/app/gone", Mode: 0o644, Linkname: "gone"},
	)
	second := layer(t,
		tar.Header{Name: "home/app/.wh.gone", Mode: 0o644},
		tar.Header{Name: "bin/again", Typeflag: tar.TypeLink, Linkname: "bin/guest"}, // by a link of the first layer
	)
	img := pushed(t, v1.Config{Entrypoint: []string{"again"}, Cmd: []string{"env"}, User: "app", WorkingDir: "/home/app/work", Env: []string{"PATH=/bin", "A=b"}}, first, second)

	e := open(t)
	defer e.Close(context.Background())
	// The directory of sandboxes is one that others may not enter.
	store, err := oci.NewStore(oci.StoreConfig{Dir: filepath.Join(t.TempDir(), "images"), Owners: e.Capabilities().Owners})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	i, err := store.Pull(t.Context(), img, oci.PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Release()
	run := func(args ...string) string {
		t.Helper()
		l, err := i.Launch(args)
		if err != nil {
			t.Fatal(err)
		}
		var out, errs sandboxtest.Buffer
		s, err := e.Start(t.Context(), sandbox.Spec{
			ID: "image", Args: l.Args, Env: l.Env, Dir: l.Dir, Root: i.Root, Overlay: i.Overlay, User: l.UID, Group: l.GID, Stdout: &out, Stderr: &errs,
		})
		if err != nil {
			t.Fatal(err)
		}
		<-s.Done()
		return out.String() + errs.String()
	}
	got := run()
	for _, want := range []string{"uid=1000 gid=1001 dir=/home/app/work ", "effective uid=1000 gid=1001\n", "env:PATH=/bin\n", "env:A=b\n", "env:HOME=/home/app\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in what the image's own command says:\n%s", want, got)
		}
	}
	want := "/home/app: ok 40750 1000:1001\n/home/app/config: ok 100640 1000:1001\n/etc/shadow: ok 100600 0:0\n/usr/bin/guest: ok 100755 0:0\n/bin/again: ok 100755 0:0\n/home/app/gone: no such file or directory 0 0:0\n"
	if got := run("stat", "/home/app", "/home/app/config", "/etc/shadow", "/usr/bin/guest", "/bin/again", "/home/app/gone"); got != want {
		t.Errorf("files are\n%swant\n%s", got, want)
	}
	want = "/home/app/new: ok\n/home/app/config: ok\n/etc/new: permission denied\n/etc/passwd: permission denied\n/tmp/new: ok\n"
	if got := run("write", "/home/app/new", "/home/app/config", "/etc/new", "/etc/passwd", "/tmp/new"); got != want {
		t.Errorf("its user writes\n%swant\n%s", got, want)
	}
	want = "/home/app: directory config,work\n/home/app/config: \"mine\" ok\n/etc/shadow: \"\" permission denied\n"
	if got := run("read", "/home/app", "/home/app/config", "/etc/shadow"); got != want {
		t.Errorf("the next sandbox reads\n%swant\n%s", got, want)
	}
	if left, err := os.ReadDir(filepath.Join(e.(*engine).cfg.Dir, "disks")); err != nil || len(left) != 0 {
		t.Errorf("on the disk are left %v, %v", left, err)
	}
}

// layer is an archive. A header's Linkname is a file's content.
func layer(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		var body string
		if h.Typeflag == 0 {
			h.Typeflag, body, h.Linkname = tar.TypeReg, h.Linkname, ""
			h.Size = int64(len(body))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// pushed is an image in a registry of the test's own.
func pushed(t *testing.T, config v1.Config, layers ...[]byte) string {
	t.Helper()
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(srv.Close)
	var img v1.Image = empty.Image
	for _, l := range layers {
		var err error
		if img, err = mutate.AppendLayers(img, static.NewLayer(l, types.OCIUncompressedLayer)); err != nil {
			t.Fatal(err)
		}
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, config
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(fmt.Sprintf("%s/app:1", strings.TrimPrefix(srv.URL, "http://")))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return ref.String()
}
