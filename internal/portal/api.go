package portal

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

// listed is how many a listing has where nobody says how many, and maxPortals how many an
// account may have in a region. AWS publishes neither.
const (
	listed     = 100
	maxPortals = 100
)

// CreateConsentPortal accepts a portal; ACTIVE is a work item.
func (s *Service) CreateConsentPortal(ctx context.Context, in *agentcorecontrol.CreateConsentPortalRequest) (*agentcorecontrol.CreateConsentPortalResponse, error) {
	scope, id := pipeline.From(ctx).Scope, newID(*in.Name)
	if err := tag.Check(in.Tags); err != nil {
		return nil, err
	}
	source := *in.Sources[0].Identifier
	gateway, err := gatewayID(scope, source)
	if err != nil {
		return nil, err
	}
	sp := spec{Description: wire.Text(in.Description), Role: *in.ExecutionRoleArn, IDP: idpOf(in.IdpConfig), Tags: in.Tags}
	if _, err := s.check(ctx, scope, id, gateway, &sp); err != nil {
		return nil, err
	}
	var made document
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
		made, err = s.insert(tx, document{Scope: scope, ID: id, Name: *in.Name, Spec: sp, State: state{
			Status: agentcorecontrol.ConsentPortalStatusCREATING, Updated: tx.Now(), Gateway: gateway, Source: source, Serial: 1,
		}})
		return err
	})
	if err != nil {
		return nil, err
	}
	return new(agentcorecontrol.CreateConsentPortalResponse(*s.describe(made))), nil
}

// insert stores a new portal where browsers find it, and the work that makes it ACTIVE.
func (s *Service) insert(tx store.Tx, doc document) (document, error) {
	n := 0
	for _, err := range portals.Each(tx, doc.Scope, "") {
		if err != nil {
			return doc, err
		}
		n++
	}
	if n >= maxPortals {
		return doc, fault.Quota("Region %s has as many consent portals as it may have: %d. Delete some", doc.Scope.Region, n)
	}
	key := gatewayKey(gatewayARN(doc.Scope, doc.State.Gateway))
	switch _, taken, err := s.places.Get(tx, key); {
	case err != nil:
		return doc, err
	case taken:
		return doc, fault.Conflict("Gateway '%s' has a consent portal already, and may have one", doc.State.Gateway)
	}
	made, err := portals.Create(tx, doc)
	if errors.Is(err, store.ErrExists) {
		return doc, fault.Conflict("A consent portal with the name '%s' already exists in this account and region", doc.Name)
	}
	if err != nil {
		return doc, err
	}
	at := store.Place{Scope: doc.Scope, ID: doc.ID}
	return made, errors.Join(s.places.Put(tx, idKey(doc.ID), at), s.places.Put(tx, key, at), enqueue(tx, payload{doc.Scope, doc.ID, doc.State.Serial}))
}

// UpdateConsentPortal changes what is given and leaves the rest; name and sources stay for
// good.
func (s *Service) UpdateConsentPortal(ctx context.Context, in *agentcorecontrol.UpdateConsentPortalRequest) (*agentcorecontrol.UpdateConsentPortalResponse, error) {
	scope := pipeline.From(ctx).Scope
	id, err := idOf(scope, in.ConsentPortalIdentifier)
	if err != nil {
		return nil, err
	}
	doc, err := s.document(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	if in.Description != nil {
		doc.Spec.Description = *in.Description
	}
	if in.ExecutionRoleArn != nil {
		doc.Spec.Role = *in.ExecutionRoleArn
	}
	if in.IdpConfig != nil {
		doc.Spec.IDP = idpOf(in.IdpConfig)
	}
	if _, err := s.check(ctx, scope, id, doc.State.Gateway, &doc.Spec); err != nil {
		return nil, err
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		now, err := get(tx, scope, id)
		if err != nil {
			return err
		}
		if !settled(now.State.Status) {
			return fault.Conflict("Consent portal '%s' is %s; wait until it is ACTIVE", id, now.State.Status)
		}
		next := doc // as it was read: a change meanwhile is a conflict
		next.State.Status, next.State.Reason, next.State.Updated = agentcorecontrol.ConsentPortalStatusUPDATING, "", tx.Now()
		next.State.Serial++
		if next, err = portals.Replace(tx, next); errors.Is(err, store.ErrStale) {
			return fault.Conflict("Consent portal '%s' is being changed by another call", id).Because(err)
		} else if err != nil {
			return missing(err, id)
		}
		doc = next
		return enqueue(tx, payload{scope, id, next.State.Serial})
	})
	if err != nil {
		return nil, err
	}
	return new(agentcorecontrol.UpdateConsentPortalResponse(*s.describe(doc))), nil
}

