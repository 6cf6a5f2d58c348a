package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/policy"
)

// A matchCase asks whether a statement's actions and resources are those of a
// request.
type matchCase struct {
	name, rule       string
	statement        string // without its effect
	action, resource string
	applies          bool
}

const bucket = `"Resource":"arn:aws:s3:::b/*"`

var matchCases = []matchCase{
	{"the action", "Action", `"Action":"s3:GetObject",` + bucket, "s3:GetObject", "arn:aws:s3:::b/k", true},
	{"actions have no case", "Action: case-insensitive", `"Action":"S3:getobject",` + bucket, "s3:GetObject", "arn:aws:s3:::b/k", true},
	{"another action", "Action", `"Action":"s3:GetObject",` + bucket, "s3:GetObjectAcl", "arn:aws:s3:::b/k", false},
	{"star in an action", "Action: wildcards", `"Action":"s3:*Object",` + bucket, "s3:PutObject", "arn:aws:s3:::b/k", true},
	{"star amid an action", "Action: wildcards", `"Action":"iam:*AccessKey*","Resource":"*"`, "iam:ListAccessKeys", "*", true},
	{"mark in an action", "Action: wildcards", `"Action":"s3:?etObject",` + bucket, "s3:GetObject", "arn:aws:s3:::b/k", true},
	{"mark is one", "Action: wildcards", `"Action":"s3:?GetObject",` + bucket, "s3:GetObject", "arn:aws:s3:::b/k", false},
	{"a service's star is not another's", "Action: wildcards", `"Action":"s3:*","Resource":"*"`, "s3express:CreateSession", "*", false},
	{"every action", "Action: wildcards", `"Action":"*",` + bucket, "s3:GetObject", "arn:aws:s3:::b/k", true},
	{"one of several actions", "grammar: lists", `"Action":["s3:PutObject","s3:GetObject"],` + bucket, "s3:GetObject", "arn:aws:s3:::b/k", true},
	{"not that action", "NotAction", `"NotAction":"s3:Delete*",` + bucket, "s3:GetObject", "arn:aws:s3:::b/k", true},
	{"not that action, that one", "NotAction", `"NotAction":["iam:*","s3:get*"],` + bucket, "s3:GetObject", "arn:aws:s3:::b/k", false},

	{"the resource", "Resource", `"Action":"*","Resource":"arn:aws:s3:::b"`, "s3:ListBucket", "arn:aws:s3:::b", true},
	{"resources have case", "Resource: case-sensitive", `"Action":"*","Resource":"arn:aws:s3:::b/K"`, "s3:GetObject", "arn:aws:s3:::b/k", false},
	{"a prefix is not the resource", "Resource", `"Action":"*","Resource":"arn:aws:s3:::b"`, "s3:GetObject", "arn:aws:s3:::b/k", false},
	{"star crosses slashes", "Resource: wildcards", `"Action":"*","Resource":"arn:aws:s3:::b/*.txt"`, "s3:GetObject", "arn:aws:s3:::b/x/y/z.txt", true},
	{"star crosses colons", "Resource: wildcards, beyond the colon boundaries", `"Action":"*","Resource":"arn:aws:logs:*"`, "logs:PutLogEvents", "arn:aws:logs:r:111122223333:log-group:g:log-stream:s", true},
	{"star in the region", "Resource: wildcards", `"Action":"*","Resource":"arn:aws:sqs:*:111122223333:q"`, "sqs:SendMessage", "arn:aws:sqs:r-1:111122223333:q", true},
	{"star in the partition", "AWS managed policies: arn:*:", `"Action":"*","Resource":"arn:*:sqs:*:111122223333:q"`, "sqs:SendMessage", "arn:aws:sqs:r-1:111122223333:q", true},
	{"mark in a resource", "Resource: wildcards", `"Action":"*","Resource":"arn:aws:s3:::b/?"`, "s3:GetObject", "arn:aws:s3:::b/kk", false},
	{"an incomplete ARN is filled up", "reference-arns: incomplete", `"Action":"*","Resource":"arn:aws:sqs"`, "sqs:SendMessage", "arn:aws:sqs:r-1:111122223333:q", true},
	{"an incomplete ARN is of its service", "reference-arns: incomplete", `"Action":"*","Resource":"arn:aws:s3"`, "s3express:CreateSession", "arn:aws:s3express:r:111122223333:bucket/b", false},
	{"every resource", "Resource", `"Action":"*","Resource":"*"`, "iam:ListUsers", "*", true},
	{"an action without resource needs the star", "Resource", `"Action":"*","Resource":"arn:aws:iam::111122223333:user/*"`, "iam:ListUsers", "*", false},
	{"one of several resources", "grammar: lists", `"Action":"*","Resource":["arn:aws:s3:::a/*","arn:aws:s3:::b/*"]`, "s3:GetObject", "arn:aws:s3:::b/k", true},
	{"not that resource", "NotResource", `"Action":"*","NotResource":"arn:aws:s3:::a/*"`, "s3:GetObject", "arn:aws:s3:::b/k", true},
	{"not that resource, that one", "NotResource", `"Action":"*","NotResource":["arn:aws:s3:::a/*","arn:aws:s3:::b/*"]`, "s3:GetObject", "arn:aws:s3:::b/k", false},

	{"variable in a resource", "variables: Resource", `"Action":"*","Resource":"arn:aws:s3:::b/${aws:username}/*"`, "s3:GetObject", "arn:aws:s3:::b/bob/k", true},
	{"variable in a resource, another", "variables: Resource", `"Action":"*","Resource":"arn:aws:s3:::b/${aws:username}/*"`, "s3:GetObject", "arn:aws:s3:::b/eve/k", false},
	{"variable without value in a resource", "variables: no value", `"Action":"*","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team}*"`, "s3:GetObject", "arn:aws:s3:::b/k", false},
	{"variable without value in NotResource", "variables: no value", `"Action":"*","NotResource":"arn:aws:s3:::b/${aws:PrincipalTag/team}*"`, "s3:GetObject", "arn:aws:s3:::b/k", true},
	{"default in a resource", "variables: default values", `"Action":"*","Resource":"arn:aws:s3:::b-${aws:PrincipalTag/team, 'company-wide'}"`, "s3:ListBucket", "arn:aws:s3:::b-company-wide", true},
	{"wildcard of a value in a resource", "variables: special characters", `"Action":"*","Resource":"arn:aws:s3:::b/${k:star}"`, "s3:GetObject", "arn:aws:s3:::b/ab", false},
	{"escape in a resource", "variables: special characters", `"Action":"*","Resource":"arn:aws:s3:::b/${*}"`, "s3:GetObject", "arn:aws:s3:::b/*", true},
}

