package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/resourcepolicy"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
	"github.com/outcrop/outcrop/internal/workload"
)

// The kinds of this service's work items.
const (
	prepareKind        = "runtime.prepare"
	deleteKind         = "runtime.delete"
	deleteVersionKind  = "runtime.delete-version"
	rollKind           = "runtime.roll"
	deleteEndpointKind = "runtime.delete-endpoint"
	providerKind       = "runtime.capacity-provider"
	pruneKind          = "runtime.prune"
	// These come after READY and change no status.
	snapshotKind = "runtime.snapshot"
	issuerKind   = "runtime.issuer"
)

// payload is what an item says about its job.
type payload struct {
	Scope   store.Scope `json:"scope"`
	ID      string      `json:"id"`
	Version int         `json:"version,omitempty"`
	// Digests are the code that may have lost its last user, for pruneKind.
	Digests []string `json:"digests,omitempty"`
	// Waits is how often the item found what it prunes in use.
	Waits int `json:"waits,omitempty"`
	// Endpoint is the one that is meant; for snapshotKind the one whose sessions a
	// snapshot is for, and Again says that it replaces one that is about to be too
	// old.
	Endpoint string `json:"endpoint,omitempty"`
	Again    bool   `json:"again,omitempty"`
	// Failure is why sessions could not be restored from the last one; it is
	// never stored.
	Failure string `json:"-"`
}

// enqueue adds an item. Endpoints and versions that go do not wait for what is
// done to their runtime.
func enqueue(tx store.Tx, kind string, job payload) error {
	body, err := json.Marshal(job)
	if err != nil {
		return err
	}
	key := workKey(job.Scope, job.ID)
	switch kind {
	case rollKind, deleteEndpointKind:
		key += "/endpoint/" + job.Endpoint
	case deleteVersionKind:
		key += "/version/" + strconv.Itoa(job.Version)
	case issuerKind: // which may take its time to be found out of reach
		key += "/issuer"
	}
	_, err = tx.EnqueueWork(store.Work{Kind: kind, Key: key, Payload: body})
	return err
}

// Handlers are the work handlers of the service, by kind.
func (s *Service) Handlers() map[string]work.Handler {
	return map[string]work.Handler{
		prepareKind: prepare{s}, deleteKind: remove{s}, deleteVersionKind: removeVersion{s},
		rollKind: roll{s}, deleteEndpointKind: removeEndpoint{s},
		providerKind: settleProvider{s}, pruneKind: prune{s}, issuerKind: findIssuer{s}, snapshotKind: makeSnapshot{s},
	}
}

// prepare brings a version's artifact onto this host, checks that it can be
// started, and makes the version READY, pinned by digest.
type prepare struct{ s *Service }

func (p prepare) Do(ctx context.Context, item *work.Item) error {
	s := p.s
	job, v, err := s.job(ctx, item.Work)
	if err != nil || v.State.Status != agentcorecontrol.AgentRuntimeStatusCREATING {
		return err
	}
	on, err := s.startable(ctx, v)
	if err != nil {
		return permanent(err)
	}
	defer on.release()
	spec, err := s.configuration(v)
	if err != nil {
		return permanent(err)
	}
	v.State.Digest = on.digest
	if err := s.warmUp(ctx, job, v); err != nil {
		return permanent(err)
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		now := tx.Now()
		_, err := s.docs.versions.Update(tx, job.Scope, v.ID, func(d *versionDoc) error {
			d.State.Status, d.State.Digest, d.State.Fit, d.State.LastUpdated = agentcorecontrol.AgentRuntimeStatusREADY, on.digest, on.fit, now
			return nil
		})
		if err != nil {
			return err
		}
		_, err = s.docs.runtimes.Update(tx, job.Scope, job.ID, func(d *runtimeDoc) error {
			d.State.Status, d.State.FailureReason, d.State.LastUpdated = agentcorecontrol.AgentRuntimeStatusREADY, "", now
			return nil
		})
		if err != nil {
			return err
		}
		_, err = s.docs.endpoints.Update(tx, job.Scope, endpointID(job.ID, DefaultEndpoint), func(d *endpointDoc) error {
			d.State.run(job.Version, now)
			return nil
		})
		if err != nil {
			return err
		}
		if spec.AuthorizerConfiguration != nil {
			if err := enqueue(tx, issuerKind, job); err != nil {
				return err
			}
		}
		if s.cfg.Sessions.Templates() {
			job.Endpoint = DefaultEndpoint
			if err := enqueueSnapshot(tx, job, time.Time{}); err != nil {
				return err
			}
		}
		return item.Complete(tx)
	})
}

