package object_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

func TestMain(m *testing.M) {
	if runChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	account = "111122223333"
	other   = "444455556666"
	region  = "eu-west-1"
	bucket  = "field-notes"
)

// clock is a clock that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// fixture is a storage with one bucket.
type fixture struct {
	*object.Storage
	t     testing.TB
	db    store.Store
	dir   string
	clock *clock
}

func openFixture(t testing.TB, dir string, wrap func(store.Store) store.Store) *fixture {
	t.Helper()
	c := &clock{at: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var used store.Store = db
	if wrap != nil {
		used = wrap(db)
	}
	s, err := object.New(t.Context(), object.Config{Dir: filepath.Join(dir, "objects"), Store: used})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{Storage: s, t: t, db: db, dir: dir, clock: c}
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := openFixture(t, t.TempDir(), nil)
	if _, err := f.CreateBucket(t.Context(), account, region, bucket, object.NewBucket{}); err != nil {
		t.Fatal(err)
	}
	return f
}

func id(key string) object.ID { return object.ID{Account: account, Bucket: bucket, Key: key} }

func text(s string) object.Body {
	return object.Body{Reader: strings.NewReader(s), Size: int64(len(s))}
}

func data(b []byte) object.Body { return object.Body{Reader: bytes.NewReader(b), Size: int64(len(b))} }

func etag(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func (f *fixture) put(key, content string) object.Info {
	f.t.Helper()
	info, err := f.Put(f.t.Context(), id(key), object.Put{}, text(content))
	if err != nil {
		f.t.Fatalf("put %q: %v", key, err)
	}
	return info
}

func (f *fixture) versioning(v object.Versioning) {
	f.t.Helper()
	if err := f.SetVersioning(f.t.Context(), account, bucket, v); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) read(key, version string) (string, error) {
	f.t.Helper()
	r, err := f.Get(f.t.Context(), id(key), version, object.ReadCondition{})
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err == nil && int64(len(b)) != r.Size() {
		f.t.Errorf("%q has %d bytes, its reader says %d", key, len(b), r.Size())
	}
	return string(b), err
}

func (f *fixture) expect(key, version, want string) {
	f.t.Helper()
	if got, err := f.read(key, version); err != nil || got != want {
		f.t.Errorf("read %q version %q = %.40q, %v; want %.40q", key, version, got, err, want)
	}
}

// clean collects garbage and checks that nothing is left over and nothing lost.
func (f *fixture) clean() {
	f.t.Helper()
	ctx := context.WithoutCancel(f.t.Context())
	if err := f.Collect(ctx); err != nil {
		f.t.Fatalf("collect: %v", err)
	}
	if err := f.db.View(ctx, object.Audit); err != nil {
		f.t.Errorf("audit: %v", err)
	}
	named := 0
	if err := object.Segments(ctx, f.db, func(segment.ID) error { named++; return nil }); err != nil || named != f.files() {
		f.t.Errorf("%d segments are named, %d files are there: %v", named, f.files(), err)
	}
	lost, err := f.Verify(ctx)
	if err != nil || len(lost.Unnamed) > 0 || len(lost.Missing) > 0 {
		f.t.Errorf("verify = %+v, %v", lost, err)
	}
	incoming, err := filepath.Glob(filepath.Join(f.dir, "objects", "incoming", "*"))
	if err != nil || len(incoming) > 0 {
		f.t.Errorf("incoming = %v, %v", incoming, err)
	}
}

func (f *fixture) files() int {
	f.t.Helper()
	files, err := filepath.Glob(filepath.Join(f.dir, "objects", "content", "*", "*"))
	if err != nil {
		f.t.Fatal(err)
	}
	return len(files)
}

// refused checks that err is a fault with that code; "" is no error.
func refused(t testing.TB, err error, code string) {
	t.Helper()
	switch {
	case code == "" && err != nil:
		t.Errorf("error = %v, want none", err)
	case code != "" && !fault.Is(err, code):
		t.Errorf("error = %v, want %s", err, code)
	}
}

func status(t testing.TB, err error) int {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) {
		t.Fatalf("error = %v, want a fault", err)
	}
	return f.Status
}
