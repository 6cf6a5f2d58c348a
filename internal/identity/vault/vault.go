// Package vault keeps the tokens that services gave for agents and their users: the
// token vault of the Identity service (spec/identity.md 2.2, 5).
//
// A token is found by all that it was asked for with: agent, user, provider, scopes
// and the rest. Nobody asks with less. It is sealed for that owner, under the server's
// key or one of the customer's, so that a row which is moved to another place does not
// open. Rows go with their agent (package workload) and their provider.
package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

// Keys are the keys of customers.
type Keys interface {
	// Box seals under a symmetric key of the scope that can be used now, and returns
	// its ARN.
	Box(ctx context.Context, scope store.Scope, name string) (box *secret.Box, arn string, err error)
}

// Vault is all accounts' vaults. It is safe for concurrent use.
type Vault struct {
	Store store.Store
	Box   *secret.Box
	// Keys may be nil where no vault has one of them.
	Keys Keys
}

// Owner is all that a token was asked for with.
type Owner struct {
	Scope              store.Scope
	Workload, Provider string
	// ProviderID tells a provider from an earlier one of its name.
	ProviderID string
	User       workload.User
	// Prover is the caller who proved a provider's client, where no secret or key does:
	// what one is given is not another's.
	Prover     string
	Flow       string
	Scopes     []string
	Audiences  []string
	Resources  []string
	Parameters map[string]string
}

// Token is what a service gave.
type Token struct {
	Access, Refresh secret.String
	// Obtained is when; Expires is the zero time where the service did not say.
	Obtained, Expires time.Time

	raw []byte // as it is stored
}

// early is how long before its end a token is not handed out any more, but at most a
// tenth of its life: it must last for the call that it is wanted for.
const early = time.Minute

// Good tells whether a token can be handed out.
func (t Token) Good(now time.Time) bool {
	if t.Access.Empty() {
		return false
	}
	end := t.End()
	return end.IsZero() || now.Before(end)
}

// End is from when on the token is not handed out any more; the zero time is never.
func (t Token) End() time.Time {
	if t.Expires.IsZero() {
		return time.Time{}
	}
	return t.Expires.Add(-min(early, t.Expires.Sub(t.Obtained)/10))
}

