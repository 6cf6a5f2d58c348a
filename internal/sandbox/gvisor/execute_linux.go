package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// A process is a command in a guest.
type process struct {
	g     *guest
	pid   int32
	stdio stdio
	done  chan struct{}

	mu      sync.Mutex
	stopped bool // somebody called Stop
	status  sandbox.Status
}

// Execute implements sandbox.Sandbox.
func (g *guest) Execute(ctx context.Context, command sandbox.Command) (sandbox.Process, error) {
	p, err := g.execute(ctx, command)
	if err != nil {
		return nil, fmt.Errorf("execute in sandbox %s: %w", g.spec.ID, err)
	}
	return p, nil
}

func (g *guest) execute(ctx context.Context, c sandbox.Command) (*process, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	select {
	case <-g.done:
		return nil, sandbox.ErrStopped
	default:
	}
	m := &wire.Execute{
		Sandbox: g.start.Sandbox, Args: c.Args, Env: g.start.Env, Dir: g.start.Dir,
		UID: g.start.UID, GID: g.start.GID, Terminal: c.Terminal != nil,
	}
	if c.Env != nil {
		m.Env = environment(c.Env)
	}
	if c.Dir != "" {
		m.Dir = c.Dir
	}
	ours, theirs, err := openStdio(c)
	if err != nil {
		return nil, err
	}
	// Not ctx: once it is asked for, what was started must be known.
	answer, err := g.link.ask(context.WithoutCancel(ctx), &wire.Message{Execute: m}, theirs.files()...)
	theirs.close()
	if err == nil && answer.Executed == nil {
		err = errors.New("the supervisor did not say what it executed")
	}
	if err != nil {
		ours.close()
		return nil, translate(err)
	}
	p := &process{g: g, pid: answer.Executed.PID, stdio: ours, done: make(chan struct{})}
	go p.run(c)
	return p, nil
}

// run copies what the command reads and writes until it has ended.
func (p *process) run(c sandbox.Command) {
	if c.Stdin != nil {
		go p.feed(c.Stdin)
	}
	var output sync.WaitGroup
	output.Go(func() { copyReady(c.Stdout, p.stdio.out) })
	if p.stdio.err != nil {
		output.Go(func() { copyReady(c.Stderr, p.stdio.err) })
	}
	status := p.wait()
	p.mu.Lock()
	stopped := p.stopped
	p.mu.Unlock()
	if stopped && status.Cause == sandbox.Exited {
		status.Cause = sandbox.Stopped
		p.hangUp(unix.SIGKILL) // what is left of its group
	}
	// What it wrote is in the pipes. They may stay open for processes that it left
	// behind, which nobody waits for.
	p.stdio.wake()
	output.Wait()
	p.stdio.close()
	p.mu.Lock()
	p.status = status
	p.mu.Unlock()
	close(p.done)
}

// wait returns how the command ended.
func (p *process) wait() sandbox.Status {
	m, err := p.g.link.ask(context.Background(), &wire.Message{Wait: &wire.Wait{Sandbox: p.g.start.Sandbox, PID: p.pid}})
	if err != nil || m.Waited == nil { // its sandbox is gone
		return sandbox.Status{Cause: sandbox.Destroyed, Code: 128 + int(unix.SIGKILL)}
	}
	return sandbox.Status{Cause: sandbox.Exited, Code: m.Waited.Code}
}

// feed copies to the command's standard input.
func (p *process) feed(from io.Reader) {
	if !p.stdio.terminal {
		_, _ = io.Copy(p.stdio.in, from) // a command that has read enough closes it
		p.stdio.in.Close()
		return
	}
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		for typed := buf[:n]; len(typed) > 0; {
			upTo, signal := p.stdio.signalled(typed)
			if _, err := p.stdio.in.Write(typed[:upTo]); err != nil {
				return
			}
			if typed = typed[upTo:]; signal == 0 {
				continue
			}
			if err := p.stdio.press(typed[:1]); err != nil {
				return
			}
			p.signal(signal, true)
			typed = typed[1:]
		}
		if err != nil {
			return
		}
	}
}

// Done implements sandbox.Process.
func (p *process) Done() <-chan struct{} { return p.done }

// Exit implements sandbox.Process.
func (p *process) Exit() sandbox.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Resize implements sandbox.Process.
func (p *process) Resize(size sandbox.Window) error {
	if !p.stdio.terminal {
		return fmt.Errorf("resize terminal of command in sandbox %s: %w: it has no Terminal", p.g.spec.ID, sandbox.ErrInvalid)
	}
	if err := p.stdio.resize(size); err != nil {
		return fmt.Errorf("resize terminal of command in sandbox %s: %w", p.g.spec.ID, err)
	}
	p.signal(unix.SIGWINCH, true)
	return nil
}

// Stop implements sandbox.Process.
func (p *process) Stop(ctx context.Context, grace time.Duration) error {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	grace = min(grace, sandbox.MaxGrace)
	switch {
	case grace <= 0:
		p.kill()
	case p.stdio.terminal:
		go p.hangUp(unix.SIGHUP)
		time.AfterFunc(grace, p.kill)
	default:
		go p.signal(unix.SIGTERM, false)
		time.AfterFunc(grace, p.kill)
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop command in sandbox %s: %w", p.g.spec.ID, context.Cause(ctx))
	}
}

// kill ends the command and its group at once. It does not wait.
func (p *process) kill() { go p.hangUp(unix.SIGKILL) }

// hangUp sends a signal to the command's group and to the one in the foreground
// of its terminal: a shell first, which passes it on to all it has started.
func (p *process) hangUp(number unix.Signal) {
	p.signal(number, false)
	if p.stdio.terminal {
		p.signal(number, true)
	}
}

// signal sends a signal to the command's group, or to the one in the foreground
// of its terminal. It fails when they have ended.
func (p *process) signal(number unix.Signal, foreground bool) {
	select {
	case <-p.done: // the number may be another's by now
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	_ = p.g.link.call(ctx, &wire.Message{Signal: &wire.Signal{Sandbox: p.g.start.Sandbox, Number: int32(number), PID: p.pid, Foreground: foreground}})
}
