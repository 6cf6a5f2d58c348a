// Package wire holds what services and fronts write most often between the optional
// members of generated shapes and values of Go.
package wire

import (
	"crypto/rand"
	"errors"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Text is the text of a member, empty for one that is not set.
func Text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Optional is the member for a text: the empty one is not set.
func Optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// True reports whether a member is set and true.
func True(b *bool) bool { return b != nil && *b }

// Page is the part of a listing that is asked for, of usual items where nobody says
// how many.
func Page(size *int32, token *string, usual int) store.Page {
	p := store.Page{Size: usual, Token: Text(token)}
	if size != nil {
		p.Size = int(*size)
	}
	return p
}

// PageFault words what is wrong with a page, in the words of AgentCore's services.
func PageFault(err error) error {
	if errors.Is(err, store.ErrBadToken) {
		return fault.Invalid("nextToken", "nextToken is not one that this operation returned")
	}
	return err
}

// TailLength is that of the random part of most ids.
const TailLength = 10

// RandomTail returns that many random characters of an alphabet.
func RandomTail(alphabet string) string {
	var b [TailLength]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	for i := range b {
		// Few alphabets divide 256: some characters are a little likelier, which matters
		// to nobody in a name.
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b[:])
}
