package issuer

import (
	"slices"
	"strings"
	"testing"
)

func TestCheckClientURL(t *testing.T) {
	for id, want := range map[string]bool{
		"https://app.example/client.json": true, "https://app.example:8443/a/b?v=1": true, "https://app.example/": true, "https://xn--bcher-kva.example/c": true,
		"https://app.example": false, "http://app.example/c": false, "HTTPS://app.example/c": false, "https:///c": false, "https://:8443/c": false, "https:app.example/c": false,
		"https://user@app.example/c": false, "https://app.example/c#x": false, "https://app.example/c#": false, "https://app.example/../c": false, "https://app.example/./c": false,
		"https://app.example/%2e%2e/c": false, "https://app.example/a b": false, "https://bücher.example/c": false, "https://app.example/\u202e": false, "https://app.example\\@evil.example/c": false,
		"https://app.example/" + strings.Repeat("a", maxClientURL): false, "": false,
	} {
		if err := CheckClientURL(id); (err == nil) != want {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestPublished: a client whose id is a URL is there without being stored, in pools that let
// clients register themselves and nowhere else; its tokens last as those of one that is.
func TestPublished(t *testing.T) {
	k := newOpenKit(t)
	const id = "https://app.example/client.json"
	of := func() (Client, error) { return k.ClientOf(t.Context(), testScope, k.pool.ID, id) }
	c, err := of()
	k.must(err)
	if !c.Published || !c.Dynamic || !c.Rotates || !c.Public() || c.ID != id || len(c.Callbacks) != 0 || !slices.Equal(c.Grants, []string{"code"}) {
		t.Errorf("%+v", c)
	}
	_, err = c.Saying("App", nil, []string{"tools/invoke"})
	k.refused("scopes that are not open", err, CodeScopeUnknown)
	if c, err = c.Saying("App", []string{"https://app.example/cb"}, []string{"email", "openid", "tools/invoke"}); err != nil || !slices.Equal(c.Scopes, []string{"openid", "email"}) {
		t.Errorf("%v %v", c.Scopes, err)
	}
	k.used(c)
	tokens := k.signIn(c, ScopeUser)
	if b, err := k.Verify(t.Context(), tokens.Access, ScopeUser); err != nil || b.Client.ID != id {
		t.Errorf("%+v %v", b.Client, err)
	}
	again, _, err := k.Refresh(t.Context(), k.pool, c, tokens.Refresh, nil, nil)
	k.must(err)
	_, _, err = k.Refresh(t.Context(), k.pool, c, tokens.Refresh, nil, nil)
	k.refused("a refresh token that comes again", err, CodeRefreshTokenReuse)
	_, err = k.ClientOf(t.Context(), testScope, k.pool.ID, "https://app.example")
	k.refused("no such URL", err, CodeNotFound)
	_, err = k.Client(t.Context(), id)
	k.refused("in no pool", err, CodeNotFound)
	_, err = k.UpdatePool(t.Context(), testScope, k.pool.ID, func(s *Settings) error {
		s.Registration.Open = false
		return nil
	})
	k.must(err)
	_, err = of()
	k.refused("of a pool that is closed", err, CodeNotFound)
	_, err = k.Verify(t.Context(), again.Access, ScopeUser)
	k.refused("its token", err, CodeNotAuthorized)
}

// TestOpenScopes: clients that register themselves have the scopes of OpenID Connect and, in
// addition, those that the pool's owner opens.
func TestOpenScopes(t *testing.T) {
	k := newOpenKit(t)
	k.must(k.CreateServer(t.Context(), testScope, k.pool.ID, ResourceServer{Identifier: "tools", Name: "tools", Scopes: []ServerScope{{Name: "invoke"}}}))
	in := k.pool
	in.Registration.Scopes = []string{"tools/invoke", "openid"}
	c, err := k.Register(t.Context(), in, "all", []string{"https://app.example/cb"}, nil, false)
	k.must(err)
	if want := []string{"openid", "email", "phone", "profile", "tools/invoke"}; !slices.Equal(c.Scopes, want) {
		t.Errorf("%v", c.Scopes)
	}
	if c, err = k.Register(t.Context(), in, "some", []string{"https://app.example/cb"}, []string{"tools/invoke", "email"}, false); err != nil || !slices.Equal(c.Scopes, []string{"email", "tools/invoke"}) {
		t.Errorf("%v %v", c.Scopes, err)
	}
}
