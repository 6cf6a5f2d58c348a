package vault_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/identity/vault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/workload"
)

func owner() vault.Owner {
	return vault.Owner{
		Scope: store.Scope{Account: "111122223333", Region: "us-west-2"}, Workload: "desk", Provider: "svc", ProviderID: "p/0",
		User: workload.User{Kind: workload.ByID, Name: "ann"}, Flow: "USER_FEDERATION", Scopes: []string{"a", "b"},
		Audiences: []string{"x"}, Resources: []string{"r"}, Parameters: map[string]string{"k": "v"},
	}
}

func newVault(t testing.TB) (*vault.Vault, *sqlite.Store) {
	t.Helper()
	dir := t.TempDir()
	box := secrettest.Box(t)
	st, err := sqlite.Open(t.Context(), filepath.Join(dir, "db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return &vault.Vault{Store: st, Box: box}, st
}

func put(t testing.TB, v *vault.Vault, o vault.Owner, access string) {
	t.Helper()
	s, err := v.Seal(t.Context(), o, vault.Token{Access: secret.NewString(access), Obtained: time.Unix(1000, 0)})
	if err == nil {
		err = v.Store.Update(t.Context(), func(tx store.Tx) error { return vault.Put(tx, s) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestOwners: a token is found by all that it was asked for with, and nothing less.
func TestOwners(t *testing.T) {
	v, _ := newVault(t)
	put(t, v, owner(), "mine")
	for name, change := range map[string]func(*vault.Owner){
		"account": func(o *vault.Owner) { o.Scope.Account = "444455556666" }, "region": func(o *vault.Owner) { o.Scope.Region = "eu-west-1" },
		"workload": func(o *vault.Owner) { o.Workload = "other" }, "provider": func(o *vault.Owner) { o.Provider = "other" }, "provider's id": func(o *vault.Owner) { o.ProviderID = "q/0" },
		"user": func(o *vault.Owner) { o.User.Name = "bob" }, "kind of user": func(o *vault.Owner) { o.User.Kind = workload.ByJWT }, "nobody": func(o *vault.Owner) { o.User = workload.User{} },
		"flow": func(o *vault.Owner) { o.Flow = "M2M" }, "fewer scopes": func(o *vault.Owner) { o.Scopes = []string{"a"} }, "joined scopes": func(o *vault.Owner) { o.Scopes = []string{"a b"} },
		"audience": func(o *vault.Owner) { o.Audiences = nil }, "resource for audience": func(o *vault.Owner) { o.Audiences, o.Resources = o.Resources, o.Audiences },
		"parameter": func(o *vault.Owner) { o.Parameters = map[string]string{"k": "w"} }, "parameter's name": func(o *vault.Owner) { o.Parameters = map[string]string{"kv": ""} },
	} {
		o := owner()
		change(&o)
		if _, ok, err := v.Get(t.Context(), o); ok || err != nil {
			t.Errorf("%s: %t, %v", name, ok, err)
		}
	}
	o := owner()
	o.Scopes = []string{"b", "a", "b"}
	if got, ok, err := v.Get(t.Context(), o); !ok || err != nil || got.Access.Reveal() != "mine" {
		t.Errorf("scopes in another order: %t, %v", ok, err)
	}
}

// TestMovedRow: what somebody with the database puts in another's place does not open.
func TestMovedRow(t *testing.T) {
	v, st := newVault(t)
	bob := owner()
	bob.User.Name = "bob"
	put(t, v, owner(), "of ann")
	put(t, v, bob, "of bob")
	err := st.Update(t.Context(), func(tx store.Tx) error {
		var rows []store.Row
		for r, err := range tx.Rows(workload.KeptTable, store.Range{}) {
			if err != nil {
				return err
			}
			rows = append(rows, r)
		}
		if len(rows) != 2 {
			t.Fatalf("%d rows", len(rows))
		}
		if err := tx.PutRow(workload.KeptTable, rows[0].Key, rows[1].Value); err != nil {
			return err
		}
		return tx.PutRow(workload.KeptTable, rows[1].Key, rows[0].Value)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []vault.Owner{owner(), bob} {
		if got, ok, err := v.Get(t.Context(), o); err == nil {
			t.Errorf("%s got %s, %t", o.User.Name, got.Access.Reveal(), ok)
		}
	}
}

// TestForget takes one provider's tokens of all workloads of a scope.
func TestForget(t *testing.T) {
	v, st := newVault(t)
	var all []vault.Owner
	for _, account := range []string{"111122223333", "444455556666"} {
		for _, name := range []string{"a", "a.b", "b", "ab"} {
			for _, provider := range []string{"svc", "sv", "svcs"} {
				for _, user := range []string{"ann", "bob"} {
					o := owner()
					o.Scope.Account, o.Workload, o.Provider, o.User.Name = account, name, provider, user
					put(t, v, o, "x")
					all = append(all, o)
				}
			}
		}
	}
	if err := st.Update(t.Context(), func(tx store.Tx) error { return vault.Forget(tx, owner().Scope, "svc") }); err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		_, ok, err := v.Get(t.Context(), o)
		if want := o.Scope != owner().Scope || o.Provider != "svc"; err != nil || ok != want {
			t.Errorf("%s %s %s %s: %t, %v", o.Scope, o.Workload, o.Provider, o.User.Name, ok, err)
		}
	}
}

// TestGood: a token is handed out until a minute before its end, or a tenth of its life.
func TestGood(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	for _, c := range []struct {
		life, now int64
		want      bool
	}{{3600, 3539, true}, {3600, 3540, false}, {60, 53, true}, {60, 54, false}, {0, 1 << 40, true}} {
		token := vault.Token{Access: secret.NewString("a"), Obtained: at(0)}
		if c.life > 0 {
			token.Expires = at(c.life)
		}
		if token.Good(at(c.now)) != c.want {
			t.Errorf("a life of %d at %d is not %t", c.life, c.now, c.want)
		}
	}
	if (vault.Token{}).Good(at(0)) {
		t.Error("nothing is good")
	}
}

// BenchmarkGet is what an agent's call of a kept token costs the vault.
func BenchmarkGet(b *testing.B) {
	v, _ := newVault(b)
	put(b, v, owner(), "mine")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := v.Get(b.Context(), owner()); !ok || err != nil {
			b.Fatal(err)
		}
	}
}
