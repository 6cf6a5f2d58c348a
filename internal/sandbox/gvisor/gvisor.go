// Package gvisor runs sandboxes with gVisor on this machine.
//
// It carries the sandbox executable (cmd/outcrop-sandbox) inside, unpacks it and
// starts it once as the supervisor of all sandboxes, in namespaces of its own.
// The engine itself holds no privilege, imports nothing of gVisor and touches no
// mount: what it has of a sandbox are pipes, sockets and a channel.
//
// Root and ordinary users run the same code. Who may not make namespaces gets a
// user namespace first, with one UID in it, and the guest's own UID is the
// sentry's invention either way: guests are never root, and what the
// host thinks of its files only decides which of them others may read.
package gvisor

import (
	"log/slog"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

const (
	// GuestUID and GuestGID are whom all guests run as.
	GuestUID, GuestGID = wire.GuestID, wire.GuestID

	// DefaultTmpBytes and MaxTmpBytes bound a guest's /tmp and /dev/shm, each.
	DefaultTmpBytes = 512 << 20
	MaxTmpBytes     = 10 << 30

	// startTimeout bounds a start where the caller's context does not: it takes
	// 0.1 s, and seconds on a machine that is very busy.
	startTimeout = time.Minute
)

// Config is what an engine needs. It has no defaults that matter.
type Config struct {
	// Dir is a directory of the engine's own, made when it is missing (mode
	// 0700). It holds the unpacked executable and an empty mount point.
	Dir string

	// Executable is the path of a sandbox executable to use instead of the
	// embedded one; it must have been built from the same source.
	Executable string

	// Log gets what operators should know. Nil means none.
	Log *slog.Logger
}

func (c Config) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// A Finding is one answer of Probe.
type Finding struct {
	// Name says what was looked at: "user namespaces".
	Name string
	// OK is false when sandboxes cannot run until Fix is done.
	OK bool
	// Detail is what was found, Fix what a person does about it, commands
	// included; empty when there is nothing to do.
	Detail, Fix string
}
