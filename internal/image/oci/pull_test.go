package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/outcrop/outcrop/internal/fault"
)

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// packed is a layer whose compressed form is not what its library would make.
type packed struct {
	v1.Layer
	diffID v1.Hash
}

func (p packed) DiffID() (v1.Hash, error)             { return p.diffID, nil }
func (p packed) Uncompressed() (io.ReadCloser, error) { return nil, errors.New("not needed") }

// compressed is a layer of an archive that is compressed by f.
func compressed(t testing.TB, f func(testing.TB, []byte) []byte, media types.MediaType, data []byte) v1.Layer {
	t.Helper()
	id, _, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return packed{static.NewLayer(f(t, data), media), id}
}

var someMembers = []member{
	{name: "./"}, {name: "bin/"}, {name: "bin/run", body: "#!", mode: 0o4755}, {name: "data", body: "d", mode: 0o640, uid: 1000, gid: 1001},
	link("link", "bin/run"), hard("again", "bin/run"), {name: "tmp/", mode: 0o1777}, {name: "home/app/", mode: 0o2750, uid: 1000, gid: 1000},
	{name: "caf\xe9", body: "latin"}, {name: "dev/sda", kind: tar.TypeBlock},
}

// TestPullForms: whatever form an image has in its registry, the root is the same.
func TestPullForms(t *testing.T) {
	first, second := archive(t, someMembers...), archive(t, file("new"), file(".wh.link"))
	docker := mutate.MediaType(empty.Image, types.DockerManifestSchema2)
	oci := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	none := func(_ testing.TB, b []byte) []byte { return b }
	forms := []struct {
		name  string
		base  v1.Image
		media types.MediaType
		pack  func(testing.TB, []byte) []byte
	}{
		{"docker gzip", docker, types.DockerLayer, gzipped},
		{"oci gzip", oci, types.OCILayer, gzipped},
		{"oci zstd", oci, types.OCILayerZStd, zstandard},
		{"docker zstd", docker, dockerZstd, zstandard},
		{"oci uncompressed", oci, types.OCIUncompressedLayer, none},
		{"a media type that is not true", oci, types.OCILayer, zstandard},
	}
	eachOwners(t, func(t *testing.T, s *Store) {
		srv := serve(t, nil)
		uid, gid := os.Getuid(), os.Getgid()
		owner := func(u, g int) string {
			if s.cfg.Owners {
				return fmt.Sprintf("%d:%d", u, g)
			}
			return fmt.Sprintf("%d:%d", uid, gid)
		}
		home, data := "drwxr-x---", "-rw-r-----"
		if !s.cfg.Owners {
			home, data = "drwxrwxrwx", "-rw-rw-rw-" // as their owner may, in the overlay as they are
		}
		want := fmt.Sprintf("-rwxr-xr-x %[1]s \"again\" \"#!\"\ndrwxr-xr-x %[1]s \"bin\"\n-rwxr-xr-x %[1]s \"bin/run\" \"#!\"\n-rw-r--r-- %[1]s \"caf\\xe9\" \"latin\"\n%[4]s %[2]s \"data\" \"d\"\ndrwxr-xr-x %[1]s \"dev\"\ndrwxr-xr-x %[1]s \"home\"\n%[5]s %[3]s \"home/app\"\n-rw-r--r-- %[1]s \"new\" \"new\"\ndtrwxrwxrwx %[1]s \"tmp\"\n",
			owner(0, 0), owner(1000, 1001), owner(1000, 1000), data, home)
		for i, f := range forms {
			img, err := mutate.AppendLayers(f.base, compressed(t, f.pack, f.media, first), compressed(t, f.pack, f.media, second))
			if err != nil {
				t.Fatal(err)
			}
			img = configured(t, img, v1.Config{Cmd: []string{"run"}}, runtime.GOARCH)
			got := pull(t, s, srv.push(t, fmt.Sprintf("forms:%d", i), img))
			if l := list(t, got.Root); l != want {
				t.Errorf("%s: the root is\n%s\nwant\n%s", f.name, l, want)
			}
			if got.Skipped != 1 || got.Files != 10 || got.Size != 11 || got.Left != 0 {
				t.Errorf("%s: %+v", f.name, got)
			}
			var a, b syscall.Stat_t
			if err := errors.Join(syscall.Stat(got.Root+"/again", &a), syscall.Stat(got.Root+"/bin/run", &b)); err != nil || a.Ino != b.Ino {
				t.Errorf("%s: a hard link is a file of its own, %v", f.name, err)
			}
			if info, err := os.Stat(got.Root + "/again"); err != nil || info.ModTime().Unix() != 1_700_000_000 {
				t.Errorf("%s: a file is of %v, %v", f.name, info, err)
			}
			if (got.Overlay != "") == s.cfg.Owners {
				t.Errorf("%s: overlay is %q", f.name, got.Overlay)
			}
		}
		u, err := s.Usage()
		if err != nil || u.Layers != 2 || len(u.Images) != len(forms) || u.Bytes != 11 {
			t.Errorf("six images of two layers take %+v, %v", u, err)
		}
	})
}

