package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

// templateID stands for a session in the log of a guest that others are copied
// from. No session can have it: theirs are longer.
const templateID = "snapshot"

// spareID stands for the session of a guest that waits for one.
const spareID = "spare"

// What a runtime says about its snapshots, by environment variables or, the
// first, by a tag.
const (
	snapshotVariable = "OUTCROP_SNAPSHOT"
	snapshotTag      = "outcrop:snapshot"
	hookVariable     = "OUTCROP_RESTORE_HOOK"
)

// The values of OUTCROP_SNAPSHOT; none is on.
const (
	snapshotOn   = "on"
	snapshotOff  = "off"  // nothing of it is ever saved
	snapshotSafe = "safe" // its programs draw nothing unique by themselves
)

// checkSnapshot refuses what would silently mean something else.
func checkSnapshot(env, tags map[string]string) error {
	for field, v := range map[string]string{
		"environmentVariables." + snapshotVariable: env[snapshotVariable], "tags." + snapshotTag: tags[snapshotTag],
	} {
		if v != "" && !slices.Contains([]string{snapshotOn, snapshotOff, snapshotSafe}, v) {
			return fault.Invalid(field, "%s must be %s, %s or %s", field, snapshotOn, snapshotOff, snapshotSafe)
		}
	}
	return nil
}

// snapshotRules are a runtime's own wishes; the variable wins over the tag.
type snapshotRules struct {
	off, safe bool
	hook      []string
}

func rulesOf(rt runtimeDoc, env map[string]string) snapshotRules {
	value := env[snapshotVariable]
	if value == "" {
		value = rt.Spec.Tags[snapshotTag]
	}
	return snapshotRules{off: value == snapshotOff, safe: value == snapshotSafe, hook: strings.Fields(env[hookVariable])}
}

// snapshotState is what became of a version's snapshot when it was not made.
type snapshotState struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	// Unsavable: trying again changes nothing, as long as nothing else does.
	Unsavable bool `json:"unsavable,omitempty"`
}

// How long a failure is remembered: one that will repeat itself for as long as a
// snapshot is used, another until the next session after a while.
const (
	unsavableFor = SnapshotLife
	failedFor    = 10 * time.Minute
)

func (f *snapshotState) holds() time.Duration {
	if f.Unsavable {
		return unsavableFor
	}
	return failedFor
}

// text says why sessions start cold.
func (f *snapshotState) text() string {
	if f.Unsavable {
		return "its guest cannot be saved: " + f.Reason
	}
	return "there is no snapshot: " + f.Reason
}

// SnapshotLife is how long a snapshot is used unless the operator says otherwise:
// it freezes what its guest had fetched, credentials included.
const SnapshotLife = 24 * time.Hour

// saved adds to a plan how its guest may be saved and restored.
func (s *Service) saved(plan *session.Plan, rt runtimeDoc, v versionDoc, env map[string]string, key session.Key) {
	rules := rulesOf(rt, env)
	plan.Hibernate = !rules.off
	plan.Spec.Savable = !rules.off
	plan.Spec.SafeToCopy, plan.Spec.RestoreHook = rules.safe, rules.hook
	switch failed := v.State.Snapshot; {
	case !s.cfg.Sessions.Templates():
		plan.Cold = "this server makes no snapshots"
		plan.Spec.Savable = false
	case rules.off:
		plan.Cold = snapshotVariable + "=" + snapshotOff
	case failed != nil && s.cfg.Now().Sub(failed.At) < failed.holds():
		plan.Cold = failed.text()
	default:
		plan.Template = true
		plan.Wanted = func(cause error) {
			job := payload{Scope: key.Scope, ID: key.Owner, Version: versionNumber(v), Endpoint: key.Endpoint}
			if cause != nil {
				job.Failure = cause.Error()
			}
			s.want(job)
		}
	}
}

// want has a snapshot made when somebody has the time; too many wishes are
// dropped, since sessions go on wishing.
func (s *Service) want(job payload) {
	select {
	case s.wanted <- job:
	default:
	}
}

