package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/outcrop/outcrop/internal/bundle"
	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/store"
)

// failure is an error as a person reads it.
type failure struct {
	text   string // what is wrong, on one line
	fix    string // what to do; commands are on lines of their own
	code   int    // exit code; 0 is exitFailure
	silent bool   // everything was said before
	cause  error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

// fail is a failure with what to do about it; fix may be empty.
func fail(fix, format string, args ...any) *failure {
	err := fmt.Errorf(format, args...)
	return &failure{text: err.Error(), fix: fix, cause: errors.Unwrap(err)}
}

// misuse is a failure of the one who typed the command.
func misuse(format string, args ...any) *failure {
	f := fail("", format, args...)
	f.code = exitUsage
	return f
}

// explain makes any error a failure.
func (p *Program) explain(ctx context.Context, err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	raw := err
	err = client.Explain(err)
	var (
		refused     *client.Error
		unreachable *client.UnreachableError
		lost        *client.LostError
		foreign     *client.NotOutcropError
		unpackable  *bundle.Error
		operation   *smithy.OperationError
	)
	switch {
	case errors.As(err, &refused):
		return explainRefusal(refused)
	case errors.As(err, &unreachable):
		return p.explainUnreachable(unreachable)
	case errors.As(err, &lost):
		return p.explainLost(ctx, lost)
	case errors.As(err, &foreign):
		return p.explainForeign(foreign)
	case errors.As(err, &unpackable):
		return &failure{text: unpackable.Reason, fix: unpackable.Fix, cause: err}
	case store.IsFull(err):
		return fail("Free some space, then try again.", "the disk is full: %w", err)
	case errors.Is(err, fs.ErrPermission):
		return fail("Run outcrop as the user who owns the file.", "%w", err)
	}
	if text := err.Error(); strings.HasPrefix(text, "unknown command") { // cobra has no type for it
		text, said, _ := strings.Cut(text, "\n")
		typed := strings.Split(text, `"`)[1]
		var like []string
		for line := range strings.Lines(said) {
			if name, ok := strings.CutPrefix(line, "\t"); ok {
				like = append(like, strings.TrimSpace(name))
			}
		}
		return &failure{text: text, fix: didYouMean("outcrop", typed, like) + "See: outcrop --help", code: exitUsage}
	}
	if errors.As(err, &operation) { // none of the known ways to fail; its own text is long and says the same thrice
		return fail("--verbose shows the error in full.", "%s failed: %w", operation.OperationName, innermost(err))
	}
	return &failure{text: raw.Error(), cause: err}
}

// didYouMean proposes the commands of parent that are like what was typed, those
// that begin like it if there are any; it ends with a line end unless it is empty.
func didYouMean(parent, typed string, like []string) string {
	first := slices.DeleteFunc(slices.Clone(like), func(name string) bool { return typed == "" || name[0] != typed[0] })
	if len(first) > 0 {
		like = first
	}
	for i, name := range like {
		like[i] = parent + " " + name
	}
	switch len(like) {
	case 0:
		return ""
	case 1:
		return "Did you mean this? " + like[0] + "\n"
	}
	return "Did you mean one of these? " + strings.Join(like, ", ") + "\n"
}

// innermost is the error that all others were wrapped around.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// explainRefusal adds what to do to what the server said.
func explainRefusal(e *client.Error) *failure {
	f := &failure{text: e.Error(), cause: e}
	if e.Code != "" && e.Code != f.text {
		f.text = e.Code + ": " + f.text
	}
	if clockRefused(e) {
		f.fix = "The clocks of this machine and the server differ by more than 5 minutes; by how much: outcrop doctor\n" + clockFix
		return f
	}
	switch e.Code {
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "SignatureDoesNotMatch",
		"InvalidSignatureException", "IncompleteSignatureException", "MissingAuthenticationTokenException":
		f.fix = "The server does not know this access key. Take its own:\neval \"$(outcrop env --unset)\"; eval \"$(outcrop env)\""
	case "ExpiredTokenException", "ExpiredToken":
		f.fix = "The session token of this shell has expired. Take the server's own key:\neval \"$(outcrop env --unset)\"; eval \"$(outcrop env)\""
	case "RetryableConflictException":
		f.fix = "The session is being stopped, which takes up to 15 s. Try again then."
	case "InternalServerException", "InternalError", "InternalFailure":
		f.fix = "The server's own log says more."
		if e.RequestID != "" {
			f.fix = "The server's own log says more, at request " + e.RequestID + "."
		}
	}
	return f
}

// clockFix sets a clock on a machine with systemd.
const clockFix = "Set the one that is wrong, for example: sudo timedatectl set-ntp true"

// clockRefused reports whether a signature was refused for its time alone. Only
// S3 has a code for that; the others put AWS's words into that of any signature.
func clockRefused(e *client.Error) bool {
	switch e.Code {
	case "RequestTimeTooSkewed", "RequestExpired":
		return true
	}
	return strings.HasPrefix(e.Message, "Signature expired:") || strings.HasPrefix(e.Message, "Signature not yet current:")
}
