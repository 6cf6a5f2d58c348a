package checksum_test

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/outcrop/outcrop/internal/object/checksum"
)

// The check values of the catalogue of parametrised CRC algorithms and of FIPS
// 180, over "123456789".
func TestKnownValues(t *testing.T) {
	want := map[checksum.Algorithm]string{
		checksum.CRC32:     "cbf43926",
		checksum.CRC32C:    "e3069283",
		checksum.CRC64NVME: "ae8b14860a799888",
		checksum.SHA1:      "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
		checksum.SHA256:    "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
	}
	for _, a := range checksum.Algorithms() {
		h := a.New()
		h.Write([]byte("123456789"))
		sum := h.Sum(nil)
		if got := hex.EncodeToString(sum); got != want[a] || len(sum) != a.Size() {
			t.Errorf("%s = %s (%d bytes), want %s", a, got, len(sum), want[a])
		}
		back, ok := a.Decode(checksum.Encode(sum))
		if !ok || !bytes.Equal(back, sum) {
			t.Errorf("%s does not survive base64", a)
		}
	}
}

func TestFullObjectOfPartsEqualsWhole(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, a := range []checksum.Algorithm{checksum.CRC32, checksum.CRC32C, checksum.CRC64NVME} {
		for range 200 {
			whole := a.New()
			var parts []checksum.Part
			for range 1 + random.IntN(6) {
				// Lengths repeat, and 0 is one of them.
				data := make([]byte, []int{0, 1, 7, 4096, random.IntN(9000)}[random.IntN(5)])
				for i := range data {
					data[i] = byte(random.Uint32())
				}
				h := a.New()
				h.Write(data)
				whole.Write(data)
				parts = append(parts, checksum.Part{Sum: h.Sum(nil), Size: int64(len(data))})
			}
			got, err := checksum.Of(a, checksum.FullObject, parts)
			if err != nil {
				t.Fatal(err)
			}
			if want := whole.Sum(nil); !bytes.Equal(got, want) {
				t.Fatalf("%s of %d parts = %x, want %x", a, len(parts), got, want)
			}
		}
	}
}

func TestCompositeIsTheHashOfHashes(t *testing.T) {
	one := bytes.Repeat([]byte{1}, 32)
	two := bytes.Repeat([]byte{2}, 32)
	got, err := checksum.Of(checksum.SHA256, checksum.Composite, []checksum.Part{{Sum: one, Size: 5}, {Sum: two, Size: 6}})
	if err != nil {
		t.Fatal(err)
	}
	h := checksum.SHA256.New()
	h.Write(append(bytes.Clone(one), two...))
	if want := h.Sum(nil); !bytes.Equal(got, want) {
		t.Fatalf("composite = %x, want %x", got, want)
	}
	if text := checksum.EncodeComposite(got, 2); checksum.TrimParts(text) != checksum.Encode(got) {
		t.Fatalf("%q does not lose its number of parts", text)
	}
}

func TestTypes(t *testing.T) {
	for _, a := range checksum.Algorithms() {
		if !a.Allows(a.DefaultType()) {
			t.Errorf("%s does not allow its own default", a)
		}
	}
	if checksum.SHA1.Allows(checksum.FullObject) || checksum.CRC64NVME.Allows(checksum.Composite) || checksum.Algorithm("MD4").Valid() {
		t.Error("a type or algorithm that S3 does not have is allowed")
	}
	if _, err := checksum.Of(checksum.SHA1, checksum.FullObject, nil); err == nil {
		t.Error("a full SHA1 was made of parts")
	}
	if _, err := checksum.Of(checksum.CRC32, checksum.FullObject, []checksum.Part{{Sum: []byte{1}}}); err == nil {
		t.Error("a checksum of the wrong length was taken")
	}
	for _, bad := range []string{"", "AAAA", "AAAAAA=", "AAAAAA==\n", "!AAAAA=="} {
		if _, ok := checksum.CRC32.Decode(bad); ok {
			t.Errorf("%q is taken for a CRC32", bad)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	data := make([]byte, 256<<10)
	for _, a := range checksum.Algorithms() {
		b.Run(string(a), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			h := a.New()
			for b.Loop() {
				h.Write(data)
			}
		})
	}
}

func BenchmarkCombine10kParts(b *testing.B) {
	parts := make([]checksum.Part, 10_000)
	for i := range parts {
		parts[i] = checksum.Part{Sum: make([]byte, 8), Size: 5<<20 + int64(i%2)}
	}
	for b.Loop() {
		if _, err := checksum.Of(checksum.CRC64NVME, checksum.FullObject, parts); err != nil {
			b.Fatal(err)
		}
	}
}
