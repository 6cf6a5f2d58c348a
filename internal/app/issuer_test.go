package app

import (
	"bytes"
	"crypto/rand"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// TestLocalIssuer: what is remembered of a pool is right at once after it has another
// key, and nothing once it is deleted.
func TestLocalIssuer(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	box := secrettest.Box(t)
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{})
	must(err)
	defer db.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	pools := issuer.New(issuer.Config{Store: db, Box: box, Rand: rand.Reader, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	pool, err := pools.CreatePool(t.Context(), store.Scope{Account: "111122223333", Region: "us-west-2"}, issuer.Settings{Name: "people"})
	must(err)
	find := (&Server{cfg: Config{Listener: listener}}).localIssuer(foundation{store: db}, pools)
	at := "http://" + listener.Addr().String() + "/" + pool.ID + "/.well-known/openid-configuration"
	first, ok, err := find(t.Context(), at)
	if again, _, _ := find(t.Context(), at); !ok || err != nil || !bytes.Equal(first.Keys, again.Keys) || first.Issuer+"/.well-known/openid-configuration" != at || first.Also[0] != issuer.Issuer(pool.ID) {
		t.Fatalf("%+v and %+v, %v", first, again, err)
	}
	must(pools.RotateKey(t.Context(), pool))
	if rotated, ok, err := find(t.Context(), at); !ok || err != nil || bytes.Equal(first.Keys, rotated.Keys) {
		t.Errorf("after a rotation: %s, %v", rotated.Keys, err)
	}
	if _, ok, err := find(t.Context(), "http://stranger.example/"+pool.ID+"/.well-known/openid-configuration"); ok || err != nil {
		t.Errorf("at a stranger's: %v, %v", ok, err)
	}
	must(pools.DeletePool(t.Context(), pool.Scope, pool.ID))
	if gone, ok, err := find(t.Context(), at); ok || err != nil {
		t.Errorf("after its deletion: %+v, %v", gone, err)
	}
}
