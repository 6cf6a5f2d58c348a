package gateway

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// CreateGatewayTarget accepts a target; what it offers is worked out by a work item.
func (s *Service) CreateGatewayTarget(ctx context.Context, in *agentcorecontrol.CreateGatewayTargetRequest) (*agentcorecontrol.CreateGatewayTargetResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	if id, found, err := s.madeBefore(ctx); err != nil || found {
		return s.createdTarget(ctx, scope, gateway, id, err)
	}
	if err := s.settling(ctx, scope, gateway); err != nil {
		return nil, err
	}
	id := wire.RandomTail(targetAlphabet)
	name := wire.Text(in.Name)
	if name == "" {
		name = defaultName(in.TargetConfiguration)
	}
	draft, err := s.draftTarget(ctx, scope, gateway, id, name, &agentcorecontrol.UpdateGatewayTargetRequest{
		Description: in.Description, TargetConfiguration: in.TargetConfiguration, CredentialProviderConfigurations: in.CredentialProviderConfigurations,
		MetadataConfiguration: in.MetadataConfiguration, PrivateEndpoint: in.PrivateEndpoint, CertificateConfigurations: in.CertificateConfigurations,
	})
	if err != nil {
		return nil, err
	}
	_, err = s.once(ctx, func(tx store.Tx) (string, error) { return id, s.insertTarget(tx, draft) })
	return s.createdTarget(ctx, scope, gateway, id, err)
}

// maxSettling is for how long a target waits for its gateway: those who make both one after
// the other need not ask for the gateway's status in between.
const maxSettling = 3 * time.Second

