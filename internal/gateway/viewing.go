package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/search"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/store"
)

// View returns the gateway with an id, which no two accounts share, as its callers see
// it. It is asked for each call, and reads the store when the gateway has changed. A
// gateway that was never READY is a ResourceNotFoundException, too.
func (s *Service) View(ctx context.Context, id string) (*View, error) {
	at, err := s.place(ctx, id)
	if err != nil {
		return nil, err
	}
	k := viewKey{at.Scope, at.ID}
	for {
		if v := s.views.get(k); v != nil {
			return v, nil
		}
		mine := false
		made, err, _ := s.views.flights.Do(k.scope.String()+"/"+k.id, func() (any, error) {
			mine = true
			if v := s.views.get(k); v != nil {
				return v, nil
			}
			return s.look(context.WithoutCancel(ctx), k)
		})
		switch {
		case mine && err != nil:
			return nil, err
		case mine:
			return made.(*View), nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		// Another's look may have begun before what this caller knows to be so was written:
		// it is taken only where the gateway has not changed since.
	}
}

// ActsAs reports whether a gateway acts as a role: that of the configuration which serves,
// or of the one that is to.
func (s *Service) ActsAs(ctx context.Context, scope store.Scope, id, role string) (bool, error) {
	if v, err := s.View(ctx, id); err == nil && v.Scope == scope && v.Role == role {
		return true, nil
	}
	var doc gatewayDoc
	err := s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		doc, err = s.docs.gateways.Get(r, scope, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	config, err := s.gatewayConfig(ctx, doc, doc.Spec.Config)
	return err == nil && *config.RoleArn == role, err
}

// Changed returns a channel that is closed when a gateway changes, or its targets.
func (s *Service) Changed() <-chan struct{} { return s.cfg.Store.Changed(anyTopic) }

type viewKey struct {
	scope store.Scope
	id    string
}

// views are those that were made, each until its gateway changes.
type views struct {
	mu      sync.RWMutex
	made    map[viewKey]*kept
	flights singleflight.Group

	servers sync.Mutex
	open    map[*served]struct{}
}

// kept is a view and what ends it.
type kept struct {
	view *View
	// gateway is about the gateway, keys about the key of KMS that it is under: for
	// ever for one under the server's.
	gateway, keys store.Watch
}

func (k *kept) stands() bool { return k.gateway.Holds() && k.keys.Holds() }

func (v *views) get(k viewKey) *View {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if have := v.made[k]; have != nil && have.stands() {
		return have.view
	}
	return nil
}

// last returns the view before, whose targets may be good still.
func (v *views) last(k viewKey) *View {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if have := v.made[k]; have != nil {
		return have.view
	}
	return nil
}

// maxViews bounds how many are kept; one more than that empties them.
const maxViews = 4096

func (v *views) put(k viewKey, made *kept) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, is := v.made[k]; !is && len(v.made) >= maxViews {
		clear(v.made)
	}
	v.made[k] = made
}

// drop forgets a gateway that is gone.
func (v *views) drop(k viewKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.made, k)
}

// look makes the view of a gateway as it is.
func (s *Service) look(ctx context.Context, k viewKey) (*View, error) {
	// Asked for before reading, so that a write in between is not missed.
	now := &kept{gateway: s.cfg.Store.Watch(changed(k.scope, k.id))}
	keys := s.cfg.Store.Watch(s.cfg.Keys.Topic())
	var doc gatewayDoc
	var all []stored
	v := &View{}
	err := s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		if doc, err = s.docs.gateway(r, k.scope, k.id); err != nil {
			return err
		}
		if all, err = s.serving(r, k); err != nil {
			return err
		}
		return s.rulesAndLimits(r, k, v)
	})
	if err != nil {
		return nil, err
	}
	if doc.State.Served == nil {
		return nil, fault.NotFound("Gateway '%s' is %s and does not serve yet", k.id, doc.State.Status)
	}
	config, err := s.gatewayConfig(ctx, doc, *doc.State.Served)
	if err != nil {
		return nil, fmt.Errorf("open gateway %s: %w", k.id, err)
	}
	if doc.State.Served.Key != "" {
		now.keys = keys
	}
	v.is(doc, config)
	v.URL = s.URL(v.ID, v.MCP)
	before := map[string]*Target{}
	if last := s.views.last(k); last != nil {
		for _, t := range last.Targets {
			before[t.ID] = t
		}
	}
	for _, at := range all {
		t := before[ownID(at.target.ID)]
		if revision := doc.State.ServedSerial + at.catalogue.Revision; t == nil || t.Revision != revision {
			if t, err = s.openTarget(ctx, doc, config, at, revision); err != nil {
				// One that cannot be opened does not keep the others from their callers.
				s.cfg.Log.Error("target cannot be served", "gateway", k.id, "target", at.target.ID, "error", err)
				continue
			}
		}
		v.Targets = append(v.Targets, t)
		v.Tools = append(v.Tools, t.tools...)
	}
	if policyOf(config).search {
		entries := make([]search.Entry, len(v.Tools))
		for i, t := range v.Tools {
			entries[i] = search.Entry{ID: t.Name, Tool: *t.Tool}
		}
		v.Finder = s.cfg.Vectors.Finder(k.id, entries)
	}
	now.view = v
	s.views.put(k, now)
	return v, nil
}

// stored are the documents of a target that serves.
type stored struct {
	target    targetDoc
	catalogue catalogueDoc
}

func (s *Service) serving(r store.Reader, k viewKey) ([]stored, error) {
	var all []stored
	for t, err := range s.docs.targets.Each(r, k.scope, k.id) {
		if err != nil {
			return nil, err
		}
		if t.State.Served == 0 {
			continue
		}
		c, err := s.docs.catalogues.Get(r, k.scope, t.ID)
		if err != nil {
			return nil, fmt.Errorf("read catalogue of target %s: %w", t.ID, err)
		}
		all = append(all, stored{t, c})
	}
	return all, nil
}

