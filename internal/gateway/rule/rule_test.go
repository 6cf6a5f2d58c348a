package rule

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
)

func p[T any](v T) *T { return &v }

func static(priority int32, target string, c ...model.Condition) model.GatewayRuleDetail {
	return model.GatewayRuleDetail{RuleId: p(fmt.Sprint("r", priority)), Priority: &priority, Conditions: c,
		Actions: []model.Action{{RouteToTarget: &model.RouteToTargetAction{StaticRoute: &model.StaticRoute{TargetName: &target}}}}}
}

func principals(operator string, arns ...string) model.Condition {
	m := &model.MatchPrincipals{}
	for _, a := range arns {
		m.AnyOf = append(m.AnyOf, model.MatchPrincipalEntry{IamPrincipal: &model.IamPrincipal{Arn: p(a), Operator: p(operator)}})
	}
	return model.Condition{MatchPrincipals: m}
}

func models(operator *string, values ...string) model.Condition {
	m := &model.MatchModels{}
	for _, v := range values {
		m.AnyOf = append(m.AnyOf, model.MatchModelEntry{Value: p(v), Operator: operator})
	}
	return model.Condition{MatchModels: m}
}

func memory() *Memory { return NewMemory(time.Now, func(int) int { return 0 }) }

func TestChoose(t *testing.T) {
	bundle := model.GatewayRuleDetail{RuleId: p("bundle"), Priority: p(int32(5)), Actions: []model.Action{{ConfigurationBundle: &model.ConfigurationBundleAction{
		StaticOverride: &model.StaticOverride{BundleArn: p("arn:b"), BundleVersion: p("v1")}}}}}
	deleted := static(1, "deleted")
	deleted.Status = p(model.GatewayRuleStatusDELETING)
	r := Compile("g", []model.GatewayRuleDetail{
		static(90, "other", model.Condition{MatchPaths: &model.MatchPaths{AnyOf: []string{"/agent/*"}}}),
		static(20, "like", principals("StringLike", "arn:aws:iam::123456789012:role/team-*")),
		static(10, "exact", principals("StringEquals", "arn:aws:iam::*:role/path/QA", "arn:aws:iam::123456789012:user/a*")),
		static(30, "model", models(nil, "gpt-*"), model.Condition{MatchPaths: &model.MatchPaths{AnyOf: []string{"/agent/*", "/chat/*"}}}),
		static(40, "one-model", models(p("StringEquals"), "o*")),
		bundle, deleted,
	})
	for _, c := range []struct {
		in   Request
		want string
	}{
		{Request{Principal: "arn:aws:sts::999999999999:assumed-role/QA/me"}, "exact"},
		{Request{Principal: "arn:aws:iam::999999999999:role/path/QA"}, "exact"},
		{Request{Principal: "arn:aws:iam::123456789012:user/ab"}, ""},
		{Request{Principal: "arn:aws:iam::123456789012:user/a*"}, "exact"},
		{Request{Principal: "arn:aws:sts::123456789012:assumed-role/team-x/me"}, "like"},
		{Request{Principal: "arn:aws:sts::123456789013:assumed-role/team-x/me"}, ""},
		{Request{Target: "chat", Model: "gpt-5"}, "model"},
		{Request{Target: "chat"}, ""},
		{Request{Target: "agent"}, "other"},
		{Request{Model: "gpt-5"}, ""},
		{Request{Model: "o*"}, "one-model"},
		{Request{Model: "o3"}, ""},
	} {
		got := r.Choose(c.in, memory())
		name := ""
		if got.Route != nil {
			name = got.Route.Hops[0].Target
		}
		if name != c.want || got.Bundle == nil {
			t.Errorf("%+v: %q, want %q (bundle %v)", c.in, name, c.want, got.Bundle)
		}
	}
}

