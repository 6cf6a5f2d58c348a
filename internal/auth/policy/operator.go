package policy

import (
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
)

// family is what the operators that differ by their comparison alone share.
type family uint8

const (
	familyString family = iota
	familyNumeric
	familyDate
	familyBool
	familyBinary
	familyIP
	familyARN
	familyNull
)

// operator is a condition operator without its set qualifier and IfExists.
type operator struct {
	family family
	// negated operators are true exactly when their counterpart is not
	// ("multi-value", negated matching: NOR of the values).
	negated bool
	// fold and wildcards are for strings.
	fold, wildcards bool
	// order is for numbers and dates: which results of comparing the request's
	// value with the policy's are a match.
	order order
}

// order is a set of the results of a comparison.
type order uint8

const (
	less order = 1 << iota
	equal
	greater
)

func (o order) has(cmp int) bool { return o&(1<<(cmp+1)) != 0 }

// operatorNamed knows every operator of the page "operators", by its lower-case
// name.
func operatorNamed(name string) (operator, bool) {
	if rest, ok := strings.CutPrefix(name, "numeric"); ok {
		return ordered(familyNumeric, rest)
	}
	if rest, ok := strings.CutPrefix(name, "date"); ok {
		return ordered(familyDate, rest)
	}
	switch name {
	case "stringequals":
		return operator{}, true
	case "stringnotequals":
		return operator{negated: true}, true
	case "stringequalsignorecase":
		return operator{fold: true}, true
	case "stringnotequalsignorecase":
		return operator{fold: true, negated: true}, true
	case "stringlike":
		return operator{wildcards: true}, true
	case "stringnotlike":
		return operator{wildcards: true, negated: true}, true
	case "bool":
		return operator{family: familyBool}, true
	case "binaryequals":
		return operator{family: familyBinary}, true
	case "ipaddress":
		return operator{family: familyIP}, true
	case "notipaddress":
		return operator{family: familyIP, negated: true}, true
	case "arnequals", "arnlike": // they behave alike
		return operator{family: familyARN, wildcards: true}, true
	case "arnnotequals", "arnnotlike":
		return operator{family: familyARN, wildcards: true, negated: true}, true
	case "null":
		return operator{family: familyNull}, true
	}
	return operator{}, false
}

func ordered(f family, rest string) (operator, bool) {
	o := operator{family: f}
	switch rest {
	case "equals":
		o.order = equal
	case "notequals":
		o.order, o.negated = equal, true
	case "lessthan":
		o.order = less
	case "lessthanequals":
		o.order = less | equal
	case "greaterthan":
		o.order = greater
	case "greaterthanequals":
		o.order = greater | equal
	}
	return o, o.order != 0
}

// quantifier says how the several values of a key in the request count.
type quantifier uint8

const (
	single quantifier = iota // one value, or no match
	forAny
	forAll
)

// test is a condition's key and values, compiled for its operator.
type test struct {
	operator
	quantifier quantifier
	ifExists   bool
	key        string // lower case

	patterns []pattern // strings, ARNs and booleans
	arns     []arnPattern
	numbers  []number
	instants []instant
	prefixes []netip.Prefix
	binaries []string
	null     [2]bool // which of false and true Null is asked for
}

const badOperator = "invalid condition operator; the operators are StringEquals, StringLike, NumericEquals, DateLessThan, Bool, BinaryEquals, IpAddress, ArnLike and their like, " +
	"all of which may have ForAllValues: or ForAnyValue: before and IfExists after, and Null"

// newTest reads the name of an operator with its prefix and suffix. Case does
// not count.
func newTest(operator, key string) (test, bool) {
	t := test{key: strings.ToLower(key)}
	base := strings.ToLower(operator)
	if rest, ok := strings.CutPrefix(base, "forallvalues:"); ok {
		t.quantifier, base = forAll, rest
	} else if rest, ok := strings.CutPrefix(base, "foranyvalue:"); ok {
		t.quantifier, base = forAny, rest
	}
	base, t.ifExists = strings.CutSuffix(base, "ifexists")
	o, ok := operatorNamed(base)
	t.operator = o
	return t, ok && (o.family != familyNull || !t.ifExists && t.quantifier == single)
}

