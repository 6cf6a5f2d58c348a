package runtime

import (
	"encoding/json"
	"fmt"

	"github.com/outcrop/outcrop/internal/store"
)

// Environment variables often are secrets, so they are sealed for the version
// they belong to and never part of the stored spec.

func (s *Service) seal(scope store.Scope, id string, n int, env map[string]string) ([]byte, error) {
	if env == nil {
		return nil, nil
	}
	plain, err := json.Marshal(env)
	if err != nil {
		return nil, err
	}
	return s.cfg.Seal.Seal(plain, sealOwner(scope, versionID(id, n)))
}

func (s *Service) environment(v versionDoc) (map[string]string, error) {
	if v.State.Environment == nil {
		return nil, nil
	}
	plain, err := s.cfg.Seal.Open(v.State.Environment, sealOwner(v.Scope, v.ID))
	if err != nil {
		return nil, fmt.Errorf("open environment of %s: %w", v.ID, err)
	}
	var env map[string]string
	if err := json.Unmarshal(plain, &env); err != nil {
		return nil, fmt.Errorf("read environment of %s: %w", v.ID, err)
	}
	return env, nil
}

func sealOwner(scope store.Scope, id string) string {
	return scope.String() + "/runtime-version/" + id
}
