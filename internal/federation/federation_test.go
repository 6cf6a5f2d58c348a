package federation

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/signingkey"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// kit is an issuer with a clock that a test moves.
type kit struct {
	*testing.T
	*Issuer
	ahead time.Duration
}

type tagged map[string]string

func (t tagged) Identity(context.Context, auth.Principal) (auth.Identity, error) {
	return auth.Identity{Tags: t}, nil
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{T: t}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "outcrop.db"), sqlite.Options{})
	k.must(err)
	t.Cleanup(func() { k.must(db.Close()) })
	k.Issuer = New(Config{
		Store: db, Box: secrettest.Box(t), Rand: rand.Reader, Account: "111122223333", Identities: tagged{"team": "red"}, Log: slog.New(slog.DiscardHandler),
		Base: func() string { return "https://outcrop.example/" }, Now: func() time.Time { return time.Now().Add(k.ahead) },
	})
	return k
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) refused(err error, code string) {
	k.Helper()
	if err == nil || fault.From(err).Code != code {
		k.Errorf("%v, want %s", err, code)
	}
}

func (k *kit) request() Request {
	return Request{
		Principal: auth.Principal{Kind: auth.AssumedRole, ARN: "arn:aws:sts::111122223333:assumed-role/job/x", Session: &auth.Session{
			Source: "arn:aws:iam::111122223333:role/jobs/job", Expires: k.cfg.Now().Add(30 * time.Minute), SourceIdentity: "ann", Provider: "arn:aws:iam::111122223333:oidc-provider/idp",
		}},
		Region: "eu-west-1", Audience: []string{"https://api.example"}, Algorithm: ES384, Tags: map[string]string{"job": "7"},
	}
}

// verified returns what a token says to whoever knows the published keys.
func (k *kit) verified(t Token) (claims map[string]any, kid string) {
	k.Helper()
	url, err := k.URL(k.Context())
	k.must(err)
	document, keys, ok, err := k.Published(k.Context(), url[strings.LastIndexByte(url, '/')+1:])
	k.must(err)
	if !ok || document.Issuer != url || document.JWKS != url+"/.well-known/jwks.json" {
		k.Fatalf("%v %+v", ok, document)
	}
	signed, err := jose.ParseSignedCompact(t.Text.Reveal(), []jose.SignatureAlgorithm{jose.RS256, jose.ES384})
	k.must(err)
	kid = signed.Signatures[0].Header.KeyID
	found := keys.Key(kid)
	if len(found) != 1 || !found[0].IsPublic() {
		k.Fatalf("the key %s is not published", kid)
	}
	body, err := signed.Verify(found[0])
	k.must(err)
	k.must(json.Unmarshal(body, &claims))
	return claims, kid
}

// TestToken reads what a token says of a session of a role.
func TestToken(t *testing.T) {
	k := newKit(t)
	ctx := t.Context()
	_, err := k.Token(ctx, k.request())
	k.refused(err, "OutboundWebIdentityFederationDisabledException")
	_, err = k.URL(ctx)
	k.refused(err, CodeDisabled)
	k.refused(k.Disable(ctx), CodeDisabled)
	url, err := k.Enable(ctx)
	k.must(err)
	if !strings.HasPrefix(url, "https://outcrop.example/_outcrop/tokens/") {
		t.Errorf("the issuer is %s", url)
	}
	_, err = k.Enable(ctx)
	k.refused(err, CodeEnabled)
	for _, algorithm := range []string{ES384, RS256} {
		r := k.request()
		r.Algorithm = algorithm
		token, err := k.Token(ctx, r)
		k.must(err)
		claims, _ := k.verified(token)
		own, _ := claims[Namespace].(map[string]any)
		if claims["iss"] != url || claims["sub"] != "arn:aws:iam::111122223333:role/jobs/job" || claims["aud"] != "https://api.example" || claims["jti"] == "" ||
			claims["exp"].(float64)-claims["iat"].(float64) != 300 || token.Expires.Unix() != int64(claims["exp"].(float64)) {
			t.Errorf("%s: %v", algorithm, claims)
		}
		text, err := json.Marshal(own)
		k.must(err)
		want := `{"aws_account":"111122223333","federated_provider":"arn:aws:iam::111122223333:oidc-provider/idp","original_session_exp":"` + r.Principal.Session.Expires.UTC().Format(time.RFC3339) +
			`","principal_tags":{"team":"red"},"request_tags":{"job":"7"},"source_identity":"ann","source_region":"eu-west-1"}`
		if string(text) != want {
			t.Errorf("%s\n%s", text, want)
		}
	}
	user := Request{Principal: auth.Principal{Kind: auth.User, ARN: "arn:aws:iam::111122223333:user/ann"}, Audience: []string{"a", "b"}, Algorithm: RS256, Life: time.Hour}
	token, err := k.Token(ctx, user)
	k.must(err)
	if claims, _ := k.verified(token); claims["sub"] != user.Principal.ARN || len(claims["aud"].([]any)) != 2 {
		t.Errorf("%v", claims)
	}
	// Off, tokens that are out can still be verified; on again it is the same issuer.
	k.must(k.Disable(ctx))
	_, err = k.Token(ctx, user)
	k.refused(err, "OutboundWebIdentityFederationDisabledException")
	if _, ok, err := k.Named(ctx, url); !ok || err != nil {
		t.Errorf("its keys are gone: %v", err)
	}
	again, err := k.Enable(ctx)
	k.must(err)
	if again != url {
		t.Errorf("%s, and then %s", url, again)
	}
	for _, other := range []string{"", "https://outcrop.example/_outcrop/tokens/", strings.Replace(url, "https", "http", 1), url + "/"} {
		if _, ok, err := k.Named(ctx, other); ok || err != nil {
			t.Errorf("%q is its name: %v", other, err)
		}
	}
	if _, _, ok, err := k.Published(ctx, ""); ok || err != nil {
		t.Errorf("no id is its id: %v", err)
	}
}