// add compiles one value. A value that could never match is refused: in a Deny
// it would guard nothing.
func (t *test) add(v string, variables bool) (wrong string) {
	switch t.family {
	case familyNumeric:
		n, ok := parseNumber(v)
		t.numbers = append(t.numbers, n)
		return unless(ok, v, "is not a number; write digits, with a point for decimals")
	case familyDate:
		i, ok := parseInstant(v)
		t.instants = append(t.instants, i)
		return unless(ok, v, "is not a date; write 2026-01-31T12:00:00Z, or seconds since 1970")
	case familyBinary:
		b, err := base64.StdEncoding.DecodeString(v)
		t.binaries = append(t.binaries, string(b))
		return unless(err == nil, v, "is not base 64")
	case familyIP:
		p, ok := parsePrefix(v)
		t.prefixes = append(t.prefixes, p)
		return unless(ok, v, "is not an IP address or range; write 203.0.113.0/24 or 2001:db8::/32")
	case familyNull:
		b, ok := parseBool(v)
		if ok {
			t.null[index(b)] = true
		}
		return unless(ok, v, "is neither true nor false")
	case familyARN:
		a, wrong := compileARN(v, variables)
		t.arns, t.patterns = append(t.arns, a), append(t.patterns, a.whole)
		return wrong
	}
	p, wrong := compilePattern(v, t.wildcards, variables)
	if wrong != "" {
		return wrong
	}
	t.patterns = append(t.patterns, p)
	if t.family == familyBool && !p.variable {
		_, ok := parseBool(v)
		return unless(ok, v, "is neither true nor false")
	}
	return ""
}

func unless(ok bool, value, wrong string) string {
	if ok {
		return ""
	}
	return `"` + value + `" ` + wrong
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// holds evaluates the condition ("operators", "multi-value").
func (t *test) holds(keys Keys) bool {
	values, _ := lookup(keys, t.key)
	if t.family == familyNull {
		return t.null[index(empty(values))]
	}
	if len(values) == 0 && t.ifExists {
		return true
	}
	switch t.quantifier {
	case forAll:
		return empty(values) || !slices.ContainsFunc(values, func(v string) bool { return t.any(v, keys) == t.negated })
	case forAny:
		return !empty(values) && slices.ContainsFunc(values, func(v string) bool { return t.any(v, keys) != t.negated })
	}
	switch len(values) {
	case 0:
		return t.negated
	case 1:
		return t.any(values[0], keys) != t.negated
	default:
		// A key with several values needs a set operator; without one the
		// condition is not met, negated or not ("multi-value").
		return false
	}
}

// empty reports a null data set: no value, or nothing but empty text
// ("multi-value": ForAllValues, ForAnyValue; Null).
func empty(values []string) bool {
	for _, v := range values {
		if v != "" {
			return false
		}
	}
	return true
}

// any reports whether one of the policy's values fits v. Negation is for the
// caller. A value with a variable that has none fits nothing, so that a negated
// operator is true of it ("variables", with no value).
func (t *test) any(v string, keys Keys) bool {
	switch t.family {
	case familyNumeric:
		n, ok := parseNumber(v)
		return ok && slices.ContainsFunc(t.numbers, func(p number) bool { return t.order.has(n.compare(p)) })
	case familyDate:
		i, ok := parseInstant(v)
		return ok && slices.ContainsFunc(t.instants, func(p instant) bool { return t.order.has(i.compare(p)) })
	case familyBinary: // the guide shows the request's value in base 64 too
		b, err := base64.StdEncoding.DecodeString(v)
		return err == nil && slices.Contains(t.binaries, string(b))
	case familyIP:
		a, err := netip.ParseAddr(v)
		a = a.Unmap().WithZone("")
		return err == nil && slices.ContainsFunc(t.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	case familyARN:
		return t.anyARN(v, keys)
	case familyBool:
		return t.anyBool(v, keys)
	}
	for i := range t.patterns {
		if t.fold && t.patterns[i].equalFold(v, keys) || !t.fold && t.patterns[i].matches(v, keys) {
			return true
		}
	}
	return false
}

func (t *test) anyBool(v string, keys Keys) bool {
	b, ok := parseBool(v)
	if !ok {
		return false
	}
	for i := range t.patterns {
		text, ok := t.patterns[i].text(keys)
		if p, isBool := parseBool(text); ok && isBool && p == b {
			return true
		}
	}
	return false
}

func (t *test) anyARN(v string, keys Keys) bool {
	fields, ok := splitARN(v)
	if !ok {
		return false
	}
	for i := range t.arns {
		if t.arns[i].matches(&fields, keys) {
			return true
		}
	}
	return false
}

// text puts a pattern without wildcards together.
func (p *pattern) text(keys Keys) (string, bool) {
	if !p.variable && len(p.parts) == 1 {
		return p.parts[0].text, true
	}
	var room [8]part
	parts, ok := p.resolve(room[:0], keys)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for _, q := range parts {
		b.WriteString(q.text)
	}
	return b.String(), true
}

func (p *pattern) equalFold(s string, keys Keys) bool {
	text, ok := p.text(keys)
	return ok && strings.EqualFold(text, s)
}
