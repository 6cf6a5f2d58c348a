package key

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"
	"slices"

	"github.com/outcrop/outcrop/internal/fault"
)

// Spec is the kind of a key's material, in KMS's words.
type Spec string

// Usage is what a key is for, in KMS's words.
type Usage string

// The usages.
const (
	EncryptDecrypt Usage = "ENCRYPT_DECRYPT"
	SignVerify     Usage = "SIGN_VERIFY"
	VerifyMAC      Usage = "GENERATE_VERIFY_MAC"
)

// Symmetric is AES-256-GCM.
const Symmetric Spec = "SYMMETRIC_DEFAULT"

// Algorithm is one of encrypting, signing or authenticating, in KMS's words.
type Algorithm string

// SymmetricDefault is the algorithm of a Symmetric key.
const SymmetricDefault Algorithm = "SYMMETRIC_DEFAULT"

// family is how material is made.
type family uint8

const (
	symmetric family = iota + 1
	rsaKey
	ecKey
	hmacKey
)

// spec is what is known of one.
type spec struct {
	family family
	bits   int
	curve  elliptic.Curve
	usages []Usage
}

// specOf returns what is known of a spec; ok is false for those that are not here.
func specOf(s Spec) (spec, bool) {
	rsaOf := func(bits int) spec {
		return spec{family: rsaKey, bits: bits, usages: []Usage{EncryptDecrypt, SignVerify}}
	}
	ecOf := func(c elliptic.Curve) spec { return spec{family: ecKey, curve: c, usages: []Usage{SignVerify}} }
	macOf := func(bits int) spec { return spec{family: hmacKey, bits: bits, usages: []Usage{VerifyMAC}} }
	switch s {
	case Symmetric:
		return spec{family: symmetric, bits: 256, usages: []Usage{EncryptDecrypt}}, true
	case "RSA_2048":
		return rsaOf(2048), true
	case "RSA_3072":
		return rsaOf(3072), true
	case "RSA_4096":
		return rsaOf(4096), true
	case "ECC_NIST_P256":
		return ecOf(elliptic.P256()), true
	case "ECC_NIST_P384":
		return ecOf(elliptic.P384()), true
	case "ECC_NIST_P521":
		return ecOf(elliptic.P521()), true
	case "HMAC_224":
		return macOf(224), true
	case "HMAC_256":
		return macOf(256), true
	case "HMAC_384":
		return macOf(384), true
	case "HMAC_512":
		return macOf(512), true
	}
	return spec{}, false
}

// Asymmetric reports whether there is a public key.
func (s Spec) Asymmetric() bool {
	known, _ := specOf(s)
	return known.family == rsaKey || known.family == ecKey
}

// Algorithms are those that a key of a spec and usage has, in KMS's order.
func Algorithms(s Spec, u Usage) []Algorithm {
	known, ok := specOf(s)
	if !ok || !slices.Contains(known.usages, u) {
		return nil
	}
	switch known.family {
	case symmetric:
		return []Algorithm{SymmetricDefault}
	case hmacKey:
		return []Algorithm{Algorithm(fmt.Sprintf("HMAC_SHA_%d", known.bits))}
	case ecKey:
		return []Algorithm{ecdsaAlgorithm(known.curve)}
	}
	if u == EncryptDecrypt {
		return []Algorithm{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}
	}
	return []Algorithm{
		"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
		"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
	}
}

func ecdsaAlgorithm(c elliptic.Curve) Algorithm {
	switch c {
	case elliptic.P384():
		return "ECDSA_SHA_384"
	case elliptic.P521():
		return "ECDSA_SHA_512"
	}
	return "ECDSA_SHA_256"
}

// hashOf is the hash at the end of an algorithm's name.
func hashOf(a Algorithm) crypto.Hash {
	switch a {
	case "RSAES_OAEP_SHA_1":
		return crypto.SHA1
	case "HMAC_SHA_224":
		return crypto.SHA224
	case "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PSS_SHA_384", "ECDSA_SHA_384", "HMAC_SHA_384":
		return crypto.SHA384
	case "RSASSA_PKCS1_V1_5_SHA_512", "RSASSA_PSS_SHA_512", "ECDSA_SHA_512", "HMAC_SHA_512":
		return crypto.SHA512
	}
	return crypto.SHA256
}

// check refuses a usage that the spec does not have.
func (s *Settings) check() error {
	known, ok := specOf(s.Spec)
	if !ok {
		return fault.BadRequest(CodeUnsupported, "Keys of the spec %s are not made here", s.Spec)
	}
	if !slices.Contains(known.usages, s.Usage) {
		return invalid("KeyUsage %s is not compatible with KeySpec %s", s.Usage, s.Spec)
	}
	return nil
}

// newMaterial makes material: the bytes that are sealed, and the public key of an
// asymmetric one.
func newMaterial(rand io.Reader, s Spec) (private, public []byte, err error) {
	known, _ := specOf(s)
	var key any
	switch known.family {
	case rsaKey:
		made, err := rsa.GenerateKey(rand, known.bits)
		if err != nil {
			return nil, nil, err
		}
		key = made
	case ecKey:
		made, err := ecdsa.GenerateKey(known.curve, rand)
		if err != nil {
			return nil, nil, err
		}
		key = made
	default:
		private = make([]byte, (known.bits+7)/8)
		_, err := io.ReadFull(rand, private)
		return private, nil, err
	}
	if private, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return nil, nil, err
	}
	public, err = x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public())
	return private, public, err
}
