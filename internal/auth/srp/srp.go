// Package srp is the server's half of SRP-6a (RFC 5054) as Amazon Cognito's clients
// speak it: the group of 3072 bits of RFC 3526, SHA-256, and a key that is drawn by
// HKDF and then signs a statement. The server holds a verifier in place of the
// password, and the password never comes to it.
//
// Numbers are hashed as the least bytes of two's complement: a leading zero byte
// where the highest bit is set, and none else. The arithmetic is that of math/big,
// whose time depends on its operands a little. What it is done with is either fresh
// for each exchange or, as the verifier, raised to a power that is.
package srp

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
)

// Size is the length of a number of the group, in bytes.
const Size = 384

const (
	saltSize    = 16
	privateSize = 32 // RFC 5054 2.5.4 asks for 256 bits at least
	keySize     = 16
)

// Prime is the group's, in hexadecimal: RFC 3526 5.
const Prime = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74" +
	"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437" +
	"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
	"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05" +
	"98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB" +
	"9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B" +
	"E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718" +
	"3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33" +
	"A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7" +
	"ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864" +
	"D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E2" +
	"08E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF"

// The group and its multiplier k = H(N, g), which nothing changes.
var (
	modulus, _ = new(big.Int).SetString(Prime, 16)
	generator  = big.NewInt(2)
	multiplier = number(digest(bytesOf(modulus), bytesOf(generator)))
)

func number(b []byte) *big.Int { return new(big.Int).SetBytes(b) }

// bytesOf is how a number is hashed.
func bytesOf(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) == 0 || b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return b
}

func digest(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// Verifier is what the server holds of a password. It is as secret as a hash that is
// quick to compute: who has it tries passwords at leisure.
type Verifier struct {
	Salt []byte `json:"salt"`
	V    []byte `json:"v"`
}

// New makes the verifier of a user's password. The pool is the part of a user pool's
// id after the underscore; the user is what the challenge calls USER_ID_FOR_SRP.
func New(rand io.Reader, pool, user string, password []byte) (Verifier, error) {
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return Verifier{}, fmt.Errorf("make salt: %w", err)
	}
	return WithSalt(salt, pool, user, password), nil
}

// WithSalt makes the verifier for some sixteen bytes of salt.
func WithSalt(salt []byte, pool, user string, password []byte) Verifier {
	salt = plainSalt(salt)
	x := number(digest(salt, digest([]byte(pool+user+":"), password)))
	return Verifier{Salt: salt, V: new(big.Int).Exp(generator, x, modulus).Bytes()}
}

// plainSalt returns a salt that begins with neither a zero byte nor a high bit, so
// that all clients hash it alike, whatever they take it for.
func plainSalt(salt []byte) []byte {
	out := append([]byte{}, salt...)
	out[0] = out[0]&0x3f | 0x40
	return out
}

// Decoy is the verifier of nobody, made of sixteen bytes that always are the same for
// one name.
func Decoy(salt []byte) Verifier {
	salt = plainSalt(salt)
	v := make([]byte, 0, Size)
	for i := byte(0); len(v) < Size; i++ {
		v = append(v, digest(salt, []byte{i})...)
	}
	return Verifier{Salt: salt, V: new(big.Int).Mod(number(v), modulus).Bytes()}
}

// The refusals of a client's public number.
var (
	errNotHex = errors.New("it is not hexadecimal")
	errLong   = fmt.Errorf("it has more than %d hexadecimal digits", 2*Size)
	errRange  = errors.New("it is not between 0 and the group's prime")
)

// ParsePublic reads the public number A of a client, in hexadecimal. One that is 0 in
// the group is refused: whoever sends it knows the key without a password.
func ParsePublic(text string) (*big.Int, error) {
	text = strings.TrimLeft(text, "0")
	if len(text) > 2*Size {
		return nil, errLong
	}
	if len(text)%2 == 1 {
		text = "0" + text
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return nil, errNotHex
	}
	a := number(b)
	if a.Sign() == 0 || a.Cmp(modulus) >= 0 {
		return nil, errRange
	}
	return a, nil
}

// Exchange is what the server remembers between its challenge and the answer. It is
// secret.
type Exchange struct {
	A []byte `json:"a"` // the client's public number
	U []byte `json:"u"` // what scrambles both public numbers
	B []byte `json:"b"` // the server's private number
	// Negative: the public number was made with -g^b.
	Negative bool `json:"n,omitempty"`
}

// Begin answers a client's public number with the server's own, in hexadecimal.
//
// It is kv+g^b or, by chance, kv-g^b. Two is a square in this group, where RFC 5054
// has five: all powers of it are squares, -g^b is none, and of a wrong password
// B-k*g^x is one half of the time. Were it always one of the right password, anybody
// who asks often enough could sort out passwords without trying one.
func (v Verifier) Begin(rand io.Reader, a *big.Int) (x Exchange, public string, err error) {
	private := make([]byte, privateSize+1)
	if _, err := io.ReadFull(rand, private); err != nil {
		return x, "", fmt.Errorf("make private number: %w", err)
	}
	x = Exchange{A: a.Bytes(), B: private[1:], Negative: private[0]&1 == 1}
	b := new(big.Int).Exp(generator, number(x.B), modulus)
	if x.Negative {
		b.Neg(b)
	}
	b.Add(b, new(big.Int).Mul(multiplier, number(v.V)))
	b.Mod(b, modulus)
	x.U = digest(bytesOf(a), bytesOf(b))
	if b.Sign() == 0 || number(x.U).Sign() == 0 { // RFC 2945 3.1; nobody will see it
		return x, "", errors.New("make public number: it is 0")
	}
	return x, hex.EncodeToString(bytesOf(b)), nil
}

// Statement is what a client signs who knows the password.
type Statement struct {
	Pool, User string
	Block      []byte // of the challenge
	Timestamp  string
}

// Signed reports whether a client signed a statement with the password's key.
func (v Verifier) Signed(x Exchange, by Statement, signature []byte) (bool, error) {
	u := number(x.U)
	s := new(big.Int).Exp(number(v.V), u, modulus)
	s.Mul(s, number(x.A))
	s.Mod(s, modulus)
	s.Exp(s, number(x.B), modulus)
	plain, err := by.signature(s, u)
	if err != nil {
		return false, err
	}
	// Of -g^b the client gets s or -s, by whether its exponent is even.
	other, err := by.signature(s.Sub(modulus, s), u)
	if err != nil {
		return false, err
	}
	one, two := hmac.Equal(plain, signature), hmac.Equal(other, signature)
	return one || two && x.Negative, nil
}

func (t Statement) signature(s, u *big.Int) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, bytesOf(s), bytesOf(u), "Caldera Derived Key", keySize)
	if err != nil {
		return nil, fmt.Errorf("draw key: %w", err)
	}
	h := hmac.New(sha256.New, key)
	for _, part := range [][]byte{[]byte(t.Pool), []byte(t.User), t.Block, []byte(t.Timestamp)} {
		h.Write(part)
	}
	return h.Sum(nil), nil
}