// settling waits until a gateway is made or changed, for as long as that may take here. One
// that takes longer is refused where the target is inserted.
func (s *Service) settling(ctx context.Context, scope store.Scope, id string) error {
	timer := time.NewTimer(maxSettling)
	defer timer.Stop()
	for {
		changed := s.Changed()
		doc, err := s.gatewayDoc(ctx, scope, id)
		if err != nil || settledGateway(doc.State.Status) {
			return err
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// createdTarget answers with a target that was made.
func (s *Service) createdTarget(ctx context.Context, scope store.Scope, gateway, id string, err error) (*agentcorecontrol.CreateGatewayTargetResponse, error) {
	if err != nil {
		return nil, err
	}
	out, err := s.describeTarget(ctx, scope, gateway, id)
	if err != nil {
		return nil, goneSince(err, "target")
	}
	return new(agentcorecontrol.CreateGatewayTargetResponse(*out)), nil
}

// defaultName is the name of a target that is given none (spec/gateway.md 3.1).
func defaultName(c *agentcorecontrol.TargetConfiguration) string {
	if c.Mcp != nil && c.Mcp.Connector != nil && c.Mcp.Connector.Source != nil {
		if id := wire.Text(c.Mcp.Connector.Source.ConnectorId); plainName(id) && !strings.Contains(id, "_") {
			return id
		}
	}
	return "target-" + wire.RandomTail(gatewayAlphabet)
}

// targetDraft is a configuration of a target that has been checked.
type targetDraft struct {
	scope             store.Scope
	gateway, id, name string
	// serial is that of the gateway's configuration that it was held against.
	serial int64
	config sealed
	state  targetState
}

// draftTarget holds a configuration against the rules, its own and its gateway's.
func (s *Service) draftTarget(ctx context.Context, scope store.Scope, gateway, id, name string, in *agentcorecontrol.UpdateGatewayTargetRequest) (targetDraft, error) {
	doc, err := s.gatewayDoc(ctx, scope, gateway)
	if err != nil {
		return targetDraft{}, err
	}
	config, err := s.gatewayConfig(ctx, doc, doc.Spec.Config)
	if err != nil {
		return targetDraft{}, keyFault(err)
	}
	k, err := s.checkTarget(scope, in)
	if err != nil {
		return targetDraft{}, err
	}
	if err := s.checkSelf(ctx, gateway, in.TargetConfiguration); err != nil {
		return targetDraft{}, err
	}
	if err := checkName(name, k); err != nil {
		return targetDraft{}, err
	}
	if err := checkMetadata(in.MetadataConfiguration, k, keepsSessions(config)); err != nil {
		return targetDraft{}, err
	}
	state := stateOf(k, in)
	if err := policyOf(config).allows(summaryOf(targetDoc{Name: name, State: state})); err != nil {
		return targetDraft{}, err
	}
	if err := s.checkProvider(ctx, in.CredentialProviderConfigurations); err != nil {
		return targetDraft{}, err
	}
	stored := *in
	stored.GatewayIdentifier, stored.TargetId, stored.Name = nil, nil, nil
	sealed, err := s.write(ctx, scope, s.docs.configs.Kind, childID(gateway, id), doc.Spec.Config.Key, s.shapes.target, &stored)
	return targetDraft{scope, gateway, id, name, doc.State.Serial, sealed, state}, keyFault(err)
}

// stateOf is what listings and rules need of a configuration.
func stateOf(k kind, in *agentcorecontrol.UpdateGatewayTargetRequest) targetState {
	st := targetState{Kind: string(k.name), Description: wire.Text(in.Description), Private: in.PrivateEndpoint != nil}
	if list := in.CredentialProviderConfigurations; len(list) > 0 {
		st.Credential = *list[0].CredentialProviderType
		if p := list[0].CredentialProvider; p != nil && p.OauthCredentialProvider != nil {
			st.Grant = wire.Text(p.OauthCredentialProvider.GrantType)
		}
	}
	if m := in.TargetConfiguration.Mcp; m != nil && m.McpServer != nil {
		st.Static, st.Priority = m.McpServer.McpToolSchema != nil, m.McpServer.ResourcePriority
		st.Listing = wire.Text(m.McpServer.ListingMode)
		if st.Listing == "" {
			st.Listing = agentcorecontrol.ListingModeDEFAULT
		}
	}
	return st
}

// maxBusy is how many targets of a gateway may be in the making at once (spec/gateway.md
// 3.3).
const maxBusy = 5

// accept reads the gateway of a draft again and refuses what has come in between, or one
// change too many at once.
func (s *Service) accept(tx store.Tx, d targetDraft) error {
	doc, err := s.docs.gateway(tx, d.scope, d.gateway)
	if err != nil {
		return err
	}
	switch status := doc.State.Status; {
	case status != agentcorecontrol.GatewayStatusREADY && status != agentcorecontrol.GatewayStatusUPDATE_UNSUCCESSFUL:
		return fault.Conflict("Gateway '%s' is %s; its targets can be changed when it is READY", d.gateway, status)
	case doc.State.Serial != d.serial:
		return fault.Conflict("Gateway '%s' is being changed by another call; try again", d.gateway)
	}
	return s.roomToWork(tx, d.scope, d.gateway, d.id)
}

func (s *Service) roomToWork(r store.Reader, scope store.Scope, gateway, id string) error {
	busy := 0
	for t, err := range s.docs.targets.Each(r, scope, gateway) {
		if err != nil {
			return err
		}
		if working(t.State.Status) && ownID(t.ID) != id {
			busy++
		}
	}
	if busy >= maxBusy {
		return fault.Throttled("%d targets of gateway '%s' are being made, changed or synchronized; at most %d may be at once. Wait until one of them is done", busy, gateway, maxBusy)
	}
	return nil
}

func (s *Service) insertTarget(tx store.Tx, d targetDraft) error {
	if err := s.accept(tx, d); err != nil {
		return err
	}
	if err := room(tx, s.docs.targets, d.scope, d.gateway, 1, s.cfg.Quotas.Targets, "Gateway '"+d.gateway+"'", "targets"); err != nil {
		return err
	}
	d.state.Status, d.state.Updated, d.state.Serial = agentcorecontrol.TargetStatusCREATING, tx.Now(), 1
	_, err := s.docs.targets.Create(tx, targetDoc{Scope: d.scope, ID: childID(d.gateway, d.id), Parent: d.gateway, Name: d.name, State: d.state})
	if err != nil {
		return nameTaken(err, d)
	}
	_, err = s.docs.configs.Create(tx, configDoc{Scope: d.scope, ID: childID(d.gateway, d.id), Parent: d.gateway, Spec: d.config})
	if err != nil {
		return err
	}
	return enqueueTarget(tx, d.scope, d.gateway, d.id, 1)
}

func nameTaken(err error, d targetDraft) error {
	if errors.Is(err, store.ErrExists) {
		return fault.Conflict("A target with the name '%s' already exists in gateway '%s'", d.name, d.gateway)
	}
	return err
}

// UpdateGatewayTarget replaces the whole configuration. What serves goes on until the new
// one does.
func (s *Service) UpdateGatewayTarget(ctx context.Context, in *agentcorecontrol.UpdateGatewayTargetRequest) (*agentcorecontrol.UpdateGatewayTargetResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	doc, err := s.targetDoc(ctx, scope, gateway, *in.TargetId)
	if err != nil {
		return nil, err
	}
	name := wire.Text(in.Name)
	if name == "" {
		name = doc.Name
	}
	draft, err := s.draftTarget(ctx, scope, gateway, *in.TargetId, name, in)
	if err != nil {
		return nil, err
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error { return s.replaceTarget(tx, draft) })
	if err != nil {
		return nil, err
	}
	out, err := s.describeTarget(ctx, scope, gateway, *in.TargetId)
	if err != nil {
		return nil, err
	}
	return new(agentcorecontrol.UpdateGatewayTargetResponse(*out)), nil
}

func (s *Service) replaceTarget(tx store.Tx, d targetDraft) error {
	doc, err := s.docs.target(tx, d.scope, d.gateway, d.id)
	if err != nil {
		return err
	}
	if !settledTarget(doc.State.Status) {
		return fault.Conflict("Target '%s' is %s; it can be changed when it has settled, or deleted now", d.id, doc.State.Status)
	}
	if err := s.accept(tx, d); err != nil {
		return err
	}
	was := doc.State
	doc.Name, doc.State = d.name, d.state
	doc.State.Status, doc.State.Updated = agentcorecontrol.TargetStatusUPDATING, tx.Now()
	doc.State.Serial, doc.State.Served, doc.State.Synced, doc.State.User = was.Serial+1, was.Served, was.Synced, was.User
	if doc, err = s.docs.targets.Replace(tx, doc); err != nil {
		return nameTaken(err, d)
	}
	_, err = s.docs.configs.Update(tx, d.scope, doc.ID, func(c *configDoc) error { c.Spec = d.config; return nil })
	if err != nil {
		return err
	}
	return enqueueTarget(tx, d.scope, d.gateway, d.id, doc.State.Serial)
}

// GetGatewayTarget describes a target.
func (s *Service) GetGatewayTarget(ctx context.Context, in *agentcorecontrol.GetGatewayTargetRequest) (*agentcorecontrol.GetGatewayTargetResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	out, err := s.describeTarget(ctx, scope, gateway, *in.TargetId)
	if err != nil {
		return nil, err
	}
	return new(agentcorecontrol.GetGatewayTargetResponse(*out)), nil
}

func (s *Service) targetDoc(ctx context.Context, scope store.Scope, gateway, id string) (doc targetDoc, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = s.docs.target(r, scope, gateway, id)
		return err
	})
	return doc, err
}

// describeTarget projects what is configured; members nobody set stay absent.
func (s *Service) describeTarget(ctx context.Context, scope store.Scope, gateway, id string) (*agentcorecontrol.GatewayTarget, error) {
	var doc targetDoc
	var config configDoc
	var of gatewayDoc
	err := s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		if doc, err = s.docs.target(r, scope, gateway, id); err != nil {
			return err
		}
		if of, err = s.docs.gateway(r, scope, gateway); err != nil {
			return err
		}
		config, err = s.docs.configs.Get(r, scope, doc.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &agentcorecontrol.GatewayTarget{}
	if err := s.read(ctx, scope, s.docs.configs.Kind, config.ID, config.Spec, s.shapes.targetOut, out); err != nil {
		return nil, keyFault(err)
	}
	st := &doc.State
	out.GatewayArn, out.TargetId, out.Name = new(ARN(scope, gateway)), new(id), &doc.Name
	out.CreatedAt, out.UpdatedAt, out.LastSynchronizedAt = &doc.Created, &st.Updated, st.Synced
	out.Status, out.StatusReasons, out.AuthorizationData = &st.Status, st.Reasons, authorization(st.Consent)
	out.ProtocolType = new(kindNamed(st.Kind).protocol)
	if out.CredentialProviderConfigurations == nil { // a required member
		out.CredentialProviderConfigurations = []agentcorecontrol.CredentialProviderConfiguration{}
	}
	if st.Status == agentcorecontrol.TargetStatusREADY {
		settings, err := s.gatewayConfig(ctx, of, of.Spec.Config)
		if err != nil {
			return nil, keyFault(err)
		}
		src := sourceOf(of, settings)
		describe(&src, id, doc.Name, &agentcorecontrol.UpdateGatewayTargetRequest{
			TargetConfiguration: out.TargetConfiguration, CredentialProviderConfigurations: out.CredentialProviderConfigurations, PrivateEndpoint: out.PrivateEndpoint,
		})
		out.StatusReasons = clipped(append(s.targetWarnings(ctx, src), st.Reasons...))
	}
	return out, nil
}

func authorization(c *consent) *agentcorecontrol.AuthorizationData {
	if c == nil {
		return nil
	}
	return &agentcorecontrol.AuthorizationData{Oauth2: &agentcorecontrol.OAuth2AuthorizationData{AuthorizationUrl: &c.URL, UserId: &c.User}}
}

// ListGatewayTargets pages through a gateway's targets in the order of their creation.
func (s *Service) ListGatewayTargets(ctx context.Context, in *agentcorecontrol.ListGatewayTargetsRequest) (*agentcorecontrol.ListGatewayTargetsResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	out := &agentcorecontrol.ListGatewayTargetsResponse{Items: []agentcorecontrol.TargetSummary{}}
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		if _, err := s.docs.gateway(r, scope, gateway); err != nil {
			return err
		}
		list, err := s.docs.targets.List(r, scope, gateway, wire.Page(in.MaxResults, in.NextToken, listed))
		if err != nil {
			return wire.PageFault(err)
		}
		for _, doc := range list.Items {
			st := doc.State
			out.Items = append(out.Items, agentcorecontrol.TargetSummary{
				TargetId: new(ownID(doc.ID)), Name: new(doc.Name), Status: &st.Status, Description: wire.Optional(st.Description),
				CreatedAt: new(doc.Created), UpdatedAt: &st.Updated, ResourcePriority: st.Priority, LastSynchronizedAt: st.Synced,
				AuthorizationData: authorization(st.Consent), TargetType: new(kindNamed(st.Kind).targetType()), ListingMode: wire.Optional(st.Listing),
			})
		}
		out.NextToken = wire.Optional(list.Next)
		return nil
	})
	return out, err
}

