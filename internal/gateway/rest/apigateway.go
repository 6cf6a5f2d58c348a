package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/apigateway"
	"github.com/outcrop/outcrop/internal/gateway/openapi"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/outbound"
)

// APIGatewayKind is the kind of targets that are stages of Amazon API Gateway.
const APIGatewayKind target.Kind = "API_GATEWAY"

// The names that requests to API Gateway, and to its stages, are signed for.
const (
	controlService = "apigateway"
	stageService   = "execute-api"
)

// APIGateway is the target.Driver of stages of API Gateway.
type APIGateway struct {
	Config
	// Endpoint is where API Gateway is asked for exports, empty where there is none, and
	// StageURL where stages are called, a pattern as apigateway.Stage.URL has it.
	Endpoint, StageURL string
	// Sign signs what asks for exports, and calls of targets whose credential is the role.
	Sign Signer
}

var _ target.Driver = APIGateway{}

// Catalogue implements target.Driver.
func (d APIGateway) Catalogue(ctx context.Context, s target.Source) (target.Catalogue, error) {
	if d.Endpoint == "" {
		return target.Catalogue{}, target.Unfitf("mcp.apiGateway: this server has no API Gateway, and was told of none. Have its operator name one (outcrop serve --api-gateway-endpoint URL), or make a target with mcp.openApiSchema of the API's export")
	}
	config := s.Config.Mcp.ApiGateway
	stage := apigateway.Stage{RestAPI: wire.Text(config.RestApiId), Name: wire.Text(config.Stage), Region: s.Scope.Region}
	client, err := d.exporter(s)
	if err != nil {
		return target.Catalogue{}, err
	}
	defer client.CloseIdleConnections()
	export, err := apigateway.Export(ctx, client, d.Endpoint, stage)
	if err != nil {
		return target.Catalogue{}, d.unexported(ctx, err)
	}
	filters, overrides := selection(config.ApiGatewayToolConfiguration)
	chosen, err := apigateway.Select(export, stage.URL(d.StageURL), filters, overrides)
	if refusal, ok := errors.AsType[*apigateway.Refusal](err); ok {
		return target.Catalogue{}, &target.Unfit{Reasons: refusal.Reasons()}
	}
	if err != nil {
		return target.Catalogue{}, err
	}
	doc, err := d.parse(s, chosen.Document)
	if err != nil {
		return target.Catalogue{}, err
	}
	return target.Catalogue{Tools: doc.Tools(), Warnings: append(chosen.Warnings, doc.Warnings()...), Document: chosen.Document}, nil
}

func (d APIGateway) parse(s target.Source, text []byte) (*openapi.Document, error) {
	s.Schema = text
	return OpenAPI{Config: Config{AllowHTTP: true}}.parse(s)
}

// exporter is a client that signs as the gateway's role.
func (d APIGateway) exporter(s target.Source) (*http.Client, error) {
	client, err := d.Client(target.Source{})
	if err != nil {
		return nil, err
	}
	out := *client
	out.Transport = &signing{next: client.Transport, sign: d.Sign(s, Service{Name: controlService, Region: s.Scope.Region})}
	// A signature is for one host.
	out.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &out, nil
}

// signing signs what it sends.
type signing struct {
	next http.RoundTripper
	sign target.Credentials
}

// RoundTrip implements http.RoundTripper.
func (s *signing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if err := s.sign.Apply(r.Context(), r, &target.Call{Catalogue: true}); err != nil {
		return nil, err
	}
	return s.next.RoundTrip(r)
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (s *signing) CloseIdleConnections() {
	if c, ok := s.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// unexported says why there is no export. What may be there the next time is tried again.
func (d APIGateway) unexported(ctx context.Context, err error) error {
	if refusal, ok := errors.AsType[*apigateway.Refusal](err); ok {
		return &target.Unfit{Reasons: refusal.Reasons()}
	}
	if unfit, ok := errors.AsType[*target.Unfit](err); ok {
		return unfit
	}
	if refused, ok := errors.AsType[*outbound.Refused](err); ok {
		return target.Unfitf("API Gateway cannot be asked for the stage's export: %v", refused)
	}
	failed, answered := errors.AsType[*apigateway.Failure](err)
	switch {
	case answered && failed.Status < http.StatusInternalServerError && failed.Status != http.StatusTooManyRequests:
		return &target.Unfit{Reasons: []string{failed.Error()}}
	case answered:
		return fault.New("ServiceException", http.StatusBadGateway, "%s", failed.Error()).Because(err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	host := "API Gateway"
	if u, perr := url.Parse(d.Endpoint); perr == nil {
		host += " at " + u.Host
	}
	return fault.New("ServiceException", http.StatusBadGateway, "%s could not be reached, or broke off its answer (--api-gateway-endpoint)", host).Because(fmt.Errorf("export stage: %w", outbound.WithoutURL(err)))
}

// selection is what a target's owner selects, as the reader of exports has it.
func selection(c *agentcorecontrol.ApiGatewayToolConfiguration) (filters []apigateway.Filter, overrides []apigateway.Override) {
	if c == nil {
		return nil, nil
	}
	for _, f := range c.ToolFilters {
		filters = append(filters, apigateway.Filter{Path: wire.Text(f.FilterPath), Methods: f.Methods})
	}
	for _, o := range c.ToolOverrides {
		overrides = append(overrides, apigateway.Override{Name: wire.Text(o.Name), Path: wire.Text(o.Path), Method: wire.Text(o.Method), Description: wire.Text(o.Description)})
	}
	return filters, overrides
}

// Open implements target.Driver.
func (d APIGateway) Open(s target.Source, c target.Catalogue) (target.Server, error) {
	doc, err := d.parse(s, c.Document)
	if err != nil {
		return nil, err
	}
	credentials := d.signer(s)
	if credentials == nil {
		if credentials, err = d.credentials(s); err != nil {
			return nil, err
		}
	}
	return d.open(s, stageAPI{document{doc}}, credentials)
}

// signer is nil for a target that is not reached as the role.
func (d APIGateway) signer(s target.Source) target.Credentials {
	if !actsAsRole(s) {
		return nil
	}
	return d.Sign(s, Service{Name: stageService, Region: s.Scope.Region})
}

// stageAPI is a document of a stage.
type stageAPI struct{ document }

func (a stageAPI) answer(_ string, got *answer) (content, error) {
	if !got.ok() {
		return content{}, got.failure(a)
	}
	return got.block(), nil
}

func (stageAPI) exception() string { return "APIGatewayClientException" }
