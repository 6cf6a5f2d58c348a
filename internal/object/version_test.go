package object_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
)

func (f *fixture) delete(key, version string) object.Deleted {
	f.t.Helper()
	d, err := f.Delete(f.t.Context(), account, bucket, object.Deletion{Key: key, VersionID: version})
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// The life of one key through the three states, as S3's guide tells it.
func TestVersionsThroughTheStates(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	if info := f.put("k", "null 1"); info.VersionID != "" {
		t.Errorf("without versioning the version is %q", info.VersionID)
	}
	f.versioning(object.Enabled)
	one, two := f.put("k", "one"), f.put("k", "two")
	if one.VersionID == two.VersionID || len(one.VersionID) < 3 || len(one.VersionID) > 1024 {
		t.Errorf("versions %q and %q", one.VersionID, two.VersionID)
	}
	f.expect("k", object.NullVersion, "null 1")
	f.expect("k", one.VersionID, "one")
	f.expect("k", "", "two")

	marker := f.delete("k", "")
	if !marker.Marker || marker.VersionID == "" {
		t.Errorf("deleted = %+v", marker)
	}
	_, err := f.Head(ctx, id("k"), "", object.ReadCondition{})
	refused(t, err, "NoSuchKey")
	var found *object.DeleteMarker
	if !errors.As(err, &found) || found.VersionID != marker.VersionID || !found.Modified.Equal(f.clock.at) {
		t.Errorf("marker = %+v", found)
	}
	_, err = f.Head(ctx, id("k"), marker.VersionID, object.ReadCondition{})
	refused(t, err, "MethodNotAllowed")
	if found = nil; !errors.As(err, &found) || status(t, err) != 405 {
		t.Errorf("error = %v", err)
	}
	// Deleting the marker brings the object back.
	if d := f.delete("k", marker.VersionID); !d.Marker || d.VersionID != marker.VersionID {
		t.Errorf("deleted = %+v", d)
	}
	f.expect("k", "", "two")

	f.versioning(object.Suspended)
	if info := f.put("k", "null 2"); info.VersionID != object.NullVersion {
		t.Errorf("suspended, the version is %q", info.VersionID)
	}
	f.expect("k", "", "null 2")
	f.expect("k", one.VersionID, "one")
	if d := f.delete("k", ""); !d.Marker || d.VersionID != object.NullVersion {
		t.Errorf("deleted = %+v", d)
	}
	_, err = f.read("k", object.NullVersion) // the null version is a marker now
	refused(t, err, "MethodNotAllowed")
	f.expect("k", two.VersionID, "two")
	if d := f.delete("k", two.VersionID); d.Marker {
		t.Errorf("deleted = %+v", d)
	}
	// Both of what was never there and what is gone, nothing is said.
	f.delete("k", two.VersionID)
	f.delete("nothing", two.VersionID)
	_, err = f.read("k", two.VersionID)
	refused(t, err, "NoSuchVersion")
	_, err = f.read("k", "no version id")
	refused(t, err, "InvalidArgument")
	_, err = f.Delete(ctx, account, bucket, object.Deletion{Key: "k", VersionID: "no version id"})
	refused(t, err, "InvalidArgument")
	f.clean()
}

func TestDeleteAll(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.versioning(object.Enabled)
	a, b := f.put("a", "a"), f.put("b", "b")
	done, err := f.DeleteAll(ctx, account, bucket, []object.Deletion{
		{Key: "a", VersionID: a.VersionID}, {Key: "b"}, {Key: "c"}, {Key: strings.Repeat("k", 2000)},
		{Key: "b", VersionID: "bad"}, {Key: "b", VersionID: b.VersionID, ETag: "other"}, {Key: "a", ETag: "other"}, {Key: "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	codes := []string{"", "", "", "KeyTooLongError", "InvalidArgument", "PreconditionFailed", "NoSuchKey", ""}
	ids := map[string]bool{}
	for i, d := range done {
		refused(t, d.Err, codes[i])
		if d.Err == nil && ids[d.VersionID] {
			t.Errorf("version %s came twice", d.VersionID)
		}
		ids[d.VersionID] = true
	}
	if done[0].VersionID != a.VersionID || done[0].Marker || !done[1].Marker || !done[2].Marker {
		t.Errorf("done = %+v", done)
	}
	_, err = f.DeleteAll(ctx, other, bucket, []object.Deletion{{Key: "b"}})
	refused(t, err, "AccessDenied")
	f.expect("b", b.VersionID, "b")
	_, err = f.Delete(ctx, account, bucket, object.Deletion{Key: "b", VersionID: b.VersionID, ETag: etag("b")})
	refused(t, err, "")
	f.clean()
}

func TestCopy(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	large := strings.Repeat("l", 100<<10)
	meta := object.Metadata{ContentType: "text/css", User: map[string]string{"a": "b"}}
	if _, err := f.Put(ctx, id("from"), object.Put{Metadata: meta}, text(large)); err != nil {
		t.Fatal(err)
	}
	f.clock.at = f.clock.at.Add(time.Minute)
	c, err := f.Copy(ctx, id("to"), object.Copy{Source: id("from")})
	if err != nil || c.ETag != etag(large) || c.Metadata.ContentType != "text/css" || !c.Modified.Equal(f.clock.at) || c.SourceVersion != "" {
		t.Errorf("copied = %+v, %v", c, err)
	}
	if n := f.files(); n != 1 {
		t.Errorf("%d files for two objects with the same bytes", n)
	}
	// To itself, with other metadata.
	c, err = f.Copy(ctx, id("to"), object.Copy{Source: id("to"), Metadata: &object.Metadata{CacheControl: "no-store"}})
	if err != nil || c.Metadata.CacheControl != "no-store" || c.Metadata.User != nil || c.Metadata.ContentType != "binary/octet-stream" {
		t.Errorf("copied = %+v, %v", c, err)
	}
	f.delete("from", "")
	f.expect("to", "", large)
	f.clean()

	// An old version becomes the newest again.
	f.versioning(object.Enabled)
	f.put("to", "new")
	c, err = f.Copy(ctx, id("to"), object.Copy{Source: id("to"), SourceVersion: object.NullVersion})
	if err != nil || c.SourceVersion != object.NullVersion {
		t.Errorf("copied = %+v, %v", c, err)
	}
	f.expect("to", "", large)
	f.clean()

	tag := etag(large)
	cases := map[string]struct {
		to   object.ID
		c    object.Copy
		code string
	}{
		"nothing changes":  {to: id("to"), c: object.Copy{Source: id("to")}, code: "InvalidRequest"},
		"no source":        {c: object.Copy{Source: id("nothing")}, code: "NoSuchKey"},
		"no version":       {c: object.Copy{Source: id("from"), SourceVersion: object.NullVersion}, code: "NoSuchVersion"},
		"no source bucket": {c: object.Copy{Source: object.ID{Account: account, Bucket: "nowhere", Key: "k"}}, code: "NoSuchBucket"},
		"no bucket":        {to: object.ID{Account: account, Bucket: "nowhere", Key: "k"}, c: object.Copy{Source: id("to")}, code: "NoSuchBucket"},
		"source's account": {c: object.Copy{Source: object.ID{Account: other, Bucket: bucket, Key: "to"}}, code: "AccessDenied"},
		"match":            {c: object.Copy{Source: id("to"), If: object.ReadCondition{Match: "x"}}, code: "PreconditionFailed"},
		"none match":       {c: object.Copy{Source: id("to"), If: object.ReadCondition{NoneMatch: tag}}, code: "PreconditionFailed"},
		"modified since":   {c: object.Copy{Source: id("to"), If: object.ReadCondition{ModifiedSince: f.clock.at}}, code: "PreconditionFailed"},
		"metadata":         {c: object.Copy{Source: id("to"), Metadata: &object.Metadata{StorageClass: "X"}}, code: "InvalidStorageClass"},
		"taken":            {to: id("to"), c: object.Copy{Source: id("to"), Metadata: &object.Metadata{}, OnlyIf: object.WriteCondition{Absent: true}}, code: "PreconditionFailed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.to == (object.ID{}) {
				c.to = id("target")
			}
			_, err := f.Copy(t.Context(), c.to, c.c)
			refused(t, err, c.code)
		})
	}
	f.clean()
}

// Copies of a multipart object share its parts until the last is gone.
func TestCopyOfUpload(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	u, parts := f.uploadOf("k", object.NewUpload{}, object.MinPartSize, 7)
	done, err := f.CompleteUpload(ctx, id("k"), u.ID, object.Complete{Parts: parts, Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Copy(ctx, id("copy"), object.Copy{Source: id("k")})
	if err != nil || c.ETag != done.ETag || c.Checksum != done.Checksum || c.Parts != 2 {
		t.Errorf("copied = %+v, %v", c, err)
	}
	f.delete("k", "")
	f.clean()
	if got, err := f.read("copy", ""); err != nil || len(got) != object.MinPartSize+7 {
		t.Errorf("copy has %d bytes, %v", len(got), err)
	}
	f.delete("copy", "")
	f.clean()
	if n := f.files(); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

func TestListEdges(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.put("a/1", "x")
	f.put("a/2", "x")
	f.put("b", "x")
	l, err := f.ListObjects(ctx, account, bucket, object.List{Max: 0})
	if err != nil || l.Truncated || len(l.Objects) > 0 {
		t.Errorf("none of all = %+v, %v", l, err)
	}
	_, err = f.ListObjects(ctx, account, "nowhere", object.List{Max: 1})
	refused(t, err, "NoSuchBucket")
	_, err = f.ListObjects(ctx, other, bucket, object.List{Max: 1})
	refused(t, err, "AccessDenied")
	for _, token := range []string{"abc", "!", strings.Repeat("A", 40)} {
		_, err = f.ListObjects(ctx, account, bucket, object.List{Max: 1, Token: token})
		refused(t, err, "InvalidArgument")
	}
	l, err = f.ListObjects(ctx, account, bucket, object.List{Max: 10, Delimiter: "/", StartAfter: "a/1"})
	if err != nil || len(l.Prefixes) != 1 || len(l.Objects) != 1 || l.Objects[0].ETag != etag("x") || l.Objects[0].Size != 1 ||
		!l.Objects[0].Modified.Equal(f.clock.at) || l.Objects[0].Checksum.Algorithm != "CRC64NVME" {
		t.Errorf("after a/1 = %+v, %v", l, err)
	}
	_, err = f.ListVersions(ctx, account, bucket, object.VersionList{Max: 1, VersionMarker: "null"})
	refused(t, err, "InvalidArgument")
	_, err = f.ListVersions(ctx, account, bucket, object.VersionList{Max: 1, KeyMarker: "a", VersionMarker: "bad"})
	refused(t, err, "InvalidArgument")
	// The version of the marker is gone before the next page.
	f.versioning(object.Enabled)
	first := f.put("c", "1")
	second := f.put("c", "2")
	f.delete("c", second.VersionID)
	v, err := f.ListVersions(ctx, account, bucket, object.VersionList{Max: 10, KeyMarker: "c", VersionMarker: second.VersionID})
	if err != nil || len(v.Versions) != 1 || v.Versions[0].VersionID != first.VersionID || !v.Versions[0].Latest {
		t.Errorf("after the deleted = %+v, %v", v, err)
	}
	v, err = f.ListVersions(ctx, account, bucket, object.VersionList{Max: 10, KeyMarker: "c", VersionMarker: "null"})
	if err != nil || len(v.Versions) != 1 {
		t.Errorf("after a null version that is not = %+v, %v", v, err)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	f := newFixture(t)
	f.put("k", strings.Repeat("x", 30<<10))
	files, err := filepath.Glob(filepath.Join(f.dir, "objects", "content", "*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	stray := filepath.Join(filepath.Dir(files[0]), filepath.Base(files[0])[:2]+strings.Repeat("0", 30))
	if err := os.Rename(files[0], stray); err != nil {
		t.Fatal(err)
	}
	_, err = f.read("k", "")
	if err == nil || fault.From(err).Status != 500 {
		t.Errorf("read of a lost file = %v", err)
	}
	lost, err := f.Verify(t.Context())
	if err != nil || len(lost.Missing) != 1 || lost.Missing[0].String() != filepath.Base(files[0]) ||
		len(lost.Unnamed) != 1 || lost.Unnamed[0].String() != filepath.Base(stray) {
		t.Errorf("lost = %+v, %v", lost, err)
	}
	if n := f.files(); n != 0 {
		t.Errorf("%d files are left", n)
	}
}
