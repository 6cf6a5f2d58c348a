package issuer

import (
	"context"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/signingkey"
	"github.com/outcrop/outcrop/internal/store"
)

// keyKind is that of the pools' signing keys, which are RSA for RS256, as Cognito's.
const keyKind = "user-pool-key"

// newKeys returns the signing keys of all pools.
func newKeys(cfg Config) *signingkey.Keys {
	return signingkey.New(signingkey.Config{Store: cfg.Store, Box: cfg.Box, Rand: cfg.Rand, Now: cfg.Now}, keyKind, jose.RS256)
}

// KeyTopic changes when a pool has another signing key, or is no more.
func KeyTopic() store.Topic { return store.DocumentTopic(keyKind) }

// Keys returns the public keys of a pool: the one that signs, and those whose
// tokens may still be good.
func (p *Pools) Keys(ctx context.Context, poolID string) (out jose.JSONWebKeySet, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		in, err := findPool(r, poolID)
		if err != nil {
			return err
		}
		out.Keys, err = p.keys.Public(r, in.Scope, in.ID)
		if err == nil && len(out.Keys) == 0 {
			err = fmt.Errorf("read signing keys of %s: %w", in.ID, store.ErrNotFound)
		}
		return err
	})
	return out, err
}

// RotateKey gives a pool another signing key at once. The old one verifies what it
// signed until that has expired.
func (p *Pools) RotateKey(ctx context.Context, in Pool) error {
	return p.keys.Rotate(ctx, in.Scope, in.ID, func(r store.Reader) error {
		_, err := getPool(r, in.Scope, in.ID)
		return err
	})
}

// rotateKeys rotates those that are due and drops those that nothing needs.
func (p *Pools) rotateKeys(ctx context.Context) error {
	return p.keys.Sweep(ctx, func(ctx context.Context, scope store.Scope, poolID string) error {
		if err := p.RotateKey(ctx, Pool{Scope: scope, ID: poolID}); !isGone(err) {
			return err
		}
		return nil
	})
}
