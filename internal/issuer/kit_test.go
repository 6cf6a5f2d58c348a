package issuer

import (
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

var testScope = store.Scope{Account: "111122223333", Region: "us-west-2"}

const testPassword = "Analytical-1"

// kit is the pools of a store, with a clock that a test moves.
type kit struct {
	testing.TB
	*Pools
	pool   Pool
	client Client
	user   User
	path   string
	ahead  time.Duration
}

// newKit makes a pool with a public client and the user ada.
func newKit(t testing.TB) *kit {
	t.Helper()
	k := &kit{TB: t, path: filepath.Join(t.TempDir(), "outcrop.db")}
	box := secrettest.Box(t)
	db, err := sqlite.Open(t.Context(), k.path, sqlite.Options{})
	k.must(err)
	t.Cleanup(func() { k.must(db.Close()) })
	begun := time.Now() // and no time passes but ahead: pauses of seconds do not end by themselves on a busy machine
	k.Pools = New(Config{
		Store: db, Box: box, Rand: rand.Reader, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return begun.Add(k.ahead) },
	})
	k.pool, err = k.CreatePool(t.Context(), testScope, Settings{Name: "people", Password: PasswordPolicy{Upper: true, Lower: true, Number: true, Symbol: true}})
	k.must(err)
	k.client, err = k.CreateClient(t.Context(), testScope, k.pool.ID, ClientSettings{
		Name: "app", OAuth: true, Grants: []string{"code"}, Scopes: []string{"openid", "email"}, Callbacks: []string{"https://app.example/cb"},
		Flows: []string{"ALLOW_USER_PASSWORD_AUTH"},
	}, false, secret.String{})
	k.must(err)
	_, err = k.CreateUser(t.Context(), k.pool, NewUser{Name: "Ada", Attributes: map[string]string{"email": "ada@example.com", "email_verified": "true"}})
	k.must(err)
	k.must(k.SetPassword(t.Context(), k.pool, "ada", secret.NewString(testPassword), true))
	k.user, err = k.User(t.Context(), k.pool, "ADA")
	k.must(err)
	return k
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// refused wants a refusal with a code.
func (k *kit) refused(what string, err error, code string) {
	k.Helper()
	if !fault.Is(err, code) {
		k.Errorf("%s: %v, want %s", what, err, code)
	}
}

// signIn mints the tokens of a user's sign-in.
func (k *kit) signIn(c Client, scopes ...string) Tokens {
	k.Helper()
	t, err := k.Mint(k.Context(), k.pool, c, k.user, SignIn{Issuer: Issuer(k.pool.ID), Scopes: scopes}, true)
	k.must(err)
	return t
}
