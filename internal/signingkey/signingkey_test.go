package signingkey

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// TestKeys takes the keys of two issuers through a rotation and an end: neither has to do
// with the other's.
func TestKeys(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "outcrop.db"), sqlite.Options{})
	must(err)
	t.Cleanup(func() { must(db.Close()) })
	var ahead time.Duration
	cfg := Config{Store: db, Box: secrettest.Box(t), Rand: rand.Reader, Now: func() time.Time { return time.Now().Add(ahead) }}
	keys, scope := New(cfg, "test-key", jose.ES384), store.Scope{Account: "111122223333", Region: "us-east-1"}
	for _, issuer := range []string{"a", "ab"} {
		draft, err := keys.Make(t.Context(), scope, issuer)
		must(err)
		must(db.Update(t.Context(), draft.Write))
	}
	public := func(issuer string) (out []jose.JSONWebKey) {
		must(db.View(t.Context(), func(r store.Reader) (err error) { out, err = keys.Public(r, scope, issuer); return err }))
		return out
	}
	// One opened by another process of the same data is the same.
	token, err := New(cfg, "test-key", jose.ES384).Sign(t.Context(), scope, "a", []byte(`{"x":1}`))
	must(err)
	verify := func(with []jose.JSONWebKey) bool {
		signed, err := jose.ParseSignedCompact(token.Reveal(), []jose.SignatureAlgorithm{jose.ES384})
		must(err)
		for _, k := range with {
			if _, err := signed.Verify(k); err == nil {
				return k.KeyID == signed.Signatures[0].Header.KeyID && k.IsPublic()
			}
		}
		return false
	}
	if !verify(public("a")) || verify(public("ab")) {
		t.Error("a token is not of its issuer's key alone")
	}
	rotate := func(ctx context.Context, scope store.Scope, issuer string) error {
		return keys.Rotate(ctx, scope, issuer, func(store.Reader) error { return nil })
	}
	must(rotate(t.Context(), scope, "a"))
	if got := public("a"); len(got) != 2 || !verify(got) || verify(got[:1]) || len(public("ab")) != 1 {
		t.Errorf("%d keys after a rotation", len(got))
	}
	ahead = KeepRetired
	must(keys.Sweep(t.Context(), rotate))
	if got := public("a"); len(got) != 1 || verify(got) {
		t.Errorf("%d keys when the old one is over", len(got))
	}
	gone := errors.New("gone")
	if err := keys.Rotate(t.Context(), scope, "a", func(store.Reader) error { return gone }); !errors.Is(err, gone) || len(public("a")) != 1 {
		t.Errorf("an issuer that is gone: %v", err)
	}
	if _, err := keys.Signer(t.Context(), scope, "none"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an issuer without keys: %v", err)
	}
	if _, err := New(cfg, "other", jose.ES384).Signer(t.Context(), scope, "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("keys of another kind: %v", err)
	}
	keys.Forget("a")
	if _, err := keys.Signer(t.Context(), scope, "ab"); err != nil {
		t.Error(err)
	}
}
