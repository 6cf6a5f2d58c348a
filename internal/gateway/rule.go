package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// A rule's spec is the wire's JSON of UpdateGatewayRuleRequest without what names it. Its
// priority, as text, is its name: two rules of a gateway never have the same.
type (
	rules   = store.Collection[json.RawMessage, ruleState]
	ruleDoc = store.Resource[json.RawMessage, ruleState]
)

type ruleState struct {
	Updated time.Time `json:"updated"`
}

// rule reads a rule, or says that there is none.
func (c collections) rule(r store.Reader, scope store.Scope, gateway, id string) (ruleDoc, error) {
	doc, err := c.rules.Get(r, scope, childID(gateway, id))
	if errors.Is(err, store.ErrNotFound) {
		if _, err := c.gateway(r, scope, gateway); err != nil {
			return doc, err
		}
		return doc, fault.NotFound("No rule found with id '%s' in gateway '%s'", id, gateway)
	}
	return doc, err
}

// ruleOut is a rule as the wire tells of it.
func (s *Service) ruleOut(doc ruleDoc) (*agentcorecontrol.GatewayRuleDetail, error) {
	out := &agentcorecontrol.GatewayRuleDetail{}
	if err := decode(s.shapes.ruleOut, doc.Spec, out); err != nil {
		return nil, fmt.Errorf("read rule %s: %w", doc.ID, err)
	}
	out.RuleId, out.GatewayArn = new(ownID(doc.ID)), new(ARN(doc.Scope, doc.Parent))
	out.CreatedAt, out.UpdatedAt = &doc.Created, &doc.State.Updated
	out.Status = new(agentcorecontrol.GatewayRuleStatusACTIVE) // a rule is for the next call already
	return out, nil
}

// CreateGatewayRule adds a rule.
func (s *Service) CreateGatewayRule(ctx context.Context, in *agentcorecontrol.CreateGatewayRuleRequest) (*agentcorecontrol.CreateGatewayRuleResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	spec := &agentcorecontrol.UpdateGatewayRuleRequest{Priority: in.Priority, Conditions: in.Conditions, Actions: in.Actions, Description: in.Description}
	if err := checkRule(spec); err != nil {
		return nil, err
	}
	text, err := encode(s.shapes.rule, spec)
	if err != nil {
		return nil, err
	}
	id := uuid.NewString()
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.CreateGatewayRuleResponse, error) {
		if _, err := s.docs.gateway(tx, scope, gateway); err != nil {
			return nil, err
		}
		if err := s.checkRoutes(tx, scope, gateway, spec); err != nil {
			return nil, err
		}
		if err := room(tx, s.docs.rules, scope, gateway, 1, s.cfg.Quotas.Rules, "Gateway '"+gateway+"'", "rules"); err != nil {
			return nil, err
		}
		doc, err := s.docs.rules.Create(tx, ruleDoc{
			Scope: scope, ID: childID(gateway, id), Parent: gateway, Name: priority(spec), Spec: text, State: ruleState{Updated: tx.Now()},
		})
		if err != nil {
			return nil, priorityTaken(err, spec)
		}
		touch(tx, scope, gateway)
		o, err := s.ruleOut(doc)
		if err != nil {
			return nil, err
		}
		return &agentcorecontrol.CreateGatewayRuleResponse{
			RuleId: o.RuleId, GatewayArn: o.GatewayArn, Priority: o.Priority, Conditions: o.Conditions, Actions: o.Actions,
			Description: o.Description, CreatedAt: o.CreatedAt, Status: o.Status,
		}, nil
	})
}

func priority(spec *agentcorecontrol.UpdateGatewayRuleRequest) string {
	return strconv.Itoa(int(*spec.Priority))
}

func priorityTaken(err error, spec *agentcorecontrol.UpdateGatewayRuleRequest) error {
	if errors.Is(err, store.ErrExists) {
		return fault.Conflict("priority: another rule of the gateway has the priority %d; each has one of its own", *spec.Priority)
	}
	return err
}

// UpdateGatewayRule changes the members of a rule that are given.
func (s *Service) UpdateGatewayRule(ctx context.Context, in *agentcorecontrol.UpdateGatewayRuleRequest) (*agentcorecontrol.UpdateGatewayRuleResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	var out *agentcorecontrol.GatewayRuleDetail
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.docs.rule(tx, scope, gateway, *in.RuleId)
		if err != nil {
			return err
		}
		spec := &agentcorecontrol.UpdateGatewayRuleRequest{}
		if err := decode(s.shapes.rule, doc.Spec, spec); err != nil {
			return err
		}
		if in.Priority != nil {
			spec.Priority = in.Priority
		}
		if in.Conditions != nil {
			spec.Conditions = in.Conditions
		}
		if in.Actions != nil {
			spec.Actions = in.Actions
		}
		if in.Description != nil {
			spec.Description = in.Description
		}
		if err := checkRule(spec); err != nil {
			return err
		}
		if err := s.checkRoutes(tx, scope, gateway, spec); err != nil {
			return err
		}
		if doc.Spec, err = encode(s.shapes.rule, spec); err != nil {
			return err
		}
		doc.Name, doc.State.Updated = priority(spec), tx.Now()
		if doc, err = s.docs.rules.Replace(tx, doc); err != nil {
			return priorityTaken(err, spec)
		}
		touch(tx, scope, gateway)
		out, err = s.ruleOut(doc)
		return err
	})
	if err != nil {
		return nil, err
	}
	return new(agentcorecontrol.UpdateGatewayRuleResponse(*out)), nil
}

// GetGatewayRule describes a rule.
func (s *Service) GetGatewayRule(ctx context.Context, in *agentcorecontrol.GetGatewayRuleRequest) (*agentcorecontrol.GetGatewayRuleResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	var doc ruleDoc
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = s.docs.rule(r, scope, gateway, *in.RuleId)
		return err
	})
	if err != nil {
		return nil, err
	}
	out, err := s.ruleOut(doc)
	if err != nil {
		return nil, err
	}
	return new(agentcorecontrol.GetGatewayRuleResponse(*out)), nil
}

// ListGatewayRules pages through a gateway's rules in the order of their creation.
func (s *Service) ListGatewayRules(ctx context.Context, in *agentcorecontrol.ListGatewayRulesRequest) (*agentcorecontrol.ListGatewayRulesResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	out := &agentcorecontrol.ListGatewayRulesResponse{GatewayRules: []agentcorecontrol.GatewayRuleDetail{}}
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		if _, err := s.docs.gateway(r, scope, gateway); err != nil {
			return err
		}
		list, err := s.docs.rules.List(r, scope, gateway, wire.Page(in.MaxResults, in.NextToken, listed))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, doc := range list.Items {
			one, err := s.ruleOut(doc)
			if err != nil {
				return err
			}
			out.GatewayRules = append(out.GatewayRules, *one)
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

// DeleteGatewayRule takes a rule away.
func (s *Service) DeleteGatewayRule(ctx context.Context, in *agentcorecontrol.DeleteGatewayRuleRequest) (*agentcorecontrol.DeleteGatewayRuleResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.docs.rule(tx, scope, gateway, *in.RuleId)
		if err != nil {
			return err
		}
		touch(tx, scope, gateway)
		return s.docs.rules.Delete(tx, scope, doc.ID)
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.DeleteGatewayRuleResponse{RuleId: in.RuleId, Status: new(agentcorecontrol.GatewayRuleStatusDELETING)}, nil
}
