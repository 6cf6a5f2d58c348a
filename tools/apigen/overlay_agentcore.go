package main

var agentcoreData = service{
	Model: "bedrock-agentcore", Package: "agentcore", Signing: "bedrock-agentcore",
	Groups: []group{
		{Name: "Runtime", Doc: "invocations of agents and their sessions",
			Served: `DeleteAgentRuntimePath EndAgentRuntimeMcpSession GetAgentCard GetAgentRuntimePath GetRuntimeProtectedResourceMetadata InvokeAgentRuntime InvokeAgentRuntimeCommand
				InvokeAgentRuntimeCommandShell InvokeAgentRuntimeMcpStream InvokeAgentRuntimePath InvokeAgentRuntimeSessionEndpoint
				InvokeAgentRuntimeWithWebSocketStream StopRuntimeSession`,
			Refused: map[string]string{laterRuntime: `DeleteCapacityProviderSession`}},
		{Name: "Gateway", Doc: "the callers of gateways", Served: `GetGatewayProtectedResourceMetadata InvokeGateway`},
		{Name: "Identity", Doc: "the tokens of agents, and the credentials that they are exchanged for",
			Served: `AuthorizeResourceOauth2 CompleteResourceTokenAuth GetResourceApiKey GetResourceOauth2Token GetWorkloadAccessToken
				GetWorkloadAccessTokenForJWT GetWorkloadAccessTokenForUserId ReceiveResourceOauth2Callback`},
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
		{Name: "WebSearch", Doc: "searches of the web, at the provider that the operator chose", Served: `InvokeWebSearch`},
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
		// identity.md 10.2: on the directory and on what is in it.
		"GetWorkloadAccessToken":          onIdentity("GetWorkloadAccessToken", "{workloadName}"),
		"GetWorkloadAccessTokenForJWT":    onIdentity("GetWorkloadAccessTokenForJWT", "{workloadName}"),
		"GetWorkloadAccessTokenForUserId": onIdentity("GetWorkloadAccessTokenForUserId", "{workloadName}"),
		// identity.md 10.2: on every one of directory, workload identity, vault and
		// provider. Whose workload it is, the token says: the handler asks for that.
		"GetResourceApiKey":             fromVault("GetResourceApiKey", apiKeyProvider),
		"GetResourceOauth2Token":        fromVault("GetResourceOauth2Token", oauth2Provider),
		"CompleteResourceTokenAuth":     fromVault("CompleteResourceTokenAuth", ""),
		"AuthorizeResourceOauth2":       {"none: a browser comes with a request_uri that is good once"},
		"ReceiveResourceOauth2Callback": {"none: a browser comes back from a vendor, with the state that it took there"},
		// The tool is AWS's own, in each region (devguide, AgentCore Web Search).
		"InvokeWebSearch": {"bedrock-agentcore:InvokeWebSearch arn:aws:bedrock-agentcore:{region}:aws:tool/{webSearchId}"},
		// Who may call is the gateway's authorizerType to say (gateway.md 9).
		"InvokeGateway":                       {"none: its handler asks for `bedrock-agentcore:InvokeGateway` on the gateway, which nothing has to allow callers of AUTHENTICATE_ONLY ones; a Deny refuses them, too"},
		"GetGatewayProtectedResourceMetadata": {"none: whoever wants to sign in reads it first (RFC 9728)"},
		"GetRuntimeProtectedResourceMetadata": {"none: whoever wants to sign in reads it first (RFC 9728)"},
	},
	Keys: map[string][]string{
		"GetWorkloadAccessTokenForUserId": {"bedrock-agentcore:userid userId"},
		"GetWorkloadAccessTokenForJWT":    {"bedrock-agentcore:InboundJwtClaim/ userToken"},
		"CompleteResourceTokenAuth":       {"bedrock-agentcore:userid userIdentifier.userId", "bedrock-agentcore:InboundJwtClaim/ userIdentifier.userToken"},
	},
	Bearer: `DeleteAgentRuntimePath EndAgentRuntimeMcpSession GetAgentCard GetAgentRuntimePath InvokeAgentRuntime InvokeAgentRuntimeCommand
		InvokeAgentRuntimeCommandShell InvokeAgentRuntimeMcpStream InvokeAgentRuntimePath InvokeAgentRuntimeSessionEndpoint
		InvokeAgentRuntimeWithWebSocketStream InvokeGateway StopRuntimeSession`,
	// Where a client looks that knows the resource alone (RFC 9728 3.1).
	Former: map[string]string{
		"GetGatewayProtectedResourceMetadata": "GET /.well-known/oauth-protected-resource/gw/{gatewayIdentifier}/{path+}, GET /gw/{gatewayIdentifier}/.well-known/oauth-protected-resource/{path+}",
		"GetRuntimeProtectedResourceMetadata": "GET /.well-known/oauth-protected-resource/runtimes/{agentRuntimeArn}/invocations",
	},
	Streaming: map[string]bool{
		"InvokeAgentRuntimeRequest.payload": true, "InvokeAgentRuntimePathRequest.payload": true, "InvokeAgentRuntimeSessionEndpointRequest.payload": true,
		"InvokeGatewayRequest.payload": true,
	},
	Secret: `GetResourceApiKey GetResourceOauth2Token GetResourcePaymentToken GetWorkloadAccessToken GetWorkloadAccessTokenForJWT
		GetWorkloadAccessTokenForUserId`,
}

const (
	runtimeARN  = "arn:aws:bedrock-agentcore:{region}:{account}:runtime/{agentRuntimeArn}"
	endpointARN = runtimeARN + "/runtime-endpoint/{qualifier:DEFAULT}"
)

const directoryARN = "arn:aws:bedrock-agentcore:{region}:{account}:workload-identity-directory/default"

// onIdentity is what an action on one workload identity requires.
func onIdentity(action, name string) []string {
	return []string{"bedrock-agentcore:" + action + " " + directoryARN, "bedrock-agentcore:" + action + " " + directoryARN + "/workload-identity/" + name}
}

// fromVault is what an action with a provider in the vault requires, besides the
// workload identity that its handler asks for. A session says which provider, where
// none is named.
func fromVault(action, kind string) []string {
	list := []string{"bedrock-agentcore:" + action + " " + directoryARN, "bedrock-agentcore:" + action + " " + vaultARN}
	if kind != "" {
		list = append(list, "bedrock-agentcore:"+action+" "+vaultARN+kind+"{resourceCredentialProviderName}")
	}
	return list
}

// invokes is what a request to an agent requires.
var invokes = []string{
	"bedrock-agentcore:InvokeAgentRuntime " + runtimeARN,
	"bedrock-agentcore:InvokeAgentRuntime " + endpointARN,
	"bedrock-agentcore:InvokeAgentRuntimeForUser " + runtimeARN + " ?runtimeUserId",
}
