package main

var operator = service{
	Model: "outcrop", Package: "outcrop", Signing: "outcrop", Own: true,
	Groups: []group{{Name: "Operator", Doc: "what people ask a server that AWS has no operation for",
		Served: `GetServer ListSessions GetRuntimeLogs ListAuditRecords Prune GetNetwork PutNetworkProfile DeleteNetworkProfile MapSubnets UnmapSubnets
			UpdatePublicNetwork SimulatePolicy`}},
	Requires: map[string][]string{
		"SimulatePolicy": {"outcrop:SimulatePolicy *"},
		// The networks are this machine's, not an account's.
		"GetNetwork":           {"outcrop:GetNetwork *"},
		"PutNetworkProfile":    {"outcrop:PutNetworkProfile *"},
		"DeleteNetworkProfile": {"outcrop:DeleteNetworkProfile *"},
		"MapSubnets":           {"outcrop:MapSubnets *"},
		"UnmapSubnets":         {"outcrop:UnmapSubnets *"},
		"UpdatePublicNetwork":  {"outcrop:UpdatePublicNetwork *"},

		"GetServer": {"outcrop:GetServer *"},
		// What is on record is of the whole account.
		"ListAuditRecords": {"outcrop:ListAuditRecords *"},
		"ListSessions":     {"outcrop:ListSessions *"},
		"Prune":            {"outcrop:Prune *"},
		"GetRuntimeLogs":   {"outcrop:GetRuntimeLogs arn:aws:bedrock-agentcore:{region}:{account}:runtime/{agentRuntimeId}"},
	},
}
