package jwt_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/auth/jwt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The names of the tests' issuer.
const (
	issuerName = "https://idp.example/pool"
	discovery  = "https://idp.example/pool/.well-known/openid-configuration"
	jwksURI    = "https://keys.example/jwks.json"
)

// keys are made once: RSA takes its time.
type testKeys struct {
	rsa, other, weak *rsa.PrivateKey
	p256, p384, p521 *ecdsa.PrivateKey
	ed               ed25519.PrivateKey
}

var keysOnce = sync.OnceValue(func() testKeys {
	newRSA := func(bits int) *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return k
	}
	newEC := func(c elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return testKeys{newRSA(2048), newRSA(2048), newRSA(1024), newEC(elliptic.P256()), newEC(elliptic.P384()), newEC(elliptic.P521()), ed}
})

// web is the internet of a test: answers by URL. It implements http.RoundTripper, so
// that time can be the test's own.
type web struct {
	mu      sync.Mutex
	answers map[string]func(*http.Request) (status int, header http.Header, body string)
	asked   map[string]int
	hold    chan struct{} // while it is not nil, answers wait for its end
	// holdOthers is hold for what there is no answer for.
	holdOthers chan struct{}
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.asked[r.URL.String()]++
	answer, hold := w.answers[r.URL.String()], w.hold
	if hold == nil && answer == nil {
		hold = w.holdOthers
	}
	w.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	status, header, body := http.StatusNotFound, http.Header{}, "no"
	if answer != nil {
		status, header, body = answer(r)
	}
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (w *web) count(url string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[url]
}

// serve has a URL answer with a body; an empty one is a connection that breaks.
func (w *web) serve(url, body string, cacheControl ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[url] = func(*http.Request) (int, http.Header, string) {
		if body == "" {
			return 0, nil, ""
		}
		return http.StatusOK, http.Header{"Cache-Control": cacheControl}, body
	}
}

// bench is a Verifier and its web.
type bench struct {
	*jwt.Verifier
	web *web
}

func newBench(t testing.TB, cfg jwt.Config) *bench {
	t.Helper()
	w := &web{answers: map[string]func(*http.Request) (int, http.Header, string){}, asked: map[string]int{}}
	w.serve(discovery, document(issuerName, jwksURI))
	k := keysOnce()
	w.serve(jwksURI, keySet(
		public("rsa", &k.rsa.PublicKey), public("p256", &k.p256.PublicKey), public("p384", &k.p384.PublicKey), public("p521", &k.p521.PublicKey), public("ed", k.ed.Public()),
	))
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Transport: w, Timeout: 10 * time.Second}
	}
	v := jwt.New(cfg)
	t.Cleanup(v.Close)
	return &bench{v, w}
}

func (b *bench) verify(ctx context.Context, token string) error {
	_, err := b.Verify(ctx, discovery, token, jwt.Rules{})
	return err
}

func document(issuer, keys string) string {
	b, _ := json.Marshal(map[string]any{"issuer": issuer, "jwks_uri": keys, "response_types_supported": []string{"code"}})
	return string(b)
}

func public(id string, key any) jose.JSONWebKey { return jose.JSONWebKey{Key: key, KeyID: id} }

func keySet(keys ...jose.JSONWebKey) string {
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// claims are valid ones, with changes; nil removes a claim.
func claims(now time.Time, change map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuerName, "sub": "alice", "aud": "agents", "client_id": "app", "scope": "read write",
		"exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nbf": now.Unix(),
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// sign signs a payload with a header, whatever is in it: go-jose would not.
func sign(t testing.TB, key any, alg jose.SignatureAlgorithm, header map[string]any, payload any) string {
	t.Helper()
	text, ok := payload.(string)
	if !ok {
		b, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	opts := (&jose.SignerOptions{}).WithType("JWT")
	for name, v := range header {
		opts.WithHeader(jose.HeaderKey(name), v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// kid is a header with a key's id.
func kid(id string) map[string]any { return map[string]any{"kid": id} }

// forge joins parts without a true signature.
func forge(t testing.TB, header, payload any, signature []byte) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(header) + "." + part(payload) + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// signRaw signs a header and payload of any text with RSA.
func signRaw(t testing.TB, key *rsa.PrivateKey, header, payload string) string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	input := enc([]byte(header)) + "." + enc([]byte(payload))
	h := crypto.SHA256.New()
	io.Copy(h, bytes.NewReader([]byte(input)))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + enc(sig)
}
