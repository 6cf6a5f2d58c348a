package principal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/fault"
)

// court is a directory with somebody who decides by it.
type court struct {
	*Directory
	auth.Authorizer
	clock *clock
	t     testing.TB
}

func newCourt(t testing.TB) *court {
	t.Helper()
	cfg, _ := config(t, t.TempDir())
	k := &clock{t: testTime()}
	cfg.Now = k.now
	d, _ := open(t, cfg)
	return &court{Directory: d, Authorizer: auth.Authorizer{Identities: d, Resources: d}, clock: k, t: t}
}

// user makes a user with one inline policy, and returns who its key stands for.
func (c *court) user(name, statements string) auth.Principal {
	c.t.Helper()
	_, err := c.CreateUser(c.t.Context(), NewUser{Name: name})
	must(c.t, err)
	if statements != "" {
		must(c.t, c.PutInline(c.t.Context(), Holder{UserHolder, name}, "own", document(statements)))
	}
	key, _, err := c.CreateAccessKey(c.t.Context(), name)
	must(c.t, err)
	k, err := c.Key(c.t.Context(), key.ID, "")
	must(c.t, err)
	return k.Principal
}

// role makes a role with one inline policy.
func (c *court) role(name, trust, statements string) Role {
	c.t.Helper()
	r, err := c.CreateRole(c.t.Context(), NewRole{Name: name, Trust: document(trust)})
	must(c.t, err)
	if statements != "" {
		must(c.t, c.PutInline(c.t.Context(), Holder{RoleHolder, name}, "own", document(statements)))
	}
	return r
}

func document(statements string) string {
	return `{"Version":"2012-10-17","Statement":[` + statements + `]}`
}

// allow is a statement, of an identity policy.
func allow(actions, resource string) string {
	return `{"Effect":"Allow","Action":["` + strings.ReplaceAll(actions, " ", `","`) + `"],"Resource":"` + resource + `"}`
}

func deny(actions, resource string) string {
	return strings.Replace(allow(actions, resource), "Allow", "Deny", 1)
}

// trusting is a statement of a trust policy.
func trusting(principal, more string) string {
	return `{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]` + more + `}`
}

// may decides, and returns the sentence of a refusal.
func (c *court) may(ctx context.Context, p auth.Principal, action, resource string) string {
	c.t.Helper()
	err := c.Authorize(ctx, p, []auth.Requirement{{Action: action, Resource: resource}})
	if err == nil {
		return ""
	}
	f := fault.From(err)
	if f.Status != 403 {
		c.t.Fatalf("%s on %s: %v", action, resource, err)
	}
	_, reason, _ := strings.Cut(f.Message, resource+" ")
	return reason
}

// as returns who holds temporary credentials.
func (c *court) as(s Temporary) auth.Principal {
	c.t.Helper()
	k, err := c.Key(c.t.Context(), s.AccessKeyID, s.SessionToken.Reveal())
	must(c.t, err)
	return k.Principal
}

// assume does what the STS front does: it asks, and then makes the session.
func (c *court) assume(ctx context.Context, p auth.Principal, in Assumption) (Temporary, error) {
	if err := c.Authorize(ctx, p, []auth.Requirement{{Action: "sts:AssumeRole", Resource: in.Role}}); err != nil {
		return Temporary{}, err
	}
	return c.AssumeRole(ctx, p, in)
}

func (c *court) root() auth.Principal {
	k, err := c.Key(c.t.Context(), c.account.Root, "")
	must(c.t, err)
	return k.Principal
}

const object = "arn:aws:s3:::b/k"

