package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/identity/vendor"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/outbound"
	consentportal "github.com/outcrop/outcrop/internal/portal"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secretstore"
	"github.com/outcrop/outcrop/internal/store"
)

// vendorsName is the operator's table of OAuth vendors in the data directory.
const vendorsName = "oauth-vendors.json"

// openIdentity makes the Identity service.
func (s *Server) openIdentity(p *parts) (*identity.Service, error) {
	out, err := s.cfg.outbound()
	if err != nil {
		return nil, err
	}
	home := s.namedHome(p)
	client := s.leadHome(outbound.New(out), home) // a pool's own name is that which its tokens bear
	s.closers = append(s.closers, func() error { client.CloseIdleConnections(); return nil })
	vendors, err := vendorTable(s.cfg)
	if err != nil {
		return nil, err
	}
	local := s.localIssuer(p.foundation, p.pools)
	return identity.New(identity.Config{
		Store: p.store, Tokens: p.door.Workloads, Verifier: p.door.Verifier, Secrets: identitySecrets{p.secrets}, Keys: identityKeys{p.keys}, Box: p.box, CallerTokens: p.tokens,
		HTTP: client, Bundles: bundles{p}, Vendors: vendors,
		Trusting: func(bundle []byte) (*http.Client, error) {
			mine := out
			var err error
			if mine.Roots, err = outbound.Trusting(out.Roots, bundle); err != nil {
				return nil, err
			}
			return s.leadHome(outbound.New(mine), home), nil
		},
		Public: s.publicURL, Strict: s.cfg.Strict, Log: s.cfg.Log, Now: time.Now,
		Authorized: func(ctx context.Context, scope store.Scope, workload, user string) error {
			if !strings.HasPrefix(user, workload) { // a gateway's identity has its id for a name
				return nil
			}
			return p.gateways.Authorized(ctx, scope, user)
		},
		SameIssuer: sameIssuer(local),
		Portal: func(ctx context.Context, gatewayARN string) (identity.Portal, error) {
			at, err := p.portals.Of(ctx, gatewayARN)
			if err != nil || at == "" {
				return identity.Portal{}, err
			}
			return identity.Portal{Begin: at + consentportal.BeginPath, Return: at + consentportal.ReturnPath}, nil
		},
		Trusted: trusted(s.cfg, local),
	}), nil
}

// trusted tells whose tokens stand for the users of agents: those of the issuers that
// the operator names and of this server's own pools; without names those of anybody, but
// where the server is strict (spec/identity.md 4.2).
func trusted(cfg Config, local func(context.Context, string) (jwt.Local, bool, error)) func(context.Context, string, string) (bool, error) {
	if len(cfg.TrustedIssuers) == 0 && !cfg.Strict {
		return nil
	}
	return func(ctx context.Context, issuer, discoveryURL string) (bool, error) {
		if slices.Contains(cfg.TrustedIssuers, issuer) {
			return true, nil
		}
		_, ok, err := local(ctx, discoveryURL)
		return ok, err
	}
}

// sameIssuer knows the user pools of this server, each by AWS's name for it: whoever signs in
// at a page of this server has tokens by another name than a program that asks the API.
func sameIssuer(local func(context.Context, string) (jwt.Local, bool, error)) func(context.Context, string) (string, error) {
	return func(ctx context.Context, name string) (string, error) {
		at, ok := jwt.DiscoveryURL(name)
		if !ok {
			return name, nil
		}
		if _, ok, err := local(ctx, at); err != nil || !ok {
			return name, err
		}
		return issuer.Issuer(name[strings.LastIndexByte(name, '/')+1:]), nil
	}
}

