package policy_test

import (
	"encoding/json"
	"math/big"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/auth/policy"
)

// The evaluator of this file is the other opinion of TestAgainstNaive. It is
// written from the prose of the IAM User Guide alone, works on policies as JSON
// was decoded and shares nothing with the package but the shape of a request. It
// is slow and simple on purpose: strings, maps and recursion.

// naivePolicies are policies by what they are attached to.
type naivePolicies struct {
	identity  []object
	boundary  object   // nil for none
	session   []object // nil for none
	resource  []object
	pins      map[string]string // of the principals of resource
	mustAllow bool
}

type object = map[string]any

func readObject(text string) object {
	var o object
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&o); err != nil {
		panic(err)
	}
	return o
}

// listOf gives what may be written bare or as a list as a list.
func listOf(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	}
	panic("no text")
}

// naiveEvaluate returns the effect and, unless it is a permission, the type of
// policy that is to blame.
func naiveEvaluate(p naivePolicies, r policy.Request) (policy.Effect, policy.Type) {
	// "An explicit deny in any of these policies overrides the allow."
	if naiveAny(p.identity, "Deny", r) {
		return policy.ExplicitDeny, policy.IdentityBased
	}
	if p.boundary != nil && naiveAny([]object{p.boundary}, "Deny", r) {
		return policy.ExplicitDeny, policy.PermissionsBoundary
	}
	if naiveAny(p.session, "Deny", r) {
		return policy.ExplicitDeny, policy.SessionPolicy
	}
	grants := map[string]bool{} // how resource policies name the principal in an Allow
	for _, doc := range p.resource {
		for _, s := range listOf(doc["Statement"]) {
			s := s.(object)
			how := naivePrincipal(s, r.Principal, p.boundary != nil, p.pins)
			if how == "" || !naiveStatement(s, doc, r) {
				continue
			}
			if s["Effect"] == "Deny" {
				return policy.ExplicitDeny, policy.ResourceBased
			}
			grants[how] = true
		}
	}
	named := len(grants) > 0

	// Principals that no account's policies are about.
	if k := r.Principal.Kind; k == policy.Service || k == policy.Federated || k == policy.Anonymous {
		if named {
			return policy.Allow, 0
		}
		return policy.NoAllow, policy.ResourceBased
	}

	identity := r.Principal.Kind == policy.Root || naiveAny(p.identity, "Allow", r)
	boundary := p.boundary == nil || naiveAny([]object{p.boundary}, "Allow", r)
	session := p.session == nil || naiveAny(p.session, "Allow", r)

	owner := r.Owner
	if owner == "" {
		owner = r.Principal.Account
		if f := strings.Split(r.Resource, ":"); len(f) > 5 && len(f[4]) == 12 {
			owner = f[4]
		}
	}
	if owner == r.Principal.Account {
		// "If a resource-based policy grants permission directly to the IAM user
		// or the session principal that is making the request, then an implicit
		// deny in an identity-based policy, a permissions boundary, or a session
		// policy does not impact the final decision."
		if grants["itself"] {
			return policy.Allow, 0
		}
		// "Resource-based policies that grant permissions to an IAM role ARN are
		// limited by an implicit deny in a permissions boundary or session
		// policy."
		if grants["source"] && boundary && session {
			return policy.Allow, 0
		}
		if grants["source"] {
			identity = true // the boundary or session policy is what lacks
		}
		if identity && boundary && session && (!p.mustAllow || named) {
			return policy.Allow, 0
		}
	} else if identity && boundary && session && named {
		// "the resource-based policy in the trusting account and the identity's
		// in the trusted account must both allow"
		return policy.Allow, 0
	}
	switch {
	case !identity:
		return policy.NoAllow, policy.IdentityBased
	case !boundary:
		return policy.NoAllow, policy.PermissionsBoundary
	case !session:
		return policy.NoAllow, policy.SessionPolicy
	}
	return policy.NoAllow, policy.ResourceBased
}

// naiveAny reports whether a statement of that effect in one of the documents
// applies.
func naiveAny(docs []object, effect string, r policy.Request) bool {
	for _, doc := range docs {
		for _, s := range listOf(doc["Statement"]) {
			if s := s.(object); s["Effect"] == effect && naiveStatement(s, doc, r) {
				return true
			}
		}
	}
	return false
}

