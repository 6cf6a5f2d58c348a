package telemetry

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
)

// A page token is a position in one listing, bound to it by a digest. It is
// checked and not secret: a position alone shows nothing that the listing would
// not show.
const sealSize = 8

func sealToken(listing string, position []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(seal(listing, position), position...))
}

func openToken(listing, token string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	// The decoder leaves line ends out: such a token is none that was made here.
	if err != nil || strings.ContainsAny(token, "\r\n") || len(b) < sealSize || !bytes.Equal(b[:sealSize], seal(listing, b[sealSize:])) {
		return nil, fmt.Errorf("open page token: %w", ErrBadToken)
	}
	return b[sealSize:], nil
}

func seal(listing string, position []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "1 %q ", listing)
	h.Write(position)
	return h.Sum(nil)[:sealSize]
}

// place is a position in an order of time and id.
type place struct {
	time, id int64
}

func (p place) token(listing string) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(p.time))
	binary.BigEndian.PutUint64(b[8:], uint64(p.id))
	return sealToken(listing, b[:])
}

func openPlace(listing, token string) (place, error) {
	b, err := openToken(listing, token)
	if err == nil && len(b) != 16 {
		err = fmt.Errorf("open page token: %w", ErrBadToken)
	}
	if err != nil {
		return place{}, err
	}
	return place{int64(binary.BigEndian.Uint64(b[:8])), int64(binary.BigEndian.Uint64(b[8:]))}, nil
}
