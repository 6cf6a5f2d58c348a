package principal

import (
	"fmt"
	"testing"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/principal/managed"
)

// BenchmarkDecide is the decision about one action of a role's session with five
// policies, a boundary and a session policy, whose documents are compiled.
func BenchmarkDecide(b *testing.B) {
	c := newCourt(b)
	ctx := b.Context()
	r := c.role("r", trusting(c.account.ID, ""), allow("sts:GetCallerIdentity", "*"))
	h := Holder{RoleHolder, "r"}
	for i := range 3 {
		must(b, c.PutInline(ctx, h, fmt.Sprint("p", i), document(
			allow("logs:* xray:Put* ecr:BatchGetImage", "*")+`,{"Effect":"Allow","Action":"cloudwatch:PutMetricData","Resource":"*","Condition":{"StringEquals":{"cloudwatch:namespace":"x"}}}`)))
	}
	must(b, c.Attach(ctx, h, "arn:aws:iam::aws:policy/BedrockAgentCoreFullAccess"))
	must(b, c.SetBoundary(ctx, h, managed.Administrator))
	for name, limits := range map[string]Limits{"role": {}, "session-policy": {Policy: document(allow("bedrock-agentcore:*", "*"))}} {
		s, err := c.AssumeRole(ctx, c.root(), Assumption{Role: r.ARN, Name: "bench", Limits: limits})
		must(b, err)
		p := c.as(s)
		reqs := []auth.Requirement{{Action: "bedrock-agentcore:InvokeAgentRuntime", Resource: "arn:aws:bedrock-agentcore:us-west-2:" + c.account.ID + ":runtime/a-0123456789"}}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Authorize(ctx, p, reqs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSessionToken is what it takes to know the holder of temporary credentials.
func BenchmarkSessionToken(b *testing.B) {
	c := newCourt(b)
	r := c.role("r", trusting(c.account.ID, ""), "")
	s, err := c.AssumeRole(b.Context(), c.root(), Assumption{Role: r.ARN, Name: "bench"})
	must(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Key(b.Context(), s.AccessKeyID, s.SessionToken.Reveal()); err != nil {
			b.Fatal(err)
		}
	}
}
