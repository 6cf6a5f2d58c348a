// Package sandbox is the contract between those who run other people's code and
// the engines that isolate it.
//
// The contract leaks nothing local: a guest's port is a net.Conn, its output is
// a stream of bytes, its end is a channel and a Status. An engine on this
// machine (package gvisor) and one in a cluster therefore look the same, and
// package sandboxtest is the suite that both must pass.
package sandbox

import (
	"context"
	"io"
	"net"
	"time"
)

// MaxGrace is the longest time that Stop lets a guest tidy up after SIGTERM;
// longer ones are cut to it. A session must be gone 15 s after it was asked to
// stop (spec/runtime.md).
const MaxGrace = 15 * time.Second

// CodePath is where a guest finds Spec.Code.
const CodePath = "/var/task"

// An Engine starts sandboxes. Its methods may be called concurrently.
type Engine interface {
	// Start boots a sandbox and returns once the guest's first process runs;
	// it does not wait until that process listens anywhere. ctx bounds the
	// start alone: a sandbox outlives it. When ctx ends first, what was begun
	// is taken down in the background, and the id is taken until then.
	//
	// With Spec.Snapshot it resumes the saved guest instead, and returns once
	// every process of it that asked to be told was told that it is a copy and
	// has answered (Spec.Savable).
	//
	// Errors: ErrInvalid, ErrExists, ErrClosed, ErrUnavailable, ErrCommand,
	// ErrSnapshot when the snapshot cannot be resumed while a start without it
	// may, and ErrStopped when the engine broke meanwhile, so that trying again
	// may help.
	Start(ctx context.Context, spec Spec) (Sandbox, error)

	// Load reads what Snapshot.WriteTo wrote, into memory. ErrSnapshot means
	// that it was made by another build, on another machine, or is damaged.
	Load(ctx context.Context, from io.Reader) (Snapshot, error)

	// Capabilities says what this engine offers and what it cannot do.
	Capabilities() Capabilities

	// Close kills every sandbox and returns when nothing is left of them, or
	// when ctx ends; then the rest goes on in the background. It is idempotent.
	Close(ctx context.Context) error
}

// A Sandbox is one isolated guest. Its methods may be called concurrently.
type Sandbox interface {
	// ID is the id of the Spec that started it.
	ID() string

	// Dial connects to a TCP port on the guest's loopback. ctx bounds the dial
	// alone. The connection supports deadlines. It has CloseWrite() error only
	// where Capabilities.HalfClose says that the guest still gets its answer
	// through then.
	//
	// Errors: ErrRefused when nothing listens there, ErrStopped when the
	// sandbox has ended.
	Dial(ctx context.Context, port uint16) (net.Conn, error)

	// Execute starts a command in the guest, beside its first process and as the
	// same user. ctx bounds the start alone. The command ends with its guest; it
	// is not part of what Save keeps, and neither is what it left behind.
	//
	// Errors: ErrInvalid, ErrCommand, ErrStopped.
	Execute(ctx context.Context, command Command) (Process, error)

	// Done is closed when the sandbox has ended, its output was delivered and
	// nothing is left of it. The writers of the Spec are not used after that.
	Done() <-chan struct{}

	// Exit tells how the guest's first process ended. Before Done is closed it
	// is the zero Status.
	Exit() Status

	// Save freezes the guest and returns its whole state: memory, processes and
	// the files it has written, all but volumes. With keep it goes on
	// afterwards; else the sandbox ends (Cause Saved), and only then. Its
	// connections break either way. A guest whose Spec was not Savable is not
	// told.
	//
	// Errors: ErrUnsavable when copies of this guest would share what must be
	// unique to each (asked with keep only: what ends is continued, not copied),
	// or its state cannot be saved, as when it exceeds Limits.MemoryBytes with what
	// lies on the disk; the text says which process or why. The
	// guest goes on in that case. ErrStopped when it has ended.
	Save(ctx context.Context, keep bool) (Snapshot, error)

	// Usage tells what the sandbox uses now. Once it has ended, it is the last
	// that was known.
	Usage(ctx context.Context) (Usage, error)

	// Stop sends SIGTERM to the guest's first process, and SIGKILL to all of
	// them when it still runs after grace (at once if grace <= 0; cut to
	// MaxGrace). It returns nil once Done is closed, or ctx's error; the
	// killing goes on in that case. It is idempotent, and the shortest grace
	// of several calls wins.
	Stop(ctx context.Context, grace time.Duration) error
}

