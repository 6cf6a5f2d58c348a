package snapshot

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/outcrop/outcrop/internal/sandbox"
)

func packedBytes(t testing.TB, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pack(&out)
	if err == nil {
		_, err = w.Write(text)
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestUnpackStrictly: what is cut or changed is no snapshot, what a disk says is
// passed on, and a block that claims to be large takes no memory.
func TestUnpackStrictly(t *testing.T) {
	good := packedBytes(t, bytes.Repeat([]byte("memory of a guest "), 100_000))
	if len(good) > 1000 {
		t.Errorf("1.8 MB are packed to %d bytes", len(good))
	}
	read := func(r io.Reader) error {
		plain, err := unpack(r)
		if err == nil {
			_, err = io.Copy(io.Discard, plain)
		}
		return err
	}
	if err := read(bytes.NewReader(good)); err != nil {
		t.Error(err)
	}
	large := append(bytes.Clone(good[:11]), 0, 8, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f) // of 256 MiB
	for what, bad := range map[string][]byte{
		"cut": good[:len(good)/2], "cut in the head": good[:5], "of another form of packing": []byte("\x01snappy of another kind"), "a large block": large,
	} {
		if err := read(bytes.NewReader(bad)); !errors.Is(err, sandbox.ErrSnapshot) {
			t.Errorf("%s: %v, want ErrSnapshot", what, err)
		}
	}
	trouble := errors.New("input/output error")
	for _, n := range []int{0, 1, 5, 60} {
		if err := read(io.MultiReader(bytes.NewReader(good[:n]), iotest.ErrReader(trouble))); !errors.Is(err, trouble) || errors.Is(err, sandbox.ErrSnapshot) {
			t.Errorf("trouble after %d bytes: %v", n, err)
		}
	}
}

// FuzzUnpack wants any bytes to be refused or read, and what was packed to come
// out as it went in.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte("outcrop snapshot 1\n"))
	f.Add([]byte{})
	f.Add(packedBytes(f, []byte("memory of a guest")))
	f.Add(packedBytes(f, make([]byte, 3<<20)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if plain, err := unpack(bytes.NewReader(raw)); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(plain, 16<<20)) // it may be damaged
		}
		plain, err := unpack(bytes.NewReader(packedBytes(t, raw)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(plain); err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(raw), err)
		}
	})
}
