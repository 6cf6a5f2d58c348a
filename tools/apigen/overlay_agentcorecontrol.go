package main

var agentcoreControl = service{
	Model: "bedrock-agentcore-control", Package: "agentcorecontrol", Signing: "bedrock-agentcore",
	Groups: []group{
		{Name: "Runtime", Doc: "agent runtimes, their versions and endpoints, and capacity providers",
			Served: `CreateAgentRuntime CreateAgentRuntimeEndpoint CreateCapacityProvider DeleteAgentRuntime DeleteAgentRuntimeEndpoint
				DeleteCapacityProvider GetAgentRuntime GetAgentRuntimeEndpoint GetCapacityProvider ListAgentRuntimeEndpoints
				ListAgentRuntimeVersions ListAgentRuntimeVersionsByCapacityProvider ListAgentRuntimes ListCapacityProviders
				UpdateAgentRuntime UpdateAgentRuntimeEndpoint UpdateCapacityProvider`},
		{Name: "Resources", Doc: "what any resource can have attached to it: tags and a policy",
			Served: `DeleteResourcePolicy GetResourcePolicy ListTagsForResource PutResourcePolicy TagResource UntagResource`},
		{Name: "Gateway", Doc: "gateways, their targets, rules and rate limits",
			Served: `BatchPutGatewayRateLimits CreateGateway CreateGatewayRateLimit CreateGatewayRule CreateGatewayTarget DeleteGateway
				DeleteGatewayRateLimit DeleteGatewayRule DeleteGatewayTarget GetGateway GetGatewayRateLimit GetGatewayRule GetGatewayTarget
				ListGatewayRateLimits ListGatewayRules ListGatewayTargets ListGateways SynchronizeGatewayTargets UpdateGateway
				UpdateGatewayRateLimit UpdateGatewayRule UpdateGatewayTarget`},
		{Name: "Identity", Doc: "who agents are, and the credentials that they reach services with",
			Served: `CreateApiKeyCredentialProvider CreateOauth2CredentialProvider CreateWorkloadIdentity DeleteApiKeyCredentialProvider
				DeleteOauth2CredentialProvider DeleteWorkloadIdentity GetApiKeyCredentialProvider GetOauth2CredentialProvider GetTokenVault
				GetWorkloadIdentity ListApiKeyCredentialProviders ListOauth2CredentialProviders ListWorkloadIdentities ResetTokenVaultKeyMaterial
				SetTokenVaultCMK UpdateApiKeyCredentialProvider UpdateOauth2CredentialProvider UpdateWorkloadIdentity`},
		{Name: "ConsentPortal", Doc: "the pages on which users of a gateway agree to what it does for them",
			Served: `CreateConsentPortal DeleteConsentPortal GetConsentPortal ListConsentPortals UpdateConsentPortal`},
		{Name: "Memory", Refused: map[string]string{laterMemory: `CreateMemory DeleteMemory GetMemory ListMemories UpdateMemory`}},
		{Name: "CodeInterpreter", Refused: map[string]string{laterCode: `CreateCodeInterpreter DeleteCodeInterpreter GetCodeInterpreter ListCodeInterpreters`}},
		{Name: "Browser", Refused: map[string]string{laterBrowser: `CreateBrowser CreateBrowserProfile DeleteBrowser DeleteBrowserProfile
			GetBrowser GetBrowserProfile ListBrowserProfiles ListBrowsers`}},
		{Name: "Policy", Refused: map[string]string{laterPolicy: `CreatePolicy CreatePolicyEngine DeletePolicy DeletePolicyEngine GetPolicy
			GetPolicyEngine GetPolicyEngineSummary GetPolicyGeneration GetPolicyGenerationSummary GetPolicySummary ListPolicies
			ListPolicyEngineSummaries ListPolicyEngines ListPolicyGenerationAssets ListPolicyGenerationSummaries ListPolicyGenerations
			ListPolicySummaries StartPolicyGeneration UpdatePolicy UpdatePolicyEngine`}},
		{Name: "Evaluation", Refused: map[string]string{laterEval: `AddDatasetExamples CreateConfigurationBundle CreateDataset
			CreateDatasetVersion CreateEvaluator CreateOnlineEvaluationConfig DeleteConfigurationBundle DeleteDataset DeleteDatasetExamples
			DeleteEvaluator DeleteOnlineEvaluationConfig GetAgentInsightStore GetConfigurationBundle GetConfigurationBundleVersion GetDataset
			GetEvaluator GetOnlineEvaluationConfig ListAgentInsightStores ListConfigurationBundleVersions ListConfigurationBundles
			ListDatasetExamples ListDatasetVersions ListDatasets ListEvaluators ListOnlineEvaluationConfigs UpdateAgentInsightStore
			UpdateConfigurationBundle UpdateDataset UpdateDatasetExamples UpdateEvaluator UpdateOnlineEvaluationConfig`}},
		{Name: "Registry", Refused: map[string]string{laterRegistry: `CreateRegistry CreateRegistryRecord DeleteRegistry DeleteRegistryRecord
			GetRegistry GetRegistryRecord ListRegistries ListRegistryRecords SubmitRegistryRecordForApproval UpdateRegistry
			UpdateRegistryRecord UpdateRegistryRecordStatus`}},
		{Name: "Harness", Refused: map[string]string{laterHarness: `CreateHarness CreateHarnessEndpoint DeleteHarness DeleteHarnessEndpoint
			GetHarness GetHarnessEndpoint ListHarnessEndpoints ListHarnessVersions ListHarnesses UpdateHarness UpdateHarnessEndpoint`}},
		{Name: "Payments", Refused: map[string]string{laterPayments: `CreatePaymentConnector CreatePaymentCredentialProvider
			CreatePaymentManager DeletePaymentConnector DeletePaymentCredentialProvider DeletePaymentManager GetPaymentConnector
			GetPaymentCredentialProvider GetPaymentManager ListPaymentConnectors ListPaymentCredentialProviders ListPaymentManagers
			RotatePaymentConnectorCredentials UpdatePaymentConnector UpdatePaymentCredentialProvider UpdatePaymentManager`}},
	},
	Requires: map[string][]string{
		// identity.md 10.3. The directory requirement names the one directory there is.
		"CreateAgentRuntime": append([]string{
			"bedrock-agentcore:CreateAgentRuntime *",
			"iam:PassRole {roleArn}",
			"bedrock-agentcore:CreateWorkloadIdentity arn:aws:bedrock-agentcore:{region}:{account}:workload-identity-directory/default",
			// Its name begins with the runtime's and ends with what nobody knows yet.
			"bedrock-agentcore:CreateWorkloadIdentity arn:aws:bedrock-agentcore:{region}:{account}:workload-identity-directory/default/workload-identity/{agentRuntimeName}-*",
		}, readsZip...),
		"UpdateAgentRuntime": append([]string{
			"bedrock-agentcore:UpdateAgentRuntime " + controlARN,
			"iam:PassRole {roleArn}",
		}, readsZip...),
		"GetAgentRuntimeEndpoint": {
			"bedrock-agentcore:GetAgentRuntimeEndpoint " + controlARN,
			"bedrock-agentcore:GetAgentRuntimeEndpoint " + controlARN + "/runtime-endpoint/{endpointName}",
		},
		"UpdateAgentRuntimeEndpoint": {
			"bedrock-agentcore:UpdateAgentRuntimeEndpoint " + controlARN,
			"bedrock-agentcore:UpdateAgentRuntimeEndpoint " + controlARN + "/runtime-endpoint/{endpointName}",
		},
		"DeleteAgentRuntimeEndpoint": {
			"bedrock-agentcore:DeleteAgentRuntimeEndpoint " + controlARN,
			"bedrock-agentcore:DeleteAgentRuntimeEndpoint " + controlARN + "/runtime-endpoint/{endpointName}",
		},
		"ListAgentRuntimeEndpoints": {"bedrock-agentcore:ListAgentRuntimeEndpoints " + controlARN},

		// gateway.md 2.4, 2.2. The handlers ask for Create- and DeleteWorkloadIdentity of the
		// gateway's own, and for the right to read the credential provider of a target.
		"CreateGateway": {
			"bedrock-agentcore:CreateGateway *",
			"iam:PassRole {roleArn}",
			"bedrock-agentcore:SynchronizeGatewayTargets arn:aws:bedrock-agentcore:{region}:{account}:gateway/* ?protocolConfiguration.mcp.searchType",
		},
		"UpdateGateway": {
			"bedrock-agentcore:UpdateGateway " + gatewayARN,
			"iam:PassRole {roleArn}",
			"bedrock-agentcore:SynchronizeGatewayTargets " + gatewayARN + " ?protocolConfiguration.mcp.searchType",
		},

		// identity.md 10.2: on the directory and on what is in it.
		"CreateWorkloadIdentity": onIdentity("CreateWorkloadIdentity", "{name}"),
		"GetWorkloadIdentity":    onIdentity("GetWorkloadIdentity", "{name}"),
		"UpdateWorkloadIdentity": onIdentity("UpdateWorkloadIdentity", "{name}"),
		"DeleteWorkloadIdentity": onIdentity("DeleteWorkloadIdentity", "{name}"),
		"ListWorkloadIdentities": {"bedrock-agentcore:ListWorkloadIdentities " + directoryARN},

		// identity.md 10.2: on the vault and on the provider in it. The handlers ask for
		// secretsmanager:CreateSecret of the secret that the service makes (10.3), and for
		// secretsmanager:GetSecretValue and kms:Sign of what a provider names.
		"CreateApiKeyCredentialProvider": inVault("CreateApiKeyCredentialProvider", apiKeyProvider),
		"GetApiKeyCredentialProvider":    inVault("GetApiKeyCredentialProvider", apiKeyProvider),
		"UpdateApiKeyCredentialProvider": inVault("UpdateApiKeyCredentialProvider", apiKeyProvider),
		"DeleteApiKeyCredentialProvider": inVault("DeleteApiKeyCredentialProvider", apiKeyProvider),
		"ListApiKeyCredentialProviders":  {"bedrock-agentcore:ListApiKeyCredentialProviders " + vaultARN},
		"CreateOauth2CredentialProvider": inVault("CreateOauth2CredentialProvider", oauth2Provider),
		"GetOauth2CredentialProvider":    inVault("GetOauth2CredentialProvider", oauth2Provider),
		"UpdateOauth2CredentialProvider": inVault("UpdateOauth2CredentialProvider", oauth2Provider),
		"DeleteOauth2CredentialProvider": inVault("DeleteOauth2CredentialProvider", oauth2Provider),
		"ListOauth2CredentialProviders":  {"bedrock-agentcore:ListOauth2CredentialProviders " + vaultARN},
		"GetTokenVault":                  {"bedrock-agentcore:GetTokenVault " + anyVaultARN},
		"SetTokenVaultCMK":               {"bedrock-agentcore:SetTokenVaultCMK " + anyVaultARN},
		"ResetTokenVaultKeyMaterial":     {"bedrock-agentcore:ResetTokenVaultKeyMaterial " + anyVaultARN},

		// identity.md 10.2, 10.3. Its name begins the id, which ends with what nobody knows yet.
		"CreateConsentPortal": {
			"bedrock-agentcore:CreateConsentPortal " + portalsARN + "{name}-*",
			"iam:PassRole {executionRoleArn}",
		},
		"GetConsentPortal": {"bedrock-agentcore:GetConsentPortal " + portalARN},
		"UpdateConsentPortal": {
			"bedrock-agentcore:UpdateConsentPortal " + portalARN,
			"iam:PassRole {executionRoleArn} ?executionRoleArn",
		},
		"DeleteConsentPortal": {"bedrock-agentcore:DeleteConsentPortal " + portalARN},
		"ListConsentPortals":  {"bedrock-agentcore:ListConsentPortals " + portalsARN + "*"},

		"TagResource":          {"bedrock-agentcore:TagResource {resourceArn}"},
		"UntagResource":        {"bedrock-agentcore:UntagResource {resourceArn}"},
		"ListTagsForResource":  {"bedrock-agentcore:ListTagsForResource {resourceArn}"},
		"PutResourcePolicy":    {"bedrock-agentcore:PutResourcePolicy {resourceArn}"},
		"GetResourcePolicy":    {"bedrock-agentcore:GetResourcePolicy {resourceArn}"},
		"DeleteResourcePolicy": {"bedrock-agentcore:DeleteResourcePolicy {resourceArn}"},
	},
	Keys: map[string][]string{
		"CreateAgentRuntime":             append(tagKeys, runtimeKeys...),
		"UpdateAgentRuntime":             runtimeKeys,
		"CreateAgentRuntimeEndpoint":     tagKeys,
		"CreateCapacityProvider":         tagKeys,
		"CreateGateway":                  append(tagKeys, gatewayKeys...),
		"UpdateGateway":                  gatewayKeys,
		"CreateGatewayTarget":            targetKeys,
		"UpdateGatewayTarget":            targetKeys,
		"CreateWorkloadIdentity":         tagKeys,
		"CreateApiKeyCredentialProvider": tagKeys,
		"CreateOauth2CredentialProvider": tagKeys,
		"CreateConsentPortal":            append(tagKeys, "iam:PassedToService =bedrock-agentcore.amazonaws.com"),
		"UpdateConsentPortal":            {"iam:PassedToService =bedrock-agentcore.amazonaws.com"},
		"SetTokenVaultCMK":               {"bedrock-agentcore:KmsKeyArn kmsConfiguration.kmsKeyArn"},
		"TagResource":                    tagKeys,
		"UntagResource":                  {"aws:TagKeys tagKeys"},
	},
	Metadata: map[string]string{
		"a capacity provider is a name for this one machine": `CreateCapacityProvider DeleteCapacityProvider GetCapacityProvider ListCapacityProviders UpdateCapacityProvider`,
	},
	// The Go SDK v1.77 still lists in these ways.
	Former: map[string]string{
		"ListDatasetExamples": "GET /datasets/{datasetId}/examples",
		"ListDatasetVersions": "GET /datasets/{datasetId}/versions",
		"ListDatasets":        "GET /datasets",
		// AWS's guide writes it so (gateway.md 1).
		"SynchronizeGatewayTargets": "PUT /gateways/{gatewayIdentifier}/synchronize",
	},
	RefusedMembers: refusedMembers,
	Patterns: map[string]override{
		"ConsentPortalIdentifier":                    {portalID + "|arn:aws[a-z-]*:bedrock-agentcore:[a-z0-9-]+:[0-9]{12}:consent-portal/" + portalID, "AWS's guide takes an ARN as well as an id"},
		"DimensionKey":                               {`\S+`, "the operations hold it to AWS's pattern, and their refusal lists what there is"},
		"GatewayIdentifier":                          {gatewayID + "|arn:aws[a-z-]*:bedrock-agentcore:[a-z0-9-]+:[0-9]{12}:gateway/" + gatewayID, "an ARN does as well as an id: the helpers of AWS's Python SDK send it"},
		"McpServerTargetConfigurationEndpointString": {"https?://.*", plainTarget},
		"PassthroughEndpoint":                        {`https?://[a-zA-Z0-9\-\.]+(:[0-9]{1,5})?(/.*)?`, plainTarget},
		"RuntimeContainerUri":                        {`\S+`, "images of any registry can be run; a server that is strict (`--strict`) keeps AWS's pattern"},
	},
}

