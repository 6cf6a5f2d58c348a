package issuer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// group makes a group and puts ada into it.
func (k *kit) group(name, role string, precedence *int32) {
	k.Helper()
	_, err := k.CreateGroup(k.Context(), k.pool, GroupSettings{Name: name, Role: role, Precedence: precedence})
	k.must(err)
	k.must(k.AddToGroup(k.Context(), k.pool, "ada", name))
}

// claimsOf are those of a token, which is not verified.
func claimsOf(t testing.TB, token secret.String) map[string]any {
	t.Helper()
	signed, err := jose.ParseSignedCompact(token.Reveal(), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestGroupClaims: tokens name a user's groups by precedence, and id tokens the roles.
func TestGroupClaims(t *testing.T) {
	k := newKit(t)
	const readers, writers = "arn:aws:iam::111122223333:role/readers", "arn:aws:iam::111122223333:role/writers"
	check := func(what, groups, roles, preferred string) {
		t.Helper()
		tokens := k.signIn(k.client, "openid")
		id, access := claimsOf(t, tokens.ID), claimsOf(t, tokens.Access)
		text := func(v any) string {
			if v == nil {
				return ""
			}
			return fmt.Sprint(v)
		}
		if text(id["cognito:groups"]) != groups || text(id["cognito:roles"]) != roles || text(id["cognito:preferred_role"]) != preferred {
			t.Errorf("%s: %v", what, id)
		}
		if text(access["cognito:groups"]) != groups || access["cognito:roles"] != nil || access["cognito:preferred_role"] != nil {
			t.Errorf("%s: access token has %v", what, access)
		}
	}
	check("no group", "", "", "")
	k.group("everybody", "", nil)
	check("a group without a role", "[everybody]", "", "")
	k.group("zeta", readers, new(int32(5)))
	check("one with", "[zeta everybody]", "["+readers+"]", readers)
	k.group("alpha", writers, new(int32(5)))
	check("two that go first together", "[alpha zeta everybody]", "["+writers+" "+readers+"]", "")
	k.group("lead", readers, new(int32(0)))
	check("one before them", "[lead alpha zeta everybody]", "["+readers+" "+writers+"]", readers)
	k.must(k.RemoveFromGroup(t.Context(), k.pool, "ada", "zeta"))
	k.must(k.RemoveFromGroup(t.Context(), k.pool, "ada", "zeta"))
	check("without one", "[lead alpha everybody]", "["+readers+" "+writers+"]", readers)
	_, err := k.UpdateGroup(t.Context(), k.pool, "alpha", func(g *GroupSettings) { g.Precedence, g.Role = new(int32(0)), readers })
	k.must(err)
	check("the same role twice", "[alpha lead everybody]", "["+readers+"]", readers)
	for _, name := range []string{"alpha", "lead", "everybody"} {
		k.must(k.DeleteGroup(t.Context(), k.pool, name))
	}
	check("all deleted", "", "", "")
	_, err = k.CreateGroup(t.Context(), k.pool, GroupSettings{Name: "lead"})
	k.must(err)
	check("one by the name of a deleted one", "", "", "")
}

// TestGroupMembers: groups are paged through, and users and groups that are deleted
// leave nothing behind.
func TestGroupMembers(t *testing.T) {
	k := newKit(t)
	ctx := t.Context()
	k.group("staff", "", nil)
	want := []string{k.user.Sub}
	for i := range 4 {
		u, err := k.CreateUser(ctx, k.pool, NewUser{Name: fmt.Sprint("user", i), Password: secret.NewString(testPassword)})
		k.must(err)
		k.must(k.AddToGroup(ctx, k.pool, u.Username, "staff"))
		want = append(want, u.Sub)
	}
	slices.Sort(want)
	var have []string
	page := store.Page{Size: 2}
	for {
		list, err := k.UsersInGroup(ctx, k.pool, "staff", page)
		k.must(err)
		for _, u := range list.Items {
			have = append(have, u.Sub)
		}
		if page.Token = list.Next; list.Next == "" {
			break
		}
	}
	if !slices.Equal(have, want) {
		t.Errorf("there are %v, want %v", have, want)
	}
	for _, bad := range []string{"x", strings.Repeat("a", 36), "../" + k.user.Sub} {
		if _, err := k.UsersInGroup(ctx, k.pool, "staff", store.Page{Token: bad}); err == nil {
			t.Errorf("the token %q is taken", bad)
		}
	}
	k.must(k.DeleteUser(ctx, k.pool, "user0"))
	k.must(k.AddToGroup(ctx, k.pool, "ada", "staff"))
	list, err := k.UsersInGroup(ctx, k.pool, "staff", store.Page{})
	k.must(err)
	if len(list.Items) != 4 {
		t.Errorf("%d users are left", len(list.Items))
	}
	k.must(k.DeleteGroup(ctx, k.pool, "staff"))
	k.refused("a group that is gone", k.DeleteGroup(ctx, k.pool, "staff"), CodeNotFound)
	k.refused("into it", k.AddToGroup(ctx, k.pool, "ada", "staff"), CodeNotFound)
	k.refused("out of it", k.RemoveFromGroup(ctx, k.pool, "ada", "staff"), CodeNotFound)
	k.empty(members)

	k.group("staff", "", nil)
	_, err = k.CreateGroup(ctx, k.pool, GroupSettings{Name: "staff"})
	k.refused("a second of the name", err, CodeGroupExists)
	k.refused("nobody", k.AddToGroup(ctx, k.pool, "nobody", "staff"), CodeUserNotFound)
	k.must(k.DeletePool(ctx, testScope, k.pool.ID))
	k.empty(members)
	_, err = k.CreateGroup(ctx, k.pool, GroupSettings{Name: "late"})
	k.refused("a group of a pool that is gone", err, CodeNotFound)
}

// empty wants no row in a table.
func (k *kit) empty(table string) {
	k.Helper()
	k.must(k.cfg.Store.View(k.Context(), func(r store.Reader) error {
		for row, err := range r.Rows(table, store.Range{}) {
			if err != nil {
				return err
			}
			k.Errorf("%s holds %s", table, row.Key)
		}
		return nil
	}))
}

// TestGroupLimits: a user's groups are as many as a token can carry.
func TestGroupLimits(t *testing.T) {
	k := newKit(t)
	for i := range maxUserGroups {
		k.group(fmt.Sprint("g", i), "", nil)
	}
	_, err := k.CreateGroup(t.Context(), k.pool, GroupSettings{Name: "more"})
	k.must(err)
	k.refused("one group more", k.AddToGroup(t.Context(), k.pool, "ada", "more"), CodeLimit)
	k.must(k.AddToGroup(t.Context(), k.pool, "ada", "g1"))
	_, err = k.CreateUser(t.Context(), k.pool, NewUser{Name: "bob", Password: secret.NewString(testPassword)})
	k.must(err)
	for i := range 20 {
		name := strings.Repeat("\U0001f600", 126) + fmt.Sprintf("%02d", i)
		_, err := k.CreateGroup(t.Context(), k.pool, GroupSettings{Name: name})
		k.must(err)
		if err := k.AddToGroup(t.Context(), k.pool, "bob", name); err != nil {
			k.refused("long names", err, CodeLimit)
			if i < 5 {
				t.Errorf("%d long names are too many", i)
			}
			return
		}
	}
	t.Error("names are of any length together")
}
