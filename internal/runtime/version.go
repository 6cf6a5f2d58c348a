package runtime

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

// ListAgentRuntimeVersions pages through a runtime's versions, oldest first.
func (s *Service) ListAgentRuntimeVersions(ctx context.Context, in *agentcorecontrol.ListAgentRuntimeVersionsRequest) (*agentcorecontrol.ListAgentRuntimeVersionsResponse, error) {
	scope, id := pipeline.From(ctx).Scope, *in.AgentRuntimeId
	var out *agentcorecontrol.ListAgentRuntimeVersionsResponse
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		out = &agentcorecontrol.ListAgentRuntimeVersionsResponse{AgentRuntimes: []agentcorecontrol.AgentRuntime{}}
		rt, err := s.docs.runtime(r, scope, id)
		if err != nil {
			return err
		}
		list, err := s.docs.versions.List(r, scope, id, wire.Page(in.MaxResults, in.NextToken, store.DefaultPageSize))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, v := range list.Items {
			described, err := s.describeVersion(rt, v)
			if err != nil {
				return err
			}
			out.AgentRuntimes = append(out.AgentRuntimes, described)
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

// describeVersion is a version in a listing.
func (s *Service) describeVersion(rt runtimeDoc, v versionDoc) (agentcorecontrol.AgentRuntime, error) {
	var spec struct {
		Description string `json:"description"`
	}
	if err := json.Unmarshal(v.Spec, &spec); err != nil {
		return agentcorecontrol.AgentRuntime{}, fmt.Errorf("read configuration of %s: %w", v.ID, err)
	}
	return agentcorecontrol.AgentRuntime{
		AgentRuntimeArn: new(ARN(rt.Scope, rt.ID)), AgentRuntimeId: &rt.ID, AgentRuntimeName: &rt.Name, AgentRuntimeVersion: new(versionText(v)),
		Description: &spec.Description, LastUpdatedAt: &v.State.LastUpdated, Status: &v.State.Status,
	}, nil
}

// deleteVersion takes one version away that no endpoint runs or rolls to.
// Sessions that run it go on.
func (s *Service) deleteVersion(ctx context.Context, scope store.Scope, id, version string) (*agentcorecontrol.DeleteAgentRuntimeResponse, error) {
	n, err := parseVersion(version)
	if err != nil {
		return nil, err
	}
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.DeleteAgentRuntimeResponse, error) {
		rt, err := s.docs.runtime(tx, scope, id)
		if err != nil {
			return nil, err
		}
		if rt.State.Status == agentcorecontrol.AgentRuntimeStatusDELETING {
			return nil, busy(id, rt.State.Status)
		}
		v, err := s.docs.version(tx, scope, id, n)
		if err != nil {
			return nil, err
		}
		if !settled(v.State.Status) {
			return nil, fault.Conflict("Version '%d' of agent runtime '%s' is %s; wait until it has settled", n, id, v.State.Status)
		}
		for e, err := range s.docs.endpoints.Each(tx, scope, id) {
			if err != nil {
				return nil, err
			}
			if e.State.Live == n || e.State.Target == n {
				return nil, fault.Conflict("Version '%d' of agent runtime '%s' is in use by the endpoint '%s'", n, id, e.Name)
			}
		}
		v.State.Status, v.State.LastUpdated = agentcorecontrol.AgentRuntimeStatusDELETING, tx.Now()
		if v, err = s.docs.versions.Replace(tx, v); err != nil {
			return nil, err
		}
		if err := enqueue(tx, deleteVersionKind, payload{Scope: scope, ID: id, Version: n}); err != nil {
			return nil, err
		}
		return &agentcorecontrol.DeleteAgentRuntimeResponse{AgentRuntimeId: &id, AgentRuntimeVersion: new(versionText(v)), Status: &v.State.Status}, nil
	})
}

// roomForVersion holds the quota of a runtime's versions, which only a runtime
// that has had as many can exceed.
func (s *Service) roomForVersion(tx store.Tx, rt runtimeDoc) error {
	limit := s.cfg.Quotas.Versions
	if rt.State.Version < limit {
		return nil
	}
	if rt.State.Version >= maxVersion {
		return fault.Quota("Agent runtime '%s' has had %d versions, which is the last that can be numbered. Make another agent runtime", rt.ID, maxVersion)
	}
	return room(tx, s.docs.versions, rt.Scope, rt.ID, limit, "Agent runtime '"+rt.ID+"' has as many versions as it may have", "versions")
}

// maxVersion is the largest that the wire can say (spec/runtime.md 2.1).
const maxVersion = 99999

// removeVersion takes a version away, and by another item the code that nobody
// else uses.
type removeVersion struct{ s *Service }

func (d removeVersion) Do(ctx context.Context, item *work.Item) error {
	s := d.s
	job, v, err := s.job(ctx, item.Work)
	if err != nil || v.State.Status != agentcorecontrol.AgentRuntimeStatusDELETING {
		return err
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := s.dropVersion(tx, v); err != nil {
			return err
		}
		if v.State.Digest != "" {
			if err := enqueue(tx, pruneKind, payload{Scope: job.Scope, ID: job.ID, Digests: []string{v.State.Digest}}); err != nil {
				return err
			}
		}
		return item.Complete(tx)
	})
}

// dropVersion removes a version's documents.
func (s *Service) dropVersion(tx store.Tx, v versionDoc) error {
	if v.State.Provider != "" {
		if err := gone(s.docs.placements.Delete(tx, v.Scope, v.State.Provider+"/"+v.ID)); err != nil {
			return err
		}
	}
	return gone(s.docs.versions.Delete(tx, v.Scope, v.ID))
}

// Failed leaves a version that could not be deleted where a person sees it.
func (d removeVersion) Failed(tx store.Tx, w store.Work, cause error) error {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return err
	}
	_, err := d.s.docs.versions.Update(tx, job.Scope, versionID(job.ID, job.Version), func(doc *versionDoc) error {
		doc.State.Status = agentcorecontrol.AgentRuntimeStatusDELETE_FAILED
		doc.State.FailureReason, doc.State.LastUpdated = reasonOf(cause), tx.Now()
		return nil
	})
	return gone(err)
}
