// Package ratelimit holds callers of gateways to the rate limits of their owners
// (spec/gateway.md 12).
//
// A limit groups calls by the values of its dimensions, and each group has counters of
// its own: a token bucket of requests, one of tokens, and the connections that are open.
// They are in memory, and bounded in number. They belong to the limit's id, not to the
// version of the gateway that was compiled, so that a change of the gateway gives nobody
// a fresh allowance.
//
// It fails open: what cannot be counted passes.
package ratelimit

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
)

// The metrics of a limit.
const (
	Requests    = "requests"
	Tokens      = "tokens"
	Connections = "connections"
)

// The dimensions of what is called. Calls that have none of a limit's are not its
// business; of who calls, somebody without a value is counted with the others who have none.
const (
	TargetName = "targetName"
	ToolName   = "toolName"
	ModelID    = "qualifiedModelId"
)

// Called is what a request is about, as far as limits ask; empty is what it is not about.
type Called struct {
	Target, Tool, Model string
	// Unlisted: the target lists nothing beforehand, and Tool is as the caller says.
	Unlisted bool
	// Part: it is part of a request that was counted itself, and limits that ask only who
	// calls do not count it once more.
	Part bool
	// Header and Body are the request's, in which the caller says more. Body may be left out
	// where no limit reads it (Set.ReadsBody).
	Header http.Header
	Body   []byte
}

// The dimensions of what a caller says in the request begin so.
const (
	HeaderValue = "$.context.request.header."
	BodyMember  = "$.context.request.body."
)

// Value is that of a dimension of what is called.
func (c Called) Value(key string) (string, bool) {
	v := ""
	switch key {
	case TargetName:
		v = c.Target
	case ToolName:
		v = c.Tool
	case ModelID:
		v = c.Model
	}
	return v, v != ""
}

// any stands for all values of a dimension.
const anyValue = "*"

// Set is the compiled limits of one gateway. Nobody writes to it.
type Set struct {
	gateway string
	limits  []limit
	tokens  bool
	body    bool
	// callers and called are the limits that ask only who calls, and the others.
	callers, called *Set
	// names are the values that entries name, by dimension.
	names map[string]map[string]bool
}

// Callers are the limits that can be asked before it is known what is called.
func (s *Set) Callers() *Set { return s.callers }

// Called are the limits that ask what is called, which Callers are without.
func (s *Set) Called() *Set { return s.called }

// ReadsBody reports whether a limit counts by what is in the body of a request.
func (s *Set) ReadsBody() bool { return s.body }

// Shared is the value that a name counts as which no target lists: its own where an entry
// has it, and else what all such names share. Each has no counters of its own, for
// callers can think of as many as they like.
func (s *Set) Shared(key, name, shared string) string {
	if s.names[key][name] {
		return name
	}
	return shared
}

type limit struct {
	id   string
	keys []string
	// plain are the entries whose values are exact, or * from some dimension on.
	plain map[string]*entry
	// odd are the others, the most specific first: a * before an exact value, or at the
	// end of a value.
	odd []*entry
}

// entry is one of a limit: the rates of those whose values it matches.
type entry struct {
	values []string // by dimension; * is any
	name   string   // for spans
	// exact counts the values that are exact, and letters those before a final *.
	exact, letters int
	// requests and tokens are nil where the entry has no such rate.
	requests, tokens *rate
	// connections is how many may be open, or -1.
	connections int64
}

// rate is one of a token bucket: how long one unit takes to come back, and how much may
// be taken at once, both in nanoseconds of such time.
type rate struct {
	unit  float64
	burst int64
	none  bool // nothing passes, ever
}

// longest bounds a duration that is computed, in nanoseconds: about three years.
const longest = 1e17

func rateOf(list []agentcorecontrol.RateConfig) *rate {
	if len(list) == 0 || list[0].Rate == nil || math.IsNaN(*list[0].Rate) {
		return nil
	}
	n, period := *list[0].Rate, float64(time.Second)
	if list[0].Period != nil && *list[0].Period == agentcorecontrol.PeriodMinute {
		period = float64(time.Minute)
	}
	if n <= 0 {
		return &rate{none: true}
	}
	// Rates below one a period let one pass when its time has come.
	r := &rate{unit: min(period/n, longest)}
	r.burst = int64(max(period, r.unit))
	return r
}

// cost is what n units take.
func (r *rate) cost(n int64) int64 { return int64(min(r.unit*float64(n), longest)) }

// lower reports whether a rate is the stricter.
func (r *rate) lower(than *rate) bool {
	switch {
	case r == nil || than == nil:
		return r != nil
	case r.none || than.none:
		return r.none
	}
	return r.unit > than.unit
}

// Compile reads the limits of a gateway. Entries that cannot be counted are left out.
func Compile(gateway string, limits []agentcorecontrol.GatewayRateLimitDetail) *Set {
	s := &Set{gateway: gateway, names: map[string]map[string]bool{}}
	s.callers, s.called = &Set{gateway: gateway}, &Set{gateway: gateway}
	for i := range limits {
		d := &limits[i]
		if d.RateLimitId == nil || len(d.DimensionKeys) == 0 || d.Status != nil && *d.Status == agentcorecontrol.GatewayRateLimitStatusDELETING {
			continue
		}
		s.body = s.body || slices.ContainsFunc(d.DimensionKeys, func(key string) bool { return strings.HasPrefix(key, BodyMember) })
		l := limit{id: *d.RateLimitId, keys: d.DimensionKeys, plain: map[string]*entry{}}
		for j := range d.Entries {
			e := compileEntry(d.DimensionKeys, &d.Entries[j])
			l.add(e)
			s.learn(d.DimensionKeys, e)
			s.tokens = s.tokens || len(d.Entries[j].Tokens) > 0
		}
		slices.SortStableFunc(l.odd, func(a, b *entry) int {
			if a.before(b) {
				return -1
			}
			return 1
		})
		s.limits = append(s.limits, l)
		part := s.callers
		if slices.ContainsFunc(l.keys, ofCalled) {
			part = s.called
		}
		part.limits = append(part.limits, l)
	}
	return s
}

