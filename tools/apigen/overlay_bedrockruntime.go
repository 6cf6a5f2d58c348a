package main

var modelRuntime = service{
	Model: "bedrock-runtime", Package: "bedrockruntime", Signing: "bedrock", ServedShapesOnly: true,
	Groups: []group{{Name: "Models", Doc: "calls of models, over the configured providers",
		Served: `Converse ConverseStream CountTokens InvokeModel InvokeModelWithResponseStream`,
		Refused: map[string]string{
			noGuardrails:   `ApplyGuardrail InvokeGuardrailChecks`,
			noAsyncInvoke:  `GetAsyncInvoke ListAsyncInvokes StartAsyncInvoke`,
			noSpeechModels: `InvokeModelWithBidirectionalStream`,
		}}},
	Patterns: map[string]override{
		// The operator's own models have their makers' names, with slashes and underscores.
		"ConversationalModelId":            {modelIDs, ownNames},
		"InvokeModelIdentifier":            {modelIDs, ownNames},
		"FoundationModelVersionIdentifier": {modelIDs, ownNames},
	},
	RefusedMembers: map[string]string{
		"ConverseRequest.guardrailConfig":                          noGuardrails,
		"ConverseStreamRequest.guardrailConfig":                    noGuardrails,
		"ConverseRequest.promptVariables":                          noPrompts,
		"ConverseStreamRequest.promptVariables":                    noPrompts,
		"InvokeModelRequest.guardrailIdentifier":                   noGuardrails,
		"InvokeModelRequest.guardrailVersion":                      noGuardrails,
		"InvokeModelWithResponseStreamRequest.guardrailIdentifier": noGuardrails,
		"InvokeModelWithResponseStreamRequest.guardrailVersion":    noGuardrails,
	},
	Requires: map[string][]string{
		// A model is named by an id, by the id of an inference profile or by an ARN, and each has
		// another resource: what the handler asks for is told by the id alone.
		"Converse":                           {handlerAsks("bedrock:InvokeModel")},
		"ConverseStream":                     {handlerAsks("bedrock:InvokeModelWithResponseStream")},
		"InvokeModel":                        {handlerAsks("bedrock:InvokeModel")},
		"InvokeModelWithResponseStream":      {handlerAsks("bedrock:InvokeModelWithResponseStream")},
		"InvokeModelWithBidirectionalStream": {"bedrock:InvokeModelWithBidirectionalStream arn:aws:bedrock:{region}::foundation-model/*"},
		"CountTokens":                        {handlerAsks("bedrock:CountTokens")},
		"ApplyGuardrail":                     {"bedrock:ApplyGuardrail arn:aws:bedrock:{region}:{account}:guardrail/*"},
		"InvokeGuardrailChecks":              {"bedrock:InvokeGuardrailChecks *"},
		"GetAsyncInvoke":                     {"bedrock:GetAsyncInvoke arn:aws:bedrock:{region}:{account}:async-invoke/*"},
		"ListAsyncInvokes":                   {"bedrock:ListAsyncInvokes *"},
		"StartAsyncInvoke":                   {"bedrock:InvokeModel arn:aws:bedrock:{region}::foundation-model/*"},
	},
}

func handlerAsks(action string) string {
	return "none: its handler asks for `" + action + "` on the foundation model that is named, and on the inference profile where one is; a Deny of what its provider calls it holds, too"
}

const (
	noGuardrails   = "there are no guardrails here; the model's provider may have some"
	noPrompts      = "there is no prompt management here; send the messages"
	noAsyncInvoke  = "asynchronous invocations write video to S3, and no provider here makes any"
	noSpeechModels = "no provider here has speech models"
	modelIDs       = `[a-zA-Z0-9][a-zA-Z0-9_./:@-]*`
	ownNames       = "models of the operator's own have their makers' names, with slashes and underscores"
)