// tagKeys are the keys of operations that take tags.
var tagKeys = []string{"aws:RequestTag/ tags", "aws:TagKeys tags"}

// runtimeKeys are those of operations that configure a runtime (identity.md 10.2).
var runtimeKeys = []string{
	"bedrock-agentcore:RuntimeAuthorizerType authorizerConfiguration CUSTOM_JWT:AWS_IAM",
	"bedrock-agentcore:subnets networkConfiguration.networkModeConfig.subnets",
	"bedrock-agentcore:securityGroups networkConfiguration.networkModeConfig.securityGroups",
	"iam:PassedToService =bedrock-agentcore.amazonaws.com",
}

// readsZip is what whoever deploys a code zip must be allowed: it is read for the caller,
// and not for the execution role, whose policies by AgentCore's own tools have no right
// to it (AgentCore guide, "Troubleshooting direct code deployment"; the statement
// BedrockAgentCoreRuntimeS3ReadAccess of BedrockAgentCoreFullAccess). A version of an
// object is another action to S3 (S3 API, GetObject, "Permissions").
var readsZip = []string{
	"s3:GetObject " + zipARN + " ?" + zipAt + " ?!" + zipAt + ".versionId",
	"s3:GetObjectVersion " + zipARN + " ?" + zipAt + ".versionId",
}

