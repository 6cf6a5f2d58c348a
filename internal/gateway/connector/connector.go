// Package connector is the drivers of targets that name what they reach by a connectorId
// in the place of an address (spec/gateway.md 5.6, 5.9): web search, and whatever the
// operator has registered under a name of his own. A registered connector is an MCP
// server, an OpenAPI document or an HTTP endpoint, and the driver of such targets serves
// it; what is added here is what a target says of its tools: which of them are there,
// which of their parameters are set, and which are not shown.
package connector

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// Kind is the kind of targets whose connector has tools.
const Kind target.Kind = agentcorecontrol.TargetTypeCONNECTOR

// WebSearch is the id of the connector that searches the web.
const WebSearch = "web-search"

const (
	field         = "targetConfiguration.mcp.connector"
	sourceField   = field + ".source.connectorId"
	versionField  = field + ".source.version"
	configsField  = field + ".configurations"
	howToRegister = "have the operator register one under this id in connectors.json (docs/targets.md, Web search and other connectors)"
)

// Registered is a connector that the operator registered: the driver that reaches it, and
// a target of it as that driver knows it.
type Registered struct {
	Driver target.Driver
	As     func(target.Source) target.Source
}

// Driver is the target.Driver of connectors with tools.
type Driver struct {
	// Search is who searches the web; nil is nobody.
	Search Searcher
	// Registered are the operator's connectors by their ids.
	Registered map[string]Registered
}

var (
	_ target.Driver  = Driver{}
	_ target.Checker = Driver{}
)

// Check implements target.Checker.
func (d Driver) Check(c *agentcorecontrol.TargetConfiguration, cred *agentcorecontrol.CredentialProviderConfiguration) error {
	of := c.Mcp.Connector
	id, version := idOf(of.Source), wire.Text(of.Source.Version)
	_, registered := d.Registered[id]
	var err error
	switch {
	case id == WebSearch:
		if d.Search == nil {
			return fault.Invalid(sourceField, "%s", unavailable)
		}
		if cred != nil && !target.PlainRole(cred) {
			return fault.Invalid("credentialProviderConfigurations", "Connector %s only supports GATEWAY_IAM_ROLE credential provider type, without an iamCredentialProvider", WebSearch)
		}
		_, err = searchTool(of)
	case !registered:
		return fault.Invalid(sourceField, "%s", d.unknown(id))
	case version != "":
		return fault.Invalid(versionField, "%s: connector '%s' is the operator's and has no versions; leave it out", versionField, id)
	default:
		_, err = readConfigurations(of)
	}
	if p, ok := errors.AsType[*problem](err); ok {
		return fault.Invalid(p.field, "%s: %s", p.field, p.text)
	}
	return err
}

// unknown says why there is no connector of an id, and what there is.
func (d Driver) unknown(id string) string {
	switch {
	case id == "bedrock-knowledge-bases" || id == "bedrock-agentic-retrieve":
		return "Connector integration " + id + " is not available for this account. It asks knowledge bases of Amazon Bedrock, and this server has none; if an MCP server of yours is to answer in their place, " + howToRegister
	case len(d.Registered) == 0:
		return "There is no connector '" + clip(id) + "'; " + howToRegister
	}
	return "There is no connector '" + clip(id) + "'. There are " + strings.Join(slices.Sorted(maps.Keys(d.Registered)), ", ") + "; for another one " + howToRegister
}

// Catalogue implements target.Driver.
func (d Driver) Catalogue(ctx context.Context, s target.Source) (target.Catalogue, error) {
	of, err := configured(s)
	if err != nil {
		return target.Catalogue{}, err
	}
	id := idOf(of.Source)
	if id == WebSearch {
		if d.Search == nil {
			return target.Catalogue{}, target.Unfitf("%s", unavailable)
		}
		t, err := searchTool(of)
		if err != nil {
			return target.Catalogue{}, unfit(err)
		}
		return target.Catalogue{Tools: t.shaped.tools}, nil
	}
	r, ok := d.Registered[id]
	if !ok {
		return target.Catalogue{}, target.Unfitf("%s: %s", sourceField, d.unknown(id))
	}
	made, err := r.Driver.Catalogue(ctx, r.As(s))
	if err != nil {
		return target.Catalogue{}, err
	}
	shaped, err := shape(of, made.Tools)
	if err != nil {
		return target.Catalogue{}, unfit(err)
	}
	// Connectors have tools, and nothing else that their server may have.
	out := target.Catalogue{Tools: shaped.tools, Warnings: made.Warnings}
	if out.Document, err = json.Marshal(kept{made, shaped.rules}); err != nil {
		return target.Catalogue{}, err
	}
	return out, nil
}