// learn keeps the values that an entry names.
func (s *Set) learn(keys []string, e *entry) {
	for i, key := range keys {
		if s.names[key] == nil {
			s.names[key] = map[string]bool{}
		}
		s.names[key][e.values[i]] = true
	}
}

// ofCalled reports whether a dimension is about what is called.
func ofCalled(key string) bool { return key == TargetName || key == ToolName || key == ModelID }

func compileEntry(keys []string, in *agentcorecontrol.LimitEntry) *entry {
	e := &entry{values: make([]string, len(keys)), requests: rateOf(in.Requests), tokens: rateOf(in.Tokens), connections: -1}
	for i, key := range keys {
		v, ok := in.Dimensions[key]
		if !ok {
			v = anyValue
		}
		e.values[i] = v
		if prefix, cut := strings.CutSuffix(v, anyValue); cut {
			e.letters += len(prefix)
		} else {
			e.exact++
		}
		if i > 0 {
			e.name += ","
		}
		e.name += key + "=" + v
	}
	if len(in.Connections) > 0 && in.Connections[0].Rate != nil && !math.IsNaN(*in.Connections[0].Rate) {
		e.connections = int64(max(*in.Connections[0].Rate, 0))
	}
	return e
}

// add puts an entry where it is found.
func (l *limit) add(e *entry) {
	if !e.plain() {
		l.odd = append(l.odd, e)
		return
	}
	key := strings.Join(e.values, "\x00")
	if have := l.plain[key]; have == nil || e.before(have) {
		l.plain[key] = e
	}
}

func (e *entry) plain() bool {
	open := false
	for _, v := range e.values {
		switch {
		case v == anyValue:
			open = true
		case open || strings.HasSuffix(v, anyValue):
			return false
		}
	}
	return true
}

// before reports whether an entry goes before another where both match: the more
// specific, else the one with the lower rate.
func (e *entry) before(b *entry) bool {
	switch {
	case e.exact != b.exact:
		return e.exact > b.exact
	case e.letters != b.letters:
		return e.letters > b.letters
	case e.requests.lower(b.requests) != b.requests.lower(e.requests):
		return e.requests.lower(b.requests)
	case e.tokens.lower(b.tokens) != b.tokens.lower(e.tokens):
		return e.tokens.lower(b.tokens)
	}
	return e.connections >= 0 && (b.connections < 0 || e.connections < b.connections)
}

func (e *entry) matches(values []string) bool {
	for i, v := range e.values {
		if prefix, cut := strings.CutSuffix(v, anyValue); cut {
			if !strings.HasPrefix(values[i], prefix) || prefix != "" && values[i] == "" {
				return false
			}
		} else if v != values[i] {
			return false
		}
	}
	return true
}

// find returns the entry for some values, or nil: first all of them as they are, then
// with more and more of the last ones open (spec/gateway.md 12).
func (l *limit) find(values []string) *entry {
	var best *entry
	var room [256]byte
	for open := 0; open <= len(values) && best == nil; open++ {
		key := room[:0]
		for i, v := range values {
			if i > 0 {
				key = append(key, 0)
			}
			if i >= len(values)-open {
				v = anyValue
			}
			key = append(key, v...)
		}
		best = l.plain[string(key)]
	}
	for _, e := range l.odd {
		if best != nil && !e.before(best) {
			break
		}
		if e.matches(values) {
			return e
		}
	}
	return best
}

// maxKeys is how many dimensions a limit has at most.
const maxKeys = 10

// values are those of a call, in the order of a limit's keys. It reports false where the
// limit is not about such calls.
func (l *limit) values(of func(key string) (string, bool), to []string) ([]string, bool) {
	for _, key := range l.keys {
		v, ok := of(key)
		if !ok || v == "" {
			if ofCalled(key) {
				return nil, false
			}
			v = ""
		}
		to = append(to, fold(v))
	}
	return to, true
}

// maxValue is how long a value of an entry is at most, in bytes.
const maxValue = 256

// fold bounds a value, whose length is the caller's to choose: the beginning stays, which
// entries may ask for, and of the rest a hash.
func fold(v string) string {
	if len(v) <= maxValue {
		return v
	}
	sum := sha256.Sum256([]byte(v))
	end := hex.EncodeToString(sum[:])
	return v[:maxValue-len(end)] + end
}

// name is how refusals call a group of calls.
func (l *limit) name(values []string) string {
	var b strings.Builder
	b.WriteString(l.id)
	for i, key := range l.keys {
		b.WriteByte("/,"[min(i, 1)])
		b.WriteString(key)
		b.WriteByte('=')
		b.WriteString(values[i])
	}
	return b.String()
}

// CountsTokens reports whether some limit counts tokens.
func (s *Set) CountsTokens() bool { return s != nil && s.tokens }

// Empty reports whether there are no limits.
func (s *Set) Empty() bool { return s == nil || len(s.limits) == 0 }