func TestMatches(t *testing.T) {
	for _, c := range matchCases {
		t.Run(c.name, func(t *testing.T) {
			r := policy.Request{Principal: policy.Principal{Kind: policy.User, Account: home}, Action: c.action, Resource: c.resource, Owner: home, Keys: context(nil)}
			for effect, want := range map[string]policy.Effect{"Allow": policy.Allow, "Deny": policy.ExplicitDeny} {
				if !c.applies {
					want = policy.NoAllow
				}
				text := `{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `",` + c.statement + `}}`
				p := naivePolicies{identity: []object{readObject(text)}}
				if got := policy.Evaluate(compile(t, p), r); got.Effect != want {
					t.Errorf("%s: %v, want %v (%s)", text, got.Effect, want, c.rule)
				}
				if got, _ := naiveEvaluate(p, r); got != want {
					t.Errorf("the naive evaluator says %v of %s, want %v", got, text, want)
				}
			}
		})
	}
}

// A decisionCase is a set of policies in a shorthand: statements by name, a
// space between those of one document and " | " between documents.
type decisionCase struct {
	name, rule                          string
	who                                 string
	identity, boundary, session, policy string
	resource                            string // ours unless given
	must                                bool
	want                                string // effect, type, document/Sid
}

// The statements of the shorthand. Those after "to:" are about a principal.
var statements = map[string]string{
	"allow":  `"Sid":"allow","Effect":"Allow"`,
	"deny":   `"Sid":"deny","Effect":"Deny"`,
	"other":  `"Sid":"other","Effect":"Allow","Action":"s3:PutObject"`,
	"nodeny": `"Sid":"nodeny","Effect":"Deny","Action":"s3:PutObject"`,
}

