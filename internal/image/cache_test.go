package image

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
)

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// countingReader counts reads, to show what is not read again.
type countingReader struct {
	io.ReaderAt
	mu    sync.Mutex
	reads int
}

func (r *countingReader) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	r.reads++
	r.mu.Unlock()
	return r.ReaderAt.ReadAt(p, off)
}

func TestUnpackReusesWhatIsThere(t *testing.T) {
	cache := newTestCache(t)
	b := makeZip(t, member{name: "main.py", body: "1"})
	first, err := unpackBytes(cache, b)
	if err != nil {
		t.Fatal(err)
	}
	if first.Digest != digestOf(b) {
		t.Errorf("digest %s, want %s", first.Digest, digestOf(b))
	}
	src := &countingReader{ReaderAt: bytes.NewReader(b)}
	again, err := cache.Unpack(context.Background(), src, int64(len(b)), first.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if again.Dir != first.Dir || src.reads != 0 {
		t.Errorf("second unpack: dir %s (first %s), %d reads", again.Dir, first.Dir, src.reads)
	}
	reopened, err := NewCache(cache.dir, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if code, err := reopened.Open(first.Digest); err != nil || code.Files != 1 || code.Size != 1 {
		t.Errorf("after a restart: %+v, %v", code, err)
	}
}

func TestUnpackRefusesAnotherDigest(t *testing.T) {
	b := makeZip(t, member{name: "main.py", body: "1"})
	_, err := newTestCache(t).Unpack(context.Background(), bytes.NewReader(b), int64(len(b)), digestOf([]byte("other")))
	if !fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), "replaced or damaged") {
		t.Errorf("got %v", err)
	}
	if _, err := newTestCache(t).Unpack(context.Background(), bytes.NewReader(b), int64(len(b)), "sha256:../../x"); err == nil {
		t.Error("a path was taken for a digest")
	}
}

func TestUnpackRefusesLargeZipUnread(t *testing.T) {
	src := &countingReader{ReaderAt: bytes.NewReader(nil)}
	_, err := newTestCache(t).Unpack(context.Background(), src, MaxZip+1, "")
	if !fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), "the limit is 250.0 MB") || src.reads != 0 {
		t.Errorf("%v after %d reads", err, src.reads)
	}
}

func TestUnpackAtOnceUnpacksOnce(t *testing.T) {
	cache := newTestCache(t)
	b := makeZip(t, member{name: "main.py", body: strings.Repeat("x = 1\n", 1000)})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			code, err := unpackBytes(cache, b)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(code.Dir, "main.py")); err != nil {
				t.Error(err)
			}
			code.Release()
		})
	}
	wg.Wait()
	entries, err := os.ReadDir(filepath.Join(cache.dir, "sha256"))
	if err != nil || len(entries) != 1 {
		t.Errorf("entries %v, %v", entries, err)
	}
	if len(cache.holds) != 0 {
		t.Errorf("holds %v", cache.holds)
	}
}

// failingReader is a host whose disk fails after some bytes.
type failingReader struct {
	io.ReaderAt
	after int64
}

var errDisk = errors.New("input/output error")

func (r failingReader) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > r.after {
		return 0, errDisk
	}
	return r.ReaderAt.ReadAt(p, off)
}

