package object_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/object/checksum"
	"github.com/outcrop/outcrop/internal/store"
)

func TestPutGet(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	meta := object.Metadata{
		ContentType: "text/plain", ContentEncoding: "gzip", ContentDisposition: "attachment", ContentLanguage: "de",
		CacheControl: "no-store", Expires: "never", User: map[string]string{"colour": "grün"},
	}
	for _, size := range []int{0, 1, object.SmallSize, object.SmallSize + 1, 256 << 10, 256<<10 + 1, 1 << 20} {
		content := strings.Repeat("x", size)
		// In halves, so that reads do not fill the buffer.
		body := object.Body{Reader: iotest.HalfReader(strings.NewReader(content)), Size: -1, Algorithm: checksum.SHA256}
		info, err := f.Put(ctx, id("k"), object.Put{Metadata: meta}, body)
		if err != nil {
			t.Fatal(err)
		}
		head, err := f.Head(ctx, id("k"), "", object.ReadCondition{})
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []object.Info{info, head} {
			if got.Size != int64(size) || got.ETag != etag(content) || got.VersionID != "" || !got.Modified.Equal(f.clock.at) {
				t.Errorf("size %d: info = %+v", size, got)
			}
			if got.Metadata.ContentType != "text/plain" || got.Metadata.Expires != "never" || !maps.Equal(got.Metadata.User, meta.User) {
				t.Errorf("size %d: metadata = %+v", size, got.Metadata)
			}
			h := checksum.SHA256.New()
			io.WriteString(h, content)
			if want := (object.Checksum{Algorithm: "SHA256", Type: "FULL_OBJECT", Value: checksum.Encode(h.Sum(nil))}); got.Checksum != want {
				t.Errorf("size %d: checksum = %+v, want %+v", size, got.Checksum, want)
			}
		}
		f.expect("k", "", content)
		f.expect("k", object.NullVersion, content)
	}
	f.clean()
	if n := f.files(); n != 1 {
		t.Errorf("%d files for one object", n)
	}
	info := f.put("plain", "123456789")
	if info.Metadata.ContentType != "binary/octet-stream" || info.Checksum.Value != "rosUhgp5mIg=" || info.Checksum.Algorithm != "CRC64NVME" {
		t.Errorf("what S3 fills in is missing: %+v", info)
	}
}

func TestPutRefusals(t *testing.T) {
	f := newFixture(t)
	f.put("taken", "old")
	sum := md5.Sum([]byte("new"))
	large := bytes.Repeat([]byte("y"), 300<<10)
	cases := map[string]struct {
		id   object.ID
		put  object.Put
		body object.Body
		code string
	}{
		"no bucket":        {id: object.ID{Account: account, Bucket: "nowhere", Key: "k"}, body: text("x"), code: "NoSuchBucket"},
		"bad bucket":       {id: object.ID{Account: account, Bucket: "NO", Key: "k"}, body: text("x"), code: "InvalidBucketName"},
		"other account":    {id: object.ID{Account: other, Bucket: bucket, Key: "k"}, body: text("x"), code: "AccessDenied"},
		"no account":       {id: object.ID{Bucket: bucket, Key: "k"}, body: text("x"), code: "AccessDenied"},
		"no key":           {id: id(""), body: text("x"), code: "InvalidRequest"},
		"long key":         {id: id(strings.Repeat("ü", 513)), body: text("x"), code: "KeyTooLongError"},
		"key not UTF-8":    {id: id("a\xff"), body: text("x"), code: "InvalidURI"},
		"user metadata":    {put: object.Put{Metadata: object.Metadata{User: map[string]string{"a": strings.Repeat("x", 2048)}}}, body: text("x"), code: "MetadataTooLarge"},
		"system metadata":  {put: object.Put{Metadata: object.Metadata{CacheControl: strings.Repeat("x", 9000)}}, body: text("x"), code: "MetadataTooLarge"},
		"storage class":    {put: object.Put{Metadata: object.Metadata{StorageClass: "GLACIER"}}, body: text("x"), code: "InvalidStorageClass"},
		"too large":        {body: object.Body{Reader: strings.NewReader(""), Size: object.MaxPutSize + 1}, code: "EntityTooLarge"},
		"short body":       {body: object.Body{Reader: strings.NewReader("new"), Size: 4}, code: "IncompleteBody"},
		"short, in a file": {body: object.Body{Reader: bytes.NewReader(large), Size: int64(len(large)) + 1}, code: "IncompleteBody"},
		"long body":        {body: object.Body{Reader: strings.NewReader("new"), Size: 2}, code: "IncompleteBody"},
		"MD5":              {body: object.Body{Reader: strings.NewReader("old"), Size: -1, MD5: sum[:]}, code: "BadDigest"},
		"MD5, in a file":   {body: object.Body{Reader: bytes.NewReader(large), Size: -1, MD5: sum[:]}, code: "BadDigest"},
		"length of MD5":    {body: object.Body{Reader: strings.NewReader("new"), Size: -1, MD5: sum[:5]}, code: "InvalidDigest"},
		"checksum":         {body: object.Body{Reader: strings.NewReader("new"), Size: -1, Algorithm: checksum.CRC32, Checksum: "AAAAAA=="}, code: "BadDigest"},
		"checksum's form":  {body: object.Body{Reader: strings.NewReader("new"), Size: -1, Algorithm: checksum.CRC32, Checksum: "AAAA"}, code: "InvalidRequest"},
		"algorithm":        {body: object.Body{Reader: strings.NewReader("new"), Size: -1, Algorithm: "MD4"}, code: "InvalidRequest"},
		"trailer":          {body: object.Body{Reader: strings.NewReader("new"), Size: -1, Trailer: func() (string, error) { return "AAAAAAAAAAA=", nil }}, code: "BadDigest"},
		"trailer's form":   {body: object.Body{Reader: strings.NewReader("new"), Size: -1, Trailer: func() (string, error) { return "!", nil }}, code: "InvalidRequest"},
		"taken":            {put: object.Put{OnlyIf: object.WriteCondition{Absent: true}}, body: text("new"), code: "PreconditionFailed"},
		"other etag":       {put: object.Put{OnlyIf: object.WriteCondition{ETag: etag("new")}}, body: text("new"), code: "PreconditionFailed"},
		"etag of nothing":  {id: id("free"), put: object.Put{OnlyIf: object.WriteCondition{ETag: "*"}}, body: text("new"), code: "NoSuchKey"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.id == (object.ID{}) {
				c.id = id("taken")
			}
			_, err := f.Put(t.Context(), c.id, c.put, c.body)
			refused(t, err, c.code)
		})
	}
	f.expect("taken", "", "old")
	f.clean()
	if n := f.files(); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