var principals = map[string]string{
	"user": `{"AWS":"` + userARN + `"}`, "role": `{"AWS":"` + roleARN + `"}`, "session": `{"AWS":"` + sessionARN + `"}`,
	"federated": `{"AWS":"` + federatedARN + `"}`, "account": `{"AWS":"` + home + `"}`, "root": `{"AWS":"arn:aws:iam::` + home + `:root"}`,
	"away": `{"AWS":"` + away + `"}`, "all": `"*"`, "everyaws": `{"AWS":"*"}`, "lambda": `{"Service":"lambda.amazonaws.com"}`,
	"s3": `{"Service":"s3.amazonaws.com"}`, "provider": `{"Federated":"` + providerARN + `"}`, "issuer": `{"Federated":"lambda.amazonaws.com"}`, "userid": `{"AWS":"` + userID + `"}`, "roleid": `{"AWS":"` + roleID + `"}`,
	"barerole": `{"AWS":"arn:aws:iam::` + home + `:role/worker"}`, "canonical": `{"CanonicalUser":"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}`,
}

var people = map[string]policy.Principal{
	"user":      {Kind: policy.User, Account: home, ARN: userARN, ID: userID, CanonicalUser: "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"},
	"session":   {Kind: policy.RoleSession, Account: home, ARN: sessionARN, Source: roleARN, ID: roleID},
	"federated": {Kind: policy.FederatedUser, Account: home, ARN: federatedARN, Source: userARN, ID: userID},
	"root":      {Kind: policy.Root, Account: home, ARN: "arn:aws:iam::" + home + ":root"},
	"lambda":    {Kind: policy.Service, Names: []string{"lambda.amazonaws.com"}},
	"provider":  {Kind: policy.Federated, Names: []string{providerARN}},
	"anonymous": {},
}

const ours, theirs = "arn:aws:s3:r:" + home + ":x", "arn:aws:s3:r:" + away + ":x"