// vendorTable is the published table with the operator's own entries.
func vendorTable(cfg Config) (vendor.Table, error) {
	table, err := vendor.Published()
	if err != nil {
		return nil, err
	}
	path := cfg.OAuthVendors
	if path == "" {
		path = filepath.Join(cfg.DataDir, vendorsName)
	}
	file, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && cfg.OAuthVendors == "" {
		return table, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read table of OAuth vendors: %w", err)
	}
	if table, err = table.With(file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return table, nil
}

// publicURL is where browsers find the server: as the operator says, or on its first
// listener.
func (s *Server) publicURL() string {
	if s.cfg.PublicURL != "" {
		return strings.TrimSuffix(s.cfg.PublicURL, "/")
	}
	if bases := s.bases(); len(bases) > 0 {
		return bases[0]
	}
	return "http://localhost"
}

// identityKeys shows the keys of accounts to the services that seal and sign with them.
type identityKeys struct{ keys *key.Keys }

func (k identityKeys) ref(scope store.Scope, arn string) key.Ref {
	_, id, _ := strings.Cut(arn, ":key/")
	return key.Ref{Scope: scope, ID: id}
}

// Box implements identity.Keys.
func (k identityKeys) Box(ctx context.Context, scope store.Scope, name string) (*secret.Box, string, error) {
	box, ref, err := k.keys.Box(ctx, scope, name)
	return box, ref.ARN(), err
}

// Gone implements identity.Keys.
func (k identityKeys) Gone(ctx context.Context, scope store.Scope, arn string) (bool, error) {
	return k.keys.Gone(ctx, k.ref(scope, arn))
}

// CheckSigner implements identity.Keys.
func (k identityKeys) CheckSigner(ctx context.Context, scope store.Scope, arn, algorithm string) error {
	found, err := k.keys.Get(ctx, k.ref(scope, arn))
	if err != nil {
		return err
	}
	return found.CheckJWS(algorithm)
}

// Sign implements identity.Keys.
func (k identityKeys) Sign(ctx context.Context, scope store.Scope, arn, algorithm string, input []byte) ([]byte, error) {
	return k.keys.SignJWS(ctx, k.ref(scope, arn), algorithm, input)
}

// identitySecrets shows the secrets of accounts to the Identity service.
type identitySecrets struct{ secrets *secretstore.Secrets }

func written(d *secretstore.Draft) identity.WriteSecret {
	return func(tx store.Tx) (string, error) {
		made, err := d.Write(tx)
		return made.ARN(), err
	}
}

// Make implements identity.Secrets.
func (s identitySecrets) Make(ctx context.Context, scope store.Scope, name string, value secret.String) (identity.WriteSecret, error) {
	d, err := s.secrets.NewManaged(ctx, scope, secretstore.IdentityService, name, value)
	if err != nil {
		return nil, err
	}
	return written(d), nil
}

// Rotate implements identity.Secrets.
func (s identitySecrets) Rotate(ctx context.Context, scope store.Scope, arn string, value secret.String) (identity.WriteSecret, error) {
	d, err := s.secrets.RotateManaged(ctx, scope, secretstore.IdentityService, arn, value)
	if err != nil {
		return nil, err
	}
	return written(d), nil
}

// Drop implements identity.Secrets.
func (s identitySecrets) Drop(tx store.Tx, scope store.Scope, arn string) error {
	return s.secrets.DeleteManaged(tx, scope, secretstore.IdentityService, arn)
}

// Find implements identity.Secrets.
func (s identitySecrets) Find(ctx context.Context, scope store.Scope, id string) (string, error) {
	found, err := s.secrets.Find(ctx, scope, id)
	if secretstore.IsNotFound(err) {
		err = fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return found.ARN(), err
}

// Key implements identity.Secrets.
func (s identitySecrets) Key(ctx context.Context, scope store.Scope, arn string) (string, error) {
	found, err := s.secrets.Find(ctx, scope, arn)
	if secretstore.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if v, err := found.Version("", ""); err == nil {
		return v.Key, nil
	}
	return "", nil // reading it says that it has no value
}

// Member implements identity.Secrets.
func (s identitySecrets) Member(ctx context.Context, scope store.Scope, arn, member string) (secret.String, error) {
	value, _, err := s.secrets.Member(ctx, scope, arn, member)
	return value, err
}

var (
	_ identity.Keys    = identityKeys{}
	_ identity.Secrets = identitySecrets{}
)
