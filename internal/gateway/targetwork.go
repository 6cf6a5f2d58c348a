package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/work"
)

// enqueueTarget adds the work that finds out what a target offers.
func enqueueTarget(tx store.Tx, scope store.Scope, gateway, id string, serial int64) error {
	return enqueue(tx, store.Work{Kind: targetKind, Key: workKey(scope, childID(gateway, id))}, payload{Scope: scope, Gateway: gateway, Target: id, Serial: serial})
}

const (
	// catalogueLimit bounds how long a target may take to say what it offers.
	catalogueLimit = 2 * time.Minute
	// catalogueTries is how often one is asked that cannot be reached.
	catalogueTries = 4
	// busyPause is how long an item waits until it looks whether it may ask.
	busyPause = 200 * time.Millisecond
	// consentLife is how long somebody has to agree (spec/gateway.md 3.3).
	consentLife = 10 * time.Minute
)

// prepare finds out what a target offers, and has it served from then on.
type prepare struct{ s *Service }

func (h prepare) Do(ctx context.Context, item *work.Item) error {
	s := h.s
	var job payload
	if err := json.Unmarshal(item.Payload, &job); err != nil {
		return work.Permanent(err)
	}
	in, err := s.job(ctx, job)
	if err != nil || in == nil {
		return permanent(err)
	}
	select {
	case s.working <- struct{}{}:
		defer func() { <-s.working }()
	default:
		return work.Later(busyPause)
	}
	made, err := s.catalogue(ctx, in)
	if consent, ok := errors.AsType[*target.Consent](err); ok {
		return s.await(ctx, item, job, consent)
	}
	if err != nil {
		if item.Attempt >= catalogueTries {
			return work.Permanent(err)
		}
		return lasting(err)
	}
	value, err := s.keep(ctx, in, made)
	if err != nil {
		return permanent(err)
	}
	warnings := made.Warnings
	if made.Unasked != "" {
		warnings = append(warnings, "Which tools are only for callers who can be asked could not be found out: "+made.Unasked+". What was known before holds. Synchronize the target to try again.")
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := s.serve(tx, job, value, warnings); err != nil {
			return err
		}
		return item.Complete(tx)
	})
}

// lasting marks what no further attempt mends: what the target's owner has to.
func lasting(err error) error {
	if _, ok := errors.AsType[*target.Unfit](err); ok {
		return work.Permanent(err)
	}
	return permanent(err)
}

// asked is a target whose catalogue is wanted.
type asked struct {
	gateway gatewayDoc
	target  targetDoc
	config  *agentcorecontrol.UpdateGatewayTargetRequest
	source  target.Source
}

// job reads what an item is about, or nothing for one that has nothing left to do.
func (s *Service) job(ctx context.Context, job payload) (*asked, error) {
	return s.readTarget(ctx, job, func(st *targetState) bool { return st.Serial == job.Serial && working(st.Status) })
}

// readTarget reads a target as its owner has set it up, or nothing where it is gone or is
// not meant any more.
func (s *Service) readTarget(ctx context.Context, job payload, meant func(*targetState) bool) (*asked, error) {
	in := &asked{}
	var config configDoc
	err := s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		if in.gateway, err = s.docs.gateway(r, job.Scope, job.Gateway); err != nil {
			return err
		}
		if in.target, err = s.docs.target(r, job.Scope, job.Gateway, job.Target); err != nil {
			return err
		}
		config, err = s.docs.configs.Get(r, job.Scope, in.target.ID)
		return err
	})
	if fault.Is(err, "ResourceNotFoundException") {
		return nil, nil
	}
	if err != nil || !meant(&in.target.State) {
		return nil, err
	}
	of, err := s.gatewayConfig(ctx, in.gateway, in.gateway.Spec.Config)
	if err == nil {
		in.config, err = s.targetConfig(ctx, config)
	}
	if err != nil {
		return nil, keyFault(err)
	}
	in.source = sourceOf(in.gateway, of)
	describe(&in.source, job.Target, in.target.Name, in.config)
	in.source.Consenter = in.target.State.User
	return in, nil
}

