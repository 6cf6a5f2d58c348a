package iam

import (
	"context"
	"strings"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/principal"
)

func toRole(r principal.Role) model.Role {
	out := listedRole(r)
	out.PermissionsBoundary, out.Tags, out.RoleLastUsed = boundary(r.Boundary), toTags(r.Tags), lastUsed(r)
	return out
}

// listedRole is a role as lists have it, without tags, boundary and last use.
func listedRole(r principal.Role) model.Role {
	return model.Role{
		Path: &r.Path, RoleName: &r.Name, RoleId: &r.ID, Arn: &r.ARN, CreateDate: stamp(r.Created), AssumeRolePolicyDocument: encoded(r.Trust),
		Description: wire.Optional(r.Description), MaxSessionDuration: number(int(r.MaxSession / time.Second)),
	}
}

// lastUsed is empty for a role that has not been used.
func lastUsed(r principal.Role) *model.RoleLastUsed {
	if r.LastUse.Time.IsZero() {
		return &model.RoleLastUsed{}
	}
	return &model.RoleLastUsed{LastUsedDate: stamp(r.LastUse.Time), Region: &r.LastUse.Region}
}

// CreateRole makes a role.
func (s *Service) CreateRole(ctx context.Context, in *model.CreateRoleRequest) (*model.CreateRoleResponse, error) {
	r, err := s.d.CreateRole(ctx, principal.NewRole{
		Name: wire.Text(in.RoleName), Path: wire.Text(in.Path), Description: wire.Text(in.Description), Trust: wire.Text(in.AssumeRolePolicyDocument),
		Boundary: wire.Text(in.PermissionsBoundary), MaxSession: seconds(in.MaxSessionDuration), Tags: fromTags(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	out := toRole(r)
	out.RoleLastUsed = nil
	return &model.CreateRoleResponse{Role: &out}, nil
}

func seconds(n *int32) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}

// GetRole returns a role.
func (s *Service) GetRole(ctx context.Context, in *model.GetRoleRequest) (*model.GetRoleResponse, error) {
	r, err := s.d.Role(ctx, wire.Text(in.RoleName))
	if err != nil {
		return nil, err
	}
	out := toRole(r)
	return &model.GetRoleResponse{Role: &out}, nil
}

// ListRoles returns the roles by name.
func (s *Service) ListRoles(ctx context.Context, in *model.ListRolesRequest) (*model.ListRolesResponse, error) {
	all, err := s.d.Roles(ctx, wire.Text(in.PathPrefix))
	if err != nil {
		return nil, err
	}
	roles, p, err := paged(all, func(r principal.Role) string { return strings.ToLower(r.Name) }, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListRolesResponse{Roles: each(roles, listedRole), IsTruncated: p.truncated, Marker: p.marker}, nil
}

// UpdateRole changes a role's description and the longest session; what is absent
// stays.
func (s *Service) UpdateRole(ctx context.Context, in *model.UpdateRoleRequest) (*model.UpdateRoleResponse, error) {
	if err := s.d.UpdateRole(ctx, wire.Text(in.RoleName), in.Description, seconds(in.MaxSessionDuration)); err != nil {
		return nil, err
	}
	return &model.UpdateRoleResponse{}, nil
}

// UpdateRoleDescription changes a role's description.
func (s *Service) UpdateRoleDescription(ctx context.Context, in *model.UpdateRoleDescriptionRequest) (*model.UpdateRoleDescriptionResponse, error) {
	description := wire.Text(in.Description)
	if err := s.d.UpdateRole(ctx, wire.Text(in.RoleName), &description, 0); err != nil {
		return nil, err
	}
	r, err := s.d.Role(ctx, wire.Text(in.RoleName))
	if err != nil {
		return nil, err
	}
	out := toRole(r)
	return &model.UpdateRoleDescriptionResponse{Role: &out}, nil
}

// UpdateAssumeRolePolicy replaces a role's trust policy.
func (s *Service) UpdateAssumeRolePolicy(ctx context.Context, in *model.UpdateAssumeRolePolicyRequest) (*model.Nothing, error) {
	return done(s.d.SetTrust(ctx, wire.Text(in.RoleName), wire.Text(in.PolicyDocument)))
}

// DeleteRole deletes a role that has nothing left.
func (s *Service) DeleteRole(ctx context.Context, in *model.DeleteRoleRequest) (*model.Nothing, error) {
	return done(s.d.DeleteRole(ctx, wire.Text(in.RoleName)))
}

// TagRole adds tags to a role.
func (s *Service) TagRole(ctx context.Context, in *model.TagRoleRequest) (*model.Nothing, error) {
	return done(s.d.TagHolder(ctx, role(in.RoleName), fromTags(in.Tags)))
}

// UntagRole removes tags from a role.
func (s *Service) UntagRole(ctx context.Context, in *model.UntagRoleRequest) (*model.Nothing, error) {
	return done(s.d.UntagHolder(ctx, role(in.RoleName), in.TagKeys))
}

// ListRoleTags returns the tags of a role.
func (s *Service) ListRoleTags(ctx context.Context, in *model.ListRoleTagsRequest) (*model.ListRoleTagsResponse, error) {
	r, err := s.d.Role(ctx, wire.Text(in.RoleName))
	if err != nil {
		return nil, err
	}
	tags, p, err := tagPage(r.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListRoleTagsResponse{Tags: tags, IsTruncated: p.truncated, Marker: p.marker}, nil
}

// PutRolePermissionsBoundary sets the boundary of a role.
func (s *Service) PutRolePermissionsBoundary(ctx context.Context, in *model.PutRolePermissionsBoundaryRequest) (*model.Nothing, error) {
	return done(s.d.SetBoundary(ctx, role(in.RoleName), wire.Text(in.PermissionsBoundary)))
}

// DeleteRolePermissionsBoundary takes it away.
func (s *Service) DeleteRolePermissionsBoundary(ctx context.Context, in *model.DeleteRolePermissionsBoundaryRequest) (*model.Nothing, error) {
	return done(s.d.SetBoundary(ctx, role(in.RoleName), ""))
}

// ListInstanceProfilesForRole returns none: there are no instances.
func (s *Service) ListInstanceProfilesForRole(ctx context.Context, in *model.ListInstanceProfilesForRoleRequest) (*model.ListInstanceProfilesForRoleResponse, error) {
	if _, err := s.d.Role(ctx, wire.Text(in.RoleName)); err != nil {
		return nil, err
	}
	return &model.ListInstanceProfilesForRoleResponse{InstanceProfiles: []model.InstanceProfile{}, IsTruncated: new(bool)}, nil
}
