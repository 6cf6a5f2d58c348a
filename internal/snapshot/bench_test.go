package snapshot_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/snapshot"
)

// guestMemory is what guests hold: pointers, which share most of their bytes, some
// text, some that nothing packs.
func guestMemory(size int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 0, size)
	for len(b) < size {
		switch n := r.IntN(16); {
		case n < 2:
			for range 64 {
				b = binary.LittleEndian.AppendUint64(b, r.Uint64())
			}
		case n < 6:
			b = fmt.Appendf(b, "def method_%d(self, value=%d): return self.%d\x00", r.IntN(1000), r.IntN(100), r.IntN(100))
		default:
			for range 32 {
				b = binary.LittleEndian.AppendUint64(b, 0x7f3a_1c00_0000|uint64(r.IntN(1<<20))<<4)
			}
		}
	}
	return b[:size]
}

// BenchmarkPut and BenchmarkGet: packing, encryption, the file and fsync, 40 MiB.
func BenchmarkPut(b *testing.B) {
	x := newBench(b)
	s := x.open(func(c *snapshot.Config) { c.Memory = 0; c.Now = time.Now })
	snap := &plain{guestMemory(40 << 20)}
	b.SetBytes(snap.Size())
	for b.Loop() {
		if err := s.Put(b.Context(), key("a"), snap); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.Stats().Bytes)/float64(snap.Size()), "of-its-size")
}

func BenchmarkGet(b *testing.B) {
	x := newBench(b)
	buf := make([]byte, 1<<20)
	x.load = func(_ context.Context, r io.Reader) (sandbox.Snapshot, error) {
		_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf)
		return &plain{}, err
	}
	s := x.open(func(c *snapshot.Config) { c.Memory = -1; c.Now = time.Now })
	snap := &plain{guestMemory(40 << 20)}
	if err := s.Put(b.Context(), key("a"), snap); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(snap.Size())
	for b.Loop() {
		h, err := s.Get(b.Context(), key("a"))
		if err != nil {
			b.Fatal(err)
		}
		h.Release()
	}
}

// plain is a snapshot of bytes.
type plain struct{ bytes []byte }

func (p *plain) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(p.bytes)
	return int64(n), err
}
func (p *plain) Size() int64  { return int64(len(p.bytes)) }
func (p *plain) Close() error { return nil }
