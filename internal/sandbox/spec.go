package sandbox

import (
	"context"
	"io"
	"net"
	"net/netip"
)

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
	// CodePath when there is code, else /. Below a Root it is made when it is
	// missing, as images expect.
	Dir string

	// Code is a directory, as the engine sees it, that the guest sees read-only
	// at CodePath. Empty means none. Files that others may not read (mode
	// o-r) cannot be read by the guest either: it runs as a user of its own.
	Code string

	// Mounts are further files and directories shown read-only, such as an
	// interpreter's prefix outside /usr. A later one may cover a part of an
	// earlier one: an empty directory hides what must not be seen.
	Mounts []Mount

	// Root is a directory, as the engine sees it, that the guest sees as its
	// own root instead of the host's layer. It is writable to the guest, whose
	// changes nobody else sees and Limits.DiskBytes bounds. Empty means the
	// host's layer, which is read-only.
	Root string

	// Overlay is a tar archive, as the engine sees it, that is laid over Root
	// at each start: what Root's own file system cannot express, such as owners
	// where the engine's user is the only one there is. Its names begin with
	// "./", directories' end in a slash, and every directory above an entry has
	// an entry too. Its files count against Limits.DiskBytes. Empty means none.
	Overlay string

	// User and Group are whom the guest's processes run as, with Root only. The
	// modes of what Code and Mounts show are held against them too: a guest that
	// is 0 reads all of it. Without Root they are Capabilities.GuestUID and
	// GuestGID.
	User, Group uint32

	// Volumes are directories that the guest may write to and that outlive it.
	Volumes []Volume

	// Network is what the guest's connections reach beyond its loopback. Nil
	// means nothing at all.
	Network Network

	// Passthrough gives the guest the TCP/IP of the machine's kernel, in a network
	// namespace of its own with nothing in it but its wire, in place of the engine's:
	// connections of Dial are faster, and the guest reaches that much of the machine's
	// kernel through what the engine allows. What Network is asked for is the same.
	// Only an operator who trusts the guest chooses it. ErrInvalid where
	// Capabilities.Passthrough is false.
	Passthrough bool

	// Limits bound what the guest uses. A zero one means the engine's default.
	Limits Limits

	// Savable says that the guest may be saved to be copied: its processes are
	// helped to become unique again (Python and Node by what the engine puts
	// first on PYTHONPATH and NODE_OPTIONS, in Env too). A guest that shall be
	// resumed by Snapshot must have been started so, unless it goes on alone.
	Savable bool

	// SafeToCopy says that the guest's programs draw nothing that must be
	// unique from generators of their own, so that processes which cannot be
	// told are no reason for ErrUnsavable.
	SafeToCopy bool

	// RestoreHook is a command that is run inside the guest after a resume and
	// must succeed before Start returns, for programs that have a way of their
	// own to be told. Its arguments have no spaces.
	RestoreHook []string

	// Snapshot is what the guest is resumed from; nil boots it. All other
	// members must be as they were, but for ID, Env (which processes that are
	// told of their resume take over), Volumes' sources, Network,
	// Limits.MemoryBytes, Stdout and Stderr.
	Snapshot Snapshot

	// TmpBytes bounds the guest's writable directories /tmp and /dev/shm, each. What is in
	// /dev/shm is memory, and what is in /tmp where Capabilities.FilesInMemory says so.
	// Zero means Capabilities.DefaultTmpBytes.
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

// A Volume shows the directory Source, as the engine sees it, to the guest at
// Target, writable. All files in it are the guest's user's, as it sees them; one
// sandbox at a time has it, unless it is Shared. It holds what guests put there:
// whoever looks into it must follow no link (os.Root).
type Volume struct {
	Source, Target string
	// Shared is a directory that others have too, each with Shared: sandboxes at the
	// same time, and the machine. What one of them changes the others see.
	Shared bool
	// Bytes bounds what the directory holds; zero is no bound. How exactly is
	// the engine's affair: what exceeds it is refused or ends the guest (Cause
	// OutOfSpace). What it held before the guest began is no reason to end it.
	Bytes int64
}

// Limits bound one sandbox.
type Limits struct {
	MemoryBytes int64   // of the guest's processes and its memory-backed files, together
	CPUs        float64 // 0.5 is half of one
	Processes   int     // processes and threads
	OpenFiles   int     // of one process
	DiskBytes   int64   // of what is written below Spec.Root
	Connections int     // to Spec.Network, at once
	Bandwidth   int64   // to and from Spec.Network, bytes a second, each way
}

// A Network answers the connections that a guest opens. Whoever implements it
// decides what is reached: the address is what the guest asked for, and nothing
// else has been checked.
type Network interface {
	// Connect returns the other end of a guest's connection. network is "tcp"
	// or "udp"; a connection of the latter keeps the bounds of datagrams. ctx
	// ends with the attempt, not with the connection. An error is a refusal to
	// the guest.
	Connect(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error)
}
