package secret

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
)

// Keeper encrypts data keys: a Keyring from a key file, or the client of a key
// management service. It is Tink's AEADWithContext.
type Keeper interface {
	EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error)
	DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error)
}

// Owner says whose a sealed value is. It is authenticated and not stored: a
// value opens only for the owner it was sealed for. All three are required.
type Owner struct {
	// Scope is the account and region, or whatever else the id is unique in.
	Scope string
	// Kind is the kind of the record that holds the value, and the member.
	Kind string
	// ID is the record's id.
	ID string
}

func (o Owner) String() string { return o.Kind + " " + o.ID }

// associated writes the owner so that no two owners are written alike.
func (o Owner) associated() []byte {
	b := []byte("outcrop secret 1")
	for _, s := range [...]string{o.Scope, o.Kind, o.ID} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// ErrUnreadable says that a sealed value was sealed for another owner or under a
// key that the Keeper does not have, or is damaged; nothing tells which.
var ErrUnreadable = errors.New("it was sealed for another owner or under another key, or is damaged")

var errNoOwner = errors.New("its owner is incomplete")

// version is the first byte of a sealed value.
const version = 1

// Box seals and opens. It is safe for concurrent use.
type Box struct {
	envelope *aead.KMSEnvelopeAEADWithContext
}

// NewBox returns a Box whose data keys keeper encrypts.
func NewBox(keeper Keeper) (*Box, error) {
	envelope, err := aead.NewKMSEnvelopeAEADWithContext(aead.AES256GCMKeyTemplate(), keeper)
	if err != nil {
		return nil, fmt.Errorf("make secret box: %w", err)
	}
	return &Box{envelope}, nil
}

// Seal encrypts value for owner. The same value seals differently every time.
func (b *Box) Seal(ctx context.Context, owner Owner, value Bytes) ([]byte, error) {
	if owner.Scope == "" || owner.Kind == "" || owner.ID == "" {
		return nil, fmt.Errorf("seal secret of %s: %w", owner, errNoOwner)
	}
	sealed, err := b.envelope.EncryptWithContext(ctx, value.Reveal(), owner.associated())
	if err != nil {
		return nil, fmt.Errorf("seal secret of %s: %w", owner, err)
	}
	return append([]byte{version}, sealed...), nil
}

// Open decrypts what Seal returned for the same owner, or is ErrUnreadable. An
// end of ctx while a remote Keeper works is reported as itself.
func (b *Box) Open(ctx context.Context, owner Owner, sealed []byte) (Bytes, error) {
	if len(sealed) == 0 || sealed[0] != version {
		return Bytes{}, fmt.Errorf("open secret of %s: %w", owner, ErrUnreadable)
	}
	value, err := b.envelope.DecryptWithContext(ctx, sealed[1:], owner.associated())
	if err != nil && ctx.Err() != nil {
		return Bytes{}, fmt.Errorf("open secret of %s: %w", owner, ctx.Err())
	}
	if err != nil {
		return Bytes{}, fmt.Errorf("open secret of %s: %w (%w)", owner, ErrUnreadable, err)
	}
	return NewBytes(value), nil
}
