package registry_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/faulty"
)

func id(tag string) registry.ImageID { return registry.ImageID{Tag: tag} }

func TestPutImage(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	one := f.image(repo(), "v1", "a", "b")
	if one.Size != int64(len("{}ab")) || one.MediaType != registry.TypeOCIManifest || one.ArtifactType != configType || !slices.Equal(one.Tags, []string{"v1"}) {
		t.Errorf("%+v", one)
	}
	// Again, by digest, is no news; under another tag it is.
	m := imageOf(t, "a", "b")
	for _, step := range []struct {
		id    registry.ImageID
		fresh bool
	}{{registry.ImageID{Digest: one.Digest}, false}, {id("v1"), false}, {id("v2"), true}, {registry.ImageID{Digest: one.Digest, Tag: "v2"}, false}} {
		if _, fresh, err := f.Put(ctx, repo(), step.id, registry.TypeOCIManifest, []byte(m)); err != nil || fresh != step.fresh {
			t.Errorf("%s: %t, %v", step.id, fresh, err)
		}
	}
	two := f.image(repo(), "v1", "c") // takes the tag
	if i, err := f.Image(ctx, repo(), id("v1")); err != nil || i.Digest != two.Digest {
		t.Errorf("v1 is %s, %v", i.Digest, err)
	}
	if i, err := f.Image(ctx, repo(), registry.ImageID{Digest: one.Digest}); err != nil || !slices.Equal(i.Tags, []string{"v2"}) {
		t.Errorf("%+v, %v", i, err)
	}
	_, err := f.Image(ctx, repo(), id("none"))
	refused(t, err, registry.CodeImageNotFound)
	_, err = f.Image(ctx, repo(), registry.ImageID{Tag: "v2", Digest: two.Digest})
	refused(t, err, registry.CodeTagMismatch)
	_, err = f.Image(ctx, repo(), registry.ImageID{})
	refused(t, err, registry.CodeMissingID)
	f.audit()
}

func TestPutRefuses(t *testing.T) {
	f := newFixture(t)
	f.push(repo(), "{}")
	f.push(repo(), "layer")
	good := imageOf(t, "layer")
	f.create(named("other"))
	for name, test := range map[string]struct {
		to        registry.Name
		id        registry.ImageID
		mediaType string
		manifest  string
		code      string
	}{
		"no repository":       {named("none"), id("v"), "", good, registry.CodeRepositoryNotFound},
		"another's layers":    {named("other"), id("v"), "", good, registry.CodeLayersNotFound},
		"a layer is missing":  {repo(), id("v"), "", imageOf(t, "layer", "missing"), registry.CodeLayersNotFound},
		"an image is missing": {repo(), id("v"), "", indexOf(t, good), registry.CodeImagesNotFound},
		"another size":        {repo(), id("v"), "", strings.Replace(good, `"size":5`, `"size":6`, 1), registry.CodeInvalid},
		"another digest":      {repo(), registry.ImageID{Digest: digest("x")}, "", good, registry.CodeDigestMismatch},
		"no tag":              {repo(), id(".v"), "", good, registry.CodeInvalidTag},
		"another type":        {repo(), id("v"), registry.TypeDockerManifest, good, registry.CodeInvalid},
		"too large":           {repo(), id("v"), "", good + strings.Repeat(" ", registry.MaxManifest), registry.CodeManifestTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := f.Put(t.Context(), test.to, test.id, test.mediaType, []byte(test.manifest))
			refused(t, err, test.code)
		})
	}
	if list, more, err := f.Images(t.Context(), repo(), registry.Any, "", 10); len(list) > 0 || more || err != nil {
		t.Errorf("images are there: %v, %v", list, err)
	}
	f.audit()
}

