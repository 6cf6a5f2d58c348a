package object_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/object/checksum"
)

// uploadOf begins an upload and stores parts of these sizes, numbered from 1;
// part n is full of the byte n.
func (f *fixture) uploadOf(key string, n object.NewUpload, sizes ...int) (object.Upload, []object.CompletedPart) {
	f.t.Helper()
	u, err := f.CreateUpload(f.t.Context(), id(key), n)
	if err != nil {
		f.t.Fatal(err)
	}
	var parts []object.CompletedPart
	for i, size := range sizes {
		p, err := f.UploadPart(f.t.Context(), id(key), u.ID, i+1, data(bytes.Repeat([]byte{byte(i + 1)}, size)))
		if err != nil {
			f.t.Fatal(err)
		}
		parts = append(parts, object.CompletedPart{Number: i + 1, ETag: p.ETag, Checksum: p.Checksum})
	}
	return u, parts
}

func TestUpload(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.put("k", "old")
	u, parts := f.uploadOf("k", object.NewUpload{Metadata: object.Metadata{ContentType: "video/mp4"}}, object.MinPartSize, object.MinPartSize+3, 10)
	f.expect("k", "", "old")
	want := slices.Concat(bytes.Repeat([]byte{1}, object.MinPartSize), bytes.Repeat([]byte{2}, object.MinPartSize+3), bytes.Repeat([]byte{3}, 10))

	info, err := f.CompleteUpload(ctx, id("k"), u.ID, object.Complete{Parts: parts, Size: int64(len(want))})
	if err != nil {
		t.Fatal(err)
	}
	one, two, three := md5.Sum(want[:object.MinPartSize]), md5.Sum(want[object.MinPartSize:2*object.MinPartSize+3]), md5.Sum(want[len(want)-10:])
	all := md5.Sum(slices.Concat(one[:], two[:], three[:]))
	whole := checksum.CRC64NVME.New()
	whole.Write(want)
	if info.ETag != hex.EncodeToString(all[:])+"-3" || info.Size != int64(len(want)) || info.Parts != 3 || info.Metadata.ContentType != "video/mp4" ||
		info.Checksum != (object.Checksum{Algorithm: "CRC64NVME", Type: "FULL_OBJECT", Value: checksum.Encode(whole.Sum(nil))}) {
		t.Errorf("info = %+v", info)
	}

	r, err := f.Get(ctx, id("k"), "", object.ReadCondition{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	var copied bytes.Buffer
	r.Seek(object.MinPartSize-1, io.SeekStart)
	if n, err := r.WriteTo(&copied); err != nil || n != int64(len(want)-object.MinPartSize+1) || !bytes.Equal(copied.Bytes(), want[object.MinPartSize-1:]) {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
	across := make([]byte, 20)
	if n, err := r.ReadAt(across, int64(len(want)-15)); n != 15 || err != io.EOF || !bytes.Equal(across[:15], want[len(want)-15:]) {
		t.Errorf("read at the end = %d, %v, %v", n, err, across)
	}
	if off, size, err := r.Part(2); err != nil || off != object.MinPartSize || size != object.MinPartSize+3 {
		t.Errorf("part 2 = %d, %d, %v", off, size, err)
	}
	_, _, err = r.Part(4)
	refused(t, err, "InvalidPartNumber")
	listed, more, err := f.Parts(ctx, id("k"), "", 1, 1)
	if err != nil || !more || len(listed) != 1 || listed[0] != (object.Part{Number: 2, Size: object.MinPartSize + 3, Checksum: parts[1].Checksum}) {
		t.Errorf("parts = %+v, %t, %v", listed, more, err)
	}

	// The answer may have been lost: the same again is no error.
	again, err := f.CompleteUpload(ctx, id("k"), u.ID, object.Complete{Parts: parts, Size: -1})
	if err != nil || again.ETag != info.ETag {
		t.Errorf("second complete = %+v, %v", again, err)
	}
	_, err = f.CompleteUpload(ctx, id("k"), u.ID, object.Complete{Parts: parts[:2], Size: -1})
	refused(t, err, "NoSuchUpload")
	f.clean()
	if n := f.files(); n != 3 {
		t.Errorf("%d files, want 3", n)
	}
	if _, err := f.Delete(ctx, account, bucket, object.Deletion{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	// Its reader is still there.
	if err := f.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size())); err != nil || !bytes.Equal(got, want) {
		t.Errorf("after its deletion an open object has %d bytes, %v", len(got), err)
	}
	r.Close()
	f.clean()
	if n := f.files(); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

func TestUploadChecksums(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	sizes := []int{object.MinPartSize, 5}
	for _, a := range checksum.Algorithms() {
		for _, kind := range []checksum.Type{checksum.FullObject, checksum.Composite} {
			t.Run(fmt.Sprint(a, kind), func(t *testing.T) {
				if !a.Allows(kind) {
					_, err := f.CreateUpload(ctx, id("k"), object.NewUpload{Algorithm: a, Type: kind})
					refused(t, err, "InvalidRequest")
					return
				}
				u, parts := f.uploadOf("k", object.NewUpload{Algorithm: a, Type: kind}, sizes...)
				whole, want := a.New(), ""
				if kind == checksum.FullObject {
					whole.Write(bytes.Repeat([]byte{1}, sizes[0]))
					whole.Write(bytes.Repeat([]byte{2}, sizes[1]))
					want = checksum.Encode(whole.Sum(nil))
				} else {
					for _, p := range parts {
						sum, _ := a.Decode(p.Checksum)
						whole.Write(sum)
					}
					want = checksum.Encode(whole.Sum(nil)) + "-2"
				}
				wrong := strings.Repeat("A", len(checksum.TrimParts(want))-2) + "=="
				_, err := f.CompleteUpload(ctx, id("k"), u.ID, object.Complete{Parts: parts, Size: -1, Checksum: wrong})
				refused(t, err, "BadDigest")
				other := map[checksum.Type]checksum.Type{checksum.FullObject: checksum.Composite, checksum.Composite: checksum.FullObject}[kind]
				_, err = f.CompleteUpload(ctx, id("k"), u.ID, object.Complete{Parts: parts, Size: -1, Type: other})
				refused(t, err, "InvalidRequest")
				info, err := f.CompleteUpload(ctx, id("k"), u.ID, object.Complete{Parts: parts, Size: -1, Checksum: want, Type: kind})
				if err != nil || info.Checksum != (object.Checksum{Algorithm: a, Type: kind, Value: want}) {
					t.Errorf("checksum = %+v, %v; want %s", info.Checksum, err, want)
				}
			})
		}
	}
	f.clean()
}

func TestCompleteRefusals(t *testing.T) {
	f := newFixture(t)
	f.put("taken", "old")
	u, parts := f.uploadOf("taken", object.NewUpload{}, object.MinPartSize, 100, 100)
	with := func(i int, fn func(*object.CompletedPart)) []object.CompletedPart {
		changed := slices.Clone(parts[:2])
		fn(&changed[i])
		return changed
	}
	cases := map[string]struct {
		id     object.ID
		upload string
		c      object.Complete
		code   string
	}{
		"no parts":         {c: object.Complete{}, code: "MalformedXML"},
		"part 0":           {c: object.Complete{Parts: with(0, func(p *object.CompletedPart) { p.Number = 0 })}, code: "InvalidArgument"},
		"order":            {c: object.Complete{Parts: []object.CompletedPart{parts[1], parts[0]}}, code: "InvalidPartOrder"},
		"twice":            {c: object.Complete{Parts: []object.CompletedPart{parts[0], parts[0]}}, code: "InvalidPartOrder"},
		"etag":             {c: object.Complete{Parts: with(0, func(p *object.CompletedPart) { p.ETag = "*" })}, code: "InvalidPart"},
		"checksum of part": {c: object.Complete{Parts: with(0, func(p *object.CompletedPart) { p.Checksum = "AAAAAAAAAAA=" })}, code: "InvalidPart"},
		"absent":           {c: object.Complete{Parts: with(1, func(p *object.CompletedPart) { p.Number = 9 })}, code: "InvalidPart"},
		"too small":        {c: object.Complete{Parts: parts}, code: "EntityTooSmall"},
		"size":             {c: object.Complete{Parts: parts[:2], Size: 5}, code: "InvalidRequest"},
		"upload id":        {upload: "abc", c: object.Complete{Parts: parts}, code: "NoSuchUpload"},
		"key":              {id: id("other"), c: object.Complete{Parts: parts}, code: "NoSuchUpload"},
		"account":          {id: object.ID{Account: other, Bucket: bucket, Key: "taken"}, c: object.Complete{Parts: parts}, code: "AccessDenied"},
		"bucket":           {id: object.ID{Account: account, Bucket: "nowhere", Key: "taken"}, c: object.Complete{Parts: parts}, code: "NoSuchBucket"},
		"condition":        {c: object.Complete{Parts: parts[:2], OnlyIf: object.WriteCondition{Absent: true}}, code: "PreconditionFailed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.id == (object.ID{}) {
				c.id = id("taken")
			}
			if c.upload == "" {
				c.upload = u.ID
			}
			if c.c.Size == 0 {
				c.c.Size = -1
			}
			_, err := f.CompleteUpload(t.Context(), c.id, c.upload, c.c)
			refused(t, err, c.code)
		})
	}
	f.expect("taken", "", "old")
	// What was not named goes.
	if _, err := f.CompleteUpload(t.Context(), id("taken"), u.ID, object.Complete{Parts: parts[:2], Size: -1}); err != nil {
		t.Fatal(err)
	}
	f.clean()
	if n := f.files(); n != 2 {
		t.Errorf("%d files, want 2", n)
	}
}

func TestUploadPartRefusals(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	u, _ := f.uploadOf("k", object.NewUpload{Algorithm: checksum.SHA1})
	for _, n := range []int{0, -1, object.MaxParts + 1} {
		_, err := f.UploadPart(ctx, id("k"), u.ID, n, text("x"))
		refused(t, err, "InvalidArgument")
	}
	_, err := f.UploadPart(ctx, id("k"), strings.Repeat("0", len(u.ID)), 1, text("x"))
	refused(t, err, "NoSuchUpload")
	_, err = f.UploadPart(ctx, id("k"), u.ID, 1, object.Body{Reader: strings.NewReader("x"), Size: -1, Algorithm: checksum.CRC32})
	refused(t, err, "InvalidRequest")
	_, err = f.UploadPart(ctx, id("k"), u.ID, 1, object.Body{Reader: strings.NewReader("x"), Size: object.MaxPutSize + 1})
	refused(t, err, "EntityTooLarge")

	// An upload that is aborted while a part comes takes the part with it.
	pr, pw := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		_, err := f.UploadPart(ctx, id("k"), u.ID, 1, object.Body{Reader: pr, Size: -1})
		failed <- err
	}()
	io.WriteString(pw, "late")
	if err := f.AbortUpload(ctx, id("k"), u.ID); err != nil {
		t.Fatal(err)
	}
	pw.Close()
	refused(t, <-failed, "NoSuchUpload")
	refused(t, f.AbortUpload(ctx, id("k"), u.ID), "NoSuchUpload")
	_, err = f.ListParts(ctx, id("k"), u.ID, 0, 10)
	refused(t, err, "NoSuchUpload")
	f.clean()
	if n := f.files(); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

func TestListParts(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	u, parts := f.uploadOf("k", object.NewUpload{}, 3, 2, 1, 4)
	if _, err := f.UploadPart(ctx, id("k"), u.ID, 2, text("again")); err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for after := 0; ; {
		l, err := f.ListParts(ctx, id("k"), u.ID, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range l.Parts {
			numbers = append(numbers, p.Number)
			if p.Number == 2 && (p.Size != 5 || p.ETag != etag("again")) || p.Number == 4 && p.ETag != parts[3].ETag {
				t.Errorf("part = %+v", p)
			}
		}
		if after = l.Next; after == 0 {
			break
		}
	}
	if !slices.Equal(numbers, []int{1, 2, 3, 4}) {
		t.Errorf("numbers = %v", numbers)
	}
	f.clean()
	if n := f.files(); n != 4 {
		t.Errorf("%d files, want 4", n)
	}
}

func TestListUploads(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	var want []string
	for _, key := range []string{"b/2", "a", "b/1", "a", "c", "a"} {
		f.clock.at = f.clock.at.Add(time.Second)
		u, _ := f.uploadOf(key, object.NewUpload{})
		want = append(want, key+" "+u.ID)
	}
	slices.Sort(want) // the ids of a key sort by time
	for size := 1; size < 8; size++ {
		var got []string
		l := object.UploadList{Max: size}
		for {
			page, err := f.ListUploads(ctx, account, bucket, l)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range page.Uploads {
				got = append(got, u.Key+" "+u.ID)
			}
			if l.KeyMarker, l.UploadMarker = page.KeyMarker, page.UploadMarker; !page.Truncated {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %d: %v, want %v", size, got, want)
		}
	}
	page, err := f.ListUploads(ctx, account, bucket, object.UploadList{Delimiter: "/", Max: 10, KeyMarker: "a"})
	if err != nil || len(page.Uploads) != 1 || page.Uploads[0].Key != "c" || !slices.Equal(page.Prefixes, []string{"b/"}) {
		t.Errorf("rolled up = %+v, %v", page, err)
	}
	_, err = f.ListUploads(ctx, account, bucket, object.UploadList{KeyMarker: "a", UploadMarker: "!", Max: 1})
	refused(t, err, "InvalidArgument")
}

func TestIdleUploadsExpire(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	idle, _ := f.uploadOf("idle", object.NewUpload{}, 1)
	used, _ := f.uploadOf("used", object.NewUpload{}, 1)
	f.clock.at = f.clock.at.Add(object.UploadLife - time.Second)
	if _, err := f.UploadPart(ctx, id("used"), used.ID, 2, text("x")); err != nil {
		t.Fatal(err)
	}
	if err := f.ExpireUploads(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ListParts(ctx, id("idle"), idle.ID, 0, 1); err != nil {
		t.Errorf("before its time: %v", err)
	}
	f.clock.at = f.clock.at.Add(2 * time.Second)
	if err := f.ExpireUploads(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := f.ListParts(ctx, id("idle"), idle.ID, 0, 1)
	refused(t, err, "NoSuchUpload")
	if _, err := f.ListParts(ctx, id("used"), used.ID, 0, 1); err != nil {
		t.Errorf("an upload in use is gone: %v", err)
	}
	f.clean()
	if n := f.files(); n != 2 {
		t.Errorf("%d files, want 2", n)
	}
}

func TestUploadPartCopy(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.versioning(object.Enabled)
	source := f.put("source", strings.Repeat("0123456789", 3000))
	u, _ := f.uploadOf("k", object.NewUpload{})
	p, version, err := f.UploadPartCopy(ctx, id("k"), u.ID, 1, object.PartCopy{Source: id("source"), Offset: 10003, Length: 5})
	if err != nil || p.ETag != etag("34567") || version != source.VersionID {
		t.Fatalf("part = %+v of version %q, %v", p, version, err)
	}
	whole, _, err := f.UploadPartCopy(ctx, id("k"), u.ID, 2, object.PartCopy{Source: id("source"), Length: -1})
	if err != nil || whole.ETag != source.ETag {
		t.Fatalf("part = %+v, %v", whole, err)
	}
	for name, c := range map[string]object.PartCopy{
		"length": {Offset: 29999, Length: 2}, "offset": {Offset: 30001, Length: 0}, "before": {Offset: -1, Length: 1},
		"overflow": {Offset: 1, Length: 1<<63 - 1},
	} {
		c.Source = id("source")
		_, _, err = f.UploadPartCopy(ctx, id("k"), u.ID, 1, c)
		if refused(t, err, "InvalidRange"); t.Failed() {
			t.Fatal(name)
		}
	}
	_, _, err = f.UploadPartCopy(ctx, id("k"), u.ID, 1, object.PartCopy{Source: id("nothing"), Length: -1})
	refused(t, err, "NoSuchKey")
	_, _, err = f.UploadPartCopy(ctx, id("k"), u.ID, 1, object.PartCopy{Source: id("source"), Length: -1, If: object.ReadCondition{NoneMatch: source.ETag}})
	refused(t, err, "PreconditionFailed")
	if err := f.AbortUpload(ctx, id("k"), u.ID); err != nil {
		t.Fatal(err)
	}
	f.clean()
}
