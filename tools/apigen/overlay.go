package main

import "strings"

// service is what Outcrop decides about one service model.
type service struct {
	// Model is botocore's name of the service, Package the Go package written for it.
	Model, Package string
	// Own is set for the API that AWS has nothing for; its model is ours, in models/.
	Own bool
	// Signing is the credential scope where the model names none.
	Signing string
	Groups  []group
	// ServedShapesOnly leaves out the types of refused operations: for the
	// neighbours, of whose operations we serve a slice.
	ServedShapesOnly bool
	// Requires replaces the inferred requirement list of an operation; each
	// entry is "action resource", or "action resource ?member" where the
	// requirement holds only if the member is set. "none" asks nothing, and
	// "none: reason" leaves all asking to the handler.
	Requires map[string][]string
	// Patterns replaces a shape's pattern by ours, with the reason.
	Patterns map[string]override
	// RefusedMembers are "Shape.member": reason; RefusedValues "Shape=VALUE": reason.
	RefusedMembers map[string]string
	RefusedValues  map[string]string
	// Streaming are "Shape.member" blobs that the model holds whole and we stream.
	Streaming map[string]bool
	// Former are "METHOD path" that an operation had in older models and that
	// clients built from them still send.
	Former map[string]string
	// Roots names the root element of an XML answer where it is not the
	// output's own name; "-" stands for the output's one member, unwrapped.
	Roots map[string]string
	// Secret are the operations whose answers hand out a secret.
	Secret string
	// Metadata lists the operations that are stored and echoed without effect, by
	// the reason.
	Metadata map[string]string
}

// override is a constraint of ours in place of the model's.
type override struct{ pattern, reason string }

// group is one handler interface.
type group struct {
	Name string
	// Doc ends the sentence "GroupName serves ...".
	Doc    string
	Served string
	// Refused lists operations by the reason for which they are refused.
	Refused map[string]string
}

func (s service) signingName() string { return s.Signing }

// Reasons why a group is refused as a whole, until it is built.
const (
	laterRuntime  = "this part of the Runtime service is not built yet"
	laterGateway  = "the Gateway service is not built yet"
	laterIdentity = "the Identity service is not built yet"
	laterMemory   = "the Memory service is not built yet"
	laterCode     = "the Code Interpreter service is not built yet"
	laterBrowser  = "the Browser service is not built yet"
	laterPolicy   = "Policy engines are not built yet"
	laterEval     = "Evaluations, datasets and configuration bundles are not built yet"
	laterRegistry = "the agent registry is not built yet"
	laterHarness  = "the agent harness is not built yet"
	laterPayments = "Payments are not built yet"
	laterSearch   = "web search is not built yet"
	laterS3       = "this part of S3 is not needed by AgentCore's clients"
	laterSTS      = "roles and federated identities are not built yet"
	noEncryption  = "objects are not encrypted by the server; put its data directory on an encrypted volume"
	laterECR      = "this part of ECR is not needed by AgentCore's clients"
	pushedAtV2    = "layers are pushed and pulled at the registry of this server, under /v2/ (docs/registry.md)"
	notHere       = "it is reachable on AWS only"
)

