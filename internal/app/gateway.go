package app

import (
	"cmp"
	"context"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/credential"
	gatewayinvoke "github.com/outcrop/outcrop/internal/gateway/invoke"
	"github.com/outcrop/outcrop/internal/gateway/mcp"
	"github.com/outcrop/outcrop/internal/gateway/route"
	"github.com/outcrop/outcrop/internal/gateway/search"
	"github.com/outcrop/outcrop/internal/store"
)

// openGateways makes what keeps gateways, and what answers their callers.
func (s *Server) openGateways(p *parts) (err error) {
	finding := search.Config{Log: s.cfg.Log, Now: time.Now}
	if embedder, ok := p.models.Embedder(); ok {
		finding.Embedder = embedder
	}
	vectors := search.NewVectors(finding)
	if p.gateways, err = s.newGateways(p, vectors); err != nil {
		return err
	}
	s.closers = append(s.closers, p.gateways.Close)
	roles := p.identity.roles
	roles.acts = func(ctx context.Context, g credential.Gateway) (bool, error) {
		return p.gateways.ActsAs(ctx, g.Scope, g.ID, g.Role)
	}
	s.background = append(s.background, func(ctx context.Context) error { return roles.watch(ctx, p.gateways.Changed) })
	functions := gatewayFunctions{p.identity}
	router := route.New(route.Config{Now: time.Now, Log: s.cfg.Log, Functions: functions})
	endpoint := mcp.New(mcp.Config{
		Box: p.box, Now: time.Now, Log: s.cfg.Log, Limiter: router, Functions: functions, Changed: p.gateways.Changed, Latest: p.gateways.View,
	})
	named, chosen := s.gatewayHosts(), s.gatewayNames(p)
	p.callers = gatewayinvoke.New(gatewayinvoke.Config{Gateways: p.gateways, Door: p.door, MCP: endpoint, Router: router, Pages: s.ourPages, Ours: func(host string) bool { return s.ours(host) || named(host) != "" || chosen(host) != "" }})
	s.background = append(s.background, vectors.Run, func(ctx context.Context) error {
		if err := p.gateways.AskRefused(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "targets whose address may be open now stay as they are", "error", err)
		}
		return nil
	})
	s.hush = func() {
		p.invoker.Hush()
		endpoint.Hush()
	}
	return nil
}

// ours reports whether a host name is one of this server's: that of this machine for
// itself, one that the operator gave it, or one of AWS's that leads here.
func (s *Server) ours(host string) bool {
	host = strings.TrimSuffix(host, ".")
	return s.ourPages(host) || awshost.Is(host)
}

// doors are those of resources that say themselves who calls them: each knows the
// callers of its own.
type doors struct{ runtimes, gateways pipeline.Inbound }

func (d doors) of(k pipeline.Knock) pipeline.Inbound {
	if k.Label(gatewayinvoke.GatewayLabel) != "" {
		return d.gateways
	}
	return d.runtimes
}

// Admit implements pipeline.Inbound.
func (d doors) Admit(ctx context.Context, k pipeline.Knock) (pipeline.Admission, error) {
	return d.of(k).Admit(ctx, k)
}

// Signed implements pipeline.Inbound.
func (d doors) Signed(ctx context.Context, k pipeline.Knock, scope store.Scope) error {
	return d.of(k).Signed(ctx, k, scope)
}

// gatewayHosts tells which host names are a gateway's of this server.
func (s *Server) gatewayHosts() func(host string) string {
	return gatewayHosts("localhost", strings.ToLower(s.cfg.GatewayDomain))
}

// gatewayNames tells which host names gateways' owners gave them.
func (s *Server) gatewayNames(p *parts) func(host string) string {
	return func(host string) string {
		if s.reserved(host) {
			return ""
		}
		id, err := p.gateways.Host(context.Background(), strings.ToLower(strings.TrimSuffix(host, ".")))
		if err != nil || id == "" {
			return "" // the store is gone: whatever is asked for says so
		}
		return gatewayinvoke.Prefix + id
	}
}

// gatewayAt tells at which gateway's MCP endpoint a URL is, by any of its names.
func (s *Server) gatewayAt(p *parts) func(context.Context, *url.URL) string {
	home, own, chosen := s.leadsHome(p), s.gatewayHosts(), s.gatewayNames(p)
	return func(ctx context.Context, u *url.URL) string {
		public, err := url.Parse(s.publicURL())
		ourPort := u.Port() == "" || u.Port() == p.kept.port || err == nil && u.Port() == public.Port()
		path := ""
		if home(ctx, u) {
			path = own(u.Hostname()) + u.Path
		} else if prefix := chosen(u.Hostname()); prefix != "" && ourPort {
			path = prefix + u.Path
		}
		rest, is := strings.CutPrefix(path, gatewayinvoke.Prefix)
		id, rest, _ := strings.Cut(strings.TrimRight(rest, "/"), "/")
		if !is || rest != "" && "/"+rest != gateway.MCPPath {
			return ""
		}
		return id
	}
}

// served tells which URLs are resources of this server.
func (s *Server) served(p *parts) served {
	own, chosen := s.gatewayHosts(), s.gatewayNames(p)
	return served{s.publicURL, p.kept.reaches, func(host string) string { return cmp.Or(own(host), chosen(host)) }, p.invoker.Guards, p.callers.Guards}
}

// reserved reports whether a host name is one that no gateway's owner may choose.
func (s *Server) reserved(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	domain := strings.ToLower(s.cfg.GatewayDomain)
	return err == nil || s.ours(host) || domain != "" && (host == domain || strings.HasSuffix(host, "."+domain))
}

// ourPages reports whether a page of a host is this server's own, or of this machine.
func (s *Server) ourPages(host string) bool {
	host = strings.ToLower(host)
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return addr.IsLoopback()
	}
	u, err := url.Parse(s.publicURL())
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && host == strings.ToLower(u.Hostname())
}

// gatewayHosts tells which host names are a gateway's: those that AWS gives them, and
// those below names of this server's.
func gatewayHosts(domains ...string) func(host string) string {
	return func(host string) string {
		host = strings.ToLower(strings.TrimSuffix(host, "."))
		n, _ := awshost.Parse(host)
		id, ok := n.Prefix, n.Service == "bedrock-agentcore"
		for _, domain := range domains {
			if below, is := strings.CutSuffix(host, gateway.HostInfix+domain); is && domain != "" {
				id, ok = below, true
			}
		}
		if !ok || id == "" || strings.ContainsAny(id, "./") {
			return ""
		}
		return strings.TrimSuffix(gatewayinvoke.Prefix, "/") + "/" + id
	}
}
