package lambda

import (
	"context"
	"slices"

	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

// pool are the environments of one function, each of which answers one invocation at a
// time. What they run in is the session manager's.
type pool struct {
	number int      // of the version that they run
	idle   []string // the one that was used last at the end
	busy   int
}

// environment is one that an invocation has to itself.
type environment struct {
	key    session.Key
	number int
	fresh  bool // nothing was invoked in it
}

// take gives an invocation an environment of a version: one that is idle, or a new one
// as long as there are not too many.
func (s *Service) take(scope store.Scope, own string, number int) (environment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pools[own]
	if p == nil {
		p = &pool{number: number}
		s.pools[own] = p
	}
	if p.number < number { // nobody has retired the ones before yet
		p.number, p.idle = number, nil
	}
	if p.busy >= s.cfg.Environments {
		return environment{}, throttled("The function has as many environments as it may have.")
	}
	e := environment{key: session.Key{Scope: scope, Owner: own, Endpoint: Latest}, number: number}
	for number == p.number && len(p.idle) > 0 {
		e.key.ID = p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if s.cfg.Sessions.Knows(e.key) {
			p.busy++
			return e, nil
		}
	}
	p.busy++
	e.key.ID, e.fresh = randomID(16), true
	return e, nil
}

// give returns an environment; one that is of no more use ends.
func (s *Service) give(e environment, usable bool) {
	s.mu.Lock()
	p := s.pools[e.key.Owner]
	if p != nil {
		p.busy--
		if usable = usable && p.number == e.number; usable {
			p.idle = append(p.idle, e.key.ID)
		}
	}
	s.mu.Unlock()
	if !usable || p == nil {
		go s.end(e.key)
	}
}

// end ends an environment that nobody invokes any more.
func (s *Service) end(key session.Key) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*session.Grace)
	defer cancel()
	_ = s.cfg.Sessions.Stop(ctx, key) // it may have ended by itself; a stop that takes longer goes on
}

// retire ends the environments of a function's older versions that are idle. Others end
// with their invocation.
func (s *Service) retire(ctx context.Context, own string, number int) {
	s.mu.Lock()
	p := s.pools[own]
	var old []string
	if p != nil && p.number < number {
		old, p.idle, p.number = slices.Clone(p.idle), nil, number
	}
	s.mu.Unlock()
	if len(old) == 0 {
		return
	}
	// One that was forgotten by take is found here too.
	for _, i := range s.cfg.Sessions.List(func(k session.Key) bool { return k.Owner == own }) {
		if slices.Contains(old, i.Key.ID) {
			go s.end(i.Key)
		}
	}
}
