package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/policy"
)

// How much TestAgainstNaive compares: sets of policies and requests for each.
const (
	naiveSets     = 10_000
	naiveRequests = 12
)

// TestAgainstNaive compares Evaluate with the evaluator of naive_test.go on
// random policies and requests out of a small world, so that they meet often.
func TestAgainstNaive(t *testing.T) {
	counts := map[policy.Effect]int{}
	by := map[policy.Type]int{}
	for seed := range naiveSets {
		w := newWorld(uint64(seed))
		texts := w.policies()
		compiled := compile(t, texts)
		for range naiveRequests {
			r := w.request()
			want, wantBy := naiveEvaluate(texts, r)
			got := policy.Evaluate(compiled, r)
			if got.Effect != want || want != policy.Allow && got.By != wantBy {
				t.Fatalf("seed %d: Evaluate says %v by %v, the naive evaluator %v by %v\n%+v\n%s", seed, got.Effect, got.By, want, wantBy, r, show(texts))
			}
			counts[want]++
			if want != policy.Allow {
				by[wantBy]++
			}
		}
	}
	const total = naiveSets * naiveRequests
	t.Logf("%d requests: %v, refused by %v", total, counts, by)
	// A world in which nearly everything ends one way would prove little.
	for effect, least := range map[policy.Effect]int{policy.Allow: 15, policy.NoAllow: 15, policy.ExplicitDeny: 15} {
		if counts[effect]*100 < total*least {
			t.Errorf("%d of %d requests end in %v, fewer than %d %%", counts[effect], total, effect, least)
		}
	}
	for _, blamed := range []policy.Type{policy.IdentityBased, policy.PermissionsBoundary, policy.SessionPolicy, policy.ResourceBased} {
		if by[blamed]*100 < total*2 {
			t.Errorf("%d of %d requests are refused for want of the %v, fewer than 2 %%", by[blamed], total, blamed)
		}
	}
}

func compile(t testing.TB, p naivePolicies) policy.Policies {
	t.Helper()
	parse := func(o object, kind policy.Kind) *policy.Document {
		d, err := policy.Parse([]byte(encode(o)), kind)
		if err != nil {
			t.Fatalf("%v\n%s", err, encode(o))
		}
		return d
	}
	out := policy.Policies{ResourceMustAllow: p.mustAllow}
	for i, o := range p.identity {
		out.Identity = append(out.Identity, parse(o, policy.Identity).Named(fmt.Sprintf("identity-%d", i)))
	}
	if p.boundary != nil {
		out.Boundary = parse(p.boundary, policy.Identity).Named("boundary")
	}
	if p.session != nil {
		out.Session = []*policy.Document{}
	}
	for i, o := range p.session {
		out.Session = append(out.Session, parse(o, policy.Session).Named(fmt.Sprintf("session-%d", i)))
	}
	kind := policy.Resource
	if p.mustAllow {
		kind = policy.Trust
	}
	for i, o := range p.resource {
		out.Resource = append(out.Resource, parse(o, kind).Named(fmt.Sprintf("resource-%d", i)).Pinned(p.pins))
	}
	return out
}

func show(p naivePolicies) string {
	return fmt.Sprintf("identity %s\nboundary %s\nsession %s\nresource %s\nmust allow: %v",
		encode(p.identity), encode(p.boundary), encode(p.session), encode(p.resource), p.mustAllow)
}

// world makes policies and requests out of few names.
type world struct {
	*rand.Rand
	trust bool // the resource is a role and its policy a trust policy
}

func newWorld(seed uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 20121017))}
	w.trust = w.chance(20)
	return w
}

func (w *world) chance(percent int) bool { return w.IntN(100) < percent }

func pick[T any](w *world, from ...T) T { return from[w.IntN(len(from))] }

// some picks up to n, at least one.
func some[T any](w *world, n int, from ...T) []T {
	var out []T
	for range 1 + w.IntN(n) {
		out = append(out, pick(w, from...))
	}
	return out
}

