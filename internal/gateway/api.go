package gateway

import (
	"context"
	"errors"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/resourcepolicy"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
	"github.com/outcrop/outcrop/internal/workload"
)

// listed is how many a listing has where nobody says how many.
const listed = 100

// maxName bounds a gateway's name, in characters: its pattern would let hyphens come on top,
// and an id that is no label of a host name (spec/gateway.md 1).
const maxName = 48

// CreateGateway accepts a gateway and makes its workload identity; READY is a work item.
func (s *Service) CreateGateway(ctx context.Context, in *agentcorecontrol.CreateGatewayRequest) (*agentcorecontrol.CreateGatewayResponse, error) {
	scope := pipeline.From(ctx).Scope
	if id, found, err := s.madeBefore(ctx); err != nil || found {
		return s.created(ctx, scope, id, err)
	}
	if err := tag.Check(in.Tags); err != nil {
		return nil, err
	}
	if n := len(*in.Name); n > maxName {
		return nil, fault.Invalid("name", "name: it has %d characters, and may have at most %d", n, maxName)
	}
	config := &agentcorecontrol.UpdateGatewayRequest{
		Name: in.Name, Description: in.Description, RoleArn: in.RoleArn, ProtocolType: in.ProtocolType, ProtocolConfiguration: in.ProtocolConfiguration,
		AuthorizerType: in.AuthorizerType, AuthorizerConfiguration: in.AuthorizerConfiguration, KmsKeyArn: in.KmsKeyArn,
		InterceptorConfigurations: in.InterceptorConfigurations, PolicyEngineConfiguration: in.PolicyEngineConfiguration,
		ExceptionLevel: in.ExceptionLevel, DomainOverride: in.DomainOverride,
	}
	id := newID(*in.Name)
	if err := mayIdentify(ctx, "CreateWorkloadIdentity", id); err != nil {
		return nil, err
	}
	draft, err := s.draft(ctx, scope, id, config)
	if err != nil {
		return nil, err
	}
	_, err = s.once(ctx, func(tx store.Tx) (string, error) {
		return id, s.insert(tx, scope, id, *in.Name, in.Tags, draft)
	})
	return s.created(ctx, scope, id, err)
}

// created answers with a gateway that was made.
func (s *Service) created(ctx context.Context, scope store.Scope, id string, err error) (*agentcorecontrol.CreateGatewayResponse, error) {
	if err != nil {
		return nil, err
	}
	out, err := s.describe(ctx, scope, id)
	if err != nil {
		return nil, goneSince(err, "gateway")
	}
	return new(agentcorecontrol.CreateGatewayResponse(*out)), nil
}

// gatewayDraft is a configuration of a gateway that has been checked.
type gatewayDraft struct {
	config sealed
	state  gatewayState
	rules  policyOfTargets
}

// draft holds a configuration against the rules.
func (s *Service) draft(ctx context.Context, scope store.Scope, id string, in *agentcorecontrol.UpdateGatewayRequest) (gatewayDraft, error) {
	if err := checkGateway(in, s.cfg.Reserved); err != nil {
		return gatewayDraft{}, err
	}
	if err := s.checkKey(ctx, wire.Text(in.KmsKeyArn)); err != nil {
		return gatewayDraft{}, err
	}
	if err := s.cfg.Roles.CheckRole(ctx, *in.RoleArn, ARN(scope, id)); err != nil {
		return gatewayDraft{}, err
	}
	notes, err := s.findIssuer(ctx, in.AuthorizerConfiguration)
	if err != nil {
		return gatewayDraft{}, err
	}
	stored := *in
	stored.GatewayIdentifier = nil
	config, err := s.write(ctx, scope, s.docs.gateways.Kind, id, wire.Text(in.KmsKeyArn), s.shapes.gateway, &stored)
	return gatewayDraft{config: config, rules: policyOf(in), state: gatewayState{
		Description: wire.Text(in.Description), AuthorizerType: *in.AuthorizerType, ProtocolType: wire.Text(in.ProtocolType),
		Domains: domainsOf(in.DomainOverride), Notes: notes,
	}}, keyFault(err)
}

