package jwt_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/auth/jwt"
)

// es signs a token that is valid for a day.
func es(t testing.TB, id string) string {
	return sign(t, keysOnce().p256, jose.ES256, kid(id), claims(time.Now(), map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()}))
}

// TestStorm: however many tokens name keys that nobody has, the issuer is asked
// every 30 seconds at most, and who has a known key does not notice.
func TestStorm(t *testing.T) {
	keysOnce()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, jwt.Config{})
		good := es(t, "p256")
		if err := b.verify(t.Context(), good); err != nil {
			t.Fatal(err)
		}
		var bad []string
		for i := range 1000 {
			bad = append(bad, es(t, fmt.Sprintf("made-up-%d", i)))
		}
		storm := func(want int) {
			t.Helper()
			var all sync.WaitGroup
			for _, text := range bad {
				all.Go(func() {
					if got := reason(t, b.verify(t.Context(), text)); got != jwt.UnknownKey {
						t.Errorf("%q", got)
					}
				})
			}
			all.Wait()
			if n := b.web.count(jwksURI); n != want {
				t.Errorf("keys were fetched %d times, want %d", n, want)
			}
		}
		storm(1) // they were fetched just now
		time.Sleep(31 * time.Second)
		storm(2)
		storm(2)
		time.Sleep(29 * time.Second)
		storm(2)
		time.Sleep(time.Second)

		// While that fetch takes its time, known keys serve.
		hold := make(chan struct{})
		b.web.mu.Lock()
		b.web.hold = hold
		b.web.mu.Unlock()
		done := make(chan struct{})
		go func() { storm(3); close(done) }()
		synctest.Wait()
		before := time.Now()
		if err := b.verify(t.Context(), good); err != nil || time.Since(before) > 0 {
			t.Errorf("a known key: %v after %v", err, time.Since(before))
		}
		close(hold)
		<-done
		if n := b.web.count(discovery); n != 1 {
			t.Errorf("the document was fetched %d times", n)
		}
	})
}

// TestRotation: a new key is known as soon as a token names it, an old one is
// forgotten with it.
func TestRotation(t *testing.T) {
	keysOnce()
	synctest.Test(t, func(t *testing.T) {
		b, k := newBench(t, jwt.Config{}), keysOnce()
		set := func(id string, key crypto.PublicKey) { b.web.serve(jwksURI, keySet(public(id, key))) }
		set("1", &k.p256.PublicKey)
		old := es(t, "1")
		if err := b.verify(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		set("2", &k.p384.PublicKey)
		next := sign(t, k.p384, jose.ES384, kid("2"), claims(time.Now(), nil))
		if got := reason(t, b.verify(t.Context(), next)); got != jwt.UnknownKey {
			t.Errorf("within 30 s: %q", got)
		}
		time.Sleep(30 * time.Second)
		if err := b.verify(t.Context(), next); err != nil {
			t.Error(err)
		}
		if got := reason(t, b.verify(t.Context(), old)); got != jwt.UnknownKey {
			t.Errorf("the old key, though its token was verified before: %q", got)
		}
		// An issuer that names no keys.
		set("", &k.p521.PublicKey)
		time.Sleep(30 * time.Second)
		if err := b.verify(t.Context(), sign(t, k.p521, jose.ES512, nil, claims(time.Now(), nil))); err != nil {
			t.Error(err)
		}
	})
}

// TestFreshness: Cache-Control is honoured from 5 to 60 minutes.
func TestFreshness(t *testing.T) {
	keysOnce()
	for control, want := range map[string]time.Duration{
		"": 5 * time.Minute, "max-age=0": 5 * time.Minute, "no-store": 5 * time.Minute, "max-age=3000, no-cache": 5 * time.Minute, "max-age=-5": 5 * time.Minute,
		"max-age=x": 5 * time.Minute, "public, Max-Age=1200": 20 * time.Minute, `max-age="1200"`: 20 * time.Minute, "max-age=100000": time.Hour, "max-age=99999999999999999999": time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, jwt.Config{})
			b.web.serve(jwksURI, keySet(public("p256", &keysOnce().p256.PublicKey)), control)
			text := es(t, "p256")
			fetched := func(n int, when string) {
				t.Helper()
				if err := b.verify(t.Context(), text); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if got := b.web.count(jwksURI); got != n {
					t.Errorf("%q: fetched %d times %s, want %d", control, got, when, n)
				}
			}
			fetched(1, "at first")
			time.Sleep(want - 61*time.Second)
			fetched(1, "before the last minute")
			time.Sleep(2 * time.Second)
			fetched(2, "in the last minute")
			time.Sleep(want - 61*time.Second)
			fetched(2, "before the next last minute")
			time.Sleep(2 * want)
			fetched(3, "after it all")
		})
	}
}

