// Package invoke lets the callers of gateways in, and leads them to what they ask for: the
// MCP endpoint, or a target that speaks HTTP (spec/gateway.md 7, 9).
package invoke

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/mcp"
	"github.com/outcrop/outcrop/internal/gateway/route"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/inbound"
)

// Gateways are those that there are.
type Gateways interface {
	// View returns a gateway by its id, which no two accounts share. The error is a
	// ResourceNotFoundException where there is none that serves.
	View(ctx context.Context, id string) (*gateway.View, error)
}

// Config is what a Service is made of. All members are required.
type Config struct {
	Gateways Gateways
	Door     *inbound.Door
	MCP      *mcp.Endpoint
	Router   *route.Router
	// Pages reports whether pages of a host are this server's own, or of this machine.
	Pages func(host string) bool
	// Ours reports whether a host name is one of this server's own.
	Ours func(host string) bool
}

// Service serves the callers of gateways. It is safe for concurrent use.
type Service struct{ cfg Config }

var _ agentcore.Gateway = (*Service)(nil)

// New returns a Service.
func New(cfg Config) *Service { return &Service{cfg} }

// Handlers joins the service with its operations.
func (s *Service) Handlers() []schema.Handler {
	handlers := agentcore.GatewayHandlers(s)
	for i := range handlers {
		if handlers[i].Operation.Name == "InvokeGateway" {
			handlers[i].Refuse = refuse
		}
	}
	return handlers
}

// The labels of paths that say what is called.
const (
	// GatewayLabel is the one that only calls of gateways have.
	GatewayLabel = "gatewayIdentifier"
	pathLabel    = "path"
)

// action is what a caller of a gateway must be allowed.
const action = "bedrock-agentcore:InvokeGateway"

// mcpPath is where the MCP endpoint is below a gateway.
const mcpPath = "mcp"

// isMCP reports whether a path below a gateway is the MCP endpoint's: people and programs
// end URLs with a slash.
func isMCP(path string) bool { return strings.TrimSuffix(path, "/") == mcpPath }

// InvokeGateway answers what a caller sends to a gateway.
func (s *Service) InvokeGateway(ctx context.Context, in *agentcore.InvokeGatewayRequest) (http.Handler, error) {
	call := pipeline.From(ctx)
	isMCP := isMCP(*in.Path)
	v, err := s.cfg.Gateways.View(ctx, *in.GatewayIdentifier)
	if err != nil {
		return nil, reworded(isMCP, err)
	}
	// Where callers are only authenticated, their targets decide what they may; who is
	// denied by name stays out.
	open := v.AuthorizerType == agentcorecontrol.AuthorizerTypeAUTHENTICATE_ONLY
	needs := auth.Requirement{Action: action, Resource: v.ARN, Open: open}
	if err := call.Authorize(ctx, needs); err != nil {
		return nil, reworded(isMCP, err)
	}
	if !isMCP {
		return s.cfg.Router.Handle(ctx, route.Request{
			View: v, Caller: caller(call), ID: call.RequestID, Source: call.Source, Method: call.Method, Base: base(call.BaseURL, call.Path, v.ID), Path: below(call.Path), Query: query(call), Header: call.Header,
			Body: target.NewBody(in.Payload, call.ContentLength),
		})
	}
	return s.cfg.MCP.Handler(mcp.Request{
		View: v, Caller: caller(call), ID: call.RequestID, Method: call.Method, Header: call.Header, Query: query(call), Body: in.Payload, Length: call.ContentLength, Call: call, Needs: needs,
	}), nil
}

