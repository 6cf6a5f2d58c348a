package rule

import (
	"sync"
	"time"
)

const (
	// tripsAt is how many failures, one after another, leave a target out.
	tripsAt = 5
	// rests is for how long; then one request tries it.
	rests = 30 * time.Second
	// maxBreakers bounds the targets that are watched.
	maxBreakers = 1 << 14
)

// Breakers leave targets out that fail, for a while (circuit breakers). They are safe for
// concurrent use.
type Breakers struct {
	now func() time.Time
	mu  sync.Mutex
	// failing are the targets that have failed since they last answered; others are well.
	failing map[string]*failing
}

type failing struct {
	count int
	until time.Time
}

// NewBreakers returns Breakers.
func NewBreakers(now func() time.Time) *Breakers {
	return &Breakers{now: now, failing: map[string]*failing{}}
}

// Allow reports whether a target may be tried. After its rest one request may, and the
// others when that one has been answered, or the next rest is over.
func (b *Breakers) Allow(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.failing[key]
	if f == nil || f.count < tripsAt {
		return true
	}
	now := b.now()
	if now.Before(f.until) {
		return false
	}
	f.until = now.Add(rests)
	return true
}

// Done says how a request ended.
func (b *Breakers) Done(key string, failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !failed {
		delete(b.failing, key)
		return
	}
	f := b.failing[key]
	if f == nil {
		if len(b.failing) >= maxBreakers {
			clear(b.failing) // all are tried again
		}
		f = &failing{}
		b.failing[key] = f
	}
	if f.count++; f.count >= tripsAt {
		f.until = b.now().Add(rests)
	}
}
