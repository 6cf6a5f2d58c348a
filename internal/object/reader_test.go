package object_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/store"
)

func TestReaderKeepsIOContracts(t *testing.T) {
	f := newFixture(t)
	for _, size := range []int{0, 1, 5000, 100 << 10} {
		content := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		f.put("k", string(content))
		r, err := f.Open(t.Context(), account, bucket, "k", "")
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(r, content); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
		if off, n, err := r.Part(1); err != nil || off != 0 || n != int64(size) {
			t.Errorf("part 1 of an object in one piece = %d, %d, %v", off, n, err)
		}
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			t.Error(err)
		}
		if _, err := r.ReadAt(make([]byte, 1), 0); size > 0 && !errors.Is(err, fs.ErrClosed) {
			t.Errorf("read after close = %v", err)
		}
	}
	_, err := f.Open(t.Context(), account, bucket, "nothing", "")
	refused(t, err, "NoSuchKey")
	_, err = f.Open(t.Context(), other, bucket, "k", "")
	refused(t, err, "AccessDenied")
}

// What Runtime does with a code zip: it opens it, and whatever is written and
// deleted meanwhile it reads the same bytes.
func TestOpenZipWhileItIsReplaced(t *testing.T) {
	f := newFixture(t)
	var file bytes.Buffer
	w := zip.NewWriter(&file)
	member, err := w.CreateHeader(&zip.FileHeader{Name: "main.py", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	source := strings.Repeat("print('hello')\n", 4000)
	io.WriteString(member, source)
	w.Close()
	f.put("code.zip", file.String())

	r, err := f.Open(t.Context(), account, bucket, "code.zip", "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f.put("code.zip", strings.Repeat("other", 20000))
	if _, err := f.Delete(t.Context(), account, bucket, object.Deletion{Key: "code.zip"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	archive, err := zip.NewReader(r, r.Size())
	if err != nil {
		t.Fatal(err)
	}
	got, err := fs.ReadFile(archive, "main.py")
	if err != nil || string(got) != source {
		t.Errorf("main.py has %d bytes, %v", len(got), err)
	}
	r.Close()
	f.clean()
	if n := f.files(); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

// Reads, overwrites and the collector at the same time: every read is whole.
func TestReadsBesideTheCollector(t *testing.T) {
	f := newFixture(t)
	f.put("k", strings.Repeat("0", 30<<10))
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 30 {
				f.put("k", strings.Repeat(string(rune('a'+i%26)), 30<<10))
			}
		})
		wg.Go(func() {
			for range 60 {
				got, err := f.read("k", "")
				if err != nil || got != strings.Repeat(got[:1], 30<<10) {
					t.Errorf("read %d bytes, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	f.clean()
}

// notifying tells of each update that has ended.
type notifying struct {
	store.Store
	updated chan struct{}
}

func (n *notifying) Update(ctx context.Context, fn func(store.Tx) error) error {
	err := n.Store.Update(ctx, fn)
	select {
	case n.updated <- struct{}{}:
	default:
	}
	return err
}

// The last reader of a deleted object wakes the collector.
func TestCloseWakesTheCollector(t *testing.T) {
	n := &notifying{updated: make(chan struct{}, 100)}
	f := openFixture(t, t.TempDir(), func(s store.Store) store.Store { n.Store = s; return n })
	if _, err := f.CreateBucket(t.Context(), account, region, bucket, object.NewBucket{}); err != nil {
		t.Fatal(err)
	}
	f.put("k", strings.Repeat("x", 30<<10))
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	r, err := f.Open(t.Context(), account, bucket, "k", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Delete(t.Context(), account, bucket, object.Deletion{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Collect(t.Context()); err != nil || f.files() != 1 {
		t.Fatalf("%d files while it is read, %v", f.files(), err)
	}
	r.Close()
	for f.files() > 0 {
		<-n.updated // it removes the file first and writes after that
	}
	stop()
	<-ran
	f.clean()
}

func TestRunLooksForIdleUploadsEveryHour(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		looks := make(chan struct{}, 10)
		s, err := object.New(t.Context(), object.Config{Dir: dir, Store: &viewCounter{looks: looks}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		synctest.Wait()
		drain(looks)
		begin := time.Now()
		<-looks
		if waited := time.Since(begin); waited != time.Hour {
			t.Errorf("it looked after %v", waited)
		}
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

// viewCounter is a store in which nothing is found.
type viewCounter struct {
	store.Store
	looks chan struct{}
}

func (v *viewCounter) View(context.Context, func(store.Reader) error) error {
	select {
	case v.looks <- struct{}{}:
	default:
	}
	return nil
}

func drain(c chan struct{}) {
	for {
		select {
		case <-c:
		default:
			return
		}
	}
}
