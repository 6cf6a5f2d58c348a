package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/outcrop/outcrop/internal/durable"
)

// maxKeyFile bounds what is read as a key file, in bytes.
const maxKeyFile = 64 << 10

// ErrDamaged says that what should be a key file is none. The error is an
// fs.PathError, too, which names the file.
var ErrDamaged = errors.New("it is not a key file, or is damaged")

// Keyring is a Keeper with its keys in memory. It opens what any of its keys
// encrypted and encrypts with the primary one, so a key is replaced by adding
// another and making it primary.
type Keyring struct{ keys tink.AEAD }

// EncryptWithContext implements Keeper.
func (k *Keyring) EncryptWithContext(_ context.Context, plaintext, associatedData []byte) ([]byte, error) {
	return k.keys.Encrypt(plaintext, associatedData)
}

// DecryptWithContext implements Keeper.
func (k *Keyring) DecryptWithContext(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	return k.keys.Decrypt(ciphertext, associatedData)
}

// OpenKeyFile reads the keyring in the file at path, a Tink keyset in JSON. A
// file that others than its owner can read or write is refused. A file that is
// not there is fs.ErrNotExist, one that is no keyset ErrDamaged.
func OpenKeyFile(path string) (*Keyring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular() || info.Size() > maxKeyFile:
		return nil, &fs.PathError{Op: "open key file", Path: path, Err: ErrDamaged}
	case mode.Perm()&0o077 != 0:
		return nil, fmt.Errorf("open key file %s: others can read or write it (mode %04o): "+
			"if nobody has, run chmod 600 on it; otherwise its secrets are known and must be replaced", path, mode.Perm())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, &fs.PathError{Op: "open key file", Path: path, Err: fmt.Errorf("%w: %w", ErrDamaged, err)}
	}
	keys, err := aead.New(handle)
	if err != nil {
		return nil, &fs.PathError{Op: "open key file", Path: path, Err: fmt.Errorf("%w: %w", ErrDamaged, err)}
	}
	return &Keyring{keys}, nil
}

// EnsureKeyFile opens the key file at path, or makes one with a new key, mode
// 0600, in a directory that exists. The file appears whole or not at all and is
// durable when EnsureKeyFile returns; of two processes that try at once both get
// the same one. created reports that the key is new: data sealed before cannot
// be opened with it.
func EnsureKeyFile(path string) (ring *Keyring, created bool, err error) {
	ring, err = OpenKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, false, err
	}
	created, err = createKeyFile(path)
	if err != nil {
		return nil, false, fmt.Errorf("create key file %s: %w", path, err)
	}
	ring, err = OpenKeyFile(path)
	return ring, created, err
}

// createKeyFile reports false when somebody else was faster.
func createKeyFile(path string) (created bool, err error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return false, err
	}
	var raw bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&raw)); err != nil {
		return false, err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return false, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(raw.Bytes())
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return false, err
	}
	// A link, unlike a rename, never replaces a key that is already there.
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, durable.Dir(dir)
}
