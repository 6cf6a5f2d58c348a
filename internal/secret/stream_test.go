package secret_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
)

func sealed(t testing.TB, box *secret.Box, o secret.Owner, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := box.SealStream(t.Context(), o, &out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unsealed(t testing.TB, box *secret.Box, o secret.Owner, from io.Reader) ([]byte, error) {
	t.Helper()
	r, err := box.OpenStream(t.Context(), o, from)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func TestStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	box := secrettest.At(t, path)
	for _, size := range []int{0, 1, 1<<20 - 100, 1 << 20, 3<<20 + 7} {
		text := bytes.Repeat([]byte("long "), size/5+1)[:size]
		s := sealed(t, box, owner, text)
		if bytes.Contains(s, []byte("long ")) {
			t.Errorf("%d bytes can be read", size)
		}
		if bytes.Equal(s, sealed(t, box, owner, text)) {
			t.Errorf("%d bytes sealed alike", size)
		}
		got, err := unsealed(t, secrettest.At(t, path), owner, iotest.HalfReader(bytes.NewReader(s)))
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
		}
	}
}

func TestStreamRefuses(t *testing.T) {
	dir := t.TempDir()
	box := secrettest.At(t, filepath.Join(dir, "key"))
	text := []byte(strings.Repeat("x", 2<<20))
	s := sealed(t, box, owner, text)
	refused := func(what string, b *secret.Box, o secret.Owner, s []byte) {
		t.Helper()
		got, err := unsealed(t, b, o, bytes.NewReader(s))
		if !errors.Is(err, secret.ErrUnreadable) {
			t.Errorf("%s: %d bytes, %v, want ErrUnreadable", what, len(got), err)
		}
	}
	refused("another owner", box, secret.Owner{Scope: owner.Scope, Kind: owner.Kind, ID: "AKIB"}, s)
	refused("another key", secrettest.At(t, filepath.Join(dir, "other")), owner, s)
	refused("a value", box, owner, func() []byte { v, _ := box.Seal(t.Context(), owner, secret.NewString("x").Bytes()); return v }())
	for _, at := range []int{0, 1, 2, 3, 40, 100, 150, 200, 1 << 20, len(s) - 1} {
		changed := bytes.Clone(s)
		changed[at] ^= 1
		refused("a changed byte", box, owner, changed)
	}
	// Segments are a MiB: cutting at their borders leaves only whole ones.
	for _, at := range []int{0, 2, 50, len(s) - 1, len(s) - 16, 1 << 20, len(s) - len(s)%(1<<20)} {
		refused("a cut stream", box, owner, s[:at])
	}
	refused("a longer stream", box, owner, append(bytes.Clone(s), 0))

	var unclosed bytes.Buffer
	w, err := box.SealStream(t.Context(), owner, &unclosed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	refused("a stream without its end", box, owner, unclosed.Bytes())

	if _, err := box.SealStream(t.Context(), secret.Owner{}, io.Discard); err == nil {
		t.Error("sealed for nobody")
	}
}

// TestStreamErrorsBelow: what the disk says is not taken for damage.
func TestStreamErrorsBelow(t *testing.T) {
	box := secrettest.Box(t)
	s := sealed(t, box, owner, make([]byte, 2<<20))
	broken := errors.New("input/output error")
	for _, at := range []int{0, 10, 1000, 1 << 20} {
		from := io.MultiReader(bytes.NewReader(s[:at]), iotest.ErrReader(broken))
		if _, err := unsealed(t, box, owner, from); !errors.Is(err, broken) || errors.Is(err, secret.ErrUnreadable) {
			t.Errorf("at %d: %v", at, err)
		}
	}
	for limit := range 2 {
		w, err := box.SealStream(t.Context(), owner, &full{left: limit, err: broken})
		if err == nil {
			_, err = w.Write(make([]byte, 3<<20))
		}
		if !errors.Is(err, broken) {
			t.Errorf("writing to a full disk: %v", err)
		}
	}
}

// full takes a number of writes.
type full struct {
	left int
	err  error
}

func (f *full) Write(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, f.err
	}
	return len(p), nil
}

func FuzzOpenStream(f *testing.F) {
	box := secrettest.Box(f)
	s := sealed(f, box, owner, []byte("value"))
	f.Add(s)
	f.Add([]byte{2, 0, 0})
	f.Add([]byte{2, 255, 255})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if bytes.Equal(raw, s) {
			return
		}
		if got, err := unsealed(t, box, owner, bytes.NewReader(raw)); !errors.Is(err, secret.ErrUnreadable) {
			t.Fatalf("opened %x: %d bytes, %v", raw, len(got), err)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	box := secrettest.Box(b)
	text := bytes.Repeat([]byte("0123456789abcdef"), 64<<20/16)
	s := sealed(b, box, owner, text)
	b.Run("seal", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			w, err := box.SealStream(b.Context(), owner, io.Discard)
			if err == nil {
				_, err = w.Write(text)
			}
			if err != nil || w.Close() != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		buf := make([]byte, 1<<20)
		for b.Loop() {
			r, err := box.OpenStream(b.Context(), owner, bytes.NewReader(s))
			if err == nil {
				_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
