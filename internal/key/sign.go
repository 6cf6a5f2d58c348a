package key

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
)

// Sign signs a message with an asymmetric key. With digest, message is its hash
// already. Signatures of ECDSA are DER, as KMS's.
func (s *Keys) Sign(ctx context.Context, ref Ref, a Algorithm, message secret.Bytes, digest bool) ([]byte, error) {
	k, sum, err := s.forSigning(ctx, ref, a, message, digest, "Sign")
	if err != nil {
		return nil, err
	}
	out, err := k.private.Sign(s.cfg.Rand, sum, signerOpts(a))
	if err != nil {
		return nil, fmt.Errorf("sign with key %s: %w", ref.ID, err)
	}
	return out, nil
}

func signerOpts(a Algorithm) crypto.SignerOpts {
	if strings.HasPrefix(string(a), "RSASSA_PSS") {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hashOf(a)}
	}
	return hashOf(a)
}

// Verify returns nil for a signature that the key made, and the fault
// KMSInvalidSignatureException for another.
func (s *Keys) Verify(ctx context.Context, ref Ref, a Algorithm, message secret.Bytes, digest bool, signature []byte) error {
	k, sum, err := s.forSigning(ctx, ref, a, message, digest, "Verify")
	if err != nil {
		return err
	}
	var ok bool
	switch public := k.private.Public().(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(public, sum, signature)
	case *rsa.PublicKey:
		if o, pss := signerOpts(a).(*rsa.PSSOptions); pss {
			ok = rsa.VerifyPSS(public, hashOf(a), sum, signature, o) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(public, hashOf(a), sum, signature) == nil
		}
	}
	if !ok {
		return fault.BadRequest(CodeInvalidSignature, "The signature is not one of this key, algorithm and message")
	}
	return nil
}

// forSigning opens a key that signs with an algorithm, and hashes the message.
func (s *Keys) forSigning(ctx context.Context, ref Ref, a Algorithm, message secret.Bytes, digest bool, operation string) (*opened, []byte, error) {
	k, err := s.open(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	if err := k.does(SignVerify, a, operation); err != nil {
		return nil, nil, err
	}
	sum := message.Reveal()
	if !digest {
		h := hashOf(a).New()
		h.Write(sum)
		return k, h.Sum(nil), nil
	}
	if len(sum) != hashOf(a).Size() {
		return nil, nil, invalid("Digest is invalid length for algorithm %s.", a)
	}
	return k, sum, nil
}

// MAC returns the code of a message by an HMAC key.
func (s *Keys) MAC(ctx context.Context, ref Ref, a Algorithm, message secret.Bytes) ([]byte, error) {
	return s.mac(ctx, ref, a, message, "GenerateMac")
}

// CheckMAC returns nil for the code of a message, and the fault
// KMSInvalidMacException for another.
func (s *Keys) CheckMAC(ctx context.Context, ref Ref, a Algorithm, message secret.Bytes, code []byte) error {
	want, err := s.mac(ctx, ref, a, message, "VerifyMac")
	if err == nil && !hmac.Equal(want, code) {
		return fault.BadRequest(CodeInvalidMAC, "The MAC is not one of this key, algorithm and message")
	}
	return err
}

func (s *Keys) mac(ctx context.Context, ref Ref, a Algorithm, message secret.Bytes, operation string) ([]byte, error) {
	k, err := s.open(ctx, ref)
	if err != nil {
		return nil, err
	}
	if err := k.does(VerifyMAC, a, operation); err != nil {
		return nil, err
	}
	h := hmac.New(hashOf(a).New, k.secrets[0])
	h.Write(message.Reveal())
	return h.Sum(nil), nil
}

// JWSAlgorithm is the algorithm of a key by its name in JSON Web Signatures: RS256,
// PS256 or ES256 (spec/identity.md 2.5).
func JWSAlgorithm(name string) (Algorithm, bool) {
	switch name {
	case "RS256":
		return "RSASSA_PKCS1_V1_5_SHA_256", true
	case "PS256":
		return "RSASSA_PSS_SHA_256", true
	case "ES256":
		return "ECDSA_SHA_256", true
	}
	return "", false
}

// CheckJWS refuses a key that does not sign with an algorithm of JSON Web
// Signatures, or cannot be used now, before anybody depends on it.
func (k *Key) CheckJWS(name string) error {
	a, ok := JWSAlgorithm(name)
	if !ok {
		return unknownJWS(name)
	}
	if err := k.does(SignVerify, a, "Sign"); err != nil {
		return err
	}
	return k.usable()
}

func unknownJWS(name string) *fault.Error {
	return invalid("The signing algorithm '%s' is none of RS256, PS256 and ES256", name)
}

// SignJWS signs the input of a JSON Web Signature: header, dot and payload, each
// encoded. The signature is in its form (RFC 7518, 3.4 for ES256).
func (s *Keys) SignJWS(ctx context.Context, ref Ref, name string, input []byte) ([]byte, error) {
	a, ok := JWSAlgorithm(name)
	if !ok {
		return nil, unknownJWS(name)
	}
	out, err := s.Sign(ctx, ref, a, secret.NewBytes(input), false)
	if err != nil || name != "ES256" {
		return out, err
	}
	var pair struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(out, &pair); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("read signature of key %s: %w", ref.ID, err)
	}
	joined := make([]byte, 64)
	pair.R.FillBytes(joined[:32])
	pair.S.FillBytes(joined[32:])
	return joined, nil
}
