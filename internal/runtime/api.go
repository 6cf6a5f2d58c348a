package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

var _ agentcorecontrol.Runtime = (*Service)(nil)

// CreateAgentRuntime accepts a runtime and its version 1; preparing the code
// is a work item.
func (s *Service) CreateAgentRuntime(ctx context.Context, in *agentcorecontrol.CreateAgentRuntimeRequest) (*agentcorecontrol.CreateAgentRuntimeResponse, error) {
	scope := pipeline.From(ctx).Scope
	update := &agentcorecontrol.UpdateAgentRuntimeRequest{
		AgentRuntimeArtifact: in.AgentRuntimeArtifact, RoleArn: in.RoleArn, NetworkConfiguration: in.NetworkConfiguration,
		Description: in.Description, RequestHeaderConfiguration: in.RequestHeaderConfiguration, ProtocolConfiguration: in.ProtocolConfiguration,
		LifecycleConfiguration: in.LifecycleConfiguration, EnvironmentVariables: in.EnvironmentVariables,
		FilesystemConfigurations: in.FilesystemConfigurations, CapacityProviderConfiguration: in.CapacityProviderConfiguration,
		PlatformVersion: in.PlatformVersion, AllowedPorts: in.AllowedPorts,
		AuthorizerConfiguration: in.AuthorizerConfiguration,
		HooksConfiguration:      in.HooksConfiguration, ResourceConfigurations: in.ResourceConfigurations,
	}
	if err := tag.Check(in.Tags); err != nil {
		return nil, err
	}
	if err := checkSnapshot(nil, in.Tags); err != nil {
		return nil, err
	}
	id := newID(*in.AgentRuntimeName)
	if err := s.checkRole(ctx, scope, id, in.RoleArn); err != nil {
		return nil, err
	}
	draft, err := s.draft(ctx, scope, update)
	if err != nil {
		return nil, err
	}
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.CreateAgentRuntimeResponse, error) {
		now := tx.Now()
		if err := room(tx, s.docs.runtimes, scope, "", s.cfg.Quotas.Runtimes, "Region "+scope.Region+" has as many agent runtimes as it may have", "runtimes"); err != nil {
			return nil, err
		}
		doc, err := s.docs.runtimes.Create(tx, runtimeDoc{Scope: scope, ID: id, Name: *in.AgentRuntimeName, Spec: runtimeSpec{in.Tags}, State: runtimeState{
			Status: agentcorecontrol.AgentRuntimeStatusCREATING, Version: 1, LastUpdated: now, Description: wire.Text(in.Description),
		}})
		if errors.Is(err, store.ErrExists) {
			return nil, fault.Conflict("An agent with the specified name '%s' already exists", *in.AgentRuntimeName)
		}
		if err != nil {
			return nil, err
		}
		if err := identify(tx, scope, id); err != nil {
			return nil, err
		}
		if err := s.addVersion(ctx, tx, scope, id, 1, draft); err != nil {
			return nil, err
		}
		_, err = s.docs.endpoints.Create(tx, endpointDoc{Scope: scope, ID: endpointID(id, DefaultEndpoint), Name: DefaultEndpoint, Parent: id,
			State: endpointState{Status: agentcorecontrol.AgentRuntimeEndpointStatusCREATING, Target: 1, LastUpdated: now}})
		if err != nil {
			return nil, err
		}
		return &agentcorecontrol.CreateAgentRuntimeResponse{
			AgentRuntimeArn: new(ARN(scope, id)), AgentRuntimeId: &id, AgentRuntimeVersion: new("1"), CreatedAt: &doc.Created, Status: &doc.State.Status,
			WorkloadIdentityDetails: identityDetails(scope, id),
		}, nil
	})
}

