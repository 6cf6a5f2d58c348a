package object_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/outcrop/outcrop/internal/object"
)

// TestSendTo sends spans of objects of each kind and compares them with what
// was put.
func TestSendTo(t *testing.T) {
	f := newFixture(t)
	random := rand.NewChaCha8([32]byte{7})
	whole := make([]byte, 11<<20)
	_, _ = random.Read(whole) // never fails
	part := whole[:5<<20]
	f.put("small", string(whole[:1000]))
	f.put("file", string(whole[:1<<20]))
	u, err := f.CreateUpload(t.Context(), id("parts"), object.NewUpload{})
	if err != nil {
		t.Fatal(err)
	}
	var done []object.CompletedPart
	for i, body := range [][]byte{part, whole[5<<20 : 10<<20], whole[10<<20:]} {
		p, err := f.UploadPart(t.Context(), id("parts"), u.ID, 2*i+1, object.Body{Reader: bytes.NewReader(body), Size: int64(len(body))})
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, object.CompletedPart{Number: p.Number, ETag: p.ETag})
	}
	if _, err := f.CompleteUpload(t.Context(), id("parts"), u.ID, object.Complete{Parts: done, Size: -1}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key            string
		offset, length int64
	}{
		{"small", 0, 1000}, {"small", 999, 1}, {"small", 0, 0}, {"small", 1000, 0},
		{"file", 0, 1 << 20}, {"file", 77, 4096},
		{"parts", 0, 11 << 20}, {"parts", 5<<20 - 1, 2}, {"parts", 1, 10 << 20}, {"parts", 10 << 20, 1 << 20},
	} {
		r, err := f.Get(t.Context(), id(c.key), "", object.ReadCondition{})
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		n, err := r.SendTo(&got, c.offset, c.length)
		if err != nil || n != c.length || !bytes.Equal(got.Bytes(), whole[c.offset:c.offset+c.length]) {
			t.Errorf("%s: %d bytes from %d: sent %d, %v", c.key, c.length, c.offset, n, err)
		}
		for _, bad := range [][2]int64{{-1, 1}, {0, -1}, {0, r.Size() + 1}, {r.Size() + 1, 0}, {1, 1<<63 - 1}} {
			if _, err := r.SendTo(io.Discard, bad[0], bad[1]); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("%s: bytes %v: %v", c.key, bad, err)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPartChecksum(t *testing.T) {
	f := newFixture(t)
	f.put("one", "hello")
	r, err := f.Get(t.Context(), id("one"), "", object.ReadCondition{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := r.PartChecksum(1); got == "" || got != r.Info().Checksum.Value {
		t.Errorf("part 1: %q", got)
	}
	if got := r.PartChecksum(2); got != "" {
		t.Errorf("part 2: %q", got)
	}
}
