package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
	"github.com/outcrop/outcrop/internal/work"
)

// A capacity provider is customer-owned EC2 on AWS. Here it is a name for this one
// machine, whose configuration is kept and has no effect (spec/runtime.md 7).

// providerSpec is a capacity provider as its owner described it; Configuration is
// the wire's JSON of what never changes.
type providerSpec struct {
	Configuration json.RawMessage   `json:"configuration"`
	Description   string            `json:"description,omitempty"`
	Tags          map[string]string `json:"tags,omitempty"`
}

// ProviderARN is the name of a capacity provider to the world.
func ProviderARN(scope store.Scope, id string) string {
	return "arn:aws:bedrock-agentcore:" + scope.Region + ":" + scope.Account + ":capacity-provider/" + id
}

// CreateCapacityProvider keeps a capacity provider; a work item makes it READY.
func (s *Service) CreateCapacityProvider(ctx context.Context, in *agentcorecontrol.CreateCapacityProviderInput) (*agentcorecontrol.CreateCapacityProviderOutput, error) {
	scope := pipeline.From(ctx).Scope
	if err := tag.Check(in.Tags); err != nil {
		return nil, err
	}
	stored := agentcorecontrol.CreateCapacityProviderInput{PermissionsConfiguration: in.PermissionsConfiguration, ComputeConfiguration: in.ComputeConfiguration}
	configuration, err := protocol.MarshalJSON(&agentcorecontrol.Service, s.shapes.createProvider, &stored, false)
	if err != nil {
		return nil, err
	}
	id := newID(*in.Name)
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.CreateCapacityProviderOutput, error) {
		if err := room(tx, s.docs.providers, scope, "", s.cfg.Quotas.CapacityProviders, "Region "+scope.Region+" has as many capacity providers as it may have", "capacity-providers"); err != nil {
			return nil, err
		}
		doc, err := s.docs.providers.Create(tx, providerDoc{Scope: scope, ID: id, Name: *in.Name,
			Spec:  providerSpec{Configuration: configuration, Description: wire.Text(in.Description), Tags: in.Tags},
			State: providerState{Status: agentcorecontrol.CapacityProviderStatusCREATING, LastUpdated: tx.Now()}})
		if errors.Is(err, store.ErrExists) {
			return nil, fault.Conflict("A capacity provider with the name '%s' already exists", *in.Name)
		}
		if err != nil {
			return nil, err
		}
		return &agentcorecontrol.CreateCapacityProviderOutput{
			CapacityProviderId: &id, CapacityProviderArn: new(ProviderARN(scope, id)), Name: in.Name, Status: &doc.State.Status,
		}, enqueueProvider(tx, doc)
	})
}

// GetCapacityProvider describes a capacity provider.
func (s *Service) GetCapacityProvider(ctx context.Context, in *agentcorecontrol.GetCapacityProviderInput) (*agentcorecontrol.GetCapacityProviderOutput, error) {
	return s.describeProvider(ctx, pipeline.From(ctx).Scope, *in.CapacityProviderId)
}

