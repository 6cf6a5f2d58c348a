// Package passthrough is the drivers of targets that speak HTTP themselves: any HTTP
// endpoint (spec/gateway.md 5.8), and agents of this server's Runtime (5.7). A request
// passes as it came, body and path included; of its headers those that the target's owner
// allows, and a few without which HTTP, MCP or A2A would not work.
package passthrough

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// Kind is the kind of targets that are any HTTP endpoint.
const Kind target.Kind = agentcorecontrol.TargetTypePASSTHROUGH

// Config is what drivers are made of.
type Config struct {
	// Client makes the HTTP client of one target, which also trusts the target's
	// authorities, and goes by its private endpoint. It has neither a timeout nor a bound of bodies: package
	// upstream's HTTP makes such.
	Client func(target.Source) (*http.Client, error)
	// Credentials are those of a target; a nil result is none. service is what the
	// gateway's role signs for where the target does not say it, empty for nothing.
	Credentials func(s target.Source, service string) (target.Credentials, error)
	// AllowHTTP takes endpoints without TLS, where the operator has opened the way to them.
	AllowHTTP bool
}

// Driver is the target.Driver of endpoints.
type Driver struct{ Config }

var _ target.Driver = Driver{}

// Catalogue implements target.Driver: there are no tools. An endpoint that does not
// answer yet is no reason to refuse the target.
func (d Driver) Catalogue(_ context.Context, s target.Source) (target.Catalogue, error) {
	var out target.Catalogue
	u, err := d.endpoint(s)
	if err == nil && unsigned(s, u) {
		out.Warnings = []string{"Requests to " + u.Host + " are not signed: the name does not say for which service of AWS. Name it with an iamCredentialProvider."}
	}
	return out, err
}

// unsigned reports whether the gateway's role is to sign, and nothing says for what.
func unsigned(s target.Source, u *url.URL) bool {
	return target.PlainRole(s.Credential) && service(u) == ""
}

// service is what the gateway's role signs for at an endpoint of AWS, by its name. It is
// empty for others.
func service(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if name, ok := awshost.Parse(host); ok {
		return name.Service
	}
	if strings.Contains(host, ".lambda-url.") && strings.HasSuffix(host, ".on.aws") {
		return "lambda"
	}
	return ""
}

func (d Driver) endpoint(s target.Source) (*url.URL, error) {
	if s.Config == nil || s.Config.Http == nil || s.Config.Http.Passthrough == nil {
		return nil, target.Unfitf("targetConfiguration.http.passthrough is missing")
	}
	return ParseEndpoint(wire.Text(s.Config.Http.Passthrough.Endpoint), "targetConfiguration.http.passthrough.endpoint", d.AllowHTTP)
}

// ParseEndpoint reads the URL of an endpoint, which stands at a field of the target's
// configuration. The error is a *target.Unfit.
func ParseEndpoint(text, field string, plain bool) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return nil, target.Unfitf("%s is not a URL. Give one such as https://api.example.com/v1", field)
	case u.Scheme != "https" && !(plain && u.Scheme == "http"):
		return nil, target.Unfitf("%s must begin with https://", field)
	case u.User != nil:
		return nil, target.Unfitf("%s holds a user name or password. Use a credential provider", field)
	case u.Fragment != "":
		return nil, target.Unfitf("%s has a fragment (#), which is never sent. Leave it out", field)
	}
	return u, nil
}

// Open implements target.Driver.
func (d Driver) Open(s target.Source, _ target.Catalogue) (target.Server, error) {
	u, err := d.endpoint(s)
	if err != nil {
		return nil, err
	}
	client, err := d.Client(s)
	if err != nil {
		return nil, err
	}
	of := s.Config.Http.Passthrough
	if unsigned(s, u) {
		s.Credential = nil // the target's warning says so
	}
	out := &server{
		endpoint: u, link: NewLink(client, Signs(s)), static: of.StaticQueryParameters,
		overrides: wire.Text(of.StaticQueryParameterConflictResolution) == agentcorecontrol.StaticQueryParameterConflictResolutionSTATIC_OVERRIDE,
		asks:      Allowed(s.Metadata, requestHeaders(wire.Text(of.ProtocolType))),
	}
	out.link.Returns = Returned(s.Metadata, responseHeaders(wire.Text(of.ProtocolType)))
	if d.Credentials != nil {
		if out.link.Credentials, err = d.Credentials(s, service(u)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// server is one endpoint.
type server struct {
	target.Speechless
	endpoint  *url.URL
	link      *Link
	static    map[string]string
	overrides bool // the static parameters win
	asks      []string
}

var _ target.Web = (*server)(nil)

// Close implements target.Server.
func (s *server) Close() error {
	return s.link.Close()
}

// Send implements target.Web.
func (s *server) Send(ctx context.Context, in *target.Request) (*http.Response, error) {
	u, err := Join(s.endpoint, in.Path)
	if err != nil {
		return nil, err
	}
	u.RawQuery = s.query(in.Query)
	r := &http.Request{Method: in.Method, URL: u, Host: u.Host, Header: Header(in, s.asks), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	return s.link.Send(ctx, r, in)
}

// query adds the target's own parameters to a caller's, which stay as they came.
func (s *server) query(sent string) string {
	if len(s.static) == 0 {
		return joined(s.endpoint.RawQuery, sent)
	}
	var kept []string
	has := map[string]bool{}
	for _, pair := range strings.Split(sent, "&") {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			plain = name
		}
		if _, ours := s.static[plain]; ours && s.overrides {
			continue
		}
		has[plain] = true
		if pair != "" {
			kept = append(kept, pair)
		}
	}
	more := url.Values{}
	for name, value := range s.static {
		if !has[name] {
			more.Set(name, value)
		}
	}
	return joined(joined(s.endpoint.RawQuery, strings.Join(kept, "&")), more.Encode())
}

func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "&" + b
}

// Signs reports whether a target's credentials are a signature, which covers the body.
func Signs(s target.Source) bool {
	if s.Credential == nil {
		return false
	}
	switch wire.Text(s.Credential.CredentialProviderType) {
	case agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE, agentcorecontrol.CredentialProviderTypeCALLER_IAM_CREDENTIALS:
		return true
	}
	return false
}
