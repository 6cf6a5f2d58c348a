package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/store"
)

// Grace is how long a guest may tidy up after SIGTERM (spec/runtime.md 12).
const Grace = sandbox.MaxGrace

// Manager runs sessions. It is safe for concurrent use. Time is package time's;
// tests run it inside testing/synctest.
type Manager struct {
	engine sandbox.Engine
	limit  int
	log    *slog.Logger

	mu       sync.Mutex
	sessions map[Key]*session
	closed   bool
	running  sync.WaitGroup // one for each session until nothing is left of it
}

// NewManager returns a Manager on an engine; limit bounds the sessions alive at
// once.
func NewManager(engine sandbox.Engine, limit int, log *slog.Logger) *Manager {
	return &Manager{engine: engine, limit: limit, log: log, sessions: map[Key]*session{}}
}

// session is one entry of the manager. Its fields below mu are guarded by the
// manager's mutex; box, plan and transport are written before ready is closed
// and only read afterwards.
type session struct {
	m     *Manager
	key   Key
	ready chan struct{} // closed when started or failed
	gone  chan struct{} // closed when nothing is left
	err   error

	// life ends when the session is stopped, and cuts its start and its
	// requests short.
	life context.Context
	end  context.CancelCauseFunc

	plan      Plan
	box       sandbox.Sandbox
	transport *http.Transport

	// Guarded by m.mu.
	status   Status
	running  int
	requests int64
	started  time.Time
	lastUsed time.Time
	idle     *time.Timer
	lifetime *time.Timer
	why      string
}

// Acquire returns the session of a key for one request. The first to ask has
// plan called and the sandbox started; all others wait for the same start. A
// start goes on when its caller leaves. A start that failed leaves nothing, so
// that the next request tries again.
//
// Errors: ErrStopping, ErrClosed, ErrLimit, *StartError, and those of plan and
// of the engine.
func (m *Manager) Acquire(ctx context.Context, key Key, plan func(context.Context) (Plan, error)) (*Use, error) {
	s, err := m.find(ctx, key, plan)
	if err != nil {
		return nil, err
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
// there is none.
func (m *Manager) find(ctx context.Context, key Key, plan func(context.Context) (Plan, error)) (*session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	s := m.sessions[key]
	if s != nil && s.dead() {
		s = nil // run is about to forget it
		delete(m.sessions, key)
	}
	switch {
	case s != nil && s.status == Stopping:
		return nil, ErrStopping
	case s == nil && len(m.sessions) >= m.limit:
		return nil, fmt.Errorf("start session: %d are alive: %w", len(m.sessions), ErrLimit)
	case s == nil:
		s = &session{m: m, key: key, ready: make(chan struct{}), gone: make(chan struct{}), status: Starting, started: time.Now()}
		s.life, s.end = context.WithCancelCause(context.WithoutCancel(ctx))
		m.sessions[key] = s
		m.running.Add(1)
		go s.run(plan)
	}
	s.running++
	s.requests++
	s.lastUsed = time.Now()
	if s.status == Idle {
		s.status = Active
	}
	if s.idle != nil {
		s.idle.Stop()
	}
	return s, nil
}

// dead reports whether the guest of a started session has ended.
func (s *session) dead() bool {
	select {
	case <-s.ready:
	default:
		return false
	}
	if s.box == nil {
		return true // it never started
	}
	select {
	case <-s.box.Done():
		return true
	default:
		return false
	}
}

// run is the life of a session, from start to end.
func (s *session) run(plan func(context.Context) (Plan, error)) {
	defer s.m.running.Done()
	defer close(s.gone)
	s.err = s.start(plan)
	if s.err == nil {
		s.begin()
		close(s.ready)
		<-s.box.Done()
		s.transport.CloseIdleConnections()
	}
	why := s.forget()
	if s.err != nil {
		if why != "" {
			s.err = ErrStopping // it was not given the time to succeed
		}
		close(s.ready)
	}
	var failed *StartError
	switch {
	case why != "":
	case errors.As(s.err, &failed):
		why = failed.Why()
	case s.err != nil:
		why = s.err.Error()
	default:
		why = ended(s.box.Exit())
	}
	if s.plan.Ended != nil {
		s.plan.Ended(why)
	}
}

// start makes the plan, boots the sandbox and waits until the guest is ready.
func (s *session) start(plan func(context.Context) (Plan, error)) error {
	var err error
	if s.plan, err = plan(s.life); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.life, s.plan.StartLimit)
	defer cancel()
	if err := s.boot(ctx); err != nil {
		return err
	}
	s.transport = newTransport(s.box, s.plan.Port)
	if err := s.await(ctx); err != nil {
		s.transport.CloseIdleConnections()
		s.halt(0) // the guest is useless; nobody waits for it to tidy up
		return err
	}
	return nil
}

// boot starts the sandbox, a second time if the engine broke under the first.
func (s *session) boot(ctx context.Context) (err error) {
	spec := s.plan.Spec
	for range 2 {
		spec.ID = newID()
		s.box, err = s.m.engine.Start(ctx, spec)
		if !errors.Is(err, sandbox.ErrStopped) {
			break
		}
		s.m.log.Warn("start session again", "session", s.key.ID, "owner", s.key.Owner, "error", err)
	}
	if err != nil && ctx.Err() != nil {
		return &StartError{Err: ErrNotReady, Limit: s.plan.StartLimit, Last: err}
	}
	return err
}

// probeEvery is the pause between two probes while a guest starts.
const probeEvery = 20 * time.Millisecond

// await asks the guest until it is ready.
func (s *session) await(ctx context.Context) error {
	var last, told error // told is the last that is not just the end of ctx
	for {
		if last = s.plan.Probe(ctx, s.transport); last == nil {
			return nil
		}
		if ctx.Err() == nil {
			told = last
		}
		select {
		case <-time.After(probeEvery):
		case <-s.box.Done():
			return &StartError{Err: ErrExited, Exit: s.box.Exit(), Limit: s.plan.StartLimit, Last: told}
		case <-ctx.Done():
			return &StartError{Err: ErrNotReady, Limit: s.plan.StartLimit, Last: cmp.Or(told, last)}
		}
	}
}

// begin opens a started session for requests and sets its clocks.
func (s *session) begin() {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	s.lifetime = time.AfterFunc(s.plan.MaxLife-time.Since(s.started), func() { s.stop("its maximum lifetime is over", Grace) })
	s.idle = time.AfterFunc(s.plan.IdleLimit, func() { s.expire() })
	if s.status == Stopping || m.closed { // stopped while it started
		go s.halt(Grace)
		return
	}
	s.status = Active
	if s.running == 0 {
		s.rest()
	} else {
		s.idle.Stop()
	}
}

// rest starts the idle clock; the caller holds the mutex.
func (s *session) rest() {
	s.lastUsed = time.Now()
	if s.status == Active {
		s.status = Idle
		s.idle.Reset(s.plan.IdleLimit)
	}
}

// release ends one use.
func (s *session) release() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.running--
	s.lastUsed = time.Now()
	if s.running == 0 {
		s.rest()
	}
}