func TestIndexes(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	amd, arm := f.image(repo(), "", "amd"), f.image(repo(), "", "arm")
	index := f.put(repo(), "multi", indexOf(t, imageOf(t, "amd"), imageOf(t, "arm")))
	if index.Size != amd.Size+arm.Size {
		t.Errorf("size %d", index.Size)
	}
	_, failures, err := f.Delete(ctx, repo(), []registry.ImageID{{Digest: amd.Digest}})
	if err != nil || len(failures) != 1 || failures[0].Err.Code != registry.CodeReferenced || !strings.Contains(failures[0].Err.Message, string(index.Digest)) {
		t.Errorf("%+v, %v", failures, err)
	}
	gone, failures, err := f.Delete(ctx, repo(), []registry.ImageID{id("multi"), {Digest: amd.Digest}, {Digest: arm.Digest}, id("multi")})
	if err != nil || len(gone) != 3 || len(failures) != 1 || failures[0].Err.Code != registry.CodeImageNotFound {
		t.Errorf("%v, %+v, %v", gone, failures, err)
	}
	f.audit()
}

func TestDeleteByTag(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	i := f.image(repo(), "a", "layer")
	f.put(repo(), "b", imageOf(t, "layer"))
	gone, _, err := f.Delete(ctx, repo(), []registry.ImageID{id("a")})
	if err != nil || !slices.Equal(gone, []registry.ImageID{{Digest: i.Digest, Tag: "a"}}) {
		t.Errorf("%v, %v", gone, err)
	}
	if err := f.Untag(ctx, repo(), "b"); err != nil { // leaves the image
		t.Error(err)
	}
	if left, _, err := f.Images(ctx, repo(), registry.OnlyUntagged, "", 10); err != nil || len(left) != 1 || left[0].Digest != i.Digest {
		t.Errorf("%v, %v", left, err)
	}
	f.put(repo(), "last", imageOf(t, "layer"))
	if _, failures, err := f.Delete(ctx, repo(), []registry.ImageID{id("last")}); err != nil || failures != nil {
		t.Error(failures, err)
	}
	_, err = f.Image(ctx, repo(), registry.ImageID{Digest: i.Digest})
	refused(t, err, registry.CodeImageNotFound)
	f.audit()
}

