// Package signingkey keeps the keys by which this server signs tokens as an issuer:
// those of a user pool, those of an account. Each issuer has one key that signs, and
// after a rotation those that tokens may still be verified by.
//
// Private keys are sealed in the store, in the same transaction as what they belong to;
// a key's id is its thumbprint (RFC 7638).
package signingkey

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

const (
	// RotateEvery is how old a key gets before another takes its place.
	RotateEvery = 90 * 24 * time.Hour
	// KeepRetired is longer than any token that a key signed is good for: a day (those
	// of user pools), and what clocks differ by.
	KeepRetired = 25 * time.Hour
)

// keyBits is the size of RSA keys.
const keyBits = 2048

// Config is what Keys need; all are required.
type Config struct {
	Store store.Store
	Box   *secret.Box
	// Rand is crypto/rand.Reader outside of tests.
	Rand io.Reader
	Now  func() time.Time
}

// Keys are the keys of one kind of issuers, all for one algorithm. They are safe for
// concurrent use.
type Keys struct {
	cfg       Config
	kind      string
	algorithm jose.SignatureAlgorithm
	opened    sync.Map // of jose.Signer, by document id
}

// New returns the keys that are stored as documents of a kind, for RS256 or ES384.
func New(cfg Config, kind string, algorithm jose.SignatureAlgorithm) *Keys {
	return &Keys{cfg: cfg, kind: kind, algorithm: algorithm}
}

type none struct{}

// state is what is stored of a key; the document's id is OWNER/KID and its parent the
// owner.
type state struct {
	// Sealed is the private key, in PKCS #8.
	Sealed []byte `json:"sealed"`
	// Public is the JWK.
	Public json.RawMessage `json:"public"`
	// Retired is when another took its place; zero while it signs.
	Retired time.Time `json:"retired,omitzero"`
}

type document = store.Resource[none, state]

func (k *Keys) docs() store.Collection[none, state] {
	return store.Collection[none, state]{Kind: k.kind}
}

// Kind is that of the documents.
func (k *Keys) Kind() string { return k.kind }

// Topic wakes those who keep public keys.
func (k *Keys) Topic() store.Topic { return k.docs().Topic() }

func (k *Keys) owner(scope store.Scope, id string) secret.Owner {
	return secret.Owner{Scope: scope.String(), Kind: k.kind, ID: id}
}

// Draft is a key that is made and not stored yet.
type Draft struct {
	keys *Keys
	doc  document
}

