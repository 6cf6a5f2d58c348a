package main

var accessManagement = service{
	Model: "iam", Package: "iam", Signing: "iam", ServedShapesOnly: true,
	Groups: []group{
		{Name: "Users", Doc: "users, their access keys, and groups",
			Served: `AddUserToGroup AttachGroupPolicy AttachUserPolicy CreateAccessKey CreateGroup CreateUser DeleteAccessKey DeleteGroup
			DeleteLoginProfile GetLoginProfile DeleteGroupPolicy DeleteUser DeleteUserPermissionsBoundary DeleteUserPolicy DetachGroupPolicy DetachUserPolicy
			GetAccessKeyLastUsed GetGroup GetGroupPolicy GetUser GetUserPolicy ListAccessKeys ListAttachedGroupPolicies
			ListAttachedUserPolicies ListGroupPolicies ListGroups ListGroupsForUser ListUserPolicies ListUsers ListUserTags PutGroupPolicy
			PutUserPermissionsBoundary PutUserPolicy RemoveUserFromGroup TagUser UntagUser UpdateAccessKey UpdateGroup UpdateUser`,
			Refused: map[string]string{
				noPasswords: `ChangePassword CreateLoginProfile DeleteAccountPasswordPolicy GetAccountPasswordPolicy
				UpdateAccountPasswordPolicy UpdateLoginProfile`,
				noMFA: `CreateVirtualMFADevice DeactivateMFADevice DeleteVirtualMFADevice EnableMFADevice GetMFADevice ListMFADeviceTags
				ResyncMFADevice TagMFADevice UntagMFADevice`,
				noOtherKeys: `CreateServiceSpecificCredential DeleteServerCertificate DeleteServiceSpecificCredential DeleteSigningCertificate
				DeleteSSHPublicKey GetServerCertificate GetSSHPublicKey ListServerCertificates ListServerCertificateTags
				ResetServiceSpecificCredential TagServerCertificate UntagServerCertificate UpdateServerCertificate
				UpdateServiceSpecificCredential UpdateSigningCertificate UpdateSSHPublicKey UploadServerCertificate
				UploadSigningCertificate UploadSSHPublicKey`}},
		{Name: "Roles", Doc: "roles and their policies",
			Served: `AttachRolePolicy CreateRole CreateServiceLinkedRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy
			DeleteServiceLinkedRole DetachRolePolicy GetRole GetRolePolicy GetServiceLinkedRoleDeletionStatus ListAttachedRolePolicies
			ListInstanceProfilesForRole ListRolePolicies ListRoles ListRoleTags PutRolePermissionsBoundary PutRolePolicy TagRole UntagRole
			UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription`,
			Refused: map[string]string{
				noMachines: `AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile ListInstanceProfiles
				ListInstanceProfileTags RemoveRoleFromInstanceProfile TagInstanceProfile UntagInstanceProfile`,
				laterIAM: `AcquireRole GetRoleTemplateVersion`,
			}},
		{Name: "Policies", Doc: "managed policies, and what policies say of a request",
			Served: `CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetContextKeysForCustomPolicy
			GetContextKeysForPrincipalPolicy GetPolicy GetPolicyVersion ListEntitiesForPolicy ListPolicies ListPolicyTags
			ListPolicyVersions SetDefaultPolicyVersion SimulateCustomPolicy SimulatePrincipalPolicy TagPolicy UntagPolicy`,
			Refused: map[string]string{laterIAM: `ListPoliciesGrantingServiceAccess`}},
		{Name: "Account", Doc: "the account as a whole, and lists that are empty here",
			Served: `GetAccountAuthorizationDetails GetAccountSummary ListAccountAliases ListMFADevices ListSAMLProviders
			ListServiceSpecificCredentials ListSigningCertificates ListSSHPublicKeys ListVirtualMFADevices`,
			Refused: map[string]string{
				noAlias:  `CreateAccountAlias DeleteAccountAlias`,
				noReport: `GenerateCredentialReport GenerateServiceLastAccessedDetails GetCredentialReport GetServiceLastAccessedDetails GetServiceLastAccessedDetailsWithEntities`,
				noSAML:   `CreateSAMLProvider DeleteSAMLProvider GetSAMLProvider ListSAMLProviderTags TagSAMLProvider UntagSAMLProvider UpdateSAMLProvider`,
				noOrganization: `DisableOrganizationsRootCredentialsManagement DisableOrganizationsRootSessions EnableOrganizationsRootCredentialsManagement
				EnableOrganizationsRootSessions GenerateOrganizationsAccessReport GetOrganizationsAccessReport ListOrganizationsFeatures`,
				laterIAM: `AcceptDelegationRequest AssociateDelegationRequest CreateDelegationRequest GetAccountProperties GetDelegationRequest GetHumanReadableSummary
				ListDelegationRequests PutAccountProperties RejectDelegationRequest SendDelegationToken SetSecurityTokenServicePreferences
				UpdateDelegationRequest`,
			}},
		{Name: "Federation", Doc: "issuers whose tokens stand for somebody here, and the account as one",
			Served: `AddClientIDToOpenIDConnectProvider CreateOpenIDConnectProvider DeleteOpenIDConnectProvider GetOpenIDConnectProvider
			ListOpenIDConnectProviders ListOpenIDConnectProviderTags RemoveClientIDFromOpenIDConnectProvider TagOpenIDConnectProvider
			UntagOpenIDConnectProvider UpdateOpenIDConnectProviderThumbprint
			DisableOutboundWebIdentityFederation EnableOutboundWebIdentityFederation GetOutboundWebIdentityFederationInfo`},
	},
	Patterns: map[string]override{
		"accountAliasType": {`[a-z0-9]+(-[a-z0-9]+)*`, "the same, without a lookahead"},
	},
	Requires: iamRequirements(),
	Keys:     iamKeys(),
	Secret:   "CreateAccessKey",
}

