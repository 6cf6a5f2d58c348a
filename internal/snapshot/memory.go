package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/secret"
)

// Get returns a snapshot for use, loading it if need be; all who ask meanwhile
// wait for the same load, which goes on when they leave.
//
// Errors: ErrMissing when there is none, or the one there was is too old,
// damaged or of another engine, and has been dropped; ErrClosed; and those of
// the disk and of ctx.
func (s *Store) Get(ctx context.Context, key Key) (*Handle, error) {
	name := s.name(key)
	s.mu.Lock()
	f := s.files[name]
	switch {
	case s.closed:
		s.mu.Unlock()
		return nil, ErrClosed
	case f == nil:
		s.mu.Unlock()
		return nil, ErrMissing
	case s.expired(f):
		s.mu.Unlock()
		s.drop(name)
		return nil, fmt.Errorf("%w: it is older than %s", ErrMissing, s.cfg.MaxAge)
	}
	s.touch(f)
	if f.loaded != nil {
		f.loaded.users++
		h := &Handle{store: s, held: f.loaded}
		s.mu.Unlock()
		return h, nil
	}
	if f.load == nil {
		l := &load{done: make(chan struct{})}
		f.load = l
		s.loading.Go(func() { s.loadFile(context.WithoutCancel(ctx), f, l) })
	}
	l := f.load
	l.waiting++
	s.mu.Unlock()
	select {
	case <-l.done:
	case <-ctx.Done():
		s.leave(l)
		return nil, ctx.Err()
	}
	if l.err != nil {
		return nil, l.err
	}
	return &Handle{store: s, held: l.held}, nil
}

// leave gives up waiting.
func (s *Store) leave(l *load) {
	s.mu.Lock()
	held := l.held
	if held == nil {
		l.waiting--
	}
	s.mu.Unlock()
	if held != nil {
		s.release(held)
	}
}

// loadFile loads a file for all who wait for l.
func (s *Store) loadFile(ctx context.Context, f *file, l *load) {
	snapshot, err := s.read(ctx, f.name)
	if unusable(err) {
		s.cfg.Log.Warn("snapshot cannot be used and is dropped", "kind", s.cfg.Kind, "error", err)
		s.drop(f.name)
		err = fmt.Errorf("%w: %w", ErrMissing, err)
	}
	s.mu.Lock()
	f.load = nil
	if err == nil && s.closed {
		err = ErrClosed
	}
	l.err = err
	var idle []*loaded
	if snapshot != nil {
		held := &loaded{snapshot: snapshot, size: snapshot.Size(), users: l.waiting}
		switch {
		case err != nil: // nobody gets it
			held.loose = true
			idle = []*loaded{held}
		case s.files[f.name] != f: // dropped meanwhile, and good for those who asked before
			held.loose, l.held = true, held
			if held.users == 0 {
				idle = []*loaded{held}
			}
		default:
			f.loaded, l.held = held, held
			s.memory += held.size
			idle = s.trim()
		}
	}
	s.mu.Unlock()
	close(l.done)
	s.close(idle)
}

// release ends one use.
func (s *Store) release(l *loaded) {
	s.mu.Lock()
	l.users--
	var idle []*loaded
	if l.loose && l.users == 0 {
		idle = []*loaded{l}
	} else {
		idle = s.trim()
	}
	s.mu.Unlock()
	s.close(idle)
}

// unusable tells damage from a disk that cannot be read just now.
func unusable(err error) bool {
	return errors.Is(err, secret.ErrUnreadable) || errors.Is(err, sandbox.ErrSnapshot) || errors.Is(err, fs.ErrNotExist)
}

// trim takes out of memory what is not used and over the bound, the least
// recently used first. The caller holds the mutex and closes what is returned.
func (s *Store) trim() []*loaded {
	var idle []*loaded
	for s.memory > s.cfg.Memory {
		var oldest *file
		for _, f := range s.files {
			if f.loaded != nil && f.loaded.users == 0 && (oldest == nil || f.used.Before(oldest.used)) {
				oldest = f
			}
		}
		if oldest == nil {
			break
		}
		idle = append(idle, s.unload(oldest)...)
	}
	return idle
}

// unload takes a file's snapshot out of memory, at once or with its last user.
// The caller holds the mutex and closes what is returned.
func (s *Store) unload(f *file) []*loaded {
	l := f.loaded
	f.loaded = nil
	s.memory -= l.size
	l.loose = true
	if l.users > 0 {
		return nil
	}
	return []*loaded{l}
}

func (s *Store) close(idle []*loaded) {
	for _, l := range idle {
		if err := l.snapshot.Close(); err != nil {
			s.cfg.Log.Warn("close snapshot", "kind", s.cfg.Kind, "error", err)
		}
	}
}
