package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session/storage"
	"github.com/outcrop/outcrop/internal/store"
)

// session is one sandbox's time of a key. Its fields below mu are guarded by the
// manager's mutex; those above are written before ready is closed and only read
// afterwards.
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

	// sleeper is what it is woken from, or nil.
	sleeper *sleeper
	// spare was set aside for it and is not its sandbox yet, or nil. It is written
	// under m.mu, by the session alone once that runs.
	spare     *spare
	plan      Plan
	spec      sandbox.Spec // the plan's, with storage
	volume    *storage.Volume
	lease     *store.Lease // nil: it could not be recorded
	box       sandbox.Sandbox
	transport *http.Transport
	origin    Origin
	reason    string

	// Guarded by m.mu.
	status   Status
	begun    bool // start has succeeded
	running  int
	requests int64
	started  time.Time
	lastUsed time.Time
	lifetime *time.Timer
	why      string
	memory   int64
	files    int64 // on the disk

	// What the guest says of itself while it is idle.
	busy     bool
	settled  time.Time // its last change
	failures int

	// pause is closed when a hibernation is over, saved when the saving is, and
	// slept is what came of it. awake says why it cannot hibernate.
	pause, saved chan struct{}
	slept        *sleeper
	awake        string
}

func newSession(ctx context.Context, m *Manager, key Key) *session {
	s := &session{m: m, key: key, ready: make(chan struct{}), gone: make(chan struct{}), status: Starting, started: time.Now()}
	s.life, s.end = context.WithCancelCause(context.WithoutCancel(ctx))
	return s
}

// dead reports whether the guest of a session has ended, or never began.
func (s *session) dead() bool {
	select {
	case <-s.ready:
	default:
		return false
	}
	if s.err != nil || s.box == nil {
		return true
	}
	select {
	case <-s.box.Done():
		return true
	default:
		return false
	}
}

// run is the life of a session, from start to end. It waits for those that
// leave to make room for it.
func (s *session) run(plan Planner, leaving []departure) {
	defer s.m.running.Done()
	defer close(s.gone)
	s.err = s.start(plan, leaving)
	s.dismiss()
	if s.err == nil {
		s.begin()
		close(s.ready)
		s.tend()
		s.transport.CloseIdleConnections()
	}
	s.detachStorage()
	s.forgetRecord()
	why, slept := s.forget()
	if s.err != nil {
		if why != "" {
			s.err = ErrStopping // it was not given the time to succeed
		}
		close(s.ready)
	}
	s.plan.end(s.ending(why, slept))
}

// ending words how the session ended.
func (s *session) ending(why string, slept bool) End {
	var failed *StartError
	var command *sandbox.CommandError
	switch {
	case slept:
		return End{Hibernated: true}
	case why != "":
	case errors.As(s.err, &failed):
		why = failed.Why()
	case errors.As(s.err, &command):
		why = "it cannot be started: " + command.Reason
	case s.err != nil:
		why = s.err.Error()
	default:
		why = Ended(s.box.Exit())
	}
	return End{Why: why}
}

// start makes room and the plan, boots or resumes the sandbox and waits until
// the guest is ready.
func (s *session) start(plan Planner, leaving []departure) error {
	version := ""
	if s.sleeper != nil {
		version = s.sleeper.state.Version
	}
	err := s.m.awaitRoom(s, leaving)
	if err == nil {
		s.plan, err = plan(s.life, version)
	}
	if err == nil {
		err = s.m.diskRoom(s.plan.Spec)
	}
	if err == nil {
		s.spec = s.plan.Spec
		err = s.attachStorage()
	}
	if err == nil {
		err = s.record()
	}
	if err != nil {
		if s.sleeper != nil {
			s.sleeper.back(s)
		}
		return err
	}
	s.mourn()
	if s.sleeper != nil {
		again, why := s.wake()
		if why == nil || again || s.life.Err() != nil {
			return why
		}
		s.reason = "where it hibernated cannot be resumed: " + unresumed(why)
		s.plan.note("the session starts afresh, with its storage alone: " + s.reason)
		s.m.cfg.Log.Warn("wake session", "session", s.key.ID, "owner", s.key.Owner, "error", why)
		s.startAfresh()
	}
	if done, err := s.restore(); done || err != nil {
		return err
	}
	s.origin = Cold
	return s.attempt(s.life, s.plan.StartLimit, nil)
}

// startAfresh begins the life of a session that could not be woken.
func (s *session) startAfresh() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.started = time.Now()
}

// attempt starts the sandbox and waits until its guest is ready, and warm where it
// is booted; after an error nothing is left of it.
func (s *session) attempt(ctx context.Context, limit time.Duration, from sandbox.Snapshot) error {
	starting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := s.boot(starting, limit, from); err != nil {
		return err
	}
	s.transport = newTransport(s.box, s.plan.Port)
	err := s.await(starting, limit)
	if err == nil && from == nil && s.plan.Warmup != nil {
		err = s.warm(ctx, *s.plan.Warmup)
	}
	if err != nil {
		s.transport.CloseIdleConnections()
		s.halt(0) // the guest is useless; nobody waits for it to tidy up
	}
	return err
}

