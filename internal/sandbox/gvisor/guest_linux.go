package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
	"github.com/outcrop/outcrop/internal/sandbox/socketpair"
)

// killTimeout bounds how long a request to kill may take to be taken.
const killTimeout = 10 * time.Second

// A guest is one sandbox as the engine sees it.
type guest struct {
	spec  sandbox.Spec
	start *wire.Start
	// done is closed when the engine has forgotten the guest, whether it ever
	// ran or not.
	done chan struct{}
	// running is closed once the start succeeded and output is being copied.
	running chan struct{}
	output  sync.WaitGroup
	// hook serves connections to hookAddress, and closes them; nil refuses them.
	// It is set before the start.
	hook  func(net.Conn)
	hooks hookAnswers
	key   string // the engine's SnapshotKey
	// saving holds a token while somebody saves the guest.
	saving chan struct{}

	mu    sync.Mutex
	saved bool // Save ends it
	// open are connections that are not the sandbox's to break.
	open   map[*throughConn]struct{}
	used   wire.Measured // when it had ended
	link   *link         // nil until there is a supervisor to talk to
	asked  bool          // somebody called Stop, Close or gave up starting
	dead   bool          // and it was to be at once
	status sandbox.Status
	// deadline kills it after the shortest grace so far.
	deadline *time.Timer
	due      time.Time
}

var _ sandbox.Sandbox = (*guest)(nil)

func newGuest(spec sandbox.Spec, m *wire.Start, key string) *guest {
	g := &guest{
		spec: spec, start: m, key: key, saving: make(chan struct{}, 1),
		done: make(chan struct{}), running: make(chan struct{}),
	}
	if spec.Savable {
		g.hook = g.hooks.serve
	}
	return g
}

// boot has the supervisor start the sandbox and begins to copy its output. It
// returns only when the sandbox runs or is gone.
func (g *guest) boot(ctx context.Context, e *engine) error {
	var snapshot []*os.File
	if g.spec.Snapshot != nil {
		s, release, err := g.resumed()
		if err != nil {
			return err
		}
		defer release()
		snapshot = s.files[:]
	}
	l, err := e.link(ctx)
	if err != nil {
		return err
	}
	outR, outW, err := outputPipe()
	if err != nil {
		return err
	}
	errR, errW, err := outputPipe()
	if err != nil {
		outR.Close()
		outW.Close()
		return err
	}
	if !g.use(l) {
		err = context.Canceled
	} else {
		// Not ctx: once it is asked for, its answer must be known.
		err = l.call(context.WithoutCancel(ctx), &wire.Message{Start: g.start}, append([]*os.File{outW, errW}, snapshot...)...)
	}
	outW.Close()
	errW.Close()
	if err != nil {
		// runsc writes its riddles to the guest's standard error: not ours to show.
		outR.Close()
		errR.Close()
		return translate(err)
	}
	g.output.Go(func() { drain(g.spec.Stdout, outR) })
	g.output.Go(func() { drain(g.spec.Stderr, errR) })
	close(g.running)
	return nil
}

// use tells the guest whom to ask, unless somebody gave it up already.
func (g *guest) use(l *link) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.link = l
	return !g.dead
}

// on tells whether the guest lives under l.
func (g *guest) on(l *link) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.link == l
}

// drain copies everything from r, to w as long as it takes it.
func drain(w io.Writer, r *os.File) {
	defer r.Close()
	if w != nil {
		_, _ = io.Copy(w, r) // a writer that fails has had enough
	}
	_, _ = io.Copy(io.Discard, r)
}

// finish waits for the output and records how the guest ended. A short-lived
// guest may have ended before its start was answered.
func (g *guest) finish(cause sandbox.Cause, code int) {
	<-g.running
	g.output.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.deadline != nil {
		g.deadline.Stop()
	}
	if g.asked {
		cause = sandbox.Stopped
	}
	if g.saved {
		cause = sandbox.Saved
	}
	if cause != sandbox.Exited && code < 0 {
		code = 128 + int(unix.SIGKILL) // a killed process has no exit code
	}
	g.status = sandbox.Status{Cause: cause, Code: code, Limit: g.limit(cause)}
}

// limit is the bound that a guest exceeded that ended with cause.
func (g *guest) limit(cause sandbox.Cause) int64 {
	switch cause {
	case sandbox.OutOfMemory:
		return max(0, g.start.Limits.Memory-wire.OverheadBytes)
	case sandbox.OutOfSpace:
		var bounds []int64
		for _, v := range g.spec.Volumes {
			if v.Bytes > 0 {
				bounds = append(bounds, v.Bytes)
			}
		}
		if len(bounds) == 1 {
			return bounds[0]
		}
	}
	return 0
}

// ID implements sandbox.Sandbox.
func (g *guest) ID() string { return g.spec.ID }

