package app

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/credential"
	"github.com/outcrop/outcrop/internal/gateway/rest"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/upstream"
	"github.com/outcrop/outcrop/internal/outbound"
)

// GatewayEndpoints are where the services are that gateways call and whose place the
// operator knows.
type GatewayEndpoints struct {
	// Smithy are the URLs of services of Smithy models, by the name that requests to them
	// are signed for, or by their shape id.
	Smithy map[string]string
	// APIGateway is the URL of an API that is API Gateway's, empty where there is none, and
	// Stage the pattern of its stages' URLs; empty is AWS's.
	APIGateway, Stage string
	// Resources are where resource configurations lead, by their id: what private
	// endpoints of targets name.
	Resources map[string]outbound.Via
}

// hasResource reports whether the operator has said where a resource configuration leads.
func (s *Server) hasResource(id string) bool {
	_, ok := s.cfg.GatewayEndpoints.Resources[id]
	return ok
}

// awsDrivers reach the targets of gateways that are services of AWS's kind: Smithy models
// and stages of API Gateway. lead has requests for this server come here.
func (s *Server) awsDrivers(p *parts, out outbound.Config, lead func(*http.Client) *http.Client) (map[target.Kind]target.Driver, error) {
	at := s.cfg.GatewayEndpoints
	services, err := opened(out, lead, slices.Collect(maps.Values(at.Smithy))...)
	if err != nil {
		return nil, fmt.Errorf("read --smithy-endpoint: %w", err)
	}
	stages, err := opened(out, lead, at.APIGateway, at.Stage)
	if err != nil {
		return nil, fmt.Errorf("read --api-gateway-endpoint and --api-gateway-stage-url: %w", err)
	}
	credentials := func(of target.Source) (target.Credentials, error) { return p.credentials.Of(of, credential.Service{}) }
	sign := func(of target.Source, at rest.Service) target.Credentials {
		return p.credentials.Role(of, credential.Service(at))
	}
	return map[target.Kind]target.Driver{
		rest.SmithyKind:     rest.Smithy{Config: rest.Config{Client: services, Credentials: credentials}, Endpoints: at.Smithy, Sign: sign},
		rest.APIGatewayKind: rest.APIGateway{Config: rest.Config{Client: stages, Credentials: credentials}, Endpoint: at.APIGateway, StageURL: at.Stage, Sign: sign},
	}, nil
}

// opened makes clients that reach what the operator named wherever it is, and beside it
// what other targets are reached at.
func opened(out outbound.Config, lead func(*http.Client) *http.Client, urls ...string) (func(target.Source) (*http.Client, error), error) {
	var named []*regexp.Regexp
	for _, text := range urls {
		if text == "" {
			continue
		}
		at, err := origin(text)
		if err != nil {
			return nil, err
		}
		named = append(named, at)
	}
	outward := upstream.HTTP(out, nil)
	return func(of target.Source) (*http.Client, error) {
		c, err := outward(of)
		if err != nil {
			return nil, err
		}
		c.Transport = &operators{named: named, next: c.Transport, direct: &http.Transport{
			DialContext:     (&net.Dialer{Timeout: outbound.DefaultTimeout}).DialContext,
			TLSClientConfig: &tls.Config{RootCAs: out.Roots}, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: maxOperatorsHeader, MaxIdleConnsPerHost: 64, IdleConnTimeout: idleHomeward,
		}}
		return lead(c), nil
	}, nil
}

// maxOperatorsHeader bounds the header of an answer, in bytes.
const maxOperatorsHeader = 64 << 10

// origin matches the scheme and host of URLs that a pattern stands for, whose names in
// braces are pieces of a host.
func origin(pattern string) (*regexp.Regexp, error) {
	scheme, rest, ok := strings.Cut(pattern, "://")
	host, _, _ := strings.Cut(rest, "/")
	if !ok || host == "" {
		return nil, fmt.Errorf("%s is no URL", pattern)
	}
	text := regexp.QuoteMeta(strings.ToLower(scheme + "://" + host))
	return regexp.Compile("^" + regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(text, "[a-z0-9_-]+") + "$")
}

// operators is a transport that reaches what the operator named without asking whether
// callers may have it called.
type operators struct {
	named  []*regexp.Regexp
	direct *http.Transport
	next   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (o *operators) RoundTrip(r *http.Request) (*http.Response, error) {
	at := strings.ToLower(r.URL.Scheme + "://" + r.URL.Host)
	if slices.ContainsFunc(o.named, func(p *regexp.Regexp) bool { return p.MatchString(at) }) {
		return o.direct.RoundTrip(r)
	}
	return o.next.RoundTrip(r)
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (o *operators) CloseIdleConnections() {
	o.direct.CloseIdleConnections()
	if c, ok := o.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