// boot starts the sandbox, a second time if the engine broke under the first.
func (s *session) boot(ctx context.Context, limit time.Duration, from sandbox.Snapshot) (err error) {
	spec := s.spec
	spec.Snapshot = from
	for range 2 {
		spec.ID = newID()
		s.box, err = s.m.cfg.Engine.Start(ctx, spec)
		if !errors.Is(err, sandbox.ErrStopped) {
			break
		}
		s.m.cfg.Log.Warn("start session again", "session", s.key.ID, "owner", s.key.Owner, "error", err)
	}
	if err != nil && ctx.Err() != nil {
		return &StartError{Err: ErrNotReady, Limit: limit, Last: err}
	}
	return err
}

// probeEvery is the pause between two probes while a guest starts.
const probeEvery = 20 * time.Millisecond

// await asks the guest until it is ready.
func (s *session) await(ctx context.Context, limit time.Duration) error {
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
			return &StartError{Err: ErrExited, Exit: s.box.Exit(), Limit: limit, Last: told}
		case <-ctx.Done():
			return &StartError{Err: ErrNotReady, Limit: limit, Last: cmp.Or(told, last)}
		}
	}
}

// warm has the guest warm up.
func (s *session) warm(ctx context.Context, w Warmup) error {
	within, cancel := context.WithTimeout(ctx, w.Limit)
	defer cancel()
	guest := newTransport(s.box, w.Port)
	defer guest.CloseIdleConnections()
	err := post(within, guest, w)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // given up
		return ctx.Err()
	case within.Err() != nil:
		err = fmt.Errorf("POST %s on port %d did not answer within %v", w.Path, w.Port, w.Limit)
	}
	return &StartError{Err: ErrNotWarm, Limit: w.Limit, Last: err}
}

// begin opens a started session for requests and sets the clock of its life.
func (s *session) begin() {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	s.begun, m.begun = true, time.Now()
	s.lifetime = time.AfterFunc(s.plan.MaxLife-time.Since(s.started), func() {
		s.end(&LifetimeError{s.plan.MaxLife})
		s.stop("its maximum lifetime is over", Grace)
	})
	if s.status == Stopping || m.closed { // stopped while it started
		s.status = Stopping
		go s.halt(Grace)
		return
	}
	s.status = Active
	if s.running == 0 {
		s.rest()
	}
}

// rest makes the session idle; the caller holds the mutex.
func (s *session) rest() {
	s.lastUsed = time.Now()
	if s.status == Active {
		s.status = Idle
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
	if s.status != Stopping {
		s.status, s.why = Stopping, why
	}
	return !s.begun
}

// halt ends the guest: SIGTERM, then SIGKILL. It returns when it is gone.
func (s *session) halt(grace time.Duration) {
	if s.box == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*Grace)
	defer cancel()
	if err := s.box.Stop(ctx, grace); err != nil {
		s.m.cfg.Log.Error("stop session", "session", s.key.ID, "owner", s.key.Owner, "error", err)
	}
}

// forget takes the session out of the table, stops its clock, and returns why
// it was stopped, if it was, or that it hibernates now.
func (s *session) forget() (why string, slept bool) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.sessions[s.key] == s {
		delete(s.m.sessions, s.key)
	}
	if s.lifetime != nil {
		s.lifetime.Stop()
	}
	if slept = s.slept != nil && s.status == Hibernating; slept {
		s.m.lay(s.slept)
	} else if s.slept != nil { // stopped while it was being saved
		go s.slept.discard()
	}
	s.status = Stopping
	s.unpause()
	return s.why, slept
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

// attachStorage gives the guest the directory that outlives its session.
func (s *session) attachStorage() error {
	if s.plan.Storage == "" || s.m.cfg.Storage == nil {
		return nil
	}
	v, err := s.m.cfg.Storage.Open(storageKey(s.key, s.plan.Version))
	if err != nil {
		return err
	}
	s.volume = v
	s.spec.Volumes = withVolume(s.spec.Volumes, v, s.plan.Storage)
	return nil
}

// detachStorage gives the session's directory back.
func (s *session) detachStorage() {
	if s.volume != nil {
		s.volume.Close()
	}
}

// info describes the session; the caller holds the mutex.
func (s *session) info() Info {
	i := Info{Key: s.key, Status: s.status, Requests: s.requests, Running: s.running, Started: s.started, LastUsed: s.lastUsed, Memory: s.memory}
	select {
	case <-s.ready: // the plan may be read
	default:
		if s.sleeper != nil {
			i.Version = s.sleeper.state.Version // unless it cannot be woken
		}
		return i
	}
	i.Version, i.LifeDeadline = s.plan.Version, s.started.Add(s.plan.MaxLife)
	i.Origin, i.Why, i.Passthrough = s.origin, s.reason, s.plan.Spec.Passthrough
	if s.volume != nil {
		i.Storage = s.volume.Size()
	}
	switch {
	case s.status == Idle && s.busy:
		i.Status = Active
	case s.status == Idle:
		i.IdleDeadline = s.quiet().Add(s.plan.IdleLimit)
	}
	return i
}
