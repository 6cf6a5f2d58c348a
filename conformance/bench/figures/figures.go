// Package figures is what a run of the benchmark writes down.
package figures

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// Report is one run. Durations are in nanoseconds, sizes in bytes.
type Report struct {
	Commit string `json:"commit"`
	// Machine says in general what it ran on, and Load are the load averages of
	// a minute before and after: others may have been at work.
	Machine string    `json:"machine"`
	Load    []float64 `json:"load"`
	// Note is what else readers must know of the run.
	Note string `json:"note,omitempty"`

	Hops    []Hop    `json:"hops,omitempty"`
	Sockets []Socket `json:"sockets,omitempty"`
	Images  []Image  `json:"images,omitempty"`
	Starts  []Start  `json:"starts,omitempty"`
	Room    *Room    `json:"room,omitempty"`
	Access  *Access  `json:"access,omitempty"`
	Gateway *Gateway `json:"gateway,omitempty"`
}

// Gateway is a call of a tool of an MCP server, directly, through the least that hands it
// on, through a bare proxy and through a gateway: half of the calls took no longer, in
// nanoseconds, and what each cost the process on the way.
type Gateway struct {
	Direct     int64 `json:"direct"`
	Relay      int64 `json:"relay"`
	Proxy      int64 `json:"proxy"`
	Through    int64 `json:"through"`
	RelayCPU   int64 `json:"relayCPU"`
	ProxyCPU   int64 `json:"proxyCPU"`
	ThroughCPU int64 `json:"throughCPU"`
}

// Added is what the gateway adds to the time of a call, beside what the proxy does.
func (g *Gateway) Added() float64 {
	return float64(g.Through-g.Direct) / float64(g.Proxy-g.Direct)
}

// CPU is what a call costs the gateway, beside what it costs the proxy.
func (g *Gateway) CPU() float64 { return float64(g.ThroughCPU) / float64(g.ProxyCPU) }

// Access is what it takes to know a caller and to decide, beside an invocation.
type Access struct {
	Signature  int64 `json:"signature"`  // SigV4 of 1 KiB, with the key's look-up
	Token      int64 `json:"token"`      // a JWT that comes for the first time
	TokenAgain int64 `json:"tokenAgain"` // one that has been verified before
	Decision   int64 `json:"decision"`   // five policies and a boundary
	Invocation int64 `json:"invocation"` // the whole, of 1 KiB, one at a time
}

// Signed is the share of signature and decision in an invocation.
func (a *Access) Signed() float64 { return float64(a.Signature+a.Decision) / float64(a.Invocation) }

// Bearer is the share of a new token and decision in an invocation.
func (a *Access) Bearer() float64 { return float64(a.Token+a.Decision) / float64(a.Invocation) }

// Hop compares a proxy to a server in a sandbox with one to the same outside.
type Hop struct {
	Network string  `json:"network"` // "netstack" or "passthrough"
	AtOnce  int     `json:"atOnce"`
	Inside  float64 `json:"inside"`  // requests a second
	Outside float64 `json:"outside"` // requests a second
	P50     int64   `json:"p50"`     // inside
}

// Ratio is of the throughputs.
func (h Hop) Ratio() float64 { return h.Inside / h.Outside }

// Socket compares messages on WebSockets through the server with those on
// connections straight to the same agent: there and back.
type Socket struct {
	AtOnce int `json:"atOnce"` // connections
	// Paced ones were asked below what a connection may carry: their throughput
	// says nothing.
	Paced     bool    `json:"paced,omitempty"`
	Through   float64 `json:"through"` // messages a second
	Direct    float64 `json:"direct"`  // messages a second
	P50       int64   `json:"p50"`
	DirectP50 int64   `json:"directP50"`
}

// Ratio is of the throughputs.
func (s Socket) Ratio() float64 { return s.Through / s.Direct }

// Image is what saving and resuming a guest takes.
type Image struct {
	Heap   int64 `json:"heap"`   // what the guest holds besides its own
	Size   int64 `json:"size"`   // of the snapshot
	Save   int64 `json:"save"`   // medians
	Resume int64 `json:"resume"` // until the engine has started it
	Answer int64 `json:"answer"` // until it has answered over HTTP, from the same beginning
}

// Start is a way to start an agent, and how long it took until the first byte of
// its answer.
type Start struct {
	Way   string  `json:"way"` // "plain process", "cold", "restored", "from a spare", "woken"
	Times []int64 `json:"times"`
}

// At is a quantile: 0.5 is the median, 1 the longest.
func (s Start) At(q float64) time.Duration {
	v := slices.Sorted(slices.Values(s.Times))
	return time.Duration(v[min(int(q*float64(len(v))), len(v)-1)])
}

// Room is what sessions take.
type Room struct {
	Live       int   `json:"live"`       // sessions
	Share      int64 `json:"share"`      // of their processes, proportional, for one
	Available  int64 `json:"available"`  // by which the host's available memory shrank, for one
	Hibernated int   `json:"hibernated"` // sessions
	Server     int64 `json:"server"`     // by which server and supervisor grew, for one
	Disk       int64 `json:"disk"`       // for one
}

// Write stores the report.
func (r *Report) Write(path string) error {
	body, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(body, '\n'), 0o644)
}

// Read is the reverse of Write.
func Read(path string) (*Report, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.Unmarshal(body, r); err != nil {
		return nil, fmt.Errorf("read figures %s: %w", path, err)
	}
	return r, nil
}