const (
	laterIAM       = "this part of IAM is not needed by AgentCore's clients"
	noPasswords    = "there is no console to sign in to; users have access keys"
	noMFA          = "there are no MFA devices here"
	noOtherKeys    = "users have access keys alone; there are no certificates, SSH keys and passwords of services"
	noMachines     = "there are no EC2 instances that would have a profile"
	noAlias        = "there is no console whose address would have an alias"
	noReport       = "there are no reports; `outcrop audit` tells who called what"
	noOrganization = "there is one account, and no organization"
)

// The ARNs of IAM's entities. Those of entities that exist have a path, which
// requests do not have: internal/app puts it in. ~self is who calls.
const (
	iamUser   = "arn:aws:iam::{account}:user/{UserName}"
	iamSelf   = "arn:aws:iam::{account}:user/{UserName:~self}"
	iamGroup  = "arn:aws:iam::{account}:group/{GroupName}"
	iamRole   = "arn:aws:iam::{account}:role/{RoleName}"
	iamPolicy = "{PolicyArn}"
	iamOIDC   = "{OpenIDConnectProviderArn}"
)

// iamRequirements are the actions of the Service Authorization Reference, on the
// resources that it names.
func iamRequirements() map[string][]string {
	on := map[string]string{
		iamUser: `AttachUserPolicy DeleteUser DeleteUserPermissionsBoundary DeleteLoginProfile DeleteUserPolicy DetachUserPolicy GetLoginProfile GetUserPolicy
			ListAttachedUserPolicies ListGroupsForUser ListUserPolicies ListUserTags PutUserPermissionsBoundary PutUserPolicy TagUser UntagUser`,
		iamSelf: `CreateAccessKey DeleteAccessKey GetUser ListAccessKeys UpdateAccessKey ListMFADevices ListServiceSpecificCredentials
			ListSigningCertificates ListSSHPublicKeys`,
		iamGroup: `AddUserToGroup AttachGroupPolicy DeleteGroup DeleteGroupPolicy DetachGroupPolicy GetGroup GetGroupPolicy
			ListAttachedGroupPolicies ListGroupPolicies PutGroupPolicy RemoveUserFromGroup`,
		iamRole: `AttachRolePolicy DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DeleteServiceLinkedRole DetachRolePolicy GetRole GetRolePolicy
			ListAttachedRolePolicies ListInstanceProfilesForRole ListRolePolicies ListRoleTags PutRolePermissionsBoundary PutRolePolicy TagRole
			UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription`,
		iamPolicy: `CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion ListEntitiesForPolicy ListPolicyTags ListPolicyVersions
			SetDefaultPolicyVersion TagPolicy UntagPolicy`,
		iamOIDC: `AddClientIDToOpenIDConnectProvider DeleteOpenIDConnectProvider GetOpenIDConnectProvider ListOpenIDConnectProviderTags
			RemoveClientIDFromOpenIDConnectProvider TagOpenIDConnectProvider UntagOpenIDConnectProvider UpdateOpenIDConnectProviderThumbprint`,
		"arn:aws:iam::{account}:user/*": `GetAccessKeyLastUsed`,
		"*": `DisableOutboundWebIdentityFederation EnableOutboundWebIdentityFederation GetOutboundWebIdentityFederationInfo
			GetAccountAuthorizationDetails GetAccountSummary GetContextKeysForCustomPolicy ListAccountAliases ListGroups
			ListOpenIDConnectProviders ListPolicies ListRoles ListSAMLProviders ListUsers ListVirtualMFADevices SimulateCustomPolicy`,
		"{PolicySourceArn}": `GetContextKeysForPrincipalPolicy SimulatePrincipalPolicy`,
	}
	out := map[string][]string{
		"CreateUser":   {"iam:CreateUser arn:aws:iam::{account}:user{Path:/}{UserName}", "iam:TagUser arn:aws:iam::{account}:user{Path:/}{UserName} ?Tags"},
		"CreateGroup":  {"iam:CreateGroup arn:aws:iam::{account}:group{Path:/}{GroupName}"},
		"CreateRole":   {"iam:CreateRole arn:aws:iam::{account}:role{Path:/}{RoleName}", "iam:TagRole arn:aws:iam::{account}:role{Path:/}{RoleName} ?Tags"},
		"CreatePolicy": {"iam:CreatePolicy arn:aws:iam::{account}:policy{Path:/}{PolicyName}", "iam:TagPolicy arn:aws:iam::{account}:policy{Path:/}{PolicyName} ?Tags"},
		// Their handlers ask for the ARN after it too, of which a request may name a part.
		"UpdateUser":  {"iam:UpdateUser " + iamUser},
		"UpdateGroup": {"iam:UpdateGroup " + iamGroup},
		// internal/app takes the scheme away.
		"CreateOpenIDConnectProvider":        {"iam:CreateOpenIDConnectProvider arn:aws:iam::{account}:oidc-provider/{Url}", "iam:TagOpenIDConnectProvider arn:aws:iam::{account}:oidc-provider/{Url} ?Tags"},
		"CreateServiceLinkedRole":            {"iam:CreateServiceLinkedRole arn:aws:iam::{account}:role/aws-service-role/{AWSServiceName}/*"},
		"GetServiceLinkedRoleDeletionStatus": {"iam:GetServiceLinkedRoleDeletionStatus arn:aws:iam::{account}:role/*"},
	}
	for resource, ops := range on {
		for op := range words(ops) {
			out[op] = []string{"iam:" + op + " " + resource}
		}
	}
	return out
}

