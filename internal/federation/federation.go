// Package federation makes the account an issuer of its own: it signs tokens that say
// which principal has asked for one, so that services elsewhere let it in without a
// secret (AWS: outbound identity federation).
//
// The issuer has a name that is made once, below an address of this server, and keys
// for two algorithms. Both stay when it is switched off: tokens that are out are good
// until they expire.
package federation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/signingkey"
	"github.com/outcrop/outcrop/internal/store"
)

// Config is what an Issuer needs; all are required.
type Config struct {
	Store store.Store
	Box   *secret.Box
	// Rand is crypto/rand.Reader outside of tests.
	Rand io.Reader
	Now  func() time.Time
	// Account is whose principals get tokens.
	Account string
	// Identities know the tags of principals.
	Identities auth.Identities
	// Base is where services find this server: scheme and host. The issuer's name
	// begins with it.
	Base func() string
	Log  *slog.Logger
}

// Issuer is the account as an issuer. It is safe for concurrent use.
type Issuer struct {
	cfg  Config
	keys map[string]*signingkey.Keys // by algorithm
	// settings are read for each token, and for each that names an issuer here.
	settings store.Cache[string, settings]
}

// The algorithms that tokens are signed with.
const (
	RS256 = string(jose.RS256)
	ES384 = string(jose.ES384)
)

// New returns the issuer of an account.
func New(cfg Config) *Issuer {
	keys := signingkey.Config{Store: cfg.Store, Box: cfg.Box, Rand: cfg.Rand, Now: cfg.Now}
	return &Issuer{cfg: cfg, keys: map[string]*signingkey.Keys{
		RS256: signingkey.New(keys, "federation-key-rs256", jose.RS256), ES384: signingkey.New(keys, "federation-key-es384", jose.ES384),
	}}
}

// settings are what is stored; the document's id is the account.
type settings struct {
	// ID ends the issuer's name. It is random: nobody finds the account by it.
	ID      string `json:"id"`
	Enabled bool   `json:"enabled"`
}

type none struct{}

func documents() store.Collection[none, settings] {
	return store.Collection[none, settings]{Kind: "federation"}
}

func (i *Issuer) scope() store.Scope {
	return store.Scope{Account: i.cfg.Account, Region: store.Global}
}

// Path stands between the address of the server and the issuer's id.
const Path = "/_outcrop/tokens/"

func (i *Issuer) url(id string) string { return strings.TrimSuffix(i.cfg.Base(), "/") + Path + id }

// The refusals of IAM and STS.
const (
	CodeEnabled  = "FeatureEnabled"
	CodeDisabled = "FeatureDisabled"
)

func disabled() error {
	return fault.New(CodeDisabled, http.StatusNotFound, "Outbound web identity federation is not enabled for this account; enable it with iam:EnableOutboundWebIdentityFederation")
}

// read returns the settings; the zero value where it was never enabled.
func (i *Issuer) read(ctx context.Context) (s settings, err error) {
	if s, ok := i.settings.Get(i.cfg.Account); ok {
		return s, nil
	}
	watch := i.cfg.Store.Watch(documents().Topic())
	err = i.cfg.Store.View(ctx, func(r store.Reader) error {
		doc, err := documents().Get(r, i.scope(), i.cfg.Account)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		s = doc.State
		return err
	})
	if err != nil {
		return s, fmt.Errorf("read federation of %s: %w", i.cfg.Account, err)
	}
	i.settings.Put(i.cfg.Account, s, watch)
	return s, nil
}

// URL is the issuer's name, or FeatureDisabled.
func (i *Issuer) URL(ctx context.Context) (string, error) {
	s, err := i.read(ctx)
	if err != nil {
		return "", err
	}
	if !s.Enabled {
		return "", disabled()
	}
	return i.url(s.ID), nil
}

