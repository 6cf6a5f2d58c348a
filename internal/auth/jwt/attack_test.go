package jwt_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/auth/jwt"
)

// TestUnsigned: none is no algorithm, however it is written.
func TestUnsigned(t *testing.T) {
	b, now := newBench(t, jwt.Config{}), time.Now()
	for _, alg := range []any{"none", "None", "NONE", "nOnE", "", nil, 0, "HS256 ", "rs256", "RSA1_5", "dir", []string{"RS256"}} {
		for _, signature := range [][]byte{nil, []byte("x"), make([]byte, 256)} {
			text := forge(t, map[string]any{"alg": alg, "kid": "rsa", "typ": "JWT"}, claims(now, nil), signature)
			if got := reason(t, b.verify(t.Context(), text)); got != jwt.Algorithm && got != jwt.Malformed {
				t.Errorf("alg %v: %q", alg, got)
			}
		}
	}
	if got := reason(t, b.verify(t.Context(), forge(t, map[string]any{"kid": "rsa"}, claims(now, nil), nil))); got != jwt.Algorithm && got != jwt.Malformed {
		t.Errorf("without alg: %q", got)
	}
}

// TestConfusion: a public key is no HMAC key, in none of the forms it is known in.
func TestConfusion(t *testing.T) {
	b, now, k := newBench(t, jwt.Config{}), time.Now(), keysOnce()
	der, _ := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)
	jwk, _ := jose.JSONWebKey{Key: &k.rsa.PublicKey, KeyID: "rsa"}.MarshalJSON()
	for name, secret := range map[string][]byte{
		"PKIX": der, "PKIX in PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"PKCS1": x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey), "PKCS1 in PEM": pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey)}),
		"modulus": k.rsa.N.Bytes(), "JWK": jwk, "nothing": {},
	} {
		text := forge(t, map[string]any{"alg": "HS256", "kid": "rsa", "typ": "JWT"}, claims(now, nil), nil)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(strings.TrimSuffix(text, ".")))
		if got := reason(t, b.verify(t.Context(), text+base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))); got != jwt.Algorithm {
			t.Errorf("HS256 with %s: %q", name, got)
		}
	}
	// Nor is a key of one kind one of another.
	for _, tt := range []struct {
		key any
		alg jose.SignatureAlgorithm
		kid string
	}{{k.p256, jose.ES256, "rsa"}, {k.p256, jose.ES256, "p384"}, {k.rsa, jose.RS256, "p256"}, {k.ed, jose.EdDSA, "p256"}, {k.rsa, jose.PS256, "ed"}} {
		if got := reason(t, b.verify(t.Context(), sign(t, tt.key, tt.alg, kid(tt.kid), claims(now, nil)))); got != jwt.UnknownKey {
			t.Errorf("%s as %s: %q", tt.alg, tt.kid, got)
		}
	}
}

