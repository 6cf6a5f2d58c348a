// Package fault holds the one error type whose text may reach a caller.
//
// Everything else that goes wrong is an internal error: it is logged with its
// cause and the caller is told nothing but "An internal error occurred".
package fault

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Error is a refusal with the name a client's SDK knows, the HTTP status and a
// text that is safe to show. The zero value is not useful; use New or one of
// the named constructors.
type Error struct {
	// Code is the modelled error name, for example ResourceNotFoundException.
	Code string
	// Status is the HTTP status the modelled error carries.
	Status int
	// Message is shown to the caller as it is.
	Message string
	// Reason is the `reason` member of a ValidationException, or empty.
	Reason string
	// Fields is the `fieldList` member of a ValidationException.
	Fields []Field
	// Members are further modelled members of the error, by wire name
	// (S3 writes its Key and BucketName this way).
	Members map[string]string
	// Header is added to the answer (WWW-Authenticate, Allow, x-outcrop-refused).
	Header http.Header
	// Body is what is written in place of the wire's own form of an error, where
	// another protocol is spoken inside it; Header has its Content-Type.
	Body []byte

	cause error
}

// Field is one entry of a ValidationException's fieldList.
type Field struct {
	Name    string
	Message string
}

// The reasons a ValidationException can carry (spec/runtime.md 1.1).
const (
	ReasonCannotParse       = "CannotParse"
	ReasonFieldValidation   = "FieldValidationFailed"
	ReasonParameterMismatch = "IdempotentParameterMismatchException"
	ReasonEventInOtherSess  = "EventInOtherSession"
	ReasonResourceConflict  = "ResourceConflict"
)

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Unwrap returns the internal cause; it never reaches a caller.
func (e *Error) Unwrap() error { return e.cause }

// Because returns a copy of e that carries cause for the log.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// New returns an error with a modelled name, its status and a safe text.
func New(code string, status int, format string, args ...any) *Error {
	return &Error{Code: code, Status: status, Message: fmt.Sprintf(format, args...)}
}

// BadRequest is New with the status that most of the modelled errors carry.
func BadRequest(code, format string, args ...any) *Error {
	return New(code, http.StatusBadRequest, format, args...)
}

// Validation refuses a value that can be put right by the caller.
func Validation(format string, args ...any) *Error {
	e := New("ValidationException", http.StatusBadRequest, format, args...)
	e.Reason = ReasonFieldValidation
	return e
}

// Invalid refuses the value of a member, which stands in the fieldList by its path.
func Invalid(field, format string, args ...any) *Error {
	e := Validation(format, args...)
	e.Fields = []Field{{Name: field, Message: e.Message}}
	return e
}

// Malformed refuses a body or parameter that cannot be parsed at all.
func Malformed(format string, args ...any) *Error {
	e := New("ValidationException", http.StatusBadRequest, format, args...)
	e.Reason = ReasonCannotParse
	return e
}

// Denied refuses a caller who is known but not allowed, or not known.
func Denied(format string, args ...any) *Error {
	return New("AccessDeniedException", http.StatusForbidden, format, args...)
}

// NotFound says that a resource is not there.
func NotFound(format string, args ...any) *Error {
	return New("ResourceNotFoundException", http.StatusNotFound, format, args...)
}

// Conflict says that the resource's state or name forbids the change.
func Conflict(format string, args ...any) *Error {
	return New("ConflictException", http.StatusConflict, format, args...)
}

// Retryable is a conflict that SDKs retry by themselves.
func Retryable(format string, args ...any) *Error {
	return New("RetryableConflictException", http.StatusConflict, format, args...)
}

// Quota says that a limit of the account or of this host is reached.
func Quota(format string, args ...any) *Error {
	return New("ServiceQuotaExceededException", http.StatusPaymentRequired, format, args...)
}

// Throttled asks the caller to slow down.
func Throttled(format string, args ...any) *Error {
	return New("ThrottlingException", http.StatusTooManyRequests, format, args...)
}

// RuntimeClient says that the caller's own agent failed (424).
func RuntimeClient(format string, args ...any) *Error {
	return New("RuntimeClientError", http.StatusFailedDependency, format, args...)
}

// Internal hides cause behind AWS's opaque sentence (spec/runtime.md 1.1).
func Internal(cause error) *Error {
	e := New("InternalServerException", http.StatusInternalServerError, "An internal error occurred. Please retry later.")
	e.cause = cause
	return e
}

// From returns the *Error in err's chain, or Internal(err) when there is none.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Internal(err)
}

// Is reports whether err carries a fault with the given modelled name.
func Is(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// Clip is what a stranger wrote as a refusal may repeat it: most bytes of it, and no half
// of a character.
func Clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
