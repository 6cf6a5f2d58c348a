package app

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/awshost"
)

// reached tells by which address a request has come, scheme and host. At the name of the
// public URL, and at names of gateways, which have its port, that is the public URL's
// scheme: a request that comes through a proxy that ends TLS does not show it. Requests by
// other names have come as they seem.
func (s *Server) reached(p *parts) func(r *http.Request) string {
	own, chosen := s.gatewayHosts(), s.gatewayNames(p)
	return reached(s.cfg.PublicURL, func(host string) bool { return !awshost.Is(host) && cmp.Or(own(host), chosen(host)) != "" })
}

func reached(publicURL string, gateway func(host string) bool) func(r *http.Request) string {
	public, err := url.Parse(publicURL)
	behind := err == nil && public.Scheme == "https"
	return func(r *http.Request) string {
		at := url.URL{Scheme: "http", Host: r.Host}
		switch {
		case r.TLS != nil, behind && strings.EqualFold(r.Host, public.Host), behind && at.Port() == public.Port() && gateway(at.Hostname()):
			at.Scheme = "https"
		}
		return at.Scheme + "://" + r.Host
	}
}
