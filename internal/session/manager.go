package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session/storage"
	"github.com/outcrop/outcrop/internal/snapshot"
	"github.com/outcrop/outcrop/internal/store"
)

// Grace is how long a guest may tidy up after SIGTERM (spec/runtime.md 12).
const Grace = sandbox.MaxGrace

// Config is what a Manager is built from. Engine, Limit and Log must be set.
type Config struct {
	Engine sandbox.Engine
	// Limit bounds the sandboxes alive at once.
	Limit int
	Log   *slog.Logger

	// Store keeps who runs which session and what hibernates, and Owner is this
	// process; nil: nothing outlives it.
	Store store.Store
	Owner store.Owner
	// Templates are what new sessions are restored from, one for each version;
	// nil: they are booted.
	Templates *snapshot.Store
	// Hibernated are the saved sessions. It evicts nothing and keeps nothing in
	// memory. Nil: none hibernates.
	Hibernated *snapshot.Store
	// Storage has the directories that outlive sessions; nil: there are none.
	Storage *storage.Store

	// HibernateAfter is how long a session is idle before it hibernates. 0:
	// only to make room.
	HibernateAfter time.Duration
	// KeepHibernated is how long a session may hibernate since its last use, if
	// that is longer than it may be idle.
	KeepHibernated time.Duration
	// Spares are kept ready for each endpoint whose sessions are restored, as long
	// as all of them use no more than SpareMemory, in bytes, and nobody else needs
	// their room. 0: none.
	Spares      int
	SpareMemory int64
	// MemoryBudget bounds what all sandboxes use together, in bytes; 0: nothing.
	MemoryBudget int64
	// Note writes a line of ours into the log of a session that has no Plan: one
	// that hibernates, or that another process left. Nil drops it.
	Note func(key Key, text string)
	// Noted waits until what Note wrote outlives this process. Nil: nobody waits.
	Noted func(context.Context) error
	// FreeMemory tells what may still be used for sandboxes, in bytes; nil: nobody is
	// asked. With a MemoryBudget it is asked only before files are saved.
	FreeMemory func() (int64, error)
	// FreeDisk tells how many bytes guests may still take of the disk that what they
	// write lies on; nil: nobody is asked.
	FreeDisk func() (int64, error)
}

// Manager runs sessions. It is safe for concurrent use. Time is package time's;
// tests run it inside testing/synctest.
type Manager struct {
	cfg Config
	// savable: the engine can save guests.
	savable bool

	mu       sync.Mutex
	sessions map[Key]*session
	asleep   map[Key]*sleeper
	lost     map[Key]Status                  // in which another process left them, for those that cannot go on and were not asked for since
	makers   map[*session]context.CancelFunc // of templates
	spares   []*spare                        // that nobody has taken, and those that are being made
	wishes   map[Key]*wish                   // for spares, by endpointOf
	wished   chan struct{}                   // holds one when there is a new wish
	begun    time.Time                       // when the last session did
	closed   bool
	running  sync.WaitGroup // one for each session until nothing is left of it
	large    chan struct{}  // see admit
}

// NewManager returns a Manager. Recover takes up what another process left.
func NewManager(cfg Config) *Manager {
	return &Manager{
		cfg: cfg, savable: cfg.Engine.Capabilities().Snapshots, sessions: map[Key]*session{}, asleep: map[Key]*sleeper{}, lost: map[Key]Status{},
		makers: map[*session]context.CancelFunc{}, wishes: map[Key]*wish{}, wished: make(chan struct{}, 1),
		large: make(chan struct{}, 1),
	}
}

// Acquire returns the session of a key for one request. The first to ask has
// plan called and the sandbox started; all others wait for the same start. A
// start goes on when its caller leaves. A start that failed leaves nothing, so
// that the next request tries again. One that hibernates is woken, and one that
// is about to is waited for.
//
// Errors: ErrStopping, ErrClosed, ErrLimit, ErrElsewhere, *StartError, and those
// of plan and of the engine.
func (m *Manager) Acquire(ctx context.Context, key Key, plan Planner) (*Use, error) {
	var s *session
	for s == nil {
		found, wait, err := m.find(ctx, key, plan)
		if err != nil {
			return nil, err
		}
		if s = found; s != nil {
			break
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		s.release()
		return nil, ctx.Err()
	}
	if s.err != nil {
		return nil, s.err
	}
	if s.life.Err() != nil { // stopped while it started
		s.release()
		return nil, ErrStopping
	}
	return &Use{s}, nil
}

// find returns the entry of key, one more request counted, and starts it when
// there is none; or what to wait for before asking again.
func (m *Manager) find(ctx context.Context, key Key, plan Planner) (*session, <-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, nil, ErrClosed
	}
	s := m.sessions[key]
	switch {
	case s != nil && s.status == Stopping && !s.dead():
		return nil, nil, ErrStopping
	case s != nil && s.status == Hibernating:
		return nil, s.pause, nil
	case s != nil && s.dead():
		return nil, s.gone, nil
	case s == nil:
		s = newSession(ctx, m, key)
		if err := m.launch(s, plan); err != nil {
			return nil, nil, err
		}
	}
	s.running++
	s.requests++
	s.lastUsed = time.Now()
	s.failures = 0
	if s.status == Idle {
		s.status = Active
	}
	return s, nil, nil
}