// TestOverlay: what the files of an ordinary user do not say.
func TestOverlay(t *testing.T) {
	s := open(t, nil)
	big := strings.Repeat("x", overlayFile+1)
	i := pull(t, s, serve(t, nil).push(t, "a", imageOf(t, v1.Config{User: "1000"}, archive(t,
		member{name: "home/"}, member{name: "home/app/", mode: 0o700, uid: 1000, gid: 1000}, member{name: "home/app/secret", body: "s", mode: 0o4600, uid: 1000, gid: 1000},
		member{name: "home/app/big", body: big, mode: 0o600, uid: 1000}, member{name: "etc/shadow", body: "root", mode: 0o640, gid: 42}, member{name: "locked/", mode: 0o111},
		member{name: "plain", body: "p"}))))
	file, err := os.Open(i.Overlay)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var got []string
	for r := tar.NewReader(file); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r)
		got = append(got, fmt.Sprintf("%s %o %d:%d %s", h.Name, h.Mode, h.Uid, h.Gid, body))
	}
	want := []string{"./ 755 0:0 ", "./etc/ 755 0:0 ", "./etc/shadow 640 0:42 root", "./home/ 755 0:0 ", "./home/app/ 700 1000:1000 ", "./home/app/secret 600 1000:1000 s", "./locked/ 111 0:0 "}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the overlay is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if i.Left != 1 {
		t.Errorf("%d files are left out, want the big one", i.Left)
	}
	if info, err := os.Stat(i.Root + "/home/app/big"); err != nil || info.Mode() != 0o666 {
		t.Errorf("what is left out is %v, %v; the guest's user must read it", info, err)
	}
	if info, err := os.Stat(i.Root + "/etc/shadow"); err != nil || info.Mode() != 0o640 {
		t.Errorf("root's own is %v, %v", info, err)
	}
}

// TestPin: a digest is not asked for again, a tag is.
func TestPin(t *testing.T) {
	var asked atomic.Int64
	srv := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			h.ServeHTTP(w, r)
		})
	})
	s := open(t, nil)
	one, two := imageOf(t, v1.Config{Cmd: []string{"1"}}, archive(t, file("a"))), imageOf(t, v1.Config{Cmd: []string{"2"}}, archive(t, file("b")))
	ref := srv.push(t, "a/b:tag", one)
	resolved, err := s.Resolve(t.Context(), ref, Credentials{})
	digest, _ := one.Digest()
	pinned := resolved.Pinned
	if want := srv.host + "/a/b@" + digest.String(); err != nil || pinned != want || !slices.Equal(resolved.Platforms, []string{"linux/" + runtime.GOARCH}) {
		t.Fatalf("Resolve() = %+v, %v, want %q for this machine", resolved, err, want)
	}
	srv.push(t, "a/b:tag", two)
	if got := pull(t, s, ref); got.Config.Cmd[0] != "2" {
		t.Errorf("the tag has moved and is %v", got.Config.Cmd)
	}
	if got := pull(t, s, pinned); got.Config.Cmd[0] != "1" || got.Digest != digest.String() || got.Reference != pinned {
		t.Errorf("the pinned image is %+v", got)
	}
	before := asked.Load()
	again := pull(t, s, pinned)
	if asked.Load() != before || again.Digest != digest.String() {
		t.Errorf("%d requests for what is there", asked.Load()-before)
	}
	opened, err := s.Open(digest.String())
	if err != nil {
		t.Fatal(err)
	}
	opened.Release()
	opened.Release()
	if _, err := s.Open("sha256:" + strings.Repeat("0", 64)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open() of nothing = %v", err)
	}
	if _, err := s.Open("../../etc"); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open() of no digest = %v", err)
	}
}

