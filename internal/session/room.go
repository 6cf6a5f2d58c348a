package session

import (
	"fmt"
	"slices"
)

// newMemory is what a sandbox is taken to use before it was measured, in bytes.
const newMemory = 128 << 20

// departure is a session that is about to hibernate, or nil for a spare that ends;
// done is closed when it has, or goes on.
type departure struct {
	s    *session
	done <-chan struct{}
}

// makeRoom looks whether what is in the table fits, the newest included. If not,
// spares end, and then the sessions that have been idle longest hibernate, as many as
// are needed. It returns what to wait for before the newest may start, or ErrLimit.
// With askHost the host's free memory counts too. The caller holds the mutex.
func (m *Manager) makeRoom(askHost bool) (leaving []departure, err error) {
	tooMany := m.alive() - m.cfg.Limit
	lack := m.lack(askHost)
	if tooMany <= 0 && lack <= 0 {
		return nil, nil
	}
	var sleepable []*session
	for _, s := range m.sessions {
		switch {
		case s.status == Hibernating:
			leaving = append(leaving, departure{s, s.pause})
		case s.sleepable():
			sleepable = append(sleepable, s)
		}
	}
	slices.SortFunc(sleepable, func(a, b *session) int { return a.lastUsed.Compare(b.lastUsed) })
	tooMany -= len(leaving)
	spares, tooMany, lack := m.yielding(tooMany, lack)
	n := 0
	for ; n < len(sleepable) && (tooMany > 0 || lack > 0); n++ {
		tooMany--
		lack -= max(sleepable[n].memory, newMemory)
	}
	switch {
	case tooMany > 0:
		return nil, fmt.Errorf("start session: %d are alive and none of them can hibernate: %w", len(m.sessions)-1, ErrLimit)
	case lack > 0:
		return nil, fmt.Errorf("start session: %d are alive, none of them can hibernate, and %d MiB of memory are missing: %w", len(m.sessions)-1, lack>>20+1, ErrLimit)
	}
	leaving = append(leaving, m.dissolve(spares)...)
	for _, s := range sleepable[:n] {
		s.lull()
		leaving = append(leaving, departure{s, s.pause})
		go s.hibernate()
	}
	return leaving, nil
}

// alive is how many sandboxes there are, or will be as soon as all that starts has
// started; the caller holds the mutex.
func (m *Manager) alive() int { return len(m.sessions) + len(m.makers) + len(m.spares) }

// yielding are the spares that end for so many sandboxes too many and so many bytes
// that are missing, and what is too many and missing then; the caller holds the mutex.
func (m *Manager) yielding(tooMany int, lack int64) ([]*spare, int, int64) {
	spares := m.oldestSpares()
	n := 0
	for ; n < len(spares) && (tooMany > 0 || lack > 0); n++ {
		tooMany--
		lack -= spares[n].takes()
	}
	return spares[:n], tooMany, lack
}

// dissolve ends spares; the caller holds the mutex.
func (m *Manager) dissolve(spares []*spare) (leaving []departure) {
	for _, sp := range spares {
		m.endSpare(sp)
		leaving = append(leaving, departure{done: sp.gone})
	}
	return leaving
}

// lack is how much memory is missing, in bytes; the caller holds the mutex.
func (m *Manager) lack(askHost bool) int64 {
	used := int64(len(m.makers)) * newMemory
	coming := used
	for _, sp := range m.spares {
		used += sp.takes()
		if !sp.ready {
			coming += sp.takes()
		}
	}
	for _, s := range m.sessions {
		switch {
		case s.status == Hibernating:
			coming -= s.memory // it is given back before the newest starts
		case s.spare != nil:
			used += s.spare.takes()
		case !s.begun && s.memory == 0:
			used += newMemory
			coming += newMemory
		case s.memory == 0:
			used += newMemory
		default:
			used += s.memory
		}
	}
	lack := int64(0)
	if m.cfg.MemoryBudget > 0 {
		lack = used - m.cfg.MemoryBudget
	}
	if m.cfg.FreeMemory == nil || m.cfg.MemoryBudget > 0 || !askHost {
		return lack
	}
	free, err := m.cfg.FreeMemory()
	if err != nil {
		m.cfg.Log.Warn("ask for free memory", "error", err)
		return lack
	}
	return max(lack, coming-free)
}

// awaitRoom waits for those that leave, and for others in place of one that
// turned out to be unable to. The memory of those that have left is taken for
// free: hosts need a moment to count it.
func (m *Manager) awaitRoom(s *session, leaving []departure) error {
	for len(leaving) > 0 {
		for _, d := range leaving {
			select {
			case <-d.done:
			case <-s.life.Done():
				return ErrStopping
			}
		}
		var err error
		m.mu.Lock()
		stayed := slices.ContainsFunc(leaving, func(d departure) bool { return d.s != nil && m.sessions[d.s.key] == d.s })
		leaving, err = m.makeRoom(stayed)
		m.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}
