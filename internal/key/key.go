// Package key owns the keys of KMS: their material, what may be done with it, and
// the names by which they are called.
//
// A key belongs to an account and region. Its material never leaves the package:
// it is sealed under the server's own key where it is stored, and what callers
// get is what the key made of their bytes. A ciphertext names the key and the
// material it was made with, and opens with the encryption context it was made
// under and no other.
//
// Who may use a key the front decides (internal/aws/kms), by the key's own policy
// and those of the caller. Services that act for an account use the same methods
// and are not asked.
package key

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Config is what Keys need; all are required.
type Config struct {
	Store store.Store
	Box   *secret.Box
	// Rand is crypto/rand.Reader outside of tests.
	Rand io.Reader
	Now  func() time.Time
	Log  *slog.Logger
}

// Keys are all keys of a store. They are safe for concurrent use.
type Keys struct {
	cfg    Config
	opened atomic.Pointer[store.Cache[Ref, *opened]]
}

// New returns the keys of a store.
func New(cfg Config) *Keys {
	k := &Keys{cfg: cfg}
	k.forget()
	return k
}

// forget lets go of what is open: material that was deleted is not to stay in memory.
func (s *Keys) forget() { s.opened.Store(new(store.Cache[Ref, *opened])) }

// Ref is which key.
type Ref struct {
	Scope store.Scope
	ID    string
}

// ARN names the key.
func (r Ref) ARN() string {
	return "arn:aws:kms:" + r.Scope.Region + ":" + r.Scope.Account + ":key/" + r.ID
}

func (r Ref) String() string { return r.ARN() }

// Settings are what a key's owner says of it. Usage and Spec never change.
type Settings struct {
	Description string            `json:"description,omitempty"`
	Usage       Usage             `json:"usage"`
	Spec        Spec              `json:"spec"`
	Policy      string            `json:"policy"`
	Pins        pin.Pins          `json:"pins,omitempty"` // of the policy's principals
	Tags        map[string]string `json:"tags,omitempty"`
	Disabled    bool              `json:"disabled,omitempty"`
	// RotationDays is how old material gets before other takes its place; 0 is
	// for ever.
	RotationDays int `json:"rotationDays,omitempty"`
}

// State is what can be done with a key.
type State string

// The states of a key (KMS's model).
const (
	Enabled         State = "Enabled"
	Disabled        State = "Disabled"
	PendingDeletion State = "PendingDeletion"
)

// Material is one of the materials of a key, without what is secret.
type Material struct {
	// ID is 64 hexadecimal digits.
	ID       string
	Created  time.Time
	OnDemand bool
}

// Key is a key as it is stored, without what is secret.
type Key struct {
	Ref
	Settings
	Created time.Time
	// Deletes is when the key and its material go; zero for never. Window is the
	// days that were to pass until then.
	Deletes time.Time
	Window  int
	// Public is the public key of an asymmetric one (PKIX, DER).
	Public []byte
	// Materials are the oldest first; the last one encrypts.
	Materials []Material
}

// State is what can be done with the key.
func (k *Key) State() State {
	switch {
	case !k.Deletes.IsZero():
		return PendingDeletion
	case k.Disabled:
		return Disabled
	}
	return Enabled
}

// NextRotation is when the material is replaced; zero for never.
func (k *Key) NextRotation() time.Time {
	if k.RotationDays == 0 || k.State() == PendingDeletion || len(k.Materials) == 0 {
		return time.Time{}
	}
	return k.Materials[len(k.Materials)-1].Created.AddDate(0, 0, k.RotationDays)
}

// DefaultPolicy is that of a key made without one: it leaves all to the identity
// policies of its account (KMS guide, "Default key policy").
func DefaultPolicy(account string) string {
	return `{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::` + account + `:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`
}

