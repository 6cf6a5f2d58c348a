package key

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Alias is another name for a key of the same account and region.
type Alias struct {
	Scope store.Scope
	// Name begins with AliasPrefix.
	Name string
	// Target is the id of the key.
	Target           string
	Created, Updated time.Time
}

// ARN names the alias.
func (a Alias) ARN() string { return aliasARN(a.Scope, a.Name) }

func aliasARN(scope store.Scope, name string) string {
	return "arn:aws:kms:" + scope.Region + ":" + scope.Account + ":" + name
}

// MaxAliases is how many a key may have (KMS's quotas).
const MaxAliases = 50

type target struct {
	Target string `json:"target"`
}

func aliases() store.Collection[target, struct{}] {
	return store.Collection[target, struct{}]{Kind: "kms-alias"}
}

// aliasName is what an alias may be called (KMS's API reference, CreateAlias).
var aliasName = regexp.MustCompile(`^alias/[a-zA-Z0-9/_-]{1,250}$`)

// CheckAlias refuses what is no name of an alias that users make.
func CheckAlias(name string) error {
	switch {
	case !strings.HasPrefix(name, AliasPrefix):
		return invalid("Invalid identifier. An alias begins with '%s'", AliasPrefix)
	case !aliasName.MatchString(name):
		return fault.BadRequest(CodeInvalidAlias, "%s contains invalid characters for an alias", name)
	case strings.HasPrefix(name, "alias/aws/"):
		return fault.BadRequest(CodeInvalidAlias, "%s is reserved: names that begin with alias/aws/ belong to AWS", name)
	}
	return nil
}

// CreateAlias gives a key another name.
func (s *Keys) CreateAlias(ctx context.Context, ref Ref, name string) error {
	if err := CheckAlias(name); err != nil {
		return err
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := s.aliasable(tx, ref); err != nil {
			return err
		}
		_, err := aliases().Create(tx, store.Resource[target, struct{}]{Scope: ref.Scope, ID: name, Spec: target{ref.ID}})
		if errors.Is(err, store.ErrExists) {
			return fault.BadRequest(CodeExists, "An alias with the name %s already exists", aliasARN(ref.Scope, name)).Because(err)
		}
		return err
	})
}

// UpdateAlias makes an alias the name of another key, of the same usage and kind.
func (s *Keys) UpdateAlias(ctx context.Context, ref Ref, name string) error {
	if err := CheckAlias(name); err != nil {
		return err
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		old, err := s.find(tx, Name{Scope: ref.Scope, Alias: name})
		if err != nil {
			return err
		}
		if err := s.aliasable(tx, ref); err != nil {
			return err
		}
		k, err := s.get(tx, ref)
		if err != nil {
			return err
		}
		if k.Spec.Usage != old.Spec.Usage || k.Spec.Spec.Asymmetric() != old.Spec.Spec.Asymmetric() {
			return invalid("Alias %s must reference a key of the same usage and kind as before", name)
		}
		_, err = aliases().Update(tx, ref.Scope, name, func(a *store.Resource[target, struct{}]) error {
			a.Spec.Target = ref.ID
			return nil
		})
		return err
	})
}

// aliasable refuses a key that can have no further alias.
func (s *Keys) aliasable(tx store.Tx, ref Ref) error {
	doc, err := s.get(tx, ref)
	if err != nil {
		return err
	}
	if !doc.State.DeleteAt.IsZero() {
		return PendingDeletionFault(ref)
	}
	n := 0
	for a, err := range aliases().Each(tx, ref.Scope, "") {
		if err != nil {
			return err
		}
		if a.Spec.Target == ref.ID {
			n++
		}
	}
	if n >= MaxAliases {
		return fault.BadRequest(CodeLimit, "%s has %d aliases; it may have at most %d", ref.ARN(), n, MaxAliases)
	}
	return nil
}

// Alias returns an alias of a scope, or the fault NotFoundException.
func (s *Keys) Alias(ctx context.Context, scope store.Scope, name string) (a Alias, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		doc, err := aliases().Get(r, scope, name)
		a = aliasOf(doc)
		return missing(err, noAlias(scope, name))
	})
	return a, err
}

// DeleteAlias takes a name away. The key stays.
func (s *Keys) DeleteAlias(ctx context.Context, scope store.Scope, name string) error {
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		return missing(aliases().Delete(tx, scope, name), noAlias(scope, name))
	})
}

// Aliases returns a page of the aliases of a scope.
func (s *Keys) Aliases(ctx context.Context, scope store.Scope, page store.Page) (out store.Listing[Alias], err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		docs, err := aliases().List(r, scope, "", page)
		out = store.Listing[Alias]{Next: docs.Next}
		for _, d := range docs.Items {
			out.Items = append(out.Items, aliasOf(d))
		}
		return err
	})
	return out, err
}

// AliasesOf returns the aliases of a key.
func (s *Keys) AliasesOf(ctx context.Context, ref Ref) (out []Alias, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		out = nil
		for d, err := range aliases().Each(r, ref.Scope, "") {
			if err != nil {
				return fmt.Errorf("list aliases of key %s: %w", ref.ID, err)
			}
			if d.Spec.Target == ref.ID {
				out = append(out, aliasOf(d))
			}
		}
		return nil
	})
	return out, err
}

func aliasOf(r store.Resource[target, struct{}]) Alias {
	return Alias{Scope: r.Scope, Name: r.ID, Target: r.Spec.Target, Created: r.Created, Updated: r.Updated}
}