const home, away = "111122223333", "444455556666"

// The values that strings are made of: few, with the characters that mean
// something in patterns.
var words = []string{"a", "ab", "abc", "A", "a*", "a?", "", "true", "7", "x:y"}

var conditionKeys = []string{"aws:username", "aws:PrincipalTag/team", "s3:prefix", "aws:TagKeys"}

func (w *world) policies() naivePolicies {
	p := naivePolicies{mustAllow: w.trust}
	for range w.IntN(3) {
		p.identity = append(p.identity, w.document(policy.Identity, 35))
	}
	if w.chance(60) {
		p.identity = append(p.identity, w.broad())
	}
	if w.chance(30) {
		p.boundary = w.document(policy.Identity, 15)
	}
	if w.chance(30) {
		p.session = []object{}
		for range w.IntN(3) {
			p.session = append(p.session, w.document(policy.Session, 15))
		}
	}
	kind := policy.Resource
	if w.trust {
		kind = policy.Trust
	}
	for range w.IntN(3) {
		p.resource = append(p.resource, w.document(kind, 15))
	}
	if w.chance(50) {
		p.pins = map[string]string{}
		for _, arn := range []string{userARN, roleARN, sessionARN} {
			id := roleID
			if arn == userARN {
				id = userID
			}
			if w.chance(80) {
				p.pins[arn] = pick(w, id, id, id[:20]+"Z", "")
			}
		}
	}
	return p
}

