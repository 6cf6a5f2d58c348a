package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
)

// onlyAnn is whom a test's server knows.
type onlyAnn struct{}

func (onlyAnn) Named(_ context.Context, who string) (auth.Principal, error) {
	if who != "user/ann" {
		return auth.Principal{}, fault.New("NoSuchEntity", 404, "The user with name %s cannot be found.", strings.TrimPrefix(who, "user/"))
	}
	return auth.Principal{Account: testAccount, ARN: "arn:aws:iam::" + testAccount + ":user/ann", Kind: auth.User}, nil
}

func (onlyAnn) Decide(ctx context.Context, _ auth.Principal, r auth.Requirement) auth.Decision {
	d := auth.Decision{Requirement: r}
	switch {
	case r.Action == "s3:GetObject" && r.Resource == "*":
		for _, key := range []string{"aws:sourceip", "aws:resourcetag/team", "aws:principaltag/team", "aws:sourceip"} {
			auth.RequestFrom(ctx).Absent(key)
		}
		d.Effect, d.Result = auth.Allow, policy.Result{Policy: "ann/own", Sid: "Read", Statement: 1}
	case strings.Join(auth.RequestFrom(ctx).Keys["aws:sourceip"], " ") == "10.0.0.7 10.0.0.8":
		d.Effect, d.Result = auth.ExplicitDeny, policy.Result{Policy: "ann/own", Statement: 2}
	}
	return d
}

// TestSimulate asks what a user may do.
func TestSimulate(t *testing.T) {
	u := withOperator(t)
	for _, step := range []struct{ name, line string }{
		{"allowed", "policy simulate user/ann s3:GetObject"},
		{"not", "policy simulate user/ann s3:PutObject arn:aws:s3:::b/k"},
		{"denied", "policy simulate user/ann s3:PutObject arn:aws:s3:::b/k --context aws:SourceIp=10.0.0.7 --context aws:SourceIp=10.0.0.8"},
		{"json", "policy simulate user/ann s3:PutObject arn:aws:s3:::b/k --json"},
		{"nobody", "policy simulate user/bob s3:PutObject"},
		{"no_action", "policy simulate user/ann s3"},
		{"misuse", "policy simulate user/ann"},
		{"context", "policy simulate user/ann s3:GetObject --context x"},
		{"below", "policy"},
	} {
		t.Run(step.name, func(t *testing.T) { u.golden("policy/"+step.name, u.run(strings.Fields(step.line)...)) })
	}
}
