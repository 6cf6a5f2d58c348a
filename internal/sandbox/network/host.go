package network

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxAnswered bounds the addresses that are remembered.
	maxAnswered = 4096
	// keepAnswered is how long an address is one of its name's after the answer's
	// time to live: programs keep what they have resolved.
	keepAnswered = time.Hour
)

// CheckHost refuses what Policy.Hosts cannot mean: it wants a host's name, or *.
// and the end of one.
func CheckHost(pattern string) error {
	name := strings.TrimPrefix(pattern, "*.")
	if !validName(name) {
		return errors.New("it is neither a host's name nor *. and the end of one")
	}
	return nil
}

// validName tells whether a name can be a host's, without a final dot.
func validName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			letter := 'a' <= c|0x20 && c|0x20 <= 'z'
			if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// hostAllowed tells whether a name, in lower case and with its final dot, is one
// of the allowed hosts.
func (p Policy) hostAllowed(name string) bool {
	name = strings.TrimSuffix(name, ".")
	return slices.ContainsFunc(p.Hosts, func(pattern string) bool {
		pattern = strings.ToLower(pattern)
		if suffix, ok := strings.CutPrefix(pattern, "*"); ok { // .SUFFIX
			return strings.HasSuffix(name, suffix) && len(name) > len(suffix)
		}
		return name == pattern
	})
}

// answers remembers which names led to an address.
type answers struct {
	mu   sync.Mutex
	byIP map[netip.Addr]map[string]time.Time // until when
	n    int
}

// add notes that a name was answered with an address.
func (a *answers) add(name string, addr netip.Addr, ttl time.Duration, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byIP == nil {
		a.byIP = map[netip.Addr]map[string]time.Time{}
	}
	names := a.byIP[addr]
	if _, known := names[name]; !known {
		if a.n >= maxAnswered {
			a.prune(now)
		}
		if a.byIP[addr] == nil {
			a.byIP[addr] = map[string]time.Time{}
		}
		names = a.byIP[addr]
		a.n++
	}
	names[name] = now.Add(ttl + keepAnswered)
}

// prune forgets what is over, and everything if that is nothing: a guest asks
// again.
func (a *answers) prune(now time.Time) {
	for addr, names := range a.byIP {
		for name, until := range names {
			if now.After(until) {
				delete(names, name)
				a.n--
			}
		}
		if len(names) == 0 {
			delete(a.byIP, addr)
		}
	}
	if a.n >= maxAnswered {
		clear(a.byIP)
		a.n = 0
	}
}

// names returns what led to an address, in order.
func (a *answers) names(addr netip.Addr, now time.Time) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(a.byIP[addr])) {
		if !now.After(a.byIP[addr][name]) {
			names = append(names, name)
		}
	}
	return names
}
