package jwt_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/auth/jwt"
)

// BenchmarkVerify is what a bearer token adds to a request: the first time that it
// comes, and again. The tokens that come first are more than are remembered.
func BenchmarkVerify(b *testing.B) {
	k := keysOnce()
	for _, tt := range []struct {
		id  string
		alg jose.SignatureAlgorithm
		key any
	}{{"rsa", jose.RS256, k.rsa}, {"p256", jose.ES256, k.p256}, {"ed", jose.EdDSA, k.ed}} {
		v := newBench(b, jwt.Config{})
		rules := jwt.Rules{AllowedClients: []string{"app"}, AllowedScopes: []string{"write"}}
		var tokens []string
		b.Run(fmt.Sprintf("%s/first", tt.alg), func(b *testing.B) {
			for i := range 2100 {
				if len(tokens) == 2100 {
					break
				}
				tokens = append(tokens, sign(b, tt.key, tt.alg, kid(tt.id), claims(time.Now(), map[string]any{
					"jti": fmt.Sprint(i), "cognito:groups": []string{"admins", "users"}, "username": "alice", "token_use": "access", "version": 2,
				})))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := v.Verify(b.Context(), discovery, tokens[i%len(tokens)], rules); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%s/again", tt.alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), discovery, tokens[0], rules); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRefuse is what a token costs that nobody signed: with keys that exist and
// with such as do not.
func BenchmarkRefuse(b *testing.B) {
	v := newBench(b, jwt.Config{})
	if err := v.verify(b.Context(), es(b, "p256")); err != nil {
		b.Fatal(err)
	}
	for name, token := range map[string]string{
		"signature": sign(b, keysOnce().other, jose.RS256, kid("rsa"), claims(time.Now(), nil)),
		"key":       es(b, "made-up"),
		"form":      "not a token",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v.verify(b.Context(), token) == nil {
					b.Fatal("it passed")
				}
			}
		})
	}
}
