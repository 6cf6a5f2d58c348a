package app

import (
	"testing"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/principal"
)

// TestEntities: requirements have the path that the entity has and a request does not
// name; of what is not there, and of other services', nothing is changed.
func TestEntities(t *testing.T) {
	d := testGuests(t).directory
	ctx, account := t.Context(), d.Account().ID
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	_, err := d.CreateRole(ctx, principal.NewRole{Name: "r", Path: "/team/", Trust: trust})
	if err == nil {
		_, err = d.CreateUser(ctx, principal.NewUser{Name: "u", Path: "/team/"})
	}
	if err == nil {
		_, err = d.CreateGroup(ctx, "g", "/team/")
	}
	if err != nil {
		t.Fatal(err)
	}
	prefix := "arn:aws:iam::" + account + ":"
	ann := auth.Principal{Kind: auth.User, Account: account, ARN: prefix + "user/team/ann"}
	for _, c := range []struct{ service, given, want string }{
		{"iam", "role/r", "role/team/r"}, {"iam", "user/u", "user/team/u"}, {"iam", "group/g", "group/team/g"},
		{"iam", "role/none", "role/none"}, {"iam", "user/~self", "user/team/ann"}, {"iam", "user/*", "user/*"}, {"iam", "role/team/r", "role/team/r"},
		{"iam", "policy/r", "policy/r"}, {"bedrock-agentcore", "role/r", "role/r"},
	} {
		if got, err := (entities{d}).complete(ctx, c.service, ann, prefix+c.given); err != nil || got != prefix+c.want {
			t.Errorf("%s %s: %s, %v, want %s", c.service, c.given, got, err, c.want)
		}
	}
	role := auth.Principal{Kind: auth.AssumedRole, Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/r/s"}
	if got, err := (entities{d}).complete(ctx, "iam", role, prefix+"user/~self"); err != nil || got != prefix+"user/*" {
		t.Errorf("who is no user has no self: %s, %v", got, err)
	}
}
