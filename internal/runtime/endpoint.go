package runtime

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

// CreateAgentRuntimeEndpoint pins a new endpoint to a version: the one that is
// asked for, or the newest that did not fail. It is READY once that version is.
func (s *Service) CreateAgentRuntimeEndpoint(ctx context.Context, in *agentcorecontrol.CreateAgentRuntimeEndpointRequest) (*agentcorecontrol.CreateAgentRuntimeEndpointResponse, error) {
	scope, id, name := pipeline.From(ctx).Scope, *in.AgentRuntimeId, *in.Name
	if err := tag.Check(in.Tags); err != nil {
		return nil, err
	}
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.CreateAgentRuntimeEndpointResponse, error) {
		rt, err := s.docs.runtime(tx, scope, id)
		if err != nil {
			return nil, err
		}
		if rt.State.Status == agentcorecontrol.AgentRuntimeStatusDELETING {
			return nil, busy(id, rt.State.Status)
		}
		if _, err := s.docs.endpoints.Get(tx, scope, endpointID(id, name)); err == nil {
			return nil, fault.Conflict("An endpoint with the name '%s' already exists for agent runtime '%s'", name, id)
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err := room(tx, s.docs.endpoints, scope, id, s.cfg.Quotas.Endpoints, "Agent runtime '"+id+"' has as many endpoints as it may have", "endpoints"); err != nil {
			return nil, err
		}
		n, err := s.versionToPin(tx, rt, in.AgentRuntimeVersion)
		if err != nil {
			return nil, err
		}
		doc, err := s.docs.endpoints.Create(tx, endpointDoc{Scope: scope, ID: endpointID(id, name), Name: name, Parent: id,
			Spec: endpointSpec{Description: wire.Text(in.Description), Tags: in.Tags},
			State: endpointState{
				ID: newID(name), Status: agentcorecontrol.AgentRuntimeEndpointStatusCREATING, Target: n, LastUpdated: tx.Now(),
			}})
		if err != nil {
			return nil, err
		}
		if err := enqueue(tx, rollKind, payload{Scope: scope, ID: id, Endpoint: name}); err != nil {
			return nil, err
		}
		return &agentcorecontrol.CreateAgentRuntimeEndpointResponse{
			AgentRuntimeArn: new(ARN(scope, id)), AgentRuntimeEndpointArn: new(EndpointARN(scope, id, name)), AgentRuntimeId: &id, EndpointName: &name,
			TargetVersion: wireVersion(n), Status: &doc.State.Status, CreatedAt: &doc.Created,
		}, nil
	})
}

// versionToPin reads the version that an endpoint asks for, and refuses one that
// will never run.
func (s *Service) versionToPin(r store.Reader, rt runtimeDoc, asked *string) (int, error) {
	n := rt.State.Version
	if asked != nil {
		var err error
		if n, err = parseVersion(*asked); err != nil {
			return 0, err
		}
	} else if rt.State.Status == agentcorecontrol.AgentRuntimeStatusUPDATE_FAILED {
		e, err := s.docs.endpoint(r, rt.Scope, rt.ID, DefaultEndpoint)
		if err != nil {
			return 0, err
		}
		if e.State.Live > 0 {
			n = e.State.Live
		}
	}
	v, err := s.docs.version(r, rt.Scope, rt.ID, n)
	if err != nil {
		return 0, err
	}
	switch v.State.Status {
	case agentcorecontrol.AgentRuntimeStatusREADY, agentcorecontrol.AgentRuntimeStatusCREATING:
		return n, nil
	}
	return 0, fault.Conflict("%s", unusable(v))
}

// unusable says why no endpoint can run a version.
func unusable(v versionDoc) string {
	text := "Version '" + versionText(v) + "' of agent runtime '" + v.Parent + "' is " + v.State.Status + " and cannot be run"
	if v.State.FailureReason != "" {
		text += ": " + v.State.FailureReason
	}
	return text
}

