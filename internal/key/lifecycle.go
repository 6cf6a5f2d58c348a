package key

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// The days that may pass before a key is deleted, and when nobody says (KMS's API
// reference, ScheduleKeyDeletion).
const (
	MinWindow     = 7
	MaxWindow     = 30
	DefaultWindow = 30
)

// The days between rotations (KMS's API reference, EnableKeyRotation), and how
// often a key may be rotated on demand.
const (
	MinRotation     = 90
	MaxRotation     = 2560
	DefaultRotation = 365
	MaxOnDemand     = 25
)

// ScheduleDeletion lets a key and its material go after some days; 0 is
// DefaultWindow. Until then it can be kept, and cannot be used.
func (s *Keys) ScheduleDeletion(ctx context.Context, ref Ref, days int) (time.Time, error) {
	if days == 0 {
		days = DefaultWindow
	}
	if days < MinWindow || days > MaxWindow {
		return time.Time{}, invalid("PendingWindowInDays is %d; it must be %d to %d", days, MinWindow, MaxWindow)
	}
	var at time.Time
	err := s.update(ctx, ref, func(r *resource) error {
		if !r.State.DeleteAt.IsZero() {
			return PendingDeletionFault(ref)
		}
		at = s.cfg.Now().UTC().AddDate(0, 0, days)
		r.State.DeleteAt, r.State.Window = at, days
		return nil
	})
	return at, err
}

// CancelDeletion keeps a key that was to be deleted. It is disabled then.
func (s *Keys) CancelDeletion(ctx context.Context, ref Ref) error {
	return s.update(ctx, ref, func(r *resource) error {
		if r.State.DeleteAt.IsZero() {
			return fault.BadRequest(CodeInvalidState, "%s is not pending deletion.", ref.ARN())
		}
		r.State.DeleteAt, r.State.Window, r.Spec.Disabled = time.Time{}, 0, true
		return nil
	})
}

// CheckRotation refuses a key whose material cannot be replaced.
func (k *Key) CheckRotation() error {
	if k.Spec != Symmetric {
		return fault.BadRequest(CodeUnsupported, "%s is a key of the spec %s; only symmetric encryption keys are rotated.", k.ARN(), k.Spec)
	}
	return nil
}

// Rotate gives a key new material at once. The old stays for what it encrypted.
func (s *Keys) Rotate(ctx context.Context, ref Ref, onDemand bool) error {
	for {
		k, err := s.Get(ctx, ref)
		if err != nil {
			return err
		}
		if err := k.CheckRotation(); err != nil {
			return err
		}
		if err := k.usable(); err != nil {
			return err
		}
		if count := onDemandOf(k.Materials); onDemand && count >= MaxOnDemand {
			return fault.BadRequest(CodeLimit, "%s was rotated on demand %d times; it may be at most %d.", ref.ARN(), count, MaxOnDemand)
		}
		n := len(k.Materials)
		m, _, err := s.generate(ctx, ref, k.Spec, n)
		if err != nil {
			return err
		}
		m.OnDemand = onDemand
		err = s.update(ctx, ref, func(r *resource) error {
			if len(r.State.Materials) != n {
				return errRotated
			}
			r.State.Materials = append(r.State.Materials, m)
			return nil
		})
		if !errors.Is(err, errRotated) {
			return err
		}
	}
}

// errRotated says that another rotation came first: the material is sealed for its
// place among the others.
var errRotated = errors.New("key was rotated meanwhile")

func onDemandOf(list []Material) int {
	n := 0
	for _, m := range list {
		if m.OnDemand {
			n++
		}
	}
	return n
}

// sweepEvery bounds how long Run waits.
const sweepEvery = time.Hour

// Run deletes keys and rotates them when their time comes, until ctx ends.
func (s *Keys) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := s.cfg.Store.Changed(Topic())
		next, err := s.Sweep(ctx)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("keys stay whose time has come", "error", err)
		}
		wait := sweepEvery
		if err == nil && !next.IsZero() {
			wait = min(wait, max(next.Sub(s.cfg.Now()), time.Second))
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-timer.C:
		}
	}
}

// Sweep does once what Run does, and returns when there is more to do; zero for
// nothing that is known of.
func (s *Keys) Sweep(ctx context.Context) (next time.Time, err error) {
	var gone, old []Ref
	now := s.cfg.Now()
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		gone, old, next = nil, nil, time.Time{}
		for doc, err := range keys().All(r) {
			if err != nil {
				return err
			}
			k := keyOf(doc)
			rotates := k.NextRotation()
			switch {
			case doc.State.due(now):
				gone = append(gone, k.Ref)
				continue
			case k.State() == Enabled && !rotates.IsZero() && !now.Before(rotates):
				old = append(old, k.Ref)
				continue
			}
			for _, t := range [...]time.Time{k.Deletes, rotates} {
				if t.After(now) && (next.IsZero() || t.Before(next)) {
					next = t
				}
			}
		}
		return nil
	})
	if err != nil {
		return next, fmt.Errorf("look for keys whose time has come: %w", err)
	}
	for _, ref := range gone {
		if err := s.remove(ctx, ref); err != nil {
			return next, fmt.Errorf("delete key %s: %w", ref.ID, err)
		}
	}
	if len(gone) > 0 {
		s.forget()
	}
	for _, ref := range old {
		if err := s.Rotate(ctx, ref, false); err != nil && !IsNotFound(err) {
			return next, fmt.Errorf("rotate key %s: %w", ref.ID, err)
		}
	}
	return next, nil
}

// remove deletes a key that is still due, its material and its aliases.
func (s *Keys) remove(ctx context.Context, ref Ref) error {
	return s.cfg.Store.Update(store.Freeing(ctx), func(tx store.Tx) error {
		doc, err := keys().Get(tx, ref.Scope, ref.ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && !doc.State.due(s.cfg.Now()) {
			return nil
		}
		if err != nil {
			return err
		}
		for a, err := range aliases().Each(tx, ref.Scope, "") {
			if err != nil {
				return err
			}
			if a.Spec.Target != ref.ID {
				continue
			}
			if err := aliases().Delete(tx, ref.Scope, a.ID); err != nil {
				return err
			}
		}
		return keys().Delete(tx, ref.Scope, ref.ID)
	})
}

// document returns what is stored of a key whose time has not come.
func (s *Keys) document(ctx context.Context, ref Ref) (doc resource, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		doc, err = s.get(r, ref)
		return err
	})
	return doc, err
}
