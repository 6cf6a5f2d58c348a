package sandboxfake

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// magic begins every written snapshot.
const magic = "pretended snapshot of "

// A Snapshot is a pretended one: it remembers whose it is.
type Snapshot struct {
	// Of is the id of the sandbox that was saved.
	Of     string
	closed atomic.Bool
}

var _ sandbox.Snapshot = (*Snapshot)(nil)

// WriteTo implements sandbox.Snapshot.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, magic+s.Of)
	return int64(n), err
}

// Size implements sandbox.Snapshot.
func (s *Snapshot) Size() int64 { return int64(len(magic) + len(s.Of)) }

// Close implements sandbox.Snapshot.
func (s *Snapshot) Close() error {
	s.closed.Store(true)
	return nil
}

// Closed tells whether Close was called.
func (s *Snapshot) Closed() bool { return s.closed.Load() }

// Load implements sandbox.Engine.
func (e *Engine) Load(_ context.Context, from io.Reader) (sandbox.Snapshot, error) {
	text, err := io.ReadAll(from)
	if err != nil {
		return nil, fmt.Errorf("load snapshot: %w", err)
	}
	of, ok := strings.CutPrefix(string(text), magic)
	if !ok {
		return nil, fmt.Errorf("load snapshot: %w: it is none of this engine's", sandbox.ErrSnapshot)
	}
	return &Snapshot{Of: of}, nil
}

// Save implements sandbox.Sandbox.
func (g *guest) Save(_ context.Context, keep bool) (sandbox.Snapshot, error) {
	select {
	case <-g.done:
		return nil, sandbox.ErrStopped
	default:
	}
	g.engine.mu.Lock()
	fail := g.engine.Unsavable
	g.engine.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	if !keep {
		g.end(sandbox.Status{Cause: sandbox.Saved})
	}
	return &Snapshot{Of: g.spec.ID}, nil
}

// Usage implements sandbox.Sandbox.
func (g *guest) Usage(context.Context) (sandbox.Usage, error) {
	g.engine.mu.Lock()
	defer g.engine.mu.Unlock()
	return g.engine.Use, nil
}
