package registry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Settings are what the owner of a repository says about it.
type Settings struct {
	Mutability Mutability `json:"mutability,omitempty"`
	// Exclusions are the filters of the mutabilities with exclusions.
	Exclusions []string `json:"exclusions,omitempty"`
	// ScanOnPush, Policy and LifecyclePolicy are kept for who asks.
	ScanOnPush      bool              `json:"scanOnPush,omitempty"`
	Policy          string            `json:"policy,omitempty"`
	Pins            pin.Pins          `json:"pins,omitempty"` // of the policy's principals
	LifecyclePolicy string            `json:"lifecyclePolicy,omitempty"`
	Tags            map[string]string `json:"tags,omitempty"`
}

// Repository is a repository.
type Repository struct {
	Name
	Settings
	Created time.Time
}

// repositoryState is what a repository has beyond what its owner says.
type repositoryState struct {
	UID uid `json:"uid"`
}

type resource = store.Resource[Settings, repositoryState]

func repositories() store.Collection[Settings, repositoryState] {
	return store.Collection[Settings, repositoryState]{Kind: "image-repository"}
}

func repositoryOf(r resource) Repository {
	return Repository{Name: Name{Scope: r.Scope, Repository: r.ID}, Settings: r.Spec, Created: r.Created}
}

// find reads a repository.
func find(r store.Reader, n Name) (resource, error) {
	found, err := repositories().Get(r, n.Scope, n.Repository)
	if errors.Is(err, store.ErrNotFound) {
		return found, RepositoryNotFound(n)
	}
	return found, err
}

// CreateRepository makes an empty repository. Errors: CodeRepositoryExists, those
// of resource tags.
func (s *Storage) CreateRepository(ctx context.Context, n Name, settings Settings) (Repository, error) {
	if !ValidRepository(n.Repository) {
		return Repository{}, fault.BadRequest(CodeInvalid, "'%s' is no name of a repository", clip(n.Repository))
	}
	if err := checkResourceTags(settings.Tags); err != nil {
		return Repository{}, err
	}
	var id uid
	if err := s.draw(id[:]); err != nil {
		return Repository{}, err
	}
	var made resource
	err := s.store.Update(ctx, func(tx store.Tx) (err error) {
		made, err = repositories().Create(tx, resource{Scope: n.Scope, ID: n.Repository, Spec: settings, State: repositoryState{UID: id}})
		if errors.Is(err, store.ErrExists) {
			return repositoryExists(n)
		}
		return err
	})
	return repositoryOf(made), wrapped(err, "create repository", n)
}

// Repository returns a repository. The error is CodeRepositoryNotFound.
func (s *Storage) Repository(ctx context.Context, n Name) (Repository, error) {
	var found resource
	err := s.store.View(ctx, func(r store.Reader) (err error) {
		found, err = find(r, n)
		return err
	})
	return repositoryOf(found), wrapped(err, "read repository", n)
}

// Repositories lists those of an account and region, the oldest first. The error
// is store.ErrBadToken, or the store's.
func (s *Storage) Repositories(ctx context.Context, scope store.Scope, page store.Page) (list []Repository, next string, err error) {
	err = s.store.View(ctx, func(r store.Reader) error {
		found, err := repositories().List(r, scope, "", page)
		list, next = make([]Repository, len(found.Items)), found.Next
		for i := range found.Items {
			list[i] = repositoryOf(found.Items[i])
		}
		return err
	})
	return list, next, wrapped(err, "list repositories of", Name{Scope: scope})
}

// RepositoryNames lists the names of those of an account and region after one, by
// name, at most some of them.
func (s *Storage) RepositoryNames(ctx context.Context, scope store.Scope, after string, most int) (names []string, more bool, err error) {
	err = s.store.View(ctx, func(r store.Reader) error {
		names = nil
		for found, err := range repositories().Each(r, scope, "") {
			if err != nil {
				return err
			}
			if found.ID > after {
				names = append(names, found.ID)
			}
		}
		return nil
	})
	slices.Sort(names)
	if len(names) > most {
		names, more = names[:most], true
	}
	return names, more, wrapped(err, "list repositories of", Name{Scope: scope})
}

// Change lets fn change the settings of a repository, unless it returns an error.
// Errors: CodeRepositoryNotFound, those of resource tags, and fn's own.
func (s *Storage) Change(ctx context.Context, n Name, fn func(*Settings) error) (Repository, error) {
	var changed resource
	err := s.store.Update(ctx, func(tx store.Tx) error {
		if _, err := find(tx, n); err != nil {
			return err
		}
		var err error
		changed, err = repositories().Update(tx, n.Scope, n.Repository, func(r *resource) error {
			r.Spec.Tags = maps.Clone(r.Spec.Tags)
			if err := fn(&r.Spec); err != nil {
				return err
			}
			return checkResourceTags(r.Spec.Tags)
		})
		return err
	})
	return repositoryOf(changed), wrapped(err, "change repository", n)
}

// Topic changes when a repository does, or its policy.
func Topic() store.Topic { return repositories().Topic() }

// Pin pins whom policies name that older versions stored (pin.Upgrade).
func (s *Storage) Pin(ctx context.Context, d pin.Directory) ([]pin.Lost, error) {
	return pin.Upgrade(ctx, s.store, repositories(), d, func(r *resource) pin.Policy {
		return pin.Policy{Resource: repositoryOf(*r).ARN(), Text: r.Spec.Policy, Pins: &r.Spec.Pins}
	})
}

// checkResourceTags holds the tags of a resource to the rules of AWS.
func checkResourceTags(tags map[string]string) error {
	if len(tags) > MaxResourceTags {
		return fault.BadRequest(CodeTooManyTags, "A repository has at most %d tags, and this would have %d", MaxResourceTags, len(tags))
	}
	for key, value := range tags {
		const longestKey, longestValue = 128, 256
		switch {
		case key == "" || len([]rune(key)) > longestKey || len([]rune(value)) > longestValue:
			return fault.BadRequest(CodeInvalidResourceTag, "The tag '%s' is not valid: a key has 1 to %d characters, a value at most %d", clip(key), longestKey, longestValue)
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return fault.BadRequest(CodeInvalidResourceTag, "The tag '%s' is not valid: keys that begin with aws: are reserved", clip(key))
		}
	}
	return nil
}

// DeleteRepository deletes a repository, with its images only where force is set.
// Its layers go in the background. Errors: CodeRepositoryNotFound,
// CodeRepositoryNotEmpty.
func (s *Storage) DeleteRepository(ctx context.Context, n Name, force bool) (Repository, error) {
	var gone resource
	err := s.store.Update(ctx, func(tx store.Tx) (err error) {
		if gone, err = find(tx, n); err != nil {
			return err
		}
		id := gone.State.UID
		if !force {
			within := store.Prefix(id[:])
			within.Limit = 1
			for _, err := range tx.Rows(tableManifest, within) {
				if err != nil {
					return err
				}
				return repositoryNotEmpty(n)
			}
		}
		if err := repositories().Delete(tx, n.Scope, n.Repository); err != nil {
			return err
		}
		return addGarbage(tx, garbageRepository, id[:])
	})
	if err == nil {
		s.wake()
	}
	return repositoryOf(gone), wrapped(err, "delete repository", n)
}
