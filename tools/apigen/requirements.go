package main

import (
	"fmt"
	"regexp"
	"strings"
)

// requirements lists what a caller of op must be allowed: from the overlay, or
// else from the published action tables, or else inferred (the operation's own
// name on the ARN its input points at).
func (g *generator) requirements(op string) ([]requirement, error) {
	if lines, ok := g.overlay.Requires[op]; ok {
		return parseRequirements(op, lines)
	}
	action := g.overlay.signingName() + ":" + op
	templates, documented := g.actions[op]
	var out []requirement
	for _, t := range templates {
		if strings.Contains(t, ":aws:") {
			continue // AWS's own resource; the account's stands beside it
		}
		r, exact := g.resource(op, t)
		out = append(out, requirement{action: action, resource: r, inferred: !documented || !exact})
	}
	if len(out) == 0 {
		out = []requirement{{action: action, resource: "*", inferred: !documented}}
		if !documented {
			out[0].resource = g.pathResource(op)
		}
	}
	return out, nil
}

// pathResource infers the resource of an undocumented action from the first
// label in the operation's path: /datasets/{datasetId} is dataset/{datasetId}.
func (g *generator) pathResource(op string) string {
	m := firstLabel.FindStringSubmatch(g.model.Operations[op].HTTP.RequestURI)
	if m == nil {
		return "*"
	}
	label := m[1]
	if strings.HasSuffix(label, "Arn") {
		return "{" + label + "}"
	}
	kind := label
	for _, tail := range []string{"Identifier", "Name", "Id"} {
		kind = strings.TrimSuffix(kind, tail)
	}
	kind = strings.ToLower(camel.ReplaceAllString(kind, "$1-$2"))
	return "arn:aws:" + g.overlay.signingName() + ":{region}:{account}:" + kind + "/{" + label + "}"
}

var (
	firstLabel = regexp.MustCompile(`\{(\w+)\+?\}`)
	camel      = regexp.MustCompile(`([a-z0-9])([A-Z])`)
)

// nothingBecause starts the line of an operation whose handler asks for everything.
const nothingBecause = "none: "

func parseRequirements(op string, lines []string) ([]requirement, error) {
	var out []requirement
	for _, l := range lines {
		if l == "none" || strings.HasPrefix(l, nothingBecause) {
			return nil, nil
		}
		f := strings.Fields(l)
		if len(f) < 2 {
			return nil, fmt.Errorf("requirement of %s: %q is not \"action resource [?member ...]\"", op, l)
		}
		r := requirement{action: f[0], resource: f[1]}
		for _, condition := range f[2:] {
			member, ok := strings.CutPrefix(condition, "?")
			if !ok {
				return nil, fmt.Errorf("requirement of %s: %q is not \"action resource [?member ...]\"", op, l)
			}
			r.when = append(r.when, member)
		}
		out = append(out, r)
	}
	return out, nil
}

var variable = regexp.MustCompile(`\$\{(\w+)\}`)

// resource fills an ARN template of the action tables with the input's
// members. It reports whether every variable found its member.
func (g *generator) resource(op, template string) (string, bool) {
	exact := true
	out := variable.ReplaceAllStringFunc(template, func(v string) string {
		name := v[2 : len(v)-1]
		switch name {
		case "Partition":
			return "aws"
		case "Region":
			return "{region}"
		case "Account":
			return "{account}"
		case "DirectoryId", "TokenVaultId":
			return "default" // there is one per account
		}
		if m := g.member(op, name); m != "" {
			return "{" + m + "}"
		}
		exact = false
		return "*"
	})
	return out, exact
}

// member finds the input member that holds an ARN variable: the same name
// without the Id, Arn, Name or Identifier at its end.
func (g *generator) member(op, variable string) string {
	in := g.model.Operations[op].Input
	if in == nil {
		return ""
	}
	want := stem(variable)
	members := g.model.Shapes[in.Shape].Members.Names
	for _, m := range members {
		if strings.EqualFold(m, variable) {
			return m
		}
	}
	for _, m := range members {
		if s := stem(m); want != "" && (s == want || strings.HasSuffix(s, want)) && s != strings.ToLower(m) {
			return m
		}
	}
	if want == "" {
		for _, m := range members {
			if m == "name" {
				return m
			}
		}
	}
	return ""
}

func stem(name string) string {
	for _, tail := range []string{"Identifier", "Name", "Arn", "ARN", "Id"} {
		if s, ok := strings.CutSuffix(name, tail); ok {
			return strings.ToLower(s)
		}
	}
	return strings.ToLower(name)
}
