package sandboxfake

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// magic begins every written snapshot.
const magic = "pretended snapshot of "

// A Snapshot is a pretended one: it remembers whose it is, what that one had in
// its environment and in its Memory.
type Snapshot struct {
	// Of is the id of the sandbox that was saved, Env its environment.
	Of     string
	Env    []string
	Memory map[string]string
	// Ballast is written too, in bytes.
	Ballast int

	closed atomic.Bool
}

var _ sandbox.Snapshot = (*Snapshot)(nil)

// WriteTo implements sandbox.Snapshot.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	n, err := io.WriteString(w, magic+string(body)+strings.Repeat("\n", s.Ballast))
	return int64(n), err
}

// Size implements sandbox.Snapshot.
func (s *Snapshot) Size() int64 {
	n, _ := s.WriteTo(io.Discard) // it is text
	return n
}

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
	body, ok := strings.CutPrefix(string(text), magic)
	s := &Snapshot{}
	if !ok || json.Unmarshal([]byte(body), s) != nil {
		return nil, fmt.Errorf("load snapshot: %w: it is none of this engine's", sandbox.ErrSnapshot)
	}
	s.Ballast = len(body) - len(strings.TrimRight(body, "\n"))
	e.mu.Lock()
	defer e.mu.Unlock()
	e.loads++
	return s, nil
}

// Loads is how often Load succeeded.
func (e *Engine) Loads() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.loads
}

// Resumes is how many guests were resumed from a snapshot.
func (e *Engine) Resumes() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.resumes
}

// Save implements sandbox.Sandbox.
func (g *guest) Save(ctx context.Context, keep bool) (sandbox.Snapshot, error) {
	select {
	case <-g.done:
		return nil, sandbox.ErrStopped
	default:
	}
	g.engine.mu.Lock()
	fail, ballast, pause := g.engine.Unsavable, g.engine.Ballast, g.engine.SaveTime
	g.engine.mu.Unlock()
	select {
	case <-after(pause):
	case <-g.done:
		return nil, sandbox.ErrStopped
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if fail != nil {
		return nil, fail
	}
	s := &Snapshot{Of: g.spec.ID, Env: g.spec.Env, Memory: g.memory.copy(), Ballast: ballast}
	if !keep {
		g.end(sandbox.Status{Cause: sandbox.Saved})
	}
	return s, nil
}

// Usage implements sandbox.Sandbox.
func (g *guest) Usage(context.Context) (sandbox.Usage, error) {
	g.engine.mu.Lock()
	defer g.engine.mu.Unlock()
	return g.engine.Use, nil
}

// Memory is what a guest remembers, and its snapshots with it.
type Memory struct {
	mu     sync.Mutex
	values map[string]string
}

// Get returns what was set, or nothing.
func (m *Memory) Get(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[name]
}

// Set remembers a value.
func (m *Memory) Set(name, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = map[string]string{}
	}
	m.values[name] = value
}

func (m *Memory) copy() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]string, len(m.values))
	for k, v := range m.values {
		out[k] = v
	}
	return out
}

type memoryKey struct{}

// MemoryOf is that of the guest whose Handler is asked.
func MemoryOf(r *http.Request) *Memory {
	m, _ := r.Context().Value(memoryKey{}).(*Memory)
	return m
}

// remember gives a guest's server its memory.
func (g *guest) remember(net.Listener) context.Context {
	return context.WithValue(context.Background(), memoryKey{}, g.memory)
}
