package workload_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

func TestToken(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tokens := workload.Tokens{Box: secrettest.Box(t), Now: func() time.Time { return now }}
	want := workload.Claims{
		Scope: store.Scope{Account: "123456789012", Region: "us-west-2"}, Workload: "hello-AbCdEfGh12", Host: "arn:aws:x",
		User: workload.User{Kind: workload.ByJWT, Issuer: "https://issuer", Name: "ann"}, JWT: secret.NewString("a.b.c"),
		Expires: now.Add(10 * time.Minute),
	}
	token, err := tokens.Make(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	if text := token.Reveal(); strings.Contains(text, "ann") || bytes.Contains(mustDecode(t, text), []byte("issuer")) {
		t.Error("the token shows what it holds")
	}
	got, err := tokens.Open(t.Context(), token.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if got.Scope != want.Scope || got.Workload != want.Workload || got.Host != want.Host || got.User != want.User ||
		!got.JWT.Equal(want.JWT) || !got.Expires.Equal(want.Expires) || !got.Issued.Equal(now) || got.ID == "" {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if s := fmt.Sprintf("%+v %#v", got, got); strings.Contains(s, "a.b.c") {
		t.Error("claims print the user's token")
	}

	again, err := tokens.Make(t.Context(), want)
	if err != nil || again.Equal(token) {
		t.Errorf("two tokens are the same, or %v", err)
	}
	now = now.Add(10 * time.Minute)
	if _, err := tokens.Open(t.Context(), token.Reveal()); !errors.Is(err, workload.ErrExpired) {
		t.Errorf("a token that is over: %v", err)
	}
}

func mustDecode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTokenLife(t *testing.T) {
	now := time.Now()
	tokens := workload.Tokens{Box: secrettest.Box(t), Now: func() time.Time { return now }}
	token, err := tokens.Make(t.Context(), workload.Claims{Workload: "w", Expires: now.Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := tokens.Open(t.Context(), token.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if life := c.Expires.Sub(c.Issued); life != workload.TokenLife {
		t.Errorf("a token lives %s, want %s", life, workload.TokenLife)
	}
}

func TestForgedToken(t *testing.T) {
	tokens := workload.Tokens{Box: secrettest.Box(t), Now: time.Now}
	token, err := tokens.Make(t.Context(), workload.Claims{Workload: "w"})
	if err != nil {
		t.Fatal(err)
	}
	others := workload.Tokens{Box: secrettest.Box(t), Now: time.Now}
	foreign, err := others.Make(t.Context(), workload.Claims{Workload: "w"})
	if err != nil {
		t.Fatal(err)
	}
	raw := mustDecode(t, token.Reveal())
	raw[len(raw)-1] ^= 1
	for name, text := range map[string]string{
		"empty": "", "not base64": "a b", "another key's": foreign.Reveal(), "flipped": base64.RawURLEncoding.EncodeToString(raw),
		"cut": token.Reveal()[:40], "long": strings.Repeat("A", workload.MaxToken+1), "padded": token.Reveal() + "=",
	} {
		if _, err := tokens.Open(t.Context(), text); !errors.Is(err, workload.ErrToken) {
			t.Errorf("%s: %v, want ErrToken", name, err)
		}
	}
}

func TestUserKey(t *testing.T) {
	seen := map[string]workload.User{}
	for _, u := range []workload.User{
		{}, {Kind: workload.ByID, Name: "ann"}, {Kind: workload.ByJWT, Name: "ann"}, {Kind: workload.ByJWT, Issuer: "a", Name: "nn"},
		{Kind: workload.ByJWT, Issuer: "an", Name: "n"}, {Kind: workload.ByID, Name: "0:ann"}, {Kind: workload.ByID, Name: "2:ann"},
	} {
		if other, twice := seen[u.Key()]; twice {
			t.Errorf("%+v and %+v have the key %q", u, other, u.Key())
		}
		seen[u.Key()] = u
	}
}

func FuzzOpen(f *testing.F) {
	tokens := workload.Tokens{Box: secrettest.Box(f), Now: time.Now}
	token, err := tokens.Make(f.Context(), workload.Claims{Workload: "w"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token.Reveal())
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := tokens.Open(t.Context(), text)
		if err == nil && text != token.Reveal() {
			t.Fatalf("%q is taken for a token: %+v", text, c)
		}
	})
}

func BenchmarkMake(b *testing.B) {
	tokens := workload.Tokens{Box: secrettest.Box(b), Now: time.Now}
	c := workload.Claims{Workload: "w", JWT: secret.NewString(strings.Repeat("x", 1200))}
	for b.Loop() {
		if _, err := tokens.Make(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}
