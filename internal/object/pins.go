package object

import (
	"sync"

	"github.com/outcrop/outcrop/internal/object/segment"
)

// pins keeps the files of contents that somebody reads. A reader looks a version
// up and pins its content between RLock and RUnlock of looking; the collector
// asks under Lock for contents that no version names any more. So whoever saw
// the version has pinned it, and whoever comes later does not see it.
type pins struct {
	looking sync.RWMutex

	mu     sync.Mutex
	users  map[segment.ID]int
	wanted map[segment.ID]bool // by the collector
	wake   func()
}

func newPins(wake func()) *pins {
	return &pins{users: map[segment.ID]int{}, wanted: map[segment.ID]bool{}, wake: wake}
}

func (p *pins) pin(id segment.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[id]++
}

func (p *pins) unpin(id segment.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users[id]--; p.users[id] > 0 {
		return
	}
	delete(p.users, id)
	if p.wanted[id] {
		delete(p.wanted, id)
		p.wake()
	}
}

// free reports which of the contents, which no version names, nobody reads; the
// collector is woken when one of the others is free too.
func (p *pins) free(ids []segment.ID) []bool {
	p.looking.Lock()
	defer p.looking.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	free := make([]bool, len(ids))
	for i, id := range ids {
		if free[i] = p.users[id] == 0; !free[i] {
			p.wanted[id] = true
		}
	}
	return free
}
