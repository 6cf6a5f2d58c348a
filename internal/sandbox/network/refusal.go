package network

import (
	"net/netip"
	"strings"
	"sync"
)

// maxNoted bounds the destinations of one session that are told of.
const maxNoted = 256

// A Refusal is a destination that a guest did not reach, for whoever runs it.
type Refusal struct {
	// Network is "tcp" or "udp", or "dns" for a name that was not resolved.
	Network string
	// To is the destination; it is zero for a name.
	To netip.AddrPort
	// Name is what was to be resolved, or what To was resolved from, if anything.
	Name string
	// Reason says why, Fix what changes that; Fix may be empty.
	Reason, Fix string
	// Failed: nobody refused it. It was asked for in vain.
	Failed bool
}

// Error is what was refused, why and the way out.
func (r *Refusal) Error() string { return r.String() }

// String is what was refused, why and the way out.
func (r Refusal) String() string {
	var b strings.Builder
	if r.Network == "dns" {
		b.WriteString("name " + r.Name)
	} else {
		b.WriteString(r.Network + " " + r.To.String())
		if r.Name != "" {
			b.WriteString(" (" + r.Name + ")")
		}
	}
	if !r.Failed {
		b.WriteString(" refused")
	}
	b.WriteString(": " + r.Reason)
	if r.Fix != "" {
		b.WriteString("; " + r.Fix)
	}
	return b.String()
}

// refusal makes one of a connection.
func refusal(network string, to netip.AddrPort, names []string, reason, fix string) *Refusal {
	r := &Refusal{Network: network, To: to, Reason: reason, Fix: fix}
	if len(names) > 0 {
		r.Name = strings.TrimSuffix(names[0], ".")
	}
	return r
}

// notes are the destinations that were told of.
type notes struct {
	mu   sync.Mutex
	seen map[string]bool
}

// first tells whether a destination is new, and there were not too many.
func (n *notes) first(key string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen[key] || len(n.seen) >= maxNoted {
		return false
	}
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	n.seen[key] = true
	return true
}

// note tells of a refusal, once for each destination.
func (s *Session) note(r Refusal) {
	key := r.Network + " " + r.To.String()
	if r.Network == "dns" {
		key = r.Name
	}
	told := &s.noted
	if r.Failed { // many of them leave room for refusals
		told = &s.vain
	}
	if s.cfg.Note != nil && told.first(key) {
		s.cfg.Note(r)
	}
}
