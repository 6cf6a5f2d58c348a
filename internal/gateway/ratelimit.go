package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// A rate limit's spec is the wire's JSON of BatchPutLimitEntry without its id. Its
// dimensions, in the order of their names, are its name: two of a gateway never have the
// same.
type (
	limits   = store.Collection[json.RawMessage, limitState]
	limitDoc = store.Resource[json.RawMessage, limitState]
)

type limitState struct {
	Updated time.Time `json:"updated"`
}

func (c collections) limit(r store.Reader, scope store.Scope, gateway, id string) (limitDoc, error) {
	doc, err := c.limits.Get(r, scope, childID(gateway, id))
	if errors.Is(err, store.ErrNotFound) {
		if _, err := c.gateway(r, scope, gateway); err != nil {
			return doc, err
		}
		return doc, fault.NotFound("No rate limit found with id '%s' in gateway '%s'", id, gateway)
	}
	return doc, err
}

// limitOut is a rate limit as the wire tells of it.
func (s *Service) limitOut(doc limitDoc) (*agentcorecontrol.GatewayRateLimitDetail, error) {
	out := &agentcorecontrol.GatewayRateLimitDetail{}
	if err := decode(s.shapes.limitOut, doc.Spec, out); err != nil {
		return nil, fmt.Errorf("read rate limit %s: %w", doc.ID, err)
	}
	out.RateLimitId, out.GatewayIdentifier = new(ownID(doc.ID)), &doc.Parent
	out.CreatedAt, out.UpdatedAt = &doc.Created, &doc.State.Updated
	out.Status = new(agentcorecontrol.GatewayRateLimitStatusACTIVE) // it is for the next call already
	return out, nil
}

// dimensions is what no two rate limits of a gateway may have the same of.
func dimensions(keys []string) string {
	sorted := slices.Clone(keys)
	slices.Sort(sorted)
	return strings.Join(sorted, "\n")
}

// CreateGatewayRateLimit adds a rate limit.
func (s *Service) CreateGatewayRateLimit(ctx context.Context, in *agentcorecontrol.CreateGatewayRateLimitRequest) (*agentcorecontrol.CreateGatewayRateLimitResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	spec := &agentcorecontrol.BatchPutLimitEntry{RateLimitId: in.RateLimitId, Description: in.Description, DimensionKeys: in.DimensionKeys, Entries: in.Entries}
	if err := checkLimit(spec, ""); err != nil {
		return nil, err
	}
	if spec.RateLimitId == nil {
		spec.RateLimitId = new(newLimitID())
	}
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.CreateGatewayRateLimitResponse, error) {
		if _, err := s.docs.gateway(tx, scope, gateway); err != nil {
			return nil, err
		}
		if err := room(tx, s.docs.limits, scope, gateway, 1, s.cfg.Quotas.RateLimits, "Gateway '"+gateway+"'", "rate limits"); err != nil {
			return nil, err
		}
		out, err := s.insertLimit(tx, scope, gateway, spec)
		if err != nil {
			return nil, err
		}
		touch(tx, scope, gateway)
		return new(agentcorecontrol.CreateGatewayRateLimitResponse(*out)), nil
	})
}

func newLimitID() string { return "ratelimit-" + wire.RandomTail(gatewayAlphabet) }

func (s *Service) insertLimit(tx store.Tx, scope store.Scope, gateway string, spec *agentcorecontrol.BatchPutLimitEntry) (*agentcorecontrol.GatewayRateLimitDetail, error) {
	text, err := s.limitText(spec)
	if err != nil {
		return nil, err
	}
	id := childID(gateway, *spec.RateLimitId)
	doc, err := s.docs.limits.Create(tx, limitDoc{Scope: scope, ID: id, Parent: gateway, Name: dimensions(spec.DimensionKeys), Spec: text, State: limitState{Updated: tx.Now()}})
	if errors.Is(err, store.ErrExists) {
		if _, err := s.docs.limits.Get(tx, scope, id); err == nil {
			return nil, fault.Conflict("A rate limit with the id '%s' already exists in gateway '%s'", *spec.RateLimitId, gateway)
		}
		return nil, fault.Conflict("dimensionKeys: another rate limit of the gateway has the same dimensions (%s); add entries to that one", strings.Join(spec.DimensionKeys, ", "))
	}
	if err != nil {
		return nil, err
	}
	return s.limitOut(doc)
}

func (s *Service) limitText(spec *agentcorecontrol.BatchPutLimitEntry) ([]byte, error) {
	stored := *spec
	stored.RateLimitId = nil
	return encode(s.shapes.limit, &stored)
}

