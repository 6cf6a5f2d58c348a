// Package wire is what the gVisor engine and its supervisor say to each other
// over a socket pair: one JSON message a frame, with open files beside it.
//
// Both ends come from one build, so there is no version to negotiate. The
// supervisor is a child of the engine and as trusted as it is; nothing that a
// guest sends passes through here.
package wire

import "github.com/outcrop/outcrop/internal/sandbox/gvisor/cgroup"

// A Message is a request, its answer or an event; one member besides Seq is
// set. An answer that succeeds has none.
type Message struct {
	// Seq pairs an answer with its request. Events have 0.
	Seq uint64 `json:"seq,omitempty"`

	// Requests, from the engine.
	Setup  *Setup  `json:"setup,omitempty"`
	Start  *Start  `json:"start,omitempty"`
	Dial   *Dial   `json:"dial,omitempty"`
	Signal *Signal `json:"signal,omitempty"`
	Kill   *Kill   `json:"kill,omitempty"`
	Save   *Save   `json:"save,omitempty"`
	Thaw   *Thaw   `json:"thaw,omitempty"`

	// Execute is a request, Executed its answer; Wait is a request, Waited its
	// answer once the process has ended.
	Execute  *Execute  `json:"execute,omitempty"`
	Executed *Executed `json:"executed,omitempty"`
	Wait     *Wait     `json:"wait,omitempty"`
	Waited   *Waited   `json:"waited,omitempty"`

	// Measure is a request, Measured its answer.
	Measure  *Measure  `json:"measure,omitempty"`
	Measured *Measured `json:"measured,omitempty"`
	// Connect is an event that Connected answers.
	Connect   *Connect   `json:"connect,omitempty"`
	Connected *Connected `json:"connected,omitempty"`
	// Saved answers Save.
	Saved *Saved `json:"saved,omitempty"`
	// Failed is an answer that says why a request failed.
	Failed *Failure `json:"failed,omitempty"`
	// Ended is an event: a sandbox is gone and nothing is left of it.
	Ended *Ended `json:"ended,omitempty"`
}

// Setup is the first request: make the place where sandboxes live.
type Setup struct {
	// Root is an existing directory that the supervisor turns, in its own
	// mount namespace, into its root.
	Root string `json:"root"`
	// Separate says that a sandbox's process can be another user than the
	// supervisor, which an ordinary user's namespace does not have.
	Separate bool `json:"separate"`
	// Disks is an existing directory on a disk for what guests write below
	// roots of their own.
	Disks string `json:"disks"`
	// Groups is where control groups of sandboxes are made; the zero value means
	// that there are none.
	Groups cgroup.Groups `json:"groups"`
}

// Start asks for a sandbox. Two files come with it: the write ends of the
// guest's standard output and standard error.
type Start struct {
	Sandbox  string   `json:"sandbox"` // IDLength characters
	Args     []string `json:"args"`
	Env      []string `json:"env"`
	Dir      string   `json:"dir"`
	UID      uint32   `json:"uid"`
	GID      uint32   `json:"gid"`
	TmpBytes int64    `json:"tmpBytes"`
	Mounts   []Mount  `json:"mounts"` // all read-only

	// Root is the host's directory that the guest has as its root; empty means
	// the host layer. Overlay is a tar archive laid over it, DiskBytes the bound
	// of what is written to it.
	Root      string `json:"root,omitempty"`
	Overlay   string `json:"overlay,omitempty"`
	DiskBytes int64  `json:"diskBytes,omitempty"`

	Limits  Limits   `json:"limits"`
	Volumes []Volume `json:"volumes,omitempty"`

	// Cable is nil for a guest that has its loopback alone.
	Cable *Cable `json:"cable,omitempty"`
	// Passthrough gives it the network stack of the machine's kernel.
	Passthrough bool `json:"passthrough,omitempty"`

	// Savable shows the guest the hooks (package hooks).
	Savable bool `json:"savable,omitempty"`
	// Resume asks for the guest of a snapshot. Its SnapshotFiles come after the
	// other files.
	Resume bool `json:"resume,omitempty"`
	// RestoreHook is run after Resume, and must succeed.
	RestoreHook []string `json:"restoreHook,omitempty"`
}

// SnapshotFiles is how many files make a snapshot: the state, what is known of
// the pages, and the pages.
const SnapshotFiles = 3

// GuestID is the uid and gid of every guest. It exists inside the sandbox only,
// but as root the modes of the host's files are held against it: so it is one
// that no file has, in a range that nobody assigns (systemd's "Users, Groups,
// UIDs and GIDs"), and not 1000, which is the host's first person.
const GuestID = 2000001000