var decisionCases = []decisionCase{
	{name: "nothing", rule: "evaluation: implicit deny", who: "user", want: "no allow identity-based policy"},
	{name: "identity allows", rule: "evaluation: identity-based", who: "user", identity: "allow", want: "allow identity-based policy identity-0/allow"},
	{name: "the second document allows", rule: "evaluation: identity-based", who: "user", identity: "other | other allow", want: "allow identity-based policy identity-1/allow"},
	{name: "only something else allowed", rule: "evaluation: implicit deny", who: "user", identity: "other", want: "no allow identity-based policy"},
	{name: "deny wins in a document", rule: "evaluation: explicit deny", who: "user", identity: "allow deny", want: "explicit deny identity-based policy identity-0/deny"},
	{name: "deny wins across documents", rule: "evaluation: explicit deny", who: "user", identity: "allow | deny", want: "explicit deny identity-based policy identity-1/deny"},
	{name: "a deny of something else", rule: "evaluation: explicit deny", who: "user", identity: "nodeny allow", want: "allow identity-based policy identity-0/allow"},

	{name: "boundary allows too", rule: "boundaries", who: "user", identity: "allow", boundary: "allow", want: "allow identity-based policy identity-0/allow"},
	{name: "boundary does not allow", rule: "boundaries: intersection", who: "user", identity: "allow", boundary: "other", want: "no allow permissions boundary"},
	{name: "boundary alone gives nothing", rule: "boundaries: gives no permissions", who: "user", boundary: "allow", want: "no allow identity-based policy"},
	{name: "boundary denies", rule: "evaluation: explicit deny", who: "user", identity: "allow", boundary: "allow deny", want: "explicit deny permissions boundary boundary/deny"},
	{name: "session allows too", rule: "session: intersection", who: "session", identity: "allow", session: "other | allow", want: "allow identity-based policy identity-0/allow"},
	{name: "session does not allow", rule: "session: intersection", who: "session", identity: "allow", session: "other", want: "no allow session policy"},
	{name: "session without a document", rule: "session: intersection", who: "session", identity: "allow", session: "none", want: "no allow session policy"},
	{name: "session alone gives nothing", rule: "session: intersection", who: "session", session: "allow", want: "no allow identity-based policy"},
	{name: "session denies", rule: "evaluation: explicit deny", who: "session", identity: "allow", session: "allow deny", want: "explicit deny session policy session-0/deny"},
	{name: "boundary and session allow", rule: "session: intersection", who: "session", identity: "allow", boundary: "allow", session: "allow", want: "allow identity-based policy identity-0/allow"},
	{name: "boundary before session", rule: "evaluation: order", who: "session", identity: "allow", boundary: "other", session: "other", want: "no allow permissions boundary"},

	{name: "resource names the user", rule: "evaluation: resource-based, IAM user", who: "user", policy: "to:user", want: "allow resource-based policy resource-0/to"},
	{name: "resource names the user, past the boundary", rule: "evaluation: resource-based, IAM user", who: "user", boundary: "other", policy: "to:user", want: "allow resource-based policy resource-0/to"},
	{name: "resource names the user by id", rule: "Principal: unique identifiers", who: "user", policy: "to:userid", want: "allow resource-based policy resource-0/to"},
	{name: "resource names another user", rule: "evaluation: resource-based", who: "session", policy: "to:user", want: "no allow identity-based policy"},
	{name: "resource names the role", rule: "evaluation: resource-based, IAM role", who: "session", policy: "to:role", want: "allow resource-based policy resource-0/to"},
	{name: "resource names the role by id", rule: "Principal: unique identifiers", who: "session", policy: "to:roleid", want: "allow resource-based policy resource-0/to"},
	{name: "a role's path counts", rule: "Principal: role ARN", who: "session", policy: "to:barerole", want: "no allow identity-based policy"},
	{name: "resource names the role, boundary limits", rule: "evaluation: limited by a permissions boundary", who: "session", boundary: "other", policy: "to:role", want: "no allow permissions boundary"},
	{name: "resource names the role, session limits", rule: "evaluation: limited by a session policy", who: "session", session: "other", policy: "to:role", want: "no allow session policy"},
	{name: "resource names the role, both allow", rule: "evaluation: resource-based, IAM role", who: "session", boundary: "allow", session: "allow", policy: "to:role", want: "allow resource-based policy resource-0/to"},
	{name: "resource names the session", rule: "evaluation: resource-based, role session", who: "session", policy: "to:session", want: "allow resource-based policy resource-0/to"},
	{name: "resource names the session, past both", rule: "evaluation: not limited", who: "session", boundary: "other", session: "other", policy: "to:session", want: "allow resource-based policy resource-0/to"},
	{name: "resource names the session, boundary denies", rule: "evaluation: explicit deny", who: "session", boundary: "deny", policy: "to:session", want: "explicit deny permissions boundary boundary/deny"},
	{name: "the more direct statement decides", rule: "evaluation: not limited", who: "session", session: "other", policy: "to:account | to:role | to:session", want: "allow resource-based policy resource-2/to"},
	{name: "resource names the federated user", rule: "evaluation: federated user session", who: "federated", session: "other", policy: "to:federated", want: "allow resource-based policy resource-0/to"},
	{name: "resource names who federated", rule: "evaluation: limited by a session policy", who: "federated", session: "other", policy: "to:user", want: "no allow session policy"},
	{name: "resource names who federated, session allows", rule: "evaluation: federated user session", who: "federated", session: "allow", policy: "to:user", want: "allow resource-based policy resource-0/to"},
	{name: "resource names everybody", rule: "Principal: all principals", who: "session", boundary: "other", session: "other", policy: "to:all", want: "allow resource-based policy resource-0/to"},
	{name: "resource names every AWS", rule: "Principal: all principals", who: "user", policy: "to:everyaws", want: "allow resource-based policy resource-0/to"},
	{name: "resource names the account", rule: "Principal: delegates authority to the account", who: "user", policy: "to:account", want: "no allow identity-based policy"},
	{name: "resource names the account, identity allows", rule: "Principal: delegates authority to the account", who: "user", identity: "allow", policy: "to:root", want: "allow identity-based policy identity-0/allow"},
	{name: "resource names the canonical user", rule: "Principal: canonical user id", who: "user", policy: "to:canonical", want: "no allow identity-based policy"},
	{name: "resource denies the user", rule: "evaluation: explicit deny", who: "user", identity: "allow", policy: "not:user", want: "explicit deny resource-based policy resource-0/not"},
	{name: "resource denies the role", rule: "evaluation: explicit deny", who: "session", identity: "allow", policy: "not:role", want: "explicit deny resource-based policy resource-0/not"},
	{name: "resource denies the account", rule: "evaluation: explicit deny", who: "session", identity: "allow", policy: "not:account", want: "explicit deny resource-based policy resource-0/not"},
	{name: "resource denies another account", rule: "evaluation: explicit deny", who: "session", identity: "allow", policy: "not:away", want: "allow identity-based policy identity-0/allow"},
	{name: "resource denies all but the user", rule: "NotPrincipal", who: "session", identity: "allow", policy: "but:user", want: "explicit deny resource-based policy resource-0/but"},
	{name: "resource denies all but this user", rule: "NotPrincipal", who: "user", identity: "allow", policy: "but:user", want: "allow identity-based policy identity-0/allow"},
	{name: "resource denies all but the role", rule: "NotPrincipal", who: "session", identity: "allow", policy: "but:role", want: "allow identity-based policy identity-0/allow"},
	{name: "resource denies all but the account: not its root", rule: "NotPrincipal", who: "root", policy: "but:root", want: "allow identity-based policy"},
	{name: "resource denies all but the account: its users", rule: "NotPrincipal: all of a caller's principals", who: "user", identity: "allow", policy: "but:root", want: "explicit deny resource-based policy resource-0/but"},
	{name: "resource denies all but the account: its sessions", rule: "NotPrincipal: all of a caller's principals", who: "session", identity: "allow", policy: "but:account", want: "explicit deny resource-based policy resource-0/but"},
	{name: "resource denies all but this user, who has a boundary", rule: "boundaries: NotPrincipal always denies", who: "user", identity: "allow", boundary: "allow", policy: "but:user", want: "explicit deny resource-based policy resource-0/but"},

	{name: "across accounts, identity alone", rule: "cross-account", who: "user", identity: "allow", resource: theirs, want: "no allow resource-based policy"},
	{name: "across accounts, resource alone", rule: "cross-account", who: "user", policy: "to:user", resource: theirs, want: "no allow identity-based policy"},
	{name: "across accounts, both", rule: "cross-account", who: "user", identity: "allow", policy: "to:user", resource: theirs, want: "allow identity-based policy identity-0/allow"},
	{name: "across accounts, the account", rule: "cross-account", who: "user", identity: "allow", policy: "to:account", resource: theirs, want: "allow identity-based policy identity-0/allow"},
	{name: "across accounts, the session, limited", rule: "cross-account: both evaluations", who: "session", identity: "allow", session: "other", policy: "to:session", resource: theirs, want: "no allow session policy"},
	{name: "across accounts, everybody and no identity", rule: "cross-account", who: "session", policy: "to:all", resource: theirs, want: "no allow identity-based policy"},
	{name: "across accounts, denied there", rule: "cross-account", who: "user", identity: "allow", policy: "to:user not:account", resource: theirs, want: "explicit deny resource-based policy resource-0/not"},

	{name: "root", rule: "evaluation: root has full access", who: "root", want: "allow identity-based policy"},
	{name: "root, denied by the resource", rule: "evaluation: explicit deny", who: "root", policy: "not:root", want: "explicit deny resource-based policy resource-0/not"},
	{name: "root, across accounts", rule: "cross-account", who: "root", resource: theirs, want: "no allow resource-based policy"},
	{name: "root, across accounts, named", rule: "cross-account", who: "root", policy: "to:account", resource: theirs, want: "allow identity-based policy"},

	{name: "service, named", rule: "Principal: services", who: "lambda", policy: "to:lambda", want: "allow resource-based policy resource-0/to"},
	{name: "service, another named", rule: "Principal: services", who: "lambda", policy: "to:s3", want: "no allow resource-based policy"},
	{name: "service, a provider of its name", rule: "Principal: services", who: "lambda", policy: "to:issuer", want: "no allow resource-based policy"},
	{name: "service, identity policies are nothing to it", rule: "Principal: services", who: "lambda", identity: "allow", want: "no allow resource-based policy"},
	{name: "service, everybody", rule: "Principal: all principals", who: "lambda", policy: "to:all", want: "allow resource-based policy resource-0/to"},
	{name: "service, denied with everybody", rule: "evaluation: explicit deny", who: "lambda", policy: "to:lambda not:all", want: "explicit deny resource-based policy resource-0/not"},
	{name: "nobody, everybody", rule: "Principal: anonymous", who: "anonymous", policy: "to:all", want: "allow resource-based policy resource-0/to"},
	{name: "nobody, an account", rule: "Principal: anonymous", who: "anonymous", policy: "to:account", want: "no allow resource-based policy"},
	{name: "provider, named", rule: "Principal: web identity", who: "provider", policy: "to:provider", want: "allow resource-based policy resource-0/to"},
	{name: "provider, a service named", rule: "Principal: web identity", who: "provider", policy: "to:lambda", want: "no allow resource-based policy"},

	{name: "trust must allow", rule: "evaluation: role trust policies are exceptions", who: "user", must: true, identity: "allow", want: "no allow resource-based policy"},
	{name: "trust names the user", rule: "evaluation: role trust policies", who: "user", must: true, policy: "to:user", want: "allow resource-based policy resource-0/to"},
	{name: "trust names the account", rule: "evaluation: role trust policies", who: "user", must: true, policy: "to:account", want: "no allow identity-based policy"},
	{name: "trust names the account, identity allows", rule: "evaluation: role trust policies", who: "user", must: true, identity: "allow", policy: "to:account", want: "allow identity-based policy identity-0/allow"},
	{name: "trust names the role of a session", rule: "evaluation: role trust policies", who: "session", must: true, session: "other", policy: "to:role", want: "no allow session policy"},
	{name: "trust across accounts", rule: "cross-account", who: "user", must: true, identity: "allow", policy: "to:account", resource: theirs, want: "allow identity-based policy identity-0/allow"},
	{name: "trust names the provider", rule: "Principal: web identity", who: "provider", must: true, policy: "to:provider", want: "allow resource-based policy resource-0/to"},
}

