package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

// snapshotState is why a version's snapshot was not made.
type snapshotState struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	// Unsavable: trying again changes nothing, as long as nothing else does.
	Unsavable bool `json:"unsavable,omitempty"`
}

// failedFor is how long a failure is remembered that may have been the moment's.
const failedFor = 10 * time.Minute

// How long a snapshot waits while environments start, and for room.
const (
	snapshotYield = 10 * time.Second
	snapshotPause = time.Second
	roomPause     = time.Minute
)

// saved adds to a plan how its guest may be saved and restored.
func (s *Service) saved(plan *session.Plan, doc functionDoc, v *version) {
	plan.Hibernate, plan.Spec.Savable = true, true
	failure := v.Snapshot
	switch {
	case !s.cfg.Sessions.Templates():
		plan.Cold, plan.Spec.Savable, plan.Hibernate = "this server makes no snapshots", false, false
	case failure != nil && (failure.Unsavable || s.cfg.Now().Sub(failure.At) < failedFor):
		plan.Cold = "there is no snapshot: " + failure.Reason
	default:
		plan.Template = true
		plan.Wanted = func(cause error) {
			job := payload{Scope: doc.Scope, Name: doc.ID, ID: doc.State.ID, Number: v.Number}
			if cause != nil {
				job.Failure = cause.Error()
			}
			select {
			case s.wanted <- job:
			default: // environments go on wishing
			}
		}
	}
}

// Run writes down what environments wish for, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	for {
		select {
		case job := <-s.wanted:
			err := s.cfg.Store.Update(ctx, func(tx store.Tx) error { return s.grant(tx, job) })
			if err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("have a snapshot made", "function", job.Name, "error", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// grant has a snapshot made: at once, or, when environments could not be restored from
// the last, after a while in which they do not try.
func (s *Service) grant(tx store.Tx, job payload) error {
	if job.Failure == "" {
		return enqueueSnapshot(tx, job, time.Time{})
	}
	reason := "the last could not be resumed: " + job.Failure
	if err := s.recordFailure(tx, job, &snapshotState{Reason: reason, At: tx.Now()}); err != nil {
		return err
	}
	return enqueueSnapshot(tx, job, tx.Now().Add(failedFor))
}

// enqueueSnapshot has a snapshot made at a time, in place of what was planned; one that
// is being made, or soon will be, stays.
func enqueueSnapshot(tx store.Tx, job payload, at time.Time) error {
	key := job.key() + "/snapshot"
	planned, err := tx.WorkOf(key)
	if err != nil {
		return err
	}
	body, err := json.Marshal(job)
	if err != nil {
		return err
	}
	soon := tx.Now().Add(snapshotYield)
	if at.IsZero() && slices.ContainsFunc(planned, func(w store.Work) bool { return string(w.Payload) == string(body) && w.NotBefore.Before(soon) }) {
		return nil
	}
	if _, err := tx.CancelWork(key); err != nil {
		return err
	}
	return enqueueAt(tx, snapshotKind, key, job, at)
}

// makeSnapshot boots a version once and saves it for its environments.
type makeSnapshot struct{ s *Service }

// Do implements work.Handler.
func (h makeSnapshot) Do(ctx context.Context, item *work.Item) error {
	s := h.s
	job, doc, there, err := s.job(ctx, item.Work)
	if err != nil || !there || doc.State.Live == nil || doc.State.Live.Number != job.Number {
		return err
	}
	if s.cfg.Sessions.Starting() && s.cfg.Now().Sub(item.Created) < snapshotYield {
		return work.Later(snapshotPause)
	}
	select {
	case s.making <- struct{}{}:
		defer func() { <-s.making }()
	default:
		return work.Later(snapshotPause)
	}
	key := session.Key{Scope: job.Scope, Owner: owner(job.Name, job.ID), Endpoint: Latest, ID: templateID}
	plan, err := s.plan(ctx, doc, doc.State.Live, key)
	if err != nil {
		return h.none(ctx, item, job, &snapshotState{Reason: fault.From(err).Message})
	}
	if s.cfg.Sessions.HasTemplate(key, plan) && !job.Again {
		plan.Ended(session.End{}) // nothing has run
		return nil
	}
	begun := s.cfg.Now()
	err = s.cfg.Sessions.MakeTemplate(ctx, key, plan)
	started, unready := errors.AsType[*session.StartError](err)
	switch {
	case errors.Is(err, session.ErrLimit):
		return work.Later(roomPause)
	case errors.Is(err, session.ErrClosed):
		return work.Later(snapshotPause)
	case ctx.Err() != nil:
		return ctx.Err()
	case unready:
		return h.none(ctx, item, job, &snapshotState{Reason: started.Why()})
	case errors.Is(err, sandbox.ErrUnsavable):
		return h.none(ctx, item, job, &snapshotState{Reason: strings.TrimPrefix(err.Error(), sandbox.ErrUnsavable.Error()+": "), Unsavable: true})
	case err != nil:
		return err
	}
	s.cfg.Log.Info("snapshot made", "function", job.Name, "version", job.Number, "took", s.cfg.Now().Sub(begun).Round(time.Millisecond))
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := item.Complete(tx); err != nil {
			return err
		}
		job.Again = true
		return enqueueAt(tx, snapshotKind, job.key()+"/snapshot", job, tx.Now().Add(s.cfg.SnapshotLife/10*9))
	})
}

// none records why there is no snapshot. Environments start without.
func (h makeSnapshot) none(ctx context.Context, item *work.Item, job payload, state *snapshotState) error {
	h.s.cfg.Log.Info("no snapshot: environments start cold", "function", job.Name, "version", job.Number, "reason", state.Reason)
	return h.s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		state.At = tx.Now()
		if err := h.s.recordFailure(tx, job, state); err != nil {
			return err
		}
		return item.Complete(tx)
	})
}

func (s *Service) recordFailure(tx store.Tx, job payload, state *snapshotState) error {
	d, err := s.functions.Get(tx, job.Scope, job.Name)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || d.State.ID != job.ID || d.State.Live == nil || d.State.Live.Number != job.Number {
		return err
	}
	d.State.Live.Snapshot = state
	_, err = s.functions.Replace(tx, d)
	return err
}

// Failed leaves the function as it was.
func (h makeSnapshot) Failed(tx store.Tx, w store.Work, cause error) error {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return err
	}
	return h.s.recordFailure(tx, job, &snapshotState{Reason: fault.From(cause).Message, At: tx.Now()})
}