func TestBaggage(t *testing.T) {
	b := &Bundle{ARN: "arn:aws:bedrock-agentcore:us-east-1:123456789012:configuration-bundle/b-1", Version: "v,1"}
	got := b.Baggage("a=1, aws.agentcore.configbundle_arn=evil ,b=2;p")
	want := "a=1,b=2;p,aws.agentcore.configbundle_arn=arn:aws:bedrock-agentcore:us-east-1:123456789012:configuration-bundle%2Fb-1,aws.agentcore.configbundle_version=v%2C1"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func weighted(a, b int32) *Rules {
	return Compile("g", []model.GatewayRuleDetail{{RuleId: p("w"), Priority: p(int32(1)), Actions: []model.Action{{RouteToTarget: &model.RouteToTargetAction{
		WeightedRoute: &model.WeightedRoute{TrafficSplit: []model.TargetTrafficSplitEntry{{Name: p("A"), Weight: &a, TargetName: p("a")}, {Name: p("B"), Weight: &b, TargetName: p("b")}}}}}}}})
}

func TestWeights(t *testing.T) {
	m := NewMemory(time.Now, rand.New(rand.NewPCG(1, 2)).IntN)
	for _, session := range []bool{false, true} {
		n := 0
		for i := range 20_000 {
			q := Request{}
			if session {
				q.Session = fmt.Sprint("session-", i)
			}
			if weighted(80, 20).Choose(q, m).Route.Split == "A" {
				n++
			}
		}
		if n < 15_700 || n > 16_300 {
			t.Errorf("sessions %v: %d of 20000 are of the part with weight 80", session, n)
		}
	}
}

// TestSticks changes the weights under sessions.
func TestSticks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(time.Now, func(int) int { return 0 })
		before := map[string]string{}
		all := func(r *Rules) (moved int) {
			for i := range 1000 {
				q := Request{Session: fmt.Sprint(i)}
				split := r.Choose(q, m).Route.Split
				if before[q.Session] != "" && before[q.Session] != split {
					moved++
				}
				before[q.Session] = split
			}
			return moved
		}
		all(weighted(50, 50))
		for range 3 { // sliding
			time.Sleep(14 * 24 * time.Hour)
			if moved := all(weighted(99, 1)); moved != 0 {
				t.Fatalf("%d sessions moved", moved)
			}
		}
		time.Sleep(16 * 24 * time.Hour)
		if moved := all(weighted(99, 1)); moved < 300 {
			t.Errorf("%d sessions moved after 16 days", moved)
		}
		m.most = 10
		all(weighted(99, 1))
		if n := len(m.young) + len(m.old); n > 2*1000+10 || len(m.young) > 10 {
			t.Errorf("%d choices are remembered, %d of them young", n, len(m.young))
		}
	})
}

func TestTriggers(t *testing.T) {
	f := &model.Fallback{FirstByteTimeoutMilliseconds: p(int32(1500)), TriggerOn: &model.FallbackTriggers{StatusCodes: []string{"429", "5XX"}, Errors: []string{"CONNECTION_ERROR"}},
		TargetFallback: []model.FallbackTarget{{TargetName: p("b"), Model: p("m")}}}
	r := (&rule{}).route("", p("a"), nil, f)
	first, second := r.Hops[0], r.Hops[1]
	if first.FirstByte != 1500*time.Millisecond || second.FirstByte != 0 || second.Model != "m" || !r.Breaker {
		t.Errorf("%+v", r)
	}
	got := []bool{first.Triggers.Status(429), first.Triggers.Status(503), first.Triggers.Status(404), first.Triggers.Error("CONNECTION_ERROR"), first.Triggers.Error("UNROUTABLE"),
		second.Triggers.Status(429), second.Triggers.Status(500), second.Triggers.Error("UNROUTABLE")}
	if want := []bool{true, true, false, true, false, false, true, true}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreakers(time.Now)
		for range tripsAt {
			if !b.Allow("t") {
				t.Fatal("it is left out too early")
			}
			b.Done("t", true)
		}
		if b.Allow("t") || !b.Allow("u") {
			t.Error("t is tried, or u is not")
		}
		time.Sleep(rests)
		if !b.Allow("t") || b.Allow("t") {
			t.Error("after its rest not just one tries")
		}
		b.Done("t", true)
		if b.Allow("t") {
			t.Error("it is tried though the one that tried it failed")
		}
		time.Sleep(rests)
		b.Allow("t")
		b.Done("t", false)
		for range 2 { // the breaker lets one through that tries it
			if !b.Allow("t") {
				t.Error("it is left out though it answered")
			}
		}
	})
}

func FuzzLike(f *testing.F) {
	f.Add("a*b?", "axxbc")
	f.Add("**", "")
	f.Add(`*\`, `\`)
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 50 || len(s) > 200 || strings.ContainsAny(pattern+s, "\\\n\r") || strings.IndexFunc(pattern+s, func(r rune) bool { return r > 0x7e }) >= 0 {
			_ = like(pattern, s) // it ends
			return
		}
		want := regexp.MustCompile("(?s)^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern)) + "$").MatchString(s)
		if got := like(pattern, s); got != want {
			t.Errorf("like(%q, %q) = %v", pattern, s, got)
		}
		if !like(quote(s), s) {
			t.Errorf("quote(%q) does not match it", s)
		}
	})
}

func BenchmarkChoose(b *testing.B) {
	var all []model.GatewayRuleDetail
	for i := range int32(20) {
		all = append(all, static(i+1, "t", principals("StringLike", "arn:aws:iam::123456789012:role/team-*-"+fmt.Sprint(i))))
	}
	r, m := Compile("g", all), memory()
	b.ReportAllocs()
	for b.Loop() {
		r.Choose(Request{Principal: "arn:aws:sts::123456789012:assumed-role/team-x-19/me"}, m)
	}
}
