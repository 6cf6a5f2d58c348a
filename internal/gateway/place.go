package gateway

import (
	"context"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// placeTable tells whose gateway an id or a host name is: callers of a gateway say no
// account and no region. A key is "id/ID" or "host/NAME", in lower case.
const placeTable = "gateway-place"

func idKey(id string) string     { return "id/" + id }
func hostKey(host string) string { return "host/" + strings.ToLower(host) }

// place returns where the gateway with an id is, or a refusal.
func (s *Service) place(ctx context.Context, id string) (store.Place, error) {
	p, ok, err := s.places.Find(ctx, s.cfg.Store, idKey(id))
	if err == nil && !ok {
		err = fault.NotFound("No gateway found with id '%s'", fault.Clip(id, 120))
	}
	return p, err
}

// Host returns the id of the gateway whose domainOverride has a host name, or nothing.
func (s *Service) Host(ctx context.Context, host string) (id string, err error) {
	p, _, err := s.places.Find(ctx, s.cfg.Store, hostKey(host))
	return p.ID, err
}

// settleHosts puts a gateway where its host names lead to, in place of those that it had.
func (s *Service) settleHosts(tx store.Tx, p store.Place, was, names []string) error {
	for _, name := range was {
		if err := s.places.Delete(tx, hostKey(name)); err != nil {
			return err
		}
	}
	for _, name := range names {
		switch taken, is, err := s.places.Get(tx, hostKey(name)); {
		case err != nil:
			return err
		case is && taken != p:
			return fault.Conflict("%s: '%s' is a name of another gateway", domainField, name)
		}
		if err := s.places.Put(tx, hostKey(name), p); err != nil {
			return err
		}
	}
	return nil
}
