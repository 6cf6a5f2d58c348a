package policy_test

import (
	"fmt"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/policy"
)

// typical is a role as the toolkits make it: five policies of ten statements, a
// few of them with conditions and variables. The request is allowed by the last
// statement, so that all of them are looked at, and none denies.
func typical(tb testing.TB) (policy.Policies, policy.Request) {
	var p policy.Policies
	for i := range 5 {
		list := ""
		for j := range 10 {
			if j > 0 {
				list += ","
			}
			condition := ""
			switch j % 5 {
			case 0:
				condition = `,"Condition":{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"},"IpAddress":{"aws:SourceIp":["10.0.0.0/8","203.0.113.0/24"]}}`
			case 1:
				condition = `,"Condition":{"ForAllValues:StringLike":{"aws:TagKeys":["team","cost-*"]}}`
			}
			effect := "Allow"
			if j%5 == 1 {
				effect = "Deny"
			}
			list += fmt.Sprintf(`{"Sid":"S%d","Effect":%q,"Action":["s3:Get*","logs:PutLogEvents","bedrock-agentcore:GetResource%dApiKey","bedrock-agentcore:*Runtime%d"],`+
				`"Resource":["arn:aws:s3:::bucket-%d/${aws:PrincipalTag/team}/*","arn:aws:bedrock-agentcore:*:111122223333:runtime/agent-%d-*"]%s}`, j, effect, j, i*10+j, j, i*10+j, condition)
		}
		d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[`+list+`]}`), policy.Identity)
		if err != nil {
			tb.Fatal(err)
		}
		p.Identity = append(p.Identity, d)
	}
	return p, policy.Request{
		Principal: people["session"], Action: "bedrock-agentcore:InvokeAgentRuntime49",
		Resource: "arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/agent-49-AbCdEfGh12",
		Keys: policy.Map{"aws:principaltag/team": {"blue"}, "aws:resourcetag/team": {"blue"}, "aws:sourceip": {"203.0.113.9"},
			"aws:tagkeys": {"team", "cost-center"}},
	}
}

func BenchmarkEvaluate(b *testing.B) {
	p, r := typical(b)
	b.ReportAllocs()
	for b.Loop() {
		if got := policy.Evaluate(p, r); got.Effect != policy.Allow {
			b.Fatal(got)
		}
	}
}

// BenchmarkEvaluateConditions makes every statement come to its condition.
func BenchmarkEvaluateConditions(b *testing.B) {
	p, r := typical(b)
	r.Action, r.Resource = "s3:GetObject", "arn:aws:s3:::bucket-0/blue/key"
	r.Keys = policy.Map{"aws:principaltag/team": {"blue"}, "aws:resourcetag/team": {"blue"}, "aws:sourceip": {"198.51.100.1"}, "aws:tagkeys": {"team"}}
	b.ReportAllocs()
	for b.Loop() {
		if got := policy.Evaluate(p, r); got.Effect != policy.NoAllow {
			b.Fatal(got)
		}
	}
}

// BenchmarkEvaluatePrincipals is a policy of a resource that names forty roles, the last
// of which asks, by their ARNs and by whom these were pinned to.
func BenchmarkEvaluatePrincipals(b *testing.B) {
	list, pins := []string{}, map[string]string{roleARN: roleID}
	for i := range 39 {
		arn := fmt.Sprintf("arn:aws:iam::%s:role/path/worker-%d", home, i)
		list, pins[arn] = append(list, arn), fmt.Sprintf("AROAAAAAAAAAAAAAAAA%02d", i)
	}
	d, err := policy.Parse([]byte(encode(object{"Version": "2012-10-17", "Statement": object{
		"Effect": "Allow", "Principal": object{"AWS": append(list, roleARN)}, "Action": "s3:*", "Resource": "*",
	}})), policy.Resource)
	if err != nil {
		b.Fatal(err)
	}
	r := policy.Request{Principal: people["session"], Action: "s3:GetObject", Resource: ours}
	for name, d := range map[string]*policy.Document{"arns": d, "pinned": d.Pinned(pins)} {
		p := policy.Policies{Resource: []*policy.Document{d}}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := policy.Evaluate(p, r); got.Effect != policy.Allow {
					b.Fatal(got)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(condition(everyOperator()))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Parse(text, policy.Identity); err != nil {
			b.Fatal(err)
		}
	}
}
