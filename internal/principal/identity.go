package principal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/principal/managed"
	"github.com/outcrop/outcrop/internal/store"
)

// known is a user or a role with its policies compiled.
type known struct {
	id, name, arn string
	identity      auth.Identity
	// Those of a role.
	trust      *policy.Document
	maxSession time.Duration
}

// entity returns the user or role with a unique id, or nil when it is gone.
func (d *Directory) entity(ctx context.Context, id string) (*known, error) {
	if k, ok := d.known.Get(id); ok {
		return k, nil
	}
	kind := UserHolder
	if strings.HasPrefix(id, RoleHolder.rules().prefix) {
		kind = RoleHolder
	}
	return d.recall(ctx, id, kind, func(r store.Reader) (holder, bool, error) {
		doc, err := holders(kind).Get(r, d.scope(), id)
		if errors.Is(err, store.ErrNotFound) {
			return doc, false, nil
		}
		return doc, true, err
	})
}

// roleAt returns the role with an ARN, or nil when there is none.
func (d *Directory) roleAt(ctx context.Context, arn string) (*known, error) {
	if k, ok := d.known.Get(arn); ok {
		return k, nil
	}
	return d.recall(ctx, arn, RoleHolder, func(r store.Reader) (holder, bool, error) { return d.roleByARN(r, arn) })
}

// recall reads what the cache has not under a key.
func (d *Directory) recall(ctx context.Context, key string, kind HolderKind, find func(store.Reader) (holder, bool, error)) (*known, error) {
	watch := d.cfg.Store.Watch(changes)
	var k *known
	err := d.view(ctx, func(r store.Reader) error {
		k = nil
		doc, found, err := find(r)
		if err != nil || !found {
			return err
		}
		k, err = d.compile(r, kind, doc)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read policies of %s: %w", key, err)
	}
	d.known.Put(key, k, watch)
	return k, nil
}

// compile reads all policies of a user or a role.
func (d *Directory) compile(r store.Reader, kind HolderKind, doc holder) (*known, error) {
	s := doc.State
	k := &known{id: doc.ID, name: s.Name, arn: d.arn(kind.String(), s.Path, s.Name), maxSession: time.Duration(s.MaxSession) * time.Second}
	if err := d.compileHolder(r, &s, &k.identity.Identity); err != nil {
		return nil, err
	}
	for _, id := range s.Groups {
		g, err := holders(GroupHolder).Get(r, d.scope(), id)
		if err == nil {
			err = d.compileHolder(r, &g.State, &k.identity.Identity)
		}
		if err != nil {
			return nil, err
		}
	}
	var err error
	if s.Boundary != "" {
		if k.identity.Boundary, err = d.compileManaged(r, s.Boundary); err != nil {
			return nil, err
		}
	}
	if kind == RoleHolder {
		if k.trust, err = d.documents.parse(s.Trust, policy.Trust); err != nil {
			return nil, err
		}
		k.trust = k.trust.Named(k.arn).Pinned(s.TrustPins)
	}
	if len(s.Tags) > 0 {
		k.identity.Tags = tagMap(s.Tags)
	}
	return k, nil
}

// compileHolder appends the policies of one holder, its own and the attached.
func (d *Directory) compileHolder(r store.Reader, s *holderState, out *[]*policy.Document) error {
	for _, name := range slices.Sorted(maps.Keys(s.Inline)) {
		doc, err := d.documents.parse(s.Inline[name], policy.Identity)
		if err != nil {
			return fmt.Errorf("policy %s of %s: %w", name, s.Name, err)
		}
		*out = append(*out, doc.Named(s.Name+"/"+name))
	}
	for _, arn := range s.Attached {
		doc, err := d.compileManaged(r, arn)
		if err != nil {
			return err
		}
		*out = append(*out, doc)
	}
	return nil
}

// compileManaged returns the version of a managed policy that is in force.
func (d *Directory) compileManaged(r store.Reader, arn string) (*policy.Document, error) {
	text := ""
	if aws, ok := managed.Find(arn); ok {
		text = aws.Document
	} else {
		doc, err := d.lookupPolicy(r, arn)
		if err != nil {
			return nil, err
		}
		i := doc.State.version(doc.State.Default)
		if i < 0 {
			return nil, fmt.Errorf("policy %s has no version %s", arn, doc.State.Default)
		}
		text = doc.State.Versions[i].Document
	}
	doc, err := d.documents.parse(text, policy.Identity)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", arn, err)
	}
	return doc.Named(arn), nil
}

func tagMap(tags []Tag) map[string]string {
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		out[t.Key] = t.Value
	}
	return out
}

// Identity implements auth.Identities.
func (d *Directory) Identity(ctx context.Context, p auth.Principal) (out auth.Identity, err error) {
	if p.Entity != "" {
		k, err := d.entity(ctx, p.Entity)
		if err != nil {
			return out, err
		}
		if k != nil {
			out = k.identity
		}
	} else if p.Kind == auth.FederatedUser { // of the root
		if out.Identity, err = d.everything(); err != nil {
			return out, err
		}
	}
	s := p.Session
	if s == nil {
		return out, nil
	}
	if len(s.Tags) > 0 {
		out.Tags = over(s.Tags, out.Tags)
	}
	if s.Limited {
		out.Session, err = d.sessionPolicies(ctx, s)
	}
	return out, err
}

