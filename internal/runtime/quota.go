package runtime

import (
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Quotas bound what one account may have in one region. 0 is the default.
type Quotas struct {
	Runtimes, Versions, Endpoints, CapacityProviders int
}

// DefaultQuotas are AWS's (spec/runtime.md 7, 14). Versions and endpoints are
// those of one runtime, DEFAULT included.
func DefaultQuotas() Quotas {
	return Quotas{Runtimes: 1000, Versions: 1000, Endpoints: 10, CapacityProviders: 1000}
}

func (q Quotas) withDefaults() Quotas {
	d := DefaultQuotas()
	for _, f := range []struct {
		have *int
		want int
	}{{&q.Runtimes, d.Runtimes}, {&q.Versions, d.Versions}, {&q.Endpoints, d.Endpoints}, {&q.CapacityProviders, d.CapacityProviders}} {
		if *f.have == 0 {
			*f.have = f.want
		}
	}
	return q
}

// room refuses one more child of a collection that has as many as it may. what
// says so, and quota is the name of the bound in `outcrop serve --quota`.
func room[Spec, State any](r store.Reader, c store.Collection[Spec, State], scope store.Scope, parent string, limit int, what, quota string) error {
	n := 0
	for _, err := range c.Each(r, scope, parent) {
		if err != nil {
			return err
		}
		if n++; n >= limit {
			return fault.Quota("%s: %d of %d. Delete some, or raise the quota (outcrop serve --quota %s=N)", what, n, limit, quota)
		}
	}
	return nil
}
