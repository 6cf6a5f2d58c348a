package iam

import (
	"context"
	"net/http"
	"slices"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/principal"
)

// GetAccountSummary counts what there is, and tells the quotas.
func (s *Service) GetAccountSummary(ctx context.Context, _ *model.Nothing) (*model.GetAccountSummaryResponse, error) {
	users, err := s.d.Users(ctx, "")
	if err != nil {
		return nil, err
	}
	groups, err := s.d.Groups(ctx, "")
	if err != nil {
		return nil, err
	}
	roles, err := s.d.Roles(ctx, "")
	if err != nil {
		return nil, err
	}
	policies, err := s.d.Policies(ctx, "", true, false)
	if err != nil {
		return nil, err
	}
	providers, err := s.d.OIDCProviders(ctx)
	if err != nil {
		return nil, err
	}
	return &model.GetAccountSummaryResponse{SummaryMap: map[string]int32{
		"Users": count(users), "UsersQuota": principal.MaxUsers, "Groups": count(groups), "GroupsQuota": principal.MaxGroups,
		"Roles": count(roles), "RolesQuota": principal.MaxRoles, "Policies": count(policies), "PoliciesQuota": principal.MaxPolicies,
		"AccessKeysPerUserQuota": principal.MaxKeys, "GroupsPerUserQuota": principal.MaxGroupsOfUser,
		"AttachedPoliciesPerUserQuota": principal.MaxAttached, "AttachedPoliciesPerGroupQuota": principal.MaxAttached,
		"AttachedPoliciesPerRoleQuota": principal.MaxAttached, "VersionsPerPolicyQuota": principal.MaxVersions,
		"PolicySizeQuota": principal.MaxManagedLength, "AssumeRolePolicySizeQuota": principal.MaxTrustLength,
		"AccountAccessKeysPresent": 1, "AccountMFAEnabled": 0, "MFADevices": 0, "MFADevicesInUse": 0, "Providers": count(providers), "InstanceProfiles": 0,
		"ServerCertificates": 0, "AccountSigningCertificatesPresent": 0,
	}}, nil
}

func count[T any](all []T) int32 { return *number(len(all)) }

// entity is one of what GetAccountAuthorizationDetails lists, in one order.
type entity struct {
	key  string
	fill func(*model.GetAccountAuthorizationDetailsResponse) error
}

