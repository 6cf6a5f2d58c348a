package sigv4

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
)

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

func TestSpool(t *testing.T) {
	for _, size := range []int{0, 1, memoryLimit - 1, memoryLimit, memoryLimit + 1, memoryLimit + segment, 3*memoryLimit + 12345} {
		data := noise(size)
		s := &spool{dir: t.TempDir()}
		if _, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{bytes.NewReader(data)}, make([]byte, 40000)); err != nil {
			t.Fatal(err)
		}
		if err := s.seal(); err != nil {
			t.Fatal(err)
		}
		if (s.file != nil) != (size > memoryLimit) {
			t.Errorf("%d bytes: file %v", size, s.file != nil)
		}
		if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
			t.Errorf("%d bytes: the directory shows %v, %v", size, left, err)
		}
		got, err := io.ReadAll(iotest.OneByteReader(io.LimitReader(s, 3)))
		rest, err2 := io.ReadAll(s)
		if err != nil || err2 != nil || !bytes.Equal(append(got, rest...), data) || s.size != int64(size) {
			t.Errorf("%d bytes came back as %d: %v, %v", size, len(got)+len(rest), err, err2)
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestSpoolIsSealed reads the file behind the spool: nothing of the data is in
// it, and what somebody changes in it is found out.
func TestSpoolIsSealed(t *testing.T) {
	data := bytes.Repeat([]byte("a secret nobody may read "), 80000)
	fill := func() *spool {
		s := &spool{dir: t.TempDir()}
		if _, err := s.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := s.seal(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := fill()
	defer s.Close()
	raw, err := io.ReadAll(io.NewSectionReader(s.file, 0, 1<<30))
	if err != nil || len(raw) <= len(data) {
		t.Fatalf("file of %d bytes, %v", len(raw), err)
	}
	if bytes.Contains(raw, []byte("secret")) || bytes.Contains(raw, raw[segment+16:segment+48]) && bytes.Count(raw, raw[segment+16:segment+48]) > 1 {
		t.Error("the file holds the data, or the same segment twice")
	}
	full := int64(segment + 16)
	tampers := map[string]func(*os.File) error{
		"bit":     func(f *os.File) error { _, err := f.WriteAt([]byte{raw[100] ^ 1}, 100); return err },
		"swapped": func(f *os.File) error { _, err := f.WriteAt(raw[full:2*full], 0); return err },
		"cut":     func(f *os.File) error { return f.Truncate(int64(len(raw)) - 1) },
	}
	for name, tamper := range tampers {
		s := fill()
		if err := tamper(s.file); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(s); err == nil {
			t.Errorf("%s: not found out", name)
		}
		s.Close()
	}
}

func TestSpoolReset(t *testing.T) {
	s := &spool{dir: t.TempDir()}
	defer s.Close()
	for _, size := range []int{10, 2 * memoryLimit, 0, 20, memoryLimit + 1} {
		data := noise(size)
		if err := s.reset(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := s.seal(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
		}
	}
}

func TestSpoolWithoutDirectory(t *testing.T) {
	s := &spool{dir: filepath.Join(t.TempDir(), "gone")}
	if _, err := s.Write(make([]byte, memoryLimit+1)); err == nil {
		t.Error("a spool without a directory took what does not fit in memory")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestKeyCacheIsBounded(t *testing.T) {
	c := newKeyCache(4)
	scope := func(i int) keyScope {
		return keyScope{secret: "s", date: "20260301", region: string(rune('a' + i)), service: "s3"}
	}
	for i := range 100 {
		k, _ := c.get(scope(i % 26))
		c.put(scope(i%26), k)
		if n := len(c.young) + len(c.old); n > 8 {
			t.Fatalf("%d keys are kept", n)
		}
	}
	used := scope(0)
	for i := range 50 {
		key, fresh := c.get(used)
		if key != used.signingKey() {
			t.Fatal("another key came back")
		}
		if !fresh {
			c.put(used, key)
		}
		if i > 0 && c.young[used] != key && c.old[used] != key {
			t.Fatal("a key in use was forgotten")
		}
		k, _ := c.get(scope(1 + i%20))
		c.put(scope(1+i%20), k)
	}
	changed := used
	changed.secret = "new"
	if key, fresh := c.get(changed); fresh || key == used.signingKey() {
		t.Error("a changed secret was answered from the cache")
	}
}

func BenchmarkSpool(b *testing.B) {
	data := noise(8 << 20)
	s := &spool{dir: b.TempDir()}
	defer s.Close()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.reset(); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := s.seal(); err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, s); n != int64(len(data)) || err != nil {
			b.Fatal(n, err)
		}
	}
}