// TestStale: the last keys serve for an hour more while the issuer is away, without
// anybody waiting for it, and then nobody is let in until it is back.
func TestStale(t *testing.T) {
	keysOnce()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, jwt.Config{})
		text := es(t, "p256")
		if err := b.verify(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		good := keySet(public("p256", &keysOnce().p256.PublicKey))
		b.web.serve(jwksURI, "")
		time.Sleep(5 * time.Minute)
		if err := b.verify(t.Context(), text); err != nil {
			t.Errorf("when the first fetch failed: %v", err)
		}
		hold := make(chan struct{})
		b.web.mu.Lock()
		b.web.hold = hold
		b.web.mu.Unlock()
		before := time.Now()
		for range 100 {
			time.Sleep(time.Second)
			if err := b.verify(t.Context(), text); err != nil {
				t.Errorf("while it hangs: %v", err)
			}
		}
		if waited := time.Since(before); waited != 100*time.Second {
			t.Errorf("it was waited for: %v", waited)
		}
		close(hold)
		b.web.mu.Lock()
		b.web.hold = nil
		b.web.mu.Unlock()
		asked := b.web.count(jwksURI)
		for range 55 {
			time.Sleep(time.Minute)
			if err := b.verify(t.Context(), text); err != nil {
				t.Fatalf("stale: %v", err)
			}
		}
		if n := b.web.count(jwksURI) - asked; n > 60 {
			t.Errorf("it was asked %d times in 55 minutes", n)
		}
		time.Sleep(5 * time.Minute)
		if got := reason(t, b.verify(t.Context(), text)); got != jwt.Unavailable {
			t.Errorf("after an hour: %q", got)
		}
		b.web.serve(jwksURI, good)
		time.Sleep(time.Minute)
		if err := b.verify(t.Context(), text); err != nil {
			t.Errorf("when it was back: %v", err)
		}
	})
}

// TestNeverHad: where there never were keys nobody is let in, and the issuer is not
// asked for each token.
func TestNeverHad(t *testing.T) {
	keysOnce()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, jwt.Config{})
		document := document(issuerName, jwksURI)
		b.web.serve(discovery, "")
		text := es(t, "p256")
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if got := reason(t, b.verify(t.Context(), text)); got != jwt.Unavailable {
					t.Errorf("%q", got)
				}
			})
		}
		all.Wait()
		if n := b.web.count(discovery); n != 1 {
			t.Errorf("asked %d times at once", n)
		}
		for range 100 {
			time.Sleep(6 * time.Second)
			if got := reason(t, b.verify(t.Context(), text)); got != jwt.Unavailable {
				t.Errorf("%q", got)
			}
		}
		if n := b.web.count(discovery); n < 10 || n > 20 {
			t.Errorf("asked %d times in ten minutes", n)
		}
		if _, err := b.Issuer(t.Context(), discovery); err == nil || errors.As(err, new(*jwt.Invalid)) {
			t.Errorf("Issuer() = %v", err)
		}
		b.web.serve(discovery, document)
		time.Sleep(time.Minute)
		if name, err := b.Issuer(t.Context(), discovery); name != issuerName {
			t.Errorf("Issuer() = %q, %v", name, err)
		}
		if err := b.verify(t.Context(), text); err != nil {
			t.Error(err)
		}
	})
}

