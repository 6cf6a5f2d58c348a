package app

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/outcrop/outcrop/internal/gateway/credential"
	"github.com/outcrop/outcrop/internal/gateway/inference"
	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// webDrivers reach the targets of gateways that are asked over HTTP. Agents of this
// server are called as any client calls them, so that nothing else than the target's
// credentials lets a gateway in.
func (s *Server) webDrivers(p *parts, client func(target.Source) (*http.Client, error)) map[target.Kind]target.Driver {
	always := func(context.Context, *url.URL) bool { return true }
	here := s.leadHome(&http.Client{}, always).Transport
	cfg := passthrough.Config{Client: client, AllowHTTP: true, Credentials: func(of target.Source, service string) (target.Credentials, error) {
		own := credential.Service{Name: service}
		if service != "" {
			own.Region = of.Scope.Region
		}
		return p.credentials.Of(of, own)
	}}
	providers := inference.Driver{Config: cfg, Now: time.Now}
	return map[target.Kind]target.Driver{
		passthrough.Kind:        passthrough.Driver{Config: cfg},
		inference.Kind:          providers,
		inference.ConnectorKind: providers,
		passthrough.RuntimeKind: passthrough.RuntimeDriver{Config: cfg, Runtimes: here},
	}
}
