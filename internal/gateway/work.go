package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

// The kinds of this service's work items.
const (
	gatewayKind = "gateway.settle"
	targetKind  = "gateway.target"
	consentKind = "gateway.consent"
	changedKind = "gateway.changed"
)

// payload is what an item says about its job.
type payload struct {
	Scope   store.Scope `json:"scope"`
	Gateway string      `json:"gateway"`
	Target  string      `json:"target,omitempty"`
	// Serial is that of the change: an item of an earlier one has nothing to do.
	Serial int64 `json:"serial"`
	// User is who was asked to agree, for consentKind.
	User string `json:"user,omitempty"`
}

// Handlers are the work handlers of the service, by kind.
func (s *Service) Handlers() map[string]work.Handler {
	return map[string]work.Handler{gatewayKind: settle{s}, targetKind: prepare{s}, consentKind: expire{s}, changedKind: compare{s}}
}

func enqueueGateway(tx store.Tx, scope store.Scope, id string, serial int64) error {
	return enqueue(tx, store.Work{Kind: gatewayKind, Key: workKey(scope, id)}, payload{Scope: scope, Gateway: id, Serial: serial})
}

func enqueue(tx store.Tx, w store.Work, job payload) (err error) {
	if w.Payload, err = json.Marshal(job); err != nil {
		return err
	}
	_, err = tx.EnqueueWork(w)
	return err
}

// settle makes a gateway READY: what it keeps is then under the key that it names.
type settle struct{ s *Service }

func (h settle) Do(ctx context.Context, item *work.Item) error {
	s := h.s
	var job payload
	if err := json.Unmarshal(item.Payload, &job); err != nil {
		return work.Permanent(err)
	}
	doc, err := s.gatewayDoc(ctx, job.Scope, job.Gateway)
	if fault.Is(err, "ResourceNotFoundException") {
		return nil
	}
	if err != nil || doc.State.Serial != job.Serial || settledGateway(doc.State.Status) {
		return err
	}
	if err := s.reseal(ctx, doc); err != nil {
		return permanent(err)
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, err := s.docs.gateways.Update(tx, job.Scope, job.Gateway, func(d *gatewayDoc) error {
			if d.State.Serial != job.Serial {
				return nil // it was changed meanwhile, and has an item of its own
			}
			d.State.Status, d.State.Reasons, d.State.Updated = agentcorecontrol.GatewayStatusREADY, nil, tx.Now()
			d.State.Served, d.State.ServedSerial = &d.Spec.Config, d.State.Serial
			return nil
		})
		if err != nil {
			return gone(err)
		}
		touch(tx, job.Scope, job.Gateway)
		return item.Complete(tx)
	})
}

// Failed settles a gateway that cannot be made, or changed: what serves goes on.
func (h settle) Failed(tx store.Tx, w store.Work, cause error) error {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return err
	}
	_, err := h.s.docs.gateways.Update(tx, job.Scope, job.Gateway, func(d *gatewayDoc) error {
		if d.State.Serial != job.Serial {
			return nil
		}
		d.State.Status = agentcorecontrol.GatewayStatusUPDATE_UNSUCCESSFUL
		if d.State.Served == nil {
			d.State.Status = agentcorecontrol.GatewayStatusFAILED
		}
		d.State.Reasons, d.State.Updated = []string{reasonOf(cause)}, tx.Now()
		return nil
	})
	touch(tx, job.Scope, job.Gateway)
	return gone(err)
}

// reseal puts what targets are configured with, and what they offer, under the key that
// their gateway names now. Should it break off, each still says which key it is under.
func (s *Service) reseal(ctx context.Context, doc gatewayDoc) error {
	type child struct {
		kind, id string
		value    sealed
	}
	var others []child
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		others = nil
		for c, err := range s.docs.configs.Each(r, doc.Scope, doc.ID) {
			if err != nil {
				return err
			}
			if c.Spec.Key != doc.Spec.Config.Key {
				others = append(others, child{s.docs.configs.Kind, c.ID, c.Spec})
			}
		}
		for c, err := range s.docs.catalogues.Each(r, doc.Scope, doc.ID) {
			if err != nil {
				return err
			}
			if c.Spec.Key != doc.Spec.Config.Key {
				others = append(others, child{s.docs.catalogues.Kind, c.ID, c.Spec})
			}
		}
		return nil
	})
	for _, c := range others {
		if err != nil {
			break
		}
		of := owner(doc.Scope, c.kind, c.id)
		var plain []byte
		if plain, err = s.open(ctx, of, doc.Scope, c.value); err != nil {
			break
		}
		var now sealed
		if now, err = s.seal(ctx, doc.Spec.Config.Key, of, doc.Scope, plain); err != nil {
			break
		}
		err = s.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
			if c.kind == s.docs.configs.Kind {
				_, err = s.docs.configs.Update(tx, doc.Scope, c.id, func(d *configDoc) error { return swap(&d.Spec, c.value, now) })
			} else {
				_, err = s.docs.catalogues.Update(tx, doc.Scope, c.id, func(d *catalogueDoc) error { return swap(&d.Spec, c.value, now) })
			}
			return gone(err)
		})
	}
	if err != nil {
		return fmt.Errorf("put targets of gateway %s under another key: %w", doc.ID, err)
	}
	return nil
}

// swap replaces a sealed value, unless it was written meanwhile, by somebody who took the
// key that counts.
func swap(at *sealed, was, now sealed) error {
	if string(at.Data) == string(was.Data) {
		*at = now
	}
	return nil
}

// gone is nil for what is not there any more: then there is nothing to do.
func gone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// permanent marks what no further attempt mends: a refusal.
func permanent(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Status < http.StatusInternalServerError {
		return work.Permanent(err)
	}
	return err
}

// maxReason bounds a reason, in bytes.
const maxReason = 2000

// reasonOf is what a caller reads of work that failed. A full disk is nobody's secret, and
// nothing can be done about "an internal error".
func reasonOf(cause error) string {
	f := fault.From(cause)
	if f.Status == http.StatusInternalServerError && store.IsFull(cause) {
		return "The disk of this server is full. Free some space and try again."
	}
	return fault.Clip(f.Message, maxReason)
}