// A new operation in a moved model is in no list below, and the generator
// fails until somebody puts it into one.
var services = []service{
	{
		Model: "bedrock-agentcore-control", Package: "agentcorecontrol", Signing: "bedrock-agentcore",
		Groups: []group{
			{Name: "Runtime", Doc: "agent runtimes, their versions and endpoints, and capacity providers",
				Served: `CreateAgentRuntime CreateAgentRuntimeEndpoint CreateCapacityProvider DeleteAgentRuntime DeleteAgentRuntimeEndpoint
					DeleteCapacityProvider GetAgentRuntime GetAgentRuntimeEndpoint GetCapacityProvider ListAgentRuntimeEndpoints
					ListAgentRuntimeVersions ListAgentRuntimeVersionsByCapacityProvider ListAgentRuntimes ListCapacityProviders
					UpdateAgentRuntime UpdateAgentRuntimeEndpoint UpdateCapacityProvider`},
			{Name: "Resources", Doc: "what any resource can have attached to it: tags and a policy",
				Served: `DeleteResourcePolicy GetResourcePolicy ListTagsForResource PutResourcePolicy TagResource UntagResource`},
			{Name: "Gateway", Refused: map[string]string{laterGateway: `BatchPutGatewayRateLimits CreateGateway CreateGatewayRateLimit
				CreateGatewayRule CreateGatewayTarget DeleteGateway DeleteGatewayRateLimit DeleteGatewayRule DeleteGatewayTarget GetGateway
				GetGatewayRateLimit GetGatewayRule GetGatewayTarget ListGatewayRateLimits ListGatewayRules ListGatewayTargets ListGateways
				SynchronizeGatewayTargets UpdateGateway UpdateGatewayRateLimit UpdateGatewayRule UpdateGatewayTarget`}},
			{Name: "Identity", Refused: map[string]string{laterIdentity: `CreateApiKeyCredentialProvider CreateConsentPortal
				CreateOauth2CredentialProvider CreateWorkloadIdentity DeleteApiKeyCredentialProvider DeleteConsentPortal
				DeleteOauth2CredentialProvider DeleteWorkloadIdentity GetApiKeyCredentialProvider GetConsentPortal GetOauth2CredentialProvider
				GetTokenVault GetWorkloadIdentity ListApiKeyCredentialProviders ListConsentPortals ListOauth2CredentialProviders
				ListWorkloadIdentities ResetTokenVaultKeyMaterial SetTokenVaultCMK UpdateApiKeyCredentialProvider UpdateConsentPortal
				UpdateOauth2CredentialProvider UpdateWorkloadIdentity`}},
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
			"CreateAgentRuntime": {
				"bedrock-agentcore:CreateAgentRuntime *",
				"iam:PassRole {roleArn}",
				"bedrock-agentcore:CreateWorkloadIdentity arn:aws:bedrock-agentcore:{region}:{account}:workload-identity-directory/default",
			},
			"UpdateAgentRuntime": {
				"bedrock-agentcore:UpdateAgentRuntime " + controlARN,
				"iam:PassRole {roleArn}",
			},
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

			"TagResource":          {"bedrock-agentcore:TagResource {resourceArn}"},
			"UntagResource":        {"bedrock-agentcore:UntagResource {resourceArn}"},
			"ListTagsForResource":  {"bedrock-agentcore:ListTagsForResource {resourceArn}"},
			"PutResourcePolicy":    {"bedrock-agentcore:PutResourcePolicy {resourceArn}"},
			"GetResourcePolicy":    {"bedrock-agentcore:GetResourcePolicy {resourceArn}"},
			"DeleteResourcePolicy": {"bedrock-agentcore:DeleteResourcePolicy {resourceArn}"},
		},
		Metadata: map[string]string{
			"nothing evaluates policies yet, so one that denies is refused": `DeleteResourcePolicy GetResourcePolicy PutResourcePolicy`,
			"a capacity provider is a name for this one machine":            `CreateCapacityProvider DeleteCapacityProvider GetCapacityProvider ListCapacityProviders UpdateCapacityProvider`,
		},
		// The Go SDK v1.77 still lists in these ways.
		Former: map[string]string{
			"ListDatasetExamples": "GET /datasets/{datasetId}/examples",
			"ListDatasetVersions": "GET /datasets/{datasetId}/versions",
			"ListDatasets":        "GET /datasets",
		},
		RefusedMembers: runtimeMembers,
		Patterns: map[string]override{
			"RuntimeContainerUri": {`\S+`, "images of any registry can be run; a server that is strict (`--strict`) keeps AWS's pattern"},
		},
	},
	{
		Model: "bedrock-agentcore", Package: "agentcore", Signing: "bedrock-agentcore",
		Groups: []group{
			{Name: "Runtime", Doc: "invocations of agents and their sessions",
				Served: `DeleteAgentRuntimePath EndAgentRuntimeMcpSession GetAgentCard GetAgentRuntimePath InvokeAgentRuntime InvokeAgentRuntimeCommand
					InvokeAgentRuntimeCommandShell InvokeAgentRuntimeMcpStream InvokeAgentRuntimePath InvokeAgentRuntimeSessionEndpoint
					InvokeAgentRuntimeWithWebSocketStream StopRuntimeSession`,
				Refused: map[string]string{laterRuntime: `DeleteCapacityProviderSession`}},
			{Name: "Identity", Refused: map[string]string{laterIdentity: `CompleteResourceTokenAuth GetResourceApiKey GetResourceOauth2Token
				GetWorkloadAccessToken GetWorkloadAccessTokenForJWT GetWorkloadAccessTokenForUserId`}},
			{Name: "Memory", Refused: map[string]string{laterMemory: `BatchCreateMemoryRecords BatchDeleteMemoryRecords BatchUpdateMemoryRecords
				CreateEvent DeleteEvent DeleteMemoryRecord GetEvent GetMemoryRecord IngestData ListActors ListEvents ListMemoryExtractionJobs
				ListMemoryRecords ListSessions RetrieveMemoryRecords StartMemoryExtractionJob`}},
			{Name: "CodeInterpreter", Refused: map[string]string{laterCode: `GetCodeInterpreterSession InvokeCodeInterpreter
				ListCodeInterpreterSessions StartCodeInterpreterSession StopCodeInterpreterSession`}},
			{Name: "Browser", Refused: map[string]string{laterBrowser: `GetBrowserSession InvokeBrowser ListBrowserSessions
				SaveBrowserSessionProfile StartBrowserSession StopBrowserSession UpdateBrowserStream`}},
			{Name: "Evaluation", Refused: map[string]string{laterEval: `CreateABTest DeleteABTest DeleteBatchEvaluation DeleteDatasetGeneration
				DeleteRecommendation Evaluate GetABTest GetAgentInsight GetBatchEvaluation GetDatasetGeneration GetRecommendation ListABTests
				ListAgentInsights ListBatchEvaluations ListDatasetGenerations ListRecommendations StartBatchEvaluation StartDatasetGeneration
				StartRecommendation StopBatchEvaluation UpdateABTest UpdateAgentInsight`}},
			{Name: "Registry", Refused: map[string]string{laterRegistry: `SearchRegistryRecords`}},
			{Name: "Harness", Refused: map[string]string{laterHarness: `InvokeHarness`}},
			{Name: "Payments", Refused: map[string]string{laterPayments: `CreatePaymentInstrument CreatePaymentSession DeletePaymentInstrument
				DeletePaymentSession GetPaymentInstrument GetPaymentInstrumentBalance GetPaymentSession GetResourcePaymentToken
				ListPaymentInstruments ListPaymentSessions ProcessPayment`}},
			{Name: "WebSearch", Refused: map[string]string{laterSearch: `InvokeWebSearch`}},
		},
		Requires: map[string][]string{
			// Invoking through an endpoint is authorised on the runtime and on the endpoint (runtime.md 6).
			"InvokeAgentRuntime": invokes,
			// The other methods of the URL that InvokeAgentRuntime POSTs to (runtime.md 10).
			"InvokeAgentRuntimeMcpStream": invokes,
			"EndAgentRuntimeMcpSession":   invokes,
			"InvokeAgentRuntimePath":      invokes,
			"GetAgentRuntimePath":         invokes,
			"DeleteAgentRuntimePath":      invokes,
			"InvokeAgentRuntimeCommand": {
				"bedrock-agentcore:InvokeAgentRuntimeCommand " + runtimeARN,
				"bedrock-agentcore:InvokeAgentRuntimeCommand " + endpointARN,
			},
			"InvokeAgentRuntimeCommandShell": {
				"bedrock-agentcore:InvokeAgentRuntimeCommandShell " + runtimeARN,
				"bedrock-agentcore:InvokeAgentRuntimeCommandShell " + endpointARN,
			},
			// The label in its path says which session it is of, and so whose: the
			// handler asks for InvokeAgentRuntime of that runtime and endpoint.
			"InvokeAgentRuntimeSessionEndpoint": {"none: its handler asks for `bedrock-agentcore:InvokeAgentRuntime`, of WebSockets `...WithWebSocketStream`, on the session's runtime and endpoint"},
			"InvokeAgentRuntimeWithWebSocketStream": {
				"bedrock-agentcore:InvokeAgentRuntimeWithWebSocketStream " + runtimeARN,
				"bedrock-agentcore:InvokeAgentRuntimeWithWebSocketStream " + endpointARN,
				"bedrock-agentcore:InvokeAgentRuntimeWithWebSocketStreamForUser " + runtimeARN + " ?runtimeUserId",
			},
			"StopRuntimeSession": {
				"bedrock-agentcore:StopRuntimeSession " + runtimeARN,
				"bedrock-agentcore:StopRuntimeSession " + endpointARN,
			},
			"GetAgentCard": {
				"bedrock-agentcore:GetAgentCard " + runtimeARN,
				"bedrock-agentcore:GetAgentCard " + endpointARN,
			},
		},
		Streaming: map[string]bool{
			"InvokeAgentRuntimeRequest.payload": true, "InvokeAgentRuntimePathRequest.payload": true, "InvokeAgentRuntimeSessionEndpointRequest.payload": true,
		},
		Secret: `GetResourceApiKey GetResourceOauth2Token GetResourcePaymentToken GetWorkloadAccessToken GetWorkloadAccessTokenForJWT
			GetWorkloadAccessTokenForUserId`,
	},
	{
		Model: "s3", Package: "s3", Signing: "s3", ServedShapesOnly: true,
		Groups: []group{{Name: "Objects", Doc: "buckets, objects, their versions and multipart uploads",
			Served: `AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket CreateMultipartUpload DeleteBucket DeleteBucketEncryption
				DeleteBucketOwnershipControls DeleteBucketTagging DeleteObject DeleteObjects DeleteObjectTagging DeletePublicAccessBlock
				GetBucketEncryption GetBucketLocation GetBucketOwnershipControls GetBucketTagging GetBucketVersioning GetObject
				GetObjectAttributes GetObjectTagging GetPublicAccessBlock HeadBucket HeadObject ListBuckets ListMultipartUploads
				ListObjectVersions ListObjects ListObjectsV2 ListParts PutBucketOwnershipControls PutBucketTagging PutBucketVersioning
				PutObject PutObjectTagging PutPublicAccessBlock UploadPart UploadPartCopy`,
			Refused: map[string]string{
				laterS3: `CreateBucketMetadataConfiguration CreateBucketMetadataTableConfiguration CreateSession DeleteBucketAnalyticsConfiguration
				DeleteBucketCors DeleteBucketIntelligentTieringConfiguration DeleteBucketInventoryConfiguration
				DeleteBucketLifecycle DeleteBucketMetadataConfiguration DeleteBucketMetadataTableConfiguration DeleteBucketMetricsConfiguration
				DeleteBucketPolicy DeleteBucketReplication DeleteBucketWebsite
				DeleteObjectAnnotation GetBucketAbac GetBucketAccelerateConfiguration GetBucketAcl
				GetBucketAnalyticsConfiguration GetBucketCors GetBucketIntelligentTieringConfiguration
				GetBucketInventoryConfiguration GetBucketLifecycle GetBucketLifecycleConfiguration GetBucketLogging GetBucketMetadataConfiguration
				GetBucketMetadataTableConfiguration GetBucketMetricsConfiguration GetBucketNotification GetBucketNotificationConfiguration
				GetBucketPolicy GetBucketPolicyStatus GetBucketReplication GetBucketRequestPayment
				GetBucketWebsite GetObjectAcl GetObjectAnnotation GetObjectLegalHold GetObjectLockConfiguration GetObjectRetention GetObjectTorrent ListBucketAnalyticsConfigurations
				ListBucketIntelligentTieringConfigurations ListBucketInventoryConfigurations ListBucketMetricsConfigurations ListDirectoryBuckets
				ListObjectAnnotations PutBucketAbac PutBucketAccelerateConfiguration PutBucketAcl PutBucketAnalyticsConfiguration PutBucketCors
				PutBucketIntelligentTieringConfiguration PutBucketInventoryConfiguration PutBucketLifecycle
				PutBucketLifecycleConfiguration PutBucketLogging PutBucketMetricsConfiguration PutBucketNotification
				PutBucketNotificationConfiguration PutBucketPolicy PutBucketReplication PutBucketRequestPayment
				PutBucketWebsite PutObjectAcl PutObjectAnnotation PutObjectLegalHold PutObjectLockConfiguration
				PutObjectRetention RenameObject RestoreObject SelectObjectContent
				UpdateBucketMetadataAnnotationTableConfiguration UpdateBucketMetadataInventoryTableConfiguration
				UpdateBucketMetadataJournalTableConfiguration UpdateObjectEncryption`,
				noEncryption: `PutBucketEncryption`,
				notHere:      `WriteGetObjectResponse`}}},
		Patterns: map[string]override{
			// JavaScript's encodeURIComponent leaves no slash, and S3 takes it.
			"CopySource": {`[\s\S]+`, "S3 reads it decoded, and it may be encoded whole"},
		},
		Requires: map[string][]string{
			"AbortMultipartUpload":    {"s3:AbortMultipartUpload " + objectARN},
			"CompleteMultipartUpload": {"s3:PutObject " + objectARN},
			// The copy's source is one string of bucket and key: its handler asks for s3:GetObject on it.
			// So do the tags of the source, which are copied too.
			"CopyObject":            {"s3:PutObject " + objectARN, "s3:PutObjectTagging " + objectARN + " ?Tagging"},
			"CreateBucket":          {"s3:CreateBucket " + bucketARN},
			"CreateMultipartUpload": {"s3:PutObject " + objectARN, "s3:PutObjectTagging " + objectARN + " ?Tagging"},
			"DeleteBucket":          {"s3:DeleteBucket " + bucketARN},
			// Whoever may set one of these may also take it away: AWS has one action for both.
			"DeleteBucketEncryption":        {"s3:PutEncryptionConfiguration " + bucketARN},
			"DeleteBucketOwnershipControls": {"s3:PutBucketOwnershipControls " + bucketARN},
			"DeleteBucketTagging":           {"s3:PutBucketTagging " + bucketARN},
			"DeletePublicAccessBlock":       {"s3:PutBucketPublicAccessBlock " + bucketARN},
			"DeleteObjectTagging": {
				"s3:DeleteObjectTagging " + objectARN,
				"s3:DeleteObjectVersionTagging " + objectARN + " ?VersionId",
			},
			"DeleteObject": {
				"s3:DeleteObject " + objectARN,
				"s3:DeleteObjectVersion " + objectARN + " ?VersionId",
			},
			// AWS asks for nothing on the bucket: a policy for some of its keys is enough to delete those.
			"DeleteObjects":              {"none: `s3:DeleteObject` or `s3:DeleteObjectVersion` on each object in the body, which the handler asks for"},
			"GetBucketEncryption":        {"s3:GetEncryptionConfiguration " + bucketARN},
			"GetBucketLocation":          {"s3:GetBucketLocation " + bucketARN},
			"GetBucketOwnershipControls": {"s3:GetBucketOwnershipControls " + bucketARN},
			"GetBucketTagging":           {"s3:GetBucketTagging " + bucketARN},
			"GetBucketVersioning":        {"s3:GetBucketVersioning " + bucketARN},
			"GetPublicAccessBlock":       {"s3:GetBucketPublicAccessBlock " + bucketARN},
			"GetObject": {
				"s3:GetObject " + objectARN,
				"s3:GetObjectVersion " + objectARN + " ?VersionId",
			},
			"GetObjectAttributes": {"s3:GetObject " + objectARN, "s3:GetObjectAttributes " + objectARN},
			"GetObjectTagging": {
				"s3:GetObjectTagging " + objectARN,
				"s3:GetObjectVersionTagging " + objectARN + " ?VersionId",
			},
			"HeadBucket": {"s3:ListBucket " + bucketARN},
			"HeadObject": {
				"s3:GetObject " + objectARN,
				"s3:GetObjectVersion " + objectARN + " ?VersionId",
			},
			"ListBuckets":                {"s3:ListAllMyBuckets *"},
			"ListMultipartUploads":       {"s3:ListBucketMultipartUploads " + bucketARN},
			"ListObjectVersions":         {"s3:ListBucketVersions " + bucketARN},
			"ListObjects":                {"s3:ListBucket " + bucketARN},
			"ListObjectsV2":              {"s3:ListBucket " + bucketARN},
			"ListParts":                  {"s3:ListMultipartUploadParts " + objectARN},
			"PutBucketOwnershipControls": {"s3:PutBucketOwnershipControls " + bucketARN},
			"PutBucketTagging":           {"s3:PutBucketTagging " + bucketARN},
			"PutBucketVersioning":        {"s3:PutBucketVersioning " + bucketARN},
			"PutPublicAccessBlock":       {"s3:PutBucketPublicAccessBlock " + bucketARN},
			"PutObject":                  {"s3:PutObject " + objectARN, "s3:PutObjectTagging " + objectARN + " ?Tagging"},
			"PutObjectTagging": {
				"s3:PutObjectTagging " + objectARN,
				"s3:PutObjectVersionTagging " + objectARN + " ?VersionId",
			},
			"UploadPart":     {"s3:PutObject " + objectARN},
			"UploadPartCopy": {"s3:PutObject " + objectARN},
		},
		Roots: map[string]string{
			"ListBuckets": "ListAllMyBucketsResult", "ListObjects": "ListBucketResult", "ListObjectsV2": "ListBucketResult",
			"ListObjectVersions": "ListVersionsResult", "ListParts": "ListPartsResult", "ListMultipartUploads": "ListMultipartUploadsResult",
			"CreateMultipartUpload": "InitiateMultipartUploadResult", "CompleteMultipartUpload": "CompleteMultipartUploadResult",
			"DeleteObjects": "DeleteResult", "GetObjectTagging": "Tagging", "GetBucketTagging": "Tagging", "GetBucketVersioning": "VersioningConfiguration", "GetObjectAttributes": "GetObjectAttributesResponse",
			"GetBucketLocation": "-",
		},
	},
	{
		Model: "outcrop", Package: "outcrop", Signing: "outcrop", Own: true,
		Groups: []group{{Name: "Operator", Doc: "what people ask a server that AWS has no operation for",
			Served: `GetServer ListSessions GetRuntimeLogs Prune GetNetwork PutNetworkProfile DeleteNetworkProfile MapSubnets UnmapSubnets
				UpdatePublicNetwork`}},
		Requires: map[string][]string{
			// The networks are this machine's, not an account's.
			"GetNetwork":           {"outcrop:GetNetwork *"},
			"PutNetworkProfile":    {"outcrop:PutNetworkProfile *"},
			"DeleteNetworkProfile": {"outcrop:DeleteNetworkProfile *"},
			"MapSubnets":           {"outcrop:MapSubnets *"},
			"UnmapSubnets":         {"outcrop:UnmapSubnets *"},
			"UpdatePublicNetwork":  {"outcrop:UpdatePublicNetwork *"},

			"GetServer":      {"outcrop:GetServer *"},
			"ListSessions":   {"outcrop:ListSessions *"},
			"Prune":          {"outcrop:Prune *"},
			"GetRuntimeLogs": {"outcrop:GetRuntimeLogs arn:aws:bedrock-agentcore:{region}:{account}:runtime/{agentRuntimeId}"},
		},
	},
	{
		Model: "ecr", Package: "ecr", Signing: "ecr", ServedShapesOnly: true,
		Groups: []group{{Name: "Images", Doc: "repositories of container images, and the images in them",
			Served: `BatchCheckLayerAvailability BatchDeleteImage BatchGetImage CreateRepository DeleteLifecyclePolicy DeleteRepository
				DeleteRepositoryPolicy DescribeImages DescribeRepositories GetAuthorizationToken GetLifecyclePolicy GetRepositoryPolicy ListImages
				ListTagsForResource PutImage PutImageScanningConfiguration PutImageTagMutability PutLifecyclePolicy SetRepositoryPolicy
				TagResource UntagResource`,
			Refused: map[string]string{
				laterECR: `BatchGetRepositoryScanningConfiguration CreatePullThroughCacheRule CreateRepositoryCreationTemplate
				DeletePullThroughCacheRule DeleteRegistryPolicy DeleteRepositoryCreationTemplate DeleteSigningConfiguration
				DeregisterPullTimeUpdateExclusion DescribeImageReplicationStatus DescribeImageScanFindings DescribeImageSigningStatus
				DescribePullThroughCacheRules DescribeRegistry DescribeReplicationBackfillResults DescribeRepositoryCreationTemplates
				GetAccountSetting GetLifecyclePolicyPreview GetRegistryPolicy GetRegistryScanningConfiguration GetSigningConfiguration
				ListImageReferrers ListPullTimeUpdateExclusions ListReplicationBackfills PutAccountSetting PutRegistryPolicy
				PutRegistryScanningConfiguration PutReplicationConfiguration PutSigningConfiguration RegisterPullTimeUpdateExclusion
				StartImageScan StartLifecyclePolicyPreview StartReplicationBackfill StopReplicationBackfill UpdateImageStorageClass
				UpdatePullThroughCacheRule UpdateRepositoryCreationTemplate ValidatePullThroughCacheRule`,
				pushedAtV2: `CompleteLayerUpload GetDownloadUrlForLayer InitiateLayerUpload UploadLayerPart`}}},
		Requires: map[string][]string{
			"GetAuthorizationToken": {"ecr:GetAuthorizationToken *"},
			"CreateRepository":      {"ecr:CreateRepository " + repositoryARN},
			"DescribeRepositories":  {"ecr:DescribeRepositories arn:aws:ecr:{region}:{account}:repository/*"},
			"ListTagsForResource":   {"ecr:ListTagsForResource {resourceArn}"},
			"TagResource":           {"ecr:TagResource {resourceArn}"},
			"UntagResource":         {"ecr:UntagResource {resourceArn}"},
		},
		RefusedMembers: map[string]string{
			"CreateRepositoryRequest.encryptionConfiguration": "images lie in the data directory as they were pushed; encrypt the disk it is on",
		},
		Secret: "GetAuthorizationToken",
		Metadata: map[string]string{
			"nothing evaluates policies yet, so one that denies is refused": `DeleteRepositoryPolicy GetRepositoryPolicy SetRepositoryPolicy`,
			"no image goes by itself":  `DeleteLifecyclePolicy GetLifecyclePolicy PutLifecyclePolicy`,
			"no image is scanned here": `PutImageScanningConfiguration`,
		},
	},
	{
		Model: "sts", Package: "sts", Signing: "sts", ServedShapesOnly: true,
		Groups: []group{{Name: "Identity", Doc: "who the caller is",
			Served: "GetCallerIdentity",
			Refused: map[string]string{laterSTS: `AssumeRole AssumeRoleWithSAML AssumeRoleWithWebIdentity AssumeRoot DecodeAuthorizationMessage
				GetAccessKeyInfo GetDelegatedAccessToken GetFederationToken GetSessionToken GetWebIdentityToken`}}},
		// AWS: "No permissions are required to perform this operation."
		Requires: map[string][]string{"GetCallerIdentity": {"none"}},
		Secret:   "AssumeRole AssumeRoleWithSAML AssumeRoleWithWebIdentity AssumeRoot GetDelegatedAccessToken GetFederationToken GetSessionToken GetWebIdentityToken",
	},
}

