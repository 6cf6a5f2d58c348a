package principal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/store"
)

// AccessKey is an access key of a user, without its secret.
type AccessKey struct {
	ID string
	// User is the name of whose it is.
	User    string
	Active  bool
	Created time.Time
	LastUse Use
}

// CreateAccessKey makes an access key of a user, who may have two. Nobody is told
// its secret again.
func (d *Directory) CreateAccessKey(ctx context.Context, user string) (AccessKey, Credentials, error) {
	id, err := newAccessKeyID(d.cfg.Rand, prefixLong)
	if err != nil {
		return AccessKey{}, Credentials{}, err
	}
	key, err := newSecretKey(d.cfg.Rand)
	if err != nil {
		return AccessKey{}, Credentials{}, err
	}
	sealed, err := d.cfg.Box.Seal(ctx, owner(d.account.ID, id), key.Bytes())
	if err != nil {
		return AccessKey{}, Credentials{}, err
	}
	made := AccessKey{ID: id, User: user, Active: true}
	err = d.update(ctx, func(tx store.Tx) error {
		u, err := d.lookup(tx, Holder{UserHolder, user})
		if err != nil {
			return err
		}
		have := 0
		for _, err := range accessKeys().Each(tx, everywhere(), u.ID) {
			if err != nil {
				return err
			}
			have++
		}
		if have >= MaxKeys {
			return limit("Cannot exceed quota for AccessKeysPerUser: %d", MaxKeys)
		}
		doc, err := accessKeys().Create(tx, store.Resource[none, keyState]{
			Scope: everywhere(), ID: id, Parent: u.ID, State: keyState{Account: d.account.ID, Kind: auth.User, Sealed: sealed},
		})
		made.Created = doc.Created
		return err
	})
	if err != nil {
		return AccessKey{}, Credentials{}, err
	}
	return made, Credentials{AccessKeyID: id, Secret: key}, nil
}

// AccessKeys returns the keys of a user, the oldest first.
func (d *Directory) AccessKeys(ctx context.Context, user string) (out []AccessKey, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		out = nil
		u, err := d.lookup(r, Holder{UserHolder, user})
		if err != nil {
			return err
		}
		for k, err := range accessKeys().Each(r, everywhere(), u.ID) {
			if err != nil {
				return err
			}
			use, err := lastUse(r, k.ID)
			if err != nil {
				return err
			}
			out = append(out, AccessKey{ID: k.ID, User: user, Active: !k.State.Inactive, Created: k.Created, LastUse: use})
		}
		return nil
	})
	return out, err
}

// FindAccessKey returns a user's key by its id alone.
func (d *Directory) FindAccessKey(ctx context.Context, id string) (out AccessKey, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		k, err := accessKeys().Get(r, everywhere(), id)
		if errors.Is(err, store.ErrNotFound) || err == nil && k.Parent == "" {
			return noSuchKey(id)
		}
		if err != nil {
			return err
		}
		u, err := holders(UserHolder).Get(r, d.scope(), k.Parent)
		if err != nil {
			return err
		}
		use, err := lastUse(r, id)
		out = AccessKey{ID: id, User: u.State.Name, Active: !k.State.Inactive, Created: k.Created, LastUse: use}
		return err
	})
	return out, err
}

// SetAccessKey makes a user's key active or inactive: an inactive one is as good as
// unknown.
func (d *Directory) SetAccessKey(ctx context.Context, user, id string, active bool) error {
	return d.withKey(ctx, user, id, func(tx store.Tx) error {
		_, err := accessKeys().Update(tx, everywhere(), id, func(k *store.Resource[none, keyState]) error {
			k.State.Inactive = !active
			return nil
		})
		return err
	})
}

// DeleteAccessKey deletes a user's key.
func (d *Directory) DeleteAccessKey(ctx context.Context, user, id string) error {
	return d.withKey(ctx, user, id, func(tx store.Tx) error {
		if err := tx.DeleteRow(useTable, []byte(id)); err != nil {
			return err
		}
		return accessKeys().Delete(tx, everywhere(), id)
	})
}

// withKey runs fn if the key is that user's.
func (d *Directory) withKey(ctx context.Context, user, id string, fn func(store.Tx) error) error {
	return d.update(ctx, func(tx store.Tx) error {
		u, err := d.lookup(tx, Holder{UserHolder, user})
		if err != nil {
			return err
		}
		k, err := accessKeys().Get(tx, everywhere(), id)
		if errors.Is(err, store.ErrNotFound) || err == nil && k.Parent != u.ID {
			return noSuchKey(id)
		}
		if err != nil {
			return err
		}
		return fn(tx)
	})
}

func noSuchKey(id string) error { return noSuch("The Access Key with id %s cannot be found.", id) }

// useTable has when keys and roles were used, by their id. It is apart from their
// documents, which caches hang on.
const useTable = "iam-last-use"

// useGrain is how exact that is: it is written at most this often.
const useGrain = 15 * time.Minute

func lastUse(r store.Reader, id string) (u Use, err error) {
	raw, err := r.Row(useTable, []byte(id))
	if errors.Is(err, store.ErrNotFound) {
		return u, nil
	}
	if err != nil {
		return u, err
	}
	if err := json.Unmarshal(raw, &u); err != nil {
		return u, fmt.Errorf("decode last use of %s: %w", id, err)
	}
	return u, nil
}

// Used notes that a principal was authenticated for a call of a service, at most
// once in a while. What cannot be written is lost: it is no reason to refuse a call.
func (d *Directory) Used(ctx context.Context, p auth.Principal, service, region string) {
	id := ""
	switch {
	case p.Kind == auth.User && p.Session == nil:
		id = p.ID
	case p.Kind == auth.AssumedRole:
		id = p.Entity // temporary keys have no record of their own
	}
	now := d.cfg.Now().UTC()
	if id == "" || !d.uses.due(id, now) {
		return
	}
	raw, err := json.Marshal(Use{Time: now.Truncate(time.Second), Region: region, Service: service})
	if err == nil {
		err = d.cfg.Store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error { return tx.PutRow(useTable, []byte(id), raw) })
	}
	if err != nil {
		d.uses.forget(id)
	}
}
