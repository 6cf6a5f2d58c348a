package session

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/snapshot"
)

// A spare is a guest that was resumed from a template and belongs to nobody yet:
// the next session of that template takes it instead of resuming one. Only whether
// it is ready has ever been asked of it. It reaches nothing, and what it says is
// kept, until it has a session.
type spare struct {
	m   *Manager
	key Key // of its endpoint, without a session
	// template is what it was resumed from, as it was written at a time.
	template snapshot.Key
	written  time.Time
	made     time.Time
	plan     Plan

	box            sandbox.Sandbox
	transport      *http.Transport
	network        *pendingNetwork
	stdout, stderr *pendingOutput

	// give gives up the making of it, and ready is when it was not: guarded by m.mu.
	give  context.CancelFunc
	ready bool
	// taken and ended are closed under m.mu, when it leaves m.spares: for a session,
	// or for good. gone is closed when nothing is left of it.
	taken, ended, gone chan struct{}
	memory             int64 // guarded by m.mu
}

const (
	// spareLook is how often spares are looked at.
	spareLook = time.Minute
	// spareLife is how old one grows. What it froze is as old as its template.
	spareLife = time.Hour
	// spareAgain is the pause after one that was of no use.
	spareAgain = 5 * time.Minute
	// spareProbe is how long one has to say that it is still ready.
	spareProbe = 2 * time.Second
)

// takes is what it is counted as, in bytes; the caller holds the mutex.
func (sp *spare) takes() int64 { return cmp.Or(sp.memory, newMemory) }

// current reports whether its template is still there, and still the same.
func (sp *spare) current() bool {
	info, ok := sp.m.cfg.Templates.Stat(sp.template)
	return ok && info.Created.Equal(sp.written)
}

// run looks after it until a session has it or it has ended.
func (sp *spare) run() {
	defer sp.m.running.Done()
	tick := time.NewTicker(spareLook)
	defer tick.Stop()
	for {
		select {
		case <-sp.taken:
			return
		case <-sp.ended:
			sp.finish()
			return
		case <-sp.box.Done():
			sp.fail(Ended(sp.box.Exit()))
		case <-tick.C:
			if err := sp.look(); err != nil {
				sp.fail(err.Error())
			}
		}
	}
}

// start resumes its guest and waits until that is ready.
func (sp *spare) start(ctx context.Context) error {
	h, err := sp.m.cfg.Templates.Get(ctx, sp.template)
	if err != nil {
		return err
	}
	defer h.Release()
	s := newSession(ctx, sp.m, sp.key)
	s.plan, s.spec = sp.plan, sp.plan.Spec
	if err := sp.m.diskRoom(s.spec); err != nil {
		return err
	}
	if err := s.attempt(ctx, restoreLimit, h.Snapshot()); err != nil {
		return err
	}
	sp.box, sp.transport, sp.made = s.box, s.transport, time.Now()
	sp.measure(ctx)
	return nil
}

// look asks what it uses, and whether it is still ready.
func (sp *spare) look() error {
	ctx, cancel := context.WithTimeout(context.Background(), spareProbe)
	defer cancel()
	sp.measure(ctx)
	sp.m.trimSpares()
	return sp.plan.Probe(ctx, sp.transport)
}

// measure notes what it uses, for its successor too.
func (sp *spare) measure(ctx context.Context) {
	u, err := sp.box.Usage(ctx)
	if err != nil {
		return // the last one stays
	}
	m := sp.m
	m.mu.Lock()
	defer m.mu.Unlock()
	sp.memory = u.MemoryBytes
	if w := m.wishes[sp.key]; w != nil {
		w.memory = u.MemoryBytes
	}
}

// fail ends a spare that is of no use any more, unless it has left the table. The
// next is not made at once: it may fare the same.
func (sp *spare) fail(why string) {
	m := sp.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.spares, sp) {
		return // a session that has it finds out
	}
	m.cfg.Log.Info("a spare is of no use any more", "owner", sp.key.Owner, "endpoint", sp.key.Endpoint, "reason", why)
	if w := m.wishes[sp.key]; w != nil {
		w.after = time.Now().Add(spareAgain)
	}
	m.endSpare(sp)
}

// finish ends its guest, if there is one.
func (sp *spare) finish() {
	if sp.box != nil {
		sp.transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), Grace)
		defer cancel()
		if err := sp.box.Stop(ctx, 0); err != nil {
			sp.m.cfg.Log.Error("stop spare", "owner", sp.key.Owner, "error", err)
		}
	}
	sp.release()
	close(sp.gone)
}

// release gives back what its plan holds.
func (sp *spare) release() {
	sp.plan.end(End{})
}

// adopt makes the spare that was set aside for the session its sandbox, if it is a
// copy of this template and still ready. What is the session's own reaches the guest
// from here on.
func (s *session) adopt(template snapshot.Key) bool {
	sp := s.spare
	if sp == nil || sp.template != template || !sp.current() {
		return false
	}
	ctx, cancel := context.WithTimeout(s.life, spareProbe)
	defer cancel()
	if err := s.plan.Probe(ctx, sp.transport); err != nil {
		s.m.cfg.Log.Info("a spare is of no use any more", "owner", s.key.Owner, "endpoint", s.key.Endpoint, "reason", err)
		return false
	}
	sp.network.bind(s.spec.Network)
	sp.stdout.bind(s.spec.Stdout)
	sp.stderr.bind(s.spec.Stderr)
	s.box, s.transport, s.origin = sp.box, sp.transport, FromSpare
	s.m.mu.Lock()
	s.spare, s.memory = nil, sp.memory
	s.m.mu.Unlock()
	sp.release()
	return true
}

// dismiss ends the spare that was set aside for a session that did not take it.
func (s *session) dismiss() {
	if s.spare == nil {
		return
	}
	s.spare.finish()
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.spare = nil
}

// SpareInfo describes a spare.
type SpareInfo struct {
	Key     Key // of its endpoint, without a session
	Version string
	Made    time.Time
	Memory  int64 // as last measured, in bytes
}

// Spares describes those that match, ordered by owner and endpoint.
func (m *Manager) Spares(match func(Key) bool) []SpareInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []SpareInfo
	for _, sp := range m.spares {
		if sp.ready && match(sp.key) {
			out = append(out, SpareInfo{Key: sp.key, Version: sp.plan.Version, Made: sp.made, Memory: sp.memory})
		}
	}
	slices.SortStableFunc(out, func(a, b SpareInfo) int {
		return cmp.Or(cmp.Compare(a.Key.Owner, b.Key.Owner), cmp.Compare(a.Key.Endpoint, b.Key.Endpoint))
	})
	return out
}
