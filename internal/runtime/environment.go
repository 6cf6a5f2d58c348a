package runtime

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Environment variables often are secrets, so they are sealed for the version
// they belong to and never part of the stored spec.

func (s *Service) seal(ctx context.Context, scope store.Scope, id string, n int, env map[string]string) ([]byte, error) {
	if env == nil {
		return nil, nil
	}
	plain, err := json.Marshal(env)
	if err != nil {
		return nil, err
	}
	return s.cfg.Secrets.Seal(ctx, environmentOwner(scope, versionID(id, n)), secret.NewBytes(plain))
}

func (s *Service) environment(ctx context.Context, v versionDoc) (map[string]string, error) {
	if v.State.Environment == nil {
		return nil, nil
	}
	plain, err := s.cfg.Secrets.Open(ctx, environmentOwner(v.Scope, v.ID), v.State.Environment)
	if err != nil {
		return nil, fmt.Errorf("open environment of %s: %w", v.ID, err)
	}
	var env map[string]string
	if err := json.Unmarshal(plain.Reveal(), &env); err != nil {
		return nil, fmt.Errorf("read environment of %s: %w", v.ID, err)
	}
	return env, nil
}

func environmentOwner(scope store.Scope, id string) secret.Owner {
	return secret.Owner{Scope: scope.String(), Kind: "runtime-version.environment", ID: id}
}
