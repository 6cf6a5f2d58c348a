package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/snapshot"
)

// wish is to have spares for the next sessions of an endpoint.
type wish struct {
	// Of the session that was restored last: what from, and in what surroundings.
	template     snapshot.Key
	surroundings string
	network      bool
	plan         func(context.Context) (Plan, error)

	used   time.Time // when that was
	after  time.Time // none is made before
	memory int64     // what the last one used, in bytes
}

const (
	// spareCalm is how long no session has started when a spare is made: the first
	// request of a session comes first.
	spareCalm = time.Second
	// spareYield is how long sessions that keep starting can put that off.
	spareYield = 10 * time.Second
)

// endpointOf is what the sessions share that can take the same spares.
func endpointOf(key Key) Key {
	key.ID = ""
	return key
}

// KeepsSpares reports whether spares are kept at all.
func (m *Manager) KeepsSpares() bool { return m.cfg.Spares > 0 && m.Templates() }

// WantSpares has spares kept ready for the next sessions that are restored as one of
// this plan. It does not wait for them.
func (m *Manager) WantSpares(key Key, plan Plan) {
	if !m.KeepsSpares() || plan.Spare == nil || !plan.Template || plan.Storage != "" {
		return
	}
	at, template := endpointOf(key), m.templateKey(key, plan)
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.wishes[at]
	if w == nil || w.template != template {
		w = &wish{template: template}
		m.wishes[at] = w
	}
	w.surroundings, w.network, w.plan, w.used = plan.Surroundings, plan.Spec.Network != nil, plan.Spare, time.Now()
	select {
	case m.wished <- struct{}{}:
	default: // it is about to look
	}
}

