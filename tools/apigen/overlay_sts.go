package main

var securityTokens = service{
	Model: "sts", Package: "sts", Signing: "sts", ServedShapesOnly: true,
	Groups: []group{{Name: "Identity", Doc: "who the caller is, and temporary credentials",
		Served: "AssumeRole AssumeRoleWithWebIdentity GetAccessKeyInfo GetCallerIdentity GetFederationToken GetSessionToken GetWebIdentityToken",
		Refused: map[string]string{
			noSAML:         "AssumeRoleWithSAML",
			noOrganization: "AssumeRoot",
			noEncoded:      "DecodeAuthorizationMessage",
			noTradeIn:      "GetDelegatedAccessToken",
		}}},
	Requires: map[string][]string{
		"AssumeRole": {
			"sts:AssumeRole {RoleArn}",
			"sts:TagSession {RoleArn} ?Tags",
			"sts:SetSourceIdentity {RoleArn} ?SourceIdentity",
		},
		// Without a signature: the role's trust policy is held to the token.
		"AssumeRoleWithWebIdentity": {"sts:AssumeRoleWithWebIdentity {RoleArn}"},
		// AWS: "No permissions are required to perform this operation."
		"GetCallerIdentity":   {"none"},
		"GetSessionToken":     {"none"},
		"GetAccessKeyInfo":    {"sts:GetAccessKeyInfo *"},
		"GetWebIdentityToken": {"sts:GetWebIdentityToken *", "sts:TagGetWebIdentityToken * ?Tags"},
		"GetFederationToken": {
			"sts:GetFederationToken arn:aws:sts::{account}:federated-user/{Name}",
			"sts:TagSession arn:aws:sts::{account}:federated-user/{Name} ?Tags",
		},
	},
	Keys: map[string][]string{
		"AssumeRole": {
			"sts:ExternalId ExternalId", "sts:RoleSessionName RoleSessionName", "sts:SourceIdentity SourceIdentity",
			"sts:TransitiveTagKeys TransitiveTagKeys", "aws:RequestTag/ Tags", "aws:TagKeys Tags",
		},
		"GetFederationToken": {"aws:RequestTag/ Tags", "aws:TagKeys Tags"},
		// IAM guide, "Controlling access with IAM policies" for outbound identity federation.
		"GetWebIdentityToken": {
			"sts:IdentityTokenAudience Audience", "sts:SigningAlgorithm SigningAlgorithm", "sts:DurationSeconds DurationSeconds :300",
			"aws:RequestTag/ Tags", "aws:TagKeys Tags",
		},
	},
	RefusedMembers: map[string]string{
		"AssumeRoleRequest.SerialNumber":     noMFA,
		"AssumeRoleRequest.TokenCode":        noMFA,
		"AssumeRoleRequest.ProvidedContexts": "there are no trusted context providers here",

		"AssumeRoleWithWebIdentityRequest.ProviderId": "OpenID Connect alone is spoken here; OAuth 2.0 access tokens of Amazon and Facebook are not taken",
		"GetSessionTokenRequest.SerialNumber":         noMFA,
		"GetSessionTokenRequest.TokenCode":            noMFA,
	},
	Secret: "AssumeRole AssumeRoleWithSAML AssumeRoleWithWebIdentity AssumeRoot GetDelegatedAccessToken GetFederationToken GetSessionToken GetWebIdentityToken",
}

const (
	noSAML    = "there are no SAML providers here"
	noEncoded = "refusals here are in the clear, so there is nothing to decode"
	noTradeIn = "there is no sign-in at AWS to trade in"
)
