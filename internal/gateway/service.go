package gateway

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/search"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Config is what the service is built from.
type Config struct {
	Store store.Store
	// Box seals what the owners of gateways configure, where they name no key of theirs.
	Box *secret.Box
	// Keys are the keys of KMS that they can name.
	Keys Keys
	// Roles knows which roles gateways may act as.
	Roles Roles
	// Issuers are asked for that of an authorizer when one is made or changed.
	Issuers Issuers
	// Providers are the credential providers of the account.
	Providers Providers
	// Objects reads schemas from S3, Certificates those of authorities.
	Objects Objects
	// Drivers reach targets, by their kind. A kind without one is refused.
	Drivers map[target.Kind]target.Driver
	// Resources reports whether the operator has said where a resource configuration leads,
	// by its id; nil is that there are none.
	Resources func(id string) bool
	// Problem is what keeps a gateway from invoking a function, as a sentence goes on after
	// its name, or nothing (function.Problem); nil is that nothing ever does.
	Problem func(ctx context.Context, of target.Source, function string) string
	// HasRuntime reports whether there is an agent runtime, or an endpoint of one, with an ARN;
	// nil is that there are all.
	HasRuntime func(ctx context.Context, arn string) (bool, error)
	// MayInvoke reports whether the role of a target's gateway may invoke an endpoint of an
	// agent runtime; nil is that it may.
	MayInvoke func(ctx context.Context, of target.Source, arn, qualifier string) (bool, error)
	// Judge tells what is known to keep calls of a target from a URL, without one; nil is
	// that nothing ever does.
	Judge func(ctx context.Context, of target.Source, at *url.URL) error
	// Leads returns the id of the gateway of this server at whose MCP endpoint a URL is, or
	// nothing; nil is that there are none.
	Leads func(ctx context.Context, at *url.URL) string
	// Vectors index the tools of gateways that can be searched.
	Vectors *search.Vectors
	// Base is how callers reach the server: scheme and host.
	Base func() string
	// Reserved reports which host names no gateway may have for its own; nil is none.
	Reserved func(host string) bool
	// Domain is below which every gateway has a host name of its own; empty is that
	// gateways are told apart by their path alone.
	Domain string
	Quotas Quotas
	Log    *slog.Logger
	Now    func() time.Time
}

// Keys are the customers' keys of KMS.
type Keys interface {
	// Box seals under a symmetric key of the scope that can be used now, and returns
	// its ARN. Refusals are faults of KMS.
	Box(ctx context.Context, scope store.Scope, name string) (box *secret.Box, arn string, err error)
	// Topic changes when a key does.
	Topic() store.Topic
}

// Roles knows which roles gateways may act as.
type Roles interface {
	// CheckRole refuses the ARN of a role that is not there, or may not be assumed for the
	// resource with the ARN source.
	CheckRole(ctx context.Context, role, source string) error
}

// Issuers finds the issuers of tokens.
type Issuers interface {
	// Issuer returns the name in a discovery document. What is fetched and is none is a
	// *jwt.DocumentError.
	Issuer(ctx context.Context, discoveryURL string) (string, error)
}

// Providers knows the account's credential providers.
type Providers interface {
	// HasProvider reports whether there is one with an ARN of the scope.
	HasProvider(ctx context.Context, scope store.Scope, arn string) (bool, error)
}

// Objects reads what targets need beside what they are configured with.
type Objects interface {
	// Read returns what is at an s3:// URI of an account's bucket, of most bytes at most,
	// if the role may read it. Refusals are a *target.Unfit.
	Read(ctx context.Context, scope store.Scope, role, uri, owner string, most int64) ([]byte, error)
	// Secret returns the text of a secret, if the role may read it. Refusals are a
	// *target.Unfit.
	Secret(ctx context.Context, scope store.Scope, role, arn string) ([]byte, error)
}

// Service implements agentcorecontrol.Gateway.
type Service struct {
	cfg     Config
	docs    collections
	shapes  shapes
	views   views
	places  store.Directory
	working chan struct{} // holds one for each target that is being catalogued
	looking chan struct{} // and for each of these whose server alone has asked for it
	// changing are targets whose servers said that they offer something else.
	changing changing
}

var _ agentcorecontrol.Gateway = (*Service)(nil)

// maxWorking bounds the targets that are catalogued at a time: an MCP server may take
// its time, and half of what work.Options has run is for all other work.
const maxWorking = 8

// maxLooking bounds those of them that only their servers wanted looked at, which may say
// so as often as they like and then take their time.
const maxLooking = maxWorking / 2

// New returns the service.
func New(cfg Config) *Service {
	cfg.Quotas = cfg.Quotas.withDefaults()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		cfg: cfg, docs: newCollections(), shapes: newShapes(), views: views{made: map[viewKey]*kept{}},
		places:  store.Directory{Table: placeTable},
		working: make(chan struct{}, maxWorking), looking: make(chan struct{}, maxLooking), changing: changing{at: map[string]*change{}},
	}
}

// The alphabets of ids.
const (
	gatewayAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	targetAlphabet  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

// newID is the id of a gateway with a name (spec/gateway.md 2.4).
func newID(name string) string {
	return strings.ToLower(name) + "-" + wire.RandomTail(gatewayAlphabet)
}

const arnKind = "gateway/"

// ARN is the name of a gateway to the world.
func ARN(scope store.Scope, id string) string {
	return "arn:aws:bedrock-agentcore:" + scope.Region + ":" + scope.Account + ":" + arnKind + id
}

// idOf reads what a request calls a gateway by: its id, or its ARN. One of another
// account was refused before.
func idOf(scope store.Scope, identifier *string) (string, error) {
	if !strings.HasPrefix(*identifier, "arn:") {
		return *identifier, nil
	}
	id, ok := strings.CutPrefix(*identifier, ARN(scope, ""))
	if !ok || id == "" || strings.Contains(id, "/") {
		return "", fault.NotFound("No gateway found with the ARN '%s' in %s", *identifier, scope.Region)
	}
	return id, nil
}

// URL is where callers find a gateway (spec/gateway.md 2.6). That of a gateway for more
// than MCP has no path of a protocol.
func (s *Service) URL(id string, mcp bool) string {
	base := strings.TrimSuffix(s.cfg.Base(), "/")
	if s.cfg.Domain == "" {
		base += PathPrefix + id
	} else if u, err := url.Parse(base); err == nil {
		u.Host = id + HostInfix + s.cfg.Domain + portOf(u)
		base = u.String()
	}
	if mcp {
		base += MCPPath
	}
	return base
}

// How the URLs of gateways are made: BASE/gw/ID/mcp, or ID.gateway.DOMAIN/mcp.
const (
	PathPrefix = "/gw/"
	MCPPath    = "/mcp"
	HostInfix  = ".gateway."
)

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return ":" + p
	}
	return ""
}

// Close ends what serves the targets. Nobody may call a gateway any more.
func (s *Service) Close() error { return s.views.close() }