func TestHostErrorsAreNotTheCallersFault(t *testing.T) {
	b := makeZip(t, member{name: "main.py", body: "1"})
	_, err := newTestCache(t).Unpack(context.Background(), failingReader{bytes.NewReader(b), 10}, int64(len(b)), "")
	if !errors.Is(err, errDisk) || fault.Is(err, "ValidationException") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := newTestCache(t).Unpack(ctx, bytes.NewReader(b), int64(len(b)), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPruneSparesWhatIsHeldOrKept(t *testing.T) {
	cache := newTestCache(t)
	var codes []*Code
	for _, body := range []string{"held", "kept", "gone"} {
		code, err := unpackBytes(cache, makeZip(t, member{name: "dir/f", body: body}))
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, code)
	}
	codes[1].Release()
	codes[2].Release()
	codes[2].Release() // idempotent
	all := []string{codes[2].Digest, digestPrefix + strings.Repeat("0", 64), codes[0].Digest, codes[1].Digest, codes[2].Digest}
	calls := 0
	pruned, err := cache.Prune(context.Background(), all, func() (map[string]bool, error) {
		calls++
		return map[string]bool{codes[1].Digest: true}, nil
	})
	if err != nil || calls != 1 {
		t.Fatalf("%v, asked %d times", err, calls)
	}
	if len(pruned.Digests) != 1 || pruned.Digests[0] != codes[2].Digest || pruned.Bytes != 4 {
		t.Errorf("pruned %+v", pruned)
	}
	for i, code := range codes {
		_, err := os.Stat(filepath.Join(code.Dir, "dir/f"))
		if gone := errors.Is(err, fs.ErrNotExist); gone != (i == 2) {
			t.Errorf("code %d: %v", i, err)
		}
	}
	if _, err := cache.Open(codes[2].Digest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open a pruned one: %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Join(cache.dir, "sha256")); len(entries) != 2 {
		t.Errorf("left: %v", entries)
	}
}

func TestNewCacheRemovesHalfUnpacked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b*")
	half := filepath.Join(dir, "sha256", tmpPrefix+"1", "task")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := NewCache(dir, DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(half)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

// TestPruneSparesWhatIsJustPutToUse has the holder make its use known and let go
// while Prune asks.
func TestPruneSparesWhatIsJustPutToUse(t *testing.T) {
	cache := newTestCache(t)
	var codes []*Code
	for _, body := range []string{"one", "two"} {
		code, err := unpackBytes(cache, makeZip(t, member{name: "f", body: body}))
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, code)
	}
	codes[0].Release()
	pruned, err := cache.Prune(context.Background(), []string{codes[0].Digest, codes[1].Digest}, func() (map[string]bool, error) {
		codes[1].Release() // it is in use, by what was not there when we looked
		return nil, nil
	})
	if err != nil || !slices.Equal(pruned.Digests, []string{codes[0].Digest}) {
		t.Errorf("pruned %+v, %v", pruned, err)
	}
	if _, err := cache.Prune(context.Background(), []string{codes[1].Digest}, func() (map[string]bool, error) { return nil, errDisk }); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	if code, err := cache.Open(codes[1].Digest); err != nil {
		t.Error(err)
	} else {
		code.Release()
	}
}

// FuzzUnpack holds that whatever is accepted stays in its directory, within the
// limits, and is what archive/zip reads too.
func FuzzUnpack(f *testing.F) {
	f.Add(makeZip(f, member{name: "a", body: "aaaa"}, member{name: "d/b", mode: 0o755, body: "bb"}, link("d/l", "b")))
	f.Add(makeZip(f, member{name: "d/"}, link("x", "d/../a"), member{name: "a", edit: store}))
	limits := Limits{Zip: 1 << 20, Unzipped: 1 << 20, Entries: 100}
	f.Fuzz(func(t *testing.T, b []byte) {
		if int64(len(b)) > limits.Zip {
			return
		}
		src := bytes.NewReader(b)
		p, err := readArchive(src, int64(len(b)), limits)
		if err != nil {
			if !fault.Is(err, "ValidationException") {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		root := t.TempDir()
		dir := filepath.Join(root, "task")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := p.extract(context.Background(), src, dir); err != nil {
			if !fault.Is(err, "ValidationException") {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		oracle, err := zip.NewReader(src, int64(len(b)))
		if err != nil {
			t.Fatalf("archive/zip refuses what we took: %v", err)
		}
		for _, e := range p.entries {
			full := filepath.Join(dir, filepath.FromSlash(e.path))
			if e.kind == kindLink {
				if real, err := filepath.EvalSymlinks(full); err == nil && real != dir && !strings.HasPrefix(real, dir+"/") {
					t.Fatalf("%q leads to %q", e.path, real)
				}
				continue
			}
			want, err := fs.ReadFile(oracle, e.path)
			if errors.Is(err, zip.ErrChecksum) {
				continue // of the descriptor behind the data; the directory's was right, or it were refused
			}
			if err != nil {
				t.Fatalf("archive/zip cannot read %q: %v", e.path, err)
			}
			if got, err := os.ReadFile(full); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%q is %d bytes, %v; archive/zip reads %d", e.path, len(got), err, len(want))
			}
		}
		if out, _ := os.ReadDir(root); len(out) != 1 {
			t.Fatalf("written outside: %v", out)
		}
	})
}

// BenchmarkUnpack50MB is a zip of about 50 MB in 5,000 files, half of it hard to
// compress, as trees of native wheels are.
func BenchmarkUnpack50MB(b *testing.B) {
	random := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 10_000)
	members := make([]member, 5000)
	for i := range members {
		if _, err := random.Read(noise); err != nil {
			b.Fatal(err)
		}
		members[i] = member{name: "pkg" + string(rune('a'+i%20)) + "/" + hex.EncodeToString(noise[:8]), body: string(noise) + strings.Repeat("def f(): pass\n", 800)}
	}
	archive := makeZip(b, members...)
	b.SetBytes(int64(len(archive)))
	for b.Loop() {
		cache := newTestCache(b)
		code, err := unpackBytes(cache, archive)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(code.Size)/1e6, "MB-unzipped")
		b.StopTimer()
		if err := os.RemoveAll(cache.dir); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// FuzzLinks holds that no pair of links that is accepted leads out of the root.
func FuzzLinks(f *testing.F) {
	f.Add("a", "b/../d", "b", "d/e")
	f.Add("d/e/up", "..", "a", "d/e/up/../../x")
	f.Add("d/a", "../d/./b", "d/b", "../d//e/f")
	f.Add("a", "a/..", "b", "a/../../../x")
	f.Fuzz(func(t *testing.T, name1, target1, name2, target2 string) {
		for _, s := range []string{name1, target1, name2, target2} {
			if len(s) > 300 {
				return
			}
		}
		members := []member{{name: "d/e/f", body: "x"}, link(strings.TrimRight(name1, "/"), target1), link(strings.TrimRight(name2, "/"), target2)}
		for i := range members {
			members[i].edit = store // deflate is slow to set up
		}
		b := makeZip(t, members...)
		p, err := readArchive(bytes.NewReader(b), int64(len(b)), DefaultLimits())
		if err != nil {
			return
		}
		dir, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		root := filepath.Join(dir, "1", "2", "3", "task")
		if err := os.MkdirAll(root, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := p.extract(context.Background(), bytes.NewReader(b), root); err != nil {
			if !fault.Is(err, "ValidationException") {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		for _, name := range []string{name1, name2} {
			real, err := filepath.EvalSymlinks(filepath.Join(root, strings.TrimRight(name, "/")))
			if err == nil && real != root && !strings.HasPrefix(real, root+"/") {
				t.Fatalf("%q leads to %q", name, real)
			}
		}
	})
}
