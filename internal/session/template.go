package session

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session/storage"
	"github.com/outcrop/outcrop/internal/snapshot"
	"github.com/outcrop/outcrop/internal/store"
)

// A template is the snapshot that new sessions of a version are restored from:
// a guest that was booted as theirs are, is ready, and has served nobody.

// restoreLimit bounds the resuming of a template, after which a session boots.
const restoreLimit = 10 * time.Second

// Templates reports whether sessions can be restored from templates at all.
func (m *Manager) Templates() bool { return m.savable && m.cfg.Templates != nil }

// restore starts the session from its version's template, and reports whether
// it did. When it did not, the session can still be booted.
func (s *session) restore() (done bool, err error) {
	if s.reason == "" {
		s.reason = s.plan.Cold
	}
	if !s.plan.Template || !s.m.Templates() {
		return false, nil
	}
	key := s.m.templateKey(s.key, s.plan)
	if s.adopt(key) {
		s.m.WantSpares(s.key, s.plan)
		return true, nil
	}
	s.dismiss()
	h, err := s.m.cfg.Templates.Get(s.life, key)
	if err != nil {
		if s.life.Err() != nil {
			return false, s.life.Err()
		}
		s.cold("there is no snapshot yet", err, nil)
		return false, nil
	}
	defer h.Release()
	err = s.attempt(s.life, restoreLimit, h.Snapshot())
	if err == nil {
		s.origin = Restored
		s.m.WantSpares(s.key, s.plan)
		if s.plan.Storage != "" && s.m.KeepsSpares() {
			s.reason = "it has session storage, and no spare can be given any"
		}
		return true, nil
	}
	if s.life.Err() != nil {
		return false, err
	}
	s.box, s.transport = nil, nil
	var failed *StartError
	if errors.Is(err, sandbox.ErrSnapshot) || errors.As(err, &failed) {
		s.m.cfg.Templates.Drop(key)
	}
	s.m.cfg.Log.Warn("restore session: it starts cold", "session", s.key.ID, "owner", s.key.Owner, "error", err)
	s.cold("its snapshot could not be resumed: "+err.Error(), err, err)
	return false, nil
}

// cold notes why a session is booted, and has its owner make a template.
func (s *session) cold(why string, err, cause error) {
	if !errors.Is(err, snapshot.ErrMissing) && cause == nil {
		why = err.Error()
	}
	if s.reason == "" {
		s.reason = why
	}
	if s.plan.Wanted != nil {
		s.plan.Wanted(cause)
	}
}

// HasTemplate reports whether new sessions of a plan can be restored.
func (m *Manager) HasTemplate(key Key, plan Plan) bool {
	if !m.Templates() {
		return false
	}
	_, ok := m.cfg.Templates.Stat(m.templateKey(key, plan))
	return ok
}

// MakeTemplate boots a guest as Try does, saves it and ends it; older templates of
// the endpoint go, those of versions that it has left included.
//
// Errors: those of Try, sandbox.ErrUnsavable, and those of the disk. A manager that
// has no templates boots nothing for its ErrUnsavable.
func (m *Manager) MakeTemplate(ctx context.Context, key Key, plan Plan) error {
	if !m.Templates() {
		plan.end(End{}) // nothing has run
		return fmt.Errorf("make template of %s: the engine saves no guests: %w", key.Owner, sandbox.ErrUnsavable)
	}
	err := m.rehearse(ctx, key, plan, "its snapshot was taken", func(s *session) error {
		saved, err := s.box.Save(ctx, true)
		if err != nil {
			return err
		}
		s.halt(0)
		at := m.templateKey(key, plan)
		if err := m.cfg.Templates.Put(ctx, at, saved); err != nil {
			return errors.Join(err, saved.Close())
		}
		m.cfg.Templates.DropOthers(at)
		return nil
	})
	if err == nil {
		m.WantSpares(key, plan) // now that this guest's place is free for one
	}
	return err
}

// Try boots a guest as a session of key's owner and endpoint would, waits until it
// is ready and warm, and ends it. It calls the plan's Ended.
//
// Errors: ErrLimit when there is no room for it now, ErrClosed, *StartError, and
// those of the engine.
func (m *Manager) Try(ctx context.Context, key Key, plan Plan) error {
	return m.rehearse(ctx, key, plan, "it was tried", func(*session) error { return nil })
}

