// Package checksum computes the checksums that S3 keeps beside an object, and
// those of a whole from those of its parts.
package checksum

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"strconv"
	"strings"
)

// Algorithm is a checksum algorithm by the name S3 gives it; empty is none.
type Algorithm string

// The algorithms of S3.
const (
	CRC32     Algorithm = "CRC32"
	CRC32C    Algorithm = "CRC32C"
	CRC64NVME Algorithm = "CRC64NVME"
	SHA1      Algorithm = "SHA1"
	SHA256    Algorithm = "SHA256"
)

// Default is what S3 computes when the caller asks for nothing.
const Default = CRC64NVME

// Algorithms lists them all.
func Algorithms() []Algorithm { return []Algorithm{CRC32, CRC32C, CRC64NVME, SHA1, SHA256} }

// Type says what the checksum of a multipart object was computed over.
type Type string

const (
	// FullObject is over the bytes of the object.
	FullObject Type = "FULL_OBJECT"
	// Composite is over the checksums of the parts.
	Composite Type = "COMPOSITE"
)

// The reversed polynomials. CRC-64/NVME is the one of the NVM Express
// specification, with all bits set before and inverted after, like the others.
const (
	poly32     = crc32.IEEE
	poly32C    = crc32.Castagnoli
	poly64NVME = 0x9a6c9329ac4bc9b5
)

// Valid reports whether a is one of the five.
func (a Algorithm) Valid() bool { return a.Size() > 0 }

// Size is the length of a checksum in bytes, 0 for an unknown algorithm.
func (a Algorithm) Size() int {
	switch a {
	case CRC32, CRC32C:
		return crc32.Size
	case CRC64NVME:
		return crc64.Size
	case SHA1:
		return sha1.Size
	case SHA256:
		return sha256.Size
	}
	return 0
}

// New returns a hash of the algorithm, which must be valid.
func (a Algorithm) New() hash.Hash {
	switch a {
	case CRC32:
		return crc32.NewIEEE()
	case CRC32C:
		return crc32.New(crc32.MakeTable(poly32C))
	case SHA1:
		return sha1.New()
	case SHA256:
		return sha256.New()
	}
	return crc64.New(crc64.MakeTable(poly64NVME))
}

// Allows reports whether a multipart upload can have a checksum of that type: a
// digest cannot be put together from those of the parts, and S3 makes no
// composite of CRC64NVME.
func (a Algorithm) Allows(t Type) bool {
	switch a {
	case CRC32, CRC32C:
		return t == FullObject || t == Composite
	case CRC64NVME:
		return t == FullObject
	case SHA1, SHA256:
		return t == Composite
	}
	return false
}

// DefaultType is the type of a multipart upload that does not name one.
func (a Algorithm) DefaultType() Type {
	if a == CRC64NVME {
		return FullObject
	}
	return Composite
}

// Encode writes a checksum as S3 does, in base64.
func Encode(sum []byte) string { return base64.StdEncoding.EncodeToString(sum) }

// Decode reads a checksum of the algorithm; false when it is not one.
func (a Algorithm) Decode(text string) ([]byte, bool) {
	// The length too, because the decoder passes over line ends.
	if len(text) != base64.StdEncoding.EncodedLen(a.Size()) {
		return nil, false
	}
	sum, err := base64.StdEncoding.Strict().DecodeString(text)
	return sum, err == nil && a.Valid() && len(sum) == a.Size()
}

// EncodeComposite writes a composite checksum: base64, a hyphen and the number
// of parts.
func EncodeComposite(sum []byte, parts int) string {
	return Encode(sum) + "-" + strconv.Itoa(parts)
}

// TrimParts cuts the "-N" of a composite checksum off; callers may send it with
// or without.
func TrimParts(text string) string {
	if sum, n, ok := strings.Cut(text, "-"); ok {
		if _, err := strconv.ParseUint(n, 10, 16); err == nil {
			return sum
		}
	}
	return text
}

// Part is the checksum of one part and its length in bytes.
type Part struct {
	Sum  []byte
	Size int64
}

// Of returns the checksum of the whole from the checksums of its parts, in their
// order.
func Of(a Algorithm, t Type, parts []Part) ([]byte, error) {
	if !a.Allows(t) {
		return nil, fmt.Errorf("compute %s checksum: %s cannot be %s", a, a, t)
	}
	for i, p := range parts {
		if len(p.Sum) != a.Size() {
			return nil, fmt.Errorf("compute %s checksum: part %d has %d bytes of it", a, i+1, len(p.Sum))
		}
	}
	if t == Composite {
		h := a.New()
		for _, p := range parts {
			h.Write(p.Sum)
		}
		return h.Sum(nil), nil
	}
	return combine(a, parts), nil
}
