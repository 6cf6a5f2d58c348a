// Package inference is the drivers of targets that are providers of models: any that
// speaks OpenAI's or Anthropic's API, and those that a gateway knows by name (spec/gateway.md
// 5.10). A request passes as it came but for the model's name.
package inference

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// The kinds of targets that are providers: with all that there is to know of them, and
// by name.
const (
	Kind          target.Kind = agentcorecontrol.TargetTypePROVIDER
	ConnectorKind target.Kind = "INFERENCE_CONNECTOR"
)

// The paths of the APIs, below /inference.
const (
	Chat      = "/v1/chat/completions"
	Responses = "/v1/responses"
	Messages  = "/v1/messages"
	Models    = "/v1/models"

	countTokens = Messages + "/count_tokens"
)

// Driver is the target.Driver of providers.
type Driver struct {
	passthrough.Config
	Now func() time.Time
}

var (
	_ target.Driver  = Driver{}
	_ target.Checker = Driver{}
)

// Check implements target.Checker: only Amazon's own provider says itself which service the
// gateway's role signs for.
func (d Driver) Check(c *agentcorecontrol.TargetConfiguration, given *agentcorecontrol.CredentialProviderConfiguration) error {
	if c.Inference.Connector == nil || c.Inference.Connector.Source == nil || !target.PlainRole(given) {
		return nil
	}
	id := wire.Text(c.Inference.Connector.Source.ConnectorId)
	p, err := connector(id, "")
	if err == nil && p.service == "" {
		return fault.Invalid("credentialProviderConfigurations", "Inference connector '%s' takes no signature of the gateway's role: give its key, with API_KEY", id)
	}
	return nil
}

// Catalogue implements target.Driver: there are no tools.
func (d Driver) Catalogue(_ context.Context, s target.Source) (target.Catalogue, error) {
	_, err := d.provider(s)
	return target.Catalogue{}, err
}

// provider is how one is asked.
type provider struct {
	endpoint   *url.URL
	operations []operation
	// strip lets callers leave out what stands before the separator in models' names.
	strip     bool
	separator string
	// service is what the gateway's role signs for.
	service string
	bedrock bool
	// list is where the provider lists its models, or empty.
	list string
}

// operation is one path and the models that are asked there; none is any.
type operation struct {
	path, provider string
	models         []string
}

func (d Driver) provider(s target.Source) (p provider, err error) {
	switch {
	case s.Config == nil || s.Config.Inference == nil:
		return p, target.Unfitf("targetConfiguration.inference is missing")
	case s.Config.Inference.Connector != nil:
		c := s.Config.Inference.Connector
		if c.Source == nil {
			return p, target.Unfitf("targetConfiguration.inference.connector.source is missing")
		}
		return connector(wire.Text(c.Source.ConnectorId), s.Scope.Region)
	case s.Config.Inference.Provider == nil:
		return p, target.Unfitf("targetConfiguration.inference has neither connector nor provider")
	}
	in := s.Config.Inference.Provider
	if p.endpoint, err = passthrough.ParseEndpoint(wire.Text(in.Endpoint), "targetConfiguration.inference.provider.endpoint", d.AllowHTTP); err != nil {
		return p, err
	}
	p.separator = "."
	if m := in.ModelMapping; m != nil && m.ProviderPrefix != nil {
		p.strip = wire.True(m.ProviderPrefix.Strip)
		if sep := wire.Text(m.ProviderPrefix.Separator); sep != "" {
			p.separator = sep
		}
	}
	for _, o := range in.Operations {
		op := operation{path: wire.Text(o.Path), provider: wire.Text(o.ProviderPath)}
		if op.provider == "" {
			op.provider = op.path
		}
		for _, m := range o.Models {
			op.models = append(op.models, wire.Text(m.Model))
		}
		if op.path == Models {
			p.list = op.provider
			continue
		}
		p.operations = append(p.operations, op)
	}
	if len(in.Operations) == 0 {
		p.operations = plain([]string{Chat, Responses, Messages, countTokens})
	}
	return p, nil
}

// plain are operations whose path is the provider's own.
func plain(paths []string, models ...string) []operation {
	var out []operation
	for _, path := range paths {
		out = append(out, operation{path, path, models})
	}
	return out
}

