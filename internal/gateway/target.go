package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/store"
)

// The bounds of schemas, in bytes (spec/gateway.md 6).
const (
	MaxInline = 1 << 20
	MaxSchema = 10 << 20
)

// checkTarget holds the rules of a target's configuration that the model cannot express
// and that hang on the target alone. It returns its kind.
func (s *Service) checkTarget(scope store.Scope, in *agentcorecontrol.UpdateGatewayTargetRequest) (kind, error) {
	k := kindOf(in.TargetConfiguration)
	if k.name == none {
		return k, fault.Invalid("targetConfiguration", "%s: it must have one of %s", errNoKind, members(memberNames()))
	}
	if s.cfg.Drivers[k.name] == nil {
		return k, fault.Invalid("targetConfiguration."+k.member, "targetConfiguration.%s is not available: %s", k.member, k.refused)
	}
	if err := k.checkType(in.CredentialProviderConfigurations); err != nil {
		return k, err
	}
	c, err := credentialOf(in.CredentialProviderConfigurations)
	if err != nil {
		return k, err
	}
	if err := k.checkCredential(c); err != nil {
		return k, err
	}
	if at, schema := schemaOf(in.TargetConfiguration); schema != nil {
		if err := schema.check(scope, at); err != nil {
			return k, err
		}
	}
	if err := checkCertificates(in.CertificateConfigurations, k, scope); err != nil {
		return k, err
	}
	if err := s.checkPrivate(in.PrivateEndpoint, k); err != nil {
		return k, err
	}
	if err := checkMembers(in.TargetConfiguration, c); err != nil {
		return k, err
	}
	if d, ok := s.cfg.Drivers[k.name].(target.Checker); ok {
		var given *agentcorecontrol.CredentialProviderConfiguration
		if len(in.CredentialProviderConfigurations) > 0 {
			given = &in.CredentialProviderConfigurations[0]
		}
		return k, d.Check(in.TargetConfiguration, given)
	}
	return k, nil
}

// checkName refuses a name for an HTTP target whose path is the gateway's own: nobody would
// reach it.
func checkName(name string, k kind) error {
	if strings.HasPrefix(k.member, "http.") && (name == "mcp" || name == "inference") {
		return fault.Invalid("name", "name: '%s' cannot be an HTTP target's, which is called at /NAME/...: a gateway has /%[1]s itself. Choose another name", name)
	}
	return nil
}

func memberNames() []string {
	var out []string
	for _, k := range kinds() {
		out = append(out, k.member)
	}
	return out
}

// schema is where the schema of a target is: in S3, or inline.
type schema struct {
	s3     *agentcorecontrol.S3Configuration
	inline []byte
	given  bool
}

// schemaOf returns the schema of a configuration and where it stands, or nil for a target
// that has none.
func schemaOf(c *agentcorecontrol.TargetConfiguration) (at string, _ *schema) {
	const base = "targetConfiguration."
	switch {
	case c.Mcp != nil && c.Mcp.Lambda != nil:
		t := c.Mcp.Lambda.ToolSchema
		if t == nil {
			return base + "mcp.lambda.toolSchema", &schema{}
		}
		inline, _ := encodeTools(t.InlinePayload)
		return base + "mcp.lambda.toolSchema", &schema{t.S3, inline, t.InlinePayload != nil}
	case c.Mcp != nil && c.Mcp.OpenApiSchema != nil:
		return base + "mcp.openApiSchema", apiSchema(c.Mcp.OpenApiSchema)
	case c.Mcp != nil && c.Mcp.SmithyModel != nil:
		return base + "mcp.smithyModel", apiSchema(c.Mcp.SmithyModel)
	case c.Mcp != nil && c.Mcp.McpServer != nil && c.Mcp.McpServer.McpToolSchema != nil:
		t := c.Mcp.McpServer.McpToolSchema
		return base + memberServer + ".mcpToolSchema", &schema{t.S3, []byte(wire.Text(t.InlinePayload)), t.InlinePayload != nil}
	case c.Http != nil && c.Http.AgentcoreRuntime != nil && c.Http.AgentcoreRuntime.Schema != nil:
		return base + "http.agentcoreRuntime.schema.source", apiSchema(c.Http.AgentcoreRuntime.Schema.Source)
	case c.Http != nil && c.Http.Passthrough != nil && c.Http.Passthrough.Schema != nil:
		return base + "http.passthrough.schema.source", apiSchema(c.Http.Passthrough.Schema.Source)
	}
	return "", nil
}