// iamKeys are the condition keys of the Service Authorization Reference, by which
// whoever administers others is kept to a boundary and to some policies.
func iamKeys() map[string][]string {
	out := map[string][]string{
		"CreatePolicy":            {"aws:RequestTag/ Tags", "aws:TagKeys Tags"},
		"CreateServiceLinkedRole": {"iam:AWSServiceName AWSServiceName"},
	}
	for op := range words("AttachUserPolicy AttachGroupPolicy AttachRolePolicy DetachUserPolicy DetachGroupPolicy DetachRolePolicy") {
		out[op] = []string{"iam:PolicyARN PolicyArn"}
	}
	for op := range words("CreateUser CreateRole") {
		out[op] = []string{"iam:PermissionsBoundary PermissionsBoundary", "aws:RequestTag/ Tags", "aws:TagKeys Tags"}
	}
	for op := range words("PutUserPermissionsBoundary PutRolePermissionsBoundary") {
		out[op] = []string{"iam:PermissionsBoundary PermissionsBoundary"}
	}
	for op := range words("TagUser TagRole TagPolicy TagOpenIDConnectProvider CreateOpenIDConnectProvider") {
		out[op] = []string{"aws:RequestTag/ Tags", "aws:TagKeys Tags"}
	}
	for op := range words("UntagUser UntagRole UntagPolicy UntagOpenIDConnectProvider") {
		out[op] = []string{"aws:TagKeys TagKeys"}
	}
	return out
}