// key is where the token is. That scopes come in another order makes no difference.
func (o Owner) key() []byte {
	sorted := func(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
	var parameters []string
	for _, name := range slices.Sorted(maps.Keys(o.Parameters)) {
		parameters = append(parameters, name, o.Parameters[name])
	}
	h := sha256.New()
	lists := [][]string{{o.ProviderID, o.User.Key(), o.Flow}, sorted(o.Scopes), sorted(o.Audiences), sorted(o.Resources), parameters}
	if o.Prover != "" {
		lists = append(lists, []string{o.Prover})
	}
	for _, list := range lists {
		b := binary.AppendUvarint(nil, uint64(len(list)))
		for _, text := range list {
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
		h.Write(b)
	}
	return h.Sum(workload.KeptKey(o.Scope, o.Workload, o.Provider))
}

// Flight names the owner for what is done for each once at a time.
func (o Owner) Flight() string { return string(o.key()) }

func (o Owner) secret() secret.Owner {
	return secret.Owner{Scope: o.Scope.String(), Kind: "oauth-token", ID: base64.RawURLEncoding.EncodeToString(o.key())}
}

// row is how a token is stored.
type row struct {
	// Key is the customer's, or empty for the server's.
	Key    string `json:"key,omitempty"`
	Sealed []byte `json:"sealed"`
	// Owner is what it was sealed for, so that it can be sealed under another key.
	Owner string `json:"owner"`
}

type plain struct {
	Access   string    `json:"access"`
	Refresh  string    `json:"refresh,omitempty"`
	Obtained time.Time `json:"obtained"`
	Expires  time.Time `json:"expires,omitzero"`
}

// Get returns a token, or ok is false where there is none.
func (v *Vault) Get(ctx context.Context, o Owner) (t Token, ok bool, err error) {
	var value []byte
	err = v.Store.View(ctx, func(r store.Reader) (err error) {
		value, err = r.Row(workload.KeptTable, o.key())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return Token{}, false, nil
	}
	if err != nil {
		return Token{}, false, err
	}
	var stored row
	if err := json.Unmarshal(value, &stored); err != nil {
		return Token{}, false, fmt.Errorf("read token of %s: %w", o.Workload, err)
	}
	b, err := v.open(ctx, o.Scope, o.secret(), stored)
	if err != nil {
		return Token{}, false, fmt.Errorf("read token of %s: %w", o.Workload, err)
	}
	var p plain
	if err := json.Unmarshal(b.Reveal(), &p); err != nil {
		return Token{}, false, fmt.Errorf("read token of %s: %w", o.Workload, err)
	}
	return Token{Access: secret.NewString(p.Access), Refresh: secret.NewString(p.Refresh), Obtained: p.Obtained, Expires: p.Expires, raw: value}, true, nil
}

// Sealed is a token that can be stored in a transaction.
type Sealed struct{ key, value []byte }

// Seal seals a token under the key of its vault. It is done before the transaction,
// since a customer's key is in the same store.
func (v *Vault) Seal(ctx context.Context, o Owner, t Token) (Sealed, error) {
	b, err := json.Marshal(plain{t.Access.Reveal(), t.Refresh.Reveal(), t.Obtained, t.Expires})
	if err != nil {
		return Sealed{}, err
	}
	var s Settings
	if err := v.Store.View(ctx, func(r store.Reader) (err error) {
		s, err = SettingsOf(r, o.Scope)
		return err
	}); err != nil {
		return Sealed{}, err
	}
	value, err := v.seal(ctx, o.Scope, o.secret(), s.Key, secret.NewBytes(b))
	if err != nil {
		return Sealed{}, fmt.Errorf("seal token of %s: %w", o.Workload, err)
	}
	return Sealed{o.key(), value}, nil
}

// Put stores a sealed token in place of an older one.
func Put(tx store.Tx, s Sealed) error { return tx.PutRow(workload.KeptTable, s.key, s.value) }

// Replace is Put in place of a token that Get returned. It tells whether that was still
// there: a user may have had it forgotten meanwhile.
func Replace(tx store.Tx, s Sealed, was Token) (bool, error) {
	now, err := tx.Row(workload.KeptTable, s.key)
	if errors.Is(err, store.ErrNotFound) || err == nil && !bytes.Equal(now, was.raw) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, Put(tx, s)
}

// Delete takes a token away, if there is one.
func Delete(tx store.Tx, o Owner) error { return tx.DeleteRow(workload.KeptTable, o.key()) }

// Forget takes all tokens of a provider away, whichever agent's they are.
func Forget(tx store.Tx, scope store.Scope, provider string) error {
	all := store.Prefix(workload.KeptOf(scope))
	all.Limit = 1
	for {
		at, name := []byte(nil), ""
		for r, err := range tx.Rows(workload.KeptTable, all) {
			if err != nil {
				return err
			}
			name, at = workload.KeptFor(scope, r.Key), r.Key
		}
		if at == nil {
			return nil
		}
		if _, err := tx.DeleteRows(workload.KeptTable, store.Prefix(workload.KeptKey(scope, name, provider))); err != nil {
			return err
		}
		all.From = workload.KeptEnd(scope, name)
	}
}

// ForgetAll takes all tokens of a vault away.
func ForgetAll(tx store.Tx, scope store.Scope) error {
	_, err := tx.DeleteRows(workload.KeptTable, store.Prefix(workload.KeptOf(scope)))
	return err
}

func (v *Vault) box(ctx context.Context, scope store.Scope, key string) (*secret.Box, error) {
	if key == "" {
		return v.Box, nil
	}
	if v.Keys == nil {
		return nil, secret.ErrUnreadable
	}
	box, _, err := v.Keys.Box(ctx, scope, key)
	return box, err
}

func (v *Vault) seal(ctx context.Context, scope store.Scope, owner secret.Owner, key string, b secret.Bytes) ([]byte, error) {
	box, err := v.box(ctx, scope, key)
	if err != nil {
		return nil, err
	}
	sealed, err := box.Seal(ctx, owner, b)
	if err != nil {
		return nil, err
	}
	return json.Marshal(row{Key: key, Sealed: sealed, Owner: owner.ID})
}

func (v *Vault) open(ctx context.Context, scope store.Scope, owner secret.Owner, r row) (secret.Bytes, error) {
	box, err := v.box(ctx, scope, r.Key)
	if err != nil {
		return secret.Bytes{}, err
	}
	return box.Open(ctx, owner, r.Sealed)
}
