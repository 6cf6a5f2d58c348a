// Package secret keeps what must not be seen: in memory by types that refuse to
// print themselves, on disk by envelope encryption.
//
// Each value is encrypted under a data key of its own (AES-256-GCM, by Tink),
// bound to its owner so that a sealed value moved to another record does not
// open. The data key is encrypted by a Keeper: a key file beside the data, or a
// key management service.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// redacted is what every rendering of a secret shows.
const redacted = "[redacted]"

// String is text that is never shown by fmt, slog, JSON or any other encoder
// that knows text. The zero value is empty. It holds a pointer, so that even a
// struct that hides it in an unexported field prints no more than an address.
type String struct{ p *string }

// NewString returns s as a secret.
func NewString(s string) String { return String{&s} }

// Reveal returns the text. It is the only way to it.
func (s String) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// Empty reports whether there is nothing to hide.
func (s String) Empty() bool { return s.Reveal() == "" }

// Equal compares in time that depends on the lengths only.
func (s String) Equal(t String) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

// Bytes returns the text as Bytes.
func (s String) Bytes() Bytes { return Bytes(s) }

func (String) String() string               { return redacted }
func (String) GoString() string             { return redacted }
func (String) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redacted) }
func (String) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (String) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (String) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// Bytes is String for bytes.
type Bytes struct{ p *string } // fmt follows a pointer to a slice, not one to a string

// NewBytes returns a copy of b as a secret.
func NewBytes(b []byte) Bytes {
	s := string(b)
	return Bytes{&s}
}

// Reveal returns a copy of the bytes. It is the only way to them.
func (b Bytes) Reveal() []byte {
	if b.p == nil {
		return nil
	}
	return []byte(*b.p)
}

// Empty reports whether there is nothing to hide.
func (b Bytes) Empty() bool { return b.Text().Empty() }

// Equal compares in time that depends on the lengths only.
func (b Bytes) Equal(c Bytes) bool { return b.Text().Equal(c.Text()) }

// Text returns the bytes as a String.
func (b Bytes) Text() String { return String(b) }

func (Bytes) String() string               { return redacted }
func (Bytes) GoString() string             { return redacted }
func (Bytes) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redacted) }
func (Bytes) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Bytes) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (Bytes) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