// TestWhoMayAssume: a role is assumed by whom its trust policy names, and by nobody
// whose own policies only say so.
func TestWhoMayAssume(t *testing.T) {
	c := newCourt(t)
	ctx, account := t.Context(), c.account.ID
	plain, able, admin := c.user("plain", ""), c.user("able", allow("sts:AssumeRole", "*")), c.user("admin", allow("*", "*"))
	forbidden := c.user("forbidden", deny("sts:AssumeRole", "*"))
	byAccount := c.role("by-account", trusting(account, ""), "").ARN
	byName := c.role("by-name", trusting(plain.ARN, "")+","+trusting(forbidden.ARN, ""), "").ARN
	external := c.role("external", trusting(account, `,"Condition":{"StringEquals":{"sts:ExternalId":"42"}}`), "").ARN
	elsewhere := "arn:aws:iam::999999999999:role/by-account"
	const noTrust, noIdentity = "because no role trust policy allows the sts:AssumeRole action", "because no identity-based policy allows the sts:AssumeRole action"
	for _, tt := range []struct {
		who  auth.Principal
		role string
		want string
	}{
		{plain, byAccount, noIdentity},
		{able, byAccount, ""},
		{c.root(), byAccount, ""},
		{plain, byName, ""},
		{able, byName, noTrust},
		{admin, byName, noTrust},
		{c.root(), byName, noTrust},
		{forbidden, byName, "with an explicit deny in an identity-based policy"},
		{able, external, noTrust},
		{able, elsewhere, noTrust},
		{admin, elsewhere, noTrust},
		{c.root(), elsewhere, noTrust},
		{able, "arn:aws:iam::" + account + ":role/none", noTrust},
		{c.root(), "arn:aws:iam::" + account + ":role/path/by-account", noTrust},
	} {
		if got := c.may(ctx, tt.who, "sts:AssumeRole", tt.role); got != tt.want {
			t.Errorf("%s as %s: %q, want %q", tt.who.ARN, tt.role, got, tt.want)
		}
	}
	with := auth.WithRequest(ctx, auth.Request{Keys: map[string][]string{"sts:externalid": {"42"}}})
	if got := c.may(with, able, "sts:AssumeRole", external); got != "" {
		t.Errorf("with the external id: %s", got)
	}
	if _, err := c.AssumeRole(ctx, c.root(), Assumption{Role: elsewhere, Name: "s1"}); !fault.Is(err, CodeDenied) {
		t.Errorf("a role of another account: %v", err)
	}
}

// TestSessionHasTheRoleNotTheCaller: what a session may do follows from its role.
func TestSessionHasTheRoleNotTheCaller(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	admin := c.user("admin", allow("*", "*"))
	r := c.role("reader", trusting(c.account.ID, ""), allow("s3:GetObject", "*"))
	s, err := c.assume(ctx, admin, Assumption{Role: r.ARN, Name: "one"})
	must(t, err)
	p := c.as(s)
	if p.ARN != "arn:aws:sts::"+c.account.ID+":assumed-role/reader/one" || p.UserID != r.ID+":one" || p.Entity != r.ID || s.ARN != p.ARN || s.ID != p.UserID {
		t.Errorf("%+v", p)
	}
	if got := c.may(ctx, p, "s3:GetObject", object); got != "" {
		t.Error(got)
	}
	if got := c.may(ctx, p, "s3:PutObject", object); got != "because no identity-based policy allows the s3:PutObject action" {
		t.Error(got)
	}
	if !s.Expires.Equal(testTime().Add(time.Hour)) {
		t.Errorf("it lasts until %s", s.Expires)
	}
	c.Used(ctx, p, "s3", "us-west-2")
	if got, err := c.Role(ctx, "reader"); err != nil || got.LastUse.Region != "us-west-2" {
		t.Errorf("its use is not noted: %+v, %v", got.LastUse, err)
	}
	must(t, c.PutInline(ctx, Holder{RoleHolder, "reader"}, "more", document(allow("s3:PutObject", "*"))))
	if got := c.may(ctx, p, "s3:PutObject", object); got != "" {
		t.Errorf("a policy that the role was given since: %s", got)
	}
	// All that was issued before some time may be taken back.
	must(t, c.PutInline(ctx, Holder{RoleHolder, "reader"}, "revoke", document(
		`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-03-01T12:30:00Z"}}}`)))
	if got := c.may(ctx, p, "s3:GetObject", object); got != "with an explicit deny in an identity-based policy" {
		t.Errorf("a revoked session: %q", got)
	}
	c.clock.add(time.Hour)
	if s, err = c.assume(ctx, admin, Assumption{Role: r.ARN, Name: "two"}); err != nil || c.may(ctx, c.as(s), "s3:GetObject", object) != "" {
		t.Errorf("a session of later: %v", err)
	}
}

