package runtime

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// The specs are the wire's JSON as accepted, so that a regenerated model never
// changes what is stored.
type (
	runtimes  = store.Collection[json.RawMessage, runtimeState]
	versions  = store.Collection[json.RawMessage, versionState]
	endpoints = store.Collection[json.RawMessage, endpointState]

	runtimeDoc  = store.Resource[json.RawMessage, runtimeState]
	versionDoc  = store.Resource[json.RawMessage, versionState]
	endpointDoc = store.Resource[json.RawMessage, endpointState]
)

// collections are the documents of this service: a runtime, and below it its
// versions and endpoints.
type collections struct {
	runtimes  runtimes
	versions  versions
	endpoints endpoints
}

func newCollections() collections {
	return collections{
		runtimes:  runtimes{Kind: "runtime"},
		versions:  versions{Kind: "runtime-version"},
		endpoints: endpoints{Kind: "runtime-endpoint"},
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
