package identity

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// idp is an issuer of tokens that is none of the server's, and an honest one.
type idp struct {
	*httptest.Server
	key *rsa.PrivateKey
	// asked counts what the server fetched; document and keys replace what is served.
	asked    atomic.Int64
	document atomic.Pointer[http.HandlerFunc]
}

const keyID = "first"

func newIDP(t *testing.T) *idp {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		if f := p.document.Load(); f != nil {
			(*f)(w, r)
			return
		}
		send(t, w, map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		send(t, w, map[string]any{"keys": []any{jwk(&key.PublicKey, keyID)}})
	})
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func send(t *testing.T, w http.ResponseWriter, body any) {
	if err := json.NewEncoder(w).Encode(body); err != nil {
		t.Error(err)
	}
}

// jwk is a public key as issuers publish it.
func jwk(key *rsa.PublicKey, id string) map[string]any {
	return map[string]any{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id,
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	}
}

// claims are those of a good token, with some of them changed; nil takes one away.
func (p *idp) claims(changes map[string]any) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{"iss": p.URL, "sub": "ada", "aud": "agents", "client_id": "app", "iat": now, "exp": now + 3600}
	maps.Copy(c, changes)
	for name, value := range c {
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

func part(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// token signs claims with the issuer's key, with further members of the header.
func (p *idp) token(t *testing.T, claims, header map[string]any) string {
	t.Helper()
	return signRSA(t, p.key, claims, header)
}

func signRSA(t *testing.T, key *rsa.PrivateKey, claims, header map[string]any) string {
	t.Helper()
	h := map[string]any{"alg": "RS256", "typ": "JWT", "kid": keyID}
	maps.Copy(h, header)
	return signText(t, key, part(t, h)+"."+part(t, claims))
}

// signText signs a header and a payload as they stand.
func signText(t *testing.T, key *rsa.PrivateKey, text string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// signHMAC signs with a shared secret, for which confused verifiers take public keys.
func signHMAC(t *testing.T, secret []byte, claims map[string]any) string {
	t.Helper()
	text := part(t, map[string]any{"alg": "HS256", "typ": "JWT", "kid": keyID}) + "." + part(t, claims)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// publicPEM is the issuer's public key as everybody can have it.
func (p *idp) publicPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&p.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// spy is a service of the machine's own that nobody may lead the server to. It counts
// connections, whatever is said on them.
type spy struct {
	net.Listener
	seen atomic.Int64
}

func newSpy(t *testing.T, address string) *spy {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("listen on %s: %v", address, err)
	}
	s := &spy{Listener: l}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.seen.Add(1)
			_ = c.Close() // only counted
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return s
}