func TestConditionalWrites(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	first := object.Put{OnlyIf: object.WriteCondition{Absent: true}}
	if _, err := f.Put(ctx, id("k"), first, text("one")); err != nil {
		t.Fatal(err)
	}
	match := object.Put{OnlyIf: object.WriteCondition{ETag: `"` + etag("one") + `"`}}
	if _, err := f.Put(ctx, id("k"), match, text("two")); err != nil {
		t.Fatal(err)
	}
	_, err := f.Put(ctx, id("k"), match, text("three"))
	refused(t, err, "PreconditionFailed")
	// A delete marker is no object.
	f.versioning(object.Enabled)
	if _, err := f.Delete(ctx, account, bucket, object.Deletion{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Put(ctx, id("k"), first, text("four")); err != nil {
		t.Fatal(err)
	}
	f.expect("k", "", "four")
}

// The condition holds in the transaction, not only before the body was read.
func TestConditionIsTestedWhenTheBodyHasCome(t *testing.T) {
	f := newFixture(t)
	pr, pw := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		_, err := f.Put(t.Context(), id("k"), object.Put{OnlyIf: object.WriteCondition{Absent: true}}, object.Body{Reader: pr, Size: -1})
		failed <- err
	}()
	io.WriteString(pw, "late") // it is reading, so it has looked
	f.put("k", "early")
	pw.Close()
	refused(t, <-failed, "PreconditionFailed")
	f.expect("k", "", "early")
	f.clean()
}

func TestBodyThatFails(t *testing.T) {
	f := newFixture(t)
	f.put("k", "old")
	for name, broken := range map[string]error{"cut off": io.ErrUnexpectedEOF, "refused": fault.New("SignatureDoesNotMatch", 403, "no")} {
		for _, size := range []int{10, 600 << 10} {
			body := io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(broken))
			_, err := f.Put(t.Context(), id("k"), object.Put{}, object.Body{Reader: body, Size: -1})
			if !errors.Is(err, broken) {
				t.Errorf("%s after %d bytes: error = %v", name, size, err)
			}
		}
	}
	_, err := f.Put(t.Context(), id("k"), object.Put{}, object.Body{Reader: idleReader{}, Size: -1})
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("idle reader: error = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancelling := readerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	_, err = f.Put(ctx, id("k"), object.Put{}, object.Body{Reader: cancelling, Size: -1})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error = %v", err)
	}
	f.expect("k", "", "old")
	f.clean()
}

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestDiskFull(t *testing.T) {
	f := newFixture(t)
	f.put("k", "old")
	// The error of a file system, as a body hands it on.
	body := io.MultiReader(bytes.NewReader(make([]byte, 600<<10)), iotest.ErrReader(syscall.ENOSPC))
	_, err := f.Put(t.Context(), id("k"), object.Put{}, object.Body{Reader: body, Size: -1})
	refused(t, err, "InsufficientStorage")
	if !errors.Is(err, store.ErrFull) || !errors.Is(err, syscall.ENOSPC) || status(t, err) != 507 {
		t.Errorf("error = %v", err)
	}
	f.clean()
}

