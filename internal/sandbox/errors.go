package sandbox

import "errors"

// The errors of the contract, to be tested with errors.Is.
var (
	// ErrInvalid: the Spec cannot be run by any engine; the text names the field.
	ErrInvalid = errors.New("invalid sandbox spec")
	// ErrExists: a live sandbox has this id.
	ErrExists = errors.New("sandbox exists")
	// ErrClosed: the engine was closed.
	ErrClosed = errors.New("sandbox engine is closed")
	// ErrCommand: the guest's command could not be executed (not found, not
	// executable, no such working directory). The error is a *CommandError.
	ErrCommand = errors.New("command cannot be executed")
	// ErrSnapshot: the snapshot cannot be resumed here; a start without it may
	// succeed.
	ErrSnapshot = errors.New("snapshot cannot be resumed")
	// ErrUnsavable: the guest cannot be saved, or copies of it would not be
	// unique; the text says why.
	ErrUnsavable = errors.New("sandbox cannot be saved")
	// ErrRefused: nothing listens on the dialled port.
	ErrRefused = errors.New("connection refused by the guest")
	// ErrStopped: the sandbox has ended.
	ErrStopped = errors.New("sandbox has stopped")
	// ErrUnavailable: this machine cannot run sandboxes as it is. The error is
	// an *UnavailableError, which carries the fix.
	ErrUnavailable = errors.New("sandboxes are not available")
)

// CommandError says why a guest's command could not be executed. It matches
// ErrCommand.
type CommandError struct {
	// Reason names the command or the directory and what is wrong with it, and
	// nothing of the sandbox's own name.
	Reason string
}

// Error returns the reason.
func (e *CommandError) Error() string { return ErrCommand.Error() + ": " + e.Reason }

// Is matches ErrCommand.
func (e *CommandError) Is(target error) bool { return target == ErrCommand }

// UnavailableError says why a machine cannot run sandboxes and what changes
// that. It matches ErrUnavailable.
type UnavailableError struct {
	// Reason is one sentence without a final full stop.
	Reason string
	// Fix is what a person does about it, commands included.
	Fix string
	// Err is the cause, if there is one.
	Err error
}

// Error returns the reason and the fix.
func (e *UnavailableError) Error() string {
	text := ErrUnavailable.Error() + ": " + e.Reason
	if e.Fix != "" {
		text += "; " + e.Fix
	}
	return text
}

// Is matches ErrUnavailable.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }
