package gvisor

import (
	"context"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// Usage implements sandbox.Sandbox.
func (g *guest) Usage(ctx context.Context) (sandbox.Usage, error) {
	m, err := g.measure(ctx)
	return sandbox.Usage{MemoryBytes: m.Memory, DiskBytes: m.Disk, CPU: m.CPU, Processes: m.Processes, Sent: m.Sent, Received: m.Received}, err
}