// GetConsentPortal describes a portal.
func (s *Service) GetConsentPortal(ctx context.Context, in *agentcorecontrol.GetConsentPortalRequest) (*agentcorecontrol.GetConsentPortalResponse, error) {
	scope := pipeline.From(ctx).Scope
	id, err := idOf(scope, in.ConsentPortalIdentifier)
	if err != nil {
		return nil, err
	}
	doc, err := s.document(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	return s.describe(doc), nil
}

// describe projects what is configured; members nobody set stay absent.
func (s *Service) describe(doc document) *agentcorecontrol.GetConsentPortalResponse {
	return &agentcorecontrol.GetConsentPortalResponse{
		ConsentPortalId: &doc.ID, ConsentPortalArn: new(ARN(doc.Scope, doc.ID)), Name: &doc.Name, Description: wire.Optional(doc.Spec.Description),
		ExecutionRoleArn: &doc.Spec.Role, Sources: sources(&doc), PortalUrl: s.shownURL(&doc), Status: &doc.State.Status, StatusReason: wire.Optional(doc.State.Reason),
		IdpConfig: &agentcorecontrol.ConsentPortalIdpConfig{
			CredentialProviderArn: &doc.Spec.IDP.ProviderARN, Scopes: doc.Spec.IDP.Scopes, Audience: wire.Optional(doc.Spec.IDP.Audience),
		},
		CreatedAt: &doc.Created, UpdatedAt: &doc.State.Updated,
	}
}

func sources(doc *document) []agentcorecontrol.ConsentPortalSource {
	return []agentcorecontrol.ConsentPortalSource{{Identifier: new(doc.State.Source), Type: new(agentcorecontrol.ConsentPortalSourceTypeAgentcore_gateway)}}
}

// shownURL is where browsers find a portal, once there is something to find.
func (s *Service) shownURL(doc *document) *string {
	if doc.State.Served == nil {
		return nil
	}
	return new(s.URL(doc.ID))
}

// ListConsentPortals pages through the portals in the order of their creation.
func (s *Service) ListConsentPortals(ctx context.Context, in *agentcorecontrol.ListConsentPortalsRequest) (*agentcorecontrol.ListConsentPortalsResponse, error) {
	out := &agentcorecontrol.ListConsentPortalsResponse{ConsentPortals: []agentcorecontrol.ConsentPortalSummary{}}
	scope := pipeline.From(ctx).Scope
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		list, err := portals.List(r, scope, "", wire.Page(in.MaxResults, in.NextToken, listed))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, doc := range list.Items {
			out.ConsentPortals = append(out.ConsentPortals, agentcorecontrol.ConsentPortalSummary{
				ConsentPortalId: new(doc.ID), ConsentPortalArn: new(ARN(scope, doc.ID)), Name: new(doc.Name), Description: wire.Optional(doc.Spec.Description),
				Sources: sources(&doc), PortalUrl: s.shownURL(&doc), Status: new(doc.State.Status), CreatedAt: new(doc.Created), UpdatedAt: new(doc.State.Updated),
			})
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

// DeleteConsentPortal takes a portal away: at once, so that nobody is led to half of one.
// What users agreed to stays with its gateway.
func (s *Service) DeleteConsentPortal(ctx context.Context, in *agentcorecontrol.DeleteConsentPortalRequest) (*agentcorecontrol.DeleteConsentPortalResponse, error) {
	scope := pipeline.From(ctx).Scope
	id, err := idOf(scope, in.ConsentPortalIdentifier)
	if err != nil {
		return nil, err
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := get(tx, scope, id)
		if err != nil {
			return err
		}
		if _, err := tx.CancelWork(workKey(scope, id)); err != nil {
			return err
		}
		for _, key := range []string{idKey(id), gatewayKey(gatewayARN(scope, doc.State.Gateway))} {
			if err := s.places.Delete(tx, key); err != nil {
				return err
			}
		}
		return portals.Delete(tx, scope, id)
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.DeleteConsentPortalResponse{}, nil
}
