// Package srptest is a client's half of SRP, for tests of what speaks it.
package srptest

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/srp"
)

// Client is who signs in.
type Client struct {
	t              testing.TB
	prime, private *big.Int
	// Public is the client's number, to be sent in hexadecimal.
	Public *big.Int
}

// New makes a client with numbers of its own.
func New(t testing.TB) Client {
	t.Helper()
	private := make([]byte, 128)
	if _, err := rand.Read(private); err != nil {
		t.Fatal(err)
	}
	c := Client{t: t, prime: number(t, srp.Prime), private: new(big.Int).SetBytes(private)}
	c.Public = new(big.Int).Exp(big.NewInt(2), c.private, c.prime)
	return c
}

func number(t testing.TB, text string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(text, 16)
	if !ok {
		t.Fatalf("%q is no number", text)
	}
	return n
}

func hashed(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func padded(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) > 0 && b[0] > 0x7f {
		b = append([]byte{0}, b...)
	}
	return b
}

// Sign signs a statement with a password, as the server's salt and public number ask
// for it, both in hexadecimal.
func (c Client) Sign(salt, public string, by srp.Statement, password string) []byte {
	c.t.Helper()
	two, b := big.NewInt(2), number(c.t, public)
	u := new(big.Int).SetBytes(hashed(padded(c.Public), padded(b)))
	x := new(big.Int).SetBytes(hashed(padded(number(c.t, salt)), hashed([]byte(by.Pool+by.User+":"+password))))
	k := new(big.Int).SetBytes(hashed(padded(c.prime), []byte{2}))
	base := new(big.Int).Exp(two, x, c.prime)
	base.Sub(b, base.Mul(base, k)).Mod(base, c.prime)
	s := base.Exp(base, new(big.Int).Add(c.private, new(big.Int).Mul(u, x)), c.prime)
	key, err := hkdf.Key(sha256.New, padded(s), padded(u), "Caldera Derived Key", 16)
	if err != nil {
		c.t.Fatal(err)
	}
	h := hmac.New(sha256.New, key)
	for _, part := range [][]byte{[]byte(by.Pool), []byte(by.User), by.Block, []byte(by.Timestamp)} {
		h.Write(part)
	}
	return h.Sum(nil)
}

// Hex is the client's public number as it is sent.
func (c Client) Hex() string { return hex.EncodeToString(c.Public.Bytes()) }
