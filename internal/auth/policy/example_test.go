package policy_test

import (
	"fmt"

	"github.com/outcrop/outcrop/internal/auth/policy"
)

func ExampleEvaluate() {
	d, err := policy.Parse([]byte(`{"Version": "2012-10-17", "Statement": [
		{"Sid": "Own", "Effect": "Allow", "Action": "s3:*Object", "Resource": "arn:aws:s3:::home/${aws:username}/*"},
		{"Sid": "Plain", "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}`), policy.Identity)
	if err != nil {
		fmt.Println(err)
		return
	}
	policies := policy.Policies{Identity: []*policy.Document{d.Named("own-folder")}}
	for _, keys := range []policy.Map{
		{"aws:username": {"bob"}, "aws:securetransport": {"true"}},
		{"aws:username": {"bob"}, "aws:securetransport": {"false"}},
		{"aws:username": {"eve"}, "aws:securetransport": {"true"}},
	} {
		r := policy.Evaluate(policies, policy.Request{
			Principal: policy.Principal{Kind: policy.User, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/" + keys["aws:username"][0]},
			Action:    "s3:GetObject", Resource: "arn:aws:s3:::home/bob/notes.txt", Keys: keys,
		})
		fmt.Println(r.Effect, "|", r.By, "|", r.Policy, r.Sid)
	}
	// Output:
	// allow | identity-based policy | own-folder Own
	// explicit deny | identity-based policy | own-folder Plain
	// no allow | identity-based policy |
}
