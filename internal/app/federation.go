package app

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	stsfront "github.com/outcrop/outcrop/internal/aws/sts"
	"github.com/outcrop/outcrop/internal/federation"
)

// stsFront is the front of STS.
func (s *Server) stsFront(p *parts) *stsfront.Service {
	pools := s.localIssuer(p.foundation, p.pools)
	return stsfront.New(stsfront.Config{
		Sessions: p.directory, Providers: p.directory, Issuers: p.door.Verifier, Tokens: p.tokens, Region: s.region, Now: time.Now,
		Names: func(ctx context.Context, issuer string) ([]string, error) {
			at, ok := jwt.DiscoveryURL(issuer)
			if !ok {
				return nil, nil
			}
			l, ok, err := pools(ctx, at)
			if err != nil || !ok {
				return nil, err
			}
			return append([]string{l.Issuer}, l.Also...), nil
		},
		Standing: func(ctx context.Context, t *jwt.Token) error {
			return p.pools.CheckStanding(ctx, t.Issuer, t.Claims)
		},
	})
}

// ownIssuers answers for the issuers that this server is, user pools and the account.
func (s *Server) ownIssuers(p *parts) func(context.Context, string) (jwt.Local, bool, error) {
	pools := s.localIssuer(p.foundation, p.pools)
	return func(ctx context.Context, discoveryURL string) (jwt.Local, bool, error) {
		name, ok := strings.CutSuffix(discoveryURL, "/.well-known/openid-configuration")
		if !ok || !strings.Contains(name, federation.Path) {
			return pools(ctx, discoveryURL)
		}
		keys, ok, err := p.tokens.Named(ctx, name)
		if err != nil || !ok {
			return jwt.Local{}, false, err
		}
		text, err := json.Marshal(keys)
		return jwt.Local{Issuer: name, Keys: text}, err == nil, err
	}
}

// trees are several trees of paths that need no credentials.
type trees []pipeline.Tree

var _ pipeline.Tree = trees(nil)

// Serves reports whether a request is for one of them.
func (t trees) Serves(r *http.Request) bool { return t.of(r) != nil }

// ServeHTTP hands it on.
func (t trees) ServeHTTP(w http.ResponseWriter, r *http.Request) { t.of(r).ServeHTTP(w, r) }

func (t trees) of(r *http.Request) pipeline.Tree {
	for _, one := range t {
		if one.Serves(r) {
			return one
		}
	}
	return nil
}