// naivePrincipal returns how a statement's Principal is about p: "" not at all,
// "account", "source" (the role or user of a session) or "itself".
func naivePrincipal(s object, p policy.Principal, bounded bool, pins map[string]string) string {
	element, not := s["Principal"], false
	if v, ok := s["NotPrincipal"]; ok {
		element, not = v, true
	}
	best := ""
	better := func(how string) {
		rank := map[string]int{"": 0, "account": 1, "source": 2, "itself": 3}
		if rank[how] > rank[best] {
			best = how
		}
	}
	if element == "*" {
		better("itself")
	} else {
		for kind, values := range element.(object) {
			for _, v := range listOf(values) {
				if name, meant := naivePinned(s, kind, v.(string), p, pins); meant {
					better(naiveNames(kind, name, p))
				}
			}
		}
	}
	if not {
		// "will always deny any IAM principal that has a permissions boundary
		// policy attached"
		// "The NotPrincipals must list all principals of the caller's identity": the
		// account alone is its root's
		if best == "" || bounded || best == "account" && p.Kind != policy.Root {
			return "itself"
		}
		return ""
	}
	return best
}

// naivePinned returns the name by which somebody is meant, if anybody is: "that ARN
// transforms to the role unique principal ID when you save the policy"; of a session
// the role has to be the one.
func naivePinned(s object, kind, v string, p policy.Principal, pins map[string]string) (name string, meant bool) {
	id, pinned := pins[v]
	switch {
	case kind != "AWS" || !pinned:
		return v, true
	case id == "":
		return v, s["Effect"] == "Deny" && s["NotPrincipal"] == nil
	case v == sessionARN:
		return v, p.ID == id
	}
	return id, true
}

func naiveNames(kind, v string, p policy.Principal) string {
	if kind == "AWS" && v == "*" {
		return "itself"
	}
	switch p.Kind {
	case policy.Anonymous:
		return ""
	case policy.Service, policy.Federated:
		for _, name := range p.Names {
			if name == v && (kind == "Service") == (p.Kind == policy.Service) && kind != "AWS" {
				return "itself"
			}
		}
		return ""
	}
	if kind != "AWS" {
		return ""
	}
	if v == p.Account || v == "arn:aws:iam::"+p.Account+":root" {
		return "account"
	}
	if v == p.ARN {
		return "itself"
	}
	if p.Kind != policy.RoleSession && p.Kind != policy.FederatedUser {
		if v == p.ID {
			return "itself"
		}
	} else if v == p.Source || v == p.ID {
		return "source"
	}
	return ""
}

// naiveStatement reports whether action, resource and conditions fit.
func naiveStatement(s, doc object, r policy.Request) bool {
	variables := doc["Version"] == "2012-10-17"
	match := func(values any, ok func(string) bool) bool {
		for _, v := range listOf(values) {
			if ok(v.(string)) {
				return true
			}
		}
		return false
	}
	action := func(v string) bool {
		return naiveLike([]rune(strings.ToLower(v)), []rune(strings.ToLower(r.Action)))
	}
	resource := func(v string) bool {
		for v != "*" && strings.Count(v, ":") < 5 {
			v += ":*" // "automatically completes the ARN by adding wildcard characters"
		}
		pattern, ok := naiveExpand(v, variables, r.Keys)
		return ok && naiveLike([]rune(pattern), []rune(r.Resource))
	}
	if a, ok := s["Action"]; ok && !match(a, action) {
		return false
	}
	if a, ok := s["NotAction"]; ok && match(a, action) {
		return false
	}
	if a, ok := s["Resource"]; ok && !match(a, resource) {
		return false
	}
	if a, ok := s["NotResource"]; ok && match(a, resource) {
		return false
	}
	if conditions, ok := s["Condition"].(object); ok {
		for operator, keys := range conditions {
			for key, values := range keys.(object) {
				if !naiveCondition(operator, key, listOf(values), variables, r.Keys) {
					return false
				}
			}
		}
	}
	return true
}

// Literal wildcards travel as these, so that a pattern stays a string.
const literalStar, literalMark = '\ue000', '\ue001'

func naiveLiteral(s string) string {
	return strings.NewReplacer("*", string(literalStar), "?", string(literalMark)).Replace(s)
}

// naiveExpand puts values in the place of variables.
func naiveExpand(v string, variables bool, keys policy.Keys) (string, bool) {
	if !variables {
		return v, true
	}
	out := ""
	for {
		before, after, found := strings.Cut(v, "${")
		out += before
		if !found {
			return out, true
		}
		inside, rest, _ := strings.Cut(after, "}")
		v = rest
		if inside == "*" || inside == "?" || inside == "$" {
			out += naiveLiteral(inside)
			continue
		}
		name, standard, hasStandard := strings.Cut(inside, ", ")
		values, _ := keys.Value(strings.ToLower(name))
		switch {
		case len(values) == 1:
			out += naiveLiteral(values[0])
		case len(values) == 0 && hasStandard:
			out += naiveLiteral(strings.Trim(standard, "'"))
		default:
			return "", false // "the value is effectively null"
		}
	}
}

