package app

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/api/model"
	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/model/bedrockruntime"
	"github.com/outcrop/outcrop/internal/api/model/cloudtrail"
	"github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/api/model/ecr"
	"github.com/outcrop/outcrop/internal/api/model/kms"
	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/api/model/s3"
	"github.com/outcrop/outcrop/internal/api/model/secretsmanager"
	"github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/api/throttle"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	bedrockfront "github.com/outcrop/outcrop/internal/aws/bedrockruntime"
	cloudtrailfront "github.com/outcrop/outcrop/internal/aws/cloudtrail"
	cognitofront "github.com/outcrop/outcrop/internal/aws/cognito"
	ecrfront "github.com/outcrop/outcrop/internal/aws/ecr"
	iamfront "github.com/outcrop/outcrop/internal/aws/iam"
	kmsfront "github.com/outcrop/outcrop/internal/aws/kms"
	s3front "github.com/outcrop/outcrop/internal/aws/s3"
	secretsfront "github.com/outcrop/outcrop/internal/aws/secretsmanager"
	stsfront "github.com/outcrop/outcrop/internal/aws/sts"
	searchfront "github.com/outcrop/outcrop/internal/aws/websearch"
	gatewayinvoke "github.com/outcrop/outcrop/internal/gateway/invoke"
	"github.com/outcrop/outcrop/internal/oidc"
	"github.com/outcrop/outcrop/internal/operator"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/resource"
)

// openAPI makes what answers calls, of all services.
func (s *Server) openAPI(ctx context.Context, p *parts) error {
	if err := pinPolicies(ctx, p, s.cfg.Log); err != nil {
		return err
	}
	owners := map[string]resource.Owner{
		"runtime": p.runtimes, "capacity-provider": p.runtimes, "workload-identity-directory": p.identities, "token-vault": p.identities,
		"gateway": p.gateways, "consent-portal": p.portals,
	}
	authorizer := s.authorizer(p, owners)
	out, err := s.cfg.outbound()
	if err != nil {
		return err
	}
	api, err := pipeline.New(pipeline.Config{
		Version:  s.cfg.Version,
		Services: model.Services(),
		Handlers: s.handlers(p, owners, authorizer),
		Verifier: sigv4.New(sigv4.Config{Keys: p.directory, SpoolDir: filepath.Join(s.cfg.DataDir, "spool")}), Authorizer: authorizer,
		Store: p.store, Audit: p.telemetry, Log: s.cfg.Log, Now: time.Now,
		Inbound:  doors{runtimes: p.invoker, gateways: p.callers},
		Hosted:   s.gatewayHosts(),
		Hint:     gatewayinvoke.Hint,
		Named:    s.gatewayNames(p),
		Base:     s.reached(p),
		Resource: entities{p.directory}.complete,
		Used:     p.directory.Used,
		Throttle: throttle.New(&agentcorecontrol.Service, s.cfg.Rates, time.Now).Allow,
		Open:     map[string]http.Handler{"/": page(s.cfg.Version), "/_outcrop/health": health()},
		Tree: trees{
			oidc.New(oidc.Config{
				Pools: p.pools, Serves: s.served(p).serves, Base: s.reached(p), HTTP: outbound.New(out), Box: p.box, Audit: p.telemetry, Now: time.Now, Log: s.cfg.Log,
			}),
			s.portalPages(p),
			&stsfront.Documents{Issuer: p.tokens, Log: s.cfg.Log},
		},
	})
	if err != nil {
		return err
	}
	p.identity.pipeline.Store(api)
	s.hosts.serves = api.Serves
	s.front = front(api, p.images, p.foundation, authorizer, s.cfg)
	s.guests.api = newInside(s.server(), s.guests.hosts.serve(api.Serves), s.cfg.Log)
	return nil
}

// authorizer decides on all calls, by what is attached to callers and to resources.
func (s *Server) authorizer(p *parts, owners map[string]resource.Owner) *auth.Authorizer {
	return &auth.Authorizer{
		Identities: p.directory, Denied: s.guests.denials.denied,
		Resources: &attached{s.account, map[string]auth.Resources{
			"iam": p.directory, "lambda": functionPolicies(p.store, p.functions), "bedrock-agentcore": newAgentCore(p.store, owners), "ecr": repositories(p.store, p.images),
			"kms": keyPolicies(p.store, p.keys), "secretsmanager": secretPolicies(p.store, p.secrets),
			"s3": newBuckets(p.store, s.account, p.objects), "cognito-idp": userPools{p.pools},
		}},
	}
}

// handlers answer the operations of all services.
func (s *Server) handlers(p *parts, owners map[string]resource.Owner, decider operator.Decider) []schema.Handler {
	return slices.Concat(
		p.runtimes.API(),
		p.functions.API(),
		agentcorecontrol.ResourcesHandlers(resource.New(p.store, owners, p.directory)),
		agentcorecontrol.GatewayHandlers(p.gateways),
		agentcorecontrol.IdentityHandlers(p.identities),
		agentcorecontrol.ConsentPortalHandlers(p.portals),
		agentcore.IdentityHandlers(p.identities),
		p.invoker.Handlers(),
		p.callers.Handlers(),
		s3.ObjectsHandlers(s3front.New(p.objects, p.directory)),
		ecr.ImagesHandlers(ecrfront.New(p.images, p.directory)),
		iamfront.New(p.directory, p.tokens).Handlers(),
		sts.IdentityHandlers(s.stsFront(p)),
		cognito.UserPoolsHandlers(cognitofront.New(p.pools)),
		agentcore.WebSearchHandlers(searchfront.New(p.search)),
		bedrockruntime.ModelsHandlers(bedrockfront.New(p.models, time.Now)),
		kms.KeysHandlers(kmsfront.New(p.keys, p.directory)),
		secretsmanager.SecretsHandlers(secretsfront.New(p.secrets, p.keys, p.directory)),
		cloudtrail.EventsHandlers(cloudtrailfront.New(p.telemetry, model.Services())),
		outcrop.OperatorHandlers(s.operator(p, decider)),
	)
}

func (s *Server) operator(p *parts, decider operator.Decider) *operator.Service {
	return operator.New(operator.Config{
		Server: operator.Server{
			Version: s.cfg.Version, Account: s.account, OS: goruntime.GOOS, Architecture: goruntime.GOARCH,
			DataDirectory: s.cfg.DataDir, ProcessID: os.Getpid(), Started: time.Now(),
		},
		Sessions: s.sessions, Logs: p.telemetry, Audit: p.telemetry, Garbage: s.garbage, Interpreters: p.runtimes.Interpreters, Networks: p.networks,
		Principals: p.directory, Decider: decider,
		Sandbox: func(ctx context.Context) (string, string, string) { return sandboxState(ctx, s.engine, p.sandbox) },
		ARN:     arnOf, LogGroup: logGroupOf,
	})
}
