package rest

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// Config is what drivers are made of.
type Config struct {
	// Client makes the HTTP client of one target, which also trusts the target's
	// authorities, and goes by its private endpoint. Its timeout and bound of bodies are the driver's to set.
	Client func(target.Source) (*http.Client, error)
	// Credentials are those of a target; a nil result is none.
	Credentials func(target.Source) (target.Credentials, error)
	// AllowHTTP takes APIs without TLS, where the operator has opened the way to them.
	AllowHTTP bool
	// Strict takes no more than AWS's gateways do.
	Strict bool
}

// credentials are those of a target's configuration, nil for none.
func (c Config) credentials(s target.Source) (target.Credentials, error) {
	if c.Credentials == nil {
		return nil, nil
	}
	return c.Credentials(s)
}

// open makes a server of a description.
func (c Config) open(s target.Source, a api, credentials target.Credentials) (target.Server, error) {
	client, err := c.Client(s)
	if err != nil {
		return nil, err
	}
	out := &server{api: a, http: client, credentials: credentials, places: make(chan struct{}, maxAtOnce)}
	if s.Metadata != nil {
		out.metadata.returned = target.Allowed(s.Metadata.AllowedResponseHeaders, target.Returns)
	}
	return out, nil
}

// actsAsRole reports whether a target is reached with signatures of the gateway's role.
func actsAsRole(s target.Source) bool {
	return s.Credential != nil && wire.Text(s.Credential.CredentialProviderType) == agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE
}

// Signer makes signatures of the gateway's role for a service.
type Signer func(s target.Source, at Service) target.Credentials

// Service is what requests are signed for.
type Service struct {
	Name, Region string
	// PlainPath is set where the path is not encoded a second time (Amazon S3).
	PlainPath bool
}

// escape is a text as a query has it: a space is %20, which every server reads.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
