package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
)

// The bounds of a page.
const (
	DefaultPageSize = 100
	MaxPageSize     = 1000
)

// Page asks for a part of a listing.
type Page struct {
	// Size is the largest number of items; 0 is DefaultPageSize, more than
	// MaxPageSize is MaxPageSize.
	Size int
	// Token is Listing.Next of the page before, or empty for the first.
	Token string
	// Newest lists the youngest first.
	Newest bool
}

// Limit is the number of items the page asks for.
func (p Page) Limit() int {
	switch {
	case p.Size <= 0:
		return DefaultPageSize
	case p.Size > MaxPageSize:
		return MaxPageSize
	}
	return p.Size
}

// Listing is one page. Next is empty on the last one.
//
// Paging goes by the order of creation, so deleting any item, the last of a page
// included, neither repeats nor skips another; one created meanwhile comes at
// the end (or not at all, newest first).
type Listing[T any] struct {
	Items []T
	Next  string
}

const (
	pageVersion = 1
	sealSize    = 8
	tokenSize   = 1 + 8 + sealSize
)

// PageToken makes the opaque token that continues listing after position. The
// token is bound to the listing by a digest: it is checked, not secret, because
// the position alone gives nobody an item that the listing would not show.
func PageToken(listing string, position int64) string {
	var b [tokenSize]byte
	b[0] = pageVersion
	binary.BigEndian.PutUint64(b[1:], uint64(position))
	copy(b[9:], pageSeal(listing, position))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// PagePosition opens a token that PageToken made for the same listing; anything
// else is ErrBadToken. An empty token gives 0.
func PagePosition(listing, token string) (int64, error) {
	if token == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	// The decoder leaves line ends out: such a token is none that was made here.
	if err != nil || strings.ContainsAny(token, "\r\n") || len(b) != tokenSize || b[0] != pageVersion {
		return 0, fmt.Errorf("open page token: %w", ErrBadToken)
	}
	position := int64(binary.BigEndian.Uint64(b[1:]))
	if position < 0 || !bytes.Equal(b[9:], pageSeal(listing, position)) {
		return 0, fmt.Errorf("open page token: %w", ErrBadToken)
	}
	return position, nil
}

func pageSeal(listing string, position int64) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\x00%d\x00%s", pageVersion, position, listing))
	return sum[:sealSize]
}

// DocumentListing names a listing of documents for PageToken; the order is part
// of it, so that a token is not taken the other way round.
func DocumentListing(scope Scope, kind, parent string, newest bool) string {
	return fmt.Sprintf("documents %q %q %q %q %t", scope.Account, scope.Region, kind, parent, newest)
}

// AllListing names the listing of a kind in every scope.
func AllListing(kind string, newest bool) string {
	return fmt.Sprintf("all documents %q %t", kind, newest)
}