// GetAgentRuntimeEndpoint describes an endpoint and the version it runs.
func (s *Service) GetAgentRuntimeEndpoint(ctx context.Context, in *agentcorecontrol.GetAgentRuntimeEndpointRequest) (*agentcorecontrol.GetAgentRuntimeEndpointResponse, error) {
	var doc endpointDoc
	err := s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = s.docs.endpoint(r, pipeline.From(ctx).Scope, *in.AgentRuntimeId, *in.EndpointName)
		return err
	})
	if err != nil {
		return nil, err
	}
	e := describeEndpoint(doc)
	return &agentcorecontrol.GetAgentRuntimeEndpointResponse{
		AgentRuntimeArn: e.AgentRuntimeArn, AgentRuntimeEndpointArn: e.AgentRuntimeEndpointArn, Name: e.Name, Id: e.Id, Status: e.Status,
		LiveVersion: e.LiveVersion, TargetVersion: e.TargetVersion, Description: e.Description, FailureReason: wire.Optional(doc.State.FailureReason),
		CreatedAt: e.CreatedAt, LastUpdatedAt: e.LastUpdatedAt,
	}, nil
}

// describeEndpoint projects what is stored.
func describeEndpoint(doc endpointDoc) agentcorecontrol.AgentRuntimeEndpoint {
	id := doc.State.ID
	if id == "" {
		id = doc.Name // DEFAULT's (spec/runtime.md 2.1)
	}
	return agentcorecontrol.AgentRuntimeEndpoint{
		AgentRuntimeArn: new(ARN(doc.Scope, doc.Parent)), AgentRuntimeEndpointArn: new(EndpointARN(doc.Scope, doc.Parent, doc.Name)),
		Name: &doc.Name, Id: &id, Status: &doc.State.Status, Description: wire.Optional(doc.Spec.Description),
		LiveVersion: wireVersion(doc.State.Live), TargetVersion: wireVersion(doc.State.Target),
		CreatedAt: &doc.Created, LastUpdatedAt: new(changed(doc)),
	}
}

// ListAgentRuntimeEndpoints pages through a runtime's endpoints in the order of
// their creation, DEFAULT first.
func (s *Service) ListAgentRuntimeEndpoints(ctx context.Context, in *agentcorecontrol.ListAgentRuntimeEndpointsRequest) (*agentcorecontrol.ListAgentRuntimeEndpointsResponse, error) {
	scope, id := pipeline.From(ctx).Scope, *in.AgentRuntimeId
	var out *agentcorecontrol.ListAgentRuntimeEndpointsResponse
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		out = &agentcorecontrol.ListAgentRuntimeEndpointsResponse{RuntimeEndpoints: []agentcorecontrol.AgentRuntimeEndpoint{}}
		if _, err := s.docs.runtime(r, scope, id); err != nil {
			return unmodelled(err, "agentRuntimeId")
		}
		list, err := s.docs.endpoints.List(r, scope, id, wire.Page(in.MaxResults, in.NextToken, store.DefaultPageSize))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, doc := range list.Items {
			out.RuntimeEndpoints = append(out.RuntimeEndpoints, describeEndpoint(doc))
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

// UpdateAgentRuntimeEndpoint rolls an endpoint to another version, gives it another
// description, or both. What is left out stays. DEFAULT follows its runtime.
func (s *Service) UpdateAgentRuntimeEndpoint(ctx context.Context, in *agentcorecontrol.UpdateAgentRuntimeEndpointRequest) (*agentcorecontrol.UpdateAgentRuntimeEndpointResponse, error) {
	scope, id, name := pipeline.From(ctx).Scope, *in.AgentRuntimeId, *in.EndpointName
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.UpdateAgentRuntimeEndpointResponse, error) {
		rt, err := s.docs.runtime(tx, scope, id)
		if err != nil {
			return nil, err
		}
		doc, err := s.docs.endpoint(tx, scope, id, name)
		switch {
		case err != nil:
			return nil, err
		case name == DefaultEndpoint && in.AgentRuntimeVersion != nil:
			return nil, fault.Invalid("agentRuntimeVersion", "The endpoint 'DEFAULT' follows the newest version that is READY and cannot be pinned; make an endpoint of your own for that (CreateAgentRuntimeEndpoint)")
		case rt.State.Status == agentcorecontrol.AgentRuntimeStatusDELETING:
			return nil, busy(id, rt.State.Status)
		case !settled(doc.State.Status):
			return nil, busyEndpoint(doc)
		}
		if in.AgentRuntimeVersion != nil {
			if doc.State.Target, err = s.versionToPin(tx, rt, in.AgentRuntimeVersion); err != nil {
				return nil, err
			}
		}
		if in.Description != nil {
			doc.Spec.Description = *in.Description
		}
		doc.State.Status, doc.State.FailureReason, doc.State.LastUpdated = agentcorecontrol.AgentRuntimeEndpointStatusUPDATING, "", tx.Now()
		if doc, err = s.docs.endpoints.Replace(tx, doc); err != nil {
			return nil, err
		}
		if err := enqueue(tx, rollKind, payload{Scope: scope, ID: id, Endpoint: name}); err != nil {
			return nil, err
		}
		e := describeEndpoint(doc)
		return &agentcorecontrol.UpdateAgentRuntimeEndpointResponse{
			AgentRuntimeArn: e.AgentRuntimeArn, AgentRuntimeEndpointArn: e.AgentRuntimeEndpointArn, LiveVersion: e.LiveVersion,
			TargetVersion: e.TargetVersion, Status: e.Status, CreatedAt: e.CreatedAt, LastUpdatedAt: e.LastUpdatedAt,
		}, nil
	})
}