func apiSchema(c *agentcorecontrol.ApiSchemaConfiguration) *schema {
	if c == nil {
		return &schema{}
	}
	return &schema{c.S3, []byte(wire.Text(c.InlinePayload)), c.InlinePayload != nil}
}

// encodeTools writes tools that are given inline as they would stand in S3: a JSON array.
func encodeTools(list []agentcorecontrol.ToolDefinition) ([]byte, error) {
	if list == nil {
		return nil, nil
	}
	shape := agentcorecontrol.Service.ShapeNamed("ToolSchema")
	text, err := encode(shape, &agentcorecontrol.ToolSchema{InlinePayload: list})
	if err != nil {
		return nil, err
	}
	var out struct {
		InlinePayload json.RawMessage `json:"inlinePayload"`
	}
	err = json.Unmarshal(text, &out)
	return out.InlinePayload, err
}

func (c *schema) check(scope store.Scope, at string) error {
	switch {
	case c.s3 != nil:
		return checkS3(c.s3, scope, at+".s3")
	case !c.given:
		return fault.Invalid(at, "%s must have s3 or inlinePayload", at)
	case strings.TrimSpace(string(c.inline)) == "[]" && !strings.HasSuffix(at, ".toolSchema"):
		return fault.Invalid(at+".inlinePayload", "%s.inlinePayload is an empty list; the document must be an object", at)
	case len(c.inline) == 0 || string(c.inline) == "[]":
		return fault.Invalid(at+".inlinePayload", "%s.inlinePayload is empty", at)
	case len(c.inline) > MaxInline:
		return fault.Invalid(at+".inlinePayload", "%s.inlinePayload has %d bytes; it may have at most %d. Put the schema into S3, where it may have %d", at, len(c.inline), MaxInline, MaxSchema)
	}
	return nil
}

func checkS3(c *agentcorecontrol.S3Configuration, scope store.Scope, at string) error {
	uri := wire.Text(c.Uri)
	bucket, key := object.SplitURI(uri)
	switch {
	case uri == "" || bucket == "" || key == "":
		return fault.Invalid(at+".uri", "%s.uri: '%s' is no s3://BUCKET/KEY", at, uri)
	case c.BucketOwnerAccountId != nil && *c.BucketOwnerAccountId != scope.Account:
		return fault.Invalid(at+".bucketOwnerAccountId", "%s.bucketOwnerAccountId: '%s' is another account; this server has the buckets of %s alone", at, *c.BucketOwnerAccountId, scope.Account)
	}
	return nil
}

// checkMembers holds what concerns single members of the kinds.
func checkMembers(c *agentcorecontrol.TargetConfiguration, cred credential) error {
	switch {
	case c.Mcp != nil && c.Mcp.McpServer != nil:
		return checkServer(c.Mcp.McpServer, cred)
	case c.Mcp != nil && c.Mcp.ApiGateway != nil:
		return checkAPIGateway(c.Mcp.ApiGateway)
	case c.Http != nil && c.Http.Passthrough != nil:
		if err := checkStickiness(c.Http.Passthrough.StickinessConfiguration); err != nil {
			return err
		}
		return checkEndpoint("targetConfiguration.http.passthrough.endpoint", c.Http.Passthrough.Endpoint)
	case c.Inference != nil && c.Inference.Provider != nil:
		return checkEndpoint("targetConfiguration.inference.provider.endpoint", c.Inference.Provider.Endpoint)
	}
	return nil
}