// TestSessionPolicyCannotWiden: it takes away, and gives nothing.
func TestSessionPolicyCannotWiden(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	r := c.role("r", trusting(c.account.ID, ""), allow("s3:GetObject s3:ListBucket", "*"))
	own, err := c.CreatePolicy(ctx, NewPolicy{Name: "gets", Document: document(allow("s3:Get*", "*"))})
	must(t, err)
	const limited = "because no session policy allows the "
	for _, tt := range []struct {
		name     string
		limits   Limits
		get, put string
	}{
		{"none", Limits{}, "", "because no identity-based policy allows the s3:PutObject action"},
		{"wider", Limits{Policy: document(allow("*", "*"))}, "", "because no identity-based policy allows the s3:PutObject action"},
		{"other", Limits{Policy: document(allow("s3:PutObject", "*"))}, limited + "s3:GetObject action", "because no identity-based policy allows the s3:PutObject action"},
		{"managed", Limits{PolicyARNs: []string{own.ARN}}, "", "because no identity-based policy allows the s3:PutObject action"},
		{"denies", Limits{Policy: document(deny("s3:Get*", "*")), PolicyARNs: []string{own.ARN}}, "with an explicit deny in a session policy", "because no identity-based policy allows the s3:PutObject action"},
	} {
		tt.limits.Duration = time.Hour
		s, err := c.assume(ctx, c.root(), Assumption{Role: r.ARN, Name: "s-" + tt.name, Limits: tt.limits})
		must(t, err)
		p := c.as(s)
		if get, put := c.may(ctx, p, "s3:GetObject", object), c.may(ctx, p, "s3:PutObject", object); get != tt.get || put != tt.put {
			t.Errorf("%s: %q and %q, want %q and %q", tt.name, get, put, tt.get, tt.put)
		}
		if limited := tt.limits.Policy != "" || tt.limits.PolicyARNs != nil; (s.Packed > 0) != limited {
			t.Errorf("%s: %d %% packed", tt.name, s.Packed)
		}
	}
	s, err := c.assume(ctx, c.root(), Assumption{Role: r.ARN, Name: "left", Limits: Limits{PolicyARNs: []string{own.ARN}}})
	must(t, err)
	must(t, c.DeletePolicy(ctx, own.ARN))
	if got := c.may(ctx, c.as(s), "s3:GetObject", object); got != limited+"s3:GetObject action" {
		t.Errorf("a session whose policy is gone: %q", got)
	}
	for _, bad := range []struct {
		limits Limits
		code   string
	}{
		{Limits{Policy: "{}"}, CodeMalformed},
		{Limits{Policy: document(allow("s3:*", "*")) + strings.Repeat(" ", 10) + strings.Repeat("x", 2100)}, CodeTooLarge},
		{Limits{PolicyARNs: []string{own.ARN}}, CodeNoSuchEntity},
		{Limits{PolicyARNs: make([]string, MaxSessionARNs+1)}, CodeValidation},
		{Limits{Tags: []Tag{{"aws:x", "y"}}}, CodeInvalid},
		{Limits{Transitive: []string{"x"}}, CodeInvalid},
		{Limits{Duration: time.Minute}, CodeValidation},
		{Limits{Duration: 2 * time.Hour}, CodeValidation}, // the role's maximum is one
		{Limits{Tags: noise(50)}, CodeTooLarge},
	} {
		_, err := c.AssumeRole(ctx, c.root(), Assumption{Role: r.ARN, Name: "bad", Limits: bad.limits})
		if !fault.Is(err, bad.code) {
			t.Errorf("%.80v: %v, want %s", bad.limits, err, bad.code)
		}
	}
}

// noise are tags that do not pack well.
func noise(n int) []Tag {
	out, x := make([]Tag, n), uint32(1)
	for i := range out {
		var b strings.Builder
		for range 200 {
			x = x*1664525 + 1013904223
			b.WriteByte('a' + byte(x>>27)%26)
		}
		out[i] = Tag{fmt.Sprint("k", i), b.String()}
	}
	return out
}

