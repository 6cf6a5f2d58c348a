package principal

import (
	"slices"
	"testing"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/policy"
)

func TestSimulate(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	u := c.user("u", `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${aws:username}/*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`)
	in := Simulation{Source: u.ARN}
	for _, tt := range []struct {
		name   string
		change func(*Simulation)
		want   policy.Effect
		by     policy.Type
	}{
		{"no address", func(*Simulation) {}, policy.NoAllow, policy.IdentityBased},
		{"its address", func(s *Simulation) { s.Keys = map[string][]string{"aws:sourceip": {"10.1.2.3"}} }, policy.Allow, policy.IdentityBased},
		{"more policies", func(s *Simulation) { s.Policies = []string{document(allow("s3:*", "*"))} }, policy.Allow, policy.IdentityBased},
		{"bounded", func(s *Simulation) {
			s.Policies, s.Boundaries = []string{document(allow("s3:*", "*"))}, []string{document(allow("iam:*", "*"))}
		}, policy.NoAllow, policy.PermissionsBoundary},
		{"the resource's", func(s *Simulation) {
			s.ResourcePolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]}`
		}, policy.ExplicitDeny, policy.ResourceBased},
	} {
		s := in
		tt.change(&s)
		simulator, err := c.Simulator(ctx, s)
		must(t, err)
		if got := simulator.Decide("s3:GetObject", "arn:aws:s3:::b/u/k"); got.Effect != tt.want || got.By != tt.by {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	in.Keys = map[string][]string{"aws:sourceip": {"10.1.2.3"}}
	simulator, err := c.Simulator(ctx, in)
	must(t, err)
	if got := simulator.Decide("s3:GetObject", "arn:aws:s3:::b/v/k"); got.Effect != policy.NoAllow {
		t.Errorf("another's folder: %+v", got)
	}
	if keys := simulator.Keys(); !slices.Equal(keys, []string{"aws:sourceip", "aws:username"}) {
		t.Errorf("%q", keys)
	}
	if within, bounded := simulator.Within("s3:GetObject", object); !within || bounded {
		t.Errorf("no boundary: %v, %v", within, bounded)
	}
	in.Boundaries = []string{document(allow("s3:*", "*"))}
	simulator, err = c.Simulator(ctx, in)
	must(t, err)
	for action, want := range map[string]bool{"s3:PutObject": true, "iam:GetUser": false} {
		if within, bounded := simulator.Within(action, object); within != want || !bounded {
			t.Errorf("%s within the boundary: %v, %v", action, within, bounded)
		}
	}
	_, err = c.Simulator(ctx, Simulation{Source: "arn:aws:iam::" + c.account.ID + ":user/none"})
	refused(t, err, CodeNoSuchEntity)
	_, err = c.Simulator(ctx, Simulation{Source: "none"})
	refused(t, err, CodeInvalid)
	_, err = c.Simulator(ctx, Simulation{Policies: []string{"{}"}})
	refused(t, err, CodeMalformed)
}

func TestNamed(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	u := c.user("u", allow("s3:GetObject", "*"))
	r := c.role("r", trusting(c.account.ID, ""), allow("s3:PutObject", "*"))
	session := "arn:aws:sts::" + c.account.ID + ":assumed-role/r/one"
	for who, want := range map[string]string{
		"root": c.root().ARN, c.root().ARN: c.root().ARN, "user/u": u.ARN, u.ARN: u.ARN, "role/r": "arn:aws:sts::" + c.account.ID + ":assumed-role/r/simulated",
		r.ARN: "arn:aws:sts::" + c.account.ID + ":assumed-role/r/simulated", session: session,
	} {
		p, err := c.Named(ctx, who)
		if err != nil || p.ARN != want {
			t.Errorf("%s is %s, %v; want %s", who, p.ARN, err, want)
		}
		get, put := c.may(ctx, p, "s3:GetObject", object) == "", c.may(ctx, p, "s3:PutObject", object) == ""
		isRoot := p.Kind == auth.Root
		if get != (isRoot || p.Kind == auth.User) || put != (isRoot || p.Kind == auth.AssumedRole) {
			t.Errorf("%s may get %v and put %v", who, get, put)
		}
	}
	for who, code := range map[string]string{"user/none": CodeNoSuchEntity, "u": CodeValidation, "": CodeValidation, "group/g": CodeValidation} {
		_, err := c.Named(ctx, who)
		refused(t, err, code)
	}
}
