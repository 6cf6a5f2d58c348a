package gateway

import (
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Quotas bound what one account may have in one region, and one gateway. 0 is the
// default.
type Quotas struct {
	Gateways int
	// Those of one gateway.
	Targets, Rules, RateLimits int
}

// DefaultQuotas are AWS's (spec/gateway.md 6).
func DefaultQuotas() Quotas {
	return Quotas{Gateways: 1000, Targets: 100, Rules: 20, RateLimits: 50}
}

func (q Quotas) withDefaults() Quotas {
	d := DefaultQuotas()
	for _, f := range []struct {
		have *int
		want int
	}{{&q.Gateways, d.Gateways}, {&q.Targets, d.Targets}, {&q.Rules, d.Rules}, {&q.RateLimits, d.RateLimits}} {
		if *f.have == 0 {
			*f.have = f.want
		}
	}
	return q
}

// room refuses more children of a collection than it may have, of which some are about to
// be added. whose says who has them, and what they are.
func room[Spec, State any](r store.Reader, c store.Collection[Spec, State], scope store.Scope, parent string, adds, limit int, whose, what string) error {
	n := adds
	for _, err := range c.Each(r, scope, parent) {
		if err != nil {
			return err
		}
		n++
	}
	if n > limit {
		return fault.Quota("%s may have at most %d %s, and would have %d. Delete some first; the limit cannot be raised", whose, limit, what, n)
	}
	return nil
}
