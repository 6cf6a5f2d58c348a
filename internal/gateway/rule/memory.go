package rule

import (
	"hash/fnv"
	"slices"
	"sync"
	"time"
)

// sticks is for how long a choice by weight is kept since it was last asked for
// (spec/gateway.md 11).
const sticks = 15 * 24 * time.Hour

// maxChoices bounds the choices that are remembered: two generations of these.
const maxChoices = 1 << 17

// Memory is what choices by weight stick to. A session's choice is a hash of its id, so
// that it is the same after a restart and where it was forgotten; that it is remembered
// counts when the weights change. It is safe for concurrent use.
type Memory struct {
	now  func() time.Time
	draw func(n int) int
	most int

	mu         sync.Mutex
	young, old map[string]choice
}

type choice struct {
	name string
	ends time.Time
}

// NewMemory returns a Memory; draw returns a number below n at random.
func NewMemory(now func() time.Time, draw func(n int) int) *Memory {
	return &Memory{now: now, draw: draw, most: maxChoices, young: map[string]choice{}}
}

// choose returns which of the names, whose weights are given, a key has. An empty key has
// any, each time.
func (m *Memory) choose(key string, life time.Duration, names []string, weights []int) int {
	sum := 0
	for _, w := range weights {
		sum += max(w, 0)
	}
	if sum == 0 {
		return 0
	}
	if key == "" {
		return at(m.draw(sum), weights)
	}
	if life <= 0 {
		life = sticks
	}
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.young[key]
	if !ok {
		c, ok = m.old[key]
	}
	i := -1
	if ok && now.Before(c.ends) {
		i = slices.Index(names, c.name)
	}
	if i < 0 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(key)) // it cannot fail
		i = at(int(mix(h.Sum64())%uint64(sum)), weights)
	}
	if len(m.young) >= m.most {
		m.old, m.young = m.young, map[string]choice{}
	}
	m.young[key] = choice{names[i], now.Add(life)}
	return i
}

// mix spreads a hash's bits (the finalizer of MurmurHash3): FNV's low ones alone are
// those of the last bytes.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// at is the index whose weight covers n.
func at(n int, weights []int) int {
	for i, w := range weights {
		if n -= max(w, 0); n < 0 {
			return i
		}
	}
	return len(weights) - 1
}
