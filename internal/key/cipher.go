package key

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// A ciphertext of a symmetric key is
//
//	version account region id material salt nonce sealed
//
// where version is a byte, the next three have a byte of length before them,
// material is two bytes, big-endian, salt is saltSize and nonce nonceSize bytes. Each
// is sealed under a key of its own, which HKDF-SHA256 derives from material and
// salt, so that no number of messages wears the material out. What stands before
// the nonce and the encryption context are authenticated.
const (
	blobVersion = 1
	saltSize    = 16
	nonceSize   = 12
	tagSize     = 16
)

// MaxPlaintext is the most that Encrypt takes, in bytes (KMS's model).
const MaxPlaintext = 4096

// MaxContext is the most that an encryption context may have, in bytes of keys and
// values.
const MaxContext = 8192

// blob is a ciphertext, taken apart.
type blob struct {
	ref      Ref
	material int
	// header is what is authenticated of it, salt its last bytes.
	header, salt, nonce, sealed []byte
}

func errCiphertext() error {
	return fault.BadRequest(CodeInvalidCiphertext, "The ciphertext is not one of a key here, or was made with another encryption context, or is damaged")
}

// parseBlob takes a ciphertext apart, or returns a fault.
func parseBlob(b []byte) (out blob, err error) {
	rest := b
	take := func(n int) []byte {
		if n > len(rest) {
			rest, n = nil, 0
			err = errCiphertext()
			return nil
		}
		part := rest[:n]
		rest = rest[n:]
		return part
	}
	text := func() string {
		if n := take(1); n != nil {
			return string(take(int(n[0])))
		}
		return ""
	}
	if v := take(1); v == nil || v[0] != blobVersion {
		return out, errCiphertext()
	}
	out.ref = Ref{Scope: store.Scope{Account: text(), Region: text()}, ID: text()}
	if n := take(2); n != nil {
		out.material = int(binary.BigEndian.Uint16(n))
	}
	out.salt = take(saltSize)
	out.header = b[:len(b)-len(rest)]
	out.nonce = take(nonceSize)
	out.sealed = rest
	if err != nil || len(rest) < tagSize || !out.ref.Scope.Valid() || !isID(out.ref.ID) || store.CheckText(out.ref.Scope.String()) != nil {
		return blob{}, errCiphertext()
	}
	return out, nil
}

func header(ref Ref, material int, salt []byte) []byte {
	b := []byte{blobVersion}
	for _, s := range [...]string{ref.Scope.Account, ref.Scope.Region, ref.ID} {
		b = append(b, byte(len(s)))
		b = append(b, s...)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(material))
	return append(b, salt...)
}

