package gvisor

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/cgroup"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// What bounds a guest where its Spec says nothing.
const (
	// DefaultMemoryBytes and DefaultCPUs are what a session has on AWS
	// (spec/runtime.md, quotas). Of a machine, or of a container, that has less
	// memory it is three quarters.
	DefaultMemoryBytes = 8 << 30
	DefaultCPUs        = 2
	// DefaultProcesses bounds processes and threads: a browser has some 200.
	DefaultProcesses = 1024
	// DefaultOpenFiles is of one process.
	DefaultOpenFiles = 16384
)

// bounds are what the supervisor is told of a spec's limits.
func (h host) bounds(l sandbox.Limits) wire.Limits {
	w := wire.Limits{Memory: l.MemoryBytes, CPUs: l.CPUs, Processes: uint64(l.Processes), OpenFiles: uint64(l.OpenFiles)}
	if w.Memory == 0 {
		w.Memory = h.defaultMemory()
	}
	// What is near the largest number bounds nothing.
	w.Memory = min(w.Memory, math.MaxInt64-wire.OverheadBytes) + wire.OverheadBytes
	if w.CPUs == 0 {
		w.CPUs = DefaultCPUs
	}
	if w.Processes == 0 {
		w.Processes = DefaultProcesses
	}
	if w.OpenFiles == 0 {
		w.OpenFiles = DefaultOpenFiles
	}
	return w
}

// defaultMemory is what a sandbox may have that is not told, in bytes.
func (h host) defaultMemory() int64 {
	if total := h.memory(); total > 0 {
		return min(DefaultMemoryBytes, total/4*3)
	}
	return DefaultMemoryBytes
}

// memory is the machine's, or what of it this process may have with all that it
// starts, in bytes; 0 when it is not told.
func (h host) memory() int64 {
	total, bound := h.total(), cgroup.Finder{Root: h.root}.Memory()
	if total == 0 || bound != 0 && bound < total {
		return bound
	}
	return total
}

// total is the machine's memory, in bytes.
func (h host) total() int64 {
	text, err := os.ReadFile(h.path("/proc/meminfo"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

// groups readies the control groups, once for an engine, and tells which there
// are. Where there are none, limits are held otherwise.
func (e *engine) groups() cgroup.Groups {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sought || e.closed {
		return e.found
	}
	e.sought = true
	place, err := (cgroup.Finder{Root: e.host.root}).Find()
	if err == nil {
		e.found, err = place.Ready()
		e.place = place
	}
	if err != nil {
		e.cfg.log().Info("memory of sandboxes is watched, not bounded by the kernel", "reason", err)
	}
	return e.found
}

// forgetGroups removes the control groups, when all sandboxes have ended.
func (e *engine) forgetGroups() error {
	e.mu.Lock()
	p := e.place
	e.place = nil
	e.mu.Unlock()
	if p == nil {
		return nil
	}
	return p.Remove()
}

// limits tells how the engine holds what.
func (e *engine) limits() sandbox.LimitCapabilities {
	c := sandbox.LimitCapabilities{Memory: sandbox.ByWatch, CPU: sandbox.ByAffinity, Processes: sandbox.BySandbox}
	g := e.groups()
	if g.Any() {
		c.Memory = sandbox.ByKernel
	}
	if g.BoundsCPU {
		c.CPU = sandbox.ByKernel
	}
	return c
}

// volumes are what the supervisor is told of a spec's.
func volumes(spec sandbox.Spec) ([]wire.Volume, error) {
	var all []wire.Volume
	for i, v := range spec.Volumes {
		source, err := directory(v.Source, unix.R_OK|unix.W_OK|unix.X_OK)
		if err != nil {
			return nil, fmt.Errorf("%w: Volumes[%d]: %s: %w", sandbox.ErrInvalid, i, v.Source, err)
		}
		all = append(all, wire.Volume{Source: source, Target: v.Target, Bytes: v.Bytes})
	}
	return all, nil
}

// holder returns a live guest that has one of a spec's volumes to itself, or that
// the spec wants to itself, and which. The caller has e.mu.
func (e *engine) holder(spec sandbox.Spec, volumes []wire.Volume) (id, source string) {
	for _, g := range e.guests {
		for i, has := range g.start.Volumes {
			for j, v := range volumes {
				if v.Source == has.Source && !(spec.Volumes[j].Shared && g.spec.Volumes[i].Shared) {
					return g.spec.ID, v.Source
				}
			}
		}
	}
	return "", ""
}
