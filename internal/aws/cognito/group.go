package cognito

import (
	"context"
	"strconv"

	model "github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/issuer"
)

// CreateGroup makes a group of a pool's users.
func (s *Service) CreateGroup(ctx context.Context, in *model.CreateGroupRequest) (*model.CreateGroupResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	g, err := s.pools.CreateGroup(ctx, p, issuer.GroupSettings{
		Name: *in.GroupName, Description: wire.Text(in.Description), Role: wire.Text(in.RoleArn), Precedence: in.Precedence,
	})
	if err != nil {
		return nil, err
	}
	return &model.CreateGroupResponse{Group: showGroup(g)}, nil
}

func showGroup(g issuer.Group) *model.GroupType {
	return &model.GroupType{
		GroupName: &g.Name, UserPoolId: &g.PoolID, Description: wire.Optional(g.Description), RoleArn: wire.Optional(g.Role), Precedence: g.Precedence,
		CreationDate: &g.Created, LastModifiedDate: &g.Updated,
	}
}

// GetGroup returns a group.
func (s *Service) GetGroup(ctx context.Context, in *model.GetGroupRequest) (*model.GetGroupResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	g, err := s.pools.Group(ctx, p, *in.GroupName)
	if err != nil {
		return nil, err
	}
	return &model.GetGroupResponse{Group: showGroup(g)}, nil
}

// ListGroups lists the groups of a pool.
func (s *Service) ListGroups(ctx context.Context, in *model.ListGroupsRequest) (*model.ListGroupsResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	list, err := s.pools.ListGroups(ctx, p, page(in.Limit, in.NextToken, mostListed))
	if err != nil {
		return nil, worded(err)
	}
	return &model.ListGroupsResponse{Groups: showGroups(list.Items), NextToken: wire.Optional(list.Next)}, nil
}

func showGroups(list []issuer.Group) []model.GroupType {
	out := []model.GroupType{}
	for _, g := range list {
		out = append(out, *showGroup(g))
	}
	return out
}

// UpdateGroup changes what it is given of a group; the rest stays, as at Cognito.
func (s *Service) UpdateGroup(ctx context.Context, in *model.UpdateGroupRequest) (*model.UpdateGroupResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	g, err := s.pools.UpdateGroup(ctx, p, *in.GroupName, func(g *issuer.GroupSettings) {
		if in.Description != nil {
			g.Description = *in.Description
		}
		if in.RoleArn != nil {
			g.Role = *in.RoleArn
		}
		if in.Precedence != nil {
			g.Precedence = in.Precedence
		}
	})
	if err != nil {
		return nil, err
	}
	return &model.UpdateGroupResponse{Group: showGroup(g)}, nil
}

// DeleteGroup deletes a group; its users stay.
func (s *Service) DeleteGroup(ctx context.Context, in *model.DeleteGroupRequest) (*model.Nothing, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.pools.DeleteGroup(ctx, p, *in.GroupName)
}

// AdminAddUserToGroup puts a user into a group.
func (s *Service) AdminAddUserToGroup(ctx context.Context, in *model.AdminAddUserToGroupRequest) (*model.Nothing, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.pools.AddToGroup(ctx, p, *in.Username, *in.GroupName)
}

// AdminRemoveUserFromGroup takes a user out of a group.
func (s *Service) AdminRemoveUserFromGroup(ctx context.Context, in *model.AdminRemoveUserFromGroupRequest) (*model.Nothing, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.pools.RemoveFromGroup(ctx, p, *in.Username, *in.GroupName)
}

// AdminListGroupsForUser lists the groups of a user, by precedence. They are few: the
// token of the next page is how many came before it.
func (s *Service) AdminListGroupsForUser(ctx context.Context, in *model.AdminListGroupsForUserRequest) (*model.AdminListGroupsForUserResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	list, err := s.pools.GroupsOf(ctx, p, *in.Username)
	if err != nil {
		return nil, err
	}
	part, before := page(in.Limit, in.NextToken, mostListed), 0
	if part.Token != "" {
		if before, err = strconv.Atoi(part.Token); err != nil || before < 1 {
			return nil, issuer.Invalid("Invalid pagination token.")
		}
	}
	before = min(before, len(list))
	list = list[before:]
	out := &model.AdminListGroupsForUserResponse{}
	if len(list) > part.Size {
		list, out.NextToken = list[:part.Size], new(strconv.Itoa(before+part.Size))
	}
	out.Groups = showGroups(list)
	return out, nil
}

// ListUsersInGroup lists the users of a group.
func (s *Service) ListUsersInGroup(ctx context.Context, in *model.ListUsersInGroupRequest) (*model.ListUsersInGroupResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	list, err := s.pools.UsersInGroup(ctx, p, *in.GroupName, page(in.Limit, in.NextToken, mostListed))
	if err != nil {
		return nil, worded(err)
	}
	out := &model.ListUsersInGroupResponse{Users: []model.UserType{}, NextToken: wire.Optional(list.Next)}
	for _, u := range list.Items {
		out.Users = append(out.Users, *show(u, nil))
	}
	return out, nil
}
