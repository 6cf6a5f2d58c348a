package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/resourcepolicy"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

// roll brings an endpoint to the version it shall run: that version must be READY,
// and its artifact on this host.
type roll struct{ s *Service }

// rollPause is how long a roll waits between two looks at a version that is being
// prepared.
const rollPause = 100 * time.Millisecond

func (h roll) Do(ctx context.Context, item *work.Item) error {
	s := h.s
	var job payload
	if err := json.Unmarshal(item.Payload, &job); err != nil {
		return work.Permanent(err)
	}
	e, v, err := s.rolling(ctx, job)
	if err != nil || settled(e.State.Status) {
		return err
	}
	switch v.State.Status {
	case agentcorecontrol.AgentRuntimeStatusREADY:
	case agentcorecontrol.AgentRuntimeStatusCREATING:
		return work.Later(rollPause)
	default:
		return work.Permanent(fault.Conflict("%s", unusable(v)))
	}
	on, err := s.startable(ctx, v)
	if err != nil {
		return permanent(err)
	}
	defer on.release()
	ran := e.State.Live
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, err := s.docs.endpoints.Update(tx, job.Scope, e.ID, func(d *endpointDoc) error {
			if settled(d.State.Status) || d.State.Target != e.State.Target { // an update of its runtime has DEFAULT
				return nil
			}
			d.State.run(d.State.Target, tx.Now())
			return nil
		})
		if err != nil {
			return gone(err)
		}
		if ran != e.State.Target && s.cfg.Sessions.Templates() {
			job := payload{Scope: job.Scope, ID: job.ID, Version: e.State.Target, Endpoint: e.Name}
			if err := enqueueSnapshot(tx, job, time.Time{}); err != nil {
				return err
			}
		}
		return item.Complete(tx)
	})
	return err
}

// rolling reads an endpoint and the version it shall run. One that is gone leaves
// nothing to do: it is as good as settled.
func (s *Service) rolling(ctx context.Context, job payload) (e endpointDoc, v versionDoc, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		if e, err = s.docs.endpoints.Get(r, job.Scope, endpointID(job.ID, job.Endpoint)); err != nil {
			return gone(err)
		}
		v, err = s.docs.versions.Get(r, job.Scope, versionID(job.ID, e.State.Target))
		return err
	})
	if err != nil {
		return e, v, fmt.Errorf("read endpoint %s of %s: %w", job.Endpoint, job.ID, err)
	}
	return e, v, nil
}

// Failed leaves an endpoint with the version it ran, if it ran one.
func (h roll) Failed(tx store.Tx, w store.Work, cause error) error {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return err
	}
	_, err := h.s.docs.endpoints.Update(tx, job.Scope, endpointID(job.ID, job.Endpoint), func(d *endpointDoc) error {
		if !settled(d.State.Status) {
			d.State.fail(reasonOf(cause), tx.Now())
		}
		return nil
	})
	return gone(err)
}

// removeEndpoint takes an endpoint away: first its sessions, then its document.
type removeEndpoint struct{ s *Service }

func (h removeEndpoint) Do(ctx context.Context, item *work.Item) error {
	s := h.s
	var job payload
	if err := json.Unmarshal(item.Payload, &job); err != nil {
		return work.Permanent(err)
	}
	if err := s.cfg.Sessions.StopEndpoint(ctx, job.Scope, job.ID, job.Endpoint); err != nil {
		return err
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := s.dropEndpoint(tx, job.Scope, job.ID, job.Endpoint); err != nil {
			return err
		}
		return item.Complete(tx)
	})
}

// dropEndpoint removes an endpoint's document and policy, and the snapshot that was
// to be made for it.
func (s *Service) dropEndpoint(tx store.Tx, scope store.Scope, id, name string) error {
	err := gone(s.docs.endpoints.Delete(tx, scope, endpointID(id, name)))
	if err == nil {
		err = resourcepolicy.Forget(tx, scope, EndpointARN(scope, id, name))
	}
	if err != nil {
		return err
	}
	_, err = tx.CancelWork(snapshotKey(payload{Scope: scope, ID: id, Endpoint: name}))
	return err
}

// Failed leaves an endpoint that could not be deleted where a person sees it.
func (h removeEndpoint) Failed(tx store.Tx, w store.Work, cause error) error {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return err
	}
	_, err := h.s.docs.endpoints.Update(tx, job.Scope, endpointID(job.ID, job.Endpoint), func(d *endpointDoc) error {
		d.State.Status = agentcorecontrol.AgentRuntimeEndpointStatusDELETE_FAILED
		d.State.FailureReason, d.State.LastUpdated = reasonOf(cause), tx.Now()
		return nil
	})
	return gone(err)
}

// gone forgives that what was to be changed is not there any more.
func gone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// permanent ends work at a refusal, which no further attempt can mend.
func permanent(err error) error {
	if f := fault.From(err); f.Status < http.StatusInternalServerError {
		return work.Permanent(err)
	}
	return err
}