// TestGoneEntitiesTakeTheirSessionsAlong: what is made again under a name is another.
func TestGoneEntitiesTakeTheirSessionsAlong(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	r := c.role("r", trusting(c.account.ID, ""), "")
	s, err := c.assume(ctx, c.root(), Assumption{Role: r.ARN, Name: "one"})
	must(t, err)
	u := c.user("u", "")
	us, err := c.SessionToken(ctx, u, 0)
	must(t, err)
	if p := c.as(us); p.ARN != u.ARN || p.Kind != auth.User || us.Expires.Sub(us.Issued) != DefaultUserSession {
		t.Errorf("%+v until %s", p, us.Expires)
	}
	login, _, err := c.MakeLogin(ctx, c.as(s), "us-west-2")
	must(t, err)
	if l, err := c.Login(ctx, login.Reveal()); err != nil || l.Principal.ARN != s.ARN || l.Principal.Entity != r.ID {
		t.Errorf("%+v, %v", l, err)
	}
	must(t, c.DeleteRole(ctx, "r"))
	must(t, c.DeleteAccessKey(ctx, "u", u.ID))
	must(t, c.DeleteInlineIfAny("u"))
	must(t, c.DeleteUser(ctx, "u"))
	for range 2 {
		for _, gone := range []Temporary{s, us} {
			if _, err := c.Key(ctx, gone.AccessKeyID, gone.SessionToken.Reveal()); !errors.Is(err, sigv4.ErrBadToken) {
				t.Errorf("%s: %v", gone.ARN, err)
			}
		}
		if _, err := c.Login(ctx, login.Reveal()); !errors.Is(err, ErrLogin) {
			t.Errorf("the login: %v", err)
		}
		if _, err := c.CreateRole(ctx, NewRole{Name: "r", Trust: document(trusting(c.account.ID, ""))}); err == nil {
			_, err = c.CreateUser(ctx, NewUser{Name: "u"})
			must(t, err)
		}
	}
}

// DeleteInlineIfAny deletes the policy that user made.
func (c *court) DeleteInlineIfAny(user string) error {
	err := c.DeleteInline(c.t.Context(), Holder{UserHolder, user}, "own")
	if fault.Is(err, CodeNoSuchEntity) {
		return nil
	}
	return err
}

// TestChains: a session that makes another has an hour, and its identity and
// transitive tags go on.
func TestChains(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	first := c.role("first", trusting(c.account.ID, ""), allow("sts:*", "*"))
	must(t, c.UpdateRole(ctx, "first", nil, MaxSession))
	second := c.role("second", trusting(first.ARN, ""), "")
	must(t, c.UpdateRole(ctx, "second", nil, MaxSession))
	must(t, c.PutInline(ctx, Holder{RoleHolder, "second"}, "own", document(
		`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"a","aws:SourceIdentity":"ann"},"Null":{"aws:PrincipalTag/stage":"true"}}}`)))
	s, err := c.assume(ctx, c.root(), Assumption{Role: first.ARN, Name: "one", SourceIdentity: "ann", Limits: Limits{
		Duration: 4 * time.Hour, Tags: []Tag{{"team", "a"}, {"stage", "dev"}}, Transitive: []string{"team"},
	}})
	must(t, err)
	p := c.as(s)
	_, err = c.assume(ctx, p, Assumption{Role: second.ARN, Name: "two", Limits: Limits{Duration: 2 * time.Hour}})
	refused(t, err, CodeValidation)
	_, err = c.assume(ctx, p, Assumption{Role: second.ARN, Name: "two", SourceIdentity: "bob"})
	refused(t, err, CodeDenied)
	_, err = c.assume(ctx, p, Assumption{Role: second.ARN, Name: "two", Limits: Limits{Tags: []Tag{{"Team", "b"}}}})
	refused(t, err, CodeInvalid)
	next, err := c.assume(ctx, p, Assumption{Role: second.ARN, Name: "two"})
	must(t, err)
	if got := c.may(ctx, c.as(next), "s3:GetObject", object); got != "" || next.SourceIdentity != "ann" || !next.Expires.Equal(testTime().Add(time.Hour)) {
		t.Errorf("%q; %s until %s", got, next.SourceIdentity, next.Expires)
	}
	if got := c.may(ctx, p, "s3:GetObject", object); got == "" {
		t.Error("the first session has the second's rights")
	}
}