// maxPulls bounds the work items that open images at a time. A registry may keep one
// for a quarter of an hour, and the others, half of those that work.Options has run,
// are for all other work.
const maxPulls = 8

// pullPause is how long an item waits until it looks whether it may pull.
const pullPause = 2 * time.Second

// startable brings a version's artifact onto this host, which the caller releases,
// if a session could be started from it. It is for work items: its error may be
// work.Later.
func (s *Service) startable(ctx context.Context, v versionDoc) (*boot, error) {
	made, err := s.artifactOf(v)
	if err != nil {
		return nil, err
	}
	if _, pulls := made.(container); pulls {
		select {
		case s.pulls <- struct{}{}:
			defer func() { <-s.pulls }()
		default:
			return nil, work.Later(pullPause)
		}
	}
	on, err := made.open(ctx, v)
	if err != nil {
		return nil, err
	}
	if err := s.checkCommand(ctx, v, on); err != nil {
		on.release()
		return nil, err
	}
	return on, nil
}

// checkCommand refuses an artifact whose command could not be executed, in the
// environment of its version.
func (s *Service) checkCommand(ctx context.Context, v versionDoc, on *boot) error {
	if on.check == nil {
		return nil
	}
	env, err := s.environment(ctx, v)
	if err != nil {
		return err
	}
	searchPath := ""
	for _, kv := range merge(on.spec.Env, userEnv(env)) {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			searchPath = value
		}
	}
	return on.check(searchPath)
}

// Failed settles a version that cannot be prepared. DEFAULT stays with the
// version it had.
func (p prepare) Failed(tx store.Tx, w store.Work, cause error) error {
	s := p.s
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return err
	}
	now, reason := tx.Now(), reasonOf(cause)
	_, err := s.docs.versions.Update(tx, job.Scope, versionID(job.ID, job.Version), func(d *versionDoc) error {
		d.State.Status, d.State.FailureReason, d.State.LastUpdated = agentcorecontrol.AgentRuntimeStatusCREATE_FAILED, reason, now
		return nil
	})
	if err != nil {
		return err
	}
	first := job.Version == 1
	_, err = s.docs.runtimes.Update(tx, job.Scope, job.ID, func(d *runtimeDoc) error {
		d.State.Status = agentcorecontrol.AgentRuntimeStatusUPDATE_FAILED
		if first {
			d.State.Status = agentcorecontrol.AgentRuntimeStatusCREATE_FAILED
		}
		d.State.FailureReason, d.State.LastUpdated = reason, now
		return nil
	})
	if err != nil {
		return err
	}
	_, err = s.docs.endpoints.Update(tx, job.Scope, endpointID(job.ID, DefaultEndpoint), func(d *endpointDoc) error {
		d.State.fail(reason, now)
		return nil
	})
	return err
}

// reasonOf is what a caller reads of work that failed. A full disk is nobody's
// secret, and nothing can be done about "an internal error".
func reasonOf(cause error) string {
	f := fault.From(cause)
	if f.Status == http.StatusInternalServerError && store.IsFull(cause) {
		return "The disk of this server is full. Free some space and try again."
	}
	return f.Message
}

// job reads an item's payload and the version it is about. A version that is
// gone leaves nothing to do: its zero status is not CREATING.
func (s *Service) job(ctx context.Context, w store.Work) (payload, versionDoc, error) {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return job, versionDoc{}, work.Permanent(err)
	}
	var v versionDoc
	err := s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		v, err = s.docs.versions.Get(r, job.Scope, versionID(job.ID, job.Version))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	return job, v, err
}

