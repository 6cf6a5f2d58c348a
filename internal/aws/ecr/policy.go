package ecr

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	model "github.com/outcrop/outcrop/internal/api/model/ecr"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/resourcepolicy"
)

// checkPolicy refuses what is no policy of a repository or names somebody who is not
// there, and pins whom it names. Its statements name no resource: they are about the
// repository.
func (s *Service) checkPolicy(ctx context.Context, text string, n registry.Name) (pin.Pins, error) {
	doc, err := resourcepolicy.Compile(text, n.ARN())
	if err != nil {
		return nil, invalidPolicy("PolicyText", "Invalid repository policy provided: "+err.Error())
	}
	pins, err := pin.Take(ctx, s.directory, doc)
	if unknown, ok := errors.AsType[*pin.UnknownError](err); ok {
		return nil, invalidPolicy("PolicyText", "Invalid repository policy provided: "+unknown.Error())
	}
	return pins, err
}

// policyText is the policy of a repository for whoever reads it.
func (s *Service) policyText(ctx context.Context, r registry.Settings) (string, error) {
	return r.Pins.Text(ctx, s.directory, r.Policy)
}

func checkLifecycle(policy string) error {
	var p struct{ Rules []map[string]any }
	if json.Unmarshal([]byte(policy), &p) != nil || len(p.Rules) == 0 {
		return invalidPolicy("LifecyclePolicyText", "Lifecycle policy validation failure: it has no rules")
	}
	return nil
}

func invalidPolicy(member, constraint string) error {
	return fault.BadRequest(registry.CodeInvalid, "Invalid parameter at '%s' failed to satisfy constraint: '%s'", member, constraint)
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
	pins, err := s.checkPolicy(ctx, wire.Text(in.PolicyText), n)
	if err != nil {
		return nil, err
	}
	_, err = s.images.Change(ctx, n, func(s *registry.Settings) error {
		s.Policy, s.Pins = wire.Text(in.PolicyText), pins
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
	if err != nil {
		return nil, err
	}
	text, err := s.policyText(ctx, r.Settings)
	return &model.GetRepositoryPolicyResponse{RegistryId: &n.Account, RepositoryName: &n.Repository, PolicyText: &text}, err
}

// DeleteRepositoryPolicy forgets it.
func (s *Service) DeleteRepositoryPolicy(ctx context.Context, in *model.DeleteRepositoryPolicyRequest) (*model.DeleteRepositoryPolicyResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	var old registry.Settings
	_, err = s.images.Change(ctx, n, func(s *registry.Settings) error {
		if old = *s; old.Policy == "" {
			return noPolicy(n)
		}
		s.Policy, s.Pins = "", nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	text, err := s.policyText(ctx, old)
	return &model.DeleteRepositoryPolicyResponse{RegistryId: &n.Account, RepositoryName: &n.Repository, PolicyText: &text}, err
}

// PutLifecyclePolicy keeps which images are to go. None goes by it.
func (s *Service) PutLifecyclePolicy(ctx context.Context, in *model.PutLifecyclePolicyRequest) (*model.PutLifecyclePolicyResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if err := checkLifecycle(wire.Text(in.LifecyclePolicyText)); err != nil {
		return nil, err
	}
	_, err = s.images.Change(ctx, n, func(s *registry.Settings) error {
		s.LifecyclePolicy = wire.Text(in.LifecyclePolicyText)
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