// rehearse boots a guest that serves nobody, and ends it when then is done with it.
func (m *Manager) rehearse(ctx context.Context, key Key, plan Plan, why string, then func(*session) error) (err error) {
	defer func() {
		if err != nil {
			why = err.Error()
		}
		plan.end(End{Why: why})
	}()
	s := newSession(ctx, m, key)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	leaving, err := m.reserve(s, cancel)
	if err != nil {
		return err
	}
	defer m.unreserve(s)
	for _, d := range leaving {
		select {
		case <-d.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.plan, s.spec = plan, plan.Spec
	if err := m.diskRoom(s.spec); err != nil {
		return err
	}
	if plan.Storage != "" && m.cfg.Storage != nil {
		// Nobody's: a session's own is mounted in its place.
		v, err := m.cfg.Storage.Scratch()
		if err != nil {
			return err
		}
		defer v.Close()
		s.spec.Volumes = withVolume(s.spec.Volumes, v, plan.Storage)
	}
	if err := s.attempt(ctx, plan.StartLimit, nil); err != nil {
		if m.isClosed() {
			return ErrClosed
		}
		return cmp.Or(ctx.Err(), err) // given up, rather than not ready
	}
	s.transport.CloseIdleConnections()
	defer s.halt(0)
	return then(s)
}

// reserve keeps room for making a template, which cancel gives up, and returns what
// to wait for. Spares end for it, but nobody hibernates.
func (m *Manager) reserve(s *session, cancel context.CancelFunc) ([]departure, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	m.makers[s] = cancel
	spares, tooMany, lack := m.yielding(m.alive()-m.cfg.Limit, m.lack(true))
	if tooMany > 0 || lack > 0 {
		delete(m.makers, s)
		return nil, fmt.Errorf("make template: %w", ErrLimit)
	}
	m.running.Add(1)
	return m.dissolve(spares), nil
}

func (m *Manager) unreserve(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.makers, s)
	m.running.Done()
}

// DropTemplates removes the templates of an owner.
func (m *Manager) DropTemplates(scope store.Scope, owner string) {
	if m.cfg.Templates != nil {
		m.cfg.Templates.DropOwner(resource(scope, owner))
	}
}

// templateKey says what a template depends on. The environment is part of it,
// secrets included: a snapshot.Store hashes it under a key of its own.
func (m *Manager) templateKey(key Key, plan Plan) snapshot.Key {
	at := TemplateOf(key)
	at.ID = plan.Version + " " + strconv.Quote(plan.Surroundings) + " " + m.describe(plan, plan.Spec, plan.Spec.Env)
	return at
}

// fingerprint tells guests of one version apart that cannot be resumed as each
// other. It holds nothing secret.
func (m *Manager) fingerprint(plan Plan, spec sandbox.Spec) string {
	spec.Volumes = plan.Spec.Volumes
	sum := sha256.Sum256([]byte(m.describe(plan, spec, nil)))
	return hex.EncodeToString(sum[:])
}

// describe writes down all that a saved guest depends on.
func (m *Manager) describe(plan Plan, spec sandbox.Spec, env []string) string {
	type volume struct {
		Target string
		Bytes  int64
	}
	var volumes []volume
	for _, v := range spec.Volumes {
		volumes = append(volumes, volume{v.Target, v.Bytes})
	}
	// The operator may change it.
	limits := spec.Limits
	limits.MemoryBytes = 0
	body, _ := json.Marshal([]any{ // text and numbers
		m.cfg.Engine.Capabilities().SnapshotKey, plan.Basis, plan.Storage, spec.Args, env, spec.Dir, spec.Code, spec.Mounts, spec.Root, spec.User, spec.Group,
		volumes, spec.Network != nil, limits, spec.Savable, spec.SafeToCopy, spec.RestoreHook, spec.TmpBytes, spec.Passthrough,
	})
	return string(body)
}

// withVolume adds a directory to those of a plan.
func withVolume(have []sandbox.Volume, v *storage.Volume, target string) []sandbox.Volume {
	return append(have[:len(have):len(have)], sandbox.Volume{Source: v.Path(), Target: target, Bytes: v.Bytes()})
}
