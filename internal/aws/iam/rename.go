package iam

import (
	"cmp"
	"context"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/principal"
)

// mayRename asks whether the caller may do action with the ARN that a user or a group
// will have, as the pipeline has asked of the one it has: policies for the one would
// give the rights of the other (API reference, UpdateUser). What is empty stays.
func mayRename(ctx context.Context, action, old string, kind principal.HolderKind, path, name string) error {
	c := pipeline.From(ctx)
	arn := "arn:aws:iam::" + c.Principal.Account + ":" + kind.String() + path + name
	if arn == old {
		return nil
	}
	return c.Authorize(ctx, auth.Requirement{Action: action, Resource: arn})
}

// mayRenameUser is mayRename for a user.
func mayRenameUser(ctx context.Context, u principal.User, name, path string) error {
	return mayRename(ctx, "iam:UpdateUser", u.ARN, principal.UserHolder, cmp.Or(path, u.Path), cmp.Or(name, u.Name))
}

// mayRenameGroup is mayRename for a group.
func mayRenameGroup(ctx context.Context, g principal.Group, name, path string) error {
	return mayRename(ctx, "iam:UpdateGroup", g.ARN, principal.GroupHolder, cmp.Or(path, g.Path), cmp.Or(name, g.Name))
}