// A Snapshot is the saved state of a guest, held in memory and opaque to all but
// the engine that made it. It holds whatever the guest had in memory, secrets
// included. Its methods may be called concurrently, and it may be resumed from
// any number of times.
type Snapshot interface {
	// WriteTo writes it for Engine.Load.
	io.WriterTo
	// Size is what it takes of memory, in bytes, and about what WriteTo writes.
	Size() int64
	// Close gives the memory back. Guests that were resumed from it live on.
	Close() error
}

// Usage is what a sandbox uses and has used.
type Usage struct {
	MemoryBytes int64         // now, engine's own part included
	DiskBytes   int64         // now, of the machine's disk, without volumes: what Save takes besides memory
	CPU         time.Duration // since its start
	Processes   int           // now
	Sent        int64         // bytes from the guest to its Network
	Received    int64         // bytes from its Network to the guest
}

// Status tells how a guest ended. The zero Status is that of one still running.
type Status struct {
	// Cause says who ended it.
	Cause Cause
	// Code is the exit code of the first process, or 128 + the number of the
	// signal that killed it, as shells have it.
	Code int
	// Limit is the bound in bytes that was exceeded, for OutOfMemory and OutOfSpace;
	// zero where it is not known which.
	Limit int64
}

// Cause says why a guest ended.
type Cause int

// The causes of an end.
const (
	Running     Cause = iota // it has not ended
	Exited                   // its first process ended by itself
	Stopped                  // somebody called Stop or Close
	Destroyed                // the sandbox broke under it: killed from outside, or the engine died
	Saved                    // Save ended it
	OutOfMemory              // it used more memory than its limit
	OutOfSpace               // it wrote more to a volume than its bound
)

// String returns the cause in lower case.
func (c Cause) String() string {
	switch c {
	case Running:
		return "running"
	case Exited:
		return "exited"
	case Stopped:
		return "stopped"
	case Destroyed:
		return "destroyed"
	case Saved:
		return "saved"
	case OutOfMemory:
		return "out of memory"
	case OutOfSpace:
		return "out of space"
	}
	return "unknown"
}

// Capabilities says what an engine offers.
type Capabilities struct {
	// Engine and Version name the implementation, for doctor and logs.
	Engine, Version string

	// GuestUID and GuestGID are whom the guest's processes run as.
	GuestUID, GuestGID int

	// DefaultTmpBytes and MaxTmpBytes bound Spec.TmpBytes.
	DefaultTmpBytes, MaxTmpBytes int64

	// DefaultDiskBytes is what a zero Limits.DiskBytes means.
	DefaultDiskBytes int64

	// FilesInMemory: what guests write to /tmp and below Spec.Root counts as their
	// memory. Otherwise it lies on the machine's disk.
	FilesInMemory bool

	// DefaultMemoryBytes is what a zero Limits.MemoryBytes means, and
	// MaxMemoryBytes what the machine has for all sandboxes; 0: not known.
	DefaultMemoryBytes, MaxMemoryBytes int64

	// HalfClose: connections of Dial can be closed in one direction.
	HalfClose bool

	// Owners: files below Spec.Root are seen with the owners that they have.
	// Otherwise all that belong to whom the engine runs as are root's to the
	// guest, and Spec.Overlay tells what else they are.
	Owners bool

	// Outbound: guests can reach something besides their own loopback.
	Outbound bool

	// Passthrough: guests can have the network stack of the machine's kernel.
	Passthrough bool

	// Snapshots: sandboxes can be saved and resumed.
	Snapshots bool

	// SnapshotKey changes with everything outside a Spec that a snapshot
	// depends on: the engine's build, the processor's features.
	SnapshotKey string

	// Limits tells how each limit of a Spec is held.
	Limits LimitCapabilities
}

// LimitCapabilities tells how an engine holds the limits of a Spec.
type LimitCapabilities struct {
	Memory, CPU, Processes Enforcement
}

// Enforcement is how a limit is held.
type Enforcement string

// The ways to hold a limit.
const (
	NotHeld   Enforcement = "not held"
	ByKernel  Enforcement = "kernel"  // of the host, in a control group: never exceeded
	BySandbox Enforcement = "sandbox" // its own kernel: never exceeded by the guest
	// ByAffinity is held by the host's kernel in whole processors: 0.5 as one.
	ByAffinity Enforcement = "affinity"
	ByWatch    Enforcement = "watch" // looked at every WatchInterval: exceeded by what a guest takes in that time
)

// WatchInterval is how often an engine looks at limits that it watches.
const WatchInterval = 100 * time.Millisecond