// DeleteGatewayTarget takes a target away at once, whatever it is waiting for.
func (s *Service) DeleteGatewayTarget(ctx context.Context, in *agentcorecontrol.DeleteGatewayTargetRequest) (*agentcorecontrol.DeleteGatewayTargetResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	var losing []string
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.docs.target(tx, scope, gateway, *in.TargetId)
		if err != nil {
			return err
		}
		if losing, err = s.losing(tx, scope, gateway, doc.Name); err != nil {
			return err
		}
		if _, err := tx.CancelWork(workKey(scope, doc.ID)); err != nil {
			return err
		}
		touch(tx, scope, gateway)
		err = s.docs.catalogues.Delete(tx, scope, doc.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return errors.Join(s.docs.configs.Delete(tx, scope, doc.ID), s.docs.targets.Delete(tx, scope, doc.ID))
	})
	if err != nil {
		return nil, err
	}
	return &agentcorecontrol.DeleteGatewayTargetResponse{
		GatewayArn: new(ARN(scope, gateway)), TargetId: in.TargetId, Status: new(agentcorecontrol.TargetStatusDELETING), StatusReasons: clipped(losing),
	}, nil
}

// SynchronizeGatewayTargets has MCP servers asked again what they offer.
func (s *Service) SynchronizeGatewayTargets(ctx context.Context, in *agentcorecontrol.SynchronizeGatewayTargetsRequest) (*agentcorecontrol.SynchronizeGatewayTargetsResponse, error) {
	scope := pipeline.From(ctx).Scope
	gateway, err := idOf(scope, in.GatewayIdentifier)
	if err != nil {
		return nil, err
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		for _, id := range in.TargetIdList {
			if err := s.synchronize(tx, scope, gateway, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &agentcorecontrol.SynchronizeGatewayTargetsResponse{Targets: []agentcorecontrol.GatewayTarget{}}
	for _, id := range in.TargetIdList {
		t, err := s.describeTarget(ctx, scope, gateway, id)
		if err != nil {
			return nil, err
		}
		out.Targets = append(out.Targets, *t)
	}
	return out, nil
}

func (s *Service) synchronize(tx store.Tx, scope store.Scope, gateway, id string) error {
	doc, err := s.docs.target(tx, scope, gateway, id)
	if err != nil {
		return err
	}
	const field = "targetIdList"
	st := &doc.State
	switch {
	case !synchronizes(kindNamed(st.Kind)):
		return fault.Invalid(field, "Target '%s' is of the kind %s; only targets of the kinds %s and %s are synchronized. Update the target to have its schema read again", id, kindNamed(st.Kind).member, memberServer, memberConnector)
	case st.Static:
		return fault.Invalid(field, "Target '%s' has an mcpToolSchema, which says what it offers; update the target to change it", id)
	case st.Listing == agentcorecontrol.ListingModeDYNAMIC:
		return fault.Invalid(field, "Target '%s' has the listingMode DYNAMIC: its server is asked each time", id)
	case st.Status == agentcorecontrol.TargetStatusFAILED || st.Status == agentcorecontrol.TargetStatusUPDATE_UNSUCCESSFUL:
		return fault.Conflict("Target '%s' is %s; update it to try again. It can be synchronized when it is READY", id, st.Status)
	case st.Status != agentcorecontrol.TargetStatusREADY && st.Status != agentcorecontrol.TargetStatusSYNCHRONIZE_UNSUCCESSFUL:
		return fault.Conflict("Target '%s' is %s; it can be synchronized when it is READY", id, st.Status)
	}
	if err := s.roomToWork(tx, scope, gateway, id); err != nil {
		return err
	}
	return s.ask(tx, doc, agentcorecontrol.TargetStatusSYNCHRONIZING)
}

// ask has a target that is configured as before asked again what it offers.
func (s *Service) ask(tx store.Tx, doc targetDoc, status string) error {
	st := &doc.State
	st.Status, st.Reasons, st.Updated = status, nil, tx.Now()
	st.Serial++
	if _, err := s.docs.targets.Replace(tx, doc); err != nil {
		return err
	}
	return enqueueTarget(tx, doc.Scope, doc.Parent, ownID(doc.ID), st.Serial)
}

// working reports whether something is done about a target in this status.
func working(status string) bool {
	return slices.Contains([]string{agentcorecontrol.TargetStatusCREATING, agentcorecontrol.TargetStatusUPDATING, agentcorecontrol.TargetStatusSYNCHRONIZING}, status)
}

// settledTarget reports whether a target in this status may be changed.
func settledTarget(status string) bool {
	return slices.Contains([]string{agentcorecontrol.TargetStatusREADY, agentcorecontrol.TargetStatusFAILED,
		agentcorecontrol.TargetStatusUPDATE_UNSUCCESSFUL, agentcorecontrol.TargetStatusSYNCHRONIZE_UNSUCCESSFUL}, status)
}