// IDLength is the length of every sandbox's id: runsc takes a unique prefix for
// the whole, so that ids of different lengths could be mistaken for each other.
const IDLength = 16

// A Mount shows the host's Source to the guest at Target.
type Mount struct {
	Source string `json:"source"`
	Target string `json:"target"`
	// Writable is the supervisor's own: mounts of the engine are read-only.
	Writable bool `json:"-"`
}

// Dial connects the file that comes with it, one end of a socket pair, to a TCP
// port on the guest's loopback. For one with Passthrough no file comes with it, and a
// connected socket with its answer.
type Dial struct {
	Sandbox string `json:"sandbox"`
	Port    uint16 `json:"port"`
}

// Signal sends a signal to the guest's first process, or to the group of PID.
type Signal struct {
	Sandbox string `json:"sandbox"`
	Number  int32  `json:"number"`
	PID     int32  `json:"pid,omitempty"`
	// Foreground means the group in the foreground of PID's terminal.
	Foreground bool `json:"foreground,omitempty"`
}

// Execute starts a process in a guest. Its standard input, output and error come
// with it; with Terminal all three are one terminal.
type Execute struct {
	Sandbox  string   `json:"sandbox"`
	Args     []string `json:"args"`
	Env      []string `json:"env"`
	Dir      string   `json:"dir"`
	UID      uint32   `json:"uid"`
	GID      uint32   `json:"gid"`
	Terminal bool     `json:"terminal,omitempty"`
}

// Executed names a process that was started.
type Executed struct {
	PID int32 `json:"pid"` // as the guest's first process sees it
}

// Wait waits for the end of a process that was started by Execute.
type Wait struct {
	Sandbox string `json:"sandbox"`
	PID     int32  `json:"pid"`
}

// Waited tells how a process ended.
type Waited struct {
	Code int `json:"code"` // its exit code (128 + signal)
}

// Kill ends a sandbox without asking it, or one that is still starting. Killing
// what is not there is no error.
type Kill struct {
	Sandbox string `json:"sandbox"`
}

// Save freezes a guest and writes its state to the SnapshotFiles that come with
// it. With Keep the guest goes on afterwards; else it stays frozen until Thaw or
// Kill. If it fails, the guest goes on.
type Save struct {
	Sandbox string `json:"sandbox"`
	Keep    bool   `json:"keep,omitempty"`
	// List asks for the processes.
	List bool `json:"list,omitempty"`
}

// Saved tells what was saved.
type Saved struct {
	// Processes are those of the guest if they were asked for, but for those that
	// have ended and are waited for.
	Processes []Process `json:"processes"`
}

// A Process is one of a guest.
type Process struct {
	PID int `json:"pid"` // as the guest's first process sees it
	// Name is what the process calls itself, at most 15 bytes.
	Name string `json:"name"`
}

// Thaw lets a frozen guest go on.
type Thaw struct {
	Sandbox string `json:"sandbox"`
}

// Ended tells how a sandbox ended.
type Ended struct {
	Sandbox string `json:"sandbox"`
	// Code is the exit code of the guest's first process (128 + signal).
	Code int `json:"code"`
	// Used is the last that was measured.
	Used Measured `json:"used"`
	// Broken says that the sandbox's own process was killed or crashed, by
	// the supervisor or somebody else, so that Code is not the guest's.
	Broken bool `json:"broken,omitempty"`
	// Excess is the limit that it was killed for, or empty.
	Excess Excess `json:"excess,omitempty"`
	// Detail is what the sandbox's process said about its crash, for the log.
	Detail string `json:"detail,omitempty"`
}

// Failure says why a request failed.
type Failure struct {
	Kind Kind   `json:"kind"`
	Text string `json:"text"`
}

// Error returns the text.
func (f *Failure) Error() string { return f.Text }

// Kind sorts failures for the engine.
type Kind string

// The kinds of failures.
const (
	Internal Kind = "internal" // none of the others
	Denied   Kind = "denied"   // the host forbids what a namespace needs; Text names the step
	Command  Kind = "command"  // the guest's command cannot be executed
	Mounting Kind = "mount"    // a mount's source cannot be shown
	Refused  Kind = "refused"  // nothing listens on the port
	Gone     Kind = "gone"     // no such sandbox, or it ended
	Unsaved  Kind = "unsaved"  // the guest's state cannot be saved
	Resuming Kind = "resume"   // the snapshot cannot be resumed
)