// configuration is a version's spec as a value of the wire.
func (s *Service) configuration(v versionDoc) (*agentcorecontrol.UpdateAgentRuntimeRequest, error) {
	spec := &agentcorecontrol.UpdateAgentRuntimeRequest{}
	if err := protocol.UnmarshalJSON(&agentcorecontrol.Service, s.shapes.update, v.Spec, spec); err != nil {
		return nil, fmt.Errorf("read configuration of %s: %w", v.ID, err)
	}
	return spec, nil
}

// remove takes a runtime away: first its sessions, then its documents, and by
// another item the code that nobody else uses.
type remove struct{ s *Service }

func (d remove) Do(ctx context.Context, item *work.Item) error {
	s := d.s
	var job payload
	if err := json.Unmarshal(item.Payload, &job); err != nil {
		return work.Permanent(err)
	}
	if err := s.cfg.Sessions.StopOwner(ctx, job.Scope, job.ID); err != nil {
		return err
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		job.Digests = nil
		for v, err := range s.docs.versions.Each(tx, job.Scope, job.ID) {
			if err != nil {
				return err
			}
			if err := s.dropVersion(tx, v); err != nil {
				return err
			}
			if v.State.Digest != "" && !slices.Contains(job.Digests, v.State.Digest) {
				job.Digests = append(job.Digests, v.State.Digest)
			}
		}
		for e, err := range s.docs.endpoints.Each(tx, job.Scope, job.ID) {
			if err != nil {
				return err
			}
			if err := s.dropEndpoint(tx, job.Scope, job.ID, e.Name); err != nil {
				return err
			}
		}
		if err := errors.Join(gone(s.docs.runtimes.Delete(tx, job.Scope, job.ID)), gone(workload.Delete(tx, job.Scope, job.ID)), resourcepolicy.Forget(tx, job.Scope, ARN(job.Scope, job.ID))); err != nil {
			return err
		}
		if len(job.Digests) > 0 {
			if err := enqueue(tx, pruneKind, job); err != nil {
				return err
			}
		}
		return item.Complete(tx)
	})
}

// Failed leaves a runtime that could not be deleted where a person sees it.
func (d remove) Failed(tx store.Tx, w store.Work, cause error) error {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return err
	}
	_, err := d.s.docs.runtimes.Update(tx, job.Scope, job.ID, func(doc *runtimeDoc) error {
		doc.State.Status = agentcorecontrol.AgentRuntimeStatusDELETE_FAILED
		doc.State.FailureReason, doc.State.LastUpdated = reasonOf(cause), tx.Now()
		return nil
	})
	return err
}

// prune removes the unpacked code and images of a runtime that is gone, unless
// another version refers to them.
type prune struct{ s *Service }

func (p prune) Do(ctx context.Context, item *work.Item) error {
	var job payload
	if err := json.Unmarshal(item.Payload, &job); err != nil {
		return work.Permanent(err)
	}
	removed, err := p.s.cfg.Code.Prune(ctx, job.Digests, func() (map[string]bool, error) { return p.s.needed(ctx, nil) })
	if err != nil {
		return err
	}
	inUse, err := p.s.needed(ctx, nil)
	if err != nil {
		return err
	}
	for _, digest := range job.Digests {
		if inUse[digest] || slices.Contains(removed.Digests, digest) {
			continue
		}
		code, err := p.s.cfg.Code.Open(digest)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		code.Release()
		return p.later(item, job) // who holds it, such as a snapshot in the making, lets go soon, or runs on
	}
	held, err := p.s.dropImages(ctx, job.Digests)
	if held && err == nil {
		return p.later(item, job)
	}
	return err
}

// How long what nobody needs waits while somebody still holds it: a session of a
// version that was deleted may run for days.
const (
	prunePause    = time.Second
	maxPrunePause = time.Minute
)

// later has an item looked at again, the later the longer it has waited.
func (prune) later(item *work.Item, job payload) error {
	pause := min(maxPrunePause, prunePause<<min(job.Waits, 30))
	job.Waits++
	body, err := json.Marshal(job)
	if err != nil {
		return err
	}
	item.Payload = body
	return work.Later(pause)
}

// Failed leaves the code on the disk, which harms nobody.
func (prune) Failed(store.Tx, store.Work, error) error { return nil }