const (
	zipAt  = "agentRuntimeArtifact.codeConfiguration.code.s3"
	zipARN = "arn:aws:s3:::{" + zipAt + ".bucket}/{" + zipAt + ".prefix}"
)

const controlARN = "arn:aws:bedrock-agentcore:{region}:{account}:runtime/{agentRuntimeId}"

const (
	portalsARN = "arn:aws:bedrock-agentcore:{region}:{account}:consent-portal/"
	portalARN  = portalsARN + "{consentPortalIdentifier}"
	// portalID is AWS's pattern of the id of a consent portal.
	portalID = `[a-zA-Z0-9\-_]{1,50}-[A-Za-z0-9]{10}`

	gatewayARN = "arn:aws:bedrock-agentcore:{region}:{account}:gateway/{gatewayIdentifier}"
	// gatewayID is AWS's pattern of the id of a gateway.
	gatewayID   = "([0-9a-z][-]?){1,100}-[0-9a-z]{10}"
	plainTarget = "servers of a network of one's own often have no certificate; the operator allows private addresses (`outcrop serve --allow-private`)"
)

// gatewayKeys are those of operations that configure a gateway, targetKeys those of
// operations that configure a target (identity.md 10.2).
var (
	gatewayKeys = []string{
		"bedrock-agentcore:GatewayAuthorizerType authorizerType",
		"bedrock-agentcore:ProtocolType protocolType",
		"bedrock-agentcore:DiscoveryUrl authorizerConfiguration.customJWTAuthorizer.discoveryUrl",
		"bedrock-agentcore:KmsKeyArn kmsKeyArn",
		"iam:PassedToService =bedrock-agentcore.amazonaws.com",
	}
	targetKeys = []string{
		"bedrock-agentcore:AllowedRequestHeaders metadataConfiguration.allowedRequestHeaders",
		"bedrock-agentcore:AllowedQueryParameters metadataConfiguration.allowedQueryParameters",
		"bedrock-agentcore:AllowedResponseHeaders metadataConfiguration.allowedResponseHeaders",
	}
)

