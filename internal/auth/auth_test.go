package auth_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
)

const (
	account = "123456789012"
	action  = "bedrock-agentcore:GetAgentRuntime"
)

func root() auth.Principal {
	return auth.Principal{Account: account, ARN: auth.RootARN(account), ID: "AKIAEXAMPLE", Kind: auth.Root}
}

func TestDecide(t *testing.T) {
	user := root()
	user.Kind, user.ARN = auth.User, "arn:aws:iam::"+account+":user/ann"
	stateless := root()
	stateless.Account = ""
	tests := []struct {
		name      string
		principal auth.Principal
		action    string
		resource  string
		want      auth.Effect
	}{
		{"own resource", root(), action, "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a-1", auth.Allow},
		{"no resource", root(), action, "*", auth.Allow},
		{"bucket, no account field", root(), "s3:GetObject", "arn:aws:s3:::b/k:with:colons", auth.Allow},
		{"global service", root(), "iam:PassRole", "arn:aws:iam::123456789012:role/outcrop-default", auth.Allow},
		{"the platform's own", root(), action, "arn:aws:bedrock-agentcore:us-east-1:aws:browser/aws.browser.v1", auth.Allow},
		{"another partition", root(), action, "arn:aws-cn:bedrock-agentcore:cn-north-1:123456789012:runtime/a", auth.Allow},
		{"no partition", root(), action, "arn::bedrock-agentcore:us-east-1:123456789012:runtime/a-1", auth.Allow},
		{"another account", root(), action, "arn:aws:bedrock-agentcore:us-east-1:999999999999:runtime/a-1", auth.NoAllow},
		{"pattern for the account", root(), action, "arn:aws:bedrock-agentcore:us-east-1:*:runtime/a-1", auth.NoAllow},
		{"prefix of the account", root(), action, "arn:aws:bedrock-agentcore:us-east-1:1234567890:runtime/a-1", auth.NoAllow},
		{"not an ARN", root(), action, "runtime/a-1", auth.NoAllow},
		{"ARN cut short", root(), action, "arn:aws:bedrock-agentcore:us-east-1", auth.NoAllow},
		{"ARN without resource", root(), action, "arn:aws:bedrock-agentcore:us-east-1:123456789012:", auth.NoAllow},
		{"empty resource", root(), action, "", auth.NoAllow},
		{"empty action", root(), "", "*", auth.NoAllow},
		{"action without service", root(), "GetAgentRuntime", "*", auth.NoAllow},
		{"user", user, action, "*", auth.NoAllow},
		{"nobody", auth.Principal{}, action, "*", auth.NoAllow},
		{"no account", stateless, action, "*", auth.NoAllow},
	}
	a := auth.NewAuthorizer()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := auth.Requirement{Action: tt.action, Resource: tt.resource}
			d := a.Decide(t.Context(), tt.principal, r)
			if d.Effect != tt.want {
				t.Errorf("Decide = %v (%s), want %v", d.Effect, d.Because(), tt.want)
			}
			if d.Because() == "" || d.Requirement != r {
				t.Errorf("the decision does not say what and why: %+v", d)
			}
			err := a.Authorize(t.Context(), tt.principal, []auth.Requirement{{Action: action, Resource: "*"}, r})
			if (err == nil) != (tt.want == auth.Allow) {
				t.Errorf("Authorize = %v, want it to agree with %v", err, tt.want)
			}
		})
	}
}