// launch puts a new session into the table and has it run, or returns ErrLimit. The
// caller holds the mutex.
func (m *Manager) launch(s *session, plan Planner) error {
	m.sessions[s.key] = s
	if m.asleep[s.key] == nil {
		m.claim(s)
	}
	leaving, err := m.makeRoom(true)
	if err != nil {
		delete(m.sessions, s.key)
		if s.spare != nil {
			m.spares = append(m.spares, s.spare)
		}
		s.end(err)
		return err
	}
	if s.spare != nil {
		close(s.spare.taken)
	}
	if s.sleeper = m.asleep[s.key]; s.sleeper != nil {
		delete(m.asleep, s.key)
		s.sleeper.timer.Stop()
		s.started, s.requests = s.sleeper.state.Started, s.sleeper.state.Requests
	}
	m.running.Add(1)
	go s.run(plan, leaving)
	return nil
}

// Starting reports whether a session is being started.
func (m *Manager) Starting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.starting()
}

func (m *Manager) starting() bool {
	for _, s := range m.sessions {
		if s.status == Starting {
			return true
		}
	}
	return false
}

// Stop ends a session with its running requests and returns when it is gone.
// It returns ErrNotFound when there is none, and ErrStopping when it is being
// stopped already.
func (m *Manager) Stop(ctx context.Context, key Key) error {
	m.mu.Lock()
	if d := m.asleep[key]; d != nil {
		m.mu.Unlock()
		d.finish("it was stopped")
		return nil
	}
	s := m.sessions[key]
	if s == nil {
		m.mu.Unlock()
		return ErrNotFound
	}
	if s.status == Stopping {
		m.mu.Unlock()
		return ErrStopping
	}
	m.mu.Unlock()
	s.stop("it was stopped", Grace)
	return s.wait(ctx)
}

// StopOwner ends all sessions of a resource that goes away, and removes what
// was kept for them: snapshots and storage.
func (m *Manager) StopOwner(ctx context.Context, scope store.Scope, owner string) error {
	if err := m.stopAll(ctx, "its owner was deleted", Grace, func(k Key) bool { return k.Scope == scope && k.Owner == owner }); err != nil {
		return err
	}
	m.DropTemplates(scope, owner)
	if m.cfg.Storage != nil {
		return m.cfg.Storage.DropOwner(resource(scope, owner))
	}
	return nil
}

// StopEndpoint is StopOwner for one endpoint of a resource.
func (m *Manager) StopEndpoint(ctx context.Context, scope store.Scope, owner, endpoint string) error {
	err := m.stopAll(ctx, "its endpoint was deleted", Grace, func(k Key) bool { return k.Scope == scope && k.Owner == owner && k.Endpoint == endpoint })
	if err != nil {
		return err
	}
	if m.cfg.Templates != nil {
		m.cfg.Templates.DropOthers(TemplateOf(Key{Scope: scope, Owner: owner, Endpoint: endpoint})) // no template has an empty ID
	}
	if m.cfg.Storage != nil {
		return m.cfg.Storage.DropEndpoint(resource(scope, owner), endpoint)
	}
	return nil
}

func (m *Manager) stopAll(ctx context.Context, why string, grace time.Duration, which func(Key) bool) error {
	m.mu.Lock()
	for s, give := range m.makers { // what nobody will use
		if which(s.key) {
			give()
		}
	}
	spares := m.endSpares(which)
	var all []*session
	var sleepers []*sleeper
	for k, s := range m.sessions {
		if which(k) {
			all = append(all, s)
		}
	}
	for k, d := range m.asleep {
		if which(k) {
			sleepers = append(sleepers, d)
		}
	}
	m.mu.Unlock()
	var wg sync.WaitGroup
	for _, sp := range spares {
		wg.Go(func() { <-sp.gone })
	}
	for _, d := range sleepers {
		if !m.isClosed() || d.snapshot != nil { // at the end of the server what is on disk stays
			wg.Go(func() { d.finish(why) })
		}
	}
	for _, s := range all {
		wg.Go(func() { s.stop(why, grace) })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, s := range all {
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manager) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// Knows reports whether there is a session of a key, also one that hibernates.
func (m *Manager) Knows(key Key) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessions[key] != nil || m.asleep[key] != nil
}

// List describes the sessions that match, ordered by owner, endpoint and id.
func (m *Manager) List(match func(Key) bool) []Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Info
	for k, s := range m.sessions {
		if match(k) {
			out = append(out, s.info())
		}
	}
	for k, d := range m.asleep {
		if match(k) {
			out = append(out, d.info())
		}
	}
	slices.SortFunc(out, func(a, b Info) int {
		return cmp.Compare(a.Key.Owner+"\x00"+a.Key.Endpoint+"\x00"+a.Key.ID, b.Key.Owner+"\x00"+b.Key.Endpoint+"\x00"+b.Key.ID)
	})
	return out
}

// resource names an owner for what is kept by owner.
func resource(scope store.Scope, owner string) string { return scope.String() + "/" + owner }

// newID names a sandbox. The client's session id may be long or shared by two
// runtimes; this is neither.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
