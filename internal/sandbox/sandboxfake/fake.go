// Package sandboxfake is a sandbox.Engine for tests whose guests are Go
// functions of the test's own process. It isolates nothing. Its connections are
// pipes in memory, so that it works inside testing/synctest.
package sandboxfake

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// Engine starts pretended sandboxes. Its exported fields are set before use, or
// between two starts.
type Engine struct {
	// Startup is how long a start takes.
	Startup time.Duration
	// Fail, when set, is what Start returns.
	Fail error
	// FailResume, when set, is what Start returns for a Spec with a Snapshot.
	FailResume error
	// Unsavable, when set, is what Save returns.
	Unsavable error
	// SaveTime is how long a save takes, in which a guest does nothing.
	SaveTime time.Duration
	// Key is the SnapshotKey; empty: one of its own.
	Key string
	// Ballast is added to the size of snapshots, in bytes.
	Ballast int
	// FilesInMemory is the capability.
	FilesInMemory bool
	// Use is what every guest uses.
	Use sandbox.Usage
	// Stuck guests ignore SIGTERM.
	Stuck bool
	// Handler is what a guest serves on every port; nil: nothing listens.
	Handler http.Handler
	// Closed are ports on which nothing listens.
	Closed map[uint16]bool
	// Conn takes raw connections in place of Handler, each in a goroutine.
	Conn func(net.Conn)
	// Command is what every command does, until its context ends, and its exit
	// code; nil: there are no commands.
	Command func(context.Context, sandbox.Command) int

	mu      sync.Mutex
	starts  int
	dials   int
	loads   int
	resumes int
	deaf    bool
	specs   []sandbox.Spec
	live    map[string]*guest
}

var _ sandbox.Engine = (*Engine)(nil)

// Capabilities implements sandbox.Engine.
func (e *Engine) Capabilities() sandbox.Capabilities {
	return sandbox.Capabilities{Engine: "fake", Snapshots: true, Passthrough: true, SnapshotKey: cmp.Or(e.Key, "fake"), FilesInMemory: e.FilesInMemory}
}

// Close implements sandbox.Engine.
func (e *Engine) Close(context.Context) error {
	e.endAll(sandbox.Status{Cause: sandbox.Stopped, Code: 137})
	return nil
}

// Start implements sandbox.Engine.
func (e *Engine) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	e.mu.Lock()
	e.starts++
	e.mu.Unlock()
	select {
	case <-after(e.Startup):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if e.Fail != nil {
		return nil, e.Fail
	}
	if spec.Snapshot != nil && e.FailResume != nil {
		return nil, e.FailResume
	}
	g := &guest{engine: e, spec: spec, stuck: e.Stuck, conn: e.Conn, done: make(chan struct{}), memory: &Memory{}}
	if s, ok := spec.Snapshot.(*Snapshot); ok {
		if s.Closed() {
			return nil, errors.New("resume a snapshot that was closed")
		}
		g.memory.values = (&Memory{values: s.Memory}).copy()
	}
	if e.Handler != nil {
		g.listener = &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
		g.server = &http.Server{Handler: e.Handler, BaseContext: g.remember}
		go func() { _ = g.server.Serve(g.listener) }() // it ends with the guest
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.live == nil {
		e.live = map[string]*guest{}
	}
	e.live[spec.ID] = g
	e.specs = append(e.specs, spec)
	if spec.Snapshot != nil {
		e.resumes++
	}
	return g, nil
}

// Starts is how often Start was called.
func (e *Engine) Starts() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.starts
}

// Dials is how often a guest was dialled.
func (e *Engine) Dials() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.dials
}

// Uses says how much memory every guest uses from now on, in bytes.
func (e *Engine) Uses(memory int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Use.MemoryBytes = memory
}

// Deafen lets no guest listen any more.
func (e *Engine) Deafen() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deaf = true
}

// Alive is how many guests have not ended.
func (e *Engine) Alive() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.live)
}

// Specs are those of all guests that ever ran, in order.
func (e *Engine) Specs() []sandbox.Spec {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]sandbox.Spec(nil), e.specs...)
}

// Crash ends every guest as if it had died by itself.
func (e *Engine) Crash(code int) { e.endAll(sandbox.Status{Cause: sandbox.Exited, Code: code}) }

// End ends every guest with a status.
func (e *Engine) End(s sandbox.Status) { e.endAll(s) }

func (e *Engine) endAll(s sandbox.Status) {
	e.mu.Lock()
	all := make([]*guest, 0, len(e.live))
	for _, g := range e.live {
		all = append(all, g)
	}
	e.mu.Unlock()
	for _, g := range all {
		g.end(s)
	}
}

// guest is one pretended sandbox.
type guest struct {
	engine   *Engine
	spec     sandbox.Spec
	stuck    bool
	conn     func(net.Conn)
	listener *listener
	server   *http.Server
	memory   *Memory

	once sync.Once
	exit sandbox.Status
	done chan struct{}
}

func (g *guest) ID() string            { return g.spec.ID }
func (g *guest) Done() <-chan struct{} { return g.done }

func (g *guest) Exit() sandbox.Status {
	select {
	case <-g.done:
		return g.exit
	default:
		return sandbox.Status{}
	}
}

func (g *guest) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	select {
	case <-g.done:
		return nil, sandbox.ErrStopped
	default:
	}
	g.engine.mu.Lock()
	g.engine.dials++
	deaf := g.engine.deaf
	g.engine.mu.Unlock()
	if deaf || g.engine.Closed[port] || g.conn == nil && g.listener == nil {
		return nil, sandbox.ErrRefused
	}
	ours, theirs := net.Pipe()
	if g.conn != nil {
		go g.conn(theirs)
		return ours, nil
	}
	select {
	case g.listener.conns <- theirs:
		return ours, nil
	case <-g.done:
		return nil, sandbox.ErrStopped
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *guest) Stop(ctx context.Context, grace time.Duration) error {
	if g.stuck && grace > 0 {
		select {
		case <-after(grace):
		case <-g.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	g.end(sandbox.Status{Cause: sandbox.Stopped, Code: 143})
	return nil
}

func (g *guest) end(s sandbox.Status) {
	g.once.Do(func() {
		if g.server != nil {
			_ = g.server.Close() // its pipes close without fail
		}
		g.engine.mu.Lock()
		delete(g.engine.live, g.spec.ID)
		g.engine.mu.Unlock()
		g.exit = s
		close(g.done)
	})
}

// Print lets the newest guest write to its standard output or error.
func (e *Engine) Print(stderr bool, text string) {
	e.mu.Lock()
	spec := e.specs[len(e.specs)-1]
	e.mu.Unlock()
	w := spec.Stdout
	if stderr {
		w = spec.Stderr
	}
	_, _ = io.WriteString(w, text) // a writer that has had enough says so
}

// listener hands the connections of Dial to the guest's server.
type listener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// after is time.After, without a timer for what is due at once: such a one in a bubble
// of testing/synctest crashes Go 1.26's race detector now and then.
func after(d time.Duration) <-chan time.Time {
	if d > 0 {
		return time.After(d)
	}
	due := make(chan time.Time)
	close(due)
	return due
}