func TestRefusalTexts(t *testing.T) {
	r := auth.Requirement{Action: action, Resource: "arn:aws:bedrock-agentcore:us-east-1:999999999999:runtime/50%25"}
	start := "User: arn:aws:iam::123456789012:root is not authorized to perform: bedrock-agentcore:GetAgentRuntime" +
		" on resource: arn:aws:bedrock-agentcore:us-east-1:999999999999:runtime/50%25"
	tests := map[auth.Effect]string{
		auth.NoAllow:      start + " because no identity-based policy allows the bedrock-agentcore:GetAgentRuntime action",
		auth.ExplicitDeny: start + " with an explicit deny in an identity-based policy",
	}
	for effect, want := range tests {
		err := auth.Decision{Requirement: r, Effect: effect}.Refusal(root())
		f := fault.From(err)
		if f.Code != "AccessDeniedException" || f.Status != 403 || f.Message != want {
			t.Errorf("%v: %s %d %q\nwant %q", effect, f.Code, f.Status, f.Message, want)
		}
	}
	if err := (auth.Decision{Requirement: r, Effect: auth.Allow}).Refusal(root()); err != nil {
		t.Errorf("an allowed decision has a refusal: %v", err)
	}
}

// TestPassedAbroad: a role of another account cannot be passed, and no policy would help.
func TestPassedAbroad(t *testing.T) {
	a := auth.NewAuthorizer()
	for role, want := range map[string]string{
		"arn:aws:iam::999999999999:role/agent": " because the role is of account 999999999999 and the caller of account 123456789012. A role is passed within its own account alone",
		"agent":                                " because no identity-based policy allows the iam:PassRole action",
	} {
		f := fault.From(a.Authorize(t.Context(), root(), []auth.Requirement{{Action: "iam:PassRole", Resource: role}}))
		if f.Code != "AccessDeniedException" || f.Message != "User: arn:aws:iam::123456789012:root is not authorized to perform: iam:PassRole on resource: "+role+want {
			t.Errorf("%v", f)
		}
	}
}

func TestAuthorizeNeedsRequirements(t *testing.T) {
	err := auth.NewAuthorizer().Authorize(t.Context(), root(), nil)
	if f := fault.From(err); f.Status != 500 {
		t.Errorf("a call without requirements: %v, want an internal error", err)
	}
}

// TestDeniedIsTold: of what was refused, and of nothing else.
func TestDeniedIsTold(t *testing.T) {
	var told []string
	a := &auth.Authorizer{Denied: func(p auth.Principal, d auth.Decision) { told = append(told, p.ARN+" "+d.Requirement.Action) }}
	reqs := []auth.Requirement{{Action: action, Resource: "*"}}
	role := auth.Principal{Account: root().Account, ARN: "arn:aws:sts::123456789012:assumed-role/r/s", Kind: auth.AssumedRole}
	if err := a.Authorize(t.Context(), root(), reqs); err != nil {
		t.Error(err)
	}
	if err := a.Authorize(t.Context(), role, reqs); err == nil {
		t.Error("a role is allowed")
	}
	if len(told) != 1 || told[0] != role.ARN+" "+action {
		t.Errorf("told of %q", told)
	}
}

func TestKindText(t *testing.T) {
	for _, k := range []auth.Kind{auth.Nobody, auth.Root, auth.User, auth.AssumedRole, auth.Service} {
		text, err := k.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back auth.Kind
		if err := back.UnmarshalText(text); err != nil || back != k {
			t.Errorf("%v came back as %v, %v", k, back, err)
		}
	}
	k := auth.Root
	if err := k.UnmarshalText([]byte("emperor")); err != nil || k != auth.Nobody {
		t.Errorf("an unknown kind is %v, %v; want nobody", k, err)
	}
}

func TestRequestTravels(t *testing.T) {
	ip := netip.MustParseAddr("192.0.2.7")
	ctx := auth.WithRequest(t.Context(), auth.Request{SourceIP: ip, Secure: true})
	if r := auth.RequestFrom(ctx); r.SourceIP != ip || !r.Secure {
		t.Errorf("RequestFrom = %+v", r)
	}
	if r := auth.RequestFrom(context.Background()); r.SourceIP.IsValid() || r.Secure {
		t.Errorf("an empty context has %+v", r)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	a, p := auth.NewAuthorizer(), root()
	reqs := []auth.Requirement{{Action: action, Resource: "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a-1"}}
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Authorize(b.Context(), p, reqs); err != nil {
			b.Fatal(err)
		}
	}
}
