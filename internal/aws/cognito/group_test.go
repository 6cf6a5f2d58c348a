package cognito

import (
	"context"
	"fmt"
	"slices"
	"testing"

	model "github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/issuer"
)

// TestGroups: an update changes what it says, listings have pages, and what is not
// there is refused by Cognito's names.
func TestGroups(t *testing.T) {
	k := newKit(t)
	const role = "arn:aws:iam::111122223333:role/readers"
	made, err := k.CreateGroup(k.admin, &model.CreateGroupRequest{UserPoolId: k.pool, GroupName: new("a"), Description: new("the first"), Precedence: new(int32(7)), RoleArn: new(role)})
	k.must(err)
	if g := made.Group; *g.GroupName != "a" || *g.UserPoolId != *k.pool || *g.Precedence != 7 || *g.RoleArn != role || g.CreationDate == nil {
		t.Errorf("%+v", g)
	}
	_, err = k.CreateGroup(k.admin, &model.CreateGroupRequest{UserPoolId: k.pool, GroupName: new("a")})
	k.refused("a second of the name", err, issuer.CodeGroupExists)
	_, err = k.UpdateGroup(k.admin, &model.UpdateGroupRequest{UserPoolId: k.pool, GroupName: new("a"), Description: new("")})
	k.must(err)
	got, err := k.GetGroup(k.admin, &model.GetGroupRequest{UserPoolId: k.pool, GroupName: new("a")})
	k.must(err)
	if g := got.Group; g.Description != nil || *g.Precedence != 7 || *g.RoleArn != role {
		t.Errorf("after an update of the description alone: %+v", g)
	}
	for _, name := range []string{"b", "c", "d"} {
		_, err := k.CreateGroup(k.admin, &model.CreateGroupRequest{UserPoolId: k.pool, GroupName: &name})
		k.must(err)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		_, err := k.AdminAddUserToGroup(k.admin, &model.AdminAddUserToGroupRequest{UserPoolId: k.pool, GroupName: &name, Username: new("ada")})
		k.must(err)
	}
	paged := func(list func(token *string) ([]model.GroupType, *string, error)) []string {
		t.Helper()
		var names []string
		for token, n := (*string)(nil), 0; ; n++ {
			part, next, err := list(token)
			k.must(err)
			for _, g := range part {
				names = append(names, *g.GroupName)
			}
			if token = next; next == nil || n > 4 {
				return names
			}
		}
	}
	for what, names := range map[string][]string{
		"of the pool": paged(func(token *string) ([]model.GroupType, *string, error) {
			out, err := k.ListGroups(k.admin, &model.ListGroupsRequest{UserPoolId: k.pool, Limit: new(int32(3)), NextToken: token})
			k.must(err)
			return out.Groups, out.NextToken, nil
		}),
		"of ada": paged(func(token *string) ([]model.GroupType, *string, error) {
			out, err := k.AdminListGroupsForUser(k.admin, &model.AdminListGroupsForUserRequest{UserPoolId: k.pool, Username: new("ada"), Limit: new(int32(2)), NextToken: token})
			k.must(err)
			return out.Groups, out.NextToken, nil
		}),
	} {
		if !slices.Equal(names, []string{"a", "b", "c", "d"}) {
			t.Errorf("the groups %s are %v", what, names)
		}
	}
	for _, bad := range []string{"x", "-1", "0", "99999999999999999999"} {
		_, err = k.AdminListGroupsForUser(k.admin, &model.AdminListGroupsForUserRequest{UserPoolId: k.pool, Username: new("ada"), NextToken: &bad})
		k.refused("the token "+bad, err, issuer.CodeInvalidParameter)
		_, err = k.ListUsersInGroup(k.admin, &model.ListUsersInGroupRequest{UserPoolId: k.pool, GroupName: new("a"), NextToken: &bad})
		k.refused("the token "+bad, err, issuer.CodeInvalidParameter)
	}
	users, err := k.ListUsersInGroup(k.admin, &model.ListUsersInGroupRequest{UserPoolId: k.pool, GroupName: new("a")})
	k.must(err)
	if len(users.Users) != 1 || *users.Users[0].Username != "ada" || users.NextToken != nil {
		t.Errorf("in a are %+v", users)
	}
	_, err = k.AdminRemoveUserFromGroup(k.admin, &model.AdminRemoveUserFromGroupRequest{UserPoolId: k.pool, GroupName: new("a"), Username: new("ada")})
	k.must(err)
	_, err = k.DeleteGroup(k.admin, &model.DeleteGroupRequest{UserPoolId: k.pool, GroupName: new("a")})
	k.must(err)
	_, err = k.GetGroup(k.admin, &model.GetGroupRequest{UserPoolId: k.pool, GroupName: new("a")})
	k.refused("a group that is deleted", err, issuer.CodeNotFound)
}

// TestGroupsOfOthers: an administrator of another account sees and changes none.
func TestGroupsOfOthers(t *testing.T) {
	k := newKit(t)
	_, err := k.CreateGroup(k.admin, &model.CreateGroupRequest{UserPoolId: k.pool, GroupName: new("a")})
	k.must(err)
	for i, call := range []func(context.Context) error{
		func(c context.Context) error {
			_, err := k.CreateGroup(c, &model.CreateGroupRequest{UserPoolId: k.pool, GroupName: new("b")})
			return err
		},
		func(c context.Context) error {
			_, err := k.GetGroup(c, &model.GetGroupRequest{UserPoolId: k.pool, GroupName: new("a")})
			return err
		},
		func(c context.Context) error {
			_, err := k.UpdateGroup(c, &model.UpdateGroupRequest{UserPoolId: k.pool, GroupName: new("a")})
			return err
		},
		func(c context.Context) error {
			_, err := k.ListGroups(c, &model.ListGroupsRequest{UserPoolId: k.pool})
			return err
		},
		func(c context.Context) error {
			_, err := k.AdminAddUserToGroup(c, &model.AdminAddUserToGroupRequest{UserPoolId: k.pool, GroupName: new("a"), Username: new("ada")})
			return err
		},
		func(c context.Context) error {
			_, err := k.AdminListGroupsForUser(c, &model.AdminListGroupsForUserRequest{UserPoolId: k.pool, Username: new("ada")})
			return err
		},
		func(c context.Context) error {
			_, err := k.ListUsersInGroup(c, &model.ListUsersInGroupRequest{UserPoolId: k.pool, GroupName: new("a")})
			return err
		},
		func(c context.Context) error {
			_, err := k.AdminRemoveUserFromGroup(c, &model.AdminRemoveUserFromGroupRequest{UserPoolId: k.pool, GroupName: new("a"), Username: new("ada")})
			return err
		},
		func(c context.Context) error {
			_, err := k.DeleteGroup(c, &model.DeleteGroupRequest{UserPoolId: k.pool, GroupName: new("a")})
			return err
		},
	} {
		k.refused(fmt.Sprint("call ", i, " of another account"), call(k.other), issuer.CodeNotFound)
		k.must(call(k.admin))
	}
}
