package runtime

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

// identityDetails names the workload identity of a runtime, which has its id.
func identityDetails(scope store.Scope, id string) *agentcorecontrol.WorkloadIdentityDetails {
	return &agentcorecontrol.WorkloadIdentityDetails{WorkloadIdentityArn: new(workload.ARN(scope, id))}
}

// identify gives a new runtime its workload identity.
func identify(tx store.Tx, scope store.Scope, id string) error {
	_, err := workload.Create(tx, workload.Identity{Scope: scope, Name: id, Host: ARN(scope, id)})
	return err
}

// identifyAll gives those runtimes an identity that were made before there were any.
func (s *Service) identifyAll(ctx context.Context) error {
	var without []runtimeDoc
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		without = nil
		for rt, err := range s.docs.runtimes.All(r) {
			if err != nil {
				return err
			}
			switch _, err := workload.Get(r, rt.Scope, rt.ID); {
			case errors.Is(err, store.ErrNotFound):
				without = append(without, rt)
			case err != nil:
				return err
			}
		}
		return nil
	})
	if err != nil || len(without) == 0 {
		return err
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		for _, rt := range without {
			if _, err := s.docs.runtimes.Get(tx, rt.Scope, rt.ID); errors.Is(err, store.ErrNotFound) {
				continue // it went meanwhile
			}
			if err := identify(tx, rt.Scope, rt.ID); err != nil && !errors.Is(err, store.ErrExists) {
				return err
			}
		}
		return nil
	})
}