// sourceOf is what all targets of a gateway have in common.
func sourceOf(doc gatewayDoc, config *agentcorecontrol.UpdateGatewayRequest) target.Source {
	return target.Source{
		Scope: doc.Scope, Gateway: doc.ID, GatewayARN: ARN(doc.Scope, doc.ID), Role: *config.RoleArn, Sessions: keepsSessions(config),
	}
}

// describe adds what a target is set up with.
func describe(src *target.Source, id, name string, config *agentcorecontrol.UpdateGatewayTargetRequest) {
	k := kindOf(config.TargetConfiguration)
	src.ID, src.Name, src.Kind, src.Config, src.Metadata = id, name, k.name, config.TargetConfiguration, config.MetadataConfiguration
	if src.Sessions && k.protocol == protocolMCP {
		src.Metadata = withoutSession(src.Metadata) // it may be older than the sessions
	}
	src.Private = privateOf(config.PrivateEndpoint)
	switch list := config.CredentialProviderConfigurations; {
	case len(list) > 0:
		src.Credential = &list[0]
	case k.usual != "":
		src.Credential = &agentcorecontrol.CredentialProviderConfiguration{CredentialProviderType: &k.usual}
	}
}

// catalogue asks a target what it offers.
func (s *Service) catalogue(parent context.Context, in *asked) (target.Catalogue, error) {
	ctx, cancel := context.WithTimeout(parent, catalogueLimit)
	defer cancel()
	driver := s.cfg.Drivers[in.source.Kind]
	if driver == nil {
		return target.Catalogue{}, target.Unfitf("Targets of the kind %s are not available any more", kindNamed(string(in.source.Kind)).member)
	}
	if err := s.checkSelf(ctx, in.source.Gateway, in.source.Config); err != nil { // it may have been made before it was refused, or before the gateway had this name
		return target.Catalogue{}, &target.Unfit{Reasons: refusal(err)}
	}
	if err := s.fetch(ctx, in); err != nil {
		return target.Catalogue{}, err
	}
	made, err := driver.Catalogue(ctx, in.source)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		err = target.Unfitf("The target did not say within %s what it offers", catalogueLimit)
	}
	if err == nil {
		err = checkCatalogue(in.source.Name, &made)
	}
	if err == nil && made.Unasked != "" {
		made.Asking, err = s.asking(parent, in)
	}
	return made, err
}

// asking is what is known of the tools that ask of a target that is set up as it was.
func (s *Service) asking(ctx context.Context, in *asked) (map[string][]string, error) {
	serves, ok, err := s.served(ctx, in)
	if err != nil || !ok {
		return nil, err
	}
	config, err := encode(s.shapes.target, in.config)
	if err != nil || !bytes.Equal(config, serves.Config) {
		return nil, err
	}
	return serves.Catalogue.Asking, nil
}

// fetch reads what a target needs beside its configuration.
func (s *Service) fetch(ctx context.Context, in *asked) (err error) {
	src := &in.source
	if _, schema := schemaOf(src.Config); schema != nil {
		src.Schema = schema.inline
		if schema.s3 != nil {
			if src.Schema, err = s.readS3(ctx, src, schema.s3, MaxSchema); err != nil {
				return err
			}
		}
	}
	for _, c := range in.config.CertificateConfigurations {
		var pem []byte
		if c.S3 != nil {
			pem, err = s.readS3(ctx, src, &agentcorecontrol.S3Configuration{Uri: c.S3.Uri, BucketOwnerAccountId: c.S3.BucketOwnerAccountId}, maxCertificates)
		} else {
			pem, err = s.cfg.Objects.Secret(ctx, src.Scope, src.Role, *c.SecretsManager.SecretArn)
		}
		if err == nil {
			pem, err = authorities(pem, s.cfg.Now())
		}
		if err != nil {
			return err
		}
		src.Certificates = append(src.Certificates, pem...)
	}
	return nil
}

func (s *Service) readS3(ctx context.Context, src *target.Source, at *agentcorecontrol.S3Configuration, most int64) ([]byte, error) {
	account := src.Scope.Account
	if at.BucketOwnerAccountId != nil {
		account = *at.BucketOwnerAccountId
	}
	return s.cfg.Objects.Read(ctx, src.Scope, src.Role, *at.Uri, account, most)
}

