package sigv4

import (
	"fmt"

	"github.com/outcrop/outcrop/internal/fault"
)

// Kind is a reason for refusing a request.
type Kind uint8

// The reasons. Their names, statuses and texts are in the table of families.
const (
	Missing            Kind = iota + 1 // the request carries no SigV4 at all
	Unsupported                        // another scheme or algorithm
	TwoMechanisms                      // header and query form, or one of them twice
	Malformed                          // the authentication itself cannot be parsed
	MissingDate                        // no usable time of signing
	BadExpires                         // X-Amz-Expires out of range
	MalformedQuery                     // the query string cannot be parsed
	WrongTerminator                    // scope does not end in aws4_request
	WrongDate                          // scope has another date than the request
	WrongService                       // scope names another service
	WrongRegion                        // scope names another region
	HostNotSigned                      // the Host header is not signed
	HeaderNotSigned                    // a header that must be signed is not
	UnknownKey                         // no such access key
	BadToken                           // the security token is not the key's
	ExpiredToken                       // the temporary credentials are over
	Expired                            // signed too long ago
	NotYetValid                        // signed in the future
	PresignedExpired                   // presigned URL past its life
	PresignedNotYet                    // presigned URL of the future
	Mismatch                           // the signature is another one
	BadContentHash                     // x-amz-content-sha256 has no known form
	MissingContentHash                 // x-amz-content-sha256 is required
	ContentMismatch                    // the body has another hash than was signed
	IncompleteBody                     // the body ended early or has another length
	TooLarge                           // the body exceeds the limit
	MissingLength                      // x-amz-decoded-content-length is required
	MalformedChunk                     // the aws-chunked framing is broken
	SmallChunk                         // a chunk before the last is under 8 KiB
	MalformedTrailer                   // trailing headers are not what was announced
	TooMuchUnproven                    // too much waits for its proof (Unproven)
	kinds
)

// Error is a refusal before it is known in which family's words to say it. It
// becomes a fault.Error by Family.Fault; left alone it reads as the JSON
// family's, so that it is never mistaken for an internal error.
type Error struct {
	Kind Kind
	// What fills the places {0}, {1} and {2} of the text.
	what [3]string
	// presigned selects S3's wording for the query form.
	presigned bool
	// members are further members of S3's error body.
	members map[string]string
	cause   error
}

func refuse(kind Kind, what ...string) *Error {
	e := &Error{Kind: kind}
	copy(e.what[:], what)
	return e
}

// with adds a member to S3's error body.
func (e *Error) with(name, value string) *Error {
	if e.members == nil {
		e.members = map[string]string{}
	}
	e.members[name] = value
	return e
}

// because keeps the cause for the log.
func (e *Error) because(cause error) *Error {
	e.cause = cause
	return e
}

func (e *Error) Error() string {
	f := JSON.Fault(e)
	if e.cause != nil {
		return fmt.Sprintf("verify signature: %v: %v", f, e.cause)
	}
	return "verify signature: " + f.Error()
}

// Unwrap returns the internal cause.
func (e *Error) Unwrap() error { return e.cause }

// As makes errors.As find the JSON family's fault.
func (e *Error) As(target any) bool {
	t, ok := target.(**fault.Error)
	if ok {
		*t = JSON.Fault(e)
	}
	return ok
}
