package ecr

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	model "github.com/outcrop/outcrop/internal/api/model/ecr"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
)

// Policies are kept as they are sent, and nothing more: docs/registry.md.

// effects are those of a policy's statements, of which there are one or a list.
type effects []struct{ Effect string }

// UnmarshalJSON reads either.
func (e *effects) UnmarshalJSON(raw []byte) error {
	if raw[0] != '[' {
		raw = slices.Concat([]byte("["), raw, []byte("]"))
	}
	return json.Unmarshal(raw, (*[]struct{ Effect string })(e))
}

// checkPolicy refuses what is no policy, and one that denies: nothing evaluates
// policies yet, so it would not deny. One that allows opens nothing until then.
func checkPolicy(policy string) error {
	var p struct{ Statement effects }
	if json.Unmarshal([]byte(policy), &p) != nil {
		return invalidPolicy("PolicyText", "Invalid repository policy provided")
	}
	if slices.Contains(p.Statement, struct{ Effect string }{"Deny"}) {
		return invalidPolicy("PolicyText", "A policy that denies is not available yet: policies are stored and not evaluated, so it would not deny. Leave its Deny statements out")
	}
	return nil
}

func checkLifecycle(policy string) error {
	var p struct{ Rules []map[string]any }
	if json.Unmarshal([]byte(policy), &p) != nil || len(p.Rules) == 0 {
		return invalidPolicy("LifecyclePolicyText", "Lifecycle policy validation failure: it has no rules")
	}
	return nil
}

func invalidPolicy(member, constraint string) error {
	return fault.New(registry.CodeInvalid, http.StatusBadRequest, "Invalid parameter at '%s' failed to satisfy constraint: '%s'", member, constraint)
}

func noPolicy(n registry.Name) error {
	return fault.New(registry.CodeNoPolicy, http.StatusBadRequest,
		"Repository policy does not exist for the repository with name '%s' in the registry with id '%s'", n.Repository, n.Account)
}

func noLifecycle(n registry.Name) error {
	return fault.New(registry.CodeNoLifecycle, http.StatusBadRequest,
		"Lifecycle policy does not exist for the repository with name '%s' in the registry with id '%s'", n.Repository, n.Account)
}

// SetRepositoryPolicy keeps who else may use the repository.
func (s *Service) SetRepositoryPolicy(ctx context.Context, in *model.SetRepositoryPolicyRequest) (*model.SetRepositoryPolicyResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if err := checkPolicy(text(in.PolicyText)); err != nil {
		return nil, err
	}
	_, err = s.images.Change(ctx, n, func(s *registry.Settings) error {
		s.Policy = text(in.PolicyText)
		return nil
	})
	return &model.SetRepositoryPolicyResponse{RegistryId: &n.Account, RepositoryName: &n.Repository, PolicyText: in.PolicyText}, err
}

// GetRepositoryPolicy returns it.
func (s *Service) GetRepositoryPolicy(ctx context.Context, in *model.GetRepositoryPolicyRequest) (*model.GetRepositoryPolicyResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	r, err := s.images.Repository(ctx, n)
	if err == nil && r.Policy == "" {
		err = noPolicy(n)
	}
	return &model.GetRepositoryPolicyResponse{RegistryId: &n.Account, RepositoryName: &n.Repository, PolicyText: &r.Policy}, err
}

// DeleteRepositoryPolicy forgets it.
func (s *Service) DeleteRepositoryPolicy(ctx context.Context, in *model.DeleteRepositoryPolicyRequest) (*model.DeleteRepositoryPolicyResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	var old string
	_, err = s.images.Change(ctx, n, func(s *registry.Settings) error {
		if old, s.Policy = s.Policy, ""; old == "" {
			return noPolicy(n)
		}
		return nil
	})
	return &model.DeleteRepositoryPolicyResponse{RegistryId: &n.Account, RepositoryName: &n.Repository, PolicyText: &old}, err
}

// PutLifecyclePolicy keeps which images are to go. None goes by it.
func (s *Service) PutLifecyclePolicy(ctx context.Context, in *model.PutLifecyclePolicyRequest) (*model.PutLifecyclePolicyResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if err := checkLifecycle(text(in.LifecyclePolicyText)); err != nil {
		return nil, err
	}
	_, err = s.images.Change(ctx, n, func(s *registry.Settings) error {
		s.LifecyclePolicy = text(in.LifecyclePolicyText)
		return nil
	})
	return &model.PutLifecyclePolicyResponse{RegistryId: &n.Account, RepositoryName: &n.Repository, LifecyclePolicyText: in.LifecyclePolicyText}, err
}

// GetLifecyclePolicy returns it.
func (s *Service) GetLifecyclePolicy(ctx context.Context, in *model.GetLifecyclePolicyRequest) (*model.GetLifecyclePolicyResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	r, err := s.images.Repository(ctx, n)
	if err == nil && r.LifecyclePolicy == "" {
		err = noLifecycle(n)
	}
	return &model.GetLifecyclePolicyResponse{RegistryId: &n.Account, RepositoryName: &n.Repository, LifecyclePolicyText: &r.LifecyclePolicy}, err
}

// DeleteLifecyclePolicy forgets it.
func (s *Service) DeleteLifecyclePolicy(ctx context.Context, in *model.DeleteLifecyclePolicyRequest) (*model.DeleteLifecyclePolicyResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	var old string
	_, err = s.images.Change(ctx, n, func(s *registry.Settings) error {
		if old, s.LifecyclePolicy = s.LifecyclePolicy, ""; old == "" {
			return noLifecycle(n)
		}
		return nil
	})
	return &model.DeleteLifecyclePolicyResponse{RegistryId: &n.Account, RepositoryName: &n.Repository, LifecyclePolicyText: &old}, err
}
