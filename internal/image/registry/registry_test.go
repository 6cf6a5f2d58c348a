package registry_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// fixture is a storage with one repository.
type fixture struct {
	*registry.Storage
	t     testing.TB
	db    store.Store
	clock *clock
	dir   string
}

func scope() store.Scope { return store.Scope{Account: "111122223333", Region: "eu-west-1"} }

func named(repository string) registry.Name {
	return registry.Name{Scope: scope(), Repository: repository}
}

// repo is the fixture's repository.
func repo() registry.Name { return named("team/agent") }

func openFixture(t testing.TB, dir string) *fixture {
	t.Helper()
	c := &clock{at: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := registry.New(t.Context(), registry.Config{Dir: filepath.Join(dir, "registry"), Store: db})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{s, t, db, c, dir}
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := openFixture(t, t.TempDir())
	f.create(repo())
	return f
}

func (f *fixture) create(n registry.Name) {
	f.t.Helper()
	if _, err := f.CreateRepository(f.t.Context(), n, registry.Settings{}); err != nil {
		f.t.Fatal(err)
	}
}

// audit checks the storage, with no garbage left.
func (f *fixture) audit() {
	f.t.Helper()
	err := errors.Join(f.Collect(f.t.Context()), f.db.View(f.t.Context(), f.Audit))
	if err != nil {
		f.t.Error(err)
	}
}

func digest(content string) registry.Digest {
	return registry.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))))
}

func part(content string) registry.Part {
	return registry.Part{Reader: strings.NewReader(content), At: -1, Size: int64(len(content))}
}

func (f *fixture) begin(n registry.Name) string {
	f.t.Helper()
	u, err := f.StartUpload(f.t.Context(), n)
	if err != nil {
		f.t.Fatal(err)
	}
	return u.ID
}

// push uploads a blob.
func (f *fixture) push(n registry.Name, content string) registry.Digest {
	f.t.Helper()
	d := digest(content)
	if _, err := f.Finish(f.t.Context(), n, f.begin(n), d, part(content)); err != nil {
		f.t.Fatal(err)
	}
	return d
}

func (f *fixture) read(n registry.Name, d registry.Digest) (string, error) {
	r, err := f.Open(f.t.Context(), n, d)
	if err != nil {
		return "", err
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	return string(raw), err
}

// describe is a descriptor of some content.
func describe(mediaType, content string) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest(content), "size": len(content)}
}

const (
	configType = "application/vnd.oci.image.config.v1+json"
	layerType  = "application/vnd.oci.image.layer.v1.tar+gzip"
)

func encode(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// imageOf is the manifest of an image with layers, which have these contents.
func imageOf(t testing.TB, layers ...string) string {
	list := []any{}
	for _, l := range layers {
		list = append(list, describe(layerType, l))
	}
	return encode(t, map[string]any{"schemaVersion": 2, "mediaType": registry.TypeOCIManifest, "config": describe(configType, "{}"), "layers": list})
}

func indexOf(t testing.TB, manifests ...string) string {
	list := []any{}
	for _, m := range manifests {
		list = append(list, describe(registry.TypeOCIManifest, m))
	}
	return encode(t, map[string]any{"schemaVersion": 2, "mediaType": registry.TypeOCIIndex, "manifests": list})
}

func (f *fixture) put(n registry.Name, tag, manifest string) registry.Image {
	f.t.Helper()
	i, _, err := f.Put(f.t.Context(), n, registry.ImageID{Tag: tag}, "", []byte(manifest))
	if err != nil {
		f.t.Fatal(err)
	}
	return i
}

// image pushes an image of layers, and its layers.
func (f *fixture) image(n registry.Name, tag string, layers ...string) registry.Image {
	f.t.Helper()
	for _, l := range append([]string{"{}"}, layers...) {
		f.push(n, l)
	}
	return f.put(n, tag, imageOf(f.t, layers...))
}

func refused(t testing.TB, err error, code string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("error = %v, want %s", err, code)
	}
}

