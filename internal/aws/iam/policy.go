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

func toPolicy(p principal.Policy) model.Policy {
	out := listedPolicy(p)
	out.Description, out.Tags = wire.Optional(p.Description), toTags(p.Tags)
	return out
}

// listedPolicy is a policy as lists have it, without description and tags.
func listedPolicy(p principal.Policy) model.Policy {
	attachable := true
	return model.Policy{
		PolicyName: &p.Name, PolicyId: &p.ID, Arn: &p.ARN, Path: &p.Path, DefaultVersionId: &p.DefaultVersion,
		AttachmentCount: number(p.Attachments), PermissionsBoundaryUsageCount: number(p.Boundaries), IsAttachable: &attachable,
		CreateDate: stamp(p.Created), UpdateDate: stamp(p.Updated),
	}
}

// CreatePolicy makes a managed policy.
func (s *Service) CreatePolicy(ctx context.Context, in *model.CreatePolicyRequest) (*model.CreatePolicyResponse, error) {
	p, err := s.d.CreatePolicy(ctx, principal.NewPolicy{
		Name: wire.Text(in.PolicyName), Path: wire.Text(in.Path), Description: wire.Text(in.Description), Document: wire.Text(in.PolicyDocument), Tags: fromTags(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	out := toPolicy(p)
	return &model.CreatePolicyResponse{Policy: &out}, nil
}

// GetPolicy returns a managed policy.
func (s *Service) GetPolicy(ctx context.Context, in *model.GetPolicyRequest) (*model.GetPolicyResponse, error) {
	p, err := s.d.Policy(ctx, wire.Text(in.PolicyArn))
	if err != nil {
		return nil, err
	}
	out := toPolicy(p)
	return &model.GetPolicyResponse{Policy: &out}, nil
}

// DeletePolicy deletes a managed policy that nobody has.
func (s *Service) DeletePolicy(ctx context.Context, in *model.DeletePolicyRequest) (*model.Nothing, error) {
	return done(s.d.DeletePolicy(ctx, wire.Text(in.PolicyArn)))
}

func policyKey(p principal.Policy) string { return policyKeyOf(p.Name, p.ARN) }

// ListPolicies returns the managed policies by name: the account's, AWS's or both,
// all or those that somebody has.
func (s *Service) ListPolicies(ctx context.Context, in *model.ListPoliciesRequest) (*model.ListPoliciesResponse, error) {
	scope := wire.Text(in.Scope)
	all, err := s.d.Policies(ctx, wire.Text(in.PathPrefix), scope != "AWS", scope != "Local")
	if err != nil {
		return nil, err
	}
	attached := wire.True(in.OnlyAttached)
	all = slices.DeleteFunc(all, func(p principal.Policy) bool {
		switch wire.Text(in.PolicyUsageFilter) {
		case usedAsBoundary:
			return attached && p.Boundaries == 0
		case usedAsPolicy:
			return attached && p.Attachments == 0
		}
		return attached && p.Attachments+p.Boundaries == 0
	})
	slices.SortFunc(all, func(a, b principal.Policy) int { return cmp.Compare(policyKey(a), policyKey(b)) })
	policies, p, err := paged(all, policyKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListPoliciesResponse{Policies: each(policies, listedPolicy), IsTruncated: p.truncated, Marker: p.marker}, nil
}

// The values of PolicyUsageFilter.
const (
	usedAsPolicy   = "PermissionsPolicy"
	usedAsBoundary = "PermissionsBoundary"
)

// ListEntitiesForPolicy returns who has a policy, of one page all kinds together.
func (s *Service) ListEntitiesForPolicy(ctx context.Context, in *model.ListEntitiesForPolicyRequest) (*model.ListEntitiesForPolicyResponse, error) {
	var all []principal.Entity
	for _, asBoundary := range []bool{false, true} {
		if usage := wire.Text(in.PolicyUsageFilter); usage == usedAsPolicy && asBoundary || usage == usedAsBoundary && !asBoundary {
			continue
		}
		found, err := s.d.EntitiesOf(ctx, wire.Text(in.PolicyArn), asBoundary)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	kinds := map[string]principal.HolderKind{"User": principal.UserHolder, "Group": principal.GroupHolder, "Role": principal.RoleHolder}
	all = slices.DeleteFunc(all, func(e principal.Entity) bool {
		kind, filtered := kinds[wire.Text(in.EntityFilter)]
		return filtered && e.Kind != kind || in.EntityFilter != nil && !filtered || !strings.HasPrefix(e.Path, wire.Text(in.PathPrefix))
	})
	key := func(e principal.Entity) string { return e.Kind.String() + "/" + strings.ToLower(e.Name) }
	slices.SortFunc(all, func(a, b principal.Entity) int { return cmp.Compare(key(a), key(b)) })
	all = slices.CompactFunc(all, func(a, b principal.Entity) bool { return key(a) == key(b) })
	entities, p, err := paged(all, key, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &model.ListEntitiesForPolicyResponse{
		PolicyGroups: []model.PolicyGroup{}, PolicyUsers: []model.PolicyUser{}, PolicyRoles: []model.PolicyRole{}, IsTruncated: p.truncated, Marker: p.marker,
	}
	for _, e := range entities {
		switch e.Kind {
		case principal.UserHolder:
			out.PolicyUsers = append(out.PolicyUsers, model.PolicyUser{UserName: &e.Name, UserId: &e.ID})
		case principal.GroupHolder:
			out.PolicyGroups = append(out.PolicyGroups, model.PolicyGroup{GroupName: &e.Name, GroupId: &e.ID})
		case principal.RoleHolder:
			out.PolicyRoles = append(out.PolicyRoles, model.PolicyRole{RoleName: &e.Name, RoleId: &e.ID})
		}
	}
	return out, nil
}

// toVersion leaves the document out, which one operation alone answers with.
func toVersion(v principal.Version) model.PolicyVersion {
	return model.PolicyVersion{VersionId: &v.ID, IsDefaultVersion: &v.Default, CreateDate: stamp(v.Created)}
}

// withDocument is a version with its document.
func withDocument(v principal.Version) model.PolicyVersion {
	out := toVersion(v)
	out.Document = encoded(v.Document)
	return out
}

// CreatePolicyVersion makes another version of a policy.
func (s *Service) CreatePolicyVersion(ctx context.Context, in *model.CreatePolicyVersionRequest) (*model.CreatePolicyVersionResponse, error) {
	v, err := s.d.CreateVersion(ctx, wire.Text(in.PolicyArn), wire.Text(in.PolicyDocument), wire.True(in.SetAsDefault))
	if err != nil {
		return nil, err
	}
	out := toVersion(v)
	return &model.CreatePolicyVersionResponse{PolicyVersion: &out}, nil
}

// GetPolicyVersion returns a version of a policy with its document.
func (s *Service) GetPolicyVersion(ctx context.Context, in *model.GetPolicyVersionRequest) (*model.GetPolicyVersionResponse, error) {
	v, err := s.d.Version(ctx, wire.Text(in.PolicyArn), wire.Text(in.VersionId))
	if err != nil {
		return nil, err
	}
	out := withDocument(v)
	return &model.GetPolicyVersionResponse{PolicyVersion: &out}, nil
}

// ListPolicyVersions returns the versions of a policy, the newest first.
func (s *Service) ListPolicyVersions(ctx context.Context, in *model.ListPolicyVersionsRequest) (*model.ListPolicyVersionsResponse, error) {
	all, err := s.d.Versions(ctx, wire.Text(in.PolicyArn))
	if err != nil {
		return nil, err
	}
	versions, p, err := paged(all, func(v principal.Version) string { return v.ID }, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListPolicyVersionsResponse{Versions: each(versions, toVersion), IsTruncated: p.truncated, Marker: p.marker}, nil
}

// SetDefaultPolicyVersion puts a version in force.
func (s *Service) SetDefaultPolicyVersion(ctx context.Context, in *model.SetDefaultPolicyVersionRequest) (*model.Nothing, error) {
	return done(s.d.SetDefaultVersion(ctx, wire.Text(in.PolicyArn), wire.Text(in.VersionId)))
}

// DeletePolicyVersion deletes a version that is not in force.
func (s *Service) DeletePolicyVersion(ctx context.Context, in *model.DeletePolicyVersionRequest) (*model.Nothing, error) {
	return done(s.d.DeleteVersion(ctx, wire.Text(in.PolicyArn), wire.Text(in.VersionId)))
}

// TagPolicy adds tags to a policy.
func (s *Service) TagPolicy(ctx context.Context, in *model.TagPolicyRequest) (*model.Nothing, error) {
	return done(s.d.TagPolicy(ctx, wire.Text(in.PolicyArn), fromTags(in.Tags)))
}

// UntagPolicy removes tags from a policy.
func (s *Service) UntagPolicy(ctx context.Context, in *model.UntagPolicyRequest) (*model.Nothing, error) {
	return done(s.d.UntagPolicy(ctx, wire.Text(in.PolicyArn), in.TagKeys))
}

// ListPolicyTags returns the tags of a policy.
func (s *Service) ListPolicyTags(ctx context.Context, in *model.ListPolicyTagsRequest) (*model.ListPolicyTagsResponse, error) {
	policy, err := s.d.Policy(ctx, wire.Text(in.PolicyArn))
	if err != nil {
		return nil, err
	}
	tags, p, err := tagPage(policy.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListPolicyTagsResponse{Tags: tags, IsTruncated: p.truncated, Marker: p.marker}, nil
}
