// Package session owns the life of every sandboxed session: it starts one
// sandbox for a key however many ask at once, hands it to concurrent requests,
// and ends it when it has been idle too long, has lived too long, is stopped,
// or has died by itself.
//
// Where the engine can save guests, a session is restored from a snapshot of its
// version that was taken before the first request, and one that is idle may
// hibernate: it is saved, its memory is given back, and it comes back with the
// next request, also after a restart. Guests of a version can be kept restored for
// its next sessions. Who runs a session is a lease in the store, and what hibernates
// is resumed once.
//
// It knows no service. Who asks for a session says by a Plan what runs in it.
package session

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/store"
)

// The errors of Acquire and Stop.
var (
	// ErrNotFound says that there is no such session.
	ErrNotFound = errors.New("session not found")
	// ErrStopping says that the session is on its way out; a retry gets a new one.
	ErrStopping = errors.New("session is stopping")
	// ErrClosed says that the server shuts down.
	ErrClosed = errors.New("sessions are closed")
	// ErrLimit says that no more sessions fit.
	ErrLimit = errors.New("too many sessions")
	// ErrElsewhere says that another server runs the session.
	ErrElsewhere = errors.New("session runs on another server")
	// ErrNotReady is wrapped by StartError when the time for the start is over.
	ErrNotReady = errors.New("not ready in time")
	// ErrExited is wrapped by StartError when the guest ended before it was ready.
	ErrExited = errors.New("exited before it was ready")
	// ErrNotWarm is wrapped by StartError when the guest was ready and its Warmup
	// failed.
	ErrNotWarm = errors.New("warm-up failed")
)

// LifetimeError is why a session was stopped that has lived for its Plan's MaxLife.
// It matches ErrStopping.
type LifetimeError struct{ MaxLife time.Duration }

func (e *LifetimeError) Error() string {
	return "the session reached its maximum lifetime of " + strconv.FormatInt(int64(e.MaxLife/time.Second), 10) + " seconds"
}

// Is matches ErrStopping.
func (e *LifetimeError) Is(target error) bool { return target == ErrStopping }

// StartError says that a sandbox started but its guest did not become ready.
type StartError struct {
	Err error // ErrNotReady, ErrExited or ErrNotWarm
	// Exit is how the guest ended, for ErrExited.
	Exit sandbox.Status
	// Limit is how long it was given.
	Limit time.Duration
	// Last is what the last probe, or the Warmup, met.
	Last error
}

func (e *StartError) Error() string { return "start session: " + e.Why() }

// Why says it for the log of the session.
func (e *StartError) Why() string {
	if errors.Is(e.Err, ErrExited) {
		return Ended(e.Exit) + " before it was ready"
	}
	if errors.Is(e.Err, ErrNotWarm) {
		return "its warm-up failed: " + e.Last.Error()
	}
	text := "it was not ready within " + e.Limit.String()
	if e.Last != nil {
		text += ": " + e.Last.Error()
	}
	return text
}

// Ended says how a guest ended.
func Ended(e sandbox.Status) string {
	switch e.Cause {
	case sandbox.Exited:
		return "its process exited with status " + strconv.Itoa(e.Code)
	case sandbox.Stopped:
		return "it was stopped"
	case sandbox.OutOfMemory:
		return "it used more memory than it may" + limit(e.Limit)
	case sandbox.OutOfSpace:
		return "it wrote more to its storage than it may hold" + limit(e.Limit)
	}
	return "its sandbox broke, status " + strconv.Itoa(e.Code)
}

// limit is a number of bytes behind what exceeded it, and nothing for none.
func limit(bytes int64) string {
	switch {
	case bytes <= 0:
		return ""
	case bytes >= 1<<30:
		return " (" + strconv.FormatFloat(math.Round(float64(bytes)/(1<<30)*10)/10, 'f', -1, 64) + " GiB)"
	case bytes >= 1<<20:
		return " (" + strconv.FormatFloat(math.Round(float64(bytes)/(1<<20)*10)/10, 'f', -1, 64) + " MiB)"
	}
	return " (" + strconv.FormatInt(bytes, 10) + " bytes)"
}