// GetAccountAuthorizationDetails returns users, groups, roles and policies with all
// that they are allowed by.
func (s *Service) GetAccountAuthorizationDetails(ctx context.Context, in *model.GetAccountAuthorizationDetailsRequest) (*model.GetAccountAuthorizationDetailsResponse, error) {
	var all []entity
	for _, kind := range []struct {
		filter string
		list   func(context.Context) ([]entity, error)
	}{
		{"User", s.userDetails}, {"Group", s.groupDetails}, {"Role", s.roleDetails}, {"LocalManagedPolicy", s.policyDetails(true)}, {"AWSManagedPolicy", s.policyDetails(false)},
	} {
		if len(in.Filter) > 0 && !slices.Contains(in.Filter, kind.filter) {
			continue
		}
		found, err := kind.list(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.SortFunc(all, func(a, b entity) int { return strings.Compare(a.key, b.key) })
	items, p, err := paged(all, func(e entity) string { return e.key }, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &model.GetAccountAuthorizationDetailsResponse{
		UserDetailList: []model.UserDetail{}, GroupDetailList: []model.GroupDetail{}, RoleDetailList: []model.RoleDetail{},
		Policies: []model.ManagedPolicyDetail{}, IsTruncated: p.truncated, Marker: p.marker,
	}
	for _, e := range items {
		if err := e.fill(out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// policiesOf returns the policies of a holder.
func (s *Service) policiesOf(ctx context.Context, h principal.Holder) (own []model.PolicyDetail, attached []model.AttachedPolicy, err error) {
	names, err := s.d.InlineNames(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	own = []model.PolicyDetail{}
	for _, name := range names {
		document, err := s.d.Inline(ctx, h, name)
		if err != nil {
			return nil, nil, err
		}
		own = append(own, model.PolicyDetail{PolicyName: &name, PolicyDocument: encoded(document)})
	}
	managed, err := s.d.AttachedTo(ctx, h, "")
	return own, each(managed, toAttached), err
}

func (s *Service) userDetails(ctx context.Context) ([]entity, error) {
	all, err := s.d.Users(ctx, "")
	return each(all, func(u principal.User) entity {
		return entity{"user/" + userKey(u), func(out *model.GetAccountAuthorizationDetailsResponse) error {
			own, attached, err := s.policiesOf(ctx, user(&u.Name))
			if err != nil {
				return err
			}
			groups, err := s.d.GroupsOf(ctx, u.Name)
			out.UserDetailList = append(out.UserDetailList, model.UserDetail{
				Path: &u.Path, UserName: &u.Name, UserId: &u.ID, Arn: &u.ARN, CreateDate: stamp(u.Created), UserPolicyList: own,
				GroupList:               each(groups, func(g principal.Group) string { return g.Name }),
				AttachedManagedPolicies: attached, PermissionsBoundary: boundary(u.Boundary), Tags: toTags(u.Tags),
			})
			return err
		}}
	}), err
}

func (s *Service) groupDetails(ctx context.Context) ([]entity, error) {
	all, err := s.d.Groups(ctx, "")
	return each(all, func(g principal.Group) entity {
		return entity{"group/" + groupKey(g), func(out *model.GetAccountAuthorizationDetailsResponse) error {
			own, attached, err := s.policiesOf(ctx, group(&g.Name))
			out.GroupDetailList = append(out.GroupDetailList, model.GroupDetail{
				Path: &g.Path, GroupName: &g.Name, GroupId: &g.ID, Arn: &g.ARN, CreateDate: stamp(g.Created),
				GroupPolicyList: own, AttachedManagedPolicies: attached,
			})
			return err
		}}
	}), err
}

func (s *Service) roleDetails(ctx context.Context) ([]entity, error) {
	all, err := s.d.Roles(ctx, "")
	return each(all, func(r principal.Role) entity {
		return entity{"role/" + strings.ToLower(r.Name), func(out *model.GetAccountAuthorizationDetailsResponse) error {
			own, attached, err := s.policiesOf(ctx, role(&r.Name))
			out.RoleDetailList = append(out.RoleDetailList, model.RoleDetail{
				Path: &r.Path, RoleName: &r.Name, RoleId: &r.ID, Arn: &r.ARN, CreateDate: stamp(r.Created), AssumeRolePolicyDocument: encoded(r.Trust),
				InstanceProfileList: []model.InstanceProfile{}, RolePolicyList: own, AttachedManagedPolicies: attached,
				PermissionsBoundary: boundary(r.Boundary), Tags: toTags(r.Tags), RoleLastUsed: lastUsed(r),
			})
			return err
		}}
	}), err
}

func (s *Service) policyDetails(own bool) func(context.Context) ([]entity, error) {
	return func(ctx context.Context) ([]entity, error) {
		all, err := s.d.Policies(ctx, "", own, !own)
		return each(all, func(p principal.Policy) entity {
			return entity{"policy/" + policyKey(p), func(out *model.GetAccountAuthorizationDetailsResponse) error {
				versions, err := s.d.Versions(ctx, p.ARN)
				m := toPolicy(p)
				out.Policies = append(out.Policies, model.ManagedPolicyDetail{
					PolicyName: m.PolicyName, PolicyId: m.PolicyId, Arn: m.Arn, Path: m.Path, DefaultVersionId: m.DefaultVersionId,
					AttachmentCount: m.AttachmentCount, PermissionsBoundaryUsageCount: m.PermissionsBoundaryUsageCount, IsAttachable: m.IsAttachable,
					Description: m.Description, CreateDate: m.CreateDate, UpdateDate: m.UpdateDate, PolicyVersionList: each(versions, withDocument),
				})
				return err
			}}
		}), err
	}
}

// What nobody has here is listed empty, because clients look before they delete a user
// or to find their way.

// ListAccountAliases returns none.
func (*Service) ListAccountAliases(context.Context, *model.ListAccountAliasesRequest) (*model.ListAccountAliasesResponse, error) {
	return &model.ListAccountAliasesResponse{AccountAliases: []string{}, IsTruncated: new(bool)}, nil
}

// ListMFADevices returns none.
func (s *Service) ListMFADevices(ctx context.Context, in *model.ListMFADevicesRequest) (*model.ListMFADevicesResponse, error) {
	return &model.ListMFADevicesResponse{MFADevices: []model.MFADevice{}, IsTruncated: new(bool)}, s.exists(ctx, in.UserName)
}

// ListVirtualMFADevices returns none.
func (*Service) ListVirtualMFADevices(context.Context, *model.ListVirtualMFADevicesRequest) (*model.ListVirtualMFADevicesResponse, error) {
	return &model.ListVirtualMFADevicesResponse{VirtualMFADevices: []model.VirtualMFADevice{}, IsTruncated: new(bool)}, nil
}

// GetLoginProfile says that the user has none: there is no console.
func (s *Service) GetLoginProfile(ctx context.Context, in *model.GetLoginProfileRequest) (*model.GetLoginProfileResponse, error) {
	return nil, s.noProfile(ctx, in.UserName)
}

// DeleteLoginProfile says so too, as clients expect it before they delete a user.
func (s *Service) DeleteLoginProfile(ctx context.Context, in *model.DeleteLoginProfileRequest) (*model.Nothing, error) {
	return nil, s.noProfile(ctx, in.UserName)
}

func (s *Service) noProfile(ctx context.Context, name *string) error {
	if err := s.exists(ctx, name); err != nil {
		return err
	}
	return fault.New(principal.CodeNoSuchEntity, http.StatusNotFound, "Login Profile for User %s cannot be found.", wire.Text(name))
}

// ListSAMLProviders returns none.
func (*Service) ListSAMLProviders(context.Context, *model.ListSAMLProvidersRequest) (*model.ListSAMLProvidersResponse, error) {
	return &model.ListSAMLProvidersResponse{SAMLProviderList: []model.SAMLProviderListEntry{}}, nil
}

// ListSSHPublicKeys returns none.
func (s *Service) ListSSHPublicKeys(ctx context.Context, in *model.ListSSHPublicKeysRequest) (*model.ListSSHPublicKeysResponse, error) {
	return &model.ListSSHPublicKeysResponse{SSHPublicKeys: []model.SSHPublicKeyMetadata{}, IsTruncated: new(bool)}, s.exists(ctx, in.UserName)
}

// ListServiceSpecificCredentials returns none.
func (s *Service) ListServiceSpecificCredentials(ctx context.Context, in *model.ListServiceSpecificCredentialsRequest) (*model.ListServiceSpecificCredentialsResponse, error) {
	return &model.ListServiceSpecificCredentialsResponse{ServiceSpecificCredentials: []model.ServiceSpecificCredentialMetadata{}}, s.exists(ctx, in.UserName)
}

// ListSigningCertificates returns none.
func (s *Service) ListSigningCertificates(ctx context.Context, in *model.ListSigningCertificatesRequest) (*model.ListSigningCertificatesResponse, error) {
	return &model.ListSigningCertificatesResponse{Certificates: []model.SigningCertificate{}, IsTruncated: new(bool)}, s.exists(ctx, in.UserName)
}

// exists refuses a user who is named and not there.
func (s *Service) exists(ctx context.Context, name *string) error {
	if name == nil {
		return nil
	}
	_, err := s.d.User(ctx, *name)
	return err
}