// ARN templates. A value that is an ARN itself replaces everything before it,
// and {member:X} stands for X where the member is absent.
const (
	controlARN    = "arn:aws:bedrock-agentcore:{region}:{account}:runtime/{agentRuntimeId}"
	runtimeARN    = "arn:aws:bedrock-agentcore:{region}:{account}:runtime/{agentRuntimeArn}"
	endpointARN   = runtimeARN + "/runtime-endpoint/{qualifier:DEFAULT}"
	bucketARN     = "arn:aws:s3:::{Bucket}"
	objectARN     = "arn:aws:s3:::{Bucket}/{Key}"
	repositoryARN = "arn:aws:ecr:{region}:{account}:repository/{repositoryName}"
)

// invokes is what a request to an agent requires.
var invokes = []string{
	"bedrock-agentcore:InvokeAgentRuntime " + runtimeARN,
	"bedrock-agentcore:InvokeAgentRuntime " + endpointARN,
	"bedrock-agentcore:InvokeAgentRuntimeForUser " + runtimeARN + " ?runtimeUserId",
}

// runtimeMembers are the members of Create and Update that the Runtime
// service does not give an effect yet. Accepting them would be a lie.
var runtimeMembers = func() map[string]string {
	reasons := map[string]string{
		"authorizerConfiguration": "JWT authorizers are not enforced yet, and a runtime that asks for one must not be open",
	}
	out := map[string]string{
		"VpcConfig.requireServiceS3Endpoint":             "S3 is this server, which every sandbox reaches without an endpoint of a network",
		"FilesystemConfiguration.capacityProviderVolume": "a capacity provider is a name here and has no volumes; sessionStorage is a directory of this server",
	}
	for member, reason := range reasons {
		out["CreateAgentRuntimeRequest."+member] = reason
		out["UpdateAgentRuntimeRequest."+member] = reason
	}
	return out
}()

// decided returns each operation's group index and refusal, or complains
// about one that is in no list or in two.
func (s service) decided() (map[string]int, map[string]string, error) {
	groups, refused := map[string]int{}, map[string]string{}
	for i, g := range s.Groups {
		for _, op := range strings.Fields(g.Served) {
			if _, twice := groups[op]; twice {
				return nil, nil, errTwice(op)
			}
			groups[op] = i
		}
		for reason, list := range g.Refused {
			for _, op := range strings.Fields(list) {
				if _, twice := groups[op]; twice {
					return nil, nil, errTwice(op)
				}
				groups[op], refused[op] = i, reason
			}
		}
	}
	return groups, refused, nil
}
