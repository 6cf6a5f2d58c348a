package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	searchfront "github.com/outcrop/outcrop/internal/aws/websearch"
	"github.com/outcrop/outcrop/internal/gateway/connector"
	"github.com/outcrop/outcrop/internal/gateway/credential"
	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/rest"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/upstream"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/settings"
	"github.com/outcrop/outcrop/internal/websearch"
)

// connectorsName is the configuration of connectors in the data directory.
const connectorsName = "connectors.json"

// connectors are what the operator configured for targets that name a connector
// (docs/targets.md, Web search and other connectors).
type connectors struct {
	WebSearch  *websearch.Config           `json:"webSearch"`
	Connectors map[string]connector.Config `json:"connectors"`

	dir string // of the file: documents are found from there
}

// readConnectors reads the configuration of connectors: the file that was named, or that
// of the data directory if it is there. The server does not start with one that is wrong.
func readConnectors(cfg Config) (connectors, error) {
	var c connectors
	path := cmp.Or(cfg.Connectors, filepath.Join(cfg.DataDir, connectorsName))
	data, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) && cfg.Connectors == "" {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read configuration of connectors: %w", err)
	}
	err = settings.Decode(data, &c)
	if err == nil {
		var p settings.Problems
		if c.WebSearch != nil {
			c.WebSearch.Check("webSearch", &p)
		}
		connector.Check(c.Connectors, "connectors", &p)
		err = p.Err()
	}
	if err != nil {
		return c, fmt.Errorf("read configuration of connectors %s: %w", path, err)
	}
	c.dir = filepath.Dir(path)
	return c, nil
}

func host() settings.Host { return settings.Host{Getenv: os.Getenv, ReadFile: os.ReadFile} }

// openSearch makes what searches the web, nil where the operator has no provider of it.
func (s *Server) openSearch(c connectors) (searchfront.Searcher, error) {
	if c.WebSearch == nil {
		return nil, nil
	}
	out, err := s.cfg.outbound()
	if err != nil {
		return nil, err
	}
	client, err := opened(out, func(c *http.Client) *http.Client { return c }, c.WebSearch.URL)
	if err != nil {
		return nil, fmt.Errorf("read webSearch.url: %w", err)
	}
	reaching, err := client(target.Source{})
	if err != nil {
		return nil, err
	}
	found, err := websearch.New(*c.WebSearch, websearch.Options{Host: host(), Client: reaching, Now: time.Now})
	if err != nil {
		return nil, fmt.Errorf("read configuration of connectors: webSearch.%w", err)
	}
	s.closers = append(s.closers, func() error { found.Close(); return nil })
	return found, nil
}

// connectorDrivers reach what targets name by the id of a connector.
func (s *Server) connectorDrivers(p *parts, out outbound.Config, lead func(*http.Client) *http.Client, listening upstream.Listening) (map[target.Kind]target.Driver, error) {
	tools, endpoints := map[string]connector.Registered{}, map[string]connector.Endpoint{}
	for id, c := range p.connectors.Connectors {
		fail := func(err error) error {
			return fmt.Errorf("read configuration of connectors: connectors.%s.%w", id, err)
		}
		key, err := c.Read(host())
		if err != nil {
			return nil, fail(err)
		}
		named, _, _ := strings.Cut(c.URL, "{")
		client, err := opened(out, lead, named)
		if err != nil {
			return nil, fail(err)
		}
		credentials := connectorCredentials(p, c.Header, key)
		switch c.Type {
		case connector.TypeMCP:
			driver := upstream.New(upstream.Config{Client: client, Credentials: credentials, Version: s.cfg.Version, Listening: listening})
			tools[id] = connector.Registered{Driver: driver, As: func(of target.Source) target.Source {
				return connector.As(of, "MCP_SERVER", &agentcorecontrol.TargetConfiguration{Mcp: &agentcorecontrol.McpTargetConfiguration{
					McpServer: &agentcorecontrol.McpServerTargetConfiguration{Endpoint: &c.URL},
				}}, nil)
			}}
		case connector.TypeOpenAPI:
			path := c.Document
			if !filepath.IsAbs(path) {
				path = filepath.Join(p.connectors.dir, path)
			}
			document, err := os.ReadFile(path)
			if err != nil {
				return nil, fail(fmt.Errorf("document: %w", err))
			}
			driver := rest.OpenAPI{Config: rest.Config{Client: client, Credentials: credentials, AllowHTTP: true}}
			tools[id] = connector.Registered{Driver: driver, As: func(of target.Source) target.Source {
				return connector.As(of, rest.OpenAPIKind, &agentcorecontrol.TargetConfiguration{}, document)
			}}
		case connector.TypeHTTP:
			driver := passthrough.Driver{Config: passthrough.Config{Client: client, AllowHTTP: true, Credentials: func(of target.Source, _ string) (target.Credentials, error) { return credentials(of) }}}
			endpoints[id] = connector.Endpoint{URL: c.URL, Driver: driver, Kind: passthrough.Kind}
		}
	}
	var searcher connector.Searcher
	if p.search != nil {
		searcher = gatewaySearch{p.identity}
	}
	return map[target.Kind]target.Driver{
		connector.Kind:     connector.Driver{Search: searcher, Registered: tools},
		connector.HTTPKind: connector.HTTPDriver{Registered: endpoints},
	}, nil
}

// connectorCredentials are those of targets of one connector: their own, or the operator's.
func connectorCredentials(p *parts, header string, key secret.String) func(target.Source) (target.Credentials, error) {
	return func(of target.Source) (target.Credentials, error) {
		if of.Credential == nil && !key.Empty() {
			return connector.Key{Header: header, Value: key}, nil
		}
		return p.credentials.Of(of, credential.Service{})
	}
}

// gatewaySearch searches the web for gateways, as their roles and by the way of all calls.
type gatewaySearch struct{ identity *gatewayIdentity }

var _ connector.Searcher = gatewaySearch{}

// Search implements connector.Searcher.
func (g gatewaySearch) Search(ctx context.Context, s target.Source, q websearch.Query) ([]websearch.Result, error) {
	of := credential.Gateway{Scope: s.Scope, ID: s.Gateway, ARN: s.GatewayARN, Role: s.Role}
	who, err := g.identity.roles.principal(ctx, of)
	if err != nil {
		return nil, err
	}
	in := &agentcore.InvokeWebSearchInput{WebSearchId: new(searchfront.ID), SearchQuery: &q.Text, MaxResults: new(int32(q.Max)), Filters: &agentcore.WebSearchFilters{}}
	if len(q.Include)+len(q.Exclude) > 0 {
		in.Filters.DomainFilter = &agentcore.DomainFilter{Include: q.Include, Exclude: q.Exclude}
	}
	if !q.After.IsZero() || !q.Before.IsZero() {
		in.Filters.PublishedDateFilter = &agentcore.PublishedDateFilter{PublishedAfter: given(q.After), PublishedBefore: given(q.Before)}
	}
	out, _, err := act[*agentcore.InvokeWebSearchOutput](ctx, g.identity.pipeline.Load(), pipeline.Actor{Principal: who, Scope: s.Scope, For: s.GatewayARN}, &agentcore.Service, "InvokeWebSearch", in)
	if err != nil {
		return nil, err
	}
	var found []websearch.Result
	for _, r := range out.Results {
		one := websearch.Result{Text: wire.Text(r.Text), URL: wire.Text(r.Url), Title: wire.Text(r.Title)}
		if r.PublishedAt != nil {
			one.Published = *r.PublishedAt
		}
		found = append(found, one)
	}
	return found, nil
}

func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