// await has somebody agree first. Until they do, or the time is over, the target is left.
func (s *Service) await(ctx context.Context, item *work.Item, job payload, c *target.Consent) error {
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.docs.targets.Update(tx, job.Scope, childID(job.Gateway, job.Target), func(d *targetDoc) error {
			if d.State.Serial != job.Serial || !working(d.State.Status) {
				return nil
			}
			d.State.Status, d.State.Updated = pendingOf(d.State.Status), tx.Now()
			d.State.Consent, d.State.User = &consent{URL: c.URL, User: c.UserID}, c.UserID
			return nil
		})
		switch {
		case errors.Is(err, store.ErrNotFound):
			return item.Complete(tx)
		case err != nil:
			return err
		}
		job.User = c.UserID
		w := store.Work{Kind: consentKind, Key: workKey(job.Scope, doc.ID), NotBefore: tx.Now().Add(consentLife)}
		if err := enqueue(tx, w, job); err != nil {
			return err
		}
		return item.Complete(tx)
	})
}

// serve puts a catalogue in the place of what served so far.
func (s *Service) serve(tx store.Tx, job payload, value sealed, warnings []string) error {
	id := childID(job.Gateway, job.Target)
	doc, err := s.docs.targets.Get(tx, job.Scope, id)
	if err != nil || doc.State.Serial != job.Serial {
		return gone(err)
	}
	gateway, err := s.docs.gateways.Get(tx, job.Scope, job.Gateway)
	if err != nil {
		return err
	}
	if gateway.Spec.Config.Key != value.Key {
		return errRekeyed // the next attempt seals under the new one
	}
	now := tx.Now()
	state := catalogueState{Serial: job.Serial, Made: now}
	_, err = s.docs.catalogues.Update(tx, job.Scope, id, func(c *catalogueDoc) error { c.Spec, c.State = value, state; return nil })
	if errors.Is(err, store.ErrNotFound) {
		_, err = s.docs.catalogues.Create(tx, catalogueDoc{Scope: job.Scope, ID: id, Parent: job.Gateway, Spec: value, State: state})
	}
	if err != nil {
		return err
	}
	doc.State.Status, doc.State.Reasons, doc.State.Updated = agentcorecontrol.TargetStatusREADY, clipped(warnings), now
	doc.State.Served, doc.State.Consent = job.Serial, nil
	if synchronizes(kindNamed(doc.State.Kind)) {
		doc.State.Synced = &now
	}
	touch(tx, job.Scope, job.Gateway)
	_, err = s.docs.targets.Replace(tx, doc)
	return err
}

var errRekeyed = errors.New("the gateway was put under another key meanwhile")

// Failed settles a target that cannot be served as it is: what serves goes on.
func (h prepare) Failed(tx store.Tx, w store.Work, cause error) error {
	var job payload
	if err := json.Unmarshal(w.Payload, &job); err != nil {
		return err
	}
	reasons := []string{reasonOf(cause)}
	if unfit, ok := errors.AsType[*target.Unfit](cause); ok && len(unfit.Reasons) > 0 {
		reasons = clipped(unfit.Reasons)
	}
	return h.s.fail(tx, job, reasons)
}

func (s *Service) fail(tx store.Tx, job payload, reasons []string) error {
	_, err := s.docs.targets.Update(tx, job.Scope, childID(job.Gateway, job.Target), func(d *targetDoc) error {
		if d.State.Serial != job.Serial {
			return nil
		}
		d.State.Status, d.State.Reasons, d.State.Updated = failureOf(d.State.Status), reasons, tx.Now()
		d.State.Consent = nil
		return nil
	})
	return gone(err)
}

// maxReasons is how many reasons the wire takes.
const maxReasons = 100

func clipped(reasons []string) []string {
	var out []string
	for _, r := range reasons[:min(len(reasons), maxReasons)] {
		out = append(out, fault.Clip(r, maxReason))
	}
	return out
}

// expire ends the wait for somebody who has not agreed.
type expire struct{ s *Service }

func (h expire) Do(ctx context.Context, item *work.Item) error {
	var job payload
	if err := json.Unmarshal(item.Payload, &job); err != nil {
		return work.Permanent(err)
	}
	return h.s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := h.s.docs.targets.Get(tx, job.Scope, childID(job.Gateway, job.Target))
		if gone(err) != nil {
			return err
		}
		if err == nil && doc.State.Consent != nil && doc.State.Consent.User == job.User {
			err = h.s.fail(tx, job, []string{"Nobody authorized the gateway within " + consentLife.String() + ". Update the target to get another authorizationUrl."})
		}
		if gone(err) != nil {
			return err
		}
		return item.Complete(tx)
	})
}