// naiveLike is the definition of wildcards.
func naiveLike(pattern, s []rune) bool {
	if len(pattern) == 0 {
		return len(s) == 0
	}
	switch pattern[0] {
	case '*':
		return naiveLike(pattern[1:], s) || len(s) > 0 && naiveLike(pattern, s[1:])
	case '?':
		return len(s) > 0 && naiveLike(pattern[1:], s[1:])
	case literalStar:
		return len(s) > 0 && s[0] == '*' && naiveLike(pattern[1:], s[1:])
	case literalMark:
		return len(s) > 0 && s[0] == '?' && naiveLike(pattern[1:], s[1:])
	}
	return len(s) > 0 && s[0] == pattern[0] && naiveLike(pattern[1:], s[1:])
}

func naiveCondition(operator, key string, wanted []any, variables bool, keys policy.Keys) bool {
	got, _ := keys.Value(strings.ToLower(key))
	null := strings.Join(got, "") == "" // "a null data set, such as an empty string"
	if operator == "Null" {
		for _, w := range wanted {
			if strings.EqualFold(textOf(w), strconv.FormatBool(null)) {
				return true
			}
		}
		return false
	}
	quantifier, base, found := strings.Cut(operator, ":")
	if !found {
		quantifier, base = "", operator
	}
	if strings.HasSuffix(base, "IfExists") {
		// "If the key is not present, evaluate the condition element as true."
		if len(got) == 0 {
			return true
		}
		base = strings.TrimSuffix(base, "IfExists")
	}
	not := strings.Contains(base, "Not")
	base = strings.Replace(base, "Not", "", 1)
	one := func(value string) bool {
		for _, w := range wanted {
			if naiveCompare(base, value, textOf(w), variables, keys) {
				return !not
			}
		}
		return not
	}
	switch quantifier {
	case "ForAllValues":
		for _, g := range got {
			if !null && !one(g) {
				return false
			}
		}
		return true
	case "ForAnyValue":
		for _, g := range got {
			if !null && one(g) {
				return true
			}
		}
		return false
	}
	if len(got) == 0 {
		return not
	}
	return len(got) == 1 && one(got[0])
}

// naiveCompare compares a value of the request with one of the policy. The
// names have lost their Not.
func naiveCompare(base, got, want string, variables bool, keys policy.Keys) bool {
	switch {
	case strings.HasPrefix(base, "Numeric"):
		g, ok := new(big.Rat).SetString(got)
		ok = ok && !strings.ContainsAny(got, "eExX/_") // integers and decimals
		w, _ := new(big.Rat).SetString(want)
		return ok && naiveOrder(strings.TrimPrefix(base, "Numeric"), g.Cmp(w))
	case strings.HasPrefix(base, "Date"):
		g, ok := naiveDate(got)
		w, _ := naiveDate(want)
		return ok && naiveOrder(strings.TrimPrefix(base, "Date"), g.Compare(w))
	case base == "BinaryEquals":
		return got == want // base 64, both
	case base == "IpAddress":
		return naiveIP(got, want)
	}
	want, ok := naiveExpand(want, variables, keys)
	if !ok {
		return false
	}
	plain := strings.NewReplacer(string(literalStar), "*", string(literalMark), "?").Replace(want)
	switch base {
	case "StringEquals":
		return got == plain
	case "StringEqualsIgnoreCase":
		return strings.EqualFold(got, plain)
	case "StringLike":
		return naiveLike([]rune(want), []rune(got))
	case "Bool":
		g, w := strings.ToLower(got), strings.ToLower(plain)
		return g == w && (g == "true" || g == "false")
	case "ArnEquals", "ArnLike":
		g, w := strings.SplitN(got, ":", 6), strings.SplitN(want, ":", 6)
		if len(g) < 6 || g[0] != "arn" {
			return false
		}
		if want == "*" {
			return true
		}
		for i := range w {
			if len(w) < 6 || !naiveLike([]rune(w[i]), []rune(g[i])) {
				return false
			}
		}
		return true
	}
	panic("unknown operator " + base)
}

func naiveOrder(name string, c int) bool {
	switch name {
	case "Equals":
		return c == 0
	case "LessThan":
		return c < 0
	case "LessThanEquals":
		return c <= 0
	case "GreaterThan":
		return c > 0
	case "GreaterThanEquals":
		return c >= 0
	}
	panic("unknown order " + name)
}

func naiveDate(s string) (time.Time, bool) {
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		return time.Unix(int64(n), 0), true
	}
	for _, form := range []string{"2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00"} {
		if t, err := time.Parse(form, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func naiveIP(got, want string) bool {
	ip := net.ParseIP(got)
	if !strings.Contains(want, "/") {
		return ip != nil && ip.Equal(net.ParseIP(want))
	}
	_, network, err := net.ParseCIDR(want)
	return err == nil && ip != nil && network.Contains(ip)
}
