// Package credential makes what a gateway shows to its targets out of what their owners
// configured: keys and tokens of credential providers, and signatures of the gateway's
// role (spec/gateway.md 4).
//
// It holds no secret for longer than Identity allows, and puts none into an error. It
// knows Identity and roles by the two small interfaces below, which internal/app fills.
package credential

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Gateway is who asks: a gateway with the role that it acts as.
type Gateway struct {
	Scope store.Scope
	// ID is the gateway's, and the name of its workload identity.
	ID, ARN string
	// Role is an ARN.
	Role string
}

// User is whom a token is for; nobody, for one of the gateway's own.
type User struct {
	// Issuer, Subject and Token are of a verified JWT.
	Issuer, Subject string
	Token           secret.String
	// ID is the name of a user whom the gateway vouches for, where there is no token.
	ID string
}

// Flow is how a token is got.
type Flow string

// The flows, as GetResourceOauth2Token names them.
const (
	Machine    Flow = "M2M"
	Federation Flow = "USER_FEDERATION"
	Exchange   Flow = "ON_BEHALF_OF_TOKEN_EXCHANGE"
)

// Request is what is asked of an OAuth2 credential provider.
type Request struct {
	Gateway  Gateway
	Provider string // its name
	Flow     Flow
	Scopes   []string
	// Parameters go to the token endpoint, or with the user to the authorization endpoint.
	Parameters map[string]string
	User       User
	// ReturnURL is where the user comes back to, and Force asks the user again; for
	// Federation alone.
	ReturnURL string
	Force     bool
}

// Answer is a key or a token.
type Answer struct {
	Value secret.String
	// Until is how long it may be used again without asking; the zero time is not at all.
	Until time.Time
	// LoginURL is set in the place of Value where the user has to agree there first.
	LoginURL string
}

// Identity hands out what credential providers keep, to a gateway that acts as its role:
// that one must be allowed it. Errors are *fault.Error, whose words a target's owner may
// read; one of a token endpoint's answer has HTTPStatus() int in its chain.
type Identity interface {
	APIKey(ctx context.Context, g Gateway, provider string) (Answer, error)
	Token(ctx context.Context, r Request) (Answer, error)
}

// Keys are credentials of AWS that end.
type Keys struct {
	ID            string
	Secret, Token secret.String
	Expires       time.Time
}

// Roles makes credentials of roles and of callers. Errors are those of Identity.
type Roles interface {
	// Role returns those of a gateway's role.
	Role(ctx context.Context, g Gateway) (Keys, error)
	// Caller returns those by which a request is the own one of somebody who signed one to
	// the gateway. A URL that is not this server's is refused: the caller's secret is known
	// here alone.
	Caller(ctx context.Context, who auth.Principal, at *url.URL) (Keys, error)
}

// Config is what a Maker is built from.
type Config struct {
	Identity Identity
	Roles    Roles
	Now      func() time.Time
}

// Maker makes credentials. It is safe for concurrent use.
type Maker struct {
	cfg    Config
	signer *v4.Signer
	newID  func() string
}

// New returns a Maker.
func New(cfg Config) *Maker {
	return &Maker{cfg: cfg, signer: v4.NewSigner(), newID: uuid.NewString}
}

// Service is what signatures are for.
type Service struct {
	Name, Region string
	// PlainPath is set where the path is not encoded a second time, as S3 has it.
	PlainPath bool
}

// Of returns what a target is shown, as its owner has configured it. own is the service
// that the role signs for where the configuration names none, empty for a kind of target
// that has no such. A target without credentials gets those that change nothing.
//
// Errors: *target.Unfit.
func (m *Maker) Of(s target.Source, own Service) (target.Credentials, error) {
	if s.Credential == nil {
		return none{}, nil
	}
	p := s.Credential.CredentialProvider
	if p == nil {
		p = &agentcorecontrol.CredentialProvider{}
	}
	switch kind := wire.Text(s.Credential.CredentialProviderType); kind {
	case agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE:
		return m.role(s, p.IamCredentialProvider, own)
	case agentcorecontrol.CredentialProviderTypeCALLER_IAM_CREDENTIALS:
		return m.caller(s, p.IamCredentialProvider, own)
	case agentcorecontrol.CredentialProviderTypeAPI_KEY:
		return m.apiKey(s, p.ApiKeyCredentialProvider)
	case agentcorecontrol.CredentialProviderTypeOAUTH:
		return m.oauth(s, p.OauthCredentialProvider)
	case agentcorecontrol.CredentialProviderTypeJWT_PASSTHROUGH:
		return passthrough{}, nil
	default:
		return nil, target.Unfitf("credentialProviderConfigurations: there is no credentialProviderType '%s'", kind)
	}
}

// Role returns signatures of the gateway's role for a service, whatever the target's
// configuration says: for Lambda, Smithy and API Gateway targets (spec/gateway.md 4.2).
func (m *Maker) Role(s target.Source, svc Service) target.Credentials {
	if svc.Region == "" {
		svc.Region = s.Scope.Region
	}
	g := gatewayOf(s)
	keys := &lasting{now: m.cfg.Now, ask: func(ctx context.Context) (Keys, error) { return m.cfg.Roles.Role(ctx, g) }}
	return &signed{m: m, service: svc, gateway: g, keys: keys.get}
}

func gatewayOf(s target.Source) Gateway {
	return Gateway{Scope: s.Scope, ID: s.Gateway, ARN: s.GatewayARN, Role: s.Role}
}

// none changes nothing.
type none struct{}

// Apply implements target.Credentials.
func (none) Apply(context.Context, *http.Request, *target.Call) error { return nil }

// passthrough hands on the caller's own token (JWT_PASSTHROUGH).
type passthrough struct{}

// Apply implements target.Credentials.
func (passthrough) Apply(_ context.Context, r *http.Request, c *target.Call) error {
	if c.Intercepted {
		return nil
	}
	if c.Caller.Token.Empty() {
		return refuse(c, nil, "The target wants the caller's own token (JWT_PASSTHROUGH), and the caller came without one: call the gateway with Authorization: Bearer TOKEN")
	}
	bearer(r, c.Caller.Token)
	return nil
}

// bearer puts a token on a request (RFC 6750 2.1).
func bearer(r *http.Request, token secret.String) {
	r.Header.Set("Authorization", "Bearer "+token.Reveal())
}

// provider reads the name of a credential provider out of its ARN.
func provider(s target.Source, arn, kind string) (string, error) {
	part := strings.SplitN(arn, ":", 6)
	if len(part) == 6 {
		if _, name, ok := strings.Cut(part[5], "/"+kind+"/"); ok && name != "" && !strings.Contains(name, "/") {
			if part[3] != s.Scope.Region || part[4] != s.Scope.Account {
				return "", target.Unfitf("providerArn %s is of another account or region than the gateway: make the credential provider in %s of account %s", arn, s.Scope.Region, s.Scope.Account)
			}
			return name, nil
		}
	}
	return "", target.Unfitf("providerArn '%s' does not name a credential provider of this kind: it ends in token-vault/default/%s/NAME", arn, kind)
}

// printable reports whether a text can be the value of a header.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}
