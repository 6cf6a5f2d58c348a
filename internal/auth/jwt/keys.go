package jwt

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The bounds of what an issuer publishes.
const (
	// maxKeys of a set are used, the first ones.
	maxKeys = 100
	// maxTries bounds the keys that are tried for one token: several fit one that
	// names none.
	maxTries = 8
	// minRSA and maxRSA bound a modulus, in bits: RFC 7518 3.3, and what a
	// signature may cost us.
	minRSA, maxRSA = 2048, 8192
	// maxExponent is what RSA implementations take.
	maxExponent = 1<<31 - 1
)

// key is a public key that may sign tokens.
type key struct {
	id     string
	alg    string // the only algorithm it is for, or empty
	public any    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// keySet is what an issuer publishes. It does not change.
type keySet struct {
	issuer string
	also   []string // further names of a local issuer
	keys   []key
	byID   map[string][]key
	text   []byte // to know an equal one by
}

// jwk is what is read of a key (RFC 7517 4, RFC 7518 6). Of its certificates (x5c,
// x5t, x5u) nothing is: they prove nothing here, and a broken one costs the key in
// stricter readers.
type jwk struct {
	Type      string `json:"kty"`
	ID        string `json:"kid,omitzero"`
	Algorithm string `json:"alg,omitzero"`
	Curve     string `json:"crv,omitzero"`
	N         string `json:"n,omitzero"`
	E         string `json:"e,omitzero"`
	X         string `json:"x,omitzero"`
	Y         string `json:"y,omitzero"`
}

// published is a jwk and what tells whether it is one for verifying.
type published struct {
	jwk
	Use        string         `json:"use"`
	Operations []string       `json:"key_ops"`
	D          jsontext.Value `json:"d"` // of a private key
}

// parseKeys reads a JSON Web Key Set (RFC 7517 5). Keys that are private or
// symmetric, for something else, too weak or not understood are left out.
func parseKeys(issuer string, text []byte) (*keySet, error) {
	var doc struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(text, &doc); err != nil || doc.Keys == nil {
		return nil, errNoSet
	}
	if issuer == "" {
		return nil, errNoIssuer
	}
	s := &keySet{issuer: issuer, byID: map[string][]key{}, text: bytes.Clone(text)}
	for _, raw := range doc.Keys {
		k, ok := parseKey(raw)
		if !ok {
			continue
		}
		s.keys = append(s.keys, k)
		s.byID[k.id] = append(s.byID[k.id], k)
		if len(s.keys) == maxKeys {
			break
		}
	}
	if len(s.keys) == 0 {
		return nil, errNoKeys
	}
	return s, nil
}

var (
	errNoSet    = errors.New("it is not a JSON Web Key Set")
	errNoIssuer = errors.New("there is no issuer")
	errNoKeys   = fmt.Errorf("it has no public key for signatures: RSA of %d to %d bits, P-256, P-384, P-521 or Ed25519", minRSA, maxRSA)
)

func parseKey(raw jsontext.Value) (key, bool) {
	var p published
	if json.Unmarshal(raw, &p) != nil || p.D != nil {
		return key{}, false
	}
	if p.Use != "" && p.Use != "sig" || p.Operations != nil && !slices.Contains(p.Operations, "verify") {
		return key{}, false
	}
	text, err := json.Marshal(p.jwk)
	var k jose.JSONWebKey
	if err != nil || k.UnmarshalJSON(text) != nil {
		return key{}, false
	}
	return key{id: p.ID, alg: p.Algorithm, public: k.Key}, strong(k.Key)
}

// strong tells whether a key is public and of a kind and size that is taken.
func strong(public any) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		return bits >= minRSA && bits <= maxRSA && k.E >= 3 && k.E <= maxExponent && k.E%2 == 1 && k.N.Bit(0) == 1
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return len(k) == ed25519.PublicKeySize
	}
	return false
}

// fits tells whether a key may verify a signature of an algorithm.
func (k key) fits(alg string) bool {
	if k.alg != "" && k.alg != alg && !(k.alg == "Ed25519" && alg == string(jose.EdDSA)) { // RFC 9864
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		switch jose.SignatureAlgorithm(alg) {
		case jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512:
			return true
		}
	case *ecdsa.PublicKey:
		switch jose.SignatureAlgorithm(alg) {
		case jose.ES256:
			return public.Curve == elliptic.P256()
		case jose.ES384:
			return public.Curve == elliptic.P384()
		case jose.ES512:
			return public.Curve == elliptic.P521()
		}
	case ed25519.PublicKey:
		return alg == string(jose.EdDSA)
	}
	return false
}

// candidates are the keys that a token may be signed with. One that names no key
// may be with any.
func (s *keySet) candidates(alg, kid string) []key {
	from := s.keys
	if kid != "" {
		from = s.byID[kid]
	}
	var out []key
	for _, k := range from {
		if k.fits(alg) && len(out) < maxTries {
			out = append(out, k)
		}
	}
	return out
}

// named reports whether tokens of the set may bear a name.
func (s *keySet) named(issuer string) bool {
	return issuer == s.issuer || slices.Contains(s.also, issuer)
}

// is tells whether the set is one of an issuer with the same text.
func (s *keySet) is(issuer string, text []byte) bool {
	return s.issuer == issuer && bytes.Equal(s.text, text)
}

// current implements keyring for the keys of this server.
func (s *keySet) current(context.Context) (*keySet, error) { return s, nil }

// renewed implements keyring: these were asked for just now.
func (s *keySet) renewed(context.Context, *keySet) (*keySet, error) { return s, nil }

var (
	_ keyring = (*keySet)(nil)
	_ keyring = (*source)(nil)
)