func TestDecisions(t *testing.T) {
	for _, c := range decisionCases {
		t.Run(c.name, func(t *testing.T) {
			p := naivePolicies{identity: documents(c.identity, c.must), session: documents(c.session, c.must), resource: documents(c.policy, c.must), mustAllow: c.must}
			if b := documents(c.boundary, c.must); b != nil {
				p.boundary = b[0]
			}
			r := policy.Request{Principal: people[c.who], Action: "s3:GetObject", Resource: ours}
			if c.resource != "" {
				r.Resource = c.resource
			}
			if c.must {
				r.Action = "sts:AssumeRole"
			}
			got := policy.Evaluate(compile(t, p), r)
			said := got.Effect.String() + " " + got.By.String()
			if got.Policy != "" {
				said += " " + got.Policy + "/" + got.Sid
			}
			if said != c.want {
				t.Errorf("%s, want %s (%s)\n%s", said, c.want, c.rule, show(p))
			}
			if c.policy == "to:canonical" {
				return // the naive evaluator knows no canonical users
			}
			if effect, by := naiveEvaluate(p, r); effect != got.Effect || effect != policy.Allow && by != got.By {
				t.Errorf("the naive evaluator says %v by %v", effect, by)
			}
		})
	}
}

// documents writes out the shorthand of decisionCase.
func documents(short string, trust bool) []object {
	if short == "" {
		return nil
	}
	docs := []object{}
	for document := range strings.SplitSeq(short, " | ") {
		var list []string
		for name := range strings.FieldsSeq(document) {
			if name == "none" {
				return docs
			}
			list = append(list, "{"+statement(name, trust)+"}")
		}
		docs = append(docs, readObject(`{"Version":"2012-10-17","Statement":[`+strings.Join(list, ",")+`]}`))
	}
	return docs
}

