package principal

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/store"
)

// HolderKind says what kind of entity has policies.
type HolderKind uint8

// The kinds of holders.
const (
	UserHolder HolderKind = iota + 1
	GroupHolder
	RoleHolder
)

func (k HolderKind) String() string {
	return [...]string{"", "user", "group", "role"}[k]
}

// Holder is a user, a group or a role as what policies are put into, or attached
// to, and tags are put on.
type Holder struct {
	Kind HolderKind
	Name string
}

// kindRules are what differs between the kinds.
type kindRules struct {
	kind, prefix, word, quota string
	maxName, max              int
}

func (k HolderKind) rules() kindRules {
	switch k {
	case UserHolder:
		return kindRules{kind: "iam-user", prefix: "AIDA", word: "User", quota: "Users", maxName: 64, max: MaxUsers}
	case GroupHolder:
		return kindRules{kind: "iam-group", prefix: "AGPA", word: "Group", quota: "Groups", maxName: 128, max: MaxGroups}
	default:
		return kindRules{kind: "iam-role", prefix: "AROA", word: "Role", quota: "Roles", maxName: 64, max: MaxRoles}
	}
}

// holderState is what is stored of a holder. Its document's id is the unique id, and
// its name the name in lower case: names do not differ by case alone.
type holderState struct {
	Name     string            `json:"name"`
	Path     string            `json:"path"`
	Tags     []Tag             `json:"tags,omitempty"`
	Inline   map[string]string `json:"inline,omitempty"`
	Attached []string          `json:"attached,omitempty"` // ARNs
	Boundary string            `json:"boundary,omitempty"` // an ARN
	// Groups are the unique ids of a user's.
	Groups []string `json:"groups,omitempty"`
	// Those of a role.
	Trust       string   `json:"trust,omitempty"`
	TrustPins   pin.Pins `json:"trustPins,omitempty"`
	Description string   `json:"description,omitempty"`
	MaxSession  int      `json:"maxSession,omitempty"` // seconds
	// Service is the principal that a service-linked role is for.
	Service string `json:"service,omitempty"`
}

type holder = store.Resource[none, holderState]

func holders(k HolderKind) store.Collection[none, holderState] {
	return store.Collection[none, holderState]{Kind: k.rules().kind}
}

// scope is where the account's entities are: IAM knows no regions.
func (d *Directory) scope() store.Scope {
	return store.Scope{Account: d.account.ID, Region: store.Global}
}

// newUniqueID returns a prefix and 17 letters of base32.
func newUniqueID(rand io.Reader, prefix string) (string, error) {
	raw := make([]byte, 11)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return "", fmt.Errorf("make unique id: %w", err)
	}
	return prefix + base32.StdEncoding.EncodeToString(raw)[:17], nil
}

// arn names an entity of IAM.
func (d *Directory) arn(kind, path, name string) string {
	return "arn:aws:iam::" + d.account.ID + ":" + kind + path + name
}

// lookup returns a holder, or the refusal that says that there is none.
func (d *Directory) lookup(r store.Reader, h Holder) (holder, error) {
	doc, err := holders(h.Kind).ByName(r, d.scope(), "", strings.ToLower(h.Name))
	if errors.Is(err, store.ErrNotFound) || err == nil && doc.State.Name != h.Name {
		return doc, noSuch("The %s with name %s cannot be found.", h.Kind, h.Name)
	}
	return doc, err
}

// holderIn returns the user, group or role that an ARN of the account is about, as far as
// its name goes: the path may be another's. ok is false for what is none.
func (d *Directory) holderIn(arn string) (h Holder, ok bool) {
	rest, ok := strings.CutPrefix(arn, "arn:aws:iam::"+d.account.ID+":")
	word, path, _ := strings.Cut(rest, "/")
	h.Name = path[strings.LastIndexByte(path, '/')+1:]
	for _, h.Kind = range [...]HolderKind{UserHolder, GroupHolder, RoleHolder} {
		if ok && h.Kind.String() == word {
			return h, true
		}
	}
	return Holder{}, false
}

