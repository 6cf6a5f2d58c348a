package gateway

import (
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// The protocols of targets, as GetGatewayTarget calls them.
const (
	protocolMCP  = agentcorecontrol.TargetProtocolTypeMCP
	protocolHTTP = agentcorecontrol.TargetProtocolTypeHTTP
)

// Where the configurations stand of an MCP server, and of a connector, which may be one.
const (
	memberServer    = "mcp.mcpServer"
	memberConnector = "mcp.connector"
)

// kind is what is true of all targets of one kind.
type kind struct {
	name target.Kind
	// member is where in targetConfiguration it stands, and title what texts call it.
	member, title string
	protocol      string
	// listed is its targetType in listings, where that is not its name.
	listed string
	// allowed are the credentials that it may be reached with (spec/gateway.md 4.2), and
	// usual what is taken where none are given.
	allowed []credential
	usual   string
	// refused says why there are none yet; a kind with a driver is not refused.
	refused string
}

// Kinds of targets that agentcorecontrol.TargetType has no word of its own for.
const (
	inferenceConnector target.Kind = "INFERENCE_CONNECTOR"
	none               target.Kind = "NONE"
)

// kinds are all kinds of targets. Which of them are served says Config.Drivers: one that
// has no driver is refused by its name, with the reason here.
func kinds() []kind {
	const later = "targets of this kind are not built yet"
	everything := []credential{without, role, roleSigned, apiKey, client, code, exchange, callerIAM, passthrough}
	return []kind{
		{name: agentcorecontrol.TargetTypeLAMBDA, member: "mcp.lambda", title: "Lambda", protocol: protocolMCP, refused: later,
			allowed: []credential{role}, usual: agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE},
		{name: agentcorecontrol.TargetTypeOPEN_API_SCHEMA, member: "mcp.openApiSchema", title: "OpenAPI", protocol: protocolMCP, refused: later,
			allowed: []credential{without, roleSigned, apiKey, client, code, exchange}},
		{name: agentcorecontrol.TargetTypeSMITHY_MODEL, member: "mcp.smithyModel", title: "Smithy", protocol: protocolMCP, refused: later,
			allowed: []credential{role, client}},
		{name: agentcorecontrol.TargetTypeMCP_SERVER, member: memberServer, title: "MCP server", protocol: protocolMCP, refused: later,
			allowed: []credential{without, roleSigned, apiKey, client, code, exchange}},
		{name: agentcorecontrol.TargetTypeAPI_GATEWAY, member: "mcp.apiGateway", title: "API Gateway", protocol: protocolMCP, refused: later,
			allowed: []credential{without, role, apiKey}},
		{name: agentcorecontrol.TargetTypeCONNECTOR, member: memberConnector, title: "Connector", protocol: protocolMCP, refused: later,
			allowed: []credential{without, role, roleSigned, apiKey, client, code, exchange}},
		{name: agentcorecontrol.TargetTypeAGENTCORE_RUNTIME, member: "http.agentcoreRuntime", title: "AgentCore Runtime", protocol: protocolHTTP, refused: later,
			allowed: []credential{role, client, code, exchange, callerIAM, passthrough}},
		{name: agentcorecontrol.TargetTypePASSTHROUGH, member: "http.passthrough", title: "Passthrough", protocol: protocolHTTP, refused: later,
			allowed: everything},
		{name: agentcorecontrol.TargetTypeHTTP_CONNECTOR, member: "http.connector", title: "HTTP connector", protocol: protocolHTTP, refused: later,
			allowed: everything},
		{name: agentcorecontrol.TargetTypePROVIDER, member: "inference.provider", title: "Inference", protocol: protocolHTTP, refused: later,
			allowed: []credential{roleSigned, apiKey}},
		{name: inferenceConnector, listed: agentcorecontrol.TargetTypeCONNECTOR, member: "inference.connector", title: "Inference", protocol: protocolHTTP, refused: later,
			allowed: []credential{role, roleSigned, apiKey}},
	}
}

// kindNamed returns the kind with a name that was stored.
func kindNamed(name string) kind {
	for _, k := range kinds() {
		if string(k.name) == name {
			return k
		}
	}
	return kind{name: none}
}

// synchronizes reports whether targets of a kind can be asked again what they offer.
func synchronizes(k kind) bool { return k.member == memberServer || k.member == memberConnector }

// targetType is what listings call it.
func (k kind) targetType() string {
	if k.listed != "" {
		return k.listed
	}
	return string(k.name)
}

// kindOf returns the kind of a configuration, or none: the model has seen to it that at
// most one member is set at each place.
func kindOf(c *agentcorecontrol.TargetConfiguration) kind {
	member := ""
	switch {
	case c == nil:
	case c.Mcp != nil:
		m := c.Mcp
		member = first(map[string]bool{"mcp.lambda": m.Lambda != nil, "mcp.openApiSchema": m.OpenApiSchema != nil, "mcp.smithyModel": m.SmithyModel != nil,
			memberServer: m.McpServer != nil, "mcp.apiGateway": m.ApiGateway != nil, memberConnector: m.Connector != nil})
	case c.Http != nil:
		h := c.Http
		member = first(map[string]bool{"http.agentcoreRuntime": h.AgentcoreRuntime != nil, "http.passthrough": h.Passthrough != nil, "http.connector": h.Connector != nil})
	case c.Inference != nil:
		i := c.Inference
		member = first(map[string]bool{"inference.provider": i.Provider != nil, "inference.connector": i.Connector != nil})
	}
	for _, k := range kinds() {
		if k.member == member {
			return k
		}
	}
	return kind{name: none}
}

func first(set map[string]bool) string {
	for name, is := range set {
		if is {
			return name
		}
	}
	return ""
}