// TestTagsOfSessions go before those of the role, whatever the case of their keys.
func TestTagsOfSessions(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	r := c.role("r", `{"Effect":"Allow","Principal":{"AWS":"`+c.account.ID+`"},"Action":["sts:AssumeRole","sts:TagSession"]}`,
		`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"a","aws:PrincipalTag/stage":"dev"}}}`)
	must(t, c.TagHolder(ctx, Holder{RoleHolder, "r"}, []Tag{{"TEAM", "b"}, {"Stage", "dev"}}))
	s, err := c.assume(ctx, c.root(), Assumption{Role: r.ARN, Name: "s1", Limits: Limits{Tags: []Tag{{"Team", "a"}}}})
	must(t, err)
	for range 10 { // the order of a map's keys is another each time
		if got := c.may(ctx, c.as(s), "s3:GetObject", object); got != "" {
			t.Fatal(got)
		}
	}
}

// TestSessionsOfUsers: they change no identities, and vouch for nobody.
func TestSessionsOfUsers(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	u := c.user("u", allow("*", "*"))
	s, err := c.SessionToken(ctx, u, time.Hour)
	must(t, err)
	p := c.as(s)
	for action, want := range map[string]bool{
		"s3:GetObject": true, "iam:CreateUser": false, "iam:CreateAccessKey": false, "sts:GetFederationToken": false, "sts:GetSessionToken": false,
	} {
		if got := c.may(ctx, p, action, "*"); (got == "") != want {
			t.Errorf("%s: %q", action, got)
		}
	}
	_, err = c.SessionToken(ctx, p, 0)
	refused(t, err, CodeDenied)
	_, err = c.FederationToken(ctx, p, "bob", Limits{})
	refused(t, err, CodeDenied)
	_, err = c.SessionToken(ctx, c.root(), 2*time.Hour)
	refused(t, err, CodeValidation)
	rs, err := c.SessionToken(ctx, c.root(), 0)
	must(t, err)
	if p := c.as(rs); p.Kind != auth.Root || c.may(ctx, p, "s3:GetObject", object) != "" || c.may(ctx, p, "iam:CreateUser", "*") == "" {
		t.Errorf("a session of the root: %+v", p)
	}

	for _, who := range []auth.Principal{u, c.root()} {
		nothing, err := c.FederationToken(ctx, who, "bob", Limits{})
		must(t, err)
		reader, err := c.FederationToken(ctx, who, "bob", Limits{Policy: document(allow("s3:GetObject iam:*", "*"))})
		must(t, err)
		if got := c.may(ctx, c.as(nothing), "s3:GetObject", object); got != "because no session policy allows the s3:GetObject action" {
			t.Errorf("bob of %s without a policy: %q", who.ARN, got)
		}
		p := c.as(reader)
		if c.may(ctx, p, "s3:GetObject", object) != "" || c.may(ctx, p, "s3:PutObject", object) == "" || c.may(ctx, p, "iam:CreateUser", "*") == "" {
			t.Errorf("bob of %s: %+v", who.ARN, p)
		}
		if p.ARN != "arn:aws:sts::"+c.account.ID+":federated-user/bob" || p.UserID != c.account.ID+":bob" || p.ARN != reader.ARN {
			t.Errorf("%+v", p)
		}
	}

	// Nor does a federated user leave its own policy by way of a role that trusts the account.
	r := c.role("r", `{"Effect":"Allow","Principal":{"AWS":"`+c.account.ID+`"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}`, allow("*", "*"))
	for _, who := range []auth.Principal{u, c.root()} {
		s, err := c.FederationToken(ctx, who, "bob", Limits{Policy: document(allow("sts:*", "*"))})
		must(t, err)
		for action, want := range map[string]bool{
			"sts:GetCallerIdentity": true, "sts:AssumeRole": false, "STS:assumerole": false, "sts:TagSession": false, "sts:SetSourceIdentity": false, "sts:GetAccessKeyInfo": false,
		} {
			resource := "*"
			if strings.EqualFold(action, "sts:AssumeRole") || action == "sts:TagSession" || action == "sts:SetSourceIdentity" {
				resource = r.ARN
			}
			if got := c.may(ctx, c.as(s), action, resource); (got == "") != want {
				t.Errorf("%s of bob of %s: %q", action, who.ARN, got)
			}
		}
	}
	if _, err := c.assume(ctx, p, Assumption{Role: r.ARN, Name: "ok"}); err != nil {
		t.Errorf("a session of GetSessionToken assumes no role: %v", err)
	}
}

