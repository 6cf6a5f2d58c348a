package ratelimit

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
)

// clock is one that stands still until it is moved.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Unix(1_800_000_000, 0)} }

func rates(n float64, period string) []agentcorecontrol.RateConfig {
	return []agentcorecontrol.RateConfig{{Rate: &n, Period: &period}}
}

func of(m map[string]string) func(string) (string, bool) {
	return func(key string) (string, bool) { v, ok := m[key]; return v, ok }
}

func limitOf(id string, keys []string, entries ...agentcorecontrol.LimitEntry) agentcorecontrol.GatewayRateLimitDetail {
	return agentcorecontrol.GatewayRateLimitDetail{RateLimitId: &id, DimensionKeys: keys, Entries: entries}
}

func entryOf(requests float64, kv ...string) agentcorecontrol.LimitEntry {
	e := agentcorecontrol.LimitEntry{Dimensions: map[string]string{}, Requests: rates(requests, "second")}
	for i := 0; i < len(kv); i += 2 {
		e.Dimensions[kv[i]] = kv[i+1]
	}
	return e
}

func TestMostSpecificEntry(t *testing.T) {
	l := limitOf("l1", []string{TargetName, ToolName},
		entryOf(1, TargetName, "a", ToolName, "a___x"), entryOf(2, TargetName, "a", ToolName, "*"), entryOf(3, TargetName, "*", ToolName, "*"),
		entryOf(4, TargetName, "*", ToolName, "b___y"), entryOf(5, TargetName, "c", ToolName, "c___get*"), entryOf(6, TargetName, "c", ToolName, "c___get_*"))
	s := Compile("g", []agentcorecontrol.GatewayRateLimitDetail{l})
	for in, want := range map[[2]string]string{
		{"a", "a___x"}:     "targetName=a,toolName=a___x",
		{"a", "a___z"}:     "targetName=a,toolName=*",
		{"b", "b___x"}:     "targetName=*,toolName=*",
		{"b", "b___y"}:     "targetName=*,toolName=b___y",
		{"c", "c___get"}:   "targetName=c,toolName=c___get*",
		{"c", "c___get_q"}: "targetName=c,toolName=c___get_*",
		{"c", "c___set"}:   "targetName=*,toolName=*",
	} {
		if e := s.limits[0].find(in[:]); e == nil || e.name != want {
			t.Errorf("%v: %+v, want %s", in, e, want)
		}
	}
}

func TestDimensionsThatAreMissing(t *testing.T) {
	c := newClock()
	l := New(c.now)
	tool := Compile("g", []agentcorecontrol.GatewayRateLimitDetail{limitOf("tools", []string{ToolName}, entryOf(0, ToolName, "*"))})
	if d, _ := l.Decide(tool, of(map[string]string{TargetName: "t"})); !d.Allowed || d.Evaluated != 0 {
		t.Errorf("a call without a tool: %+v", d)
	}
	team := Compile("g", []agentcorecontrol.GatewayRateLimitDetail{limitOf("teams", []string{"$.context.jwt.team"}, entryOf(0, "$.context.jwt.team", "*"))})
	if d, _ := l.Decide(team, of(nil)); d.Allowed || d.LimitKey != "teams/$.context.jwt.team=" {
		t.Errorf("who has no team passes: %+v", d)
	}
}

func TestRefusal(t *testing.T) {
	c := newClock()
	l := New(c.now)
	s := Compile("g", []agentcorecontrol.GatewayRateLimitDetail{limitOf("l1", []string{TargetName, "$.context.jwt.sub"}, entryOf(0.5, TargetName, "*"))})
	who := of(map[string]string{TargetName: "t", "$.context.jwt.sub": "u"})
	if d, p := l.Decide(s, who); !d.Allowed || p == nil {
		t.Fatalf("first: %+v", d)
	}
	d, p := l.Decide(s, who)
	want := Decision{LimitKey: "l1/targetName=t,$.context.jwt.sub=u", Metric: Requests, MatchedEntry: "targetName=*,$.context.jwt.sub=*", RetryAfter: 2 * time.Second, Evaluated: 1}
	if d != want || p != nil {
		t.Errorf("second: %+v, want %+v", d, want)
	}
	if d, _ := l.Decide(s, of(map[string]string{TargetName: "t", "$.context.jwt.sub": "v"})); !d.Allowed {
		t.Errorf("another user is refused: %+v", d)
	}
	c.at = c.at.Add(d.RetryAfter)
	if d, _ := l.Decide(s, who); !d.Allowed {
		t.Errorf("after Retry-After: %+v", d)
	}
	for name, got := range map[string]string{
		`{"error":"Rate limit exceeded","success":false,"limitKey":"l1/targetName=t,$.context.jwt.sub=u","metric":"requests","retryAfter":2}`:                                                                                                                     string(d.HTTP()),
		`{"limitKey":"l1/targetName=t,$.context.jwt.sub=u","metric":"requests","retryAfter":2}`:                                                                                                                                                                   string(d.JSONRPC().Data),
		`{"type":"error","error":{"type":"rate_limit_error","message":"Rate limit exceeded (requests of l1/targetName=t,$.context.jwt.sub=u). Try again in 2 s"}}`:                                                                                                string(d.Anthropic()),
		`{"error":{"message":"Rate limit exceeded (requests of l1/targetName=t,$.context.jwt.sub=u). Try again in 2 s","type":"rate_limit_error","param":null,"code":"429","limitKey":"l1/targetName=t,$.context.jwt.sub=u","metric":"requests","retryAfter":2}}`: string(d.OpenAI()),
	} {
		if got != name {
			t.Errorf("got %s\nwant %s", got, name)
		}
	}
	if h := d.Header(); h.Get("Retry-After") != "2" || d.JSONRPC().Code != -32003 {
		t.Errorf("header %v, code %d", h, d.JSONRPC().Code)
	}
}

