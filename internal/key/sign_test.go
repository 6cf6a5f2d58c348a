package key_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/secret"
)

// TestSign signs with every algorithm of every spec and verifies with the key and,
// apart from it, with its public key.
func TestSign(t *testing.T) {
	k := newKit(t)
	specs := []key.Spec{"RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"}
	if !testing.Short() {
		specs = append(specs, "RSA_3072")
	}
	for _, spec := range specs {
		made := k.make(t, spec, key.SignVerify)
		for _, a := range key.Algorithms(spec, key.SignVerify) {
			signature, err := k.Sign(t.Context(), made.Ref, a, text("message"), false)
			if err != nil {
				t.Errorf("%s: %v", a, err)
				continue
			}
			if err := k.Verify(t.Context(), made.Ref, a, text("message"), false, signature); err != nil {
				t.Errorf("%s: %v", a, err)
			}
			wants(t, string(a), k.Verify(t.Context(), made.Ref, a, text("massage"), false, signature), key.CodeInvalidSignature)
			signature[len(signature)-1] ^= 1
			wants(t, string(a), k.Verify(t.Context(), made.Ref, a, text("message"), false, signature), key.CodeInvalidSignature)
		}
		_, err := k.Sign(t.Context(), made.Ref, "SM2DSA", text("message"), false)
		wants(t, "another algorithm", err, key.CodeInvalidUsage)
	}
	made := k.make(t, "ECC_NIST_P256", key.SignVerify)
	sum := sha256.Sum256([]byte("message"))
	signature, err := k.Sign(t.Context(), made.Ref, "ECDSA_SHA_256", secret.NewBytes(sum[:]), true)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(made.Public)
	if err != nil || !ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), sum[:], signature) {
		t.Errorf("the digest's signature is not the public key's, %v", err)
	}
	_, err = k.Sign(t.Context(), made.Ref, "ECDSA_SHA_256", text("short"), true)
	wants(t, "no digest", err, key.CodeValidation)
	_, _, err = k.Encrypt(t.Context(), made.Ref, "", nil, text("x"))
	wants(t, "encrypt with it", err, key.CodeInvalidUsage)
	_, err = k.Sign(t.Context(), k.makeSymmetric(t).Ref, "ECDSA_SHA_256", text("x"), false)
	wants(t, "sign with a symmetric one", err, key.CodeInvalidUsage)
}

// TestJWS has another implementation verify.
func TestJWS(t *testing.T) {
	k := newKit(t)
	rsaKey, ec := k.make(t, "RSA_2048", key.SignVerify), k.make(t, "ECC_NIST_P256", key.SignVerify)
	const input = "eyJhbGciOiJ4In0.eyJpc3MiOiJ4In0"
	for name, made := range map[string]key.Key{"RS256": rsaKey, "PS256": rsaKey, "ES256": ec} {
		if err := made.CheckJWS(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for range 20 { // numbers with leading zeros, too
			signature, err := k.SignJWS(t.Context(), made.Ref, name, []byte(input))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			public, err := x509.ParsePKIXPublicKey(made.Public)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256([]byte(input))
			switch p := public.(type) {
			case *rsa.PublicKey:
				if name == "RS256" {
					err = rsa.VerifyPKCS1v15(p, crypto.SHA256, sum[:], signature)
				} else {
					err = rsa.VerifyPSS(p, crypto.SHA256, sum[:], signature, nil)
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			case *ecdsa.PublicKey:
				if len(signature) != 64 {
					t.Errorf("%s: %d bytes", name, len(signature))
				}
			}
		}
	}
	wants(t, "another algorithm", ec.CheckJWS("RS256"), key.CodeInvalidUsage)
	wants(t, "unknown", ec.CheckJWS("none"), key.CodeValidation)
	verifyES256(t, k, ec)
}

func verifyES256(t *testing.T, k *kit, made key.Key) {
	t.Helper()
	head, body := "eyJhbGciOiJFUzI1NiJ9", "e30"
	signature, err := k.SignJWS(t.Context(), made.Ref, "ES256", []byte(head+"."+body))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jose.ParseSignedCompact(head+"."+body+"."+b64(signature), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(made.Public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.Verify(public); err != nil {
		t.Errorf("ES256: %v", err)
	}
}

func TestMAC(t *testing.T) {
	k := newKit(t)
	for _, spec := range []key.Spec{"HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"} {
		made := k.make(t, spec, key.VerifyMAC)
		a := key.Algorithms(spec, key.VerifyMAC)[0]
		code, err := k.MAC(t.Context(), made.Ref, a, text("message"))
		if err != nil {
			t.Fatal(err)
		}
		if err := k.CheckMAC(t.Context(), made.Ref, a, text("message"), code); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
		wants(t, string(spec), k.CheckMAC(t.Context(), made.Ref, a, text("massage"), code), key.CodeInvalidMAC)
	}
}

func TestOAEP(t *testing.T) {
	k := newKit(t)
	made := k.make(t, "RSA_2048", key.EncryptDecrypt)
	for _, a := range key.Algorithms("RSA_2048", key.EncryptDecrypt) {
		sealed, _, err := k.Encrypt(t.Context(), made.Ref, a, nil, text("value"))
		if err != nil {
			t.Fatal(err)
		}
		if plain, _, err := k.Decrypt(t.Context(), made.Ref, a, nil, sealed); err != nil || plain.Text().Reveal() != "value" {
			t.Errorf("%s: %v", a, err)
		}
		_, _, err = k.Decrypt(t.Context(), made.Ref, a, nil, sealed[1:])
		wants(t, "damaged", err, key.CodeInvalidCiphertext)
		_, _, err = k.Encrypt(t.Context(), made.Ref, a, map[string]string{"a": "b"}, text("value"))
		wants(t, "with a context", err, key.CodeValidation)
	}
	_, _, err := k.Encrypt(t.Context(), made.Ref, "", nil, text("value"))
	wants(t, "no algorithm", err, key.CodeInvalidUsage)
}
