package main

var userPools = service{
	Model: "cognito-idp", Package: "cognito", Signing: "cognito-idp", ServedShapesOnly: true,
	Groups: []group{{Name: "UserPools", Doc: "user pools, their app clients, domains and resource servers, and the users who sign in to them",
		Served: `AddCustomAttributes AdminAddUserToGroup AdminConfirmSignUp AdminCreateUser AdminDeleteUser AdminDeleteUserAttributes
			AdminDisableUser AdminEnableUser AdminGetUser AdminInitiateAuth AdminListGroupsForUser AdminRemoveUserFromGroup
			AdminRespondToAuthChallenge AdminSetUserPassword AdminUpdateUserAttributes AdminUserGlobalSignOut ChangePassword CreateGroup
			CreateResourceServer CreateUserPool CreateUserPoolClient CreateUserPoolDomain DeleteGroup DeleteResourceServer DeleteUser
			DeleteUserAttributes DeleteUserPool DeleteUserPoolClient DeleteUserPoolDomain DescribeResourceServer DescribeUserPool
			DescribeUserPoolClient DescribeUserPoolDomain GetGroup GetTokensFromRefreshToken GetUser GetUserPoolMfaConfig GlobalSignOut
			InitiateAuth ListGroups ListResourceServers ListTagsForResource ListUserPoolClients ListUserPools ListUsers ListUsersInGroup
			RespondToAuthChallenge RevokeToken SetUserPoolMfaConfig SignUp TagResource UntagResource UpdateGroup UpdateResourceServer
			UpdateUserAttributes UpdateUserPool UpdateUserPoolClient`,
		Refused: map[string]string{
			noMessages: `ConfirmForgotPassword ConfirmSignUp ForgotPassword GetUserAttributeVerificationCode ResendConfirmationCode VerifyUserAttribute
				AdminResetUserPassword`,
			noSecondFactor: `AdminDeleteSoftwareToken AdminGetUserAuthFactors AdminSetUserMFAPreference AdminSetUserSettings
				AssociateSoftwareToken CompleteWebAuthnRegistration DeleteWebAuthnCredential GetUserAuthFactors ListWebAuthnCredentials
				SetUserMFAPreference SetUserSettings StartWebAuthnRegistration VerifySoftwareToken`,
			noDevices: `AdminForgetDevice AdminGetDevice AdminListDevices AdminUpdateDeviceStatus ConfirmDevice ForgetDevice GetDevice ListDevices
				UpdateDeviceStatus`,
			noFederation: `AdminDisableProviderForUser AdminLinkProviderForUser CreateIdentityProvider DeleteIdentityProvider
				DescribeIdentityProvider GetIdentityProviderByIdentifier GetSigningCertificate ListIdentityProviders UpdateIdentityProvider`,
			laterCognito: `AddUserPoolClientSecret AdminListUserAuthEvents AdminListUserSessions AdminRevokeUserSession AdminUpdateAuthEventFeedback
				CreateManagedLoginBranding CreateTerms CreateUserImportJob CreateUserPoolReplica DeleteManagedLoginBranding DeleteTerms
				DeleteUserPoolClientSecret DeleteUserPoolReplica DescribeManagedLoginBranding DescribeManagedLoginBrandingByClient
				DescribeRiskConfiguration DescribeTerms DescribeTermsByClient DescribeUserImportJob GetCSVHeader GetClientToken
				GetDerivedToken GetLogDeliveryConfiguration GetProvisionedLimit GetUICustomization GetUserPoolClientSessionConfiguration
				GetUserPoolSessionConfiguration ListTerms ListUserImportJobs ListUserPoolClientSecrets ListUserPoolReplicas ListUserSessions
				RevokeUserSession SetLogDeliveryConfiguration SetRiskConfiguration SetUICustomization SetUserPoolClientSessionConfiguration
				SetUserPoolSessionConfiguration StartUserImportJob StopUserImportJob UpdateAuthEventFeedback UpdateManagedLoginBranding
				UpdateProvisionedLimit UpdateTerms UpdateUserPoolDomain UpdateUserPoolReplica`,
		}}},
	RefusedMembers: map[string]string{
		"CreateUserPoolRequest.LambdaConfig":                 noTriggers,
		"UpdateUserPoolRequest.LambdaConfig":                 noTriggers,
		"CreateUserPoolRequest.AliasAttributes":              "users sign in by their name, or by their e-mail address with UsernameAttributes",
		"CreateUserPoolRequest.KeyConfiguration":             "what is secret is sealed under the key of this server",
		"UpdateUserPoolRequest.KeyConfiguration":             "what is secret is sealed under the key of this server",
		"CreateUserPoolRequest.IssuerConfiguration":          "a pool has the issuer of its region, and that of this server's address",
		"UpdateUserPoolRequest.IssuerConfiguration":          "a pool has the issuer of its region, and that of this server's address",
		"CreateUserPoolDomainRequest.CustomDomainConfig":     "no certificate of another's is kept here; give the server the name itself (docs/aws-hosts.md)",
		"CreateUserPoolClientRequest.AnalyticsConfiguration": "there is no Pinpoint to tell",
		"UpdateUserPoolClientRequest.AnalyticsConfiguration": "there is no Pinpoint to tell",
		"SetUserPoolMfaConfigRequest.SmsMfaConfiguration":    noSecondFactor,
		"SetUserPoolMfaConfigRequest.EmailMfaConfiguration":  noSecondFactor,
		"SetUserPoolMfaConfigRequest.WebAuthnConfiguration":  noSecondFactor,
	},
	RefusedValues: map[string]string{
		"UserPoolMfaType=ON":       noSecondFactor,
		"UserPoolMfaType=OPTIONAL": noSecondFactor,
		"OAuthFlowType=implicit":   "tokens in a redirect are open to every page's script; use code",
	},
	Patterns: map[string]override{
		"SmsInviteMessageType": {`[\s\S]*`, "a flag in the model's own syntax; it means the same"},
		"S3BucketType":         {`[0-9A-Za-z._-]*[0-9A-Za-z_-]`, "the lookbehind of the model's, as what it lets through"},
	},
	Requires: map[string][]string{
		"ListUserPools":          {"cognito-idp:ListUserPools *"},
		"DescribeUserPoolDomain": {"cognito-idp:DescribeUserPoolDomain *"},
		"ListTagsForResource":    {"cognito-idp:ListTagsForResource {ResourceArn}"},
		"TagResource":            {"cognito-idp:TagResource {ResourceArn}"},
		"UntagResource":          {"cognito-idp:UntagResource {ResourceArn}"},
		// The handler asks for cognito-idp:TagResource too where there are tags.
		"CreateUserPool": {"cognito-idp:CreateUserPool *"},
	},
	Secret: `AdminInitiateAuth AdminRespondToAuthChallenge CreateUserPoolClient DescribeUserPoolClient GetTokensFromRefreshToken InitiateAuth
		RespondToAuthChallenge UpdateUserPoolClient`,
}

const (
	laterCognito   = "this part of Cognito is not needed by AgentCore's clients"
	noMessages     = "no mail and no SMS is sent from here; an administrator confirms users (AdminConfirmSignUp) and sets passwords (AdminSetUserPassword)"
	noSecondFactor = "a password is the only factor of user pools here; leave MfaConfiguration OFF, or let users sign in at an identity provider with MFA whose discovery URL the runtime has"
	noDevices      = "devices are not remembered here"
	noFederation   = "users of other identity providers do not sign in here; give the runtime their issuer's discovery URL"
	noTriggers     = "pools call no functions here"
)