// refusedMembers are those that services do not give an effect yet. Accepting them would
// be a lie.
var refusedMembers = map[string]string{
	"CreateGatewayRequest.policyEngineConfiguration": laterPolicy,
	"UpdateGatewayRequest.policyEngineConfiguration": laterPolicy,
	"Action.configurationBundle":                     laterEval,

	"VpcConfig.requireServiceS3Endpoint":             "S3 is this server, which every sandbox reaches without an endpoint of a network",
	"FilesystemConfiguration.capacityProviderVolume": "a capacity provider is a name here and has no volumes; sessionStorage is a directory of this server",
	// There is no VPC whose endpoints could be meant: the operator says what is reached.
	"CustomJWTAuthorizerConfiguration.privateEndpoint":           privateIssuer,
	"CustomJWTAuthorizerConfiguration.privateEndpointOverrides":  privateIssuer,
	"CustomOauth2ProviderConfigInput.privateEndpoint":            privateIssuer,
	"CustomOauth2ProviderConfigInput.privateEndpointOverrides":   privateIssuer,
	"CustomJWTAuthorizerConfiguration.certificateConfigurations": trustedIssuer,
}

const trustedIssuer = "the operator names the certificate authorities that issuers may have (`outcrop serve --trust-ca`)"

const privateIssuer = "an issuer at a private address is reached without an endpoint where the operator allows it (`outcrop serve --allow-private`)"

// The one vault there is, and what is in it.
const (
	anyVaultARN    = "arn:aws:bedrock-agentcore:{region}:{account}:token-vault/{tokenVaultId:default}"
	vaultARN       = "arn:aws:bedrock-agentcore:{region}:{account}:token-vault/default"
	apiKeyProvider = "/apikeycredentialprovider/"
	oauth2Provider = "/oauth2credentialprovider/"
)

// inVault is what an action on one provider requires.
func inVault(action, kind string) []string {
	return []string{"bedrock-agentcore:" + action + " " + vaultARN, "bedrock-agentcore:" + action + " " + vaultARN + kind + "{name}"}
}
