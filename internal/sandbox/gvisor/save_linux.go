package gvisor

import (
	"context"
	"errors"
	"fmt"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// Save implements sandbox.Sandbox.
func (g *guest) Save(ctx context.Context, keep bool) (sandbox.Snapshot, error) {
	s, err := g.save(ctx, keep)
	if err != nil {
		return nil, fmt.Errorf("save sandbox %s: %w", g.spec.ID, err)
	}
	return s, nil
}

func (g *guest) save(ctx context.Context, keep bool) (*snapshot, error) {
	if keep && !g.spec.Savable && !g.spec.SafeToCopy {
		return nil, fmt.Errorf("%w: it was not started as Savable, so that its processes cannot be told that they are copies", sandbox.ErrUnsavable)
	}
	select {
	case g.saving <- struct{}{}:
	case <-g.done:
		return nil, sandbox.ErrStopped
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	type result struct {
		s   *snapshot
		err error
	}
	frozen := make(chan result, 1)
	go func() {
		s, err := g.freeze(keep)
		frozen <- result{s, err}
	}()
	select {
	case r := <-frozen:
		defer func() { <-g.saving }()
		if r.err != nil {
			return nil, r.err
		}
		if err := g.settle(ctx, r.s, keep); err != nil {
			r.s.Close()
			return nil, err
		}
		return r.s, nil
	case <-ctx.Done():
		go func() { // the supervisor cannot be stopped half-way
			defer func() { <-g.saving }()
			if r := <-frozen; r.err == nil {
				r.s.Close()
				if !keep {
					g.thaw()
				}
			}
		}()
		return nil, context.Cause(ctx)
	}
}

// freeze has the supervisor write the guest's state. Unless keep, the guest is
// frozen afterwards.
func (g *guest) freeze(keep bool) (*snapshot, error) {
	spec, err := specKey(g.start)
	if err != nil {
		return nil, err
	}
	s, err := newSnapshot(head{Key: g.key, Spec: spec})
	if err != nil {
		return nil, err
	}
	g.hooks.reset()
	// Of those that go on alone or cannot answer nobody is asked.
	request := &wire.Save{Sandbox: g.start.Sandbox, Keep: keep, List: keep && g.spec.Savable}
	connections := g.connections()
	m, err := g.link.ask(context.Background(), &wire.Message{Save: request}, s.files[:]...)
	if err == nil && m.Saved == nil {
		err = errors.New("the supervisor did not say what it saved")
	}
	if err == nil {
		for _, c := range connections {
			c.Close()
		}
		s.head.Told = m.Saved.Processes
		err = s.seal()
		if err != nil && !keep {
			g.thaw()
		}
	}
	if err != nil {
		s.Close()
		return nil, translate(err)
	}
	return s, nil
}

// settle ends a guest that was saved to end, and asks the processes of one that
// goes on whether they can be copied.
func (g *guest) settle(ctx context.Context, s *snapshot, keep bool) error {
	if !keep {
		if !g.killSaved() {
			return sandbox.ErrStopped
		}
		<-g.done
		return nil
	}
	q := question{good: eventSafe, bad: eventUnsafe, processes: s.head.Told, patience: hookTime, over: g.done}
	if g.spec.SafeToCopy { // who can answer shall be told of a resume, and nobody must
		q.patience = hookPause
	}
	answered, silent := g.hooks.await(ctx, q)
	select {
	case <-g.done:
		return sandbox.ErrStopped
	default:
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(silent) > 0 && !g.spec.SafeToCopy {
		return fmt.Errorf("%w: %v", sandbox.ErrUnsavable, silent[0])
	}
	s.head.Told = answered
	return nil
}

// thaw lets a frozen guest go on.
func (g *guest) thaw() {
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	_ = g.link.call(ctx, &wire.Message{Thaw: &wire.Thaw{Sandbox: g.start.Sandbox}}) // it fails when all is over
}

// killSaved ends a guest whose state was saved, unless somebody asked for its end
// before.
func (g *guest) killSaved() bool {
	g.mu.Lock()
	asked := g.asked
	g.saved = !asked
	g.mu.Unlock()
	if asked {
		g.thaw() // it may be meant to tidy up
		return false
	}
	g.kill()
	return true
}

// resumed checks that the snapshot fits what is to be started, and keeps it open
// until release is called.
func (g *guest) resumed() (s *snapshot, release func(), err error) {
	s, ok := g.spec.Snapshot.(*snapshot)
	if !ok {
		return nil, nil, fmt.Errorf("%w: another engine made it", sandbox.ErrSnapshot)
	}
	spec, err := specKey(g.start)
	if err != nil {
		return nil, nil, err
	}
	if s.head.Key != g.key {
		return nil, nil, fmt.Errorf("%w: it was made by another build or on another machine", sandbox.ErrSnapshot)
	}
	if s.head.Spec != spec {
		return nil, nil, fmt.Errorf("%w: its guest was started with another Spec", sandbox.ErrSnapshot)
	}
	if !s.use() {
		return nil, nil, fmt.Errorf("%w: it was closed", sandbox.ErrSnapshot)
	}
	return s, s.release, nil
}

// awaitCopies returns when every process of a resumed guest that can be told that
// it is a copy has answered. Else the guest is killed.
func (g *guest) awaitCopies(ctx context.Context) error {
	s := g.spec.Snapshot.(*snapshot)
	if len(s.head.Told) == 0 {
		return nil
	}
	_, silent := g.hooks.await(ctx, question{good: eventRestored, bad: eventFailed, processes: s.head.Told, patience: hookTime, over: g.done})
	if len(silent) == 0 {
		return nil
	}
	err := fmt.Errorf("%w: %v", sandbox.ErrSnapshot, silent[0])
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	g.kill()
	<-g.done
	return err
}