func (s *Service) describeProvider(ctx context.Context, scope store.Scope, id string) (*agentcorecontrol.GetCapacityProviderOutput, error) {
	var doc providerDoc
	err := s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = s.docs.provider(r, scope, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &agentcorecontrol.GetCapacityProviderOutput{}
	if err := protocol.UnmarshalJSON(&agentcorecontrol.Service, s.shapes.getProvider, doc.Spec.Configuration, out); err != nil {
		return nil, fmt.Errorf("read configuration of %s: %w", doc.ID, err)
	}
	out.CapacityProviderId, out.CapacityProviderArn, out.Name = &doc.ID, new(ProviderARN(doc.Scope, doc.ID)), &doc.Name
	out.Status, out.Description = &doc.State.Status, wire.Optional(doc.Spec.Description)
	out.CreatedAt, out.LastUpdatedAt = &doc.Created, &doc.State.LastUpdated
	return out, nil
}

// ListCapacityProviders pages through them in the order of their creation.
func (s *Service) ListCapacityProviders(ctx context.Context, in *agentcorecontrol.ListCapacityProvidersInput) (*agentcorecontrol.ListCapacityProvidersOutput, error) {
	var out *agentcorecontrol.ListCapacityProvidersOutput
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		out = &agentcorecontrol.ListCapacityProvidersOutput{CapacityProviders: []agentcorecontrol.CapacityProviderSummary{}}
		list, err := s.docs.providers.List(r, pipeline.From(ctx).Scope, "", wire.Page(in.MaxResults, in.NextToken, store.DefaultPageSize))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, doc := range list.Items {
			out.CapacityProviders = append(out.CapacityProviders, agentcorecontrol.CapacityProviderSummary{
				CapacityProviderId: &doc.ID, CapacityProviderArn: new(ProviderARN(doc.Scope, doc.ID)), Name: &doc.Name,
				Status: &doc.State.Status, LastUpdatedAt: &doc.State.LastUpdated,
			})
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

// UpdateCapacityProvider gives a capacity provider another description, or none.
func (s *Service) UpdateCapacityProvider(ctx context.Context, in *agentcorecontrol.UpdateCapacityProviderInput) (*agentcorecontrol.UpdateCapacityProviderOutput, error) {
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.UpdateCapacityProviderOutput, error) {
		doc, err := s.changeProvider(tx, pipeline.From(ctx).Scope, *in.CapacityProviderId, agentcorecontrol.CapacityProviderStatusUPDATING, func(d *providerDoc) {
			if in.Description != nil {
				d.Spec.Description = wire.Text(in.Description.OptionalValue)
			}
		})
		if err != nil {
			return nil, err
		}
		return &agentcorecontrol.UpdateCapacityProviderOutput{
			CapacityProviderId: &doc.ID, CapacityProviderArn: new(ProviderARN(doc.Scope, doc.ID)), Name: &doc.Name,
			Status: &doc.State.Status, CreatedAt: &doc.Created, LastUpdatedAt: &doc.State.LastUpdated,
		}, nil
	})
}

// DeleteCapacityProvider takes a capacity provider away that no version names.
func (s *Service) DeleteCapacityProvider(ctx context.Context, in *agentcorecontrol.DeleteCapacityProviderInput) (*agentcorecontrol.DeleteCapacityProviderOutput, error) {
	scope, id := pipeline.From(ctx).Scope, *in.CapacityProviderId
	return store.Reply(ctx, s.cfg.Store, func(tx store.Tx) (*agentcorecontrol.DeleteCapacityProviderOutput, error) {
		if _, err := s.docs.provider(tx, scope, id); err != nil {
			return nil, err
		}
		users, err := s.docs.placements.List(tx, scope, id, store.Page{Size: 1})
		if err != nil {
			return nil, err
		}
		for _, u := range users.Items {
			return nil, fault.Conflict("Capacity provider '%s' is in use by version '%d' of agent runtime '%s' (ListAgentRuntimeVersionsByCapacityProvider names all). Delete those versions first", id, u.Spec.Version, u.Spec.Runtime)
		}
		doc, err := s.changeProvider(tx, scope, id, agentcorecontrol.CapacityProviderStatusDELETING, func(*providerDoc) {})
		if err != nil {
			return nil, err
		}
		return &agentcorecontrol.DeleteCapacityProviderOutput{CapacityProviderId: &doc.ID, Status: &doc.State.Status}, nil
	})
}

// changeProvider puts a settled capacity provider into a status that a work item
// ends.
func (s *Service) changeProvider(tx store.Tx, scope store.Scope, id, status string, change func(*providerDoc)) (providerDoc, error) {
	doc, err := s.docs.provider(tx, scope, id)
	if err != nil {
		return doc, err
	}
	if !settled(doc.State.Status) {
		return doc, fault.Conflict("Capacity provider '%s' is %s; wait until it has settled", id, doc.State.Status)
	}
	change(&doc)
	doc.State.Status, doc.State.LastUpdated = status, tx.Now()
	if doc, err = s.docs.providers.Replace(tx, doc); err != nil {
		return doc, err
	}
	return doc, enqueueProvider(tx, doc)
}

// ListAgentRuntimeVersionsByCapacityProvider pages through the versions that name
// a capacity provider.
func (s *Service) ListAgentRuntimeVersionsByCapacityProvider(ctx context.Context, in *agentcorecontrol.ListAgentRuntimeVersionsByCapacityProviderInput) (*agentcorecontrol.ListAgentRuntimeVersionsByCapacityProviderOutput, error) {
	scope, id := pipeline.From(ctx).Scope, *in.CapacityProviderId
	var out *agentcorecontrol.ListAgentRuntimeVersionsByCapacityProviderOutput
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		out = &agentcorecontrol.ListAgentRuntimeVersionsByCapacityProviderOutput{AgentRuntimes: []agentcorecontrol.AgentRuntimeVersionSummary{}}
		if _, err := s.docs.provider(r, scope, id); err != nil {
			return unmodelled(err, "capacityProviderId")
		}
		list, err := s.docs.placements.List(r, scope, id, wire.Page(in.MaxResults, in.NextToken, store.DefaultPageSize))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, p := range list.Items {
			v, err := s.docs.versions.Get(r, scope, versionID(p.Spec.Runtime, p.Spec.Version))
			if err != nil {
				return fmt.Errorf("list versions on %s: %w", id, err)
			}
			out.AgentRuntimes = append(out.AgentRuntimes, agentcorecontrol.AgentRuntimeVersionSummary{
				AgentRuntimeArn: new(ARN(scope, p.Spec.Runtime)), AgentRuntimeVersion: new(strconv.Itoa(p.Spec.Version)), Status: &v.State.Status,
			})
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

// placement says that a version names a capacity provider, below which it is
// listed.
type placement struct {
	Runtime string `json:"runtime"`
	Version int    `json:"version"`
}

// place records which capacity provider a version names, and refuses one that is
// not there.
func (s *Service) place(tx store.Tx, scope store.Scope, id string, n int, c *agentcorecontrol.CapacityProviderConfiguration) (provider string, err error) {
	if c == nil {
		return "", nil
	}
	const field = "capacityProviderConfiguration.capacityProviderArn"
	arn := *c.CapacityProviderArn
	provider = arn[strings.LastIndexByte(arn, '/')+1:]
	doc, err := s.docs.providers.Get(tx, scope, provider)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && arn != ProviderARN(scope, provider):
		return "", fault.Invalid(field, "%s", "The capacity provider '"+arn+"' does not exist")
	case err != nil:
		return "", err
	case doc.State.Status != agentcorecontrol.CapacityProviderStatusREADY && doc.State.Status != agentcorecontrol.CapacityProviderStatusUPDATING:
		return "", fault.Invalid(field, "%s", "The capacity provider '"+arn+"' is "+doc.State.Status+"; wait until it is READY")
	}
	_, err = s.docs.placements.Create(tx, placementDoc{Scope: scope, ID: provider + "/" + versionID(id, n), Parent: provider, Spec: placement{id, n}})
	return provider, err
}

// network is what a version's sessions are in: what it says, else its capacity
// provider's, else PUBLIC (spec/runtime.md 2.2).
func (s *Service) network(ctx context.Context, v versionDoc, spec *agentcorecontrol.UpdateAgentRuntimeRequest) (*agentcorecontrol.NetworkConfiguration, error) {
	if spec.NetworkConfiguration != nil {
		return spec.NetworkConfiguration, nil
	}
	if v.State.Provider == "" {
		return &agentcorecontrol.NetworkConfiguration{NetworkMode: new(agentcorecontrol.NetworkModePUBLIC)}, nil
	}
	p, err := s.describeProvider(ctx, v.Scope, v.State.Provider)
	if err != nil {
		return nil, fmt.Errorf("read capacity provider of %s: %w", v.ID, err)
	}
	vpc := p.ComputeConfiguration.Ec2Configuration.VpcConfiguration
	return &agentcorecontrol.NetworkConfiguration{NetworkMode: new(agentcorecontrol.NetworkModeVPC), NetworkModeConfig: &agentcorecontrol.VpcConfig{
		Subnets: vpc.Subnets, SecurityGroups: vpc.SecurityGroups,
	}}, nil
}

func enqueueProvider(tx store.Tx, doc providerDoc) error {
	body, err := json.Marshal(payload{Scope: doc.Scope, ID: doc.ID})
	if err != nil {
		return err
	}
	key := strings.Join([]string{"capacity-provider", doc.Scope.Account, doc.Scope.Region, doc.ID}, "/")
	_, err = tx.EnqueueWork(store.Work{Kind: providerKind, Key: key, Payload: body})
	return err
}

// settleProvider ends what a capacity provider is in: there is nothing to be done.
type settleProvider struct{ s *Service }

func (h settleProvider) Do(ctx context.Context, item *work.Item) error {
	var job payload
	if err := json.Unmarshal(item.Payload, &job); err != nil {
		return work.Permanent(err)
	}
	s := h.s
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.docs.providers.Get(tx, job.Scope, job.ID)
		if err != nil {
			return gone(err)
		}
		if doc.State.Status == agentcorecontrol.CapacityProviderStatusDELETING {
			err = s.docs.providers.Delete(tx, job.Scope, job.ID)
		} else {
			doc.State.Status = agentcorecontrol.CapacityProviderStatusREADY
			_, err = s.docs.providers.Replace(tx, doc)
		}
		if err != nil {
			return err
		}
		return item.Complete(tx)
	})
}

// Failed leaves it to be deleted or updated again.
func (h settleProvider) Failed(tx store.Tx, w store.Work, _ error) error {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return err
	}
	_, err := h.s.docs.providers.Update(tx, job.Scope, job.ID, func(d *providerDoc) error {
		d.State.Status = map[string]string{
			agentcorecontrol.CapacityProviderStatusCREATING: agentcorecontrol.CapacityProviderStatusCREATE_FAILED,
			agentcorecontrol.CapacityProviderStatusUPDATING: agentcorecontrol.CapacityProviderStatusUPDATE_FAILED,
			agentcorecontrol.CapacityProviderStatusDELETING: agentcorecontrol.CapacityProviderStatusDELETE_FAILED,
		}[d.State.Status]
		return nil
	})
	return gone(err)
}
