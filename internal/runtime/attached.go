package runtime

import (
	"errors"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

// The service owns the resources runtime/ID, runtime/ID/runtime-endpoint/NAME and
// capacity-provider/ID, for package resource.

// parsePath reads the path of an ARN of this service.
func parsePath(path string) (kind, id, endpoint string) {
	part := strings.Split(path, "/")
	switch {
	case len(part) == 2:
		return part[0], part[1], ""
	case len(part) == 4 && part[0] == "runtime" && part[2] == "runtime-endpoint":
		return "runtime-endpoint", part[1], part[3]
	}
	return "", "", ""
}

// Tags returns the tags of a resource of this service.
func (s *Service) Tags(r store.Reader, scope store.Scope, path string) (map[string]string, error) {
	switch kind, id, endpoint := parsePath(path); kind {
	case "runtime":
		doc, err := s.docs.runtime(r, scope, id)
		return doc.Spec.Tags, err
	case "runtime-endpoint":
		doc, err := s.docs.endpoint(r, scope, id, endpoint)
		return doc.Spec.Tags, err
	case "capacity-provider":
		doc, err := s.docs.provider(r, scope, id)
		return doc.Spec.Tags, err
	}
	return nil, fault.NotFound("No resource found with the ARN 'arn:aws:bedrock-agentcore:%s:%s:%s'", scope.Region, scope.Account, path)
}

// SetTags replaces the tags of a resource that Tags has found.
func (s *Service) SetTags(tx store.Tx, scope store.Scope, path string, tags map[string]string) (err error) {
	if err := tag.Check(tags); err != nil {
		return err
	}
	switch kind, id, endpoint := parsePath(path); kind {
	case "runtime":
		if err := checkSnapshot(nil, tags); err != nil {
			return err
		}
		_, err = s.docs.runtimes.Update(tx, scope, id, func(d *runtimeDoc) error { d.Spec.Tags = tags; return nil })
	case "runtime-endpoint":
		_, err = s.docs.endpoints.Update(tx, scope, endpointID(id, endpoint), func(d *endpointDoc) error { d.Spec.Tags = tags; return nil })
	case "capacity-provider":
		_, err = s.docs.providers.Update(tx, scope, id, func(d *providerDoc) error { d.Spec.Tags = tags; return nil })
	default:
		err = errors.New("set tags of " + path + ": there is no such resource")
	}
	return err
}

// PolicyNames are the ARNs by which a policy may name a resource of this service:
// AWS's documents write those of endpoints in two ways (spec/runtime.md 2.1).
func (s *Service) PolicyNames(scope store.Scope, path string) []string {
	switch kind, id, endpoint := parsePath(path); kind {
	case "runtime":
		return []string{ARN(scope, id)}
	case "runtime-endpoint":
		return []string{EndpointARN(scope, id, endpoint), ARN(scope, id) + "/endpoint/" + endpoint}
	}
	return nil
}
