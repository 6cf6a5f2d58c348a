package jwt_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/auth/jwt"
)

// FuzzToken: no text but a signed one is taken, and what is not is refused in order.
func FuzzToken(f *testing.F) {
	b, k, now := newBench(f, jwt.Config{}), keysOnce(), time.Now()
	good := []string{
		sign(f, k.rsa, jose.RS256, kid("rsa"), claims(now, nil)), sign(f, k.p256, jose.ES256, kid("p256"), claims(now, nil)), sign(f, k.ed, jose.EdDSA, nil, claims(now, nil)),
	}
	for _, text := range good {
		f.Add(text)
	}
	for _, text := range []string{
		"", "..", "a.b.c", forge(f, map[string]any{"alg": "none"}, claims(now, nil), nil), forge(f, map[string]any{"alg": "RS256", "crit": []string{"x"}}, claims(now, nil), []byte("x")),
		forge(f, map[string]any{"alg": "ES256", "jwk": public("x", &k.p256.PublicKey)}, claims(now, nil), make([]byte, 64)),
		forge(f, map[string]any{"alg": "EdDSA", "x5c": []string{"AAAA"}, "kid": "ed"}, "text", make([]byte, 64)),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := b.Verify(t.Context(), discovery, text, jwt.Rules{})
		if err != nil {
			reason(t, err)
			return
		}
		if !slices.ContainsFunc(good, func(g string) bool { return content(g) == content(text) }) || got.Subject != "alice" {
			t.Errorf("%q passed", text)
		}
	})
}

// content is what the parts of a token mean: their last letters may have bits that
// mean nothing.
func content(token string) string {
	header, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	h, _ := base64.RawURLEncoding.DecodeString(header)
	p, _ := base64.RawURLEncoding.DecodeString(payload)
	return string(h) + "\n" + string(p)
}

// FuzzPayload: what a signed token says is read as encoding/json reads it, or not at
// all.
func FuzzPayload(f *testing.F) {
	b, k := newBench(f, jwt.Config{}), keysOnce()
	for _, text := range []string{
		`{"iss":"https://idp.example/pool","exp":99999999999,"aud":"a","sub":"s","scope":"a b"}`,
		`{"iss":"https://idp.example/pool","exp":9.9e10,"aud":["a",1],"client_id":"c","scp":["x"],"nbf":0.5}`,
		`{"iss":"https:\/\/idp.example/pool","exp":99999999999,"iss":"x"}`,
		`{"exp":1e400}`, `[]`, `null`, `{"iss":{}}`, "{\"\xff\":1}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		token := sign(t, k.ed, jose.EdDSA, kid("ed"), payload)
		got, err := b.Verify(t.Context(), discovery, token, jwt.Rules{AllowedScopes: []string{"a"}})
		if err != nil {
			if !errors.As(err, new(*jwt.Forbidden)) {
				reason(t, err)
			}
			return
		}
		if got.Issuer != issuerName || time.Now().After(got.Expires.Add(time.Minute)) || !slices.Contains(got.Scopes, "a") {
			t.Errorf("%q: %+v", payload, got)
		}
		exact := map[string]any{}
		if err := json.Unmarshal([]byte(payload), &exact); err != nil || exact["iss"] != got.Issuer || exact["sub"] != nil && exact["sub"] != got.Subject || int64(exact["exp"].(float64)) != got.Expires.Unix() {
			t.Errorf("%q is read as %+v, and by others as %v, %v", payload, got, exact, err)
		}
	})
}

// FuzzKeys: no key set does harm, and none without our key lets our token in.
func FuzzKeys(f *testing.F) {
	k := keysOnce()
	text := sign(f, k.ed, jose.EdDSA, nil, claims(time.Now().Add(-time.Minute), map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()}))
	_, x, _ := strings.Cut(keySet(public("1", k.ed.Public())), `"x":"`)
	x = x[:43]
	for _, set := range []string{
		keySet(public("1", k.ed.Public())), keySet(public("", &k.p256.PublicKey), public("r", &k.rsa.PublicKey), public("w", &k.weak.PublicKey)),
		`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":"AA"},{"kty":"oct","k":"AA"}]}`, `{"keys":null}`, `[]`,
	} {
		f.Add([]byte(set))
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		v := newBench(t, jwt.Config{})
		v.web.serve(jwksURI, string(set))
		err := v.verify(t.Context(), text)
		if err == nil && !strings.Contains(string(set), x[:42]) && !strings.Contains(string(set), `\`) {
			t.Errorf("%q let it in", set)
		}
		reason(t, err)
	})
}