// TestDocuments: what is no discovery document gives nobody's keys.
func TestDocuments(t *testing.T) {
	for body, want := range map[string]jwt.Reason{
		document(issuerName, jwksURI):                                               "",
		`{"jwks_uri":"` + jwksURI + `","issuer":"` + issuerName + `","x":[{}]}`:     "",
		document("https://other.example", jwksURI):                                  jwt.WrongIssuer,
		document("", jwksURI):                                                       jwt.Unavailable,
		document(issuerName, ""):                                                    jwt.Unavailable,
		document(issuerName, "/jwks.json"):                                          jwt.Unavailable,
		document(issuerName, "https:///jwks.json"):                                  jwt.Unavailable,
		document(issuerName, "data:,{}"):                                            jwt.Unavailable,
		`{"issuer":"x","issuer":"` + issuerName + `","jwks_uri":"` + jwksURI + `"}`: jwt.Unavailable,
		`{"issuer":["` + issuerName + `"],"jwks_uri":"` + jwksURI + `"}`:            jwt.Unavailable,
		`[]`: jwt.Unavailable, `<html>`: jwt.Unavailable, `null`: jwt.Unavailable,
	} {
		b := newBench(t, jwt.Config{})
		b.web.serve(discovery, body)
		if got := reason(t, b.verify(t.Context(), es(t, "p256"))); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// TestNewIssuer: a document is read again within the hour; another issuer in it is
// the issuer from then on.
func TestNewIssuer(t *testing.T) {
	keysOnce()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, jwt.Config{})
		b.web.serve(jwksURI, keySet(public("p256", &keysOnce().p256.PublicKey)), "max-age=3600")
		text := es(t, "p256")
		if err := b.verify(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		b.web.serve(discovery, document("https://new.example", jwksURI))
		time.Sleep(59*time.Minute - time.Second)
		if err := b.verify(t.Context(), text); err != nil {
			t.Errorf("within the hour: %v", err)
		}
		b.web.serve(jwksURI, keySet(public("new", &keysOnce().p256.PublicKey)), "max-age=3600")
		if got := reason(t, b.verify(t.Context(), es(t, "new"))); got != jwt.WrongIssuer {
			t.Errorf("a new key, with the old issuer: %q", got)
		}
		if got := reason(t, b.verify(t.Context(), text)); got != jwt.WrongIssuer {
			t.Errorf("after it: %q", got)
		}
	})
}

// TestOldDocument: a document that cannot be read again serves until it is stale,
// with keys that can.
func TestOldDocument(t *testing.T) {
	keysOnce()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, jwt.Config{})
		text := es(t, "p256")
		if err := b.verify(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		b.web.serve(discovery, "")
		for minutes := range 118 {
			time.Sleep(time.Minute)
			if err := b.verify(t.Context(), text); err != nil {
				t.Fatalf("after %d minutes: %v", minutes+1, err)
			}
		}
		time.Sleep(3 * time.Minute)
		if got := reason(t, b.verify(t.Context(), text)); got != jwt.Unavailable {
			t.Errorf("after two hours: %q", got)
		}
	})
}

