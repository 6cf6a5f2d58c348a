package gvisor

import (
	"context"
	"fmt"
	"io"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// Load implements sandbox.Engine.
func (e *engine) Load(context.Context, io.Reader) (sandbox.Snapshot, error) {
	return nil, fmt.Errorf("load snapshot: %w: this engine makes none", sandbox.ErrSnapshot)
}

// Save implements sandbox.Sandbox.
func (g *guest) Save(context.Context, bool) (sandbox.Snapshot, error) {
	return nil, fmt.Errorf("save sandbox %s: %w: this engine makes no snapshots", g.spec.ID, sandbox.ErrUnsavable)
}