// connector returns a provider that is known by name.
func connector(id, region string) (provider, error) {
	at := func(host string) *url.URL { return &url.URL{Scheme: "https", Host: host} }
	switch id {
	case "openai":
		return provider{endpoint: at("api.openai.com"), list: Models, separator: ".",
			operations: plain([]string{Chat, Responses, "/v1/embeddings"}, "gpt-*", "chatgpt-*", "o1*", "o3*", "o4*", "codex-*", "text-embedding-*")}, nil
	case "anthropic":
		return provider{endpoint: at("api.anthropic.com"), list: Models, separator: ".",
			operations: plain([]string{Messages, countTokens}, "claude-*")}, nil
	case "bedrock-mantle":
		var others []string
		for _, vendor := range []string{"ai21", "amazon", "cohere", "deepseek", "google", "meta", "minimax", "mistral", "moonshotai", "nvidia", "openai", "qwen", "writer", "xai", "zai"} {
			others = append(others, vendor+".*")
		}
		p := provider{endpoint: at("bedrock-mantle." + region + ".api.aws"), list: Models, separator: ".", strip: true, service: "bedrock-mantle", bedrock: true}
		p.operations = plain([]string{Chat, Responses}, others...)
		for _, path := range []string{Messages, countTokens} {
			p.operations = append(p.operations, operation{path, "/anthropic" + path, []string{"anthropic.*"}})
		}
		return p, nil
	}
	return provider{}, target.Unfitf("targetConfiguration.inference.connector.source.connectorId: there is no connector '%s'. There are bedrock-mantle, openai and anthropic; describe any other as inference.provider", id)
}

// Open implements target.Driver.
func (d Driver) Open(s target.Source, _ target.Catalogue) (target.Server, error) {
	p, err := d.provider(s)
	if err != nil {
		return nil, err
	}
	client, err := d.Client(s)
	if err != nil {
		return nil, err
	}
	out := &Server{
		provider: p, link: passthrough.NewLink(client, true), source: s, now: d.Now,
		asks: passthrough.Allowed(s.Metadata, []string{"Accept", "Content-Type", "Traceparent", "Tracestate", "Baggage", "Anthropic-Version", "Anthropic-Beta"}),
	}
	out.link.Returns = passthrough.Returned(s.Metadata, []string{"Content-Type", "Retry-After", "Retry-After-Ms", "X-Request-Id", "Request-Id", "X-Ratelimit-*", "Anthropic-Ratelimit-*", "X-Should-Retry"})
	if d.Credentials != nil {
		if out.link.Credentials, err = d.Credentials(s, p.service); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Server asks one provider.
type Server struct {
	target.Speechless
	provider
	link   *passthrough.Link
	source target.Source
	asks   []string
	now    func() time.Time

	mu     sync.Mutex
	listed []string // what the provider had, or why that is not known
	failed error
	until  time.Time // that is good
}

var (
	_ target.Web     = (*Server)(nil)
	_ target.Modeled = (*Server)(nil)
)

// Close implements target.Server.
func (s *Server) Close() error {
	return s.link.Close()
}

// Bedrock reports whether it is Amazon Bedrock, which goes before other targets with the
// same model.
func (s *Server) Bedrock() bool { return s.bedrock }

// Paths are those below /inference that it serves, but for the list of models.
func (s *Server) Paths() []string {
	out := make([]string, len(s.operations))
	for i, o := range s.operations {
		out[i] = o.path
	}
	return out
}

// anthropicVersion is what Anthropic's API wants to be told where the caller does not.
const anthropicVersion = "2023-06-01"

// Send implements target.Web. The request's path is one of the APIs', and its model the
// provider's own name.
func (s *Server) Send(ctx context.Context, in *target.Request) (*http.Response, error) {
	i := slices.IndexFunc(s.operations, func(o operation) bool { return o.path == in.Path })
	if i < 0 {
		return nil, target.Fail(target.Unroutable, nil, "Target %s does not serve %s", s.source.Name, in.Path)
	}
	body, err := in.Body.Bytes()
	if err != nil {
		return nil, err
	}
	if body, err = edit(body, in.Model, in.Usage && in.Path == Chat); err != nil {
		return nil, err
	}
	u, err := passthrough.Join(s.endpoint, s.operations[i].provider)
	if err != nil {
		return nil, err
	}
	if in.Query != "" {
		u.RawQuery = in.Query
	}
	r := &http.Request{Method: in.Method, URL: u, Host: u.Host, Header: passthrough.Header(in, s.asks), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if Anthropic(in.Path) && r.Header["Anthropic-Version"] == nil {
		r.Header["Anthropic-Version"] = []string{anthropicVersion}
	}
	sent := *in
	sent.Body = target.BodyOf(body)
	return s.link.Send(ctx, r, &sent)
}

// Anthropic reports whether a path is one of Anthropic's API.
func Anthropic(path string) bool { return path == Messages || strings.HasPrefix(path, Messages+"/") }
