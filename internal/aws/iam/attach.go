package iam

import (
	"cmp"
	"context"
	"slices"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/principal"
)

// AttachUserPolicy attaches a managed policy to a user.
func (s *Service) AttachUserPolicy(ctx context.Context, in *model.AttachUserPolicyRequest) (*model.Nothing, error) {
	return done(s.d.Attach(ctx, user(in.UserName), wire.Text(in.PolicyArn)))
}

// AttachGroupPolicy attaches a managed policy to a group.
func (s *Service) AttachGroupPolicy(ctx context.Context, in *model.AttachGroupPolicyRequest) (*model.Nothing, error) {
	return done(s.d.Attach(ctx, group(in.GroupName), wire.Text(in.PolicyArn)))
}

// AttachRolePolicy attaches a managed policy to a role.
func (s *Service) AttachRolePolicy(ctx context.Context, in *model.AttachRolePolicyRequest) (*model.Nothing, error) {
	return done(s.d.Attach(ctx, role(in.RoleName), wire.Text(in.PolicyArn)))
}

// DetachUserPolicy takes a managed policy from a user.
func (s *Service) DetachUserPolicy(ctx context.Context, in *model.DetachUserPolicyRequest) (*model.Nothing, error) {
	return done(s.d.Detach(ctx, user(in.UserName), wire.Text(in.PolicyArn)))
}

// DetachGroupPolicy takes a managed policy from a group.
func (s *Service) DetachGroupPolicy(ctx context.Context, in *model.DetachGroupPolicyRequest) (*model.Nothing, error) {
	return done(s.d.Detach(ctx, group(in.GroupName), wire.Text(in.PolicyArn)))
}

// DetachRolePolicy takes a managed policy from a role.
func (s *Service) DetachRolePolicy(ctx context.Context, in *model.DetachRolePolicyRequest) (*model.Nothing, error) {
	return done(s.d.Detach(ctx, role(in.RoleName), wire.Text(in.PolicyArn)))
}

// attachedKey orders managed policies by name. Of two that have the same, one is
// AWS's; markers stay short with it.
func attachedKey(a principal.Attached) string { return policyKeyOf(a.Name, a.ARN) }

func policyKeyOf(name, arn string) string {
	if strings.HasPrefix(arn, "arn:aws:iam::aws:") {
		return name + "\x00aws"
	}
	return name
}

func toAttached(a principal.Attached) model.AttachedPolicy {
	return model.AttachedPolicy{PolicyName: &a.Name, PolicyArn: &a.ARN}
}

// attachedTo returns a page of the managed policies of a holder.
func (s *Service) attachedTo(ctx context.Context, h principal.Holder, prefix, marker *string, most *int32) ([]model.AttachedPolicy, page, error) {
	all, err := s.d.AttachedTo(ctx, h, wire.Text(prefix))
	if err != nil {
		return nil, page{}, err
	}
	slices.SortFunc(all, func(a, b principal.Attached) int { return cmp.Compare(attachedKey(a), attachedKey(b)) })
	attached, p, err := paged(all, attachedKey, marker, most)
	return each(attached, toAttached), p, err
}

// ListAttachedUserPolicies returns the managed policies of a user.
func (s *Service) ListAttachedUserPolicies(ctx context.Context, in *model.ListAttachedUserPoliciesRequest) (*model.ListAttachedUserPoliciesResponse, error) {
	attached, p, err := s.attachedTo(ctx, user(in.UserName), in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListAttachedUserPoliciesResponse{AttachedPolicies: attached, IsTruncated: p.truncated, Marker: p.marker}, nil
}

// ListAttachedGroupPolicies returns the managed policies of a group.
func (s *Service) ListAttachedGroupPolicies(ctx context.Context, in *model.ListAttachedGroupPoliciesRequest) (*model.ListAttachedGroupPoliciesResponse, error) {
	attached, p, err := s.attachedTo(ctx, group(in.GroupName), in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListAttachedGroupPoliciesResponse{AttachedPolicies: attached, IsTruncated: p.truncated, Marker: p.marker}, nil
}

// ListAttachedRolePolicies returns the managed policies of a role.
func (s *Service) ListAttachedRolePolicies(ctx context.Context, in *model.ListAttachedRolePoliciesRequest) (*model.ListAttachedRolePoliciesResponse, error) {
	attached, p, err := s.attachedTo(ctx, role(in.RoleName), in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListAttachedRolePoliciesResponse{AttachedPolicies: attached, IsTruncated: p.truncated, Marker: p.marker}, nil
}
