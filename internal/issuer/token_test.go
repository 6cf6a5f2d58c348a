package issuer

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/signingkey"
	"github.com/outcrop/outcrop/internal/store"
)

// count is how many rows and documents of pools there are.
func (k *kit) count() (n int) {
	k.Helper()
	k.must(k.cfg.Store.View(k.Context(), func(r store.Reader) error {
		n = 0
		for _, table := range []string{names, grants} {
			for _, err := range r.Rows(table, store.Range{}) {
				if err != nil {
					return err
				}
				n++
			}
		}
		for _, kind := range []string{pools().Kind, clients().Kind, users().Kind, resourceServers().Kind, keyKind} {
			all, err := r.AllDocuments(kind, store.Page{})
			if err != nil {
				return err
			}
			n += len(all.Items)
		}
		return nil
	}))
	return n
}

// claims are a token's, verified with the pool's published keys.
func (k *kit) claims(token secret.String) map[string]any {
	k.Helper()
	keys, err := k.Keys(k.Context(), k.pool.ID)
	k.must(err)
	signed, err := jose.ParseSignedCompact(token.Reveal(), []jose.SignatureAlgorithm{jose.RS256})
	k.must(err)
	body, err := signed.Verify(keys.Key(signed.Signatures[0].Header.KeyID)[0])
	k.must(err)
	out := map[string]any{}
	k.must(json.Unmarshal(body, &out))
	return out
}

// TestForResource: who gets a token that was made for them (RFC 8707) is not its
// user in calls here.
func TestForResource(t *testing.T) {
	k := newKit(t)
	for _, c := range []struct {
		audience []string
		ok       bool
	}{{nil, true}, {[]string{"https://mcp.example"}, false}, {[]string{"https://mcp.example", "https://other.example"}, false}} {
		tokens, err := k.Mint(t.Context(), k.pool, k.client, k.user, SignIn{Issuer: Issuer(k.pool.ID), Scopes: []string{"openid", ScopeUser}, Audience: c.audience}, false)
		k.must(err)
		for _, scope := range []string{"openid", ScopeUser} {
			if _, err := k.Verify(t.Context(), tokens.Access, scope); (err == nil) != c.ok {
				t.Errorf("a token for %q, asked for %s: %v", c.audience, scope, err)
			}
		}
	}
}

func TestClaims(t *testing.T) {
	k := newKit(t)
	tokens := k.signIn(k.client, "openid", "email")
	access, id := k.claims(tokens.Access), k.claims(tokens.ID)
	for name, want := range map[string]any{
		"iss": "https://cognito-idp.us-west-2.amazonaws.com/" + k.pool.ID, "client_id": k.client.ID, "token_use": "access", "username": "Ada",
		"scope": "openid email", "sub": k.user.Sub,
	} {
		if access[name] != want {
			t.Errorf("access token: %s is %v, want %v", name, access[name], want)
		}
	}
	for name, want := range map[string]any{
		"aud": k.client.ID, "token_use": "id", "cognito:username": "Ada", "email": "ada@example.com", "email_verified": true, "sub": k.user.Sub,
	} {
		if id[name] != want {
			t.Errorf("id token: %s is %v, want %v", name, id[name], want)
		}
	}
	if access["aud"] != nil || access["origin_jti"] == "" || access["origin_jti"] != id["origin_jti"] || id["client_id"] != nil {
		t.Errorf("access %v, id %v", access, id)
	}
	if id["exp"].(float64)-id["iat"].(float64) != 3600 {
		t.Errorf("the id token is good for %v s", id["exp"].(float64)-id["iat"].(float64))
	}
	_, err := k.Verify(t.Context(), tokens.Access, "openid")
	k.must(err)
	_, err = k.Verify(t.Context(), tokens.Access, ScopeUser)
	k.refused("a scope that it has not", err, CodeNotAuthorized)
	_, err = k.Verify(t.Context(), tokens.ID, "openid")
	k.refused("an id token", err, CodeNotAuthorized)
	k.ahead = time.Hour
	_, err = k.Verify(t.Context(), tokens.Access, "openid")
	k.refused("an hour later", err, CodeNotAuthorized)
}