func TestRepositories(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	_, err := f.CreateRepository(ctx, repo(), registry.Settings{})
	refused(t, err, registry.CodeRepositoryExists)
	for _, bad := range []string{"", "a", "A/b", "a//b", "-a", "a/", "a___b", "a..b", strings.Repeat("a", 257), "a b", "ä-b"} {
		_, err := f.CreateRepository(ctx, named(bad), registry.Settings{})
		refused(t, err, registry.CodeInvalid)
	}
	for _, good := range []string{"aa", "a-b", "a--b", "a__b/c.d", "0/1", strings.Repeat("a", 256)} {
		f.create(named(good))
	}
	elsewhere := repo()
	elsewhere.Region = "us-east-1"
	_, err = f.Repository(ctx, elsewhere)
	refused(t, err, registry.CodeRepositoryNotFound)

	first, next, err := f.Repositories(ctx, scope(), store.Page{Size: 3})
	if err != nil || len(first) != 3 || next == "" || first[0].Repository != "team/agent" {
		t.Fatalf("%v, %q, %v", first, next, err)
	}
	if rest, next, err := f.Repositories(ctx, scope(), store.Page{Size: 10, Token: next}); err != nil || len(rest) != 4 || next != "" {
		t.Errorf("%d, %q, %v", len(rest), next, err)
	}
	names, more, err := f.RepositoryNames(ctx, scope(), "a-b", 2)
	if err != nil || !more || strings.Join(names, " ") != "a__b/c.d aa" {
		t.Errorf("%q, %t, %v", names, more, err)
	}

	f.image(repo(), "v1", "layer")
	_, err = f.DeleteRepository(ctx, repo(), false)
	refused(t, err, registry.CodeRepositoryNotEmpty)
	f.begin(repo()) // goes with it
	if _, err := f.DeleteRepository(ctx, repo(), true); err != nil {
		t.Fatal(err)
	}
	_, err = f.DeleteRepository(ctx, repo(), true)
	refused(t, err, registry.CodeRepositoryNotFound)
	f.create(repo()) // has nothing of the one before
	_, err = f.read(repo(), digest("layer"))
	refused(t, err, registry.CodeLayerMissing)
	f.audit()
}

func TestSettings(t *testing.T) {
	f := newFixture(t)
	set := func(fn func(*registry.Settings) error) error {
		_, err := f.Change(t.Context(), repo(), fn)
		return err
	}
	tags := map[string]string{}
	for i := range registry.MaxResourceTags {
		tags[fmt.Sprint("key", i)] = "v"
	}
	if err := set(func(s *registry.Settings) error { s.Tags, s.Policy = tags, "{}"; return nil }); err != nil {
		t.Fatal(err)
	}
	refused(t, set(func(s *registry.Settings) error { s.Tags["more"] = ""; return nil }), registry.CodeTooManyTags)
	for _, bad := range []string{"", "aws:x", strings.Repeat("k", 129)} {
		refused(t, set(func(s *registry.Settings) error { s.Tags = map[string]string{bad: ""}; return nil }), registry.CodeInvalidResourceTag)
	}
	r, err := f.Repository(t.Context(), repo())
	if err != nil || len(r.Tags) != registry.MaxResourceTags || r.Policy != "{}" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestManifestOverTheRowSize(t *testing.T) {
	f := newFixture(t)
	var layers []string
	for i := range 200 {
		layers = append(layers, fmt.Sprint("layer ", i))
	}
	m := imageOf(t, layers...)
	if len(m) <= registry.SmallManifest {
		t.Fatalf("the manifest has only %d bytes", len(m))
	}
	i := f.image(repo(), "big", layers...)
	got, raw, err := f.Manifest(t.Context(), repo(), registry.ImageID{Digest: i.Digest})
	if err != nil || !bytes.Equal(raw, []byte(m)) || got.Digest != digest(m) {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	f.audit()
	if gone, failures, err := f.Delete(t.Context(), repo(), []registry.ImageID{{Digest: i.Digest}}); err != nil || failures != nil || len(gone) != 1 {
		t.Errorf("%v, %v, %v", gone, failures, err)
	}
	f.audit()
}
