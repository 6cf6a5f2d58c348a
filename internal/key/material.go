package key

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/secret"
)

// material is what a key works with, sealed.
type material struct {
	ID       string    `json:"id"`
	Sealed   []byte    `json:"sealed"`
	Created  time.Time `json:"created"`
	OnDemand bool      `json:"onDemand,omitempty"`
}

// opened is a key with its materials, which stay in memory until any key changes:
// opening one takes longer than using it.
type opened struct {
	Key
	secrets [][]byte // symmetric and HMAC
	private crypto.Signer
}

func materialOwner(ref Ref, n int) secret.Owner {
	return secret.Owner{Scope: ref.Scope.String(), Kind: "kms-key-material", ID: ref.ID + "/" + strconv.Itoa(n)}
}

// generate makes the nth material of a key, sealed.
func (s *Keys) generate(ctx context.Context, ref Ref, of Spec, n int) (m material, public []byte, err error) {
	private, public, err := newMaterial(s.cfg.Rand, of)
	if err != nil {
		return m, nil, fmt.Errorf("make material of key %s: %w", ref.ID, err)
	}
	var id [32]byte
	if _, err := io.ReadFull(s.cfg.Rand, id[:]); err != nil {
		return m, nil, fmt.Errorf("name material of key %s: %w", ref.ID, err)
	}
	m = material{ID: hex.EncodeToString(id[:]), Created: s.cfg.Now().UTC()}
	m.Sealed, err = s.cfg.Box.Seal(ctx, materialOwner(ref, n), secret.NewBytes(private))
	clear(private)
	return m, public, err
}

// open returns a key that may be used now, with its materials.
func (s *Keys) open(ctx context.Context, ref Ref) (*opened, error) {
	k, ok := s.opened.Load().Get(ref)
	if !ok {
		var err error
		if k, err = s.load(ctx, ref); err != nil {
			return nil, err
		}
	}
	if !k.Deletes.IsZero() && !s.cfg.Now().Before(k.Deletes) {
		return nil, NotFound(ref)
	}
	return k, k.usable()
}

func (s *Keys) load(ctx context.Context, ref Ref) (*opened, error) {
	watch := s.cfg.Store.Watch(Topic())
	doc, err := s.document(ctx, ref)
	if err != nil {
		return nil, err
	}
	k := &opened{Key: keyOf(doc)}
	for i, m := range doc.State.Materials {
		plain, err := s.cfg.Box.Open(ctx, materialOwner(ref, i), m.Sealed)
		if err != nil {
			return nil, fmt.Errorf("open material of key %s: %w", ref.ID, err)
		}
		if !k.Spec.Asymmetric() {
			k.secrets = append(k.secrets, plain.Reveal())
			continue
		}
		private, err := x509.ParsePKCS8PrivateKey(plain.Reveal())
		if err != nil {
			return nil, fmt.Errorf("read material of key %s: %w", ref.ID, err)
		}
		var ok bool
		if k.private, ok = private.(crypto.Signer); !ok {
			return nil, fmt.Errorf("read material of key %s: it is a %T", ref.ID, private)
		}
	}
	s.opened.Load().Put(ref, k, watch)
	return k, nil
}

// newID names a key.
func newID(rand io.Reader) (string, error) {
	id, err := uuid.NewRandomFromReader(rand)
	if err != nil {
		return "", fmt.Errorf("name key: %w", err)
	}
	return id.String(), nil
}

// isID reports whether text is the id of a key as they are made: lower case, with
// hyphens.
func isID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}