// over returns a session's tags and those of its role whose keys, which do not differ by
// case, it has not.
func over(session, role map[string]string) map[string]string {
	out := maps.Clone(session)
	for key, value := range role {
		same := func(k string) bool { return strings.EqualFold(k, key) }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(session)), same) {
			out[key] = value
		}
	}
	return out
}

// everything is what a root allows.
func (d *Directory) everything() ([]*policy.Document, error) {
	all, _ := managed.Find(managed.Administrator)
	doc, err := d.documents.parse(all.Document, policy.Identity)
	return []*policy.Document{doc}, err
}

// sessionPolicies returns those of a session, not nil: none allows nothing. Nor
// does a session whose managed policy is gone, which may have forbidden something.
func (d *Directory) sessionPolicies(ctx context.Context, s *auth.Session) ([]*policy.Document, error) {
	out := []*policy.Document{}
	for _, text := range s.Policies {
		doc, err := d.documents.parse(text, policy.Session)
		if err != nil {
			return out, err
		}
		out = append(out, doc.Named("of the session"))
	}
	for _, arn := range s.PolicyARNs {
		doc, ok := d.managed.Get(arn)
		if !ok {
			watch := d.cfg.Store.Watch(changes)
			err := d.view(ctx, func(r store.Reader) (err error) {
				doc, err = d.compileManaged(r, arn)
				return err
			})
			if fault.Is(err, CodeNoSuchEntity) {
				return []*policy.Document{}, nil
			}
			if err != nil {
				return out, err
			}
			d.managed.Put(arn, doc, watch)
		}
		out = append(out, doc)
	}
	return out, nil
}

// documents keeps compiled documents by their text. The zero value has none.
type documents struct {
	mu   sync.RWMutex
	docs map[documentKey]*policy.Document
}

type documentKey struct {
	kind policy.Kind
	text string
}

// parse compiles a document once.
func (c *documents) parse(text string, kind policy.Kind) (*policy.Document, error) {
	key := documentKey{kind, text}
	c.mu.RLock()
	doc := c.docs[key]
	c.mu.RUnlock()
	if doc != nil {
		return doc, nil
	}
	doc, err := policy.Parse([]byte(text), kind)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.docs == nil || len(c.docs) >= store.DefaultCached {
		c.docs = map[documentKey]*policy.Document{}
	}
	c.docs[key] = doc
	return doc, nil
}

// ResourcePolicies returns, of a role that is to be assumed, its trust policy,
// which must allow: app puts it among those of other resources.
func (d *Directory) ResourcePolicies(ctx context.Context, r auth.Requirement) (out []*policy.Document, must bool, err error) {
	if len(r.Action) < 4 || !strings.EqualFold(r.Action[:4], "sts:") || !strings.Contains(r.Resource, ":role/") {
		return nil, false, nil
	}
	k, err := d.roleAt(ctx, r.Resource)
	if k != nil {
		out = []*policy.Document{k.trust}
	}
	return out, true, err
}

// ResourceTags returns the tags of a user, a role, a policy or an OpenID Connect provider.
func (d *Directory) ResourceTags(ctx context.Context, arn string) (tags map[string]string, err error) {
	rest, ok := strings.CutPrefix(arn, "arn:aws:iam::"+d.account.ID+":")
	kind, path, _ := strings.Cut(rest, "/")
	if !ok {
		return nil, nil
	}
	err = d.view(ctx, func(r store.Reader) error {
		switch kind {
		case "policy":
			doc, err := d.lookupPolicy(r, arn)
			tags = tagMap(doc.State.Tags)
			return err
		case oidcKind:
			doc, err := oidcProviders().Get(r, d.scope(), path)
			tags = tagMap(doc.State.Tags)
			return noOIDC(arn, err)
		}
		h, ok := d.holderIn(arn)
		if !ok {
			return nil
		}
		doc, err := d.lookup(r, h)
		tags = tagMap(doc.State.Tags)
		return err
	})
	if fault.Is(err, CodeNoSuchEntity) {
		return nil, nil
	}
	return tags, err
}

// ResourceKey returns the permissions boundary of a user or a role, by which policies
// keep those who administer others to such that have one (iam:PermissionsBoundary).
func (d *Directory) ResourceKey(ctx context.Context, arn, key string) (values []string, err error) {
	if key != "iam:permissionsboundary" {
		return nil, nil
	}
	h, ok := d.holderIn(arn)
	if !ok {
		return nil, nil
	}
	err = d.view(ctx, func(r store.Reader) error {
		doc, err := d.lookup(r, h)
		if err == nil && doc.State.Boundary != "" {
			values = []string{doc.State.Boundary}
		}
		return err
	})
	if fault.Is(err, CodeNoSuchEntity) {
		err = nil
	}
	return values, err
}

var (
	_ auth.Identities   = (*Directory)(nil)
	_ auth.Resources    = (*Directory)(nil)
	_ auth.ResourceKeys = (*Directory)(nil)
)
