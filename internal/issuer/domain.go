package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Domain is a prefix below amazoncognito.com by which a pool's authorization
// server is reached.
type Domain struct {
	Prefix  string
	PoolID  string
	Scope   store.Scope
	Extra   json.RawMessage
	Created time.Time
}

// Host is the whole name.
func (d Domain) Host() string { return DomainHost(d.Scope.Region, d.Prefix) }

// DomainHost is the host name of a prefix in a region.
func DomainHost(region, prefix string) string {
	return prefix + ".auth." + region + ".amazoncognito.com"
}

// CreateDomain gives a pool its prefix.
func (p *Pools) CreateDomain(ctx context.Context, scope store.Scope, poolID, prefix string, extra json.RawMessage) error {
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		of, err := getPool(tx, scope, poolID)
		if err != nil {
			return err
		}
		if of.Domain != "" {
			return Invalid("A domain already exists for this user pool: %s", of.Domain)
		}
		if _, err := find(tx, domainName(scope.Region, prefix)); err == nil {
			return Invalid("Domain already associated with another user pool.")
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if _, err := pools().Update(tx, scope, poolID, func(r *store.Resource[Settings, poolState]) error {
			r.State.Domain, r.State.DomainExtra = prefix, extra
			return nil
		}); err != nil {
			return err
		}
		return putName(tx, domainName(scope.Region, prefix), place{Scope: scope, Pool: poolID})
	})
}

// Domain returns the domain with a prefix in a region; none is no error.
func (p *Pools) Domain(ctx context.Context, region, prefix string) (d Domain, found bool, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		d, found = Domain{}, false
		at, err := find(r, domainName(region, prefix))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		of, err := getPool(r, at.Scope, at.Pool)
		d, found = Domain{Prefix: prefix, PoolID: at.Pool, Scope: at.Scope, Extra: of.domainExtra, Created: of.Created}, true
		return err
	})
	return d, found && err == nil, err
}

// DeleteDomain takes a pool's prefix away.
func (p *Pools) DeleteDomain(ctx context.Context, scope store.Scope, poolID, prefix string) error {
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		of, err := getPool(tx, scope, poolID)
		if err != nil {
			return err
		}
		if of.Domain != prefix || prefix == "" {
			return Invalid("No such domain or user pool exists.")
		}
		if _, err := pools().Update(tx, scope, poolID, func(r *store.Resource[Settings, poolState]) error {
			r.State = poolState{}
			return nil
		}); err != nil {
			return err
		}
		return tx.DeleteRow(names, domainName(scope.Region, prefix))
	})
}

// ResourceServer is an API with scopes of its own.
type ResourceServer struct {
	Identifier string        `json:"identifier"`
	Name       string        `json:"name"`
	Scopes     []ServerScope `json:"scopes,omitempty"`
}

// ServerScope is a scope of a resource server; a token has it as IDENTIFIER/NAME.
type ServerScope struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

func serverID(poolID, identifier string) string { return poolID + "/" + identifier }

func noServer(identifier string) error {
	return fault.BadRequest(CodeNotFound, "Resource server with identifier %s does not exist.", identifier)
}

// CreateServer makes a resource server of a pool.
func (p *Pools) CreateServer(ctx context.Context, scope store.Scope, poolID string, s ResourceServer) error {
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := getPool(tx, scope, poolID); err != nil {
			return err
		}
		_, err := resourceServers().Create(tx, store.Resource[ResourceServer, none]{Scope: scope, ID: serverID(poolID, s.Identifier), Parent: poolID, Spec: s})
		if isTaken(err) {
			return Invalid("%s already exists in user pool %s.", s.Identifier, poolID).Because(err)
		}
		return err
	})
}

