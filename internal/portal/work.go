package portal

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

// settleKind is the kind of this service's work items.
const settleKind = "portal.settle"

// payload is what an item says about its job.
type payload struct {
	Scope store.Scope `json:"scope"`
	ID    string      `json:"id"`
	// Serial is that of the change: an item of an earlier one has nothing to do.
	Serial int64 `json:"serial"`
}

// Handlers are the work handlers of the service, by kind.
func (s *Service) Handlers() map[string]work.Handler {
	return map[string]work.Handler{settleKind: settle{s}}
}

func workKey(scope store.Scope, id string) string { return "portal/" + scope.String() + "/" + id }

func enqueue(tx store.Tx, job payload) error {
	text, err := json.Marshal(job)
	if err != nil {
		return err
	}
	_, err = tx.EnqueueWork(store.Work{Kind: settleKind, Key: workKey(job.Scope, job.ID), Payload: text})
	return err
}

// settle makes a portal ACTIVE whose role, gateway and identity provider are still those
// that were accepted.
type settle struct{ s *Service }

// Do implements work.Handler.
func (h settle) Do(ctx context.Context, item *work.Item) error {
	var job payload
	if err := json.Unmarshal(item.Payload, &job); err != nil {
		return work.Permanent(err)
	}
	doc, err := h.s.document(ctx, job.Scope, job.ID)
	if fault.Is(err, "ResourceNotFoundException") {
		return nil
	}
	if err != nil || doc.State.Serial != job.Serial || settled(doc.State.Status) {
		return err
	}
	advice, err := h.s.check(ctx, job.Scope, job.ID, doc.State.Gateway, &doc.Spec)
	if err != nil {
		if f := fault.From(err); f.Status < http.StatusInternalServerError {
			return work.Permanent(err)
		}
		return err
	}
	return h.s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, err := portals.Update(tx, job.Scope, job.ID, func(d *document) error {
			if d.State.Serial != job.Serial {
				return nil // it was changed meanwhile, and has an item of its own
			}
			d.State.Status, d.State.Reason, d.State.Updated = agentcorecontrol.ConsentPortalStatusACTIVE, fault.Clip(advice, maxReason), tx.Now()
			served := d.Spec
			d.State.Served = &served
			return nil
		})
		if err != nil {
			return gone(err)
		}
		return item.Complete(tx)
	})
}

// maxReason bounds a statusReason, in characters (spec/identity.md 3).
const maxReason = 1024

// Failed settles a portal that cannot be made, or changed: what serves goes on.
func (h settle) Failed(tx store.Tx, w store.Work, cause error) error {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return err
	}
	_, err := portals.Update(tx, job.Scope, job.ID, func(d *document) error {
		if d.State.Serial != job.Serial {
			return nil
		}
		d.State.Status = agentcorecontrol.ConsentPortalStatusUPDATE_FAILED
		if d.State.Served == nil {
			d.State.Status = agentcorecontrol.ConsentPortalStatusFAILED
		}
		d.State.Reason, d.State.Updated = fault.Clip(fault.From(cause).Message, maxReason), tx.Now()
		return nil
	})
	return gone(err)
}

// gone is nil for a portal that was deleted meanwhile.
func gone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
