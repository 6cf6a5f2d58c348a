package app

import (
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/federation"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// noNetwork fails every request.
type noNetwork struct{ *testing.T }

func (n noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	n.Errorf("%s was asked for", r.URL)
	return nil, net.ErrClosed
}

// TestOwnIssuers: a runtime that trusts the account as an issuer verifies its tokens
// without a request, and no other name is ours.
func TestOwnIssuers(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	s := &Server{cfg: Config{Listener: listener}}
	var p parts
	p.box = secrettest.Box(t)
	p.store, err = sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "outcrop.db"), sqlite.Options{})
	must(err)
	defer p.store.Close()
	p.directory, _, err = principal.Open(t.Context(), principal.Config{Store: p.store, Box: p.box, Rand: rand.Reader, Now: time.Now})
	must(err)
	log := slog.New(slog.DiscardHandler)
	p.pools = issuer.New(issuer.Config{Store: p.store, Box: p.box, Rand: rand.Reader, Now: time.Now, Log: log})
	p.tokens = federation.New(federation.Config{
		Store: p.store, Box: p.box, Rand: rand.Reader, Now: time.Now, Account: p.directory.Account().ID, Identities: p.directory, Base: s.publicURL, Log: log,
	})
	own := s.ownIssuers(&p)
	name, err := p.tokens.Enable(t.Context())
	must(err)
	verifier := jwt.New(jwt.Config{HTTP: &http.Client{Transport: noNetwork{t}}, Local: own})
	defer verifier.Close()
	for _, algorithm := range []string{federation.ES384, federation.RS256} {
		token, err := p.tokens.Token(t.Context(), federation.Request{
			Principal: auth.Principal{Kind: auth.User, ARN: "arn:aws:iam::111122223333:user/ann"}, Audience: []string{"agent"}, Algorithm: algorithm,
		})
		must(err)
		at, _ := jwt.DiscoveryURL(name)
		got, err := verifier.Verify(t.Context(), at, token.Text.Reveal(), jwt.Rules{AllowedAudience: []string{"agent"}})
		must(err)
		if got.Subject != "arn:aws:iam::111122223333:user/ann" || got.Issuer != name {
			t.Errorf("%+v", got)
		}
		if _, err := verifier.Verify(t.Context(), at, token.Text.Reveal(), jwt.Rules{AllowedAudience: []string{"other"}}); err == nil {
			t.Error("a token for another was taken")
		}
	}
	for _, other := range []string{name, name + "x/.well-known/openid-configuration", "http://stranger.example" + federation.Path + "x/.well-known/openid-configuration"} {
		if _, ok, err := own(t.Context(), other); ok || err != nil {
			t.Errorf("%s is ours: %v", other, err)
		}
	}
}