type fixedVerifier struct{ id WebIdentity }

func (v fixedVerifier) Verify(_ context.Context, token string) (WebIdentity, error) {
	if token != "good" {
		return WebIdentity{}, fault.BadRequest("InvalidIdentityToken", "no")
	}
	return v.id, nil
}

// TestWebIdentity: the role's trust policy decides, by issuer, subject and audience.
func TestWebIdentity(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	provider := "arn:aws:iam::" + c.account.ID + ":oidc-provider/idp.example.com"
	trust := `{"Effect":"Allow","Principal":{"Federated":"` + provider + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"idp.example.com:aud":"app","idp.example.com:sub":"ann"}}}`
	r := c.role("web", trust, allow("s3:GetObject", "*"))
	good := WebIdentity{Provider: provider, Host: "idp.example.com", Subject: "ann", Audience: []string{"app"}}
	in := Assumption{Role: r.ARN, Name: "ann", Limits: Limits{Tags: []Tag{{"role", "admin"}}}}
	s, _, err := c.AssumeRoleWithWebIdentity(ctx, fixedVerifier{good}, "good", in)
	must(t, err)
	p := c.as(s)
	if c.may(ctx, p, "s3:GetObject", object) != "" || p.Session.Provider != provider || p.Session.Tags != nil {
		t.Errorf("%+v of %+v", p.Session, p)
	}
	other := good
	other.Subject = "bob"
	foreign := good
	foreign.Provider = strings.Replace(provider, "idp", "evil", 1)
	for _, v := range []WebIdentity{other, foreign, {Provider: provider, Host: good.Host, Subject: "ann"}} {
		_, _, err := c.AssumeRoleWithWebIdentity(ctx, fixedVerifier{v}, "good", in)
		refused(t, err, CodeDenied)
	}
	_, _, err = c.AssumeRoleWithWebIdentity(ctx, fixedVerifier{good}, "bad", in)
	refused(t, err, "InvalidIdentityToken")
	in.Role = "arn:aws:iam::" + c.account.ID + ":role/none"
	_, _, err = c.AssumeRoleWithWebIdentity(ctx, fixedVerifier{good}, "good", in)
	refused(t, err, CodeDenied)
	if got := c.may(ctx, c.root(), "sts:AssumeRole", r.ARN); got == "" {
		t.Error("it may be assumed without a token")
	}
}

// TestGuestsRole: an agent gets the role that its runtime names if the role trusts the
// service for that runtime, and nobody else's.
func TestGuestsRole(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	mine := "arn:aws:bedrock-agentcore:us-west-2:" + c.account.ID + ":runtime/mine-0123456789"
	service := func(source string) string {
		return `{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceAccount":"` +
			c.account.ID + `"},"ArnLike":{"aws:SourceArn":"` + source + `"}}}`
	}
	use := RoleUse{Role: "arn:aws:iam::" + c.account.ID + ":role/agent", Name: testName, Source: mine}
	s, err := c.BeginRoleSession(ctx, use)
	must(t, err)
	first, err := s.Credentials(ctx, Lifetime)
	must(t, err)
	p := c.as(Temporary{Credentials: first})
	if s.Exists() || p.Entity != "" || p.Session.Source != "" || c.may(ctx, p, "s3:GetObject", object) == "" {
		t.Errorf("a role that does not exist: %+v", p)
	}

	r := c.role("agent", service(mine), allow("s3:GetObject", "*"))
	if p = c.as(Temporary{Credentials: first}); p.Entity != r.ID || c.may(ctx, p, "s3:GetObject", object) != "" {
		t.Errorf("a role that was made since: %+v", p)
	}
	use.Source = strings.Replace(mine, "mine", "other", 1)
	if _, err := c.BeginRoleSession(ctx, use); !errors.Is(err, ErrTrust) {
		t.Errorf("another runtime borrows the role: %v", err)
	}
	if exists, err := c.CheckRole(ctx, RoleUse{Role: use.Role, Source: mine}); !exists || err != nil {
		t.Errorf("%v, %v", exists, err)
	}
	second, err := s.Credentials(ctx, Lifetime)
	must(t, err)

	must(t, c.SetTrust(ctx, "agent", document(trusting(c.account.ID, ""))))
	if _, err := s.Credentials(ctx, Lifetime); !errors.Is(err, ErrTrust) {
		t.Errorf("credentials of a role that trusts the service no more: %v", err)
	}
	must(t, c.DeleteInline(ctx, Holder{RoleHolder, "agent"}, "own"))
	must(t, c.DeleteRole(ctx, "agent"))
	if _, err := c.Key(ctx, second.AccessKeyID, second.SessionToken.Reveal()); !errors.Is(err, sigv4.ErrBadToken) {
		t.Errorf("credentials of a deleted role: %v", err)
	}
	c.role("agent", service(mine), allow("*", "*"))
	if _, err := c.Key(ctx, second.AccessKeyID, second.SessionToken.Reveal()); !errors.Is(err, sigv4.ErrBadToken) {
		t.Errorf("credentials of a role that was made anew: %v", err)
	}
}