// Create makes a key with new material.
func (s *Keys) Create(ctx context.Context, scope store.Scope, settings Settings) (Key, error) {
	if err := settings.check(); err != nil {
		return Key{}, err
	}
	id, err := newID(s.cfg.Rand)
	if err != nil {
		return Key{}, err
	}
	ref := Ref{scope, id}
	m, public, err := s.generate(ctx, ref, settings.Spec, 0)
	if err != nil {
		return Key{}, err
	}
	var out Key
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := keys().Create(tx, resource{
			Scope: scope, ID: id, Spec: settings, State: state{Materials: []material{m}, Public: public},
		})
		out = keyOf(doc)
		return err
	})
	if err != nil {
		return Key{}, fmt.Errorf("create key: %w", err)
	}
	return out, nil
}

// Get returns a key, or the fault NotFoundException.
func (s *Keys) Get(ctx context.Context, ref Ref) (k Key, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		doc, err := s.get(r, ref)
		k = keyOf(doc)
		return err
	})
	return k, err
}

// Find returns the key that a caller in scope names: by its id or ARN, or those of
// an alias. What is not there is the fault NotFoundException.
func (s *Keys) Find(ctx context.Context, scope store.Scope, name string) (k Key, err error) {
	n, err := ParseName(scope, name)
	if err != nil {
		return Key{}, err
	}
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		doc, err := s.find(r, n)
		k = keyOf(doc)
		return err
	})
	return k, err
}

// find follows an alias.
func (s *Keys) find(r store.Reader, n Name) (resource, error) {
	ref := Ref{n.Scope, n.ID}
	if n.Alias != "" {
		a, err := aliases().Get(r, n.Scope, n.Alias)
		if err != nil {
			return resource{}, missing(err, noAlias(n.Scope, n.Alias))
		}
		ref.ID = a.Spec.Target
	}
	return s.get(r, ref)
}

// get returns a key whose time has not come.
func (s *Keys) get(r store.Reader, ref Ref) (resource, error) {
	doc, err := keys().Get(r, ref.Scope, ref.ID)
	if err == nil && doc.State.due(s.cfg.Now()) {
		err = store.ErrNotFound
	}
	if err != nil {
		return resource{}, missing(err, NotFound(ref))
	}
	return doc, nil
}

// Gone reports whether there is no such key any more, nor will be: its material
// has been deleted. One that is disabled or waits for its deletion is not gone.
func (s *Keys) Gone(ctx context.Context, ref Ref) (bool, error) {
	_, err := s.Get(ctx, ref)
	if IsNotFound(err) {
		return true, nil
	}
	return false, err
}

// List returns a page of the keys of a scope.
func (s *Keys) List(ctx context.Context, scope store.Scope, page store.Page) (out store.Listing[Key], err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		docs, err := keys().List(r, scope, "", page)
		out = store.Listing[Key]{Next: docs.Next}
		for _, d := range docs.Items {
			if !d.State.due(s.cfg.Now()) {
				out.Items = append(out.Items, keyOf(d))
			}
		}
		return err
	})
	return out, err
}

// Change lets fn change what a key's owner says of it. It refuses a key that waits
// for its deletion unless pending is set.
func (s *Keys) Change(ctx context.Context, ref Ref, pending bool, fn func(*Settings) error) error {
	return s.update(ctx, ref, func(r *resource) error {
		if !pending && !r.State.DeleteAt.IsZero() {
			return PendingDeletionFault(ref)
		}
		was := r.Spec
		if err := fn(&r.Spec); err != nil {
			return err
		}
		r.Spec.Usage, r.Spec.Spec = was.Usage, was.Spec
		return nil
	})
}

func (s *Keys) update(ctx context.Context, ref Ref, fn func(*resource) error) error {
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := s.get(tx, ref); err != nil {
			return err
		}
		_, err := keys().Update(tx, ref.Scope, ref.ID, fn)
		return err
	})
}

// Topic changes when a key does, or its policy.
func Topic() store.Topic { return keys().Topic() }

