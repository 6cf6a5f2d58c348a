package principal

import (
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"

	"github.com/outcrop/outcrop/internal/secret"
)

// The prefixes of access key ids, which tell what a key is.
const (
	prefixLong      = "AKIA" // of an account or a user, until deleted
	prefixTemporary = "ASIA" // with a session token, until it expires
)

// NewAccountID returns 12 random digits. The first is not 0, which some tools
// lose by reading the id as a number.
func NewAccountID(rand io.Reader) (string, error) {
	id := make([]byte, 0, 12)
	var b [1]byte
	for len(id) < cap(id) {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return "", fmt.Errorf("make account id: %w", err)
		}
		// 250 is the largest multiple of 10 in a byte: each digit is as likely.
		if digit := b[0] % 10; b[0] < 250 && (digit > 0 || len(id) > 0) {
			id = append(id, '0'+digit)
		}
	}
	return string(id), nil
}

// newAccessKeyID returns a prefix and 16 letters of base32.
func newAccessKeyID(rand io.Reader, prefix string) (string, error) {
	raw := make([]byte, 10)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return "", fmt.Errorf("make access key id: %w", err)
	}
	return prefix + base32.StdEncoding.EncodeToString(raw), nil
}

// newSecretKey returns 40 letters of base64: 240 random bits.
func newSecretKey(rand io.Reader) (secret.String, error) {
	raw := make([]byte, 30)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return secret.String{}, fmt.Errorf("make secret access key: %w", err)
	}
	return secret.NewString(base64.StdEncoding.EncodeToString(raw)), nil
}

// isAccessKeyID reports whether id has the form of one of ours, so that
// anything else is turned away without asking the store.
func isAccessKeyID(id string) bool {
	if len(id) != 20 || id[:4] != prefixLong && id[:4] != prefixTemporary {
		return false
	}
	for i := 4; i < len(id); i++ {
		if c := id[i]; (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}
