package secretstore

import (
	"context"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// sealed is a value that can be written.
type sealed struct {
	version Version
	bytes   []byte
}

func owner(ref Ref, version string) secret.Owner {
	return secret.Owner{Scope: ref.Scope.String(), Kind: "secret-value", ID: ref.ID + "/" + version}
}

// seal seals a value for a version of a secret, under the key that is named.
func (s *Secrets) seal(ctx context.Context, ref Ref, keyID, version string, c Content) (sealed, error) {
	out := sealed{version: Version{ID: version, Created: s.cfg.Now().UTC(), Binary: c.Binary}}
	if err := c.check(); err != nil {
		return out, err
	}
	box := s.cfg.Box
	if keyID != "" {
		var err error
		if box, out.version.Key, err = s.cfg.Keys.Box(ctx, ref.Scope, keyID); err != nil {
			return out, cannot(err, CodeEncryption, "Secrets Manager can't encrypt the protected secret text using the provided KMS key. Check that the KMS key is available, enabled, and not in an invalid state.")
		}
	}
	var err error
	out.bytes, err = box.Seal(ctx, owner(ref, version), c.Value)
	return out, err
}

// cannot gives a refusal of a key the service's words. What is no refusal stays.
func cannot(err error, code, text string) error {
	if isFault(err) {
		return fault.BadRequest(code, "%s", text).Because(err)
	}
	return err
}

// open opens the value of a version.
func (s *Secrets) open(ctx context.Context, ref Ref, v Version, raw []byte) (Content, error) {
	const text = "Secrets Manager can't decrypt the protected secret text using the provided KMS key."
	box := s.cfg.Box
	if v.Key != "" {
		var err error
		if box, _, err = s.cfg.Keys.Box(ctx, ref.Scope, v.Key); err != nil {
			return Content{}, cannot(err, CodeDecryption, text)
		}
	}
	value, err := box.Open(ctx, owner(ref, v.ID), raw)
	if err != nil {
		return Content{}, cannot(err, CodeDecryption, text)
	}
	return Content{Value: value, Binary: v.Binary}, nil
}

// Value returns a value of a secret: that of a version, or with a label, or of both
// where they agree; with neither the current one.
func (s *Secrets) Value(ctx context.Context, ref Ref, version, stage string) (Content, Version, Secret, error) {
	var raw []byte
	var v Version
	var found Secret
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		doc, err := s.get(r, ref)
		if err != nil {
			return err
		}
		if !doc.State.Deleted.IsZero() {
			return deleted()
		}
		found = secretOf(doc)
		if v, err = found.Version(version, stage); err != nil {
			return err
		}
		raw, err = r.Row(values, valueKey(ref, v.ID))
		return err
	})
	if err != nil {
		return Content{}, v, found, err
	}
	c, err := s.open(ctx, ref, v, raw)
	return c, v, found, err
}

// Version is the one that a caller asks for by its id, a label, or both where they
// agree; with neither the current one. None is a fault.
func (s *Secret) Version(version, stage string) (Version, error) {
	if version == "" {
		if stage == "" {
			stage = Current
		}
		v, ok := s.staged(stage)
		if !ok {
			return v, noValue("staging label", stage)
		}
		return v, nil
	}
	v, ok := s.version(version)
	if !ok {
		return v, noValue("VersionId", version)
	}
	if stage != "" && !slices.Contains(v.Stages, stage) {
		return v, InvalidRequest("You provided a VersionStage that is not associated to the provided VersionId.")
	}
	return v, nil
}

// MaxStages is how many labels a version may have, and MaxVersions how many versions
// a secret keeps before those without a label go that are older than a day (Secrets
// Manager's quotas).
const (
	MaxStages   = 20
	MaxVersions = 100
	keepVersion = 24 * time.Hour
)

// Put gives a secret a new version, whose id is token, or one that is made where that
// is empty. With no stages it becomes the
// current one. A token that was used for the same value before changes nothing.
func (s *Secrets) Put(ctx context.Context, ref Ref, token string, c Content, stages []string) (Version, Secret, error) {
	return s.put(ctx, ref, token, &c, stages, nil)
}

// Update changes what a secret's owner says of it, and its value where c is not nil.
func (s *Secrets) Update(ctx context.Context, ref Ref, token string, c *Content, change func(*Settings)) (Version, Secret, error) {
	return s.put(ctx, ref, token, c, nil, change)
}

func (s *Secrets) put(ctx context.Context, ref Ref, token string, c *Content, stages []string, change func(*Settings)) (v Version, out Secret, err error) {
	if len(stages) == 0 {
		stages = []string{Current}
	}
	if token, err = s.token(token); err != nil {
		return v, out, err
	}
	var have Secret
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		doc, err := s.get(r, ref)
		if err != nil {
			return err
		}
		have = secretOf(doc)
		return doc.State.changeable(doc.Name, "")
	})
	if err != nil {
		return v, out, err
	}
	settings := have.Settings
	if change != nil {
		change(&settings)
	}
	var added *sealed
	if c != nil {
		if old, ok := have.version(token); ok {
			if err := s.same(ctx, &have, old, *c); err != nil {
				return v, out, err
			}
			v = old
		} else {
			made, err := s.seal(ctx, ref, settings.KeyID, token, *c)
			if err != nil {
				return v, out, err
			}
			added = &made
		}
	}
	if added == nil && change == nil {
		return v, have, nil
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.update(tx, ref, "", func(r *resource) error {
			if change != nil {
				change(&r.Spec)
			}
			if added == nil {
				return nil
			}
			return s.add(tx, r, *added, stages)
		})
		out = secretOf(doc)
		return err
	})
	if added != nil && err == nil {
		v, _ = out.version(token)
	}
	return v, out, err
}

