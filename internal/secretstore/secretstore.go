// Package secretstore owns the secrets of Secrets Manager: named values with
// versions, each of which has the staging labels by which it is asked for.
//
// A secret belongs to an account and region. Values are sealed where they are
// stored: under the server's own key, or under a key of the account's own
// (KmsKeyId), and then they are as readable as that key is usable.
//
// A secret may be managed by a service, which alone makes, changes and deletes it
// (managed.go). Who else may do what the front decides (internal/aws/secretsmanager).
package secretstore

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Keys are the keys of accounts that values may be sealed under.
type Keys interface {
	// Box returns a box that seals under the key that name is in scope (an id, an
	// alias or an ARN), and the key's ARN. It refuses one that cannot be used.
	Box(ctx context.Context, scope store.Scope, name string) (box *secret.Box, arn string, err error)
}

// Config is what Secrets need; all are required.
type Config struct {
	Store store.Store
	Box   *secret.Box
	Keys  Keys
	// Rand is crypto/rand.Reader outside of tests.
	Rand io.Reader
	Now  func() time.Time
	Log  *slog.Logger
}

// Secrets are all secrets of a store. They are safe for concurrent use.
type Secrets struct{ cfg Config }

// New returns the secrets of a store.
func New(cfg Config) *Secrets { return &Secrets{cfg} }

// Ref is which secret: its id is the store's, and nothing that callers see.
type Ref struct {
	Scope store.Scope
	ID    string
}

// Settings are what a secret's owner says of it.
type Settings struct {
	Description string `json:"description,omitempty"`
	// KeyID is the key that new values are sealed under, as it was named; empty is
	// the server's own.
	KeyID  string            `json:"keyId,omitempty"`
	Tags   map[string]string `json:"tags,omitempty"`
	Policy string            `json:"policy,omitempty"`
	Pins   pin.Pins          `json:"pins,omitempty"` // of the policy's principals
}

// Version is one value of a secret, without the value.
type Version struct {
	ID string `json:"id"`
	// Stages are its staging labels; a version with none is deprecated, and goes
	// when there are many.
	Stages  []string  `json:"stages,omitempty"`
	Created time.Time `json:"created"`
	// Key is the ARN of the key it is sealed under; empty is the server's own.
	Key    string `json:"key,omitempty"`
	Binary bool   `json:"binary,omitempty"`
}

// The staging labels that the service itself moves.
const (
	Current  = "AWSCURRENT"
	Previous = "AWSPREVIOUS"
	Pending  = "AWSPENDING"
)

// Secret is a secret as it is stored, without its values.
type Secret struct {
	Ref
	Settings
	Name string
	// Suffix is the six letters at the end of the ARN.
	Suffix string
	// Service is who manages it; empty for a caller's own.
	Service string
	// Versions are the oldest first.
	Versions []Version
	Created  time.Time
	// Changed is when it was changed last.
	Changed time.Time
	// Deleted is when its deletion was asked for, and Deletes when it goes; zero
	// while it stays.
	Deleted, Deletes time.Time
}

// ARN names the secret.
func (s *Secret) ARN() string { return ARN(s.Scope, s.Name+"-"+s.Suffix) }

// ARN is that of a resource of Secrets Manager, or the beginning of one.
func ARN(scope store.Scope, name string) string {
	return "arn:aws:secretsmanager:" + scope.Region + ":" + scope.Account + ":secret:" + name
}

// Stages returns the labels of the versions that have some, by version.
func (s *Secret) Stages() map[string][]string {
	out := map[string][]string{}
	for _, v := range s.Versions {
		if len(v.Stages) > 0 {
			out[v.ID] = v.Stages
		}
	}
	return out
}

// version returns the one with an id; ok is false where there is none.
func (s *Secret) version(id string) (Version, bool) {
	i := slices.IndexFunc(s.Versions, func(v Version) bool { return v.ID == id })
	if i < 0 {
		return Version{}, false
	}
	return s.Versions[i], true
}