// UpdateAgentRuntime replaces the whole configuration by a new version; an
// omitted member is cleared, not kept.
func (s *Service) UpdateAgentRuntime(ctx context.Context, in *agentcorecontrol.UpdateAgentRuntimeRequest) (*agentcorecontrol.UpdateAgentRuntimeResponse, error) {
	scope, id := pipeline.From(ctx).Scope, *in.AgentRuntimeId
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		_, err := s.docs.runtime(r, scope, id)
		return err
	})
	if err == nil {
		err = s.checkRole(ctx, scope, id, in.RoleArn)
	}
	if err != nil {
		return nil, err
	}
	draft, err := s.draft(ctx, scope, in)
	if err != nil {
		return nil, err
	}
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.UpdateAgentRuntimeResponse, error) {
		doc, err := s.docs.runtime(tx, scope, id)
		if err != nil {
			return nil, err
		}
		if !settled(doc.State.Status) {
			return nil, busy(id, doc.State.Status)
		}
		if err := s.roomForVersion(tx, doc); err != nil {
			return nil, err
		}
		doc.State.Version++
		doc.State.Status, doc.State.FailureReason = agentcorecontrol.AgentRuntimeStatusUPDATING, ""
		doc.State.LastUpdated, doc.State.Description = tx.Now(), wire.Text(in.Description)
		if doc, err = s.docs.runtimes.Replace(tx, doc); err != nil {
			return nil, err
		}
		if err := s.addVersion(ctx, tx, scope, id, doc.State.Version, draft); err != nil {
			return nil, err
		}
		_, err = s.docs.endpoints.Update(tx, scope, endpointID(id, DefaultEndpoint), func(e *endpointDoc) error {
			e.State.Status, e.State.FailureReason = agentcorecontrol.AgentRuntimeEndpointStatusUPDATING, ""
			e.State.Target, e.State.LastUpdated = doc.State.Version, doc.State.LastUpdated
			return nil
		})
		if err != nil {
			return nil, err
		}
		return &agentcorecontrol.UpdateAgentRuntimeResponse{
			AgentRuntimeArn: new(ARN(scope, id)), AgentRuntimeId: &id, AgentRuntimeVersion: new(strconv.Itoa(doc.State.Version)),
			CreatedAt: &doc.Created, LastUpdatedAt: &doc.State.LastUpdated, Status: &doc.State.Status,
			WorkloadIdentityDetails: identityDetails(scope, id),
		}, nil
	})
}

