package auth_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
)

// world is who has what policies, and what is attached to the one resource.
type world struct {
	identity auth.Identity
	resource []*policy.Document
	must     bool
	tags     map[string]string
	err      error // of every question
}

func (w *world) Identity(context.Context, auth.Principal) (auth.Identity, error) {
	return w.identity, w.err
}

func (w *world) ResourcePolicies(context.Context, auth.Requirement) ([]*policy.Document, bool, error) {
	return w.resource, w.must, w.err
}

func (w *world) ResourceTags(context.Context, string) (map[string]string, error) {
	return w.tags, w.err
}

func parse(t testing.TB, kind policy.Kind, statement string) *policy.Document {
	t.Helper()
	d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[`+statement+`]}`), kind)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return d.Named("test")
}

const (
	all      = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	none     = `{"Effect":"Allow","Action":"iam:*","Resource":"*"}`
	denies   = `{"Sid":"No","Effect":"Deny","Action":"bedrock-agentcore:*","Resource":"*"}`
	resource = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a-1"
)

func user() auth.Principal {
	return auth.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":user/team/ann", ID: "AKIA", UserID: "AIDAX", Entity: "AIDAX", Kind: auth.User}
}

// TestEveryKindOfPolicy: each refuses in its own words.
func TestEveryKindOfPolicy(t *testing.T) {
	i := func(s string) []*policy.Document { return []*policy.Document{parse(t, policy.Identity, s)} }
	r := func(s string) []*policy.Document { return []*policy.Document{parse(t, policy.Resource, s)} }
	about := func(effect, who string) string {
		return `{"Effect":"` + effect + `","Principal":` + who + `,"Action":"bedrock-agentcore:*","Resource":"` + resource + `"}`
	}
	named := `{"AWS":"` + user().ARN + `"}`
	bearer := auth.Principal{Kind: auth.Bearer, Account: account, ARN: "x", Admitted: resource}
	elsewhere := bearer
	elsewhere.Admitted = strings.Replace(resource, "a-1", "a-10", 1)
	session := user()
	session.Session = &auth.Session{User: true}
	const because = "because no %s allows the bedrock-agentcore:GetAgentRuntime action"
	no := func(kind string) string { return strings.Replace(because, "%s", kind, 1) }
	for _, tt := range []struct {
		name string
		who  auth.Principal
		w    world
		want string
	}{
		{"nothing", user(), world{}, no("identity-based policy")},
		{"allowed", user(), world{identity: auth.Identity{Identity: i(all)}}, ""},
		{"denied", user(), world{identity: auth.Identity{Identity: append(i(all), i(denies)...)}}, "with an explicit deny in an identity-based policy"},
		{"bounded", user(), world{identity: auth.Identity{Identity: i(all), Boundary: i(none)[0]}}, no("permissions boundary")},
		{"denied by the boundary", user(), world{identity: auth.Identity{Identity: i(all), Boundary: i(all + "," + denies)[0]}}, "with an explicit deny in a permissions boundary"},
		{"session", user(), world{identity: auth.Identity{Identity: i(all), Session: i(none)}}, no("session policy")},
		{"empty session", user(), world{identity: auth.Identity{Identity: i(all), Session: []*policy.Document{}}}, no("session policy")},
		{"denied by the session", user(), world{identity: auth.Identity{Identity: i(all), Session: i(all + "," + denies)}}, "with an explicit deny in a session policy"},
		{"denied by the resource", user(), world{identity: auth.Identity{Identity: i(all)}, resource: r(about("Deny", `"*"`))}, "with an explicit deny in a resource-based policy"},
		{"let in by the resource", user(), world{resource: r(about("Allow", named))}, ""},
		{"the account is let in by the resource", user(), world{resource: r(about("Allow", `{"AWS":"`+account+`"}`))}, no("identity-based policy")},
		{"the resource must allow", user(), world{identity: auth.Identity{Identity: i(all)}, must: true}, no("resource-based policy")},
		{"root", root(), world{}, ""},
		{"root, denied by the resource", root(), world{resource: r(about("Deny", `{"AWS":"`+auth.RootARN(account)+`"}`))}, "with an explicit deny in a resource-based policy"},
		{"service", auth.Principal{Kind: auth.Service, ID: "x.amazonaws.com", ARN: "x"}, world{}, no("resource-based policy")},
		{"service, let in", auth.Principal{Kind: auth.Service, ID: "x.amazonaws.com", ARN: "x"}, world{resource: r(about("Allow", `{"Service":"x.amazonaws.com"}`))}, ""},
		{"token", bearer, world{}, ""},
		{"token for another", elsewhere, world{resource: r(about("Allow", `"*"`))}, no("resource-based policy")},
		{"token, denied by the resource", bearer, world{resource: r(about("Deny", `"*"`))}, "with an explicit deny in a resource-based policy"},
		{"token, let in by the resource", bearer, world{resource: r(about("Allow", `"*"`))}, ""},
		{"token, not let in by the resource", bearer, world{resource: r(about("Allow", named))}, no("resource-based policy")},
		{"a user's session", session, world{identity: auth.Identity{Identity: i(all)}}, ""},
		{"nobody", auth.Principal{ARN: "x"}, world{resource: r(about("Allow", `"*"`))}, no("identity-based policy")},
	} {
		a := auth.Authorizer{Identities: &tt.w, Resources: &tt.w}
		err := a.Authorize(t.Context(), tt.who, []auth.Requirement{{Action: action, Resource: resource}})
		got := ""
		if err != nil {
			_, got, _ = strings.Cut(fault.From(err).Message, resource+" ")
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		tt.w.err = errors.New("disk")
		if err := a.Authorize(t.Context(), tt.who, []auth.Requirement{{Action: action, Resource: resource}}); err == nil || tt.who.Kind != auth.Nobody && tt.name != "token for another" && fault.From(err).Status != 500 {
			t.Errorf("%s, with policies that cannot be read: %v", tt.name, err)
		}
	}
}

// TestConditionKeys asks for every key, of every kind of principal.
func TestConditionKeys(t *testing.T) {
	at := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	request := auth.Request{
		SourceIP: netip.MustParseAddr("192.0.2.7"), Time: at, Secure: true, Region: "us-east-1", UserAgent: "curl", Referer: "https://a",
		Keys: map[string][]string{"aws:requesttag/team": {"a"}, "aws:tagkeys": {"team", "stage"}},
	}
	role := auth.Principal{
		Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/r/s", UserID: "AROAX:s", Entity: "AROAX", Kind: auth.AssumedRole,
		Session: &auth.Session{Source: "arn:aws:iam::" + account + ":role/p/r", Issued: at, SourceIdentity: "ann", Provider: "idp"},
	}
	service := auth.Principal{Kind: auth.Service, ID: "x.amazonaws.com", ARN: "x"}
	bearer := auth.Principal{Kind: auth.Bearer, Account: account, ARN: "https://idp#ann", ID: "ann", Admitted: resource}
	ofCall := map[string]string{
		"aws:SourceIp": "192.0.2.7", "aws:CurrentTime": "2026-11-02T12:00:00Z", "aws:EpochTime": "1793620800", "aws:SecureTransport": "true", "aws:UserAgent": "curl",
		"aws:Referer": "https://a", "aws:RequestedRegion": "us-east-1", "aws:ViaAWSService": "false", "aws:ResourceTag/Team": "b", "aws:RequestTag/Team": "a",
		"iam:ResourceTag/team": "b", "aws:CalledVia": "", "aws:ResourceTag/none": "", "aws:PrincipalTag/none": "", "aws:MultiFactorAuthAge": "", "aws:x/y": "", "other:key": "",
	}
	for _, tt := range []struct {
		who  auth.Principal
		want map[string]string
	}{
		{user(), map[string]string{
			"aws:PrincipalArn": user().ARN, "aws:PrincipalAccount": account, "aws:PrincipalType": "User", "aws:PrincipalIsAWSService": "false", "aws:userid": "AIDAX",
			"aws:username": "ann", "aws:TokenIssueTime": "", "aws:SourceIdentity": "", "aws:PrincipalTag/Team": "c", "aws:MultiFactorAuthPresent": "", "aws:ResourceAccount": account,
		}},
		{root(), map[string]string{"aws:PrincipalArn": root().ARN, "aws:PrincipalType": "Account", "aws:username": "", "aws:PrincipalServiceName": ""}},
		{role, map[string]string{
			"aws:PrincipalArn": role.Session.Source, "aws:PrincipalType": "AssumedRole", "aws:userid": "AROAX:s", "aws:username": "", "aws:TokenIssueTime": "2026-11-02T12:00:00Z",
			"aws:SourceIdentity": "ann", "aws:FederatedProvider": "idp", "aws:MultiFactorAuthPresent": "false",
		}},
		{service, map[string]string{"aws:PrincipalIsAWSService": "true", "aws:PrincipalServiceName": "x.amazonaws.com", "aws:PrincipalArn": "", "aws:PrincipalAccount": "", "aws:username": ""}},
		{bearer, map[string]string{"aws:PrincipalArn": "", "aws:PrincipalAccount": "", "aws:PrincipalType": "", "aws:userid": "", "aws:username": "", "aws:PrincipalIsAWSService": "false"}},
	} {
		for _, set := range []map[string]string{ofCall, tt.want} {
			for key, want := range set {
				condition := `{"Null":{"` + key + `":"true"}}`
				if want != "" {
					condition = `{"StringEquals":{"` + key + `":"` + want + `"}}`
				}
				w := world{tags: map[string]string{"team": "b"}, resource: []*policy.Document{parse(t, policy.Resource,
					`{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":`+condition+`}`)}}
				w.identity.Tags = map[string]string{"team": "c"}
				a := auth.Authorizer{Identities: &w, Resources: &w}
				d := a.Decide(auth.WithRequest(t.Context(), request), tt.who, auth.Requirement{Action: action, Resource: resource})
				if d.Effect != auth.ExplicitDeny {
					t.Errorf("%s of %s is not %q", key, tt.who.Kind, want)
				}
			}
		}
	}
	// What a call does not have is absent.
	w := world{identity: auth.Identity{Identity: []*policy.Document{parse(t, policy.Identity,
		`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Null":{"aws:SourceIp":"true","aws:CurrentTime":"true","aws:Referer":"true","aws:ResourceAccount":"true","aws:ResourceTag/a":"true"}}}`)}}}
	a := auth.Authorizer{Identities: &w, Resources: &w}
	if d := a.Decide(t.Context(), user(), auth.Requirement{Action: action, Resource: "*"}); !d.Allowed() {
		t.Errorf("%+v", d)
	}
	// Tags that cannot be read refuse, and do not let a Deny fall away.
	failing := &half{world: world{identity: auth.Identity{Identity: []*policy.Document{parse(t, policy.Identity, all),
		parse(t, policy.Identity, `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/a":"b"}}}`)}}}}
	a = auth.Authorizer{Identities: failing, Resources: failing}
	if d := a.Decide(t.Context(), user(), auth.Requirement{Action: action, Resource: resource}); d.Allowed() || d.Err == nil {
		t.Errorf("%+v", d)
	}
}

