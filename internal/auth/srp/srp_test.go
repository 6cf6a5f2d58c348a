package srp_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/srp"
	"github.com/outcrop/outcrop/internal/auth/srp/srptest"
)

// TestExchange: who knows the password signs what the server takes, of both signs and
// whatever the numbers' lengths; nobody else does.
func TestExchange(t *testing.T) {
	by := srp.Statement{Pool: "abcDEF123", User: "ada", Block: []byte("a block"), Timestamp: "Tue Sep 25 00:09:40 UTC 2018"}
	signs := map[bool]int{}
	for range 24 {
		v, err := srp.New(rand.Reader, by.Pool, by.User, []byte("Analytical-1"))
		if err != nil {
			t.Fatal(err)
		}
		c := srptest.New(t)
		a, err := srp.ParsePublic(c.Hex())
		if err != nil {
			t.Fatal(err)
		}
		x, public, err := v.Begin(rand.Reader, a)
		if err != nil {
			t.Fatal(err)
		}
		signs[x.Negative]++
		check := func(what string, v srp.Verifier, by srp.Statement, signature []byte, want bool) {
			t.Helper()
			if got, err := v.Signed(x, by, signature); err != nil || got != want {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}
		good := c.Sign(hex.EncodeToString(v.Salt), public, by, "Analytical-1")
		check("the password", v, by, good, true)
		check("another", v, by, c.Sign(hex.EncodeToString(v.Salt), public, by, "Analytical-2"), false)
		late := by
		late.Timestamp = "Tue Sep 25 00:09:41 UTC 2018"
		check("another statement", v, late, good, false)
		check("nothing", v, by, nil, false)
		check("half of it", v, by, good[:16], false)
		check("nobody's", srp.Decoy(v.Salt), by, good, false)
	}
	if signs[true] == 0 || signs[false] == 0 {
		t.Errorf("the signs are %v", signs)
	}
}

func prime() *big.Int {
	n, _ := new(big.Int).SetString(srp.Prime, 16)
	return n
}

// TestNoSquares: what the right password leaves of public numbers is a square as often
// as not, so that asking alone tells nobody which it is.
func TestNoSquares(t *testing.T) {
	v, err := srp.New(rand.Reader, "p", "ada", []byte("Analytical-1"))
	if err != nil {
		t.Fatal(err)
	}
	c, squares := srptest.New(t), 0
	const times = 64
	sum := sha256.Sum256(append(append([]byte{0}, prime().Bytes()...), 2))
	k := new(big.Int).SetBytes(sum[:])
	for range times {
		_, public, err := v.Begin(rand.Reader, c.Public)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := new(big.Int).SetString(public, 16)
		b.Sub(b, new(big.Int).Mul(k, new(big.Int).SetBytes(v.V)))
		if big.Jacobi(b.Mod(b, prime()), prime()) == 1 {
			squares++
		}
	}
	if squares < times/8 || squares > times*7/8 {
		t.Errorf("%d of %d are squares", squares, times)
	}
}

// TestVector holds a verifier against one that another implementation computes.
func TestVector(t *testing.T) {
	salt, _ := hex.DecodeString("4b6f0d2c8e9a1f3355d7c1a09b8e7f61")
	v := srp.WithSalt(salt, "abcDEF123", "ada", []byte("Analytical-1"))
	if sum := hex.EncodeToString(hashed(v.V)); sum != vector || !bytes.Equal(v.Salt, salt) {
		t.Errorf("%s of salt %x", sum, v.Salt)
	}
}

// hashed is how a number is, whose highest bit is set or not.
func hashed(n []byte) []byte {
	if n[0] > 0x7f {
		n = append([]byte{0}, n...)
	}
	sum := sha256.Sum256(n)
	return sum[:]
}

const vector = "9f34d0072d84c1966c19507711bfd650edcd21681f336dacbf841a67f784a4eb"

func TestDecoy(t *testing.T) {
	salt := bytes.Repeat([]byte{0xff}, 16)
	if a, b := srp.Decoy(salt), srp.Decoy(salt); !bytes.Equal(a.V, b.V) || !bytes.Equal(a.Salt, b.Salt) || len(a.Salt) != 16 || a.Salt[0]&0x80 != 0 {
		t.Errorf("%x and %x", a, b)
	}
}

func TestParsePublic(t *testing.T) {
	for text, ok := range map[string]bool{
		"1": true, "0a": true, "00ff": true, strings.Repeat("0", 4096) + "2": true, strings.Repeat("f", 700): true,
		"": false, "0": false, "00": false, "xyz": false, "-1": false, "+1": false, "0x1": false, " 1": false, "1 ": false, "1\x00": false,
		srp.Prime: false, strings.Repeat("f", 768): false, strings.Repeat("f", 769): false, strings.Repeat("1", 100_000): false,
	} {
		a, err := srp.ParsePublic(text)
		if (err == nil) != ok || ok && (a.Sign() <= 0 || a.Cmp(prime()) >= 0) {
			t.Errorf("%.20q: %v, %v", text, a, err)
		}
	}
}

// FuzzPublic reads public numbers: what is taken is in the group, and an exchange with
// it ends in no signature of zeros.
func FuzzPublic(f *testing.F) {
	for _, s := range []string{"", "0", "2", srp.Prime, srp.Prime[:767] + "e", "ff00", "é"} {
		f.Add(s, []byte(s))
	}
	v := srp.WithSalt(make([]byte, 16), "p", "u", []byte("pw"))
	f.Fuzz(func(t *testing.T, text string, signature []byte) {
		a, err := srp.ParsePublic(text)
		if err != nil {
			return
		}
		if a.Sign() <= 0 || a.Cmp(prime()) >= 0 {
			t.Fatal(a)
		}
		x, public, err := v.Begin(rand.Reader, a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := srp.ParsePublic(public); err != nil {
			t.Fatal(err)
		}
		if ok, err := v.Signed(x, srp.Statement{}, signature); ok || err != nil {
			t.Fatalf("%q signs: %v", signature, err)
		}
	})
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		srp.WithSalt(make([]byte, 16), "p", "u", []byte("pw"))
	}
}

func BenchmarkBegin(b *testing.B) {
	v := srp.WithSalt(make([]byte, 16), "p", "u", []byte("pw"))
	for b.Loop() {
		if _, _, err := v.Begin(rand.Reader, big.NewInt(3)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSigned(b *testing.B) {
	v := srp.WithSalt(make([]byte, 16), "p", "u", []byte("pw"))
	x, _, err := v.Begin(rand.Reader, big.NewInt(3))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := v.Signed(x, srp.Statement{}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
