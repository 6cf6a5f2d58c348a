package wire

// Limits bound what a sandbox uses of the machine. A zero one is none.
type Limits struct {
	// Memory is in bytes, of everything that belongs to the sandbox.
	Memory int64 `json:"memory,omitempty"`
	// CPUs are held in whole ones where there are no control groups.
	CPUs float64 `json:"cpus,omitempty"`
	// Processes and threads of the guest.
	Processes uint64 `json:"processes,omitempty"`
	// OpenFiles of one process of the guest.
	OpenFiles uint64 `json:"openFiles,omitempty"`
}

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