// TestLimits: no token outlives its session, and none is too large for a header.
func TestLimits(t *testing.T) {
	k := newKit(t)
	_, err := k.Enable(t.Context())
	k.must(err)
	for code, change := range map[string]func(*Request){
		"SessionDurationEscalationException": func(r *Request) { r.Life = 31 * time.Minute },
		"JWTPayloadSizeExceededException":    func(r *Request) { r.Audience = slices.Repeat([]string{strings.Repeat("a", 1000)}, 9) },
		"ValidationError":                    func(r *Request) { r.Life = 59 * time.Second },
	} {
		r := k.request()
		change(&r)
		_, err := k.Token(t.Context(), r)
		k.refused(err, code)
	}
	r := k.request()
	r.Life = 61 * time.Minute
	_, err = k.Token(t.Context(), r)
	k.refused(err, "ValidationError")
	r = k.request()
	r.Algorithm = "HS256"
	_, err = k.Token(t.Context(), r)
	k.refused(err, "ValidationError")
	r = k.request()
	r.Principal.Session.Expires = k.cfg.Now().Add(2 * time.Minute)
	token, err := k.Token(t.Context(), r)
	k.must(err)
	if token.Expires.After(r.Principal.Session.Expires) {
		t.Errorf("%v is after %v", token.Expires, r.Principal.Session.Expires)
	}
	r.Principal.Session.Expires = k.cfg.Now()
	_, err = k.Token(t.Context(), r)
	k.refused(err, "SessionDurationEscalationException")
}

// TestRotation: after a rotation old tokens are verified until they have expired.
func TestRotation(t *testing.T) {
	k := newKit(t)
	_, err := k.Enable(t.Context())
	k.must(err)
	before, err := k.Token(t.Context(), k.request())
	k.must(err)
	_, old := k.verified(before)
	k.ahead = signingkey.RotateEvery + time.Minute
	k.must(k.Sweep(t.Context()))
	if _, kid := k.verified(before); kid != old {
		t.Errorf("%s, and then %s", old, kid)
	}
	after, err := k.Token(t.Context(), k.request())
	k.must(err)
	if _, kid := k.verified(after); kid == old {
		t.Error("the key is the same")
	}
	k.ahead += signingkey.KeepRetired
	k.must(k.Sweep(t.Context()))
	keys, err := k.public(t.Context())
	k.must(err)
	if len(keys.Key(old)) != 0 || len(keys.Keys) < 2 {
		t.Errorf("%d keys are published, the first one is %v", len(keys.Keys), keys.Key(old))
	}
}

// TestBearer: sessions of one role are one caller as far as their tokens say the same.
func TestBearer(t *testing.T) {
	of := func(name string, change func(*auth.Session)) string {
		s := auth.Session{Source: "arn:aws:iam::111122223333:role/job", Tags: map[string]string{"team": "red", "job": "7"}, SourceIdentity: "ann"}
		if change != nil {
			change(&s)
		}
		text, err := Bearer(auth.Principal{Kind: auth.AssumedRole, ARN: "arn:aws:sts::111122223333:assumed-role/job/" + name, Session: &s})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	one := of("a", nil)
	if of("b", nil) != one {
		t.Error("sessions that differ by name alone are two")
	}
	for name, change := range map[string]func(*auth.Session){
		"tags":            func(s *auth.Session) { s.Tags = map[string]string{"team": "blue", "job": "7"} },
		"no tags":         func(s *auth.Session) { s.Tags = nil },
		"source identity": func(s *auth.Session) { s.SourceIdentity = "bob" },
		"provider":        func(s *auth.Session) { s.Provider = "arn:aws:iam::111122223333:oidc-provider/idp" },
		"role":            func(s *auth.Session) { s.Source += "2" },
	} {
		if of("a", change) == one {
			t.Errorf("another %s is the same caller", name)
		}
	}
}