// query is the caller's, without what made a presigned URL of it: it let the caller in
// here, for as long as it lives would let in whoever sees it, and is no target's business.
func query(call *pipeline.Call) string {
	if call.Principal.Kind == auth.Bearer || call.Header.Get("Authorization") != "" {
		return call.Query
	}
	var kept []string
	for _, pair := range strings.Split(call.Query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil || !signing(plain) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// signing reports whether a parameter is one of a presigned URL.
func signing(name string) bool {
	switch strings.ToLower(name) {
	case "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature", "x-amz-security-token", "x-amz-content-sha256":
		return true
	}
	return false
}

// caller is on whose behalf targets are called.
func caller(call *pipeline.Call) target.Caller {
	c := target.Caller{Issuer: call.User.Issuer, Subject: call.User.Subject, Token: call.User.Token}
	if call.Principal.Kind != auth.Bearer {
		c.Principal, c.Signed = call.Principal.ARN, &call.Principal
	}
	return c
}

// GetGatewayProtectedResourceMetadata tells clients where to sign in.
func (s *Service) GetGatewayProtectedResourceMetadata(ctx context.Context, in *agentcore.GetGatewayProtectedResourceMetadataRequest) (*agentcore.GetRuntimeProtectedResourceMetadataResponse, error) {
	call := pipeline.From(ctx)
	missing := fault.NotFound("No resource with a customJWTAuthorizer found at this URL")
	v, err := s.cfg.Gateways.View(ctx, *in.GatewayIdentifier)
	switch {
	case fault.Is(err, "ResourceNotFoundException"):
		return nil, missing // whether there is one is not told to strangers
	case err != nil:
		return nil, err
	case v.Authorizer == nil:
		return nil, missing
	}
	resource := base(call.BaseURL, call.Path, v.ID) + "/" + mcpPath
	if !v.MCP {
		resource = described(call.BaseURL, call.Path)
	}
	m := s.cfg.Door.Metadata(ctx, v.Authorizer, call.BaseURL, resource)
	return &agentcore.GetRuntimeProtectedResourceMetadataResponse{
		Resource: &m.Resource, AuthorizationServers: m.Servers, ScopesSupported: m.Scopes, BearerMethodsSupported: []string{"header"},
	}, nil
}

// Guards reports whether a path, with what its host name stands for before it, leads to a
// gateway with an authorizer: to its MCP endpoint, or to whatever a gateway for more than
// that has below it.
func (s *Service) Guards(ctx context.Context, path string) (bool, error) {
	rest, ok := strings.CutPrefix(path, Prefix)
	id, rest, _ := strings.Cut(strings.TrimSuffix(rest, "/"), "/")
	if !ok || id == "" {
		return false, nil
	}
	v, err := s.cfg.Gateways.View(ctx, id)
	switch {
	case err == nil:
		return v.Authorizer != nil && (!v.MCP || rest == mcpPath), nil
	case fault.From(err).Status < http.StatusInternalServerError:
		return false, nil // whether there is one without an authorizer is not told to strangers
	}
	return false, err
}

// Prefix is what stands before the id of a gateway in paths.
const Prefix = "/gw/"

// Hint says what is below a path that is a gateway's own, where nothing is: people leave
// out the end of gateways' URLs, and the Inspector what stands before it. It is empty for
// all other paths.
func Hint(path string) string {
	if strings.TrimSuffix(path, "/") == "/"+mcpPath {
		return "The MCP endpoint of a gateway is at " + Prefix + "GATEWAY/" + mcpPath + ", with the gateway's id"
	}
	id, ok := strings.CutPrefix(path, Prefix)
	if !ok || id == "" || strings.Contains(id, "/") {
		return ""
	}
	at := fault.Clip(path, 100)
	return "The MCP endpoint of a gateway is at " + at + "/mcp; one without protocolType has its targets at " + at + "/TARGET/... and models at " + at + "/inference/v1/..."
}

// below is the path below a gateway, as it came.
func below(path string) string {
	if rest, ok := strings.CutPrefix(path, Prefix); ok {
		_, rest, _ = strings.Cut(rest, "/")
		return "/" + rest
	}
	return path
}

// metadataPath is where the metadata of a resource is (RFC 9728 3.1).
const metadataPath = "/.well-known/oauth-protected-resource"

// base is the URL of a gateway as this caller reaches it: by a path, or by a host name of
// its own.
func base(url, path, id string) string {
	if strings.HasPrefix(path, Prefix) || strings.HasPrefix(path, metadataPath+Prefix) {
		return url + Prefix + id
	}
	return url
}

// described is the URL of what metadata at a path describes: clients compare it with the
// one that they were given (RFC 9728 3.3).
func described(url, path string) string {
	before, after, _ := strings.Cut(path, metadataPath)
	return strings.TrimSuffix(url+before+after, "/")
}

// metadataURL is where the metadata of a gateway is, for who asked it at a path.
func metadataURL(url, path string, v *gateway.View) string {
	switch {
	case !v.MCP:
		return url + metadataPath + strings.TrimSuffix(path, "/")
	case base(url, path, v.ID) != url:
		return url + metadataPath + Prefix + v.ID + "/" + mcpPath
	}
	return url + metadataPath
}
