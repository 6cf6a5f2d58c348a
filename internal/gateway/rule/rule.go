// Package rule is the rules of a gateway: which target and model a request goes to, what
// is tried when that fails, and which configuration bundle goes with it (spec/gateway.md
// 11). It decides; who sends requests is package route.
package rule

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
)

// Request is what rules look at.
type Request struct {
	// Principal is the ARN of a caller who signed, or empty.
	Principal string
	// Target is the name of the target that the path names, or empty.
	Target string
	// Model is what an inference request asks for, or empty.
	Model string
	// Session is what choices by weight stick to, or empty.
	Session string
	// Sticks is for how long they do since they were last asked for; zero is 15 days.
	Sticks time.Duration
}

// Choice is what the rules say of a request. Both members are nil where no rule does.
type Choice struct {
	Route  *Route
	Bundle *Bundle
}

// Route is where a request goes.
type Route struct {
	Rule string
	// Split is the name of the part of the traffic that the request belongs to; empty for
	// a route that all take.
	Split string
	// Hops are tried one after another, the first always.
	Hops []Hop
	// Breaker is set where a target that fails is left out for a while.
	Breaker bool
}

// Hop is one target of a route.
type Hop struct {
	Target string
	// Model takes the place of the model that was asked for, unless it is empty.
	Model string
	// FirstByte is how long to wait for the head of the answer; zero is no limit.
	FirstByte time.Duration
	// Triggers say what makes the next hop's turn.
	Triggers Triggers
}

// Triggers are the failures that lead to a fallback target.
type Triggers struct {
	statuses  map[int]bool
	classes   [2]bool // 4XX, 5XX
	errors    map[string]bool
	specified bool
}

// Status reports whether an answer's status is a trigger.
func (t Triggers) Status(code int) bool {
	if !t.specified {
		return code >= 500
	}
	return t.statuses[code] || code/100 == 4 && t.classes[0] || code/100 == 5 && t.classes[1]
}

// Error reports whether a failure is a trigger, one of agentcorecontrol.FallbackError's.
func (t Triggers) Error(kind string) bool { return !t.specified || t.errors[kind] }

// Bundle is a configuration bundle and its version.
type Bundle struct {
	Rule, Split  string
	ARN, Version string
}

// The members of baggage by which runtimes learn of a bundle.
const (
	bundleARN     = "aws.agentcore.configbundle_arn"
	bundleVersion = "aws.agentcore.configbundle_version"
)

// Baggage adds the bundle to the members of a request's baggage (W3C Baggage), in the
// place of those that a caller may have sent.
func (b *Bundle) Baggage(sent string) string {
	var out []string
	for _, member := range strings.Split(sent, ",") {
		key, _, _ := strings.Cut(member, "=")
		if key = strings.TrimSpace(key); key != "" && key != bundleARN && key != bundleVersion {
			out = append(out, strings.TrimSpace(member))
		}
	}
	return strings.Join(append(out, bundleARN+"="+url.PathEscape(b.ARN), bundleVersion+"="+url.PathEscape(b.Version)), ",")
}

// Rules are the compiled rules of one gateway. Nobody writes to them.
type Rules struct {
	gateway string
	rules   []rule
}

type rule struct {
	id         string
	principals []principal
	targets    []string
	models     []string // patterns
	bundles    []part[Bundle]
	routes     []part[Route]
}

// part is one part of the traffic. Of a rule without weights there is one.
type part[T any] struct {
	name   string
	weight int
	value  *T
}

// Compile reads the rules of a gateway. Those that are being deleted no longer count.
func Compile(gateway string, rules []agentcorecontrol.GatewayRuleDetail) *Rules {
	out := &Rules{gateway: gateway}
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b agentcorecontrol.GatewayRuleDetail) int {
		return cmp.Compare(number(a.Priority), number(b.Priority))
	})
	for i := range rules {
		d := &rules[i]
		if wire.Text(d.Status) == agentcorecontrol.GatewayRuleStatusDELETING {
			continue
		}
		r := rule{id: wire.Text(d.RuleId)}
		for j := range d.Conditions {
			r.condition(&d.Conditions[j])
		}
		for j := range d.Actions {
			r.action(&d.Actions[j])
		}
		out.rules = append(out.rules, r)
	}
	return out
}

func number(n *int32) int {
	if n == nil {
		return 0
	}
	return int(*n)
}

func (r *rule) condition(c *agentcorecontrol.Condition) {
	if c.MatchPrincipals != nil {
		for _, p := range c.MatchPrincipals.AnyOf {
			if p.IamPrincipal != nil {
				r.principals = append(r.principals, principalOf(p.IamPrincipal))
			}
		}
	}
	if c.MatchPaths != nil {
		for _, p := range c.MatchPaths.AnyOf {
			r.targets = append(r.targets, strings.TrimSuffix(strings.TrimPrefix(p, "/"), "/*"))
		}
	}
	if c.MatchModels != nil {
		for _, m := range c.MatchModels.AnyOf {
			p := wire.Text(m.Value)
			if wire.Text(m.Operator) == agentcorecontrol.MatchOperatorStringEquals {
				p = quote(p)
			}
			r.models = append(r.models, p)
		}
	}
}

