package sandboxfake

import (
	"context"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// process is one pretended command.
type process struct {
	stop context.CancelCauseFunc
	done chan struct{}
	exit sandbox.Status
}

// What ended a command early.
var (
	errEnded   = fmt.Errorf("its sandbox ended: %w", context.Canceled)
	errStopped = fmt.Errorf("it was stopped: %w", context.Canceled)
)

func (g *guest) Execute(_ context.Context, c sandbox.Command) (sandbox.Process, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	select {
	case <-g.done:
		return nil, sandbox.ErrStopped
	default:
	}
	run := g.engine.Command
	if run == nil {
		return nil, &sandbox.CommandError{Reason: c.Args[0] + ": not found in the guest's PATH"}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	p := &process{stop: cancel, done: make(chan struct{})}
	go func() {
		select {
		case <-g.done:
			cancel(errEnded)
		case <-p.done:
		}
	}()
	go func() {
		defer close(p.done)
		code := run(ctx, c)
		p.exit = sandbox.Status{Cause: sandbox.Exited, Code: code}
		switch context.Cause(ctx) {
		case errEnded:
			p.exit.Cause = sandbox.Destroyed
		case errStopped:
			p.exit.Cause = sandbox.Stopped
		}
		cancel(nil)
	}()
	return p, nil
}

func (p *process) Done() <-chan struct{} { return p.done }

func (p *process) Exit() sandbox.Status {
	select {
	case <-p.done:
		return p.exit
	default:
		return sandbox.Status{}
	}
}

func (p *process) Resize(sandbox.Window) error { return nil }

func (p *process) Stop(ctx context.Context, _ time.Duration) error {
	p.stop(errStopped)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
