package throttle

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// Sources bounds the calls of those who have shown no credentials: of each address by
// itself, so that nobody uses up what others have, and of all together. It is safe for
// concurrent use.
type Sources struct {
	each, all Rate
	now       func() time.Time

	mu    sync.Mutex
	total bucket
	from  map[netip.Prefix]*bucket
}

// Rate is how many calls a second there may be, and how many at once.
type Rate struct{ Second, Burst float64 }

// NewSources returns a Sources.
func NewSources(each, all Rate, now func() time.Time) *Sources {
	return &Sources{each: each, all: all, now: now, total: bucket{tokens: all.Burst, at: now()}, from: map[netip.Prefix]*bucket{}}
}

// source is what is counted as one: an address, and of IPv6 the network of a customer,
// who has as many addresses as they like.
func source(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // of no address: all of these are one
	return p
}

// Allow counts a call, or reports that it comes too soon. What is refused for its source
// alone is not counted among all.
func (s *Sources) Allow(addr netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, at := s.now(), source(addr)
	s.total.fill(now, s.all.Second, s.all.Burst)
	b := s.from[at]
	if b != nil {
		b.fill(now, s.each.Second, s.each.Burst)
	}
	if s.total.tokens < 1 || b != nil && b.tokens < 1 {
		return false
	}
	if b == nil {
		s.makeRoom(now)
		b = &bucket{tokens: s.each.Burst, at: now}
		s.from[at] = b
	}
	s.total.tokens--
	b.tokens--
	return true
}

// makeRoom forgets sources whose buckets are full again, as those of strangers are. Beside
// maxBuckets there never are more than all may call while one of them fills.
func (s *Sources) makeRoom(now time.Time) {
	if len(s.from) < maxBuckets {
		return
	}
	maps.DeleteFunc(s.from, func(_ netip.Prefix, b *bucket) bool {
		b.fill(now, s.each.Second, s.each.Burst)
		return b.tokens >= s.each.Burst
	})
}
