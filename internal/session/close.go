package session

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The end of a server, which has some 15 s for its sessions.
const (
	// closeSave is how long idle sessions are saved for the next process.
	closeSave = 8 * time.Second
	// closeGrace is how long guests may tidy up that are not saved, and lateGrace
	// those for whose saving closeSave was too short.
	closeGrace = 10 * time.Second
	lateGrace  = 5 * time.Second
	closeWhy   = "the server shut down"
)

// Close refuses new requests, has idle sessions hibernate as far as the time goes,
// stops all others and returns when nothing is left, or when ctx ends. What
// hibernates on disk stays for the next process.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	for _, d := range m.asleep {
		d.timer.Stop()
	}
	idle := map[Key]*session{}
	for k, s := range m.sessions {
		if s.sleepable() || s.status == Hibernating {
			idle[k] = s
		}
	}
	m.mu.Unlock()
	var saving sync.WaitGroup
	saving.Go(func() { m.hibernateAll(ctx, idle) })
	err := m.stopAll(ctx, closeWhy, closeGrace, func(k Key) bool { return idle[k] == nil })
	saving.Wait()
	if err != nil {
		return err
	}
	// What was saved and does not fit the disk.
	if err := m.stopAll(ctx, closeWhy, 0, func(Key) bool { return true }); err != nil {
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

// hibernateAll saves idle sessions, as many at once as there are processors, those
// that were used last first, and ends what cannot be saved or not in time. It returns
// when they are gone.
func (m *Manager) hibernateAll(ctx context.Context, idle map[Key]*session) {
	if len(idle) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeSave)
	defer cancel()
	m.mu.Lock()
	var order []*session
	for _, s := range idle {
		order = append(order, s)
	}
	slices.SortFunc(order, func(a, b *session) int { return b.lastUsed.Compare(a.lastUsed) })
	m.mu.Unlock()
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	var all sync.WaitGroup
	var asleep atomic.Int64
	for _, s := range order {
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
			all.Go(func() { s.stop(closeWhy, lateGrace); <-s.gone })
			continue
		}
		all.Go(func() {
			defer func() { <-turns }()
			late := context.AfterFunc(ctx, func() { s.stop(closeWhy, lateGrace) })
			defer late()
			if s.sleep() {
				asleep.Add(1)
			} else {
				s.stop(closeWhy, closeGrace)
			}
			<-s.gone
		})
	}
	all.Wait()
	m.cfg.Log.Info("idle sessions hibernate, for the next server to go on with", "sessions", asleep.Load())
}

// sleep has an idle session hibernate, and reports whether it did.
func (s *session) sleep() bool {
	m := s.m
	m.mu.Lock()
	if s.sleepable() {
		s.lull()
		m.mu.Unlock()
		s.hibernate()
	} else {
		saved := s.saved
		m.mu.Unlock()
		if saved == nil {
			return false
		}
		<-saved
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.slept != nil
}