// checkStickiness refuses what calls can never stick to.
func checkStickiness(c *agentcorecontrol.StickinessConfiguration) error {
	if c == nil {
		return nil
	}
	for identifier, name := range target.StickyHeaders(c) {
		if !isToken(name) || strings.HasPrefix(name, "$") {
			const field = "targetConfiguration.http.passthrough.stickinessConfiguration"
			return fault.Invalid(field, "%s: '%s' names no header of the request; write $context.header.NAME", field, identifier)
		}
	}
	return nil
}

// checkServer holds the rules of spec/gateway.md 3.4 and 4.5.
func checkServer(c *agentcorecontrol.McpServerTargetConfiguration, cred credential) error {
	const at = "targetConfiguration." + memberServer
	if err := checkEndpoint(at+".endpoint", c.Endpoint); err != nil {
		return err
	}
	dynamic, static := wire.Text(c.ListingMode) == agentcorecontrol.ListingModeDYNAMIC, c.McpToolSchema != nil
	switch {
	case dynamic && static:
		return fault.Invalid(at+".listingMode", "%s.listingMode: DYNAMIC asks the server for each caller anew and cannot be combined with an mcpToolSchema", at)
	case cred == exchange && static:
		return fault.Invalid(at+".mcpToolSchema", "%s.mcpToolSchema cannot be combined with OAUTH (TOKEN_EXCHANGE); leave it out, or use listingMode DYNAMIC", at)
	}
	return nil
}

// checkSelf refuses a gateway that is its own target: each time that it is asked what it
// offers, it would offer all that twice.
func (s *Service) checkSelf(ctx context.Context, gateway string, c *agentcorecontrol.TargetConfiguration) error {
	if s.cfg.Leads == nil || c.Mcp == nil || c.Mcp.McpServer == nil {
		return nil
	}
	const field = "targetConfiguration." + memberServer + ".endpoint"
	text := wire.Text(c.Mcp.McpServer.Endpoint)
	if u, err := url.Parse(text); err != nil || s.cfg.Leads(ctx, u) != gateway {
		return nil
	}
	return fault.Invalid(field, "%s: '%s' is the gateway '%s' itself, whose tools callers have without this target; name another server", field, text, gateway)
}

// checkEndpoint refuses what is no URL of a server.
func checkEndpoint(field string, text *string) error {
	u, err := url.Parse(wire.Text(text))
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return fault.Invalid(field, "%s: '%s' is no URL of a server, such as https://tools.example.com/mcp", field, wire.Text(text))
	case u.User != nil:
		return fault.Invalid(field, "%s has a user in it; use a credential provider", field)
	case u.Fragment != "":
		return fault.Invalid(field, "%s has a fragment, which is never sent", field)
	}
	return nil
}

// checkAPIGateway holds the rules of spec/gateway.md 5.5 that need no export of the API.
func checkAPIGateway(c *agentcorecontrol.ApiGatewayTargetConfiguration) error {
	const at = "targetConfiguration.mcp.apiGateway.apiGatewayToolConfiguration"
	seen := map[string]bool{}
	for i, o := range c.ApiGatewayToolConfiguration.ToolOverrides {
		field := fmt.Sprintf("%s.toolOverrides.%d.member", at, i+1)
		place := wire.Text(o.Method) + " " + wire.Text(o.Path)
		switch {
		case strings.Contains(wire.Text(o.Path), "*"):
			return fault.Invalid(field+".path", "%s.path: '%s' has a wildcard; an override is for one path and method", field, wire.Text(o.Path))
		case seen[place], seen[wire.Text(o.Name)]:
			return fault.Invalid(field, "%s: its name, or its path and method, are those of an override before it", field)
		}
		seen[place], seen[wire.Text(o.Name)] = true, true
	}
	for i, f := range c.ApiGatewayToolConfiguration.ToolFilters {
		field := fmt.Sprintf("%s.toolFilters.%d.member", at, i+1)
		if path := wire.Text(f.FilterPath); !strings.HasPrefix(path, "/") || strings.Contains(strings.TrimSuffix(path, "/*"), "*") {
			return fault.Invalid(field+".filterPath", "%s.filterPath: '%s' is neither a path, such as /pets/{petId}, nor a prefix, such as /pets/*", field, path)
		}
	}
	return nil
}
