package session

import (
	"context"
	"fmt"
	"time"
)

// tend looks after a started session until its sandbox is gone, and what was
// saved of it is written.
func (s *session) tend() {
	s.measure()
	for {
		select {
		case <-s.box.Done():
			s.m.mu.Lock()
			saved := s.saved
			s.m.mu.Unlock()
			if saved != nil {
				<-saved
			}
			return
		case <-time.After(s.nextLook()):
			s.look()
		}
	}
}

// nextLook is how long nothing can be due. What requests do meanwhile only makes
// it later.
func (s *session) nextLook() time.Duration {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	next := min(PollEvery, s.plan.IdleLimit)
	after := s.m.cfg.HibernateAfter
	if after > 0 {
		next = min(next, after)
	}
	if s.status != Idle || s.busy {
		return next
	}
	quiet := time.Since(s.quiet())
	if left := s.plan.IdleLimit - quiet; left > 0 {
		next = min(next, left)
	}
	if left := after - quiet; left > 0 {
		next = min(next, left)
	}
	return next
}

// quiet is since when the session is idle; the caller holds the mutex.
func (s *session) quiet() time.Time {
	if s.settled.After(s.lastUsed) {
		return s.settled
	}
	return s.lastUsed
}

// look measures the sandbox, asks an idle guest how it is, and ends or hibernates
// what has been idle for long enough.
func (s *session) look() {
	s.measure()
	ill := s.poll()
	m := s.m
	m.mu.Lock()
	idle := time.Since(s.quiet())
	why := ""
	switch {
	case s.status != Idle:
	case s.failures >= MaxFailures:
		why = fmt.Sprintf("its health check failed %d times in a row: %v", s.failures, ill)
	case s.busy:
	case idle >= s.plan.IdleLimit:
		why = "it was idle for " + s.plan.IdleLimit.String()
	case m.cfg.HibernateAfter > 0 && idle >= m.cfg.HibernateAfter && s.sleepable():
		s.lull()
		m.mu.Unlock()
		s.hibernate()
		return
	}
	if why != "" {
		s.mark(why)
	}
	m.mu.Unlock()
	if why != "" {
		s.end(ErrStopping)
		s.halt(Grace)
	}
}

// poll asks a guest without requests for its health.
func (s *session) poll() error {
	if s.plan.Health == nil {
		return nil
	}
	m := s.m
	m.mu.Lock()
	idle := s.status == Idle || s.status == Hibernating
	m.mu.Unlock()
	if !idle {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.life, PollEvery)
	defer cancel()
	h, err := s.plan.Health(ctx, s.transport)
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.running > 0 || s.life.Err() != nil {
		return nil // what it did meanwhile says more
	}
	if err != nil {
		s.failures++
		return err
	}
	s.failures = 0
	now := time.Now()
	if h.Busy != s.busy {
		s.busy, s.settled = h.Busy, now
	}
	// A guest's own time counts, but not one that is yet to come.
	if h.Changed.After(s.settled) {
		s.settled = h.Changed
		if s.settled.After(now) {
			s.settled = now
		}
	}
	return nil
}

// measureLimit bounds one measuring.
const measureLimit = 2 * time.Second

// measure notes what the sandbox uses.
func (s *session) measure() {
	ctx, cancel := context.WithTimeout(s.life, measureLimit)
	defer cancel()
	u, err := s.box.Usage(ctx)
	if s.volume != nil {
		s.volume.Measure()
	}
	if err != nil {
		return // the last one stays
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.memory, s.files = u.MemoryBytes, u.DiskBytes
}
