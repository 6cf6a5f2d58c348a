package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"

	lambdamodel "github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/credential"
	"github.com/outcrop/outcrop/internal/gateway/function"
	"github.com/outcrop/outcrop/internal/gateway/rest"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/upstream"
)

// gatewayDrivers reach the targets of gateways, by their kind.
func (s *Server) gatewayDrivers(p *parts) (map[target.Kind]target.Driver, error) {
	out, err := s.cfg.outbound()
	if err != nil {
		return nil, err
	}
	outward, home := upstream.HTTP(out, s.cfg.GatewayEndpoints.Resources), s.leadsHome(p)
	lead := func(c *http.Client) *http.Client { return s.leadHome(c, home) }
	client := func(of target.Source) (*http.Client, error) {
		c, err := outward(of)
		if err != nil {
			return nil, err
		}
		return lead(c), nil
	}
	credentials := func(of target.Source) (target.Credentials, error) { return p.credentials.Of(of, credential.Service{}) }
	drivers, err := s.awsDrivers(p, out, lead)
	if err != nil {
		return nil, err
	}
	maps.Copy(drivers, s.webDrivers(p, client))
	listens := listening(p, home, s.cfg.Log)
	named, err := s.connectorDrivers(p, out, lead, listens)
	if err != nil {
		return nil, err
	}
	maps.Copy(drivers, named)
	maps.Copy(drivers, map[target.Kind]target.Driver{
		function.Kind:    &function.Driver{Functions: gatewayFunctions{p.identity}},
		rest.OpenAPIKind: rest.OpenAPI{Config: rest.Config{Client: client, Credentials: credentials, AllowHTTP: true, Strict: s.cfg.Strict}},
		"MCP_SERVER":     upstream.New(upstream.Config{Client: client, Credentials: credentials, Version: s.cfg.Version, Listening: listens}),
	})
	return drivers, nil
}

// listening hears of changes of MCP servers. Those that are this server's own agents are
// left alone: a stream would keep their sandboxes running.
func listening(p *parts, home func(context.Context, *url.URL) bool, log *slog.Logger) upstream.Listening {
	return upstream.Listening{
		Places:  target.NewPlaces(upstream.MaxListening),
		Changed: func(ctx context.Context, of target.Source) { p.gateways.Announced(ctx, of.Scope, of.Gateway, of.ID) },
		Wanted:  func(ctx context.Context, at *url.URL) bool { return !home(ctx, at) },
		Full: func(ctx context.Context, of target.Source, most int) {
			log.WarnContext(ctx, "the MCP server of a target is not listened to yet: its account has its share of all streams. SynchronizeGatewayTargets reads what it offers",
				"account", of.Scope.Account, "gateway", of.Gateway, "target", of.ID, "streams", most)
		},
	}
}

// gatewayFunctions invokes the functions of this server for gateways, as their roles and
// by the way of all calls.
type gatewayFunctions struct{ identity *gatewayIdentity }

var _ function.Functions = gatewayFunctions{}

// Invoke implements function.Functions.
func (f gatewayFunctions) Invoke(ctx context.Context, in function.Invocation) (function.Answer, error) {
	who, err := f.identity.roles.principal(ctx, credential.Gateway{Scope: in.Scope, ID: in.GatewayID, ARN: in.Gateway, Role: in.Role})
	if err != nil {
		return function.Answer{}, functionError(err)
	}
	request := &lambdamodel.InvocationRequest{FunctionName: &in.Function, ClientContext: &in.Context, Payload: in.Payload}
	if in.DryRun {
		request.InvocationType = new(lambdamodel.InvocationTypeDryRun)
	}
	answer, _, err := act[*lambdamodel.InvocationResponse](ctx, f.identity.pipeline.Load(), pipeline.Actor{Principal: who, Scope: in.Scope, For: in.Gateway, Unrecorded: in.DryRun}, &lambdamodel.Service, "Invoke", request)
	if err != nil {
		return function.Answer{}, functionError(err)
	}
	return function.Answer{Payload: answer.Payload, Failed: answer.FunctionError != nil}, nil
}

// functionError tells apart what a target's owner can mend.
func functionError(err error) error {
	var f *fault.Error
	switch {
	case !errors.As(err, &f):
		return err
	case f.Code == "AccessDeniedException":
		return fmt.Errorf("%w: %w", function.ErrDenied, err)
	case f.Code == "ResourceNotFoundException":
		return fmt.Errorf("%w: %w", function.ErrNone, err)
	}
	return err
}
