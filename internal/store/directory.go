package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Place is where a resource is found.
type Place struct {
	Scope Scope  `json:"scope"`
	ID    string `json:"id"`
}

// Directory tells where the resources of a service are by keys that name no account and
// no region, such as a host name: a table of rows whose values are Places.
type Directory struct {
	Table string

	all Cache[struct{}, map[string]Place]
}

// Find returns the place of a key. It reads the store only after a write: every request
// to what is found so asks.
func (d *Directory) Find(ctx context.Context, s Store, key string) (p Place, found bool, err error) {
	all, ok := d.all.Get(struct{}{})
	if !ok {
		if all, err = d.look(ctx, s); err != nil {
			return p, false, err
		}
	}
	p, found = all[key]
	return p, found, nil
}

func (d *Directory) look(ctx context.Context, s Store) (all map[string]Place, err error) {
	watch := s.Watch(RowTopic(d.Table))
	if err := s.View(ctx, func(r Reader) (err error) { all, err = d.read(r); return err }); err != nil {
		return nil, err
	}
	d.all.Put(struct{}{}, all, watch)
	return all, nil
}

func (d *Directory) read(r Reader) (map[string]Place, error) {
	all := map[string]Place{}
	for row, err := range r.Rows(d.Table, Range{}) {
		if err != nil {
			return nil, err
		}
		var p Place
		if err := json.Unmarshal(row.Value, &p); err != nil {
			return nil, fmt.Errorf("read %s %q: %w", d.Table, row.Key, err)
		}
		all[string(row.Key)] = p
	}
	return all, nil
}

// Get returns the place of a key as a transaction sees it.
func (d *Directory) Get(r Reader, key string) (p Place, found bool, err error) {
	value, err := r.Row(d.Table, []byte(key))
	if errors.Is(err, ErrNotFound) {
		return p, false, nil
	}
	if err == nil {
		err = json.Unmarshal(value, &p)
	}
	if err != nil {
		return p, false, fmt.Errorf("read %s %q: %w", d.Table, key, err)
	}
	return p, true, nil
}

// Put sets the place of a key.
func (d *Directory) Put(tx Tx, key string, p Place) error {
	value, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return tx.PutRow(d.Table, []byte(key), value)
}

// Delete removes a key; one that is not there is no error.
func (d *Directory) Delete(tx Tx, key string) error { return tx.DeleteRow(d.Table, []byte(key)) }