// failingStore fails the commit of one update, before or after it went through.
type failingStore struct {
	store.Store
	err   error
	after bool
}

func (s *failingStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	if s.err == nil {
		return s.Store.Update(ctx, fn)
	}
	err := s.err
	if s.after {
		err = errors.Join(s.Store.Update(ctx, fn), err)
	}
	s.err = nil
	return err
}

func TestCommitThatFails(t *testing.T) {
	failing := &failingStore{}
	f := openFixture(t, t.TempDir(), func(s store.Store) store.Store { failing.Store = s; return failing })
	if _, err := f.CreateBucket(t.Context(), account, region, bucket, object.NewBucket{}); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("z", 100<<10)
	f.put("k", "old")
	failing.err = store.ErrFull
	_, err := f.Put(t.Context(), id("k"), object.Put{}, text(large))
	refused(t, err, "InsufficientStorage")
	f.expect("k", "", "old")
	f.clean()
	if n := f.files(); n != 0 {
		t.Errorf("%d files are left", n)
	}
	// The answer was lost, the commit was not: the bytes must stay.
	failing.err, failing.after = errors.New("connection lost"), true
	if _, err := f.Put(t.Context(), id("k"), object.Put{}, text(large)); err == nil {
		t.Fatal("no error")
	}
	f.expect("k", "", large)
	f.clean()
}

func TestPutsToOneKeyLeaveOne(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			content := strings.Repeat(string(rune('a'+i)), 20<<10+i)
			for range 4 {
				if _, err := f.Put(t.Context(), id("k"), object.Put{}, text(content)); err != nil {
					t.Error(err)
				}
				got, err := f.read("k", "")
				if err != nil || got != strings.Repeat(got[:1], len(got)) || len(got) != 20<<10+int(got[0]-'a') {
					t.Errorf("read %d bytes, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
	f.clean()
	if n := f.files(); n != 1 {
		t.Errorf("%d files for one object", n)
	}
}

func TestReadConditions(t *testing.T) {
	f := newFixture(t)
	f.clock.at = f.clock.at.Add(300 * time.Millisecond) // HTTP's times are whole seconds
	f.put("k", "x")
	now, tag := f.clock.at.Truncate(time.Second), etag("x")
	cases := map[string]struct {
		c    object.ReadCondition
		code string
	}{
		"none":                       {},
		"match":                      {c: object.ReadCondition{Match: tag}},
		"match, quoted in a list":    {c: object.ReadCondition{Match: `"abc", "` + tag + `"`}},
		"match any":                  {c: object.ReadCondition{Match: "*"}},
		"no match":                   {c: object.ReadCondition{Match: "abc"}, code: "PreconditionFailed"},
		"none match":                 {c: object.ReadCondition{NoneMatch: "abc"}},
		"one matches":                {c: object.ReadCondition{NoneMatch: `W/"` + tag + `"`}, code: "NotModified"},
		"modified since":             {c: object.ReadCondition{ModifiedSince: now.Add(-time.Second)}},
		"not modified since":         {c: object.ReadCondition{ModifiedSince: now}, code: "NotModified"},
		"unmodified since":           {c: object.ReadCondition{UnmodifiedSince: now}},
		"modified":                   {c: object.ReadCondition{UnmodifiedSince: now.Add(-time.Second)}, code: "PreconditionFailed"},
		"match beats unmodified":     {c: object.ReadCondition{Match: tag, UnmodifiedSince: now.Add(-time.Second)}},
		"none match beats modified":  {c: object.ReadCondition{NoneMatch: "abc", ModifiedSince: now}},
		"both, the first one counts": {c: object.ReadCondition{Match: "abc", NoneMatch: tag}, code: "PreconditionFailed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := f.Head(t.Context(), id("k"), "", c.c)
			refused(t, err, c.code)
			r, err := f.Get(t.Context(), id("k"), "", c.c)
			refused(t, err, c.code)
			if err == nil {
				r.Close()
			}
		})
	}
}
