package iam

import (
	"context"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/principal"
)

func toGroup(g principal.Group) model.Group {
	return model.Group{Path: &g.Path, GroupName: &g.Name, GroupId: &g.ID, Arn: &g.ARN, CreateDate: stamp(g.Created)}
}

func groupKey(g principal.Group) string { return strings.ToLower(g.Name) }

// CreateGroup makes a group.
func (s *Service) CreateGroup(ctx context.Context, in *model.CreateGroupRequest) (*model.CreateGroupResponse, error) {
	g, err := s.d.CreateGroup(ctx, wire.Text(in.GroupName), wire.Text(in.Path))
	if err != nil {
		return nil, err
	}
	out := toGroup(g)
	return &model.CreateGroupResponse{Group: &out}, nil
}

// GetGroup returns a group and its members.
func (s *Service) GetGroup(ctx context.Context, in *model.GetGroupRequest) (*model.GetGroupResponse, error) {
	g, err := s.d.Group(ctx, wire.Text(in.GroupName))
	if err != nil {
		return nil, err
	}
	all, err := s.d.Members(ctx, g.Name)
	if err != nil {
		return nil, err
	}
	users, p, err := paged(all, userKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := toGroup(g)
	return &model.GetGroupResponse{Group: &out, Users: each(users, listedUser), IsTruncated: p.truncated, Marker: p.marker}, nil
}

// UpdateGroup gives a group another name or path, for those who may update both.
func (s *Service) UpdateGroup(ctx context.Context, in *model.UpdateGroupRequest) (*model.Nothing, error) {
	g, err := s.d.Group(ctx, wire.Text(in.GroupName))
	if err == nil {
		err = mayRenameGroup(ctx, g, wire.Text(in.NewGroupName), wire.Text(in.NewPath))
	}
	if err != nil {
		return nil, err
	}
	return done(s.d.UpdateGroup(ctx, g.Name, wire.Text(in.NewGroupName), wire.Text(in.NewPath)))
}

// DeleteGroup deletes a group that has nothing left.
func (s *Service) DeleteGroup(ctx context.Context, in *model.DeleteGroupRequest) (*model.Nothing, error) {
	return done(s.d.DeleteGroup(ctx, wire.Text(in.GroupName)))
}

// ListGroups returns the groups by name.
func (s *Service) ListGroups(ctx context.Context, in *model.ListGroupsRequest) (*model.ListGroupsResponse, error) {
	all, err := s.d.Groups(ctx, wire.Text(in.PathPrefix))
	if err != nil {
		return nil, err
	}
	groups, p, err := paged(all, groupKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListGroupsResponse{Groups: each(groups, toGroup), IsTruncated: p.truncated, Marker: p.marker}, nil
}

// ListGroupsForUser returns the groups of a user by name.
func (s *Service) ListGroupsForUser(ctx context.Context, in *model.ListGroupsForUserRequest) (*model.ListGroupsForUserResponse, error) {
	all, err := s.d.GroupsOf(ctx, wire.Text(in.UserName))
	if err != nil {
		return nil, err
	}
	groups, p, err := paged(all, groupKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListGroupsForUserResponse{Groups: each(groups, toGroup), IsTruncated: p.truncated, Marker: p.marker}, nil
}

// AddUserToGroup makes a user a member.
func (s *Service) AddUserToGroup(ctx context.Context, in *model.AddUserToGroupRequest) (*model.Nothing, error) {
	return done(s.d.Join(ctx, wire.Text(in.UserName), wire.Text(in.GroupName)))
}

// RemoveUserFromGroup ends that.
func (s *Service) RemoveUserFromGroup(ctx context.Context, in *model.RemoveUserFromGroupRequest) (*model.Nothing, error) {
	return done(s.d.Quit(ctx, wire.Text(in.UserName), wire.Text(in.GroupName)))
}