// same refuses a token that was used for another value.
func (s *Secrets) same(ctx context.Context, of *Secret, v Version, c Content) error {
	var raw []byte
	err := s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		raw, err = r.Row(values, valueKey(of.Ref, v.ID))
		return err
	})
	if err != nil {
		return err
	}
	old, err := s.open(ctx, of.Ref, v, raw)
	if err != nil {
		return err
	}
	if !old.equal(c) {
		return tokenUsed(v.ID, of.ARN())
	}
	return nil
}

// add writes a new version and moves labels to it.
func (s *Secrets) add(tx store.Tx, r *resource, n sealed, stages []string) error {
	of := secretOf(*r)
	if _, taken := of.version(n.version.ID); taken {
		return tokenUsed(n.version.ID, of.ARN())
	}
	if len(stages) > MaxStages {
		return fault.BadRequest(CodeLimit, "A version may have at most %d staging labels", MaxStages)
	}
	if len(r.State.Versions) == 0 && !slices.Contains(stages, Current) {
		stages = append([]string{Current}, stages...)
	}
	r.State.Versions = append(r.State.Versions, n.version)
	for _, stage := range stages {
		r.State.move(stage, n.version.ID)
	}
	if err := s.dropVersions(tx, r); err != nil {
		return err
	}
	return tx.PutRow(values, valueKey(Ref{r.Scope, r.ID}, n.version.ID), n.bytes)
}

// dropVersions takes away the oldest that have no label, where there are too many.
func (s *Secrets) dropVersions(tx store.Tx, r *resource) error {
	old := s.cfg.Now().Add(-keepVersion)
	for i := 0; i < len(r.State.Versions) && len(r.State.Versions) > MaxVersions; {
		v := r.State.Versions[i]
		if len(v.Stages) > 0 || v.Created.After(old) {
			i++
			continue
		}
		if err := tx.DeleteRow(values, valueKey(Ref{r.Scope, r.ID}, v.ID)); err != nil {
			return err
		}
		r.State.Versions = slices.Delete(r.State.Versions, i, i+1)
	}
	if n := len(r.State.Versions); n > 5*MaxVersions {
		return fault.BadRequest(CodeLimit, "The secret has %d versions of the last day; it may have at most %d", n-1, 5*MaxVersions)
	}
	return nil
}

// move gives a label to a version and takes it off any other. What was current
// before becomes the previous one.
func (s *state) move(stage, to string) {
	var from string
	for i := range s.Versions {
		v := &s.Versions[i]
		if slices.Contains(v.Stages, stage) && v.ID != to {
			from = v.ID
			v.Stages = without(v.Stages, stage)
		}
		if v.ID == to && !slices.Contains(v.Stages, stage) {
			v.Stages = append(slices.Clone(v.Stages), stage)
		}
	}
	if stage == Current && from != "" {
		for i := range s.Versions {
			s.Versions[i].Stages = without(s.Versions[i].Stages, Previous)
			if s.Versions[i].ID == from {
				s.Versions[i].Stages = append(s.Versions[i].Stages, Previous)
			}
		}
	}
}

// without returns a new list that lacks a label.
func without(stages []string, stage string) []string {
	return slices.DeleteFunc(slices.Clone(stages), func(s string) bool { return s == stage })
}

// MoveStage moves a label to a version, takes it off one, or both (Secrets Manager's
// API reference, UpdateSecretVersionStage).
func (s *Secrets) MoveStage(ctx context.Context, ref Ref, stage, from, to string) (out Secret, err error) {
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.update(tx, ref, "", func(r *resource) error {
			have := secretOf(*r)
			at, labelled := have.staged(stage)
			for _, id := range []string{from, to} {
				if _, ok := have.version(id); id != "" && !ok {
					return noValue("VersionId", id)
				}
			}
			switch {
			case from == "" && to == "":
				return InvalidParameter("You must provide RemoveFromVersionId, MoveToVersionId or both")
			case from != "" && (!labelled || at.ID != from):
				return InvalidParameter("The staging label %s isn't currently attached to version %s.", stage, from)
			case to == "" && stage == Current:
				return InvalidParameter("You can't remove staging label %s from a version; move it to another with MoveToVersionId.", stage)
			case to == "":
				r.State.remove(stage)
				return nil
			case from == "" && labelled && at.ID != to:
				return InvalidParameter("The parameter RemoveFromVersionId can't be empty. Staging label %s is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", stage, at.ID)
			}
			if v, _ := have.version(to); len(v.Stages) >= MaxStages {
				return fault.BadRequest(CodeLimit, "A version may have at most %d staging labels", MaxStages)
			}
			r.State.move(stage, to)
			return nil
		})
		out = secretOf(doc)
		return err
	})
	return out, err
}

func (s *state) remove(stage string) {
	for i := range s.Versions {
		s.Versions[i].Stages = without(s.Versions[i].Stages, stage)
	}
}