// TestIndex: the platform is this machine's, and the index is what is pinned.
func TestIndex(t *testing.T) {
	srv, s := serve(t, nil), open(t, nil)
	ours := imageOf(t, v1.Config{Cmd: []string{"ours"}}, archive(t, file("a")))
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	theirs := configured(t, imageOf(t, v1.Config{Cmd: []string{"theirs"}}, archive(t, file("a"))), v1.Config{}, other)
	add := func(img v1.Image, os, arch, variant string) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: arch, Variant: variant}}}
	}
	index := mutate.AppendManifests(empty.Index, add(theirs, "linux", other, ""), add(theirs, "unknown", "unknown", ""), add(ours, "linux", runtime.GOARCH, ""))
	multi := srv.push(t, "multi", index)
	got := pull(t, s, multi)
	digest, _ := index.Digest()
	if r, err := s.Resolve(t.Context(), multi, Credentials{}); err != nil || !slices.Equal(r.Platforms, []string{"linux/" + other, "linux/" + runtime.GOARCH}) {
		t.Errorf("Resolve() = %+v, %v", r, err)
	}
	if got.Config.Cmd[0] != "ours" || !strings.HasSuffix(got.Reference, digest.String()) {
		t.Errorf("got %+v", got)
	}
	if by, err := s.Open(digest.String()); err != nil || by.Digest != got.Digest {
		t.Errorf("by the index's digest: %v, %v", by, err)
	} else {
		by.Release()
	}
	for ref, want := range map[string]string{
		srv.push(t, "index", mutate.AppendManifests(empty.Index, add(theirs, "linux", other, "v8"), add(theirs, "windows", "amd64", ""), add(theirs, "unknown", "unknown", ""))): fmt.Sprintf("is built for linux/%s/v8, windows/amd64, and this machine runs linux/%s. Build it with --platform linux/%[2]s, or for both.", other, runtime.GOARCH),
		srv.push(t, "single", theirs):    fmt.Sprintf("is built for linux/%s, and this machine runs linux/%s.", other, runtime.GOARCH),
		srv.push(t, "none", empty.Index): "is built for no platform at all",
	} {
		if _, err := s.Pull(t.Context(), ref, PullOptions{}); !fault.Is(err, "ValidationException") || !errors.Is(err, ErrPlatform) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", ref, err, want)
		}
		if _, err := s.Resolve(t.Context(), ref, Credentials{}); !errors.Is(err, ErrPlatform) {
			t.Errorf("%s: Resolve() = %v", ref, err)
		}
	}
}

func TestVariants(t *testing.T) {
	p := platform{arch: "amd64", variants: []string{"v2", "", "v1"}}
	manifest := func(variants ...string) *v1.IndexManifest {
		m := new(v1.IndexManifest)
		for _, v := range variants {
			m.Manifests = append(m.Manifests, v1.Descriptor{Digest: v1.Hash{Hex: v}, Platform: &v1.Platform{OS: "linux", Architecture: "amd64", Variant: v}})
		}
		return m
	}
	for want, m := range map[string]*v1.IndexManifest{"v2": manifest("v4", "", "v3", "v2"), "": manifest("v3", ""), "v1": manifest("v4", "v1")} {
		if d, err := p.choose("x", m); err != nil || d.Digest.Hex != want {
			t.Errorf("of %v it chooses %q, %v; want %q", m.Manifests, d.Digest.Hex, err, want)
		}
	}
	if _, err := p.choose("x", manifest("v3", "v4")); err == nil {
		t.Error("it chooses what this machine cannot run")
	}
}

// oddManifests answers what no client would push.
func oddManifests(h http.Handler) http.Handler {
	manifests := map[string][2]string{ // media type and body
		"/v2/artifact/manifests/latest": {"application/vnd.example", `{}`},
		"/v2/json/manifests/latest":     {string(types.OCIManifestSchema1), `[`},
		"/v2/json2/manifests/latest":    {string(types.OCIImageIndex), `[`},
		"/v2/one/manifests/latest":      {string(types.DockerManifestSchema1Signed), `{"schemaVersion":1}`},
		"/v2/huge/manifests/latest":     {string(types.OCIManifestSchema1), strings.Repeat(" ", maxManifest+1)},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, ok := manifests[r.URL.Path]
		if !ok {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", m[0])
		_, _ = io.WriteString(w, m[1])
	})
}

