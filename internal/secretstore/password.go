package secretstore

import (
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/outcrop/outcrop/internal/secret"
)

// The alphabets of passwords, as Secrets Manager has them.
const (
	lower       = "abcdefghijklmnopqrstuvwxyz"
	upper       = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits      = "0123456789"
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	mixed       = lower + upper + digits
)

// Password says what a password is made of. The zero value is of all letters,
// digits and punctuation, 32 of them, without a space, and one of each at least.
type Password struct {
	Length                                   int
	Exclude                                  string
	NoNumbers, NoPunctuation, NoUpper, NoLow bool
	Space                                    bool
	// AnyTypes lets a password lack one of the types.
	AnyTypes bool
}

// The length of a password (Secrets Manager's API reference, GetRandomPassword).
const (
	DefaultPassword = 32
	MaxPassword     = 4096
)

// Password makes one.
func (s *Secrets) Password(p Password) (secret.String, error) {
	if p.Length == 0 {
		p.Length = DefaultPassword
	}
	if p.Length < 1 || p.Length > MaxPassword {
		return secret.String{}, InvalidParameter("PasswordLength must be 1 to %d", MaxPassword)
	}
	var types []string
	for _, t := range []struct {
		letters string
		out     bool
	}{{lower, p.NoLow}, {upper, p.NoUpper}, {digits, p.NoNumbers}, {punctuation, p.NoPunctuation}, {" ", !p.Space}} {
		left := strings.Map(func(r rune) rune {
			if strings.ContainsRune(p.Exclude, r) {
				return -1
			}
			return r
		}, t.letters)
		if !t.out && left != "" {
			types = append(types, left)
		}
	}
	all := strings.Join(types, "")
	if all == "" {
		return secret.String{}, InvalidParameter("Every character is excluded; leave some")
	}
	if !p.AnyTypes && p.Length < len(types) {
		return secret.String{}, InvalidParameter("A password of %d characters has no room for one of each of %d types", p.Length, len(types))
	}
	return s.password(p, types, all)
}

// password takes one letter of each type, fills up, and shuffles.
func (s *Secrets) password(p Password, types []string, all string) (secret.String, error) {
	out := make([]byte, 0, p.Length)
	if !p.AnyTypes {
		for _, t := range types {
			l, err := letters(s.cfg.Rand, t, 1)
			if err != nil {
				return secret.String{}, err
			}
			out = append(out, l...)
		}
	}
	rest, err := letters(s.cfg.Rand, all, p.Length-len(out))
	if err != nil {
		return secret.String{}, err
	}
	out = append(out, rest...)
	for i := len(out) - 1; i > 0; i-- {
		j, err := below(s.cfg.Rand, i+1)
		if err != nil {
			return secret.String{}, err
		}
		out[i], out[j] = out[j], out[i]
	}
	return secret.NewString(string(out)), nil
}

// letters returns n random letters of an alphabet.
func letters(rand io.Reader, alphabet string, n int) (string, error) {
	out := make([]byte, n)
	for i := range out {
		at, err := below(rand, len(alphabet))
		if err != nil {
			return "", err
		}
		out[i] = alphabet[at]
	}
	return string(out), nil
}

// below returns a random number from 0 to n-1: 16 bytes make each as likely, as far
// as anybody could tell.
func below(rand io.Reader, n int) (int, error) {
	var b [16]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return 0, fmt.Errorf("make random number: %w", err)
	}
	x := new(big.Int).SetBytes(b[:])
	return int(x.Mod(x, big.NewInt(int64(n))).Int64()), nil
}