// Make makes a key for an issuer, which takes long for RSA: call it outside of a
// transaction.
func (k *Keys) Make(ctx context.Context, scope store.Scope, issuer string) (d Draft, err error) {
	key, err := k.generate()
	if err != nil {
		return d, fmt.Errorf("make signing key: %w", err)
	}
	public := jose.JSONWebKey{Key: key.Public(), Algorithm: string(k.algorithm), Use: "sig"}
	print, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return d, fmt.Errorf("name signing key: %w", err)
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(print)
	text, err := public.MarshalJSON()
	if err != nil {
		return d, fmt.Errorf("write signing key: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return d, fmt.Errorf("write signing key: %w", err)
	}
	id := issuer + "/" + public.KeyID
	sealed, err := k.cfg.Box.Seal(ctx, k.owner(scope, id), secret.NewBytes(private))
	clear(private)
	return Draft{k, document{Scope: scope, ID: id, Parent: issuer, State: state{Sealed: sealed, Public: text}}}, err
}

func (k *Keys) generate() (crypto.Signer, error) {
	switch k.algorithm {
	case jose.RS256:
		return rsa.GenerateKey(k.cfg.Rand, keyBits)
	case jose.ES384:
		return ecdsa.GenerateKey(elliptic.P384(), k.cfg.Rand)
	}
	return nil, fmt.Errorf("no keys are made for %s", k.algorithm)
}

// Write stores the key, which signs from now on in place of those that are there.
func (d Draft) Write(tx store.Tx) error {
	k := d.keys
	old, err := k.list(tx, d.doc.Scope, d.doc.Parent)
	if err != nil {
		return err
	}
	for _, doc := range old {
		if !doc.State.Retired.IsZero() {
			continue
		}
		doc.State.Retired = k.cfg.Now().UTC()
		if _, err := k.docs().Replace(tx, doc); err != nil {
			return err
		}
	}
	_, err = k.docs().Create(tx, d.doc)
	return err
}

// list returns an issuer's keys, the one that signs first.
func (k *Keys) list(r store.Reader, scope store.Scope, issuer string) ([]document, error) {
	list, err := k.docs().List(r, scope, issuer, store.Page{Size: store.MaxPageSize, Newest: true})
	return list.Items, err
}

// Public returns the public keys of an issuer: the one that signs, and those whose
// tokens may still be good.
func (k *Keys) Public(r store.Reader, scope store.Scope, issuer string) ([]jose.JSONWebKey, error) {
	docs, err := k.list(r, scope, issuer)
	if err != nil {
		return nil, err
	}
	out := make([]jose.JSONWebKey, len(docs))
	for i, d := range docs {
		if err := out[i].UnmarshalJSON(d.State.Public); err != nil {
			return nil, fmt.Errorf("read signing key %s: %w", d.ID, err)
		}
	}
	return out, nil
}

// Signer opens the key that signs for an issuer, or returns store.ErrNotFound. Keys stay
// open in memory: opening one takes longer than signing with it.
func (k *Keys) Signer(ctx context.Context, scope store.Scope, issuer string) (jose.Signer, error) {
	var current document
	err := k.cfg.Store.View(ctx, func(r store.Reader) error {
		docs, err := k.list(r, scope, issuer)
		if err == nil && len(docs) == 0 {
			err = store.ErrNotFound
		}
		if err == nil {
			current = docs[0]
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read signing key of %s: %w", issuer, err)
	}
	if s, ok := k.opened.Load(current.ID); ok {
		return s.(jose.Signer), nil
	}
	plain, err := k.cfg.Box.Open(ctx, k.owner(scope, current.ID), current.State.Sealed)
	if err != nil {
		return nil, fmt.Errorf("open signing key of %s: %w", issuer, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(plain.Reveal())
	if err != nil {
		return nil, fmt.Errorf("read signing key of %s: %w", issuer, err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: k.algorithm, Key: jose.JSONWebKey{Key: key, KeyID: strings.TrimPrefix(current.ID, issuer+"/")}}, nil)
	if err != nil {
		return nil, fmt.Errorf("use signing key of %s: %w", issuer, err)
	}
	k.opened.Store(current.ID, s)
	return s, nil
}

// Sign returns claims as a token in compact form, signed for an issuer.
func (k *Keys) Sign(ctx context.Context, scope store.Scope, issuer string, claims []byte) (secret.String, error) {
	s, err := k.Signer(ctx, scope, issuer)
	if err != nil {
		return secret.String{}, err
	}
	signed, err := s.Sign(claims)
	if err != nil {
		return secret.String{}, fmt.Errorf("sign token of %s: %w", issuer, err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		return secret.String{}, fmt.Errorf("write token of %s: %w", issuer, err)
	}
	return secret.NewString(text), nil
}

// Rotate gives an issuer another key at once. The old one verifies what it signed until
// that has expired. Check refuses an issuer that is gone.
func (k *Keys) Rotate(ctx context.Context, scope store.Scope, issuer string, check func(store.Reader) error) error {
	draft, err := k.Make(ctx, scope, issuer)
	if err != nil {
		return err
	}
	return k.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := check(tx); err != nil {
			return err
		}
		return draft.Write(tx)
	})
}

// Sweep has those rotated that are due, and drops those that nothing needs any more.
func (k *Keys) Sweep(ctx context.Context, rotate func(ctx context.Context, scope store.Scope, issuer string) error) error {
	var due, over []document
	now := k.cfg.Now()
	err := k.cfg.Store.View(ctx, func(r store.Reader) error {
		due, over = nil, nil
		for d, err := range k.docs().All(r) {
			switch {
			case err != nil:
				return err
			case d.State.Retired.IsZero() && now.Sub(d.Created) >= RotateEvery:
				due = append(due, d)
			case !d.State.Retired.IsZero() && now.Sub(d.State.Retired) >= KeepRetired:
				over = append(over, d)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range due {
		if err := rotate(ctx, d.Scope, d.Parent); err != nil {
			return err
		}
	}
	for _, d := range slices.Concat(over, due) {
		k.opened.Delete(d.ID)
	}
	if len(over) == 0 {
		return nil
	}
	return k.cfg.Store.Update(ctx, func(tx store.Tx) error {
		for _, d := range over {
			if err := k.docs().Delete(tx, d.Scope, d.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

// Forget closes the keys of an issuer that is gone.
func (k *Keys) Forget(issuer string) {
	k.opened.Range(func(id, _ any) bool {
		if strings.HasPrefix(id.(string), issuer+"/") {
			k.opened.Delete(id)
		}
		return true
	})
}