// TestRefusals: what a registry may hold that is not taken. Nothing is left of it.
func TestRefusals(t *testing.T) {
	srv := serve(t, oddManifests)
	good := archive(t, member{name: "a", body: strings.Repeat("a", 1000)})
	wrongID := func(data []byte) v1.Layer {
		return packed{static.NewLayer(data, types.OCIUncompressedLayer), v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}}
	}
	with := func(l v1.Layer) v1.Image {
		img, err := mutate.AppendLayers(empty.Image, l)
		if err != nil {
			t.Fatal(err)
		}
		return configured(t, img, v1.Config{}, runtime.GOARCH)
	}
	layer := func(data []byte, media types.MediaType) v1.Layer {
		id, _, _ := v1.SHA256(bytes.NewReader(good))
		return packed{static.NewLayer(data, media), id}
	}
	for _, tt := range []struct {
		name, want string
		ref        string
	}{
		{"no image", "There is no image", srv.host + "/nothing:here"},
		{"no name", "is no image's name", "HTTP://x y"},
		{"long name", "the limit is 1024", srv.host + "/" + strings.Repeat("x", 1100)},
		{"diff id", "has the digest", srv.push(t, "diff", with(wrongID(good)))},
		{"no archive", "damaged", srv.push(t, "junk", with(layer(bytes.Repeat([]byte("junk"), 1000), types.OCILayer)))},
		{"half an archive", "damaged", srv.push(t, "half", with(layer(good[:700], types.OCIUncompressedLayer)))},
		{"half compressed", "damaged", srv.push(t, "gz", with(layer(gzipped(t, good)[:50], types.OCILayer)))},
		{"a layer of another kind", "media type", srv.push(t, "kind", with(layer(good, "application/vnd.oci.image.layer.v1.tar+encrypted")))},
		{"an artifact", "media type", srv.host + "/artifact"},
		{"no JSON", "is no JSON", srv.host + "/json"},
		{"index of no JSON", "is no JSON", srv.host + "/json2"},
		{"schema 1", "media type", srv.host + "/one"},
		{"huge manifest", "is no JSON", srv.host + "/huge"},
		{"unpacked too large", "more than 4000 bytes unpacked", srv.push(t, "large", imageOf(t, v1.Config{}, archive(t, member{name: "a", body: strings.Repeat("a", 3000)}, member{name: "b", body: strings.Repeat("a", 3000)})))},
		{"two layers too large", "more than 4000 bytes unpacked", srv.push(t, "large2", imageOf(t, v1.Config{}, archive(t, member{name: "a", body: strings.Repeat("a", 3000)}), archive(t, member{name: "b", body: strings.Repeat("b", 3000)})))},
		{"a bomb", "more than 20000 bytes uncompressed", srv.push(t, "bomb", with(compressed(t, gzipped, types.OCILayer, append(archive(t, file("a")), make([]byte, 100_000)...))))},
		{"too many entries", "more than 30 entries", srv.push(t, "many", imageOf(t, v1.Config{}, archive(t, many(31)...)))},
		{"too large in the registry", "more than 30000 bytes in its registry", srv.push(t, "compressed", imageOf(t, v1.Config{}, archive(t, member{name: "a", body: strings.Repeat("a", 40_000)})))},
		{"too many layers", "has 4 layers; the limit is 3", srv.push(t, "layers", imageOf(t, v1.Config{}, good, archive(t, file("x")), archive(t, file("y")), archive(t, file("z"))))},
		{"another platform", "is built for linux/riscv64", srv.push(t, "riscv", configured(t, imageOf(t, v1.Config{}, good), v1.Config{}, "riscv64"))},
		{"no such user", `user "app", which its /etc/passwd`, srv.push(t, "user", imageOf(t, v1.Config{User: "app"}, good))},
		{"a path out", "has .. in its path", srv.push(t, "out", imageOf(t, v1.Config{}, archive(t, file("../a"))))},
		{"a hard link out", "is a hard link to", srv.push(t, "hard", imageOf(t, v1.Config{}, archive(t, link("up", "../../.."), hard("a", "up/etc/passwd"))))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, func(c *StoreConfig) {
				c.Limits = Limits{Compressed: 30_000, Layer: 20_000, Unpacked: 4000, Entries: 30, Layers: 3}
			})
			_, err := s.Pull(t.Context(), tt.ref, PullOptions{})
			if !fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Pull() = %v, want a refusal with %q", err, tt.want)
			}
			for _, kind := range []string{layersName, imagesName, pinsName} {
				entries, err := os.ReadDir(filepath.Join(s.cfg.Dir, kind))
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					if strings.HasPrefix(e.Name(), tmpPrefix) || kind == imagesName {
						t.Errorf("%s/%s is left", kind, e.Name())
					}
				}
			}
		})
	}
}