func TestMutability(t *testing.T) {
	for _, test := range []struct {
		mutability registry.Mutability
		filters    []string
		tag        string
		moves      bool
	}{
		{registry.Mutable, nil, "v1", true}, {"", nil, "v1", true}, {registry.Immutable, nil, "v1", false},
		{registry.ImmutableWithExclusion, []string{"dev-*"}, "dev-1", true}, {registry.ImmutableWithExclusion, []string{"dev-*"}, "v1", false},
		{registry.MutableWithExclusion, []string{"v*", "r1"}, "v1", false}, {registry.MutableWithExclusion, []string{"v*", "r1"}, "r11", true},
	} {
		t.Run(fmt.Sprint(test.mutability, test.tag), func(t *testing.T) {
			f := newFixture(t)
			_, err := f.Change(t.Context(), repo(), func(s *registry.Settings) error {
				s.Mutability, s.Exclusions = test.mutability, test.filters
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			f.image(repo(), test.tag, "one")
			f.put(repo(), test.tag, imageOf(t, "one")) // the same is no move
			f.push(repo(), "two")
			_, _, err = f.Put(t.Context(), repo(), id(test.tag), "", []byte(imageOf(t, "two")))
			if test.moves && err != nil {
				t.Error(err)
			}
			if !test.moves {
				refused(t, err, registry.CodeTagExists)
			}
			f.audit()
		})
	}
}

func TestWildcards(t *testing.T) {
	for filter, tags := range map[string]struct{ yes, no []string }{
		"*":     {[]string{"", "a", "a.b"}, nil},
		"a*b":   {[]string{"ab", "axb", "abb"}, []string{"a", "abc", "ba"}},
		"*a*":   {[]string{"a", "bab"}, []string{"b"}},
		"exact": {[]string{"exact"}, []string{"exact1", "exac"}},
	} {
		for _, tag := range tags.yes {
			if !registry.Matches(filter, tag) {
				t.Errorf("%q does not match %q", filter, tag)
			}
		}
		for _, tag := range tags.no {
			if registry.Matches(filter, tag) {
				t.Errorf("%q matches %q", filter, tag)
			}
		}
	}
}

func TestListings(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	var all []registry.Digest
	for i := range 7 {
		tag := ""
		if i%2 == 0 {
			tag = fmt.Sprint("t", i)
		}
		all = append(all, f.image(repo(), tag, fmt.Sprint("layer", i)).Digest)
	}
	slices.Sort(all)
	var got []registry.Digest
	for after, more := registry.Digest(""), true; more; {
		var page []registry.Image
		var err error
		if page, more, err = f.Images(ctx, repo(), registry.Any, after, 3); err != nil {
			t.Fatal(err)
		}
		for _, i := range page {
			got = append(got, i.Digest)
		}
		after = got[len(got)-1]
	}
	if !slices.Equal(got, all) {
		t.Errorf("listed %v", got)
	}
	if tagged, more, err := f.Images(ctx, repo(), registry.OnlyTagged, "", 4); len(tagged) != 4 || more || err != nil {
		t.Errorf("%d, %t, %v", len(tagged), more, err)
	}
	for _, test := range []struct {
		after string
		most  int
		want  string
		more  bool
	}{{"", 9, "t0 t2 t4 t6", false}, {"", 2, "t0 t2", true}, {"t2", 2, "t4 t6", false}, {"t3", 1, "t4", true}, {"z", 1, "", false}, {"", 0, "", true}} {
		tags, more, err := f.Tags(ctx, repo(), test.after, test.most)
		if err != nil || strings.Join(tags, " ") != test.want || more != test.more {
			t.Errorf("%+v: %q, %t, %v", test, tags, more, err)
		}
	}
}

func TestReferrers(t *testing.T) {
	f := newFixture(t)
	subject := f.image(repo(), "v1", "layer")
	f.push(repo(), "signature")
	signature := func(kind string) string {
		return encode(t, map[string]any{
			"schemaVersion": 2, "mediaType": registry.TypeOCIManifest, "artifactType": kind, "config": describe("application/vnd.oci.empty.v1+json", "{}"),
			"layers": []any{describe("text/plain", "signature")}, "subject": describe(registry.TypeOCIManifest, imageOf(t, "layer")),
			"annotations": map[string]string{"kind": kind},
		})
	}
	for _, kind := range []string{"application/a", "application/b", "application/c"} {
		if i := f.put(repo(), "", signature(kind)); i.Subject != subject.Digest {
			t.Errorf("%+v", i)
		}
	}
	all, more, err := f.Referrers(t.Context(), repo(), subject.Digest, "", "", 2)
	if err != nil || len(all) != 2 || !more {
		t.Fatalf("%v, %t, %v", all, more, err)
	}
	rest, more, err := f.Referrers(t.Context(), repo(), subject.Digest, "", all[1].Digest, 2)
	if err != nil || len(rest) != 1 || more || rest[0].Annotations["kind"] != rest[0].ArtifactType {
		t.Errorf("%+v, %t, %v", rest, more, err)
	}
	if one, _, err := f.Referrers(t.Context(), repo(), subject.Digest, "application/b", "", 9); err != nil || len(one) != 1 || one[0].ArtifactType != "application/b" {
		t.Errorf("%+v, %v", one, err)
	}
	if none, _, err := f.Referrers(t.Context(), repo(), digest("nothing"), "", "", 9); err != nil || none != nil {
		t.Errorf("%v, %v", none, err)
	}
	f.audit()
}

// TestPrune: what no image names stays for Grace, and what one does for ever.
func TestPrune(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	image := f.image(repo(), "v1", "used")
	loose := f.push(repo(), "loose")
	id := f.begin(repo())
	if _, err := f.Append(ctx, repo(), id, part("abandoned")); err != nil {
		t.Fatal(err)
	}
	prune := func(want registry.Pruned) {
		t.Helper()
		for _, dry := range []bool{true, false} {
			got, err := f.Prune(ctx, registry.PruneOptions{Unused: registry.Grace, DryRun: dry})
			if !dry {
				want.Left -= want.Layers
				want.LeftBytes -= want.Bytes - int64(len("abandoned"))*int64(want.Uploads)
			}
			if err != nil || got != want {
				t.Errorf("dry run %t: %+v, want %+v, %v", dry, got, want, err)
			}
		}
		f.audit()
	}
	bytes := int64(len("{}"+"used"+"loose")) + image.ManifestSize
	f.clock.at = f.clock.at.Add(registry.Grace - time.Second)
	prune(registry.Pruned{Left: 4, LeftBytes: bytes})
	if _, err := f.Stat(ctx, repo(), loose); err != nil { // somebody is about to use it
		t.Fatal(err)
	}
	f.clock.at = f.clock.at.Add(time.Hour)
	prune(registry.Pruned{Uploads: 1, Bytes: int64(len("abandoned")), Left: 4, LeftBytes: bytes})
	f.clock.at = f.clock.at.Add(registry.Grace)
	prune(registry.Pruned{Layers: 1, Bytes: int64(len("loose")), Left: 4, LeftBytes: bytes})
	_, err := f.read(repo(), loose)
	refused(t, err, registry.CodeLayerMissing)
	refused(t, f.DeleteBlob(ctx, repo(), digest("used")), registry.CodeLayerNeeded)
	if _, _, err := f.Delete(ctx, repo(), []registry.ImageID{{Digest: image.Digest}}); err != nil {
		t.Fatal(err)
	}
	f.audit()
	f.clock.at = f.clock.at.Add(registry.Grace)
	prune(registry.Pruned{Layers: 2, Bytes: 6, Left: 2, LeftBytes: 6})
}

// TestReaderOutlivesDelete: who reads a layer reads it to its end.
func TestReaderOutlivesDelete(t *testing.T) {
	f := newFixture(t)
	d := f.push(repo(), "layer")
	r, err := f.Open(t.Context(), repo(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := f.DeleteBlob(t.Context(), repo(), d); err != nil {
		t.Fatal(err)
	}
	f.audit()
	buf := make([]byte, 5)
	if n, err := r.ReadAt(buf, 0); n != 5 || err != nil || string(buf) != "layer" || r.Size() != 5 {
		t.Errorf("%q, %v", buf, err)
	}
}

// TestFaults does what comes at random over a store that fails, and checks that
// nothing is half done.
func TestFaults(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			f := newFixture(t)
			bad := faulty.New(f.db, faulty.Random(seed, 0.15))
			s, err := registry.New(t.Context(), registry.Config{Dir: f.dir + "/faulty", Store: bad})
			for err != nil {
				s, err = registry.New(t.Context(), registry.Config{Dir: f.dir + "/faulty", Store: bad})
			}
			f.Storage = s
			random := rand.New(rand.NewPCG(seed, 1))
			for range 300 {
				f.step(random)
			}
			bad.Follow(faulty.Script())
			// What the faults kept a write from settling, the next start does.
			if f.Storage, err = registry.New(t.Context(), registry.Config{Dir: f.dir + "/faulty", Store: f.db}); err != nil {
				t.Fatal(err)
			}
			f.audit()
		})
	}
}

// step does one thing, which may fail.
func (f *fixture) step(random *rand.Rand) {
	ctx := f.t.Context()
	n := named([]string{"team/agent", "other"}[random.IntN(2)])
	layer := fmt.Sprint("layer ", random.IntN(5))
	tag := fmt.Sprint("v", random.IntN(4))
	var err error
	switch random.IntN(8) {
	case 0:
		_, err = f.CreateRepository(ctx, n, registry.Settings{})
	case 1, 2, 3:
		for _, content := range []string{layer, "{}"} {
			var u registry.Upload
			if u, err = f.StartUpload(ctx, n); err == nil {
				_, err = f.Finish(ctx, n, u.ID, digest(content), part(content))
			}
		}
	case 4, 5:
		_, _, err = f.Put(ctx, n, id(tag), "", []byte(imageOf(f.t, layer)))
	case 6:
		_, _, err = f.Delete(ctx, n, []registry.ImageID{id(tag)})
	case 7:
		if random.IntN(10) == 0 {
			_, err = f.DeleteRepository(ctx, n, true)
		} else {
			_, err = f.Prune(ctx, registry.PruneOptions{})
		}
	}
	if errors.Is(err, store.ErrInvalid) {
		f.t.Error(err)
	}
}
