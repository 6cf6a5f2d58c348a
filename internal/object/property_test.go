package object_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/object"
)

// The alphabet makes keys that are prefixes of each other, and has the bytes that
// the encodings treat apart.
var alphabet = []string{"a", "b", "/", "//", "\x00", "\x01", "\x02", "ÿ", "\U0010ffff", "."}

func randomKey(r *rand.Rand, atLeast int) string {
	var b strings.Builder
	for range atLeast + r.IntN(5) {
		b.WriteString(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

// TestAgainstModel does random things to a bucket and to the model, and compares
// all that can be seen.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			w := &walk{
				fixture: newFixture(t), r: rand.New(rand.NewPCG(seed, 7)),
				model: model{keys: map[string][]modelVersion{}},
			}
			for i := range 40 {
				w.keys = append(w.keys, randomKey(w.r, 1))
				if i%8 == 0 { // many below one common prefix
					for j := range 30 {
						w.keys = append(w.keys, w.keys[i]+"/"+fmt.Sprint(j))
					}
				}
			}
			for range 300 {
				w.step()
			}
			for range 80 {
				w.compareLists()
			}
			w.clean()
		})
	}
}

type walk struct {
	*fixture
	r     *rand.Rand
	model model
	keys  []string
	n     int
}

func (w *walk) key() string { return w.keys[w.r.IntN(len(w.keys))] }

func (w *walk) step() {
	w.t.Helper()
	ctx, key := w.t.Context(), w.key()
	w.n++
	switch w.r.IntN(12) {
	case 0:
		if w.n > 60 { // with objects from the time before
			w.model.state = []object.Versioning{object.Enabled, object.Suspended}[w.r.IntN(2)]
			w.versioning(w.model.state)
		}
	case 1, 2:
		d, err := w.Delete(ctx, account, bucket, object.Deletion{Key: key})
		if err != nil {
			w.t.Fatal(err)
		}
		if w.model.state == object.Unversioned {
			w.model.remove(key, object.NullVersion)
		} else {
			w.model.add(key, modelVersion{id: d.VersionID, marker: true})
		}
	case 3, 4:
		vs := w.model.keys[key]
		id := object.NullVersion
		if len(vs) > 0 && w.r.IntN(3) > 0 {
			id = vs[w.r.IntN(len(vs))].id
		}
		if _, err := w.Delete(ctx, account, bucket, object.Deletion{Key: key, VersionID: id}); err != nil {
			w.t.Fatal(err)
		}
		w.model.remove(key, id)
	case 5:
		w.copyTo(key)
	case 6:
		w.upload(key)
	default:
		content := strings.Repeat(fmt.Sprint(w.n, " "), 1+w.r.IntN(3)*4000)
		info := w.put(key, content)
		w.model.add(key, modelVersion{id: info.VersionID, content: content})
	}
	w.compareKey(key)
}