// TestNever: where nothing passes, no refusal says when to try again.
func TestNever(t *testing.T) {
	none := map[string]agentcorecontrol.LimitEntry{
		Requests: {Requests: rates(0, "minute")}, Tokens: {Tokens: rates(0, "minute")}, Connections: {Connections: rates(0, "second"), Requests: rates(1, "minute")},
	}
	for metric, e := range none {
		e.Dimensions = map[string]string{ModelID: "*"}
		s := Compile("g", []agentcorecontrol.GatewayRateLimitDetail{limitOf("l", []string{ModelID}, e)})
		d, p := New(newClock().now).Decide(s, of(map[string]string{ModelID: "m"}))
		if d.Allowed || p != nil || d.Metric != metric || d.RetryAfter != 0 {
			t.Errorf("%s: %+v", metric, d)
		}
		if h := d.Header(); h.Get("Content-Type") == "" || h["Retry-After"] != nil {
			t.Errorf("%s: %v", metric, h)
		}
		for _, body := range [][]byte{d.HTTP(), d.JSONRPC().Data, d.OpenAI(), d.Anthropic()} {
			if text := string(body); strings.Contains(text, "retryAfter") || strings.Contains(text, "Try again") {
				t.Errorf("%s: %s", metric, body)
			}
		}
		if text := string(d.Anthropic()); !strings.Contains(text, "The rate is 0, so that no call passes") {
			t.Error(text)
		}
	}
}