func many(n int) []member {
	var m []member
	for i := range n {
		m = append(m, member{name: fmt.Sprint("f", i)})
	}
	return m
}

// TestSparse: a file that claims to be large takes no room, and is bounded.
func TestSparse(t *testing.T) {
	s := open(t, nil)
	body := strings.Repeat("\x00", 8<<20) + "end"
	i := pull(t, s, serve(t, nil).push(t, "a", imageOf(t, v1.Config{}, archive(t, member{name: "a", body: body}, file("b")))))
	var st syscall.Stat_t
	if err := syscall.Stat(i.Root+"/a", &st); err != nil || st.Size != int64(len(body)) || st.Blocks > 256 {
		t.Errorf("a file of zeros is %d bytes in %d blocks, %v", st.Size, st.Blocks, err)
	}
	if data, err := os.ReadFile(i.Root + "/a"); err != nil || string(data) != body {
		t.Errorf("and has another content: %v", err)
	}
}

// TestSingleFlight: many pulls at once fetch each layer once.
func TestSingleFlight(t *testing.T) {
	var blobs sync.Map
	srv := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				n, _ := blobs.LoadOrStore(filepath.Base(r.URL.Path), new(atomic.Int64))
				n.(*atomic.Int64).Add(1)
			}
			h.ServeHTTP(w, r)
		})
	})
	s := open(t, nil)
	shared := archive(t, many(50)...)
	refs := []string{
		srv.push(t, "a", imageOf(t, v1.Config{Cmd: []string{"a"}}, shared, archive(t, file("a")))),
		srv.push(t, "b", imageOf(t, v1.Config{Cmd: []string{"b"}}, shared, shared, archive(t, file("b")))),
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			img, err := s.Pull(t.Context(), refs[i%2], PullOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(img.Root, img.Config.Cmd[0])); err != nil {
				t.Error(err)
			}
			img.Release()
		})
	}
	wg.Wait()
	blobs.Range(func(digest, n any) bool {
		if got := n.(*atomic.Int64).Load(); got != 1 {
			t.Errorf("%s was fetched %d times", digest, got)
		}
		return true
	})
}

// TestGivenUp: a pull that is given up leaves the layers that it has, and the
// next goes on there.
func TestGivenUp(t *testing.T) {
	first, second := archive(t, file("a")), archive(t, member{name: "b", body: strings.Repeat("b", 200_000)})
	ctx, cancel := context.WithCancelCause(t.Context())
	var fetched atomic.Int64
	id, _, _ := v1.SHA256(bytes.NewReader(second))
	var s *Store
	firstID, _, _ := v1.SHA256(bytes.NewReader(first))
	srv := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, firstID.Hex) {
				fetched.Add(1)
			}
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, id.Hex) && ctx.Err() == nil {
				for !isDir(s.path(layersName, firstID.String())) {
					runtime.Gosched()
				}
				cancel(errors.New("given up"))
				<-r.Context().Done()
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	s = open(t, nil)
	ref := srv.push(t, "a", imageOf(t, v1.Config{}, first, second))
	if _, err := s.Pull(ctx, ref, PullOptions{}); err == nil || fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), "given up") {
		t.Errorf("Pull() = %v, want that it was given up", err)
	}
	pull(t, s, ref)
	if fetched.Load() != 1 {
		t.Errorf("the first layer was fetched %d times", fetched.Load())
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
