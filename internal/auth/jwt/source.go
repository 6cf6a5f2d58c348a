package jwt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// How long what an issuer publishes is used (spec/identity.md 7.2).
const (
	minFresh = 5 * time.Minute
	maxFresh = time.Hour
	// documentLife is that of a discovery document. From half of it on it is
	// fetched together with the keys.
	documentLife = time.Hour
	// staleFor is how long the last keys serve beyond that while the issuer does not
	// answer.
	staleFor = time.Hour
	// ahead is how long before their end keys are fetched while the old ones serve,
	// so that a busy runtime does not wait.
	ahead = time.Minute
	// unknownEvery is how often keys are fetched for one that is not among them.
	unknownEvery = 30 * time.Second
	// retryFirst doubles with each failure, up to retryLast.
	retryFirst, retryLast = 5 * time.Second, time.Minute
	// attemptTimeout bounds the fetch of a document and its keys.
	attemptTimeout = 20 * time.Second
)

// group keeps the sources of some issuers.
type group struct {
	v       *Verifier
	sources *lru[string, *source]
	slots   chan struct{} // of fetches at once
}

func newGroup(v *Verifier, sources, fetches int) *group {
	return &group{v: v, sources: newLRU[string, *source](sources), slots: make(chan struct{}, fetches)}
}

func (g *group) source(discoveryURL string) *source {
	return g.sources.getOr(discoveryURL, func() *source { return &source{g: g, url: discoveryURL} })
}

// source has the keys of one issuer.
type source struct {
	g   *group
	url string

	mu         sync.Mutex
	set        *keySet // the last ones; nil before there were any
	doc        document
	documentAt time.Time // when doc was fetched
	freshUntil time.Time
	tried      time.Time // when the last attempt began; zero before the first
	failures   int       // attempts that failed since the last that did not
	err        error     // of the last attempt
	flight     chan struct{}
}

// current implements keyring.
func (s *source) current(ctx context.Context) (*keySet, error) {
	s.mu.Lock()
	now := s.g.v.cfg.Now()
	switch {
	case s.set != nil && now.Before(s.freshUntil):
		if now.Add(ahead).After(s.freshUntil) {
			s.begin(now, s.retry())
		}
		defer s.mu.Unlock()
		return s.set, nil
	case s.usable(now) && s.err != nil:
		s.begin(now, s.retry())
		defer s.mu.Unlock()
		return s.set, nil
	}
	flight := s.begin(now, s.retry())
	s.mu.Unlock()
	return s.land(ctx, flight)
}

// renewed implements keyring. Any number of tokens with unknown keys have one fetch
// made.
func (s *source) renewed(ctx context.Context, seen *keySet) (*keySet, error) {
	s.mu.Lock()
	if s.set != seen {
		defer s.mu.Unlock()
		return s.set, nil
	}
	flight := s.begin(s.g.v.cfg.Now(), max(unknownEvery, s.retry()))
	s.mu.Unlock()
	return s.land(ctx, flight)
}

// land waits for a fetch, if there is one, and returns the keys there are then.
func (s *source) land(ctx context.Context, flight <-chan struct{}) (*keySet, error) {
	if flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for keys of issuer %s: %w", s.url, context.Cause(ctx))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.usable(s.g.v.cfg.Now()) {
		return s.set, nil
	}
	return nil, invalid(Unavailable, s.err)
}

// usable tells whether the keys may be used, fresh or not.
func (s *source) usable(now time.Time) bool {
	return s.set != nil && now.Before(s.freshUntil.Add(staleFor))
}

// retry is how long after a failure the next attempt may begin.
func (s *source) retry() time.Duration {
	if s.failures == 0 {
		return 0
	}
	return min(retryFirst<<min(s.failures-1, 10), retryLast)
}

// begin returns the fetch that is under way, or begins one unless the last attempt
// began less than every ago; then it returns nil. It is called with mu held.
func (s *source) begin(now time.Time, every time.Duration) <-chan struct{} {
	if s.flight != nil {
		return s.flight
	}
	if !s.tried.IsZero() && now.Before(s.tried.Add(every)) {
		return nil
	}
	flight := make(chan struct{})
	if !s.g.v.start(func(ctx context.Context) { s.fetch(ctx, flight) }) {
		s.err = errClosed
		return nil
	}
	s.flight, s.tried = flight, now
	return flight
}

var errClosed = errors.New("the server stops")

// fetch is one attempt. It ends the flight.
func (s *source) fetch(ctx context.Context, flight chan struct{}) {
	defer close(flight)
	s.mu.Lock()
	doc, at := s.doc, s.documentAt
	s.mu.Unlock()
	got, err := s.attempt(ctx, doc, at)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight = nil
	s.err = err
	if err != nil {
		s.failures++
		s.g.v.cfg.Log.Warn("keys of issuer not fetched", "discovery", s.url, "failures", s.failures, "error", err)
	} else {
		s.failures = 0
	}
	if got.set == nil {
		return
	}
	if s.set == nil || !s.set.is(got.set.issuer, got.set.text) {
		s.set = got.set // equal ones stay, with the tokens they have verified
	}
	s.doc, s.documentAt, s.freshUntil = got.doc, got.documentAt, got.freshUntil
}

// fetched is what an attempt brought.
type fetched struct {
	set        *keySet
	doc        document
	documentAt time.Time
	freshUntil time.Time
}

// attempt fetches the document, when it is time, and the keys. Where a new document
// cannot be had those that the old one names are returned, and an error; they are
// fresh as long as that document is.
func (s *source) attempt(ctx context.Context, doc document, at time.Time) (fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	select {
	case s.g.slots <- struct{}{}:
		defer func() { <-s.g.slots }()
	case <-ctx.Done():
		return fetched{}, context.Cause(ctx)
	}
	client, now := s.g.v.cfg.HTTP, s.g.v.cfg.Now()
	var failed error
	if at.IsZero() || !now.Before(at.Add(documentLife/2)) {
		newer, err := discover(ctx, client, s.url)
		switch {
		case err == nil:
			doc, at = newer, now
		case at.IsZero():
			return fetched{}, err
		default:
			failed = err
		}
	}
	set, fresh, err := fetchKeys(ctx, client, doc, now)
	if err != nil {
		return fetched{}, errors.Join(failed, err)
	}
	until := now.Add(fresh)
	if end := at.Add(documentLife); until.After(end) {
		until = end
	}
	return fetched{set, doc, at, until}, failed
}