// HolderARN returns the ARN of a holder, or NoSuchEntity.
func (d *Directory) HolderARN(ctx context.Context, h Holder) (arn string, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		doc, err := d.lookup(r, h)
		arn = d.arn(h.Kind.String(), doc.State.Path, doc.State.Name)
		return err
	})
	return arn, err
}

// view runs fn on a snapshot.
func (d *Directory) view(ctx context.Context, fn func(store.Reader) error) error {
	return d.cfg.Store.View(ctx, fn)
}

// change lets fn change what is stored of a holder, in a transaction.
func (d *Directory) change(ctx context.Context, h Holder, fn func(tx store.Tx, s *holderState) error) (doc holder, err error) {
	err = d.update(ctx, func(tx store.Tx) error {
		found, err := d.lookup(tx, h)
		if err != nil {
			return err
		}
		doc, err = holders(h.Kind).Update(tx, d.scope(), found.ID, func(r *holder) error { return fn(tx, &r.State) })
		return err
	})
	return doc, err
}

// insert makes a holder.
func (d *Directory) insert(ctx context.Context, k HolderKind, s holderState) (doc holder, err error) {
	rules := k.rules()
	if err := checkName(strings.ToLower(rules.word)+"Name", s.Name, rules.maxName); err != nil {
		return doc, err
	}
	if s.Path, err = checkPath(s.Path); err != nil {
		return doc, err
	}
	if s.Tags, err = retag(nil, s.Tags); err != nil {
		return doc, err
	}
	id, err := newUniqueID(d.cfg.Rand, rules.prefix)
	if err != nil {
		return doc, err
	}
	err = d.update(ctx, func(tx store.Tx) error {
		if n, err := count(tx, d.scope(), holders(k)); err != nil {
			return err
		} else if n >= rules.max {
			return limit("Cannot exceed quota for %sPerAccount: %d", rules.quota, rules.max)
		}
		if err := d.attachable(tx, s.Boundary); err != nil {
			return err
		}
		doc, err = holders(k).Create(tx, holder{Scope: d.scope(), ID: id, Name: strings.ToLower(s.Name), State: s})
		if errors.Is(err, store.ErrExists) {
			return exists("%s with name %s already exists.", rules.word, s.Name)
		}
		return err
	})
	return doc, err
}

// count counts resources of the account; quotas bound it.
func count[S, T any](r store.Reader, scope store.Scope, c store.Collection[S, T]) (n int, err error) {
	for _, err := range c.Each(r, scope, "") {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// list returns the holders of a kind whose path begins so, by name.
func (d *Directory) list(ctx context.Context, k HolderKind, prefix string, keep func(*holderState) bool) (out []holder, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		out = nil
		for doc, err := range holders(k).Each(r, d.scope(), "") {
			if err != nil {
				return err
			}
			if strings.HasPrefix(doc.State.Path, prefix) && (keep == nil || keep(&doc.State)) {
				out = append(out, doc)
			}
		}
		return nil
	})
	slices.SortFunc(out, func(a, b holder) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// remove deletes a holder that has nothing left.
func (d *Directory) remove(ctx context.Context, h Holder, free func(tx store.Tx, doc holder) error) error {
	return d.update(ctx, func(tx store.Tx) error {
		doc, err := d.lookup(tx, h)
		if err != nil {
			return err
		}
		switch {
		case doc.State.Service != "":
			return protected(doc.State.Name)
		case len(doc.State.Attached) > 0:
			return conflict("Cannot delete entity, must detach all policies first.")
		case len(doc.State.Inline) > 0:
			return conflict("Cannot delete entity, must delete policies first.")
		}
		if free != nil {
			if err := free(tx, doc); err != nil {
				return err
			}
		}
		return holders(h.Kind).Delete(tx, d.scope(), doc.ID)
	})
}

// Use is when something was last used, and where; a zero Time is never.
type Use struct {
	Time    time.Time `json:"time"`
	Region  string    `json:"region"`
	Service string    `json:"service"`
}