// broad allows much, so that the rest of a set decides.
func (w *world) broad() object {
	return readObject(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
}

func (w *world) document(kind policy.Kind, deny int) object {
	doc := object{}
	version := pick(w, "2012-10-17", "2012-10-17", "2012-10-17", "2008-10-17", "")
	if version != "" {
		doc["Version"] = version
	}
	statements := []any{}
	for range 1 + w.IntN(3) {
		statements = append(statements, w.statement(kind, version == "2012-10-17", deny))
	}
	doc["Statement"] = statements
	if len(statements) == 1 && w.chance(50) {
		doc["Statement"] = statements[0]
	}
	return readObject(encode(doc)) // the types that JSON has
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (w *world) statement(kind policy.Kind, variables bool, deny int) object {
	s := object{"Effect": "Allow"}
	if w.chance(deny) {
		s["Effect"] = "Deny"
	}
	actions := []string{"s3:GetObject", "s3:Get*", "S3:*", "s3:?etObject", "sts:AssumeRole", "*:*Object", "*"}
	if kind == policy.Trust {
		actions = []string{"sts:AssumeRole", "sts:*", "STS:Assume*", "sts:TagSession"}
	}
	s[w.not("Action", 20)] = w.bare(some(w, 2, actions...))
	if kind != policy.Trust {
		resources := []string{"*", "*", "*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a", "arn:aws:s3:::?/a*", "arn:aws:sqs:*:" + home + ":q", "arn:aws:sqs:r-1:" + away + ":*", "arn:aws:iam::" + home + ":role/*"}
		if kind == policy.Identity {
			resources = append(resources, "arn:aws:s3", "arn:aws:sqs:*")
		}
		if variables {
			resources = append(resources, "arn:aws:s3:::b/${aws:username}", "arn:aws:s3:::b/${aws:PrincipalTag/team, 'a'}*", "arn:aws:s3:::b/a${*}", "arn:aws:s3:::b/${?}${$}")
		}
		s[w.not("Resource", 15)] = w.bare(some(w, 2, resources...))
	}
	if kind == policy.Resource || kind == policy.Trust {
		element := "Principal"
		if kind == policy.Resource && s["Effect"] == "Deny" {
			element = w.not("Principal", 40)
		}
		s[element] = w.principal()
	}
	if w.chance(55) {
		s["Condition"] = w.conditions(variables)
	}
	return s
}

func (w *world) not(element string, percent int) string {
	if w.chance(percent) {
		return "Not" + element
	}
	return element
}

// bare writes a list of one as its value, sometimes.
func (w *world) bare(list []string) any {
	if len(list) == 1 && w.chance(50) {
		return list[0]
	}
	return list
}

func (w *world) principal() any {
	if w.chance(12) {
		return "*"
	}
	p := object{}
	if w.chance(85) {
		p["AWS"] = w.bare(some(w, 3, "*", home, away, "arn:aws:iam::"+home+":root", "arn:aws:iam::"+away+":root", userARN, roleARN, sessionARN, federatedARN, userID, roleID))
	}
	if len(p) == 0 || w.chance(30) {
		p["Service"] = "lambda.amazonaws.com"
	}
	if w.chance(30) {
		p["Federated"] = w.bare([]string{pick(w, providerARN, "lambda.amazonaws.com")})
	}
	return p
}

const (
	userARN      = "arn:aws:iam::" + home + ":user/team/bob"
	roleARN      = "arn:aws:iam::" + home + ":role/path/worker"
	sessionARN   = "arn:aws:sts::" + home + ":assumed-role/worker/one"
	federatedARN = "arn:aws:sts::" + home + ":federated-user/eve"
	providerARN  = "arn:aws:iam::" + home + ":oidc-provider/issuer.example"
	userID       = "AIDAAAAAAAAAAAAAAAAAB"
	roleID       = "AROAAAAAAAAAAAAAAAAAB"
)

func (w *world) conditions(variables bool) object {
	out := object{}
	for range 1 + w.IntN(2) {
		name, values := w.operator(variables)
		if name != "Null" {
			name = pick(w, "", "", "", "ForAnyValue:", "ForAllValues:") + name + pick(w, "", "", "IfExists")
		}
		keys := object{}
		for range 1 + w.IntN(2) {
			list := some(w, 2, values...)
			var v any = list
			if len(list) == 1 && w.chance(50) {
				v = list[0]
			}
			keys[pick(w, conditionKeys...)] = v
		}
		out[name] = keys
	}
	return out
}

// operator picks one and the values that go with it.
func (w *world) operator(variables bool) (string, []any) {
	texts := []any{"a", "ab", "abc", "A", "", "true"}
	patterns := []any{"a*", "a?", "*", "?", "a*c", "*b*", "a", "*a?c*"}
	arns := []any{"arn:aws:*:*:" + home + ":*", "arn:aws:s?s:*:*:*", "arn:aws*:*:r-1:*:q*", "*:*:*:*:*:*", sessionARN, "arn:aws:sts::*:assumed-role/w*/?ne", "*", "arn:aws:s3:::b/*", "arn:*:iam::" + home + ":user/*"}
	if variables {
		texts = append(texts, "${aws:username}", "${aws:PrincipalTag/team, 'a'}", "a${*}")
		patterns = append(patterns, "${aws:username}*", "${s3:prefix}", "a${?}")
		arns = append(arns, "${aws:username}", "arn:aws:s3:::b/${s3:prefix}", "arn:aws:s3:::${aws:username, 'b'}/*")
	}
	not := pick(w, "", "", "Not")
	order := pick(w, "Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
	switch w.IntN(9) {
	case 0:
		return "String" + not + "Equals", texts
	case 1:
		return "String" + not + "EqualsIgnoreCase", texts
	case 2, 3:
		return "String" + not + "Like", patterns
	case 4:
		return "Numeric" + order, []any{"7", 7, "7.50", -1, "-1.5", "0", "007", "12345678901234567890"}
	case 5:
		return "Date" + order, []any{"2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "2026-01-31T07:00:00-05:00", "2026-01", "1769860800", "7"}
	case 6:
		return not + "IpAddress", []any{"203.0.113.0/24", "203.0.113.9", "2001:db8::/32", "0.0.0.0/0"}
	case 7:
		return "Arn" + not + pick(w, "Equals", "Like"), arns
	default:
		return pick(w, []string{"Bool", "Null"}...), []any{"true", "false", true}
	}
}

var requestValues = append([]string{
	"7", "7.5", "-0", "-1", "-20", "12345678901234567891", "2026-01-31T12:00:00Z", "1769860800", "203.0.113.9", "2001:db8::1", "::ffff:203.0.113.9",
	"a:b:c:d:e:f", "arn:aws:s3:::b/a", "arn:aws-cn:sqs:r-1:" + home + ":q", "arn:aws:sqs:r-2:" + home + ":q", "arn:aws:sts::" + home + ":assumed-role/worker/one", "true", "FALSE", "q!",
}, words...)

func (w *world) request() policy.Request {
	keys := policy.Map{}
	for _, key := range conditionKeys {
		switch w.IntN(8) {
		case 0, 1: // absent
		case 2:
			keys[strings.ToLower(key)] = some(w, 3, requestValues...)
		case 3, 4, 5:
			keys[strings.ToLower(key)] = []string{pick(w, words...)}
		default:
			keys[strings.ToLower(key)] = []string{pick(w, requestValues...)}
		}
	}
	r := policy.Request{Keys: keys, Principal: w.caller()}
	if w.trust {
		r.Action, r.Resource = "sts:AssumeRole", "arn:aws:iam::"+pick(w, home, home, away)+":role/target"
		return r
	}
	r.Action = pick(w, "s3:GetObject", "s3:PutObject", "S3:getobject", "sts:AssumeRole")
	r.Resource = pick(w, "arn:aws:s3:::b/a", "arn:aws:s3:::b/ab", "arn:aws:s3:::b/a*", "arn:aws:s3:::c/a?$", "arn:aws:sqs:r-1:"+home+":q", "arn:aws:sqs:r-1:"+away+":q", "*")
	r.Owner = pick(w, "", "", "", home, away)
	return r
}

func (w *world) caller() policy.Principal {
	switch w.IntN(12) {
	case 0, 1, 2:
		return policy.Principal{Kind: policy.User, Account: home, ARN: userARN, ID: userID}
	case 3, 4, 5, 6:
		return policy.Principal{Kind: policy.RoleSession, Account: home, ARN: sessionARN, Source: roleARN, ID: roleID}
	case 7:
		return policy.Principal{Kind: policy.FederatedUser, Account: home, ARN: federatedARN, Source: userARN, ID: userID}
	case 8:
		return policy.Principal{Kind: policy.Root, Account: home, ARN: "arn:aws:iam::" + home + ":root"}
	case 9:
		return policy.Principal{Kind: policy.Service, Names: []string{"lambda.amazonaws.com"}}
	case 10:
		return policy.Principal{Kind: policy.Federated, Names: []string{providerARN}}
	default:
		return policy.Principal{}
	}
}

// TestPatternsAgainstNaive compares wildcards alone: short texts of few letters,
// so that patterns fit in several ways.
func TestPatternsAgainstNaive(t *testing.T) {
	w := newWorld(1)
	text := func(letters string, most int) string {
		var b strings.Builder
		for range w.IntN(most + 1) {
			b.WriteByte(letters[w.IntN(len(letters))])
		}
		return b.String()
	}
	fit := 0
	const patterns, texts = 4000, 30
	for range patterns {
		pattern := text("ab*?*", 9)
		p := compile(t, naivePolicies{identity: []object{{"Statement": object{
			"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": object{"StringLike": object{"k:x": pattern}},
		}}}})
		for range texts {
			s := text("ab", 8)
			want := policy.NoAllow
			if naiveLike([]rune(pattern), []rune(s)) {
				want = policy.Allow
				fit++
			}
			r := policy.Request{Principal: people["user"], Action: "s3:GetObject", Resource: "*", Keys: policy.Map{"k:x": {s}}}
			if got := policy.Evaluate(p, r); got.Effect != want {
				t.Fatalf("%q of %q: %v, want %v", pattern, s, got.Effect, want)
			}
		}
	}
	if fit*100 < patterns*texts*10 || fit*100 > patterns*texts*90 {
		t.Errorf("%d of %d texts fit", fit, patterns*texts)
	}
}
