package secretstore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// secretName is what a secret may be called (Secrets Manager's API reference,
// CreateSecret).
var secretName = regexp.MustCompile(`^[a-zA-Z0-9/_+=.@!-]{1,512}$`)

// checkName refuses what is no name of a secret that by may have.
func checkName(name, by string) error {
	if !secretName.MatchString(name) {
		return fault.BadRequest("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if by == "" && strings.HasPrefix(name, ManagedPrefix) {
		return InvalidRequest("You can't create a secret whose name begins with %s: those are managed by %s.", ManagedPrefix, IdentityService)
	}
	return nil
}

// Create makes a secret, with a value where c is not nil; token is the id of its
// version then, and one is made where that is empty. The same token and value again return the same secret.
func (s *Secrets) Create(ctx context.Context, scope store.Scope, name string, settings Settings, token string, c *Content) (Secret, error) {
	token, err := s.token(token)
	if err != nil {
		return Secret{}, err
	}
	d, err := s.draft(ctx, scope, "", name, settings, token, c)
	if err != nil {
		return Secret{}, err
	}
	var out Secret
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		out, err = d.Write(tx)
		return err
	})
	if err == nil || !IsExists(err) || c == nil {
		return out, err
	}
	have, findErr := s.Find(ctx, scope, name)
	if findErr != nil {
		return out, findErr
	}
	if v, ok := have.version(token); ok && have.Service == "" {
		return have, s.same(ctx, &have, v, *c)
	}
	return out, err
}

// Draft is a secret, or a version of one, that is sealed and not written yet.
type Draft struct {
	secrets *Secrets
	ref     Ref
	name    string
	service string
	created *resource // for a new secret
	value   *sealed
}

// draft seals what a new secret needs.
func (s *Secrets) draft(ctx context.Context, scope store.Scope, service, name string, settings Settings, token string, c *Content) (*Draft, error) {
	if err := checkName(name, service); err != nil {
		return nil, err
	}
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	suffix, err := letters(s.cfg.Rand, mixed, suffixSize)
	if err != nil {
		return nil, err
	}
	d := &Draft{secrets: s, ref: Ref{scope, id}, name: name, service: service}
	if c != nil {
		made, err := s.seal(ctx, d.ref, settings.KeyID, token, *c)
		if err != nil {
			return nil, err
		}
		d.value = &made
	}
	d.created = &resource{
		Scope: scope, ID: id, Name: name, Spec: settings, State: state{Suffix: suffix, Service: service, Changed: s.cfg.Now().UTC()},
	}
	return d, nil
}

// Write writes the draft in a transaction of its user's, who writes there what
// depends on it. It may be called again where the transaction is.
func (d *Draft) Write(tx store.Tx) (Secret, error) {
	s := d.secrets
	if d.created == nil {
		doc, err := s.update(tx, d.ref, d.service, func(r *resource) error { return s.add(tx, r, *d.value, []string{Current}) })
		return secretOf(doc), err
	}
	if old, err := secrets().ByName(tx, d.ref.Scope, "", d.name); err == nil && !old.State.Deleted.IsZero() {
		if !old.State.due(s.cfg.Now()) {
			return Secret{}, InvalidRequest("You can't create this secret because a secret with this name is already scheduled for deletion.")
		}
		if err := s.erase(tx, Ref{old.Scope, old.ID}); err != nil {
			return Secret{}, err
		}
	}
	r := *d.created
	if d.value != nil {
		if err := s.add(tx, &r, *d.value, nil); err != nil {
			return Secret{}, err
		}
	}
	doc, err := secrets().Create(tx, r)
	if errors.Is(err, store.ErrExists) {
		return Secret{}, exists(d.name).Because(err)
	}
	if err != nil {
		return Secret{}, fmt.Errorf("create secret %s: %w", d.name, err)
	}
	return secretOf(doc), nil
}
