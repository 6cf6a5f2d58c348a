// Package sigv4 verifies AWS Signature Version 4 on the server's side.
//
// A call goes through it in three steps, so that nothing is read or computed
// before it is needed:
//
//   - Parse reads who claims to have signed and for which service and region,
//     which is enough to route, and proves nothing.
//   - Verifier.Verify proves it: it returns the Identity or a refusal.
//   - Identity.Body gives the body in the form the signature allows: a body
//     whose hash is signed is read and checked whole before its first byte is
//     released, one signed in chunks is released chunk by chunk, and one that
//     is not signed streams.
//
// What AWS services do differently from each other (names and texts of errors,
// clock skew, the encoding of the path, which payload forms exist) is one table
// of families. The algorithm is the one of the AWS General Reference, "Signature
// Version 4 signing process", and of the S3 API reference, "Authenticating
// Requests". SigV4a (ECDSA) is refused by name.
package sigv4

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"

	// Week is the longest life of a presigned URL.
	Week = 7 * 24 * time.Hour
)

// Key is a credential as a KeySource knows it.
type Key struct {
	Principal auth.Principal
	// Secret is the secret access key. Formatting a Key never shows it.
	Secret string
}

// Format keeps the secret out of logs and errors, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "key %s [redacted]", k.Principal.ID) }

// KeySource finds credentials.
type KeySource interface {
	// Key returns the credential with that access key id. token is the security
	// token the request carried, or empty: the source checks that it belongs to
	// the key (in constant time) and has not expired, and that a key which has
	// none came without. Its errors are ErrUnknownKey, ErrBadToken and
	// ErrExpiredToken, wrapped or not; any other is internal.
	Key(ctx context.Context, accessKeyID, token string) (Key, error)
}

// What a KeySource answers when it has no valid key.
var (
	ErrUnknownKey   = errors.New("unknown access key")
	ErrBadToken     = errors.New("security token does not belong to the access key")
	ErrExpiredToken = errors.New("security token has expired")
)

// Claim is what a request says about its own signature. Nothing in it is proven
// until Verify has returned an Identity.
type Claim struct {
	// AccessKeyID, Date (YYYYMMDD), Region and Service are the credential scope.
	AccessKeyID, Date, Region, Service string
	// Presigned reports the query form.
	Presigned bool
	// Time is the time of signing.
	Time time.Time
	// Expires is the life of a presigned URL, counted from Time.
	Expires time.Duration
	// Token is the security token of temporary credentials, or empty.
	Token string
	// SignedHeaders are the names in lower case, in ascending order.
	SignedHeaders []string
	// ContentHash is the declared x-amz-content-sha256, or empty.
	ContentHash string

	terminator string
	signature  []byte
}

// scope returns the credential scope as it is signed.
func (c *Claim) scope() string {
	return c.Date + "/" + c.Region + "/" + c.Service + "/" + terminator
}

// Expect is what the caller of Verify knows about the call from its route.
type Expect struct {
	// Family decides error names and rules; zero means FamilyOf(Service).
	Family Family
	// Service and Region are what the credential must be scoped to. Empty
	// accepts what the client signed for.
	Service, Region string
	// MaxExpires bounds the life of a presigned URL; zero means Week.
	MaxExpires time.Duration
	// MaxBody bounds the decoded body in bytes; zero means Config.MaxBody.
	MaxBody int64
}