// authenticated is what a ciphertext is bound to: no two contexts are written alike.
func authenticated(header []byte, context map[string]string) []byte {
	b := binary.AppendUvarint(nil, uint64(len(header)))
	b = append(b, header...)
	for _, k := range slices.Sorted(maps.Keys(context)) {
		for _, s := range [...]string{k, context[k]} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	return b
}

func checkContext(context map[string]string) error {
	size := 0
	for k, v := range context {
		if k == "" {
			return invalid("A key of the encryption context is empty")
		}
		size += len(k) + len(v)
	}
	if size > MaxContext {
		return invalid("The encryption context has %d bytes; it may have at most %d", size, MaxContext)
	}
	return nil
}

// sealer is the cipher of one message.
func sealer(material, salt []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, material, salt, "outcrop kms 1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	clear(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Use is what was done with a key.
type Use struct {
	Ref
	// Material is the id of what was used of a symmetric key, empty for others.
	Material  string
	Algorithm Algorithm
}

// Encrypt encrypts at most MaxPlaintext bytes under a key. With no algorithm it is
// that of a symmetric key.
func (s *Keys) Encrypt(ctx context.Context, ref Ref, a Algorithm, context map[string]string, plaintext secret.Bytes) ([]byte, Use, error) {
	k, a, err := s.forEncryption(ctx, ref, a, "Encrypt")
	if err != nil {
		return nil, Use{}, err
	}
	plain := plaintext.Reveal()
	defer clear(plain)
	if len(plain) > MaxPlaintext {
		return nil, Use{}, invalid("The plaintext has %d bytes; Encrypt takes at most %d. Use GenerateDataKey for more", len(plain), MaxPlaintext)
	}
	if a != SymmetricDefault {
		out, err := s.encryptRSA(k, a, context, plain)
		return out, Use{Ref: ref, Algorithm: a}, err
	}
	if err := checkContext(context); err != nil {
		return nil, Use{}, err
	}
	var random [saltSize + nonceSize]byte
	if _, err := io.ReadFull(s.cfg.Rand, random[:]); err != nil {
		return nil, Use{}, fmt.Errorf("encrypt with key %s: %w", ref.ID, err)
	}
	n := len(k.secrets) - 1
	aead, err := sealer(k.secrets[n], random[:saltSize])
	if err != nil {
		return nil, Use{}, fmt.Errorf("encrypt with key %s: %w", ref.ID, err)
	}
	head := header(ref, n, random[:saltSize])
	bound := authenticated(head, context)
	out := append(head, random[saltSize:]...)
	return aead.Seal(out, random[saltSize:], plain, bound), Use{ref, k.Materials[n].ID, a}, nil
}

// KeyOf returns which key a ciphertext of a symmetric key was made with.
func KeyOf(ciphertext []byte) (Ref, error) {
	b, err := parseBlob(ciphertext)
	return b.ref, err
}

// Decrypt decrypts what a key encrypted with the same algorithm and under the same
// context.
func (s *Keys) Decrypt(ctx context.Context, ref Ref, a Algorithm, context map[string]string, ciphertext []byte) (secret.Bytes, Use, error) {
	k, a, err := s.forEncryption(ctx, ref, a, "Decrypt")
	if err != nil {
		return secret.Bytes{}, Use{}, err
	}
	if a != SymmetricDefault {
		plain, err := s.decryptRSA(k, a, context, ciphertext)
		return plain, Use{Ref: ref, Algorithm: a}, err
	}
	b, err := parseBlob(ciphertext)
	if err != nil {
		return secret.Bytes{}, Use{}, err
	}
	if b.ref != ref {
		return secret.Bytes{}, Use{}, IncorrectKey()
	}
	if b.material >= len(k.secrets) {
		return secret.Bytes{}, Use{}, errCiphertext()
	}
	aead, err := sealer(k.secrets[b.material], b.salt)
	if err != nil {
		return secret.Bytes{}, Use{}, fmt.Errorf("decrypt with key %s: %w", ref.ID, err)
	}
	plain, err := aead.Open(nil, b.nonce, b.sealed, authenticated(b.header, context))
	if err != nil {
		return secret.Bytes{}, Use{}, errCiphertext()
	}
	defer clear(plain)
	return secret.NewBytes(plain), Use{ref, k.Materials[b.material].ID, a}, nil
}

// IncorrectKey refuses a ciphertext of another key than the one that is named.
func IncorrectKey() error {
	return fault.BadRequest(CodeIncorrectKey, "The key ID in the request does not identify a CMK that can perform this operation.")
}

// forEncryption opens a key that encrypts with an algorithm.
func (s *Keys) forEncryption(ctx context.Context, ref Ref, a Algorithm, operation string) (*opened, Algorithm, error) {
	k, err := s.open(ctx, ref)
	if err != nil {
		return nil, a, err
	}
	if a == "" {
		a = SymmetricDefault
	}
	return k, a, k.does(EncryptDecrypt, a, operation)
}

// encryptRSA encrypts with the public key. There is no room for a context.
func (s *Keys) encryptRSA(k *opened, a Algorithm, context map[string]string, plain []byte) ([]byte, error) {
	if len(context) > 0 {
		return nil, invalid("EncryptionContext is for symmetric keys; %s has none", a)
	}
	public := k.private.Public().(*rsa.PublicKey)
	if most := public.Size() - 2*hashOf(a).Size() - 2; len(plain) > most {
		return nil, invalid("The plaintext has %d bytes; %s with %s takes at most %d", len(plain), a, k.Spec, most)
	}
	out, err := rsa.EncryptOAEP(hashOf(a).New(), s.cfg.Rand, public, plain, nil)
	if err != nil {
		return nil, fmt.Errorf("encrypt with key %s: %w", k.ID, err)
	}
	return out, nil
}

func (s *Keys) decryptRSA(k *opened, a Algorithm, context map[string]string, ciphertext []byte) (secret.Bytes, error) {
	if len(context) > 0 {
		return secret.Bytes{}, invalid("EncryptionContext is for symmetric keys; %s has none", a)
	}
	private := k.private.(*rsa.PrivateKey)
	if len(ciphertext) != private.Size() { // RFC 8017, 7.1.2; the library takes one without its leading zeros
		return secret.Bytes{}, errCiphertext()
	}
	plain, err := rsa.DecryptOAEP(hashOf(a).New(), nil, private, ciphertext, nil)
	if err != nil {
		return secret.Bytes{}, errCiphertext()
	}
	defer clear(plain)
	return secret.NewBytes(plain), nil
}

// Random returns n random bytes.
func (s *Keys) Random(n int) (secret.Bytes, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.cfg.Rand, b); err != nil {
		return secret.Bytes{}, fmt.Errorf("make random bytes: %w", err)
	}
	defer clear(b)
	return secret.NewBytes(b), nil
}
