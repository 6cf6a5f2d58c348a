package issuer

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

// Settings are what an administrator decides about a pool.
type Settings struct {
	Name     string         `json:"name"`
	Password PasswordPolicy `json:"password"`
	// SignInBy are the attributes that stand for a user's name ("email",
	// "phone_number"); without any, users have names.
	SignInBy      []string `json:"signInBy,omitempty"`
	CaseSensitive bool     `json:"caseSensitive,omitempty"`
	// Schema are the attributes that users have beside the standard ones, by their
	// names with the prefix custom: or dev:custom:, and standard ones set apart.
	Schema map[string]Attribute `json:"schema,omitempty"`
	// AdminOnly: nobody signs up.
	AdminOnly bool `json:"adminOnly,omitempty"`
	// Protected pools are not deleted.
	Protected bool `json:"protected,omitempty"`
	// Registration lets clients register themselves.
	Registration Registration `json:"registration"`
	// Tags are those of the pool's ARN.
	Tags map[string]string `json:"tags,omitempty"`
	// Extra is what the front keeps of what has no effect here.
	Extra json.RawMessage `json:"extra,omitempty"`
}

// Registration says whether, and with what, clients register themselves (RFC 7591).
type Registration struct {
	Open bool `json:"open,omitempty"`
	// Scopes are those that such clients may ask for; none: those of OpenID
	// Connect.
	Scopes []string `json:"scopes,omitempty"`
}

// poolState is what the pool has beside its settings.
type poolState struct {
	// Domain is the prefix of the pool's host name below amazoncognito.com.
	Domain string `json:"domain,omitempty"`
	// DomainExtra is the front's.
	DomainExtra json.RawMessage `json:"domainExtra,omitempty"`
}

// Pool is one user pool.
type Pool struct {
	Settings
	Scope            store.Scope
	ID               string
	Domain           string
	Created, Updated time.Time
	domainExtra      json.RawMessage
}

func pool(r store.Resource[Settings, poolState]) Pool {
	return Pool{
		Settings: olderPool(r.Spec), Scope: r.Scope, ID: r.ID, Domain: r.State.Domain, domainExtra: r.State.DomainExtra,
		Created: r.Created, Updated: r.Updated,
	}
}

// ARN names the pool.
func (p Pool) ARN() string { return ARN(p.Scope, p.ID) }

// CreatePool makes a pool and its first signing key.
func (p *Pools) CreatePool(ctx context.Context, scope store.Scope, s Settings) (Pool, error) {
	if err := s.check(); err != nil {
		return Pool{}, err
	}
	tail, err := letters(p.cfg.Rand, mixed, poolIDSize)
	if err != nil {
		return Pool{}, err
	}
	id := scope.Region + "_" + tail
	key, err := p.keys.Make(ctx, scope, id)
	if err != nil {
		return Pool{}, err
	}
	var out Pool
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		r, err := pools().Create(tx, store.Resource[Settings, poolState]{Scope: scope, ID: id, Spec: s})
		if err != nil {
			return err
		}
		out = pool(r)
		if err := key.Write(tx); err != nil {
			return err
		}
		return putName(tx, poolName(id), place{Scope: scope, Pool: id})
	})
	if err != nil {
		return Pool{}, fmt.Errorf("create user pool: %w", err)
	}
	return out, nil
}

func (s Settings) check() error {
	if err := tag.Check(s.Tags); err != nil {
		return Invalid("%s", err.Error()).Because(err)
	}
	return s.Password.check()
}

// Pool returns the pool with an id, whoever's it is: those who sign in have no
// account. An id that is none is a refusal.
func (p *Pools) Pool(ctx context.Context, id string) (out Pool, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		out, err = findPool(r, id)
		return err
	})
	return out, err
}

// PoolOf returns the pool with an id in a scope; another's is not there.
func (p *Pools) PoolOf(ctx context.Context, scope store.Scope, id string) (out Pool, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		out, err = getPool(r, scope, id)
		return err
	})
	return out, err
}

func findPool(r store.Reader, id string) (Pool, error) {
	at, err := find(r, poolName(id))
	if err != nil {
		return Pool{}, missing(err, noPool(id))
	}
	return getPool(r, at.Scope, id)
}

func getPool(r store.Reader, scope store.Scope, id string) (Pool, error) {
	doc, err := pools().Get(r, scope, id)
	if err != nil {
		return Pool{}, missing(err, noPool(id))
	}
	return pool(doc), nil
}