func (w *walk) copyTo(key string) {
	from := w.key()
	vs := w.model.keys[from]
	if len(vs) == 0 {
		return
	}
	v := vs[w.r.IntN(len(vs))]
	c, err := w.Copy(w.t.Context(), id(key), object.Copy{Source: id(from), SourceVersion: v.id, Metadata: &object.Metadata{}})
	if v.marker {
		refused(w.t, err, "MethodNotAllowed")
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.model.add(key, modelVersion{id: c.VersionID, content: v.content})
}

func (w *walk) upload(key string) {
	ctx := w.t.Context()
	u, err := w.CreateUpload(ctx, id(key), object.NewUpload{})
	if err != nil {
		w.t.Fatal(err)
	}
	content := fmt.Sprint("part of ", w.n)
	if _, err = w.UploadPart(ctx, id(key), u.ID, 7, text("another, not named")); err != nil {
		w.t.Fatal(err)
	}
	p, err := w.UploadPart(ctx, id(key), u.ID, 3, text(content))
	if err != nil {
		w.t.Fatal(err)
	}
	if w.r.IntN(3) == 0 {
		if err := w.AbortUpload(ctx, id(key), u.ID); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	info, err := w.CompleteUpload(ctx, id(key), u.ID, object.Complete{Parts: []object.CompletedPart{{Number: 3, ETag: p.ETag}}, Size: -1})
	if err != nil {
		w.t.Fatal(err)
	}
	w.model.add(key, modelVersion{id: info.VersionID, content: content})
}

func (w *walk) compareKey(key string) {
	w.t.Helper()
	v, ok := w.model.live(key)
	if ok {
		w.expect(key, "", v.content)
	} else {
		_, err := w.read(key, "")
		refused(w.t, err, "NoSuchKey")
	}
	null := false
	for _, v := range w.model.keys[key] {
		null = null || v.id == object.NullVersion
		if v.marker {
			_, err := w.read(key, v.id)
			refused(w.t, err, "MethodNotAllowed")
			continue
		}
		w.expect(key, v.id, v.content)
	}
	if !null {
		_, err := w.read(key, object.NullVersion)
		refused(w.t, err, "NoSuchVersion")
	}
}

func (w *walk) compareLists() {
	w.t.Helper()
	prefix := []string{"", "", w.key()[:1], w.key(), randomKey(w.r, 0)}[w.r.IntN(5)]
	delimiter := []string{"", "/", "/", "//", "a", "\x00", "ÿ"}[w.r.IntN(7)]
	after := []string{"", w.key(), randomKey(w.r, 1)}[w.r.IntN(3)]
	size := []int{1, 2, 3, 10, 1000}[w.r.IntN(5)]
	where := fmt.Sprintf("prefix %q delimiter %q after %q size %d", prefix, delimiter, after, size)

	want := w.model.objects(prefix, delimiter, after)
	if got := w.listV2(prefix, delimiter, after, size); !slices.Equal(got, want) {
		w.t.Errorf("objects, %s\n got %+v\nwant %+v", where, got, want)
	}
	// A marker passes over the common prefix that it is in.
	if c := ""; len(want) > 0 && after != "" && want[0].prefix {
		if strings.HasPrefix(after, prefix) {
			c = common(after, prefix, delimiter)
		}
		if c == want[0].key {
			want = want[1:]
		}
	}
	if got := w.listV1(prefix, delimiter, after, size); !slices.Equal(got, want) {
		w.t.Errorf("objects by marker, %s\n got %+v\nwant %+v", where, got, want)
	}
	wantVersions := w.model.versions(prefix, delimiter)
	if got := w.listVersions(prefix, delimiter, size); !slices.Equal(got, wantVersions) {
		w.t.Errorf("versions, %s\n got %+v\nwant %+v", where, got, wantVersions)
	}
}

func byKey(a, b entry) int { return cmp.Compare(a.key, b.key) }

func page(t testing.TB, l object.Listing, size int) []entry {
	var some []entry
	for _, o := range l.Objects {
		some = append(some, entry{key: o.Key})
	}
	for _, p := range l.Prefixes {
		some = append(some, entry{key: p, prefix: true})
	}
	slices.SortFunc(some, byKey)
	if len(some) > size || l.Truncated && len(some) < size || l.Truncated != (l.Token != "") || l.Truncated != (l.Marker != "") {
		t.Errorf("page of %d has %d, truncated %t, token %q, marker %q", size, len(some), l.Truncated, l.Token, l.Marker)
	}
	return some
}

func (w *walk) listV2(prefix, delimiter, after string, size int) []entry {
	var all []entry
	l := object.List{Prefix: prefix, Delimiter: delimiter, StartAfter: after, Max: size}
	for {
		got, err := w.ListObjects(w.t.Context(), account, bucket, l)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, page(w.t, got, size)...)
		if l.Token = got.Token; !got.Truncated {
			return all
		}
	}
}

func (w *walk) listV1(prefix, delimiter, after string, size int) []entry {
	var all []entry
	l := object.List{Prefix: prefix, Delimiter: delimiter, Marker: after, Max: size}
	for {
		got, err := w.ListObjects(w.t.Context(), account, bucket, l)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, page(w.t, got, size)...)
		if l.Marker = got.Marker; !got.Truncated {
			return all
		}
	}
}

func (w *walk) listVersions(prefix, delimiter string, size int) []entry {
	var all []entry
	l := object.VersionList{Prefix: prefix, Delimiter: delimiter, Max: size}
	for {
		got, err := w.ListVersions(w.t.Context(), account, bucket, l)
		if err != nil {
			w.t.Fatal(err)
		}
		var some []entry
		for _, v := range got.Versions {
			some = append(some, entry{key: v.Key, version: v.VersionID, latest: v.Latest})
		}
		for _, p := range got.Prefixes {
			some = append(some, entry{key: p, prefix: true})
		}
		slices.SortStableFunc(some, byKey)
		all = append(all, some...)
		if l.KeyMarker, l.VersionMarker = got.KeyMarker, got.VersionMarker; !got.Truncated {
			return all
		}
	}
}
