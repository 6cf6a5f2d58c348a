package oidc

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/issuer"
)

// face is one way to reach a pool.
type face struct {
	pool issuer.Pool
	// issuer is the pool's name there, base what stands before the paths of its
	// endpoints; base is empty where only documents are.
	issuer, base string
	// path is what is asked for, below the pool; cookies is the path of its cookies.
	path, cookies string
	secure        bool
}

// spot is where a request points, before anything is looked up.
type spot struct {
	poolID         string
	region, prefix string // of a domain
	path           string
	aws            bool
}

// The paths of documents that stand before the issuer's own (RFC 8414 3.1).
const wellKnown = "/.well-known/"

// locate reads host and path. Only documents are at cognito-idp's own host.
func locate(r *http.Request) (spot, bool) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if name, ok := awshost.Parse(host); ok {
		clean, _ := awshost.Clean(host)
		switch {
		case name.Service != "cognito-idp":
			return spot{}, false
		case strings.HasSuffix(clean, ".amazoncognito.com"):
			return spot{region: name.Region, prefix: name.Prefix, path: r.URL.Path, aws: true}, name.Prefix != ""
		}
		s, ok := below(r.URL.Path)
		s.aws = true
		return s, ok && strings.HasPrefix(s.path, wellKnown)
	}
	return below(r.URL.Path)
}

// below reads /POOL/PATH, and /.well-known/DOCUMENT/POOL.
func below(path string) (spot, bool) {
	if rest, ok := strings.CutPrefix(path, wellKnown); ok {
		document, poolID, _ := strings.Cut(rest, "/")
		known := document == "openid-configuration" || document == "oauth-authorization-server"
		return spot{poolID: poolID, path: wellKnown + document}, known && issuer.IsPoolID(poolID)
	}
	poolID, rest, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return spot{poolID: poolID, path: "/" + rest}, ok && issuer.IsPoolID(poolID)
}

// face looks the pool up. One that is not there is a refusal.
func (h *Handler) face(r *http.Request) (face, error) {
	at, ok := locate(r)
	if !ok {
		return face{}, issuer.Invalid("There is nothing at this path")
	}
	if at.prefix != "" {
		d, found, err := h.cfg.Pools.Domain(r.Context(), at.region, at.prefix)
		if err != nil {
			return face{}, err
		}
		if !found {
			return face{}, issuer.Invalid("There is no user pool at this name")
		}
		at.poolID = d.PoolID
	}
	p, err := h.cfg.Pools.Pool(r.Context(), at.poolID)
	if err != nil {
		return face{}, err
	}
	scheme, host, _ := strings.Cut(h.cfg.Base(r), "://")
	f := face{pool: p, path: at.path, secure: scheme == "https", cookies: "/"}
	if at.aws {
		f.issuer = issuer.Issuer(p.ID)
		if at.prefix != "" || p.Domain != "" {
			prefix := at.prefix
			if prefix == "" {
				prefix = p.Domain
			}
			f.base = "https://" + issuer.DomainHost(p.Scope.Region, prefix)
		}
		return f, nil
	}
	f.base = (&url.URL{Scheme: scheme, Host: host, Path: "/" + p.ID}).String()
	f.issuer, f.cookies = f.base, "/"+p.ID+"/"
	return f, nil
}