func statement(name string, trust bool) string {
	kind, whom, about := strings.Cut(name, ":")
	if !about {
		s := statements[name] + `,"Resource":"*"`
		if !strings.Contains(s, "Action") {
			s += `,"Action":"*"`
		}
		return s
	}
	s := map[string]string{"to": `"Effect":"Allow","Principal":`, "not": `"Effect":"Deny","Principal":`, "but": `"Effect":"Deny","NotPrincipal":`}[kind] + principals[whom]
	if trust {
		return s + `,"Action":"sts:AssumeRole","Sid":"` + kind + `"`
	}
	return s + `,"Action":"s3:*","Resource":"*","Sid":"` + kind + `"`
}

// TestKindsDoNotMix shows that a document about principals says nothing where
// it stands for an identity's, and the other way round.
func TestKindsDoNotMix(t *testing.T) {
	resource := compile(t, naivePolicies{resource: documents("to:all", false)}).Resource
	identity := compile(t, naivePolicies{identity: documents("allow", false)}).Identity
	r := policy.Request{Principal: people["user"], Action: "s3:GetObject", Resource: ours}
	for name, p := range map[string]policy.Policies{
		"resource as identity": {Identity: resource},
		"identity as resource": {Resource: identity},
		"nil documents":        {Identity: []*policy.Document{nil}, Resource: []*policy.Document{nil}, Session: []*policy.Document{nil}},
	} {
		if got := policy.Evaluate(p, r); got.Effect != policy.NoAllow {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestKeysAreAskedForWhenNeeded shows that a request pays for no key but those
// that a statement about its action and resource asks for, and once an answer is
// clear for none.
func TestKeysAreAskedForWhenNeeded(t *testing.T) {
	p := compile(t, naivePolicies{identity: []object{readObject(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Deny","Action":"iam:*","Resource":"*","Condition":{"StringEquals":{"k:other":"x"}}},
		{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::c/${k:unused}","Condition":{"StringEquals":{"k:other":"x"}}},
		{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${k:Folder}/*","Condition":{"Bool":{"k:first":"true"},"Null":{"k:second":"true"}}}]}`)}})
	var asked []string
	keys := keyFunc(func(key string) ([]string, bool) {
		asked = append(asked, key)
		return map[string][]string{"k:folder": v("f"), "k:first": v("false")}[key], key != "k:second"
	})
	r := policy.Request{Principal: people["user"], Action: "s3:GetObject", Resource: "arn:aws:s3:::b/f/k", Keys: keys}
	if got := policy.Evaluate(p, r); got.Effect != policy.NoAllow {
		t.Error(got)
	}
	if want := []string{"k:unused", "k:folder", "k:first"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	r.Keys = nil
	if got := policy.Evaluate(p, r); got.Effect != policy.NoAllow {
		t.Errorf("without keys: %v", got)
	}
}

// keyFunc is a function as Keys.
type keyFunc func(key string) ([]string, bool)

func (f keyFunc) Value(key string) ([]string, bool) { return f(key) }