// Run writes down what sessions wish for, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	if err := s.identifyAll(ctx); err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("give older runtimes their workload identities", "error", err)
	}
	// Before somebody waits for it: it takes a while on a busy machine.
	if _, err := s.interpreters(ctx); err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("look for interpreters", "error", err)
	}
	s.wantSpares(ctx)
	for {
		select {
		case job := <-s.wanted:
			err := s.cfg.Store.Update(ctx, func(tx store.Tx) error { return s.grant(tx, job) })
			if err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("have a snapshot made", "runtime", job.ID, "error", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wantSpares has spares made of what has a snapshot, before its first session of this
// process.
func (s *Service) wantSpares(ctx context.Context) {
	if !s.cfg.Sessions.KeepsSpares() {
		return
	}
	known, err := s.Known(ctx)
	if err != nil {
		s.cfg.Log.Warn("look for runtimes to keep spares of", "error", err)
	}
	for _, key := range known {
		key.ID = templateID
		plan, err := s.Plan(ctx, key, "")
		if err != nil {
			continue // it has no version, or none that can be started
		}
		if s.cfg.Sessions.HasTemplate(key, plan) {
			s.cfg.Sessions.WantSpares(key, plan)
		}
		plan.Ended(session.End{}) // nothing has run
	}
}

// grant has a snapshot made: at once, or, when sessions could not be restored from
// the last, after a while in which they do not try.
func (s *Service) grant(tx store.Tx, job payload) error {
	if job.Failure == "" {
		return enqueueSnapshot(tx, job, time.Time{})
	}
	if err := s.recordFailure(tx, job, snapshotState{Reason: "the last could not be resumed: " + job.Failure}); err != nil {
		return err
	}
	job.Failure = ""
	return enqueueSnapshot(tx, job, tx.Now().Add(failedFor))
}

// snapshotKey keeps the making of snapshots out of the way of a runtime's other
// work.
func snapshotKey(job payload) string { return workKey(job.Scope, job.ID) + "/snapshot/" + job.Endpoint }

// enqueueSnapshot has a snapshot made at a time, in place of what was planned; one
// that is being made, or soon will be, stays. Sessions that start one after the
// other would put it off for ever if each began its wait anew.
func enqueueSnapshot(tx store.Tx, job payload, at time.Time) error {
	key := snapshotKey(job)
	body, err := json.Marshal(job)
	if err != nil {
		return err
	}
	planned, err := tx.WorkOf(key)
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
	_, err = tx.EnqueueWork(store.Work{Kind: snapshotKind, Key: key, Payload: body, NotBefore: at})
	return err
}

// makeSnapshot boots a version once and saves it for its sessions. One is made at
// a time: they have time, and sessions have not.
type makeSnapshot struct{ s *Service }

// How long a snapshot waits while sessions start, and for room.
const (
	snapshotYield = 10 * time.Second
	snapshotPause = time.Second
	roomPause     = 15 * time.Second
)

func (h makeSnapshot) Do(ctx context.Context, item *work.Item) error {
	s := h.s
	job, v, err := s.job(ctx, item.Work)
	if err != nil || v.State.Status != agentcorecontrol.AgentRuntimeStatusREADY || !s.cfg.Sessions.Templates() {
		return err
	}
	select {
	case s.making <- struct{}{}:
		defer func() { <-s.making }()
	default:
		return work.Later(snapshotPause)
	}
	if s.cfg.Sessions.Starting() && s.cfg.Now().Sub(item.Created) < snapshotYield {
		return work.Later(snapshotPause)
	}
	key := session.Key{Scope: job.Scope, Owner: job.ID, Endpoint: job.Endpoint, ID: templateID}
	current, err := s.runs(ctx, key, job.Version)
	if err != nil || !current {
		return err
	}
	plan, err := s.Plan(ctx, key, versionText(v))
	if err != nil {
		return err
	}
	if !plan.Template || !job.Again && s.cfg.Sessions.HasTemplate(key, plan) {
		plan.Ended(session.End{}) // nothing has run
		return nil
	}
	begun := s.cfg.Now()
	err = notNow(s.cfg.Sessions.MakeTemplate(ctx, key, plan))
	var start *session.StartError
	var command *sandbox.CommandError
	switch {
	case errors.As(err, &start):
		return s.noSnapshot(ctx, item, job, snapshotState{Reason: start.Why()})
	case errors.As(err, &command):
		return s.noSnapshot(ctx, item, job, snapshotState{Reason: "it cannot be started: " + command.Reason})
	case errors.Is(err, sandbox.ErrUnsavable):
		return s.noSnapshot(ctx, item, job, snapshotState{Reason: unwrapped(err), Unsavable: true})
	case err != nil:
		return err
	}
	s.cfg.Log.Info("snapshot made", "runtime", job.ID, "version", job.Version, "took", s.cfg.Now().Sub(begun).Round(time.Millisecond))
	return s.hasSnapshot(ctx, item, job)
}

// notNow has a rehearsal repeated that got no room, or, by the next server, one that
// this server's end cut off. Other outcomes stay as they are.
func notNow(err error) error {
	switch {
	case errors.Is(err, session.ErrLimit):
		return work.Later(roomPause)
	case errors.Is(err, session.ErrClosed):
		return work.Later(snapshotPause)
	}
	return err
}

// unwrapped is the reason without the words that every such error has.
func unwrapped(err error) string {
	return strings.TrimPrefix(err.Error(), sandbox.ErrUnsavable.Error()+": ")
}

// hasSnapshot records the success, and has the next one made before this one is
// too old. A runtime that was deleted meanwhile takes its snapshot along.
func (s *Service) hasSnapshot(ctx context.Context, item *work.Item, job payload) error {
	gone := false
	err := s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		gone = false
		_, err := s.docs.versions.Update(tx, job.Scope, versionID(job.ID, job.Version), func(d *versionDoc) error {
			d.State.Snapshot = nil
			return nil
		})
		if errors.Is(err, store.ErrNotFound) {
			gone = true
			return item.Complete(tx)
		}
		if err != nil {
			return err
		}
		if err := item.Complete(tx); err != nil {
			return err
		}
		job.Again = true
		return enqueueSnapshot(tx, job, tx.Now().Add(s.cfg.SnapshotLife/10*9))
	})
	if gone {
		s.cfg.Sessions.DropTemplates(job.Scope, job.ID)
	}
	return err
}

// noSnapshot records why there is none. Sessions start without.
func (s *Service) noSnapshot(ctx context.Context, item *work.Item, job payload, state snapshotState) error {
	s.cfg.Log.Info("no snapshot: sessions start cold", "runtime", job.ID, "version", job.Version, "reason", state.Reason)
	s.output(session.Key{Scope: job.Scope, Owner: job.ID, Endpoint: job.Endpoint, ID: templateID}).note("no snapshot, sessions start cold: " + state.Reason)
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := s.recordFailure(tx, job, state); err != nil {
			return err
		}
		return item.Complete(tx)
	})
}

func (s *Service) recordFailure(tx store.Tx, job payload, state snapshotState) error {
	state.At = tx.Now()
	_, err := s.docs.versions.Update(tx, job.Scope, versionID(job.ID, job.Version), func(d *versionDoc) error {
		d.State.Snapshot = &state
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// Failed leaves the version as READY as it was.
func (h makeSnapshot) Failed(tx store.Tx, w store.Work, cause error) error {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return err
	}
	return h.s.recordFailure(tx, job, snapshotState{Reason: fault.From(cause).Message})
}

// runs reports whether an endpoint runs this version now.
func (s *Service) runs(ctx context.Context, key session.Key, version int) (current bool, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		e, err := s.docs.endpoints.Get(r, key.Scope, endpointID(key.Owner, key.Endpoint))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		current = err == nil && e.State.Live == version
		return err
	})
	return current, err
}