// expire stops the session if it is still idle when its clock has run out.
func (s *session) expire() {
	s.m.mu.Lock()
	if s.status != Idle || time.Since(s.lastUsed) < s.plan.IdleLimit {
		s.m.mu.Unlock()
		return
	}
	s.mark("it was idle for " + s.plan.IdleLimit.String())
	s.m.mu.Unlock()
	s.end(ErrStopping)
	s.halt(Grace)
}

// stop marks the session as stopping, ends its requests and halts it, unless
// somebody else does.
func (s *session) stop(why string, grace time.Duration) {
	s.m.mu.Lock()
	starting := s.mark(why)
	s.m.mu.Unlock()
	s.end(ErrStopping)
	if !starting { // start gives up, or begin halts it
		s.halt(grace)
	}
}

// mark puts the session on its way out and reports whether it was starting.
// The caller holds the mutex.
func (s *session) mark(why string) (starting bool) {
	starting = s.status == Starting
	if s.status != Stopping {
		s.status, s.why = Stopping, why
	}
	return starting
}

// halt ends the guest: SIGTERM, then SIGKILL. It returns when it is gone.
func (s *session) halt(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*Grace)
	defer cancel()
	if err := s.box.Stop(ctx, grace); err != nil {
		s.m.log.Error("stop session", "session", s.key.ID, "owner", s.key.Owner, "error", err)
	}
}

// forget takes the session out of the table, stops its clocks, and returns why
// it was stopped, if it was.
func (s *session) forget() (why string) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.sessions[s.key] == s {
		delete(s.m.sessions, s.key)
	}
	for _, t := range []*time.Timer{s.idle, s.lifetime} {
		if t != nil {
			t.Stop()
		}
	}
	s.status = Stopping
	return s.why
}

// Stop ends a session with its running requests and returns when it is gone.
// It returns ErrNotFound when there is none, and ErrStopping when it is being
// stopped already.
func (m *Manager) Stop(ctx context.Context, key Key) error {
	m.mu.Lock()
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

// wait returns when nothing is left of a session that is being stopped.
func (s *session) wait(ctx context.Context) error {
	select {
	case <-s.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// StopOwner ends all sessions of a resource that goes away.
func (m *Manager) StopOwner(ctx context.Context, scope store.Scope, owner string) error {
	return m.stopAll(ctx, "its owner was deleted", func(k Key) bool { return k.Scope == scope && k.Owner == owner })
}

func (m *Manager) stopAll(ctx context.Context, why string, which func(Key) bool) error {
	m.mu.Lock()
	var all []*session
	for k, s := range m.sessions {
		if which(k) {
			all = append(all, s)
		}
	}
	m.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { s.stop(why, Grace) })
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

// Close refuses new requests, stops every session and returns when nothing is
// left, or when ctx ends.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	if err := m.stopAll(ctx, "the server shut down", func(Key) bool { return true }); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { m.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// List describes the sessions that match, ordered by owner, endpoint and id.
func (m *Manager) List(match func(Key) bool) []Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Info
	for k, s := range m.sessions {
		if !match(k) {
			continue
		}
		i := Info{Key: k, Status: s.status, Requests: s.requests, Running: s.running, Started: s.started, LastUsed: s.lastUsed}
		select {
		case <-s.ready: // the plan may be read
			i.Version, i.LifeDeadline = s.plan.Version, s.started.Add(s.plan.MaxLife)
			if s.status == Idle {
				i.IdleDeadline = s.lastUsed.Add(s.plan.IdleLimit)
			}
		default:
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b Info) int {
		return strings.Compare(a.Key.Owner+"\x00"+a.Key.Endpoint+"\x00"+a.Key.ID, b.Key.Owner+"\x00"+b.Key.Endpoint+"\x00"+b.Key.ID)
	})
	return out
}

// newID names a sandbox. The client's session id may be long or shared by two
// runtimes; this is neither.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
