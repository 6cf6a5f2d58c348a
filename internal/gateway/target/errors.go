package target

import (
	"encoding/json"
	"fmt"
)

// Failure is a call that the target, or the way there, did not answer as it should. It
// becomes a result with isError set, so that a model can read it.
type Failure struct {
	// Text says what happened. A caller reads it where the gateway's exceptionLevel is
	// DEBUG; it holds no secret.
	Text string
	// Type is a word for logs and spans, such as LambdaException.
	Type string
	// Shown is set where the caller reads Text whatever the gateway's exceptionLevel.
	Shown bool
	Err   error
}

// Error implements error.
func (f *Failure) Error() string {
	if f.Err != nil {
		return f.Text + ": " + f.Err.Error()
	}
	return f.Text
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Fail is a Failure of a type whose text is formatted.
func Fail(kind string, cause error, format string, args ...any) *Failure {
	return &Failure{Type: kind, Err: cause, Text: fmt.Sprintf(format, args...)}
}

// Error is an error of JSON-RPC, told to the caller as it is.
type Error struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("JSON-RPC error %d: %s", e.Code, e.Message) }

// Asked says that the caller has to do something before the call can be answered: its
// result is one of type input_required, which callers know since 2026-07-28.
type Asked struct{ Result json.RawMessage }

// Error implements error.
func (a *Asked) Error() string { return "the caller is asked for more first" }

// Unfit is a target that cannot be served as it is set up. Its reasons become the
// target's statusReasons: each names the place, what is wrong and the way out.
type Unfit struct{ Reasons []string }

// Error implements error.
func (u *Unfit) Error() string {
	switch len(u.Reasons) {
	case 0:
		return "the target cannot be served"
	case 1:
		return u.Reasons[0]
	}
	return fmt.Sprintf("%s (and %d more)", u.Reasons[0], len(u.Reasons)-1)
}

// Unfitf is an Unfit of one reason.
func Unfitf(format string, args ...any) *Unfit {
	return &Unfit{Reasons: []string{fmt.Sprintf(format, args...)}}
}

// Consent says that somebody has to agree at a page before the gateway can ask the
// target what it offers (spec/gateway.md 4.4).
type Consent struct {
	// URL is the page; UserID is who agrees there, as CompleteResourceTokenAuth names them.
	URL, UserID string
}

// Error implements error.
func (c *Consent) Error() string { return "somebody has to authorize the gateway first" }
