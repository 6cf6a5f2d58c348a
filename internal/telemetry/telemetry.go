// Package telemetry keeps what Outcrop and its guests say about themselves: log
// events and audit records. It has a file of its own, so that a chatty agent
// never slows a write of the store.
//
// # What is promised
//
// Log events are taken without waiting and written in batches. A guest that
// writes faster than the disk is held up by its Sink, never for more than a
// second at a time; when that is not enough, the oldest waiting events of the
// noisiest stream are dropped, counted, and the stream says so itself; nobody
// else's are.
//
// Audit records are never dropped. Audit queues one, and waits only when the
// queue is full; a killed process loses at most what was queued in the last
// FlushEvery (50 ms), a power failure what the system had not written back yet.
// AuditDurable returns when the record is on the disk (fsync), with everything
// queued before it; calls that hand out a secret use it.
// They are kept for a time and up to a number, and of calls by strangers, which
// anybody can make, only the newest few (Options).
package telemetry

import (
	"errors"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// The errors a caller can tell apart.
var (
	// ErrNotFound says that a group or stream is not there.
	ErrNotFound = errors.New("not found")
	// ErrExists says that a group or stream is there already.
	ErrExists = errors.New("exists already")
	// ErrBadToken says that a page token is not one of this listing.
	ErrBadToken = errors.New("page token is not valid for this listing")
	// ErrClosed says that the database was closed.
	ErrClosed = errors.New("telemetry is closed")
)

// Group names a log group.
type Group struct {
	Scope store.Scope
	// Name is 1 to 512 characters, for example
	// /aws/bedrock-agentcore/runtimes/hello-AbC123-DEFAULT.
	Name string
}

func (g Group) String() string { return g.Scope.String() + g.Name }

// MaxMessage is the largest message of one event, in bytes. What is longer is
// cut by Append and split over several events by a Sink.
const MaxMessage = 256 << 10

// Event is one line of a log.
type Event struct {
	// ID grows with each stored event; it is the cursor of Tail.
	ID int64
	// Stream is the stream's name within its group.
	Stream string
	// Time is when it happened, Ingested when it was stored; both in UTC and
	// whole microseconds.
	Time, Ingested time.Time
	// Message is valid UTF-8 without a line end.
	Message string
}

// Record is the audit of one API call.
type Record struct {
	Time      time.Time
	RequestID string
	// Scope is the account and region of the call.
	Scope store.Scope
	// Principal is the ARN of the caller; empty for an unsigned operation.
	Principal string
	// PrincipalID is the caller's aws:userid: the unique id of a user, ROLEID:SESSION of an
	// assumed role. Another of the same name later has another.
	PrincipalID string
	// AccessKeyID is the key the caller signed with, never the secret.
	AccessKeyID string
	// Event is the operation's name and Source its service, for example
	// CreateAgentRuntime and bedrock-agentcore-control.
	Event, Source string
	// SourceIP is the address of the caller, without the port.
	SourceIP  string
	UserAgent string
	// Resources are the ARNs the call was about.
	Resources []string
	// ErrorCode is the modelled error's name, or empty when the call succeeded.
	ErrorCode string
	// ErrorMessage is what the caller was told about it.
	ErrorMessage string
	// Status is the HTTP status of the answer.
	Status int
	// ReadOnly says that the operation changes nothing.
	ReadOnly bool
}
