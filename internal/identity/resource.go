package identity

import (
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
	"github.com/outcrop/outcrop/internal/workload"
)

// The service owns the resources workload-identity-directory/default/workload-identity/NAME
// and token-vault/default/KIND/NAME, for package resource.

const workloadPath = "workload-identity-directory/default/workload-identity/"

// Tags returns the tags of a resource of this service.
func (s *Service) Tags(r store.Reader, scope store.Scope, path string) (map[string]string, error) {
	if name, ok := strings.CutPrefix(path, workloadPath); ok {
		i, err := workload.Get(r, scope, name)
		return i.Tags, missing(err, name)
	}
	if name, ok := strings.CutPrefix(path, apiKeyKind().path); ok {
		p, err := apiKeys.Get(r, scope, name)
		return p.Spec.Tags, noProvider(err, name)
	}
	if name, ok := strings.CutPrefix(path, oauthKind().path); ok {
		p, err := oauths.Get(r, scope, name)
		return p.Spec.Tags, noProvider(err, name)
	}
	return nil, noResource(scope, path)
}

// SetTags replaces the tags of a resource that Tags has found.
func (s *Service) SetTags(tx store.Tx, scope store.Scope, path string, tags map[string]string) error {
	if err := tag.Check(tags); err != nil {
		return err
	}
	if name, ok := strings.CutPrefix(path, workloadPath); ok {
		return workload.SetTags(tx, scope, name, tags)
	}
	if name, ok := strings.CutPrefix(path, apiKeyKind().path); ok {
		_, err := apiKeys.Update(tx, scope, name, func(p *apiKeyProvider) error { p.Spec.Tags = tags; return nil })
		return noProvider(err, name)
	}
	if name, ok := strings.CutPrefix(path, oauthKind().path); ok {
		_, err := oauths.Update(tx, scope, name, func(p *oauthProvider) error { p.Spec.Tags = tags; return nil })
		return noProvider(err, name)
	}
	return noResource(scope, path)
}

// PolicyNames returns nothing: these resources take no policy.
func (s *Service) PolicyNames(store.Scope, string) []string { return nil }

func noResource(scope store.Scope, path string) error {
	return fault.NotFound("No resource found with the ARN 'arn:aws:bedrock-agentcore:%s:%s:%s'", scope.Region, scope.Account, path)
}
