// Package identity is the AgentCore Identity service: who agents are, and how they get
// the credentials of services that they call without ever holding them
// (spec/identity.md).
package identity

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity/consent"
	"github.com/outcrop/outcrop/internal/identity/vault"
	"github.com/outcrop/outcrop/internal/identity/vendor"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

// Verifier verifies the tokens of users by the issuer that they name.
type Verifier interface {
	VerifyIssued(ctx context.Context, token string, trust jwt.Trust, rules jwt.Rules) (*jwt.Token, error)
}

// Config is what the service is built from.
type Config struct {
	Store    store.Store
	Tokens   workload.Tokens
	Verifier Verifier
	// Trusted tells whether tokens of an issuer stand for users, by its name and the
	// URL of its discovery document; nil trusts every issuer that can be reached.
	Trusted func(ctx context.Context, issuer, discoveryURL string) (bool, error)
	// Secrets and Keys are those of accounts.
	Secrets Secrets
	Keys    Keys
	// Box seals what the service itself keeps.
	Box *secret.Box
	// CallerTokens prove clients of AWS_IAM_ID_TOKEN_JWT.
	CallerTokens CallerTokens
	// HTTP calls what providers name: authorization servers (package outbound).
	HTTP *http.Client
	// Trusting makes one that trusts a bundle of authorities besides (PEM), and Bundles has
	// these.
	Trusting func(bundle []byte) (*http.Client, error)
	Bundles  Bundles
	// Vendors are the services that providers name by a vendor alone.
	Vendors vendor.Table
	// Public is how browsers reach the server: scheme and host.
	Public func() string
	// Authorized is told whom the server itself vouches for (not by a token) that has
	// agreed, and for which workload; nil is nobody.
	Authorized func(ctx context.Context, scope store.Scope, workload, user string) error
	// SameIssuer returns the one name of an issuer of which tokens bear several; nil is that
	// there is no such. A user is the same by all of them.
	SameIssuer func(ctx context.Context, issuer string) (string, error)
	// Portal returns the consent portal of the gateway with an ARN; nil is that there are
	// none.
	Portal func(ctx context.Context, gatewayARN string) (Portal, error)
	// Strict asks of callers what AWS asks besides: the right to read the secrets that
	// they are handed the use of.
	Strict bool
	Log    *slog.Logger
	Now    func() time.Time
}

// Keys are the customers' keys of KMS; each ARN is of the scope.
type Keys interface {
	vault.Keys
	// Gone tells whether a key is there no more, with no way back.
	Gone(ctx context.Context, scope store.Scope, arn string) (bool, error)
	// CheckSigner refuses a key that does not sign with an algorithm: RS256, PS256 or
	// ES256.
	CheckSigner(ctx context.Context, scope store.Scope, arn, algorithm string) error
	// Sign signs as JSON Web Signatures want it.
	Sign(ctx context.Context, scope store.Scope, arn, algorithm string, input []byte) ([]byte, error)
}

// Service implements both planes' Identity.
type Service struct {
	cfg      Config
	vault    *vault.Vault
	sessions *consent.Sessions
	// everybodys asks servers that everybody trusts, and askers those that providers trust.
	everybodys *asker
	askers     askers
	// flights are the requests for tokens under way, by whom they are for.
	flights singleflight.Group
	// rekeying is held while a vault's tokens are sealed anew.
	rekeying sync.Mutex
}

var (
	_ agentcorecontrol.Identity = (*Service)(nil)
	_ agentcore.Identity        = (*Service)(nil)
)

// New returns the service.
func New(cfg Config) *Service {
	return &Service{
		cfg: cfg, vault: &vault.Vault{Store: cfg.Store, Box: cfg.Box, Keys: cfg.Keys}, sessions: &consent.Sessions{Store: cfg.Store, Box: cfg.Box},
		everybodys: newAsker(cfg.HTTP, &cfg),
	}
}

// maxWorkloads is how many workload identities an account may have in a region
// (spec/identity.md 11).
const maxWorkloads = 11000

// checkReturnURLs refuses what no browser should be sent to: the model's pattern takes
// any scheme, javascript: among them.
func checkReturnURLs(urls []string) error {
	const field = "allowedResourceOauth2ReturnUrls"
	for _, text := range urls {
		u, err := url.Parse(text)
		switch {
		case err != nil:
			return fault.Invalid(field, "%s: '%s' is not a URL", field, text)
		case u.Scheme == "javascript", u.Scheme == "data", u.Scheme == "vbscript":
			return fault.Invalid(field, "%s: the scheme '%s' is a script's, to which no user is sent back", field, u.Scheme)
		case u.Fragment != "":
			return fault.Invalid(field, "%s: '%s' has a fragment, which a redirect would lose", field, text)
		}
	}
	return nil
}