// TestKeySets: what is not for verifying, or not strong enough, is not used.
func TestKeySets(t *testing.T) {
	k, now := keysOnce(), time.Now()
	key := func(public any, change func(*jose.JSONWebKey)) string {
		j := jose.JSONWebKey{Key: public, KeyID: "1"}
		if change != nil {
			change(&j)
		}
		return keySet(j)
	}
	with := func(member string) string { // the RSA key, with one more member
		return strings.Replace(key(&k.rsa.PublicKey, nil), `"kty"`, member+`,"kty"`, 1)
	}
	for name, tt := range map[string]struct {
		set  string
		want jwt.Reason
	}{
		"as it is":           {key(&k.rsa.PublicKey, nil), ""},
		"for signatures":     {key(&k.rsa.PublicKey, func(j *jose.JSONWebKey) { j.Use = "sig" }), ""},
		"for encryption":     {key(&k.rsa.PublicKey, func(j *jose.JSONWebKey) { j.Use = "enc" }), jwt.Unavailable},
		"for RS256":          {key(&k.rsa.PublicKey, func(j *jose.JSONWebKey) { j.Algorithm = "RS256" }), ""},
		"for PS256":          {key(&k.rsa.PublicKey, func(j *jose.JSONWebKey) { j.Algorithm = "PS256" }), jwt.UnknownKey},
		"for RSA-OAEP":       {key(&k.rsa.PublicKey, func(j *jose.JSONWebKey) { j.Algorithm = "RSA-OAEP" }), jwt.UnknownKey},
		"to verify":          {with(`"key_ops":["verify"]`), ""},
		"to encrypt":         {with(`"key_ops":["encrypt"]`), jwt.Unavailable},
		"to do nothing":      {with(`"key_ops":[]`), jwt.Unavailable},
		"broken certificate": {with(`"x5c":["AAAA"],"x5t":"AAAA","x5u":"::"`), ""},
		"odd name":           {with(`"kid":"1"`), jwt.Unavailable}, // twice
		"odd use":            {with(`"use":5`), jwt.Unavailable},
		"private":            {key(k.rsa, nil), jwt.Unavailable},
		"symmetric":          {key([]byte("0123456789abcdef0123456789abcdef"), nil), jwt.Unavailable},
		"weak":               {key(&k.weak.PublicKey, nil), jwt.Unavailable},
		"far too large":      {key(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 100000, 1), E: 65537}, nil), jwt.Unavailable},
		"exponent of one":    {key(&rsa.PublicKey{N: k.rsa.N, E: 1}, nil), jwt.Unavailable},
		"even exponent":      {key(&rsa.PublicKey{N: k.rsa.N, E: 65536}, nil), jwt.Unavailable},
		"unknown beside it":  {strings.Replace(key(&k.rsa.PublicKey, nil), `[`, `[{"kty":"XYZ","kid":"1"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"1"},5,null,`, 1), ""},
		"not on its curve":   {`{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`, jwt.Unavailable},
		"another key":        {key(&k.other.PublicKey, nil), jwt.BadSignature},
		"two of one name":    {keySet(public("1", &k.other.PublicKey), public("1", &k.rsa.PublicKey)), ""},
		"another name":       {keySet(public("2", &k.rsa.PublicKey)), jwt.UnknownKey},
		"no name":            {keySet(public("", &k.rsa.PublicKey)), jwt.UnknownKey},
		"none":               {`{"keys":[]}`, jwt.Unavailable},
		"no member":          {`{}`, jwt.Unavailable},
		"a list":             {`[]`, jwt.Unavailable},
		"no JSON":            {`<html>`, jwt.Unavailable},
		"keys twice":         {`{"keys":[],` + key(&k.rsa.PublicKey, nil)[1:], jwt.Unavailable},
	} {
		b := newBench(t, jwt.Config{})
		b.web.serve(jwksURI, tt.set)
		if got := reason(t, b.verify(t.Context(), sign(t, k.rsa, jose.RS256, kid("1"), claims(now, nil)))); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestManyKeys: a set of any number costs a bounded number of tries.
func TestManyKeys(t *testing.T) {
	b, k := newBench(t, jwt.Config{}), keysOnce()
	var keys []jose.JSONWebKey
	for i := range 200 {
		keys = append(keys, public(fmt.Sprint(i), &k.other.PublicKey))
	}
	keys[7].Key, keys[8].Key, keys[99].Key, keys[100].Key = k.ed.Public(), &k.rsa.PublicKey, &k.rsa.PublicKey, &k.rsa.PublicKey
	b.web.serve(jwksURI, keySet(keys...))
	far := newBench(t, jwt.Config{})
	far.web.serve(jwksURI, keySet(append([]jose.JSONWebKey{public("more", &k.other.PublicKey)}, keys...)...))
	if got := reason(t, far.verify(t.Context(), sign(t, k.rsa, jose.RS256, nil, claims(time.Now(), nil)))); got != jwt.BadSignature {
		t.Errorf("the ninth that fits: %q", got)
	}
	for id, want := range map[string]jwt.Reason{"99": "", "100": jwt.UnknownKey, "": ""} {
		header := kid(id)
		if id == "" {
			header = nil // the eighth that fits is the right one
		}
		if got := reason(t, b.verify(t.Context(), sign(t, k.rsa, jose.RS256, header, claims(time.Now(), nil)))); got != want {
			t.Errorf("kid %q: %q, want %q", id, got, want)
		}
	}
}

// TestEmbedded: what a token says of its own keys is neither believed nor fetched.
func TestEmbedded(t *testing.T) {
	b, k, now := newBench(t, jwt.Config{}), keysOnce(), time.Now()
	mine := jose.JSONWebKey{Key: &k.other.PublicKey, KeyID: "rsa", Algorithm: "RS256", Use: "sig"}
	const evil = "https://evil.example/jwks.json"
	b.web.serve(evil, keySet(mine))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp.example"}, NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.other.PublicKey, k.other)
	if err != nil {
		t.Fatal(err)
	}
	chain := []string{base64.StdEncoding.EncodeToString(der)}
	for name, header := range map[string]map[string]any{
		"jwk": {"jwk": mine}, "jku": {"jku": evil}, "x5u": {"x5u": evil}, "x5c": {"x5c": chain},
		"all": {"jwk": mine, "jku": evil, "x5u": evil, "x5c": chain},
	} {
		for _, id := range []string{"rsa", "new", ""} {
			header["kid"] = id
			got := reason(t, b.verify(t.Context(), sign(t, k.other, jose.RS256, header, claims(now, nil))))
			if got != jwt.BadSignature && got != jwt.UnknownKey {
				t.Errorf("%s, kid %q: %q", name, id, got)
			}
		}
		// The issuer itself may write them: some do.
		header["kid"] = "rsa"
		if err := b.verify(t.Context(), sign(t, k.rsa, jose.RS256, header, claims(now, nil))); err != nil {
			t.Errorf("%s of the issuer: %v", name, err)
		}
	}
	if b.web.count(evil) > 0 || len(b.web.asked) != 2 {
		t.Errorf("these were asked for: %v", b.web.asked)
	}
}

// TestHeaders: critical extensions are refused, and a kid is only ever compared.
func TestHeaders(t *testing.T) {
	b, k, now := newBench(t, jwt.Config{}), keysOnce(), time.Now()
	payload := fmt.Sprintf(`{"iss":%q,"exp":%d}`, issuerName, now.Add(time.Hour).Unix())
	for header, want := range map[string]jwt.Reason{
		`{"alg":"RS256","kid":"rsa"}`:                                           "",
		`{"alg":"RS256","kid":"rsa","crit":["exp"],"exp":1}`:                    jwt.Malformed,
		`{"alg":"RS256","kid":"rsa","crit":[]}`:                                 jwt.Malformed,
		`{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}`:                jwt.Malformed,
		`{"alg":"RS256","kid":"rsa","b64":false}`:                               jwt.Malformed,
		`{"alg":"RS256","alg":"RS256","kid":"rsa"}`:                             jwt.Malformed,
		`{"alg":"RS256","kid":"x","kid":"rsa"}`:                                 jwt.Malformed,
		`{"alg":"RS256","kid":5}`:                                               jwt.Malformed,
		`{"alg":"RS256","kid":["rsa"]}`:                                         jwt.Malformed,
		`{"alg":"RS256","kid":"../../../dev/null"}`:                             jwt.UnknownKey,
		`{"alg":"RS256","kid":"x' UNION SELECT 'key'--"}`:                       jwt.UnknownKey,
		`{"alg":"RS256","kid":"rsa\u0000"}`:                                     jwt.UnknownKey,
		`{"alg":"RS256","kid":"RSA"}`:                                           jwt.UnknownKey,
		`{"alg":"RS256","kid":"` + strings.Repeat("k", 10000) + `"}`:            jwt.UnknownKey,
		`{"alg":"RS256","kid":"https://169.254.169.254/latest/meta-data"}`:      jwt.UnknownKey,
		`{"ALG":"RS256","kid":"rsa"}`:                                           jwt.Algorithm,
		`{"alg":"RS256","kid":"rsa"}{}`:                                         jwt.Malformed,
		`["alg"]`:                                                               jwt.Malformed,
		`null`:                                                                  jwt.Malformed,
		``:                                                                      jwt.Malformed,
		`{"alg":"RS256","jwk":{"kty":"oct","k":"AAAA"}}`:                        jwt.Malformed,
		`{"alg":"RS256","kid":"rsa","x":` + strings.Repeat(`[`, 5000) + `}`:     jwt.Malformed,
		`{"alg":"RS256","kid":"rsa","x5c":["` + strings.Repeat("A", 80) + `"]}`: jwt.Malformed,
	} {
		got := reason(t, b.verify(t.Context(), signRaw(t, k.rsa, header, payload)))
		if want == jwt.Malformed && got == jwt.Algorithm {
			got = want
		}
		if got != want {
			t.Errorf("%.60s: %q, want %q", header, got, want)
		}
	}
}

// TestPayloads: what two readers could read in two ways is not read.
func TestPayloads(t *testing.T) {
	b, k, now := newBench(t, jwt.Config{}), keysOnce(), time.Now()
	exp := fmt.Sprint(now.Add(time.Hour).Unix())
	for payload, want := range map[string]jwt.Reason{
		`{"iss":"` + issuerName + `","exp":` + exp + `}`:                                        "",
		`{"iss":"https://evil.example","iss":"` + issuerName + `","exp":` + exp + `}`:           jwt.Malformed,
		`{"iss":"` + issuerName + `","exp":1,"exp":` + exp + `}`:                                jwt.Malformed,
		`{"iss":"` + issuerName + `","exp":` + exp + `,"aud":"a","\u0061ud":"agents"}`:          jwt.Malformed,
		`{"iss":"` + issuerName + `","exp":` + exp + `,"x":{"a":1,"a":2}}`:                      jwt.Malformed,
		`{"Iss":"` + issuerName + `","exp":` + exp + `}`:                                        jwt.WrongIssuer,
		`{"iss":"` + issuerName + `","Exp":` + exp + `}`:                                        jwt.NoExpiry,
		`{"iss":"` + issuerName + `","exp":` + exp + `}{}`:                                      jwt.Malformed,
		`{"iss":"` + issuerName + `","exp":` + exp + `,"sub":"` + "\xff" + `"}`:                 jwt.Malformed,
		`{"iss":"` + issuerName + `","exp":` + exp + `,"x":` + strings.Repeat(`[`, 10001) + `}`: jwt.Malformed,
		`{"iss":"` + issuerName + `","exp":NaN}`:                                                jwt.Malformed,
		`{"iss":"` + issuerName + `","exp":1e999}`:                                              jwt.Malformed,
		`{"iss":"` + issuerName + `","exp":` + exp + `,"nbf":null}`:                             jwt.Malformed,
		`{"iss":"` + issuerName + `","exp":"` + exp + `","sub":null}`:                           jwt.NoText,
		`[]`:   jwt.Malformed,
		`null`: jwt.Malformed,
		`""`:   jwt.Malformed,
		``:     jwt.Malformed,
	} {
		if got := reason(t, b.verify(t.Context(), signRaw(t, k.rsa, `{"alg":"RS256","kid":"rsa"}`, payload))); got != want {
			t.Errorf("%.90s: %q, want %q", payload, got, want)
		}
	}
}

// TestTampered: no bit of a token can be another.
func TestTampered(t *testing.T) {
	b, k, now := newBench(t, jwt.Config{}), keysOnce(), time.Now()
	good, other := sign(t, k.rsa, jose.RS256, kid("rsa"), claims(now, nil)), sign(t, k.rsa, jose.RS256, kid("rsa"), claims(now, map[string]any{"sub": "mallory"}))
	part, otherPart := strings.Split(good, "."), strings.Split(other, ".")
	join := func(parts ...string) string { return strings.Join(parts, ".") }
	for name, text := range map[string]string{
		"payload of another":   join(part[0], otherPart[1], part[2]),
		"signature of another": join(part[0], part[1], otherPart[2]),
		"signature cut":        good[:len(good)-4],
		"signature empty":      join(part[0], part[1], ""),
		"signature of zeros":   join(part[0], part[1], strings.Repeat("A", len(part[2]))),
		"two parts":            join(part[0], part[1]),
		"four parts":           good + ".",
		"five parts":           good + ".AA.AA",
		"no parts":             "",
		"line break":           join(part[0], part[1]+"\n", part[2]),
		"space before":         " " + good,
		"space behind":         good + " ",
		"padding":              good + "=",
		"other letters":        join(part[0], part[1], "+"+part[2][1:]),
		"the JSON form":        fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, part[1], part[0], part[2]),
		"scheme before":        "Bearer " + good,
	} {
		if got := reason(t, b.verify(t.Context(), text)); got != jwt.BadSignature && got != jwt.Malformed {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, at := range []int{len(part[0]) + 5, len(part[0]) + len(part[1])/2, len(good) - 100} {
		flipped := []byte(good)
		flipped[at] ^= 'a' ^ 'b'
		if bytes.Equal(flipped, []byte(good)) || reason(t, b.verify(t.Context(), string(flipped))) == "" {
			t.Errorf("a flipped letter at %d passed", at)
		}
	}
	// Signatures of ECDSA that bad verifiers take: r and s of zero, and ASN.1.
	ec := strings.Split(sign(t, k.p256, jose.ES256, kid("p256"), claims(now, nil)), ".")
	for _, signature := range [][]byte{make([]byte, 64), append(make([]byte, 31), append([]byte{1}, make([]byte, 32)...)...), {0x30, 6, 2, 1, 0, 2, 1, 0}, bytes.Repeat([]byte{0xff}, 64), make([]byte, 96)} {
		if got := reason(t, b.verify(t.Context(), join(ec[0], ec[1], base64.RawURLEncoding.EncodeToString(signature)))); got != jwt.BadSignature {
			t.Errorf("signature %x: %q", signature, got)
		}
	}
}

func TestSize(t *testing.T) {
	b, now := newBench(t, jwt.Config{}), time.Now()
	token := func(size int) string {
		return sign(t, keysOnce().p256, jose.ES256, kid("p256"), claims(now, map[string]any{"pad": strings.Repeat("x", size)}))
	}
	for _, tt := range []struct {
		size, limit int
		want        jwt.Reason
	}{
		{10 << 10, 0, ""},
		{13 << 10, 0, jwt.TooLarge},
		{60 << 10, jwt.MaxUserToken, ""},
		{100 << 10, jwt.MaxUserToken, jwt.TooLarge},
		{100, 200, jwt.TooLarge},
	} {
		text := token(tt.size)
		_, err := b.Verify(t.Context(), discovery, text, jwt.Rules{MaxBytes: tt.limit})
		if got := reason(t, err); got != tt.want {
			t.Errorf("%d bytes with a limit of %d: %q, want %q", len(text), tt.limit, got, tt.want)
		}
		_, err = b.VerifyIssued(t.Context(), text, nil, jwt.Rules{MaxBytes: tt.limit})
		if got := reason(t, err); got != tt.want {
			t.Errorf("issued: %d bytes with a limit of %d: %q, want %q", len(text), tt.limit, got, tt.want)
		}
	}
	// A limit also holds for what was verified under a larger one.
	text := token(1000)
	if err := b.verify(t.Context(), text); err != nil {
		t.Error(err)
	}
	if _, err := b.Verify(t.Context(), discovery, text, jwt.Rules{MaxBytes: 500}); reason(t, err) != jwt.TooLarge {
		t.Errorf("remembered: %v", err)
	}
}

// TestNothingShown: an error has nothing of a token that could be used.
func TestNothingShown(t *testing.T) {
	b, now := newBench(t, jwt.Config{}), time.Now()
	for _, text := range []string{
		sign(t, keysOnce().other, jose.RS256, kid("rsa"), claims(now, map[string]any{"sub": "alice-private"})),
		sign(t, keysOnce().rsa, jose.RS256, kid("rsa"), claims(now, map[string]any{"sub": "alice-private", "aud": "alice-private"})),
		forge(t, map[string]any{"alg": "alice-private"}, claims(now, nil), nil),
		forge(t, map[string]any{"alg": "RS256", "jwk": "alice-private"}, claims(now, nil), nil),
		forge(t, map[string]any{"alg": "RS256"}, "alice-private", nil),
	} {
		_, err := b.Verify(t.Context(), discovery, text, jwt.Rules{AllowedAudience: []string{"x"}})
		if err == nil || strings.Contains(err.Error(), "alice-private") || strings.Contains(err.Error(), text[len(text)/2:]) {
			t.Errorf("%v", err)
		}
		for cause := err; cause != nil; cause = errors.Unwrap(cause) {
			if strings.Contains(cause.Error(), "alice-private") {
				t.Errorf("cause: %v", cause)
			}
		}
	}
}
