package portal

import (
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

// The service owns the resources consent-portal/ID, for package resource.

// idIn returns the id in the path of an ARN.
func idIn(scope store.Scope, path string) (string, error) {
	id, ok := strings.CutPrefix(path, arnKind)
	if !ok || id == "" || strings.Contains(id, "/") {
		return "", fault.NotFound("No resource found with the ARN 'arn:aws:bedrock-agentcore:%s:%s:%s'", scope.Region, scope.Account, path)
	}
	return id, nil
}

// Tags returns the tags of a portal.
func (s *Service) Tags(r store.Reader, scope store.Scope, path string) (map[string]string, error) {
	id, err := idIn(scope, path)
	if err != nil {
		return nil, err
	}
	doc, err := get(r, scope, id)
	return doc.Spec.Tags, err
}

// SetTags replaces the tags of a portal that Tags has found.
func (s *Service) SetTags(tx store.Tx, scope store.Scope, path string, tags map[string]string) error {
	if err := tag.Check(tags); err != nil {
		return err
	}
	id, err := idIn(scope, path)
	if err != nil {
		return err
	}
	_, err = portals.Update(tx, scope, id, func(d *document) error { d.Spec.Tags = tags; return nil })
	return missing(err, id)
}

// PolicyNames returns nothing: a portal takes no policy.
func (s *Service) PolicyNames(store.Scope, string) []string { return nil }