// TestForged: whatever a token says of itself, only the pool's own keys count.
func TestForged(t *testing.T) {
	k := newKit(t)
	token := k.signIn(k.client, ScopeUser).Access.Reveal()
	part := strings.Split(token, ".")
	other, err := k.CreatePool(t.Context(), testScope, Settings{Name: "other"})
	k.must(err)
	theirs, err := k.sign(t.Context(), other, accessClaims{
		Issuer: Issuer(k.pool.ID), Subject: k.user.Sub, Username: "Ada", Use: "access", Scope: ScopeUser, Expires: time.Now().Add(time.Hour).Unix(),
	})
	k.must(err)
	for name, forged := range map[string]string{
		"none":            "eyJhbGciOiJub25lIn0." + part[1] + ".",
		"without":         part[0] + "." + part[1] + ".",
		"another payload": part[0] + "." + encodedURL([]byte(`{"token_use":"access"}`)) + "." + part[2],
		"another pool's":  theirs.Reveal(),
		"empty":           "",
		"words":           "a.b.c",
		"huge":            strings.Repeat("a", maxToken+1),
	} {
		_, err := k.Verify(t.Context(), secret.NewString(forged), ScopeUser)
		k.refused(name, err, CodeNotAuthorized)
	}
}

// TestRotation: tokens of an old key are good until they have expired; then the key
// goes.
func TestRotation(t *testing.T) {
	k := newKit(t)
	before := k.signIn(k.client, ScopeUser)
	k.must(k.RotateKey(t.Context(), k.pool))
	after := k.signIn(k.client, ScopeUser)
	for name, token := range map[string]secret.String{"before": before.Access, "after": after.Access} {
		if _, err := k.Verify(t.Context(), token, ScopeUser); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	kid := func(s secret.String) string { return strings.Split(s.Reveal(), ".")[0] }
	if kid(before.Access) == kid(after.Access) {
		t.Error("the key is the same")
	}
	size := func() int {
		keys, err := k.Keys(t.Context(), k.pool.ID)
		k.must(err)
		return len(keys.Keys)
	}
	k.must(k.Sweep(t.Context()))
	if size() != 2 {
		t.Errorf("%d keys while both are needed", size())
	}
	k.ahead = signingkey.KeepRetired
	k.must(k.Sweep(t.Context()))
	if size() != 1 {
		t.Errorf("%d keys a day later", size())
	}
	k.ahead = signingkey.RotateEvery + time.Hour
	k.must(k.Sweep(t.Context()))
	if size() != 2 {
		t.Errorf("%d keys when it is time for another", size())
	}
}

func TestRefresh(t *testing.T) {
	k := newKit(t)
	tokens := k.signIn(k.client, ScopeUser)
	refresh := func(c Client, token secret.String) (Tokens, error) {
		out, _, err := k.Refresh(t.Context(), k.pool, c, token, nil, nil)
		return out, err
	}
	again, err := refresh(k.client, tokens.Refresh)
	k.must(err)
	if a, b := k.claims(tokens.Access), k.claims(again.Access); a["origin_jti"] != b["origin_jti"] || a["jti"] == b["jti"] || a["auth_time"] != b["auth_time"] {
		t.Errorf("%v and %v", a, b)
	}
	other, err := k.CreateClient(t.Context(), testScope, k.pool.ID, ClientSettings{Name: "other"}, false, secret.String{})
	k.must(err)
	_, err = refresh(other, tokens.Refresh)
	k.refused("another client's", err, CodeNotAuthorized)
	_, _, err = k.Refresh(t.Context(), k.pool, k.client, tokens.Refresh, []string{"openid"}, nil)
	k.refused("another scope", err, CodeScopeUnknown)
	k.refused("another client revokes", k.Revoke(t.Context(), k.pool, other, tokens.Refresh), CodeUnauthorized)
	k.must(k.SignOut(t.Context(), k.pool, "ada"))
	_, err = refresh(k.client, tokens.Refresh)
	k.refused("after signing out", err, CodeNotAuthorized)
	_, err = k.Verify(t.Context(), again.Access, ScopeUser)
	k.refused("an access token after signing out", err, CodeNotAuthorized)
	late := k.signIn(k.client, ScopeUser)
	k.ahead = defaultRefresh
	_, err = refresh(k.client, late.Refresh)
	k.refused("a month later", err, CodeNotAuthorized)
	k.must(k.Sweep(t.Context()))
}

// TestReuse: a token that is good once, shown again, ends the sign-in.
func TestReuse(t *testing.T) {
	k := newKit(t)
	c := k.client.ClientSettings
	c.Rotates, c.Grace = true, 10*time.Second
	client, err := k.UpdateClient(t.Context(), testScope, k.pool.ID, k.client.ID, c)
	k.must(err)
	first := k.signIn(client, ScopeUser)
	second, _, err := k.Refresh(t.Context(), k.pool, client, first.Refresh, nil, nil)
	k.must(err)
	// Once more within the grace: the answer may have been lost.
	third, _, err := k.Refresh(t.Context(), k.pool, client, first.Refresh, nil, nil)
	k.must(err)
	k.ahead = 10 * time.Second
	_, _, err = k.Refresh(t.Context(), k.pool, client, first.Refresh, nil, nil)
	k.refused("again", err, CodeRefreshTokenReuse)
	for _, token := range []Tokens{second, third} {
		_, _, err = k.Refresh(t.Context(), k.pool, client, token.Refresh, nil, nil)
		k.refused("the one that came of it", err, CodeNotAuthorized)
	}
	_, err = k.Verify(t.Context(), second.Access, ScopeUser)
	k.refused("its access token", err, CodeNotAuthorized)
}

func TestCode(t *testing.T) {
	k := newKit(t)
	const redirect, verifier = "https://app.example/cb", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	made := func(challenge string) secret.String {
		code, err := k.NewCode(t.Context(), k.pool, Code{
			Client: k.client.ID, Redirect: redirect, Sub: k.user.Sub, Issuer: Issuer(k.pool.ID), Scopes: []string{"openid"}, At: k.cfg.Now(), Challenge: challenge,
		})
		k.must(err)
		return code
	}
	const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636, appendix B
	redeem := func(code secret.String, to, proof string) (Tokens, error) {
		out, _, err := k.Redeem(t.Context(), k.pool, k.client, code, to, proof)
		return out, err
	}
	for name, c := range map[string]struct{ challenge, redirect, verifier string }{
		"another redirect URI":        {challenge, redirect + "/", verifier},
		"no verifier":                 {challenge, redirect, ""},
		"another verifier":            {challenge, redirect, verifier + "x"},
		"the challenge for verifier":  {challenge, redirect, challenge},
		"a verifier that none awaits": {"", redirect, verifier},
	} {
		code := made(c.challenge)
		_, err := redeem(code, c.redirect, c.verifier)
		k.refused(name, err, CodeNotAuthorized)
		_, err = redeem(code, redirect, verifier)
		k.refused(name+", and then right", err, CodeNotAuthorized)
	}
	code := made(challenge)
	tokens, err := redeem(code, redirect, verifier)
	k.must(err)
	if _, err := k.Verify(t.Context(), tokens.Access, "openid"); err != nil {
		t.Error(err)
	}
	_, err = redeem(code, redirect, verifier)
	k.refused("a second time", err, CodeNotAuthorized)
	_, err = k.Verify(t.Context(), tokens.Access, "openid")
	k.refused("the tokens of a code that came twice", err, CodeNotAuthorized)
	_, _, err = k.Refresh(t.Context(), k.pool, k.client, tokens.Refresh, nil, nil)
	k.refused("its refresh token", err, CodeNotAuthorized)
	late := made(challenge)
	k.ahead = codeLife
	_, err = redeem(late, redirect, verifier)
	k.refused("too late", err, CodeNotAuthorized)
}

func TestCheckRedirect(t *testing.T) {
	for uri, want := range map[string]bool{
		"https://app.example/cb": true, "http://localhost:3000/cb": true, "http://127.0.0.1/": true, "http://[::1]:8/": true,
		"cursor://anysphere.cursor-mcp/oauth/cb": true, "com.example.app:/cb": true,
		"http://app.example/cb": false, "https://app.example/#x": false, "javascript:alert(1)": false, "data:text/html,x": false,
		"/relative": false, "": false, "https://user@app.example/": false, "https://*.example/": false, "https://a\\b/": false,
		"http://localhost.example/": false, "https:": false, "https://app.example/ x": false,
	} {
		if err := CheckRedirect(uri); (err == nil) != want {
			t.Errorf("%q: %v", uri, err)
		}
	}
}

func TestLocal(t *testing.T) {
	k := newKit(t)
	const base = "http://127.0.0.1:8642"
	ours := func(b string) bool { return b == base }
	at := func(url string) bool {
		l, ok, err := k.Local(t.Context(), url, ours, []string{base, "http://localhost:8642"})
		k.must(err)
		want := []string{base + "/" + k.pool.ID, Issuer(k.pool.ID), "http://localhost:8642/" + k.pool.ID}
		if strings.HasPrefix(url, "https://cognito") {
			want[0], want[1] = want[1], want[0]
		}
		if ok && (len(l.Keys.Keys) != 1 || !slices.Equal(l.Issuers, want)) {
			t.Errorf("%s: %v", url, l.Issuers)
		}
		return ok
	}
	for url, want := range map[string]bool{
		Issuer(k.pool.ID) + discoveryPath:                                          true,
		base + "/" + k.pool.ID + discoveryPath:                                     true,
		"http://evil.example/" + k.pool.ID + discoveryPath:                         false,
		base + "/us-west-2_000000000" + discoveryPath:                              false,
		base + "/" + k.pool.ID + "/.well-known/jwks.json":                          false,
		base + "/x/" + k.pool.ID + discoveryPath:                                   false,
		"https://cognito-idp.eu-west-1.amazonaws.com/" + k.pool.ID + discoveryPath: false,
		"http://user@127.0.0.1:8642/" + k.pool.ID + discoveryPath:                  false,
		"%": false,
	} {
		if got := at(url); got != want {
			t.Errorf("%s is local: %t, want %t", url, got, want)
		}
	}
}

// FuzzVerify feeds access tokens that are none: all are refused, and none as an
// internal error.
func FuzzVerify(f *testing.F) {
	k := newKit(f)
	token := k.signIn(k.client, ScopeUser).Access.Reveal()
	f.Add(token)
	f.Add("")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(strings.Replace(token, ".", ".e30.", 1))
	f.Fuzz(func(t *testing.T, text string) {
		if text == token {
			return
		}
		b, err := k.Verify(t.Context(), secret.NewString(text), ScopeUser)
		if err == nil && b.User.Sub != k.user.Sub {
			t.Fatalf("%q is taken for %s", text, b.User.Sub)
		}
		if err != nil && !fault.Is(err, CodeNotAuthorized) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

func BenchmarkMint(b *testing.B) {
	k := newKit(b)
	for b.Loop() {
		if _, err := k.Mint(b.Context(), k.pool, k.client, k.user, SignIn{Issuer: Issuer(k.pool.ID), Scopes: []string{"openid"}}, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMintMachine(b *testing.B) {
	k := newKit(b)
	for b.Loop() {
		if _, err := k.MintMachine(b.Context(), k.pool, k.client, SignIn{Issuer: Issuer(k.pool.ID), Scopes: []string{"tools/invoke"}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	k := newKit(b)
	token := k.signIn(k.client, ScopeUser).Access
	for b.Loop() {
		if _, err := k.Verify(b.Context(), token, ScopeUser); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	k := newKit(b)
	for b.Loop() {
		if _, err := k.Authenticate(b.Context(), k.pool, "ada", secret.NewString(testPassword)); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAtHash: id tokens of the authorization server are bound to their access token;
// those of the API are not, as at Cognito.
func TestAtHash(t *testing.T) {
	k := newKit(t)
	if in := k.signIn(k.client, "openid"); claimsOf(t, in.ID)["at_hash"] != atHash(in.Access) {
		t.Error("an id token is bound to another access token")
	}
	if in := k.signIn(k.client, ScopeUser); claimsOf(t, in.ID)["at_hash"] != nil {
		t.Error("an id token of the API has at_hash")
	}
}

// TestStanding: a token holds as long as its user, its client and its sign-in do, under
// whatever name the pool signed it.
func TestStanding(t *testing.T) {
	k := newKit(t)
	claims := func(token secret.String) (out map[string]any) {
		body, err := base64.RawURLEncoding.DecodeString(strings.Split(token.Reveal(), ".")[1])
		k.must(err)
		k.must(json.Unmarshal(body, &out))
		return out
	}
	signed := k.signIn(k.client, "openid")
	const proxied = "https://id.example/"
	k.must(k.CheckStanding(t.Context(), proxied+k.pool.ID, claims(signed.ID)))
	k.must(k.CheckStanding(t.Context(), "https://idp.example/elsewhere", map[string]any{"token_use": "id", "sub": "nobody"}))
	k.must(k.CheckStanding(t.Context(), "https://idp.example/us-east-1_elsewhere", map[string]any{"token_use": "id", "sub": "nobody"}))
	c, err := k.CreateClient(t.Context(), k.pool.Scope, k.pool.ID, ClientSettings{Name: "machine"}, false, secret.String{})
	k.must(err)
	machine := map[string]any{"token_use": "access", "sub": c.ID, "client_id": c.ID}
	k.must(k.CheckStanding(t.Context(), proxied+k.pool.ID, machine))
	k.must(k.DeleteClient(t.Context(), k.pool.Scope, k.pool.ID, c.ID))
	if err := k.CheckStanding(t.Context(), proxied+k.pool.ID, machine); !fault.Is(err, CodeNotAuthorized) {
		t.Errorf("after the client was deleted: %v", err)
	}
	k.must(k.SignOut(t.Context(), k.pool, "ada"))
	for _, token := range []secret.String{signed.ID, signed.Access} {
		if err := k.CheckStanding(t.Context(), proxied+k.pool.ID, claims(token)); !fault.Is(err, CodeNotAuthorized) {
			t.Errorf("after the user has signed out: %v", err)
		}
	}
	if err := k.CheckStanding(t.Context(), proxied+k.pool.ID, map[string]any{"token_use": "id", "sub": "nobody", "aud": k.client.ID}); err == nil {
		t.Error("nobody has a standing")
	}
}

// TestRevoked: who shows a refresh token of a sign-in that is over is told so, for as long as
// it would have been good; another client is not, nor who makes one up.
func TestRevoked(t *testing.T) {
	k := newKit(t)
	other, err := k.CreateClient(t.Context(), testScope, k.pool.ID, ClientSettings{Name: "other"}, false, secret.String{})
	k.must(err)
	says := func(c Client, token secret.String) string {
		_, _, err := k.Refresh(t.Context(), k.pool, c, token, nil, nil)
		k.refused("a refresh token", err, CodeNotAuthorized)
		return fault.From(err).Message
	}
	const revoked, invalid = "Refresh Token has been revoked", "Invalid Refresh Token"
	revoke := func(token secret.String) error { return k.Revoke(t.Context(), k.pool, k.client, token) }
	for name, end := range map[string]func(token secret.String) error{
		"revoked":       revoke,
		"revoked twice": func(token secret.String) error { return errors.Join(revoke(token), revoke(token)) },
		"signed out":    func(secret.String) error { return k.SignOut(t.Context(), k.pool, "ada") },
	} {
		token := k.signIn(k.client, ScopeUser).Refresh
		k.must(end(token))
		if got := says(k.client, token); got != revoked {
			t.Errorf("%s: %s", name, got)
		}
		if got := says(other, token); got != invalid {
			t.Errorf("%s, another client: %s", name, got)
		}
	}
	if got := says(k.client, secret.NewString("made-up")); got != invalid {
		t.Error(got)
	}
	token := k.signIn(k.client, ScopeUser).Refresh
	k.must(revoke(token))
	k.ahead = defaultRefresh
	k.must(k.Sweep(t.Context()))
	k.must(k.cfg.Store.View(t.Context(), func(r store.Reader) error {
		var g grant
		if found, err := get(r, row(k.pool.ID, "grant", digestOf(token)), &g); found || err != nil {
			t.Errorf("%+v is kept for ever, %v", g, err)
		}
		return nil
	}))
}