// Settings returns those of the key with an ARN; ok is false where there is none.
func (s *Keys) Settings(ctx context.Context, arn string) (settings Settings, ok bool, err error) {
	n, err := ParseName(store.Scope{}, arn)
	if err != nil || n.ID == "" {
		return Settings{}, false, nil
	}
	k, err := s.Get(ctx, Ref{n.Scope, n.ID})
	if IsNotFound(err) {
		return Settings{}, false, nil
	}
	return k.Settings, err == nil, err
}

// Pin pins whom policies name that older versions stored (pin.Upgrade).
func (s *Keys) Pin(ctx context.Context, d pin.Directory) ([]pin.Lost, error) {
	return pin.Upgrade(ctx, s.cfg.Store, keys(), d, func(r *resource) pin.Policy {
		return pin.Policy{Resource: Ref{r.Scope, r.ID}.ARN(), Text: r.Spec.Policy, Pins: &r.Spec.Pins}
	})
}

// state is what the package makes of a key.
type state struct {
	Materials []material `json:"materials"`
	Public    []byte     `json:"public,omitempty"`
	DeleteAt  time.Time  `json:"deleteAt,omitzero"`
	Window    int        `json:"window,omitempty"`
}

// due reports whether the key is to be gone.
func (s *state) due(now time.Time) bool { return !s.DeleteAt.IsZero() && !now.Before(s.DeleteAt) }

type resource = store.Resource[Settings, state]

func keys() store.Collection[Settings, state] {
	return store.Collection[Settings, state]{Kind: "kms-key"}
}

func keyOf(r resource) Key {
	k := Key{
		Ref: Ref{r.Scope, r.ID}, Settings: r.Spec, Created: r.Created, Deletes: r.State.DeleteAt, Window: r.State.Window, Public: r.State.Public,
	}
	for _, m := range r.State.Materials {
		k.Materials = append(k.Materials, Material{ID: m.ID, Created: m.Created, OnDemand: m.OnDemand})
	}
	return k
}

// Name is what a caller calls a key.
type Name struct {
	Scope store.Scope
	// ID is the key's; or Alias is set, with its prefix "alias/".
	ID, Alias string
}

// AliasPrefix begins the name of every alias.
const AliasPrefix = "alias/"

// ParseName reads what a caller in scope calls a key: an id, alias/NAME or the ARN of
// either. A refusal is a fault.
func ParseName(scope store.Scope, text string) (Name, error) {
	n, rest := Name{Scope: scope}, text
	if strings.HasPrefix(text, "arn:") {
		part := strings.SplitN(text, ":", 6)
		if len(part) != 6 || part[1] != "aws" || part[2] != "kms" || part[3] == "" || part[4] == "" {
			return n, invalidARN(text)
		}
		if scope.Region != "" && part[3] != scope.Region {
			return n, fault.BadRequest(CodeNotFound, "Invalid arn %s", part[3])
		}
		n.Scope = store.Scope{Account: part[4], Region: part[3]}
		rest = part[5]
		if id, ok := strings.CutPrefix(rest, "key/"); ok {
			rest = id
		} else if !strings.HasPrefix(rest, AliasPrefix) {
			return n, invalidARN(text)
		}
	}
	switch {
	case strings.HasPrefix(rest, AliasPrefix) && len(rest) > len(AliasPrefix) && store.CheckText(rest) == nil:
		n.Alias = rest
	case isID(rest):
		n.ID = rest
	default:
		return n, fault.BadRequest(CodeNotFound, "Invalid keyId '%s'", text)
	}
	return n, nil
}

// ARN is that of the key, or of the alias.
func (n Name) ARN() string {
	if n.Alias != "" {
		return aliasARN(n.Scope, n.Alias)
	}
	return Ref{n.Scope, n.ID}.ARN()
}

// IsNotFound reports whether an error says that there is no such key or alias.
func IsNotFound(err error) bool {
	return fault.Is(err, CodeNotFound) || errors.Is(err, store.ErrNotFound)
}