// staged returns the one with a label; ok is false where there is none.
func (s *Secret) staged(stage string) (Version, bool) {
	i := slices.IndexFunc(s.Versions, func(v Version) bool { return slices.Contains(v.Stages, stage) })
	if i < 0 {
		return Version{}, false
	}
	return s.Versions[i], true
}

// Content is a value: text, or bytes where Binary is set.
type Content struct {
	Value  secret.Bytes
	Binary bool
}

// Text is a value that is text.
func Text(s secret.String) Content { return Content{Value: s.Bytes()} }

func (c Content) equal(d Content) bool { return c.Binary == d.Binary && c.Value.Equal(d.Value) }

// MaxValue is the most that a value may have, in bytes (Secrets Manager's model).
const MaxValue = 65536

func (c Content) check() error {
	switch n := len(c.Value.Reveal()); {
	case n == 0:
		return InvalidParameter("You must provide a value of at least one byte")
	case n > MaxValue:
		return InvalidParameter("The value has %d bytes; it may have at most %d", n, MaxValue)
	}
	return nil
}

// Find returns the secret that a caller in scope names: by its name, or its ARN with
// or without the letters at the end. What is not there is the fault
// ResourceNotFoundException. One that was deleted and can be restored is there.
func (s *Secrets) Find(ctx context.Context, scope store.Scope, id string) (out Secret, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		doc, err := s.find(r, scope, id)
		out = secretOf(doc)
		return err
	})
	return out, err
}

func (s *Secrets) find(r store.Reader, scope store.Scope, id string) (resource, error) {
	if store.CheckText(id) != nil {
		return resource{}, NotFound()
	}
	if !strings.HasPrefix(id, "arn:") {
		return s.named(r, scope, id)
	}
	part := strings.SplitN(id, ":", 7)
	if len(part) != 7 || part[1] != "aws" || part[2] != "secretsmanager" || part[5] != "secret" || part[6] == "" {
		return resource{}, InvalidParameter("Invalid ARN: %s", id)
	}
	at := store.Scope{Account: part[4], Region: part[3]}
	if !at.Valid() || scope.Region != "" && at.Region != scope.Region {
		return resource{}, NotFound()
	}
	if name, suffix, ok := cutSuffix(part[6]); ok {
		doc, err := s.named(r, at, name)
		if err == nil && doc.State.Suffix == suffix {
			return doc, nil
		}
		if err != nil && !IsNotFound(err) {
			return doc, err
		}
	}
	return s.named(r, at, part[6])
}

// suffixSize is the letters at the end of an ARN.
const suffixSize = 6

func cutSuffix(name string) (before, suffix string, ok bool) {
	i := len(name) - suffixSize - 1
	if i <= 0 || name[i] != '-' {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

func (s *Secrets) named(r store.Reader, scope store.Scope, name string) (resource, error) {
	doc, err := secrets().ByName(r, scope, "", name)
	if err == nil && doc.State.due(s.cfg.Now()) {
		err = store.ErrNotFound
	}
	return doc, missing(err)
}

// get returns a secret that is there, deleted or not.
func (s *Secrets) get(r store.Reader, ref Ref) (resource, error) {
	doc, err := secrets().Get(r, ref.Scope, ref.ID)
	if err == nil && doc.State.due(s.cfg.Now()) {
		err = store.ErrNotFound
	}
	return doc, missing(err)
}

// All returns all secrets of a scope in the order of their creation, those that are
// deleted and can be restored included.
func (s *Secrets) All(ctx context.Context, scope store.Scope) (out []Secret, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		out = nil
		for doc, err := range secrets().Each(r, scope, "") {
			if err != nil {
				return fmt.Errorf("list secrets: %w", err)
			}
			if !doc.State.due(s.cfg.Now()) {
				out = append(out, secretOf(doc))
			}
		}
		return nil
	})
	return out, err
}

// Change lets fn change what a secret's owner says of it.
func (s *Secrets) Change(ctx context.Context, ref Ref, fn func(*Settings) error) (out Secret, err error) {
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.update(tx, ref, "", func(r *resource) error { return fn(&r.Spec) })
		out = secretOf(doc)
		return err
	})
	return out, err
}