// Failed leaves it at that: the target can be deleted.
func (expire) Failed(store.Tx, store.Work, error) error { return nil }

// Authorized tells the service that somebody has agreed whom a target waits for, by the
// UserID of its *target.Consent. Others are nobody's.
func (s *Service) Authorized(ctx context.Context, scope store.Scope, user string) error {
	gateway, id, ok := splitUser(user)
	if !ok {
		return nil
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := s.docs.targets.Get(tx, scope, childID(gateway, id))
		if err != nil || doc.State.Consent == nil || doc.State.Consent.User != user {
			return gone(err)
		}
		// What waits for the end of the wait goes before, for the order of a key's items.
		if _, err := tx.CancelWork(workKey(scope, doc.ID)); err != nil {
			return err
		}
		doc.State.Status, doc.State.Consent, doc.State.Updated = resumedOf(doc.State.Status), nil, tx.Now()
		if doc, err = s.docs.targets.Replace(tx, doc); err != nil {
			return err
		}
		return enqueueTarget(tx, scope, gateway, id, doc.State.Serial)
	})
}

// uuidLength is that of the last part of a user's id.
const uuidLength = 36

// splitUser reads GATEWAY TARGET UUID, which stand together without a mark between them
// (spec/gateway.md 4.4).
func splitUser(user string) (gateway, id string, ok bool) {
	n := len(user) - uuidLength - wire.TailLength
	if n <= 0 {
		return "", "", false
	}
	return user[:n], user[n : n+wire.TailLength], true
}

// transition is what becomes of a target that something is done about.
type transition struct{ working, pending, failed string }

func transitions() []transition {
	return []transition{
		{agentcorecontrol.TargetStatusCREATING, agentcorecontrol.TargetStatusCREATE_PENDING_AUTH, agentcorecontrol.TargetStatusFAILED},
		{agentcorecontrol.TargetStatusUPDATING, agentcorecontrol.TargetStatusUPDATE_PENDING_AUTH, agentcorecontrol.TargetStatusUPDATE_UNSUCCESSFUL},
		{agentcorecontrol.TargetStatusSYNCHRONIZING, agentcorecontrol.TargetStatusSYNCHRONIZE_PENDING_AUTH, agentcorecontrol.TargetStatusSYNCHRONIZE_UNSUCCESSFUL},
	}
}

func transitionOf(status string) transition {
	all := transitions()
	if i := slices.IndexFunc(all, func(t transition) bool { return t.working == status || t.pending == status }); i >= 0 {
		return all[i]
	}
	return transition{status, status, status}
}

func pendingOf(status string) string { return transitionOf(status).pending }
func failureOf(status string) string { return transitionOf(status).failed }
func resumedOf(status string) string { return transitionOf(status).working }

// AskRefused has the targets asked again what they offer that failed because the operator had
// not opened their address: a server that starts anew may have other addresses opened.
func (s *Service) AskRefused(ctx context.Context) error {
	var found []targetDoc
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		found = nil
		for doc, err := range s.docs.targets.All(r) {
			if err != nil {
				return err
			}
			if _, ok := againOf(&doc.State); ok {
				found = append(found, doc)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("find targets that were refused: %w", err)
	}
	for _, was := range found {
		err := s.cfg.Store.Update(ctx, func(tx store.Tx) error {
			doc, err := s.docs.targets.Get(tx, was.Scope, was.ID)
			if err != nil {
				return gone(err)
			}
			if status, ok := againOf(&doc.State); ok {
				return s.ask(tx, doc, status)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("ask target %s again: %w", was.ID, err)
		}
	}
	return nil
}

// againOf is the status in which what failed is done again, for targets whose address was
// refused.
func againOf(st *targetState) (string, bool) {
	all := transitions()
	i := slices.IndexFunc(all, func(t transition) bool { return t.failed == st.Status })
	if i < 0 || !slices.ContainsFunc(st.Reasons, outbound.Openable) {
		return "", false
	}
	return all[i].working, true
}