// kept is what a registered connector is opened by: its own catalogue, and what the
// target says of its tools.
type kept struct {
	Made  target.Catalogue `json:"made"`
	Rules map[string]rules `json:"rules"`
}

// Open implements target.Driver.
func (d Driver) Open(s target.Source, c target.Catalogue) (target.Server, error) {
	of, err := configured(s)
	if err != nil {
		return nil, err
	}
	id := idOf(of.Source)
	if id == WebSearch {
		t, err := searchTool(of)
		if err != nil {
			return nil, unfit(err)
		}
		return &searching{searcher: d.Search, source: s, tool: t}, nil
	}
	r, ok := d.Registered[id]
	if !ok {
		return nil, target.Unfitf("%s: %s", sourceField, d.unknown(id))
	}
	var k kept
	if err := json.Unmarshal(c.Document, &k); err != nil {
		return nil, err
	}
	inner, err := r.Driver.Open(r.As(s), k.Made)
	if err != nil {
		return nil, err
	}
	out := &server{Server: inner, rules: k.Rules}
	if p, ok := inner.(target.Peer); ok {
		return &peer{out, p}, nil
	}
	return out, nil
}

// server holds the calls of a registered connector to what its target says.
type server struct {
	target.Server
	rules map[string]rules
}

// Call implements target.Server.
func (s *server) Call(ctx context.Context, c target.Call) (target.Result, error) {
	r, ok := s.rules[c.Tool]
	if !ok {
		return target.Result{}, target.Fail("ResourceNotFoundException", nil, "The target has no tool '%s'", clip(c.Tool))
	}
	var err error
	if c.Arguments, err = r.apply(c.Arguments); err != nil {
		return target.Result{}, badArguments(err)
	}
	return s.Server.Call(ctx, c)
}

// peer is a server that keeps sessions of its own.
type peer struct {
	*server
	inner target.Peer
}

var _ target.Peer = (*peer)(nil)

// Request implements target.Peer. Connectors have tools alone.
func (*peer) Request(_ context.Context, method string, _ json.RawMessage, _ target.Call) (json.RawMessage, error) {
	return nil, &target.Error{Code: unknownMethod, Message: "Method not found: a connector has no " + method}
}

// unknownMethod is JSON-RPC's.
const unknownMethod = -32601

// End implements target.Peer.
func (p *peer) End(ctx context.Context, session string) { p.inner.End(ctx, session) }

// badArguments is a call that whoever made it can mend.
func badArguments(err error) error {
	f := target.Fail("ParamValidationException", nil, "Parameter validation failed: %s", err)
	f.Shown = true
	return f
}

func configured(s target.Source) (*agentcorecontrol.ConnectorTargetConfiguration, error) {
	if s.Config == nil || s.Config.Mcp == nil || s.Config.Mcp.Connector == nil || s.Config.Mcp.Connector.Source == nil {
		return nil, target.Unfitf("%s.source is missing", field)
	}
	return s.Config.Mcp.Connector, nil
}

func idOf(s *agentcorecontrol.ConnectorSource) string {
	if s == nil {
		return ""
	}
	return wire.Text(s.ConnectorId)
}

// As makes the source of a registered connector that its own driver knows. A plain
// GATEWAY_IAM_ROLE, which is what targets of AWS's connectors say, is the operator's own
// credential.
func As(s target.Source, kind target.Kind, c *agentcorecontrol.TargetConfiguration, schema []byte) target.Source {
	if target.PlainRole(s.Credential) {
		s.Credential = nil
	}
	s.Kind, s.Config, s.Schema = kind, c, schema
	return s
}

// problem is something wrong with a member of a configuration.
type problem struct{ field, text string }

func (p *problem) Error() string { return p.field + ": " + p.text }

// unfit makes a target's statusReasons of what is wrong.
func unfit(err error) error {
	if p, ok := errors.AsType[*problem](err); ok {
		return target.Unfitf("%s", p.Error())
	}
	return err
}

func clip(s string) string { return fault.Clip(s, 100) }