// keepSpares makes what is missing, one at a time while no session starts, and ends
// what is too old, until ctx ends.
func (m *Manager) keepSpares(ctx context.Context) {
	tick := time.NewTicker(spareLook)
	defer tick.Stop()
	for {
		select {
		case <-m.wished:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		m.retireSpares()
		for made := true; made; {
			made = false
			for _, at := range m.missing() {
				made = m.calm(ctx) && m.makeSpare(ctx, at) || made
			}
		}
	}
}

// calm waits until no session starts, and reports whether ctx still runs.
func (m *Manager) calm(ctx context.Context) bool {
	for limit := time.Now().Add(spareYield); ctx.Err() == nil && time.Now().Before(limit); {
		m.mu.Lock()
		pause := spareCalm - time.Since(m.begun)
		if m.starting() {
			pause = spareCalm
		}
		m.mu.Unlock()
		if pause <= 0 {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

// missing are the endpoints that have fewer spares than they may, the one that was
// used last first.
func (m *Manager) missing() []Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	have := map[Key]int{}
	for _, sp := range m.spares {
		have[sp.key]++
	}
	var out []Key
	for at, w := range m.wishes {
		if have[at] < m.cfg.Spares && !w.after.After(time.Now()) {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, func(a, b Key) int { return m.wishes[b].used.Compare(m.wishes[a].used) })
	return out
}

// errUnwanted says that the sessions of an endpoint would not take a spare.
var errUnwanted = errors.New("its sessions are restored from another snapshot by now")

// makeSpare makes one, and reports whether it did.
func (m *Manager) makeSpare(ctx context.Context, at Key) bool {
	m.mu.Lock()
	known := m.wishes[at]
	if known == nil {
		m.mu.Unlock()
		return false
	}
	w := *known
	m.mu.Unlock()
	sp, err := m.planSpare(ctx, at, w)
	if err != nil {
		m.unwish(ctx, at, w, err)
		return false
	}
	ctx, sp.give = context.WithCancel(ctx)
	defer sp.give()
	if !m.reserveSpare(ctx, sp, w) {
		sp.release()
		return false
	}
	err = sp.start(ctx)
	m.mu.Lock()
	wanted := slices.Contains(m.spares, sp)
	sp.ready = wanted && err == nil
	if !sp.ready {
		m.endSpare(sp)
	}
	m.mu.Unlock()
	if sp.ready {
		go sp.run()
		m.trimSpares()
		return true
	}
	sp.finish()
	m.running.Done()
	if wanted {
		m.unwish(ctx, at, w, err)
	}
	return false
}

// unwish makes no more spares until a session wants them again, which finds out what
// is wrong.
func (m *Manager) unwish(ctx context.Context, at Key, w wish, why error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.wishes[at]; now == nil || now.template != w.template || m.closed || ctx.Err() != nil {
		return
	}
	delete(m.wishes, at)
	m.cfg.Log.Info("no spare is kept", "owner", at.Owner, "endpoint", at.Endpoint, "reason", why)
}

// planSpare says what runs in a spare that fits a wish.
func (m *Manager) planSpare(ctx context.Context, at Key, w wish) (*spare, error) {
	plan, err := w.plan(ctx)
	if err != nil {
		return nil, err
	}
	sp := &spare{
		m: m, key: at, template: w.template, network: &pendingNetwork{}, stdout: &pendingOutput{}, stderr: &pendingOutput{},
		taken: make(chan struct{}), ended: make(chan struct{}), gone: make(chan struct{}),
	}
	plan.Surroundings, plan.Spec.Network = w.surroundings, nil
	if w.network {
		plan.Spec.Network = sp.network
	}
	plan.Spec.Stdout, plan.Spec.Stderr = sp.stdout, sp.stderr
	sp.plan = plan
	info, there := m.cfg.Templates.Stat(w.template)
	if sp.written = info.Created; !there || !plan.Template || m.templateKey(at, plan) != w.template {
		sp.release()
		return nil, errUnwanted
	}
	return sp, nil
}

// reserveSpare puts a spare into the table that is about to be made, and reports
// whether there is room. Only spares of endpoints that were used less recently make
// some.
func (m *Manager) reserveSpare(ctx context.Context, sp *spare, w wish) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	sp.memory = w.memory
	var older []*spare
	over := m.spareMemory() + sp.takes() - m.cfg.SpareMemory
	for _, other := range m.oldestSpares() {
		if over > 0 && m.usedLast(other).Before(w.used) {
			older = append(older, other)
			over -= other.takes()
		}
	}
	m.spares = append(m.spares, sp)
	if over > 0 || m.alive()-len(older) > m.cfg.Limit || m.lack(true) > 0 {
		m.endSpare(sp)
		return false
	}
	m.running.Add(1)
	for _, d := range m.dissolve(older) {
		m.mu.Unlock()
		select {
		case <-d.done:
		case <-ctx.Done():
		}
		m.mu.Lock()
	}
	return true
}

// spareMemory is what all spares are counted as, in bytes; the caller holds the
// mutex.
func (m *Manager) spareMemory() (sum int64) {
	for _, sp := range m.spares {
		sum += sp.takes()
	}
	return sum
}

// usedLast is when a session of a spare's endpoint began; the caller holds the
// mutex.
func (m *Manager) usedLast(sp *spare) (t time.Time) {
	if w := m.wishes[sp.key]; w != nil {
		t = w.used
	}
	return t
}

// oldestSpares are all, those of the endpoint that was used least recently first;
// the caller holds the mutex.
func (m *Manager) oldestSpares() []*spare {
	out := slices.Clone(m.spares)
	slices.SortStableFunc(out, func(a, b *spare) int { return m.usedLast(a).Compare(m.usedLast(b)) })
	return out
}

// claim sets a spare of its endpoint aside for a session that starts, if there is
// one; the caller holds the mutex.
func (m *Manager) claim(s *session) {
	i := slices.IndexFunc(m.spares, func(sp *spare) bool { return sp.ready && sp.key == endpointOf(s.key) })
	if i >= 0 {
		s.spare = m.spares[i]
		m.spares = slices.Delete(m.spares, i, i+1)
	}
}

// endSpare takes a spare out of the table and has it end; the caller holds the
// mutex.
func (m *Manager) endSpare(sp *spare) {
	if i := slices.Index(m.spares, sp); i >= 0 {
		m.spares = slices.Delete(m.spares, i, i+1)
		close(sp.ended)
		sp.give()
	}
}

// endSpares ends those that match, forgets the wishes for them, and returns them;
// the caller holds the mutex.
func (m *Manager) endSpares(which func(Key) bool) (ended []*spare) {
	for _, sp := range slices.Clone(m.spares) {
		if which(sp.key) {
			m.endSpare(sp)
			ended = append(ended, sp)
		}
	}
	for at := range m.wishes {
		if which(at) {
			delete(m.wishes, at)
		}
	}
	return ended
}

// retireSpares ends those that are too old, and those that the next session would
// not take.
func (m *Manager) retireSpares() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, sp := range slices.Clone(m.spares) {
		w := m.wishes[sp.key]
		if w == nil || w.template != sp.template || !sp.current() || time.Since(sp.made) >= spareLife {
			m.endSpare(sp)
		}
	}
}

// trimSpares ends those that use more than all may have, which are not made again,
// and others, the least recently used first, until the rest fits.
func (m *Manager) trimSpares() {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.oldestSpares()
	for _, sp := range all {
		if sp.takes() > m.cfg.SpareMemory {
			m.endSpare(sp)
		}
	}
	for _, sp := range all {
		if m.spareMemory() > m.cfg.SpareMemory {
			m.endSpare(sp)
		}
	}
}