// update changes a secret that is not deleted, for who manages it: by is a service,
// or empty for a caller.
func (s *Secrets) update(tx store.Tx, ref Ref, by string, fn func(*resource) error) (resource, error) {
	if _, err := s.get(tx, ref); err != nil {
		return resource{}, err
	}
	return secrets().Update(tx, ref.Scope, ref.ID, func(r *resource) error {
		if err := r.State.changeable(r.Name, by); err != nil {
			return err
		}
		r.State.Changed = s.cfg.Now().UTC()
		return fn(r)
	})
}

// Topic changes when a secret does, or its policy.
func Topic() store.Topic { return secrets().Topic() }

// owningTag is the tag that policies know a managed secret by, and nobody can set
// (Secrets Manager guide, "Secrets managed by other services"): whose it is.
const owningTag = "aws:secretsmanager:owningService"

// Settings returns those of the secret with an ARN, with the tag of its service if it is
// managed; ok is false where there is none.
func (s *Secrets) Settings(ctx context.Context, arn string) (settings Settings, ok bool, err error) {
	found, err := s.Find(ctx, store.Scope{}, arn)
	if err != nil {
		if isFault(err) {
			err = nil
		}
		return Settings{}, false, err
	}
	settings = found.Settings
	if found.Service != "" {
		settings.Tags = maps.Clone(settings.Tags)
		if settings.Tags == nil {
			settings.Tags = map[string]string{}
		}
		settings.Tags[owningTag] = found.Service
	}
	return settings, found.ARN() == arn, nil
}

// Pin pins whom policies name that older versions stored (pin.Upgrade).
func (s *Secrets) Pin(ctx context.Context, d pin.Directory) ([]pin.Lost, error) {
	return pin.Upgrade(ctx, s.cfg.Store, secrets(), d, func(r *resource) pin.Policy {
		found := secretOf(*r)
		return pin.Policy{Resource: found.ARN(), Text: r.Spec.Policy, Pins: &r.Spec.Pins}
	})
}

// state is what the package makes of a secret.
type state struct {
	Suffix   string    `json:"suffix"`
	Service  string    `json:"service,omitempty"`
	Versions []Version `json:"versions,omitempty"`
	Changed  time.Time `json:"changed"`
	Deleted  time.Time `json:"deleted,omitzero"`
	DeleteAt time.Time `json:"deleteAt,omitzero"`
}

// due reports whether the secret is to be gone.
func (s *state) due(now time.Time) bool { return !s.DeleteAt.IsZero() && !now.Before(s.DeleteAt) }

// changeable refuses a secret that is deleted, or that somebody else manages.
func (s *state) changeable(name, by string) error {
	if s.Service != by {
		return managedBy(name, s.Service)
	}
	if !s.Deleted.IsZero() {
		return deleted()
	}
	return nil
}

type resource = store.Resource[Settings, state]

func secrets() store.Collection[Settings, state] {
	return store.Collection[Settings, state]{Kind: "secret"}
}

// values is the table of sealed values: the key is the secret's id, a slash and the
// version's.
const values = "secret-values"

func valueKey(ref Ref, version string) []byte { return []byte(ref.ID + "/" + version) }

func secretOf(r resource) Secret {
	return Secret{
		Ref: Ref{r.Scope, r.ID}, Settings: r.Spec, Name: r.Name, Suffix: r.State.Suffix, Service: r.State.Service, Versions: r.State.Versions,
		Created: r.Created, Changed: r.State.Changed, Deleted: r.State.Deleted, Deletes: r.State.DeleteAt,
	}
}

// newID names versions and, in the store, secrets.
func (s *Secrets) newID() (string, error) {
	id, err := uuid.NewRandomFromReader(s.cfg.Rand)
	if err != nil {
		return "", fmt.Errorf("make id: %w", err)
	}
	return id.String(), nil
}

// token is the id of a version: the caller's, or a new one.
func (s *Secrets) token(token string) (string, error) {
	if token != "" {
		return token, nil
	}
	return s.newID()
}