// insert stores a new gateway with its identity, and the work that makes it READY.
func (s *Service) insert(tx store.Tx, scope store.Scope, id, name string, tags map[string]string, d gatewayDraft) error {
	if err := room(tx, s.docs.gateways, scope, "", 1, s.cfg.Quotas.Gateways, "Region "+scope.Region, "gateways"); err != nil {
		return err
	}
	at := store.Place{Scope: scope, ID: id}
	if err := s.settleHosts(tx, at, nil, d.state.Domains); err != nil {
		return err
	}
	if err := s.places.Put(tx, idKey(id), at); err != nil {
		return err
	}
	d.state.Status, d.state.Updated, d.state.Serial = agentcorecontrol.GatewayStatusCREATING, tx.Now(), 1
	_, err := s.docs.gateways.Create(tx, gatewayDoc{Scope: scope, ID: id, Name: name, Spec: gatewaySpec{Config: d.config, Tags: tags}, State: d.state})
	if errors.Is(err, store.ErrExists) {
		return fault.Conflict("A gateway with the name '%s' already exists in this account and region", name)
	}
	if err != nil {
		return err
	}
	if _, err := workload.Create(tx, workload.Identity{Scope: scope, Name: id, Host: ARN(scope, id)}); err != nil {
		return err
	}
	return enqueueGateway(tx, scope, id, 1)
}

// UpdateGateway replaces the whole configuration: an omitted member is cleared, not kept.
func (s *Service) UpdateGateway(ctx context.Context, in *agentcorecontrol.UpdateGatewayRequest) (*agentcorecontrol.UpdateGatewayResponse, error) {
	scope := pipeline.From(ctx).Scope
	id, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	doc, err := s.gatewayDoc(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	if doc.Name != *in.Name {
		return nil, fault.Invalid("name", "name: a gateway keeps its name, which is '%s'; make another gateway for another name", doc.Name)
	}
	draft, err := s.draft(ctx, scope, id, in)
	if err != nil {
		return nil, err
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error { return s.replace(tx, scope, id, draft) })
	if err != nil {
		return nil, err
	}
	out, err := s.describe(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	return new(agentcorecontrol.UpdateGatewayResponse(*out)), nil
}

// replace puts a configuration in place of what a gateway has.
func (s *Service) replace(tx store.Tx, scope store.Scope, id string, d gatewayDraft) error {
	doc, err := s.docs.gateway(tx, scope, id)
	if err != nil {
		return err
	}
	if !settledGateway(doc.State.Status) {
		return fault.Conflict("Gateway '%s' is %s; wait until it is READY", id, doc.State.Status)
	}
	if err := s.settleHosts(tx, store.Place{Scope: scope, ID: id}, doc.State.Domains, d.state.Domains); err != nil {
		return err
	}
	for t, err := range s.docs.targets.Each(tx, scope, id) {
		if err == nil {
			err = d.rules.allows(summaryOf(t))
		}
		if err != nil {
			return err
		}
	}
	was := doc.State
	doc.Spec.Config, doc.State = d.config, d.state
	doc.State.Status, doc.State.Updated = agentcorecontrol.GatewayStatusUPDATING, tx.Now()
	doc.State.Served, doc.State.ServedSerial, doc.State.Serial = was.Served, was.ServedSerial, was.Serial+1
	if doc, err = s.docs.gateways.Replace(tx, doc); err != nil {
		return err
	}
	return enqueueGateway(tx, scope, id, doc.State.Serial)
}

// GetGateway describes a gateway.
func (s *Service) GetGateway(ctx context.Context, in *agentcorecontrol.GetGatewayRequest) (*agentcorecontrol.GetGatewayResponse, error) {
	scope := pipeline.From(ctx).Scope
	id, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	return s.describe(ctx, scope, id)
}

func (s *Service) gatewayDoc(ctx context.Context, scope store.Scope, id string) (doc gatewayDoc, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = s.docs.gateway(r, scope, id)
		return err
	})
	return doc, err
}

