package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// placeTable tells whose gateway an id or a host name is: callers of a gateway say no
// account and no region. A key is "id/ID" or "host/NAME", in lower case.
const placeTable = "gateway-place"

// Place is where a gateway is found.
type Place struct {
	Scope store.Scope `json:"scope"`
	ID    string      `json:"id"`
}

func idKey(id string) string     { return "id/" + id }
func hostKey(host string) string { return "host/" + strings.ToLower(host) }

// place returns where the gateway with an id is, or a refusal.
func (s *Service) place(ctx context.Context, id string) (Place, error) {
	all, err := s.allPlaces(ctx)
	if err != nil {
		return Place{}, err
	}
	p, ok := all[idKey(id)]
	if !ok {
		return p, fault.NotFound("No gateway found with id '%s'", fault.Clip(id, 120))
	}
	return p, nil
}

// Host returns the id of the gateway whose domainOverride has a host name, or nothing.
func (s *Service) Host(ctx context.Context, host string) (id string, err error) {
	all, err := s.allPlaces(ctx)
	return all[hostKey(host)].ID, err
}

// allPlaces are all there are, read again when one is written: every request asks.
func (s *Service) allPlaces(ctx context.Context) (map[string]Place, error) {
	if all, ok := s.places.Get(struct{}{}); ok {
		return all, nil
	}
	watch := s.cfg.Store.Watch(store.RowTopic(placeTable))
	all := map[string]Place{}
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		clear(all)
		for row, err := range r.Rows(placeTable, store.Range{}) {
			if err != nil {
				return err
			}
			var p Place
			if err := json.Unmarshal(row.Value, &p); err != nil {
				return fmt.Errorf("read place %q: %w", row.Key, err)
			}
			all[string(row.Key)] = p
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.places.Put(struct{}{}, all, watch)
	return all, nil
}

func readPlace(r store.Reader, key string) (p Place, found bool, err error) {
	value, err := r.Row(placeTable, []byte(key))
	if errors.Is(err, store.ErrNotFound) {
		return p, false, nil
	}
	if err == nil {
		err = json.Unmarshal(value, &p)
	}
	if err != nil {
		return p, false, fmt.Errorf("read place %s: %w", key, err)
	}
	return p, true, nil
}

func writePlace(tx store.Tx, key string, p Place) error {
	value, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return tx.PutRow(placeTable, []byte(key), value)
}

// settleHosts puts a gateway where its host names lead to, in place of those that it had.
func settleHosts(tx store.Tx, p Place, was, names []string) error {
	for _, name := range was {
		if err := tx.DeleteRow(placeTable, []byte(hostKey(name))); err != nil {
			return err
		}
	}
	for _, name := range names {
		switch taken, is, err := readPlace(tx, hostKey(name)); {
		case err != nil:
			return err
		case is && taken != p:
			return fault.Conflict("%s: '%s' is a name of another gateway", domainField, name)
		}
		if err := writePlace(tx, hostKey(name), p); err != nil {
			return err
		}
	}
	return nil
}
