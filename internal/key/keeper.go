package key

import (
	"context"
	"encoding/base64"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Keeper returns the symmetric key ref as what keeps the data keys of a secret.Box,
// for services that seal what an account gave them under a key of the account's
// own: values of any size, each under a data key, bound to their owner.
//
// Sealing and opening go through the key each time, so they end with it: while it
// is disabled or waits for its deletion they fail with its fault, and when it is
// gone what was sealed is lost.
func (s *Keys) Keeper(ref Ref) secret.Keeper { return keeper{s, ref} }

type keeper struct {
	keys *Keys
	ref  Ref
}

// associatedKey holds associated data, where there is some, in the context.
const associatedKey = "outcrop:associated-data"

func contextOf(associated []byte) map[string]string {
	out := map[string]string{"outcrop:use": "data-key"}
	if len(associated) > 0 {
		out[associatedKey] = base64.StdEncoding.EncodeToString(associated)
	}
	return out
}

func (k keeper) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	out, _, err := k.keys.Encrypt(ctx, k.ref, SymmetricDefault, contextOf(associatedData), secret.NewBytes(plaintext))
	return out, err
}

func (k keeper) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	plain, _, err := k.keys.Decrypt(ctx, k.ref, SymmetricDefault, contextOf(associatedData), ciphertext)
	return plain.Reveal(), err
}

// Box returns a box that seals under the key that name is in scope (an id, an alias
// or an ARN), and which key that is now. It must be symmetric and usable.
func (s *Keys) Box(ctx context.Context, scope store.Scope, name string) (*secret.Box, Ref, error) {
	k, err := s.Find(ctx, scope, name)
	if err != nil {
		return nil, Ref{}, err
	}
	if k.Spec != Symmetric {
		return nil, k.Ref, wrongUsage(k.Ref, k.Usage, "Encrypt")
	}
	if err := k.usable(); err != nil {
		return nil, k.Ref, err
	}
	box, err := secret.NewBox(s.Keeper(k.Ref))
	return box, k.Ref, err
}

// Usable returns nil for a key that can be used now, and else its fault: not found,
// disabled or pending deletion.
func (s *Keys) Usable(ctx context.Context, ref Ref) error {
	k, err := s.Get(ctx, ref)
	if err != nil {
		return err
	}
	return k.usable()
}
