// Package issuer owns user pools: who may sign in to one, with what password, by
// which app clients, and the keys that sign the tokens which say so.
//
// A pool belongs to an account and region and is named by its id alone, as are its
// clients: those who sign in have no credentials that would say an account. Each
// pool is an issuer under several names, that of AWS and that of each address by
// which this server is reached; the keys are the same, and who mints says which
// name a token bears.
//
// Passwords are hashed with argon2id; verifiers of SRP, signing keys and client secrets
// are sealed; refresh tokens, codes and browser sessions are stored as digests. All of
// it is in the store, so that a token is as good after a restart as before.
package issuer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/signingkey"
	"github.com/outcrop/outcrop/internal/store"
)

// Config is what Pools need; all are required.
type Config struct {
	Store store.Store
	Box   *secret.Box
	// Rand is crypto/rand.Reader outside of tests.
	Rand io.Reader
	Now  func() time.Time
	Log  *slog.Logger
}

// Pools are all user pools of a store. They are safe for concurrent use.
type Pools struct {
	cfg      Config
	attempts attempts
	hashing  chan struct{} // a place for each hash under way
	waiting  atomic.Int64  // who wants one
	signUps  *rate.Limiter
	keys     *signingkey.Keys
}

// New returns the pools of a store.
func New(cfg Config) *Pools {
	return &Pools{cfg: cfg, keys: newKeys(cfg), hashing: make(chan struct{}, maxHashing), signUps: rate.NewLimiter(2, 20)}
}

// sweepEvery is how often Run looks for work.
const sweepEvery = time.Hour

// Run finishes deletions that were cut short, takes away what has expired, and
// gives pools new signing keys, until ctx ends.
func (p *Pools) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := p.Sweep(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Log.Warn("user pools keep what has expired", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Sweep does once what Run does.
func (p *Pools) Sweep(ctx context.Context) error {
	if err := p.finishDeletions(ctx); err != nil {
		return fmt.Errorf("finish deletions of user pools: %w", err)
	}
	if err := p.dropExpired(ctx); err != nil {
		return fmt.Errorf("drop expired tokens: %w", err)
	}
	if err := p.rotateKeys(ctx); err != nil {
		return fmt.Errorf("rotate signing keys: %w", err)
	}
	return nil
}

// The kinds of documents, all in the scope of their pool.
func pools() store.Collection[Settings, poolState] {
	return store.Collection[Settings, poolState]{Kind: "user-pool"}
}

func clients() store.Collection[ClientSettings, clientState] {
	return store.Collection[ClientSettings, clientState]{Kind: "user-pool-client"}
}

func users() store.Collection[userSpec, userState] {
	return store.Collection[userSpec, userState]{Kind: "user-pool-user"}
}

func groups() store.Collection[GroupSettings, none] {
	return store.Collection[GroupSettings, none]{Kind: "user-pool-group"}
}

func resourceServers() store.Collection[ResourceServer, none] {
	return store.Collection[ResourceServer, none]{Kind: "user-pool-resource-server"}
}

type none struct{}

// The tables of rows.
const (
	// names says the scope of what is named without one: "pool/ID", "client/ID",
	// "domain/REGION/PREFIX", and "gone/POOL" for a pool whose deletion is under way. Under
	// "decoy/POOL" is a sealed key.
	names = "issuer-names"
	// grants holds what expires, each key beginning with its pool's id and a slash.
	grants = "issuer-grants"
	// members says who is in which group, each key beginning as those of grants.
	members = "issuer-members"
)
