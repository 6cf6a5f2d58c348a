package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/store"
)

// checkRule holds the rules of spec/gateway.md 11 that the model cannot express and that
// hang on the rule alone.
func checkRule(in *agentcorecontrol.UpdateGatewayRuleRequest) error {
	if err := checkConditions(in.Conditions); err != nil {
		return err
	}
	if len(in.Actions) == 0 {
		return fault.Invalid("actions", "actions must have at least one entry")
	}
	routes := 0
	for i, a := range in.Actions {
		at := fmt.Sprintf("actions.%d.member", i+1)
		if a.RouteToTarget == nil {
			return fault.Invalid(at, "%s must have routeToTarget", at)
		}
		if routes++; routes > 1 {
			return fault.Invalid(at, "%s: a rule may have one routeToTarget", at)
		}
		if err := checkRoute(a.RouteToTarget, at+".routeToTarget"); err != nil {
			return err
		}
	}
	return nil
}

func checkConditions(list []agentcorecontrol.Condition) error {
	seen := map[string]bool{}
	for i, c := range list {
		at := fmt.Sprintf("conditions.%d.member", i+1)
		kind := first(map[string]bool{"matchPrincipals": c.MatchPrincipals != nil, "matchPaths": c.MatchPaths != nil, "matchModels": c.MatchModels != nil})
		switch {
		case kind == "":
			return fault.Invalid(at, "%s must have one of matchPrincipals, matchPaths and matchModels", at)
		case seen[kind]:
			return fault.Invalid(at, "%s: %s is there already; a rule may have one condition of each kind, with several values in anyOf", at, kind)
		}
		seen[kind] = true
		if c.MatchPaths == nil {
			continue
		}
		for _, path := range c.MatchPaths.AnyOf {
			if name := pathTarget(path); reserved(name) {
				return fault.Invalid(at+".matchPaths", "%s.matchPaths: '%s' is a path of the gateway's own; rules are about /TARGET/*", at, path)
			}
		}
	}
	return nil
}