// ListPools returns a page of a scope's pools.
func (p *Pools) ListPools(ctx context.Context, scope store.Scope, page store.Page) (out store.Listing[Pool], err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		docs, err := pools().List(r, scope, "", page)
		out = mapped(docs, pool)
		return err
	})
	return out, err
}

func mapped[A, B any](l store.Listing[A], f func(A) B) store.Listing[B] {
	out := store.Listing[B]{Items: make([]B, 0, len(l.Items)), Next: l.Next}
	for _, x := range l.Items {
		out.Items = append(out.Items, f(x))
	}
	return out
}

// UpdatePool lets change alter the settings of a pool.
func (p *Pools) UpdatePool(ctx context.Context, scope store.Scope, id string, change func(*Settings) error) (out Pool, err error) {
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := pools().Update(tx, scope, id, func(r *store.Resource[Settings, poolState]) error {
			r.Spec.Tags = maps.Clone(r.Spec.Tags)
			if err := change(&r.Spec); err != nil {
				return err
			}
			return r.Spec.check()
		})
		out = pool(doc)
		return missing(err, noPool(id))
	})
	return out, err
}

// DeletePool deletes a pool and all that is in it. Nobody signs in to it, and no
// token of it is good, from when it returns.
func (p *Pools) DeletePool(ctx context.Context, scope store.Scope, id string) error {
	err := p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := getPool(tx, scope, id)
		switch {
		case err != nil:
			return err
		case doc.Protected:
			return Invalid("The user pool cannot be deleted because deletion protection is activated. Deletion protection must be inactivated first.")
		case doc.Domain != "":
			return Invalid("User pool cannot be deleted. It has a domain configured that should be deleted first.")
		}
		if err := pools().Delete(tx, scope, id); err != nil {
			return err
		}
		for _, name := range [][]byte{poolName(id), decoyName(id)} {
			if err := tx.DeleteRow(names, name); err != nil {
				return err
			}
		}
		if err := putName(tx, goneName(id), place{Scope: scope, Pool: id}); err != nil {
			return err
		}
		_, err = purge(tx, scope, id) // its keys at least, so that whoever has them looks again
		return err
	})
	if err != nil {
		return err
	}
	return p.emptyPool(ctx, scope, id)
}

// purgeBatch bounds what one transaction deletes.
const purgeBatch = 500

// emptyPool deletes what was in a deleted pool, some at a time, and the note that
// says that it has to be done.
func (p *Pools) emptyPool(ctx context.Context, scope store.Scope, id string) error {
	p.keys.Forget(id)
	for more := true; more; {
		err := p.cfg.Store.Update(ctx, func(tx store.Tx) error {
			left, err := purge(tx, scope, id)
			more = left
			return err
		})
		if err != nil {
			return fmt.Errorf("empty user pool %s: %w", id, err)
		}
	}
	return nil
}

// purge deletes up to a batch of each kind and reports whether there may be more.
func purge(tx store.Tx, scope store.Scope, id string) (more bool, err error) {
	page := store.Page{Size: purgeBatch}
	for _, kind := range []string{keyKind, clients().Kind, users().Kind, resourceServers().Kind, groups().Kind} {
		docs, err := tx.Documents(scope, kind, id, page)
		if err != nil {
			return false, err
		}
		more = more || docs.Next != ""
		for _, d := range docs.Items {
			if kind == clients().Kind {
				if err := tx.DeleteRow(names, clientName(d.ID)); err != nil {
					return false, err
				}
			}
			if err := tx.DeleteDocument(d.Key); err != nil {
				return false, err
			}
		}
	}
	ofPool := store.Prefix([]byte(id + "/"))
	ofPool.Limit = purgeBatch
	for _, table := range []string{grants, members} {
		n, err := tx.DeleteRows(table, ofPool)
		if err != nil {
			return true, err
		}
		more = more || n == purgeBatch
	}
	if more {
		return true, nil
	}
	return false, tx.DeleteRow(names, goneName(id))
}

// finishDeletions goes on where a killed server stopped.
func (p *Pools) finishDeletions(ctx context.Context) error {
	var left []place
	err := p.cfg.Store.View(ctx, func(r store.Reader) error {
		left = nil
		for row, err := range r.Rows(names, store.Prefix(goneName(""))) {
			if err != nil {
				return err
			}
			var at place
			if err := json.Unmarshal(row.Value, &at); err != nil {
				return err
			}
			left = append(left, at)
		}
		return nil
	})
	for _, at := range left {
		if err == nil {
			err = p.emptyPool(ctx, at.Scope, at.Pool)
		}
	}
	return err
}