// describe projects what is configured; members nobody set stay absent.
func (s *Service) describe(ctx context.Context, scope store.Scope, id string) (*agentcorecontrol.GetGatewayResponse, error) {
	doc, err := s.gatewayDoc(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	out := &agentcorecontrol.GetGatewayResponse{}
	if err := s.read(ctx, scope, s.docs.gateways.Kind, id, doc.Spec.Config, s.shapes.gatewayOut, out); err != nil {
		return nil, keyFault(err)
	}
	out.GatewayArn, out.GatewayId, out.Name = new(ARN(scope, id)), &doc.ID, &doc.Name
	out.GatewayUrl = new(s.URL(id, doc.State.ProtocolType == agentcorecontrol.GatewayProtocolTypeMCP))
	out.CreatedAt, out.UpdatedAt = &doc.Created, &doc.State.Updated
	out.Status, out.StatusReasons = &doc.State.Status, doc.State.Reasons
	if doc.State.Status == agentcorecontrol.GatewayStatusREADY {
		out.StatusReasons = s.gatewayWarnings(ctx, doc, out)
	}
	out.WorkloadIdentityDetails = &agentcorecontrol.WorkloadIdentityDetails{WorkloadIdentityArn: new(workload.ARN(scope, id))}
	return out, nil
}

// ListGateways pages through the gateways in the order of their creation.
func (s *Service) ListGateways(ctx context.Context, in *agentcorecontrol.ListGatewaysRequest) (*agentcorecontrol.ListGatewaysResponse, error) {
	scope := pipeline.From(ctx).Scope
	out := &agentcorecontrol.ListGatewaysResponse{Items: []agentcorecontrol.GatewaySummary{}}
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		list, err := s.docs.gateways.List(r, scope, "", wire.Page(in.MaxResults, in.NextToken, listed))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, doc := range list.Items {
			out.Items = append(out.Items, agentcorecontrol.GatewaySummary{
				GatewayId: new(doc.ID), Name: new(doc.Name), Status: new(doc.State.Status), Description: wire.Optional(doc.State.Description),
				CreatedAt: new(doc.Created), UpdatedAt: new(doc.State.Updated), AuthorizerType: new(doc.State.AuthorizerType),
				ProtocolType: wire.Optional(doc.State.ProtocolType),
			})
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

// DeleteGateway takes a gateway away that has no targets, with its identity, its rules,
// its rate limits and its policy: at once, so that nobody who calls it finds half of it.
func (s *Service) DeleteGateway(ctx context.Context, in *agentcorecontrol.DeleteGatewayRequest) (*agentcorecontrol.DeleteGatewayResponse, error) {
	scope := pipeline.From(ctx).Scope
	id, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	if err := mayIdentify(ctx, "DeleteWorkloadIdentity", id); err != nil {
		return nil, err
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error { return s.remove(tx, scope, id) })
	if err != nil {
		return nil, err
	}
	s.views.drop(viewKey{scope, id})
	s.cfg.Vectors.Forget(id)
	return &agentcorecontrol.DeleteGatewayResponse{GatewayId: &id, Status: new(agentcorecontrol.GatewayStatusDELETING)}, nil
}

func (s *Service) remove(tx store.Tx, scope store.Scope, id string) error {
	doc, err := s.docs.gateway(tx, scope, id)
	if err != nil {
		return err
	}
	has, err := s.docs.targets.List(tx, scope, id, store.Page{Size: 1})
	if err != nil {
		return err
	}
	if len(has.Items) > 0 {
		return fault.Conflict("Gateway has targets associated with it. Delete all targets before deleting the gateway.")
	}
	if err := deleteAll(tx, s.docs.rules, scope, id); err != nil {
		return err
	}
	if err := deleteAll(tx, s.docs.limits, scope, id); err != nil {
		return err
	}
	if _, err := tx.CancelWork(workKey(scope, id)); err != nil {
		return err
	}
	touch(tx, scope, id)
	if err := s.settleHosts(tx, store.Place{Scope: scope, ID: id}, doc.State.Domains, nil); err != nil {
		return err
	}
	if err := s.places.Delete(tx, idKey(id)); err != nil {
		return err
	}
	err = workload.Delete(tx, scope, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return errors.Join(s.docs.gateways.Delete(tx, scope, id), resourcepolicy.Forget(tx, scope, ARN(scope, id)))
}

// deleteAll deletes the children of a gateway.
func deleteAll[Spec, State any](tx store.Tx, c store.Collection[Spec, State], scope store.Scope, parent string) error {
	for doc, err := range c.Each(tx, scope, parent) {
		if err == nil {
			err = c.Delete(tx, scope, doc.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mayIdentify asks whether the caller may make, or delete, the workload identity of a
// gateway, which has its id for a name (spec/identity.md 10.3).
func mayIdentify(ctx context.Context, action, id string) error {
	call := pipeline.From(ctx)
	action = "bedrock-agentcore:" + action
	err := call.Authorize(ctx, auth.Requirement{Action: action, Resource: workload.Directory(call.Scope)},
		auth.Requirement{Action: action, Resource: workload.ARN(call.Scope, id)})
	if f, ok := errors.AsType[*fault.Error](err); ok && strings.Contains(f.Message, action) {
		c := *f
		c.Message += " (a gateway's workload identity is made and deleted with it)"
		return c.Because(err)
	}
	return err
}
