// Package principal owns who there is: the account, its users, groups and roles,
// their policies and access keys; and the sessions of roles and users, whose
// temporary credentials it makes and knows again.
//
// At the first start it makes one account and that account's root access key.
// Secrets are sealed (package secret) before they are stored. It is the KeySource
// that signatures are verified against, and tells an auth.Authorizer what policies
// each principal has. What it refuses is a fault.Error with IAM's code.
package principal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Credentials are what a client signs with.
type Credentials struct {
	AccessKeyID string
	Secret      secret.String
	// SessionToken belongs to temporary credentials and is empty for others.
	SessionToken secret.String
	// Issued and Expires are when temporary credentials begin and end; zero
	// means never.
	Issued, Expires time.Time
}

// Account is the account of this installation.
type Account struct {
	ID string
	// Root is the id of the root access key.
	Root string
}

// accountState is what is stored of an account.
type accountState struct {
	RootKey string `json:"rootKey"`
}

// keyState is what is stored of an access key.
type keyState struct {
	Account string `json:"account"`
	// ARN is the root's; a user's key has the user for its parent.
	ARN  string    `json:"arn,omitempty"`
	Kind auth.Kind `json:"kind"`
	// Sealed is the secret access key.
	Sealed []byte `json:"sealed"`
	// Inactive keys are as good as unknown.
	Inactive bool `json:"inactive,omitempty"`
}

type none struct{}

// changes wakes those who keep what they made of entities; see update.
const changes = store.Topic("iam")

// update runs fn in a transaction that changes entities.
func (d *Directory) update(ctx context.Context, fn func(store.Tx) error) error {
	return d.cfg.Store.Update(ctx, func(tx store.Tx) error {
		tx.Touch(changes)
		tx.Touch(accessKeys().Topic()) // keys stand for users
		return fn(tx)
	})
}

// everywhere is the scope of both kinds: a signature names its key, not the
// account.
func everywhere() store.Scope { return store.Scope{Account: store.Global, Region: store.Global} }

func accounts() store.Collection[none, accountState] {
	return store.Collection[none, accountState]{Kind: "account"}
}

func accessKeys() store.Collection[none, keyState] {
	return store.Collection[none, keyState]{Kind: "access-key"}
}

// owner binds a sealed secret to its key.
func owner(account, keyID string) secret.Owner {
	return secret.Owner{Scope: account, Kind: "access-key", ID: keyID}
}

// Config is what a Directory needs; all are required.
type Config struct {
	Store store.Store
	Box   *secret.Box
	// Rand is crypto/rand.Reader outside of tests.
	Rand io.Reader
	Now  func() time.Time
}

// Directory knows the account and its access keys. It is safe for concurrent use.
type Directory struct {
	cfg       Config
	account   Account
	keys      store.Cache[string, entry]
	known     store.Cache[string, *known]
	managed   store.Cache[string, *policy.Document]
	documents documents
	uses      uses
	sessions  living
}

// Open returns the Directory of a store, which gets its account and root access
// key if it has none; created reports that. It fails when the root key's secret
// cannot be opened: then the key file is another than the data was made with.
func Open(ctx context.Context, cfg Config) (d *Directory, created bool, err error) {
	d = &Directory{cfg: cfg}
	found, err := d.load(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("open account: %w", err)
	}
	if !found {
		if created, err = d.create(ctx); err != nil {
			return nil, false, fmt.Errorf("create account: %w", err)
		}
	}
	if _, err := d.Root(ctx); err != nil {
		return nil, false, fmt.Errorf("open account %s: %w", d.account.ID, err)
	}
	return d, created, nil
}

// Account returns the account.
func (d *Directory) Account() Account { return d.account }

// Root returns the root access key, for whoever may read the data directory.
func (d *Directory) Root(ctx context.Context) (Credentials, error) {
	e, err := d.read(ctx, d.account.Root)
	if err != nil {
		return Credentials{}, fmt.Errorf("read root access key: %w", err)
	}
	return Credentials{AccessKeyID: d.account.Root, Secret: e.secret}, nil
}

// load finds the account that is there.
func (d *Directory) load(ctx context.Context) (found bool, err error) {
	err = d.cfg.Store.View(ctx, func(r store.Reader) error {
		d.account, found, err = firstAccount(r)
		return err
	})
	return found, err
}

