package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Guard tells the set which parameters callers choose, and holds that they choose no host:
// in every URL, what comes of such a parameter has a domain of two labels or more behind
// it that does not. It is called before the set is used. When it is used, what callers say
// does not end the host either.
//
// Its error names the URL and the parameters.
func (s *Set) Guard(params []string) error {
	chosen := map[string]bool{}
	for _, p := range params {
		chosen[p] = true
	}
	if len(chosen) == 0 {
		return nil
	}
	all := s.rules
	var conditions []condition
	if s.diagram != nil {
		all, conditions = s.diagram.results, s.diagram.conditions
	}
	gather(all, &conditions)
	// What is assigned before what it is made of needs another round.
	for before := -1; before != len(chosen); {
		before = len(chosen)
		for i := range conditions {
			if c := &conditions[i]; c.assign != "" && isOf(c.call, chosen) {
				chosen[c.assign] = true
			}
		}
	}
	return guard(all, chosen)
}

// gather adds the conditions of rules.
func gather(list []rule, to *[]condition) {
	for i := range list {
		*to = append(*to, list[i].conditions...)
		gather(list[i].rules, to)
	}
}

func guard(list []rule, chosen map[string]bool) error {
	for i := range list {
		if e := list[i].endpoint; e != nil {
			if err := guardURL(e.url, chosen); err != nil {
				return err
			}
		}
		if err := guard(list[i].rules, chosen); err != nil {
			return err
		}
	}
	return nil
}

// isOf says whether the value of an expression is made of what is chosen. Those of
// aws.partition are from a table, and a bool is no text.
func isOf(e expr, chosen map[string]bool) bool {
	switch e := e.(type) {
	case ref:
		return chosen[string(e)]
	case template:
		return slices.ContainsFunc(e, func(p part) bool { return p.isValue && chosen[p.name] })
	case listExpr:
		return slices.ContainsFunc(e, func(e expr) bool { return isOf(e, chosen) })
	case objectExpr:
		for _, v := range e {
			if isOf(v, chosen) {
				return true
			}
		}
	case call:
		switch e.name {
		case "aws.partition", "isSet", "not", "stringEquals", "booleanEquals", "isValidHostLabel", "aws.isVirtualHostableS3Bucket":
			return false
		}
		return isOf(e.args, chosen)
	}
	return false
}

// guardURL looks at the host of a URL: from behind the scheme to the first slash.
func guardURL(url expr, chosen map[string]bool) error {
	if !isOf(url, chosen) {
		return nil
	}
	t, ok := url.(template)
	if !ok {
		return fmt.Errorf("callers choose the whole URL (%s); write it as a text with a host of its own", listed(chosen))
	}
	inHost, ends, tail := false, false, ".x.x" // tail is what is behind the last value that is chosen
	for i := 0; i < len(t) && !ends; i++ {
		p, text := &t[i], t[i].text
		switch {
		case p.isValue && chosen[p.name] && !inHost:
			return t.refuse(chosen)
		case p.isValue && chosen[p.name]:
			p.guarded, tail = true, ""
			continue
		case p.isValue && p.path == "normalizedPath": // of parseURL: begins with a slash
			text = "/"
		case p.isValue:
			text = known
		}
		if !inHost {
			_, text, inHost = strings.Cut(text, "://")
		}
		if inHost {
			text, _, ends = strings.Cut(text, "/")
			tail += text
		}
	}
	labels := strings.FieldsFunc(tail, func(r rune) bool { return r == '.' })
	if strings.HasPrefix(tail, ".") && (len(labels) >= 2 || strings.Contains(tail, known)) {
		return nil
	}
	return t.refuse(chosen)
}

// known stands for a value that is the rules' or the operator's: a domain.
const known = "\x00"

func (t template) refuse(chosen map[string]bool) error {
	var b strings.Builder
	for _, p := range t {
		switch {
		case !p.isValue:
			b.WriteString(p.text)
		case p.path != "":
			fmt.Fprintf(&b, "{%s#%s}", p.name, p.path)
		default:
			fmt.Fprintf(&b, "{%s}", p.name)
		}
	}
	return fmt.Errorf("callers choose the host of %s (%s); end it in a domain of its own, such as {Name}.example.com", b.String(), listed(chosen))
}

func listed(chosen map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(chosen)), ", ")
}

// endsHost says whether a text in a host would end it.
func endsHost(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/?#@\:%`, r) })
}
