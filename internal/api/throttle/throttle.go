// Package throttle bounds how often an account may call the operations of a
// control plane (spec/runtime.md 14).
package throttle

import (
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Rates are calls a second of one operation, by one account in one region. 0 is no
// bound.
type Rates struct {
	Mutations, Gets, Lists int
}

// AWSRates are those of AgentCore.
func AWSRates() Rates { return Rates{Mutations: 50, Gets: 150, Lists: 25} }

// Limiter is safe for concurrent use.
type Limiter struct {
	rates   Rates
	service *schema.Service
	now     func() time.Time

	mu      sync.Mutex
	buckets map[caller]*bucket
}

type caller struct {
	scope     store.Scope
	operation string
}

// bucket fills up with the rate, and holds what a second brings.
type bucket struct {
	tokens float64
	at     time.Time
}

// fill brings a bucket up to now.
func (b *bucket) fill(now time.Time, rate, most float64) {
	b.tokens = min(most, b.tokens+now.Sub(b.at).Seconds()*rate)
	b.at = now
}

// maxBuckets bounds what is remembered: whoever may call may sign for any region.
const maxBuckets = 10_000

// New returns a Limiter of one service's operations; those of others pass.
func New(service *schema.Service, rates Rates, now func() time.Time) *Limiter {
	return &Limiter{rates: rates, service: service, now: now, buckets: map[caller]*bucket{}}
}

// Allow counts a call, or refuses it. The name of each rate is that of `outcrop
// serve --quota`.
func (l *Limiter) Allow(scope store.Scope, service *schema.Service, op *schema.Operation) error {
	if service != l.service {
		return nil
	}
	rate, name := l.rates.Mutations, "mutations"
	switch {
	case strings.HasPrefix(op.Name, "List"):
		rate, name = l.rates.Lists, "lists"
	case op.ReadOnly:
		rate, name = l.rates.Gets, "gets"
	}
	if rate <= 0 || l.take(caller{scope, op.Name}, float64(rate)) {
		return nil
	}
	return fault.Throttled("Rate exceeded: %d calls of %s a second. Slow down, or raise the quota (outcrop serve --quota %s=N)", rate, op.Name, name)
}

func (l *Limiter) take(c caller, rate float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.buckets[c]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			clear(l.buckets)
		}
		b = &bucket{tokens: rate, at: now}
		l.buckets[c] = b
	}
	b.fill(now, rate, rate)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
