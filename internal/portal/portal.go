// Package portal is the service of consent portals: pages on which the users of a
// gateway sign in, see what it reaches for them at other services, and agree or take it
// back (spec/identity.md 3; AgentCore guide, "Configure a consent portal").
//
// Here is what a portal is and what becomes of it; package web serves its pages. A portal
// acts as its execution role, by calls that package app makes: it has no rights of its own.
package portal

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Config is what the service is built from.
type Config struct {
	Store store.Store
	// Roles knows which roles portals may act as.
	Roles Roles
	// Gateways are those of the account, Providers its OAuth2 credential providers, and
	// Issuers finds those of tokens.
	Gateways  Gateways
	Providers Providers
	Issuers   Issuers
	// Base is how browsers reach the server: scheme and host.
	Base func() string
	// Domain is below which every portal has a host name of its own; empty is that portals
	// are told apart by their path alone.
	Domain string
	Log    *slog.Logger
}

// Roles knows which roles portals may act as.
type Roles interface {
	// CheckRole refuses the ARN of a role that is not there, or may not be assumed for the
	// resource with the ARN source.
	CheckRole(ctx context.Context, role, source string) error
}

// Gateway is what a portal has to know of its gateway.
type Gateway struct {
	// DiscoveryURL is of the issuer whose tokens it takes, empty for a gateway that takes
	// none; Audiences are those that it takes alone, if any.
	DiscoveryURL string
	Audiences    []string
}

// Gateways are those of accounts.
type Gateways interface {
	// Gateway returns the one with an id, or a ResourceNotFoundException.
	Gateway(ctx context.Context, scope store.Scope, id string) (Gateway, error)
}

// Provider is what a portal has to know of the credential provider that signs its users in.
type Provider struct {
	// Vendor is one of agentcorecontrol.CredentialProviderVendorType's values.
	Vendor string
	// DiscoveryURL is of its issuer; where it has none, Issuer may name that.
	DiscoveryURL, Issuer string
	ClientID             string
}

// Providers are the OAuth2 credential providers of accounts.
type Providers interface {
	// Provider returns the one with a name, or a ResourceNotFoundException.
	Provider(ctx context.Context, scope store.Scope, name string) (Provider, error)
}

// Issuers finds the issuers of tokens.
type Issuers interface {
	// Issuer returns the name in a discovery document.
	Issuer(ctx context.Context, discoveryURL string) (string, error)
}

// Service implements agentcorecontrol.ConsentPortal.
type Service struct {
	cfg    Config
	places store.Directory
}

var _ agentcorecontrol.ConsentPortal = (*Service)(nil)

// New returns the service.
func New(cfg Config) *Service { return &Service{cfg: cfg, places: store.Directory{Table: placeTable}} }

// idAlphabet is that of the end of ids; lower case, since ids are parts of host names.
const idAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

// newID is the id of a portal with a name (spec/identity.md 3).
func newID(name string) string { return name + "-" + wire.RandomTail(idAlphabet) }

const arnKind = "consent-portal/"

// ARN is the name of a portal to the world.
func ARN(scope store.Scope, id string) string {
	return "arn:aws:bedrock-agentcore:" + scope.Region + ":" + scope.Account + ":" + arnKind + id
}

// idOf reads what a request calls a portal by: its id, or its ARN. One of another account
// was refused before.
func idOf(scope store.Scope, identifier *string) (string, error) {
	if !strings.HasPrefix(*identifier, "arn:") {
		return *identifier, nil
	}
	id, ok := strings.CutPrefix(*identifier, ARN(scope, ""))
	if !ok || id == "" || strings.Contains(id, "/") {
		return "", fault.NotFound("No consent portal found with the ARN '%s' in %s", *identifier, scope.Region)
	}
	return id, nil
}

// How the URLs of portals are made: BASE/portal/ID, or ID.consent-portal.DOMAIN.
const (
	PathPrefix = "/portal/"
	HostInfix  = ".consent-portal."
)

// The paths of a portal that others have to know, below its URL.
const (
	// ReturnPath is where services lead users back to who have agreed, and BeginPath where
	// those begin who come with a request_uri.
	ReturnPath = "/connect/callback"
	BeginPath  = "/connect"
	// SignInPath is where its identity provider leads users back to.
	SignInPath = "/callback"
)

// URL is where browsers find a portal.
func (s *Service) URL(id string) string {
	base := strings.TrimSuffix(s.cfg.Base(), "/")
	if s.cfg.Domain == "" {
		return base + PathPrefix + id
	}
	u, err := url.Parse(base)
	if err != nil {
		return base + PathPrefix + id
	}
	port := u.Port()
	u.Host = strings.ToLower(id) + HostInfix + s.cfg.Domain
	if port != "" {
		u.Host += ":" + port
	}
	return u.String()
}

// findLimit bounds how long an issuer is asked for its name.
const findLimit = 10 * time.Second
