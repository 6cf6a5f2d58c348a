package backup

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// A Key seals archives, opens them, or both. The zero value does neither.
type Key struct {
	recipients []age.Recipient
	identities []age.Identity
}

// Format hides what it holds from logs and errors, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// MinPassphrase is the least that a passphrase has, in bytes: an archive can be
// tried without end by whoever finds it.
const MinPassphrase = 12

// ErrWrongKey says that an archive was sealed for another key.
var ErrWrongKey = errors.New("it was sealed with another key")

// Passphrase seals and opens with a passphrase.
func Passphrase(text string) (Key, error) {
	if len(text) < MinPassphrase {
		return Key{}, fmt.Errorf("a passphrase needs %d characters at least", MinPassphrase)
	}
	to, err := age.NewScryptRecipient(text)
	if err != nil {
		return Key{}, err
	}
	by, err := age.NewScryptIdentity(text)
	if err != nil {
		return Key{}, err
	}
	return Key{recipients: []age.Recipient{to}, identities: []age.Identity{by}}, nil
}

// Recipients seals for the holders of age keys, each given by its public part,
// age1..., and opens nothing.
func Recipients(public []string) (Key, error) {
	var k Key
	for _, text := range public {
		r, err := age.ParseX25519Recipient(strings.TrimSpace(text))
		if err != nil {
			return Key{}, fmt.Errorf("%q is no age recipient, such as age-keygen prints", text)
		}
		k.recipients = append(k.recipients, r)
	}
	return k, nil
}

// Identities opens with the age keys that a file of age-keygen holds.
func Identities(file io.Reader) (Key, error) {
	all, err := age.ParseIdentities(io.LimitReader(file, 1<<20))
	if err != nil {
		return Key{}, errors.New("it holds no age identity, such as age-keygen writes") // the cause may quote it
	}
	return Key{identities: all}, nil
}

// Seals reports whether the key can seal.
func (k Key) Seals() bool { return len(k.recipients) > 0 }

func (k Key) seal(w io.Writer) (io.WriteCloser, error) {
	if !k.Seals() {
		return nil, errors.New("seal archive: no key")
	}
	return age.Encrypt(w, k.recipients...)
}

func (k Key) open(r io.Reader) (io.Reader, error) {
	if len(k.identities) == 0 {
		return nil, errors.New("open archive: no key")
	}
	plain, err := age.Decrypt(r, k.identities...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, fmt.Errorf("open archive: %w", ErrWrongKey)
	case err != nil:
		return nil, fmt.Errorf("open archive: %w: %w", ErrDamaged, err)
	}
	return plain, nil
}