// Enable switches the issuer on and returns its name, the same always.
func (i *Issuer) Enable(ctx context.Context) (string, error) {
	s, err := i.read(ctx)
	if err != nil {
		return "", err
	}
	var drafts []signingkey.Draft
	if s.ID == "" {
		id, err := uuid.NewRandomFromReader(i.cfg.Rand)
		if err != nil {
			return "", fmt.Errorf("name issuer: %w", err)
		}
		s.ID = id.String()
		for _, keys := range i.keys {
			d, err := keys.Make(ctx, i.scope(), i.cfg.Account)
			if err != nil {
				return "", err
			}
			drafts = append(drafts, d)
		}
	}
	err = i.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := documents().Get(tx, i.scope(), i.cfg.Account)
		switch {
		case err == nil && doc.State.Enabled:
			return fault.New(CodeEnabled, http.StatusConflict, "Outbound web identity federation is already enabled for this account; GetOutboundWebIdentityFederationInfo returns its issuer URL")
		case err == nil:
			s.ID = doc.State.ID
			return i.set(tx, true)
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		for _, d := range drafts {
			if err := d.Write(tx); err != nil {
				return err
			}
		}
		_, err = documents().Create(tx, store.Resource[none, settings]{Scope: i.scope(), ID: i.cfg.Account, State: settings{ID: s.ID, Enabled: true}})
		return err
	})
	return i.url(s.ID), err
}

// Disable switches it off. Tokens that are out are good until they expire.
func (i *Issuer) Disable(ctx context.Context) error {
	return i.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := documents().Get(tx, i.scope(), i.cfg.Account)
		if errors.Is(err, store.ErrNotFound) || err == nil && !doc.State.Enabled {
			return disabled()
		}
		if err != nil {
			return err
		}
		return i.set(tx, false)
	})
}

func (i *Issuer) set(tx store.Tx, enabled bool) error {
	_, err := documents().Update(tx, i.scope(), i.cfg.Account, func(r *store.Resource[none, settings]) error {
		r.State.Enabled = enabled
		return nil
	})
	return err
}

// Document is the issuer's discovery document (OpenID Connect Discovery 1.0, 3).
type Document struct {
	Issuer     string   `json:"issuer"`
	JWKS       string   `json:"jwks_uri"`
	Types      []string `json:"response_types_supported"`
	Subjects   []string `json:"subject_types_supported"`
	Algorithms []string `json:"id_token_signing_alg_values_supported"`
	Claims     []string `json:"claims_supported"`
}

// Published returns what the issuer with an id shows to everybody, enabled or not; ok is
// false where there is none of that id.
func (i *Issuer) Published(ctx context.Context, id string) (d Document, keys jose.JSONWebKeySet, ok bool, err error) {
	s, err := i.read(ctx)
	if err != nil || s.ID == "" || s.ID != id {
		return d, keys, false, err
	}
	name := i.url(id)
	d = Document{
		Issuer: name, JWKS: name + "/.well-known/jwks.json", Types: []string{"id_token"}, Subjects: []string{"public"}, Algorithms: []string{ES384, RS256},
		Claims: []string{"iss", "sub", "aud", "iat", "exp", "jti", Namespace},
	}
	keys, err = i.public(ctx)
	return d, keys, err == nil, err
}

// Named returns the public keys of the issuer of a name; ok is false for the name of
// another.
func (i *Issuer) Named(ctx context.Context, name string) (keys jose.JSONWebKeySet, ok bool, err error) {
	s, err := i.read(ctx)
	if err != nil || s.ID == "" || i.url(s.ID) != name {
		return keys, false, err
	}
	keys, err = i.public(ctx)
	return keys, err == nil, err
}

func (i *Issuer) public(ctx context.Context) (out jose.JSONWebKeySet, err error) {
	err = i.cfg.Store.View(ctx, func(r store.Reader) error {
		out.Keys = nil
		for _, algorithm := range []string{ES384, RS256} {
			keys, err := i.keys[algorithm].Public(r, i.scope(), i.cfg.Account)
			if err != nil {
				return err
			}
			out.Keys = append(out.Keys, keys...)
		}
		return nil
	})
	return out, err
}

// sweepEvery is how often Run looks for work.
const sweepEvery = time.Hour

// Run gives the issuer new keys when it is time, until ctx ends.
func (i *Issuer) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := i.Sweep(ctx); err != nil && ctx.Err() == nil {
			i.cfg.Log.Warn("keys that sign tokens of the account are not rotated", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Sweep does once what Run does.
func (i *Issuer) Sweep(ctx context.Context) error {
	for _, keys := range i.keys {
		err := keys.Sweep(ctx, func(ctx context.Context, scope store.Scope, issuer string) error {
			return keys.Rotate(ctx, scope, issuer, func(store.Reader) error { return nil }) // it is never gone
		})
		if err != nil {
			return err
		}
	}
	return nil
}
