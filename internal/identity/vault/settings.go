package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

// ID names the one vault of an account and region.
const ID = "default"

// Settings are what is said of a vault.
type Settings struct {
	// Key is the ARN of the customer's key, or empty: the server's.
	Key string
	// Modified is when that was said; the zero time for never.
	Modified time.Time
}

type vaultSpec struct {
	Key string `json:"key,omitempty"`
}

type vaultState struct {
	Modified time.Time `json:"modified"`
}

var settings = store.Collection[vaultSpec, vaultState]{Kind: "token-vault"}

// SettingsOf reads what is said of a vault; it exists without.
func SettingsOf(r store.Reader, scope store.Scope) (Settings, error) {
	d, err := settings.Get(r, scope, ID)
	if errors.Is(err, store.ErrNotFound) {
		return Settings{}, nil
	}
	return Settings{Key: d.Spec.Key, Modified: d.State.Modified}, err
}

// SetKey says under which key tokens are sealed from now on.
func SetKey(tx store.Tx, scope store.Scope, key string) (Settings, error) {
	_, err := settings.Get(tx, scope, ID)
	if errors.Is(err, store.ErrNotFound) {
		_, err = settings.Create(tx, store.Resource[vaultSpec, vaultState]{Scope: scope, ID: ID, Spec: vaultSpec{key}, State: vaultState{tx.Now()}})
	} else if err == nil {
		_, err = settings.Update(tx, scope, ID, func(d *store.Resource[vaultSpec, vaultState]) error {
			d.Spec.Key, d.State.Modified = key, tx.Now()
			return nil
		})
	}
	return Settings{Key: key, Modified: tx.Now()}, err
}

// resealed is how many rows are sealed anew between two looks at the store.
const resealed = 100

// Reseal seals all tokens of a vault under a key. Each row says which key it is under,
// so that a vault whose resealing broke off stays readable, and doing it again ends it.
func (v *Vault) Reseal(ctx context.Context, scope store.Scope, key string) error {
	at := store.Prefix(workload.KeptOf(scope))
	at.Limit = resealed
	for {
		var rows []store.Row
		err := v.Store.View(ctx, func(r store.Reader) error {
			rows = nil
			for row, err := range r.Rows(workload.KeptTable, at) {
				if err != nil {
					return err
				}
				rows = append(rows, row)
			}
			return nil
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			if err := v.reseal(ctx, scope, key, r); err != nil {
				return fmt.Errorf("seal tokens of vault %s anew: %w", scope, err)
			}
		}
		at.From = append(rows[len(rows)-1].Key, 0)
	}
}

func (v *Vault) reseal(ctx context.Context, scope store.Scope, key string, r store.Row) error {
	var old row
	if err := json.Unmarshal(r.Value, &old); err != nil {
		return err
	}
	if old.Key == key {
		return nil
	}
	owner := secret.Owner{Scope: scope.String(), Kind: "oauth-token", ID: old.Owner}
	b, err := v.open(ctx, scope, owner, old)
	if err != nil {
		return err
	}
	value, err := v.seal(ctx, scope, owner, key, b)
	if err != nil {
		return err
	}
	return v.Store.Update(ctx, func(tx store.Tx) error {
		now, err := tx.Row(workload.KeptTable, r.Key)
		if errors.Is(err, store.ErrNotFound) || err == nil && !bytes.Equal(now, r.Value) {
			return nil // it went, or is a newer one that is sealed under the new key
		}
		if err != nil {
			return err
		}
		return tx.PutRow(workload.KeptTable, r.Key, value)
	})
}
