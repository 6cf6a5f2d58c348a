package iam

import (
	"context"

	model "github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/principal"
)

// Users, groups and roles have policies in the same way, by operations of their own.

// PutUserPolicy puts a policy into a user.
func (s *Service) PutUserPolicy(ctx context.Context, in *model.PutUserPolicyRequest) (*model.Nothing, error) {
	return done(s.d.PutInline(ctx, user(in.UserName), wire.Text(in.PolicyName), wire.Text(in.PolicyDocument)))
}

// PutGroupPolicy puts a policy into a group.
func (s *Service) PutGroupPolicy(ctx context.Context, in *model.PutGroupPolicyRequest) (*model.Nothing, error) {
	return done(s.d.PutInline(ctx, group(in.GroupName), wire.Text(in.PolicyName), wire.Text(in.PolicyDocument)))
}

// PutRolePolicy puts a policy into a role.
func (s *Service) PutRolePolicy(ctx context.Context, in *model.PutRolePolicyRequest) (*model.Nothing, error) {
	return done(s.d.PutInline(ctx, role(in.RoleName), wire.Text(in.PolicyName), wire.Text(in.PolicyDocument)))
}

// GetUserPolicy returns a policy of a user.
func (s *Service) GetUserPolicy(ctx context.Context, in *model.GetUserPolicyRequest) (*model.GetUserPolicyResponse, error) {
	document, err := s.d.Inline(ctx, user(in.UserName), wire.Text(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &model.GetUserPolicyResponse{UserName: in.UserName, PolicyName: in.PolicyName, PolicyDocument: encoded(document)}, nil
}

// GetGroupPolicy returns a policy of a group.
func (s *Service) GetGroupPolicy(ctx context.Context, in *model.GetGroupPolicyRequest) (*model.GetGroupPolicyResponse, error) {
	document, err := s.d.Inline(ctx, group(in.GroupName), wire.Text(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &model.GetGroupPolicyResponse{GroupName: in.GroupName, PolicyName: in.PolicyName, PolicyDocument: encoded(document)}, nil
}

// GetRolePolicy returns a policy of a role.
func (s *Service) GetRolePolicy(ctx context.Context, in *model.GetRolePolicyRequest) (*model.GetRolePolicyResponse, error) {
	document, err := s.d.Inline(ctx, role(in.RoleName), wire.Text(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &model.GetRolePolicyResponse{RoleName: in.RoleName, PolicyName: in.PolicyName, PolicyDocument: encoded(document)}, nil
}

// DeleteUserPolicy takes a policy out of a user.
func (s *Service) DeleteUserPolicy(ctx context.Context, in *model.DeleteUserPolicyRequest) (*model.Nothing, error) {
	return done(s.d.DeleteInline(ctx, user(in.UserName), wire.Text(in.PolicyName)))
}

// DeleteGroupPolicy takes a policy out of a group.
func (s *Service) DeleteGroupPolicy(ctx context.Context, in *model.DeleteGroupPolicyRequest) (*model.Nothing, error) {
	return done(s.d.DeleteInline(ctx, group(in.GroupName), wire.Text(in.PolicyName)))
}

// DeleteRolePolicy takes a policy out of a role.
func (s *Service) DeleteRolePolicy(ctx context.Context, in *model.DeleteRolePolicyRequest) (*model.Nothing, error) {
	return done(s.d.DeleteInline(ctx, role(in.RoleName), wire.Text(in.PolicyName)))
}

// inlineNames returns a page of the names of a holder's own policies.
func (s *Service) inlineNames(ctx context.Context, h principal.Holder, marker *string, most *int32) ([]string, page, error) {
	all, err := s.d.InlineNames(ctx, h)
	if err != nil {
		return nil, page{}, err
	}
	names, p, err := paged(all, itself, marker, most)
	return each(names, itself), p, err
}

// ListUserPolicies returns the names of a user's own policies.
func (s *Service) ListUserPolicies(ctx context.Context, in *model.ListUserPoliciesRequest) (*model.ListUserPoliciesResponse, error) {
	names, p, err := s.inlineNames(ctx, user(in.UserName), in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListUserPoliciesResponse{PolicyNames: names, IsTruncated: p.truncated, Marker: p.marker}, nil
}

// ListGroupPolicies returns the names of a group's own policies.
func (s *Service) ListGroupPolicies(ctx context.Context, in *model.ListGroupPoliciesRequest) (*model.ListGroupPoliciesResponse, error) {
	names, p, err := s.inlineNames(ctx, group(in.GroupName), in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListGroupPoliciesResponse{PolicyNames: names, IsTruncated: p.truncated, Marker: p.marker}, nil
}

// ListRolePolicies returns the names of a role's own policies.
func (s *Service) ListRolePolicies(ctx context.Context, in *model.ListRolePoliciesRequest) (*model.ListRolePoliciesResponse, error) {
	names, p, err := s.inlineNames(ctx, role(in.RoleName), in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListRolePoliciesResponse{PolicyNames: names, IsTruncated: p.truncated, Marker: p.marker}, nil
}
