package runtime

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// A version's spec is the wire's JSON as accepted, so that a regenerated model
// never changes what is stored.
type (
	runtimes  = store.Collection[runtimeSpec, runtimeState]
	versions  = store.Collection[json.RawMessage, versionState]
	endpoints = store.Collection[endpointSpec, endpointState]

	providers  = store.Collection[providerSpec, providerState]
	placements = store.Collection[placement, struct{}]

	providerDoc  = store.Resource[providerSpec, providerState]
	placementDoc = store.Resource[placement, struct{}]

	runtimeDoc  = store.Resource[runtimeSpec, runtimeState]
	versionDoc  = store.Resource[json.RawMessage, versionState]
	endpointDoc = store.Resource[endpointSpec, endpointState]
)

// collections are the documents of this service: a runtime, and below it its
// versions and endpoints; a capacity provider, and below it who names it.
type collections struct {
	runtimes   runtimes
	versions   versions
	endpoints  endpoints
	providers  providers
	placements placements
}

func newCollections() collections {
	return collections{
		runtimes:   runtimes{Kind: "runtime"},
		versions:   versions{Kind: "runtime-version"},
		endpoints:  endpoints{Kind: "runtime-endpoint"},
		providers:  providers{Kind: "capacity-provider"},
		placements: placements{Kind: "capacity-provider-version"},
	}
}

// runtime reads a runtime, or answers as AWS does when there is none.
func (c collections) runtime(r store.Reader, scope store.Scope, id string) (runtimeDoc, error) {
	doc, err := c.runtimes.Get(r, scope, id)
	if errors.Is(err, store.ErrNotFound) {
		return doc, fault.NotFound("No agent runtime found with id '%s'", id)
	}
	return doc, err
}

// version reads one version of a runtime.
func (c collections) version(r store.Reader, scope store.Scope, id string, n int) (versionDoc, error) {
	doc, err := c.versions.Get(r, scope, versionID(id, n))
	if errors.Is(err, store.ErrNotFound) {
		return doc, fault.NotFound("No version '%d' found for agent runtime '%s'", n, id)
	}
	return doc, err
}

// endpoint reads one endpoint of a runtime.
func (c collections) endpoint(r store.Reader, scope store.Scope, id, name string) (endpointDoc, error) {
	doc, err := c.endpoints.Get(r, scope, endpointID(id, name))
	if errors.Is(err, store.ErrNotFound) {
		return doc, fault.NotFound("No endpoint '%s' found for agent runtime '%s'", name, id)
	}
	return doc, err
}

// provider reads a capacity provider.
func (c collections) provider(r store.Reader, scope store.Scope, id string) (providerDoc, error) {
	doc, err := c.providers.Get(r, scope, id)
	if errors.Is(err, store.ErrNotFound) {
		return doc, fault.NotFound("No capacity provider found with id '%s'", id)
	}
	return doc, err
}

// unmodelled words what is not there for an operation whose model knows no
// ResourceNotFoundException.
func unmodelled(err error, field string) error {
	if !fault.Is(err, "ResourceNotFoundException") {
		return err
	}
	return fault.Invalid(field, "%s", fault.From(err).Message)
}

// workKey keeps the items of one runtime in order.
func workKey(scope store.Scope, id string) string {
	return strings.Join([]string{"runtime", scope.Account, scope.Region, id}, "/")
}

// parseVersion reads a version of the wire, whose form the model has checked.
func parseVersion(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fault.Validation("'%s' is not a version", s)
	}
	return n, nil
}
