package ratelimit

import (
	"hash/maphash"
	"sync"
	"time"
)

// Decision is whether a call may go on.
type Decision struct {
	Allowed bool
	// LimitKey names the limit and the group of calls that has used it up, Metric what of
	// it, and MatchedEntry the limit's entry: for a refused call.
	LimitKey, Metric, MatchedEntry string
	// RetryAfter is when it is worth to try again, zero for never: the rate is 0.
	RetryAfter time.Duration
	// Evaluated is how many limits were about the call.
	Evaluated int
}

// Limiter keeps the counters of all gateways. It is safe for concurrent use.
type Limiter struct {
	now    func() time.Time
	seed   maphash.Seed
	shards [shards]shard
}

const (
	shards = 64
	// maxCounters bounds those of a shard: 65,536 in all, of about 200 bytes each.
	maxCounters = 1024
)

type shard struct {
	mu       sync.Mutex
	counters map[string]*counter
	sweepAt  int   // how many there are when the idle ones are next collected
	rest     int64 // until when that would find few, in nanoseconds of the clock
}

// counter is one of a group of calls. Its times are in nanoseconds of the clock.
type counter struct {
	// requests and tokens are when all that was taken will have come back: a bucket as a
	// single number (the generic cell rate algorithm).
	requests, tokens int64
	open             int64 // connections
}

func (c *counter) idle(now int64) bool { return c.requests <= now && c.tokens <= now && c.open == 0 }

// end is the end of a connection. Not all are counted where there were too many counters.
func (c *counter) end() { c.open = max(0, c.open-1) }

// New returns a Limiter.
func New(now func() time.Time) *Limiter {
	l := &Limiter{now: now, seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].counters = map[string]*counter{}
		l.shards[i].sweepAt = 64
	}
	return l
}

// Permit is what a call holds until it has ended.
type Permit struct {
	l    *Limiter
	held []hold
	once sync.Once
}

// hold is a group of calls that a call belongs to.
type hold struct {
	key   string
	entry *entry
}

// Decide says whether a call may go on, and counts it. The dimensions say what a call's
// value of a key is. The permit is nil for a call that is refused, or that nothing limits.
func (l *Limiter) Decide(s *Set, dimensions func(key string) (string, bool)) (Decision, *Permit) {
	return l.Further(s, dimensions, nil)
}

// Further decides on a call that holds a permit already, by more limits: the permit is
// for both then, or undone where these refuse.
func (l *Limiter) Further(s *Set, dimensions func(key string) (string, bool), p *Permit) (Decision, *Permit) {
	d := Decision{Allowed: true}
	if s.Empty() {
		return d, p
	}
	now := l.now().UnixNano()
	_, model := dimensions(ModelID)
	var keyRoom [320]byte
	for i := range s.limits {
		lim := &s.limits[i]
		var room [maxKeys]string
		values, ok := lim.values(dimensions, room[:0])
		if !ok {
			continue
		}
		e := lim.find(values)
		if e == nil {
			continue
		}
		d.Evaluated++
		key := append(append(append(keyRoom[:0], s.gateway...), 0), lim.id...)
		for _, v := range values {
			key = append(append(key, 0), v...)
		}
		metric, wait := l.take(key, e, model, now)
		if metric != "" {
			p.undo()
			d.Allowed, d.Metric, d.RetryAfter = false, metric, wait
			d.LimitKey, d.MatchedEntry = lim.name(values), e.name
			return d, nil
		}
		if p == nil {
			p = &Permit{l: l, held: make([]hold, 0, len(s.limits)-i)}
		}
		p.held = append(p.held, hold{string(key), e})
	}
	return d, p
}

func (l *Limiter) shard(key []byte) *shard { return &l.shards[maphash.Bytes(l.seed, key)%shards] }

// take counts a call, or says which metric has no room and for how long. Only calls of
// models use tokens.
func (l *Limiter) take(key []byte, e *entry, model bool, now int64) (metric string, wait time.Duration) {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counters[string(key)]
	if c == nil {
		c = s.add(string(key), now)
	}
	switch {
	case e.connections == 0:
		return Connections, 0
	case e.tokens != nil && e.tokens.none && model:
		return Tokens, 0
	case e.requests != nil && e.requests.none:
		return Requests, 0
	case e.connections > 0 && c.open >= e.connections:
		return Connections, time.Second // when one ends is not known
	}
	if r := e.tokens; r != nil && model {
		if over := r.over(c.tokens, now, 1); over > 0 {
			return Tokens, over
		}
	}
	if r := e.requests; r != nil {
		c.requests = min(c.requests, now+r.burst) // more was taken of a rate that the limit had before
		if over := r.over(c.requests, now, 1); over > 0 {
			return Requests, over
		}
		c.requests = max(c.requests, now) + r.cost(1)
	}
	c.open++
	return "", 0
}

// over is for how long n more are too many, zero where they are not.
func (r *rate) over(until, now, n int64) time.Duration {
	return time.Duration(max(0, max(until, now)+r.cost(n)-now-r.burst))
}

// add makes a counter. Where there are many, those go first that say nothing, then any
// other: whom it belongs to begins anew.
func (s *shard) add(key string, now int64) *counter {
	if len(s.counters) >= s.sweepAt && now >= s.rest {
		for k, c := range s.counters {
			if c.idle(now) {
				delete(s.counters, k)
			}
		}
		s.sweepAt = min(max(64, 2*len(s.counters)), maxCounters)
		if len(s.counters) > maxCounters/2 {
			s.rest = now + int64(time.Second)
		}
	}
	if len(s.counters) >= maxCounters {
		for k, c := range s.counters {
			if c.open == 0 {
				delete(s.counters, k)
				break
			}
		}
	}
	c := &counter{}
	if len(s.counters) < maxCounters {
		s.counters[key] = c
	}
	return c
}

// undo takes back what was counted of a call that another limit refuses.
func (p *Permit) undo() {
	if p == nil {
		return
	}
	p.each(func(c *counter, e *entry) {
		c.end()
		if r := e.requests; r != nil && !r.none {
			c.requests -= r.cost(1)
		}
	})
}

// Undo takes back what was counted of a call that went on as another one, which was
// decided on anew.
func (p *Permit) Undo() {
	if p == nil {
		return
	}
	p.once.Do(p.undo)
}

// Charge counts tokens that a call has used, as its answer says. Who has used more than
// there were waits until they have come back.
func (p *Permit) Charge(tokens int64) {
	if p == nil || tokens <= 0 {
		return
	}
	now := p.l.now().UnixNano()
	p.each(func(c *counter, e *entry) {
		if r := e.tokens; r != nil && !r.none {
			c.tokens = min(max(c.tokens, now)+r.cost(tokens), now+longest)
		}
	})
}

// Release says that a call has ended. Only the first time counts.
func (p *Permit) Release() {
	if p == nil {
		return
	}
	p.once.Do(func() {
		p.each(func(c *counter, _ *entry) { c.end() })
	})
}

// each does something with the counters that a call belongs to, and that are still kept.
func (p *Permit) each(do func(*counter, *entry)) {
	for _, h := range p.held {
		key := []byte(h.key)
		s := p.l.shard(key)
		s.mu.Lock()
		if c := s.counters[h.key]; c != nil {
			do(c, h.entry)
		}
		s.mu.Unlock()
	}
}

// size is how many counters are kept.
func (l *Limiter) size() int {
	n := 0
	for i := range l.shards {
		l.shards[i].mu.Lock()
		n += len(l.shards[i].counters)
		l.shards[i].mu.Unlock()
	}
	return n
}