func firstAccount(r store.Reader) (Account, bool, error) {
	page, err := accounts().List(r, everywhere(), "", store.Page{Size: 1})
	if err != nil || len(page.Items) == 0 {
		return Account{}, false, err
	}
	return Account{ID: page.Items[0].ID, Root: page.Items[0].State.RootKey}, true, nil
}

// create makes the account, its root key and AgentRole in one transaction, unless another
// process has just done so.
func (d *Directory) create(ctx context.Context) (created bool, err error) {
	id, err := NewAccountID(d.cfg.Rand)
	if err != nil {
		return false, err
	}
	keyID, err := newAccessKeyID(d.cfg.Rand, prefixLong)
	if err != nil {
		return false, err
	}
	key, err := newSecretKey(d.cfg.Rand)
	if err != nil {
		return false, err
	}
	sealed, err := d.cfg.Box.Seal(ctx, owner(id, keyID), key.Bytes())
	if err != nil {
		return false, err
	}
	roleID, err := newUniqueID(d.cfg.Rand, RoleHolder.rules().prefix)
	if err != nil {
		return false, err
	}
	err = d.cfg.Store.Update(ctx, func(tx store.Tx) error {
		there, found, err := firstAccount(tx)
		if err != nil || found {
			d.account, created = there, false
			return err
		}
		d.account, created = Account{ID: id, Root: keyID}, true
		if _, err := accounts().Create(tx, store.Resource[none, accountState]{
			Scope: everywhere(), ID: id, State: accountState{RootKey: keyID},
		}); err != nil {
			return err
		}
		if err := createAgentRole(tx, id, roleID); err != nil {
			return err
		}
		_, err = accessKeys().Create(tx, store.Resource[none, keyState]{
			Scope: everywhere(), ID: keyID,
			State: keyState{Account: id, ARN: auth.RootARN(id), Kind: auth.Root, Sealed: sealed},
		})
		return err
	})
	return created && err == nil, err
}

// entry is an access key, opened.
type entry struct {
	principal auth.Principal
	secret    secret.String
}

// Key implements sigv4.KeySource.
func (d *Directory) Key(ctx context.Context, accessKeyID, token string) (sigv4.Key, error) {
	if !isAccessKeyID(accessKeyID) {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	if strings.HasPrefix(accessKeyID, prefixTemporary) {
		return d.temporary(ctx, accessKeyID, token)
	}
	e, err := d.read(ctx, accessKeyID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return sigv4.Key{}, sigv4.ErrUnknownKey
	case err != nil:
		return sigv4.Key{}, err
	case token != "":
		return sigv4.Key{}, sigv4.ErrBadToken
	}
	return sigv4.Key{Principal: e.principal, Secret: e.secret.Reveal()}, nil
}

// read returns an active key, from the cache if no access key and no entity has been
// written since, or store.ErrNotFound.
func (d *Directory) read(ctx context.Context, id string) (entry, error) {
	if e, ok := d.keys.Get(id); ok {
		return e, nil
	}
	watch := d.cfg.Store.Watch(accessKeys().Topic())
	var r store.Resource[none, keyState]
	e := entry{principal: auth.Principal{ID: id}}
	p := &e.principal
	err := d.cfg.Store.View(ctx, func(tx store.Reader) (err error) {
		if r, err = accessKeys().Get(tx, everywhere(), id); err != nil {
			return err
		}
		p.Account, p.ARN, p.Kind = r.State.Account, r.State.ARN, r.State.Kind
		if r.Parent == "" {
			return nil
		}
		u, err := holders(UserHolder).Get(tx, d.scope(), r.Parent)
		p.ARN, p.UserID, p.Entity = d.arn("user", u.State.Path, u.State.Name), u.ID, u.ID
		return err
	})
	if err == nil && r.State.Inactive {
		err = store.ErrNotFound
	}
	if err != nil {
		return entry{}, fmt.Errorf("read access key %s: %w", id, err)
	}
	value, err := d.cfg.Box.Open(ctx, owner(r.State.Account, id), r.State.Sealed)
	if err != nil {
		return entry{}, fmt.Errorf("read access key %s: %w", id, err)
	}
	e.secret = value.Text()
	if p.Kind == auth.Root {
		p.UserID = p.Account
	}
	d.keys.Put(id, e, watch)
	return e, nil
}

var _ sigv4.KeySource = (*Directory)(nil)
