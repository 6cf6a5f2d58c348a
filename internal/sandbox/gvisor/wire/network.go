package wire

import (
	"net/netip"
	"time"
)

// A Cable says that a sandbox has a wire to the engine's networks.
type Cable struct {
	Connections int   `json:"connections"` // at once
	Bandwidth   int64 `json:"bandwidth"`   // bytes a second, each way; 0 is no bound
}

// Connect is an event: a guest wants a connection. The engine answers it with a
// Connected, beside which there is a connected socket when it succeeded.
type Connect struct {
	Sandbox string         `json:"sandbox"`
	Flow    uint64         `json:"flow"` // unlike every other one's
	Network string         `json:"network"`
	To      netip.AddrPort `json:"to"`
}

// Connected answers a Connect. It has no answer of its own.
type Connected struct {
	Flow uint64 `json:"flow"`
	// Refusal is empty, Refused, Unreachable or TimedOut.
	Refusal Kind `json:"refusal,omitempty"`
}

// The kinds of refusals besides Refused.
const (
	Unreachable Kind = "unreachable" // no way there
	TimedOut    Kind = "timed out"   // no answer from there
)

// Measure asks what a sandbox has used; the answer is a Measured.
type Measure struct {
	Sandbox string `json:"sandbox"`
}

// Measured tells what a sandbox has used.
type Measured struct {
	Sent      int64         `json:"sent"`      // bytes to its network
	Received  int64         `json:"received"`  // bytes from its network
	Memory    int64         `json:"memory"`    // bytes, now
	Disk      int64         `json:"disk"`      // bytes, now
	CPU       time.Duration `json:"cpu"`       // of all processors
	Processes int           `json:"processes"` // and threads, now
}
