package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/snapshot"
)

// sleeper is a session that hibernates. It knows nothing of the process that it
// was, whose memory is free.
type sleeper struct {
	m     *Manager
	state sessionState
	// snapshot is what could not be written to disk, or nil.
	snapshot sandbox.Snapshot
	timer    *time.Timer
}

// file names what a session hibernates in. It is resumed once: each hibernation
// has its own.
func (d *sleeper) file() snapshot.Key { return fileKey(d.state.Key, d.state.File) }

func fileKey(key Key, file string) snapshot.Key {
	return snapshot.Key{Owner: resource(key.Scope, key.Owner), Part: key.Endpoint + "/" + key.ID, ID: file}
}

// deadline is when the session ends if nobody comes, and why.
func (d *sleeper) deadline() (time.Time, string) {
	limit := max(d.state.IdleLimit, d.m.cfg.KeepHibernated)
	idle, life := d.state.Quiet.Add(limit), d.state.Started.Add(d.state.MaxLife)
	if life.Before(idle) {
		return life, "its maximum lifetime is over"
	}
	return idle, "it was idle for " + limit.String()
}

// sleepable reports whether an idle session may hibernate now; the caller holds
// the mutex.
func (s *session) sleepable() bool {
	return s.status == Idle && s.running == 0 && !s.busy && s.plan.Hibernate && s.m.savable && s.m.cfg.Hibernated != nil && s.awake == ""
}

// lull puts an idle session on its way to sleep: requests wait from here on. The
// caller holds the mutex and calls hibernate.
func (s *session) lull() {
	s.status, s.pause, s.saved = Hibernating, make(chan struct{}), make(chan struct{})
}

// errBusy says that a guest turned out to be at work.
var errBusy = errors.New("it is busy")

// hibernate saves the session and ends its sandbox. A guest that cannot be saved
// goes on, and is not asked again.
func (s *session) hibernate() {
	defer close(s.saved)
	d, err := s.save()
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if err == nil {
		s.slept = d // forget lays it down
		return
	}
	if !errors.Is(err, errBusy) {
		s.awake = err.Error()
	}
	if s.status == Hibernating {
		s.status = Idle
		if !errors.Is(err, errBusy) && !errors.Is(err, sandbox.ErrStopped) {
			s.plan.note("the session cannot hibernate: " + s.awake)
		}
	}
	s.unpause()
}

// unpause lets those go on who wait for the end of a hibernation, unless the
// session's end has. The caller holds the mutex.
func (s *session) unpause() {
	if s.pause != nil {
		close(s.pause)
		s.pause = nil
	}
}

// saveLimit bounds a hibernation.
const saveLimit = 2 * time.Minute

// save makes a sleeper of a guest; without an error its sandbox has ended.
func (s *session) save() (*sleeper, error) {
	if err := s.poll(); err != nil {
		return nil, fmt.Errorf("%w: %w", errBusy, err) // tend finds out what is wrong with it
	}
	s.m.mu.Lock()
	busy, quiet, requests, last := s.busy, s.quiet(), s.requests, s.lastUsed
	s.m.mu.Unlock()
	if busy {
		return nil, errBusy
	}
	ctx, cancel := context.WithTimeout(s.life, saveLimit)
	defer cancel()
	done, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	// They break with the save, and are not to be taken for good ones.
	s.transport.CloseIdleConnections()
	saved, err := s.box.Save(ctx, false)
	if err != nil {
		return nil, err
	}
	d := &sleeper{m: s.m, state: sessionState{
		Status: Hibernated, Key: s.key, Version: s.plan.Version, Started: s.started, LastUsed: last, Quiet: quiet, Requests: requests,
		IdleLimit: s.plan.IdleLimit, MaxLife: s.plan.MaxLife, Fingerprint: s.m.fingerprint(s.plan, s.spec), File: newID(), Size: saved.Size(),
		Engine: s.m.cfg.Engine.Capabilities().SnapshotKey, Basis: s.plan.Basis,
	}}
	if s.volume != nil {
		d.state.Storage = s.volume.Size()
	}
	if s.lease != nil {
		d.state.Epoch = s.lease.Epoch
	}
	if err := s.m.cfg.Hibernated.Put(ctx, d.file(), saved); err != nil {
		// Its guest is gone: it stays in memory rather than be lost.
		s.m.cfg.Log.Warn("hibernate session: it stays in memory", "session", s.key.ID, "owner", s.key.Owner, "error", err)
		d.snapshot = saved
		return d, nil
	}
	if info, ok := s.m.cfg.Hibernated.Stat(d.file()); ok {
		d.state.Size = info.Size
	}
	if err := s.recordSleep(d); err != nil {
		s.m.cfg.Log.Warn("hibernate session: it will not outlive this process", "session", s.key.ID, "owner", s.key.Owner, "error", err)
	}
	return d, nil
}

