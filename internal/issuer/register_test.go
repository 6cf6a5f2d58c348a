package issuer

import (
	"fmt"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// registered is a client that has registered itself.
func (k *kit) registered(name string) Client {
	k.Helper()
	c, err := k.Register(k.Context(), k.pool, name, []string{"https://app.example/cb"}, nil, false)
	k.must(err)
	return c
}

// used has somebody sign in by a client.
func (k *kit) used(c Client) {
	k.Helper()
	code, err := k.NewCode(k.Context(), k.pool, Code{Client: c.ID, Redirect: "https://app.example/cb", Sub: k.user.Sub, Issuer: Issuer(k.pool.ID), Scopes: []string{"openid"}, At: k.cfg.Now()})
	k.must(err)
	_, _, err = k.Redeem(k.Context(), k.pool, c, code, "https://app.example/cb", "")
	k.must(err)
}

func newOpenKit(t *testing.T) *kit {
	k := newKit(t)
	var err error
	k.pool, err = k.UpdatePool(t.Context(), testScope, k.pool.ID, func(s *Settings) error {
		s.Registration.Open = true
		return nil
	})
	k.must(err)
	return k
}

// there reports whether a client is.
func (k *kit) there(c Client) bool {
	_, err := k.Client(k.Context(), c.ID)
	return err == nil
}

// TestUnusedClients: what has registered itself and is not used goes after a day, and
// nothing else does.
func TestUnusedClients(t *testing.T) {
	k := newOpenKit(t)
	used, unused := k.registered("used"), k.registered("unused")
	k.used(used)
	k.ahead = unusedLife - time.Minute
	k.registered("next")
	if !k.there(unused) {
		t.Error("a client is gone before its day is over")
	}
	k.ahead = unusedLife + time.Minute // the store has a clock of its own
	k.registered("another")
	for c, want := range map[*Client]bool{&used: true, &unused: false, &k.client: true} {
		if got := k.there(*c); got != want {
			t.Errorf("%s is there: %v", c.Name, got)
		}
	}
	k.used(used) // still
}

// TestCrowdOfClients: whoever fills a pool with clients keeps others out for an hour at most.
func TestCrowdOfClients(t *testing.T) {
	k := newOpenKit(t)
	used := k.registered("used")
	k.used(used)
	k.must(k.cfg.Store.Update(t.Context(), func(tx store.Tx) error {
		for i := range MaxDynamic - 1 {
			id := fmt.Sprintf("crowd%04d", i)
			if _, err := clients().Create(tx, clientDoc{Scope: testScope, ID: id, Parent: k.pool.ID, Spec: ClientSettings{Name: id, Dynamic: true}}); err != nil {
				return err
			}
			if err := putName(tx, clientName(id), place{Scope: testScope, Pool: k.pool.ID}); err != nil {
				return err
			}
		}
		return nil
	}))
	_, err := k.Register(t.Context(), k.pool, "late", []string{"https://app.example/cb"}, nil, false)
	k.refused("one too many", err, CodeLimit)
	k.ahead = unusedGrace + time.Minute
	late := k.registered("late")
	if !k.there(late) || !k.there(used) || k.there(Client{ID: "crowd0000"}) || !k.there(Client{ID: "crowd0001"}) {
		t.Error("not the oldest one made room")
	}
}

// TestForgottenClients: in a pool full of clients by which somebody has signed in, the one
// that was left alone the longest makes room, once it was for long enough.
func TestForgottenClients(t *testing.T) {
	k := newOpenKit(t)
	k.must(k.cfg.Store.Update(t.Context(), func(tx store.Tx) error {
		for i := range MaxDynamic {
			id := fmt.Sprintf("old%04d", i)
			signedIn := k.cfg.Now().Add(time.Duration(MaxDynamic-i) * time.Second)
			if _, err := clients().Create(tx, clientDoc{
				Scope: testScope, ID: id, Parent: k.pool.ID, Spec: ClientSettings{Name: id, Dynamic: true}, State: clientState{SignedIn: signedIn},
			}); err != nil {
				return err
			}
			if err := putName(tx, clientName(id), place{Scope: testScope, Pool: k.pool.ID}); err != nil {
				return err
			}
		}
		return nil
	}))
	k.ahead = forgottenLife - time.Minute
	_, err := k.Register(t.Context(), k.pool, "late", []string{"https://app.example/cb"}, nil, false)
	k.refused("one too many", err, CodeLimit)
	k.ahead = forgottenLife + time.Hour
	if late := k.registered("late"); !k.there(late) || k.there(Client{ID: "old0999"}) || !k.there(Client{ID: "old0998"}) {
		t.Error("not the one that was left alone the longest made room")
	}
}

// TestSignedInByNobody: a client that goes while a code is under way gets nothing for it.
func TestSignedInByNobody(t *testing.T) {
	k := newOpenKit(t)
	c := k.registered("gone")
	code, err := k.NewCode(t.Context(), k.pool, Code{Client: c.ID, Redirect: "https://app.example/cb", Sub: k.user.Sub, Issuer: Issuer(k.pool.ID), At: k.cfg.Now()})
	k.must(err)
	k.must(k.DeleteClient(t.Context(), testScope, k.pool.ID, c.ID))
	_, _, err = k.Redeem(t.Context(), k.pool, c, code, "https://app.example/cb", "")
	k.refused("a client that is gone", err, CodeNotAuthorized)
	_, _, err = k.Redeem(t.Context(), k.pool, k.client, secret.NewString("x"), "", "")
	k.refused("no code", err, CodeNotAuthorized)
}
