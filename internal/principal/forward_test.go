package principal

import (
	"errors"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
)

// TestForward: what the server signs on as a caller is that caller's: with the limits, the
// time of issue and the end of the session that signed, and without it when that is over.
func TestForward(t *testing.T) {
	c := newCourt(t)
	ctx := t.Context()
	forward := func(p auth.Principal) (Temporary, auth.Principal) {
		t.Helper()
		made, err := c.Forward(ctx, p)
		must(t, err)
		out := Temporary{Credentials: made}
		return out, c.as(out)
	}
	u := c.user("u", allow("s3:GetObject", "*"))
	for _, p := range []auth.Principal{c.root(), u} {
		made, got := forward(p)
		if got.ARN != p.ARN || got.Kind != p.Kind || got.UserID != p.UserID || got.Entity != p.Entity || !got.Session.User || !got.Session.Forwarded || made.Expires.Sub(testTime()) != ForwardLife {
			t.Errorf("%+v until %s", got, made.Expires)
		}
	}
	_, asUser := forward(u)
	if why := c.may(ctx, asUser, "s3:GetObject", "arn:aws:s3:::b/k"); why != "" {
		t.Error(why)
	}
	if c.may(ctx, asUser, "s3:PutObject", "arn:aws:s3:::b/k") == "" {
		t.Error("it may more than the user")
	}
	// AWS's own pattern of addresses that users come from leaves out what services call for them.
	n := c.user("n", allow("s3:GetObject", "*")+`,{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"},"Bool":{"aws:ViaAWSService":"false"}}}`)
	_, asN := forward(n)
	if c.may(ctx, n, "s3:GetObject", "arn:aws:s3:::b/k") == "" {
		t.Error("the user may from anywhere")
	}
	if why := c.may(ctx, asN, "s3:GetObject", "arn:aws:s3:::b/k"); why != "" {
		t.Error(why)
	}

	r := c.role("r", trusting(c.account.ID, ""), allow("s3:*", "*"))
	s, err := c.AssumeRole(ctx, c.root(), Assumption{Role: r.ARN, Name: "one", SourceIdentity: "ann", Limits: Limits{
		Duration: 15 * time.Minute, Policy: document(allow("s3:GetObject", "*")), Tags: []Tag{{"team", "x"}}}})
	must(t, err)
	p := c.as(s)
	c.clock.add(12 * time.Minute)
	made, got := forward(p)
	if got.ARN != p.ARN || got.UserID != p.UserID || got.Entity != p.Entity || !got.Session.Issued.Equal(p.Session.Issued) || got.Session.Tags["team"] != "x" ||
		got.Session.SourceIdentity != "ann" || !made.Expires.Equal(p.Session.Expires) {
		t.Errorf("%+v, %+v", got, got.Session)
	}
	if why := c.may(ctx, got, "s3:GetObject", "arn:aws:s3:::b/k"); why != "" {
		t.Error(why)
	}
	if c.may(ctx, got, "s3:PutObject", "arn:aws:s3:::b/k") == "" {
		t.Error("the session's policy does not bind it")
	}
	c.clock.add(3 * time.Minute)
	if _, err := c.Forward(ctx, p); !errors.Is(err, ErrEnded) {
		t.Errorf("a session that is over: %v", err)
	}

	g, err := c.BeginRoleSession(ctx, RoleUse{Role: testRole(c.Directory), Name: "guest"})
	must(t, err)
	held, err := g.Credentials(ctx, Lifetime)
	must(t, err)
	guest := c.as(Temporary{Credentials: held})
	made, got = forward(guest)
	if got.ARN != guest.ARN || !got.Session.Guest || !got.Session.Issued.Equal(guest.Session.Issued) {
		t.Errorf("%+v", got)
	}
	g.End()
	if _, err := c.Key(ctx, made.AccessKeyID, made.SessionToken.Reveal()); !errors.Is(err, sigv4.ErrExpiredToken) {
		t.Errorf("of a guest that is gone: %v", err)
	}
	for _, nobody := range []auth.Principal{guest, {}, {Kind: auth.Bearer, ARN: "x"}, {Kind: auth.AssumedRole, ARN: "x"}} {
		if _, err := c.Forward(ctx, nobody); !errors.Is(err, ErrEnded) {
			t.Errorf("%s: %v", nobody.ARN, err)
		}
	}
	must(t, c.PutInline(ctx, Holder{UserHolder, "u"}, "own", document(deny("*", "*"))))
	if c.may(ctx, asUser, "s3:GetObject", "arn:aws:s3:::b/k") == "" {
		t.Error("a policy that was put since does not bind it")
	}
}