// lay puts a sleeper into the table and sets its clock; the caller holds the
// mutex.
func (m *Manager) lay(d *sleeper) {
	m.asleep[d.state.Key] = d
	at, why := d.deadline()
	d.timer = time.AfterFunc(time.Until(at), func() { d.finish(why) })
	if m.closed {
		d.timer.Stop()
	}
}

// finish ends a session that hibernates, and reports whether it did: not if
// somebody else has it by now.
func (d *sleeper) finish(why string) bool {
	m := d.m
	m.mu.Lock()
	if m.asleep[d.state.Key] != d {
		m.mu.Unlock()
		return false
	}
	delete(m.asleep, d.state.Key)
	d.timer.Stop()
	m.mu.Unlock()
	d.discard()
	m.note(d.state.Key, "session ended: "+why)
	return true
}

// discard removes what is left of a sleeper.
func (d *sleeper) discard() {
	if d.snapshot != nil {
		if err := d.snapshot.Close(); err != nil {
			d.m.cfg.Log.Warn("close snapshot", "error", err)
		}
	}
	d.m.cfg.Hibernated.Drop(d.file())
	d.m.forgetDocument(d.state.Key, d.state.Epoch)
}

// back lays a sleeper down again that could not be woken for a reason that was
// not its own.
func (d *sleeper) back(s *session) {
	m := d.m
	m.mu.Lock()
	stopped, why := s.status == Stopping && !m.closed, s.why
	m.lay(d)
	m.mu.Unlock()
	if stopped {
		d.finish(why)
	}
}

// wakeLimit bounds the resuming of a guest, after which it starts afresh.
const wakeLimit = 15 * time.Second

// wake resumes the guest where it was. Its file is gone before it runs, so that
// no two of it ever do. With again it has not run, and was laid down again.
func (s *session) wake() (again bool, err error) {
	d := s.sleeper
	from := d.snapshot
	if s.m.fingerprint(s.plan, s.spec) != d.state.Fingerprint {
		d.discard()
		return false, errors.New("what it was made from has changed")
	}
	if from == nil {
		if from, err = s.m.cfg.Hibernated.Take(s.life, d.file()); err != nil {
			s.m.cfg.Log.Warn("load session", "session", s.key.ID, "owner", s.key.Owner, "error", err)
			return false, unloaded(err)
		}
	}
	err = s.attempt(s.life, wakeLimit, from)
	if troubled(err) && s.life.Err() == nil {
		// The host's or the engine's trouble. Its file is gone: it waits in memory.
		d.snapshot = from
		d.back(s)
		return true, err
	}
	if closeErr := from.Close(); closeErr != nil {
		s.m.cfg.Log.Warn("close snapshot", "error", closeErr)
	}
	if err == nil {
		s.origin = Woken
	}
	return false, err
}

// unloaded words for the session's log why its file could not be loaded; what the
// disk said is for the server's.
func unloaded(err error) error {
	switch {
	case errors.Is(err, secret.ErrUnreadable):
		return errors.New("its file is damaged, or was sealed with another key")
	case errors.Is(err, sandbox.ErrSnapshot):
		return errors.New("its file is damaged, or was made by another build of outcrop or on another machine")
	case errors.Is(err, snapshot.ErrMissing), errors.Is(err, fs.ErrNotExist):
		return errors.New("its file is gone")
	case errors.Is(err, context.Canceled):
		return err
	}
	return errors.New("its file could not be read")
}

// unresumed words for the session's log why a guest could not be resumed. What the
// engine met is for the server's.
func unresumed(err error) string {
	if failed, ok := errors.AsType[*StartError](err); ok {
		return failed.Why()
	}
	if errors.Is(err, sandbox.ErrSnapshot) {
		return sandbox.ErrSnapshot.Error() + "; the server's own log says why"
	}
	return err.Error()
}

// troubled tells an engine that cannot start anything from a guest that cannot be
// resumed.
func troubled(err error) bool {
	return errors.Is(err, sandbox.ErrUnavailable) || errors.Is(err, sandbox.ErrClosed) || errors.Is(err, sandbox.ErrStopped)
}

// info describes the sleeper; the caller holds the mutex.
func (d *sleeper) info() Info {
	i := Info{
		Key: d.state.Key, Status: Hibernated, Version: d.state.Version, Requests: d.state.Requests, Started: d.state.Started, LastUsed: d.state.LastUsed,
		LifeDeadline: d.state.Started.Add(d.state.MaxLife), Snapshot: d.state.Size, Storage: d.state.Storage,
	}
	i.IdleDeadline, _ = d.deadline()
	return i
}