// Server returns a resource server of a pool.
func (p *Pools) Server(ctx context.Context, scope store.Scope, poolID, identifier string) (out ResourceServer, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		if _, err := getPool(r, scope, poolID); err != nil {
			return err
		}
		doc, err := resourceServers().Get(r, scope, serverID(poolID, identifier))
		out = doc.Spec
		if errors.Is(err, store.ErrNotFound) {
			return noServer(identifier)
		}
		return err
	})
	return out, err
}

// ListServers returns a page of a pool's resource servers.
func (p *Pools) ListServers(ctx context.Context, scope store.Scope, poolID string, page store.Page) (out store.Listing[ResourceServer], err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		if _, err := getPool(r, scope, poolID); err != nil {
			return err
		}
		docs, err := resourceServers().List(r, scope, poolID, page)
		out = mapped(docs, func(r store.Resource[ResourceServer, none]) ResourceServer { return r.Spec })
		return err
	})
	return out, err
}

// UpdateServer changes the name and the scopes of a resource server.
func (p *Pools) UpdateServer(ctx context.Context, scope store.Scope, poolID string, s ResourceServer) error {
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := getPool(tx, scope, poolID); err != nil {
			return err
		}
		_, err := resourceServers().Update(tx, scope, serverID(poolID, s.Identifier), func(r *store.Resource[ResourceServer, none]) error {
			r.Spec = s
			return nil
		})
		if errors.Is(err, store.ErrNotFound) {
			return noServer(s.Identifier)
		}
		return err
	})
}

// DeleteServer deletes a resource server; clients keep its scopes by name, and get
// none of them any more.
func (p *Pools) DeleteServer(ctx context.Context, scope store.Scope, poolID, identifier string) error {
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := getPool(tx, scope, poolID); err != nil {
			return err
		}
		err := resourceServers().Delete(tx, scope, serverID(poolID, identifier))
		if errors.Is(err, store.ErrNotFound) {
			return noServer(identifier)
		}
		return err
	})
}

// CodeTarget refuses a resource that a client gets no token for (RFC 8707 2).
const CodeTarget = "InvalidTarget"

// CheckResources refuses resources that a client may not have in the audience of its
// tokens: who trusts a pool's tokens by their audience would let in any client of the
// pool. What is a resource server of the pool takes one of its scopes. Others, which it
// returns, are for tokens of users, who are there as the token is made; a client that
// signs in by itself gets none, and one that has registered itself those of this server
// alone, which the caller knows.
func (p *Pools) CheckResources(ctx context.Context, c Client, resources []string) (others []string, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		others = nil
		for _, name := range resources {
			_, err := resourceServers().Get(r, c.Scope, serverID(c.PoolID, name))
			scoped := func(scope string) bool { return scope[:max(0, strings.LastIndexByte(scope, '/'))] == name }
			switch known := err == nil; {
			case err != nil && !errors.Is(err, store.ErrNotFound):
				return err
			case known && !slices.ContainsFunc(c.Scopes, scoped):
				return fault.BadRequest(CodeTarget, "The client has no scope of the resource %s", name)
			case !known && slices.Contains(c.Grants, "client_credentials"):
				return fault.BadRequest(CodeTarget, "The resource %s is no resource server of the user pool", name)
			case !known:
				others = append(others, name)
			}
		}
		return nil
	})
	return others, err
}

// Granted returns which of the scopes asked for a client gets: those that it has
// and that still exist; all of them where none is asked for. One that it does not
// have is a refusal.
func (p *Pools) Granted(ctx context.Context, c Client, asked []string) (out []string, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		out = nil
		want := asked
		if len(want) == 0 {
			want = c.Scopes
		}
		for _, name := range want {
			if slices.Contains(out, name) {
				continue
			}
			if !slices.Contains(c.Scopes, name) {
				return fault.BadRequest(CodeScopeUnknown, "The client does not have the scope %q", name)
			}
			if !slices.Contains(StandardScopes(), name) {
				if err := knownScope(r, c.Scope, c.PoolID, name); err != nil {
					return err
				}
			}
			out = append(out, name)
		}
		return nil
	})
	return out, err
}
