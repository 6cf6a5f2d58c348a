package policy_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/policy"
)

// FuzzParse reads any text as any kind: no panic, an error says something, and
// what is read can be evaluated.
func FuzzParse(f *testing.F) {
	for _, list := range [][]grammarCase{accepted, refused} {
		for _, c := range list {
			f.Add(c.text, uint8(c.kind))
		}
	}
	f.Fuzz(func(t *testing.T, text string, kind uint8) {
		if about, err := policy.ParseAbout([]byte(text), ours); err == nil {
			for _, s := range about.Statements {
				if s.NotResource || len(s.Resources) != 1 || s.Resources[0] != ours {
					t.Fatalf("a policy about one resource is about %q", s.Resources)
				}
			}
		}
		d, err := policy.Parse([]byte(text), policy.Kind(kind%4))
		if err != nil {
			if d != nil || err.Error() == "" {
				t.Fatalf("%v, %v", d, err)
			}
			return
		}
		again, err := policy.Parse([]byte(text), policy.Kind(kind%4))
		if err != nil || len(again.Statements) != len(d.Statements) {
			t.Fatalf("read twice, once as %v, %v", again, err)
		}
		d.ContextKeys()
		policy.Evaluate(policy.Policies{Identity: []*policy.Document{d}, Resource: []*policy.Document{d}},
			policy.Request{Principal: people["session"], Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Keys: context(v("x"))})
	})
}

// FuzzEvaluate makes policies and a request out of a seed and texts: deciding
// does not panic, says the same twice, and a denial more never allows more.
func FuzzEvaluate(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, "s3:GetObject", "arn:aws:s3:::b/a", "a", `"NotAction":"s3:P*","Resource":"*"`)
	}
	f.Fuzz(func(t *testing.T, seed uint64, action, resource, value, denied string) {
		w := newWorld(seed)
		p := compile(t, w.policies())
		r := w.request()
		keys := r.Keys.(policy.Map)
		keys["aws:username"] = []string{value}
		for _, changed := range []policy.Request{
			{Principal: r.Principal, Action: action, Resource: r.Resource, Owner: r.Owner, Keys: keys},
			{Principal: r.Principal, Action: r.Action, Resource: resource, Keys: keys},
			r,
		} {
			first := policy.Evaluate(p, changed)
			if again := policy.Evaluate(p, changed); again != first {
				t.Fatalf("%v, then %v", first, again)
			}
			more := p
			for _, d := range denials(w, denied) {
				more.Identity = append(more.Identity[:len(more.Identity):len(more.Identity)], d)
			}
			if after := policy.Evaluate(more, changed); after.Effect == policy.Allow && first.Effect != policy.Allow || first.Effect == policy.ExplicitDeny && after.Effect != policy.ExplicitDeny {
				t.Fatalf("with a denial more %v becomes %v", first, after)
			}
		}
	})
}

// denials are documents with nothing but Deny: one of the world's and, if it can
// be read, the one of the fuzzer.
func denials(w *world, statement string) []*policy.Document {
	var out []*policy.Document
	o := w.statement(policy.Identity, true, 100)
	o["Effect"] = "Deny"
	for _, text := range []string{encode(o), `{"Effect":"Deny",` + strings.Trim(statement, "{}") + `}`} {
		d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":`+text+`}`), policy.Identity)
		if err == nil {
			out = append(out, d)
		}
	}
	return out
}