// TestAgentRole: an account has one, which its agents may have, and which may not do
// everything.
func TestAgentRole(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	must(t, checkIdentityPolicy(AgentPolicy(c.account.ID)))
	r, err := c.Role(ctx, AgentRole)
	must(t, err)
	s, err := c.BeginRoleSession(ctx, RoleUse{Role: r.ARN, Name: testName, Source: "arn:aws:bedrock-agentcore:us-west-2:" + c.account.ID + ":runtime/a-0123456789"})
	must(t, err)
	held, err := s.Credentials(ctx, Lifetime)
	must(t, err)
	p := c.as(Temporary{Credentials: held})
	vault := "arn:aws:bedrock-agentcore:us-west-2:" + c.account.ID + ":token-vault/default"
	for action, want := range map[string]bool{
		"bedrock:InvokeModel": true, "bedrock-agentcore:GetResourceApiKey": true, "iam:CreateUser": false, "s3:GetObject": false, "bedrock-agentcore:CreateAgentRuntime": false, "sts:AssumeRole": false,
	} {
		if got := c.may(ctx, p, action, vault); (got == "") != want {
			t.Errorf("%s: %q", action, got)
		}
	}
	if got := c.may(ctx, c.root(), "sts:AssumeRole", r.ARN); got == "" {
		t.Error("people may assume it")
	}
}

// TestBoundaryKeepsDelegates: who may give policies to those alone that have a boundary
// gives none to others, nor takes the boundary away.
func TestBoundaryKeepsDelegates(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	bound, err := c.CreatePolicy(ctx, NewPolicy{Name: "bound", Document: document(allow("s3:*", "*"))})
	must(t, err)
	condition := `,"Condition":{"StringEquals":{"iam:PermissionsBoundary":"` + bound.ARN + `"}}}`
	delegate := c.user("delegate", strings.TrimSuffix(allow("iam:*", "*"), "}")+condition)
	free := c.user("free", "")
	bounded := c.user("bounded", "")
	must(t, c.SetBoundary(ctx, Holder{UserHolder, "bounded"}, bound.ARN))
	for who, want := range map[string]bool{bounded.ARN: true, free.ARN: false, delegate.ARN: false, "arn:aws:iam::" + c.account.ID + ":user/none": false, "*": false} {
		if got := c.may(ctx, delegate, "iam:PutUserPolicy", who); (got == "") != want {
			t.Errorf("a policy for %s: %q", who, got)
		}
	}
	// A boundary in the call is the new one's, and goes before what is there.
	with := auth.WithRequest(ctx, auth.Request{Keys: map[string][]string{"iam:permissionsboundary": {"arn:aws:iam::aws:policy/AdministratorAccess"}}})
	if got := c.may(with, delegate, "iam:PutUserPermissionsBoundary", bounded.ARN); got == "" {
		t.Error("the boundary may be widened")
	}
	must(t, c.PutInline(ctx, Holder{UserHolder, "bounded"}, "all", document(allow("*", "*"))))
	if c.may(ctx, bounded, "s3:GetObject", object) != "" || c.may(ctx, bounded, "iam:CreateUser", "*") != "because no permissions boundary allows the iam:CreateUser action" {
		t.Error("the boundary does not bind")
	}
}