// BatchPutGatewayRateLimits makes rate limits, or replaces those that have the ids: all of
// them or none.
func (s *Service) BatchPutGatewayRateLimits(ctx context.Context, in *agentcorecontrol.BatchPutGatewayRateLimitsRequest) (*agentcorecontrol.BatchPutGatewayRateLimitsResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	specs := slices.Clone(in.RateLimits)
	ids := map[string]bool{}
	for i := range specs {
		at := fmt.Sprintf("rateLimits.%d.member.", i+1)
		if err := checkLimit(&specs[i], at); err != nil {
			return nil, err
		}
		if specs[i].RateLimitId == nil {
			specs[i].RateLimitId = new(newLimitID())
		}
		if id := *specs[i].RateLimitId; ids[id] {
			return nil, fault.Invalid(at+"rateLimitId", "%srateLimitId: '%s' is given twice", at, id)
		}
		ids[*specs[i].RateLimitId] = true
	}
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.BatchPutGatewayRateLimitsResponse, error) {
		if _, err := s.docs.gateway(tx, scope, gateway); err != nil {
			return nil, err
		}
		out := &agentcorecontrol.BatchPutGatewayRateLimitsResponse{RateLimits: []agentcorecontrol.GatewayRateLimitDetail{}}
		for i := range specs {
			one, err := s.putLimit(tx, scope, gateway, &specs[i])
			if err != nil {
				return nil, err
			}
			out.RateLimits = append(out.RateLimits, *one)
		}
		touch(tx, scope, gateway)
		return out, room(tx, s.docs.limits, scope, gateway, 0, s.cfg.Quotas.RateLimits, "Gateway '"+gateway+"'", "rate limits")
	})
}

func (s *Service) putLimit(tx store.Tx, scope store.Scope, gateway string, spec *agentcorecontrol.BatchPutLimitEntry) (*agentcorecontrol.GatewayRateLimitDetail, error) {
	doc, err := s.docs.limits.Get(tx, scope, childID(gateway, *spec.RateLimitId))
	if errors.Is(err, store.ErrNotFound) {
		return s.insertLimit(tx, scope, gateway, spec)
	}
	if err != nil {
		return nil, err
	}
	if doc.Name != dimensions(spec.DimensionKeys) {
		return nil, fault.Invalid("dimensionKeys", "dimensionKeys: those of rate limit '%s' are %s and cannot be changed; delete it and make another", *spec.RateLimitId, strings.ReplaceAll(doc.Name, "\n", ", "))
	}
	if doc.Spec, err = s.limitText(spec); err != nil {
		return nil, err
	}
	doc.State.Updated = tx.Now()
	if doc, err = s.docs.limits.Replace(tx, doc); err != nil {
		return nil, err
	}
	return s.limitOut(doc)
}

// UpdateGatewayRateLimit replaces the entries of a rate limit, and its description where
// one is given.
func (s *Service) UpdateGatewayRateLimit(ctx context.Context, in *agentcorecontrol.UpdateGatewayRateLimitRequest) (*agentcorecontrol.UpdateGatewayRateLimitResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	var out *agentcorecontrol.GatewayRateLimitDetail
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.docs.limit(tx, scope, gateway, *in.RateLimitId)
		if err != nil {
			return err
		}
		spec := &agentcorecontrol.BatchPutLimitEntry{}
		if err := decode(s.shapes.limit, doc.Spec, spec); err != nil {
			return err
		}
		spec.Entries = in.Entries
		if in.Description != nil {
			spec.Description = in.Description
		}
		if err := checkLimit(spec, ""); err != nil {
			return err
		}
		spec.RateLimitId = in.RateLimitId
		touch(tx, scope, gateway)
		out, err = s.putLimit(tx, scope, gateway, spec)
		return err
	})
	if err != nil {
		return nil, err
	}
	return new(agentcorecontrol.UpdateGatewayRateLimitResponse(*out)), nil
}

// GetGatewayRateLimit describes a rate limit.
func (s *Service) GetGatewayRateLimit(ctx context.Context, in *agentcorecontrol.GetGatewayRateLimitRequest) (*agentcorecontrol.GetGatewayRateLimitResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	var doc limitDoc
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = s.docs.limit(r, scope, gateway, *in.RateLimitId)
		return err
	})
	if err != nil {
		return nil, err
	}
	out, err := s.limitOut(doc)
	if err != nil {
		return nil, err
	}
	return new(agentcorecontrol.GetGatewayRateLimitResponse(*out)), nil
}

// ListGatewayRateLimits pages through a gateway's rate limits in the order of their
// creation.
func (s *Service) ListGatewayRateLimits(ctx context.Context, in *agentcorecontrol.ListGatewayRateLimitsRequest) (*agentcorecontrol.ListGatewayRateLimitsResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	out := &agentcorecontrol.ListGatewayRateLimitsResponse{RateLimits: []agentcorecontrol.GatewayRateLimitDetail{}}
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		if _, err := s.docs.gateway(r, scope, gateway); err != nil {
			return err
		}
		list, err := s.docs.limits.List(r, scope, gateway, wire.Page(in.MaxResults, in.NextToken, listed))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, doc := range list.Items {
			one, err := s.limitOut(doc)
			if err != nil {
				return err
			}
			out.RateLimits = append(out.RateLimits, *one)
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

// DeleteGatewayRateLimit takes a rate limit away.
func (s *Service) DeleteGatewayRateLimit(ctx context.Context, in *agentcorecontrol.DeleteGatewayRateLimitRequest) (*agentcorecontrol.DeleteGatewayRateLimitResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.docs.limit(tx, scope, gateway, *in.RateLimitId)
		if err != nil {
			return err
		}
		touch(tx, scope, gateway)
		return s.docs.limits.Delete(tx, scope, doc.ID)
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.DeleteGatewayRateLimitResponse{RateLimitId: in.RateLimitId, Status: new(agentcorecontrol.GatewayRateLimitStatusDELETING)}, nil
}
