package identity

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
	"github.com/outcrop/outcrop/internal/workload"
)

// listedWorkloads is the largest page of ListWorkloadIdentities, and the default.
const listedWorkloads = 20

// CreateWorkloadIdentity adds an identity that belongs to no runtime or gateway.
func (s *Service) CreateWorkloadIdentity(ctx context.Context, in *agentcorecontrol.CreateWorkloadIdentityRequest) (*agentcorecontrol.CreateWorkloadIdentityResponse, error) {
	scope := pipeline.From(ctx).Scope
	if err := tag.Check(in.Tags); err != nil {
		return nil, err
	}
	if err := checkReturnURLs(in.AllowedResourceOauth2ReturnUrls); err != nil {
		return nil, err
	}
	err := s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		n, err := workload.Count(tx, scope, maxWorkloads)
		if err != nil {
			return err
		}
		if n >= maxWorkloads {
			// The operation models no quota.
			return fault.Validation("Region %s has as many workload identities as it may have: %d. Delete some", scope.Region, n)
		}
		_, err = workload.Create(tx, workload.Identity{Scope: scope, Name: *in.Name, ReturnURLs: in.AllowedResourceOauth2ReturnUrls, Tags: in.Tags})
		if errors.Is(err, store.ErrExists) {
			// The operation models no conflict (spec/identity.md, trap 9).
			return fault.Invalid("name", "WorkloadIdentity with name '%s' already exists", *in.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.CreateWorkloadIdentityResponse{
		Name: in.Name, WorkloadIdentityArn: new(workload.ARN(scope, *in.Name)), AllowedResourceOauth2ReturnUrls: in.AllowedResourceOauth2ReturnUrls,
	}, nil
}

// GetWorkloadIdentity describes an identity.
func (s *Service) GetWorkloadIdentity(ctx context.Context, in *agentcorecontrol.GetWorkloadIdentityRequest) (*agentcorecontrol.GetWorkloadIdentityResponse, error) {
	i, err := s.workload(ctx, pipeline.From(ctx).Scope, *in.Name)
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.GetWorkloadIdentityResponse{
		Name: &i.Name, WorkloadIdentityArn: new(i.ARN()), AllowedResourceOauth2ReturnUrls: i.ReturnURLs, CreatedTime: &i.Created, LastUpdatedTime: &i.Updated,
	}, nil
}

// UpdateWorkloadIdentity replaces where users may be sent back to; those of a runtime's
// identity too. An omitted list is an empty one.
func (s *Service) UpdateWorkloadIdentity(ctx context.Context, in *agentcorecontrol.UpdateWorkloadIdentityRequest) (*agentcorecontrol.UpdateWorkloadIdentityResponse, error) {
	scope := pipeline.From(ctx).Scope
	if err := checkReturnURLs(in.AllowedResourceOauth2ReturnUrls); err != nil {
		return nil, err
	}
	var i workload.Identity
	err := s.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
		i, err = workload.SetReturnURLs(tx, scope, *in.Name, in.AllowedResourceOauth2ReturnUrls)
		return missing(err, *in.Name)
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.UpdateWorkloadIdentityResponse{
		Name: &i.Name, WorkloadIdentityArn: new(i.ARN()), AllowedResourceOauth2ReturnUrls: i.ReturnURLs, CreatedTime: &i.Created, LastUpdatedTime: &i.Updated,
	}, nil
}

// DeleteWorkloadIdentity takes an identity away; one of a runtime or gateway goes with
// these alone.
func (s *Service) DeleteWorkloadIdentity(ctx context.Context, in *agentcorecontrol.DeleteWorkloadIdentityRequest) (*agentcorecontrol.DeleteWorkloadIdentityResponse, error) {
	scope := pipeline.From(ctx).Scope
	err := s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		i, err := workload.Get(tx, scope, *in.Name)
		if err != nil {
			return missing(err, *in.Name)
		}
		if i.Host != "" {
			return fault.Validation("WorkloadIdentity '%s' is linked to %s and is deleted with it", i.Name, i.Host)
		}
		return workload.Delete(tx, scope, i.Name)
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.DeleteWorkloadIdentityResponse{}, nil
}

// ListWorkloadIdentities pages through the directory.
func (s *Service) ListWorkloadIdentities(ctx context.Context, in *agentcorecontrol.ListWorkloadIdentitiesRequest) (*agentcorecontrol.ListWorkloadIdentitiesResponse, error) {
	scope := pipeline.From(ctx).Scope
	out := &agentcorecontrol.ListWorkloadIdentitiesResponse{WorkloadIdentities: []agentcorecontrol.WorkloadIdentityType{}}
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		list, err := workload.List(r, scope, wire.Page(in.MaxResults, in.NextToken, listedWorkloads))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, i := range list.Items {
			out.WorkloadIdentities = append(out.WorkloadIdentities, agentcorecontrol.WorkloadIdentityType{Name: new(i.Name), WorkloadIdentityArn: new(i.ARN())})
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

// workload reads an identity.
func (s *Service) workload(ctx context.Context, scope store.Scope, name string) (i workload.Identity, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		i, err = workload.Get(r, scope, name)
		return missing(err, name)
	})
	return i, err
}

// missing words an identity that is not there.
func missing(err error, name string) error {
	if errors.Is(err, store.ErrNotFound) {
		return fault.NotFound("WorkloadIdentity with name '%s' not found", name)
	}
	return err
}