// TestWaiting: who stops waiting for a fetch ends it for nobody else, and Close ends
// it for all.
func TestWaiting(t *testing.T) {
	keysOnce()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, jwt.Config{})
		hold := make(chan struct{})
		b.web.hold = hold
		text, gone := es(t, "p256"), errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- b.verify(ctx, text) }()
		synctest.Wait()
		go func() { second <- b.verify(t.Context(), text) }()
		synctest.Wait()
		cancel(gone)
		if err := <-first; !errors.Is(err, gone) || errors.As(err, new(*jwt.Invalid)) {
			t.Errorf("who left: %v", err)
		}
		close(hold)
		if err := <-second; err != nil || b.web.count(discovery) != 1 {
			t.Errorf("who stayed: %v", err)
		}

		c := newBench(t, jwt.Config{})
		c.web.hold = make(chan struct{})
		go func() { first <- c.verify(t.Context(), text) }()
		synctest.Wait()
		c.Close()
		if got := reason(t, <-first); got != jwt.Unavailable {
			t.Errorf("when it closed: %q", got)
		}
		if got := reason(t, c.verify(t.Context(), text)); got != jwt.Unavailable || c.web.count(discovery) != 1 {
			t.Errorf("after it: %q", got)
		}
	})
}

// TestHang: an issuer that never answers is given up.
func TestHang(t *testing.T) {
	keysOnce()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, jwt.Config{})
		b.web.hold = make(chan struct{})
		before := time.Now()
		if got := reason(t, b.verify(t.Context(), es(t, "p256"))); got != jwt.Unavailable || time.Since(before) > 10*time.Second {
			t.Errorf("%q after %v", got, time.Since(before))
		}
	})
}

// TestBounded: a number of issuers is kept, and those that tokens name displace none
// that resources do.
func TestBounded(t *testing.T) {
	b, now := newBench(t, jwt.Config{MaxIssuers: 3}), time.Now()
	if err := b.verify(t.Context(), es(t, "p256")); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		name := fmt.Sprintf("https://%d.example", i)
		at, _ := jwt.DiscoveryURL(name)
		b.web.serve(at, document(name, jwksURI))
		token := sign(t, keysOnce().p256, jose.ES256, kid("p256"), claims(now, map[string]any{"iss": name}))
		if _, err := b.VerifyIssued(t.Context(), token, nil, jwt.Rules{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.verify(t.Context(), es(t, "p256")); err != nil || b.web.count(discovery) != 1 {
		t.Errorf("%v, asked %d times", err, b.web.count(discovery))
	}
	first, _ := jwt.DiscoveryURL("https://0.example")
	if _, err := b.Issuer(t.Context(), first); err != nil || b.web.count(first) != 2 {
		t.Errorf("the first of many: %v, asked %d times", err, b.web.count(first))
	}
}

// TestStatus: only 200 is an answer.
func TestStatus(t *testing.T) {
	for _, status := range []int{201, 204, 301, 401, 404, 500} {
		b := newBench(t, jwt.Config{})
		b.web.answers[jwksURI] = func(*http.Request) (int, http.Header, string) {
			return status, http.Header{}, keySet(public("p256", &keysOnce().p256.PublicKey))
		}
		if got := reason(t, b.verify(t.Context(), es(t, "p256"))); got != jwt.Unavailable {
			t.Errorf("%d: %q", status, got)
		}
	}
}

// TestTrustedDoNotWait: issuers that tokens make up, however many and slow, keep nobody
// waiting whose issuer is trusted by name.
func TestTrustedDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, now := newBench(t, jwt.Config{}), time.Now()
		hold := make(chan struct{})
		b.web.mu.Lock()
		b.web.holdOthers = hold
		b.web.mu.Unlock()
		token := func(issuer string) string {
			return sign(t, keysOnce().p256, jose.ES256, kid("p256"), claims(now, map[string]any{"iss": issuer}))
		}
		for i := range 40 {
			text := token(fmt.Sprintf("https://slow%d.example", i))
			go func() { _, _ = b.VerifyIssued(t.Context(), text, nil, jwt.Rules{}) }()
		}
		synctest.Wait()
		trust := func(issuer string) (string, bool) { return discovery, issuer == issuerName }
		if _, err := b.VerifyIssued(t.Context(), token(issuerName), trust, jwt.Rules{}); err != nil {
			t.Error(err)
		}
		if waited := time.Since(now); waited > 0 {
			t.Errorf("it took %v", waited)
		}
		close(hold)
		b.Close()
	})
}
