package secretstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// The days for which a deleted secret can be restored, and when nobody says (Secrets
// Manager's API reference, DeleteSecret).
const (
	MinRecovery     = 7
	MaxRecovery     = 30
	DefaultRecovery = 30
)

// Delete lets a secret go after some days, until when it can be restored and not
// read; 0 is DefaultRecovery.
func (s *Secrets) Delete(ctx context.Context, ref Ref, days int) (out Secret, err error) {
	if days == 0 {
		days = DefaultRecovery
	}
	if days < MinRecovery || days > MaxRecovery {
		return out, InvalidParameter("The RecoveryWindowInDays value must be between %d and %d days (inclusive).", MinRecovery, MaxRecovery)
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.update(tx, ref, "", func(r *resource) error {
			r.State.Deleted = s.cfg.Now().UTC()
			r.State.DeleteAt = r.State.Deleted.AddDate(0, 0, days)
			return nil
		})
		out = secretOf(doc)
		return err
	})
	return out, err
}

// Remove takes a secret away at once, with all its values, whether it was deleted
// before or not.
func (s *Secrets) Remove(ctx context.Context, ref Ref) error {
	return s.cfg.Store.Update(store.Freeing(ctx), func(tx store.Tx) error {
		doc, err := s.get(tx, ref)
		if err != nil {
			return err
		}
		if doc.State.Service != "" {
			return managedBy(doc.Name, doc.State.Service)
		}
		return s.erase(tx, ref)
	})
}

// Restore keeps a secret that was deleted; of one that was not, nothing changes.
func (s *Secrets) Restore(ctx context.Context, ref Ref) (out Secret, err error) {
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.get(tx, ref)
		if err != nil {
			return err
		}
		if doc.State.Service != "" {
			return managedBy(doc.Name, doc.State.Service)
		}
		doc, err = secrets().Update(tx, ref.Scope, ref.ID, func(r *resource) error {
			r.State.Deleted, r.State.DeleteAt = time.Time{}, time.Time{}
			return nil
		})
		out = secretOf(doc)
		return err
	})
	return out, err
}

// erase deletes a secret and its values.
func (s *Secrets) erase(tx store.Tx, ref Ref) error {
	if _, err := tx.DeleteRows(values, store.Prefix([]byte(ref.ID+"/"))); err != nil {
		return err
	}
	return secrets().Delete(tx, ref.Scope, ref.ID)
}

// sweepEvery bounds how long Run waits.
const sweepEvery = time.Hour

// Run removes deleted secrets when their time comes, until ctx ends.
func (s *Secrets) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next, err := s.Sweep(ctx)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("deleted secrets stay whose time has come", "error", err)
		}
		// One that is deleted meanwhile has days.
		wait := sweepEvery
		if err == nil && !next.IsZero() {
			wait = min(wait, max(next.Sub(s.cfg.Now()), time.Second))
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
	}
}

// Sweep does once what Run does, and returns when there is more to do; zero for
// nothing that is known of.
func (s *Secrets) Sweep(ctx context.Context) (next time.Time, err error) {
	var over []Ref
	now := s.cfg.Now()
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		over, next = nil, time.Time{}
		for doc, err := range secrets().All(r) {
			switch at := doc.State.DeleteAt; {
			case err != nil:
				return err
			case doc.State.due(now):
				over = append(over, Ref{doc.Scope, doc.ID})
			case !at.IsZero() && (next.IsZero() || at.Before(next)):
				next = at
			}
		}
		return nil
	})
	if err != nil {
		return next, fmt.Errorf("look for deleted secrets: %w", err)
	}
	for _, ref := range over {
		err := s.cfg.Store.Update(store.Freeing(ctx), func(tx store.Tx) error {
			doc, err := secrets().Get(tx, ref.Scope, ref.ID)
			if errors.Is(err, store.ErrNotFound) || err == nil && !doc.State.due(s.cfg.Now()) {
				return nil // restored, or gone
			}
			if err != nil {
				return err
			}
			return s.erase(tx, ref)
		})
		if err != nil {
			return next, fmt.Errorf("remove deleted secret: %w", err)
		}
	}
	return next, nil
}

// Now is the time by which secrets live.
func (s *Secrets) Now() time.Time { return s.cfg.Now().UTC() }
