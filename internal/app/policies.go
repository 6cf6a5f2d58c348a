package app

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/store"
)

// attached joins what is attached to resources, whoever keeps it, by the service in
// their ARNs. It implements auth.Resources.
type attached struct {
	account string
	by      map[string]auth.Resources
}

var (
	_ auth.Resources    = (*attached)(nil)
	_ auth.ResourceKeys = (*attached)(nil)
)

// ResourcePolicies returns the policies of a resource.
func (a *attached) ResourcePolicies(ctx context.Context, r auth.Requirement) ([]*policy.Document, bool, error) {
	if keeper := a.keeper(r.Resource); keeper != nil {
		return keeper.ResourcePolicies(ctx, r)
	}
	return nil, false, nil
}

// ResourceTags returns the tags of a resource.
func (a *attached) ResourceTags(ctx context.Context, arn string) (map[string]string, error) {
	if keeper := a.keeper(arn); keeper != nil {
		return keeper.ResourceTags(ctx, arn)
	}
	return nil, nil
}

// ResourceKey returns the values of a condition key that comes of a resource.
func (a *attached) ResourceKey(ctx context.Context, arn, key string) ([]string, error) {
	if keeper, ok := a.keeper(arn).(auth.ResourceKeys); ok {
		return keeper.ResourceKey(ctx, arn, key)
	}
	return nil, nil
}

// keeper knows the resources of the service in an ARN of the account.
func (a *attached) keeper(arn string) auth.Resources {
	part, ok := splitARN(arn)
	if !ok || part[4] != a.account && part[2] != "s3" { // whose ARNs name no account
		return nil
	}
	return a.by[part[2]]
}

// ResourceTags asks the resource's owner.
func (a *agentCore) ResourceTags(ctx context.Context, arn string) (tags map[string]string, err error) {
	scope, path := scopeOf(arn)
	kind, _, _ := strings.Cut(path, "/")
	owner := a.owners[kind]
	if owner == nil || !scope.Valid() {
		return nil, nil
	}
	err = a.store.View(ctx, func(r store.Reader) error {
		tags, err = owner.Tags(r, scope, path)
		return err
	})
	return tags, absent(err)
}

// cutRepository returns the name of a repository of images from the path in its ARN.
func cutRepository(path string) (name string, ok bool) {
	name, ok = strings.CutPrefix(path, "repository/")
	return name, ok && registry.ValidRepository(name)
}

// userPools is attached's part for user pools, which have no policies.
type userPools struct{ pools *issuer.Pools }

// ResourcePolicies returns none.
func (userPools) ResourcePolicies(context.Context, auth.Requirement) ([]*policy.Document, bool, error) {
	return nil, false, nil
}

// ResourceTags returns the tags of a pool.
func (u userPools) ResourceTags(ctx context.Context, arn string) (map[string]string, error) {
	scope, path := scopeOf(arn)
	id, ok := strings.CutPrefix(path, "userpool/")
	if !ok || !scope.Valid() {
		return nil, nil
	}
	pool, err := u.pools.PoolOf(ctx, scope, id)
	return pool.Tags, absent(err)
}

// scopeOf returns where the resource with an ARN is, and its path.
func scopeOf(arn string) (store.Scope, string) {
	part, ok := splitARN(arn)
	if !ok {
		return store.Scope{}, ""
	}
	return store.Scope{Account: part[4], Region: part[3]}, part[5]
}

// splitARN returns the fields of an ARN, of which the last may have colons.
func splitARN(arn string) (part [6]string, ok bool) {
	for i := range len(part) - 1 {
		if part[i], arn, ok = strings.Cut(arn, ":"); !ok {
			return part, false
		}
	}
	part[5] = arn
	return part, true
}

// absent is nil for what says that something is not there: it has no tags then. An
// error that says nothing of the kind stays.
func absent(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Status < http.StatusInternalServerError {
		return nil
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