func (r *rule) action(a *agentcorecontrol.Action) {
	if b := a.ConfigurationBundle; b != nil {
		switch {
		case b.StaticOverride != nil:
			r.bundles = []part[Bundle]{{weight: 1, value: &Bundle{Rule: r.id, ARN: wire.Text(b.StaticOverride.BundleArn), Version: wire.Text(b.StaticOverride.BundleVersion)}}}
		case b.WeightedOverride != nil:
			for _, s := range b.WeightedOverride.TrafficSplit {
				if s.ConfigurationBundle != nil {
					r.bundles = append(r.bundles, part[Bundle]{wire.Text(s.Name), number(s.Weight), &Bundle{
						Rule: r.id, Split: wire.Text(s.Name), ARN: wire.Text(s.ConfigurationBundle.BundleArn), Version: wire.Text(s.ConfigurationBundle.BundleVersion)}})
				}
			}
		}
	}
	if t := a.RouteToTarget; t != nil {
		switch {
		case t.StaticRoute != nil:
			r.routes = []part[Route]{{weight: 1, value: r.route("", t.StaticRoute.TargetName, t.StaticRoute.Model, t.StaticRoute.Fallback)}}
		case t.WeightedRoute != nil:
			for _, s := range t.WeightedRoute.TrafficSplit {
				r.routes = append(r.routes, part[Route]{wire.Text(s.Name), number(s.Weight), r.route(wire.Text(s.Name), s.TargetName, s.Model, s.Fallback)})
			}
		}
	}
}

// route is a chain. Each hop has triggers and a timeout of its own: those of the first
// are not inherited.
func (r *rule) route(split string, target, model *string, f *agentcorecontrol.Fallback) *Route {
	out := &Route{Rule: r.id, Split: split, Hops: []Hop{{Target: wire.Text(target), Model: wire.Text(model)}}}
	if f == nil {
		return out
	}
	out.Breaker = f.CircuitBreaker == nil || wire.Text(f.CircuitBreaker.Mode) != agentcorecontrol.CircuitBreakerModeDISABLED
	out.Hops[0].FirstByte, out.Hops[0].Triggers = milliseconds(f.FirstByteTimeoutMilliseconds), triggers(f.TriggerOn)
	for _, t := range f.TargetFallback {
		out.Hops = append(out.Hops, Hop{
			Target: wire.Text(t.TargetName), Model: wire.Text(t.Model),
			FirstByte: milliseconds(t.FirstByteTimeoutMilliseconds), Triggers: triggers(t.TriggerOn),
		})
	}
	return out
}

func milliseconds(n *int32) time.Duration { return time.Duration(number(n)) * time.Millisecond }

func triggers(in *agentcorecontrol.FallbackTriggers) Triggers {
	if in == nil {
		return Triggers{}
	}
	t := Triggers{specified: true, statuses: map[int]bool{}, errors: map[string]bool{}}
	for _, s := range in.StatusCodes {
		switch strings.ToUpper(s) {
		case "4XX":
			t.classes[0] = true
		case "5XX":
			t.classes[1] = true
		default:
			if n, err := strconv.Atoi(s); err == nil {
				t.statuses[n] = true
			}
		}
	}
	for _, e := range in.Errors {
		t.errors[e] = true
	}
	return t
}

// Choose returns what the first rule that matches says, for each kind of action on its
// own. Choices by weight stick to the request's session; without one they are anew.
func (r *Rules) Choose(q Request, m *Memory) Choice {
	var c Choice
	if r == nil {
		return c
	}
	for i := range r.rules {
		one := &r.rules[i]
		if c.Route != nil && c.Bundle != nil {
			break
		}
		if !one.matches(q) {
			continue
		}
		if c.Route == nil && len(one.routes) > 0 {
			c.Route = pick(m, r.gateway, one.id, "route", q, one.routes)
		}
		if c.Bundle == nil && len(one.bundles) > 0 {
			c.Bundle = pick(m, r.gateway, one.id, "bundle", q, one.bundles)
		}
	}
	return c
}

// matches holds all kinds of conditions against a request; of each kind one value is enough.
func (r *rule) matches(q Request) bool {
	if len(r.principals) > 0 && !slices.ContainsFunc(r.principals, func(p principal) bool { return p.matches(q.Principal) }) {
		return false
	}
	if len(r.targets) > 0 && !slices.Contains(r.targets, q.Target) {
		return false
	}
	return len(r.models) == 0 || q.Model != "" && slices.ContainsFunc(r.models, func(p string) bool { return like(p, q.Model) })
}

// pick chooses a part of the traffic by its weight.
func pick[T any](m *Memory, gateway, rule, kind string, q Request, parts []part[T]) *T {
	if len(parts) == 1 {
		return parts[0].value
	}
	names := make([]string, len(parts))
	weights := make([]int, len(parts))
	for i, p := range parts {
		names[i], weights[i] = p.name, p.weight
	}
	key := ""
	if q.Session != "" {
		key = strings.Join([]string{gateway, rule, kind, q.Session}, "\x00")
	}
	return parts[m.choose(key, q.Sticks, names, weights)].value
}
