package object_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/store"
)

// zeros is a body that takes no memory.
type zeros struct {
	left int64
	tick func()
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.left))
	clear(p[:n])
	z.left -= int64(n)
	if z.tick != nil {
		z.tick()
	}
	return n, nil
}

func (f *fixture) putZeros(key string, size int64, tick func()) {
	f.t.Helper()
	if _, err := f.Put(f.t.Context(), id(key), object.Put{}, object.Body{Reader: &zeros{left: size, tick: tick}, Size: size}); err != nil {
		f.t.Fatal(err)
	}
}

// tickWriter looks at every piece and keeps none.
type tickWriter func()

func (w tickWriter) Write(p []byte) (int, error) { w(); return len(p), nil }

// TestMemoryDoesNotGrowWithTheObject measures the heap while 192 MiB go in and
// come out.
func TestMemoryDoesNotGrowWithTheObject(t *testing.T) {
	const size, allowed = 192 << 20, 4 << 20
	f := newFixture(t)
	f.putZeros("warm", 1<<20, nil)
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	before, peak, n := stats.HeapAlloc, uint64(0), 0
	measure := func() {
		if n++; n%64 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&stats)
			peak = max(peak, stats.HeapAlloc)
		}
	}
	f.putZeros("k", size, measure)
	r, err := f.Open(t.Context(), account, bucket, "k", "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(tickWriter(measure), r); err != nil || n != size {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	if peak > before+allowed {
		t.Errorf("the heap grew from %d to %d bytes", before, peak)
	}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int64{1 << 10, object.SmallSize, 64 << 10, 1 << 20, 64 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			f := newFixture(b)
			b.SetBytes(size)
			for i := 0; b.Loop(); i++ {
				f.putZeros(fmt.Sprint("k", i%100), size, nil)
				if i%100 == 0 {
					f.Collect(b.Context())
				}
			}
		})
	}
}

func BenchmarkPutParallel(b *testing.B) {
	for _, size := range []int64{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			f := newFixture(b)
			b.SetBytes(size)
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					f.putZeros(fmt.Sprintf("%p%d", pb, i%100), size, nil)
				}
			})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int64{1 << 10, 64 << 10, 64 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			f := newFixture(b)
			f.putZeros("k", size, nil)
			b.SetBytes(size)
			for b.Loop() {
				r, err := f.Open(b.Context(), account, bucket, "k", "")
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); err != nil || n != size {
					b.Fatal(n, err)
				}
				r.Close()
			}
		})
	}
}

func BenchmarkHead(b *testing.B) {
	f := newFixture(b)
	f.put("k", "x")
	for b.Loop() {
		if _, err := f.Head(b.Context(), id("k"), "", object.ReadCondition{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList lists a thousand of 100,000 keys, half of them flat and half of
// them below a thousand common prefixes.
func BenchmarkList(b *testing.B) {
	f := newFixture(b)
	if err := f.db.Update(b.Context(), func(tx store.Tx) error { return object.Fill(tx, bucket, 100_000) }); err != nil {
		b.Fatal(err)
	}
	list := func(b *testing.B, l object.List, want int) {
		for b.Loop() {
			got, err := f.ListObjects(b.Context(), account, bucket, l)
			if n := len(got.Objects) + len(got.Prefixes); err != nil || n != want {
				b.Fatalf("%d listed, %v", n, err)
			}
		}
	}
	b.Run("1000", func(b *testing.B) { list(b, object.List{Max: 1000}, 1000) })
	b.Run("1000FromTheMiddle", func(b *testing.B) { list(b, object.List{Max: 1000, StartAfter: "flat/025000"}, 1000) })
	b.Run("2PrefixesOf100k", func(b *testing.B) { list(b, object.List{Max: 1000, Delimiter: "/"}, 2) })
	b.Run("1000PrefixesOf50", func(b *testing.B) { list(b, object.List{Max: 1000, Delimiter: "/", Prefix: "tree/"}, 1000) })
	b.Run("Versions1000", func(b *testing.B) {
		for b.Loop() {
			got, err := f.ListVersions(b.Context(), account, bucket, object.VersionList{Max: 1000})
			if err != nil || len(got.Versions) != 1000 {
				b.Fatalf("%d listed, %v", len(got.Versions), err)
			}
		}
	})
}

// TestTenThousandKeysPage pages through what the bench lists, in small.
func TestTenThousandKeysPage(t *testing.T) {
	f := newFixture(t)
	if err := f.db.Update(t.Context(), func(tx store.Tx) error { return object.Fill(tx, bucket, 10_000) }); err != nil {
		t.Fatal(err)
	}
	var last string
	seen := 0
	for l := (object.List{Max: 1000}); ; {
		page, err := f.ListObjects(t.Context(), account, bucket, l)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Objects {
			if strings.Compare(o.Key, last) <= 0 {
				t.Fatalf("%q comes after %q", o.Key, last)
			}
			last = o.Key
			seen++
		}
		if l.Token = page.Token; !page.Truncated {
			break
		}
	}
	if seen != 10_000 {
		t.Errorf("%d keys were listed", seen)
	}
}

// BenchmarkComplete completes an upload of 10,000 parts, and deletes the object.
func BenchmarkComplete10kParts(b *testing.B) {
	f := newFixture(b)
	for b.Loop() {
		b.StopTimer()
		u, err := f.CreateUpload(b.Context(), id("k"), object.NewUpload{})
		if err != nil {
			b.Fatal(err)
		}
		var parts []object.CompletedPart
		err = f.db.Update(b.Context(), func(tx store.Tx) (err error) {
			parts, err = object.FillParts(tx, u.ID, object.MaxParts)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := f.CompleteUpload(b.Context(), id("k"), u.ID, object.Complete{Parts: parts, Size: -1}); err != nil {
			b.Fatal(err)
		}
	}
}