// TestAllMustPass wants nothing counted of a call that one limit refuses.
func TestAllMustPass(t *testing.T) {
	l := New(newClock().now)
	s := Compile("g", []agentcorecontrol.GatewayRateLimitDetail{
		limitOf("wide", []string{TargetName}, entryOf(2, TargetName, "*")),
		limitOf("narrow", []string{"$.context.jwt.sub"}, entryOf(1, "$.context.jwt.sub", "*")),
	})
	u := of(map[string]string{TargetName: "t", "$.context.jwt.sub": "u"})
	v := of(map[string]string{TargetName: "t", "$.context.jwt.sub": "v"})
	var got string
	for _, who := range []func(string) (string, bool){u, u, u, v, v} {
		d, _ := l.Decide(s, who)
		got += fmt.Sprintf("%v %.6s,", d.Allowed, d.LimitKey)
	}
	if want := "true ,false narrow,false narrow,true ,false wide/t,"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestConnections(t *testing.T) {
	l := New(newClock().now)
	s := Compile("g", []agentcorecontrol.GatewayRateLimitDetail{limitOf("l", []string{TargetName}, agentcorecontrol.LimitEntry{
		Dimensions: map[string]string{TargetName: "t"}, Connections: rates(2, "second")})})
	d := of(map[string]string{TargetName: "t"})
	_, one := l.Decide(s, d)
	_, two := l.Decide(s, d)
	if got, _ := l.Decide(s, d); got.Allowed || got.Metric != Connections || two == nil {
		t.Fatalf("third: %+v", got)
	}
	one.Release()
	one.Release()
	if got, _ := l.Decide(s, d); !got.Allowed {
		t.Errorf("after one has ended: %+v", got)
	}
	if got, _ := l.Decide(s, d); got.Allowed {
		t.Error("one end counted twice")
	}
}

func TestTokens(t *testing.T) {
	c := newClock()
	l := New(c.now)
	s := Compile("g", []agentcorecontrol.GatewayRateLimitDetail{limitOf("l", []string{TargetName}, agentcorecontrol.LimitEntry{
		Dimensions: map[string]string{TargetName: "t"}, Tokens: rates(60, "minute")})})
	d := of(map[string]string{TargetName: "t", ModelID: "m"})
	_, p := l.Decide(s, d)
	p.Charge(90)
	got, _ := l.Decide(s, d)
	if got.Allowed || got.Metric != Tokens || got.RetryAfter != 31*time.Second {
		t.Fatalf("with 30 tokens too many: %+v", got)
	}
	if got, _ := l.Decide(s, of(map[string]string{TargetName: "t"})); !got.Allowed {
		t.Errorf("a call of no model: %+v", got)
	}
	c.at = c.at.Add(31 * time.Second)
	if got, _ := l.Decide(s, d); !got.Allowed || !s.CountsTokens() {
		t.Errorf("after %s: %+v", 31*time.Second, got)
	}
}

// TestChange keeps what was counted when the gateway is compiled anew.
func TestChange(t *testing.T) {
	l := New(newClock().now)
	d := of(map[string]string{TargetName: "t"})
	make := func(n float64) *Set {
		return Compile("g", []agentcorecontrol.GatewayRateLimitDetail{limitOf("l", []string{TargetName}, entryOf(n, TargetName, "*"))})
	}
	l.Decide(make(1), d)
	if got, _ := l.Decide(make(1), d); got.Allowed {
		t.Error("a change gave a fresh allowance")
	}
}

// TestRaised: who has used up two a minute need not wait for that minute when the limit
// becomes ten a second.
func TestRaised(t *testing.T) {
	c := newClock()
	l := New(c.now)
	d := of(map[string]string{TargetName: "t"})
	slow, fast := entryOf(2, TargetName, "*"), entryOf(10, TargetName, "*")
	slow.Requests = rates(2, "minute")
	before := Compile("g", []agentcorecontrol.GatewayRateLimitDetail{limitOf("l", []string{TargetName}, slow)})
	after := Compile("g", []agentcorecontrol.GatewayRateLimitDetail{limitOf("l", []string{TargetName}, fast)})
	for i, want := range []bool{true, true, false} {
		if got, _ := l.Decide(before, d); got.Allowed != want {
			t.Errorf("call %d: %+v", i, got)
		}
	}
	if got, _ := l.Decide(after, d); got.Allowed || got.RetryAfter != time.Second/10 {
		t.Errorf("a raise gave a fresh allowance, or none: %+v", got)
	}
	c.at = c.at.Add(time.Second / 10)
	if got, _ := l.Decide(after, d); !got.Allowed {
		t.Errorf("still held to what the limit was: %+v", got)
	}
}

// TestLongValues keeps no more of a value than entries can ask for.
func TestLongValues(t *testing.T) {
	l := New(newClock().now)
	s := Compile("g", []agentcorecontrol.GatewayRateLimitDetail{limitOf("l", []string{ModelID}, entryOf(1, ModelID, "m*"))})
	long := "m" + strings.Repeat("x", 1<<20)
	if d, _ := l.Decide(s, of(map[string]string{ModelID: long})); !d.Allowed || d.Evaluated != 1 {
		t.Errorf("first: %+v", d)
	}
	if d, _ := l.Decide(s, of(map[string]string{ModelID: long})); d.Allowed || len(d.LimitKey) > 2*maxValue {
		t.Errorf("second: %v, named by %d bytes", d.Allowed, len(d.LimitKey))
	}
	if d, _ := l.Decide(s, of(map[string]string{ModelID: long + "y"})); !d.Allowed {
		t.Errorf("another: %+v", d)
	}
	for i := range l.shards {
		for key := range l.shards[i].counters {
			if len(key) > 2*maxValue {
				t.Errorf("a counter's name has %d bytes", len(key))
			}
		}
	}
}

// TestBounded floods the limiter with callers.
func TestBounded(t *testing.T) {
	c := newClock()
	l := New(c.now)
	s := Compile("g", []agentcorecontrol.GatewayRateLimitDetail{limitOf("l", []string{TargetName}, entryOf(1, TargetName, "*"))})
	for i := range 100_000 {
		if _, p := l.Decide(s, of(map[string]string{TargetName: fmt.Sprint(i)})); p != nil {
			p.Release()
		}
	}
	if n := l.size(); n > shards*maxCounters {
		t.Errorf("%d counters", n)
	}
	c.at = c.at.Add(time.Hour)
	for i := range 10_000 {
		l.Decide(s, of(map[string]string{TargetName: fmt.Sprint("later", i)}))
	}
	if n := l.size(); n > 20_000 {
		t.Errorf("%d counters after all were idle", n)
	}
}

// naive is the same in the slowest way: exact fractions, every entry tried.
type naive struct {
	limits []agentcorecontrol.GatewayRateLimitDetail
	level  map[string]*big.Rat
	last   map[string]time.Time
}

func (n *naive) entry(l *agentcorecontrol.GatewayRateLimitDetail, call map[string]string) *agentcorecontrol.LimitEntry {
	for open := 0; open <= len(l.DimensionKeys); open++ {
		for i := range l.Entries {
			ok := true
			for k, key := range l.DimensionKeys {
				want := call[key]
				if k >= len(l.DimensionKeys)-open {
					want = "*"
				}
				ok = ok && l.Entries[i].Dimensions[key] == want
			}
			if ok {
				return &l.Entries[i]
			}
		}
	}
	return nil
}

func (n *naive) decide(now time.Time, call map[string]string) bool {
	var take []*big.Rat
	for i := range n.limits {
		l := &n.limits[i]
		e := n.entry(l, call)
		if e == nil {
			continue
		}
		key := *l.RateLimitId
		for _, k := range l.DimensionKeys {
			key += "|" + call[k]
		}
		rate := new(big.Rat).SetFloat64(*e.Requests[0].Rate)
		if n.level[key] == nil {
			n.level[key], n.last[key] = new(big.Rat).Set(rate), now
		}
		back := new(big.Rat).Mul(rate, big.NewRat(int64(now.Sub(n.last[key])), int64(time.Second)))
		n.level[key].Add(n.level[key], back)
		if n.level[key].Cmp(rate) > 0 {
			n.level[key].Set(rate)
		}
		n.last[key] = now
		if n.level[key].Cmp(big.NewRat(1, 1)) < 0 {
			return false
		}
		take = append(take, n.level[key])
	}
	for _, level := range take {
		level.Sub(level, big.NewRat(1, 1))
	}
	return true
}

// TestAsNaive compares a run of calls at random with the naive way.
func TestAsNaive(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		value := func() string { return string(rune('a' + r.IntN(3))) }
		var limits []agentcorecontrol.GatewayRateLimitDetail
		for i := range 1 + r.IntN(3) {
			keys := []string{TargetName, "$.context.jwt.sub", "$.context.jwt.team"}[:1+r.IntN(3)]
			seen := map[string]bool{}
			var entries []agentcorecontrol.LimitEntry
			for range 1 + r.IntN(5) {
				open := r.IntN(len(keys) + 1)
				e := entryOf([]float64{1, 2, 4, 5, 8}[r.IntN(5)])
				name := ""
				for k, key := range keys {
					v := value()
					if k >= len(keys)-open {
						v = "*"
					}
					e.Dimensions[key] = v
					name += v
				}
				if !seen[name] {
					seen[name] = true
					entries = append(entries, e)
				}
			}
			limits = append(limits, limitOf(fmt.Sprint("l", i), keys, entries...))
		}
		c := newClock()
		l, n := New(c.now), &naive{limits: limits, level: map[string]*big.Rat{}, last: map[string]time.Time{}}
		s := Compile("g", limits)
		for step := range 400 {
			c.at = c.at.Add(time.Duration(r.IntN(6)) * 25 * time.Millisecond)
			call := map[string]string{TargetName: value(), "$.context.jwt.sub": value(), "$.context.jwt.team": value()}
			want := n.decide(c.at, call)
			if got, _ := l.Decide(s, of(call)); got.Allowed != want {
				t.Fatalf("seed %d, step %d, %v: %+v, the naive way says %v", seed, step, call, got, want)
			}
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 50} {
		var limits []agentcorecontrol.GatewayRateLimitDetail
		for i := range n {
			var entries []agentcorecontrol.LimitEntry
			for j := range 1000 {
				entries = append(entries, entryOf(1e7, TargetName, fmt.Sprint("t", j), "$.context.jwt.sub", "*"))
			}
			limits = append(limits, limitOf(fmt.Sprint("limit-", i), []string{TargetName, "$.context.jwt.sub"}, entries...))
		}
		s, l := Compile("g-0123456789", limits), New(time.Now)
		who := func(key string) (string, bool) {
			switch {
			case key == TargetName:
				return "t500", true
			case strings.HasPrefix(key, "$"):
				return "somebody", true
			}
			return "", false
		}
		b.Run(fmt.Sprintf("limits=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, p := l.Decide(s, who)
					p.Release()
				}
			})
		})
	}
}