// DeleteAgentRuntimeEndpoint takes an endpoint away, with its sessions and what
// was kept for them.
func (s *Service) DeleteAgentRuntimeEndpoint(ctx context.Context, in *agentcorecontrol.DeleteAgentRuntimeEndpointRequest) (*agentcorecontrol.DeleteAgentRuntimeEndpointResponse, error) {
	scope, id, name := pipeline.From(ctx).Scope, *in.AgentRuntimeId, *in.EndpointName
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.DeleteAgentRuntimeEndpointResponse, error) {
		doc, err := s.docs.endpoint(tx, scope, id, name)
		switch {
		case err != nil:
			return nil, err
		case name == DefaultEndpoint:
			return nil, fault.Conflict("The endpoint 'DEFAULT' cannot be deleted; it goes with its agent runtime (DeleteAgentRuntime)")
		case !settled(doc.State.Status):
			return nil, busyEndpoint(doc)
		}
		doc.State.Status, doc.State.FailureReason, doc.State.LastUpdated = agentcorecontrol.AgentRuntimeEndpointStatusDELETING, "", tx.Now()
		if _, err := s.docs.endpoints.Replace(tx, doc); err != nil {
			return nil, err
		}
		if err := enqueue(tx, deleteEndpointKind, payload{Scope: scope, ID: id, Endpoint: name}); err != nil {
			return nil, err
		}
		return &agentcorecontrol.DeleteAgentRuntimeEndpointResponse{AgentRuntimeId: &id, EndpointName: &name, Status: &doc.State.Status}, nil
	})
}

// onlyDefault refuses to delete a runtime that somebody has endpoints of.
func (s *Service) onlyDefault(tx store.Tx, scope store.Scope, id string) error {
	var names []string
	for e, err := range s.docs.endpoints.Each(tx, scope, id) {
		if err != nil {
			return err
		}
		if e.Name != DefaultEndpoint {
			names = append(names, "'"+e.Name+"'")
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fault.Conflict("Agent runtime '%s' still has endpoints: %s. Delete them first (DeleteAgentRuntimeEndpoint)", id, strings.Join(names, ", "))
}

func busyEndpoint(doc endpointDoc) error {
	return fault.Conflict("Endpoint '%s' of agent runtime '%s' is %s; wait until it has settled", doc.Name, doc.Parent, doc.State.Status)
}

// wireVersion is a version as the wire has it; there is none of 0.
func wireVersion(n int) *string {
	if n == 0 {
		return nil
	}
	return new(strconv.Itoa(n))
}