// Done implements sandbox.Sandbox.
func (g *guest) Done() <-chan struct{} { return g.done }

// Exit implements sandbox.Sandbox.
func (g *guest) Exit() sandbox.Status {
	select {
	case <-g.done:
	default:
		return sandbox.Status{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.status
}

// Dial implements sandbox.Sandbox. The bytes flow between the engine's end of a
// socket pair and the sandbox's process, or over a socket of the guest's network
// namespace; nobody else copies them.
func (g *guest) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	c, err := g.dial(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("dial port %d of sandbox %s: %w", port, g.spec.ID, err)
	}
	return c, nil
}

func (g *guest) dial(ctx context.Context, port uint16) (net.Conn, error) {
	select {
	case <-g.done:
		return nil, sandbox.ErrStopped
	default:
	}
	if g.spec.Passthrough {
		return g.dialThrough(ctx, port)
	}
	ours, theirs, err := socketpair.Files(socketpair.Stream)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	if err := g.link.call(ctx, &wire.Message{Dial: &wire.Dial{Sandbox: g.start.Sandbox, Port: port}}, theirs); err != nil {
		ours.Close()
		return nil, translate(err)
	}
	return newConn(ours, addr{g.spec.ID, port})
}

// A stream is what connected stream sockets of both kinds are.
type stream interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// A conn is a connection to a guest.
type conn struct {
	stream
	peer addr
}

// newConn takes a socket over.
func newConn(file *os.File, peer addr) (*conn, error) {
	defer file.Close() // the connection has a descriptor of its own
	c, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	s, ok := c.(stream)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("%T is not a stream", c)
	}
	return &conn{stream: s, peer: peer}, nil
}

// RemoteAddr names the sandbox and the port.
func (c *conn) RemoteAddr() net.Addr { return c.peer }

// An addr is a port of a sandbox.
type addr struct {
	sandbox string
	port    uint16
}

// Network is "sandbox".
func (addr) Network() string { return "sandbox" }

// String is ID:PORT.
func (a addr) String() string { return fmt.Sprintf("%s:%d", a.sandbox, a.port) }

// Stop implements sandbox.Sandbox.
func (g *guest) Stop(ctx context.Context, grace time.Duration) error {
	grace = min(grace, sandbox.MaxGrace)
	if first := g.stopping(); first && grace > 0 {
		// A guest that cannot be told will be killed when its time is over.
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sandbox.MaxGrace)
			defer cancel()
			_ = g.link.call(ctx, &wire.Message{Signal: &wire.Signal{Sandbox: g.start.Sandbox, Number: int32(unix.SIGTERM)}})
		}()
	}
	if grace <= 0 {
		g.kill()
	} else {
		g.killIn(grace)
	}
	select {
	case <-g.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop sandbox %s: %w", g.spec.ID, context.Cause(ctx))
	}
}

// stopping notes that the guest's end is wanted, and tells whether that is new.
func (g *guest) stopping() (first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	first = !g.asked
	g.asked = true
	return first
}

// killIn kills the guest after a while, unless an earlier time is set.
func (g *guest) killIn(grace time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	due := time.Now().Add(grace)
	switch {
	case g.deadline == nil:
		g.deadline = time.AfterFunc(grace, g.kill)
	case due.Before(g.due):
		g.deadline.Reset(grace)
	default:
		return
	}
	g.due = due
}

// kill ends the guest at once. It does not wait.
func (g *guest) kill() {
	g.mu.Lock()
	g.asked, g.dead = true, true
	l := g.link
	g.mu.Unlock()
	if l == nil {
		return // boot will see it
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
		defer cancel()
		_ = l.call(ctx, &wire.Message{Kill: &wire.Kill{Sandbox: g.start.Sandbox}}) // it fails when all is over
	}()
}

// translate gives the supervisor's failures the contract's names.
func translate(err error) error {
	var f *wire.Failure
	if errors.Is(err, errLost) {
		return fmt.Errorf("%w: %w", sandbox.ErrStopped, err)
	}
	if !errors.As(err, &f) {
		return err
	}
	switch f.Kind {
	case wire.Command:
		return &sandbox.CommandError{Reason: f.Text}
	case wire.Mounting:
		return fmt.Errorf("%w: %s", sandbox.ErrInvalid, f.Text)
	case wire.Refused:
		return sandbox.ErrRefused
	case wire.Unsaved:
		return fmt.Errorf("%w: %s", sandbox.ErrUnsavable, f.Text)
	case wire.Resuming:
		return fmt.Errorf("%w: %s", sandbox.ErrSnapshot, f.Text)
	case wire.Gone:
		return fmt.Errorf("%w: %s", sandbox.ErrStopped, f.Text)
	}
	return f
}