// rulesAndLimits adds those of a gateway to its view.
func (s *Service) rulesAndLimits(r store.Reader, k viewKey, v *View) error {
	v.Rules, v.Limits = nil, nil // a transaction may run twice
	for doc, err := range s.docs.rules.Each(r, k.scope, k.id) {
		if err != nil {
			return err
		}
		one, err := s.ruleOut(doc)
		if err != nil {
			return err
		}
		v.Rules = append(v.Rules, *one)
	}
	slices.SortFunc(v.Rules, func(a, b Rule) int { return cmp.Compare(*a.Priority, *b.Priority) })
	for doc, err := range s.docs.limits.Each(r, k.scope, k.id) {
		if err != nil {
			return err
		}
		one, err := s.limitOut(doc)
		if err != nil {
			return err
		}
		v.Limits = append(v.Limits, *one)
	}
	return nil
}

// is fills in what a gateway's configuration means to its callers.
func (v *View) is(doc gatewayDoc, c *agentcorecontrol.UpdateGatewayRequest) {
	v.Scope, v.ID, v.ARN, v.Name, v.Config = doc.Scope, doc.ID, ARN(doc.Scope, doc.ID), doc.Name, c
	v.MCP = wire.Text(c.ProtocolType) == agentcorecontrol.GatewayProtocolTypeMCP
	v.AuthorizerType, v.Authorizer, v.Role = *c.AuthorizerType, inbound.New(c.AuthorizerConfiguration), *c.RoleArn
	v.Debug = wire.Text(c.ExceptionLevel) == agentcorecontrol.ExceptionLevelDEBUG
	if p := c.ProtocolConfiguration; p != nil && p.Mcp != nil {
		v.Instructions, v.Versions = wire.Text(p.Mcp.Instructions), p.Mcp.SupportedVersions
		if keepsSessions(c) {
			v.SessionLife = defaultSession
			if n := p.Mcp.SessionConfiguration.SessionTimeoutInSeconds; n != nil {
				v.SessionLife = time.Duration(*n) * time.Second
			}
		}
		if st := p.Mcp.StreamingConfiguration; st != nil {
			v.Streaming = wire.True(st.EnableResponseStreaming)
		}
	}
}

// defaultSession is how long an MCP session lasts where nothing is said (spec/gateway.md
// 2.2).
const defaultSession = time.Hour

// keepsSessions reports whether a gateway has MCP sessions: that their configuration is
// there switches them on.
func keepsSessions(c *agentcorecontrol.UpdateGatewayRequest) bool {
	p := c.ProtocolConfiguration
	return p != nil && p.Mcp != nil && p.Mcp.SessionConfiguration != nil
}

// openTarget makes what serves one target.
func (s *Service) openTarget(ctx context.Context, doc gatewayDoc, of *agentcorecontrol.UpdateGatewayRequest, at stored, revision int64) (*Target, error) {
	r, config, err := s.recorded(ctx, at.catalogue)
	if err != nil {
		return nil, err
	}
	src := sourceOf(doc, of)
	describe(&src, ownID(at.target.ID), r.Name, config)
	src.Schema, src.Certificates, src.Consenter = r.Schema, r.Certificates, r.Consenter
	driver := s.cfg.Drivers[src.Kind]
	if driver == nil {
		return nil, fmt.Errorf("there is no driver of %s", src.Kind)
	}
	server, err := driver.Open(src, r.Catalogue)
	if err != nil {
		return nil, err
	}
	t := &Target{Source: src, Catalogue: r.Catalogue, Server: server, Revision: revision}
	if t.tools, err = toolsOf(t); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	s.views.watch(t, server)
	return t, nil
}

// toolsOf are a target's tools as callers know them, in the order of their names.
func toolsOf(t *Target) ([]Tool, error) {
	out := make([]Tool, 0, len(t.Catalogue.Tools))
	for i := range t.Catalogue.Tools {
		own := &t.Catalogue.Tools[i]
		shown := *own
		shown.Name = tool.Prefixed(t.Name, own.Name)
		text, err := json.Marshal(shown)
		if err != nil {
			return nil, fmt.Errorf("write tool %s: %w", shown.Name, err)
		}
		mirrors, err := tool.Mirrors(own.InputSchema)
		if err != nil {
			mirrors = nil // a schema that was given breaks the rules: callers cannot keep them
		}
		out = append(out, Tool{Name: shown.Name, Target: t, Tool: own, Mirrors: mirrors, JSON: text})
	}
	slices.SortStableFunc(out, func(a, b Tool) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// served is a server that is open.
type served struct{ server target.Server }

// watch has a target's server closed when nobody can call it any more: a call that runs
// holds its target, and the view that serves now those in it.
func (v *views) watch(t *Target, server target.Server) {
	one := &served{server}
	v.servers.Lock()
	defer v.servers.Unlock()
	if v.open == nil {
		v.open = map[*served]struct{}{}
	}
	v.open[one] = struct{}{}
	runtime.AddCleanup(t, func(one *served) { go v.end(one) }, one)
}

func (v *views) end(one *served) {
	v.servers.Lock()
	_, is := v.open[one]
	delete(v.open, one)
	v.servers.Unlock()
	if is {
		_ = one.server.Close() // nobody is left to tell
	}
}

// close closes all servers.
func (v *views) close() error {
	v.servers.Lock()
	all := v.open
	v.open = nil
	v.servers.Unlock()
	var errs []error
	for one := range all {
		errs = append(errs, one.server.Close())
	}
	return errors.Join(errs...)
}