// TestTagsThatDifferByCase: neither of them is taken for the other, however often it is
// asked, and a condition on several values sees both.
func TestTagsThatDifferByCase(t *testing.T) {
	w := world{tags: map[string]string{"Team": "a", "TEAM": "b", "stage": "c"}}
	a := auth.Authorizer{Identities: &w, Resources: &w}
	allowed := func(condition string) bool {
		w.identity = auth.Identity{Tags: w.tags, Identity: []*policy.Document{parse(t, policy.Identity,
			`{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+condition+`}`)}}
		return a.Decide(t.Context(), user(), auth.Requirement{Action: action, Resource: resource}).Allowed()
	}
	for range 20 { // the order of a map's keys is another each time
		for _, key := range []string{"aws:ResourceTag/", "aws:PrincipalTag/", "iam:ResourceTag/"} {
			for condition, want := range map[string]bool{
				`{"StringEquals":{"` + key + `Team":"a"}}`: false, `{"StringEquals":{"` + key + `TEAM":"b"}}`: false, `{"StringEquals":{"` + key + `team":["a","b"]}}`: false,
				`{"ForAnyValue:StringEquals":{"` + key + `team":"a"}}`: true, `{"ForAllValues:StringEquals":{"` + key + `team":"a"}}`: false,
				`{"ForAllValues:StringEquals":{"` + key + `team":["a","b"]}}`: true, `{"Null":{"` + key + `tEam":"false"}}`: true, `{"StringEquals":{"` + key + `Stage":"c"}}`: true,
			} {
				if got := allowed(condition); got != want {
					t.Fatalf("%s: %v, want %v", condition, got, want)
				}
			}
		}
	}
}

// half is a world whose tags cannot be read.
type half struct{ world }

func (*half) ResourceTags(context.Context, string) (map[string]string, error) {
	return nil, errors.New("disk")
}

// TestBecause names the statement, for the log.
func TestBecause(t *testing.T) {
	w := world{identity: auth.Identity{Identity: []*policy.Document{parse(t, policy.Identity, all+","+denies)}}}
	a := auth.Authorizer{Identities: &w}
	d := a.Decide(t.Context(), user(), auth.Requirement{Action: action, Resource: resource})
	if d.Because() != "statement 2 (No) of the identity-based policy test" {
		t.Error(d.Because())
	}
	if d = a.Decide(t.Context(), user(), auth.Requirement{Action: "s3:GetObject", Resource: "*"}); d.Because() != "statement 1 of the identity-based policy test" {
		t.Error(d.Because())
	}
}

// TestAliases: what goes by a further name is refused where a policy denies that name,
// needs no Allow of it, and is not meant by what others are called.
func TestAliases(t *testing.T) {
	const named, alias = "arn:aws:bedrock:us-east-1::foundation-model/a.b", "arn:aws:bedrock:us-east-1::foundation-model/b"
	allow := `{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"` + named + `"}`
	deny := func(more string) string { return allow + `,{"Effect":"Deny","Action":"bedrock:*",` + more + `}` }
	for statements, denied := range map[string]string{
		allow:                                 "",
		deny(`"Resource":"` + alias + `"`):    alias,
		deny(`"Resource":"` + named + `"`):    named,
		deny(`"Resource":"*"`):                named,
		deny(`"NotResource":"arn:aws:b:*"`):   named,
		deny(`"NotResource":"` + named + `"`): "",
		deny(`"NotResource":"` + alias + `"`): named,
		deny(`"Resource":"` + alias + `","Condition":{"Bool":{"aws:SecureTransport":"true"}}`): "",
	} {
		w := &world{}
		w.identity.Identity = []*policy.Document{parse(t, policy.Identity, statements)}
		var told []auth.Decision
		a := &auth.Authorizer{Identities: w, Resources: w, Denied: func(_ auth.Principal, d auth.Decision) { told = append(told, d) }}
		ctx := auth.WithRequest(t.Context(), auth.Request{Time: time.Now()})
		err := a.Authorize(ctx, user(), []auth.Requirement{{Action: "bedrock:InvokeModel", Resource: named}, {Action: "bedrock:InvokeModel", Resource: alias, Alias: true}})
		if (err == nil) != (denied == "") || (len(told) == 1) != (denied != "") ||
			err != nil && !strings.Contains(err.Error(), "bedrock:InvokeModel on resource: "+denied+" with an explicit deny in an identity-based policy") {
			t.Errorf("%s: %v, %d told, want %q", statements, err, len(told), denied)
		}
		w.err = errors.New("no disk")
		if err := a.Authorize(ctx, user(), []auth.Requirement{{Action: "bedrock:InvokeModel", Resource: alias, Alias: true}}); fault.From(err).Status != 500 {
			t.Errorf("policies that cannot be read: %v", err)
		}
	}
}

// TestAbsentIsTold: a simulation hears of the keys that conditions asked for in vain, and
// of none that a statement about something else names.
func TestAbsentIsTold(t *testing.T) {
	w := &world{}
	w.identity.Identity = []*policy.Document{parse(t, policy.Identity, `{"Effect":"Allow","Action":"s3:*","Resource":"*"},
		{"Effect":"Deny","Action":"s3:GetObject","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}},
		{"Effect":"Deny","Action":"s3:GetObject","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}},
		{"Effect":"Deny","Action":"s3:PutObject","Resource":"*","Condition":{"StringEquals":{"aws:UserAgent":"x"}}}`)}
	var told []string
	ctx := auth.WithRequest(t.Context(), auth.Request{Time: time.Now(), Absent: func(key string) { told = append(told, key) }})
	d := (&auth.Authorizer{Identities: w, Resources: w}).Decide(ctx, user(), auth.Requirement{Action: "s3:GetObject", Resource: "*"})
	if !d.Allowed() || len(told) != 1 || told[0] != "aws:sourceip" {
		t.Errorf("%s, told of %q", d.Because(), told)
	}
}