// GetAgentRuntime describes the newest version, or the one asked for.
func (s *Service) GetAgentRuntime(ctx context.Context, in *agentcorecontrol.GetAgentRuntimeRequest) (*agentcorecontrol.GetAgentRuntimeResponse, error) {
	scope, id := pipeline.From(ctx).Scope, *in.AgentRuntimeId
	var rt runtimeDoc
	var v versionDoc
	err := s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		if rt, err = s.docs.runtime(r, scope, id); err != nil {
			return err
		}
		n := rt.State.Version
		if in.AgentRuntimeVersion != nil {
			if n, err = parseVersion(*in.AgentRuntimeVersion); err != nil {
				return err
			}
		}
		v, err = s.docs.version(r, scope, id, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.describe(ctx, rt, v, in.AgentRuntimeVersion != nil)
}

// describe projects the stored configuration; members nobody set stay absent.
func (s *Service) describe(ctx context.Context, rt runtimeDoc, v versionDoc, asked bool) (*agentcorecontrol.GetAgentRuntimeResponse, error) {
	out := &agentcorecontrol.GetAgentRuntimeResponse{}
	if err := protocol.UnmarshalJSON(&agentcorecontrol.Service, s.shapes.get, v.Spec, out); err != nil {
		return nil, err
	}
	env, err := s.environment(ctx, v)
	if err != nil {
		return nil, err
	}
	n := versionText(v)
	idle, life := lifecycle(out.LifecycleConfiguration)
	out.AgentRuntimeArn, out.AgentRuntimeId, out.AgentRuntimeName = new(ARN(rt.Scope, rt.ID)), &rt.ID, &rt.Name
	out.AgentRuntimeVersion, out.CreatedAt = &n, &rt.Created
	out.WorkloadIdentityDetails = identityDetails(rt.Scope, rt.ID)
	out.LifecycleConfiguration = &agentcorecontrol.LifecycleConfiguration{IdleRuntimeSessionTimeout: &idle, MaxLifetime: &life}
	out.EnvironmentVariables = env
	out.Status, out.LastUpdatedAt = &rt.State.Status, &rt.State.LastUpdated
	reason := rt.State.FailureReason
	if asked {
		out.Status, out.LastUpdatedAt, reason = &v.State.Status, &v.State.LastUpdated, v.State.FailureReason
	}
	out.FailureReason = wire.Optional(reason)
	return out, nil
}

// ListAgentRuntimes pages through the runtimes in the order of their creation.
func (s *Service) ListAgentRuntimes(ctx context.Context, in *agentcorecontrol.ListAgentRuntimesRequest) (*agentcorecontrol.ListAgentRuntimesResponse, error) {
	scope := pipeline.From(ctx).Scope
	out := &agentcorecontrol.ListAgentRuntimesResponse{AgentRuntimes: []agentcorecontrol.AgentRuntime{}}
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		list, err := s.docs.runtimes.List(r, scope, "", wire.Page(in.MaxResults, in.NextToken, store.DefaultPageSize))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, doc := range list.Items {
			out.AgentRuntimes = append(out.AgentRuntimes, agentcorecontrol.AgentRuntime{
				AgentRuntimeArn: new(ARN(scope, doc.ID)), AgentRuntimeId: new(doc.ID), AgentRuntimeName: new(doc.Name),
				AgentRuntimeVersion: new(strconv.Itoa(doc.State.Version)), Description: new(doc.State.Description),
				LastUpdatedAt: new(doc.State.LastUpdated), Status: new(doc.State.Status),
			})
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

// DeleteAgentRuntime takes the runtime, its versions, DEFAULT and its sessions away,
// or one version.
func (s *Service) DeleteAgentRuntime(ctx context.Context, in *agentcorecontrol.DeleteAgentRuntimeRequest) (*agentcorecontrol.DeleteAgentRuntimeResponse, error) {
	scope, id := pipeline.From(ctx).Scope, *in.AgentRuntimeId
	if in.AgentRuntimeVersion != nil {
		return s.deleteVersion(ctx, scope, id, *in.AgentRuntimeVersion)
	}
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.DeleteAgentRuntimeResponse, error) {
		doc, err := s.docs.runtime(tx, scope, id)
		if err != nil {
			return nil, err
		}
		if !settled(doc.State.Status) {
			return nil, busy(id, doc.State.Status)
		}
		if err := s.onlyDefault(tx, scope, id); err != nil {
			return nil, err
		}
		doc.State.Status, doc.State.LastUpdated = agentcorecontrol.AgentRuntimeStatusDELETING, tx.Now()
		if _, err := s.docs.runtimes.Replace(tx, doc); err != nil {
			return nil, err
		}
		if err := enqueue(tx, deleteKind, payload{Scope: scope, ID: id}); err != nil {
			return nil, err
		}
		return &agentcorecontrol.DeleteAgentRuntimeResponse{AgentRuntimeId: &id, Status: &doc.State.Status}, nil
	})
}

// draft is a version that has been checked and not yet stored.
type draft struct {
	spec json.RawMessage
	env  map[string]string
	pin  string // versionState.Pin
	// provider is the capacity provider that it names, or nil.
	provider *agentcorecontrol.CapacityProviderConfiguration
}

// draft holds a configuration against the rules and its artifact against what
// there is.
func (s *Service) draft(ctx context.Context, scope store.Scope, in *agentcorecontrol.UpdateAgentRuntimeRequest) (draft, error) {
	if err := s.check(in); err != nil {
		return draft{}, err
	}
	made, err := s.artifact(in.AgentRuntimeArtifact)
	if err != nil {
		return draft{}, err
	}
	pin, err := made.pin(ctx, scope, wire.Text(in.RoleArn))
	if err != nil {
		return draft{}, err
	}
	stored := *in
	stored.AgentRuntimeId, stored.ClientToken, stored.EnvironmentVariables = nil, nil, nil
	spec, err := protocol.MarshalJSON(&agentcorecontrol.Service, s.shapes.update, &stored, false)
	return draft{spec, in.EnvironmentVariables, pin, in.CapacityProviderConfiguration}, err
}

// addVersion stores version n and the work that makes it READY.
func (s *Service) addVersion(ctx context.Context, tx store.Tx, scope store.Scope, id string, n int, d draft) error {
	sealed, err := s.seal(ctx, scope, id, n, d.env)
	if err != nil {
		return err
	}
	provider, err := s.place(tx, scope, id, n, d.provider)
	if err != nil {
		return err
	}
	_, err = s.docs.versions.Create(tx, versionDoc{Scope: scope, ID: versionID(id, n), Parent: id, Spec: d.spec, State: versionState{
		Status: agentcorecontrol.AgentRuntimeStatusCREATING, LastUpdated: tx.Now(), Pin: d.pin, Provider: provider, Environment: sealed,
	}})
	if err != nil {
		return err
	}
	return enqueue(tx, prepareKind, payload{Scope: scope, ID: id, Version: n})
}

func busy(id, status string) error {
	return fault.Conflict("Agent runtime '%s' is %s; wait until it has settled", id, status)
}