// pathTarget is the name of the target in /NAME/*.
func pathTarget(path string) string { return strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/*") }

// reserved reports whether a path's first part is the gateway's own (spec/gateway.md 11).
func reserved(name string) bool {
	return slices.Contains([]string{"mcp", "a2a", "responses", "converse", ".well-known", "inference"}, strings.ToLower(name))
}

func checkRoute(r *agentcorecontrol.RouteToTargetAction, at string) error {
	switch {
	case r.StaticRoute != nil:
		return checkFallback(*r.StaticRoute.TargetName, wire.Text(r.StaticRoute.Model), r.StaticRoute.Fallback, at+".staticRoute")
	case r.WeightedRoute == nil:
		return fault.Invalid(at, "%s must have staticRoute or weightedRoute", at)
	}
	at += ".weightedRoute.trafficSplit"
	sum := int32(0)
	names := map[string]bool{}
	for i, e := range r.WeightedRoute.TrafficSplit {
		one := fmt.Sprintf("%s.%d.member", at, i+1)
		if names[*e.Name] {
			return fault.Invalid(one+".name", "%s.name: '%s' is the name of the entry before it", one, *e.Name)
		}
		names[*e.Name] = true
		sum += *e.Weight
		if err := checkFallback(*e.TargetName, wire.Text(e.Model), e.Fallback, one); err != nil {
			return err
		}
	}
	if sum != 100 {
		return fault.Invalid(at, "%s: the weights sum to %d; they must sum to 100", at, sum)
	}
	return nil
}

// checkFallback wants each target and model once in a chain.
func checkFallback(name, model string, f *agentcorecontrol.Fallback, at string) error {
	if f == nil {
		return nil
	}
	type hop struct{ target, model string }
	chain := []hop{{name, model}}
	for i, t := range f.TargetFallback {
		h := hop{*t.TargetName, wire.Text(t.Model)}
		if slices.Contains(chain, h) {
			one := fmt.Sprintf("%s.fallback.targetFallback.%d.member", at, i+1)
			return fault.Invalid(one, "%s: target '%s' with the same model is in the chain before it", one, h.target)
		}
		chain = append(chain, h)
	}
	return nil
}

// checkRoutes refuses targets that are not there, or that rules cannot lead to.
func (s *Service) checkRoutes(r store.Reader, scope store.Scope, gateway string, in *agentcorecontrol.UpdateGatewayRuleRequest) error {
	for _, u := range usedBy(in) {
		t, err := s.docs.targets.ByName(r, scope, gateway, u.name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return fault.Invalid(u.field, "%s: there is no target named '%s' in gateway '%s'", u.field, u.name, gateway)
		case err != nil:
			return err
		case kindNamed(t.State.Kind).protocol != protocolHTTP:
			return fault.Invalid(u.field, "%s: target '%s' is of the kind %s; rules lead to targets of the kinds http and inference", u.field, u.name, kindNamed(t.State.Kind).member)
		case t.State.Served == 0:
			return fault.Invalid(u.field, "%s: target '%s' is %s and was never READY", u.field, u.name, t.State.Status)
		}
	}
	return nil
}

// used is a target that a rule names, and the model that it asks there, if it says one.
type used struct{ field, name, model string }

func usedBy(in *agentcorecontrol.UpdateGatewayRuleRequest) []used {
	var out []used
	for _, c := range in.Conditions {
		if c.MatchPaths != nil {
			for _, p := range c.MatchPaths.AnyOf {
				out = append(out, used{"conditions", pathTarget(p), ""})
			}
		}
	}
	return append(out, leadsTo(in.Actions)...)
}

// leadsTo are the targets that a rule's actions name.
func leadsTo(actions []agentcorecontrol.Action) (out []used) {
	add := func(name, model *string, f *agentcorecontrol.Fallback) {
		out = append(out, used{"actions", *name, wire.Text(model)})
		if f != nil {
			for _, t := range f.TargetFallback {
				out = append(out, used{"actions", *t.TargetName, wire.Text(t.Model)})
			}
		}
	}
	for _, a := range actions {
		switch r := a.RouteToTarget; {
		case r == nil:
		case r.StaticRoute != nil:
			add(r.StaticRoute.TargetName, r.StaticRoute.Model, r.StaticRoute.Fallback)
		case r.WeightedRoute != nil:
			for _, e := range r.WeightedRoute.TrafficSplit {
				add(e.TargetName, e.Model, e.Fallback)
			}
		}
	}
	return out
}

// ruleWarnings are those about where a gateway's rules lead: targets come and go, and are
// renamed, without them.
func (s *Service) ruleWarnings(ctx context.Context, scope store.Scope, gateway string) (warnings []string) {
	some := false
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		for _, err := range s.docs.rules.Each(r, scope, gateway) {
			some = true
			return err
		}
		return nil
	})
	if err != nil || !some {
		return nil
	}
	v, err := s.View(ctx, gateway)
	if err != nil {
		return nil
	}
	for _, rule := range v.Rules {
		for _, u := range leadsTo(rule.Actions) {
			warning := ""
			i := slices.IndexFunc(v.Targets, func(t *Target) bool { return t.Name == u.name })
			if i < 0 {
				warning = lost(&rule, u.name, "which is not there or does not serve", "there is such a target")
			} else if m, ok := v.Targets[i].Server.(target.Modeled); ok && u.model != "" && !m.Serves(u.model) {
				warning = lost(&rule, u.name, "which does not list the model '"+fault.Clip(u.model, 100)+"' that the rule asks there", "it does")
			}
			if warning != "" && !slices.Contains(warnings, warning) {
				warnings = append(warnings, warning)
			}
		}
	}
	return warnings
}

// lost is a warning of a rule that leads nowhere.
func lost(rule *Rule, name, why, until string) string {
	return fmt.Sprintf("Rule %s, of priority %d, leads to target '%s', %s. What it leads there fails, or goes on to its fallback, until %s or the rule is changed (aws bedrock-agentcore-control update-gateway-rule) or deleted.",
		*rule.RuleId, *rule.Priority, name, why, until)
}

// losing are warnings of the rules that lead to a target that goes.
func (s *Service) losing(r store.Reader, scope store.Scope, gateway, name string) (warnings []string, err error) {
	for doc, err := range s.docs.rules.Each(r, scope, gateway) {
		if err != nil {
			return nil, err
		}
		rule, err := s.ruleOut(doc)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(leadsTo(rule.Actions), func(u used) bool { return u.name == name }) {
			warnings = append(warnings, lost(rule, name, "which is deleted", "there is such a target"))
		}
	}
	return warnings, nil
}
