package pipeline

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// given are the policies of everybody.
type given struct{ documents []*policy.Document }

func (g *given) Identity(context.Context, auth.Principal) (auth.Identity, error) {
	return auth.Identity{Identity: g.documents}, nil
}

// everyone trusts: the trust policy of each role.
type everyone struct{ trust *policy.Document }

func (e everyone) ResourcePolicies(_ context.Context, r auth.Requirement) ([]*policy.Document, bool, error) {
	if !strings.HasPrefix(r.Action, "sts:") {
		return nil, false, nil
	}
	return []*policy.Document{e.trust}, true, nil
}

func (everyone) ResourceTags(context.Context, string) (map[string]string, error) { return nil, nil }

const nobodyARN = "arn:aws:iam::" + testAccount + ":user/nobody"

// statement is one of a policy: exactly that action on exactly that resource.
type statement struct{ Effect, Action, Resource string }

func exactly(effect string, r auth.Requirement) statement {
	resource := "*" // for what a generated value has made no ARN of
	if strings.HasPrefix(r.Resource, "arn:aws:") {
		resource = strings.NewReplacer("$", "${$}", "*", "${*}", "?", "${?}").Replace(r.Resource)
	}
	return statement{effect, r.Action, resource}
}

// policyOf compiles statements.
func policyOf(t testing.TB, statements ...statement) []*policy.Document {
	t.Helper()
	if len(statements) == 0 {
		return nil
	}
	text, err := json.Marshal(map[string]any{"Version": policy.Version2012, "Statement": statements})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(text, policy.Identity)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return []*policy.Document{doc}
}

// everyCall is one call of an operation by somebody whose policies change.
type everyCall struct {
	svc   *schema.Service
	op    *schema.Operation
	in    any
	needs []auth.Requirement
	// make makes the call, and returns its refusal by authorisation.
	make func() *fault.Error
}

// TestEveryOperationIsHeldToItsRequirements goes through every operation of every
// service, with the least input and with the most: without a policy it is refused with
// AWS's sentence; with exactly what the table lists it is not; and with one of that
// taken away, or forbidden besides, it is refused for that one.
func TestEveryOperationIsHeldToItsRequirements(t *testing.T) {
	k := newKit(t)
	policies := &given{}
	trust, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+testAccount+`"},"Action":"sts:*"}]}`), policy.Trust)
	if err != nil {
		t.Fatal(err)
	}
	*k.cfg.Authorizer = auth.Authorizer{Identities: policies, Resources: everyone{trust}}
	calls, checks, free := 0, 0, 0
	for _, svc := range allServices() {
		for i := range svc.Operations {
			op := &svc.Operations[i]
			if op.Unsigned || op.Free {
				free++
				continue
			}
			for _, all := range []bool{false, true} {
				for _, c := range callsOf(t, k, svc, op, all) {
					calls++
					checks += c.check(t, policies)
				}
			}
		}
	}
	t.Logf("%d calls, %d decisions; %d operations ask nothing as such", calls, checks, free)
	if calls < 500 {
		t.Error("that is not every operation")
	}
}

// callsOf makes the calls of an operation: through its wire where the tests can write
// that, and the step of the pipeline alone.
func callsOf(t *testing.T, k *kit, svc *schema.Service, op *schema.Operation, all bool) []everyCall {
	t.Helper()
	g := newValuegen(svc)
	g.all = all
	scope := store.Scope{Account: testAccount, Region: testRegion}
	c := everyCall{svc: svc, op: op}
	if op.NewInput == nil {
		c.needs = []auth.Requirement{{Action: op.Requires[0].Action, Resource: "*"}}
	} else {
		c.in = op.NewInput()
		if op.Input >= 0 && !g.fill(reflect.ValueOf(c.in).Elem(), svc.Shape(op.Input)) {
			t.Errorf("%s has no finite input", op.Name)
			return nil
		}
		c.needs = requirements(svc, op, c.in, scope)
	}
	c.make = func() *fault.Error {
		e := &exchange{p: k.Pipeline, r: newRequest(http.MethodPost, "/", ""), match: match{svc: svc, op: op}, call: &Call{
			Principal: auth.Principal{Account: testAccount, ARN: nobodyARN, Kind: auth.User}, Scope: scope, authorizer: k.cfg.Authorizer,
		}}
		if err := e.authorize(c.in); err != nil {
			return fault.From(err)
		}
		return nil
	}
	out := []everyCall{c}
	if svc.Protocol == schema.RestJSON && op.NewInput != nil && !all {
		wire := c
		wire.make = func() *fault.Error {
			written := writeRequest(t, svc, op, c.in)
			w := k.do(signAs(t, written.httpRequest(), "AKIDNOBODY", svc.SigningName, written.body))
			if w.Code != http.StatusForbidden {
				return nil
			}
			return fault.Denied("%s", messageOf(t, w.Body.Bytes()))
		}
		out = append(out, wire)
	}
	return out
}

func messageOf(t *testing.T, body []byte) string {
	t.Helper()
	var m struct{ Message string }
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return m.Message
}

// check makes the call with one set of policies after another, and counts them.
func (c *everyCall) check(t *testing.T, policies *given) (n int) {
	t.Helper()
	var exact []statement
	for _, r := range c.needs {
		exact = append(exact, exactly("Allow", r))
	}
	start := func(r auth.Requirement) string {
		return "User: " + nobodyARN + " is not authorized to perform: " + r.Action + " on resource: " + r.Resource
	}
	try := func(name, want string, statements ...statement) {
		t.Helper()
		n++
		policies.documents = policyOf(t, statements...)
		got := ""
		if f := c.make(); f != nil {
			got = f.Message
		}
		if got != want {
			t.Errorf("%s %s, %s: %q, want %q", c.svc.Name, c.op.Name, name, got, want)
		}
	}
	first := c.needs[0]
	try("no policy", start(first)+" because no identity-based policy allows the "+first.Action+" action")
	try("exactly its list", "", exact...)
	for i, r := range c.needs {
		covered := func(s statement) bool { return s.Action == r.Action && (s.Resource == "*" || s == exact[i]) }
		others := slices.Delete(slices.Clone(exact), i, i+1)
		if !slices.ContainsFunc(others, covered) {
			try("without "+r.Action, start(r)+" because no identity-based policy allows the "+r.Action+" action", others...)
		}
		at := slices.IndexFunc(c.needs, func(o auth.Requirement) bool { return o.Action == r.Action && (r.Resource == "*" || o == r) })
		try("with a denial of "+r.Action, start(c.needs[at])+" with an explicit deny in an identity-based policy", append(slices.Clone(exact), exactly("Deny", r))...)
	}
	return n
}
