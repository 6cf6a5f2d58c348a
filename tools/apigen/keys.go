package main

import (
	"fmt"
	"strings"
)

// conditionKey is a condition key that an operation's input fills
// (schema.ConditionKey).
type conditionKey struct{ name, member, set, unset string }

// conditionKeys reads the overlay's keys of an operation and finds their members.
func (g *generator) conditionKeys(op string) ([]conditionKey, error) {
	var out []conditionKey
	for _, line := range g.overlay.Keys[op] {
		f := strings.Fields(line)
		if len(f) < 2 || len(f) > 3 {
			return nil, fmt.Errorf("condition key of %s: %q is not \"key member [set:unset]\"", op, line)
		}
		k := conditionKey{name: f[0]}
		if value, constant := strings.CutPrefix(f[1], "="); constant {
			k.set = value
		} else {
			k.member = f[1]
			if !g.typed(op) || g.model.Operations[op].Input == nil || !g.hasMember(g.model.Operations[op].Input.Shape, strings.Split(k.member, ".")) {
				return nil, fmt.Errorf("condition key of %s: there is no member %s", op, k.member)
			}
		}
		if len(f) == 3 {
			k.set, k.unset, _ = strings.Cut(f[2], ":")
		}
		out = append(out, k)
	}
	return out, nil
}

// hasMember reports whether a path leads to a member.
func (g *generator) hasMember(shape string, path []string) bool {
	s := g.model.Shapes[shape]
	ref := s.Members.Refs[path[0]]
	return ref != nil && (len(path) == 1 || g.hasMember(ref.Shape, path[1:]))
}

func (k conditionKey) row() string {
	f := []string{fmt.Sprintf("Name: %q", strings.ToLower(k.name))}
	for _, v := range [][2]string{{"Member", k.member}, {"Set", k.set}, {"Unset", k.unset}} {
		if v[1] != "" {
			f = append(f, fmt.Sprintf("%s: %q", v[0], v[1]))
		}
	}
	return "{" + strings.Join(f, ", ") + "}"
}

// keyNames lists keys for the ledger.
func keyNames(keys []conditionKey) string {
	var out []string
	for _, k := range keys {
		name := k.name
		if strings.HasSuffix(name, "/") {
			name += "KEY"
		}
		out = append(out, "`"+name+"`")
	}
	return strings.Join(out, ", ")
}
