package wire

// OverheadBytes is what a sandbox has besides its guest's memory: the guest's kernel
// and its file server use 15 to 60 MB of their own.
const OverheadBytes = 96 << 20

// Limits bound what a sandbox uses of the machine. A zero one is none.
type Limits struct {
	// Memory is in bytes, of everything that belongs to the sandbox: the guest's and
	// OverheadBytes.
	Memory int64 `json:"memory,omitempty"`
	// CPUs are held in whole ones where there are no control groups.
	CPUs float64 `json:"cpus,omitempty"`
	// Visible is the supervisor's own: how many processors the guest counts; 0 is
	// as many as it may run on.
	Visible int `json:"-"`
	// Processes and threads of the guest.
	Processes uint64 `json:"processes,omitempty"`
	// OpenFiles of one process of the guest.
	OpenFiles uint64 `json:"openFiles,omitempty"`
}

// RootFile and TmpFile begin the names that gVisor gives the files, on the disk, of
// writable roots and of /tmp for the moment that they have one.
const (
	RootFile = "runsc-filestore-"
	TmpFile  = ".gvisor.filestore."
)

// A Volume shows the host's directory Source to the guest at Target, writable.
type Volume struct {
	Source string `json:"source"`
	Target string `json:"target"`
	// Bytes bounds what it holds; 0 is no bound.
	Bytes int64 `json:"bytes,omitempty"`
}

// Excess is which limit a sandbox was killed for.
type Excess string

// The limits that end a sandbox.
const (
	OverMemory Excess = "memory"
	OverVolume Excess = "volume"
)
