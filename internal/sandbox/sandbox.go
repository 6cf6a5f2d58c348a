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
	// Errors: ErrInvalid, ErrExists, ErrClosed, ErrUnavailable, ErrCommand, and
	// ErrStopped when the engine broke meanwhile, so that trying again may help.
	Start(ctx context.Context, spec Spec) (Sandbox, error)

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

	// Done is closed when the sandbox has ended, its output was delivered and
	// nothing is left of it. The writers of the Spec are not used after that.
	Done() <-chan struct{}

	// Exit tells how the guest's first process ended. Before Done is closed it
	// is the zero Status.
	Exit() Status

	// Stop sends SIGTERM to the guest's first process, and SIGKILL to all of
	// them when it still runs after grace (at once if grace <= 0; cut to
	// MaxGrace). It returns nil once Done is closed, or ctx's error; the
	// killing goes on in that case. It is idempotent, and the shortest grace
	// of several calls wins.
	Stop(ctx context.Context, grace time.Duration) error
}

// A Spec describes one sandbox.
type Spec struct {
	// ID names the sandbox: 1 to 64 of [A-Za-z0-9_-], unlike every other live
	// sandbox of the engine. Engines give their own names to what they make.
	ID string

	// Args is the command, looked up in the guest's PATH when it has no slash.
	Args []string

	// Env is the guest's environment, each entry NAME=VALUE. An engine adds
	// PATH, HOME (/tmp) and LANG (C.UTF-8) where they are missing, nothing else.
	Env []string

	// Dir is the absolute working directory inside the guest; empty means
	// CodePath when there is code, else /.
	Dir string

	// Code is a directory, as the engine sees it, that the guest sees read-only
	// at CodePath. Empty means none. Files that others may not read (mode
	// o-r) cannot be read by the guest either: it runs as a user of its own.
	Code string

	// Mounts are further files and directories shown read-only, such as an
	// interpreter's prefix outside /usr. A later one may cover a part of an
	// earlier one: an empty directory hides what must not be seen.
	Mounts []Mount

	// TmpBytes bounds the guest's writable memory-backed directories, /tmp
	// and /dev/shm, each. Zero means Capabilities.DefaultTmpBytes.
	TmpBytes int64

	// Stdout and Stderr receive the guest's output as it comes, in pieces of
	// any size, each writer from one goroutine. A slow writer slows the guest
	// down once the pipe is full; one that returns an error is not called
	// again and what follows is dropped, so that the guest never hangs on it.
	// Nil drops everything. The same writer may not be given for both unless it
	// may be called concurrently.
	Stdout, Stderr io.Writer
}

// A Mount shows Source, a path as the engine sees it, to the guest at Target,
// read-only. An empty Target means the same path.
type Mount struct {
	Source, Target string
}

// Status tells how a guest ended. The zero Status is that of one still running.
type Status struct {
	// Cause says who ended it.
	Cause Cause
	// Code is the exit code of the first process, or 128 + the number of the
	// signal that killed it, as shells have it.
	Code int
}

// Cause says why a guest ended.
type Cause int

// The causes of an end.
const (
	Running   Cause = iota // it has not ended
	Exited                 // its first process ended by itself
	Stopped                // somebody called Stop or Close
	Destroyed              // the sandbox broke under it: killed from outside, or the engine died
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

	// HalfClose: connections of Dial can be closed in one direction.
	HalfClose bool

	// Outbound: guests can reach something besides their own loopback.
	Outbound bool

	// Snapshots: sandboxes can be saved and restored.
	Snapshots bool

	// Limits: memory, CPU and process limits are enforced per sandbox.
	Limits bool
}