func (e *StartError) Unwrap() error { return e.Err }

// DialError is in the chain of a Transport's error when the guest was not
// reached: nothing of the request was sent.
type DialError struct {
	Port uint16
	Err  error
}

// Error says it without the names of what runs underneath.
func (e *DialError) Error() string {
	switch {
	case errors.Is(e.Err, sandbox.ErrRefused):
		return "nothing listened on port " + strconv.Itoa(int(e.Port))
	case errors.Is(e.Err, sandbox.ErrStopped):
		return "its sandbox had ended"
	}
	return e.Err.Error()
}

func (e *DialError) Unwrap() error { return e.Err }

// Key names a session. Two sessions that differ in any part share nothing.
type Key struct {
	Scope store.Scope
	// Owner is the resource the session belongs to (a runtime's id), Endpoint
	// the qualifier it was reached by, ID what the client chose.
	Owner, Endpoint, ID string
}

// Status is where a session is in its life.
type Status string

// The states of a session.
const (
	Starting    Status = "STARTING"
	Active      Status = "ACTIVE" // a request runs, or the guest says that it is busy
	Idle        Status = "IDLE"
	Hibernating Status = "HIBERNATING" // being saved; requests wait
	Hibernated  Status = "HIBERNATED"  // saved, without a sandbox
	Stopping    Status = "STOPPING"
)

// Info describes a session for people.
type Info struct {
	Key      Key
	Status   Status
	Version  string
	Requests int64 // since the start
	Running  int   // now
	Started  time.Time
	LastUsed time.Time
	// IdleDeadline is zero while requests run; LifeDeadline is the end in any case.
	IdleDeadline, LifeDeadline time.Time
	// Origin is how its sandbox began, and Why what that was the reason for,
	// where another would have been quicker.
	Origin Origin
	Why    string
	// Memory is what its sandbox uses, Snapshot the size of the file it
	// hibernates in, Storage of its directory, in bytes; as last measured.
	Memory, Snapshot, Storage int64
	// Passthrough: its sandbox has the network stack of the machine's kernel.
	Passthrough bool
}

// Origin is how a session's sandbox began.
type Origin string

// The origins.
const (
	Cold     Origin = "COLD"     // booted
	Restored Origin = "RESTORED" // resumed from its version's snapshot
	// FromSpare is one that had been restored before anybody asked for the session.
	FromSpare Origin = "SPARE"
	Woken     Origin = "WOKEN" // resumed from where it was when it hibernated
)

// Use is a session in use by one request. It stays alive until Release.
type Use struct{ s *session }

// Context ends when the session is stopped, by a caller or by one of its
// clocks; its cause matches ErrStopping then. Requests that still run end with it,
// since servers wait for theirs when they are told to stop. A guest that dies
// by itself does not end it: what it has said can still be read.
func (u *Use) Context() context.Context { return u.s.life }

// Transport is an HTTP client connection to the guest's port. It is shared by
// all requests of the session and keeps connections.
func (u *Use) Transport() http.RoundTripper { return u.s.transport }

// Port is an HTTP client connection to another port of the guest, for one request:
// it keeps none.
func (u *Use) Port(port uint16) http.RoundTripper {
	t := newTransport(u.s.box, port)
	t.DisableKeepAlives = true
	return t
}

// Execute starts a command in the guest; see sandbox.Sandbox.
func (u *Use) Execute(ctx context.Context, c sandbox.Command) (sandbox.Process, error) {
	return u.s.box.Execute(ctx, c)
}

// Detail is the Plan's.
func (u *Use) Detail() any { return u.s.plan.Detail }

// Done is closed when the guest has ended.
func (u *Use) Done() <-chan struct{} { return u.s.box.Done() }

// Exit is how the guest has ended; its zero value, while it runs.
func (u *Use) Exit() sandbox.Status { return u.s.box.Exit() }

// Release ends the use. It must be called once.
func (u *Use) Release() { u.s.release() }
