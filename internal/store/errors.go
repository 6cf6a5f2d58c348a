package store

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// The errors of the contract, to be told apart with errors.Is.
var (
	// ErrNotFound says that the document, row, lease or item is not there.
	ErrNotFound = errors.New("not found")
	// ErrExists says that an id or name is taken; the chain holds an *ExistsError.
	ErrExists = errors.New("exists already")
	// ErrStale says that a document was changed since it was read.
	ErrStale = errors.New("changed since it was read")
	// ErrBadToken says that a page token is not one of this listing.
	ErrBadToken = errors.New("page token is not valid for this listing")
	// ErrTokenMismatch says that an idempotency token came with another request.
	ErrTokenMismatch = errors.New("idempotency token was used with another request")
	// ErrHeld says that a lease belongs to somebody else; the chain holds a *HeldError.
	ErrHeld = errors.New("lease is held")
	// ErrLost says that a lease or a claim is no longer the caller's.
	ErrLost = errors.New("lease is lost")
	// ErrInvalid says that the caller broke the contract (no scope, bad JSON).
	ErrInvalid = errors.New("not valid")
	// ErrFull says that the disk, or the quota on it, is full. Nothing was written.
	ErrFull = errors.New("disk is full")
	// ErrNewer says that the data was written by a newer version of the program.
	ErrNewer = errors.New("data was written by a newer version")
	// ErrForeign says that the file is not one of ours or is damaged. The error is
	// an fs.PathError, too, which names the file.
	ErrForeign = errors.New("file is not a store of this program")
	// ErrInUse says that another process has the store open.
	ErrInUse = errors.New("store is in use by another process")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store is closed")
)

// ExistsError names what is taken.
type ExistsError struct {
	Kind string
	// Field is "id" or "name".
	Field string
	// Value is the id or name that is taken.
	Value string
}

func (e *ExistsError) Error() string {
	return fmt.Sprintf("%s with %s %q exists already", e.Kind, e.Field, e.Value)
}

// Is makes an ExistsError match ErrExists.
func (e *ExistsError) Is(target error) bool { return target == ErrExists }

// HeldError names the holder of a lease and when it runs out.
type HeldError struct {
	Name    string
	Owner   Owner
	Expires time.Time
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("lease %q is held by %s until %s", e.Name, e.Owner, e.Expires.Format(time.RFC3339))
}

// Is makes a HeldError match ErrHeld.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// IsFull reports whether an error is one of a full disk or quota, whoever met it:
// a store or a file.
func IsFull(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
